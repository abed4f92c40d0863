//! Scores over several seeds: means, spreads, medians, and how they are written.

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::event::Evaluated;
use crate::scores::{Keyed, ObjectiveKind, Score, Scores};

/// A mean over seeds, and the sample standard deviation around it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation; 0 for a single seed.
    pub spread: f64,
}

impl Spread {
    /// Of some values.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        Self { mean, spread: variance.sqrt() }
    }
}

/// The middle of some values; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if !odd.is_multiple_of(2) => sorted[odd / 2],
        even => 0.5 * (sorted[even / 2 - 1] + sorted[even / 2]),
    }
}

/// One score of one method, over its seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Seeded {
    /// Which.
    pub score: &'static Score,
    /// Of the test set, on the plant.
    pub test: Spread,
    /// The same of each seed; empty where an earlier record does not have it.
    pub each: Vec<f64>,
    /// What the method believed.
    pub believed: Spread,
}

impl Seeded {
    /// Each score of an objective over the last tests of some runs.
    pub fn of(kind: ObjectiveKind, tests: &[Option<Evaluated>]) -> Vec<Self> {
        let of = |score: &'static Score| {
            let values = |value: fn(&Evaluated) -> Scores| -> Vec<f64> {
                let value = |test: &Option<Evaluated>| test.and_then(|test| value(&test).get(score.name));
                tests.iter().map(|test| value(test).unwrap_or_default()).collect()
            };
            let each = values(Evaluated::scores);
            Self { score, test: Spread::of(&each), each, believed: Spread::of(&values(|test| test.believed)) }
        };
        kind.scores().iter().map(of).collect()
    }

    /// The middle of the values of each seed; the mean where they are not known.
    pub fn median(&self) -> f64 {
        if self.each.is_empty() { self.test.mean } else { median(&self.each) }
    }
}

/// Writes into a map what was reached on the plant: `test_accuracy`.
pub fn write_tests<M: SerializeMap>(scores: &[Seeded], map: &mut M) -> Result<(), M::Error> {
    scores.iter().try_for_each(|seeded| map.serialize_entry(&seeded.score.key("test"), &seeded.test))
}

/// Writes into a map the same of each seed, and the middle: `accuracies`, `median_accuracy`.
pub fn write_each<M: SerializeMap>(scores: &[Seeded], map: &mut M) -> Result<(), M::Error> {
    scores.iter().try_for_each(|seeded| {
        map.serialize_entry(seeded.score.each, &seeded.each)?;
        map.serialize_entry(&seeded.score.key("median"), &seeded.median())
    })
}

/// Writes into a map what the method believed: `believed_accuracy`.
pub fn write_believed<M: SerializeMap>(scores: &[Seeded], map: &mut M) -> Result<(), M::Error> {
    scores.iter().try_for_each(|seeded| map.serialize_entry(&seeded.score.key("believed"), &seeded.believed))
}

/// Reads all of them from a table, whatever else it holds.
pub fn read_scores<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Seeded>, D::Error> {
    let keyed = Keyed::<Value>::deserialize(deserializer)?;
    let spread = |key: String| serde_json::from_value::<Spread>(keyed.get(&key).cloned().unwrap_or_default());
    let scores = keyed.kind("test").scores().iter().map(|score| {
        let each = keyed.get(score.each).cloned().map(serde_json::from_value).transpose()?.unwrap_or_default();
        Ok(Seeded { score, test: spread(score.key("test"))?, each, believed: spread(score.key("believed"))? })
    });
    scores.collect::<Result<_, serde_json::Error>>().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(kind: ObjectiveKind) -> Vec<Option<Evaluated>> {
        let test = |on_plant: [f64; 2], believed: [f64; 2]| {
            let scores = |values: [f64; 2]| Scores::new(kind, &values[..kind.scores().len()]);
            let test = Some(scores(on_plant));
            Evaluated {
                step: 1,
                test,
                validation: None,
                believed: scores(believed),
                shots: 1,
                plant_seconds: 0.0,
                heads: None,
            }
        };
        vec![
            Some(test([0.5, 0.75], [0.25, 0.5])),
            Some(test([0.25, 0.5], [0.25, 0.5])),
            Some(test([0.75, 0.0], [0.25, 0.5])),
        ]
    }

    #[test]
    fn scores_of_a_method_are_written_by_name_and_read_again() {
        #[derive(Deserialize)]
        struct Table {
            #[serde(flatten, deserialize_with = "read_scores")]
            scores: Vec<Seeded>,
            shots: u64,
        }
        let read = |text: &str| serde_json::from_str::<Table>(text).unwrap();
        for kind in ObjectiveKind::ALL {
            let scores = Seeded::of(kind, &tests(kind));
            assert_eq!((scores[0].median(), scores[0].test.mean), (0.5, 0.5));
            assert_eq!(scores[0].believed, Spread { mean: 0.25, spread: 0.0 });
            let mut bytes = Vec::new();
            let mut serializer = serde_json::Serializer::new(&mut bytes);
            let mut map = serde::Serializer::serialize_map(&mut serializer, None).unwrap();
            write_tests(&scores, &mut map).unwrap();
            write_each(&scores, &mut map).unwrap();
            map.serialize_entry("shots", &7).unwrap();
            write_believed(&scores, &mut map).unwrap();
            map.end().unwrap();
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.starts_with(&format!("{{\"{}\":{{\"mean\":0.5,", kind.score().key("test"))), "{text}");
            let table = read(&text);
            assert_eq!((table.scores, table.shots), (scores, 7));
        }
        // As earlier programs wrote it.
        let earlier =
            r#"{"test_accuracy":{"mean":0.5,"spread":0.1},"believed_accuracy":{"mean":0.6,"spread":0.0},"shots":7}"#;
        let first = &read(earlier).scores[0];
        assert_eq!((first.score.name, first.median()), ("accuracy", 0.5));
    }
}
