//! An experiment: data, layers and training, as one TOML file describes them.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::DataConfig;
use crate::layer::LayerConfig;
use crate::run::RunConfig;
use crate::{Document, Error, Method};

/// The experiments that need no file, by name.
pub const BUILT_IN: &[(&str, &str)] = &[("digits-electrical", include_str!("../experiments/digits-electrical.toml"))];

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
    /// Keys laid over those of the rig's simulated plants, such as a record length. All else of a plant is the rig's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plants: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
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
    /// Updates.
    pub steps: usize,
    /// Shots in each update; more than there are means all of them.
    pub batch: usize,
    /// Adam's step size at the start (Kingma and Ba 2015); β are 0.9 and 0.999. It decays to 0 along a half cosine.
    pub learning_rate: f64,
    /// The gradient of all weights together is shortened to this norm; 0 leaves it.
    pub gradient_clip: f32,
    /// Weight of the soft range penalty, averaged over the physical layers.
    pub range_penalty: f32,
    /// How sharply the penalty rises at the ends of the range, per full scale. The original code uses 20.
    pub range_sharpness: f32,
    /// The test set is tried every so many updates, and at the end; 0: only at the end.
    pub evaluate_every: usize,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            method: Method::PhysicsAware,
            steps: 1000,
            batch: 128,
            learning_rate: 0.03,
            gradient_clip: 5.0,
            range_penalty: 1.0,
            range_sharpness: 20.0,
            evaluate_every: 200,
        }
    }
}

impl Experiment {
    /// Finds an experiment: a file, or the name of a built-in one; with every `--set` applied.
    pub fn find(name: &str, assignments: &[String]) -> Result<(Self, Document), Error> {
        let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
        let mut document = match built_in {
            Some((known, text)) if !Path::new(name).is_file() => {
                Document::parse(&format!("experiments/{known}.toml"), text)?
            }
            _ => Document::read(Path::new(name))?,
        };
        for assignment in assignments {
            document.set(assignment)?;
        }
        let experiment: Self = document.check()?;
        experiment.sensible(&document)?;
        Ok((experiment, document))
    }

    /// Refuses numbers that cannot train anything.
    fn sensible(&self, document: &Document) -> Result<(), Error> {
        let training = &self.training;
        let positive = [
            ("steps", training.steps as f64),
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
        self.run.sensible(document)?;
        if self.seed > i64::MAX as u64 {
            return Err(document.refuse("seed", "is too large: stay below 2^63"));
        }
        if self.name.is_empty() || self.name.contains(['/', '\\']) || self.name.starts_with('.') {
            return Err(document.refuse("name", "names folders: use letters, digits and dashes"));
        }
        Ok(())
    }
}
