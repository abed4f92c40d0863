//! The opened plants of a rig, each with its twin, metered: what layers drive while a network runs.

// Circle with plants/lab/: the parts of one lab; split for its length.

pub(crate) mod guard;
mod guarded;
mod opened;
mod rehearsed;
mod upkept;
mod waiting;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use drivers::{Allowance, Batch, Card, LinkWatch, Origin, Plant, Playhead, Rejections};
use serde::{Deserialize, Serialize};
use sims::{Adjustable, Clock, Moment, Predicted, Pullback, Twin};

pub use guarded::Guarded;
pub use opened::Opened;
use rehearsed::Rehearsal;
pub use rehearsed::Rehearsed;
pub(crate) use rehearsed::unknown;
pub use upkept::Noise;
use waiting::Wait;

use super::{CalibrationStatus, Driven, InUse, Meter, ShotTap, Supervisor};
use crate::Error;

/// A plant at one moment, as a checkpoint keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PlantState {
    /// Shots taken.
    pub shots: u64,
    /// Bench time, in s.
    pub plant_seconds: f64,
    /// Time that this process waited, in s.
    pub wall_seconds: f64,
    /// Time spent in its twin, in ns.
    pub twin_nanoseconds: u64,
    /// Where its bench is in its life: shots and seconds. Only a simulated one can be put back.
    pub moment: Option<(u64, f64)>,
    /// Calls that its recording has answered, where it replays one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<usize>,
}

/// A plant with a meter.
struct Metered {
    plant: Guarded,
    meter: Meter,
}

impl Metered {
    /// Runs `work` and adds its time; `simulated` seconds count instead where the bench is not real.
    fn timed<T>(&mut self, simulated: f64, work: impl FnOnce(&mut dyn Plant) -> T) -> T {
        let start = Instant::now();
        let result = work(&mut self.plant);
        let wall = start.elapsed().as_secs_f64();
        self.meter.wall_seconds += wall;
        self.meter.plant_seconds += if self.plant.card().identity.origin == Origin::Real { wall } else { simulated };
        result
    }
}

/// A twin with a stopwatch.
#[derive(Debug)]
struct Timed {
    twin: Arc<dyn Twin>,
    nanoseconds: AtomicU64,
}

impl Timed {
    /// Runs `work` and adds its time.
    fn timed<T>(&self, work: impl FnOnce(&dyn Twin) -> T) -> T {
        let start = Instant::now();
        let result = work(&*self.twin);
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        result
    }
}

impl Twin for Timed {
    fn card(&self) -> &Card {
        self.twin.card()
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        self.timed(|twin| twin.predict(inputs, controls))
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        self.timed(|twin| twin.pull_back(inputs, controls, cotangents))
    }
}

/// Who computes the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The plant.
    Plant,
    /// The method's twin in its place.
    Twin,
}

/// A plant in use by one method.
struct Slot {
    name: String,
    plant: Metered,
    twin: Arc<Timed>,
    predicted: Predicted,
    adjustable: Option<Arc<dyn Adjustable>>,
    /// The fit behind its twin.
    fit: Option<InUse>,
    /// Whether nothing was known of it when it was opened.
    unlearned: bool,
    /// The twin that it was opened with.
    opened_twin: Arc<dyn Twin>,
    ideal: Option<Arc<dyn Twin>>,
    watchdog: bool,
    /// The noise that is added to predictions, where the method wants it.
    noise: Option<Noise>,
    clock: Option<Clock>,
    playhead: Option<Playhead>,
    links: Vec<LinkWatch>,
    rejections: Rejections,
    allowance: Allowance,
    /// What would refuse it, where nothing is driven.
    rehearsal: Option<Rehearsal>,
}

/// Whose derivatives a method uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Derivatives {
    /// The twin's.
    Twin,
    /// The plant's own, which only a simulated plant has.
    Plant,
}

/// The plants in use.
pub struct Lab {
    slots: Vec<Slot>,
    /// Who may stop it, even inside a step.
    supervisor: Option<Arc<dyn Supervisor>>,
    /// Who sees its shots.
    taps: Vec<Box<dyn ShotTap>>,
    /// Whether what is driven now is no batch of the training.
    apart: bool,
    /// Whether it waits inside a step.
    waits: bool,
    /// What it waits for.
    wait: Option<Wait>,
    /// Instruments that are away are waited for so long.
    patience: Duration,
    /// How long it was held inside steps.
    waited: Duration,
}

