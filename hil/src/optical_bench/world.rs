//! The light between the instruments: what the shaper lets through, and what the spectrometer sees of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use drivers::Batch;
use drivers::ocean_obp::{Spectrum, run};
use sims::{Moment, System};

use super::sequence::Shown;
use crate::{Fault, Faults};

/// A step of drift, as a part of full scale.
const DRIFT: f32 = 0.02;
/// The code that the simulated spectrometer reads at full scale: 18 bits, as a QE Pro has.
pub const FULL_SCALE: u32 = 262_143;

/// The light between the instruments.
#[derive(Debug)]
pub(super) struct World {
    pub(super) system: Arc<dyn System>,
    /// What the shaper lets through: transmissions of data and mask, interleaved.
    pub(super) shown: Shown,
    /// How many pixels the spectrometer has.
    pub(super) pixels: usize,
    pub(super) moment: Moment,
    /// Spectra taken, and the last one.
    pub(super) count: u32,
    pub(super) last: Vec<u32>,
    /// What has drifted by steps, as a part of full scale.
    pub(super) offset: f32,
    pub(super) faults: Faults,
    /// The mask of each image that was shown.
    #[cfg(test)]
    pub(super) masks: Vec<Vec<f32>>,
}

impl World {
    /// How many channels the shaper has.
    pub(super) fn channels(&self) -> usize {
        let ports = &self.system.card().ports;
        ports.input_count() + ports.control_count()
    }

    /// Takes one frame of what the shaper shows.
    pub(super) fn expose(&mut self) -> Spectrum {
        let card = self.system.card();
        let channels = self.shown.now(self.channels(), Instant::now());
        let pick = |offset: usize| channels.iter().skip(offset).step_by(2).copied().collect::<Vec<f32>>();
        let (inputs, controls) = (pick(0), self.system.settle(&pick(1)));
        let (shot, full_scale) = (card.timing.shot, f64::from(FULL_SCALE));
        let inputs = Batch::from_fn(1, inputs.len(), |_, column| inputs[column]);
        let outputs = self.system.shoot(&inputs, &controls, self.moment);
        self.moment.shots += 1;
        self.moment.seconds += shot;
        self.count += 1;
        if self.faults.strike(Fault::DriftStep) {
            self.offset += DRIFT;
        }
        let (stuck, saturated) = (self.faults.strike(Fault::StuckValue), self.faults.strike(Fault::Saturation));
        if stuck && !self.last.is_empty() {
            return Spectrum { count: self.count, pixels: self.last.clone() };
        }
        let offset = self.offset;
        let code = |value: &f32| (f64::from(*value + offset) * full_scale).round().clamp(0.0, full_scale) as u32;
        let values = outputs.values();
        let each = |(index, value)| std::iter::repeat_n(code(value), run(self.pixels, values.len(), index).len());
        self.last = values.iter().enumerate().flat_map(each).collect();
        if saturated {
            self.last.fill(FULL_SCALE);
        }
        Spectrum { count: self.count, pixels: self.last.clone() }
    }
}

pub(super) fn locked(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}
