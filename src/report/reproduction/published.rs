//! What others published: `experiments/published.toml`, with source and grade.

use serde::{Deserialize, Serialize};

use super::Program;
use crate::Error;
use crate::document::Document;
use crate::training::Method;

/// One experiment or program that `reproduce` knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The built-in experiment, or the program.
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

impl Entry {
    /// All that is asked of it, not run.
    pub fn checks(&self) -> Vec<Check> {
        let of_goals = || self.goal.iter().flat_map(|goal| goal.checks(|_| None)).collect();
        Program::find(&self.name).map_or_else(of_goals, |program| (program.checks)())
    }
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

/// One thing that a goal asks, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// In words, such as `physics-aware ≥ 90.0 %`.
    pub name: String,
    /// What is asked, in `unit`.
    pub target: f64,
    /// What was measured; null where it was not run.
    pub value: Option<f64>,
    /// Whether it is met; null where it was not run.
    pub met: Option<bool>,
    /// `points` for accuracies, which are fractions and told in points of a hundred; `1` for plain numbers.
    pub unit: String,
}

impl Check {
    /// That `value`, an accuracy as a fraction, is at least `target`, or at most that.
    fn accuracy(name: String, target: f64, value: Option<f64>, is_upper: bool) -> Self {
        let check = if is_upper { Self::at_most } else { Self::at_least };
        check(&name, target, value, "points")
    }

    /// That a value is at least `target`.
    pub fn at_least(name: &str, target: f64, value: Option<f64>, unit: &str) -> Self {
        let met = value.map(|value| target <= value);
        Self { name: name.to_owned(), target, value, met, unit: unit.to_owned() }
    }

    /// That a value is at most `target`.
    pub fn at_most(name: &str, target: f64, value: Option<f64>, unit: &str) -> Self {
        let met = value.map(|value| value <= target);
        Self { name: name.to_owned(), target, value, met, unit: unit.to_owned() }
    }

    /// The same, not run.
    pub fn unknown(self) -> Self {
        Self { value: None, met: None, ..self }
    }

    /// The verdict in words: by how much it is met or missed.
    pub fn verdict(&self) -> String {
        let margin = self.value.map_or(0.0, |value| (value - self.target).abs());
        let margin = match self.unit.as_str() {
            "points" => format!("{:.1} points", 100.0 * margin),
            "1" => significant(margin),
            unit => format!("{} {unit}", significant(margin)),
        };
        match self.met {
            Some(true) => format!("met by {margin}"),
            Some(false) => format!("MISSED by {margin}"),
            None => "not run".to_owned(),
        }
    }
}

/// Two digits that say something.
fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = (1 - value.log10().floor() as i32).max(0);
    format!("{value:.*}", digits as usize)
}

impl Goal {
    /// Each thing that it asks, with what `accuracy` says of the methods.
    pub fn checks(&self, accuracy: impl Fn(Method) -> Option<f64>) -> Vec<Check> {
        let (method, own) = (self.method, accuracy(self.method));
        let percent = |value: f64| format!("{:.1} %", 100.0 * value);
        let least =
            self.at_least.map(|least| Check::accuracy(format!("{method} ≥ {}", percent(least)), least, own, false));
        let most = self.at_most.map(|most| Check::accuracy(format!("{method} ≤ {}", percent(most)), most, own, true));
        let above = self.above.map(|other| {
            let name = format!("{method} ≥ {:.1} points above {other}", 100.0 * self.by);
            let distance = own.zip(accuracy(other)).map(|(own, other)| own - other);
            Check::accuracy(name, self.by, distance, false)
        });
        least.into_iter().chain(most).chain(above).collect()
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
    let document = Document::parse("experiments/published.toml", include_str!("../../../experiments/published.toml"))?;
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
    fn verdicts_speak_in_the_unit_of_what_is_measured() {
        let of = |check: Check| check.verdict();
        assert_eq!(of(Check::at_least("R²", 0.984, Some(0.9865), "1")), "met by 0.0025");
        assert_eq!(of(Check::at_most("time", 15.0, Some(27.4), "s")), "MISSED by 12 s");
        assert_eq!(of(Check::at_least("ratio", 40.0, Some(40.0), "×")), "met by 0 ×");
        assert_eq!(of(Check::at_least("ratio", 40.0, Some(41.0), "×").unknown()), "not run");
    }

    #[test]
    fn every_published_number_is_a_fraction_with_a_source() {
        let entries = entries().unwrap();
        assert!(entries.iter().any(|entry| entry.name == crate::training::experiment::DEFAULT));
        for entry in &entries {
            for published in &entry.published {
                assert!(0.0 < published.accuracy && published.accuracy < 1.0, "{}", entry.name);
                assert!(10 < published.source.len(), "{}", entry.name);
            }
            for goal in &entry.goal {
                assert!(!goal.checks(|_| None).is_empty(), "{}", entry.name);
            }
            let built_in = crate::training::experiment::BUILT_IN.iter().any(|(name, _)| *name == entry.name);
            assert!(built_in != Program::find(&entry.name).is_some(), "{}: an experiment or a program", entry.name);
        }
    }

    #[test]
    fn every_built_in_experiment_stands_in_the_table() {
        let entries = entries().unwrap();
        for (name, _) in crate::training::experiment::BUILT_IN {
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
            let checks = goal.checks(|method| if method == Method::PhysicsAware { Some(own) } else { other });
            checks.iter().map(|check| (check.met, check.verdict())).collect::<Vec<_>>()
        };
        let said = |met, words: &str| (met, words.to_owned());
        let (met, missed) = (said(Some(true), "met by 5.0 points"), said(Some(false), "MISSED by 2.0 points"));
        assert_eq!(of(0.95, Some(0.90)), [met.clone(), said(Some(true), "met by 1.0 points")]);
        assert_eq!(of(0.95, Some(0.93)), [met.clone(), missed]);
        assert_eq!(of(0.89, Some(0.10))[0], said(Some(false), "MISSED by 1.0 points"));
        assert_eq!(of(0.95, None), [met, said(None, "not run")]);
        let names: Vec<String> = goal.checks(|_| None).into_iter().map(|check| check.name).collect();
        assert_eq!(names, ["physics-aware ≥ 90.0 %", "physics-aware ≥ 4.0 points above in-silico"]);
    }
}
