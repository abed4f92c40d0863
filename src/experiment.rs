//! An experiment: data, layers and training, as one TOML file describes them.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::DataConfig;
use crate::layer::LayerConfig;
use crate::run::RunConfig;
use crate::upkeep::{DriftConfig, OnAlarm, RefreshConfig};
use crate::{Document, Error, Method};

/// The experiments that need no file, by name.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("digits-electrical", include_str!("../experiments/digits-electrical.toml")),
    ("digits-optical", include_str!("../experiments/digits-optical.toml")),
    ("mnist-oscillators", include_str!("../experiments/mnist-oscillators.toml")),
    ("mnist-oscillators-gap", include_str!("../experiments/mnist-oscillators-gap.toml")),
    ("vowels-optical", include_str!("../experiments/vowels-optical.toml")),
    ("mnist-electrical", include_str!("../experiments/mnist-electrical.toml")),
    ("mnist-mechanical", include_str!("../experiments/mnist-mechanical.toml")),
    ("mnist-optical", include_str!("../experiments/mnist-optical.toml")),
    ("mnist-optical-digital", include_str!("../experiments/mnist-optical-digital.toml")),
];

/// The experiment that runs when none is named.
pub const DEFAULT: &str = "digits-electrical";

/// What an experiment file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// What the experiment is called: it names its runs.
    pub name: String,
    /// One sentence on what it shows.
    #[serde(default)]
    pub about: String,
    /// The root of all that is random but the plant's fixed pattern: split, initial weights, batches, shot noise (1).
    #[serde(default = "first_seed")]
    pub seed: u64,
    /// What to learn.
    pub data: DataConfig,
    /// How to learn it.
    #[serde(default)]
    pub training: TrainingConfig,
    /// How its runs are kept.
    #[serde(default)]
    pub run: RunConfig,
    /// The network, first layer first.
    pub layers: Vec<LayerConfig>,
    /// What `compare` compares, unless its options say otherwise.
    #[serde(default)]
    pub comparison: ComparisonConfig,
    /// Keys laid over those of the rig's simulated plants, such as a record length. All else of a plant is the rig's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plants: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    /// Keys laid over all others by `--quick`: fewer rows, steps and seeds, for about a minute. `layers.0.times` reaches into
    /// the layers.
    #[serde(default, skip_serializing)]
    pub quick: BTreeMap<String, serde_json::Value>,
}

fn first_seed() -> u64 {
    1
}

/// How to learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// How gradients are made.
    pub method: Method,
    /// Updates (1,000).
    pub steps: usize,
    /// In place of `steps`: how often each training row is shown. Rows that do not fill a last batch are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Shots in each update; more than there are means all of them.
    pub batch: usize,
    /// Adam's step size at the start (Kingma and Ba 2015); β are 0.9 and 0.999.
    pub learning_rate: f64,
    /// What becomes of the step size.
    pub schedule: Schedule,
    /// The gradient of all weights together is shortened to this norm; 0 leaves it.
    pub gradient_clip: f32,
    /// Weight of the soft range penalty, averaged over the physical layers.
    pub range_penalty: f32,
    /// How sharply the penalty rises at the ends of the range, per full scale. The original code uses 20.
    pub range_sharpness: f32,
    /// The test set is tried every so many updates, and at the end; 0: only at the end.
    pub evaluate_every: usize,
    /// A reference pattern during training, which tells drift; left out: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftConfig>,
    /// The twin is fitted anew during training; left out: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshConfig>,
}

/// What becomes of the step size while it trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It decays to 0 along a half cosine.
    #[default]
    Cosine,
    /// It stays.
    Constant,
}

impl Schedule {
    /// The step size after `done` of `steps` updates.
    pub fn at(self, start: f64, done: usize, steps: usize) -> f64 {
        match self {
            Self::Cosine => 0.5 * start * (1.0 + (std::f64::consts::PI * done as f64 / steps as f64).cos()),
            Self::Constant => start,
        }
    }
}

