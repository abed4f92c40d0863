//! `--dry-run`: the plan, and the first batches held against every limit without driving any plant.

use std::path::Path;

use serde::Serialize;
use sims::Key;

use crate::comparison::Prepared;
use crate::layer::Network;
use crate::plan::Plan;
use crate::train::Trainer;
use crate::{Error, Method};

/// Batches that are held against the limits.
const BATCHES: usize = 3;

/// What a training would be, as far as can be told without a plant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rehearsal {
    /// What it would cost.
    pub plan: Plan,
    /// Shots that were held against the limits.
    pub checked_shots: u64,
    /// Fraction of the range that they would use.
    pub range_use: f64,
    /// Fraction of the values that the hard clamp would change.
    pub clipping_rate: f64,
}

impl Prepared {
    /// Plans a training by `method`, and checks its first batches. Nothing is driven, nothing is written.
    pub fn rehearse(&self, method: Method, seed: u64, runs: &Path) -> Result<Rehearsal, Error> {
        let data = self.load(seed)?;
        let mut lab = self.lab(method, seed)?;
        let network = Network::build(&self.experiment.layers, &self.document, &lab, [data.width, data.classes])?;
        let mut experiment = self.experiment.clone();
        experiment.training = experiment.training.counted(data.train.len());
        let mut trainer = Trainer::new(network, &data, &experiment.training, method, Key::new(seed));
        let plan = Plan::new(&experiment, method, (&data, trainer.weight_count()), &lab, runs);
        plan.check(runs)?;
        lab.rehearse();
        let usage = trainer.try_batches(BATCHES, &mut lab)?;
        Ok(Rehearsal {
            plan,
            checked_shots: lab.rehearsed_shots(),
            range_use: usage.mean_range_use(),
            clipping_rate: usage.clipping_rate(),
        })
    }
}
