//! A simulated shaper and a simulated spectrometer that share one optical bench: what the shaper shows, the
//! spectrometer sees. They speak the bytes of the TI DLP `LightCrafter` and of the Ocean Binary Protocol.
//!
//! A spectrum is of what is shown when its integration begins.

mod sequence;
mod shaper;
mod spectrometer;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use drivers::Batch;
use drivers::ocean_obp::{Spectrum, run};
use sims::{Moment, System};

use crate::byte_server::{ByteServer, SerialLine};
use crate::{Fault, Faults};
use sequence::Shown;
use shaper::Shaper;
use spectrometer::Spectrometer;

/// Pixels that read each output where the rig does not say how many there are.
const PIXELS_EACH: usize = 20;
/// A step of drift, as a part of full scale.
const DRIFT: f32 = 0.02;
/// The code that the simulated spectrometer reads at full scale: 18 bits, as a QE Pro has.
pub const FULL_SCALE: u32 = 262_143;

/// The light between the instruments.
#[derive(Debug)]
struct World {
    system: Arc<dyn System>,
    /// What the shaper lets through: transmissions of data and mask, interleaved.
    shown: Shown,
    /// How many pixels the spectrometer has.
    pixels: usize,
    moment: Moment,
    /// Spectra taken, and the last one.
    count: u32,
    last: Vec<u32>,
    /// What has drifted by steps, as a part of full scale.
    offset: f32,
    faults: Faults,
    /// The mask of each image that was shown.
    #[cfg(test)]
    masks: Vec<Vec<f32>>,
}

impl World {
    /// How many channels the shaper has.
    fn channels(&self) -> usize {
        let ports = &self.system.card().ports;
        ports.input_count() + ports.control_count()
    }

    /// Takes one frame of what the shaper shows.
    fn expose(&mut self) -> Spectrum {
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

/// A served optical bench.
#[derive(Debug)]
pub struct OpticalBench {
    world: Arc<Mutex<World>>,
    shaper: ByteServer,
    spectrometer: ByteServer,
}

impl OpticalBench {
    /// Serves both instruments in front of `system`: the shaper on a free TCP port of this machine, the spectrometer on another, or on
    /// a serial `line`. The spectrometer has so many `pixels`.
    pub fn serve(
        system: Arc<dyn System>,
        line: Option<&SerialLine>,
        pixels: Option<usize>,
        faults: &Faults,
    ) -> io::Result<Self> {
        let outputs = system.card().ports.output_count();
        let world = World {
            system,
            shown: Shown::default(),
            pixels: pixels.unwrap_or(PIXELS_EACH * outputs).max(outputs),
            moment: Moment::default(),
            count: 0,
            last: vec![],
            offset: 0.0,
            faults: faults.clone(),
            #[cfg(test)]
            masks: vec![],
        };
        let world = Arc::new(Mutex::new(world));
        let shaper = ByteServer::start(Shaper::new(Arc::clone(&world)), faults)?;
        let spectrometer = Spectrometer::new(Arc::clone(&world), faults.clone());
        let spectrometer = match line {
            None => ByteServer::start(spectrometer, faults)?,
            Some(line) => ByteServer::start_on_line(spectrometer, line, faults)?,
        };
        Ok(Self { world, shaper, spectrometer })
    }

    /// Where the shaper listens.
    pub fn shaper_address(&self) -> &str {
        self.shaper.address()
    }

    /// Where the spectrometer listens.
    pub fn spectrometer_address(&self) -> &str {
        self.spectrometer.address()
    }

    /// Whether no light passes.
    pub fn is_dark(&self) -> bool {
        locked(&self.world).shown.is_dark()
    }
}

fn locked(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}
