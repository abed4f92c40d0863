//! Where the gradient of an update comes from: the seam on which methods stand.
//!
//! An [`Estimator`] is given a network, its weights, one batch and the plants, and says in which direction the loss rises; the trainer's
//! optimizer follows it. What an estimator draws is a function of the seed and the number of the update, so that a run that is continued
//! draws the same.

// Circle with training/estimator/: the list of estimators names each, and each is made of the trait here.

mod backpropagation;
mod spsa;

use burn::tensor::{Device, Tensor};
use sims::Key;

pub use backpropagation::Backpropagation;
pub use spsa::{Spsa, SpsaConfig};

use crate::Error;
use crate::data::Targets;
use crate::network::{NamedTensor, Network, State, Usage, rows};
use crate::plants::Lab;
use crate::scores::{ObjectiveKind, Scores};
use crate::training::{Method, Objective, TrainingConfig};

/// What an update is to be made of.
pub struct Problem<'a> {
    /// The network.
    pub network: &'a Network,
    /// Its weights before the update.
    pub weights: &'a [NamedTensor],
    /// What its layers remember before the update.
    pub state: &'a State,
    /// `[shots, width]`: the batch.
    pub inputs: Tensor<2>,
    /// What is to be learned of each shot.
    pub targets: &'a Targets,
    /// How.
    pub objective: &'a dyn Objective,
    /// How to learn.
    pub config: &'a TrainingConfig,
    /// The number of the update, counted from 1.
    pub step: usize,
}

/// What an estimator found.
pub struct Estimate {
    /// The gradient of the loss at each weight, row-major; none where nothing depends on it.
    pub gradients: Vec<Option<Vec<f32>>>,
    /// The loss, averaged over the passes.
    pub loss: Loss,
    /// How the passes used the ranges of the plants.
    pub usage: Usage,
    /// What the layers remember after the passes.
    pub state: State,
}

/// A loss and its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// The objective's loss and the weighted penalty.
    pub total: f32,
    /// The objective's own.
    pub objective: f32,
    /// The range penalty without its weight.
    pub penalty: f32,
    /// Of the batch.
    pub scores: Scores,
}

impl Loss {
    /// Nothing yet, for a mean.
    fn none(kind: ObjectiveKind) -> Self {
        Self { total: 0.0, objective: 0.0, penalty: 0.0, scores: Scores::new(kind, &[]) }
    }
}

/// Estimates the gradient of the loss.
pub trait Estimator {
    /// Runs the network, and says how the loss depends on each weight.
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error>;
}

impl Method {
    /// What estimates its gradients; `key` is the root of what is random in the training.
    pub fn estimator(self, config: &TrainingConfig, key: Key) -> Box<dyn Estimator> {
        match self {
            Self::Spsa => Box::new(Spsa::new(config.spsa.clone().unwrap_or_default(), key)),
            Self::PhysicsAware | Self::InSilico | Self::NoiseAware | Self::Ideal => {
                Box::new(Backpropagation { on: self.forward() })
            }
        }
    }

    /// How often one update drives a plant with its batch.
    pub fn plant_passes(self, config: &TrainingConfig) -> usize {
        match self {
            Self::PhysicsAware | Self::Ideal => 1,
            Self::InSilico | Self::NoiseAware => 0,
            Self::Spsa => config.spsa.clone().unwrap_or_default().passes(),
        }
    }
}

/// A loss that can be differentiated, with its numbers.
struct Graph {
    loss: Tensor<1>,
    numbers: Loss,
}

impl Graph {
    /// Of the network's outputs on `device`, and the penalties of the pass that gave them.
    fn new(problem: &Problem<'_>, outputs: Tensor<2>, penalties: Vec<Tensor<1>>, device: &Device) -> Self {
        let scores = problem.objective.batch_scores(&outputs.clone().detach(), problem.targets);
        let own = problem.objective.loss_at(problem.step, outputs, problem.targets, device);
        let penalty = mean(penalties);
        let loss = match &penalty {
            Some(penalty) => own.clone() + penalty.clone().mul_scalar(problem.config.range_penalty),
            None => own.clone(),
        };
        let number = |tensor: Tensor<1>| rows::values(tensor.detach())[0];
        let numbers =
            Loss { total: number(loss.clone()), objective: number(own), penalty: penalty.map_or(0.0, number), scores };
        Self { loss, numbers }
    }
}

/// How sharp the range penalty of a pass is; none where nobody reads it.
fn sharpness(config: &TrainingConfig) -> Option<f32> {
    (0.0 < config.range_penalty).then_some(config.range_sharpness)
}

/// The mean of some numbers, if there are any.
fn mean(terms: Vec<Tensor<1>>) -> Option<Tensor<1>> {
    let count = terms.len();
    terms.into_iter().reduce(|sum, term| sum + term).map(|sum| sum.div_scalar(count as f64))
}
