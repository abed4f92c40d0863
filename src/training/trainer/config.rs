//! How to learn: the table `[training]` of an experiment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batches::BatchOrder;
use crate::Error;
use crate::document::Document;
use crate::training::estimator::{
    CmaConfig, DifferencesConfig, DualConfig, EquilibriumConfig, FeedbackConfig, MultiplexedConfig, PepgConfig,
    PhyllConfig, ReservoirConfig, SharpnessConfig,
};
use crate::training::{DriftConfig, Method, OnAlarm, RefreshConfig, SpsaConfig};

/// What turns gradients into updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Adam (Kingma and Ba 2015); β are 0.9 and 0.999.
    #[default]
    Adam,
    /// Adam whose weight decay does not pass through its moments.
    Adamw,
    /// Gradient descent with momentum.
    Sgd,
}

impl Optimizer {
    /// Whether it keeps a mean of the gradient's square.
    pub fn has_second(self) -> bool {
        self != Self::Sgd
    }
}

/// How to learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// How gradients are made.
    pub method: Method,
    /// Updates (1,000).
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: usize,
    /// In place of `steps`: how often each training row is shown. Rows that do not fill a last batch are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: Option<usize>,
    /// Shots in each update; more than there are means all of them.
    #[schemars(range(min = 1))]
    pub batch: usize,
    /// In which order the training rows are shown (shuffled). Batches that hold few classes each are warned of before the first shot.
    pub order: BatchOrder,
    /// What turns gradients into updates (adam).
    pub optimizer: Optimizer,
    /// The optimizer's step size at the start.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// What becomes of the step size.
    pub schedule: Schedule,
    /// The step size rises evenly over so many updates first (0).
    #[schemars(range(max = 1_000_000_000))]
    pub warm_up_steps: usize,
    /// With the schedule `step`: the step size falls after every so many updates; with `plateau`: after so many validations
    /// without a better one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub decay_every: Option<usize>,
    /// With the schedules `step` and `plateau`: what the step size is multiplied by (0.1).
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub decay_factor: f64,
    /// How strongly weights are drawn to 0 (0): for `adamw` this share of the step size is taken off each weight, for the others it
    /// is added to the gradient, times the weight.
    #[schemars(range(min = 0, max = 1000))]
    pub weight_decay: f64,
    /// For `sgd`: the share of the last update that is kept (0.9).
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub momentum: f64,
    /// The gradient of all weights together is shortened to this norm; 0 leaves it.
    #[schemars(range(min = 0, max = 1e6))]
    pub gradient_clip: f32,
    /// Before that the gradient of each weight is brought to the norm 1 (false): updates of rollouts, whose gradients differ by orders of
    /// magnitude.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub normalize_gradients: bool,
    /// Weight of the soft range penalty, averaged over the physical layers.
    #[schemars(range(min = 0, max = 1e6))]
    pub range_penalty: f32,
    /// How sharply the penalty rises at the ends of the range, per full scale. The original code uses 20.
    #[schemars(range(max = 1e6), extend("exclusiveMinimum" = 0))]
    pub range_sharpness: f32,
    /// The validation set is tried every so many updates, and at the end; 0: only at the end. Without one (`data.validation = 0`) it
    /// is the test set that is tried, and nothing is chosen by it.
    #[schemars(range(max = 1_000_000_000))]
    pub evaluate_every: usize,
    /// Which weights are tested and kept at the end.
    pub keep: Keep,
    /// The training ends after so many validations without a better one; left out: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub patience: Option<usize>,
    /// A reference pattern during training, which tells drift; left out: none. Only `physics-aware` takes it: other methods leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftConfig>,
    /// The twin is fitted anew during training; left out: never. Only by `physics-aware`: other methods leave it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshConfig>,
    /// How `spsa` perturbs; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spsa: Option<SpsaConfig>,
    /// How far `sharpness-aware` and `sharpness-aware-in-silico` look around; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none", rename = "sharpness-aware")]
    pub sharpness_aware: Option<SharpnessConfig>,
    /// How `feedback-alignment` sends errors back; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none", rename = "feedback-alignment")]
    pub feedback_alignment: Option<FeedbackConfig>,
    /// How `multiplexed` moves all weights at once; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplexed: Option<MultiplexedConfig>,
    /// How `pepg` explores; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pepg: Option<PepgConfig>,
    /// How `cma-es` draws a generation; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none", rename = "cma-es")]
    pub cma_es: Option<CmaConfig>,
    /// How `finite-differences` moves each weight; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none", rename = "finite-differences")]
    pub finite_differences: Option<DifferencesConfig>,
    /// How `reservoir` fits the read-out; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservoir: Option<ReservoirConfig>,
    /// How stages tell right from wrong by `phyll`; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phyll: Option<PhyllConfig>,
    /// How residual networks learn by `dual-adaptive`; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none", rename = "dual-adaptive")]
    pub dual_adaptive: Option<DualConfig>,
    /// How `equilibrium-propagation` pushes a plant; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none", rename = "equilibrium-propagation")]
    pub equilibrium_propagation: Option<EquilibriumConfig>,
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
    /// It is multiplied by `decay_factor` after every `decay_every` updates.
    Step,
    /// It is multiplied by `decay_factor` after `decay_every` validations without a better one.
    Plateau,
}

