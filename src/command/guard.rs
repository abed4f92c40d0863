//! `pnnlab guard`: what a trained network says of data that it was not made for.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::json;

use super::arguments::BenchArgs;
use crate::Error;
use crate::output::{short_time, table};
use crate::report::{Theme, draw_unknown_scores};
use crate::training::GuardedRun;

/// `pnnlab guard`.
#[derive(Debug, Args)]
pub struct GuardArgs {
    /// The run: its folder, or its name
    pub run: PathBuf,
    /// The other data: what the network is to find unknown
    #[arg(long, value_name = "OTHER")]
    pub data: PathBuf,
    /// The run's own data, where it lies elsewhere than when the run was started
    #[arg(long, value_name = "PATH")]
    pub known: Option<PathBuf>,
    /// Colors of the figure
    #[arg(long, value_enum, default_value_t)]
    pub theme: Theme,
    /// On which bench.
    #[command(flatten)]
    pub on: BenchArgs,
}

/// Scores, writes down, and draws.
pub fn run(arguments: &GuardArgs) -> Result<(), Error> {
    if let Some(known) = arguments.known.as_deref()
        && let Err(error) = std::fs::metadata(known)
    {
        let message = format!("--known {}: cannot be read: {error}. Name the run's own data", known.display());
        return Err(Error::MissingData(message));
    }
    let run = arguments.on.run(&arguments.run)?;
    let prepared = super::prepare_run(&run, arguments.on.bench(), arguments.known.clone(), arguments.theme)?;
    let done = prepared.guard(&run, &arguments.data, arguments.on.is_own())?;
    let figures = draw_unknown_scores(&run.folder, arguments.theme)?;
    if arguments.on.json {
        let mut facts = json!(done);
        facts["figures"] = json!(figures);
        say!("{facts:#}");
        return Ok(());
    }
    print(&done);
    for figure in figures {
        say!("{}", figure.display());
    }
    Ok(())
}

fn print(done: &GuardedRun) {
    say!(
        "known: {} test rows of {}; unknown: {} rows of {}; {} shots, {} a shot in the network and its plant here",
        done.known_rows,
        done.known,
        done.unknown_rows,
        done.unknown,
        done.shots,
        short_time(done.network_seconds_per_shot)
    );
    say!("every score is higher for what is unknown");
    let mut rows = Table::new();
    rows.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "score",
        "AUROC",
        "AUPR in",
        "AUPR out",
        "FPR at 95 % recall",
        "a shot",
    ]);
    for score in &done.scores {
        let found = score.detection;
        let fraction = |value: f64| format!("{value:.3}");
        rows.add_row([
            score.score.to_owned(),
            fraction(found.auroc),
            fraction(found.aupr_in),
            fraction(found.aupr_out),
            fraction(found.fpr95),
            short_time(score.seconds_per_shot),
        ]);
    }
    table::print(&mut rows, &["AUPR in", "AUPR out"]);
}
