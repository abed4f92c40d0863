//! What happens in a run, and who watches it.

use std::ops::ControlFlow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::scores::{Keyed, ObjectiveKind, Scores};
use crate::stop::StopReason;

/// One update.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, counted from 1.
    #[allow(clippy::struct_field_names)] // The column of `metrics.csv` has this name.
    pub step: usize,
    /// Counted from 1.
    pub epoch: usize,
    /// The optimizer's step size.
    pub learning_rate: f64,
    /// The objective's loss and the weighted penalty.
    pub loss: f32,
    /// The objective's loss: cross-entropy in nats, or squared error in variances of the training rows.
    pub objective: f32,
    /// Mean soft range penalty over the physical layers, in full scales.
    pub penalty: f32,
    /// Of the batch, by the method's own forward pass.
    pub batch: Scores,
    /// Of several read-outs: the mean squared cosine between the gradients of two, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<f32>,
    /// Fraction of the range that the batch covered, averaged over ports and physical layers.
    pub range_use: f64,
    /// Fraction of the values sent that the hard clamp changed.
    pub clipping_rate: f64,
    /// Shots on the plants so far.
    pub shots: u64,
    /// Bench time so far, in s.
    pub plant_seconds: f64,
    /// What guards found in this update, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardCounts>,
}

/// What guards of physical layers found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardCounts {
    /// Shots that were judged, at each layer.
    pub judged: u64,
    /// Those that were not like the fitted ones when they were first measured.
    pub suspicious: u64,
    /// Shots that were measured again.
    pub measured_again: u64,
    /// Shots that were left out of the gradient.
    pub left_out: u64,
    /// Of the suspicious ones: by their controls, an input, a reading, and the distance of all together.
    pub reasons: [u64; 4],
    /// The layer with the most suspicious shots, and how many those are.
    pub worst: [u64; 2],
}

impl GuardCounts {
    /// Adds what one layer found: shots that were judged, and suspicious ones.
    pub fn add_layer(&mut self, layer: u64, (judged, suspicious): (u64, u64), reasons: [u64; 4]) {
        self.judged += judged;
        self.suspicious += suspicious;
        self.reasons.iter_mut().zip(reasons).for_each(|(sum, reason)| *sum += reason);
        if self.worst[1] < suspicious {
            self.worst = [layer, suspicious];
        }
    }

    /// Adds what other passes found.
    pub fn add(&mut self, other: &Self) {
        self.add_layer(other.worst[0], (other.judged, 0), other.reasons);
        self.suspicious += other.suspicious;
        self.measured_again += other.measured_again;
        self.left_out += other.left_out;
        if self.worst[1] < other.worst[1] {
            self.worst = other.worst;
        }
    }

    /// Why the suspicious shots are so, the commonest reason first: `17 by a reading, 2 by the distance`.
    pub fn why(&self) -> String {
        let names = ["by their controls", "by an input", "by a reading", "by all together"];
        let mut reasons: Vec<(u64, &str)> =
            self.reasons.into_iter().zip(names).filter(|(count, _)| 0 < *count).collect();
        reasons.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        reasons.iter().map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
    }
}

/// What was tried on the plant: the validation set, at the end the test set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Evaluated {
    /// After this update.
    pub step: usize,
    /// Of the test set on the plant; at the end, or where there is no validation set.
    pub test: Option<Scores>,
    /// Of the validation set on the plant.
    pub validation: Option<Scores>,
    /// By the method's own forward pass: what it believes.
    pub believed: Scores,
    /// Shots on the plants so far, those of this test included.
    pub shots: u64,
    /// Bench time so far, in s.
    pub plant_seconds: f64,
    /// Of several read-outs: each by itself, on the rows of [`Self::scores`].
    pub heads: Option<HeadScores>,
}

/// How several read-outs did by themselves on the plant, by the score that decides. The best is known only to who has the labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadScores {
    /// The best of them.
    pub best: f64,
    /// The median.
    pub median: f64,
    /// The worst of them.
    pub worst: f64,
}

impl HeadScores {
    /// Of the scores of each; none of none.
    pub fn of(scores: &[Scores]) -> Option<Self> {
        let score = scores.first()?.kind().score();
        let mut values: Vec<f64> = scores.iter().map(Scores::first).collect();
        values.sort_by(|a, b| score.lead(*b, *a).total_cmp(&0.0));
        let (count, at) = (values.len(), |place: usize| values.get(place).copied().unwrap_or(f64::NAN));
        Some(Self { best: at(0), median: 0.5 * (at((count - 1) / 2) + at(count / 2)), worst: at(count - 1) })
    }
}

