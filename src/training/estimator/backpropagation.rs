//! One pass forward, one backward: through a plant the value is what was measured and the gradient is a twin's
//! (`network/physics_aware.rs`). The four methods with a twin differ in who computes the forward pass and in whose derivatives are used.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use sims::Twin;

use super::{Estimate, Estimator, Graph, Problem, sharpness};
use crate::Error;
use crate::network::{Pass, Purpose, Shots, rows};
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
    (pass.twins, pass.shots) = (through.twins, through.shots);
    let outputs = problem.network.outputs(inputs, &weights, &mut pass)?;
    let shots = pass.shots.take().unwrap_or_default();
    let (penalties, kept, usage) = (std::mem::take(&mut pass.penalties), pass.kept(), pass.usage);
    let given = outputs.said.clone().detach();
    let is_empty = kept.as_ref().is_some_and(Vec::is_empty);
    let Graph { loss, numbers } = match problem.network.heads() {
        None => Graph::new(problem, outputs.said, (penalties, kept), &device),
        Some(heads) => Graph::of_heads((problem, heads), (outputs, penalties, kept), (&weights, &device), &mut pass)?,
    };
    if is_empty {
        return Ok((Estimate::unmoved(weights.len(), numbers, usage, state), shots));
    }
    let mut gradients = loss.backward();
    // Taken out and not copied; and the weights are nobody else's any more.
    let taken = weights.into_iter().map(|weight| weight.grad_remove(&mut gradients).map(rows::values)).collect();
    Ok((Estimate { gradients: taken, set: None, loss: numbers, usage, state, outputs: Some(given) }, shots))
}
