//! Sequences like those of the data, by moving a generator that stays as it is: sliced optimal transport of windows.
//!
//! ```text
//! loss = Σ over kinds k of (1/v_k) D(X V_k, Y V_k) − λ mean cos(noise, what was told of it)
//! ```
//!
//! X are the sequences of a batch, all frames of each side by side, and Y as many of the data. Each column of V is a random vector of length
//! 1, drawn anew for each update, on one of: a window of frames; the differences between neighboring frames of a window; those of the whole
//! sequence; the first frame and another one, which keeps what a sequence shows. v is the mean variance of such projections over the data.
//! In place of transport, two critics may say what is not like the data (`critics.rs`).
//!
//! The score is a distance (`ruler.rs`): 0 is another sample of the data, 1 sequences whose frames are in no order.

// Circle with training/objective.rs: the list of objectives names this one, which is one of them.

use burn::tensor::{Device, Tensor, TensorData};
use sims::Key;

use super::Objective;
use super::critics::Critics;
use super::ruler::{Ruler, direction, key, mean_variance, score, transport};
use crate::data::{Answers, Dataset, Movement, Rows, Targets};
use crate::network::{NamedTensor, rows};
use crate::scores::{ObjectiveKind, Scores};

/// Directions of each kind in an update.
const SEEN: usize = 32;
/// Directions of each kind that the distance goes by.
const JUDGES: usize = 24;
/// Frames of a window.
const WINDOW: usize = 4;
/// Training rows that variances and the ends of the distance are measured with, at most.
const MOST: usize = 1000;

/// What a direction looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Some frames.
    Window,
    /// The differences between some frames.
    Differences,
    /// The differences between all frames.
    Whole,
    /// The first frame and another one.
    Pair,
}

impl Look {
    const ALL: [Self; 4] = [Self::Window, Self::Differences, Self::Whole, Self::Pair];

    /// A direction among sequences of so many frames and values in each.
    fn draw(self, [frames, pixels]: [usize; 2], key: Key) -> Vec<f32> {
        let mut along = vec![0.0; frames * pixels];
        let mut stream = key.branch("place").stream();
        let mut put = |frame: usize, part: &[f32], sign: f32| {
            along[frame * pixels..][..pixels].iter_mut().zip(part).for_each(|(sum, value)| *sum += sign * value);
        };
        match self {
            Self::Window => {
                let window = WINDOW.min(frames);
                let first = stream.below(frames + 1 - window);
                let parts = direction(window * pixels, key);
                parts.chunks_exact(pixels).enumerate().for_each(|(frame, part)| put(first + frame, part, 1.0));
            }
            Self::Differences | Self::Whole => {
                let window = if self == Self::Whole { frames } else { WINDOW.min(frames) };
                let first = stream.below(frames + 1 - window);
                let parts = direction((window - 1) * pixels, key);
                for (frame, part) in parts.chunks_exact(pixels).enumerate() {
                    put(first + frame, part, -1.0);
                    put(first + frame + 1, part, 1.0);
                }
            }
            Self::Pair => {
                let parts = direction(2 * pixels, key);
                let other = 1 + stream.below(frames - 1);
                put(0, &parts[..pixels], 1.0);
                put(other, &parts[pixels..], 1.0);
            }
        }
        along
    }
}

/// Moves a generator.
pub struct Move {
    frames: usize,
    pixels: usize,
    /// What it counts that the noise can be told.
    told: f32,
    /// What a direction of each kind counts.
    shares: [f64; 4],
    /// `[values of a sequence, judges]`.
    judges: Vec<f32>,
    ruler: Ruler,
    /// What it is learned by, if it is not transport.
    critics: Option<Critics>,
}

/// As many directions of each kind side by side: `[values of a sequence, directions]`.
fn directions(size: [usize; 2], count: usize, key: Key) -> Vec<f32> {
    let of = |(number, look): (usize, Look)| {
        let key = key.number(number as u64);
        (0..count).map(move |one| look.draw(size, key.number(one as u64)))
    };
    let each: Vec<Vec<f32>> = Look::ALL.into_iter().enumerate().flat_map(of).collect();
    (0..size[0] * size[1]).flat_map(|row| each.iter().map(move |one| one[row])).collect()
}

