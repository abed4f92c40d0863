//! Slow drift of a bench, as a pure function of bench time: a few incommensurate waves with the spectrum of a random
//! walk, zero when the bench is switched on.
//!
//! w(t) = `Σ_i` `A_i·(sin(2π·t/P_i` + `θ_i`) − sin `θ_i`), with `A_i²` ∝ `P_i` and the root mean square of w(1 h) over all θ equal
//! to 1. t in s; w counts the drift of one hour.

use std::f64::consts::TAU;

use crate::{Key, LANES, Lanes, Real};

/// Periods of the waves, in h, spread evenly in their logarithm from under an hour to most of a day.
const PERIODS: [f64; 4] = [0.73, 2.1, 5.9, 17.0];
/// An hour in s.
const HOUR: f64 = 3600.0;

/// One quantity that drifts.
#[derive(Debug, Clone)]
pub(crate) struct Drift {
    /// Frequency in 1/s, phase in periods, amplitude and offset in the quantity's unit.
    waves: [(f64, f64, f32, f32); 4],
}

impl Drift {
    /// A quantity that moves by `per_hour` in an hour, root mean square over all benches.
    pub fn new(per_hour: f64, key: Key) -> Self {
        let variance: f64 = PERIODS.iter().map(|period| period * (1.0 - (TAU / period).cos())).sum();
        let mut stream = key.stream();
        let waves = PERIODS.map(|period| {
            let (phase, amplitude) = (f64::from(stream.uniform()), per_hour * (period / variance).sqrt());
            ((period * HOUR).recip(), phase, amplitude as f32, (-amplitude * (TAU * phase).sin()) as f32)
        });
        Self { waves }
    }

    /// Where the quantity is at each lane's time in s.
    #[inline(always)]
    pub fn at(&self, seconds: &[f64; LANES]) -> Lanes<f32> {
        let mut sum = [0.0; LANES];
        for (frequency, phase, amplitude, offset) in self.waves {
            for lane in 0..LANES {
                let periods = seconds[lane].mul_add(frequency, phase);
                let angle = (periods - periods.round_ties_even()) as f32 * std::f32::consts::TAU;
                sum[lane] = Real::sin_cos(angle).0.mul_add(amplitude, sum[lane] + offset);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_drifts_by_its_rate_in_an_hour() {
        let mut seconds = [0.0; LANES];
        seconds[1] = HOUR;
        let moved: Vec<f64> = (0..2000)
            .map(|seed| {
                let drift = Drift::new(0.5, Key::new(seed)).at(&seconds);
                assert!(drift[0].abs() < 1e-6);
                f64::from(drift[1])
            })
            .collect();
        let rms = (moved.iter().map(|x| x * x).sum::<f64>() / 2000.0).sqrt();
        assert!((rms - 0.5).abs() < 0.04, "{rms}");
        // Still going on after three days.
        let late = Drift::new(0.5, Key::new(1)).at(&std::array::from_fn(|lane| 259_200.0 + 600.0 * lane as f64));
        assert!(late.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.6 && pair[1] != pair[0]));
    }
}
