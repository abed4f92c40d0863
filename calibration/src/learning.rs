//! Learns a network from examples: Adam on batches, early stopping on held-out examples, and a search over architectures by
//! random sampling with successive halving (Jamieson and Talwalkar, AISTATS 2016), as the authors of the optical experiment
//! did with Optuna.

use burn::optim::{Adam, AdamConfig, AdamState, Optimizer};
use burn::tensor::{Device, Tensor, TensorData};
use drivers::Batch;
use rayon::prelude::*;
use sims::{Key, Stream};

use crate::network::PlainLayer;
use crate::observer::going;
use crate::trace::pick;
use crate::{Error, Observer};

/// Normalized features and targets, one example a row.
#[derive(Debug, Clone)]
pub(crate) struct Examples {
    pub features: Batch,
    pub targets: Batch,
}

impl Examples {
    /// At most `count` of them, evenly spread.
    fn thinned(&self, count: usize) -> Self {
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
}

/// How long to search and to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Architectures that are tried; 0 takes [`Search::fixed`].
    pub candidates: usize,
    /// Passes over the examples that each of them gets at first; the better third gets three times as many, and so on.
    pub first_epochs: usize,
    /// Examples that the search uses.
    pub examples: usize,
    /// Most passes of the final training.
    pub epochs: usize,
    /// Passes without progress on the held-out examples after which it ends.
    pub patience: usize,
    /// The architecture where nothing is searched.
    pub fixed: Architecture,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            candidates: 9,
            first_epochs: 2,
            examples: 4000,
            epochs: 40,
            patience: 6,
            fixed: Architecture { hidden: vec![128, 128], learning_rate: 2e-3 },
        }
    }
}

/// What came out.
#[derive(Debug, Clone)]
pub(crate) struct Learned {
    pub layers: Vec<PlainLayer>,
    pub architecture: Architecture,
    /// Mean square on the held-out examples, over that of predicting zero.
    pub held_out: f64,
}

/// Examples in each update.
const BATCH: usize = 128;

/// Searches, then learns.
pub(crate) fn learn(
    [train, held_out]: [&Examples; 2],
    search: &Search,
    key: Key,
    observer: &dyn Observer,
) -> Result<Learned, Error> {
    let architecture = find([train, held_out], search, key, observer);
    let mut learner = Learner::new(&architecture, train, key.branch("final"));
    let mut best = (learner.score(held_out), learner.layers(), 0);
    for epoch in 0..search.epochs {
        going(observer)?;
        observer.stage(&format!(
            "network {:?}: pass {} of at most {} leaves {:.1} % of the variance",
            architecture.hidden,
            epoch + 1,
            search.epochs,
            100.0 * best.0
        ));
        let decay = 0.5 * (1.0 + (std::f64::consts::PI * epoch as f64 / search.epochs as f64).cos());
        learner.epoch(train, architecture.learning_rate * decay.max(0.02), observer);
        let score = learner.score(held_out);
        if !score.is_finite() {
            return Err(Error::Diverged {
                procedure: "learned",
                message: format!(
                    "the network of {:?} gives numbers which are none: measure more shots",
                    architecture.hidden
                ),
            });
        }
        if score < best.0 {
            best = (score, learner.layers(), epoch);
        } else if epoch - best.2 >= search.patience {
            break;
        }
    }
    going(observer)?;
    Ok(Learned { layers: best.1, architecture, held_out: best.0 })
}

/// The architecture that learns best in little time.
fn find([train, held_out]: [&Examples; 2], search: &Search, key: Key, observer: &dyn Observer) -> Architecture {
    let (train, held_out) = (train.thinned(search.examples), held_out.thinned(search.examples / 4));
    let mut stream = key.branch("architectures").stream();
    let mut field: Vec<(Architecture, Learner)> = (0..search.candidates)
        .map(|number| {
            let architecture = draw(&mut stream);
            let learner = Learner::new(&architecture, &train, key.branch("candidate").number(number as u64));
            (architecture, learner)
        })
        .collect();
    let mut epochs = search.first_epochs;
    while field.len() > 1 && !observer.stop() {
        observer.stage(&format!("network: {} architectures, {epochs} passes each", field.len()));
        let mut scored: Vec<(f64, (Architecture, Learner))> = field
            .into_par_iter()
            .map(|(architecture, mut learner)| {
                for _ in 0..epochs {
                    learner.epoch(&train, architecture.learning_rate, observer);
                }
                let score = learner.score(&held_out);
                (if score.is_finite() { score } else { f64::MAX }, (architecture, learner))
            })
            .collect();
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));
        let keep = scored.len().div_ceil(3).min(scored.len() - 1);
        field = scored.into_iter().take(keep).map(|(_, candidate)| candidate).collect();
        epochs *= 3;
    }
    field.pop().map_or_else(|| search.fixed.clone(), |(architecture, _)| architecture)
}

/// A random architecture: one to three layers of 32 to 384, Adam's step from 3e-4 to 1e-2.
fn draw(stream: &mut Stream) -> Architecture {
    let depth = 1 + stream.below(3);
    let width = (32.0 * 12.0_f64.powf(f64::from(stream.uniform()))).round() as usize;
    let learning_rate = 3e-4 * 33.0_f64.powf(f64::from(stream.uniform()));
    Architecture { hidden: vec![width; depth], learning_rate }
}

/// A network in training.
struct Learner {
    weights: Vec<Tensor<2>>,
    states: Vec<Option<AdamState<2>>>,
    optimizer: Adam,
    stream: Stream,
}

