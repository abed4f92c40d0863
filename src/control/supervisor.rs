//! The run as the plants know it: asked before each shot, told of what happens inside a step.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::Error;
use crate::control::{Board, Control};
use crate::event::{Event, Observer, Severity};
use crate::plants::{Bench, Gate, Supervisor};
use crate::record::Journal;
use crate::stop::StopReason;

/// A run as its plants know it.
#[derive(Debug)]
pub struct RunSupervisor {
    control: Arc<Control>,
    board: Arc<Board>,
    /// What happens inside a step is written down there.
    journal: Arc<Journal>,
}

impl RunSupervisor {
    /// Of the run of `board`, recorded in `journal`, which may drive plants from now on.
    pub fn new(board: &Arc<Board>, journal: Arc<Journal>) -> Arc<Self> {
        board.control().open();
        Arc::new(Self { control: board.control().clone(), board: board.clone(), journal })
    }
}

impl Supervisor for RunSupervisor {
    fn asks(&self) -> bool {
        self.control.asks()
    }

    fn heed(&self, gate: Gate, bench: &mut dyn Bench) -> Result<ControlFlow<StopReason>, Error> {
        self.control.heed(gate, bench)
    }

    fn trip(&self, why: String) {
        self.control.trip(why);
    }

    fn trip_eases(&self, why: String) {
        self.control.trip_eases(why);
    }

    fn trip_is_over(&self) {
        self.control.trip_is_over();
    }

    fn lets_probe(&self) -> bool {
        self.control.lets_probe()
    }

    fn lets_wait(&self, place: usize, seconds: f64) -> bool {
        self.board.viewer().set_waiting(place, seconds);
        self.control.lets_wait()
    }

    fn raise(&self, source: &str, severity: Severity, message: String) {
        self.board.raise(source, severity, message, false);
    }

    fn clear(&self, source: &str) {
        self.board.clear(source);
    }

    fn write_down(&self, event: &Event) -> Result<(), Error> {
        // The board only takes note.
        let _ = self.board.clone().observe(event)?;
        self.journal.add_event(event)
    }

    fn write_alarms(&self) -> Result<(), Error> {
        self.board.fresh_alarms().into_iter().try_for_each(|alarm| self.write_down(&Event::Alarm(alarm)))
    }
}
