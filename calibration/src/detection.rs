//! How well a score tells what is unknown from what is known, where a higher score says "unknown".
//!
//! ```text
//! AUROC      P(unknown > known) + P(unknown = known)/2                               of a random pair
//! AUPR       Σ (R_k − R_{k−1}) P_k over the distinct scores, from the most extreme    average precision
//! FPR95      the share of unknown samples that are taken for known at the strictest threshold that takes 95 % of the known for known
//! ```
//!
//! Samples with the same score are taken together, so that no order of equals changes a number. `AUPR out` counts unknown samples as the
//! positive ones, `AUPR in` the known ones. (Hendrycks and Gimpel, arXiv 1610.02136; Huang and Li, arXiv 2105.01879.)

use serde::{Deserialize, Serialize};

/// The share of the known samples that are to be taken for known.
const RECALL: f64 = 0.95;

/// How well a score tells unknown samples from known ones.
///
/// ```
/// use calibration::Detection;
///
/// let known = [0.1, 0.2, 0.2, 0.4];
/// let unknown = [0.2, 0.5];
/// let found = Detection::of(&known, &unknown).unwrap();
/// // Of eight pairs six are in order, and two are equal.
/// assert_eq!(found.auroc, (5.0 + 0.5 * 2.0) / 8.0);
/// // All known samples lie at 0.4 or below, as one of two unknown ones does.
/// assert_eq!(found.fpr95, 0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The chance that an unknown sample has the higher score than a known one; ties count half.
    pub auroc: f64,
    /// Average precision with the known samples as positives.
    pub aupr_in: f64,
    /// Average precision with the unknown samples as positives.
    pub aupr_out: f64,
    /// The share of unknown samples that are taken for known where at least 95 % of the known ones are.
    pub fpr95: f64,
}

impl Detection {
    /// Of the scores of known and of unknown samples; none where either is empty or a score is not a number.
    pub fn of(known: &[f64], unknown: &[f64]) -> Option<Self> {
        if known.is_empty() || unknown.is_empty() || known.iter().chain(unknown).any(|score| score.is_nan()) {
            return None;
        }
        let levels = levels(known, unknown);
        let [inside, outside] = [known.len() as f64, unknown.len() as f64];
        // From the lowest score up: pairs in order, and those that are equal.
        let (mut below, mut pairs) = (0.0, 0.0);
        for level in &levels {
            pairs += level.unknown * (below + 0.5 * level.known);
            below += level.known;
        }
        let mut taken = [0.0; 2];
        let mut fpr95 = 1.0;
        for level in &levels {
            taken = [taken[0] + level.known, taken[1] + level.unknown];
            // Not by a quotient, which rounds: 19 of 20 are 95 %.
            if RECALL * inside <= taken[0] * (1.0 + f64::EPSILON) {
                fpr95 = taken[1] / outside;
                break;
            }
        }
        let ascending = levels.iter().map(|level| [level.known, level.unknown]);
        let descending = levels.iter().rev().map(|level| [level.unknown, level.known]);
        Some(Self {
            auroc: pairs / (inside * outside),
            aupr_in: average_precision(ascending, inside),
            aupr_out: average_precision(descending, outside),
            fpr95,
        })
    }
}

/// How many samples share a score.
#[derive(Debug, Clone, Copy)]
struct Level {
    score: f64,
    known: f64,
    unknown: f64,
}

/// The distinct scores from the lowest up.
fn levels(known: &[f64], unknown: &[f64]) -> Vec<Level> {
    let of = |score: &f64, known: f64| Level { score: *score, known, unknown: 1.0 - known };
    let mut all: Vec<Level> = known.iter().map(|score| of(score, 1.0)).collect();
    all.extend(unknown.iter().map(|score| of(score, 0.0)));
    all.sort_by(|one, other| one.score.total_cmp(&other.score));
    let mut levels: Vec<Level> = Vec::with_capacity(all.len());
    for one in all {
        // Not by bits: 0 and −0 are equal.
        match levels.last_mut().filter(|last| last.score == one.score) {
            Some(last) => (last.known, last.unknown) = (last.known + one.known, last.unknown + one.unknown),
            None => levels.push(one),
        }
    }
    levels
}

