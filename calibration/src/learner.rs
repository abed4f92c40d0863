//! A network in training: the value and the gradient of the mean square on a batch, and Adam with decoupled weight decay
//! (Loshchilov and Hutter, ICLR 2019).
//!
//! The network is that of [`crate::network`], and the adjoint is written as it is there: an update of a few thousand weights takes
//! a fifth of a millisecond, most of it in three matrix products a layer. Shapes: features `[features, shots]`, targets `[outputs, shots]`.

use drivers::Batch;
use nalgebra::DMatrix;
use sims::{Key, Stream};

use crate::network::{Part, PlainLayer, activation, slope};
use crate::trace::pick;

/// Examples in each update.
const BATCH: usize = 128;
/// Examples that are scored together.
const SCORED: usize = 512;
/// Adam's decay of its two means, and what keeps its step finite.
const BETAS: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// The two parameters of a layer, and the matrices of a parameter, by name.
const PARAMETERS: [&str; 2] = ["weights", "bias"];
const KINDS: [&str; 3] = ["values", "mean", "square"];

/// Normalized features and targets, one example a row.
#[derive(Debug, Clone)]
pub(crate) struct Examples {
    pub features: Batch,
    pub targets: Batch,
}

impl Examples {
    /// At most `count` of them, evenly spread.
    pub fn thinned(&self, count: usize) -> Self {
        let rows = self.features.rows();
        let chosen: Vec<usize> = (0..count.min(rows)).map(|index| index * rows / count.min(rows)).collect();
        Self { features: pick(&self.features, &chosen), targets: pick(&self.targets, &chosen) }
    }
}

/// An architecture and how to train it.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Adam's step size at the start.
    pub learning_rate: f64,
    /// The share of each weight that an update takes away, over the step size.
    pub decay: f64,
}

/// A matrix with Adam's running means of its gradient and of that squared.
#[derive(Debug, Clone)]
struct Parameter {
    values: DMatrix<f32>,
    mean: DMatrix<f32>,
    square: DMatrix<f32>,
}

impl Parameter {
    fn new(values: DMatrix<f32>) -> Self {
        let zeros = DMatrix::zeros(values.nrows(), values.ncols());
        Self { values, mean: zeros.clone(), square: zeros }
    }

    /// One step of Adam; `corrections` undo the means' start at zero, `kept` is what weight decay leaves.
    fn step(&mut self, gradient: &DMatrix<f32>, rate: f32, corrections: [f32; 2], kept: f32) {
        let values = self.values.as_mut_slice().iter_mut().zip(gradient.as_slice());
        for ((value, gradient), (mean, square)) in
            values.zip(self.mean.as_mut_slice().iter_mut().zip(self.square.as_mut_slice()))
        {
            *mean += (1.0 - BETAS[0]) * (gradient - *mean);
            *square += (1.0 - BETAS[1]) * (gradient * gradient - *square);
            let step = *mean * corrections[0] / ((*square * corrections[1]).sqrt() + EPSILON);
            *value = kept * *value - rate * step;
        }
    }
}

/// A network in training.
#[derive(Debug, Clone)]
pub(crate) struct Learner {
    /// Weights `[outputs, inputs]` and bias `[outputs, 1]` of each layer.
    layers: Vec<[Parameter; 2]>,
    /// The decay of the weights, per update and step size.
    decay: f64,
    updates: i32,
    /// The order of the examples in this pass, and where in it the next batch begins.
    order: Vec<usize>,
    next: usize,
    stream: Stream,
}

impl Learner {
    /// Weights after He et al. (2015). Each unit of the first layer bends at one of the examples, so that bends lie where shots are,
    /// also where there is only one feature. The last layer starts at zero: nothing is claimed until something is learned.
    pub fn new(architecture: &Architecture, examples: &Examples, key: Key) -> Self {
        let mut stream = key.stream();
        let mut sizes = vec![examples.features.columns()];
        sizes.extend(&architecture.hidden);
        sizes.push(examples.targets.columns());
        let last = sizes.len() - 2;
        let mut layers = Vec::new();
        for (index, pair) in sizes.windows(2).enumerate() {
            let deviation = if index == last { 0.0 } else { (2.0 / pair[0].max(1) as f32).sqrt() };
            let weights = DMatrix::from_fn(pair[1], pair[0], |_, _| deviation * stream.normal());
            let mut bias = DMatrix::zeros(pair[1], 1);
            if index == 0 && index != last {
                for unit in 0..pair[1] {
                    let example = examples.features.row(stream.below(examples.features.rows().max(1)));
                    bias[unit] =
                        -weights.row(unit).iter().zip(example).map(|(weight, value)| weight * value).sum::<f32>();
                }
            }
            layers.push([Parameter::new(weights), Parameter::new(bias)]);
        }
        Self { layers, decay: architecture.decay, updates: 0, order: vec![], next: 0, stream }
    }

