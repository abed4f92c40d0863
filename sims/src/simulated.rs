//! The simulated plant: bench-fidelity physics behind the same four methods as real instruments.

use std::sync::{Arc, Mutex, PoisonError};

use drivers::{Batch, Card, Direction, Error, Plant};

use crate::Twin;

/// Where a simulated bench is in its life. With the seeds it decides every reading, so a run can be continued.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moment {
    /// Shots taken so far: the next one's number.
    pub shots: u64,
    /// Bench time since the bench was switched on, in s.
    pub seconds: f64,
}

/// The clock of a simulated bench, to be read and set from beside the plant that it belongs to.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Mutex<Moment>>);

impl Clock {
    /// Where the bench is now.
    pub fn now(&self) -> Moment {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the bench where it was at `moment`.
    pub fn set(&self, moment: Moment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = moment;
    }

    /// Time passes: so many shots, so many seconds.
    fn pass(&self, shots: u64, seconds: f64) {
        let mut moment = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (moment.shots, moment.seconds) = (moment.shots + shots, moment.seconds + seconds);
    }
}

/// The bench-fidelity physics of one system, as a pure function of what is driven and when.
pub trait System: Send + Sync + std::fmt::Debug {
    /// Who it is, its ports, and how long things take.
    fn card(&self) -> &Card;

    /// The values that the control converters really apply.
    fn settle(&self, controls: &[f32]) -> Vec<f32>;

    /// The readings of one batch, `[shots, inputs]` → `[shots, outputs]`, the first shot taken at `moment`.
    ///
    /// The reading of a shot depends on its own number and time, never on the batch that it came in.
    fn shoot(&self, inputs: &Batch, controls: &[f32], moment: Moment) -> Batch;
}

/// One system as built from its description in a rig file.
#[derive(Debug, Clone)]
pub struct Built {
    /// The bench-fidelity physics with all imperfections.
    pub system: Arc<dyn System>,
    /// The twin that a physicist would write down first, with nominal coefficients.
    pub twin: Arc<dyn Twin>,
    /// The plant's own physics as a twin, without what is random or rounded: a reference that only a simulation knows.
    pub ideal: Arc<dyn Twin>,
}

/// A plant made of a [`System`] and a clock that only its own work advances.
///
/// ```
/// use drivers::{Batch, Plant};
/// use sims::{Electrical, Simulated};
///
/// let bench = Electrical { samples: 16, ..Electrical::default() }.build()?;
/// let (mut plant, mut same) = (Simulated::new(bench.system.clone()), Simulated::new(bench.system));
/// let drive = Batch::from_fn(2, 16, |shot, sample| 0.1 * (shot + sample) as f32 / 16.0); // V
/// assert_eq!(plant.measure(&drive).unwrap(), same.measure(&drive).unwrap(), "the same shots read the same");
/// assert_ne!(plant.measure(&drive).unwrap(), bench.twin.predict(&drive, &[]), "a twin is not its plant");
/// # Ok::<(), sims::Error>(())
/// ```
#[derive(Debug)]
pub struct Simulated {
    system: Arc<dyn System>,
    controls: Vec<f32>,
    clock: Clock,
}

impl Simulated {
    /// Switches the bench on at shot 0, time 0, with its controls at their safe state, zero or the nearest allowed.
    pub fn new(system: Arc<dyn System>) -> Self {
        Self::at(system, Moment::default())
    }

    /// The bench as it stood at `moment`.
    pub fn at(system: Arc<dyn System>, moment: Moment) -> Self {
        let controls = system.card().ports.at_rest(Direction::Control);
        let clock = Clock::default();
        clock.set(moment);
        Self { system, controls, clock }
    }

    /// The bench becomes another one with the same ports; its clock goes on, and its controls stay where they were set.
    pub fn become_system(&mut self, system: Arc<dyn System>) {
        self.system = system;
    }

    /// The clock of the bench, for checkpoints.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// The values that the control converters would really apply.
    pub fn settled(&self, controls: &[f32]) -> Vec<f32> {
        self.system.settle(controls)
    }

    /// Where the bench is now.
    pub fn moment(&self) -> Moment {
        self.clock.now()
    }
}

impl Plant for Simulated {
    fn card(&self) -> &Card {
        self.system.card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.controls = self.system.settle(controls);
        self.clock.pass(0, self.card().timing.settle);
        Ok(self.controls.clone())
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let outputs = self.system.shoot(inputs, &self.controls, self.clock.now());
        self.clock.pass(inputs.rows() as u64, self.card().timing.batch(inputs.rows()));
        Ok(outputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.controls = self.system.card().ports.at_rest(Direction::Control);
        Ok(())
    }
}
