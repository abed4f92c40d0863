//! A run on disk, and those who watch it.
//!
//! A run's folder holds `run.json` (who, when, versions, seeds, plants, how it ended), `experiment.toml` and `rig.toml`
//! with every default written out, `metrics.csv` (one row a step, no wall time: the same seeds give the same bytes),
//! `events.jsonl`, `log.jsonl`, `test.csv` (what the network said of each row of the test set), `reference.csv` (the last shots,
//! plant and twin), `weights.safetensors`, `checkpoints/`, `shots/` on demand and `figures/`; while it goes, `control.sock`
//! (see [`Status`]).

mod alarms;
mod backlog;
mod board;
mod checkpoint;
mod config;
mod control;
mod facts;
mod fleet;
mod helm;
mod keyboard;
mod lookout;
mod metrics;
mod progress;
mod record;
mod rewind;
mod server;
mod shots;
mod status;
mod thresholds;
mod viewer;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::Error;

pub use alarms::Alarms;
pub use backlog::Backlog;
pub use board::{Board, Heading};
pub use checkpoint::{CHECKPOINTS, Cadence, Checkpoint, Keeper};
pub use config::RunConfig;
pub use control::{Bench, Control, Gate};
pub use facts::{Header, is_lost, is_suspended, living_process, plant_facts, read_facts};
pub(crate) use facts::{command_line, fingerprint, git_state, unix_seconds};
#[cfg(test)]
pub(crate) use facts::{host, this_process};
pub use fleet::Fleet;
pub use helm::{Helm, Monitor};
pub(crate) use keyboard::{Keyboard, restore_terminal};
pub use lookout::Lookout;
pub use metrics::{Metrics, MetricsListener};
pub use progress::Progress;
pub use record::Record;
pub(crate) use record::{append_event, make_folder, own, refuse_existing};
pub(crate) use rewind::whole_stream;
pub use server::{SOCKET, Server, connect};
pub use shots::{SHOTS, ShotMark, ShotMarks, ShotRecorder};
pub use status::{
    Alarm, BankStatus, Budget, CalibrationStatus, LinkStatus, PlantStatus, Reply, Request, RunState, Severity, Status,
    TrainingStatus,
};

pub use thresholds::{AlarmConfig, Quantity, Thresholds};
pub use viewer::{Shots, Viewer, Watching, Wires, twin_residual};

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// All steps are done.
    Finished,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// Somebody asked it to end after a step.
    Stopped,
    /// Somebody asked it to end at once.
    Aborted,
    /// Its process is gone, and nobody closed it.
    Lost,
    /// An error ended it; the event says which.
    Failed,
}

/// One update.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, counted from 1.
    #[allow(clippy::struct_field_names)] // The column of `metrics.csv` has this name.
    pub step: usize,
    /// Counted from 1.
    pub epoch: usize,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Cross-entropy and weighted penalty.
    pub loss: f32,
    /// Cross-entropy in nats.
    pub cross_entropy: f32,
    /// Mean soft range penalty over the physical layers, in full scales.
    pub penalty: f32,
    /// Fraction of the batch that was right, by the method's own forward pass.
    pub batch_accuracy: f64,
    /// Fraction of the range that the batch covered, averaged over ports and physical layers.
    pub range_use: f64,
    /// Fraction of the values sent that the hard clamp changed.
    pub clipping_rate: f64,
    /// Shots on the plants so far.
    pub shots: u64,
    /// Bench time so far, in s.
    pub plant_seconds: f64,
}

/// One test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// After this update.
    pub step: usize,
    /// Fraction of the test set that is right on the plant.
    pub test_accuracy: f64,
    /// The same by the method's own forward pass: what it believes.
    pub believed_accuracy: f64,
    /// Shots on the plants so far, those of this test included.
    pub shots: u64,
    /// Bench time so far, in s.
    pub plant_seconds: f64,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run begins.
    Started {
        /// The experiment.
        experiment: String,
        /// The method.
        method: String,
        /// The seed.
        seed: u64,
        /// Updates to come.
        steps: usize,
    },
    /// An update.
    Step(Step),
    /// A test.
    Evaluated(Evaluated),
    /// It is continued from a checkpoint.
    Continued {
        /// Updates that are done; rows of later ones are taken back.
        step: usize,
    },
    /// It waits.
    Paused {
        /// Who or what holds it.
        #[serde(default)]
        why: String,
    },
    /// It goes on.
    Resumed,
    /// An alarm was raised, cleared or acknowledged.
    Alarm(Alarm),
    /// The drift monitor has taken its reference pattern.
    Reference {
        /// Updates that are done.
        step: usize,
        /// The plant's name in the rig.
        plant: String,
        /// The cumulative sum as a fraction of its threshold.
        score: f64,
        /// Whether that is an alarm.
        alarm: bool,
    },
    /// A twin was fitted anew.
    Refreshed {
        /// Updates that are done.
        step: usize,
        /// The plant's name in the rig.
        plant: String,
        /// `epoch` or `drift`.
        why: String,
        /// Shots that it was fitted to and judged by.
        shots: usize,
        /// Root mean square residual of the old twin on shots that the fit has not seen, in full scales.
        residual_before: f64,
        /// The same of the new one.
        residual_after: f64,
        /// Whether the new one is used.
        kept: bool,
    },
    /// How far plant and twin were from each other on the last shots of a test.
    Agreement {
        /// After this update.
        step: usize,
        /// RMS difference as a fraction of the readings' standard deviation, the largest of the plants.
        twin_residual: f64,
    },
    /// An error that ends the run.
    Failed {
        /// The sentence.
        message: String,
    },
    /// The plants are in their safe state.
    Safe,
    /// The run is closed.
    Finished {
        /// Why.
        reason: StopReason,
    },
}

/// Watches a run.
pub trait Observer {
    /// Sees one event; may ask the run to stop.
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error>;
}

/// Several observers are one; the first that asks to stop is heard.
impl Observer for Vec<&mut dyn Observer> {
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        let mut flow = ControlFlow::Continue(());
        for observer in self.iter_mut() {
            let asked = observer.observe(event)?;
            if flow.is_continue() {
                flow = asked;
            }
        }
        Ok(flow)
    }
}