/// What `compare` compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ComparisonConfig {
    /// How many seeds, from the experiment's on (3).
    pub seeds: u16,
    /// The methods, in the order of the table.
    pub methods: Vec<Method>,
}

impl Default for ComparisonConfig {
    fn default() -> Self {
        Self { seeds: 3, methods: vec![Method::PhysicsAware, Method::InSilico, Method::Ideal] }
    }
}

impl TrainingConfig {
    /// The same with `epochs` counted out in steps, for so many training rows.
    pub fn counted(&self, rows: usize) -> Self {
        let each = rows / self.batch.min(rows).max(1);
        let steps = self.epochs.map_or(self.steps, |epochs| epochs.saturating_mul(each));
        Self { steps, epochs: None, ..self.clone() }
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            method: Method::PhysicsAware,
            steps: 1000,
            epochs: None,
            batch: 128,
            learning_rate: 0.03,
            schedule: Schedule::Cosine,
            gradient_clip: 5.0,
            range_penalty: 1.0,
            range_sharpness: 20.0,
            evaluate_every: 200,
            drift: None,
            refresh: None,
        }
    }
}

impl Experiment {
    /// Finds an experiment: a file, or the name of a built-in one; with every `--set` applied.
    pub fn find(name: &str, assignments: &[String]) -> Result<(Self, Document), Error> {
        Self::find_form(name, false, assignments)
    }

    /// The same in its full or its quick form.
    pub fn find_form(name: &str, quick: bool, assignments: &[String]) -> Result<(Self, Document), Error> {
        let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
        let mut document = match built_in {
            Some((known, text)) if !Path::new(name).is_file() => {
                Document::parse(&format!("experiments/{known}.toml"), text)?
            }
            _ => Document::read(Path::new(name))?,
        };
        let has_quick = document.table().get("quick").is_some_and(toml::Value::is_table);
        if quick && !has_quick {
            return Err(Error::Usage(format!(
                "--quick: {} has no [quick] table: add one with fewer rows and steps, or leave the option out",
                document.name()
            )));
        }
        let read = |mut document: Document| -> Result<(Self, Document), Error> {
            // Whoever sets the one does not want the other.
            for (set, other) in [("steps", "epochs"), ("epochs", "steps")] {
                if assignments.iter().any(|assignment| assigns(assignment, set)) {
                    document.leave_out("training", other);
                }
            }
            for assignment in assignments {
                document.set(assignment)?;
            }
            let experiment: Self = document.check()?;
            experiment.sensible(&document)?;
            Ok((experiment, document))
        };
        let full = document.clone();
        if has_quick {
            document.lay("quick")?;
        }
        // What is wrong in the quick form is said before somebody needs it.
        let short = has_quick.then(|| read(document)).transpose()?;
        match short {
            Some(short) if quick => Ok(short),
            _ => read(full),
        }
    }

