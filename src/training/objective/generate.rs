//! Images like those of the data, made of latents: sliced optimal transport of their values and of fixed random features.
//!
//! ```text
//! loss = (1/v) D(x V, y V) + (1/u) D(φ(x) U, φ(y) U)        φ(x) = max(x W + b, 0)
//! ```
//!
//! x are the images that a batch of latents became, y as many of the data; V and U are random unit vectors, drawn anew for each update; v
//! and u are the mean variances of values and features over the data, so that both terms are of unit 1. Each column of W sees a patch of
//! 3 × 3 values, and sums to 0. Where the generator is told classes, the images of each class are carried to those of that class.
//!
//! The score is a distance (`ruler.rs`): 0 is another sample of the data, 1 images whose values are in no order. Its directions are always
//! the same, and the loss never sees them.

// Circle with training/objective.rs: the list of objectives names this one, which is one of them.

use burn::tensor::{Device, Tensor, TensorData, activation};
use sims::Key;

use super::Objective;
use super::ruler::{Ruler, direction, key, mean_variance, score, transport};
use crate::data::{Answers, Dataset, Pictures, Rows, Targets};
use crate::network::rows;
use crate::scores::{ObjectiveKind, Scores};

/// Directions of each update among values, and as many among features.
const SEEN: usize = 96;
/// Directions of the distance, of each kind.
const JUDGES: usize = 96;
/// Random features, and the side of the patch that each sees.
const FEATURES: usize = 256;
const PATCH: usize = 3;
/// Training rows that the ends of the distance are measured with, at most.
const MOST: usize = 2000;

/// Generates images.
pub struct Generate {
    told: bool,
    pixels: usize,
    /// `[pixels, features]` and `[1, features]`.
    features: [Vec<f32>; 2],
    /// What a direction among values counts, and one among features.
    shares: [f64; 2],
    /// `[pixels, judges]` and `[features, judges]`.
    judges: [Vec<f32>; 2],
    ruler: Ruler,
}

/// Random vectors side by side, `[height, count]`.
pub(super) fn directions(height: usize, count: usize, key: Key) -> Vec<f32> {
    let each: Vec<Vec<f32>> = (0..count).map(|one| direction(height, key.number(one as u64))).collect();
    (0..height).flat_map(|row| each.iter().map(move |one| one[row])).collect()
}

/// Random features of patches: `[pixels, features]`, `[1, features]`.
fn features([height, width]: [usize; 2], key: Key) -> [Vec<f32>; 2] {
    let (mut matrix, mut offset) = (vec![0.0; height * width * FEATURES], Vec::with_capacity(FEATURES));
    let side = [height.min(PATCH), width.min(if height == 1 { PATCH * PATCH } else { PATCH })];
    for feature in 0..FEATURES {
        let mut stream = key.number(feature as u64).stream();
        let [top, left] = [stream.below(height + 1 - side[0]), stream.below(width + 1 - side[1])];
        let area = side[0] * side[1];
        let drawn: Vec<f32> = (0..area).map(|_| stream.normal()).collect();
        let mean = drawn.iter().sum::<f32>() / area as f32;
        for (place, value) in drawn.iter().enumerate() {
            let pixel = (top + place / side[1]) * width + left + place % side[1];
            // A patch of one value has nothing that sums to 0.
            matrix[pixel * FEATURES + feature] = if area == 1 { *value } else { value - mean };
        }
        offset.push(0.2 * stream.normal());
    }
    [matrix, offset]
}

impl Generate {
    /// Of the images of some data.
    pub fn new(pictures: &Pictures, data: &Dataset) -> Self {
        let pixels = pictures.pixels();
        let features = features(pictures.size, key().branch("features"));
        let judges = [
            directions(pixels, JUDGES, key().branch("value judges")),
            directions(FEATURES, JUDGES, key().branch("feature judges")),
        ];
        let mut own = Self {
            told: 0 < pictures.latents.classes,
            pixels,
            features,
            shares: [1.0; 2],
            judges,
            ruler: Ruler::new(vec![], [vec![], vec![]]),
        };
        let images = own.images(&data.train.targets);
        let images = images[..images.len().min(MOST * pixels)].to_vec();
        let mut disordered = images.clone();
        let mut stream = key().branch("disorder").stream();
        disordered.chunks_exact_mut(pixels).for_each(|image| stream.shuffle(image));
        let [images, disordered] =
            [images, disordered].map(|images| rows::tensor(images.clone(), [images.len() / pixels, pixels]));
        let of_features = rows::values(own.seen(images.clone()));
        let share = |variance: f64| 1.0 / variance.max(1e-12);
        own.shares =
            [share(mean_variance(&rows::values(images.clone()), pixels)), share(mean_variance(&of_features, FEATURES))];
        let known = [images, disordered].map(|images| own.judged(images));
        own.ruler = Ruler::new(own.weights(JUDGES), known);
        own
    }

