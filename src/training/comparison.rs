//! The same experiment by several methods on the same plant, side by side, over several seeds.

mod seeds;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use indicatif::MultiProgress;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::Error;
use crate::control::{Fleet, Keyboard};
use crate::data::Dataset;
use crate::record::NewFolder;
use crate::scores::{ObjectiveKind, Scores};
use crate::training::prepared::origins;
use crate::training::{Finished, Method, Plan, Prepared, objective};
use crate::writing::replace;

pub use seeds::{Seeded, Spread, median, read_scores, write_believed, write_each, write_tests};

/// What one method did, over all seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodSummary {
    /// Its name.
    pub method: &'static str,
    /// Its scores, the one that decides first; none where a training has left the numbers.
    pub scores: Vec<Seeded>,
    /// The seeds of the trainings that have left the numbers.
    pub diverged: Vec<u64>,
    /// What it was trained with.
    pub learning_rate: f64,
    /// Shots on the plant in one run, tests included.
    pub shots: u64,
    /// Those of them that trained.
    pub training_shots: u64,
    /// Bench time of one run, in s.
    pub plant_seconds: f64,
    /// Time that one run took here, in s.
    pub wall_seconds: f64,
    /// Fraction of the range that was used.
    pub range_use: f64,
    /// Fraction of the values sent that the hard clamp changed.
    pub clipping_rate: f64,
}

impl Serialize for MethodSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("method", self.method)?;
        write_tests(&self.scores, &mut map)?;
        write_each(&self.scores, &mut map)?;
        map.serialize_entry("diverged", &self.diverged)?;
        map.serialize_entry("learning_rate", &self.learning_rate)?;
        write_believed(&self.scores, &mut map)?;
        map.serialize_entry("shots", &self.shots)?;
        map.serialize_entry("training_shots", &self.training_shots)?;
        map.serialize_entry("plant_seconds", &self.plant_seconds)?;
        map.serialize_entry("wall_seconds", &self.wall_seconds)?;
        map.serialize_entry("range_use", &self.range_use)?;
        map.serialize_entry("clipping_rate", &self.clipping_rate)?;
        map.end()
    }
}

/// A baseline under the names of its scores.
fn baseline<S: Serializer>(scores: &Scores, serializer: S) -> Result<S::Ok, S::Error> {
    scores.kind().keyed([("baseline", Some(*scores))]).serialize(serializer)
}

/// The result of `compare`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The experiment.
    pub experiment: String,
    /// What is learned.
    pub objective: ObjectiveKind,
    /// Its plants.
    pub plant: String,
    /// Each plant with where its readings come from, in words.
    #[serde(skip)]
    pub origins: String,
    /// Whether all of them are simulated.
    pub simulated: bool,
    /// RMS error of the nominal twin over the standard deviation of the plant's outputs; the worst of several plants. None without
    /// a plant, where a recording answers only what was recorded, or where readings or predictions are no numbers.
    pub twin_error: Option<f64>,
    /// What is reached without physics on the same split, mean over the seeds: [`ObjectiveKind::baseline`].
    #[serde(flatten, serialize_with = "baseline")]
    pub baseline: Scores,
    /// How the settings of the methods were chosen; empty where the experiment does not say.
    pub rule: String,
    /// One entry for each method.
    pub methods: Vec<MethodSummary>,
    /// The folder of each run that is finished.
    pub runs: Vec<PathBuf>,
    /// The figures of all curves.
    pub figures: Vec<PathBuf>,
}

/// Runs every method with every seed below `folder`, and draws the curves.
pub fn compare(prepared: &Prepared, methods: &[Method], seeds: usize, folder: &NewFolder) -> Result<Comparison, Error> {
    compare_in(prepared, methods, seeds, (folder.wanted(), || folder.make()))
}

/// Goes on with a comparison in `folder`: runs that are finished are read, the others go on or begin.
pub fn continue_comparison(
    prepared: &Prepared,
    methods: &[Method],
    seeds: usize,
    folder: &Path,
) -> Result<Comparison, Error> {
    if !folder.is_dir() {
        let message = format!("--resume {}: is no folder of a comparison", folder.display());
        return Err(Error::Usage(message));
    }
    compare_in(prepared, methods, seeds, (folder, || Ok(folder.to_owned())))
}

