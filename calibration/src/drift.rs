//! The drift monitor: a reference pattern taken again and again, and a cumulative sum that tells drift from noise with a stated rate
//! of false alarms.
//!
//! ```text
//! T = mean over pattern and outputs of ((y − ȳ)/σ)²        z = (T − m)/s        S ← max(0, S + z − k)        alarm when S > h
//! ```
//!
//! ȳ and σ come from the first half of the pattern's first takes, when nothing has drifted yet, m and s from the second. T is a sum of
//! squares of normal deviations; whatever correlates them, its tail is no heavier than that of one square, and that is what is
//! reckoned with. The run length of the sum between alarms then follows from a Markov chain over its values (Brook
//! and Evans, Biometrika 59, 539 (1972)), and h is the smallest threshold whose run length is the asked one. m and s are known from
//! finitely many takes only: the chain counts with a mean two standard errors above, so the stated rate is an upper bound.

use drivers::Batch;
use serde::{Deserialize, Serialize};

/// States of the Markov chain.
const STATES: usize = 60;
/// k, in standard deviations of T: half of the shift that the sum detects fastest.
const ALLOWANCE: f64 = 1.0;

/// What the monitor learned from the first takes; it does not change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftMonitor {
    /// Mean reading of the pattern, row after row.
    mean: Vec<f64>,
    /// One over the variance of each reading.
    precision: Vec<f64>,
    /// Mean and standard deviation of T.
    statistic: [f64; 2],
    /// Takes that m and s come from.
    takes: usize,
    /// h.
    pub threshold: f64,
    /// Takes between two false alarms, on average, at least.
    pub takes_between_false_alarms: f64,
}

/// The cumulative sum; what a checkpoint keeps.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct DriftState {
    /// S.
    pub sum: f64,
    /// Takes so far.
    pub takes: u64,
}

impl DriftMonitor {
    /// Learns from the first takes of the pattern, each `[shots, outputs]`, for at most one false alarm in `between` takes.
    ///
    /// `None` with fewer than eight takes: nothing could be stated.
    pub fn learn(takes: &[Batch], between: f64) -> Option<Self> {
        if takes.len() < 8 {
            return None;
        }
        // The first half says what the pattern reads and scatters, the second how far later takes lie from that.
        let (first, second) = takes.split_at(takes.len() / 2);
        let count = first.len() as f64;
        let size = takes[0].values().len();
        let mean: Vec<f64> = (0..size)
            .map(|index| first.iter().map(|take| f64::from(take.values()[index])).sum::<f64>() / count)
            .collect();
        let variance = |index: usize| {
            let squares = first.iter().map(|take| (f64::from(take.values()[index]) - mean[index]).powi(2));
            squares.sum::<f64>() / (count - 1.0)
        };
        let variances: Vec<f64> = (0..size).map(variance).collect();
        // An output that hardly scatters must not decide alone: its variance is shrunk towards the mean one.
        let typical = variances.iter().sum::<f64>() / size.max(1) as f64;
        let precision: Vec<f64> =
            variances.iter().map(|variance| 1.0 / (0.7 * variance + 0.3 * typical).max(f64::MIN_POSITIVE)).collect();
        let values: Vec<f64> = second.iter().map(|take| statistic(&mean, &precision, take)).collect();
        let count = values.len() as f64;
        let middle = values.iter().sum::<f64>() / count;
        let spread = (values.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
        // The spread of few squares is known badly: a kurtosis of up to 15 gives it a relative standard error of √(3.5/n). Two of them
        // are added, up to the most that a sum of squares can scatter, √2 of its mean; and it scatters no less than as many
        // independent squares would.
        let unsure = 1.0 + 2.0 * (3.5 / count).sqrt();
        let least = middle * (2.0 / size.max(1) as f64).sqrt();
        let spread = (spread * unsure).min(std::f64::consts::SQRT_2 * middle).max(least).max(f64::MIN_POSITIVE);
        let mut monitor = Self {
            mean,
            precision,
            statistic: [middle, spread],
            takes: second.len(),
            threshold: 0.0,
            takes_between_false_alarms: between,
        };
        monitor.threshold = monitor.smallest_threshold(between);
        Some(monitor)
    }

    /// Whether it is one that was learned, of a pattern with so many readings: what a file says is held against it.
    pub fn fits(&self, readings: usize) -> bool {
        let numbers = self.mean.iter().chain(&self.precision).chain(&self.statistic);
        let sound = numbers.chain([&self.threshold]).all(|number| number.is_finite());
        let [_, spread] = self.statistic;
        sound && [self.mean.len(), self.precision.len()] == [readings; 2] && 0.0 < spread && 0.0 < self.threshold
    }

    /// Takes the pattern once more: the state after it, and whether it is an alarm. After an alarm the sum begins anew.
    pub fn take(&self, state: DriftState, take: &Batch) -> (DriftState, bool) {
        let z = (statistic(&self.mean, &self.precision, take) - self.statistic[0]) / self.statistic[1];
        let sum = (state.sum + z - ALLOWANCE).max(0.0);
        let alarm = sum > self.threshold || !sum.is_finite();
        (DriftState { sum: if alarm { 0.0 } else { sum }, takes: state.takes + 1 }, alarm)
    }

    /// The sum as a fraction of the threshold.
    pub fn score(&self, state: DriftState) -> f64 {
        state.sum / self.threshold
    }

    /// Takes until an alarm, on average, once the mean of T has grown by `shift` of its standard deviations.
    pub fn delay(&self, shift: f64) -> f64 {
        Self::run_length(self.threshold, shift)
    }

    fn smallest_threshold(&self, between: f64) -> f64 {
        // The mean is known to a standard error of 1/√takes.
        let unsure = 2.0 / (self.takes as f64).sqrt();
        let (mut low, mut high) = (0.0, 2.0);
        while Self::run_length(high, unsure) < between && high < 1e4 {
            (low, high) = (high, 2.0 * high);
        }
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if Self::run_length(middle, unsure) < between { low = middle } else { high = middle }
        }
        high
    }