impl Move {
    /// Of the sequences of some data.
    pub fn new(movement: &Movement, data: &Dataset) -> Self {
        let (frames, pixels) = (movement.frames, movement.pixels());
        let (size, width) = ([frames, pixels], frames * pixels);
        let known = data.train.targets.values();
        let known = &known[..known.len().min(MOST * width)];
        let mut stream = key().branch("disorder").stream();
        let disordered: Vec<f32> = known
            .chunks_exact(width)
            .flat_map(|sequence| {
                let mut order: Vec<usize> = (0..frames).collect();
                stream.shuffle(&mut order);
                order.into_iter().flat_map(|frame| sequence[frame * pixels..][..pixels].to_vec()).collect::<Vec<_>>()
            })
            .collect();
        let judges = directions(size, JUDGES, key().branch("judges"));
        let mut own = Self {
            frames,
            pixels,
            told: movement.mutual_information,
            shares: [1.0; 4],
            judges,
            ruler: Ruler::new(vec![], [vec![], vec![]]),
            critics: movement.critics.as_ref().map(|config| Critics::new(config, size, known)),
        };
        let projected = own.judged(known);
        let columns = Look::ALL.len() * JUDGES;
        own.shares = std::array::from_fn(|kind| {
            let of_kind = |row: &[f32]| row[kind * JUDGES..][..JUDGES].to_vec();
            let of_kind: Vec<f32> = projected.chunks_exact(columns).flat_map(of_kind).collect();
            1.0 / mean_variance(&of_kind, JUDGES).max(1e-12)
        });
        own.ruler = Ruler::new(own.weights(JUDGES), [projected, own.judged(&disordered)]);
        own
    }

    /// Values of a sequence.
    fn width(&self) -> usize {
        self.frames * self.pixels
    }

    fn weights(&self, count: usize) -> Vec<f64> {
        self.shares.iter().flat_map(|share| vec![share / count as f64; count]).collect()
    }

    /// Plain sequences along the directions of the distance.
    fn judged(&self, sequences: &[f32]) -> Vec<f32> {
        let width = self.width();
        let sequences = rows::tensor(sequences.to_vec(), [sequences.len() / width, width]);
        rows::values(sequences.matmul(rows::tensor(self.judges.clone(), [width, self.judges.len() / width])))
    }

    /// How far frames `[sequences, frames · values]` are from the sequences of a batch, by the directions of an update.
    fn transported(&self, update: usize, frames: Tensor<2>, targets: &Targets) -> Tensor<1> {
        let key = key().branch("loss").number(update as u64);
        let drawn = directions([self.frames, self.pixels], SEEN, key);
        let (width, columns) = (self.width(), Look::ALL.len() * SEEN);
        let wanted = rows::tensor(targets.values().to_vec(), [targets.len(), width]);
        let wanted = rows::values(wanted.matmul(rows::tensor(drawn.clone(), [width, columns])));
        let drawn = Tensor::from_data(TensorData::new(drawn, [width, columns]), &frames.device());
        transport(frames.matmul(drawn), &wanted, &self.weights(SEEN), None)
    }

    /// The frames of outputs, and how well the noise of each was told.
    fn parts(&self, outputs: &Tensor<2>) -> (Vec<f32>, Vec<f32>) {
        let outputs = rows::values(outputs.clone());
        let rows = outputs.chunks_exact(self.width() + 1);
        let told = rows.clone().map(|row| row[self.width()]).collect();
        (rows.flat_map(|row| &row[..self.width()]).copied().collect(), told)
    }
}

