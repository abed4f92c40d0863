//! `pnnlab sweep`: one key of an experiment over several values.

use clap::Args;
use comfy_table::Table;
use serde_json::json;

use super::new_folder;
use crate::Error;
use crate::cli::ExperimentArgs;
use crate::sweep::{Plan, Sweep, Variant, sweep};

/// `pnnlab sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The experiment and where it goes.
    #[command(flatten)]
    pub run: ExperimentArgs,
    /// The key, such as plants.electrical.simulated.mismatch
    #[arg(long, value_name = "KEY")]
    pub key: String,
    /// Its values, with commas
    #[arg(long, value_name = "VALUES", value_delimiter = ',', required = true)]
    pub values: Vec<f64>,
    /// The methods, with commas
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "in-silico,noise-aware,physics-aware,physics-aware+refresh,ideal"
    )]
    pub methods: Vec<Variant>,
    /// How many seeds, from the experiment's on
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub seeds: u16,
}

/// Sweeps, and prints the table.
pub fn run(arguments: &SweepArgs) -> Result<(), Error> {
    let folder = new_folder(&arguments.run, "sweep")?;
    let plan = Plan {
        arguments: &arguments.run,
        key: &arguments.key,
        values: &arguments.values,
        variants: &arguments.methods,
        seeds: usize::from(arguments.seeds),
    };
    let (found, figures) = sweep(&plan, &folder)?;
    if arguments.run.json {
        say!("{:#}", json!({ "sweep": found, "folder": folder, "figures": figures }));
        return Ok(());
    }
    say!("{}", table(&found));
    say!("{}; test accuracy on the plant, %, mean ± standard deviation over {} seeds", found.plants, found.seeds);
    for figure in figures {
        say!("figure: {}", figure.display());
    }
    Ok(())
}

/// Values down, methods across.
fn table(sweep: &Sweep) -> Table {
    let mut methods: Vec<&str> = vec![];
    let mut values: Vec<f64> = vec![];
    for point in &sweep.points {
        if !methods.contains(&point.method.as_str()) {
            methods.push(&point.method);
        }
        if !values.contains(&point.value) {
            values.push(point.value);
        }
    }
    let mut table = Table::new();
    let last = sweep.key.rsplit('.').next().unwrap_or(&sweep.key);
    let mut header = vec![last.to_owned(), "twin error, %".to_owned()];
    header.extend(methods.iter().map(|method| (*method).to_owned()));
    table.set_header(header);
    for value in values {
        let points: Vec<_> = sweep.points.iter().filter(|point| point.value == value).collect();
        let error = points.first().and_then(|point| point.twin_error);
        let mut row =
            vec![value.to_string(), error.map_or("unknown".to_owned(), |error| format!("{:.1}", 100.0 * error))];
        for method in &methods {
            let point = points.iter().find(|point| point.method == *method);
            row.push(point.map_or(String::new(), |point| {
                let accuracy = point.accuracy();
                format!("{:.1} ± {:.1}", 100.0 * accuracy.mean, 100.0 * accuracy.spread)
            }));
        }
        table.add_row(row);
    }
    table
}
