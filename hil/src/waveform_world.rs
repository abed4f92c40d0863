//! A simulated bench behind waveform instruments: what the generator plays, the digitizer records.
//!
//! The world knows how shots are laid out in a burst, as the wiring of a bench does. Each shot drives the simulated plant from
//! rest; between shots nothing is read.

use std::sync::{Arc, Mutex};

use drivers::{Batch, Direction, Plant, WaveformConfig};
use sims::{Simulated, System};

use crate::{Fault, Faults};

/// A step of drift, as a part of the full scale.
const DRIFT: f32 = 0.05;

/// The bench that several instruments share.
pub type SharedWorld = Arc<Mutex<WaveformWorld>>;

/// A simulated plant between a generator and a digitizer.
#[derive(Debug)]
pub struct WaveformWorld {
    plant: Simulated,
    /// The controls as they were set, and as the plant has them.
    asked: Vec<f32>,
    applied: Vec<f32>,
    /// Whether the output that carries each is on.
    carried: Vec<bool>,
    config: WaveformConfig,
    faults: Faults,
    loaded: Vec<f32>,
    output: bool,
    armed: bool,
    record: Vec<f32>,
    offset: f32,
    fired: u64,
}

impl WaveformWorld {
    /// Switched on, with the output off.
    pub fn new(system: Arc<dyn System>, config: &WaveformConfig, faults: Faults) -> Self {
        let controls = system.card().ports.at_rest(Direction::Control);
        Self {
            plant: Simulated::new(system),
            applied: controls.clone(),
            carried: vec![true; controls.len()],
            asked: controls,
            config: config.clone(),
            faults,
            loaded: vec![],
            output: false,
            armed: false,
            record: vec![],
            offset: 0.0,
            fired: 0,
        }
    }

    /// Puts samples into the generator's memory, in V.
    pub fn load(&mut self, volts: Vec<f32>) {
        self.loaded = volts;
    }

    /// Switches the generator's output.
    pub fn switch(&mut self, on: bool) {
        self.output = on;
    }

    /// Whether the generator's output is on.
    pub fn output(&self) -> bool {
        self.output
    }

    /// Sets a control; those that the plant has not are kept without an effect.
    pub fn set_control(&mut self, index: usize, value: f32) {
        if let Some(control) = self.asked.get_mut(index) {
            *control = value;
        }
        self.apply();
    }

    /// Switches the output that carries a control: without it the plant has that control at rest.
    pub fn carry(&mut self, index: usize, on: bool) {
        if let Some(carried) = self.carried.get_mut(index) {
            *carried = on;
        }
        self.apply();
    }

    /// A control as its converter makes it; 0 where the plant has none of that number.
    pub fn control(&self, index: usize) -> f32 {
        let set = self.plant.settled(&self.asked);
        set.get(index).copied().unwrap_or_default()
    }

    /// The controls that the plant has.
    pub fn controls(&self) -> &[f32] {
        &self.applied
    }

    fn apply(&mut self) {
        let rest = self.plant.ports().at_rest(Direction::Control);
        let wanted: Vec<f32> =
            (0..rest.len()).map(|index| if self.carried[index] { self.asked[index] } else { rest[index] }).collect();
        // The equations take any.
        if let Ok(applied) = self.plant.apply(&wanted) {
            self.applied = applied;
        }
    }

    /// The digitizer waits for the trigger.
    pub fn arm(&mut self) {
        self.armed = true;
    }

    /// The digitizer no longer waits.
    pub fn disarm(&mut self) {
        self.armed = false;
    }

    /// Whether the digitizer waits.
    pub fn armed(&self) -> bool {
        self.armed
    }

    /// What the digitizer recorded last, in V.
    pub fn record(&self) -> &[f32] {
        &self.record
    }

    /// How often the generator has played its memory.
    pub fn fired(&self) -> u64 {
        self.fired
    }

    /// The generator plays its memory once; an armed digitizer records.
    pub fn fire(&mut self) {
        self.fired += 1;
        if !self.armed {
            return;
        }
        self.armed = false;
        let WaveformConfig { samples, reading_volts, .. } = self.config;
        let mut rows = Vec::new();
        for shot in self.loaded.chunks(self.config.period()) {
            let mut row = if self.output { shot[..samples.min(shot.len())].to_vec() } else { vec![] };
            row.resize(samples, 0.0);
            rows.extend(row);
        }
        let inputs = Batch::new(samples, rows);
        let readings = inputs.and_then(|inputs| self.plant.measure(&inputs));
        // The equations refuse nothing of the right width, and rows are cut to that width here.
        let Ok(readings) = readings else { return };
        let mut record = self.config.lay_out(readings.iter());
        record.truncate(self.loaded.len());
        if self.faults.strike(Fault::DriftStep) {
            self.offset += DRIFT * reading_volts;
        }
        if self.offset != 0.0 {
            for volts in &mut record {
                *volts += self.offset;
            }
        }
        if self.faults.strike(Fault::StaleFrame) && self.record.len() == record.len() {
            return;
        }
        if self.faults.strike(Fault::StuckValue) {
            let first = record.first().copied().unwrap_or_default();
            record.fill(first);
        }
        if self.faults.strike(Fault::Saturation) {
            for volts in &mut record {
                *volts = reading_volts.copysign(*volts);
            }
        }
        if self.faults.strike(Fault::NotANumber)
            && let Some(volts) = record.first_mut()
        {
            *volts = f32::NAN;
        }
        self.record = record;
    }
}
