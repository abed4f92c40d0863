//! `[training.drift]` and `[training.refresh]`: what an experiment asks of the upkeep of its twins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub every_shots: u64,
    /// Shots of the pattern.
    #[schemars(range(min = 1, max = 1024))]
    pub pattern: usize,
    /// Takes before the first step, from which noise and threshold come; at least 8.
    #[schemars(range(min = 8, max = 1024))]
    pub first_takes: usize,
    /// Takes between two false alarms, on average, at least.
    #[schemars(range(min = 10, max = 1e6))]
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
    #[schemars(range(min = 20, max = 100_000))]
    pub shots: usize,
    /// Shots of the fixed reference set, taken anew for each refresh.
    #[schemars(range(min = 20, max = 10_000))]
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
