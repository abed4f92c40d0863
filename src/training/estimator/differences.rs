//! Finite differences: each weight moved alone, both ways or one way, without a twin.
//!
//! ```text
//! gᵢ = (L(w + c δᵢ) − L(w − c δᵢ)) / (2 c)        or        gᵢ = (L(w + c δᵢ) − L(w)) / c
//! ```
//!
//! Two passes a weight, or one and one more: for networks with few weights, and as the measure of what other estimators give.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::trial::{Trials, dealt, flat};
use super::{Estimate, Estimator, Problem};
use crate::Error;
use crate::document::Document;
use crate::plants::Lab;

/// How each weight is moved: the table `[training.finite-differences]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DifferencesConfig {
    /// How far each weight is moved (0.02): in its own unit, so controls in full scales where the layer counts so.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub perturbation: f64,
    /// Whether each weight is moved `both` ways, or `one` way and compared with the weights as they are.
    pub ways: Ways,
}

/// Which ways each weight is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ways {
    /// Both: the error falls with the square of the step.
    #[default]
    Both,
    /// One, at half the price: the error falls with the step.
    One,
}

impl Default for DifferencesConfig {
    fn default() -> Self {
        Self { perturbation: 0.02, ways: Ways::default() }
    }
}

impl DifferencesConfig {
    /// How often an update drives a plant with its batch.
    pub fn passes(&self, weights: usize) -> usize {
        match self.ways {
            Ways::Both => 2 * weights,
            Ways::One => weights + 1,
        }
    }

    /// Refuses a step that is none.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        super::positive("finite-differences", "perturbation", self.perturbation, document)
    }
}

/// Gradients by finite differences.
#[derive(Debug)]
pub struct Differences {
    config: DifferencesConfig,
}

impl Differences {
    /// By these steps.
    pub fn new(config: DifferencesConfig) -> Self {
        Self { config }
    }
}

impl Estimator for Differences {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let (mut weights, step) = (flat(problem.weights), self.config.perturbation as f32);
        let mut trials = Trials::new(problem);
        let here = match self.config.ways {
            Ways::Both => None,
            Ways::One => Some(trials.loss(problem, &weights, lab)?),
        };
        let mut gradient = Vec::with_capacity(weights.len());
        for place in 0..weights.len() {
            let own = weights[place];
            weights[place] = own + step;
            let above = (trials.loss(problem, &weights, lab)?, weights[place]);
            let below = if let Some(here) = here {
                (here, own)
            } else {
                weights[place] = own - step;
                (trials.loss(problem, &weights, lab)?, weights[place])
            };
            weights[place] = own;
            // By the step that single precision has made.
            gradient.push(((above.0 - below.0) / f64::from(above.1 - below.1)) as f32);
        }
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
    fn differences_are_the_gradient_on_a_plant_that_is_its_twin() {
        for bench in [Bench::digital(), Bench::mesh()] {
            let mut lab = Bench::lab();
            let exact = Backpropagation { on: Forward::Plant }.estimate(&bench.problem(1), &mut lab).unwrap();
            let exact: Vec<f32> = exact.gradients.into_iter().flat_map(Option::unwrap).collect();
            for (ways, allowed) in [(Ways::Both, 2e-3), (Ways::One, 2e-2)] {
                let config = DifferencesConfig { perturbation: 0.02, ways };
                assert_eq!(config.passes(12), if ways == Ways::Both { 24 } else { 13 });
                let found = Differences::new(config).estimate(&bench.problem(1), &mut lab).unwrap();
                let found: Vec<f32> = found.gradients.into_iter().flat_map(Option::unwrap).collect();
                assert_eq!(found.len(), exact.len());
                for (found, exact) in found.iter().zip(&exact) {
                    assert!((found - exact).abs() < allowed, "{ways:?}: {found}, not {exact}");
                }
            }
        }
    }
}
