//! `pnnlab train`: one network by one method.

use std::path::Path;

use serde_json::json;

use super::{close_lost, new_folder, prepare};
use crate::cli::TrainArgs;
use crate::comparison::Prepared;
use crate::resume::Interrupted;
use crate::{Error, Experiment, Finished, Method, Rig};

/// Trains, records, and says how it went.
pub fn run(arguments: &TrainArgs) -> Result<(), Error> {
    if arguments.watch {
        return super::attended::run(arguments);
    }
    if arguments.dry_run {
        return rehearse(arguments);
    }
    let (prepared, finished, method) = match &arguments.resume {
        Some(run) => resume(arguments, run)?,
        None => train(arguments)?,
    };
    let (experiment, folder) = (&prepared.experiment, &finished.folder);
    let last = finished.outcome.last;
    let (test, believed) = last.map_or((f64::NAN, f64::NAN), |last| (last.test_accuracy, last.believed_accuracy));
    if arguments.run.json {
        say!(
            "{:#}",
            json!({
                "experiment": experiment.name,
                "method": method.name(),
                "seed": experiment.seed,
                "test_accuracy": test,
                "believed_accuracy": believed,
                "shots": finished.shots,
                "plant_seconds": finished.plant_seconds,
                "wall_seconds": finished.wall_seconds,
                "range_use": finished.outcome.usage.mean_range_use(),
                "clipping_rate": finished.outcome.usage.clipping_rate(),
                "run": folder,
            })
        );
        return Ok(());
    }
    say!(
        "{} by {method}: {:.1} % of the test set right on the plant; the method believed {:.1} %",
        experiment.name,
        100.0 * test,
        100.0 * believed
    );
    say!(
        "{} shots, {:.1} s of bench time, {:.1} s here",
        finished.shots,
        finished.plant_seconds,
        finished.wall_seconds
    );
    say!("run: {}", folder.display());
    Ok(())
}

/// Says what a training would be.
fn rehearse(arguments: &TrainArgs) -> Result<(), Error> {
    let prepared = prepare_with(arguments)?;
    let method = arguments.method.unwrap_or(prepared.experiment.training.method);
    let rehearsal = prepared.rehearse(method, prepared.experiment.seed, &arguments.run.runs)?;
    if arguments.run.json {
        say!("{:#}", json!(rehearsal));
        return Ok(());
    }
    say!("{} by {method}: {}", prepared.experiment.name, rehearsal.plan);
    say!(
        "{} shots of the first batches keep every limit; they use {:.0} % of the range, {:.1} % of their values are clipped",
        rehearsal.checked_shots,
        100.0 * rehearsal.range_use,
        100.0 * rehearsal.clipping_rate
    );
    say!("nothing was driven and nothing was written: leave out --dry-run to train");
    Ok(())
}

/// What the command line says about how the run is kept, as keys of the experiment.
fn kept(arguments: &TrainArgs) -> Vec<String> {
    let record = arguments.record.then(|| "run.record=true".to_owned());
    let metrics = arguments.metrics.map(|address| format!("run.metrics=\"{address}\""));
    record.into_iter().chain(metrics).collect()
}

/// Reads what the command line names.
fn prepare_with(arguments: &TrainArgs) -> Result<Prepared, Error> {
    let mut run = arguments.run.clone();
    run.set.extend(kept(arguments));
    prepare(&run)
}

/// A new run.
fn train(arguments: &TrainArgs) -> Result<(Prepared, Finished, Method), Error> {
    let prepared = prepare_with(arguments)?;
    close_lost(&arguments.run.runs);
    let experiment = &prepared.experiment;
    let method = arguments.method.unwrap_or(experiment.training.method);
    let folder = new_folder(&arguments.run, &format!("{}-{method}-seed-{}", experiment.name, experiment.seed))?;
    let training = &experiment.training;
    if method != Method::PhysicsAware && (training.drift.is_some() || training.refresh.is_some()) {
        tell!(
            "pnnlab: [training.drift] and [training.refresh] look after the twin of physics-aware training: {method} does without"
        );
    }
    if arguments.check {
        if !prepared.may_be_asked() {
            tell!(
                "pnnlab: a bench is not driven before its training: `pnnlab check RIG --trainable` says whether it will train"
            );
        }
        for (plant, found) in prepared.trainability()? {
            for line in super::calibrate::trainability_lines(&plant, &found) {
                tell!("pnnlab: {line}");
            }
        }
    }
    let finished = prepared.train(method, experiment.seed, &folder)?;
    Ok((prepared, finished, method))
}

/// A run that goes on, with what it was started with unless the command line names something else.
fn resume(arguments: &TrainArgs, run: &Path) -> Result<(Prepared, Finished, Method), Error> {
    let interrupted = Interrupted::find(run, &arguments.run.runs, arguments.allow_changes)?;
    let own = |name: &str| interrupted.folder.join(name);
    let named = arguments.run.experiment.clone();
    let experiment = named.unwrap_or_else(|| own("experiment.toml").to_string_lossy().into_owned());
    let mut assignments = arguments.run.set.clone();
    assignments.extend(kept(arguments));
    assignments.push(format!("seed={}", interrupted.seed));
    assignments.push(format!("training.method=\"{}\"", interrupted.method));
    let (experiment, document) = Experiment::find(&experiment, &assignments)?;
    let rig = if let Some(file) = &arguments.run.rig {
        Rig::find(Some(file), &document)?
    } else {
        let folder = interrupted.facts["rig_folder"].as_str().unwrap_or_default();
        Rig::find(Some(&own("rig.toml")), &document)?.within(folder.into())
    };
    let data = arguments.run.data.clone().or_else(|| interrupted.facts["data_path"].as_str().map(Into::into));
    let prepared = Prepared { experiment, document, rig, data, theme: arguments.run.theme };
    let finished = prepared.resume(&interrupted)?;
    Ok((prepared, finished, interrupted.method))
}
