//! Between two steps: what others ask is done, alarms are written down, monitors look at the bench.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Bench, Board, Control, Event, Gate, Observer, RunState, StopReason};
use crate::Error;
use crate::lab::Lab;

/// Looks at the bench after each step, and again and again while a run is paused: drift, interlocks.
pub trait Monitor {
    /// What it is called: in alarms and in checkpoints.
    fn name(&self) -> &str;

    /// Looks; `step` updates are done. Raises alarms at `board`, and clears them.
    fn look(&mut self, step: usize, lab: &mut Lab, board: &Board) -> Result<(), Error>;

    /// All that decides what it does next, for a checkpoint.
    fn state(&self) -> serde_json::Value;

    /// Goes on from where `state` was taken.
    fn restore(&mut self, state: &serde_json::Value) -> Result<(), String>;
}

/// What a training is steered by.
pub struct Helm<'a> {
    control: Arc<Control>,
    board: Option<Arc<Board>>,
    observer: &'a mut dyn Observer,
    monitors: Vec<Box<dyn Monitor>>,
    step: usize,
    paused: bool,
}

impl<'a> Helm<'a> {
    /// Steered by `control`; what happens is told to `observer`.
    pub fn new(control: Arc<Control>, board: Option<Arc<Board>>, observer: &'a mut dyn Observer) -> Self {
        Self { control, board, observer, monitors: vec![], step: 0, paused: false }
    }

    /// Adds one that looks at the bench.
    pub fn add(&mut self, monitor: Box<dyn Monitor>) {
        self.monitors.push(monitor);
    }

    /// Those that look at the bench.
    pub fn monitors(&mut self) -> &mut [Box<dyn Monitor>] {
        &mut self.monitors
    }

    /// The board, where there is one.
    pub fn board(&self) -> Option<&Arc<Board>> {
        self.board.as_ref()
    }

    /// Tells what happened.
    pub fn tell(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        self.observer.observe(event)
    }

    /// Between two steps, `step` of them done: monitors look, then what was asked is done.
    pub fn heed(&mut self, step: usize, lab: &mut Lab) -> Result<ControlFlow<StopReason>, Error> {
        self.step = step;
        self.monitor(lab)?;
        if !self.control.asks() {
            return Ok(ControlFlow::Continue(()));
        }
        let control = self.control.clone();
        let flow = control.heed(Gate::Between, &mut Deck { helm: self, lab })?;
        if std::mem::take(&mut self.paused) {
            self.tell(&Event::Resumed).map(drop)?;
        }
        Ok(flow)
    }

    fn monitor(&mut self, lab: &mut Lab) -> Result<(), Error> {
        let Some(board) = &self.board else { return Ok(()) };
        let board = board.clone();
        self.monitors.iter_mut().try_for_each(|monitor| monitor.look(self.step, lab, &board))?;
        board.take_reports().iter().try_for_each(|event| self.tell(event).map(drop))
    }

    /// Writes down the alarms that changed.
    fn write_alarms(&mut self) -> Result<(), Error> {
        let fresh = self.board.as_ref().map(|board| board.fresh_alarms()).unwrap_or_default();
        fresh.into_iter().try_for_each(|alarm| self.tell(&Event::Alarm(alarm)).map(drop))
    }
}

/// The training thread while it heeds.
struct Deck<'d, 'a> {
    helm: &'d mut Helm<'a>,
    lab: &'d mut Lab,
}

impl Bench for Deck<'_, '_> {
    fn make_safe(&mut self) -> Result<(), Error> {
        self.lab.make_safe()?;
        self.helm.tell(&Event::Safe).map(drop)
    }

    fn look(&mut self) -> Result<(), Error> {
        self.helm.write_alarms()?;
        if self.helm.control.state() == RunState::Paused {
            if !std::mem::replace(&mut self.helm.paused, true) {
                self.helm.tell(&Event::Paused).map(drop)?;
            }
            self.helm.monitor(self.lab)?;
        }
        Ok(())
    }
}