fn compare_in(
    prepared: &Prepared,
    methods: &[Method],
    seeds: usize,
    (folder, make): (&Path, impl FnOnce() -> Result<PathBuf, Error>),
) -> Result<Comparison, Error> {
    let first = prepared.experiment.seed;
    if let Some(twice) = methods.iter().enumerate().find(|(index, method)| methods[..*index].contains(method)) {
        return Err(Error::Usage(format!("--methods: `{}` is named twice: name each method once", twice.1)));
    }
    refuse_unfit(prepared, methods, first.saturating_add(seeds as u64))?;
    let seeds: Vec<u64> = (first..first + seeds as u64).collect();
    // What is refused is refused before anything is made: the files, the data, the widths.
    let data = prepared.load(first)?;
    let (mut cards, mut plan) = (serde_json::Value::Null, Plan::default());
    for &method in methods {
        let (one, facts) = planned(prepared, (method, first), &data, folder)?;
        plan = plan.and(seeds.len(), &one);
        cards = facts;
    }
    plan.check(folder, &prepared.rig)?;
    let jobs: Vec<Job> = methods.iter().flat_map(|&method| seeds.iter().map(move |&seed| (method, seed))).collect();
    for &job in &jobs {
        prepared.refuse_changed(job, &run_folder(folder, job))?;
    }
    if let Some(warning) = prepared.order_warning()? {
        tell!("pnnlab: {warning}");
    }
    tell!("pnnlab: plan of {} runs: {plan}", methods.len() * seeds.len());
    let folder = &make()?;
    let twin_error = prepared.twin_error(first)?;
    let objective = data.kind();
    let mut baseline = Scores::new(objective, &[]);
    for &seed in &seeds {
        let data = prepared.load(seed)?;
        baseline.add(1.0, &objective::objective(&data).baseline(&data));
    }
    let baseline = baseline.over(seeds.len());
    let simulated = cards
        .as_array()
        .is_some_and(|plants| !plants.is_empty() && plants.iter().all(|plant| plant["origin"] == "simulated"));
    // Benches on wires have one user at a time, also where what answers is simulated.
    let workers = if prepared.may_be_asked() { rayon::current_num_threads() } else { 1 };
    let results = run_each(prepared, &jobs, (workers, true), folder)?;
    let runs: Vec<PathBuf> = results.iter().flatten().map(|run| run.folder.clone()).collect();
    let mut summaries = Vec::with_capacity(methods.len());
    for (&method, results) in methods.iter().zip(results.chunks(seeds.len())) {
        let mut diverged = Vec::new();
        for (&seed, result) in seeds.iter().zip(results) {
            if let Err(error) = result {
                tell!("pnnlab: {method}, seed {seed}: {error}; this method has no score");
                diverged.push(seed);
            }
        }
        let finished: Vec<&Finished> = results.iter().flatten().collect();
        let learning_rate = prepared.experiment.by(method, first, &prepared.document).training.learning_rate;
        summaries.push(MethodSummary { learning_rate, ..summarize((method, diverged), objective, &finished) });
    }
    // Where no method has scores, it is the error that it is for one training.
    if summaries.iter().all(|summary| !summary.diverged.is_empty())
        && let Some(error) = results.into_iter().find_map(Result::err)
    {
        return Err(error);
    }
    let comparison = Comparison {
        experiment: prepared.experiment.name.clone(),
        objective,
        plant: prepared.plants().join(", "),
        origins: origins(&cards),
        simulated,
        twin_error,
        baseline,
        rule: prepared.experiment.comparison.rule.clone(),
        figures: prepared.drawer.draw_runs(&runs, &folder.join("figures"))?,
        methods: summaries,
        runs,
    };
    replace(&folder.join("comparison.json"), format!("{:#}\n", json!(comparison)).as_bytes())?;
    Ok(comparison)
}

/// What one training of a comparison or sweep in `folder` will cost, and what its plants say of themselves. A method that cannot train the network
/// is refused, before anything is driven.
pub(crate) fn planned(
    prepared: &Prepared,
    (method, seed): Job,
    data: &Dataset,
    folder: &Path,
) -> Result<(Plan, serde_json::Value), Error> {
    let lab = prepared.lab(method, seed)?;
    let network = prepared.network_by(method, (&lab, data))?;
    let runs = folder.parent().unwrap_or(Path::new(""));
    let experiment = prepared.counted(method, seed, data);
    let plan = Plan::new(&experiment, method, (data, &network), &lab, runs);
    let facts = crate::record::plant_facts(&lab);
    prepared.rig.keep_open(lab.into_plants()?);
    Ok((plan, facts))
}

/// Refuses what several runs cannot be made of: seeds that end at `end`, methods that do not train the network's read-outs, a recording.
pub(crate) fn refuse_unfit(prepared: &Prepared, methods: &[Method], end: u64) -> Result<(), Error> {
    if end > i64::MAX as u64 {
        return Err(Error::Usage("--seed: the last seed is too large: stay below 2^63".into()));
    }
    if let Some(unable) = methods.iter().find(|method| prepared.experiment.heads.is_some() && !method.trains_heads()) {
        return Err(Error::Usage(format!("--methods: {}", unable.no_heads())));
    }
    let plants = prepared.plants();
    let recorded = prepared
        .rig
        .config
        .plants
        .iter()
        .find(|(name, plant)| plants.contains(&name.as_str()) && plant.record.is_some());
    recorded.map_or(Ok(()), |(name, _)| {
        Err(Error::Usage(format!("plant `{name}` is to be recorded, and several runs cannot share one recording: leave `record` out of the rig, or use `pnnlab train`")))
    })
}

