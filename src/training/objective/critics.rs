//! The critics of a motion: small networks that learn, while it does, to tell its sequences from those of the data.
//!
//! ```text
//! D(x) = W₃ tanh(W₂ tanh(W₁ x + b₁) + b₂) + b₃         x: a whole sequence; or its first frame beside another one
//! critic   ½⟨(D(r) − ⟨D(f)⟩ − 1)²⟩ + ½⟨(D(f) − ⟨D(r)⟩ + 1)²⟩ + λ ⟨(|∂D/∂x| − 1)²⟩      r: the data's, f: those that were made
//! motion   ½⟨(D(f) − ⟨D(r)⟩ − 1)²⟩ + ½⟨(D(r) − ⟨D(f)⟩ + 1)²⟩, summed over both critics, − μ ⟨F(x₁) · F(x_t)⟩
//! F        −⟨log softmax over sequences j of F(x₁) · F(x_t of j)/τ, at its own⟩                 |F| = 1, of the made sequences
//! ```
//!
//! After Tian et al. (arXiv 2104.15069) and their program (`snap-research/MoCoGAN-HD`): the relativistic average of Jolicoeur-Martineau (arXiv
//! 1807.00734) and the gradient penalty of Gulrajani et al. (arXiv 1704.00028) at random places between r and f. The slope ∂D/∂x is written as
//! tensor operations, so that differentiating the penalty by the weights is exact. Other than there: perceptrons in place of convolutions, the
//! penalty on both critics, features F in a network of their own whose contrast is to the sequences of the batch, images as they are. One
//! other frame t is drawn for each batch, as there. Values are brought to mean 0 and variance 1/(values of x) over the data, so that |x| is
//! about 1. What is drawn depends on the number of the update alone.

use burn::tensor::{Device, Tensor, TensorData, activation};
use sims::Key;

use super::classify::cross_entropy;
use super::ruler::key;
use crate::data::CriticsConfig;
use crate::network::{NamedTensor, rows};
use crate::training::trainer::adam;

/// Features of a frame.
const FEATURES: usize = 16;
/// τ, as in the paper's program.
const TEMPERATURE: f32 = 0.07;
/// Added to squares of lengths, so that nothing is divided by 0.
const SMALL: f32 = 1e-12;
/// What is kept of each matrix: its values and Adam's two moments.
const PARTS: [&str; 3] = ["value", "moment-1", "moment-2"];
/// The number of updates so far, among what is kept.
const LEARNED: &str = "critics.learned";

/// A matrix or an offset, with the parts that are kept of it.
struct Matrix {
    shape: [usize; 2],
    parts: [Vec<f32>; 3],
}

/// A network with two hidden layers.
struct Perceptron {
    name: &'static str,
    /// W₁, b₁, W₂, b₂, W₃, b₃.
    matrices: Vec<Matrix>,
}

impl Perceptron {
    fn new(name: &'static str, [inputs, hidden, outputs]: [usize; 3], key: Key) -> Self {
        let mut stream = key.branch(name).stream();
        let layer = |[from, to]: [usize; 2]| {
            let bound = 1.0 / (from as f32).sqrt();
            [[from, to], [1, to]].map(|shape| {
                let count = shape[0] * shape[1];
                let values = (0..count).map(|_| bound * (2.0 * stream.uniform() - 1.0)).collect();
                Matrix { shape, parts: [values, vec![0.0; count], vec![0.0; count]] }
            })
        };
        let layers = [[inputs, hidden], [hidden, hidden], [hidden, outputs]];
        Self { name, matrices: layers.into_iter().flat_map(layer).collect() }
    }

    /// Its weights, as they are.
    fn weights(&self, device: &Device) -> Vec<Tensor<2>> {
        let weight = |Matrix { shape, parts: [values, ..] }: &Matrix| {
            Tensor::from_data(TensorData::new(values.clone(), *shape), device)
        };
        self.matrices.iter().map(weight).collect()
    }

