//! What a bench reads on a fixed set of stimuli, as one object that can be compared with itself at another time, and with another bench's.
//!
//! ```text
//! D² = mean over columns ((mean − mean₀)/s₀)² + mean over columns ln²(s/s₀) + mean over pairs of columns (r − r₀)²
//! ```
//!
//! with means, standard deviations s and correlations r of the columns over the stimuli; the reference is the one with index 0. The stimuli must be the
//! same ones: with others, what differs is mostly the draw. Cross-moments are taken of at most [`MOST_CROSSED`] columns.

use serde::{Deserialize, Serialize};

use crate::{Error, Statistics};

/// Columns of whose pairs the correlation is part of a signature, at most.
pub const MOST_CROSSED: usize = 64;
/// Standard deviations below this share of the largest one count as this share: a dark column has no digits.
const FLOOR: f64 = 1e-3;

/// What a bench reads on a fixed set of stimuli.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signature(pub Statistics);

/// What is taken of the readings of a shot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Each reading is a column.
    #[default]
    Each,
    /// What does not depend on where a shot begins: mean, root mean square, third moment, and how alike readings are that lie 1, 2, 4, … apart, taken
    /// around the ends. A delay changes none of it.
    Shiftless,
}

impl Reduction {
    /// The columns of one shot.
    pub fn columns(self, readings: &[f32]) -> Vec<f64> {
        let wide = || readings.iter().map(|value| f64::from(*value));
        if self == Self::Each {
            return wide().collect();
        }
        let count = readings.len().max(1) as f64;
        let mean = wide().sum::<f64>() / count;
        let moment = |power: i32| wide().map(|value| (value - mean).powi(power)).sum::<f64>() / count;
        let mut columns = vec![mean, moment(2).sqrt(), moment(3).cbrt()];
        let lags = (0..).map(|power| 1_usize << power).take_while(|lag| *lag <= readings.len() / 2);
        for lag in lags {
            let shifted = readings.iter().cycle().skip(lag);
            let product =
                readings.iter().zip(shifted).map(|(a, b)| (f64::from(*a) - mean) * (f64::from(*b) - mean)).sum::<f64>()
                    / count;
            columns.push(product.abs().sqrt().copysign(product));
        }
        columns
    }
}

impl Signature {
    /// Of rows of `columns` values.
    pub fn of(name: &str, rows: &[f64], columns: usize) -> Self {
        let crossed = columns <= MOST_CROSSED;
        let mut statistics =
            if crossed { Statistics::with_cross_moments(name, columns) } else { Statistics::new(name, columns) };
        statistics.add(rows);
        Self(statistics)
    }

    /// The differences that `D²` is the sum of squares of, weighed so: a signature as seen from a reference.
    pub fn seen_from(&self, reference: &Self) -> Result<Vec<f64>, Error> {
        let (own, other) = (&self.0, &reference.0);
        if own.width() != other.width() {
            let message = format!("have {} columns, but the reference has {}", own.width(), other.width());
            return Err(Error::statistics(own.of(), message));
        }
        let width = own.width().max(1);
        let deviations =
            |one: &Statistics| one.variance().into_iter().map(|value| value.max(0.0).sqrt()).collect::<Vec<_>>();
        let (now, then) = (deviations(own), deviations(other));
        let largest = then.iter().copied().fold(0.0, f64::max);
        let floor = if largest > 0.0 { FLOOR * largest } else { 1.0 };
        let root = (width as f64).sqrt();
        let mut found = Vec::with_capacity(2 * width);
        for ((own, other), then) in own.mean().iter().zip(other.mean()).zip(&then) {
            found.push((own - other) / then.max(floor) / root);
        }
        for (now, then) in now.iter().zip(&then) {
            found.push((now.max(floor) / then.max(floor)).ln() / root);
        }
        let pairs = (width * (width - 1) / 2) as f64;
        for a in 0..own.width() {
            for b in 0..a {
                let correlation = |one: &Statistics, deviations: &[f64]| {
                    one.covariance(a, b).map(|value| value / (deviations[a].max(floor) * deviations[b].max(floor)))
                };
                if let Some((now, then)) = correlation(own, &now).zip(correlation(other, &then)) {
                    found.push((now - then) / pairs.sqrt());
                }
            }
        }
        Ok(found)
    }

    /// `D²` from a reference.
    pub fn squared_distance(&self, reference: &Self) -> Result<f64, Error> {
        Ok(self.seen_from(reference)?.into_iter().map(|value| value * value).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(gain: f64, offset: f64) -> Vec<f64> {
        (0..40)
            .flat_map(|k| {
                let x = (1.7 * f64::from(k)).sin();
                [gain * x + offset, gain * (x * x + 0.3 * f64::from(k).cos()) + offset]
            })
            .collect()
    }

    #[test]
    fn a_gain_and_an_offset_are_seen_as_what_they_are() {
        let reference = Signature::of("bench", &rows(1.0, 0.0), 2);
        assert_eq!(reference.squared_distance(&reference).unwrap(), 0.0);
        let offset = Signature::of("bench", &rows(1.0, 0.1), 2);
        let variance = reference.0.variance();
        let exactly = 0.5 * (0.01 / variance[0] + 0.01 / variance[1]);
        assert!((offset.squared_distance(&reference).unwrap() - exactly).abs() < 1e-9, "an offset moves means alone");
        let gain = Signature::of("bench", &rows(1.2, 0.0), 2);
        let mean = reference.0.mean();
        let of_means = 0.5 * 0.04 * (mean[0].powi(2) / variance[0] + mean[1].powi(2) / variance[1]);
        let exactly = of_means + 1.2_f64.ln().powi(2);
        assert!((gain.squared_distance(&reference).unwrap() - exactly).abs() < 1e-9, "a gain leaves correlations");
        assert!(reference.squared_distance(&Signature::of("bench", &rows(1.0, 0.0), 4)).is_err());
    }

    #[test]
    fn a_delay_is_not_seen_without_a_beginning() {
        let shot: Vec<f32> = (0..16).map(|k| (0.9 * k as f32).sin() + 0.1 * (k % 3) as f32).collect();
        let mut late = shot.clone();
        late.rotate_right(3);
        let (one, other) = (Reduction::Shiftless.columns(&shot), Reduction::Shiftless.columns(&late));
        assert_eq!(one.len(), 3 + 4);
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6), "{one:?} {other:?}");
        assert_ne!(Reduction::Each.columns(&shot), Reduction::Each.columns(&late));
        let louder: Vec<f32> = shot.iter().map(|value| 1.1 * value).collect();
        assert!(Reduction::Shiftless.columns(&louder).iter().zip(&one).all(|(a, b)| (a - 1.1 * b).abs() < 1e-5));
    }
}
