//! What a trainer leaves for a checkpoint, and how it goes on from one.

use std::collections::BTreeMap;
use std::time::Duration;

use burn::tensor::Tensor;

use super::optimizer::Moments;
use super::{Keep, Trainer};
use crate::event::TimeShares;
use crate::network::NamedTensor;
use crate::plants::Lab;
use crate::record::{Position, Snapshot};

/// What the tensors of a weight are called: its values, the optimizer's two moments, and its values at the best validation.
const KINDS: [&str; 4] = ["weight", "moment-1", "moment-2", "best"];
/// What layers remember, and what they remembered at the best validation.
const STATES: [&str; 2] = ["state", "best-state"];
/// What the method has learned besides the weights, and what the objective has.
const METHOD: &str = "method";
const OBJECTIVE: &str = "objective";

impl Trainer<'_> {
    /// All that decides how it goes on from here.
    pub fn snapshot(&self, lab: &Lab) -> Snapshot {
        let named = |kind: &str, name: &str, tensor: &Tensor<2>| NamedTensor {
            name: format!("{kind}/{name}"),
            tensor: tensor.clone(),
        };
        let mut tensors = Vec::new();
        for (weight, state) in self.weights.iter().zip(&self.moments) {
            tensors.push(named(KINDS[0], &weight.name, &weight.tensor));
            if let Some(Moments { first, second, .. }) = state {
                tensors.push(named(KINDS[1], &weight.name, first));
                tensors.extend(second.iter().map(|second| named(KINDS[2], &weight.name, second)));
            }
        }
        tensors.extend(self.best.0.iter().map(|best| named(KINDS[3], &best.name, &best.tensor)));
        for (kind, state) in STATES.into_iter().zip([&self.state, &self.best.1]) {
            let remembered = self.network.remembered(state);
            tensors.extend(remembered.iter().map(|one| named(kind, &one.name, &one.tensor)));
        }
        for (kind, learned) in [(METHOD, self.estimator.remembered()), (OBJECTIVE, self.objective.remembered())] {
            tensors.extend(learned.iter().map(|one| named(kind, &one.name, &one.tensor)));
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
            choice: self.choice,
            renew: self.renew,
            adam: self.moments.iter().map(|state| state.as_ref().map_or(0, |state| state.time)).collect(),
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
        if let Some(complaint) = position.complaint() {
            return Err(complaint);
        }
        if let Some(last) = position.last.filter(|last| last.believed.kind() != self.objective.kind().judged()) {
            return Err(format!("was made to {}, not to {}", last.believed.kind(), self.objective.kind()));
        }
        let answers = Some(&position.answers).filter(|answers| !answers.is_empty());
        if let Some(complaint) = answers.and_then(|answers| self.objective.complaint(answers, self.data.test.len())) {
            return Err(complaint);
        }
        let find = |kind: &str, weight: &NamedTensor| {
            let name = format!("{kind}/{}", weight.name);
            let tensor = snapshot.tensors.iter().find(|tensor| tensor.name == name).map(|named| named.tensor.clone());
            let tensor = tensor.ok_or_else(|| format!("has no tensor `{name}`"))?;
            let [found, wanted] = [tensor.dims(), weight.tensor.dims()];
            if found == wanted { Ok(tensor) } else { Err(format!("has `{name}` of shape {found:?}, not {wanted:?}")) }
        };
        let (mut weights, mut states, mut best) = (Vec::new(), Vec::new(), Vec::new());
        for (index, weight) in self.weights.iter().enumerate() {
            let time = position.adam.get(index).copied().unwrap_or(0);
            weights.push(NamedTensor { name: weight.name.clone(), tensor: find(KINDS[0], weight)? });
            states.push(if time == 0 {
                None
            } else {
                let has_second = self.config.optimizer.has_second();
                let second = has_second.then(|| find(KINDS[2], weight)).transpose()?;
                Some(Moments { time, first: find(KINDS[1], weight)?, second })
            });
            let has_best = self.config.keep == Keep::Best && position.choice.best.is_some();
            if has_best {
                best.push(NamedTensor { name: weight.name.clone(), tensor: find(KINDS[3], weight)? });
            }
        }
        // A snapshot of before there was any state has none.
        let all = |kind: &str| {
            let of_kind = |named: &NamedTensor| {
                let (found, name) = named.name.split_once('/')?;
                (found == kind).then(|| NamedTensor { name: name.to_owned(), tensor: named.tensor.clone() })
            };
            snapshot.tensors.iter().filter_map(of_kind).collect::<Vec<_>>()
        };
        let [state, best_state] = [self.network.recall(&all(STATES[0]))?, self.network.recall(&all(STATES[1]))?];
        self.estimator.recall(&all(METHOD))?;
        self.objective.recall(&all(OBJECTIVE))?;
        lab.restore(&position.plants)?;
        (self.weights, self.moments, self.choice) = (weights, states, position.choice);
        (self.state, self.best, self.renew) = (state, (best, best_state), position.renew);
        // After the last update no batch is asked for any more.
        if position.done < self.config.steps {
            self.batches.go_to(position.epoch, position.at);
        }
        (self.done, self.last, self.training_shots) = (position.done, position.last, position.training_shots);
        self.answers.clone_from(&position.answers);
        let [plant, twin, digital, overhead] = position.seconds.map(Duration::from_secs_f64);
        (self.usage, self.time) = (position.usage, TimeShares { plant, twin, digital, overhead });
        Ok(())
    }
}