/// Which weights are tested and kept at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Those of the last update.
    #[default]
    Last,
    /// Those with the best validation; of equals the earliest.
    Best,
}

impl TrainingConfig {
    /// The same with `epochs` counted out in steps, for so many training rows.
    pub fn counted(&self, rows: usize) -> Self {
        let each = rows / self.batch.min(rows).max(1);
        let steps = self.epochs.map_or(self.steps, |epochs| epochs.saturating_mul(each));
        Self { steps, epochs: None, ..self.clone() }
    }

    /// The step size of the update after `done` others; `decays` is how often validation has lowered it.
    pub fn step_size(&self, done: usize, decays: usize) -> f64 {
        let power = |times: usize| self.decay_factor.powi(i32::try_from(times).unwrap_or(i32::MAX));
        let rise = ((done + 1) as f64 / self.warm_up_steps.max(1) as f64).min(1.0);
        // The other schedules begin when it has risen.
        let (done, steps) = (done.saturating_sub(self.warm_up_steps), self.steps.saturating_sub(self.warm_up_steps));
        let share = match self.schedule {
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done as f64 / steps.max(1) as f64).cos()),
            Schedule::Constant => 1.0,
            Schedule::Step => power(done / self.decay_every.unwrap_or(usize::MAX).max(1)),
            Schedule::Plateau => power(decays),
        };
        self.learning_rate * share * rise
    }

    /// Whether something is decided by validation while it trains.
    pub fn chooses(&self) -> bool {
        self.keep == Keep::Best || self.patience.is_some() || self.schedule == Schedule::Plateau
    }

    /// Refuses numbers that cannot train anything.
    pub(crate) fn sensible(&self, document: &Document) -> Result<(), Error> {
        let written = document.table().get("training").and_then(toml::Value::as_table);
        if written.is_some_and(|table| table.contains_key("steps") && table.contains_key("epochs")) {
            return Err(document.refuse("training.epochs", "stands beside `steps`: give one of the two"));
        }
        let refuse = |key: &str, message: String| Err(document.refuse(&format!("training.{key}"), message));
        let positive = [
            ("steps", self.steps as f64),
            ("epochs", self.epochs.unwrap_or(1) as f64),
            ("batch", self.batch as f64),
            ("learning_rate", self.learning_rate),
            ("range_sharpness", f64::from(self.range_sharpness)),
            ("patience", self.patience.unwrap_or(1) as f64),
            ("decay_every", self.decay_every.unwrap_or(1) as f64),
        ];
        for (key, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return refuse(key, format!("is {value}, but it must be above 0"));
            }
        }
        for (key, value) in [
            ("range_penalty", f64::from(self.range_penalty)),
            ("gradient_clip", f64::from(self.gradient_clip)),
            ("weight_decay", self.weight_decay),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return refuse(key, format!("is {value}, but it must not be negative"));
            }
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return refuse("momentum", format!("is {}, but it must be from 0 to below 1", self.momentum));
        }
        if !(0.0 < self.decay_factor && self.decay_factor <= 1.0) {
            return refuse("decay_factor", format!("is {}, but it must be above 0 and at most 1", self.decay_factor));
        }
        let falls = match self.schedule {
            Schedule::Step => Some("updates"),
            Schedule::Plateau => Some("validations without a better one"),
            _ => None,
        };
        if let Some(what) = falls.filter(|_| self.decay_every.is_none()) {
            return refuse(
                "schedule",
                format!("needs training.decay_every: after how many {what} the step size falls"),
            );
        }
        if self.chooses() && self.evaluate_every == 0 && self.keep != Keep::Best {
            return refuse(
                "evaluate_every",
                "is 0, but something is to be decided by validations in between".to_owned(),
            );
        }
        self.sensible_methods(document)?;
        self.sensible_upkeep(document)
    }

    /// Refuses tables of methods that could not work.
    fn sensible_methods(&self, document: &Document) -> Result<(), Error> {
        self.spsa.as_ref().map_or(Ok(()), |table| table.sensible(document))?;
        self.sharpness_aware.as_ref().map_or(Ok(()), |table| table.sensible(document))?;
        self.multiplexed.as_ref().map_or(Ok(()), |table| table.sensible(document))?;
        self.pepg.as_ref().map_or(Ok(()), |table| table.sensible(document))?;
        self.cma_es.as_ref().map_or(Ok(()), |table| table.sensible(document))?;
        self.finite_differences.as_ref().map_or(Ok(()), |table| table.sensible(document))?;
        self.reservoir.as_ref().map_or(Ok(()), |table| table.sensible(document))?;
        self.phyll.as_ref().map_or(Ok(()), |table| table.sensible(document))?;
        self.dual_adaptive.as_ref().map_or(Ok(()), |table| table.sensible(document))?;
        self.equilibrium_propagation.as_ref().map_or(Ok(()), |table| table.sensible(document))
    }

    /// Refuses an upkeep of the twin that could not work.
    fn sensible_upkeep(&self, document: &Document) -> Result<(), Error> {
        if let Some(drift) = &self.drift {
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
            if drift.on_alarm == OnAlarm::Refresh && self.refresh.is_none() {
                let message =
                    "is `refresh`, but there is no [training.refresh] that says how: add it, or choose `warn`";
                return Err(document.refuse("training.drift.on_alarm", message));
            }
        }
        if let Some(refresh) = &self.refresh {
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

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            method: Method::PhysicsAware,
            steps: 1000,
            epochs: None,
            batch: 128,
            order: BatchOrder::default(),
            optimizer: Optimizer::default(),
            learning_rate: 0.03,
            schedule: Schedule::Cosine,
            warm_up_steps: 0,
            decay_every: None,
            decay_factor: 0.1,
            weight_decay: 0.0,
            momentum: 0.9,
            gradient_clip: 5.0,
            normalize_gradients: false,
            range_penalty: 1.0,
            range_sharpness: 20.0,
            evaluate_every: 200,
            keep: Keep::default(),
            patience: None,
            drift: None,
            refresh: None,
            spsa: None,
            sharpness_aware: None,
            feedback_alignment: None,
            multiplexed: None,
            pepg: None,
            cma_es: None,
            finite_differences: None,
            reservoir: None,
            phyll: None,
            dual_adaptive: None,
            equilibrium_propagation: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_size_follows_its_schedule() {
        let config =
            |schedule| TrainingConfig { steps: 100, learning_rate: 0.1, schedule, ..TrainingConfig::default() };
        let cosine = config(Schedule::Cosine);
        assert_eq!(cosine.step_size(0, 0), 0.1);
        assert!((cosine.step_size(50, 0) - 0.05).abs() < 1e-12);
        assert!(cosine.step_size(99, 0) < 1e-4);
        assert_eq!(config(Schedule::Constant).step_size(99, 0), 0.1);
        let step = TrainingConfig { decay_every: Some(40), decay_factor: 0.5, ..config(Schedule::Step) };
        assert_eq!([0, 39, 40, 80].map(|done| step.step_size(done, 0)), [0.1, 0.1, 0.05, 0.025]);
        let plateau = TrainingConfig { decay_every: Some(2), decay_factor: 0.5, ..config(Schedule::Plateau) };
        assert_eq!([0, 1, 2].map(|decays| plateau.step_size(99, decays)), [0.1, 0.05, 0.025]);
    }

    #[test]
    fn the_step_size_rises_first_where_it_is_warmed_up() {
        let config = TrainingConfig { steps: 30, learning_rate: 0.1, warm_up_steps: 10, ..TrainingConfig::default() };
        assert!((config.step_size(0, 0) - 0.01).abs() < 1e-12);
        assert!((config.step_size(4, 0) - 0.05).abs() < 1e-12);
        assert_eq!(config.step_size(10, 0), 0.1);
        assert!((config.step_size(20, 0) - 0.05).abs() < 1e-12, "the cosine has the steps that are left");
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
    fn what_cannot_train_is_refused_at_its_line() {
        let error = |keys: &str| {
            let document = Document::parse("a.toml", &format!("[training]\n{keys}\n")).unwrap();
            let config: TrainingConfig = document.table()["training"].clone().try_into().unwrap();
            config.sensible(&document).unwrap_err().to_string()
        };
        assert_eq!(error("momentum = 1.0"), "a.toml:2: `training.momentum` is 1, but it must be from 0 to below 1");
        assert!(error("schedule = \"step\"").contains("needs training.decay_every: after how many updates"));
        assert!(error("schedule = \"plateau\"").contains("after how many validations without a better one"));
        assert!(error("decay_factor = 2.0").contains("above 0 and at most 1"));
        assert!(error("patience = 0").contains("`training.patience` is 0"));
        assert!(error("patience = 2\nevaluate_every = 0").contains("`training.evaluate_every` is 0"));
        assert!(error("weight_decay = -1.0").contains("must not be negative"));
    }
}