impl Evaluated {
    /// On the plant: of the test set where it was met, else of the validation set.
    pub fn scores(&self) -> Scores {
        self.test.or(self.validation).unwrap_or(Scores::new(self.believed.kind(), &[]))
    }

    /// Every score under its key in files, `test_accuracy` and so on; null where it was not met.
    pub fn keyed(&self) -> Keyed<Option<f64>> {
        let parts = [("test", self.test), ("validation", self.validation), ("believed", Some(self.believed))];
        self.believed.kind().keyed(parts)
    }
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    step: usize,
    #[serde(flatten)]
    scores: Keyed<Option<f64>>,
    shots: u64,
    plant_seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heads: Option<HeadScores>,
}

impl From<Evaluated> for Written {
    fn from(test: Evaluated) -> Self {
        let Evaluated { step, shots, plant_seconds, heads, .. } = test;
        Self { step, scores: test.keyed(), shots, plant_seconds, heads }
    }
}

impl TryFrom<Written> for Evaluated {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { step, scores, shots, plant_seconds, heads } = written;
        let read = |part: &str| Scores::read(part, |key| scores.get(key).copied().flatten());
        let names = || ObjectiveKind::JUDGED.map(|kind| format!("`{}`", kind.score().key("believed"))).join(" or ");
        let believed = read("believed").ok_or_else(|| format!("a test has no {}", names()))?;
        Ok(Self { step, test: read("test"), validation: read("validation"), believed, shots, plant_seconds, heads })
    }
}

/// Where the time of the steps went.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TimeShares {
    /// In plants.
    pub plant: Duration,
    /// In twins: predictions and pull-backs.
    pub twin: Duration,
    /// In digital layers, loss, backward pass and optimizer.
    pub digital: Duration,
    /// All else: batches, records, observers.
    pub overhead: Duration,
}

impl TimeShares {
    /// Each part with its name.
    pub fn parts(&self) -> [(&'static str, Duration); 4] {
        [("plant", self.plant), ("twin", self.twin), ("digital", self.digital), ("overhead", self.overhead)]
    }

    /// What came to it since it was `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            plant: self.plant.saturating_sub(before.plant),
            twin: self.twin.saturating_sub(before.twin),
            digital: self.digital.saturating_sub(before.digital),
            overhead: self.overhead.saturating_sub(before.overhead),
        }
    }
}

/// How bad an alarm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Results may suffer.
    Minor,
    /// Results are wrong or the bench is at risk.
    Major,
    /// Nobody knows: there is no fresh value.
    Invalid,
}

/// Something that somebody must see. It stays until it is acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Counted from 1 in each run.
    pub id: u64,
    /// How bad.
    pub severity: Severity,
    /// What raised it: `drift`, `interlock`, a plant's or an instrument's name.
    pub source: String,
    /// The sentence.
    pub message: String,
    /// When it was first seen: seconds since 1970.
    pub first_unix_seconds: f64,
    /// Whether its cause persists.
    pub active: bool,
    /// Whether somebody has seen it.
    pub acknowledged: bool,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run begins.
    Started {
        /// The experiment.
        experiment: String,
        /// The method.
        method: String,
        /// The seed.
        seed: u64,
        /// Updates to come.
        steps: usize,
    },
    /// An update.
    Step(Step),
    /// A test.
    Evaluated(Evaluated),
    /// It is continued from a checkpoint.
    Continued {
        /// Updates that are done; rows of later ones are taken back.
        step: usize,
    },
    /// It waits.
    Paused {
        /// Who or what holds it.
        #[serde(default)]
        why: String,
    },
    /// It goes on.
    Resumed,
    /// An alarm was raised, cleared or acknowledged.
    Alarm(Alarm),
    /// The drift monitor has taken its reference pattern.
    Reference {
        /// Updates that are done.
        step: usize,
        /// The plant's name in the rig.
        plant: String,
        /// The cumulative sum as a fraction of its threshold.
        score: f64,
        /// Whether that is an alarm.
        alarm: bool,
    },
    /// A twin was fitted anew.
    Refreshed {
        /// Updates that are done.
        step: usize,
        /// The plant's name in the rig.
        plant: String,
        /// `epoch` or `drift`; `first` where the twin knew nothing before.
        why: String,
        /// Shots that it was fitted to and judged by.
        shots: usize,
        /// Root mean square residual of the old twin on shots that the fit has not seen, in full scales.
        residual_before: f64,
        /// The same of the new one.
        residual_after: f64,
        /// Whether the new one is used.
        kept: bool,
    },
    /// The statistics of a layer were measured anew on a bench.
    Normalized {
        /// Updates that are done.
        step: usize,
        /// The number of the layer.
        layer: usize,
        /// The bench, by what its plants say they are.
        bench: String,
        /// Values of each group that they were taken of.
        samples: u64,
        /// Root mean square change of the means, in standard deviations of before; none where there were no statistics before.
        mean_shift: Option<f64>,
        /// Root mean square logarithm of the ratio of the standard deviations.
        scale_shift: Option<f64>,
    },
    /// The guard of a layer was fitted.
    Guarded {
        /// Updates that are done.
        step: usize,
        /// The number of the layer.
        layer: usize,
        /// The bench, by what its plant says it is.
        bench: String,
        /// Shots that its statistics are of.
        shots: u64,
    },
    /// How far plant and twin were from each other on the last shots of a test.
    Agreement {
        /// After this update.
        step: usize,
        /// RMS difference as a fraction of the readings' standard deviation, the largest of the plants.
        twin_residual: f64,
    },
    /// An error that ends the run.
    Failed {
        /// The sentence.
        message: String,
    },
    /// The plants are in their safe state.
    Safe,
    /// The run is closed.
    Finished {
        /// Why.
        reason: StopReason,
    },
}

