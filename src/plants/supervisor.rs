//! Who stands above the plants: a supervisor, who may hold or end what they do, and taps, who see their shots.
//!
//! A lab without a supervisor drives what it is told. The run implements both traits, so that the plants know no run.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use drivers::Batch;
use sims::Twin;

use super::{CalibrationStatus, Meter};
use crate::Error;
use crate::event::{Event, Severity};
use crate::stop::StopReason;

/// Where the training thread is when it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Between two steps: the run can be continued from here.
    Between,
    /// Inside a step, before a plant is driven.
    Inside,
    /// Inside a step that waits, such as for its limits over time: who pauses need not wait for its end.
    Waiting,
}

/// What the training thread can do while it heeds.
pub trait Bench {
    /// Brings every plant to its safe state.
    fn make_safe(&mut self) -> Result<(), Error>;

    /// The run is about to pause; `why` says who or what holds it.
    fn pause(&mut self, why: String) -> Result<(), Error>;

    /// Called again and again while the run is paused, and when there is news: alarms are written down, monitors and interlocks
    /// look.
    fn look(&mut self) -> Result<(), Error>;

    /// When it wants to look again at the latest.
    fn patience(&self) -> Duration {
        Duration::MAX
    }
}

/// Who runs the plants of a lab. It is called on the thread that drives them, except for [`Self::lets_wait`].
pub trait Supervisor: Send + Sync {
    /// Whether anything is asked: all that is read before each shot while nothing is.
    fn asks(&self) -> bool;

    /// Does what is asked with `bench`, and says whether to go on.
    fn heed(&self, gate: Gate, bench: &mut dyn Bench) -> Result<ControlFlow<StopReason>, Error>;

    /// Nobody may go on until `why` is over: an interlock has tripped, or instruments are away. Said again, `why` is newer.
    fn trip(&self, why: String);

    /// The cause is within its bounds, not yet for long enough: who resumes decides that.
    fn trip_eases(&self, why: String);

    /// The trip is over.
    fn trip_is_over(&self);

    /// Whether the cause of a trip may be looked for: not while somebody holds the run, since nothing is driven then.
    fn lets_probe(&self) -> bool;

    /// Whether the plant at `place` may go on waiting for `seconds` until its limits over time have room.
    fn lets_wait(&self, place: usize, seconds: f64) -> bool;

    /// Raises an alarm of `source`; it is one alarm until it is cleared.
    fn raise(&self, source: &str, severity: Severity, message: String);

    /// What `source` complained of is over.
    fn clear(&self, source: &str);

    /// Writes down an event from inside a step.
    fn write_down(&self, event: &Event) -> Result<(), Error>;

    /// Writes down the alarms that changed.
    fn write_alarms(&self) -> Result<(), Error>;
}

/// One batch that a plant was driven with.
#[derive(Debug, Clone, Copy)]
pub struct Driven<'a> {
    /// The plant's place in the lab.
    pub place: usize,
    /// What has been asked of the plant so far, this batch included.
    pub meter: Meter,
    /// The controls that were asked for.
    pub controls: &'a [f32],
    /// The controls that it really had.
    pub applied: &'a [f32],
    /// `[shots, inputs]`.
    pub inputs: &'a Batch,
    /// `[shots, outputs]`: the readings.
    pub outputs: &'a Batch,
    /// Whether it was no batch of the training: a measurement of its upkeep.
    pub apart: bool,
}

/// Sees every batch that a lab drives a plant with.
pub trait ShotTap: Send {
    /// Sees one batch.
    fn see(&mut self, driven: &Driven<'_>) -> Result<(), Error>;

    /// Whether it can take one more batch now; the lab waits until it can.
    fn has_room(&self) -> bool {
        true
    }

    /// Waits until all that it was given is where it belongs.
    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// The next shots are wanted, however soon after the last ones they come.
    fn look_closely(&mut self) {}

    /// The twin at `place` is another one now.
    fn twin_replaced(&mut self, _place: usize, _twin: &Arc<dyn Twin>) {}

    /// The fit behind the twin at `place` is another one now.
    fn calibrated(&mut self, _place: usize, _calibration: &CalibrationStatus) {}

    /// The fit behind the twin at `place` should be made again, and why.
    fn calibration_due(&mut self, _place: usize, _why: &str) {}
}
