//! One experiment of a report: what came out of it, or why nothing did.

use std::path::{Path, PathBuf};

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::{Check, Entry, Measured, Measurement, Provenance, programs};
use crate::Error;
use crate::record::read_text;
use crate::scores::{Keyed, Scores};
use crate::training::Comparison;
use crate::training::Method;
use crate::training::comparison::{Seeded, read_scores, write_believed, write_each, write_tests};
use crate::writing::replace_chosen;

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
    /// What is reached without physics on the same split: `baseline_accuracy`, or what the scores are called.
    #[serde(flatten)]
    pub baseline: Keyed<Option<f64>>,
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ours {
    /// The method.
    pub method: Method,
    /// Its scores, the one that decides first.
    #[serde(flatten, deserialize_with = "read_scores")]
    pub scores: Vec<Seeded>,
    /// Seeds.
    pub seeds: Vec<u64>,
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

impl Serialize for Ours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("method", &self.method)?;
        write_tests(&self.scores, &mut map)?;
        write_believed(&self.scores, &mut map)?;
        map.serialize_entry("seeds", &self.seeds)?;
        write_each(&self.scores, &mut map)?;
        map.serialize_entry("learning_rate", &self.learning_rate)?;
        map.serialize_entry("shots", &self.shots)?;
        map.serialize_entry("plant_seconds", &self.plant_seconds)?;
        map.serialize_entry("wall_seconds", &self.wall_seconds)?;
        map.serialize_entry("range_use", &self.range_use)?;
        map.serialize_entry("clipping_rate", &self.clipping_rate)?;
        map.end()
    }
}

impl Ours {
    /// The score that decides.
    pub fn score(&self) -> &Seeded {
        // Whatever is read or measured has the scores of an objective, and each has one.
        &self.scores[0]
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
            baseline: Keyed::default(),
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
                scores: summary.scores.clone(),
                seeds: seeds.to_vec(),
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
            baseline: comparison.objective.keyed([("baseline", Some(comparison.baseline))]),
            rule: comparison.rule.clone(),
            methods: methods.collect(),
            runs: comparison.runs.clone(),
            ..Self::without(&comparison.experiment, State::Done, String::new(), provenance)
        }
    }

    /// What we reached by `method`: the median over the seeds of the score that decides.
    pub fn reached(&self, method: Method) -> Option<f64> {
        self.methods.iter().find(|ours| ours.method == method).map(|ours| ours.score().median())
    }

    /// What is reached without physics, if that is known: by what, and its scores.
    pub fn baseline(&self) -> Option<(&'static str, Scores)> {
        let scores = Scores::read("baseline", |key| self.baseline.get(key).copied().flatten())?;
        Some((scores.kind().baseline(), scores))
    }

    /// What each goal of `entry` asks, and what came of it: in the full form only.
    pub fn checks(&self, entry: &Entry) -> Vec<Check> {
        let is_judged = !self.quick && self.state == State::Done;
        if let Some(program) = programs::find(&entry.name) {
            let found = self.measured.as_ref().map(|measured| measured.checks.clone());
            let found = found.unwrap_or_else(|| (program.checks)());
            return if is_judged { found } else { found.into_iter().map(Check::unknown).collect() };
        }
        let known = |method| self.reached(method).filter(|_| is_judged);
        entry.goal.iter().flat_map(|goal| goal.checks(entry.objective.score(), known)).collect()
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
            for seeded in &ours.scores {
                let (words, test, believed) = (seeded.score.words, seeded.test, seeded.believed);
                let spread = (1 < seeds.len()).then_some(test.spread);
                let median = one(format!("{method}: test {words} on the plant, median"), seeded.median(), "1", seeds);
                all.push(Measurement { spread, ..median });
                let mean = one(format!("{method}: test {words} on the plant, mean"), test.mean, "1", seeds);
                all.push(Measurement { spread, ..mean });
                let spread = (1 < seeds.len()).then_some(believed.spread);
                let mean = one(format!("{method}: {words} believed, mean"), believed.mean, "1", seeds);
                all.push(Measurement { spread, ..mean });
                for (value, seed) in seeded.each.iter().zip(seeds) {
                    all.push(one(format!("{method}: test {words} on the plant, seed {seed}"), *value, "1", &[*seed]));
                }
            }
            all.push(one(format!("{method}: shots a run"), ours.shots as f64, "shots", seeds));
            all.push(one(format!("{method}: bench time a run"), ours.plant_seconds, "s", seeds));
            all.push(one(format!("{method}: time here a run"), ours.wall_seconds, "s", seeds));
        }
        let seeds = self.methods.first().map_or(&[][..], |ours| &ours.seeds);
        all.extend(
            self.twin_error.map(|error| one("error of the twin".to_owned(), error, "1", &seeds[..seeds.len().min(1)])),
        );
        let baseline = self.baseline().into_iter().flat_map(|(by, scores)| {
            scores.iter().map(|(score, value)| (format!("{by}: test {}", score.words), value)).collect::<Vec<_>>()
        });
        all.extend(baseline.map(|(name, value)| one(name, value, "1", seeds)));
        all
    }

    /// Reads the section of `name` in `folder`, if it was ever written.
    pub fn read(folder: &Path, name: &str) -> Result<Option<Self>, Error> {
        let path = folder.join(format!("{name}.json"));
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::chosen(&path, "cannot be read", "--out")(error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Record {
            path: path.clone(),
            message: format!("is no section of a report: {error}. Remove it, or choose another --out"),
        })
    }

    /// Writes it into `folder`.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(folder).map_err(Error::chosen(folder, "cannot be made", "--out"))?;
        let text = format!("{:#}\n", serde_json::json!(self));
        replace_chosen(&folder.join(format!("{}.json", self.name)), text.as_bytes(), "--out")
    }
}
