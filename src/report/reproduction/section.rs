//! One experiment of a report: what came out of it, or why nothing did.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Check, Entry, Measured, Measurement, Program, Provenance};
use crate::Error;
use crate::record::read_text;
use crate::training::{Comparison, Method, Spread, comparison::median};

/// One experiment of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// The experiment.
    pub name: String,
    /// What became of it.
    pub state: State,
    /// Whether this is the quick form, which no published number belongs to.
    pub quick: bool,
    /// Why there are no numbers; empty where there are.
    pub reason: String,
    /// Each plant with its origin.
    pub plants: String,
    /// RMS error of the twin over the standard deviation of the plant's outputs.
    pub twin_error: Option<f64>,
    /// Logistic regression on the same split.
    pub baseline_accuracy: Option<f64>,
    /// How the settings of the methods were chosen.
    #[serde(default)]
    pub rule: String,
    /// Each method.
    pub methods: Vec<Ours>,
    /// What a program measured, where it is one.
    #[serde(default)]
    pub measured: Option<Measured>,
    /// Figures (SVG), as paths from the report.
    pub figures: Vec<PathBuf>,
    /// The folders of the runs.
    pub runs: Vec<PathBuf>,
    /// Command, version, machine.
    pub provenance: Provenance,
}

/// What became of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has numbers.
    Done,
    /// It ended with an error.
    Failed,
    /// It was not run.
    NotRun,
}

/// What one method gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ours {
    /// The method.
    pub method: Method,
    /// On the plant.
    pub test_accuracy: Spread,
    /// What the method believed.
    pub believed_accuracy: Spread,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// On the plant, of each seed.
    #[serde(default)]
    pub accuracies: Vec<f64>,
    /// What it was trained with.
    #[serde(default)]
    pub learning_rate: f64,
    /// Shots on the plant in one run.
    pub shots: u64,
    /// Bench time of one run, in s.
    pub plant_seconds: f64,
    /// Time of one run here, in s.
    pub wall_seconds: f64,
    /// Fraction of the range that was used.
    pub range_use: f64,
    /// Fraction of the values sent that the hard clamp changed.
    pub clipping_rate: f64,
}

impl Ours {
    /// The middle of the accuracies; the mean where a section of before does not have them.
    pub fn median(&self) -> f64 {
        if self.accuracies.is_empty() { self.test_accuracy.mean } else { median(&self.accuracies) }
    }
}

impl Section {
    /// An experiment without numbers.
    pub fn without(name: &str, state: State, reason: String, provenance: Provenance) -> Self {
        Self {
            name: name.to_owned(),
            state,
            quick: false,
            reason,
            plants: String::new(),
            twin_error: None,
            baseline_accuracy: None,
            rule: String::new(),
            methods: Vec::new(),
            measured: None,
            figures: Vec::new(),
            runs: Vec::new(),
            provenance,
        }
    }

    /// The numbers of a comparison over `seeds`.
    pub fn of(comparison: &Comparison, seeds: &[u64], quick: bool, provenance: Provenance) -> Self {
        let methods = comparison.methods.iter().filter_map(|summary| {
            let method = Method::ALL.into_iter().find(|method| method.name() == summary.method)?;
            Some(Ours {
                method,
                test_accuracy: summary.test_accuracy,
                believed_accuracy: summary.believed_accuracy,
                seeds: seeds.to_vec(),
                accuracies: summary.accuracies.clone(),
                learning_rate: summary.learning_rate,
                shots: summary.shots,
                plant_seconds: summary.plant_seconds,
                wall_seconds: summary.wall_seconds,
                range_use: summary.range_use,
                clipping_rate: summary.clipping_rate,
            })
        });
        Self {
            quick,
            plants: comparison.origins.clone(),
            twin_error: comparison.twin_error,
            baseline_accuracy: Some(comparison.baseline_accuracy),
            rule: comparison.rule.clone(),
            methods: methods.collect(),
            runs: comparison.runs.clone(),
            ..Self::without(&comparison.experiment, State::Done, String::new(), provenance)
        }
    }