/// What is known of one plant by whoever watches it.
pub struct View {
    /// Its name in the rig.
    pub name: String,
    /// Its card, with its ranges as the rig limits them.
    pub card: Card,
    /// The twin that gives its gradient.
    pub twin: Arc<dyn Twin>,
    /// Its links; none where nothing is wired.
    pub links: Vec<LinkWatch>,
    /// Where its rejected shots are counted.
    pub rejections: Rejections,
    /// The fit behind its twin.
    pub calibration: Option<CalibrationStatus>,
}

impl Lab {
    /// Takes over the opened plants, with the twins that a method differentiates.
    ///
    /// Fails when the method needs a plant's own physics and the plant is not simulated.
    pub fn new(opened: Vec<Opened>, derivatives: Derivatives) -> Result<Self, Error> {
        let slots = opened.into_iter().map(|opened| slot(opened, derivatives)).collect::<Result<_, _>>()?;
        Ok(Self {
            slots,
            supervisor: None,
            taps: vec![],
            apart: false,
            waits: false,
            wait: None,
            patience: Duration::ZERO,
            waited: Duration::ZERO,
        })
    }

    /// Makes all plants safe and hands them out, as they were opened.
    pub fn into_plants(mut self) -> Result<Vec<Opened>, Error> {
        self.make_safe()?;
        let opened = |slot: Slot| Opened {
            name: slot.name,
            plant: slot.plant.plant,
            twin: slot.opened_twin,
            ideal: slot.ideal,
            adjustable: slot.adjustable,
            fit: slot.fit,
            clock: slot.clock,
            playhead: slot.playhead,
            links: slot.links,
            rejections: slot.rejections,
            allowance: slot.allowance,
            watchdog: slot.watchdog,
            unlearned: slot.unlearned,
        };
        Ok(std::mem::take(&mut self.slots).into_iter().map(opened).collect())
    }

    /// From now on `supervisor` may stop it before each drive.
    pub fn attend(&mut self, supervisor: Arc<dyn Supervisor>) {
        let slots = self.slots.iter().enumerate();
        slots.for_each(|(place, slot)| waiting::wait_with(&slot.allowance, place, &supervisor));
        self.supervisor = Some(supervisor);
    }

    /// From now on `tap` sees every batch.
    pub fn tap(&mut self, tap: Box<dyn ShotTap>) {
        self.taps.push(tap);
    }

    /// What there is to watch, in the order of the places.
    pub fn views(&self) -> Vec<View> {
        let view = |slot: &Slot| View {
            name: slot.name.clone(),
            card: slot.plant.plant.card().clone(),
            twin: slot.twin.twin.clone(),
            links: slot.links.clone(),
            rejections: slot.rejections.clone(),
            calibration: slot.fit.as_ref().map(InUse::status),
        };
        self.slots.iter().map(view).collect()
    }

    /// The twin at `place` was fitted anew.
    pub fn calibrated(&mut self, place: usize, calibration: &CalibrationStatus) {
        self.taps.iter_mut().for_each(|tap| tap.calibrated(place, calibration));
    }

    /// The fit behind the twin at `place` should be made again.
    pub fn calibration_due(&mut self, place: usize, why: &str) {
        self.taps.iter_mut().for_each(|tap| tap.calibration_due(place, why));
    }

    /// The next shots are shown, however soon after the last ones they come.
    pub fn look_closely(&mut self) {
        self.taps.iter_mut().for_each(|tap| tap.look_closely());
    }

    /// Waits until every tap has put its shots where they belong; the first failure is reported.
    pub fn finish_taps(&mut self) -> Result<(), Error> {
        let results: Vec<_> = self.taps.drain(..).map(|mut tap| tap.finish()).collect();
        results.into_iter().collect()
    }

    /// All plants by name, in order.
    pub fn cards(&self) -> Vec<(String, Card)> {
        self.slots.iter().map(|slot| (slot.name.clone(), slot.plant.plant.card().clone())).collect()
    }

