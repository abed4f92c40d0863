//! How a run is kept: the table `[run]` of an experiment. Nothing here changes what is trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AlarmConfig, Cadence};
use crate::{Document, Error};

/// How a run is kept. Nothing here changes what is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// A checkpoint is made after so many steps; 0: however many (0).
    pub checkpoint_steps: usize,
    /// A checkpoint is made after so many seconds; 0: however long (2).
    pub checkpoint_seconds: f64,
    /// Whether every shot is recorded, as Arrow streams in the folder `shots` of the run (false).
    pub record: bool,
    /// An address such as `127.0.0.1:9090` where Prometheus can ask for metrics while the run goes; empty: none.
    pub metrics: String,
    /// What raises an alarm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<AlarmConfig>,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { checkpoint_steps: 0, checkpoint_seconds: 2.0, record: false, metrics: String::new(), alarms: vec![] }
    }
}

impl RunConfig {
    /// How often a checkpoint is made.
    pub fn cadence(&self) -> Cadence {
        Cadence { steps: self.checkpoint_steps, seconds: self.checkpoint_seconds }
    }

    /// Refuses what makes no sense.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        if !(self.checkpoint_seconds >= 0.0 && self.checkpoint_seconds.is_finite()) {
            let message = format!("is {}, but it must not be negative", self.checkpoint_seconds);
            return Err(document.refuse("run.checkpoint_seconds", message));
        }
        if !self.metrics.is_empty() && self.metrics.parse::<std::net::SocketAddr>().is_err() {
            let message =
                format!("is `{}`, but an address and a port were expected, such as 127.0.0.1:9090", self.metrics);
            return Err(document.refuse("run.metrics", message));
        }
        for (index, alarm) in self.alarms.iter().enumerate() {
            if let Some(complaint) = alarm.complaint() {
                return Err(document.refuse(&format!("run.alarms.{index}"), complaint));
            }
        }
        Ok(())
    }
}
