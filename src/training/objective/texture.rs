//! A texture: the patches of a grown lattice are to be those of an image.
//!
//! ```text
//! loss = 10 · D(colors, image) + (1/cells) Σ |s − clip(s, −1, 1)|         D: sliced optimal transport, `sims/src/transport.rs`
//! distance = (D − D of crops of the image)/(D of its pixels shuffled − D of crops)
//! ```
//!
//! The second term, over all channels, keeps states from growing without bound. A distance of 0 is that of another piece of the image, 1
//! that of pixels with the right colors in no order; below 0 is nearer to the whole image than a crop of a lattice's size. A lattice that is
//! small beside the figures of the image has crops that are as far as its pixels in no order: 0 then is the image itself (`ruler.rs`).
//! Projections of the loss are other ones in each update; those of the distance are always the same, and the loss never sees them.

// Circle with training/objective.rs: the list of objectives names this one, which is one of them.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use sims::{COLORS, Key, Patches, Pixels, SlicedTransport};

use super::Objective;
use super::features::Features;
use super::ruler::scaled;
use crate::data::{Answers, CellsConfig, Dataset, PATCHES, Rows, Targets, Texture};
use crate::network::{computed, rows};
use crate::scores::{ObjectiveKind, Scores};

/// Projections of the loss that there are at each scale, and how many an update sees.
const BANK: usize = 256;
const SEEN: usize = 32;
/// Projections of the distance; of a batch while it trains.
const JUDGES: usize = 128;
const FEW_JUDGES: usize = 16;
/// Crops and shuffled images that the ends of the distance are means over.
const DRAWS: u64 = 16;
/// What the transport is multiplied by beside the overflow.
const WEIGHT: f64 = 10.0;
/// Beyond this magnitude a channel overflows.
const BOUND: f32 = 1.0;
/// Projections, crops and shuffled pixels do not depend on the experiment: distances of all runs are comparable.
const SEED: u64 = 20_210_507;

/// Measures how far a texture is from an image.
#[derive(Debug, Clone)]
pub struct Judge {
    transport: SlicedTransport,
    /// Of crops and of shuffled pixels, by all projections and by few.
    ends: [[f64; 2]; 2],
}

impl Judge {
    /// Of `image`, for lattices of so many lines and columns.
    pub fn new(image: &Pixels<f32>, size: [usize; 2]) -> Self {
        Self::of(image, size, PATCHES)
    }

    fn of(image: &Pixels<f32>, size: [usize; 2], patches: Patches) -> Self {
        let key = Key::new(SEED).branch("judge");
        let transport = SlicedTransport::new(image, patches, JUDGES, key);
        // Not the whole image, from which a crop of it would not differ; and a crop has edges, which a torus has not.
        let fits = |place: usize| size[place].min((image.size[place] * 3 / 4).max(patches.least()));
        let crop = [fits(0), fits(1)];
        let mut ends = [[0.0; 2]; 2];
        for draw in 0..DRAWS {
            let mut stream = key.branch("crops").number(draw).stream();
            let [top, left] = [0, 1].map(|place| stream.below(image.size[place] + 1 - crop[place]));
            let pixel = |y: usize, x: usize| &image.colors[(y * image.size[1] + x) * COLORS..][..COLORS];
            let cut = (0..crop[0]).flat_map(|y| (0..crop[1]).flat_map(move |x| pixel(top + y, left + x).to_vec()));
            let cut = Pixels { size: crop, colors: cut.collect() };
            let [height, width] = image.size;
            let any = |_| pixel(stream.below(height), stream.below(width)).to_vec();
            let shuffled = Pixels { size, colors: (0..size[0] * size[1]).flat_map(any).collect() };
            for (ends, count) in ends.iter_mut().zip([JUDGES, FEW_JUDGES]) {
                let share = 1.0 / DRAWS as f64;
                ends[0] += share * transport.cut_distance(&cut, 0..count);
                ends[1] += share * transport.distance(&shuffled, 0..count);
            }
        }
        Self { transport, ends }
    }

