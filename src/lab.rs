//! The opened plants of a rig, each with its twin, metered: what layers drive while a network runs.

mod upkept;
mod waiting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use drivers::{Batch, Card, Direction, LinkWatch, Origin, Plant, Playhead, Probe, Rejections};
use serde::{Deserialize, Serialize};
use sims::{Adjustable, Clock, Moment, Predicted, Pullback, Twin};

pub use upkept::Noise;
use waiting::Wait;

use crate::Error;
use crate::fits::InUse;
use crate::method::Method;
use crate::recent::Recent;
use crate::run::{Board, CalibrationStatus, Control, ShotMarks, ShotRecorder, Shots, Viewer};

/// What has been asked of a plant so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Meter {
    /// Shots taken.
    pub shots: u64,
    /// Bench time in s: measured on a real plant, from its card on a simulated or replayed one.
    pub plant_seconds: f64,
    /// Time that this process waited, in s.
    pub wall_seconds: f64,
}

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

/// One plant of the rig with the twins that belong to it, as it was opened.
pub struct Opened {
    /// Its name in the rig.
    pub name: String,
    /// The plant, behind its limits.
    pub plant: Guarded,
    /// Its nominal twin.
    pub twin: Arc<dyn Twin>,
    /// Its own physics as a twin; only a simulation knows it.
    pub ideal: Option<Arc<dyn Twin>>,
    /// The physics behind its twin, with coefficients that can be fitted.
    pub adjustable: Option<Arc<dyn Adjustable>>,
    /// The fit behind its twin, if there is one.
    pub fit: Option<InUse>,
    /// The clock of its bench; only a simulated one can be set.
    pub clock: Option<Clock>,
    /// Where it is in its recording, where it replays one.
    pub playhead: Option<Playhead>,
    /// The links of its instruments; none where nothing is wired.
    pub links: Vec<LinkWatch>,
    /// Shots that its limits, interlocks and screen have rejected.
    pub rejections: Rejections,
    /// Whether its instruments make themselves safe when they hear nothing.
    pub watchdog: bool,
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
    /// Its newest shots, where somebody wants them.
    recent: Option<Recent>,
    /// The noise that is added to predictions, where the method wants it.
    noise: Option<Noise>,
    clock: Option<Clock>,
    playhead: Option<Playhead>,
    links: Vec<LinkWatch>,
    rejections: Rejections,
}

/// A plant that is made safe when it is dropped, whatever the way out: end, error or panic.
pub struct Guarded {
    plant: Box<dyn Plant>,
    /// Whether it is in its safe state and has not been asked anything since.
    safe: bool,
}

impl Guarded {
    /// Guards `plant`.
    pub fn new(plant: Box<dyn Plant>) -> Self {
        Self { plant, safe: true }
    }
}

