//! An experiment: data, layers and training, as one TOML file describes them.

// Circle with training/frozen.rs: an experiment says on which plants its generator is, and a generator is of an experiment.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::control::RunConfig;
use crate::data::{CellsConfig, DataConfig, MotionConfig};
use crate::document::{Document, list, name_complaint, nearest};
use crate::network::{GuardConfig, HeadsConfig, LayerConfig, Layout};
use crate::scores::ObjectiveKind;
use crate::training::{Method, ObjectiveConfig, TrainingConfig, frozen};

/// The experiments that need no file, by name.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("digits-electrical", include_str!("../../experiments/digits-electrical.toml")),
    ("digits-optical", include_str!("../../experiments/digits-optical.toml")),
    ("mnist-oscillators", include_str!("../../experiments/mnist-oscillators.toml")),
    ("mnist-oscillators-averaged", include_str!("../../experiments/mnist-oscillators-averaged.toml")),
    ("mnist-oscillators-gap", include_str!("../../experiments/mnist-oscillators-gap.toml")),
    ("vowels-optical", include_str!("../../experiments/vowels-optical.toml")),
    ("mnist-electrical", include_str!("../../experiments/mnist-electrical.toml")),
    ("mnist-mechanical", include_str!("../../experiments/mnist-mechanical.toml")),
    ("mnist-optical", include_str!("../../experiments/mnist-optical.toml")),
    ("mnist-optical-digital", include_str!("../../experiments/mnist-optical-digital.toml")),
    ("mnist-mesh", include_str!("../../experiments/mnist-mesh.toml")),
    ("digits-diode", include_str!("../../experiments/digits-diode.toml")),
    ("digits-coupled", include_str!("../../experiments/digits-coupled.toml")),
    ("digits-lattice", include_str!("../../experiments/digits-lattice.toml")),
    ("digits-line", include_str!("../../experiments/digits-line.toml")),
    ("narma-electrical", include_str!("../../experiments/narma-electrical.toml")),
    ("textures-electrical", include_str!("../../experiments/textures-electrical.toml")),
    ("generator-electrical", include_str!("../../experiments/generator-electrical.toml")),
    ("motion-electrical", include_str!("../../experiments/motion-electrical.toml")),
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
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub seed: u64,
    /// What to learn from.
    pub data: DataConfig,
    /// What to learn of it; left out, what the data has: classes or numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<ObjectiveConfig>,
    /// The lattice, at each cell of which the layers are run; left out, they are run once for each row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells: Option<CellsConfig>,
    /// The generator whose latents the layers move through, frame after frame; left out, they are run once for each row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motion: Option<MotionConfig>,
    /// How to learn it.
    #[serde(default)]
    pub training: TrainingConfig,
    /// What guards the shots of its training; left out, nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardConfig>,
    /// How its runs are kept.
    #[serde(default)]
    pub run: RunConfig,
    /// The network, first layer first.
    pub layers: Vec<LayerConfig>,
    /// Several read-outs on the same readings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<HeadsConfig>,
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

/// What `compare` compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ComparisonConfig {
    /// How many seeds, from the experiment's on (3).
    #[schemars(range(min = 1))]
    pub seeds: u16,
    /// The methods, in the order of the table.
    pub methods: Vec<Method>,
    /// How the settings below were chosen, in a sentence that stands beside the table.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// What a method trains with in place of the keys of `[training]`, wherever it trains; a `--set` of the key stands above it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, MethodSettings>,
}

/// What one method trains with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MethodSettings {
    /// In place of `training.learning_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub learning_rate: Option<f64>,
    /// In place of `training.weight_decay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight_decay: Option<f64>,
    /// In place of `training.range_penalty`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1e6))]
    pub range_penalty: Option<f32>,
    /// In place of `training.gradient_clip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1e6))]
    pub gradient_clip: Option<f32>,
}

impl Default for ComparisonConfig {
    fn default() -> Self {
        Self {
            seeds: 3,
            methods: vec![Method::PhysicsAware, Method::InSilico, Method::Ideal],
            rule: String::new(),
            settings: BTreeMap::new(),
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
            _ => Document::read(Path::new(name), NO_EXPERIMENT).map_err(|error| unknown(name, error))?,
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
                    document.leave_out(&format!("training.{other}"));
                }
            }
            for assignment in assignments {
                // It has been laid over the rest already.
                if assignment.trim_start().starts_with("quick") {
                    let message =
                        "--set: the table `quick` is not changed: give --quick, and --set the keys themselves";
                    return Err(Error::Usage(message.to_owned()));
                }
                document.set(assignment)?;
            }
            let mut experiment: Self = document.check()?;
            if let Some(motion) = &mut experiment.motion {
                motion.drives = frozen::drives(&motion.generator);
            }
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

