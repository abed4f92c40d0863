//! What a lab does inside a step besides driving: it heeds what others ask, and waits for an interlock that has tripped, or for
//! instruments that are away.
//!
//! A plant that an interlock has made safe, with a `pause` in its description, is probed until its readings are back; then the batch
//! that tripped it is driven again, controls first. Until then all plants of the run are in their safe state.
//!
//! Instruments that are still away when their links have given up are waited for as long as `[run] wait_for_instruments_seconds` says:
//! what can be reached is made safe at once; those that are away are asked again and again to make themselves safe, and when they have,
//! the batch is driven again.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drivers::{AfterTrip, Allowance, Batch, Direction, Plant, Probe};

use super::{Lab, drive};
use crate::Error;
use crate::event::{Event, Severity};
use crate::plants::{Bench, Gate, Supervisor};

/// A disk may keep the plants waiting for so long as they are.
const DISK: Duration = Duration::from_secs(1);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// What a lab waits for.
#[derive(Debug)]
pub(super) struct Wait {
    place: usize,
    /// What ends the wait.
    what: Awaited,
    every: Duration,
    /// When the plant is asked again.
    next: Instant,
}

/// What ends a wait.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    /// The readings of an interlock that has tripped are back.
    Readings,
    /// The instruments are back; at this time nobody waits any more.
    Instruments(Instant),
}

/// Instruments that are away are asked so often whether they are back.
const ASK_EVERY: Duration = Duration::from_secs(1);

impl Lab {
    fn write_down(&self, event: &Event) -> Result<(), Error> {
        self.supervisor.as_ref().map_or(Ok(()), |supervisor| supervisor.write_down(event))
    }

    /// Does what is asked between two steps: whoever pauses need not wait, and who ends it ends it here.
    pub fn between(&mut self) -> Result<(), Error> {
        self.heed_at(Gate::Between)
    }

    /// Does what is asked before a plant is driven.
    pub(super) fn heed(&mut self) -> Result<(), Error> {
        self.heed_at(Gate::Inside)
    }

