//! What others published: `experiments/published.toml`, with source and grade.

use serde::{Deserialize, Serialize};

use super::program::Check;
use super::programs;
use crate::Error;
use crate::document::Document;
use crate::scores::{Better, ObjectiveKind, Score};
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
    /// What is learned: what numbers and goals are of.
    #[serde(default)]
    pub objective: ObjectiveKind,
    /// Whether the figure of the last test belongs to it: the confusion matrix, or predictions against targets.
    #[serde(default)]
    pub last_test: bool,
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
        let of_goals = || self.goal.iter().flat_map(|goal| goal.checks(self.objective.score(), |_| None)).collect();
        programs::find(&self.name).map_or_else(of_goals, |program| (program.checks)())
    }
}

/// One published accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Of which method.
    pub method: Method,
    /// The score that decides, of the test set: the fraction that is right.
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
    /// The smallest score.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The largest score.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// The method that it must be better than,
    #[serde(default)]
    pub above: Option<Method>,
    /// by so much.
    #[serde(default)]
    pub by: f64,
}

/// One thing that is asked of a score.
fn check(score: &Score, name: &str, (target, value): (f64, Option<f64>), is_upper: bool) -> Check {
    let check = if is_upper { Check::at_most } else { Check::at_least };
    check(name, target, value, if score.in_percent { "points" } else { "1" })
}

/// A distance between two values of a score, in words.
fn distance(score: &Score, by: f64) -> String {
    format!("{}{}", score.number(by), if score.in_percent { " points" } else { "" })
}

impl Goal {
    /// Each thing that it asks of a score, with what `reached` says of the methods.
    pub fn checks(&self, score: &Score, reached: impl Fn(Method) -> Option<f64>) -> Vec<Check> {
        let (method, own) = (self.method, reached(self.method));
        let bound = |sign: &str, bound: f64| {
            let words = if score.in_percent { String::new() } else { format!("{} ", score.words) };
            format!("{method} {sign} {words}{}", score.show(bound))
        };
        let least = self.at_least.map(|least| check(score, &bound("≥", least), (least, own), false));
        let most = self.at_most.map(|most| check(score, &bound("≤", most), (most, own), true));
        let above = self.above.map(|other| {
            let side = if score.better == Better::Higher { "above" } else { "below" };
            let name = format!("{method} ≥ {} {side} {other}", distance(score, self.by));
            let lead = own.zip(reached(other)).map(|(own, other)| score.lead(own, other));
            check(score, &name, (self.by, lead), false)
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
                assert!(!goal.checks(entry.objective.score(), |_| None).is_empty(), "{}", entry.name);
            }
            let built_in = crate::training::experiment::BUILT_IN.iter().any(|(name, _)| *name == entry.name);
            assert!(built_in != programs::find(&entry.name).is_some(), "{}: an experiment or a program", entry.name);
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
            let checks = goal.checks(ObjectiveKind::Classify.score(), |method| {
                if method == Method::PhysicsAware { Some(own) } else { other }
            });
            checks.iter().map(|check| (check.met, check.verdict())).collect::<Vec<_>>()
        };
        let said = |met, words: &str| (met, words.to_owned());
        let (met, missed) = (said(Some(true), "met by 5.0 points"), said(Some(false), "MISSED by 2.0 points"));
        assert_eq!(of(0.95, Some(0.90)), [met.clone(), said(Some(true), "met by 1.0 points")]);
        assert_eq!(of(0.95, Some(0.93)), [met.clone(), missed]);
        assert_eq!(of(0.89, Some(0.10))[0], said(Some(false), "MISSED by 1.0 points"));
        assert_eq!(of(0.95, None), [met, said(None, "not run")]);
        let names: Vec<String> =
            goal.checks(ObjectiveKind::Classify.score(), |_| None).into_iter().map(|check| check.name).collect();
        assert_eq!(names, ["physics-aware ≥ 90.0 %", "physics-aware ≥ 4.0 points above in-silico"]);
        // Of an error less is better.
        let goal = Goal { at_least: None, at_most: Some(0.5), ..goal };
        let checks = goal.checks(ObjectiveKind::Regress.score(), |method| {
            Some(if method == Method::PhysicsAware { 0.25 } else { 0.375 })
        });
        let said: Vec<(&str, Option<bool>, String)> =
            checks.iter().map(|check| (check.name.as_str(), check.met, check.verdict())).collect();
        assert_eq!(
            said,
            [
                ("physics-aware ≤ NRMSE 0.500", Some(true), "met by 0.25".to_owned()),
                ("physics-aware ≥ 0.040 below in-silico", Some(true), "met by 0.085".to_owned())
            ]
        );
    }
}
