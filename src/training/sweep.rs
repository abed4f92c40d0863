//! Keys of an experiment over several values, each by several methods and seeds: how the scores on the plant depend on them, and
//! which setting is the best by the validation set.

mod setting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::event::Evaluated;
use crate::record::{NewFolder, command_line};
use crate::scores::{Keyed, ObjectiveKind, Score, Scores};
use crate::training::comparison::{planned, refuse_unfit, run_all};
use crate::training::{Finished, Method, Prepared, RefreshConfig, Spread};
use crate::writing::replace;

pub use setting::{Axis, Setting, drawn, grid};

/// A method, or physics-aware training with a refreshed twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The method.
    pub method: Method,
    /// Whether the twin is refreshed.
    pub refresh: bool,
}

impl Variant {
    /// The name in tables and files.
    pub fn name(self) -> String {
        if self.refresh { format!("{}+refresh", self.method) } else { self.method.to_string() }
    }
}

impl std::str::FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, refresh) = text.strip_suffix("+refresh").map_or((text, false), |name| (name, true));
        let method = Method::ALL.into_iter().find(|method| method.name() == name);
        match method {
            Some(method) if !refresh || method == Method::PhysicsAware => Ok(Self { method, refresh }),
            _ => {
                let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
                Err(format!("name one of {} or physics-aware+refresh", names.join(", ")))
            }
        }
    }
}

/// One setting of the keys by one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The method.
    pub method: String,
    /// The value of the first key; of one that is no number, its place among the values.
    pub value: f64,
    /// Every key with its value as it was written.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// RMS error of the nominal twin over the standard deviation of the plant's outputs.
    pub twin_error: Option<f64>,
    /// Whether a training has left the numbers: such a setting has no scores and is never the best.
    #[serde(default)]
    pub diverged: bool,
    /// Of each score the values of each seed: `test_accuracy` on the plant, `believed_accuracy`, and `validation_accuracy`, which is
    /// empty without a validation set.
    #[serde(flatten)]
    pub scores: Keyed<Vec<f64>>,
}

/// The setting that a method should have: the one with the best mean on the validation set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The method.
    pub method: String,
    /// Every key with its value.
    pub values: BTreeMap<String, String>,
    /// Means over the seeds of the score that decides: `validation_accuracy`, and `test_accuracy`, which had no part in the choice.
    #[serde(flatten)]
    pub scores: Keyed<f64>,
}

impl Best {
    /// The mean of a score over `part`: `validation` or `test`.
    pub fn mean(&self, score: &Score, part: &str) -> f64 {
        self.scores.get(&score.key(part)).copied().unwrap_or(f64::NAN)
    }
}

/// All that a sweep found; `sweep.json` in its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// The experiment.
    pub experiment: String,
    /// What is learned.
    #[serde(default)]
    pub objective: ObjectiveKind,
    /// The plants with their origins.
    pub plants: String,
    /// The first key.
    pub key: String,
    /// All keys.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Seeds from which on.
    pub first_seed: u64,
    /// How many seeds.
    pub seeds: usize,
    /// Updates of each run.
    pub steps: usize,
    /// The command that made it.
    pub command: String,
    /// Every setting by every method.
    pub points: Vec<Point>,
    /// The best setting of each method, by validation; empty without a validation set.
    #[serde(default)]
    pub best: Vec<Best>,
}

impl Point {
    /// Mean and spread on the plant.
    pub fn test(&self, score: &Score) -> Spread {
        Spread::of(self.each(score, "test"))
    }

    /// The values of each seed.
    fn each(&self, score: &Score, part: &str) -> &[f64] {
        self.scores.get(&score.key(part)).map_or(&[], Vec::as_slice)
    }

    /// The last tests of the runs, score by score.
    fn scores(kind: ObjectiveKind, last: &[Evaluated]) -> Keyed<Vec<f64>> {
        let of = |score: &'static Score| {
            let values = |value: &dyn Fn(&Evaluated) -> Option<Scores>| -> Vec<f64> {
                last.iter().filter_map(|last| value(last)?.get(score.name)).collect()
            };
            [
                (score.key("test"), values(&|last| Some(last.scores()))),
                (score.key("believed"), values(&|last| Some(last.believed))),
                (score.key("validation"), values(&|last| last.validation)),
            ]
        };
        kind.scores().iter().flat_map(of).collect()
    }
}

