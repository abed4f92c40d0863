//! One experiment of a report: what came out of it, or why nothing did.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Entry, Provenance};
use crate::comparison::{Comparison, Spread};
use crate::{Error, Method};

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
    /// Each method.
    pub methods: Vec<Ours>,
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
            methods: Vec::new(),
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
            methods: methods.collect(),
            runs: comparison.runs.clone(),
            ..Self::without(&comparison.experiment, State::Done, String::new(), provenance)
        }
    }

    /// Our accuracy by `method`.
    pub fn accuracy(&self, method: Method) -> Option<f64> {
        self.methods.iter().find(|ours| ours.method == method).map(|ours| ours.test_accuracy.mean)
    }

    /// Each goal of `entry` with whether it was met: in the full form only.
    pub fn verdicts(&self, entry: &Entry) -> Vec<(String, Option<bool>)> {
        let judged = |goal: &super::Goal| {
            if self.quick || self.state != State::Done { None } else { goal.met(|method| self.accuracy(method)) }
        };
        entry.goal.iter().map(|goal| (format!("{} {}", goal.method, goal.words()), judged(goal))).collect()
    }

    /// Reads the section of `name` in `folder`, if it was ever written.
    pub fn read(folder: &Path, name: &str) -> Result<Option<Self>, Error> {
        let path = folder.join(format!("{name}.json"));
        let text = match std::fs::read_to_string(&path) {
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
