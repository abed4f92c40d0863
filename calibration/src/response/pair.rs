//! A plant with its twin at the operating point, and what is measured there.

use drivers::{Batch, Error, Plant};
use sims::{Key, Twin};

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Time from sample to sample, in s, where the ports lie along time; `None`: along channels or places.
    pub sample_seconds: Option<f64>,
    /// The size of small steps about the operating point, as a fraction of half the range (1).
    pub step: f64,
    /// Shots that each small step, level and amplitude is averaged over.
    pub average: usize,
    /// How often one and the same shot is repeated.
    pub repeats: usize,
    /// Decides the random shots.
    pub key: Key,
}

/// A plant with its twin, at the operating point.
pub(crate) struct Pair<'a> {
    pub plant: &'a mut dyn Plant,
    pub twin: &'a dyn Twin,
    pub controls: Vec<f32>,
    pub middle: Vec<f32>,
    pub half: Vec<f32>,
}

impl Pair<'_> {
    /// Readings and predictions of one batch.
    pub fn both(&mut self, inputs: &Batch) -> Result<(Batch, Batch), Error> {
        Ok((self.plant.measure(inputs)?, self.predict(inputs)))
    }

    /// Predictions of one batch.
    pub fn predict(&self, inputs: &Batch) -> Batch {
        self.twin.predict(inputs, &self.controls)
    }

    /// The mean reading of `shots` equal shots, and the standard deviation of a single one, per output.
    pub fn averaged(&mut self, drive: &[f32], shots: usize) -> Result<(Vec<f64>, Vec<f64>), Error> {
        let inputs = Batch::from_fn(shots.max(1), drive.len(), |_, port| drive[port]);
        Ok(moments(&self.plant.measure(&inputs)?))
    }

    /// What the twin predicts for one shot.
    pub fn predicted(&self, drive: &[f32]) -> Vec<f64> {
        let inputs = Batch::from_fn(1, drive.len(), |_, port| drive[port]);
        self.predict(&inputs).values().iter().copied().map(f64::from).collect()
    }

    /// The drive that is away from the middle by `share(port)` of half the range.
    pub fn drive(&self, share: impl Fn(usize) -> f64) -> Vec<f32> {
        let away = |port: usize| (share(port).clamp(-1.0, 1.0) * f64::from(self.half[port])) as f32;
        (0..self.middle.len()).map(|port| self.middle[port] + away(port)).collect()
    }
}

/// Mean and sample standard deviation of each column.
fn moments(readings: &Batch) -> (Vec<f64>, Vec<f64>) {
    let rows = readings.rows().max(1) as f64;
    let column = |output: usize| readings.iter().map(move |row| f64::from(row[output]));
    let means: Vec<f64> = (0..readings.columns()).map(|output| column(output).sum::<f64>() / rows).collect();
    let deviations = (0..readings.columns()).map(|output| {
        let squares = column(output).map(|value| (value - means[output]).powi(2)).sum::<f64>();
        (squares / (rows - 1.0).max(1.0)).sqrt()
    });
    let deviations = deviations.collect();
    (means, deviations)
}
