//! What a lab does inside a step besides driving: it heeds what others ask, and waits for an interlock that has tripped.
//!
//! A plant that an interlock has made safe, with a `pause` in its description, is probed until its readings are back; then the batch
//! that tripped it is driven again, controls first. Until then all plants of the run are in their safe state.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drivers::{AfterTrip, Batch, Direction, Plant, Probe};

use super::{Board, Lab, drive};
use crate::Error;
use crate::run::{Bench, Event, Gate, Observer, Severity, append_event};

/// An interlock that a lab waits for.
#[derive(Debug)]
pub(super) struct Wait {
    place: usize,
    every: Duration,
    /// When the plant is probed again.
    next: Instant,
}

impl Lab {
    /// Alarms from inside a step are raised at `board`.
    pub fn raise_at(&mut self, board: &Arc<Board>) {
        self.board = Some(board.clone());
    }

    fn write_down(&self, event: &Event) -> Result<(), Error> {
        if let Some(board) = &self.board {
            // It only takes note.
            let _ = board.clone().observe(event)?;
        }
        self.run.as_ref().map_or(Ok(()), |folder| append_event(folder, event))
    }

    /// Does what is asked before a plant is driven.
    pub(super) fn heed(&mut self) -> Result<(), Error> {
        let Some(control) = self.control.as_ref().filter(|control| control.asks()).cloned() else { return Ok(()) };
        let flow = control.heed(Gate::Inside, self)?;
        let waited = std::mem::take(&mut self.waits);
        match flow {
            ControlFlow::Break(reason) => Err(Error::Halted(reason)),
            ControlFlow::Continue(()) if waited => self.write_down(&Event::Resumed),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Sets controls and drives one batch, again where an interlock has tripped and is over; it takes `seconds` on a bench that is not
    /// real.
    pub(super) fn drive(
        &mut self,
        place: usize,
        seconds: f64,
        controls: &[f32],
        inputs: &Batch,
    ) -> Result<(Vec<f32>, Batch), Error> {
        loop {
            let slot = &mut self.slots[place];
            let result = slot.plant.timed(seconds, |plant| drive(plant, controls, inputs));
            let result = result.map_err(Error::plant(&slot.name));
            match (&result, &self.control) {
                (Err(error), Some(_)) => match probed_every(error) {
                    Some(every) => self.wait_out(place, every, &error.to_string())?,
                    None => return result,
                },
                _ => return result,
            }
        }
    }

    /// Waits, with all plants in their safe state, until the interlock of the plant at `place` is over or somebody goes on before.
    fn wait_out(&mut self, place: usize, every: Duration, why: &str) -> Result<(), Error> {
        let (Some(control), name) = (self.control.clone(), self.slots[place].name.clone()) else { return Ok(()) };
        Bench::make_safe(self)?;
        tracing::warn!("paused: {why}. It goes on by itself when the readings are back; s stops it");
        if let Some(board) = &self.board {
            board.raise(&source(&name), Severity::Major, why.to_owned(), false);
        }
        control.trip(why.to_owned());
        self.wait = Some(Wait { place, every, next: Instant::now() + every });
        let waited = self.heed();
        self.wait = None;
        control.trip_is_over();
        // Also where the run ends: nobody waits for the readings any more.
        if let Some(board) = &self.board {
            board.clear(&source(&name));
        }
        waited?;
        tracing::warn!("goes on: the batch that tripped the interlock of plant `{name}` is measured again");
        Ok(())
    }

    /// Writes down the alarms that changed, where the run waits for long.
    fn write_alarms(&self) -> Result<(), Error> {
        let fresh = self.board.as_ref().map(|board| board.fresh_alarms()).unwrap_or_default();
        fresh.into_iter().try_for_each(|alarm| self.write_down(&Event::Alarm(alarm)))
    }

    /// Looks for the readings of the plant that an interlock has made safe, when it is time and nobody else holds the run.
    fn probe(&mut self) -> Result<(), Error> {
        let (Some(wait), Some(control)) = (&mut self.wait, &self.control) else { return Ok(()) };
        let now = Instant::now();
        if now < wait.next {
            return Ok(());
        }
        wait.next = now + wait.every;
        if !control.lets_probe() {
            return Ok(());
        }
        let slot = &mut self.slots[wait.place];
        let card = slot.plant.plant.card();
        let rest = Batch::new(card.ports.input_count(), card.ports.at_rest(Direction::Input));
        let seconds = card.timing.batch(1);
        let found = rest.and_then(|rest| slot.plant.timed(seconds, |plant| plant.probe(&rest)));
        match found.map_err(Error::plant(&slot.name))? {
            Probe::Within(0) => {
                control.trip_is_over();
                if let Some(board) = &self.board {
                    board.clear(&source(&slot.name));
                }
            }
            Probe::Within(more) => control.trip_eases(format!(
                "plant `{}`: its interlock tripped; its readings are within their bounds, and {more} more probes in a row must find them back",
                slot.name
            )),
            Probe::Out(error) => control.trip(Error::plant(&slot.name)(error).to_string()),
        }
        Ok(())
    }
}

impl Bench for Lab {
    fn make_safe(&mut self) -> Result<(), Error> {
        Self::make_safe(self)?;
        self.write_down(&Event::Safe)
    }

    fn pause(&mut self, why: String) -> Result<(), Error> {
        self.waits = true;
        self.write_alarms()?;
        self.write_down(&Event::Paused { why })
    }

    /// Inside a step there is nothing to look after but an interlock.
    fn look(&mut self) -> Result<(), Error> {
        self.probe()?;
        self.write_alarms()
    }

    fn patience(&self) -> Duration {
        self.wait.as_ref().map_or(Duration::MAX, |wait| wait.next.saturating_duration_since(Instant::now()))
    }
}

/// How often the plant is to be probed, if it is an interlock that pauses.
fn probed_every(error: &Error) -> Option<Duration> {
    match error {
        Error::Plant { source: drivers::Error::Interlock { after: AfterTrip::Probes(every), .. }, .. } => {
            Some(Duration::try_from_secs_f32(*every).unwrap_or_default())
        }
        _ => None,
    }
}

/// What the alarm of a plant's interlocks is called.
fn source(plant: &str) -> String {
    format!("interlock of {plant}")
}