    /// The experiment as one method runs it with one seed: its own settings in place, so that none are left to be laid over it.
    pub fn by(&self, method: Method, seed: u64, document: &Document) -> Self {
        let mut own = self.clone();
        (own.seed, own.training.method) = (seed, method);
        if let Some(settings) = std::mem::take(&mut own.comparison.settings).remove(method.name()) {
            let is_free = |key: &str| !document.is_set(&format!("training.{key}"));
            let training = &mut own.training;
            put(&mut training.learning_rate, settings.learning_rate.filter(|_| is_free("learning_rate")));
            put(&mut training.weight_decay, settings.weight_decay.filter(|_| is_free("weight_decay")));
            put(&mut training.range_penalty, settings.range_penalty.filter(|_| is_free("range_penalty")));
            put(&mut training.gradient_clip, settings.gradient_clip.filter(|_| is_free("gradient_clip")));
        }
        own
    }

    /// The network as it is written.
    pub fn layout(&self) -> Layout<'_> {
        Layout { layers: &self.layers, heads: self.heads.as_ref() }
    }

    /// What is learned.
    pub fn objective(&self) -> ObjectiveKind {
        let of_data = || if self.motion.is_some() { ObjectiveKind::Motion } else { self.data.kind() };
        self.objective.as_ref().map_or_else(of_data, |objective| objective.kind)
    }

    /// Refuses a motion beside what runs the layers otherwise, and one that is asked for without its table.
    fn moves_alone(&self, document: &Document) -> Result<(), Error> {
        let asked = self.objective() == ObjectiveKind::Motion;
        match (&self.motion, &self.cells) {
            (Some(_), Some(_)) => {
                let message =
                    "stands beside [cells]: layers are run at each frame or at each cell; leave one of the tables out";
                Err(document.refuse("motion", message))
            }
            (Some(_), None) if !asked => {
                let message =
                    format!("is `{}`, but there is a table [motion]: take `motion`, or leave it out", self.objective());
                Err(document.refuse("objective.kind", message))
            }
            (None, _) if asked && self.objective.is_some() => {
                let message = "is `motion`, which moves a generator: add a table [motion] that names one";
                Err(document.refuse("objective.kind", message))
            }
            _ => Ok(()),
        }
    }

    /// Refuses numbers that cannot train anything.
    fn sensible(&self, document: &Document) -> Result<(), Error> {
        self.training.sensible(document)?;
        self.run.sensible(document)?;
        self.cells.as_ref().map_or(Ok(()), |cells| cells.sensible(document))?;
        self.motion.as_ref().map_or(Ok(()), |motion| motion.sensible(document))?;
        let (objective, of_data) = (self.objective(), self.data.kind());
        if let Some(config) = &self.objective {
            config.sensible(of_data == ObjectiveKind::Groups, document)?;
        }
        self.moves_alone(document)?;
        if !objective.learns(of_data) {
            let ([needed, from], [had, _]) = (objective.data(), of_data.data());
            let message = format!(
                "is `{objective}`, which needs {needed} ({from}), but [data] has {had}: take other data, or `kind = \"{of_data}\"`"
            );
            return Err(document.refuse("objective.kind", message));
        }
        self.run.judges(objective, document)?;
        if self.comparison.seeds == 0 {
            return Err(document.refuse("comparison.seeds", "is 0: compare at least one"));
        }
        if self.comparison.methods.is_empty() {
            return Err(document.refuse("comparison.methods", "is empty: name at least one method"));
        }
        let names = Method::ALL.map(Method::name);
        if let Some(name) = self.comparison.settings.keys().find(|name| !names.contains(&name.as_str())) {
            let message = format!("is no method: name one of {}", names.join(", "));
            return Err(document.refuse(&format!("comparison.settings.{name}"), message));
        }
        let tables = [("cells", self.cells.is_some()), ("motion", self.motion.is_some())];
        let mut given = tables.into_iter().filter(|(_, given)| *given);
        if let Some(message) = given.find_map(|(table, _)| self.training.method.by_rows(table)) {
            return Err(document.refuse("training.method", message));
        }
        if self.heads.is_some() && !self.training.method.trains_heads() {
            return Err(document.refuse("training.method", self.training.method.no_heads()));
        }
        for method in Method::ALL {
            self.by(method, self.seed, document).training.sensible(document)?;
        }
        if self.seed > i64::MAX as u64 {
            return Err(document.refuse("seed", "is too large: stay below 2^63"));
        }
        if let Some(complaint) = name_complaint(&self.name) {
            return Err(document.refuse("name", complaint));
        }
        Ok(())
    }
}

