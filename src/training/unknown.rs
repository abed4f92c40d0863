//! What a trained network does not know: scores of rows of other data beside those of its own test set, on the plant of its run.
//!
//! A higher score says "unknown", whatever the score. With the logits z of the classes (of a network for groups its outputs but the others):
//!
//! ```text
//! softmax       1 − max p                                    p = softmax z; in groups each within its own            (1610.02136)
//! energy        −ln Σ exp z                                                                                          (2010.03759)
//! odin          1 − max softmax(z/1000)                      without a perturbation of the inputs                     (1706.02690)
//! kl-matching   min_c KL(p ‖ mean p of the training rows that are taken for c)                                       (1911.11132)
//! mahalanobis   min_c d²(inputs and readings, mean of class c), one covariance within the classes, shrunk so that classes that
//!               are left out of a fit are told best (calibration's `NearestClass`)                                   (1807.03888)
//! state         d²(inputs and readings, mean of all), what a state guard looks at
//! mos           min_k p_k(others)                            of networks for groups                                  (2105.01879)
//! ```

use std::time::Instant;

use calibration::{Detection, Mahalanobis, NearestClass, Statistics};
use serde::Serialize;

use super::group_log_probabilities;
use super::trainer::Probed;
use crate::Error;
use crate::data::{Meaning, Taxonomy};

/// The temperature of ODIN.
const TEMPERATURE: f64 = 1000.0;

/// What one score says.
#[derive(Debug, Clone, Serialize)]
pub struct ScoredUnknown {
    /// Its name.
    pub score: &'static str,
    /// How well it tells unknown rows from known ones.
    #[serde(flatten)]
    pub detection: Detection,
    /// Time of a row, without that of the network, in s.
    pub seconds_per_shot: f64,
    /// Of the known rows.
    #[serde(skip)]
    pub known: Vec<f64>,
    /// Of the unknown ones.
    #[serde(skip)]
    pub unknown: Vec<f64>,
}

/// What scores are computed from: a network's training rows, with their classes.
pub struct Familiar<'a> {
    meaning: &'a Meaning,
    /// Mean probabilities of the training rows that are taken for each class, as logarithms.
    matches: Vec<Vec<f64>>,
    /// The distance from the nearest class.
    nearest: NearestClass,
    /// The distance from the mean of all.
    overall: Mahalanobis,
}

impl<'a> Familiar<'a> {
    /// Of a network for what `meaning` says: what it gives for its training rows, and their classes (none where there are numbers).
    pub fn new(meaning: &'a Meaning, probed: &Probed, labels: &[u32]) -> Result<Self, Error> {
        let (state, width) = probed.state();
        let mut all = Statistics::with_cross_moments("training rows", width);
        all.add(&state);
        let bad = || Error::calibration("the network");
        let nearest = NearestClass::fit(&state, width, labels).map_err(bad())?;
        let overall = Mahalanobis::fit(&all, &[]).map_err(bad())?;
        Ok(Self { meaning, matches: matches(meaning, probed), nearest, overall })
    }

