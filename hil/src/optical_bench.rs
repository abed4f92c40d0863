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
mod world;

use std::io;
use std::sync::{Arc, Mutex};

use sims::{Moment, System};

use crate::Faults;
use crate::byte_server::{ByteServer, SerialLine};
use sequence::Shown;
use shaper::Shaper;
use spectrometer::Spectrometer;
pub use world::FULL_SCALE;
use world::{World, locked};

/// Pixels that read each output where the rig does not say how many there are.
const PIXELS_EACH: usize = 20;
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
