//! Where the gradient of an update comes from: the seam on which methods stand.
//!
//! An [`Estimator`] is given a network, its weights, one batch and the plants, and says in which direction the loss rises; the trainer's
//! optimizer follows it; or it says itself what the weights become. What an estimator draws is a function of the seed and the number of the
//! update, and what it learns on the way is kept in checkpoints, so that a run that is continued goes on the same.

// Circle with training/estimator/: the list of estimators names each, and each is made of the trait here.

mod backpropagation;
mod cma;
mod differences;
mod dual;
mod equilibrium;
mod feedback;
mod heads;
mod multiplexed;
mod pepg;
mod phyll;
mod reservoir;
mod sharpness;
mod spsa;
#[cfg(test)]
mod tests;
mod trial;
mod wide;

use burn::tensor::{Device, Int, Tensor, TensorData};
use sims::Key;

pub use backpropagation::Backpropagation;
pub use cma::{Cma, CmaConfig, MOST_WEIGHTS};
pub use differences::{Differences, DifferencesConfig};
pub use dual::{Dual, DualConfig};
pub use equilibrium::{Equilibrium, EquilibriumConfig};
pub use feedback::{Feedback, FeedbackConfig};
pub use multiplexed::{Multiplexed, MultiplexedConfig};
pub use pepg::{Pepg, PepgConfig};
pub use phyll::{Phyll, PhyllConfig};
pub use reservoir::{Reservoir, ReservoirConfig};
pub use sharpness::{Sharpness, SharpnessConfig};
pub use spsa::{Spsa, SpsaConfig};

use crate::Error;
use crate::data::Targets;
use crate::document::Document;
use crate::network::{NamedTensor, Network, State, Usage, rows};
use crate::plants::{Forward, Lab};
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

impl Problem<'_> {
    /// The same at other weights.
    fn at<'b>(&'b self, weights: &'b [NamedTensor]) -> Problem<'b> {
        let Self { network, state, targets, objective, config, step, .. } = *self;
        Problem { network, weights, state, inputs: self.inputs.clone(), targets, objective, config, step }
    }
}

/// What an estimator found.
pub struct Estimate {
    /// The gradient of the loss at each weight, row-major; none where nothing depends on it.
    pub gradients: Vec<Option<Vec<f32>>>,
    /// The values that the weights get, where they follow no gradient.
    pub set: Option<Vec<Vec<f32>>>,
    /// The loss, averaged over the passes.
    pub loss: Loss,
    /// How the passes used the ranges of the plants.
    pub usage: Usage,
    /// What the layers remember after the passes.
    pub state: State,
    /// `[shots, outputs]`: what the network gave of all shots, where one pass gave the loss and its gradient.
    pub outputs: Option<Tensor<2>>,
}

impl Estimate {
    /// No shot is left to learn from: nothing moves.
    fn unmoved(weights: usize, loss: Loss, usage: Usage, state: State) -> Self {
        Self { gradients: (0..weights).map(|_| None).collect(), set: None, loss, usage, state, outputs: None }
    }
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
    /// Of several read-outs: the mean squared cosine between the gradients of two.
    pub alignment: Option<f32>,
    /// Of the batch.
    pub scores: Scores,
}

impl Loss {
    /// Nothing yet, for a mean.
    fn none(kind: ObjectiveKind) -> Self {
        Self { total: 0.0, objective: 0.0, penalty: 0.0, alignment: None, scores: Scores::new(kind, &[]) }
    }
}

/// Rows of which it is asked what a network says.
pub struct Question<'a> {
    /// The network.
    pub network: &'a Network,
    /// Its weights.
    pub weights: &'a [Tensor<2>],
    /// `[shots, width]`: the rows.
    pub inputs: Tensor<2>,
    /// What its layers remember; nobody keeps what a test changes.
    pub state: &'a mut State,
    /// Who computes the physical layers.
    pub on: Forward,
}

/// Estimates the gradient of the loss.
pub trait Estimator {
    /// Runs the network, and says how the loss depends on each weight.
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error>;

    /// `[shots, outputs]`: what the network says of some rows, where that is not what its last layer gives.
    fn answer(&self, _question: Question<'_>, _lab: &mut Lab) -> Result<Option<Tensor<2>>, Error> {
        Ok(None)
    }

    /// What it has learned besides the weights, for a checkpoint.
    fn remembered(&self) -> Vec<NamedTensor> {
        vec![]
    }

    /// Goes on with what one before it has learned; the rest of a sentence says what cannot be.
    fn recall(&mut self, _tensors: &[NamedTensor]) -> Result<(), String> {
        Ok(())
    }
}

