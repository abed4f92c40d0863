//! Between two steps: what others ask is done, alarms are written down, monitors look at the bench.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use toml::Table;

use crate::Error;
use crate::control::{Board, Control, RunState};
use crate::event::{Event, Observer};
use crate::plants::{Bench, Gate, Lab};
use crate::record::{Keeper, Snapshot};
use crate::stop::StopReason;

/// Looks at the bench after each step, and again and again while a run is paused: drift, interlocks.
pub trait Monitor {
    /// What it is called: in alarms and in checkpoints.
    fn name(&self) -> &str;

    /// Looks; `step` updates are done. Raises alarms at `board`, and clears them.
    fn look(&mut self, step: usize, lab: &mut Lab, board: &Board) -> Result<(), Error>;

    /// All that decides what it does next, for a checkpoint.
    fn state(&self) -> Table;

    /// Goes on from where `state` was taken.
    fn restore(&mut self, state: &Table) -> Result<(), String>;
}

/// What a training is steered by.
pub struct Helm<'a> {
    control: Arc<Control>,
    board: Option<Arc<Board>>,
    observer: &'a mut dyn Observer,
    monitors: Vec<Box<dyn Monitor>>,
    keeper: Option<Keeper>,
    step: usize,
    paused: bool,
    moves: Moves,
}

/// What monitors have found of the bench since somebody last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moves {
    /// It has drifted: there was an alarm.
    pub drifted: bool,
    /// A twin was fitted anew, or tried to be.
    pub refreshed: bool,
}

impl<'a> Helm<'a> {
    /// Steered by `control`; what happens is told to `observer`.
    pub fn new(control: Arc<Control>, board: Option<Arc<Board>>, observer: &'a mut dyn Observer) -> Self {
        Self {
            control,
            board,
            observer,
            monitors: vec![],
            keeper: None,
            step: 0,
            paused: false,
            moves: Moves::default(),
        }
    }

    /// Adds one that looks at the bench.
    pub fn add(&mut self, monitor: Box<dyn Monitor>) {
        self.monitors.push(monitor);
    }

    /// Checkpoints are made by `keeper`.
    pub fn keep_by(&mut self, keeper: Keeper) {
        self.keeper = Some(keeper);
    }

    /// Puts the monitors back to where a checkpoint was made.
    pub fn restore(&mut self, states: &BTreeMap<String, Table>) -> Result<(), String> {
        // A run that starts has nothing to put back.
        if states.is_empty() {
            return Ok(());
        }
        self.monitors.iter_mut().try_for_each(|monitor| match states.get(monitor.name()) {
            Some(state) => monitor.restore(state),
            // What remembers nothing has nothing to put back: older checkpoints do not know it.
            None if monitor.state().is_empty() => Ok(()),
            None => Err(format!("knows no monitor `{}`", monitor.name())),
        })
    }

    /// Makes a checkpoint if one is due, `step` updates being done; `snapshot` is given what the monitors remember.
    pub fn keep(
        &mut self,
        step: usize,
        snapshot: impl FnOnce(BTreeMap<String, Table>) -> Snapshot,
    ) -> Result<(), Error> {
        let monitors = &self.monitors;
        let is_asked = || self.control.asks();
        self.keeper.as_mut().map_or(Ok(()), |keeper| keeper.keep(step, || snapshot(states(monitors)), &is_asked))
    }

    /// Makes a last checkpoint; [`Self::finish`] writes it.
    pub fn keep_last(&mut self, snapshot: impl FnOnce(BTreeMap<String, Table>) -> Snapshot) {
        if let Some(keeper) = &mut self.keeper {
            keeper.keep_last(snapshot(states(&self.monitors)));
        }
    }

    /// Waits until all checkpoints are on the disk. The plants are to be safe before: a disk that hangs must keep none on.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.keeper.as_mut().map_or(Ok(()), Keeper::finish)
    }

    /// The board, where there is one.
    pub fn board(&self) -> Option<&Arc<Board>> {
        self.board.as_ref()
    }

    /// Tells what happened.
    pub fn tell(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        self.observer.observe(event)
    }

    /// Says how far plant and twin are from each other on the last shots.
    pub fn compare(&mut self, step: usize) -> Result<(), Error> {
        match self.board.as_ref().and_then(|board| board.viewer().compare()) {
            Some(twin_residual) => self.tell(&Event::Agreement { step, twin_residual }).map(drop),
            None => Ok(()),
        }
    }

    /// What monitors have found since this was last asked.
    pub fn take_moves(&mut self) -> Moves {
        std::mem::take(&mut self.moves)
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
        board.take_reports().iter().try_for_each(|event| {
            self.moves.drifted |= matches!(event, Event::Reference { alarm: true, .. });
            self.moves.refreshed |= matches!(event, Event::Refreshed { .. });
            self.tell(event).map(drop)
        })
    }

    /// Writes down the alarms that changed.
    fn write_alarms(&mut self) -> Result<(), Error> {
        let fresh = self.board.as_ref().map(|board| board.fresh_alarms()).unwrap_or_default();
        for alarm in &fresh {
            tracing::info!(id = alarm.id, active = alarm.active, "alarm of {}: {}", alarm.source, alarm.message);
        }
        fresh.into_iter().try_for_each(|alarm| self.tell(&Event::Alarm(alarm)).map(drop))
    }
}

/// What each monitor remembers.
fn states(monitors: &[Box<dyn Monitor>]) -> BTreeMap<String, Table> {
    monitors.iter().map(|monitor| (monitor.name().to_owned(), monitor.state())).collect()
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

    fn pause(&mut self, why: String) -> Result<(), Error> {
        self.helm.paused = true;
        self.helm.tell(&Event::Paused { why }).map(drop)
    }

    fn look(&mut self) -> Result<(), Error> {
        self.helm.write_alarms()?;
        if self.helm.control.state() == RunState::Paused {
            self.helm.monitor(self.lab)?;
        }
        Ok(())
    }
}