impl Objective for Move {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Motion
    }

    fn loss(&self, outputs: Tensor<2>, targets: &Targets, device: &Device) -> Tensor<1> {
        self.loss_at(0, outputs, targets, device)
    }

    fn loss_at(&self, update: usize, outputs: Tensor<2>, targets: &Targets, _: &Device) -> Tensor<1> {
        let width = self.width();
        let frames = outputs.clone().narrow(1, 0, width);
        let apart = match &self.critics {
            Some(critics) => critics.loss(update, frames, targets.values()),
            None => self.transported(update, frames, targets),
        };
        if self.told == 0.0 {
            return apart;
        }
        apart - outputs.narrow(1, width, 1).mean().mul_scalar(self.told)
    }

    fn learn(&mut self, update: usize, outputs: &Tensor<2>, targets: &Targets) {
        let frames = self.critics.is_some().then(|| self.parts(outputs).0);
        if let Some((critics, frames)) = self.critics.as_mut().zip(frames) {
            critics.learn(update, &frames, targets.values());
        }
    }

    fn remembered(&self) -> Vec<NamedTensor> {
        self.critics.as_ref().map(Critics::remembered).unwrap_or_default()
    }

    fn recall(&mut self, tensors: &[NamedTensor]) -> Result<(), String> {
        self.critics.as_mut().map_or(Ok(()), |critics| critics.recall(tensors))
    }

    /// Of sequences whose frames are in no order. A loss by critics that learn says nothing of how much was learned.
    fn guessing(&self) -> f64 {
        if self.critics.is_some() { f64::INFINITY } else { self.ruler.top() }
    }

    fn batch_scores(&self, outputs: &Tensor<2>, targets: &Targets) -> Scores {
        let made = self.judged(&self.parts(outputs).0);
        score(self.kind(), self.ruler.distance(&made, &self.judged(targets.values())))
    }

    /// Of each sequence how well its noise was told, and where it is along the directions of the distance.
    fn answers(&self, outputs: &Tensor<2>) -> Answers {
        let (frames, told) = self.parts(outputs);
        let along = self.judged(&frames);
        let rows = told.into_iter().zip(along.chunks_exact(self.ruler.width()));
        Answers::Values(
            rows.flat_map(|(told, along)| std::iter::once(told).chain(along.iter().copied())).map(f64::from).collect(),
        )
    }

    fn scores(&self, answers: &Answers, targets: &Targets) -> Scores {
        let Answers::Values(values) = answers else { return score(self.kind(), f64::NAN) };
        let along = values.chunks_exact(self.ruler.width() + 1).flat_map(|row| &row[1..]);
        let along: Vec<f32> = along.map(|value| *value as f32).collect();
        score(self.kind(), self.ruler.distance(&along, &self.judged(targets.values())))
    }

    fn complaint(&self, answers: &Answers, rows: usize) -> Option<String> {
        let width = self.ruler.width() + 1;
        let fit = matches!(answers, Answers::Values(values) if values.len() == rows * width && values.iter().all(|value| value.is_finite()));
        (!fit).then(|| format!("has answers that are not those of {rows} sequences"))
    }

    fn table(&self, rows: &Rows, answers: &Answers) -> Vec<Vec<String>> {
        let header = ["sequence", "told"].map(str::to_owned).to_vec();
        let Answers::Values(values) = answers else { return vec![header] };
        let rows = rows.numbers.iter().zip(values.chunks_exact(self.ruler.width() + 1));
        let rows = rows.map(|(row, values)| vec![row.to_string(), format!("{:.6}", values[0])]);
        std::iter::once(header).chain(rows).collect()
    }

    /// The distance of sequences whose frames are in no order.
    fn baseline(&self, _: &Dataset) -> Scores {
        score(self.kind(), 1.0)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::super::tests::refuses;
    use super::*;
    use crate::data::{GeneratorFacts, Latents, Meaning, MotionConfig};
    use crate::document::Document;

    /// Sequences of two values on circles, written as a trace and cut into windows of 6 frames.
    fn circles() -> (Dataset, Move) {
        let folder = tempfile::tempdir().unwrap();
        let mut text = "x,y\n".to_owned();
        for frame in 0..400 {
            let angle = 0.4 * frame as f32;
            writeln!(text, "{},{}", angle.cos(), angle.sin()).unwrap();
        }
        let file = folder.path().join("trace.csv");
        std::fs::write(&file, text).unwrap();
        let document = Document::parse("a.toml", "").unwrap();
        let trace = crate::data::TraceConfig { file, columns: vec![], sequence: None };
        let data = Dataset::load(&crate::data::DataConfig::Trace(trace), None, &document, Key::new(1)).unwrap();
        let config = MotionConfig { frames: 6, noise: 2, ..MotionConfig::default() };
        let latents = Latents { latent: 3, classes: 0 };
        let facts = GeneratorFacts { name: "a generator".to_owned(), latents, words: vec![], check: 1 };
        let data = data.with_motion(Some((&config, &facts)), &document, Key::new(1)).unwrap();
        let Meaning::Motion(movement) = &data.meaning else { panic!("sequences") };
        let objective = Move::new(movement, &data);
        (data, objective)
    }

    #[test]
    fn windows_share_no_frame_between_training_and_test() {
        let (data, _) = circles();
        assert_eq!((data.train.len(), data.validation.len(), data.test.len()), (315, 0, 75));
        assert_eq!((data.width, data.train.values.len()), (3 + 5 * 2, 315 * 13));
        let of = |rows: &Rows, row: usize| rows.targets.values()[row * 12..][..12].to_vec();
        assert!((of(&data.test, 0)[0] - (0.4 * 320.0_f32).cos()).abs() < 1e-4);
        assert!((of(&data.train, 314)[10] - (0.4 * 319.0_f32).cos()).abs() < 1e-4);
        assert_ne!(data.batch(1, &[0, 1]).0, data.batch(2, &[0, 1]).0);
        assert_eq!(data.batch(1, &[0, 1]).1, data.batch(2, &[0, 1]).1);
    }

    #[test]
    fn its_gradient_is_the_slope_of_its_loss() {
        let (data, objective) = circles();
        let targets = data.batch(1, &(0..20).collect::<Vec<_>>()).1;
        let mut stream = Key::new(3).stream();
        let outputs: Vec<f32> = (0..20 * 13).map(|_| 0.7 * stream.normal()).collect();
        let at = |outputs: Vec<f32>| {
            rows::values(objective.loss_at(4, rows::tensor(outputs, [20, 13]), &targets, &rows::device()))[0]
        };
        let leaf = Tensor::from_inner(rows::tensor(outputs.clone(), [20, 13])).require_grad();
        let loss = objective.loss_at(4, leaf.clone(), &targets, &rows::device());
        let slopes = rows::values(leaf.grad(&loss.backward()).unwrap());
        assert!((slopes[12] + 0.5 / 20.0).abs() < 1e-6, "telling the noise pays: {}", slopes[12]);
        let square: f32 = slopes.iter().map(|slope| slope * slope).sum();
        let step = 1e-3 / square.sqrt();
        let moved = |by: f32| outputs.iter().zip(&slopes).map(|(output, slope)| output + by * slope).collect();
        let difference = (at(moved(step)) - at(moved(-step))) / (2.0 * step);
        assert!((difference / square - 1.0).abs() < 0.02, "{difference}, not {square}");
    }

    #[test]
    fn other_windows_are_near_still_and_shuffled_frames_are_far() {
        let (data, objective) = circles();
        let of = |make: &dyn Fn(&[f32]) -> Vec<f32>| {
            let rows = data.train.targets.values().chunks_exact(12).flat_map(|row| [make(row), vec![0.25]].concat());
            let outputs = rows::tensor(rows.collect(), [data.train.len(), 13]);
            let answers = objective.answers(&outputs);
            assert_eq!(objective.complaint(&answers, data.train.len()), None);
            assert_eq!(objective.table(&data.train, &answers)[1], ["0", "0.250000"]);
            objective.scores(&answers, &data.test.targets).first()
        };
        let near = of(&|row| row.to_vec());
        assert!(near.abs() < 0.02, "{near}");
        let still = of(&|row| row[..2].repeat(6));
        assert!(0.2 < still, "{still}");
        let turned = of(&|row| [4, 0, 10, 2, 8, 6].iter().flat_map(|at| row[*at..*at + 2].to_vec()).collect());
        assert!(0.5 < turned, "{turned}");
        refuses(&objective, &Answers::Values(vec![0.5; 3]), 1, "1 sequences");
    }

    #[test]
    fn each_direction_has_length_one_among_what_it_looks_at() {
        for look in Look::ALL {
            let along = look.draw([5, 3], Key::new(2));
            let square: f32 = along.iter().map(|value| value * value).sum();
            match look {
                Look::Window | Look::Pair => assert!((square - 1.0).abs() < 1e-5),
                // Summed over frames the differences of a still sequence are none.
                Look::Differences | Look::Whole => {
                    for pixel in 0..3 {
                        let sum: f32 = along.iter().skip(pixel).step_by(3).sum();
                        assert!(sum.abs() < 1e-5);
                    }
                }
            }
        }
    }
}
