//! Where the gradient of an update comes from: the seam on which methods stand.
//!
//! An [`Estimator`] is given a network, its weights, one batch and the plants, and says in which direction the loss rises; the trainer's
//! optimizer follows it. What an estimator draws is a function of the seed and the number of the update, so that a run that is continued
//! draws the same.

mod backpropagation;
mod spsa;

use burn::tensor::{Device, Tensor};
use sims::Key;

pub use backpropagation::Backpropagation;
pub use spsa::{Spsa, SpsaConfig};

use crate::Error;
use crate::network::{NamedTensor, Network, State, Usage, rows};
use crate::plants::Lab;
use crate::training::{Method, TrainingConfig, correct, cross_entropy};

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
    /// The class of each shot.
    pub labels: &'a [u32],
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
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Loss {
    /// Cross-entropy and weighted penalty.
    pub total: f32,
    /// In nats.
    pub cross_entropy: f32,
    /// The range penalty without its weight.
    pub penalty: f32,
    /// The fraction of the batch that was right.
    pub accuracy: f64,
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
    /// Of the network's answers on `device`, and the penalties of the pass that gave them.
    fn new(problem: &Problem<'_>, logits: Tensor<2>, penalties: Vec<Tensor<1>>, device: &Device) -> Self {
        let right = correct(&logits.clone().detach(), problem.labels);
        let entropy = cross_entropy(logits, problem.labels, device);
        let penalty = mean(penalties);
        let loss = match &penalty {
            Some(penalty) => entropy.clone() + penalty.clone().mul_scalar(problem.config.range_penalty),
            None => entropy.clone(),
        };
        let number = |tensor: Tensor<1>| rows::values(tensor.detach())[0];
        let numbers = Loss {
            total: number(loss.clone()),
            cross_entropy: number(entropy),
            penalty: penalty.map_or(0.0, number),
            accuracy: right as f64 / problem.labels.len() as f64,
        };
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