/// A method with a seed.
type Job = (Method, u64);

/// Where one run of a comparison in `folder` is recorded.
fn run_folder(folder: &Path, (method, seed): Job) -> PathBuf {
    folder.join(format!("{method}-seed-{seed}"))
}

/// Runs all jobs as [`run_each`] does, up to the first training that leaves the numbers.
pub(crate) fn run_all(
    prepared: &Prepared,
    jobs: &[Job],
    workers: usize,
    folder: &Path,
) -> Result<Vec<Finished>, Error> {
    run_each(prepared, jobs, (workers, false), folder)?.into_iter().collect()
}

/// Runs all jobs, so many at a time: simulated benches do not share anything, a real one has one user at a time. `goes_on` past trainings that
/// leave the numbers, or up to the first.
///
/// Each worker's kernels share the cores that are left to it. The results are in the order of the jobs; their errors are such trainings.
fn run_each(
    prepared: &Prepared,
    jobs: &[Job],
    (workers, goes_on): (usize, bool),
    folder: &Path,
) -> Result<Vec<Result<Finished, Error>>, Error> {
    let workers = workers.clamp(1, jobs.len().max(1));
    let threads = (rayon::current_num_threads() / workers).max(1);
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (bars, fleet) = (MultiProgress::new(), Arc::new(Fleet::default()));
    let asked = fleet.clone();
    let _keyboard = Keyboard::listen(move |request| asked.request(request), &bars);
    let work = || {
        let mut finished = Vec::new();
        while let Some((index, &(method, seed))) =
            Some(next.fetch_add(1, Relaxed)).and_then(|at| Some((at, jobs.get(at)?)))
        {
            if failed.load(Relaxed) || fleet.ends() || crate::stop::requested() {
                break;
            }
            let run = run_folder(folder, (method, seed));
            let result = prepared.train_or_go_on((method, seed), &run, (&bars, &fleet));
            let ends = |error: &Error| !(goes_on && matches!(error, Error::Diverged { .. }));
            failed.fetch_or(result.as_ref().is_err_and(ends), Relaxed);
            finished.push((index, result));
        }
        finished
    };
    let pooled = || match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(work),
        // Without threads of its own a worker takes the program's.
        Err(_) => work(),
    };
    let mut finished = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(pooled)).collect();
        handles
            .into_iter()
            .flat_map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    // A failure is worth more than the word that the user stopped, and this more than a training that left the numbers.
    let rank = |result: &Result<Finished, Error>| match result {
        Ok(_) | Err(Error::Diverged { .. }) => 2,
        Err(Error::Stopped(_)) => 1,
        Err(_) => 0,
    };
    finished.sort_by_key(|(index, result)| (rank(result), *index));
    let results = finished.into_iter().map(|(_, result)| match result {
        Err(Error::Stopped(_)) => Err(Error::Stopped(folder.to_owned())),
        Err(error @ Error::Diverged { .. }) => Ok(Err(error)),
        result => result.map(Ok),
    });
    let results = results.collect::<Result<Vec<Result<Finished, Error>>, Error>>()?;
    if results.len() < jobs.len() && (goes_on || results.iter().all(Result::is_ok)) {
        return Err(Error::Stopped(folder.to_owned()));
    }
    Ok(results)
}

/// Means and spreads over the finished runs of one method, and the seeds of those that have left the numbers.
fn summarize((method, diverged): (Method, Vec<u64>), objective: ObjectiveKind, runs: &[&Finished]) -> MethodSummary {
    let mean = |value: &dyn Fn(&Finished) -> f64| Spread::of(&runs.iter().copied().map(value).collect::<Vec<_>>()).mean;
    let last: Vec<_> = runs.iter().map(|run| run.outcome.last).collect();
    MethodSummary {
        method: method.name(),
        scores: if diverged.is_empty() { Seeded::of(objective, &last) } else { vec![] },
        diverged,
        learning_rate: 0.0,
        shots: runs.first().map_or(0, |run| run.shots),
        training_shots: runs.first().map_or(0, |run| run.outcome.training_shots),
        plant_seconds: mean(&|run| run.plant_seconds),
        wall_seconds: mean(&|run| run.wall_seconds),
        range_use: mean(&|run| run.outcome.usage.mean_range_use()),
        clipping_rate: mean(&|run| run.outcome.usage.clipping_rate()),
    }
}