    /// Says to other processes that hold nothing where this one listens for requests.
    pub fn announce(&self, control: &Path) {
        self.slots.iter().flat_map(|slot| &slot.links).for_each(|link| link.announce(control));
    }

    /// The place of the plant called `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.name == name)
    }

    /// The names of all plants.
    pub fn names(&self) -> Vec<&str> {
        self.slots.iter().map(|slot| slot.name.as_str()).collect()
    }

    /// The card of a plant, with its ranges as the rig limits them.
    pub fn card(&self, place: usize) -> &Card {
        self.slots[place].plant.plant.card()
    }

    /// The twin that gives the gradient at `place`.
    pub fn twin(&self, place: usize) -> Arc<dyn Twin> {
        self.slots[place].twin.clone()
    }

    /// Sets controls and drives one batch: the controls really applied, and the readings.
    pub fn run(
        &mut self,
        place: usize,
        on: Forward,
        controls: &[f32],
        inputs: &Batch,
    ) -> Result<(Vec<f32>, Batch), Error> {
        self.heed()?;
        let slot = &mut self.slots[place];
        let on = match &mut slot.rehearsal {
            Some(rehearsal) => {
                rehearsal.drive(controls, inputs).map_err(Error::plant(&slot.name))?;
                Forward::Twin
            }
            None => on,
        };
        match on {
            Forward::Plant => {
                let timing = slot.plant.plant.card().timing;
                let settle = if controls.is_empty() { 0.0 } else { timing.settle };
                slot.plant.meter.shots += inputs.rows() as u64;
                let (applied, outputs) = self.drive(place, settle + timing.batch(inputs.rows()), controls, inputs)?;
                let (meter, apart) = (self.slots[place].plant.meter, self.apart);
                let driven = Driven { place, meter, controls, applied: &applied, inputs, outputs: &outputs, apart };
                self.show(&driven)?;
                Ok((applied, outputs))
            }
            Forward::Twin => {
                let mut result = drive(&mut slot.predicted, controls, inputs);
                if let (Some(noise), Ok((_, outputs))) = (&slot.noise, &mut result) {
                    let first = noise.shots.fetch_add(inputs.rows() as u64, Ordering::Relaxed);
                    noise.model.add(outputs, noise.key, first);
                }
                result.map_err(Error::plant(&slot.name))
            }
        }
    }

    /// Shows a batch to every tap, at once to those that have room; the first failure is reported.
    fn show(&mut self, driven: &Driven<'_>) -> Result<(), Error> {
        let ready: Vec<bool> = self.taps.iter().map(|tap| tap.has_room()).collect();
        let mut result = Ok(());
        let mut see = |taps: &mut Vec<Box<dyn ShotTap>>, wanted: bool| {
            let these = taps.iter_mut().zip(&ready).filter(|(_, is_ready)| **is_ready == wanted);
            these.for_each(|(tap, _)| result = std::mem::replace(&mut result, Ok(())).and(tap.see(driven)));
        };
        see(&mut self.taps, true);
        if ready.contains(&false) {
            self.wait_for_taps()?;
            see(&mut self.taps, false);
        }
        result
    }

    /// What has been asked of all plants together.
    pub fn meter(&self) -> Meter {
        self.slots.iter().fold(Meter::default(), |sum, slot| Meter {
            shots: sum.shots + slot.plant.meter.shots,
            plant_seconds: sum.plant_seconds + slot.plant.meter.plant_seconds,
            wall_seconds: sum.wall_seconds + slot.plant.meter.wall_seconds,
        })
    }

    /// Time spent in twins.
    pub fn twin_time(&self) -> Duration {
        Duration::from_nanos(self.slots.iter().map(|slot| slot.twin.nanoseconds.load(Ordering::Relaxed)).sum())
    }

    /// Every plant at this moment, by name.
    pub fn states(&self) -> BTreeMap<String, PlantState> {
        let state = |slot: &Slot| PlantState {
            shots: slot.plant.meter.shots,
            plant_seconds: slot.plant.meter.plant_seconds,
            wall_seconds: slot.plant.meter.wall_seconds,
            twin_nanoseconds: slot.twin.nanoseconds.load(Ordering::Relaxed),
            moment: slot.clock.as_ref().map(Clock::now).map(|moment| (moment.shots, moment.seconds)),
            replayed: slot.playhead.as_ref().map(Playhead::at),
        };
        self.slots.iter().map(|slot| (slot.name.clone(), state(slot))).collect()
    }

    /// The name of a plant that can only begin at its beginning: it replays the dialogue of its instruments, which begins with their
    /// greetings.
    pub fn only_from_the_start(&self) -> Option<&str> {
        let bound =
            |slot: &&Slot| slot.plant.plant.card().identity.origin == Origin::Replayed && slot.playhead.is_none();
        self.slots.iter().find(bound).map(|slot| slot.name.as_str())
    }

    /// Puts the meters back, the clocks of simulated benches and the places in recordings; the sentence says which plant is missing.
    pub fn restore(&mut self, states: &BTreeMap<String, PlantState>) -> Result<(), String> {
        for slot in &mut self.slots {
            let state = states.get(&slot.name).ok_or_else(|| format!("knows no plant `{}`", slot.name))?;
            let &PlantState { shots, plant_seconds, wall_seconds, twin_nanoseconds, moment, replayed } = state;
            slot.plant.meter = Meter { shots, plant_seconds, wall_seconds };
            slot.twin.nanoseconds.store(twin_nanoseconds, Ordering::Relaxed);
            if let (Some(clock), Some((shots, seconds))) = (&slot.clock, moment) {
                clock.set(Moment { shots, seconds });
            }
            if let Some(playhead) = &slot.playhead {
                let calls =
                    replayed.ok_or_else(|| format!("does not say where plant `{}` is in its recording", slot.name))?;
                playhead.go_to(calls);
            }
        }
        Ok(())
    }

    /// Brings every plant to its safe state, side by side and each within its deadline; the first failure is reported.
    pub fn make_safe(&mut self) -> Result<(), Error> {
        let (names, plants): (Vec<_>, Vec<_>) =
            self.slots.iter_mut().map(|slot| (&slot.name, &mut slot.plant.plant)).unzip();
        let made = Guarded::make_all_safe(plants.into_iter());
        let results = made.into_iter().zip(names).map(|(made, name)| made.map_err(Error::plant(name)));
        results.fold(Ok(()), Result::and)
    }
}

