//! `pnnlab train`: one network by one method.

use serde_json::json;

use super::{new_folder, prepare};
use crate::Error;
use crate::cli::TrainArgs;

/// Trains, records, and says how it went.
pub fn run(arguments: &TrainArgs) -> Result<(), Error> {
    if arguments.watch {
        return super::attended::run(arguments);
    }
    let prepared = prepare(&arguments.run)?;
    let experiment = &prepared.experiment;
    let method = arguments.method.unwrap_or(experiment.training.method);
    let folder = new_folder(&arguments.run, &format!("{}-{method}-seed-{}", experiment.name, experiment.seed))?;
    if arguments.check {
        for (plant, found) in prepared.trainability()? {
            for line in super::calibrate::trainability_lines(&plant, &found) {
                eprintln!("{line}");
            }
        }
    }
    let finished = prepared.train(method, experiment.seed, &folder)?;
    let last = finished.outcome.last;
    let (test, believed) = last.map_or((f64::NAN, f64::NAN), |last| (last.test_accuracy, last.believed_accuracy));
    if arguments.run.json {
        println!(
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
    println!(
        "{} by {method}: {:.1} % of the test set right on the plant; the method believed {:.1} %",
        experiment.name,
        100.0 * test,
        100.0 * believed
    );
    println!(
        "{} shots, {:.1} s of bench time, {:.1} s here",
        finished.shots, finished.plant_seconds, finished.wall_seconds
    );
    println!("run: {}", folder.display());
    Ok(())
}
