//! A program of the report: what is measured otherwise than by training each method and testing it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::report::calibration::{significant, to_uncertainty};
use crate::training::Spread;
use crate::training::batchnorm::Finding;

/// One program of the report.
#[derive(Debug)]
pub struct Program {
    /// Its name, as in `experiments/published.toml`.
    pub name: &'static str,
    /// What it will be judged by, not run.
    pub checks: fn() -> Vec<Check>,
    /// Measures; fails with [`Error::MissingData`] where it has no data.
    pub run: fn(&Asked<'_>) -> Result<Measured, Error>,
}

/// What is asked of a program.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The form that takes about a minute and is judged by nothing.
    pub quick: bool,
    /// The user's folder of data.
    pub data: Option<&'a Path>,
    /// The parts that are wanted; empty: all.
    pub parts: &'a [String],
    /// How many seeds at most, where that is asked for.
    pub seeds: Option<u16>,
    /// What was measured before in the same form.
    pub earlier: Option<&'a Measured>,
}

impl Asked<'_> {
    /// The first of some seeds, as many as are asked for.
    pub fn some<'s>(&self, seeds: &'s [u64]) -> &'s [u64] {
        &seeds[..self.seeds.map_or(seeds.len(), usize::from).min(seeds.len())]
    }

    /// Whether a part is wanted.
    pub fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

/// What a program measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// What it was measured on, such as the data and whose bench.
    pub on: String,
    /// Each number.
    pub measurements: Vec<Measurement>,
    /// What is asked of them, and what came of it.
    pub checks: Vec<Check>,
    /// Lines of a figure of accuracy against shots, where some were measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
}

/// One line of a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The panel that it is drawn in.
    pub panel: String,
    /// Whose it is.
    pub name: String,
    /// Shots, and accuracy as a fraction.
    pub points: Vec<(f64, f64)>,
}

/// One number of the report, for programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What it is.
    pub name: String,
    /// In `unit`; accuracies and errors as fractions.
    pub value: f64,
    /// The sample standard deviation over the seeds; null of one.
    pub spread: Option<f64>,
    /// `1` for fractions.
    pub unit: String,
    /// The seeds it is over.
    pub seeds: Vec<u64>,
}

impl Measurement {
    /// The number as people read it: four significant digits, and where there is a spread, both to its second digit.
    pub fn shown(&self) -> String {
        match self.spread {
            Some(spread) => format!("{} ± {}", to_uncertainty(self.value, spread), significant(spread, 2)),
            None if self.value.fract() == 0.0 && self.value.abs() < 1e15 => format!("{}", self.value),
            None => significant(self.value, 4),
        }
    }
}

impl Measured {
    /// Adds a number of one seed.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &str, seed: u64) {
        let (name, unit) = (name.into(), unit.to_owned());
        self.measurements.push(Measurement { name, value, spread: None, unit, seeds: vec![seed] });
    }

    /// Adds mean and spread of a number over seeds.
    pub fn take_mean(&mut self, name: String, unit: &str, values: &[f64], seeds: &[u64]) {
        let Spread { mean, spread } = Spread::of(values);
        let spread = (1 < values.len()).then_some(spread);
        let (unit, seeds) = (unit.to_owned(), seeds.to_vec());
        self.measurements.push(Measurement { name, value: mean, spread, unit, seeds });
    }

    /// Adds the mean of each finding over some repetitions, `seeds` being behind them.
    pub fn take(&mut self, repetitions: &[Vec<Finding>], seeds: &[u64]) {
        let Some(first) = repetitions.first() else { return };
        for (place, finding) in first.iter().enumerate() {
            let values: Vec<f64> = repetitions.iter().map(|findings| findings[place].value).collect();
            let Spread { mean, spread } = Spread::of(&values);
            self.measurements.push(Measurement {
                name: finding.name.clone(),
                value: mean,
                spread: (1 < values.len()).then_some(spread),
                unit: "1".to_owned(),
                seeds: seeds.to_vec(),
            });
        }
    }
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
    /// `points` for scores in percent, which are fractions and told in points of a hundred; `1` for plain numbers.
    pub unit: String,
}

impl Check {
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
            "1" => significant(margin, 2),
            unit => format!("{} {unit}", significant(margin, 2)),
        };
        match self.met {
            Some(true) => format!("met by {margin}"),
            Some(false) => format!("MISSED by {margin}"),
            None => "not run".to_owned(),
        }
    }

    /// A number of this check as people read it.
    pub fn shown(&self, number: f64) -> String {
        match self.unit.as_str() {
            "points" => format!("{:.2} %", 100.0 * number),
            "1" => significant(number, 4),
            unit => format!("{} {unit}", significant(number, 4)),
        }
    }

    /// How many of some checks are met, and which are not.
    pub fn tally(checks: &[Self]) -> String {
        let count = |met: Option<bool>| checks.iter().filter(|check| check.met == met).count();
        let missed: Vec<String> = checks
            .iter()
            .filter(|check| check.met == Some(false))
            .map(|check| format!("{}: {}", check.name, check.verdict()))
            .collect();
        match (checks.len(), count(None)) {
            (0, _) => String::new(),
            (all, unknown) if unknown == all => format!("{all} goals, not run"),
            (all, unknown) => {
                let rest = if unknown == 0 { String::new() } else { format!(", {unknown} not run") };
                let missed = if missed.is_empty() { String::new() } else { format!("; {}", missed.join("; ")) };
                format!("{} of {all} goals met{rest}{missed}", count(Some(true)))
            }
        }
    }
}
