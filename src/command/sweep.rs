//! `pnnlab sweep`: keys of an experiment over several values.

use std::collections::BTreeMap;

use clap::Args;
use comfy_table::Table;
use serde_json::json;
use sims::Key;

use super::{new_folder, prepare};
use crate::Error;
use crate::command::{arguments::ExperimentArgs, prepare_with};
use crate::training::Method;
use crate::training::sweep::{Axis, Plan, Setting, Sweep, Variant, drawn, grid, sweep};

/// `pnnlab sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The experiment and where it goes.
    #[command(flatten)]
    pub run: ExperimentArgs,
    /// A key, such as plants.electrical.simulated.mismatch; give several, each with its --values, for every combination of them
    #[arg(long, value_name = "KEY", required = true)]
    pub key: Vec<String>,
    /// Its values, with commas; or, with --random, two ends such as 0.001..0.1 (evenly between them, or evenly in the logarithm where
    /// the higher end is ten times the lower one or more); ends without a decimal point, such as 8..64, give whole numbers
    #[arg(long, value_name = "VALUES", required = true, allow_hyphen_values = true)]
    pub values: Vec<String>,
    /// Tries so many settings, drawn at random by the experiment's seed, in place of every combination
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub random: Option<u16>,
    /// The methods, with commas; without it in-silico, noise-aware, physics-aware, physics-aware+refresh and, where the physics of
    /// all plants is known, ideal
    #[arg(long, value_delimiter = ',')]
    pub methods: Vec<Variant>,
    /// How many seeds, from the experiment's on
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub seeds: u16,
}

/// By which methods; what only a simulation allows is left out, or refused where it is asked for, before anything is driven.
fn methods(arguments: &SweepArgs) -> Result<Vec<Variant>, Error> {
    let knows_physics = prepare(&arguments.run)?.knows_physics();
    let words = "differentiates a plant's own physics, which only a plant simulated in this program has";
    if arguments.methods.is_empty() {
        let usual = ["in-silico", "noise-aware", "physics-aware", "physics-aware+refresh", "ideal"];
        let usual = usual.iter().filter_map(|name| name.parse::<Variant>().ok());
        if !knows_physics {
            tell!("pnnlab: `ideal` is left out: it {words}");
        }
        return Ok(usual.filter(|variant| knows_physics || variant.method != Method::Ideal).collect());
    }
    if !knows_physics && arguments.methods.iter().any(|variant| variant.method == Method::Ideal) {
        return Err(Error::Usage(format!("--methods: `ideal` {words}: leave it out")));
    }
    Ok(arguments.methods.clone())
}

/// Refuses keys that a sweep does not heed: it has options of its own for seeds and methods.
fn refuse_unheeded(arguments: &SweepArgs) -> Result<(), Error> {
    let set = arguments.run.set.iter().map(|text| ("--set", text));
    for (option, text) in set.chain(arguments.key.iter().map(|text| ("--key", text))) {
        let own = match text.split('=').next().unwrap_or_default().trim() {
            "comparison.seeds" => "--seeds",
            "comparison.methods" | "training.method" => "--methods",
            "comparison" => "--seeds and --methods, and `comparison.settings.METHOD` by itself",
            _ => continue,
        };
        return Err(Error::Usage(format!("{option} {text}: a sweep does not heed it: give {own}")));
    }
    Ok(())
}

/// Sweeps, and prints the table.
pub fn run(arguments: &SweepArgs) -> Result<(), Error> {
    refuse_unheeded(arguments)?;
    let settings = settings(arguments)?;
    let methods = methods(arguments)?;
    let folder = new_folder(&arguments.run, "sweep")?;
    let prepare = |further: &[String]| prepare_with(&arguments.run, further);
    let plan = Plan { prepare: &prepare, settings, variants: &methods, seeds: usize::from(arguments.seeds) };
    let (found, folder, figures) = sweep(&plan, &folder)?;
    if arguments.run.json {
        say!("{:#}", json!({ "sweep": found, "folder": folder, "figures": figures }));
        return Ok(());
    }
    crate::output::table::print(&mut table(&found), &[]);
    let over = match found.seeds {
        1 => format!("seed {} alone", found.first_seed),
        seeds => format!("mean ± standard deviation over {seeds} seeds"),
    };
    let score = found.score();
    say!("{}; test {} on the plant{}, {over}", found.plants, score.words, if score.in_percent { ", %" } else { "" });
    for best in &found.best {
        let values: Vec<String> = best.values.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let [validation, test] = ["validation", "test"].map(|part| score.say(best.mean(score, part)));
        say!(
            "best by validation: {}: {} ({validation} of the validation set, {test} of the test set)",
            best.method,
            values.join(", ")
        );
    }
    for figure in figures {
        say!("figure: {}", figure.display());
    }
    Ok(())
}

/// What is tried: every combination of the values, or some of them.
fn settings(arguments: &SweepArgs) -> Result<Vec<Setting>, Error> {
    if arguments.key.len() != arguments.values.len() {
        let (keys, values) = (arguments.key.len(), arguments.values.len());
        return Err(Error::Usage(format!("{keys} --key and {values} --values: give each key the values it takes")));
    }
    let twice = |index: &usize| arguments.key[..*index].contains(&arguments.key[*index]);
    if let Some(index) = (0..arguments.key.len()).find(twice) {
        return Err(Error::Usage(format!("--key names {} twice: give each key once", arguments.key[index])));
    }
    let twice = |index: &usize| arguments.methods[..*index].contains(&arguments.methods[*index]);
    if let Some(index) = (0..arguments.methods.len()).find(twice) {
        let name = arguments.methods[index].name();
        return Err(Error::Usage(format!("--methods names {name} twice: name each once")));
    }
    let texts = arguments.key.iter().zip(&arguments.values);
    let axes = texts.map(|(key, values)| Axis::read(key, values)).collect::<Result<Vec<_>, _>>()?;
    match arguments.random {
        None => grid(&axes),
        Some(count) => {
            let seed = prepare(&arguments.run)?.experiment.seed;
            drawn(&axes, usize::from(count), Key::new(seed))
        }
    }
}

/// Settings down, methods across.
fn table(sweep: &Sweep) -> Table {
    let mut methods: Vec<&str> = vec![];
    let mut settings: Vec<&BTreeMap<String, String>> = vec![];
    for point in &sweep.points {
        if !methods.contains(&point.method.as_str()) {
            methods.push(&point.method);
        }
        if !settings.contains(&&point.values) {
            settings.push(&point.values);
        }
    }
    let mut table = Table::new();
    let mut header: Vec<&str> = sweep.keys.iter().map(|key| key.rsplit('.').next().unwrap_or(key)).collect();
    header.push("twin error, %");
    header.extend(&methods);
    table.set_header(header);
    for setting in settings {
        let points: Vec<_> = sweep.points.iter().filter(|point| point.values == *setting).collect();
        let error = points.first().and_then(|point| point.twin_error);
        let mut row: Vec<String> = sweep.keys.iter().map(|key| setting.get(key).cloned().unwrap_or_default()).collect();
        row.push(error.map_or("unknown".to_owned(), |error| format!("{:.1}", 100.0 * error)));
        for method in &methods {
            let point = points.iter().find(|point| point.method == *method);
            row.push(point.map_or(String::new(), |point| {
                if point.diverged {
                    return "diverged".to_owned();
                }
                let (score, found) = (sweep.score(), point.test(sweep.score()));
                if sweep.seeds < 2 {
                    return score.number(found.mean);
                }
                format!("{} ± {}", score.number(found.mean), score.number(found.spread))
            }));
        }
        table.add_row(row);
    }
    table
}
