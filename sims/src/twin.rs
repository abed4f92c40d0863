//! The twin: a differentiable model of a plant.

use std::sync::Arc;

use drivers::{Batch, Card, Error, Plant};

/// What a twin's backward pass gives for a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Pullback {
    /// Gradients for the inputs, `[shots, inputs]`.
    pub inputs: Batch,
    /// Gradients for the controls, `[controls]`, summed over the shots.
    pub controls: Vec<f32>,
}

/// A differentiable model of a [`Plant`]: same ports, same units. Pure: no clock, no hidden randomness.
///
/// ```
/// use drivers::Batch;
/// use sims::Electrical;
///
/// let twin = Electrical { samples: 8, ..Electrical::default() }.build()?.twin;
/// let (drive, sum) = (Batch::from_fn(1, 8, |_, _| 0.1), Batch::from_fn(1, 8, |_, _| 1.0));
/// let slope = twin.pull_back(&drive, &[], &sum).inputs.row(0)[2];
/// // The same by a small step of the third sample.
/// let at = |step: f32| {
///     let moved = Batch::from_fn(1, 8, |_, sample| 0.1 + if sample == 2 { step } else { 0.0 });
///     twin.predict(&moved, &[]).values().iter().sum::<f32>()
/// };
/// assert!((slope - (at(1e-3) - at(-1e-3)) / 2e-3).abs() < 1e-2 * slope.abs());
/// # Ok::<(), sims::Error>(())
/// ```
pub trait Twin: Send + Sync + std::fmt::Debug {
    /// The ports of the plant that it models.
    fn card(&self) -> &Card;

    /// What the plant would read, `[shots, inputs]` → `[shots, outputs]`.
    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch;

    /// Vector–Jacobian product at (`inputs`, `controls`): cotangents `[shots, outputs]` → gradients for inputs
    /// `[shots, inputs]` and controls `[controls]`.
    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback;
}

/// A twin that stands in for its plant: what in-silico training trains on.
pub struct Predicted {
    twin: Arc<dyn Twin>,
    controls: Vec<f32>,
}

impl Predicted {
    /// A plant that reads what `twin` predicts.
    pub fn new(twin: Arc<dyn Twin>) -> Self {
        let controls = vec![0.0; twin.card().ports.control_count()];
        Self { twin, controls }
    }
}

impl Plant for Predicted {
    fn card(&self) -> &Card {
        self.twin.card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.controls = controls.to_vec();
        Ok(self.controls.clone())
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        Ok(self.twin.predict(inputs, &self.controls))
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
