//! What the upkeep of twins asks of a lab: shots apart from the training's, the newest shots, another twin, noise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use calibration::NoiseModel;
use drivers::{Batch, Plant};
use sims::{Adjustable, Key, Predicted, Twin};

use super::{Forward, Lab, Timed};
use crate::Error;
use crate::plants::{InUse, Recent};

/// The noise that predictions carry.
#[derive(Debug, Clone)]
pub struct Noise {
    /// How large it is, and what scatters together.
    pub model: Arc<NoiseModel>,
    /// Draws it.
    pub key: Key,
    /// Predicted shots so far.
    pub shots: Arc<AtomicU64>,
}

impl Lab {
    /// The same on the plant, for a measurement that is none of the training's: nobody remembers its shots.
    pub fn run_apart(&mut self, place: usize, controls: &[f32], inputs: &Batch) -> Result<(Vec<f32>, Batch), Error> {
        self.apart = true;
        let result = self.run(place, Forward::Plant, controls, inputs);
        self.apart = false;
        result
    }

    /// Sets the controls of a plant and drives nothing. Nobody is asked: it is for a way out.
    pub fn set(&mut self, place: usize, controls: &[f32]) -> Result<(), Error> {
        let slot = &mut self.slots[place];
        slot.plant.plant.apply(controls).map(drop).map_err(Error::plant(&slot.name))
    }

    /// From now on `recent` remembers the newest shots of a plant.
    pub fn remember(&mut self, place: usize, recent: &Recent) {
        self.tap(Box::new(recent.at(place)));
    }

    /// Shots of one plant so far.
    pub fn shots(&self, place: usize) -> u64 {
        self.slots[place].plant.meter.shots
    }

    /// The physics behind a twin.
    pub fn adjustable(&self, place: usize) -> Option<Arc<dyn Adjustable>> {
        self.slots[place].adjustable.clone()
    }

    /// The fit behind a twin.
    pub fn fit(&self, place: usize) -> Option<&InUse> {
        self.slots[place].fit.as_ref()
    }

    /// Whether nothing was known of a plant when it was opened.
    pub fn is_unlearned(&self, place: usize) -> bool {
        self.slots[place].unlearned
    }

    /// The twin at `place` without its stopwatch.
    pub fn bare_twin(&self, place: usize) -> Arc<dyn Twin> {
        self.slots[place].twin.twin.clone()
    }

    /// From now on `twin` gives the gradient at `place`.
    pub fn replace_twin(&mut self, place: usize, twin: &Arc<dyn Twin>) {
        let slot = &mut self.slots[place];
        let spent = slot.twin.nanoseconds.load(Ordering::Relaxed);
        slot.twin = Arc::new(Timed { twin: twin.clone(), nanoseconds: AtomicU64::new(spent) });
        slot.predicted = Predicted::new(slot.twin.clone());
        self.taps.iter_mut().for_each(|tap| tap.twin_replaced(place, twin));
    }

    /// From now on predictions at `place` carry this noise.
    pub fn add_noise(&mut self, place: usize, noise: Noise) {
        self.slots[place].noise = Some(noise);
    }
}
