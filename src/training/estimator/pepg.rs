//! Parameter-exploring policy gradients (Sehnke et al., Neural Networks 23, 551, 2010), with symmetric samples: the weights are the mean of a
//! normal distribution, each with a deviation σᵢ of its own that is learned too. Found best of the methods without a model on a VCSEL bench
//! (arXiv 2503.16943).
//!
//! ```text
//! ε ~ N(0, σ²)      L± = L(w ± ε)      gᵢ = ⟨(L₊ − L₋)/2 · εᵢ/σᵢ²⟩      σᵢ ← σᵢ·exp(−α ⟨(L₊ + L₋)/2 − b⟩/s · (εᵢ²/σᵢ² − 1))
//! ```
//!
//! b and s are mean and deviation of the pairs' losses in an update. The optimizer follows g, the slope of the loss averaged over the
//! distribution. What the deviations have learned is kept in checkpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::trial::{Trials, dealt, flat, moved};
use super::{Estimate, Estimator, Problem};
use crate::Error;
use crate::document::Document;
use crate::network::{NamedTensor, rows};
use crate::plants::Lab;

/// How weights are explored: the table `[training.pepg]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PepgConfig {
    /// The deviation σ of each weight at the start (0.05): in its own unit, so controls in full scales where the layer counts so.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub deviation: f64,
    /// Pairs of passes of an update (8).
    #[schemars(range(min = 1, max = 10_000))]
    pub pairs: usize,
    /// How fast the deviations are learned, α (0.05); 0: they stay.
    #[schemars(range(min = 0, max = 1))]
    pub deviation_rate: f64,
}

impl Default for PepgConfig {
    fn default() -> Self {
        Self { deviation: 0.05, pairs: 8, deviation_rate: 0.05 }
    }
}

/// How far a deviation may leave its start, either way.
const REACH: f64 = 10.0;

impl PepgConfig {
    /// How often an update drives a plant with its batch.
    pub fn passes(&self) -> usize {
        2 * self.pairs
    }

    /// Refuses numbers that explore nothing.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        super::positive("pepg", "deviation", self.deviation, document)?;
        if 0.0 <= self.deviation_rate && self.deviation_rate.is_finite() {
            return Ok(());
        }
        let message = format!("is {}, but it must not be negative", self.deviation_rate);
        Err(document.refuse("training.pepg.deviation_rate", message))
    }
}

/// Gradients from a distribution of weights.
#[derive(Debug)]
pub struct Pepg {
    config: PepgConfig,
    key: Key,
    /// Of each weight; empty before the first update.
    deviations: Vec<f32>,
}

impl Pepg {
    /// Draws from `key`.
    pub fn new(config: PepgConfig, key: Key) -> Self {
        Self { config, key: key.branch("pepg"), deviations: vec![] }
    }

    /// Learns the deviations from each pair's mean loss and displacements.
    fn learn(&mut self, pairs: &[(f64, Vec<f32>)]) {
        let count = pairs.len() as f64;
        let mean = pairs.iter().map(|(loss, _)| loss).sum::<f64>() / count;
        let spread = (pairs.iter().map(|(loss, _)| (loss - mean).powi(2)).sum::<f64>() / count).sqrt();
        // One pair has nothing to be compared with.
        if self.config.deviation_rate == 0.0 || spread.is_nan() || spread <= 1e-12 * mean.abs() {
            return;
        }
        let (low, high) = (self.config.deviation / REACH, self.config.deviation * REACH);
        for (place, deviation) in self.deviations.iter_mut().enumerate() {
            let own = f64::from(*deviation);
            let term =
                |(loss, by): &(f64, Vec<f32>)| (loss - mean) / spread * ((f64::from(by[place]) / own).powi(2) - 1.0);
            let slope = pairs.iter().map(term).sum::<f64>() / count;
            *deviation = (own * (-self.config.deviation_rate * slope).exp()).clamp(low, high) as f32;
        }
    }
}

