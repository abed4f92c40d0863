//! How a run is kept: the table `[run]` of an experiment. Nothing here changes what is trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Cadence;

/// How a run is kept. Nothing here changes what is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// A checkpoint is made after so many steps; 0: however many (0).
    pub checkpoint_steps: usize,
    /// A checkpoint is made after so many seconds; 0: however long (2).
    pub checkpoint_seconds: f64,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { checkpoint_steps: 0, checkpoint_seconds: 2.0 }
    }
}

impl RunConfig {
    /// How often a checkpoint is made.
    pub fn cadence(&self) -> Cadence {
        Cadence { steps: self.checkpoint_steps, seconds: self.checkpoint_seconds }
    }
}