/// Refuses a number of the table `[training.METHOD]` that is not above 0.
fn positive(method: &str, key: &str, value: f64, document: &Document) -> Result<(), Error> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(document.refuse(&format!("training.{method}.{key}"), format!("is {value}, but it must be above 0")))
}

impl Method {
    /// What estimates its gradients; `key` is the root of what is random in the training.
    pub fn estimator(self, config: &TrainingConfig, key: Key) -> Box<dyn Estimator> {
        let around = |on: Forward| {
            let config = config.sharpness_aware.clone().unwrap_or_default();
            Box::new(Sharpness::new(config, Box::new(Backpropagation { on })))
        };
        match self {
            Self::PhysicsAware | Self::InSilico | Self::NoiseAware | Self::Ideal => {
                Box::new(Backpropagation { on: self.forward() })
            }
            Self::SharpnessAware | Self::SharpnessInSilico => around(self.forward()),
            Self::FeedbackAlignment => {
                Box::new(Feedback::new(config.feedback_alignment.clone().unwrap_or_default(), key))
            }
            Self::Spsa => Box::new(Spsa::new(config.spsa.clone().unwrap_or_default(), key)),
            Self::Multiplexed => Box::new(Multiplexed::new(config.multiplexed.clone().unwrap_or_default(), key)),
            Self::Pepg => Box::new(Pepg::new(config.pepg.clone().unwrap_or_default(), key)),
            Self::CmaEs => Box::new(Cma::new(config.cma_es.clone().unwrap_or_default(), key)),
            Self::FiniteDifferences => {
                Box::new(Differences::new(config.finite_differences.clone().unwrap_or_default()))
            }
            Self::Reservoir => Box::new(Reservoir::new(config.reservoir.clone().unwrap_or_default())),
            Self::Phyll => Box::new(Phyll::new(config.phyll.clone().unwrap_or_default(), key)),
            Self::DualAdaptive => Box::new(Dual::new(config.dual_adaptive.clone().unwrap_or_default(), key)),
            Self::EquilibriumPropagation => {
                Box::new(Equilibrium::new(config.equilibrium_propagation.clone().unwrap_or_default()))
            }
        }
    }

    /// How often one update of so many weights drives a plant with its batch.
    pub fn plant_passes(self, config: &TrainingConfig, weights: usize) -> usize {
        match self {
            Self::PhysicsAware | Self::Ideal | Self::FeedbackAlignment | Self::Reservoir | Self::DualAdaptive => 1,
            Self::InSilico | Self::NoiseAware | Self::SharpnessInSilico => 0,
            Self::SharpnessAware | Self::Phyll => 2,
            Self::EquilibriumPropagation => 3,
            Self::Spsa => config.spsa.clone().unwrap_or_default().passes(),
            Self::Multiplexed => config.multiplexed.clone().unwrap_or_default().passes(),
            Self::Pepg => config.pepg.clone().unwrap_or_default().passes(),
            Self::CmaEs => config.cma_es.clone().unwrap_or_default().passes(weights),
            Self::FiniteDifferences => config.finite_differences.clone().unwrap_or_default().passes(weights),
        }
    }

    /// How often it drives a plant with each row that it is tried on, where there are so many classes.
    pub fn passes_of_a_test(self, classes: usize) -> usize {
        if self == Self::Phyll { classes.max(1) } else { 1 }
    }

    /// Refuses a network that it cannot train, before anything is driven.
    pub fn fits(self, network: &Network, config: &TrainingConfig, document: &Document) -> Result<(), Error> {
        let weights = network.weight_count();
        let mut tables = [("cells", network.grows()), ("motion", network.moves())].into_iter().filter(|(_, is)| *is);
        if let Some(message) = tables.find_map(|(table, _)| self.by_rows(table)) {
            return Err(document.refuse("training.method", message));
        }
        match self {
            Self::CmaEs if MOST_WEIGHTS < weights => Err(document.refuse(
                "training.method",
                format!(
                    "is cma-es, which learns the covariance of at most {MOST_WEIGHTS} weights, but there are {weights}: take `pepg` or `spsa`"
                ),
            )),
            _ if network.heads().is_some() && !self.trains_heads() => {
                Err(document.refuse("training.method", self.no_heads()))
            }
            // Those that need a twin differentiate the loss of one pass, which is what critics learn from.
            _ if network.has_critics() && !self.needs_twin() => Err(document.refuse(
                "training.method",
                format!("is {self}, but the critics of [motion] learn from one pass that is differentiated: take physics-aware, or `motion.objective = \"windows\"`"),
            )),
            Self::Reservoir if network.last_kind() != Some("linear") => Err(document.refuse(
                "training.method",
                "is reservoir, which fits the read-out by ridge regression: end the layers with one of kind `linear`".to_owned(),
            )),
            Self::FeedbackAlignment if network.is_read_only() => Err(document.refuse(
                "training.method",
                "is feedback-alignment, which trains digital layers, but none has weights: add one, such as `scale-offset`".to_owned(),
            )),
            Self::Phyll => phyll_fits(network, document),
            Self::EquilibriumPropagation => equilibrium_fits(network, config, document),
            _ => Ok(()),
        }
    }
}

