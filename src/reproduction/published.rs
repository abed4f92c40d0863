//! What others published: `experiments/published.toml`, with source and grade.

use serde::{Deserialize, Serialize};

use crate::{Document, Error, Method};

/// One experiment that `reproduce` knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The built-in experiment.
    pub name: String,
    /// What it is, in a few words.
    pub title: String,
    /// What a reader must know to compare.
    #[serde(default)]
    pub remark: String,
    /// Whether the confusion matrix belongs to it.
    #[serde(default)]
    pub confusion: bool,
    /// A training curve of the reference implementation that may lie beside the data.
    #[serde(default)]
    pub reference_curve: Option<String>,
    /// Published accuracies.
    #[serde(default)]
    pub published: Vec<Published>,
    /// Our own aims.
    #[serde(default)]
    pub goal: Vec<Goal>,
}

/// One published accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Of which method.
    pub method: Method,
    /// Fraction of the test set that is right.
    pub accuracy: f64,
    /// How well it is known.
    pub grade: Grade,
    /// Where it stands.
    pub source: String,
    /// Whether it belongs to another data set, so that only distances compare.
    #[serde(default)]
    pub other_data: bool,
}

/// How well a published number is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Grade {
    /// Read in the primary source.
    R,
    /// From a secondary source.
    S,
    /// From memory, unchecked.
    M,
}

/// An aim for one method: at least, at most, or so far above another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// The method.
    pub method: Method,
    /// Its smallest accuracy.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Its largest accuracy.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// The method that it must be above,
    #[serde(default)]
    pub above: Option<Method>,
    /// by so much.
    #[serde(default)]
    pub by: f64,
}

impl Goal {
    /// The aim in words.
    pub fn words(&self) -> String {
        let percent = |value: f64| format!("{:.1} %", 100.0 * value);
        let mut words = Vec::new();
        words.extend(self.at_least.map(|value| format!("≥ {}", percent(value))));
        words.extend(self.at_most.map(|value| format!("≤ {}", percent(value))));
        words.extend(self.above.map(|method| format!("≥ {:.1} points above {method}", 100.0 * self.by)));
        words.join(" and ")
    }

    /// Whether it is reached; `None` where a method was not run.
    pub fn met(&self, accuracy: impl Fn(Method) -> Option<f64>) -> Option<bool> {
        let own = accuracy(self.method)?;
        let above = match self.above {
            Some(other) => accuracy(other)? + self.by <= own,
            None => true,
        };
        let least = self.at_least.is_none_or(|least| least <= own);
        let most = self.at_most.is_none_or(|most| own <= most);
        Some(least && most && above)
    }
}

/// The file.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    experiment: Vec<Entry>,
}

/// All entries, in the order of the report.
pub fn entries() -> Result<Vec<Entry>, Error> {
    let document = Document::parse("experiments/published.toml", include_str!("../../experiments/published.toml"))?;
    Ok(document.check::<File>()?.experiment)
}

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{self:?}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_number_is_a_fraction_with_a_source() {
        let entries = entries().unwrap();
        assert!(entries.iter().any(|entry| entry.name == crate::experiment::DEFAULT));
        for entry in &entries {
            for published in &entry.published {
                assert!(0.0 < published.accuracy && published.accuracy < 1.0, "{}", entry.name);
                assert!(10 < published.source.len(), "{}", entry.name);
            }
            for goal in &entry.goal {
                assert!(!goal.words().is_empty(), "{}", entry.name);
            }
        }
    }

    #[test]
    fn every_built_in_experiment_stands_in_the_table() {
        let entries = entries().unwrap();
        for (name, _) in crate::experiment::BUILT_IN {
            assert!(entries.iter().any(|entry| entry.name == *name), "experiments/published.toml lacks {name}");
        }
    }

    #[test]
    fn goals_are_judged_by_what_was_run() {
        let goal = Goal {
            method: Method::PhysicsAware,
            at_least: Some(0.9),
            at_most: None,
            above: Some(Method::InSilico),
            by: 0.04,
        };
        let of = |own: f64, other: Option<f64>| {
            goal.met(|method| if method == Method::PhysicsAware { Some(own) } else { other })
        };
        assert_eq!(of(0.95, Some(0.90)), Some(true));
        assert_eq!(of(0.95, Some(0.93)), Some(false));
        assert_eq!(of(0.89, Some(0.10)), Some(false));
        assert_eq!(of(0.95, None), None);
        assert_eq!(goal.words(), "≥ 90.0 % and ≥ 4.0 points above in-silico");
    }
}
