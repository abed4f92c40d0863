//! `pnnlab soak`: does anything get lost, repeated or misplaced when everything goes wrong at once? And does any way out of a training
//! leave an output on?

mod exits;

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::Error;
use exits::{Exit, ExitsPlan, ExitsReport, soak_exits};
use hil::SoakReport;

/// What `pnnlab soak` takes.
#[derive(Debug, Args)]
pub struct SoakArgs {
    /// Shots to drive through pnnlink over a pseudo-terminal; a tenth as many queries go to SCPI instruments over TCP
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=4_000_000_000))]
    pub shots: u64,
    /// Decides when which fault happens
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Instead, ends trainings on served benches in every way at random moments (kill -9, signals, closed terminals, outages), and
    /// looks whether any output stays on
    #[arg(long, conflicts_with = "shots")]
    pub exits: bool,
    /// Trainings to end, with --exits
    #[arg(long, value_name = "N", default_value_t = 300, requires = "exits", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rounds: u32,
    /// The longest that an output may be on after its training is gone, in s, with --exits
    #[arg(long, value_name = "S", default_value_t = 1.0, requires = "exits", value_parser = seconds)]
    pub bound: f64,
    /// Only these ways out, with commas, with --exits
    #[arg(long, value_name = "WAYS", value_delimiter = ',', requires = "exits")]
    pub only: Vec<Exit>,
    /// Serves the benches on pseudo-terminals in place of sockets, with --exits
    #[arg(long, requires = "exits")]
    pub pty: bool,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// A time above 0 and up to an hour.
fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if 0.0 < value && value <= 3600.0 { Ok(value) } else { Err("give a time above 0 and up to 3600 s".to_owned()) }
}

/// Runs the soak and prints what it found.
pub fn run(arguments: &SoakArgs) -> Result<(), Error> {
    if arguments.exits {
        return run_exits(arguments);
    }
    let report = hil::soak(arguments.shots, arguments.seed);
    let report = report.map_err(|error| {
        Error::Usage(format!("the soak cannot start: {error}. Set TMPDIR to a folder that can be written"))
    })?;
    if arguments.json {
        say!("{:#}", document(&report));
    } else {
        print(&report);
    }
    if report.is_clean() { Ok(()) } else { Err(Error::Soak) }
}

/// The report as JSON.
fn document(report: &SoakReport) -> serde_json::Value {
    json!({
        "shots": report.shots,
        "transactions": report.transactions,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "misattributed": report.misattributed,
        "longest_wait_seconds": report.longest_wait.as_secs_f64(),
        "deadline_seconds": report.deadline.as_secs_f64(),
        "memory_growth_bytes": report.memory_growth,
        "faults": report.faults,
    })
}

/// The report for people.
fn print(report: &SoakReport) {
    say!("SIMULATED instruments, all faults at once:");
    say!("  {:>9} shots, {} queries", report.shots, report.transactions);
    say!("  {:>9} lost, {} duplicated, {} misattributed", report.lost, report.duplicated, report.misattributed);
    say!("  longest wait {:.3} s of {} s allowed", report.longest_wait.as_secs_f64(), report.deadline.as_secs_f64());
    match report.memory_growth {
        Some(bytes) => say!("  memory grew by {bytes} bytes"),
        None => say!("  memory growth: this system does not say"),
    }
    for (fault, count) in &report.faults {
        say!("  {count:>9} {fault}");
    }
}

/// Ends trainings, and prints what became of their outputs.
fn run_exits(arguments: &SoakArgs) -> Result<(), Error> {
    let report = soak_exits(&ExitsPlan {
        rounds: arguments.rounds,
        seed: arguments.seed,
        bound: Duration::from_secs_f64(arguments.bound),
        only: arguments.only.clone(),
        on_lines: arguments.pty,
    })?;
    let ExitsReport { rounds, ways, left_on, unfinished, longest } = &report;
    if arguments.json {
        let object = json!({
            "rounds": rounds,
            "ways": ways,
            "left_on": left_on.len(),
            "what": left_on,
            "unfinished": unfinished,
            "longest_seconds": longest.as_secs_f64(),
            "bound_seconds": arguments.bound,
        });
        say!("{object:#}");
    } else {
        say!("SIMULATED benches, {rounds} trainings ended:");
        say!(
            "  {:>9} outputs on beyond {} s; the longest {:.3} s",
            left_on.len(),
            arguments.bound,
            longest.as_secs_f64()
        );
        say!("  {unfinished:>9} trainings that did not end");
        for (way, count) in ways {
            say!("  {count:>9} {way}");
        }
        for what in left_on {
            say!("{what}");
        }
    }
    if report.is_clean() { Ok(()) } else { Err(Error::LeftOn) }
}