/// Refuses a network whose stages cannot learn by themselves.
fn phyll_fits(network: &Network, document: &Document) -> Result<(), Error> {
    let message = if network.label().is_none() {
        "is phyll, which shows each row with its class and with a wrong one: add a layer of kind `label`, best the first"
            .to_owned()
    } else if !network.stages().contains(&true) {
        "is phyll, which trains digital layers, but none has weights: add one, such as `linear`".to_owned()
    } else if let Some(layer) = network.normalizing() {
        format!("is phyll, but layer {layer} (normalize) has statistics of rows without a class: leave it out")
    } else {
        return Ok(());
    };
    Err(document.refuse("training.method", message))
}

/// Refuses a network without one plant that settles and says how.
fn equilibrium_fits(network: &Network, config: &TrainingConfig, document: &Document) -> Result<(), Error> {
    let plants = network.plants();
    let [(_, plant, ports)] = plants[..] else {
        let message = format!(
            "is equilibrium-propagation, which lets one plant settle, but {} layers are physical: take one",
            plants.len()
        );
        return Err(document.refuse("training.method", message));
    };
    let complaint = config.equilibrium_propagation.clone().unwrap_or_default().complaint(ports);
    complaint.map_or(Ok(()), |complaint| {
        let message = format!(
            "is equilibrium-propagation, which reads how a plant that settles goes with its controls, but plant `{plant}` {complaint}: take \
             another method, such as `spsa`"
        );
        Err(document.refuse("training.method", message))
    })
}

/// The shots that have a part in the loss, where not all have.
struct Kept(Option<(Tensor<1, Int>, Targets)>);

impl Kept {
    /// Where none is left, the loss is that of all, and nobody asks for its gradient.
    fn of(problem: &Problem<'_>, kept: Option<Vec<usize>>, device: &Device) -> Self {
        Self(kept.filter(|kept| !kept.is_empty()).map(|kept| {
            let rows: Vec<i64> = kept.iter().map(|row| *row as i64).collect();
            let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [kept.len()]), device);
            (rows, problem.targets.pick(&kept))
        }))
    }

    /// Their rows.
    fn rows(&self, values: Tensor<2>) -> Tensor<2> {
        match &self.0 {
            Some((rows, _)) => values.select(0, rows.clone()),
            None => values,
        }
    }

    /// What is to be learned of them.
    fn targets<'t>(&'t self, problem: &Problem<'t>) -> &'t Targets {
        self.0.as_ref().map_or(problem.targets, |(_, targets)| targets)
    }
}

/// A loss that can be differentiated, with its numbers.
struct Graph {
    loss: Tensor<1>,
    numbers: Loss,
}

impl Graph {
    /// Of the network's outputs on `device`, and the penalties of the pass that gave them; of the shots that are `kept`, where not all are.
    fn new(
        problem: &Problem<'_>,
        outputs: Tensor<2>,
        (penalties, kept): (Vec<Tensor<1>>, Option<Vec<usize>>),
        device: &Device,
    ) -> Self {
        let kept = Kept::of(problem, kept, device);
        let (outputs, targets) = (kept.rows(outputs), kept.targets(problem));
        let scores = problem.objective.batch_scores(&outputs.clone().detach(), targets);
        let own = problem.objective.loss_at(problem.step, outputs, targets, device);
        let penalty = mean(penalties);
        let loss = match &penalty {
            Some(penalty) => own.clone() + penalty.clone().mul_scalar(problem.config.range_penalty),
            None => own.clone(),
        };
        let number = |tensor: Tensor<1>| rows::values(tensor.detach())[0];
        let numbers = Loss {
            total: number(loss.clone()),
            objective: number(own),
            penalty: penalty.map_or(0.0, number),
            alignment: None,
            scores,
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