    /// 0: as near as another piece of the image; 1: as far as its pixels in no order.
    pub fn distance(&self, texture: &Pixels<f32>) -> f64 {
        self.by(texture, JUDGES, self.ends[0])
    }

    /// The same by few projections.
    fn glance(&self, texture: &Pixels<f32>) -> f64 {
        self.by(texture, FEW_JUDGES, self.ends[1])
    }

    fn by(&self, texture: &Pixels<f32>, count: usize, ends: [f64; 2]) -> f64 {
        scaled(self.transport.distance(texture, 0..count), ends)
    }
}

/// Grows a texture.
pub struct TextureObjective {
    cells: CellsConfig,
    loss: Arc<SlicedTransport>,
    features: Option<Features>,
    judge: Judge,
    guessing: f64,
}

impl TextureObjective {
    /// Of an image, with the lattices of its automaton.
    pub fn new(texture: &Texture) -> Self {
        let cells = texture.cells.clone().unwrap_or_default();
        let loss = SlicedTransport::new(&texture.image, PATCHES, BANK, Key::new(SEED).branch("loss"));
        let judge = Judge::new(&texture.image, [cells.size; 2]);
        let size = [cells.size; 2];
        let features = texture.filters.as_ref().map(|filters| Features::new(filters, &texture.image, size));
        let features = features.filter(|features| 0 < features.blocks());
        let mut own = Self { cells, loss: Arc::new(loss), features, guessing: WEIGHT * judge.ends[0][1], judge };
        if let Some(features) = &own.features {
            let disordered = rows::tensor(disordered(&texture.image, size), [size[0] * size[1], COLORS]);
            let distance = features.distance(0, &disordered.reshape([1, size[0], size[1], COLORS]));
            own.guessing = WEIGHT * f64::from(rows::values(distance)[0]);
        }
        own
    }

    /// The colors of each lattice.
    fn textures(&self, states: &[f32]) -> Vec<Pixels<f32>> {
        let area = self.cells.cells() * self.cells.channels;
        states.chunks_exact(area).map(|states| self.cells.colors([self.cells.size; 2], states)).collect()
    }

    /// How far the colors of all lattices are from the image by what filters see.
    fn seen(&self, features: &Features, update: usize, states: Tensor<2>) -> Tensor<1> {
        let (cells, [count, _]) = (&self.cells, states.dims());
        let colors = states.reshape([count, cells.size, cells.size, cells.channels]);
        let colors = colors.slice([0..count, 0..cells.size, 0..cells.size, 0..COLORS]) * cells.contrast + 0.5;
        features.distance(update as u64, &colors) * WEIGHT as f32
    }

    /// The loss of each lattice, averaged, and its slopes: of the overflow, and of the colors where no filters see them.
    fn slopes(&self, update: usize, states: &[f32]) -> (f64, Vec<f32>) {
        let cells = &self.cells;
        let area = cells.cells() * cells.channels;
        let (count, first) = (states.len() / area, update * SEEN % BANK);
        let (mut sum, mut slopes) = (0.0, vec![0.0; states.len()]);
        let share = 1.0 / count.max(1) as f64;
        for ((states, slopes), texture) in
            states.chunks_exact(area).zip(slopes.chunks_exact_mut(area)).zip(self.textures(states))
        {
            if self.features.is_none() {
                let (distance, by_color) = self.loss.gradient(&texture, first..first + SEEN);
                sum += share * WEIGHT * distance;
                let pull = (share * WEIGHT) as f32 * cells.contrast;
                for (cell, by_color) in slopes.chunks_exact_mut(cells.channels).zip(by_color.chunks_exact(COLORS)) {
                    cell.iter_mut().zip(by_color).for_each(|(slope, by_color)| *slope = pull * by_color);
                }
            }
            let of_cell = share / cells.cells() as f64;
            for (state, slope) in states.iter().zip(slopes) {
                let over = (state.abs() - BOUND).max(0.0);
                sum += of_cell * f64::from(over);
                *slope += if 0.0 < over { of_cell as f32 * state.signum() } else { 0.0 };
            }
        }
        (sum, slopes)
    }
}

