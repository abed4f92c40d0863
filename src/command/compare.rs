//! `pnnlab compare`: several methods side by side.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use super::arguments::ExperimentArgs;
use super::{close_lost, new_folder, prepare};
use crate::Error;
use crate::training::{
    Comparison, Method,
    comparison::{Seeded, compare, continue_comparison},
};

/// `pnnlab compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The experiment and where it goes.
    #[command(flatten)]
    pub run: ExperimentArgs,
    /// The methods, with commas; without it, as the experiment says
    #[arg(long, value_delimiter = ',')]
    pub methods: Vec<Method>,
    /// How many seeds, from the experiment's on; without it, as the experiment says (3)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub seeds: Option<u16>,
    /// Goes on with the comparison in this folder, asked for with the same experiment, methods and seeds: runs that are
    /// finished are read, the others go on from their last checkpoints
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    pub resume: Option<PathBuf>,
}

/// Compares, records, and prints the table.
pub fn run(arguments: &CompareArgs) -> Result<(), Error> {
    let prepared = prepare(&arguments.run)?;
    close_lost(&arguments.run.runs);
    let planned = &prepared.experiment.comparison;
    let usual: Vec<_> = if prepared.knows_physics() {
        planned.methods.clone()
    } else {
        planned.methods.iter().copied().filter(|method| *method != Method::Ideal).collect()
    };
    if usual.len() < planned.methods.len() && arguments.methods.is_empty() {
        tell!("pnnlab: `ideal` is left out: it differentiates a plant's own physics, which only a simulated plant has");
    }
    let methods = if arguments.methods.is_empty() { &usual } else { &arguments.methods };
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
    #[derive(clap::Parser)]
    struct Defaults {
        #[command(flatten)]
        arguments: CompareArgs,
    }
    let defaults = <Defaults as clap::Parser>::parse_from(["pnnlab"]).arguments;
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

/// What the methods were trained with.
fn settings(comparison: &Comparison) -> String {
    let rates: Vec<String> =
        comparison.methods.iter().map(|method| format!("{} {}", method.method, method.learning_rate)).collect();
    let rule = if comparison.rule.is_empty() {
        "comparison.settings gives each method its own".to_owned()
    } else {
        format!("chosen so: {}", comparison.rule.trim_end_matches('.'))
    };
    format!("learning rates: {}; {rule}", rates.join(", "))
}

/// The table.
fn print(comparison: &Comparison, seeds: usize) {
    let mut table = Table::new();
    let scores = comparison.objective.scores();
    let tested = scores.iter().map(|score| format!("test {}\non the plant", score.words));
    let believed = format!("{}\nbelieved", comparison.objective.score().words);
    let rest = [&believed, "shots", "bench\ntime", "time\nhere", "range\nuse", "clipped"].map(str::to_owned);
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(std::iter::once("method".to_owned()).chain(tested).chain(rest));
    for method in &comparison.methods {
        if !method.diverged.is_empty() {
            let blank = std::iter::repeat_n("–".to_owned(), scores.len() + 5);
            table.add_row([method.method.to_owned(), "diverged".to_owned()].into_iter().chain(blank));
            continue;
        }
        let tested = method.scores.iter().map(|Seeded { score, test, .. }| score.show_spread(test.mean, test.spread));
        let believed = method
            .scores
            .first()
            .map(|Seeded { score, believed, .. }| score.show_spread(believed.mean, believed.spread));
        let rest = [
            method.shots.to_string(),
            format!("{:.1} s", method.plant_seconds),
            format!("{:.1} s", method.wall_seconds),
            format!("{:.0} %", 100.0 * method.range_use),
            format!("{:.1} %", 100.0 * method.clipping_rate),
        ];
        table.add_row(std::iter::once(method.method.to_owned()).chain(tested).chain(believed).chain(rest));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    say!("\n{} on {}", comparison.experiment, comparison.origins);
    crate::output::table::print(&mut table, &["clipped", "range use", "time here", "bench time"]);
    say!(
        "mean ± standard deviation over {seeds} seed{}; times and shots of one run",
        if seeds == 1 { "" } else { "s" }
    );
    for method in comparison.methods.iter().filter(|method| !method.diverged.is_empty()) {
        let seeds: Vec<String> = method.diverged.iter().map(u64::to_string).collect();
        say!(
            "{}: the training left the numbers with seed {}: lower comparison.settings.{}.learning_rate",
            method.method,
            seeds.join(", "),
            method.method
        );
    }
    for method in &comparison.methods {
        let Some(seeded) = method.scores.first().filter(|seeded| 1 < seeded.each.len()) else { continue };
        let each = seeded.each.iter().map(|value| seeded.score.number(*value)).collect::<Vec<_>>().join(", ");
        say!("{}: median {}; each seed: {each}", method.method, seeded.score.show(seeded.median()));
    }
    say!("{}", settings(comparison));
    say!("{} on the same split: {}", comparison.objective.baseline(), comparison.baseline.say());
    if let Some(error) = comparison.twin_error {
        say!("error of the twin: {:.1} % of the standard deviation of the plant's outputs", 100.0 * error);
    }
    for figure in &comparison.figures {
        say!("figure: {}", figure.display());
    }
}
