//! How far a twin is from its plant: the RMS difference of what they read, as a fraction of the standard deviation of
//! the plant's readings.
//!
//! Stimuli are white: each input and each control independent and uniform over its range. They meet every frequency and every
//! amplitude that the limits allow, and depend on nothing that was trained.

use drivers::{Batch, Direction, Error, Gentle, Plant};
use sims::{Key, Twin};

use crate::Stimuli;

/// Shots for each setting of the controls: a bench waits for the settings, and these are many.
const SHOTS_PER_SETTING: usize = 10;

/// The difference between a twin and its plant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// RMS of prediction minus reading, in the unit of the outputs.
    pub rms_error: f64,
    /// Standard deviation of the readings over the shots, RMS over the outputs, in the same unit.
    pub output_std: f64,
}

impl Agreement {
    /// Of readings and what a twin predicted for them, both `[shots, outputs]`.
    pub fn between(readings: &Batch, predictions: &Batch) -> Self {
        compare(readings, predictions)
    }

    /// The error as a fraction of the standard deviation.
    pub fn relative_error(&self) -> f64 {
        self.rms_error / self.output_std
    }
}

/// Measures `shots` white stimuli on `plant` and compares.
pub fn agreement(plant: &mut dyn Plant, twin: &dyn Twin, shots: usize, key: Key) -> Result<Agreement, Error> {
    let plant = &mut Gentle::new(plant);
    let stimuli = Stimuli::white(plant.ports(), shots, SHOTS_PER_SETTING, key);
    let outputs = plant.ports().output_count();
    let middle: Vec<f32> =
        plant.ports().ranges(Direction::Control).iter().map(|range| 0.5 * (range.low + range.high)).collect();
    plant.apply(&middle)?;
    let (mut readings, mut predictions) = (Vec::new(), Vec::new());
    for (setting, inputs) in stimuli.by_setting() {
        let controls = plant.apply(stimuli.settings.row(setting as usize))?;
        readings.extend(plant.measure(&inputs)?.into_values());
        predictions.extend(twin.predict(&inputs, &controls).into_values());
    }
    let batch = |values| Batch::new(outputs, values);
    Ok(compare(&batch(readings)?, &batch(predictions)?))
}

/// RMS difference and spread.
fn compare(readings: &Batch, predictions: &Batch) -> Agreement {
    let count = readings.values().len().max(1) as f64;
    let squares: f64 = readings.values().iter().zip(predictions.values()).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let shots = readings.rows().max(1) as f64;
    let mut variance = 0.0;
    for output in 0..readings.columns() {
        let column = || readings.iter().map(|row| f64::from(row[output]));
        let mean = column().sum::<f64>() / shots;
        variance += column().map(|value| (value - mean).powi(2)).sum::<f64>();
    }
    Agreement { rms_error: (squares / count).sqrt(), output_std: (variance / count).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_offset_is_the_error_it_is() {
        let readings = Batch::from_fn(1000, 2, |row, _| (row % 2) as f32);
        let predictions = Batch::from_fn(1000, 2, |row, _| (row % 2) as f32 + 0.1);
        let agreement = compare(&readings, &predictions);
        assert!((agreement.rms_error - 0.1).abs() < 1e-6);
        assert!((agreement.output_std - 0.5).abs() < 1e-6);
        assert!((agreement.relative_error() - 0.2).abs() < 1e-6);
    }
}
