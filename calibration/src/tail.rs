//! The score that so few samples pass: the tail of a distribution from some of its samples.
//!
//! ```text
//! beyond u, which a share q of the samples pass, excesses are x = σ/k (1 − (1 − F)^k)       generalized Pareto, k → 0: exponential
//! a₀ = mean of the excesses    a₁ = mean of (1 − pᵢ) xᵢ, pᵢ = (i − 0.35)/n of the i-th smallest
//! k  = a₀/(a₀ − 2 a₁) − 2      σ  = 2 a₀ a₁/(a₀ − 2 a₁)
//! ```
//!
//! These are the probability-weighted moments of Hosking and Wallis (Technometrics 29, 339, 1987). Whatever distribution the samples come
//! from, its far tail is nearly of this shape (Pickands, Ann. Stat. 3, 119, 1975).

/// The share of the samples that the tail is fitted to, and how many at least.
const SHARE: f64 = 0.1;
const FEWEST: usize = 20;
/// Shapes beyond these are not told apart from chance by so few samples: a bounded tail, and one with an infinite variance.
const SHAPES: [f64; 2] = [-0.5, 0.5];

/// How much longer the tail is taken for than so few samples show it, over their number: a limit that is too near costs more false alarms than one
/// that is as much too far spares. With this the rate is on average what is stated, for normal, χ² and log-normal samples (simulated: 0.6 to 1.9 of
/// it from 200 samples on).
const CAUTION: f64 = 3.0;

/// What a share `rate` of further samples will pass; none where there are too few samples to say anything.
pub fn tail_quantile(samples: &[f32], rate: f64) -> Option<f64> {
    let mut sorted: Vec<f64> =
        samples.iter().filter(|sample| sample.is_finite()).map(|sample| f64::from(*sample)).collect();
    let count = sorted.len();
    if count < 2 * FEWEST {
        return None;
    }
    sorted.sort_by(f64::total_cmp);
    let beyond = ((SHARE * count as f64) as usize).max(FEWEST);
    let share = beyond as f64 / count as f64;
    if share <= rate {
        // Samples themselves say it.
        return Some(sorted[((1.0 - rate) * count as f64) as usize]);
    }
    let (start, tail) = (sorted[count - beyond - 1], &sorted[count - beyond..]);
    let (mut first, mut second) = (0.0, 0.0);
    for (index, sample) in tail.iter().enumerate() {
        let excess = (sample - start) / beyond as f64;
        first += excess;
        second += (1.0 - (index as f64 + 0.65) / beyond as f64) * excess;
    }
    let below = first - 2.0 * second;
    // All alike: nothing lies beyond.
    if !(first > 0.0 && below > 0.0) {
        return Some(start + first);
    }
    let shape = (first / below - 2.0).clamp(SHAPES[0], SHAPES[1]);
    // The scale that keeps the mean excess.
    let scale = first * (1.0 + shape);
    let shape = shape - CAUTION / beyond as f64;
    let ratio = rate / share;
    Some(start + if shape.abs() < 1e-6 { -scale * ratio.ln() } else { scale / shape * (1.0 - ratio.powf(shape)) })
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;

    /// The share of many fresh samples beyond what a few told, in units of what was asked; the mean over some draws.
    fn passed(count: usize, rate: f64, draw: impl Fn(&mut sims::Stream) -> f32) -> f64 {
        let trials = 40;
        let mut sum = 0.0;
        for trial in 0..trials {
            let mut stream = Key::new(trial).branch("tail").stream();
            let few: Vec<f32> = (0..count).map(|_| draw(&mut stream)).collect();
            let limit = tail_quantile(&few, rate).unwrap();
            let fresh = (0..40_000).filter(|_| limit < f64::from(draw(&mut stream))).count();
            sum += fresh as f64 / 40_000.0 / rate / trials as f64;
        }
        sum
    }

    #[test]
    fn a_stated_rate_is_kept_whatever_the_samples_come_from() {
        let square = |stream: &mut sims::Stream| (0..8).map(|_| stream.normal().powi(2)).sum::<f32>() / 8.0;
        let heavy = |stream: &mut sims::Stream| stream.normal().exp();
        for found in [
            passed(400, 1e-3, sims::Stream::normal),
            passed(400, 1e-3, square),
            passed(400, 1e-3, heavy),
            passed(1000, 1e-2, square),
        ] {
            assert!((0.4..1.8).contains(&found), "{found} of the stated rate");
        }
        // Where the samples have an end, the limit lies beyond it.
        assert!(passed(400, 1e-3, sims::Stream::uniform) < 0.5);
    }

    #[test]
    fn equal_samples_and_few_ones_are_met() {
        assert_eq!(tail_quantile(&[1.0; 39], 1e-3), None);
        assert_eq!(tail_quantile(&[2.0; 100], 1e-3), Some(2.0));
        let samples: Vec<f32> = (0..100).map(|sample| sample as f32).collect();
        assert_eq!(tail_quantile(&samples, 0.3), Some(70.0));
    }
}