    /// Refuses numbers that cannot train anything.
    fn sensible(&self, document: &Document) -> Result<(), Error> {
        let training = &self.training;
        let written = document.table().get("training").and_then(toml::Value::as_table);
        if written.is_some_and(|table| table.contains_key("steps") && table.contains_key("epochs")) {
            return Err(document.refuse("training.epochs", "stands beside `steps`: give one of the two"));
        }
        let positive = [
            ("steps", training.steps as f64),
            ("epochs", training.epochs.unwrap_or(1) as f64),
            ("batch", training.batch as f64),
            ("learning_rate", training.learning_rate),
            ("range_sharpness", f64::from(training.range_sharpness)),
        ];
        for (key, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(document.refuse(&format!("training.{key}"), format!("is {value}, but it must be above 0")));
            }
        }
        for (key, value) in [("range_penalty", training.range_penalty), ("gradient_clip", training.gradient_clip)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(
                    document.refuse(&format!("training.{key}"), format!("is {value}, but it must not be negative"))
                );
            }
        }
        self.sensible_upkeep(document)?;
        self.run.sensible(document)?;
        if self.comparison.seeds == 0 {
            return Err(document.refuse("comparison.seeds", "is 0: compare at least one"));
        }
        if self.comparison.methods.is_empty() {
            return Err(document.refuse("comparison.methods", "is empty: name at least one method"));
        }
        if self.seed > i64::MAX as u64 {
            return Err(document.refuse("seed", "is too large: stay below 2^63"));
        }
        if self.name.is_empty() || self.name.contains(['/', '\\']) || self.name.starts_with('.') {
            return Err(document.refuse("name", "names folders: use letters, digits and dashes"));
        }
        Ok(())
    }

    /// Refuses an upkeep of the twin that could not work.
    fn sensible_upkeep(&self, document: &Document) -> Result<(), Error> {
        let training = &self.training;
        if let Some(drift) = &training.drift {
            for (key, value, least) in [
                ("every_shots", drift.every_shots, 1),
                ("pattern", drift.pattern as u64, 1),
                ("first_takes", drift.first_takes as u64, 8),
            ] {
                if value < least {
                    let message = format!("is {value}, but it must be at least {least}");
                    return Err(document.refuse(&format!("training.drift.{key}"), message));
                }
            }
            let between = drift.takes_between_false_alarms;
            if !(10.0..=1e6).contains(&between) {
                let message = format!("is {between}, but it must be from 10 to 1e6");
                return Err(document.refuse("training.drift.takes_between_false_alarms", message));
            }
            if drift.on_alarm == OnAlarm::Refresh && training.refresh.is_none() {
                let message =
                    "is `refresh`, but there is no [training.refresh] that says how: add it, or choose `warn`";
                return Err(document.refuse("training.drift.on_alarm", message));
            }
        }
        if let Some(refresh) = &training.refresh {
            for (key, value) in [("shots", refresh.shots), ("reference_shots", refresh.reference_shots)] {
                if value < 20 {
                    return Err(document.refuse(
                        &format!("training.refresh.{key}"),
                        format!("is {value}, but it must be at least 20"),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether `--set` gives `training.KEY`.
fn assigns(assignment: &str, key: &str) -> bool {
    assignment.split_once('=').is_some_and(|(path, _)| path.trim().strip_prefix("training.") == Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_size_falls_along_a_half_cosine_or_stays() {
        assert_eq!(Schedule::Cosine.at(0.1, 0, 100), 0.1);
        assert!((Schedule::Cosine.at(0.1, 50, 100) - 0.05).abs() < 1e-12);
        assert!(Schedule::Cosine.at(0.1, 99, 100) < 1e-4);
        assert_eq!(Schedule::Constant.at(0.1, 99, 100), 0.1);
    }

    #[test]
    fn steps_that_are_set_stand_in_place_of_epochs() {
        let (experiment, _) = Experiment::find("mnist-electrical", &["training.steps=7".to_owned()]).unwrap();
        assert_eq!((experiment.training.steps, experiment.training.epochs), (7, None));
    }

    #[test]
    fn epochs_are_counted_in_full_batches() {
        let training = TrainingConfig { epochs: Some(20), batch: 32, ..TrainingConfig::default() };
        assert_eq!(training.counted(60_000).steps, 37_500);
        assert_eq!(training.counted(100).steps, 60);
        assert_eq!(training.counted(10).steps, 20);
        assert_eq!(TrainingConfig::default().counted(10).steps, 1000);
    }

    #[test]
    fn every_built_in_experiment_is_sound_in_both_forms() {
        for (name, text) in BUILT_IN {
            let full = Experiment::find_form(name, false, &[]).unwrap().0;
            assert_eq!(full.name, *name);
            assert!(!full.about.is_empty(), "{name} says what it shows");
            let quick = Experiment::find_form(name, true, &[]).unwrap().0;
            assert!(quick.training != full.training, "{name}: quick trains less");
            assert!(text.starts_with('#'), "{name} explains itself");
        }
    }
}
