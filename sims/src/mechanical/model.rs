//! The plate as a twin: the linear nominal one, and the plant's own physics.

use drivers::{Batch, Card};
use pulp::Arch;

use super::discrete::Discrete;
use super::kernel::{Backward, Conditions, Forward, Scratch};
use crate::dual::{self, Dual};
use crate::{LANES, Pullback, Sensitivity, Twin, blocks};

/// A plate without what is random, slow or rounded. Shapes: drive and microphone `[shots, samples]`, in V.
#[derive(Debug)]
pub(super) struct Modal {
    card: Card,
    plate: Discrete<f32>,
    linear: bool,
}

impl Modal {
    /// A model of the plant of `card`; a `linear` one leaves out clipping, stiffening and couplings.
    pub fn new(card: Card, plate: Discrete<f32>, linear: bool) -> Self {
        Self { card, plate, linear }
    }
}

impl Twin for Modal {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, _controls: &[f32]) -> Batch {
        let (plate, conditions) = (&self.plate, &Conditions::nominal());
        let scratch = || Scratch::forward(plate.modes.len());
        blocks::map(inputs, inputs.columns(), scratch, |_, drive, output, scratch| {
            if self.linear {
                Arch::new().dispatch(Forward::<_, true, false> { plate, conditions, drive, scratch, output });
            } else {
                Arch::new().dispatch(Forward::<_, false, false> { plate, conditions, drive, scratch, output });
            }
        })
    }

    fn pull_back(&self, inputs: &Batch, _controls: &[f32], cotangents: &Batch) -> Pullback {
        let gradients = if self.linear { self.linear(cotangents) } else { self.nonlinear(inputs, cotangents) };
        Pullback { inputs: gradients, controls: Vec::new() }
    }
}

impl Modal {
    /// The adjoint of a linear plate: the same whatever was played.
    fn linear(&self, cotangents: &Batch) -> Batch {
        let plate = &self.plate;
        let scratch = || Scratch::forward(plate.modes.len());
        blocks::map(cotangents, cotangents.columns(), scratch, |_, cotangents, gradients, scratch| {
            Arch::new().dispatch(Backward::<_, true> { plate, cotangents, scratch, gradients });
        })
    }

    /// The adjoint of a nonlinear plate, along the motion that `inputs` give.
    fn nonlinear(&self, inputs: &Batch, cotangents: &Batch) -> Batch {
        let (plate, conditions, samples) = (&self.plate, &Conditions::nominal(), inputs.columns());
        let scratch = || (Scratch::adjoint(plate.modes.len(), samples), vec![[0.0; LANES]; samples]);
        blocks::map(cotangents, samples, scratch, |block, cotangents, gradients, (scratch, drive)| {
            let shots = inputs.values().chunks(LANES * samples).nth(block).unwrap_or_default();
            blocks::gather(shots, samples, 1, drive);
            // The readings are of no use here; the gradients then take their place.
            Arch::new().dispatch(Forward::<_, false, true> { plate, conditions, drive, scratch, output: gradients });
            Arch::new().dispatch(Backward::<_, false> { plate, cotangents, scratch, gradients });
        })
    }
}

/// How the readings go with the coefficient that `plate` depends on.
pub(super) fn sensitivity(plate: Discrete<Dual<f32>>) -> Sensitivity {
    Box::new(move |inputs, _controls| {
        let (plate, conditions) = (&plate, &Conditions::nominal());
        let none = vec![[Dual::default(); LANES]; inputs.columns()];
        let scratch = || (Scratch::forward(plate.modes.len()), none.clone(), none.clone());
        blocks::map(inputs, inputs.columns(), scratch, |_, from, to, (scratch, drive, output)| {
            dual::load(from, drive);
            output.copy_from_slice(&none);
            Arch::new().dispatch(Forward::<_, false, false> { plate, conditions, drive, scratch, output });
            dual::slopes(output, to);
        })
    })
}