impl Objective for TextureObjective {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Texture
    }

    fn loss(&self, outputs: Tensor<2>, targets: &Targets, device: &Device) -> Tensor<1> {
        self.loss_at(0, outputs, targets, device)
    }

    fn loss_at(&self, update: usize, outputs: Tensor<2>, _: &Targets, _: &Device) -> Tensor<1> {
        let (loss, slopes) = self.slopes(update, &rows::values(outputs.clone()));
        let seen = self.features.as_ref().map(|features| self.seen(features, update, outputs.clone()));
        let adjoint = move |cotangent: Vec<f32>| {
            let by = cotangent.first().copied().unwrap_or_default();
            slopes.iter().map(|slope| by * slope).collect()
        };
        let own = computed(outputs, (vec![loss as f32], [1, 1]), adjoint).reshape([1]);
        if let Some(seen) = seen { own + seen } else { own }
    }

    /// Of pixels with the right colors in no order.
    fn guessing(&self) -> f64 {
        self.guessing
    }

    fn batch_scores(&self, outputs: &Tensor<2>, _: &Targets) -> Scores {
        let textures = self.textures(&rows::values(outputs.clone()));
        mean(&textures.iter().map(|texture| self.judge.glance(texture)).collect::<Vec<_>>())
    }

    fn answers(&self, outputs: &Tensor<2>) -> Answers {
        let textures = self.textures(&rows::values(outputs.clone()));
        Answers::Values(textures.iter().map(|texture| self.judge.distance(texture)).collect())
    }

    fn scores(&self, answers: &Answers, _: &Targets) -> Scores {
        if let Answers::Values(distances) = answers { mean(distances) } else { mean(&[]) }
    }

    fn complaint(&self, answers: &Answers, rows: usize) -> Option<String> {
        let fit = matches!(answers, Answers::Values(values) if values.len() == rows && values.iter().all(|value| value.is_finite()));
        (!fit).then(|| format!("has answers that are not the distances of {rows} lattices"))
    }

    fn table(&self, rows: &Rows, answers: &Answers) -> Vec<Vec<String>> {
        let header = ["lattice", "distance"].map(str::to_owned).to_vec();
        let Answers::Values(distances) = answers else { return vec![header] };
        let rows =
            rows.numbers.iter().zip(distances).map(|(row, distance)| vec![row.to_string(), format!("{distance:.6}")]);
        std::iter::once(header).chain(rows).collect()
    }

    /// The distance of pixels with the right colors in no order.
    fn baseline(&self, _: &Dataset) -> Scores {
        mean(&[1.0])
    }
}

/// Colors of an image in no order.
fn disordered(image: &Pixels<f32>, size: [usize; 2]) -> Vec<f32> {
    let mut stream = Key::new(SEED).branch("disorder").stream();
    let any = |_| image.colors.chunks_exact(COLORS).nth(stream.below(image.colors.len() / COLORS)).unwrap_or_default();
    (0..size[0] * size[1]).flat_map(any).copied().collect()
}

fn mean(distances: &[f64]) -> Scores {
    Scores::new(ObjectiveKind::Texture, &[distances.iter().sum::<f64>() / distances.len() as f64])
}

#[cfg(test)]
mod tests {
    use super::super::features::drawn;
    use super::super::tests::refuses;
    use super::*;
    use crate::data::Filters;

    fn image(size: usize) -> Pixels<f32> {
        let colors = (0..size * size).flat_map(|cell| {
            let (y, x) = ((cell / size) as f32, (cell % size) as f32);
            [0.5 + 0.4 * (0.7 * x).sin(), 0.5 + 0.4 * (0.7 * (x + y)).cos(), 0.5]
        });
        Pixels { size: [size; 2], colors: colors.collect() }
    }

    fn objective(filters: Option<Filters>) -> TextureObjective {
        let cells = CellsConfig { size: 12, channels: 4, contrast: 0.8, ..CellsConfig::default() };
        TextureObjective::new(&Texture {
            image: image(32),
            cells: Some(cells),
            filters: filters.map(Arc::new),
            rule: None,
        })
    }

