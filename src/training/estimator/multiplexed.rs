//! Multiplexed gradient descent (`McCaughan` et al., APL Mach. Learn. 1, 026118, 2023): every weight is moved all the time, each by a code of
//! its own, and finds its slope in the loss as a receiver finds its channel.
//!
//! ```text
//! G = (1/T) Σ_t (L(w + c d(t)) − L(w)) · d(t)/(c ⟨d²⟩)        t: passes of one update, and on through the next
//! ```
//!
//! Codes d: `one-at-a-time` (time division), `sines` (frequency division), `walsh` (code division, rows of a Hadamard matrix whose columns
//! come in an order that mixes them). Over a whole period, as many passes as there are codes, the slopes are those of finite differences; a
//! shorter `window` updates earlier with slopes that interfere, and the codes go on where they were.
//! Their time constants: a perturbation lasts a pass, a sample an update of `window` passes, which is an update of the weights too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::trial::{Trials, dealt, flat, moved};
use super::{Estimate, Estimator, Problem};
use crate::Error;
use crate::document::Document;
use crate::plants::Lab;

/// How all weights are moved at once: the table `[training.multiplexed]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MultiplexedConfig {
    /// The codes (walsh).
    pub codes: Codes,
    /// How far each weight is moved at most, but for sines, which go √2 as far (0.02): in its own unit, so controls in full scales where the
    /// layer counts so.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub perturbation: f64,
    /// Passes of an update (16), besides the one that the losses are compared with.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub window: usize,
}

/// What tells the weights apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Codes {
    /// Time division: one weight is moved in each pass.
    OneAtATime,
    /// Frequency division: each weight swings at a frequency of its own.
    Sines,
    /// Code division: Walsh functions.
    #[default]
    Walsh,
}

impl Default for MultiplexedConfig {
    fn default() -> Self {
        Self { codes: Codes::default(), perturbation: 0.02, window: 16 }
    }
}

impl MultiplexedConfig {
    /// How often an update drives a plant with its batch.
    pub fn passes(&self) -> usize {
        self.window + 1
    }

    /// Refuses a step that is none.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        super::positive("multiplexed", "perturbation", self.perturbation, document)
    }
}

impl Codes {
    /// Passes after which the codes of so many weights begin again.
    fn period(self, weights: usize) -> usize {
        match self {
            Self::OneAtATime => weights.max(1),
            Self::Sines => 2 * (weights + 1),
            // The first row of the matrix is constant, and no code.
            Self::Walsh => (weights + 1).next_power_of_two(),
        }
    }

    /// The mean square of a code.
    fn power(self, weights: usize) -> f64 {
        match self {
            Self::OneAtATime => 1.0 / self.period(weights) as f64,
            Self::Sines | Self::Walsh => 1.0,
        }
    }

    /// How each of so many weights is moved in pass `time`, `mixed` being odd, below a period's square and the same throughout a training.
    fn at(self, weights: usize, time: usize, mixed: u64) -> Vec<f32> {
        let period = self.period(weights);
        let time = time % period;
        let code = |weight: usize| match self {
            Self::OneAtATime => f32::from(u8::from(weight == time)),
            Self::Sines => {
                let turns = (weight + 1) * time % period;
                (2.0_f64.sqrt() * (std::f64::consts::TAU * turns as f64 / period as f64).sin()) as f32
            }
            Self::Walsh => {
                // An odd factor is a permutation of the columns of a matrix whose size is a power of two.
                let column = (time as u64).wrapping_mul(mixed) & (period as u64 - 1);
                if ((weight as u64 + 1) & column).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
            }
        };
        (0..weights).map(code).collect()
    }
}

/// Gradients from codes.
#[derive(Debug)]
pub struct Multiplexed {
    config: MultiplexedConfig,
    mixed: u64,
}

impl Multiplexed {
    /// Mixes columns by `key`.
    pub fn new(config: MultiplexedConfig, key: Key) -> Self {
        Self { config, mixed: key.branch("multiplexed").seed() | 1 }
    }
}

impl Estimator for Multiplexed {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let MultiplexedConfig { codes, perturbation, window } = self.config;
        let weights = flat(problem.weights);
        let mut trials = Trials::new(problem);
        let here = trials.loss(problem, &weights, lab)?;
        let mut sums = vec![0.0; weights.len()];
        for pass in 0..window {
            let code = codes.at(weights.len(), (problem.step - 1) * window + pass, self.mixed);
            let risen = trials.loss(problem, &moved(&weights, perturbation, &code), lab)? - here;
            sums.iter_mut().zip(&code).for_each(|(sum, code)| *sum += risen * f64::from(*code));
        }
        let share = 1.0 / (window as f64 * perturbation * codes.power(weights.len()));
        let gradient: Vec<f32> = sums.iter().map(|sum| (share * sum) as f32).collect();
        Ok(trials.estimate(dealt(problem.weights, &gradient)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plants::Forward;
    use crate::training::estimator::Backpropagation;
    use crate::training::estimator::tests::Bench;

    #[test]
    fn codes_of_a_whole_period_are_orthogonal() {
        for (codes, weights) in [(Codes::OneAtATime, 5), (Codes::Sines, 6), (Codes::Walsh, 11)] {
            let period = codes.period(weights);
            let rows: Vec<Vec<f32>> = (0..period).map(|time| codes.at(weights, time, 0x9E37_79B9)).collect();
            for a in 0..weights {
                for b in 0..weights {
                    let mean = rows.iter().map(|row| f64::from(row[a] * row[b])).sum::<f64>() / period as f64;
                    let wanted = if a == b { codes.power(weights) } else { 0.0 };
                    assert!((mean - wanted).abs() < 1e-6, "{codes:?} {a} {b}: {mean}");
                }
                let mean = rows.iter().map(|row| f64::from(row[a])).sum::<f64>() / period as f64;
                assert!(codes == Codes::OneAtATime || mean.abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_whole_period_gives_the_gradient_and_windows_give_it_in_the_mean() {
        let bench = Bench::digital();
        let mut lab = Bench::lab();
        let exact = Backpropagation { on: Forward::Plant }.estimate(&bench.problem(1), &mut lab).unwrap();
        let exact: Vec<f32> = exact.gradients.into_iter().flat_map(Option::unwrap).collect();
        for codes in [Codes::OneAtATime, Codes::Sines, Codes::Walsh] {
            let period = codes.period(exact.len());
            for window in [period, 1] {
                let config = MultiplexedConfig { codes, perturbation: 0.002, window };
                let mut estimator = Multiplexed::new(config, Key::new(3));
                let mut mean = vec![0.0; exact.len()];
                for step in 1..=period / window {
                    let found = estimator.estimate(&bench.problem(step), &mut lab).unwrap();
                    let found = found.gradients.into_iter().flat_map(Option::unwrap);
                    mean.iter_mut().zip(found).for_each(|(mean, slope)| *mean += slope * window as f32 / period as f32);
                }
                for (found, exact) in mean.iter().zip(&exact) {
                    assert!((found - exact).abs() < 5e-3, "{codes:?}, window {window}: {found}, not {exact}");
                }
            }
        }
    }
}
