//! `pnnlab compare`: several methods side by side.

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use super::{close_lost, new_folder, prepare};
use crate::Error;
use crate::cli::CompareArgs;
use crate::comparison::{Comparison, Spread, compare, continue_comparison};

/// Compares, records, and prints the table.
pub fn run(arguments: &CompareArgs) -> Result<(), Error> {
    let prepared = prepare(&arguments.run)?;
    close_lost(&arguments.run.runs);
    let planned = &prepared.experiment.comparison;
    let methods = if arguments.methods.is_empty() { &planned.methods } else { &arguments.methods };
    let seeds = usize::from(arguments.seeds.unwrap_or(planned.seeds));
    let comparison = if let Some(folder) = &arguments.resume {
        let below = arguments.run.runs.join(folder);
        let folder = if folder.is_dir() { folder } else { &below };
        continue_comparison(&prepared, methods, seeds, folder)?
    } else {
        let folder = new_folder(&arguments.run, &format!("compare-{}", prepared.experiment.name))?;
        compare(&prepared, methods, seeds, &folder)?
    };
    if arguments.run.json {
        say!("{:#}", json!(comparison));
    } else {
        print(&comparison, seeds);
    }
    Ok(())
}

/// `pnnlab` alone: the default experiment, and how to go on.
pub fn first() -> Result<(), Error> {
    /// The command line of `compare` by itself, for its defaults.
    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        arguments: CompareArgs,
    }
    let defaults = Defaults::parse_from(["pnnlab"]).arguments;
    tell!(
        "Comparing the training methods on {}; about a minute. `pnnlab --help` lists the commands.",
        defaults.run.experiment()
    );
    run(&defaults)?;
    say!("\nGo on:");
    say!("  pnnlab train --method physics-aware --seed 7                     one run");
    say!("  pnnlab compare --set plants.electrical.simulated.mismatch=0.5    a better twin");
    say!("  pnnlab schema                                                    all keys of experiment and rig files");
    Ok(())
}

/// The table.
fn print(comparison: &Comparison, seeds: usize) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "method",
        "test accuracy\non the plant",
        "accuracy\nbelieved",
        "shots",
        "bench\ntime",
        "time\nhere",
        "range\nuse",
        "clipped",
    ]);
    let percent = |spread: Spread| format!("{:.1} ± {:.1} %", 100.0 * spread.mean, 100.0 * spread.spread);
    for method in &comparison.methods {
        table.add_row([
            method.method.to_owned(),
            percent(method.test_accuracy),
            percent(method.believed_accuracy),
            method.shots.to_string(),
            format!("{:.1} s", method.plant_seconds),
            format!("{:.1} s", method.wall_seconds),
            format!("{:.0} %", 100.0 * method.range_use),
            format!("{:.1} %", 100.0 * method.clipping_rate),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    say!("\n{} on {}", comparison.experiment, comparison.origins);
    say!("{table}");
    say!(
        "mean ± standard deviation over {seeds} seed{}; times and shots of one run",
        if seeds == 1 { "" } else { "s" }
    );
    say!("logistic regression on the same split: {:.1} %", 100.0 * comparison.baseline_accuracy);
    if let Some(error) = comparison.twin_error {
        say!("error of the twin: {:.1} % of the standard deviation of the plant's outputs", 100.0 * error);
    }
    for figure in &comparison.figures {
        say!("figure: {}", figure.display());
    }
}
