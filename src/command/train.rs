//! `pnnlab train`: one network by one method.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::arguments::TrainArgs;
use super::{close_lost, new_folder, prepare};
use crate::Error;
use crate::plants::Rig;
use crate::scores::{ObjectiveKind, Scores};
use crate::training::{Experiment, Finished, Interrupted, Method, Prepared};

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
    let objective = finished.outcome.objective;
    let (test, believed) = (last.map(|last| last.scores()), last.map(|last| last.believed));
    if arguments.run.json {
        let head = json!({ "experiment": experiment.name, "method": method.name(), "seed": experiment.seed });
        let validation = last.and_then(|last| last.validation);
        let scores = objective.keyed([("test", test), ("believed", believed), ("validation", validation)]);
        let rest = json!({
            "shots": finished.shots,
            "plant_seconds": finished.plant_seconds,
            "wall_seconds": finished.wall_seconds,
            "range_use": finished.outcome.usage.mean_range_use(),
            "clipping_rate": finished.outcome.usage.clipping_rate(),
            "run": folder,
        });
        let parts = [head, json!(scores), rest].into_iter().filter_map(|part| part.as_object().cloned());
        say!("{:#}", parts.flatten().collect::<Value>());
        return Ok(());
    }
    let none = Scores::new(objective, &[f64::NAN; 2]);
    let right =
        if objective.judged() == ObjectiveKind::Classify { " of the test set right" } else { " on the test set" };
    say!(
        "{} by {method}: {}{right} on the plant; the method believed {}",
        experiment.name,
        test.unwrap_or(none).say(),
        believed.unwrap_or(none).say()
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
    warn_of_order(&prepared)?;
    let method = arguments.method.unwrap_or(prepared.experiment.training.method);
    let rehearsal = prepared.rehearse(method, prepared.experiment.seed, &arguments.run.runs)?;
    if arguments.run.json {
        say!("{:#}", json!(rehearsal));
        return Ok(());
    }
    say!("{} by {method}: {}", prepared.experiment.name, rehearsal.plan);
    say!(
        "{} shots of the first updates keep every limit: range, slew, duty, energy; they use {:.0} % of the range, {:.1} % of their values are clipped",
        rehearsal.checked_shots,
        100.0 * rehearsal.range_use,
        100.0 * rehearsal.clipping_rate
    );
    if let Some(count) = rehearsal.read_outs {
        say!("{count} read-outs on the same readings: they cost no further shots");
    }
    for sentence in &rehearsal.cannot_be_known {
        say!("not known before: {sentence}");
    }
    say!("nothing was driven and nothing was written: leave out --dry-run to train");
    Ok(())
}

/// Says what is wrong with the order of the batches.
fn warn_of_order(prepared: &Prepared) -> Result<(), Error> {
    prepared.order_warning()?.into_iter().for_each(|warning| tell!("pnnlab: {warning}"));
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
    warn_of_order(&prepared)?;
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
    if arguments.check && method.needs_twin() {
        if !prepared.may_be_asked() {
            tell!(
                "pnnlab: a bench is not driven before its training: `pnnlab check RIG --trainable` says whether it will train"
            );
        }
        match prepared.trainability() {
            Ok(all) => {
                for (plant, found) in all {
                    for line in super::calibrate::trainability_lines(&plant, &found) {
                        tell!("pnnlab: {line}");
                    }
                }
            }
            // That is no reason not to train: the training's own shots may keep the limits.
            Err(error) if error.is_overdriven() => {
                tell!(
                    "pnnlab: whether it will train was not asked, since the plant's limits refuse the question: {error}"
                );
            }
            Err(error) => return Err(error),
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
    let prepared = Prepared { experiment, document, rig, data, drawer: Arc::new(arguments.run.theme) };
    let finished = prepared.resume(&interrupted)?;
    Ok((prepared, finished, interrupted.method))
}
