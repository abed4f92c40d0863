//! Augmented direct feedback alignment (Nakajima et al., Nat. Commun. 13, 7847, 2022): the error at the outputs is sent to each stage through
//! a fixed random matrix, past the physics, of which nothing is known.
//!
//! ```text
//! δₗ = (e Bₗ) ∘ g(aₗ)        aₗ: what goes into plant l        e: slope of the loss with the outputs        g: any function
//! ```
//!
//! A stage is the digital layers up to a plant, and those behind the last plant. The last stage gets its true gradient; a stage before a
//! plant gets δₗ at its end in place of it, and its own layers are differentiated as usual. Controls of plants get none and stay: without a
//! model nobody knows how the outputs go with them. One pass an update.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Estimate, Estimator, Graph, Problem, sharpness};
use crate::Error;
use crate::network::{Pass, Purpose, rows};
use crate::plants::{Forward, Lab};

/// How errors are sent back: the table `[training.feedback-alignment]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FeedbackConfig {
    /// The function g of what goes into a plant (cosine).
    pub nonlinearity: Nonlinearity,
}

/// What stands for the derivative of a plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Nonlinearity {
    /// cos a, as in the paper's optical network.
    #[default]
    Cosine,
    /// 1 − tanh² a: what the derivative of a saturating device looks like.
    Saturating,
    /// 1: direct feedback alignment of a linear network (Nøkland 2016).
    One,
}

/// Gradients from errors that are sent past the physics.
#[derive(Debug)]
pub struct Feedback {
    config: FeedbackConfig,
    key: Key,
}

impl Feedback {
    /// Draws the matrices from `key`.
    pub fn new(config: FeedbackConfig, key: Key) -> Self {
        Self { config, key: key.branch("feedback-alignment") }
    }

    /// δ of stage `stage`: the slopes with what goes into its plant.
    fn sent_back(&self, error: &Tensor<2>, into: &Tensor<2>, stage: usize) -> Tensor<2> {
        let shape = [error.dims()[1], into.dims()[1]];
        let mut stream = self.key.number(stage as u64).stream();
        let scale = 1.0 / (shape[0] as f32).sqrt();
        let matrix = (0..shape[0] * shape[1]).map(|_| scale * stream.normal()).collect();
        let sent = error.clone().matmul(rows::tensor(matrix, shape));
        match self.config.nonlinearity {
            Nonlinearity::Cosine => sent * into.clone().cos(),
            Nonlinearity::Saturating => sent * into.clone().tanh().square().neg().add_scalar(1.0),
            Nonlinearity::One => sent,
        }
    }
}

impl Estimator for Feedback {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let device = rows::device().autodiff();
        let leaf = |weight: &Tensor<2>| Tensor::from_inner(weight.clone()).require_grad();
        let weights: Vec<Tensor<2>> = problem.weights.iter().map(|weight| leaf(&weight.tensor)).collect();
        let inputs = Tensor::from_inner(problem.inputs.clone());
        let (mut state, purpose) = (problem.state.clone(), Purpose::Train { step: problem.step });
        let mut pass =
            Pass::new(lab, Forward::Plant, purpose, &mut state).penalized(sharpness(problem.config)).without_models();
        let outputs = problem.network.forward(inputs, &weights, &mut pass)?;
        let (penalties, kept, usage) = (std::mem::take(&mut pass.penalties), pass.kept(), pass.usage);
        let into_plants = std::mem::take(&mut pass.into_plants);
        let is_empty = kept.as_ref().is_some_and(Vec::is_empty);
        // The slope with the outputs themselves.
        let answer = leaf(&outputs.clone().inner());
        let slope = Graph::new(problem, answer.clone(), (vec![], kept.clone()), &device).loss.backward();
        let error = answer.grad(&slope);
        let Graph { mut loss, numbers } = Graph::new(problem, outputs, (penalties, kept), &device);
        if is_empty {
            return Ok(Estimate::unmoved(weights.len(), numbers, usage, state));
        }
        if let Some(error) = error {
            for (stage, into) in into_plants.into_iter().enumerate() {
                let delta = self.sent_back(&error, &into.clone().inner(), stage);
                loss = loss + (into * Tensor::from_inner(delta)).sum();
            }
        }
        let mut gradients = loss.backward();
        let taken = weights.into_iter().map(|weight| weight.grad_remove(&mut gradients).map(rows::values)).collect();
        Ok(Estimate { gradients: taken, set: None, loss: numbers, usage, state, outputs: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::estimator::Backpropagation;
    use crate::training::estimator::tests::Bench;

    #[test]
    fn stages_get_the_error_through_their_matrix_and_the_last_its_gradient() {
        let bench = Bench::mesh();
        let mut lab = Bench::lab();
        let exact = Backpropagation { on: Forward::Plant }.estimate(&bench.problem(1), &mut lab).unwrap();
        let mut feedback = Feedback::new(FeedbackConfig { nonlinearity: Nonlinearity::One }, Key::new(1));
        let found = feedback.estimate(&bench.problem(1), &mut lab).unwrap();
        assert_eq!(found.loss, exact.loss);
        // Scale and offset before the plant, its controls, matrix and summand behind it.
        let [scale, offset, controls, matrix, summand] = &found.gradients[..] else { panic!() };
        assert!(controls.is_none(), "nobody knows how the outputs go with the controls");
        assert_eq!([matrix, summand], [&exact.gradients[3], &exact.gradients[4]], "behind the last plant it is exact");
        // By hand: the summand's slope is the error through the matrix, summed over the shots.
        let error = bench.slopes_of_outputs(&mut lab);
        let width = offset.as_ref().unwrap().len();
        let mut stream = Key::new(1).branch("feedback-alignment").number(0).stream();
        let sent: Vec<f32> = (0..2 * width).map(|_| stream.normal() / 2.0_f32.sqrt()).collect();
        for (place, slope) in offset.as_ref().unwrap().iter().enumerate() {
            let wanted: f32 = error.chunks_exact(2).map(|e| e[0] * sent[place] + e[1] * sent[width + place]).sum();
            assert!((slope - wanted).abs() < 1e-6, "{slope}, not {wanted}");
        }
        assert!(scale.as_ref().unwrap().iter().any(|slope| *slope != 0.0));
    }

    #[test]
    fn the_loss_falls_while_the_controls_stay() {
        let bench = Bench::mesh();
        let mut lab = Bench::lab();
        let mut feedback = Feedback::new(FeedbackConfig { nonlinearity: Nonlinearity::One }, Key::new(4));
        let mut at = bench.weights.clone();
        let first = feedback.estimate(&bench.problem(1), &mut lab).unwrap().loss.total;
        for step in 1..=150 {
            let found = feedback.estimate(&bench.at(&at).problem(step), &mut lab).unwrap();
            for (weight, gradient) in at.iter_mut().zip(found.gradients) {
                let Some(gradient) = gradient else { continue };
                let gradient = rows::tensor(gradient, weight.tensor.dims());
                weight.tensor = weight.tensor.clone() - gradient.mul_scalar(0.3);
            }
        }
        let last = feedback.estimate(&bench.at(&at).problem(151), &mut lab).unwrap().loss.total;
        assert!(last < 0.92 * first, "{first} to {last}");
    }
}