    /// What each column counts of so many directions of each kind.
    fn weights(&self, count: usize) -> Vec<f64> {
        self.shares.iter().flat_map(|share| vec![share / count as f64; count]).collect()
    }

    /// The images of targets.
    fn images(&self, targets: &Targets) -> Vec<f32> {
        targets.values().chunks_exact(self.pixels + 1).flat_map(|row| &row[..self.pixels]).copied().collect()
    }

    /// The classes of targets.
    fn classes(&self, targets: &Targets) -> Vec<u32> {
        targets.values().chunks_exact(self.pixels + 1).map(|row| row[self.pixels] as u32).collect()
    }

    /// Random features of images.
    fn seen(&self, images: Tensor<2>) -> Tensor<2> {
        let device = images.device();
        let of = |values: &[f32], height: usize| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [height, FEATURES]), &device)
        };
        activation::relu(images.matmul(of(&self.features[0], self.pixels)) + of(&self.features[1], 1))
    }

    /// Values and features of images along directions of each kind.
    fn projected(&self, images: Tensor<2>, directions: [&[f32]; 2]) -> Tensor<2> {
        let device = images.device();
        let features = self.seen(images.clone());
        let along = |values: Tensor<2>, directions: &[f32]| {
            let [_, height] = values.dims();
            let shape = [height, directions.len() / height];
            values.matmul(Tensor::from_data(TensorData::new(directions.to_vec(), shape), &device))
        };
        Tensor::cat(vec![along(images, directions[0]), along(features, directions[1])], 1)
    }

    fn judged(&self, images: Tensor<2>) -> Vec<f32> {
        rows::values(self.projected(images, [&self.judges[0], &self.judges[1]]))
    }

    /// Plain images as a tensor.
    fn tensor(&self, images: Vec<f32>) -> Tensor<2> {
        let count = images.len() / self.pixels;
        rows::tensor(images, [count, self.pixels])
    }
}