    /// The rows of the next batch; after a pass they are put into a new order.
    fn batch(&mut self, rows: usize) -> Vec<usize> {
        if self.order.len() != rows || self.next + BATCH.min(rows) > rows {
            self.order = (0..rows).collect();
            self.stream.shuffle(&mut self.order);
            self.next = 0;
        }
        let end = (self.next + BATCH).min(rows);
        let batch = self.order[self.next..end].to_vec();
        self.next = end;
        batch
    }

    /// The sums of every layer, the output last, and what each layer took.
    fn forward(&self, features: DMatrix<f32>) -> (Vec<DMatrix<f32>>, Vec<DMatrix<f32>>) {
        let (mut sums, mut taken) = (Vec::with_capacity(self.layers.len()), vec![features]);
        for (index, [weights, bias]) in self.layers.iter().enumerate() {
            let before = &taken[index];
            let mut next = DMatrix::from_fn(bias.values.nrows(), before.ncols(), |row, _| bias.values[row]);
            next.gemm(1.0, &weights.values, before, 1.0);
            if index + 1 < self.layers.len() {
                taken.push(next.map(activation));
            }
            sums.push(next);
        }
        (sums, taken)
    }

    /// One update on the next batch.
    pub fn update(&mut self, examples: &Examples, rate: f64) {
        let rows = self.batch(examples.features.rows());
        self.step([columns(&pick(&examples.features, &rows)), columns(&pick(&examples.targets, &rows))], rate);
    }

    /// One update on all of them.
    pub fn update_all(&mut self, examples: &Examples, rate: f64) {
        self.step([columns(&examples.features), columns(&examples.targets)], rate);
    }

    fn step(&mut self, [features, targets]: [DMatrix<f32>; 2], rate: f64) {
        let (mut sums, taken) = self.forward(features);
        let Some(mut back) = sums.pop() else { return };
        back -= targets;
        back *= 2.0 / back.len().max(1) as f32;
        self.updates += 1;
        let corrections = BETAS.map(|beta| 1.0 / (1.0 - beta.powi(self.updates)));
        let kept = (1.0 - rate * self.decay) as f32;
        for (index, [weights, bias]) in self.layers.iter_mut().enumerate().rev() {
            let mut of_weights = DMatrix::zeros(weights.values.nrows(), weights.values.ncols());
            of_weights.gemm(1.0, &back, &taken[index].transpose(), 0.0);
            let of_bias = DMatrix::from_column_slice(back.nrows(), 1, back.column_sum().as_slice());
            if let Some(sums) = index.checked_sub(1).map(|before| &sums[before]) {
                let mut next = DMatrix::zeros(sums.nrows(), sums.ncols());
                next.gemm(1.0, &weights.values.transpose(), &back, 0.0);
                next.zip_apply(sums, |gradient, sum| *gradient *= slope(sum));
                back = next;
            }
            weights.step(&of_weights, rate as f32, corrections, kept);
            bias.step(&of_bias, rate as f32, corrections, 1.0);
        }
    }

    /// The squared errors of the examples, `[examples, outputs]`.
    pub fn missed(&self, examples: &Examples) -> Batch {
        let mut missed = examples.targets.clone();
        let width = missed.columns();
        let rows: Vec<usize> = (0..examples.features.rows()).collect();
        for part in rows.chunks(SCORED) {
            let (mut sums, _) = self.forward(columns(&pick(&examples.features, part)));
            let Some(predicted) = sums.pop() else { continue };
            let values = &mut missed.values_mut()[part[0] * width..(part[0] + part.len()) * width];
            values
                .iter_mut()
                .zip(predicted.as_slice())
                .for_each(|(value, predicted)| *value = (*value - predicted).powi(2));
        }
        missed
    }

    /// Mean square error over the mean square of the targets.
    pub fn score(&self, examples: &Examples) -> f64 {
        let sum = |values: &mut dyn Iterator<Item = f32>| values.map(f64::from).sum::<f64>();
        let missed = sum(&mut self.missed(examples).values().iter().copied());
        missed / sum(&mut examples.targets.values().iter().map(|value| value * value)).max(f64::MIN_POSITIVE)
    }

    /// Weights and Adam's means of them, and how many updates there were: what decides how [`Learner::update_all`] goes on.
    pub fn parts(&self) -> Vec<Part> {
        let updates = self.updates as u32;
        // Single precision holds whole numbers up to 2^24.
        let halves = vec![(updates >> 16) as f32, (updates & 0xffff) as f32];
        let mut parts = vec![("updates".to_owned(), [1, 2], halves)];
        for (index, layer) in self.layers.iter().enumerate() {
            for (parameter, name) in layer.iter().zip(PARAMETERS) {
                let Parameter { values, mean, square } = parameter;
                for (matrix, kind) in [values, mean, square].into_iter().zip(KINDS) {
                    let shape = [matrix.nrows(), matrix.ncols()];
                    parts.push((format!("layers.{index}.{name}.{kind}"), shape, matrix.transpose().as_slice().to_vec()));
                }
            }
        }
        parts
    }