/// On every way out all plants go off side by side. What fails is said by each plant, which tries once more.
impl Drop for Lab {
    fn drop(&mut self) {
        let plants = self.slots.iter_mut().map(|slot| &mut slot.plant.plant);
        drop(Guarded::make_all_safe(plants.filter(|plant| !plant.is_safe())));
    }
}

/// Sets the controls, if there are any, and measures.
fn drive(plant: &mut dyn Plant, controls: &[f32], inputs: &Batch) -> Result<(Vec<f32>, Batch), drivers::Error> {
    let applied = if controls.is_empty() { Vec::new() } else { plant.apply(controls)? };
    Ok((applied, plant.measure(inputs)?))
}

/// A plant with the twin that is differentiated.
fn slot(opened: Opened, derivatives: Derivatives) -> Result<Slot, Error> {
    let Opened {
        name,
        plant,
        twin,
        ideal,
        adjustable,
        fit,
        clock,
        playhead,
        links,
        rejections,
        allowance,
        watchdog,
        unlearned,
    } = opened;
    let opened_twin = twin.clone();
    let twin = match (derivatives, &ideal) {
        (Derivatives::Plant, Some(ideal)) => ideal.clone(),
        (Derivatives::Plant, None) => {
            let what = match plant.card().identity.origin {
                Origin::Replayed => "is a recording",
                _ => "is behind instruments",
            };
            return Err(Error::Usage(format!(
                "method `ideal` differentiates the plant's own physics, which only a plant simulated in this program has, but plant \
                 `{name}` {what}: use `physics-aware`"
            )));
        }
        _ => twin,
    };
    let twin = Arc::new(Timed { twin, nanoseconds: AtomicU64::new(0) });
    let predicted = Predicted::new(twin.clone());
    Ok(Slot {
        name,
        plant: Metered { plant, meter: Meter::default() },
        twin,
        predicted,
        adjustable,
        fit,
        unlearned,
        opened_twin,
        ideal,
        watchdog,
        noise: None,
        clock,
        playhead,
        links,
        rejections,
        allowance,
        rehearsal: None,
    })
}