    /// Takes between alarms at `threshold` when the mean of z is `shift`.
    fn run_length(threshold: f64, shift: f64) -> f64 {
        let width = threshold / STATES as f64;
        // P(S' in state j | S in the middle of state i); all below zero falls into the first state.
        let below = |value: f64| Self::distribution(value + ALLOWANCE - shift);
        let middle = |state: usize| if state == 0 { 0.0 } else { (state as f64 + 0.5) * width };
        let chance = |from: usize, to: usize| {
            let high = (to as f64 + 1.0) * width - middle(from);
            if to == 0 { below(high) } else { below(high) - below(high - width) }
        };
        let matrix = nalgebra::DMatrix::from_fn(STATES, STATES, |from, to| f64::from(from == to) - chance(from, to));
        let ones = nalgebra::DVector::from_element(STATES, 1.0);
        matrix
            .lu()
            .solve(&ones)
            .map_or(f64::INFINITY, |lengths| if lengths[0] > 0.0 { lengths[0] } else { f64::INFINITY })
    }

    /// P(z ≤ value), z a normalized χ² of one degree of freedom: T is a sum of squares, and no such sum has a heavier tail than a single
    /// square.
    fn distribution(value: f64) -> f64 {
        let square = 1.0 + value * std::f64::consts::SQRT_2;
        if square <= 0.0 { 0.0 } else { 2.0 * normal(square.sqrt()) - 1.0 }
    }
}

fn statistic(mean: &[f64], precision: &[f64], take: &Batch) -> f64 {
    let squares = take.values().iter().zip(mean).zip(precision);
    squares.map(|((y, mean), precision)| (f64::from(*y) - mean).powi(2) * precision).sum::<f64>()
        / mean.len().max(1) as f64
}

/// The normal distribution, by the complementary error function of Numerical Recipes (relative error below 1.2e-7).
fn normal(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let coefficients = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
    ];
    let polynomial = coefficients.iter().fold(0.0, |sum, c| sum * t + c);
    let tail = 0.5 * t * (-z * z - 1.265_512_23 + t * polynomial).exp();
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sims::{Key, Stream};

    /// A pattern of 6 × 5 readings with noise, half of it in common.
    fn take(stream: &mut Stream, moved: f32) -> Batch {
        let common = 0.7 * stream.normal();
        Batch::from_fn(6, 5, |row, column| (row + column) as f32 + moved + common + 0.7 * stream.normal())
    }

    #[test]
    fn the_normal_distribution_is_right() {
        for (x, expected) in [(0.0, 0.5), (1.0, 0.841_344_746), (-2.0, 0.022_750_132), (3.0, 0.998_650_102)] {
            assert!((normal(x) - expected).abs() < 2e-7, "{x}: {}", normal(x));
        }
    }

    #[test]
    fn false_alarms_come_no_more_often_than_stated() {
        let (mut alarms, benches, takes) = (0, 40, 2000);
        for bench in 0..benches {
            let mut stream = Key::new(bench).stream();
            let first: Vec<Batch> = (0..64).map(|_| take(&mut stream, 0.0)).collect();
            let monitor = DriftMonitor::learn(&first, 1000.0).unwrap();
            let mut state = DriftState::default();
            for _ in 0..takes {
                let (next, alarm) = monitor.take(state, &take(&mut stream, 0.0));
                state = next;
                alarms += u32::from(alarm);
            }
        }
        // 80 are stated for 80,000 takes.
        assert!(alarms < 110, "{alarms} false alarms");
    }

    #[test]
    fn a_step_is_noticed_within_the_stated_delay() {
        let mut stream = Key::new(77).stream();
        let first: Vec<Batch> = (0..64).map(|_| take(&mut stream, 0.0)).collect();
        let monitor = DriftMonitor::learn(&first, 1000.0).unwrap();
        let mut delays = Vec::new();
        for _ in 0..100 {
            let mut state = DriftState::default();
            for delay in 1.. {
                let (next, alarm) = monitor.take(state, &take(&mut stream, 2.5));
                state = next;
                if alarm {
                    delays.push(f64::from(delay));
                    break;
                }
            }
        }
        let mean = delays.iter().sum::<f64>() / 100.0;
        let moved =
            (0..200).map(|_| statistic(&monitor.mean, &monitor.precision, &take(&mut stream, 2.5))).sum::<f64>()
                / 200.0;
        let stated = monitor.delay((moved - monitor.statistic[0]) / monitor.statistic[1]);
        assert!(mean < 2.0 * stated + 1.0, "{mean} takes for {stated} stated");
        assert!(DriftMonitor::learn(&first[..5], 1000.0).is_none());
    }
}
