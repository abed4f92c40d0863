//! One pass forward, one backward: through a plant the value is what was measured and the gradient is a twin's
//! (`network/physics_aware.rs`). The four methods with a twin differ in who computes the forward pass and in whose derivatives are used.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use sims::Twin;

use super::{Estimate, Estimator, Graph, Problem, sharpness};
use crate::Error;
use crate::network::{Pass, Purpose, Shots, Trail, rows};
use crate::plants::{Forward, Lab};

/// Gradients by backpropagation.
#[derive(Debug, Clone, Copy)]
pub struct Backpropagation {
    /// Who computes the forward pass of a plant.
    pub on: Forward,
}

impl Estimator for Backpropagation {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        differentiate(problem, self.on, Through::default(), lab).map(|(estimate, _)| estimate)
    }
}

/// What is different in physical layers.
#[derive(Default)]
pub(super) struct Through {
    /// Whose derivatives a layer has, by its number, where they are not those of the lab's twin.
    pub twins: BTreeMap<usize, Arc<dyn Twin>>,
    /// Where shots are to be kept.
    pub shots: Option<Vec<Shots>>,
}

/// One pass forward, one backward; and the shots of the physical layers, where they are kept.
pub(super) fn differentiate(
    problem: &Problem<'_>,
    on: Forward,
    through: Through,
    lab: &mut Lab,
) -> Result<(Estimate, Vec<Shots>), Error> {
    let device = rows::device().autodiff();
    let leaf = |weight: &Tensor<2>| Tensor::from_inner(weight.clone()).require_grad();
    let weights: Vec<Tensor<2>> = problem.weights.iter().map(|weight| leaf(&weight.tensor)).collect();
    let inputs = Tensor::from_inner(problem.inputs.clone());
    let (mut state, purpose) = (problem.state.clone(), Purpose::Train { step: problem.step });
    let mut pass = Pass::new(lab, on, purpose, &mut state).penalized(sharpness(problem.config));
    (pass.twins, pass.shots, pass.trail) = (through.twins, through.shots, Some(Trail::default()));
    let outputs = problem.network.outputs(inputs, &weights, &mut pass)?;
    let shots = pass.shots.take().unwrap_or_default();
    let (penalties, kept, usage) = (std::mem::take(&mut pass.penalties), pass.kept(), pass.usage);
    let given = outputs.said.clone().detach();
    let is_empty = kept.as_ref().is_some_and(Vec::is_empty);
    let (said, terms) = (outputs.said.clone(), penalties.len());
    let Graph { loss, numbers } = match problem.network.heads() {
        None => Graph::new(problem, outputs.said, (penalties, kept), &device),
        Some(heads) => Graph::of_heads((problem, heads), (outputs, penalties, kept), (&weights, &device), &mut pass)?,
    };
    if is_empty {
        return Ok((Estimate::unmoved(weights.len(), numbers, usage, state), shots));
    }
    let mut gradients = loss.backward();
    let taken: Vec<Option<Tensor<2>>> = match pass.trail.take().filter(|trail| !trail.is_empty()) {
        // Taken out and not copied; and the weights are nobody else's any more.
        None => weights.into_iter().map(|weight| weight.grad_remove(&mut gradients)).collect(),
        // The graph begins where the rollout ends.
        Some(trail) => {
            let cotangents = said.grad_remove(&mut gradients).unwrap_or_else(|| said.inner().zeros_like());
            let penalty = f64::from(problem.config.range_penalty) / terms.max(1) as f64;
            problem.network.retrace(trail, &weights, (cotangents, penalty), &mut pass)?
        }
    };
    let gradients = taken.into_iter().map(|gradient| gradient.map(rows::values)).collect();
    Ok((Estimate { gradients, set: None, loss: numbers, usage, state, outputs: Some(given) }, shots))
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;
    use crate::data::{CellsConfig, Pattern, Targets, Texture};
    use crate::network::{NamedTensor, State};
    use crate::training::TrainingConfig;
    use crate::training::estimator::tests::rule;
    use crate::training::objective::TextureObjective;

    /// The first update of an automaton, the shots that it took, and what is remembered after it.
    fn update(cells: &CellsConfig) -> (Estimate, u64, Vec<NamedTensor>) {
        let (network, mut lab) = rule(cells);
        let weights = network.weights(Key::new(4)).into_iter();
        let weights: Vec<NamedTensor> = weights
            .map(|(name, weight)| NamedTensor { name, tensor: rows::tensor(weight.values, weight.shape) })
            .collect();
        let texture =
            Texture { image: Pattern::Stripes.image(), cells: Some(cells.clone()), filters: None, rule: None };
        let (objective, targets, state) = (TextureObjective::new(&texture), Targets::default(), State::default());
        let config = TrainingConfig { range_penalty: 0.5, ..TrainingConfig::default() };
        let problem = Problem {
            network: &network,
            weights: &weights,
            state: &state,
            inputs: rows::tensor(vec![0.0, 11.0, 1.0, 12.0], [2, 2]),
            targets: &targets,
            objective: &objective,
            config: &config,
            step: 1,
        };
        let found = Backpropagation { on: Forward::Plant }.estimate(&problem, &mut lab).unwrap();
        let remembered = network.remembered(&found.state);
        (found, lab.meter().shots, remembered)
    }

    /// How far values are from others, over the size of these.
    fn off(found: &[f32], wanted: &[f32]) -> f32 {
        let square = |sum: f32, (found, wanted): (&f32, &f32)| sum + (found - wanted).powi(2);
        let size: f32 = wanted.iter().map(|value| value * value).sum();
        (found.iter().zip(wanted).fold(0.0, square) / size.max(f32::MIN_POSITIVE)).sqrt()
    }

    #[test]
    fn a_rollout_in_pieces_has_the_gradients_of_the_whole_and_drives_nothing_twice() {
        // Channels begin beyond the clip, and a layer remembers what it saw.
        let cells = CellsConfig {
            size: 12,
            channels: 4,
            steps: [5, 5],
            seed_noise: 0.5,
            clip: Some(0.6),
            ..CellsConfig::default()
        };
        let (whole, shots, remembered) = update(&CellsConfig { checkpoints: Some(1), ..cells.clone() });
        assert_eq!(shots, 5 * 2 * 144);
        for checkpoints in [2, 5, 100] {
            let cells = CellsConfig { checkpoints: Some(checkpoints), ..cells.clone() };
            let (found, shots, again) = update(&cells);
            assert_eq!(shots, 5 * 2 * 144, "{checkpoints} states: readings are those of the first time");
            let counts = |estimate: &Estimate| [estimate.usage.sent, estimate.usage.layers];
            assert_eq!(counts(&found), counts(&whole), "what is computed again is not counted again");
            assert!((found.loss.total - whole.loss.total).abs() < 1e-6 * whole.loss.total.abs());
            assert!(0.0 < whole.loss.penalty && (found.loss.penalty - whole.loss.penalty).abs() < 1e-6);
            // All weights together: the slope of a summand before a layer that normalizes is nothing but rounding.
            let slopes =
                |estimate: &Estimate| estimate.gradients.iter().flatten().flatten().copied().collect::<Vec<f32>>();
            let [found, wanted] = [&found, &whole].map(slopes);
            assert!(found.len() == wanted.len() && wanted.iter().any(|slope| 1e-3 < slope.abs()));
            assert!(off(&found, &wanted) < 1e-5, "{checkpoints} states: {}", off(&found, &wanted));
            assert_eq!(again.len(), remembered.len());
            for (again, known) in again.iter().zip(&remembered) {
                let [found, wanted] = [again, known].map(|tensor| rows::values(tensor.tensor.clone()));
                assert!(again.name == known.name && off(&found, &wanted) < 1e-5, "{}", again.name);
            }
        }
    }
}