/// The average precision over levels of `[positives, negatives]`, the most positive first.
fn average_precision(levels: impl Iterator<Item = [f64; 2]>, positives: f64) -> f64 {
    let (mut taken, mut sum) = ([0.0; 2], 0.0);
    for [positive, negative] in levels {
        taken = [taken[0] + positive, taken[1] + negative];
        sum += positive / positives * (taken[0] / (taken[0] + taken[1]));
    }
    sum
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;

    #[test]
    fn numbers_with_ties_are_those_computed_by_hand() {
        // Scores 1 to 4: known at 1, 2, 2, 3; unknown at 2, 3, 4.
        let found = Detection::of(&[1.0, 2.0, 2.0, 3.0], &[2.0, 3.0, 4.0]).unwrap();
        // Pairs: of the unknown 2: 1 below, 2 equal; of 3: 3 below, 1 equal; of 4: 4 below.
        assert_eq!(found.auroc, (1.0 + 1.0 + 3.0 + 0.5 + 4.0) / 12.0);
        // Unknown as positives, from above: 4 → 1/1; 3 → 2/3 with one known; 2 → 3/6.
        let out = (1.0 + 2.0 / 3.0 + 3.0 / 6.0) / 3.0;
        assert!((found.aupr_out - out).abs() < 1e-15, "{found:?}");
        // Known as positives, from below: 1 → 1/1; 2 (two of them) → 3/4; 3 → 4/6.
        let inside = 0.25 + 0.5 * 0.75 + 0.25 * 4.0 / 6.0;
        assert!((found.aupr_in - inside).abs() < 1e-15, "{found:?}");
        // All four known are needed for 95 %: at 3, where two of three unknown ones are taken along.
        assert_eq!(found.fpr95, 2.0 / 3.0);
    }

    #[test]
    fn ninety_five_of_a_hundred_are_enough_and_ninety_four_are_not() {
        for count in [20, 100, 140, 500] {
            let known: Vec<f64> = (0..count).map(f64::from).collect();
            // One unknown sample above each known one.
            let unknown: Vec<f64> = known.iter().map(|score| score + 0.5).collect();
            let found = Detection::of(&known, &unknown).unwrap();
            let needed = (0.95 * f64::from(count) - 1e-9).ceil();
            assert_eq!(found.fpr95, (needed - 1.0) / f64::from(count), "{count}");
        }
    }

    #[test]
    fn what_is_told_apart_is_told_and_equals_are_half() {
        let found = Detection::of(&[0.0, 1.0], &[2.0, 3.0, 4.0]).unwrap();
        assert_eq!(found, Detection { auroc: 1.0, aupr_in: 1.0, aupr_out: 1.0, fpr95: 0.0 });
        let found = Detection::of(&[2.0, 2.0, 2.0], &[2.0]).unwrap();
        assert_eq!(found, Detection { auroc: 0.5, aupr_in: 0.75, aupr_out: 0.25, fpr95: 1.0 });
        assert_eq!(Detection::of(&[0.0], &[-0.0]).unwrap().auroc, 0.5, "a sign of zero is no score");
        assert!(Detection::of(&[], &[1.0]).is_none() && Detection::of(&[f64::NAN], &[1.0]).is_none());
        assert_eq!(Detection::of(&[f64::NEG_INFINITY], &[f64::INFINITY]).unwrap().auroc, 1.0);
    }

    #[test]
    fn normal_scores_have_the_area_that_is_known() {
        let mut stream = Key::new(3).stream();
        let mut draw = |mean: f64| (0..20_000).map(|_| mean + f64::from(stream.normal())).collect::<Vec<f64>>();
        let (known, unknown) = (draw(0.0), draw(1.0));
        let found = Detection::of(&known, &unknown).unwrap();
        // Φ(1/√2) = 0.7602; at Φ(1.645) = 95 % of the known, Φ(0.645) = 0.7405 of the unknown.
        assert!((found.auroc - 0.7602).abs() < 0.006 && (found.fpr95 - 0.7405).abs() < 0.02, "{found:?}");
    }
}
