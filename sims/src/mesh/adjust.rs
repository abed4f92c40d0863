//! The numbers of a mesh, as a calibration fits them.
//!
//! Coefficients: the loss of an interferometer and the crosstalk of the heaters. Corrections: of each interferometer the errors of its two
//! couplers and of θ and φ, then the phases of the outputs where these are read. A mesh of 64 modes has 8,064 of them: their slopes all
//! together come from one pass back ([`Adjustable::gradient`]).

use std::sync::Arc;

use drivers::{Batch, Card};

use super::chip::Chip;
use super::layout::Layout;
use super::model::Optics;
use super::{Ideal, Mesh, MeshInputs, passage};
use crate::adjustable::plausible;
use crate::dual::{self, Dual};
use crate::{Adjustable, Coefficient, Real, Sensitivity, Twin};

/// Expected size of the error of a coupler, and of a phase in rad: of the order that foundries and published meshes have (`mesh.rs`).
const COUPLER: f64 = 0.1;
const PHASE: f64 = 0.1;
/// The largest error of a coupler that is believed.
const LARGEST: f64 = 0.9;

impl Adjustable for Mesh {
    fn card(&self) -> Card {
        Mesh::card(self)
    }

    fn coefficients(&self) -> Vec<Coefficient> {
        vec![
            // Nothing depends on the loss below 0, where a fit would be stuck: it starts where it can be felt.
            Coefficient::new("loss_decibel", "dB", 0.0, [0.0, 1.0]).starting_at(0.01),
            Coefficient::new("crosstalk", "1", 0.0, [-0.05, 0.05]),
        ]
    }

    fn corrections(&self) -> usize {
        2 * self.layout().interferometers() + self.phases()
    }

    fn adjusted(&self, coefficients: &[f64], corrections: &[f64]) -> Arc<dyn Twin> {
        let values = plausible(&self.coefficients(), coefficients);
        let corrections = self.filled(corrections);
        Arc::new(Ideal { card: Mesh::card(self), optics: optics(self, &values, &corrections) })
    }

    fn sensitivity(&self, coefficients: &[f64], corrections: &[f64], index: usize) -> Sensitivity {
        let mut values = plausible(&self.coefficients(), coefficients);
        let count = values.len();
        values.extend(self.filled(corrections));
        let values = dual::along(&values, index);
        let (coefficients, corrections) = values.split_at(count);
        let optics: Optics<Dual<f32>> = optics(self, coefficients, corrections);
        Box::new(move |inputs, controls| {
            let at = optics.at(&dual::constants(controls));
            let outputs = optics.predict(&at, &dual::constants(inputs.values()));
            let width = outputs.len() / inputs.rows().max(1);
            Batch::from_fn(inputs.rows(), width, |row, column| outputs[row * width + column].slope)
        })
    }

    fn gradient(
        &self,
        (coefficients, corrections): (&[f64], &[f64]),
        (inputs, controls): (&Batch, &[f32]),
        cotangents: &dyn Fn(&Batch) -> Batch,
    ) -> Option<Vec<f64>> {
        let values = plausible(&self.coefficients(), coefficients);
        let filled = self.filled(corrections);
        let optics: Optics<f32> = optics(self, &values, &filled);
        let at = optics.at(controls);
        let read = optics.predict(&at, inputs.values());
        let width = read.len() / inputs.rows().max(1);
        let cotangents = cotangents(&Batch::from_fn(inputs.rows(), width, |row, column| read[row * width + column]));
        let slopes = optics.pull_back(&at, inputs.values(), cotangents.values()).slopes;
        let wide = |value: f32| f64::from(value);
        // d g/d dB of the amplitude that passes.
        let by_loss = -std::f64::consts::LN_10 / 20.0 * passage(values[0]);
        let around = optics.chip.neighborhood(controls);
        let by_crosstalk: f64 = slopes.phases.iter().zip(&around).map(|(slope, sum)| wide(slope * sum)).sum();
        let mut gradient = vec![by_loss * wide(slopes.passage), by_crosstalk];
        for side in 0..2 {
            gradient.extend(slopes.couplers.iter().map(|slopes| COUPLER * wide(slopes[side])));
        }
        gradient.extend(slopes.phases.iter().map(|slope| PHASE * wide(*slope)));
        Some(gradient)
    }
}

impl Mesh {
    /// All corrections; missing ones are zero.
    fn filled(&self, corrections: &[f64]) -> Vec<f64> {
        (0..self.corrections()).map(|index| corrections.get(index).copied().unwrap_or(0.0)).collect()
    }

    /// Coefficients and corrections of the simulated plant itself: what only the simulation knows.
    pub fn plant_numbers(&self) -> (Vec<f64>, Vec<f64>) {
        let chip = self.actual().chip;
        let side = |side: usize| chip.couplers.iter().map(move |errors| f64::from(errors[side]) / COUPLER);
        let phases = chip.offsets.iter().map(|offset| f64::from(*offset) / PHASE);
        let coefficients = vec![self.mismatch * self.loss_decibel, self.mismatch * self.crosstalk];
        (coefficients, side(0).chain(side(1)).chain(phases).collect())
    }
}

/// The mesh with these numbers; S is the single precision of R.
fn optics<R: Real, S: Real<Wide = R>>(mesh: &Mesh, coefficients: &[R], corrections: &[R]) -> Optics<S> {
    let layout: Layout = mesh.layout();
    let count = layout.interferometers();
    let coupler = |correction: R| {
        let error = Real::max(Real::min(R::of(COUPLER) * correction, R::of(LARGEST)), R::of(-LARGEST));
        S::nearest(error)
    };
    let couplers = (0..count).map(|number| [coupler(corrections[number]), coupler(corrections[count + number])]);
    let offsets = corrections[2 * count..].iter().map(|correction| S::nearest(R::of(PHASE) * *correction));
    // 10^(−dB/20).
    let passage = (R::of(-std::f64::consts::LN_10 / 20.0) * coefficients[0]).exp();
    let numbers = [S::nearest(coefficients[1]), S::nearest(passage)];
    Optics {
        chip: Chip::new(layout, couplers.collect(), offsets.collect(), numbers),
        complex: mesh.inputs == MeshInputs::Complex,
        outputs: mesh.outputs,
    }
}
