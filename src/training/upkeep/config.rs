//! `[training.drift]` and `[training.refresh]`: what an experiment asks of the upkeep of its twins, and what that costs.

use drivers::Card;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{REFERENCE_PER_SETTING, noise};
use crate::training::{Method, TrainingConfig};

/// What an alarm does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnAlarm {
    /// Tells.
    #[default]
    Warn,
    /// Pauses until somebody resumes.
    Pause,
    /// Fits the twin anew.
    Refresh,
    /// Measures the statistics of the layers that normalize anew.
    Normalize,
}

/// `[training.drift]`: a reference pattern during training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DriftConfig {
    /// The pattern is taken after every so many training shots of a plant.
    #[schemars(range(max = 1_000_000_000_000_u64))]
    pub every_shots: u64,
    /// Shots of the pattern.
    #[schemars(range(max = 1024))]
    pub pattern: usize,
    /// Takes before the first step, from which noise and threshold come; at least 8.
    #[schemars(range(max = 1024))]
    pub first_takes: usize,
    /// Takes between two false alarms, on average, at least.
    pub takes_between_false_alarms: f64,
    /// What an alarm does.
    pub on_alarm: OnAlarm,
}

impl Default for DriftConfig {
    fn default() -> Self {
        Self {
            every_shots: 5000,
            pattern: 8,
            first_takes: 32,
            takes_between_false_alarms: 2000.0,
            on_alarm: OnAlarm::Warn,
        }
    }
}

/// `[training.refresh]`: the twin is fitted anew during training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RefreshConfig {
    /// After every so many passes over the data; 0: only where the drift monitor asks for it.
    #[schemars(range(max = 1_000_000))]
    pub every_epochs: usize,
    /// The newest training shots that it is fitted to.
    #[schemars(range(max = 100_000))]
    pub shots: usize,
    /// Shots of the fixed reference set, taken anew for each refresh.
    #[schemars(range(max = 10_000))]
    pub reference_shots: usize,
    /// Passes of the small network over these shots; 0: coefficients and corrections only.
    #[schemars(range(max = 10_000))]
    pub network_epochs: usize,
    /// Whether the statistics of the layers that normalize are measured anew with each refresh, and on a drift alarm (false).
    pub normalize: bool,
}

impl Default for RefreshConfig {
    fn default() -> Self {
        Self { every_epochs: 5, shots: 1000, reference_shots: 200, network_epochs: 0, normalize: false }
    }
}

/// Shots and bench time, in s, that looking after one plant will take, when a training on `rows` rows drives it `shots` times
/// itself. What an alarm would ask for is not in it.
pub fn cost(config: &TrainingConfig, method: Method, (rows, shots): (usize, u64), card: &Card) -> (u64, f64) {
    let settle = if card.ports.control_count() == 0 { 0.0 } else { card.timing.settle };
    let takes = |times: u64, shots: usize| (times * shots as u64, times as f64 * (settle + card.timing.batch(shots)));
    let parts = match method {
        Method::PhysicsAware => {
            let drift = config.drift.as_ref().map(|drift| {
                let every = drift.every_shots.max(1) + drift.pattern as u64;
                takes(drift.first_takes.max(8) as u64 + shots / every, drift.pattern)
            });
            let refresh = config.refresh.as_ref().filter(|refresh| refresh.every_epochs > 0).map(|refresh| {
                let times = config.steps / epoch_steps(rows, config.batch) / refresh.every_epochs;
                let settings = refresh.reference_shots.div_ceil(REFERENCE_PER_SETTING);
                takes((times * settings) as u64, refresh.reference_shots / settings.max(1))
            });
            [drift, refresh]
        }
        Method::NoiseAware => [Some(noise::cost(&card.timing, settle)), None],
        _ => [None, None],
    };
    parts.into_iter().flatten().fold((0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
}

/// Updates in a pass over `rows` rows.
pub(super) fn epoch_steps(rows: usize, batch: usize) -> usize {
    (rows / batch.min(rows).max(1)).max(1)
}