    /// The gradient of a loss by each weight.
    fn gradients(&self, loss: impl FnOnce(&[Tensor<2>]) -> Tensor<1>) -> Vec<Option<Vec<f32>>> {
        let leaf = |weight: Tensor<2>| Tensor::from_inner(weight).require_grad();
        let leaves: Vec<Tensor<2>> = self.weights(&rows::device()).into_iter().map(leaf).collect();
        let mut gradients = loss(&leaves).backward();
        leaves.into_iter().map(|leaf| leaf.grad_remove(&mut gradients).map(rows::values)).collect()
    }

    /// One step of Adam, the `time`th.
    fn step(&mut self, (learning_rate, time): (f64, usize), loss: impl FnOnce(&[Tensor<2>]) -> Tensor<1>) {
        let gradients = self.gradients(loss);
        for (Matrix { parts: [values, mean, square], .. }, gradient) in self.matrices.iter_mut().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            adam::step(learning_rate, time, &gradient, adam::Weight { values, mean, square });
        }
    }
}

/// The values of the two hidden layers.
fn hidden(input: Tensor<2>, weights: &[Tensor<2>]) -> [Tensor<2>; 2] {
    let first = activation::tanh(input.matmul(weights[0].clone()) + weights[1].clone());
    let second = activation::tanh(first.clone().matmul(weights[2].clone()) + weights[3].clone());
    [first, second]
}

/// `[rows, outputs]`: what a network says of rows.
fn said(input: Tensor<2>, weights: &[Tensor<2>]) -> Tensor<2> {
    let [_, second] = hidden(input, weights);
    second.matmul(weights[4].clone()) + weights[5].clone()
}

/// ⟨(|∂D/∂x| − 1)²⟩ of a network with one output.
fn steepness(input: Tensor<2>, weights: &[Tensor<2>]) -> Tensor<1> {
    let [first, second] = hidden(input, weights);
    // The slope of tanh, by its value.
    let slope = |value: Tensor<2>| value.square().neg().add_scalar(1.0);
    let back = slope(second) * weights[4].clone().transpose();
    let back = slope(first) * back.matmul(weights[2].clone().transpose());
    let back = back.matmul(weights[0].clone().transpose());
    let length = back.square().sum_dim(1).add_scalar(SMALL).sqrt();
    length.sub_scalar(1.0).square().mean()
}

/// The loss of whoever wants the ones 1 above the mean of the others, and the others 1 below that of the ones.
fn relativistic(above: Tensor<2>, below: Tensor<2>) -> Tensor<1> {
    let mean = |said: &Tensor<2>| -> Tensor<2> { said.clone().mean().reshape([1, 1]) };
    let (high, low) = (mean(&above), mean(&below));
    let one = (above - low).sub_scalar(1.0).square().mean();
    let other = (below - high).add_scalar(1.0).square().mean();
    (one + other).mul_scalar(0.5)
}

/// Features of length 1 of the first frames and of the others.
fn features(seen: &[Tensor<2>; 4], weights: &[Tensor<2>]) -> [Tensor<2>; 2] {
    [2, 3].map(|place| {
        let features = said(seen[place].clone(), weights);
        let length = features.clone().square().sum_dim(1).add_scalar(SMALL).sqrt();
        features / length
    })
}

/// The critics, as far as they have learned.
pub struct Critics {
    config: CriticsConfig,
    frames: usize,
    pixels: usize,
    /// Of the data's values.
    mean: f32,
    deviation: f32,
    /// Of whole sequences, and of two frames.
    networks: [Perceptron; 2],
    /// F, where its contrast counts.
    features: Option<Perceptron>,
    /// Updates so far.
    learned: usize,
}

impl Critics {
    /// New ones, for sequences of so many frames and values in each, of which some are `known`.
    pub fn new(config: &CriticsConfig, [frames, pixels]: [usize; 2], known: &[f32]) -> Self {
        let count = known.len().max(1) as f64;
        let mean = known.iter().copied().map(f64::from).sum::<f64>() / count;
        let variance = known.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
        let key = key().branch("critics");
        let network = |name, inputs, outputs| Perceptron::new(name, [inputs, config.width, outputs], key);
        Self {
            config: config.clone(),
            frames,
            pixels,
            mean: mean as f32,
            deviation: variance.sqrt().max(1e-6) as f32,
            networks: [network("sequence", frames * pixels, 1), network("pair", 2 * pixels, 1)],
            features: (0.0 < config.contrastive).then(|| network("features", pixels, FEATURES)),
            learned: 0,
        }
    }

