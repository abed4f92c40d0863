//! Times in bins: how long a life of queries or steps took, in bounded memory.

use std::time::Duration;

/// The longest time of each bin but the last, in s: three bins a decade, from a query of a fast instrument to a step of a slow bench.
const BINS: [f64; 21] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 25.0, 50.0,
];

/// How many times were how long.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Histogram {
    bins: [u64; BINS.len()],
    count: u64,
    seconds: f64,
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        if let Some(bin) = BINS.iter().position(|longest| seconds <= *longest) {
            self.bins[bin] += 1;
        }
        (self.count, self.seconds) = (self.count + 1, self.seconds + seconds);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together, in s.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// How many were at most so long, for each of some times in s.
    pub fn at_most(&self) -> impl Iterator<Item = (f64, u64)> {
        let sums = self.bins.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BINS.into_iter().zip(sums.collect::<Vec<u64>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_counted_once_and_in_all_that_is_longer() {
        let mut histogram = Histogram::default();
        for seconds in [1e-5, 3e-5, 0.2, 0.25, 3600.0] {
            histogram.add(Duration::from_secs_f64(seconds));
        }
        let at_most = |seconds: f64| histogram.at_most().find(|(longest, _)| *longest == seconds).unwrap().1;
        assert_eq!([1e-5, 2.5e-5, 5e-5, 0.1, 0.25, 50.0].map(at_most), [1, 1, 2, 2, 4, 4]);
        assert_eq!(histogram.count(), 5);
        assert!((histogram.seconds() - 3_600.450_04).abs() < 1e-9);
    }
}
