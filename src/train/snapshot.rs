//! All that decides how a training goes on: taken between two steps, and put back.
//!
//! Tensors are shared, not copied, so taking one costs next to nothing; what it is written with is another thread's work.

use std::collections::BTreeMap;
use std::time::Duration;

use burn::optim::{AdamState, AdaptiveMomentumState};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{NamedTensor, TimeShares, Trainer};
use crate::lab::{Lab, PlantState};
use crate::layer::Usage;
use crate::run::Evaluated;

/// Numbers of a snapshot.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Updates done, their tests included.
    pub done: usize,
    /// The epoch that the batches are in, and how many of its rows were given.
    pub epoch: usize,
    /// See `epoch`.
    pub at: usize,
    /// Rows that are learned from: a snapshot of other data is refused.
    pub rows: usize,
    /// The last test.
    pub last: Option<Evaluated>,
    /// What the network said of each row of the test set then.
    #[serde(default)]
    pub answers: Vec<u32>,
    /// Shots taken while training.
    pub training_shots: u64,
    /// Range use over all steps.
    pub usage: Usage,
    /// Seconds in plant, twin, digital layers, overhead.
    pub seconds: [f64; 4],
    /// Adam's count of updates, for each weight; 0 before the first.
    pub adam: Vec<usize>,
    /// Each plant: its meter and, where it is simulated, where its bench is in its life.
    pub plants: BTreeMap<String, PlantState>,
    /// What monitors remember.
    pub monitors: BTreeMap<String, toml::Table>,
}

/// All that decides how a training goes on.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its numbers.
    pub position: Position,
    /// `weight/…`, `moment-1/…` and `moment-2/…` of each weight.
    pub tensors: Vec<NamedTensor>,
}

/// What the tensors of a weight are called: its values, and Adam's two moments.
const KINDS: [&str; 3] = ["weight", "moment-1", "moment-2"];

impl Trainer<'_> {
    /// All that decides how it goes on from here.
    pub fn snapshot(&self, lab: &Lab) -> Snapshot {
        let named = |kind: &str, name: &str, tensor: &Tensor<2>| NamedTensor {
            name: format!("{kind}/{name}"),
            tensor: tensor.clone(),
        };
        let mut tensors = Vec::new();
        for (weight, state) in self.weights.iter().zip(&self.states) {
            tensors.push(named(KINDS[0], &weight.name, &weight.tensor));
            if let Some(AdamState { momentum }) = state {
                tensors.push(named(KINDS[1], &weight.name, &momentum.moment_1));
                tensors.push(named(KINDS[2], &weight.name, &momentum.moment_2));
            }
        }
        let time = self.time;
        let position = Position {
            done: self.done,
            epoch: self.batches.epoch,
            at: self.batches.at,
            rows: self.batches.order.len(),
            last: self.last,
            answers: self.answers.clone(),
            training_shots: self.training_shots,
            usage: self.usage,
            seconds: [time.plant, time.twin, time.digital, time.overhead].map(|time| time.as_secs_f64()),
            adam: self.states.iter().map(|state| state.as_ref().map_or(0, |state| state.momentum.time)).collect(),
            plants: lab.states(),
            monitors: BTreeMap::new(),
        };
        Snapshot { position, tensors }
    }

    /// Goes on from `snapshot`; the sentence says what does not fit.
    pub fn restore(&mut self, snapshot: &Snapshot, lab: &mut Lab) -> Result<(), String> {
        let position = &snapshot.position;
        if position.rows != self.batches.order.len() {
            return Err(format!("was made with {} training rows, not {}", position.rows, self.batches.order.len()));
        }
        let find = |kind: &str, weight: &NamedTensor| {
            let name = format!("{kind}/{}", weight.name);
            let tensor = snapshot.tensors.iter().find(|tensor| tensor.name == name).map(|named| named.tensor.clone());
            let tensor = tensor.ok_or_else(|| format!("has no tensor `{name}`"))?;
            let [found, wanted] = [tensor.dims(), weight.tensor.dims()];
            if found == wanted { Ok(tensor) } else { Err(format!("has `{name}` of shape {found:?}, not {wanted:?}")) }
        };
        let (mut weights, mut states) = (Vec::new(), Vec::new());
        for (index, weight) in self.weights.iter().enumerate() {
            let time = position.adam.get(index).copied().unwrap_or(0);
            weights.push(NamedTensor { name: weight.name.clone(), tensor: find(KINDS[0], weight)? });
            states.push(if time == 0 {
                None
            } else {
                let momentum = AdaptiveMomentumState::new(time, find(KINDS[1], weight)?, find(KINDS[2], weight)?);
                Some(AdamState::new(momentum))
            });
        }
        lab.restore(&position.plants)?;
        (self.weights, self.states) = (weights, states);
        self.batches.go_to(position.epoch, position.at);
        (self.done, self.last, self.training_shots) = (position.done, position.last, position.training_shots);
        self.answers.clone_from(&position.answers);
        let [plant, twin, digital, overhead] = position.seconds.map(Duration::from_secs_f64);
        (self.usage, self.time) = (position.usage, TimeShares { plant, twin, digital, overhead });
        Ok(())
    }
}