impl Plant for Guarded {
    fn card(&self) -> &Card {
        self.plant.card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, drivers::Error> {
        self.safe = false;
        self.plant.apply(controls)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, drivers::Error> {
        self.safe = false;
        self.plant.measure(inputs)
    }

    fn make_safe(&mut self) -> Result<(), drivers::Error> {
        if !self.safe {
            self.plant.make_safe()?;
            self.safe = true;
        }
        Ok(())
    }

    fn probe(&mut self, rest: &Batch) -> Result<Probe, drivers::Error> {
        self.safe = false;
        self.plant.probe(rest)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // What only replays a recording has no output that could be on.
        if let Err(error) = self.make_safe()
            && self.card().identity.origin != Origin::Replayed
        {
            tell!("pnnlab: plant `{}` is NOT SAFE: {error}", self.card().identity.system);
        }
    }
}

/// The plants in use.
pub struct Lab {
    slots: Vec<Slot>,
    /// Who may stop it, even inside a step.
    control: Option<Arc<Control>>,
    /// Who may look at it.
    viewer: Option<Arc<Viewer>>,
    /// The folder of its run: what happens inside a step is written down there.
    run: Option<PathBuf>,
    /// Whether it waits inside a step.
    waits: bool,
    /// The interlock that it waits for.
    wait: Option<Wait>,
    /// Where it raises alarms.
    board: Option<Arc<Board>>,
    /// Who writes down every shot.
    recorder: Option<ShotRecorder>,
    /// Shots that were held against the limits instead of being taken, where nothing is to be driven.
    rehearsed: Option<u64>,
}

impl Lab {
    /// Takes over the opened plants, with the twins that `method` differentiates.
    ///
    /// Fails when the method needs a plant's own physics and the plant is not simulated.
    pub fn new(opened: Vec<Opened>, method: Method) -> Result<Self, Error> {
        let slots = opened.into_iter().map(|opened| slot(opened, method)).collect::<Result<_, _>>()?;
        Ok(Self {
            slots,
            control: None,
            viewer: None,
            run: None,
            waits: false,
            wait: None,
            board: None,
            recorder: None,
            rehearsed: None,
        })
    }

    /// From now on `control` may stop it before each drive, and what is returned shows what the plants do.
    pub fn attend(&mut self, control: &Arc<Control>) -> Arc<Viewer> {
        let seen = |slot: &Slot| (slot.name.clone(), slot.plant.plant.card().clone(), slot.twin.twin.clone());
        let viewer = Arc::new(Viewer::new(self.slots.iter().map(seen).collect()));
        for slot in &self.slots {
            viewer.set_links(&slot.name, slot.links.clone(), slot.rejections.clone());
            viewer.set_calibration(&slot.name, slot.fit.as_ref().map(InUse::status));
        }
        control.open();
        (self.control, self.viewer) = (Some(control.clone()), Some(viewer.clone()));
        viewer
    }

    /// The twin at `place` was fitted anew.
    pub fn calibrated(&self, place: usize, calibration: CalibrationStatus) {
        if let Some(viewer) = &self.viewer {
            viewer.set_calibration(&self.slots[place].name, Some(calibration));
        }
    }

    /// The fit behind the twin at `place` should be made again.
    pub fn calibration_due(&self, place: usize, why: &str) {
        if let Some(viewer) = &self.viewer {
            viewer.calibration_due(&self.slots[place].name, why);
        }
    }

    /// Its run is kept in `folder`.
    pub fn belong_to(&mut self, folder: &Path) {
        self.run = Some(folder.to_owned());
    }

    /// The next shots are shown, however soon after the last ones they come.
    pub fn look_closely(&self) {
        if let Some(viewer) = &self.viewer {
            viewer.look_closely();
        }
    }

    /// Every shot from now on is written down by `recorder`, whose plants are those of [`Self::cards`].
    pub fn record(&mut self, recorder: ShotRecorder) {
        self.recorder = Some(recorder);
    }

    /// Where marks are set among the shots that are written down, if they are.
    pub fn shot_marks(&self) -> Option<ShotMarks> {
        self.recorder.as_ref().and_then(ShotRecorder::marks)
    }

    /// Waits until every shot is written down.
    pub fn finish_recording(&mut self) -> Result<(), Error> {
        self.recorder.take().map_or(Ok(()), |mut recorder| recorder.finish())
    }

    /// From now on nothing is driven: twins compute, and what would be sent is held against the limits.
    pub fn rehearse(&mut self) {
        self.rehearsed = Some(0);
    }

    /// Shots that were held against the limits.
    pub fn rehearsed_shots(&self) -> u64 {
        self.rehearsed.unwrap_or(0)
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
        if let Some(shots) = &mut self.rehearsed {
            let ports = &slot.plant.plant.card().ports;
            let mut checks = inputs.iter().map(|shot| ports.check(Direction::Input, shot));
            let controls = if controls.is_empty() { Ok(()) } else { ports.check(Direction::Control, controls) };
            controls.and_then(|()| checks.try_for_each(|check| check)).map_err(Error::plant(&slot.name))?;
            *shots += inputs.rows() as u64;
        }
        let on = if self.rehearsed.is_some() { Forward::Twin } else { on };
        match on {
            Forward::Plant => {
                let timing = slot.plant.plant.card().timing;
                let settle = if controls.is_empty() { 0.0 } else { timing.settle };
                slot.plant.meter.shots += inputs.rows() as u64;
                let (applied, outputs) = self.drive(place, settle + timing.batch(inputs.rows()), controls, inputs)?;
                let slot = &self.slots[place];
                if let Some(recent) = &slot.recent {
                    recent.add(&applied, inputs, &outputs);
                }
                if let Some(viewer) = &self.viewer {
                    viewer.see(place, slot.plant.meter, || Shots::last(controls, inputs, &applied, &outputs));
                }
                if let Some(recorder) = &self.recorder {
                    let Meter { shots, plant_seconds, .. } = slot.plant.meter;
                    recorder.take(place, (shots, plant_seconds), &applied, (inputs, &outputs))?;
                }
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

    /// Brings every plant to its safe state; all are tried, the first failure is reported.
    pub fn make_safe(&mut self) -> Result<(), Error> {
        let results = self.slots.iter_mut().map(|slot| slot.plant.plant.make_safe().map_err(Error::plant(&slot.name)));
        results.fold(Ok(()), Result::and)
    }
}

/// Sets the controls, if there are any, and measures.
fn drive(plant: &mut dyn Plant, controls: &[f32], inputs: &Batch) -> Result<(Vec<f32>, Batch), drivers::Error> {
    let applied = if controls.is_empty() { Vec::new() } else { plant.apply(controls)? };
    Ok((applied, plant.measure(inputs)?))
}

/// A plant with the twin that `method` differentiates.
fn slot(opened: Opened, method: Method) -> Result<Slot, Error> {
    let Opened { name, plant, twin, ideal, adjustable, fit, clock, playhead, links, rejections, watchdog: _ } = opened;
    let twin = match (method, ideal) {
        (Method::Ideal, Some(ideal)) => ideal,
        (Method::Ideal, None) => {
            let origin = plant.card().identity.origin;
            return Err(Error::Usage(format!(
                "method `ideal` differentiates the plant's own physics, which only a simulated plant has, but plant `{name}` \
                 is {origin}: use `physics-aware`"
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
        recent: None,
        noise: None,
        clock,
        playhead,
        links,
        rejections,
    })
}