    fn heed_at(&mut self, gate: Gate) -> Result<(), Error> {
        let asking = self.supervisor.as_ref().filter(|supervisor| supervisor.asks());
        let Some(supervisor) = asking.cloned() else { return Ok(()) };
        let (start, plant) = (Instant::now(), self.meter().wall_seconds);
        let flow = supervisor.heed(gate, self);
        // What plants were asked meanwhile is on their own meters.
        let asked = Duration::try_from_secs_f64(self.meter().wall_seconds - plant).unwrap_or_default();
        self.waited += start.elapsed().saturating_sub(asked);
        let flow = flow?;
        let waited = std::mem::take(&mut self.waits);
        match flow {
            ControlFlow::Break(reason) => Err(Error::Halted(reason)),
            ControlFlow::Continue(()) if waited => self.write_down(&Event::Resumed),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Waits until the next batch may be handed to whoever writes shots down; does what is asked meanwhile. A disk that hangs for long
    /// finds the plants safe: the next drive takes them from there.
    pub(super) fn wait_for_taps(&mut self) -> Result<(), Error> {
        let (since, mut safe) = (Instant::now(), false);
        while self.taps.iter().any(|tap| !tap.has_room()) {
            self.heed()?;
            if !safe && DISK <= since.elapsed() {
                Self::make_safe(self)?;
                tracing::warn!("the disk is slow: the plants are made safe until it has written what was before");
                safe = true;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
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
        let mut away_since = None;
        loop {
            let slot = &mut self.slots[place];
            let result = slot.plant.timed(seconds, |plant| drive(plant, controls, inputs));
            let result = result.map_err(Error::plant(&slot.name));
            let (Err(error), Some(_)) = (&result, &self.supervisor) else { return result };
            if let Some(every) = probed_every(error) {
                self.wait_out(place, (Awaited::Readings, every), &error.to_string())?;
            } else if self.waits_for(error) {
                let until = *away_since.get_or_insert_with(Instant::now) + self.patience;
                if until <= Instant::now() {
                    return result;
                }
                self.wait_out(place, (Awaited::Instruments(until), ASK_EVERY), &error.to_string())?;
            } else if matches!(error, Error::Plant { source: drivers::Error::Interrupted, .. }) {
                // Its wait for its limits over time was cut short: it goes on with the rest of the batch.
                self.heed_at(Gate::Waiting)?;
            } else {
                return result;
            }
        }
    }

    /// How long others, interlocks or instruments that were away have held it inside steps.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Instruments that are away are waited for so long.
    pub fn wait_for_instruments(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Whether it is instruments that are away, and may be waited for.
    fn waits_for(&self, error: &Error) -> bool {
        let is_outage = matches!(error, Error::Plant { source, .. } if source.is_outage());
        is_outage && !self.patience.is_zero() && self.slots.iter().any(|slot| !slot.links.is_empty())
    }

    /// Waits, with all plants in their safe state, until the interlock of the plant at `place` is over, or its instruments are back, or
    /// somebody goes on before.
    fn wait_out(&mut self, place: usize, (what, every): (Awaited, Duration), why: &str) -> Result<(), Error> {
        let (Some(supervisor), name) = (self.supervisor.clone(), self.slots[place].name.clone()) else { return Ok(()) };
        let source = what.source(&name);
        supervisor.raise(&source, Severity::Major, why.to_owned());
        let safe = Bench::make_safe(self);
        // Instruments that are away cannot be made safe; all others were.
        if matches!(what, Awaited::Readings) {
            safe?;
        }
        tracing::warn!("paused: {why}. It goes on by itself when {}; s stops it", what.end());
        supervisor.trip(why.to_owned());
        self.wait = Some(Wait { place, what, every, next: Instant::now() });
        let waited = self.heed();
        self.wait = None;
        supervisor.trip_is_over();
        // Also where the run ends: nobody waits any more.
        supervisor.clear(&source);
        waited?;
        tracing::warn!("goes on: the last batch of plant `{name}` is measured again");
        Ok(())
    }

    /// Looks for the readings of the plant that an interlock has made safe, when it is time and nobody else holds the run.
    fn probe(&mut self) -> Result<(), Error> {
        let (Some(wait), Some(supervisor)) = (&mut self.wait, &self.supervisor) else { return Ok(()) };
        let now = Instant::now();
        if now < wait.next {
            return Ok(());
        }
        wait.next = now + wait.every;
        if !supervisor.lets_probe() {
            return Ok(());
        }
        let (place, what) = (wait.place, wait.what);
        if let Awaited::Instruments(until) = what {
            return self.ask_instruments(place, until);
        }
        let slot = &mut self.slots[place];
        let card = slot.plant.plant.card();
        let rest = Batch::new(card.ports.input_count(), card.ports.at_rest(Direction::Input));
        let seconds = card.timing.batch(1);
        let found = rest.and_then(|rest| slot.plant.timed(seconds, |plant| plant.probe(&rest)));
        // Its limits over time have no room for a probe, and somebody wants something else.
        if matches!(found, Err(drivers::Error::Interrupted)) {
            return Ok(());
        }
        match found.map_err(Error::plant(&slot.name))? {
            Probe::Within(0) => {
                supervisor.trip_is_over();
                supervisor.clear(&what.source(&slot.name));
            }
            Probe::Within(more) => supervisor.trip_eases(format!(
                "plant `{}`: its interlock tripped; its readings are within their bounds, and {more} more probes in a row must find them back",
                slot.name
            )),
            Probe::Out(error) => supervisor.trip(Error::plant(&slot.name)(error).to_string()),
        }
        Ok(())
    }
}

impl Lab {
    /// Looks whether the instruments of a plant are back: they are where they have made themselves safe.
    fn ask_instruments(&mut self, place: usize, until: Instant) -> Result<(), Error> {
        let Some(supervisor) = self.supervisor.clone() else { return Ok(()) };
        let slot = &mut self.slots[place];
        match slot.plant.plant.make_safe() {
            Ok(()) => {
                let source = Awaited::Instruments(until).source(&slot.name);
                supervisor.trip_is_over();
                supervisor.clear(&source);
                supervisor.write_down(&Event::Safe)
            }
            Err(error) if error.is_outage() && Instant::now() < until => {
                supervisor.trip(Error::plant(&slot.name)(error).to_string());
                Ok(())
            }
            Err(error) => Err(Error::plant(&slot.name)(error)),
        }
    }
}

impl Bench for Lab {
    fn make_safe(&mut self) -> Result<(), Error> {
        Self::make_safe(self)?;
        self.write_down(&Event::Safe)
    }

    fn pause(&mut self, why: String) -> Result<(), Error> {
        self.waits = true;
        self.supervisor.as_ref().map_or(Ok(()), |supervisor| supervisor.write_alarms())?;
        self.write_down(&Event::Paused { why })
    }

    /// Inside a step there is nothing to look after but an interlock.
    fn look(&mut self) -> Result<(), Error> {
        self.probe()?;
        self.supervisor.as_ref().map_or(Ok(()), |supervisor| supervisor.write_alarms())
    }

    fn patience(&self) -> Duration {
        self.wait.as_ref().map_or(Duration::MAX, |wait| wait.next.saturating_duration_since(Instant::now()))
    }
}

/// A plant that waits for its limits over time gives way to whoever wants something else of its run, and says how long it waits.
pub(super) fn wait_with(allowance: &Allowance, place: usize, supervisor: &Arc<dyn Supervisor>) {
    let supervisor = supervisor.clone();
    allowance.wait_with(move |left| supervisor.lets_wait(place, left));
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

impl Awaited {
    /// What the alarm is called.
    fn source(self, plant: &str) -> String {
        match self {
            Self::Readings => format!("interlock of {plant}"),
            Self::Instruments(_) => format!("instruments of {plant}"),
        }
    }

    /// When a run goes on by itself.
    fn end(self) -> &'static str {
        match self {
            Self::Readings => "the readings are back",
            Self::Instruments(_) => "the instruments are back",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Board, Control, Heading, Request, RunSupervisor, Viewer};
    use crate::plants::{Derivatives, Forward, Opened, ShotTap};
    use crate::record::{Journal, ShotRecorder};
    use crate::stop::StopReason;
    use drivers::{Card, Error as Failure};
    use sims::{Electrical, Simulated};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts how often it was made safe.
    struct Counting(Simulated, Arc<AtomicUsize>);

    impl Plant for Counting {
        fn card(&self) -> &Card {
            self.0.card()
        }

        fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Failure> {
            self.0.apply(controls)
        }

        fn measure(&mut self, inputs: &Batch) -> Result<Batch, Failure> {
            self.0.measure(inputs)
        }

        fn make_safe(&mut self) -> Result<(), Failure> {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.make_safe()
        }
    }

    /// One batch is driven while a disk hangs: the plants become safe by themselves, and who asks is heard.
    fn drives_with(journal: Arc<Journal>, tap: Box<dyn ShotTap>) {
        let built = Electrical { samples: 8, ..Electrical::default() }.build().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let opened = Opened::bare("a", Box::new(Counting(Simulated::new(built.system), count.clone())), built.twin);
        let mut lab = Lab::new(vec![opened], Derivatives::Twin).unwrap();
        let control = Control::new();
        let board = Board::new(Heading::default(), control.clone(), Arc::new(Viewer::new(lab.views())));
        lab.attend(RunSupervisor::new(&board, journal));
        lab.tap(tap);
        let driving = std::thread::spawn(move || lab.run(0, Forward::Plant, &[], &Batch::zeros(1, 8)));
        // By itself, since nobody has asked for anything.
        while count.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        control.request(&Request::Abort);
        assert!(matches!(driving.join().unwrap(), Err(Error::Halted(StopReason::Aborted))));
    }

    #[test]
    fn a_disk_that_hangs_under_shots_keeps_no_plant_on_and_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, _disk) = ShotRecorder::of_a_disk_that_hangs();
        drives_with(Journal::within(folder.path()), Box::new(recorder));
    }

    #[test]
    fn a_disk_that_hangs_under_the_record_keeps_no_plant_on_and_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, disk) = Journal::of_a_disk_that_hangs(folder.path());
        drives_with(journal.clone(), Box::new(journal.clone()));
        drop(disk);
        journal.flush().unwrap();
        assert_eq!(journal.backlog().waiting().0, 0, "what waited is written");
    }
}
