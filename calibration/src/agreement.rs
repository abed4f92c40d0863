//! How far a twin is from its plant: the RMS difference of what they read, as a fraction of the standard deviation of
//! the plant's readings.
//!
//! Stimuli are white: each input independent and uniform over its range. They meet every frequency and every amplitude
//! that the limits allow, and depend on nothing that was trained.

use drivers::{Batch, Direction, Error, Plant, Ports};
use sims::{Key, Twin};

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

/// Measures `shots` random stimuli on `plant` with its controls in the middle of their ranges, and compares.
pub fn agreement(plant: &mut dyn Plant, twin: &dyn Twin, shots: usize, key: Key) -> Result<Agreement, Error> {
    let middle: Vec<f32> =
        plant.ports().ranges(Direction::Control).iter().map(|range| 0.5 * (range.low + range.high)).collect();
    let controls = plant.apply(&middle)?;
    let inputs = stimuli(plant.ports(), shots, key);
    let readings = plant.measure(&inputs)?;
    Ok(compare(&readings, &twin.predict(&inputs, &controls)))
}

/// White random inputs over the full range of each port, `[shots, inputs]`.
pub fn stimuli(ports: &Ports, shots: usize, key: Key) -> Batch {
    let ranges = ports.ranges(Direction::Input);
    let mut stream = key.branch("stimuli").stream();
    Batch::from_fn(shots, ranges.len(), |_, port| ranges[port].low + stream.uniform() * ranges[port].span())
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
    use drivers::{Bank, Range};

    #[test]
    fn a_constant_offset_is_the_error_it_is() {
        let readings = Batch::from_fn(1000, 2, |row, _| (row % 2) as f32);
        let predictions = Batch::from_fn(1000, 2, |row, _| (row % 2) as f32 + 0.1);
        let agreement = compare(&readings, &predictions);
        assert!((agreement.rms_error - 0.1).abs() < 1e-6);
        assert!((agreement.output_std - 0.5).abs() < 1e-6);
        assert!((agreement.relative_error() - 0.2).abs() < 1e-6);
    }

    #[test]
    fn stimuli_stay_in_range_and_fill_it() {
        let ports = Ports { inputs: vec![Bank::new("drive", 40, "V", Range::new(-2.0, 1.0))], ..Ports::default() };
        let batch = stimuli(&ports, 100, Key::new(1));
        assert!(batch.iter().all(|row| ports.check(Direction::Input, row).is_ok()));
        let (low, high) = batch.values().iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        assert!(low < -1.9 && high > 0.9);
        assert_eq!(batch, stimuli(&ports, 100, Key::new(1)));
        assert_ne!(batch, stimuli(&ports, 100, Key::new(2)));
    }
}