    /// Which other frame is seen.
    fn other(&self, key: Key) -> usize {
        1 + key.branch("frame").stream().below(self.frames - 1)
    }

    /// What is seen of `[sequences, frames · values]`: all of it; the first frame and frame `at`; the first frame; frame `at`.
    fn seen(&self, sequences: Tensor<2>, at: usize) -> [Tensor<2>; 4] {
        let whole = sequences.sub_scalar(self.mean).div_scalar(self.deviation);
        let [first, other] = [0, at].map(|frame| whole.clone().narrow(1, frame * self.pixels, self.pixels));
        let pair = Tensor::cat(vec![first.clone(), other.clone()], 1);
        [whole, pair, first, other].map(|seen| {
            let [_, width] = seen.dims();
            seen.div_scalar((width as f32).sqrt())
        })
    }

    /// The motion's loss in the update with this number: of the frames that were made, and as many sequences of the data.
    pub fn loss(&self, update: usize, made: Tensor<2>, wanted: &[f32]) -> Tensor<1> {
        let (device, width) = (made.device(), self.frames * self.pixels);
        let wanted = Tensor::from_data(TensorData::new(wanted.to_vec(), [wanted.len() / width, width]), &device);
        let at = self.other(key().branch("motion").number(update as u64));
        let [made, wanted] = [made, wanted].map(|sequences| self.seen(sequences, at));
        let mut loss: Tensor<1> = Tensor::zeros([1], &device);
        for (place, critic) in self.networks.iter().enumerate() {
            let weights = critic.weights(&device);
            let [made, wanted] = [&made, &wanted].map(|seen| said(seen[place].clone(), &weights));
            loss = loss + relativistic(made, wanted);
        }
        if let Some(network) = &self.features {
            let [first, other] = features(&made, &network.weights(&device));
            loss = loss - (first * other).sum_dim(1).mean().mul_scalar(self.config.contrastive);
        }
        loss
    }

    /// Learns from the frames that were made in the update with this number, and from as many sequences of the data.
    pub fn learn(&mut self, update: usize, made: &[f32], wanted: &[f32]) {
        let width = self.frames * self.pixels;
        let count = made.len() / width;
        let tensor = |values: &[f32]| Tensor::from_inner(rows::tensor(values.to_vec(), [count, width]));
        for step in 0..self.config.steps {
            let key = key().branch("critics").number(update as u64).number(step as u64);
            let (made, wanted) = (tensor(made), tensor(wanted));
            let mut stream = key.branch("between").stream();
            let shares = (0..count).map(|_| stream.uniform()).collect();
            let shares = Tensor::from_inner(rows::tensor(shares, [count, 1]));
            let between = made.clone() + (wanted.clone() - made.clone()) * shares;
            let at = self.other(key);
            let [made, wanted, between] = [made, wanted, between].map(|sequences| self.seen(sequences, at));
            self.learned += 1;
            let (pace, penalty) = ((self.config.learning_rate, self.learned), self.config.penalty);
            for (place, critic) in self.networks.iter_mut().enumerate() {
                critic.step(pace, |weights| {
                    let [made, wanted] = [&made, &wanted].map(|seen| said(seen[place].clone(), weights));
                    relativistic(wanted, made) + steepness(between[place].clone(), weights).mul_scalar(penalty)
                });
            }
            if let Some(network) = &mut self.features {
                network.step(pace, |weights| {
                    let [first, other] = features(&made, weights);
                    let alike = first.matmul(other.transpose()).div_scalar(TEMPERATURE);
                    let (own, device): (Vec<u32>, Device) = ((0..count as u32).collect(), alike.device());
                    cross_entropy(alike, &own, &device)
                });
            }
        }
    }

