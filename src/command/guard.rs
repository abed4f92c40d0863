//! `pnnlab guard`: what a trained network says of data that it was not made for.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::json;

use crate::Error;
use crate::output::{short_time, table};
use crate::report::{Theme, draw_unknown_scores};
use crate::training::{GuardedRun, Interrupted};

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
    /// The rig file of another bench; without it, the run's own rig
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// Changes one key of the rig's plants, such as plants.electrical.simulated.mismatch=0.5
    #[arg(long = "set", value_name = "K=V")]
    pub set: Vec<String>,
    /// The folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Colors of the figure
    #[arg(long, value_enum, default_value_t)]
    pub theme: Theme,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Scores, writes down, and draws.
pub fn run(arguments: &GuardArgs) -> Result<(), Error> {
    let run = Interrupted::of(("", &arguments.run), &arguments.runs, false)?;
    let bench = (arguments.rig.as_deref(), &arguments.set[..]);
    let prepared = super::prepare_run(&run, bench, arguments.known.clone(), arguments.theme)?;
    let goes_on = arguments.rig.is_none() && arguments.set.is_empty();
    let done = prepared.guard(&run, &arguments.data, goes_on)?;
    let figures = draw_unknown_scores(&run.folder, arguments.theme)?;
    if arguments.json {
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
