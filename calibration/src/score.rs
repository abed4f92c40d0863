//! How badly a prediction misses: root mean square, in full scales and in standard deviations, and R² port by port, with
//! error bars.

use drivers::{Batch, Range};
use serde::{Deserialize, Serialize};

/// What a twin leaves unexplained.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Residual {
    /// Root mean square over shots and outputs, each in full scales of its port: the larger magnitude of its range.
    pub rmse_of_full_scale: f64,
    /// The standard error of that: one standard deviation.
    pub rmse_standard_error: f64,
    /// Root mean square over the standard deviation of the outputs about their own means; NaN where no output moves.
    pub rmse_of_output_std: f64,
    /// Share of the variance that is explained, 1 − residual/variance: the median of the ports that move; NaN where none does.
    pub r2_median: f64,
    /// The worst of them.
    pub r2_lowest: f64,
    /// The part of the root mean square that is noise of the readings, in full scales; unknown without repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_of_full_scale: Option<f64>,
    /// Without repeats: how much the residuals of neighboring shots differ, over √2, in full scales. It bounds the noise from above, as
    /// far as the residual of a model changes little from a shot to its neighbor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neighbors_of_full_scale: Option<f64>,
    /// Root mean square of each output, in full scales.
    pub ports: Vec<f64>,
    /// R² of each output; NaN where it does not move.
    pub r2: Vec<f64>,
}

impl Residual {
    /// Half the width of the 95 % interval of the root mean square.
    pub fn rmse_uncertainty(&self) -> f64 {
        1.96 * self.rmse_standard_error
    }

    /// Of `predictions` against `readings`, `[shots, outputs]`, whose ports have `ranges`. Shots of one `group`, such as one
    /// setting of the controls, may err together.
    pub fn of(predictions: &Batch, readings: &Batch, ranges: &[Range], groups: &[u32]) -> Self {
        let (shots, outputs) = (readings.rows().max(1) as f64, readings.columns());
        let (mut missed, mut varied) = (vec![0.0; outputs], vec![0.0; outputs]);
        let mut means = vec![0.0; outputs];
        for row in readings {
            means.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value) / shots);
        }
        let scales: Vec<f64> = ranges.iter().map(|range| scale(*range)).collect();
        let mut of_shot = Vec::with_capacity(readings.rows());
        for (predicted, read) in predictions.iter().zip(readings) {
            let mut sum = 0.0;
            for (port, (predicted, read)) in predicted.iter().zip(read).enumerate() {
                let error = f64::from(predicted - read);
                missed[port] += error * error / shots;
                varied[port] += (f64::from(*read) - means[port]).powi(2) / shots;
                sum += (error / scales[port]).powi(2);
            }
            of_shot.push(sum / outputs.max(1) as f64);
        }
        // A mean is rounded: what never moves has no variance all the same.
        let moves = |port: usize| readings.iter().any(|row| row[port] != readings.row(0)[port]);
        (0..outputs).filter(|port| !moves(*port)).for_each(|port| varied[port] = 0.0);
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / outputs.max(1) as f64;
        let square = mean(&mut missed.iter().zip(&scales).map(|(missed, scale)| missed / (scale * scale)));
        let spread = mean(&mut varied.iter().zip(&scales).map(|(varied, scale)| varied / (scale * scale)));
        let share = |(missed, varied): (&f64, &f64)| if *varied > 0.0 { 1.0 - missed / varied } else { f64::NAN };
        let r2: Vec<f64> = missed.iter().zip(&varied).map(share).collect();
        let mut sorted: Vec<f64> = r2.iter().copied().filter(|r2| !r2.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let rmse = square.sqrt();
        Self {
            rmse_of_full_scale: rmse,
            rmse_standard_error: standard_error(&of_shot, groups) / (2.0 * rmse).max(f64::MIN_POSITIVE),
            rmse_of_output_std: if spread > 0.0 { (square / spread).sqrt() } else { f64::NAN },
            r2_median: median(&sorted),
            r2_lowest: sorted.first().copied().unwrap_or(f64::NAN),
            noise_of_full_scale: None,
            neighbors_of_full_scale: None,
            ports: missed.iter().zip(&scales).map(|(missed, scale)| missed.sqrt() / scale).collect(),
            r2,
        }
    }

    /// The same, knowing the noise of a reading that is the mean of `repeats` shots, `deviations` for each output.
    pub fn with_noise(self, deviations: &[f64], ranges: &[Range], repeats: f64) -> Self {
        let squares = deviations.iter().zip(ranges).map(|(deviation, range)| (deviation / scale(*range)).powi(2));
        let mean = squares.sum::<f64>() / deviations.len().max(1) as f64 / repeats.max(1.0);
        Self { noise_of_full_scale: Some(mean.sqrt()), ..self }
    }
}

/// Shots whose neighbors are looked for, at most.
const NEIGHBORS: usize = 600;