    /// One of two layers that goes on from its parts; the rest of a sentence says what cannot be.
    pub fn from_parts(parts: &[Part], [inputs, outputs]: [usize; 2]) -> Result<Self, String> {
        let matrix = |name: String| {
            let found = parts.iter().find(|(own, ..)| *own == name);
            let (_, [rows, columns], values) =
                found.ok_or_else(|| format!("has no `{name}` of a residual network"))?;
            if rows * columns != values.len() {
                return Err(format!("has `{name}` of a residual network with {} numbers", values.len()));
            }
            Ok(DMatrix::from_row_slice(*rows, *columns, values))
        };
        let parameter = |index: usize, name: &str| {
            let [values, mean, square] = KINDS.map(|kind| matrix(format!("layers.{index}.{name}.{kind}")));
            Ok::<Parameter, String>(Parameter { values: values?, mean: mean?, square: square? })
        };
        let layer = |index: usize| Ok::<_, String>([parameter(index, PARAMETERS[0])?, parameter(index, PARAMETERS[1])?]);
        let layers = vec![layer(0)?, layer(1)?];
        let hidden = layers[0][0].values.nrows();
        let shapes = [(hidden, inputs), (hidden, 1), (outputs, hidden), (outputs, 1)];
        let fits = layers.iter().flatten().zip(shapes).all(|(parameter, shape)| {
            [&parameter.values, &parameter.mean, &parameter.square].iter().all(|matrix| matrix.shape() == shape)
        });
        let updates = matrix("updates".to_owned())?;
        let [high, low] = updates.as_slice() else { return Err("has `updates` that are not two numbers".to_owned()) };
        let is_count = |number: f32| number.fract() == 0.0 && (0.0..65536.0).contains(&number);
        if !fits || hidden == 0 || !is_count(*high) || !is_count(*low) || 32767.0 < *high {
            return Err("has a residual network whose layers do not chain".to_owned());
        }
        let updates = ((*high as i32) << 16) + *low as i32;
        Ok(Self { layers, decay: 0.0, updates, order: vec![], next: 0, stream: Key::new(0).stream() })
    }

    /// The weights as plain numbers.
    pub fn plain(&self) -> Vec<PlainLayer> {
        let plain = |[weights, bias]: &[Parameter; 2]| PlainLayer {
            outputs: weights.values.nrows(),
            inputs: weights.values.ncols(),
            weights: weights.values.transpose().as_slice().to_vec(),
            bias: bias.values.as_slice().to_vec(),
        };
        self.layers.iter().map(plain).collect()
    }
}

/// The rows of a batch as the columns of a matrix.
fn columns(batch: &Batch) -> DMatrix<f32> {
    DMatrix::from_column_slice(batch.columns(), batch.rows(), batch.values())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Examples {
        let mut stream = Key::new(4).stream();
        let features = Batch::from_fn(40, 3, |_, _| stream.normal());
        let targets = Batch::from_fn(40, 2, |row, port| features.row(row)[port] * features.row(row)[2]);
        Examples { features, targets }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_mean_square() {
        let examples = examples();
        let architecture = Architecture { hidden: vec![5, 4], learning_rate: 0.0, decay: 0.0 };
        let mut learner = Learner::new(&architecture, &examples, Key::new(1));
        let mut stream = Key::new(2).stream();
        for parameter in learner.layers.iter_mut().flatten() {
            parameter.values.apply(|value| *value += 0.3 * stream.normal());
        }
        let loss = |learner: &Learner| {
            let missed = learner.missed(&examples);
            missed.values().iter().map(|value| f64::from(*value)).sum::<f64>() / missed.values().len() as f64
        };
        // After one step at rate 0 Adam's mean is a tenth of the gradient, of all 40 examples at once.
        let mut stepped = learner.clone();
        stepped.update(&examples, 0.0);
        for (layer, part) in (0..3).flat_map(|layer| [(layer, 0), (layer, 1)]) {
            for place in 0..learner.layers[layer][part].values.len() {
                let gradient = f64::from(stepped.layers[layer][part].mean[place]) / f64::from(1.0 - BETAS[0]);
                let at = |change: f32| {
                    let mut moved = learner.clone();
                    moved.layers[layer][part].values[place] += change;
                    loss(&moved)
                };
                let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
                assert!(
                    (gradient - slope).abs() < 2e-3 * slope.abs().max(0.1),
                    "layer {layer}: {gradient} for {slope}"
                );
            }
        }
    }

    #[test]
    fn a_decaying_weight_shrinks_and_a_bias_does_not() {
        let examples = Examples { features: Batch::zeros(10, 1), targets: Batch::zeros(10, 1) };
        let architecture = Architecture { hidden: vec![2], learning_rate: 0.0, decay: 0.5 };
        let mut learner = Learner::new(&architecture, &examples, Key::new(1));
        let [weights, bias] = &mut learner.layers[0];
        weights.values.fill(2.0);
        bias.values.fill(3.0);
        learner.update(&examples, 0.1);
        assert!(learner.layers[0][0].values.iter().all(|weight| (weight - 1.9).abs() < 1e-6));
        assert!(learner.layers[0][1].values.iter().all(|bias| *bias == 3.0));
    }
}
