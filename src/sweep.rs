//! One key of an experiment over several values, each by several methods and seeds: how accuracy on the plant depends on it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::ExperimentArgs;
use crate::command::prepare_with;
use crate::comparison::{Prepared, Spread, run_all};
use crate::run::{command_line, make_folder};
use crate::upkeep::RefreshConfig;
use crate::{Error, Method, figure};

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

/// One value by one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The method.
    pub method: String,
    /// The value of the key.
    pub value: f64,
    /// RMS error of the nominal twin over the standard deviation of the plant's outputs.
    pub twin_error: Option<f64>,
    /// On the plant, each seed.
    pub test_accuracy: Vec<f64>,
    /// As the method believes, each seed.
    pub believed_accuracy: Vec<f64>,
}

/// All that a sweep found; `sweep.json` in its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// The experiment.
    pub experiment: String,
    /// The plants with their origins.
    pub plants: String,
    /// The key.
    pub key: String,
    /// Seeds from which on.
    pub first_seed: u64,
    /// How many seeds.
    pub seeds: usize,
    /// Updates of each run.
    pub steps: usize,
    /// The command that made it.
    pub command: String,
    /// Every value by every method.
    pub points: Vec<Point>,
}

impl Point {
    /// Mean and spread on the plant.
    pub fn accuracy(&self) -> Spread {
        Spread::of(&self.test_accuracy)
    }
}

/// What is swept.
pub struct Plan<'a> {
    /// The experiment.
    pub arguments: &'a ExperimentArgs,
    /// The key.
    pub key: &'a str,
    /// Its values.
    pub values: &'a [f64],
    /// By which methods.
    pub variants: &'a [Variant],
    /// How many seeds.
    pub seeds: usize,
}

/// Runs a sweep below `folder`, and draws it.
pub fn sweep(plan: &Plan<'_>, folder: &Path) -> Result<(Sweep, Vec<PathBuf>), Error> {
    // What is refused is refused before anything is made.
    let prepared = plan.values.iter().map(|value| plan.prepare(*value, false)).collect::<Result<Vec<_>, _>>()?;
    let first = &prepared[0];
    // Each value's plants are opened once: a value that cannot be built is refused now, not hours later.
    let simulated = prepared.iter().map(Prepared::all_simulated).collect::<Result<Vec<_>, _>>()?;
    let simulated = simulated.into_iter().all(|simulated| simulated);
    make_folder(folder)?;
    let mut sweep = Sweep {
        experiment: first.experiment.name.clone(),
        plants: first.origins()?,
        key: plan.key.to_owned(),
        first_seed: first.experiment.seed,
        seeds: plan.seeds,
        steps: first.experiment.training.steps,
        command: command_line(),
        points: vec![],
    };
    for (value, prepared) in plan.values.iter().zip(&prepared) {
        let twin_error = prepared.twin_error(prepared.experiment.seed)?;
        for variant in plan.variants {
            let prepared = plan.prepare(*value, variant.refresh)?;
            let first = prepared.experiment.seed;
            let jobs: Vec<(Method, u64)> =
                (first..first + plan.seeds as u64).map(|seed| (variant.method, seed)).collect();
            let below = folder.join(format!("{value}-{}", variant.name()));
            make_folder(&below)?;
            let finished = run_all(&prepared, &jobs, if simulated { rayon::current_num_threads() } else { 1 }, &below)?;
            let last =
                |index: usize| finished[index].outcome.last.map(|last| (last.test_accuracy, last.believed_accuracy));
            let last: Vec<(f64, f64)> = (0..finished.len()).filter_map(last).collect();
            sweep.points.push(Point {
                method: variant.name(),
                value: *value,
                twin_error,
                test_accuracy: last.iter().map(|last| last.0).collect(),
                believed_accuracy: last.iter().map(|last| last.1).collect(),
            });
            // Each point is on disk as soon as it is known.
            save(&sweep, folder)?;
        }
    }
    let figures = figure::sweep(&folder.join("sweep.json"), &folder.join("figures"), first.theme)?;
    Ok((sweep, figures))
}

impl Plan<'_> {
    fn prepare(&self, value: f64, refresh: bool) -> Result<Prepared, Error> {
        let mut prepared = prepare_with(self.arguments, &[format!("{}={value}", self.key)])?;
        let training = &mut prepared.experiment.training;
        training.refresh =
            if refresh { Some(training.refresh.clone().unwrap_or_else(RefreshConfig::default)) } else { None };
        if !refresh {
            training.drift = None;
        }
        Ok(prepared)
    }
}

fn save(sweep: &Sweep, folder: &Path) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(sweep).unwrap_or_default();
    crate::fits::replace(&folder.join("sweep.json"), text.as_bytes(), "--runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_have_names() {
        for name in ["in-silico", "noise-aware", "physics-aware", "physics-aware+refresh", "ideal"] {
            assert_eq!(name.parse::<Variant>().unwrap().name(), name);
        }
        assert!("in-silico+refresh".parse::<Variant>().is_err());
        assert!("hope".parse::<Variant>().unwrap_err().contains("noise-aware"));
    }
}