impl Estimator for Pepg {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let weights = flat(problem.weights);
        if self.deviations.len() != weights.len() {
            self.deviations = vec![self.config.deviation as f32; weights.len()];
        }
        let mut trials = Trials::new(problem);
        let mut gradient = vec![0.0_f64; weights.len()];
        let mut pairs = Vec::with_capacity(self.config.pairs);
        for pair in 0..self.config.pairs {
            let mut stream = self.key.number(problem.step as u64).number(pair as u64).stream();
            let by: Vec<f32> = self.deviations.iter().map(|deviation| deviation * stream.normal()).collect();
            let above = trials.loss(problem, &moved(&weights, 1.0, &by), lab)?;
            let below = trials.loss(problem, &moved(&weights, -1.0, &by), lab)?;
            let slope = 0.5 * (above - below) / self.config.pairs as f64;
            for ((gradient, by), deviation) in gradient.iter_mut().zip(&by).zip(&self.deviations) {
                *gradient += slope * f64::from(*by) / f64::from(*deviation).powi(2);
            }
            pairs.push((0.5 * (above + below), by));
        }
        self.learn(&pairs);
        let gradient: Vec<f32> = gradient.iter().map(|slope| *slope as f32).collect();
        Ok(trials.estimate(dealt(problem.weights, &gradient)))
    }

    fn remembered(&self) -> Vec<NamedTensor> {
        if self.deviations.is_empty() {
            return vec![];
        }
        let tensor = rows::tensor(self.deviations.clone(), [1, self.deviations.len()]);
        vec![NamedTensor { name: "pepg.deviations".to_owned(), tensor }]
    }

    fn recall(&mut self, tensors: &[NamedTensor]) -> Result<(), String> {
        let Some(found) = tensors.iter().find(|tensor| tensor.name == "pepg.deviations") else { return Ok(()) };
        let values = rows::values(found.tensor.clone());
        if let Some(value) = values.iter().find(|value| !(value.is_finite() && 0.0 < **value)) {
            return Err(format!("has a deviation of {value} in `pepg.deviations`"));
        }
        self.deviations = values;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::estimator::tests::{Bench, is_unbiased};

    #[test]
    fn its_mean_is_the_gradient() {
        let config = PepgConfig { deviation: 0.02, pairs: 1, deviation_rate: 0.0 };
        is_unbiased(&Bench::digital(), &mut Pepg::new(config.clone(), Key::new(5)), 10_000);
        is_unbiased(&Bench::mesh(), &mut Pepg::new(config, Key::new(6)), 3000);
    }

    #[test]
    fn on_a_bowl_it_descends_and_explores_steep_directions_less() {
        // Regression of one output on two inputs of which one is a hundred times louder: a bowl, steep in one weight, flat in the other.
        let bench = Bench::bowl();
        let mut lab = Bench::lab();
        let mut pepg = Pepg::new(PepgConfig { deviation: 0.1, pairs: 20, deviation_rate: 0.1 }, Key::new(1));
        let mut at = flat(&bench.weights);
        let first = bench.loss(&at, &mut lab);
        let mut early = vec![];
        for step in 1..=600 {
            let found = pepg.estimate(&bench.with(&at).problem(step), &mut lab).unwrap();
            let gradient: Vec<f32> = found.gradients.into_iter().flat_map(Option::unwrap).collect();
            at = moved(&at, -0.05, &gradient);
            if step == 40 {
                early.clone_from(&pepg.deviations);
            }
        }
        let last = bench.loss(&at, &mut lab);
        assert!(last < 0.02 * first, "{first} to {last}");
        assert!(early[0] < 0.5 * early[1], "{early:?}");
        // What it has learned goes through a checkpoint.
        let mut other = Pepg::new(PepgConfig { deviation: 0.1, pairs: 20, deviation_rate: 0.1 }, Key::new(1));
        other.recall(&pepg.remembered()).unwrap();
        let problem = bench.with(&at);
        let [a, b] =
            [&mut pepg, &mut other].map(|one| one.estimate(&problem.problem(601), &mut lab).unwrap().gradients);
        assert_eq!(a, b);
        let broken = NamedTensor { name: "pepg.deviations".into(), tensor: rows::tensor(vec![0.1, -1.0], [1, 2]) };
        assert!(other.recall(&[broken]).unwrap_err().contains("-1"));
    }
}