/// Puts a value in its place, where there is one.
fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// What to do where an experiment cannot be read.
pub(super) const NO_EXPERIMENT: &str = "Check the path; `pnnlab --help` names the built-in experiments";

/// `error`, or where a name that is no file is meant, the names that there are.
fn unknown(name: &str, error: Error) -> Error {
    let is_name = !name.contains(['/', '\\', '.']) && !Path::new(name).exists();
    if !is_name {
        return error;
    }
    let known: Vec<&str> = BUILT_IN.iter().map(|(known, _)| *known).collect();
    let hint = nearest(name, &known).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
    Error::Usage(format!(
        "`{name}` is neither a file nor a built-in experiment.{hint} The built-in ones are {}",
        list(&known)
    ))
}

/// Whether `--set` gives `training.KEY`.
fn assigns(assignment: &str, key: &str) -> bool {
    assignment.split_once('=').is_some_and(|(path, _)| path.trim().strip_prefix("training.") == Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_settings_of_its_own_below_what_is_set() {
        let settings = "comparison.settings.ideal = { learning_rate = 0.5 }".to_owned();
        let find = |assignments: &[String]| Experiment::find(DEFAULT, assignments).unwrap();
        let (experiment, document) = find(std::slice::from_ref(&settings));
        let by = |method| experiment.by(method, 7, &document).training.learning_rate;
        assert_eq!(by(Method::Ideal), 0.5);
        assert_ne!(by(Method::NoiseAware), 0.5);
        let whole = experiment.by(Method::Ideal, 7, &document);
        assert_eq!((whole.seed, whole.training.method), (7, Method::Ideal));
        assert!(whole.comparison.settings.is_empty(), "a run's record says them once");
        let (experiment, document) = find(&[settings, "training.learning_rate=0.25".to_owned()]);
        assert_eq!(experiment.by(Method::Ideal, 7, &document).training.learning_rate, 0.25);
        let error = |assignment: &str| Experiment::find(DEFAULT, &[assignment.to_owned()]).unwrap_err().to_string();
        assert!(
            error("comparison.settings.hope.learning_rate=1.0").contains("is no method: name one of physics-aware")
        );
        assert!(error("comparison.settings.ideal.learning_rate=-1.0").contains("must be above 0"));
    }

    #[test]
    fn the_objective_follows_from_the_data_and_another_is_refused() {
        let find = |assignments: &[&str]| {
            let assignments: Vec<String> = assignments.iter().map(|one| (*one).to_owned()).collect();
            Experiment::find(DEFAULT, &assignments)
        };
        assert_eq!(find(&[]).unwrap().0.objective(), ObjectiveKind::Classify);
        assert_eq!(find(&["objective.kind=classify"]).unwrap().0.objective(), ObjectiveKind::Classify);
        let said = find(&["objective.kind=regress"]).unwrap_err().to_string();
        assert!(said.contains("`objective.kind` is `regress`, which needs targets (a CSV file"), "{said}");
        assert!(said.contains("but [data] has labels: take other data, or `kind = \"classify\"`"), "{said}");
        let said = find(&["run.alarms=[{ on = \"test_nrmse\", above = 0.5 }]"]).unwrap_err().to_string();
        assert!(said.contains("`run.alarms.0.on` is `test_nrmse`, but the objective is `classify`"), "{said}");
    }

    #[test]
    fn a_name_that_is_nearly_right_gets_the_nearest() {
        let error = |name: &str| Experiment::find(name, &[]).unwrap_err().to_string();
        assert!(error("digits-eletrical").contains("Did you mean `digits-electrical`?"));
        let far = error("quantum");
        assert!(!far.contains("Did you mean") && far.contains("`vowels-optical`"), "{far}");
        assert!(error("no/such.toml").contains("no/such.toml"));
    }

    #[test]
    fn steps_that_are_set_stand_in_place_of_epochs() {
        let (experiment, _) = Experiment::find("mnist-electrical", &["training.steps=7".to_owned()]).unwrap();
        assert_eq!((experiment.training.steps, experiment.training.epochs), (7, None));
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