    /// Our accuracy by `method`: the median over the seeds.
    pub fn accuracy(&self, method: Method) -> Option<f64> {
        self.methods.iter().find(|ours| ours.method == method).map(Ours::median)
    }

    /// What each goal of `entry` asks, and what came of it: in the full form only.
    pub fn checks(&self, entry: &Entry) -> Vec<Check> {
        let is_judged = !self.quick && self.state == State::Done;
        if let Some(program) = Program::find(&entry.name) {
            let found = self.measured.as_ref().map(|measured| measured.checks.clone());
            let found = found.unwrap_or_else(|| (program.checks)());
            return if is_judged { found } else { found.into_iter().map(Check::unknown).collect() };
        }
        let known = |method| self.accuracy(method).filter(|_| is_judged);
        entry.goal.iter().flat_map(|goal| goal.checks(known)).collect()
    }

    /// What was measured, by name.
    pub fn measurements(&self) -> Vec<Measurement> {
        let mut all = self.measured.iter().flat_map(|measured| measured.measurements.clone()).collect::<Vec<_>>();
        let one = |name: String, value: f64, unit: &str, seeds: &[u64]| Measurement {
            name,
            value,
            spread: None,
            unit: unit.to_owned(),
            seeds: seeds.to_vec(),
        };
        for ours in &self.methods {
            let (method, seeds) = (ours.method, &ours.seeds);
            let spread = (1 < seeds.len()).then_some(ours.test_accuracy.spread);
            let accuracy = one(format!("{method}: test accuracy on the plant, median"), ours.median(), "1", seeds);
            all.push(Measurement { spread, ..accuracy });
            let mean = one(format!("{method}: test accuracy on the plant, mean"), ours.test_accuracy.mean, "1", seeds);
            all.push(Measurement { spread, ..mean });
            let spread = (1 < seeds.len()).then_some(ours.believed_accuracy.spread);
            let believed = one(format!("{method}: accuracy believed, mean"), ours.believed_accuracy.mean, "1", seeds);
            all.push(Measurement { spread, ..believed });
            for (accuracy, seed) in ours.accuracies.iter().zip(seeds) {
                all.push(one(format!("{method}: test accuracy on the plant, seed {seed}"), *accuracy, "1", &[*seed]));
            }
            all.push(one(format!("{method}: shots a run"), ours.shots as f64, "shots", seeds));
            all.push(one(format!("{method}: bench time a run"), ours.plant_seconds, "s", seeds));
            all.push(one(format!("{method}: time here a run"), ours.wall_seconds, "s", seeds));
        }
        let seeds = self.methods.first().map_or(&[][..], |ours| &ours.seeds);
        all.extend(
            self.twin_error.map(|error| one("error of the twin".to_owned(), error, "1", &seeds[..seeds.len().min(1)])),
        );
        let baseline = |accuracy| one("logistic regression: test accuracy".to_owned(), accuracy, "1", seeds);
        all.extend(self.baseline_accuracy.map(baseline));
        all
    }

    /// Reads the section of `name` in `folder`, if it was ever written.
    pub fn read(folder: &Path, name: &str) -> Result<Option<Self>, Error> {
        let path = folder.join(format!("{name}.json"));
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::record(&path, "cannot be read")(error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Record {
            path: path.clone(),
            message: format!("is no section of a report: {error}. Remove it, or choose another --out"),
        })
    }

    /// Writes it into `folder`.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(folder).map_err(Error::record(folder, "cannot be made"))?;
        let path = folder.join(format!("{}.json", self.name));
        let text = format!("{:#}\n", serde_json::json!(self));
        std::fs::write(&path, text).map_err(Error::record(&path, "cannot be written"))
    }
}
