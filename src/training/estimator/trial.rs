//! The loss on the plant at weights that are tried, for estimators that know no derivative.

use burn::tensor::Tensor;

use super::{Estimate, Graph, Loss, Problem, sharpness};
use crate::Error;
use crate::network::{NamedTensor, Pass, Purpose, State, Usage, rows};
use crate::plants::{Forward, Lab};

/// Passes of one estimate, averaged.
pub(super) struct Trials {
    /// What the layers remember after the passes so far.
    pub state: State,
    /// How the passes used the ranges.
    pub usage: Usage,
    sum: Loss,
    count: usize,
}

impl Trials {
    /// None yet.
    pub fn new(problem: &Problem<'_>) -> Self {
        let sum = Loss::none(problem.objective.kind());
        Self { state: problem.state.clone(), usage: Usage::default(), sum, count: 0 }
    }

    /// The loss of the batch on the plant with these weights, all in one row.
    pub fn loss(&mut self, problem: &Problem<'_>, weights: &[f32], lab: &mut Lab) -> Result<f64, Error> {
        let tensors = tensors(problem.weights, weights);
        let purpose = Purpose::Train { step: problem.step };
        let mut pass = Pass::new(lab, Forward::Plant, purpose, &mut self.state).penalized(sharpness(problem.config));
        let outputs = problem.network.forward(problem.inputs.clone(), &tensors, &mut pass)?;
        let (penalties, kept, usage) = (std::mem::take(&mut pass.penalties), pass.kept(), pass.usage);
        let found = Graph::new(problem, outputs, (penalties, kept), &rows::device()).numbers;
        self.usage.add(usage);
        self.sum.total += found.total;
        self.sum.objective += found.objective;
        self.sum.penalty += found.penalty;
        self.sum.scores.add(1.0, &found.scores);
        self.count += 1;
        if found.total.is_finite() {
            return Ok(f64::from(found.total));
        }
        Err(Error::Diverged { what: format!("the loss of step {}", problem.step) })
    }

    /// The mean of all losses.
    fn mean(&self) -> Loss {
        let share = 1.0 / self.count.max(1) as f32;
        Loss {
            total: share * self.sum.total,
            objective: share * self.sum.objective,
            penalty: share * self.sum.penalty,
            alignment: None,
            scores: self.sum.scores.over(self.count.max(1)),
        }
    }

    /// What was found by these passes: the gradient of each weight.
    pub fn estimate(self, gradients: Vec<Vec<f32>>) -> Estimate {
        let loss = self.mean();
        let gradients = gradients.into_iter().map(Some).collect();
        Estimate { gradients, set: None, loss, usage: self.usage, state: self.state, outputs: None }
    }

    /// What was found by these passes: the values that the weights get.
    pub fn set(self, values: Vec<Vec<f32>>) -> Estimate {
        let loss = self.mean();
        Estimate { gradients: vec![], set: Some(values), loss, usage: self.usage, state: self.state, outputs: None }
    }
}

/// All weights in one row.
pub(super) fn flat(weights: &[NamedTensor]) -> Vec<f32> {
    weights.iter().flat_map(|weight| rows::values(weight.tensor.clone())).collect()
}

/// One row of values as those of each weight.
pub(super) fn dealt(weights: &[NamedTensor], values: &[f32]) -> Vec<Vec<f32>> {
    let mut rest = values;
    let counts = weights.iter().map(|weight| weight.tensor.dims().iter().product::<usize>());
    let each = counts.map(|count| {
        let (these, others) = rest.split_at(count);
        rest = others;
        these.to_vec()
    });
    each.collect()
}

/// One row of values as tensors of the weights' shapes.
fn tensors(weights: &[NamedTensor], values: &[f32]) -> Vec<Tensor<2>> {
    let each = dealt(weights, values).into_iter().zip(weights);
    each.map(|(values, weight)| rows::tensor(values, weight.tensor.dims())).collect()
}

/// `from` moved by `by` along `direction`.
pub(super) fn moved(from: &[f32], by: f64, direction: &[f32]) -> Vec<f32> {
    from.iter().zip(direction).map(|(from, direction)| (by as f32).mul_add(*direction, *from)).collect()
}