impl Sweep {
    /// The score that decides.
    pub fn score(&self) -> &'static Score {
        self.objective.score()
    }

    /// The best setting of each method, by validation.
    fn choose(&self) -> Vec<Best> {
        let mut best: Vec<Best> = Vec::new();
        let score = self.score();
        for point in self.points.iter().filter(|point| !point.each(score, "validation").is_empty()) {
            let mean = |part: &str| (score.key(part), Spread::of(point.each(score, part)).mean);
            let found = Best {
                method: point.method.clone(),
                values: point.values.clone(),
                scores: ["validation", "test"].map(mean).into_iter().collect(),
            };
            let value = |best: &Best| best.mean(score, "validation");
            match best.iter_mut().find(|known| known.method == found.method) {
                Some(known) if score.is_better(value(&found), value(known)) => *known = found,
                Some(_) => {}
                None => best.push(found),
            }
        }
        best
    }
}

/// What is swept.
pub struct Plan<'a> {
    /// The experiment with further assignments, such as `training.steps=8`.
    pub prepare: &'a dyn Fn(&[String]) -> Result<Prepared, Error>,
    /// The settings: of each key a value.
    pub settings: Vec<Setting>,
    /// By which methods.
    pub variants: &'a [Variant],
    /// How many seeds.
    pub seeds: usize,
}

/// Runs a sweep below `folder`, and draws it.
pub fn sweep(plan: &Plan<'_>, folder: &NewFolder) -> Result<(Sweep, PathBuf, Vec<PathBuf>), Error> {
    // What is refused is refused before anything is made.
    let mut prepared =
        plan.settings.iter().map(|setting| plan.prepare(setting, false)).collect::<Result<Vec<_>, _>>()?;
    let rig = prepared.first().map(|first| first.rig.clone());
    for (prepared, rig) in prepared.iter_mut().skip(1).zip(rig.iter().cycle()) {
        prepared.rig = prepared.rig.clone().sharing(rig);
    }
    let first = prepared.first().ok_or_else(|| Error::Usage("--values: name at least one value".to_owned()))?;
    let methods: Vec<Method> = plan.variants.iter().map(|variant| variant.method).collect();
    refuse_unfit(first, &methods, first.experiment.seed.saturating_add(plan.seeds as u64))?;
    let all = plan.settings.len() * plan.variants.len();
    let cost = plan.cost(&prepared, folder.wanted())?;
    tell!("pnnlab: plan of {} runs: {cost}", all * plan.seeds);
    let alone = prepared.iter().all(Prepared::may_be_asked);
    let folder = &folder.make()?;
    let keys: Vec<String> = plan.settings[0].values.iter().map(|(key, _)| key.clone()).collect();
    let mut sweep = Sweep {
        experiment: first.experiment.name.clone(),
        objective: first.experiment.objective(),
        plants: first.origins()?,
        key: keys[0].clone(),
        keys,
        first_seed: first.experiment.seed,
        seeds: plan.seeds,
        steps: first.experiment.training.counted(first.load(first.experiment.seed)?.train.len()).steps,
        command: command_line(),
        points: vec![],
        best: vec![],
    };
    let mut left = None;
    for (setting, prepared) in plan.settings.iter().zip(&prepared) {
        let twin_error = prepared.twin_error(prepared.experiment.seed)?;
        for variant in plan.variants {
            tell!("pnnlab: {} of {all}: {}, {}", sweep.points.len() + 1, setting.words(), variant.name());
            let below = folder.join(format!("{}-{}", setting.name(), variant.name()));
            let (mut runs, workers) = (plan.prepare(setting, variant.refresh)?, rayon::current_num_threads());
            runs.rig = runs.rig.sharing(&first.rig);
            let (finished, diverged) = match plan.run(&runs, variant.method, if alone { workers } else { 1 }, &below) {
                Ok(finished) => (finished, false),
                // How far a key can be turned is what a sweep is for: the others go on.
                Err(error @ Error::Diverged { .. }) => {
                    tell!("pnnlab: {}, {}: {error}; this setting has no score", setting.words(), variant.name());
                    left = Some(error);
                    (vec![], true)
                }
                Err(error) => return Err(error),
            };
            let last: Vec<Evaluated> = finished.iter().filter_map(|run| run.outcome.last).collect();
            sweep.points.push(Point {
                method: variant.name(),
                value: setting.number,
                values: setting.values.iter().cloned().collect(),
                twin_error,
                diverged,
                scores: Point::scores(sweep.objective, &last),
            });
            sweep.best = sweep.choose();
            // Each point is on disk as soon as it is known.
            save(&sweep, folder)?;
        }
    }
    if let Some(error) = left.filter(|_| sweep.points.iter().all(|point| point.diverged)) {
        return Err(error);
    }
    let figures = first.drawer.draw_sweep(folder)?;
    Ok((sweep, folder.clone(), figures))
}

