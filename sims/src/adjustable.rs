//! Twins whose coefficients can be fitted: what a calibration turns until the twin agrees with its plant.
//!
//! *Coefficients* have a name and a meaning. *Corrections* have none of their own: many small ones, such as a smooth
//! phase along a band, whose sizes are known only as a standard deviation about zero.

use std::sync::Arc;

use drivers::{Batch, Card};

use crate::Twin;

/// One number inside a twin that calibration fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficient {
    /// Such as `resonance_hertz`.
    pub name: String,
    /// SI unit; `1` where it has none.
    pub unit: String,
    /// What a physicist believes before anything is measured.
    pub nominal: f64,
    /// Where a fit starts: the nominal value, unless nothing depends on the coefficient there.
    pub start: f64,
    /// The smallest plausible value.
    pub low: f64,
    /// The largest plausible value.
    pub high: f64,
}

impl Coefficient {
    /// A coefficient between `low` and `high` whose fit starts at its nominal value.
    pub fn new(name: &str, unit: &str, nominal: f64, [low, high]: [f64; 2]) -> Self {
        Self { name: name.to_owned(), unit: unit.to_owned(), nominal, start: nominal, low, high }
    }

    /// The same, its fit starting elsewhere.
    pub fn starting_at(self, start: f64) -> Self {
        Self { start, ..self }
    }

    /// The distance between the ends of what is plausible.
    pub fn span(&self) -> f64 {
        self.high - self.low
    }
}

/// How a twin's outputs go with one of its numbers: (inputs `[shots, inputs]`, controls) → derivatives `[shots, outputs]`, in the
/// unit of the output per unit of the coefficient, or per standard deviation of the correction. Exact but for rounding.
pub type Sensitivity = Box<dyn Fn(&Batch, &[f32]) -> Batch + Send + Sync>;

/// A family of twins of one plant.
pub trait Adjustable: Send + Sync + std::fmt::Debug {
    /// The plant that all of them model.
    fn card(&self) -> Card;

    /// What can be fitted.
    fn coefficients(&self) -> Vec<Coefficient>;

    /// The twin with these coefficients, in their order, and these corrections, in units of their standard deviations.
    ///
    /// Values outside the plausible range are taken at its end; missing ones are nominal, missing corrections zero.
    fn adjusted(&self, coefficients: &[f64], corrections: &[f64]) -> Arc<dyn Twin>;

    /// How the outputs of the twin with these numbers go with number `index` of them, corrections counted after coefficients.
    ///
    /// At the ends of its plausible range, and beyond, a coefficient counts as if it could go on.
    fn sensitivity(&self, coefficients: &[f64], corrections: &[f64], index: usize) -> Sensitivity;

    /// How many corrections there are. A family with more than 200 has a [`gradient`](Self::gradient).
    fn corrections(&self) -> usize {
        0
    }

    /// How a loss of the readings of the twin with these numbers (coefficients, corrections) goes with each of them, summed over the shots
    /// (inputs `[shots, inputs]`, controls): `cotangents` makes the loss's slopes, `[shots, outputs]`, from the readings. Corrections count in
    /// standard deviations.
    ///
    /// `None` where there is no such pass back: then there are few enough numbers to take their slopes one by one.
    fn gradient(
        &self,
        _numbers: (&[f64], &[f64]),
        _shots: (&Batch, &[f32]),
        _cotangents: &dyn Fn(&Batch) -> Batch,
    ) -> Option<Vec<f64>> {
        None
    }
}

/// `values` within the plausible ranges of `coefficients`; missing ones are nominal.
pub(crate) fn plausible(coefficients: &[Coefficient], values: &[f64]) -> Vec<f64> {
    let value = |(index, coefficient): (usize, &Coefficient)| {
        values.get(index).map_or(coefficient.nominal, |value| value.clamp(coefficient.low, coefficient.high))
    };
    coefficients.iter().enumerate().map(value).collect()
}