impl Objective for Generate {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Generate
    }

    fn loss(&self, outputs: Tensor<2>, targets: &Targets, device: &Device) -> Tensor<1> {
        self.loss_at(0, outputs, targets, device)
    }

    fn loss_at(&self, update: usize, outputs: Tensor<2>, targets: &Targets, _: &Device) -> Tensor<1> {
        let key = key().branch("loss").number(update as u64);
        let drawn =
            [directions(self.pixels, SEEN, key.branch("values")), directions(FEATURES, SEEN, key.branch("features"))];
        let wanted = self.projected(self.tensor(self.images(targets)), [&drawn[0], &drawn[1]]);
        let projected = self.projected(outputs, [&drawn[0], &drawn[1]]);
        let classes = self.classes(targets);
        let groups = self.told.then_some([&classes[..], &classes[..]]);
        transport(projected, &rows::values(wanted), &self.weights(SEEN), groups)
    }

    /// Of images whose values are in no order.
    fn guessing(&self) -> f64 {
        self.ruler.top()
    }

    fn batch_scores(&self, outputs: &Tensor<2>, targets: &Targets) -> Scores {
        let [made, wanted] = [outputs.clone(), self.tensor(self.images(targets))].map(|images| self.judged(images));
        score(self.kind(), self.ruler.distance(&made, &wanted))
    }

    fn answers(&self, outputs: &Tensor<2>) -> Answers {
        Answers::Values(rows::values(outputs.clone()).into_iter().map(f64::from).collect())
    }

    fn scores(&self, answers: &Answers, targets: &Targets) -> Scores {
        let Answers::Values(made) = answers else { return score(self.kind(), f64::NAN) };
        let made = self.judged(self.tensor(made.iter().map(|value| *value as f32).collect()));
        let wanted = self.judged(self.tensor(self.images(targets)));
        score(self.kind(), self.ruler.distance(&made, &wanted))
    }

    fn complaint(&self, answers: &Answers, rows: usize) -> Option<String> {
        let fit = matches!(answers, Answers::Values(values) if values.len() == rows * self.pixels && values.iter().all(|value| value.is_finite()));
        (!fit).then(|| format!("has answers that are not {rows} images of {} values", self.pixels))
    }

    fn table(&self, rows: &Rows, answers: &Answers) -> Vec<Vec<String>> {
        let values = (0..self.pixels).map(|pixel| format!("value_{pixel}"));
        let header: Vec<String> = std::iter::once("row".to_owned()).chain(values).collect();
        let Answers::Values(made) = answers else { return vec![header] };
        let rows = rows.numbers.iter().zip(made.chunks_exact(self.pixels)).map(|(row, image)| {
            std::iter::once(row.to_string()).chain(image.iter().map(|value| format!("{value:.4}"))).collect()
        });
        std::iter::once(header).chain(rows).collect()
    }

    /// The distance of images whose values are in no order.
    fn baseline(&self, _: &Dataset) -> Scores {
        score(self.kind(), 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::refuses;
    use super::*;
    use crate::data::{DataConfig, DigitsConfig};
    use crate::document::Document;

    /// Some digits, of whose class the generator is told or not.
    fn digits(told: bool) -> (Dataset, Generate) {
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        struct File {
            data: DataConfig,
        }
        let document = Document::parse("a.toml", "[data]\nsource = \"digits\"\ntrain = 400\n").unwrap();
        let config = document.check::<File>().unwrap().data;
        assert!(matches!(config, DataConfig::Digits(DigitsConfig { train: Some(400), .. })));
        let data = Dataset::load(&config, None, &document, Key::new(1)).unwrap().generated((4, told), Key::new(1));
        let crate::data::Meaning::Images(pictures) = &data.meaning else { panic!("images") };
        let objective = Generate::new(pictures, &data);
        (data, objective)
    }

    #[test]
    fn its_gradient_is_the_slope_of_its_loss() {
        for told in [false, true] {
            let (data, objective) = digits(told);
            let indices: Vec<usize> = (0..30).collect();
            let (_, targets) = data.batch(1, &indices);
            let mut stream = Key::new(3).stream();
            let images: Vec<f32> = (0..30 * 64).map(|_| 0.5 + 0.3 * stream.normal()).collect();
            let at = |images: Vec<f32>| {
                rows::values(objective.loss_at(7, rows::tensor(images, [30, 64]), &targets, &rows::device()))[0]
            };
            let leaf = Tensor::from_inner(rows::tensor(images.clone(), [30, 64])).require_grad();
            let loss = objective.loss_at(7, leaf.clone(), &targets, &rows::device());
            let slopes = rows::values(leaf.grad(&loss.backward()).unwrap());
            // Along the gradient, so that rounding in single precision does not matter.
            let square: f32 = slopes.iter().map(|slope| slope * slope).sum();
            let step = 1e-3 / square.sqrt();
            let moved = |by: f32| images.iter().zip(&slopes).map(|(image, slope)| image + by * slope).collect();
            let difference = (at(moved(step)) - at(moved(-step))) / (2.0 * step);
            assert!((difference / square - 1.0).abs() < 0.02, "{difference}, not {square}");
            assert!(
                at(images.clone())
                    != rows::values(objective.loss_at(8, rows::tensor(images, [30, 64]), &targets, &rows::device()))[0]
            );
        }
    }

    #[test]
    fn held_out_images_are_near_and_values_in_no_order_are_far() {
        let (data, objective) = digits(false);
        let wanted = &data.test.targets;
        let of = |images: Vec<f32>| {
            let answers = Answers::Values(images.into_iter().map(f64::from).collect());
            objective.scores(&answers, wanted).first()
        };
        let near = of(objective.images(&data.train.targets));
        assert!(near.abs() < 0.05, "{near}");
        let mut shuffled = objective.images(&data.train.targets);
        let mut stream = Key::new(9).stream();
        shuffled.chunks_exact_mut(64).for_each(|image| stream.shuffle(image));
        let far = of(shuffled);
        assert!((far - 1.0).abs() < 0.1, "{far}");
        let mean = of(vec![0.3; 64 * 400]);
        assert!(0.3 < mean, "{mean}");
        assert_eq!(objective.complaint(&Answers::Values(vec![0.5; 128]), 2), None);
        refuses(&objective, &Answers::Values(vec![0.5; 128]), 3, "3 images of 64 values");
        refuses(&objective, &Answers::Classes(vec![1]), 1, "1 images of 64 values");
    }

    #[test]
    fn a_generator_that_is_told_classes_is_judged_class_by_class() {
        let (data, told) = digits(true);
        let indices: Vec<usize> = (0..60).collect();
        let (values, targets) = data.batch(2, &indices);
        assert_eq!(values.len(), 60 * 14);
        assert_eq!((&values, &targets), (&data.batch(2, &indices).0, &data.batch(2, &indices).1));
        assert_ne!(values, data.batch(3, &indices).0);
        // Images of the right classes in the wrong places cost, however good they are.
        let images = told.images(&targets);
        let loss = |images: Vec<f32>| rows::values(told.loss(told.tensor(images), &targets, &rows::device()))[0];
        assert!(loss(images.clone()) < 1e-9);
        let turned = [&images[64..], &images[..64]].concat();
        assert!(0.02 < loss(turned.clone()), "{}", loss(turned));
    }
}