    /// The scores of some rows, with the time that a row took, in s.
    fn scores(&self, probed: &Probed) -> Vec<(&'static str, Vec<f64>, f64)> {
        let rows = || probed.outputs.chunks_exact(probed.widths[0].max(1));
        let timed = |name: &'static str, work: &dyn Fn() -> Vec<f64>| {
            let start = Instant::now();
            let scores = work();
            (name, scores, start.elapsed().as_secs_f64() / probed.rows().max(1) as f64)
        };
        let mut found = Vec::new();
        if !matches!(self.meaning, Meaning::Targets(_)) {
            found.push(timed("softmax", &|| rows().map(|row| 1.0 - self.most_probable(row)).collect()));
            found.push(timed("energy", &|| rows().map(|row| -total(&self.logits(row))).collect()));
            found.push(timed("odin", &|| {
                let cooled =
                    |row: &[f32]| self.logits(row).iter().map(|logit| logit / TEMPERATURE).collect::<Vec<f64>>();
                rows().map(|row| 1.0 - most(&logarithms(&cooled(row))).exp()).collect()
            }));
            found.push(timed("kl-matching", &|| rows().map(|row| self.mismatch(row)).collect()));
        }
        let doubled = |scores: Vec<f32>| scores.into_iter().map(f64::from).collect::<Vec<f64>>();
        found.push(timed("mahalanobis", &|| doubled(self.nearest.distances(&probed.state().0))));
        found.push(timed("state", &|| doubled(self.overall.distances(&probed.state().0))));
        if let Meaning::Groups(taxonomy) = self.meaning {
            found.push(timed("mos", &|| rows().map(|row| others(taxonomy, row)).collect()));
        }
        found
    }

    /// How well each score tells unknown rows from known ones.
    pub fn tell(&self, known: &Probed, unknown: &Probed) -> Result<Vec<ScoredUnknown>, Error> {
        let both = self.scores(known).into_iter().zip(self.scores(unknown));
        both.map(|((score, known, seconds), (_, unknown, _))| {
            let detection = Detection::of(&known, &unknown)
                .ok_or_else(|| Error::Diverged { what: format!("the score `{score}`") })?;
            Ok(ScoredUnknown { score, detection, seconds_per_shot: seconds, known, unknown })
        })
        .collect()
    }

    fn logits(&self, outputs: &[f32]) -> Vec<f64> {
        class_logits(self.meaning, outputs)
    }

    /// The largest probability of a class.
    fn most_probable(&self, outputs: &[f32]) -> f64 {
        match self.meaning {
            Meaning::Groups(taxonomy) => {
                let all = group_log_probabilities(taxonomy, outputs);
                let of_group =
                    |(place, group): (usize, &crate::data::Group)| most(&all[place + 1..=place + group.classes.len()]);
                taxonomy.places().map(of_group).fold(f64::NEG_INFINITY, f64::max).exp()
            }
            _ => most(&logarithms(&self.logits(outputs))).exp(),
        }
    }

    /// How far the probabilities are from those that any class has.
    fn mismatch(&self, outputs: &[f32]) -> f64 {
        let own = logarithms(&self.logits(outputs));
        let from = |mean: &Vec<f64>| own.iter().zip(mean).map(|(own, mean)| own.exp() * (own - mean)).sum::<f64>();
        self.matches.iter().map(from).fold(f64::INFINITY, f64::min)
    }
}

/// The mean probabilities of the rows that are taken for each class, as logarithms; of classes that no row is taken for there are none.
fn matches(meaning: &Meaning, probed: &Probed) -> Vec<Vec<f64>> {
    let classes = meaning.names().len();
    let mut sums = vec![(vec![0.0; classes], 0.0); classes];
    for row in probed.outputs.chunks_exact(probed.widths[0].max(1)) {
        let own = logarithms(&class_logits(meaning, row));
        let taken = own.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class);
        if let Some((sum, count)) = sums.get_mut(taken) {
            sum.iter_mut().zip(&own).for_each(|(sum, own): (&mut f64, &f64)| *sum += own.exp());
            *count += 1.0;
        }
    }
    let seen = sums.into_iter().filter(|(_, count)| 0.0 < *count);
    // Single precision knows no smaller probability.
    seen.map(|(sum, count)| sum.iter().map(|sum| (sum / count).max(f64::from(f32::MIN_POSITIVE)).ln()).collect())
        .collect()
}

/// The outputs of the classes, class after class.
fn class_logits(meaning: &Meaning, outputs: &[f32]) -> Vec<f64> {
    let Meaning::Groups(taxonomy) = meaning else { return outputs.iter().map(|output| f64::from(*output)).collect() };
    let mut logits = vec![0.0; taxonomy.words().len()];
    for (place, group) in taxonomy.places() {
        for (index, class) in group.classes.iter().enumerate() {
            logits[*class as usize] = f64::from(outputs[place + 1 + index]);
        }
    }
    logits
}