    /// What they have learned, for a checkpoint.
    pub fn remembered(&self) -> Vec<NamedTensor> {
        // Exact in single precision below 2²⁴, and beyond it counts for nothing.
        let learned = rows::tensor(vec![self.learned as f32], [1, 1]);
        let mut tensors = vec![NamedTensor { name: LEARNED.to_owned(), tensor: learned }];
        for network in self.networks.iter().chain(&self.features) {
            for (place, matrix) in network.matrices.iter().enumerate() {
                tensors.extend(PARTS.iter().zip(&matrix.parts).map(|(part, values)| NamedTensor {
                    name: name(network.name, place, part),
                    tensor: rows::tensor(values.clone(), matrix.shape),
                }));
            }
        }
        tensors
    }

    /// Goes on with what others have learned; the rest of a sentence says what is missing. Where nobody has, these begin.
    pub fn recall(&mut self, tensors: &[NamedTensor]) -> Result<(), String> {
        if tensors.is_empty() {
            return Ok(());
        }
        let find = |name: &str, [height, width]: [usize; 2]| {
            let known = tensors.iter().find(|known| known.name == name && known.tensor.dims() == [height, width]);
            let known = known.map(|known| rows::values(known.tensor.clone()));
            known.ok_or_else(|| format!("has no `{name}` of {height} × {width}, which a critic has learned"))
        };
        self.learned = find(LEARNED, [1, 1])?.first().map_or(0, |learned| *learned as usize);
        for network in self.networks.iter_mut().chain(&mut self.features) {
            for (place, Matrix { shape, parts }) in network.matrices.iter_mut().enumerate() {
                for (part, values) in PARTS.iter().zip(parts) {
                    *values = find(&name(network.name, place, part), *shape)?;
                }
            }
        }
        Ok(())
    }
}