impl Learner {
    /// Weights after He et al. (2015); the last layer starts at zero, so that nothing is corrected until something is learned.
    fn new(architecture: &Architecture, examples: &Examples, key: Key) -> Self {
        let device = Device::flex();
        let mut stream = key.stream();
        let mut sizes = vec![examples.features.columns()];
        sizes.extend(&architecture.hidden);
        sizes.push(examples.targets.columns());
        let last = sizes.len() - 2;
        let mut weights = Vec::new();
        for (index, pair) in sizes.windows(2).enumerate() {
            let deviation = if index == last { 0.0 } else { (2.0 / pair[0] as f32).sqrt() };
            let values: Vec<f32> = (0..pair[0] * pair[1]).map(|_| deviation * stream.normal()).collect();
            weights.push(Tensor::from_data(TensorData::new(values, [pair[0], pair[1]]), &device));
            weights.push(Tensor::zeros([1, pair[1]], &device));
        }
        Self {
            states: vec![None; weights.len()],
            weights,
            optimizer: AdamConfig::new().with_epsilon(1e-8).build(),
            stream,
        }
    }

    /// One pass over the examples, as far as the observer lets it.
    fn epoch(&mut self, examples: &Examples, learning_rate: f64, observer: &dyn Observer) {
        let device = Device::flex().autodiff();
        let mut order: Vec<usize> = (0..examples.features.rows()).collect();
        self.stream.shuffle(&mut order);
        for rows in order.chunks(BATCH) {
            if observer.stop() {
                return;
            }
            let weights: Vec<Tensor<2>> =
                self.weights.iter().map(|weight| Tensor::from_inner(weight.clone()).require_grad()).collect();
            let features = tensor(&pick(&examples.features, rows), &device);
            let targets = tensor(&pick(&examples.targets, rows), &device);
            let loss = (forward(features, &weights) - targets).square().mean();
            let gradients = loss.backward();
            for ((weight, state), leaf) in self.weights.iter_mut().zip(&mut self.states).zip(&weights) {
                let Some(gradient) = leaf.grad(&gradients) else { continue };
                (*weight, *state) = self.optimizer.step(learning_rate, weight.clone(), gradient, state.take());
            }
        }
    }

    /// Mean square error over the mean square of the targets.
    fn score(&self, examples: &Examples) -> f64 {
        let device = Device::flex();
        let (mut missed, mut all) = (0.0, 0.0);
        let order: Vec<usize> = (0..examples.features.rows()).collect();
        for rows in order.chunks(1024) {
            let predicted = values(forward(tensor(&pick(&examples.features, rows), &device), &self.weights));
            let targets = pick(&examples.targets, rows);
            for (predicted, target) in predicted.iter().zip(targets.values()) {
                missed += f64::from(predicted - target).powi(2);
                all += f64::from(*target).powi(2);
            }
        }
        missed / all.max(f64::MIN_POSITIVE)
    }

    /// The weights as plain numbers.
    fn layers(&self) -> Vec<PlainLayer> {
        self.weights
            .chunks_exact(2)
            .map(|pair| {
                let [inputs, outputs] = pair[0].dims();
                PlainLayer {
                    inputs,
                    outputs,
                    weights: values(pair[0].clone().transpose()),
                    bias: values(pair[1].clone()),
                }
            })
            .collect()
    }
}

/// The network of [`crate::network`], differentiable in its weights.
fn forward(features: Tensor<2>, weights: &[Tensor<2>]) -> Tensor<2> {
    let layers = weights.len() / 2;
    let mut values = features;
    for (index, pair) in weights.chunks_exact(2).enumerate() {
        values = values.matmul(pair[0].clone()) + pair[1].clone();
        if index + 1 < layers {
            let root = values.clone().square().add_scalar(1.0).sqrt();
            values = (values.clone() / root).add_scalar(1.0) * values.mul_scalar(0.5);
        }
    }
    values
}

fn tensor(batch: &Batch, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(batch.values().to_vec(), [batch.rows(), batch.columns()]), device)
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    // Made in f32 on this machine's processor: reading it neither waits nor converts.
    tensor.into_data().try_into_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{LearnedTwin, Network};
    use crate::trace::tests::card;
    use sims::Twin;

    fn examples(count: usize, seed: u64) -> Examples {
        let mut stream = Key::new(seed).stream();
        let features = Batch::from_fn(count, 3, |_, _| 2.0 * stream.uniform() - 1.0);
        let targets = Batch::from_fn(count, 2, |row, port| {
            let x = features.row(row);
            if port == 0 { x[0] * x[1] } else { (2.0 * x[2]).sin() }
        });
        Examples { features, targets }
    }

    #[test]
    fn a_smooth_function_is_learned_and_runs_the_same_by_hand() {
        let (train, held_out) = (examples(1500, 1), examples(300, 2));
        let search = Search { candidates: 3, first_epochs: 1, examples: 600, epochs: 30, ..Search::default() };
        let learned = learn([&train, &held_out], &search, Key::new(3), &crate::Unobserved).unwrap();
        assert!(learned.held_out < 0.05, "{}", learned.held_out);
        let twin = LearnedTwin::new(card(3, 0, 2), None, Network::new(&learned.layers, [3, 0, 0]).unwrap());
        let predicted = twin.predict(&held_out.features, &[]);
        let pairs = || predicted.values().iter().zip(held_out.targets.values());
        let missed: f32 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
        let all: f32 = held_out.targets.values().iter().map(|value| value * value).sum();
        assert!((f64::from(missed / all) - learned.held_out).abs() < 1e-4, "{} {}", missed / all, learned.held_out);
    }
}
