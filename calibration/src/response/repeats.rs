//! Repeatability: one and the same shot, again and again.

use drivers::{Batch, Direction, Error};
use serde::Serialize;

use super::pair::Pair;

/// Most shots in one batch.
const BATCH: usize = 500;
/// Fewest batches, so that a drift shows.
const BATCHES: usize = 20;

/// How well a plant repeats itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Repeats {
    /// How many shots.
    pub shots: usize,
    /// Sample standard deviation of each output, in its unit.
    pub deviations: Vec<f64>,
    /// RMS of them over the outputs, as a fraction of each output's full scale (1).
    pub relative: f64,
    /// The largest of them, as a fraction of full scale (1).
    pub worst: f64,
    /// How the size of the reading moved, batch by batch.
    pub drift: Vec<Drift>,
    /// Of the last quarter of the batches against the first (1).
    pub drift_relative: f64,
}

/// The size of the mean reading of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drift {
    /// Bench time at its middle since the first shot, in s, as the plant's card tells it.
    pub seconds: f64,
    /// Its projection on the mean reading of all batches, less 1 (1).
    pub change: f64,
}

/// Repeats the one shot of `inputs`.
pub fn measure(pair: &mut Pair<'_>, inputs: &Batch, shots: usize) -> Result<Repeats, Error> {
    let shots = shots.max(2);
    let size = (shots / BATCHES).clamp(1, BATCH);
    let timing = pair.plant.card().timing;
    let outputs = pair.plant.ports().output_count();
    let (mut sums, mut squares) = (vec![0.0; outputs], vec![0.0; outputs]);
    // The first reading is subtracted before squares are summed: else the little that differs is lost.
    let mut first: Option<Vec<f32>> = None;
    let (mut taken, mut seconds, mut means) = (0, 0.0, Vec::new());
    while taken < shots {
        let count = size.min(shots - taken);
        let readings = pair.plant.measure(&Batch::from_fn(count, inputs.columns(), |_, port| inputs.row(0)[port]))?;
        let origin = first.get_or_insert_with(|| readings.row(0).to_vec());
        let mut mean = vec![0.0; outputs];
        for row in &readings {
            for (output, value) in row.iter().enumerate() {
                let away = f64::from(value - origin[output]);
                sums[output] += away;
                squares[output] += away * away;
                mean[output] += f64::from(*value) / count as f64;
            }
        }
        means.push((seconds + 0.5 * timing.batch(count), mean));
        seconds += timing.batch(count);
        taken += count;
    }
    let count = shots as f64;
    let deviation = |(sum, square): (&f64, &f64)| ((square - sum * sum / count).max(0.0) / (count - 1.0)).sqrt();
    let deviations: Vec<f64> = sums.iter().zip(&squares).map(deviation).collect();
    let scales: Vec<f64> =
        pair.plant.ports().ranges(Direction::Output).iter().map(|range| f64::from(range.full_scale())).collect();
    let relative = deviations.iter().zip(&scales).map(|(deviation, scale)| deviation / scale).collect::<Vec<_>>();
    let drift = drifts(&means);
    Ok(Repeats {
        shots,
        relative: (relative.iter().map(|value| value * value).sum::<f64>() / outputs.max(1) as f64).sqrt(),
        worst: relative.iter().copied().fold(0.0, f64::max),
        deviations,
        drift_relative: ends(&drift),
        drift,
    })
}

/// Each batch's mean reading, projected on that of all.
fn drifts(means: &[(f64, Vec<f64>)]) -> Vec<Drift> {
    let outputs = means.first().map_or(0, |(_, mean)| mean.len());
    let all: Vec<f64> = (0..outputs)
        .map(|output| means.iter().map(|(_, mean)| mean[output]).sum::<f64>() / means.len() as f64)
        .collect();
    let size: f64 = all.iter().map(|value| value * value).sum();
    let change = |mean: &[f64]| {
        let projection: f64 = mean.iter().zip(&all).map(|(a, b)| (a - b) * b).sum();
        if size > 0.0 { projection / size } else { 0.0 }
    };
    means.iter().map(|(seconds, mean)| Drift { seconds: *seconds, change: change(mean) }).collect()
}

/// The mean of the last quarter less that of the first.
fn ends(drift: &[Drift]) -> f64 {
    let quarter = (drift.len() / 4).max(1);
    let mean = |part: &[Drift]| part.iter().map(|point| point.change).sum::<f64>() / part.len().max(1) as f64;
    mean(&drift[drift.len().saturating_sub(quarter)..]) - mean(&drift[..quarter.min(drift.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_that_grows_by_a_percent_drifts_by_it() {
        let means: Vec<(f64, Vec<f64>)> = (0..=20)
            .map(|batch| {
                let factor = 1.0 + 0.01 * f64::from(batch) / 20.0;
                (f64::from(batch), vec![factor, -2.0 * factor])
            })
            .collect();
        let drift = drifts(&means);
        assert!((drift[20].change - drift[0].change - 0.01).abs() < 1e-4);
        assert!((0.006..0.01).contains(&ends(&drift)));
    }
}