/// The least probability of the others, over all groups.
fn others(taxonomy: &Taxonomy, outputs: &[f32]) -> f64 {
    let all = group_log_probabilities(taxonomy, outputs);
    taxonomy.places().map(|(place, _)| all[place]).fold(f64::INFINITY, f64::min).exp()
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// ln Σ exp.
fn total(logits: &[f64]) -> f64 {
    let most = most(logits);
    most + logits.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln()
}

/// The logarithms of the softmax.
fn logarithms(logits: &[f64]) -> Vec<f64> {
    let total = total(logits);
    logits.iter().map(|logit| logit - total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(count: usize) -> Vec<String> {
        (0..count).map(|class| class.to_string()).collect()
    }

    fn probed(outputs: &[f32], width: usize) -> Probed {
        let rows = outputs.len() / width;
        let inputs: Vec<f32> = (0..rows).flat_map(|row| [row as f32, (row * row % 3) as f32]).collect();
        Probed { outputs: outputs.to_vec(), inputs, readings: vec![], widths: [width, 2, 0], seconds: 0.0 }
    }

    #[test]
    fn scores_are_those_computed_by_hand() {
        let meaning = Meaning::Classes(words(2));
        let known = probed(&[3.0, 0.0, 0.0, 1.0, 2.0, 0.5, 0.0, 2.0], 2);
        let familiar = Familiar::new(&meaning, &known, &[0, 1, 0, 1]).unwrap();
        let scores = familiar.scores(&probed(&[2.0, 0.0], 2));
        let of = |name: &str| scores.iter().find(|(score, ..)| *score == name).unwrap().1[0];
        let p = |z: f64| 1.0 / (1.0 + (-z).exp());
        assert!((of("softmax") - (1.0 - p(2.0))).abs() < 1e-12);
        assert!((of("energy") + (2.0_f64.exp() + 1.0).ln()).abs() < 1e-12);
        assert!((of("odin") - (1.0 - p(0.002))).abs() < 1e-12);
        // Rows 0 and 2 are taken for class 0, rows 1 and 3 for class 1.
        let first = 0.5 * (p(3.0) + p(1.5));
        let second = 0.5 * (p(-1.0) + p(-2.0));
        let divergence = |q: f64| p(2.0) * (p(2.0) / q).ln() + p(-2.0) * (p(-2.0) / (1.0 - q)).ln();
        assert!((of("kl-matching") - divergence(first).min(divergence(second))).abs() < 1e-9);
        assert!(scores.iter().all(|(score, ..)| *score != "mos"));
    }

    #[test]
    fn of_groups_the_others_say_what_is_unknown() {
        let taxonomy = Taxonomy::of_lists(words(4), &[words(4)[..2].to_vec(), words(4)[2..].to_vec()]).unwrap();
        let meaning = Meaning::Groups(taxonomy);
        // Others, two classes; others, two classes. The second row belongs nowhere.
        let outputs = [0.0, 5.0, 0.0, 5.0, 0.0, 0.0, 5.0, 0.0, 0.0, 5.0, 0.0, 0.0];
        let known = probed(&outputs, 6);
        let familiar = Familiar::new(&meaning, &known, &[0, 3]).unwrap();
        let scores = familiar.scores(&known);
        let of = |name: &str| scores.iter().find(|(score, ..)| *score == name).unwrap().1.clone();
        let few = 1.0 / (2.0 + 5.0_f64.exp());
        assert!((of("mos")[0] - few).abs() < 1e-12 && (of("mos")[1] - 5.0_f64.exp() * few).abs() < 1e-12);
        assert!((of("softmax")[0] - (1.0 - 5.0_f64.exp() * few)).abs() < 1e-12);
        assert!((of("energy")[0] + (5.0_f64.exp() + 3.0).ln()).abs() < 1e-12);
        let told = familiar.tell(&probed(&outputs[..6], 6), &probed(&outputs[6..], 6)).unwrap();
        assert!(told.iter().find(|one| one.score == "mos").is_some_and(|one| one.detection.auroc == 1.0));
    }

    #[test]
    fn where_numbers_are_predicted_only_the_state_says_something() {
        let meaning = Meaning::Targets(vec![]);
        let known = probed(&[0.5, 0.25, 1.0, 2.0], 1);
        let familiar = Familiar::new(&meaning, &known, &[]).unwrap();
        let names: Vec<&str> = familiar.scores(&known).iter().map(|(score, ..)| *score).collect();
        assert_eq!(names, ["mahalanobis", "state"]);
    }
}
