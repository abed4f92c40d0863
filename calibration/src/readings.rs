//! What a model reads of a trace, and how that goes with its numbers: coefficients first, then corrections.
//!
//! Readings stand shot after shot, `[shots · outputs]`, in full scales of each output, and end where the plant's converter ends:
//! beyond the ends of an output's range nothing changes any more.

use drivers::{Direction, Range};
use nalgebra::DMatrix;
use rayon::prelude::*;
use sims::Adjustable;

use crate::saturation::within_range;
use crate::score::scale;
use crate::{Observer, Trace};

/// A model beside a trace of its plant.
pub(crate) struct Readings<'a> {
    model: &'a dyn Adjustable,
    trace: &'a Trace,
    ranges: Vec<Range>,
}

impl<'a> Readings<'a> {
    pub fn new(model: &'a dyn Adjustable, trace: &'a Trace) -> Self {
        Self { model, trace, ranges: trace.card.ports.ranges(Direction::Output) }
    }

    /// What was read.
    pub fn measured(&self) -> Vec<f64> {
        self.in_full_scales(self.trace.outputs.values())
    }

    /// What the model with these numbers predicts.
    pub fn predicted(&self, coefficients: &[f64], corrections: &[f64]) -> Vec<f64> {
        let twin = within_range(self.model.adjusted(coefficients, corrections));
        self.in_full_scales(self.trace.predict(&*twin).values())
    }

    /// Derivatives of the predictions, one column for each number, in units of `units`; `None` once the observer wants to stop.
    pub fn slopes(
        &self,
        coefficients: &[f64],
        corrections: &[f64],
        units: &[f64],
        observer: &dyn Observer,
    ) -> Option<DMatrix<f64>> {
        let free = self.trace.predict(&*self.model.adjusted(coefficients, corrections));
        let ports = || self.ranges.iter().cycle();
        let inside: Vec<bool> = free
            .values()
            .iter()
            .zip(ports())
            .map(|(value, range)| range.low <= *value && *value <= range.high)
            .collect();
        let mut slopes = DMatrix::zeros(free.values().len(), units.len());
        let rows = slopes.nrows().max(1);
        let column = |(index, column): (usize, &mut [f64])| {
            if observer.stop() {
                return None;
            }
            let sensitivity = self.model.sensitivity(coefficients, corrections, index);
            let slopes = self.in_full_scales(self.trace.map(sensitivity).values());
            for ((to, slope), inside) in column.iter_mut().zip(slopes).zip(&inside) {
                *to = if *inside { slope * units[index] } else { 0.0 };
            }
            Some(())
        };
        slopes.as_mut_slice().par_chunks_mut(rows).enumerate().map(column).collect::<Option<()>>()?;
        Some(slopes)
    }

    fn in_full_scales(&self, values: &[f32]) -> Vec<f64> {
        values.iter().zip(self.ranges.iter().cycle()).map(|(value, range)| f64::from(*value) / scale(*range)).collect()
    }
}
