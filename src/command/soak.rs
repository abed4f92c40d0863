//! `pnnlab soak`: does anything get lost, repeated or misplaced when everything goes wrong at once?

use clap::Args;
use serde_json::json;

use crate::Error;
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
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs the soak and prints what it found.
pub fn run(arguments: &SoakArgs) -> Result<(), Error> {
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