impl Plan<'_> {
    fn prepare(&self, setting: &Setting, refresh: bool) -> Result<Prepared, Error> {
        let assignments: Vec<String> = setting.values.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut prepared = (self.prepare)(&assignments)?;
        let training = &mut prepared.experiment.training;
        training.refresh =
            if refresh { Some(training.refresh.clone().unwrap_or_else(RefreshConfig::default)) } else { None };
        if !refresh {
            training.drift = None;
        }
        Ok(prepared)
    }

    /// What all runs together will cost. What cannot be built or trained, and more shots than a plant may be driven with, is refused now, not hours
    /// later.
    fn cost(&self, prepared: &[Prepared], folder: &Path) -> Result<crate::training::Plan, Error> {
        let mut cost = crate::training::Plan::default();
        for (setting, prepared) in self.settings.iter().zip(prepared) {
            let seed = prepared.experiment.seed;
            let data = prepared.load(seed)?;
            for variant in self.variants {
                let mut runs = self.prepare(setting, variant.refresh)?;
                runs.rig = runs.rig.sharing(&prepared.rig);
                let (one, _) = planned(&runs, (variant.method, seed), &data, folder)?;
                cost = cost.and(self.seeds, &one);
            }
        }
        prepared.iter().try_for_each(|prepared| cost.check(folder, &prepared.rig))?;
        Ok(cost)
    }

    /// All seeds of one setting by one method.
    fn run(&self, prepared: &Prepared, method: Method, workers: usize, below: &Path) -> Result<Vec<Finished>, Error> {
        let first = prepared.experiment.seed;
        let jobs: Vec<(Method, u64)> = (first..first + self.seeds as u64).map(|seed| (method, seed)).collect();
        NewFolder::named(below).make()?;
        run_all(prepared, &jobs, workers, below)
    }
}

fn save(sweep: &Sweep, folder: &Path) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(sweep).unwrap_or_default();
    replace(&folder.join("sweep.json"), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(kind: ObjectiveKind, method: &str, value: f64, [test, validation]: [f64; 2]) -> Point {
        Point {
            method: method.to_owned(),
            value,
            values: BTreeMap::from([("training.learning_rate".to_owned(), value.to_string())]),
            twin_error: None,
            diverged: false,
            scores: keyed(kind, vec![test; 2], vec![validation; 2]),
        }
    }

    fn keyed(kind: ObjectiveKind, test: Vec<f64>, validation: Vec<f64>) -> Keyed<Vec<f64>> {
        let score = kind.score();
        [(score.key("test"), test), (score.key("validation"), validation)].into_iter().collect()
    }

    fn point_of_errors(value: f64, error: f64) -> Point {
        point(ObjectiveKind::Regress, "ideal", value, [error; 2])
    }

    #[test]
    fn the_best_setting_is_that_of_the_validation_set_whatever_the_test_says() {
        let point =
            |method: &str, value, test, validation| point(ObjectiveKind::Classify, method, value, [test, validation]);
        let sweep = Sweep {
            experiment: String::new(),
            objective: ObjectiveKind::Classify,
            plants: String::new(),
            key: "training.learning_rate".to_owned(),
            keys: vec![],
            first_seed: 1,
            seeds: 2,
            steps: 1,
            command: String::new(),
            points: vec![
                point("ideal", 0.1, 0.9, 0.7),
                point("ideal", 0.2, 0.8, 0.75),
                point("in-silico", 0.1, 0.5, 0.5),
                Point {
                    scores: keyed(ObjectiveKind::Classify, vec![0.9; 2], vec![]),
                    ..point("in-silico", 0.2, 0.9, 0.0)
                },
            ],
            best: vec![],
        };
        let best = sweep.choose();
        let found: Vec<(&str, f64)> =
            best.iter().map(|best| (best.method.as_str(), best.mean(sweep.score(), "test"))).collect();
        assert_eq!(found, [("ideal", 0.8), ("in-silico", 0.5)]);
        assert_eq!(best[0].values["training.learning_rate"], "0.2");
        let text = serde_json::to_string(&best[0]).unwrap();
        assert!(text.ends_with(r#""validation_accuracy":0.75,"test_accuracy":0.8}"#), "{text}");
        let mut predicted = sweep;
        predicted.objective = ObjectiveKind::Regress;
        predicted.points = vec![point_of_errors(0.1, 0.5), point_of_errors(0.2, 0.25), point_of_errors(0.3, 0.75)];
        assert_eq!(predicted.choose()[0].values["training.learning_rate"], "0.2", "the lowest error is the best");
        let text = serde_json::to_string(&predicted).unwrap();
        assert_eq!(serde_json::from_str::<Sweep>(&text).unwrap(), predicted);
    }

    #[test]
    fn variants_have_names() {
        for name in ["in-silico", "noise-aware", "physics-aware", "physics-aware+refresh", "ideal"] {
            assert_eq!(name.parse::<Variant>().unwrap().name(), name);
        }
        assert!("in-silico+refresh".parse::<Variant>().is_err());
        assert!("hope".parse::<Variant>().unwrap_err().contains("noise-aware"));
    }
}