/// Watches a run.
pub trait Observer {
    /// Sees one event; may ask the run to stop.
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error>;
}

/// Several observers are one; the first that asks to stop is heard.
impl Observer for Vec<&mut dyn Observer> {
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        let mut flow = ControlFlow::Continue(());
        for observer in self.iter_mut() {
            let asked = observer.observe(event)?;
            if flow.is_continue() {
                flow = asked;
            }
        }
        Ok(flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(kind: ObjectiveKind, values: &[f64]) -> Evaluated {
        let scores = Scores::new(kind, values);
        Evaluated {
            step: 4,
            test: None,
            validation: Some(scores),
            believed: scores,
            shots: 12,
            plant_seconds: 0.5,
            heads: None,
        }
    }

    #[test]
    fn the_best_of_errors_is_the_lowest() {
        let of = |kind, values: &[f64]| {
            let scores: Vec<Scores> = values.iter().map(|value| Scores::new(kind, &[*value, 0.0])).collect();
            HeadScores::of(&scores)
        };
        let found = of(ObjectiveKind::Regress, &[0.5, 0.25, 0.75, 0.25]);
        assert_eq!(found, Some(HeadScores { best: 0.25, median: 0.375, worst: 0.75 }));
        let found = of(ObjectiveKind::Classify, &[0.5, 1.0, 0.25]);
        assert_eq!(found, Some(HeadScores { best: 1.0, median: 0.5, worst: 0.25 }));
        assert_eq!(HeadScores::of(&[]), None);
        let whole = Evaluated { heads: found, ..test(ObjectiveKind::Classify, &[0.75]) };
        assert_eq!(toml::from_str::<Evaluated>(&toml::to_string(&whole).unwrap()).unwrap(), whole);
    }

    #[test]
    fn a_test_is_written_under_the_names_of_its_scores() {
        let line = |test| serde_json::to_string(&Event::Evaluated(test)).unwrap();
        let classified = line(test(ObjectiveKind::Classify, &[0.75]));
        assert_eq!(
            classified,
            r#"{"event":"evaluated","step":4,"test_accuracy":null,"validation_accuracy":0.75,"believed_accuracy":0.75,"shots":12,"plant_seconds":0.5}"#
        );
        let predicted = line(test(ObjectiveKind::Regress, &[0.5, 0.75]));
        assert!(
            predicted.contains(r#""test_nrmse":null,"validation_nrmse":0.5,"believed_nrmse":0.5,"test_r2":null"#),
            "{predicted}"
        );
        for (line, whole) in [
            (&classified, test(ObjectiveKind::Classify, &[0.75])),
            (&predicted, test(ObjectiveKind::Regress, &[0.5, 0.75])),
        ] {
            assert_eq!(serde_json::from_str::<Event>(line).unwrap(), Event::Evaluated(whole));
            let text = toml::to_string(&whole).unwrap();
            assert!(!text.contains("test_"), "a checkpoint leaves out what was not met: {text}");
            assert_eq!(toml::from_str::<Evaluated>(&text).unwrap(), whole);
        }
        assert!(serde_json::from_str::<Evaluated>(r#"{"step":1,"shots":2,"plant_seconds":0.0}"#).is_err());
    }
}