/// What a part of a matrix is called in checkpoints.
fn name(network: &str, place: usize, part: &str) -> String {
    format!("critics.{network}.{place}.{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(count: usize, seed: u64) -> Vec<f32> {
        let mut stream = Key::new(seed).stream();
        (0..count).map(|_| stream.normal()).collect()
    }

    /// The equations in double precision.
    fn exact(x: &[f64], weights: &[Vec<f64>]) -> f64 {
        let through = |x: &[f64], at: usize| -> Vec<f64> {
            let width = weights[at + 1].len();
            let sum = |k: usize| x.iter().enumerate().map(|(i, x)| x * weights[at][i * width + k]).sum::<f64>();
            (0..width).map(|k| weights[at + 1][k] + sum(k)).collect()
        };
        let bent = |values: Vec<f64>| values.into_iter().map(f64::tanh).collect::<Vec<_>>();
        through(&bent(through(&bent(through(x, 0)), 2)), 4)[0]
    }

    #[test]
    fn the_gradient_of_a_critic_s_loss_is_its_slope_through_the_penalty_as_well() {
        const SIZE: [usize; 3] = [3, 4, 1];
        const PENALTY: f64 = 2.0;
        let network = Perceptron::new("a", SIZE, Key::new(1));
        let parts: Vec<Vec<f32>> = (0..3).map(|part| drawn(5 * SIZE[0], 2 + part)).collect();
        let [made, wanted, between] =
            [0, 1, 2].map(|part: usize| Tensor::from_inner(rows::tensor(parts[part].clone(), [5, SIZE[0]])));
        let gradients = network.gradients(|weights| {
            let [made, wanted] = [&made, &wanted].map(|rows| said(rows.clone(), weights));
            relativistic(wanted, made) + steepness(between.clone(), weights).mul_scalar(PENALTY)
        });
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
        let [made, wanted, between] = [0, 1, 2].map(|part: usize| wide(&parts[part]));
        let loss = |weights: &[Vec<f64>]| {
            let said = |values: &[f64]| values.chunks(SIZE[0]).map(|x| exact(x, weights)).collect::<Vec<_>>();
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            let squares =
                |values: &[f64], from: f64| mean(&values.iter().map(|x| (x - from).powi(2)).collect::<Vec<_>>());
            let (made, wanted) = (said(&made), said(&wanted));
            let steepness = between.chunks(SIZE[0]).map(|x| {
                let slope = |k: usize| {
                    let at = |by: f64| {
                        exact(&(0..SIZE[0]).map(|i| x[i] + if i == k { by } else { 0.0 }).collect::<Vec<_>>(), weights)
                    };
                    (at(1e-5) - at(-1e-5)) / 2e-5
                };
                ((0..SIZE[0]).map(|k| slope(k).powi(2)).sum::<f64>().sqrt() - 1.0).powi(2)
            });
            0.5 * (squares(&wanted, mean(&made) + 1.0) + squares(&made, mean(&wanted) - 1.0))
                + PENALTY * mean(&steepness.collect::<Vec<_>>())
        };
        let weights: Vec<Vec<f64>> = network.matrices.iter().map(|matrix| wide(&matrix.parts[0])).collect();
        let mut steepest = 0.0_f64;
        for (place, gradient) in gradients.into_iter().enumerate() {
            for (at, slope) in gradient.unwrap().into_iter().enumerate() {
                let moved = |by: f64| {
                    let mut moved = weights.clone();
                    moved[place][at] += by;
                    loss(&moved)
                };
                let difference = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                assert!((f64::from(slope) - difference).abs() < 1e-4, "{place}, {at}: {slope}, not {difference}");
                steepest = steepest.max(difference.abs());
            }
        }
        assert!(0.1 < steepest, "there is a slope to find");
    }

    /// 20 sequences of 4 frames of 2 values, each of another content, that rise so fast.
    fn rising(by: f32, seed: u64) -> Vec<f32> {
        let contents = drawn(2 * 20, seed);
        contents.chunks(2).flat_map(|content| (0..8).map(move |at| content[at % 2] + by * (at / 2) as f32)).collect()
    }

    fn critics() -> Critics {
        let config = CriticsConfig {
            width: 12,
            learning_rate: 0.01,
            penalty: 1.0,
            contrastive: 0.01,
            ..CriticsConfig::default()
        };
        Critics::new(&config, [4, 2], &rising(0.5, 1))
    }

    fn loss(critics: &Critics, made: Vec<f32>, wanted: &[f32]) -> f32 {
        rows::values(critics.loss(3, rows::tensor(made, [20, 8]), wanted))[0]
    }

    #[test]
    fn they_learn_to_tell_still_sequences_from_rising_ones_and_contents_from_each_other() {
        let (mut critics, wanted) = (critics(), rising(0.5, 3));
        let fresh = [rising(0.0, 2), rising(0.5, 2)].map(|made| loss(&critics, made, &wanted));
        for update in 1..=150 {
            critics.learn(update, &rising(0.0, 100 + update as u64), &rising(0.5, 300 + update as u64));
        }
        let [still, rises] = [rising(0.0, 2), rising(0.5, 2)].map(|made| loss(&critics, made, &wanted));
        assert!(fresh[0] - fresh[1] + 0.5 < still - rises, "{fresh:?}, then {still} and {rises}");
        let seen = critics.seen(rows::tensor(rising(0.0, 2), [20, 8]), 2);
        let weights = critics.features.as_ref().unwrap().weights(&rows::device());
        let [first, other] = features(&seen, &weights);
        let alike = rows::values(first.matmul(other.transpose()));
        let mean = alike.iter().sum::<f32>() / alike.len() as f32;
        assert!(mean < 0.9 && (alike[0] - 1.0).abs() < 1e-4, "{mean}");
    }

    #[test]
    fn they_go_on_from_a_checkpoint_bit_for_bit_and_say_what_is_missing() {
        let learn = |critics: &mut Critics, update: usize| {
            critics.learn(update, &rising(0.0, update as u64), &rising(0.5, 50 + update as u64));
        };
        let (mut whole, mut other) = (critics(), critics());
        learn(&mut whole, 1);
        let kept = whole.remembered();
        other.recall(&kept).unwrap();
        for critics in [&mut whole, &mut other] {
            learn(critics, 2);
        }
        let values = |critics: &Critics| {
            critics.remembered().into_iter().map(|one| (one.name, rows::values(one.tensor))).collect::<Vec<_>>()
        };
        assert!(values(&whole) == values(&other) && values(&whole).len() == 1 + 3 * 6 * 3);
        let said = other.recall(&kept[..kept.len() - 1]).unwrap_err();
        assert!(said.contains("`critics.features.5.moment-2` of 1 × 16"), "{said}");
        other.recall(&[]).unwrap();
    }
}
