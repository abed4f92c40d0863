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
    refuse_twice(arguments)?;
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
    let over = match found.seeds {
        1 => format!("seed {} alone", found.first_seed),
        seeds => format!("mean ± standard deviation over {seeds} seeds"),
    };
    say!("{}; test accuracy on the plant, %, {over}", found.plants);
    for figure in figures {
        say!("figure: {}", figure.display());
    }
    Ok(())
}

/// Refuses a value or a method that is named twice.
fn refuse_twice(arguments: &SweepArgs) -> Result<(), Error> {
    let names = |index: usize| arguments.methods[index].name();
    let values =
        (0..arguments.values.len()).find(|&index| arguments.values[..index].contains(&arguments.values[index]));
    let methods =
        (0..arguments.methods.len()).find(|&index| arguments.methods[..index].contains(&arguments.methods[index]));
    match (values, methods) {
        (Some(index), _) => {
            Err(Error::Usage(format!("--values names {} twice: name each value once", arguments.values[index])))
        }
        (None, Some(index)) => Err(Error::Usage(format!("--methods names {} twice: name each once", names(index)))),
        (None, None) => Ok(()),
    }
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
                if sweep.seeds < 2 {
                    return format!("{:.1}", 100.0 * accuracy.mean);
                }
                format!("{:.1} ± {:.1}", 100.0 * accuracy.mean, 100.0 * accuracy.spread)
            }));
        }
        table.add_row(row);
    }
    table
}