/// Root mean square difference between the residuals of each shot and of the one with the nearest inputs, over √2, in full scales.
pub(crate) fn neighbors(predictions: &Batch, readings: &Batch, inputs: &Batch, ranges: &[Range]) -> Option<f64> {
    let shots = readings.rows().min(NEIGHBORS);
    if shots < 20 {
        return None;
    }
    let distance = |a: usize, b: usize| -> f64 {
        inputs.row(a).iter().zip(inputs.row(b)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
    };
    let residual = |shot: usize, port: usize| {
        f64::from(predictions.row(shot)[port] - readings.row(shot)[port]) / scale(ranges[port])
    };
    let mut sum = 0.0;
    for shot in 0..shots {
        let others = (0..shots).filter(|other| *other != shot);
        let nearest = others.min_by(|a, b| distance(shot, *a).total_cmp(&distance(shot, *b)))?;
        sum += (0..ranges.len()).map(|port| (residual(shot, port) - residual(nearest, port)).powi(2)).sum::<f64>();
    }
    Some((0.5 * sum / (shots * ranges.len().max(1)) as f64).sqrt())
}

/// The squared errors of each output, shot by shot.
pub(crate) fn squares(predictions: &Batch, readings: &Batch) -> Vec<Vec<f64>> {
    let of = |output: usize| {
        let pairs = predictions.iter().zip(readings);
        pairs.map(|(predicted, read)| f64::from(predicted[output] - read[output]).powi(2)).collect()
    };
    (0..readings.columns()).map(of).collect()
}

/// Whether squared errors `a` of the same shots as `b` are smaller by more than chance: to less than half, or their mean difference by two of
/// its standard errors. A more complicated model must pass this before it takes the place of a simpler one.
pub(crate) fn surely_less(a: &[f64], b: &[f64]) -> bool {
    let count = a.len().max(1) as f64;
    let differences = || a.iter().zip(b).map(|(a, b)| b - a);
    let mean = differences().sum::<f64>() / count;
    let variance = differences().map(|difference| (difference - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    // What a sharp feature costs lies in few shots, whose scatter hides it: less than half is no chance either.
    let less_than_half = 2.0 * a.iter().sum::<f64>() < b.iter().sum::<f64>();
    mean > 0.0 && (less_than_half || mean > 2.0 * (variance / count).sqrt())
}

/// Full scale of a port; 1 where it has none.
pub(crate) fn scale(range: Range) -> f64 {
    let scale = f64::from(range.full_scale());
    if scale > 0.0 && scale.is_finite() { scale } else { 1.0 }
}

/// The mean of these, 0 where there are none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The middle of sorted values.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => 0.5 * (sorted[count / 2 - 1] + sorted[count / 2]),
    }
}

/// The standard error of the mean of `values`, whose `groups` err together.
fn standard_error(values: &[f64], groups: &[u32]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let mut sums: std::collections::BTreeMap<u32, f64> = std::collections::BTreeMap::new();
    for (index, value) in values.iter().enumerate() {
        *sums.entry(groups.get(index).copied().unwrap_or(index as u32)).or_default() += value - mean;
    }
    let many = sums.len() as f64;
    let variance: f64 = sums.values().map(|sum| sum * sum).sum();
    // Few groups scatter less than they should: Bessel's correction.
    variance.sqrt() / count.max(1.0) * (many / (many - 1.0).max(1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sims::Key;

    #[test]
    fn only_what_is_no_chance_counts_as_less() {
        let errors = |seed: u64, size: f32| -> Vec<f64> {
            let mut stream = Key::new(seed).stream();
            (0..200).map(|_| f64::from(size * stream.normal()).powi(2)).collect()
        };
        assert!(surely_less(&errors(1, 0.5), &errors(2, 1.0)) && !surely_less(&errors(2, 1.0), &errors(1, 0.5)));
        let falsely = (0..100).filter(|seed| surely_less(&errors(2 * seed, 1.0), &errors(2 * seed + 1, 1.0))).count();
        assert!(falsely < 10, "{falsely} of 100, where 2.5 are expected");
        // A dip that two of forty shots meet.
        let dip = |depth: f64| (0..40).map(|shot| if shot % 20 == 0 { depth } else { 0.01 }).collect::<Vec<_>>();
        assert!(surely_less(&dip(0.01), &dip(1.0)) && !surely_less(&dip(1.0), &dip(0.01)));
        assert!(!surely_less(&[1.0, 2.0], &[1.0, 2.0]) && !surely_less(&[], &[]));
    }

    #[test]
    fn an_output_that_never_moves_has_no_r2() {
        let ranges = [Range::new(0.0, 1.0); 2];
        // The mean of 0.1 three times is not 0.1.
        let read = Batch::from_fn(3, 2, |row, port| if port == 0 { 0.1 } else { row as f32 });
        let residual = Residual::of(&read, &read, &ranges, &[0, 1, 2]);
        assert!(residual.r2[0].is_nan() && residual.r2[1] == 1.0 && residual.r2_median == 1.0, "{residual:?}");
        let still = Batch::from_fn(3, 2, |_, _| 0.1);
        let residual = Residual::of(&still, &still, &ranges, &[0, 1, 2]);
        assert!(residual.r2_median.is_nan() && residual.r2_lowest.is_nan() && residual.rmse_of_output_std.is_nan());
        assert_eq!(residual.rmse_of_full_scale, 0.0);
    }

    #[test]
    fn a_known_error_is_reported_with_its_error_bar() {
        let ranges = [Range::new(-2.0, 1.0), Range::new(0.0, 2.0)];
        let read = Batch::from_fn(1000, 2, |row, _| (row % 2) as f32);
        let mut stream = Key::new(1).stream();
        let predicted = Batch::from_fn(1000, 2, |row, port| read.row(row)[port] + 0.1 * stream.normal());
        let residual = Residual::of(&predicted, &read, &ranges, &(0..1000).collect::<Vec<u32>>());
        let distance = (residual.rmse_of_full_scale - 0.05).abs();
        assert!(distance < 3.0 * residual.rmse_standard_error && residual.rmse_standard_error < 0.001);
        assert!((residual.r2_median - 0.96).abs() < 0.005, "{}", residual.r2_median);
        assert!((residual.rmse_of_output_std - 0.2).abs() < 0.01);
    }
}
