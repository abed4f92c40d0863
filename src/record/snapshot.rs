//! All that decides how a training goes on: taken between two steps, and put back.
//!
//! Tensors are shared, not copied, so taking one costs next to nothing; what it is written with is another thread's work.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::data::Answers;
use crate::event::Evaluated;
use crate::network::{NamedTensor, Usage};
use crate::plants::PlantState;

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
    /// What the network said of each row of the test set, when it was last met.
    #[serde(default)]
    pub answers: Answers,
    /// Shots taken while training.
    pub training_shots: u64,
    /// Range use over all steps.
    pub usage: Usage,
    /// Seconds in plant, twin, digital layers, overhead.
    pub seconds: [f64; 4],
    /// What validation has decided so far.
    #[serde(default)]
    pub choice: Choice,
    /// Whether statistics are to be measured anew before the next update.
    #[serde(default)]
    pub renew: bool,
    /// The optimizer's count of updates, for each weight; 0 before the first.
    pub adam: Vec<usize>,
    /// Each plant: its meter and, where it is simulated, where its bench is in its life.
    pub plants: BTreeMap<String, PlantState>,
    /// What monitors remember.
    pub monitors: BTreeMap<String, toml::Table>,
}

/// The longest time that a checkpoint may count, in s: some thirty thousand years of bench time.
const LONGEST: f64 = 1e12;
/// The most updates, as `training.steps` is bounded.
const MOST_STEPS: usize = 1_000_000_000;

impl Position {
    /// The position that TOML says, if a training can have left it; else the rest of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let position: Self = toml::from_str(text)
            .map_err(|error| format!("is not a checkpoint: its position cannot be read: {}", error.message()))?;
        position.complaint().map_or(Ok(position), Err)
    }

    /// What no training can have left, if anything.
    pub fn complaint(&self) -> Option<String> {
        let mut evaluated = self.last.iter().flat_map(|last| [last.scores(), last.believed]);
        let of_plants = self.plants.values().flat_map(|plant| {
            let moment = plant.moment.map_or(0.0, |moment| moment.1);
            [plant.plant_seconds, plant.wall_seconds, moment]
        });
        let of_tests = self.last.iter().map(|last| last.plant_seconds);
        let mut times = self.seconds.iter().copied().chain(of_plants).chain(of_tests);
        if let Some(bad) = times.find(|seconds| !(0.0..=LONGEST).contains(seconds)) {
            return Some(format!("counts {bad} s: 0 to {LONGEST:e} s was expected"));
        }
        if let Some((score, bad)) = evaluated.find_map(|scores| scores.impossible()) {
            let [least, most] = score.range;
            return Some(format!("has the {} {bad}: {least} to {most} was expected", score.words));
        }
        if MOST_STEPS < self.done || self.done < self.epoch || self.rows < self.at {
            return Some(format!(
                "is {} of {} rows into pass {} after {} updates, which cannot be",
                self.at, self.rows, self.epoch, self.done
            ));
        }
        if let Some(bad) = self.adam.iter().find(|time| self.done < **time) {
            return Some(format!("counts {bad} updates of a weight after {} updates in all", self.done));
        }
        let used = self.usage.range_use;
        (!used.is_finite() || used < 0.0).then(|| format!("has the range use {used}, which cannot be"))
    }
}

/// All that decides how a training goes on.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its numbers.
    pub position: Position,
    /// `weight/…`, `moment-1/…`, `moment-2/…` and `best/…` of each weight, as far as there are any; `state/…` and `best-state/…` of what
    /// layers remember besides; `method/…` of what the method has learned.
    pub tensors: Vec<NamedTensor>,
}

/// What validation has decided so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Choice {
    /// The best value of the score that decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
    /// The update after which it was reached.
    #[serde(default)]
    pub best_step: usize,
    /// Validations since then.
    #[serde(default)]
    pub since_best: usize,
    /// Validations since the step size last fell, or the best one.
    #[serde(default)]
    pub since_decay: usize,
    /// How often the step size fell.
    #[serde(default)]
    pub decays: usize,
    /// Whether the training has ended because nothing got better for long enough.
    #[serde(default)]
    pub ended: bool,
}