    #[test]
    fn its_gradient_is_the_slope_of_its_loss() {
        // Rectifiers and the order of projections change along the way; filters have many of them.
        for (filters, tolerance) in [(None, 2e-3), (Some(drawn()), 2e-2)] {
            slopes_are_right(&objective(filters), tolerance);
        }
    }

    fn slopes_are_right(objective: &TextureObjective, tolerance: f64) {
        let mut stream = Key::new(3).stream();
        let states: Vec<f32> = (0..2 * 12 * 12 * 4).map(|_| 0.7 * stream.normal()).collect();
        let leaf = Tensor::from_inner(rows::tensor(states.clone(), [2, 12 * 12 * 4])).require_grad();
        let loss = objective.loss_at(5, leaf.clone(), &Targets::default(), &rows::device());
        let slopes = rows::values(leaf.grad(&loss.backward()).unwrap());
        // A direction that leads nearly along the loss has the rounding of all others.
        let norm = slopes.iter().map(|slope| f64::from(slope * slope)).sum::<f64>().sqrt();
        // Along directions, so that rounding in single precision does not matter.
        for seed in 0..4 {
            let mut stream = Key::new(seed).branch("direction").stream();
            let direction: Vec<f32> = states.iter().map(|_| stream.normal()).collect();
            let at = |by: f32| {
                let moved: Vec<f32> = states.iter().zip(&direction).map(|(state, d)| state + by * d).collect();
                let moved = rows::tensor(moved, [2, 12 * 12 * 4]);
                f64::from(rows::values(objective.loss_at(5, moved, &Targets::default(), &rows::device()))[0])
            };
            let difference = (at(1e-3) - at(-1e-3)) / 2e-3;
            let along: f64 = slopes.iter().zip(&direction).map(|(a, b)| f64::from(a * b)).sum();
            assert!((along - difference).abs() < tolerance * difference.abs().max(norm), "{along}, not {difference}");
        }
        let at = |update: usize| {
            let states = rows::tensor(states.clone(), [2, 12 * 12 * 4]);
            rows::values(objective.loss_at(update, states, &Targets::default(), &rows::device()))
        };
        assert!(at(5) != at(6), "each update sees other projections");
    }

    #[test]
    fn the_image_itself_is_near_and_its_pixels_in_no_order_are_far() {
        let objective = objective(None);
        // 9 cells are a period of the image: 2π/0.7.
        let periodic = Judge::new(&image(64), [27, 27]);
        assert!(periodic.distance(&image(27)).abs() < 0.1, "{}", periodic.distance(&image(27)));
        let mut cells: Vec<Vec<f32>> = image(27).colors.chunks_exact(COLORS).map(<[f32]>::to_vec).collect();
        Key::new(4).stream().shuffle(&mut cells);
        let shuffled = Pixels { size: [27; 2], colors: cells.concat() };
        assert!((periodic.distance(&shuffled) - 1.0).abs() < 0.15, "{}", periodic.distance(&shuffled));
        // A crop of 12 × 12 holds less than half a wave of this image, and a flat image has no scale at all.
        let wide: Vec<f32> =
            (0..32 * 32).flat_map(|cell| [0.5 + 0.4 * (0.1 * (cell % 32) as f32).sin(); COLORS]).collect();
        let flat = Pixels { size: [32; 2], colors: vec![0.25; 32 * 32 * COLORS] };
        for image in [Pixels { size: [32; 2], colors: wide }, flat] {
            let gray = Pixels { size: [12; 2], colors: vec![0.5; 12 * 12 * COLORS] };
            let distance = Judge::new(&image, [12, 12]).distance(&gray);
            assert!((0.0..1e3).contains(&distance), "{distance}");
        }
        let gray = rows::tensor(vec![0.0; 12 * 12 * 4], [1, 12 * 12 * 4]);
        let answers = objective.answers(&gray);
        assert!(objective.scores(&answers, &Targets::default()).first() > 0.5);
        assert_eq!(objective.complaint(&answers, 1), None);
        refuses(&objective, &answers, 2, "2 lattices");
        refuses(&objective, &Answers::Values(vec![f64::NAN]), 1, "1 lattices");
    }
}
