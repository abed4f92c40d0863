//! Sharpness-aware training: the gradient not at the weights but where, nearby, the loss is largest.
//!
//! ```text
//! e = ρ g/|g|        g = ∇L(w)        the update follows ∇L(w + e)
//! ```
//!
//! What it finds is flat: errors of fabrication and drift, which are displacements of the weights, cost little there. It is a method around
//! another, whose gradient it takes twice: around physics-aware training both passes drive the plant, with the second setting ρ away from
//! the first; in silico none does.
//! Sources: Foret et al., ICLR 2021; for physical networks Xu et al., Sharpness-Aware Training (Nat. Commun. 2026,
//! 10.1038/s41467-026-68470-9), which perturbs the phases of a mesh.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::trial::{dealt, flat, moved};
use super::{Estimate, Estimator, Problem};
use crate::Error;
use crate::document::Document;
use crate::network::{NamedTensor, rows};
use crate::plants::Lab;

/// How sharpness-aware training looks around: the table `[training.sharpness-aware]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SharpnessConfig {
    /// How far ρ the weights are moved, all together, in their own units, so controls in full scales where the layer counts so (0.05, after
    /// Foret et al. and the program of Xu et al.).
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub rho: f64,
    /// Which weights are moved: `controls` of plants, as fabrication and drift do, or `all`.
    pub perturbs: Perturbed,
}

/// Which weights are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Perturbed {
    /// All of them.
    #[default]
    All,
    /// The controls of plants.
    Controls,
}

impl Default for SharpnessConfig {
    fn default() -> Self {
        Self { rho: 0.05, perturbs: Perturbed::default() }
    }
}

impl SharpnessConfig {
    /// Refuses a distance that is none.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        if self.rho > 0.0 && self.rho.is_finite() {
            return Ok(());
        }
        let message = format!("is {}, but it must be above 0: nothing would be moved", self.rho);
        Err(document.refuse("training.sharpness-aware.rho", message))
    }

    fn moves(&self, weight: &NamedTensor) -> bool {
        self.perturbs == Perturbed::All || weight.name.ends_with(".physical.controls")
    }
}

/// Gradients where the loss is largest nearby.
pub struct Sharpness {
    config: SharpnessConfig,
    around: Box<dyn Estimator>,
}

impl Sharpness {
    /// Around the gradients of another estimator.
    pub fn new(config: SharpnessConfig, around: Box<dyn Estimator>) -> Self {
        Self { config, around }
    }
}

impl Estimator for Sharpness {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let here = self.around.estimate(problem, lab)?;
        let zeros = |weight: &NamedTensor| vec![0.0; weight.tensor.dims().iter().product::<usize>()];
        let along: Vec<f32> = problem
            .weights
            .iter()
            .zip(&here.gradients)
            .flat_map(|(weight, gradient)| match gradient {
                Some(gradient) if self.config.moves(weight) => gradient.clone(),
                _ => zeros(weight),
            })
            .collect();
        let norm = along.iter().map(|slope| f64::from(*slope).powi(2)).sum::<f64>().sqrt();
        // On level ground there is nowhere to look; and of a gradient that is none the trainer says so.
        if !(0.0 < norm && norm.is_finite()) {
            return Ok(here);
        }
        let there = moved(&flat(problem.weights), self.config.rho / norm, &along);
        let values = dealt(problem.weights, &there);
        let named = values.into_iter().zip(problem.weights).map(|(values, weight)| {
            let tensor: Tensor<2> = rows::tensor(values, weight.tensor.dims());
            NamedTensor { name: weight.name.clone(), tensor }
        });
        let weights: Vec<NamedTensor> = named.collect();
        let found = self.around.estimate(&problem.at(&weights), lab)?;
        // The loss, and what layers remember, are those at the weights themselves.
        let mut usage = here.usage;
        usage.add(found.usage);
        Ok(Estimate { usage, gradients: found.gradients, ..here })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plants::Forward;
    use crate::training::estimator::Backpropagation;
    use crate::training::estimator::tests::Bench;

    #[test]
    fn it_follows_the_gradient_of_where_the_loss_is_largest_nearby() {
        let bench = Bench::digital();
        let mut lab = Bench::lab();
        let plain = || Box::new(Backpropagation { on: Forward::Plant });
        let exact = plain().estimate(&bench.problem(1), &mut lab).unwrap();
        let gradient: Vec<f32> = exact.gradients.iter().flatten().flatten().copied().collect();
        let norm = gradient.iter().map(|slope| slope * slope).sum::<f32>().sqrt();
        let config = SharpnessConfig { rho: 0.3, perturbs: Perturbed::All };
        let found = Sharpness::new(config.clone(), plain()).estimate(&bench.problem(1), &mut lab).unwrap();
        // The same by hand.
        let there = moved(&flat(&bench.weights), 0.3 / f64::from(norm), &gradient);
        let elsewhere = bench.with(&there);
        let wanted = plain().estimate(&elsewhere.problem(1), &mut lab).unwrap();
        for (found, wanted) in
            found.gradients.iter().flatten().flatten().zip(wanted.gradients.iter().flatten().flatten())
        {
            assert!((found - wanted).abs() < 1e-6, "{found}, not {wanted}");
        }
        assert_eq!(found.loss, exact.loss, "the loss is that at the weights themselves");
        assert!(exact.loss.total < wanted.loss.total, "it looks where the loss is larger");
        // A small step away it is the gradient itself; and of controls there are none.
        let near = Sharpness::new(SharpnessConfig { rho: 1e-6, ..config }, plain());
        let none = Sharpness::new(SharpnessConfig { rho: 0.3, perturbs: Perturbed::Controls }, plain());
        for mut estimator in [near, none] {
            let found = estimator.estimate(&bench.problem(1), &mut lab).unwrap();
            let slopes = found.gradients.iter().flatten().flatten().zip(&gradient);
            assert!(slopes.clone().all(|(found, exact)| (found - exact).abs() < 1e-4));
        }
    }
}
