//! `pnnlab systems`: what can be simulated and modeled, with ports, units, ranges, twins and timing.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::Error;
use crate::document::Document;
use crate::plants::{Rig, systems::listing};

/// `pnnlab systems`.
#[derive(Debug, Args)]
pub struct SystemsArgs {
    /// The rig file; without it, the built-in rig of simulated plants
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Prints the list.
pub fn run(arguments: &SystemsArgs) -> Result<(), Error> {
    let rig = Rig::find(arguments.rig.as_deref(), &Document::parse("no experiment", "")?)?;
    let listing = listing(&rig)?;
    if arguments.json {
        say!("{listing:#}");
    } else {
        for system in listing["systems"].as_array().into_iter().flatten() {
            print(system, &rig.config.name);
        }
    }
    Ok(())
}

/// One system in words.
fn print(system: &Value, rig: &str) {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    say!("{}: {}", text(&system["system"]), text(&system["about"]));
    for direction in ["inputs", "controls", "outputs"] {
        let banks: Vec<String> = items(&system["ports"][direction]).iter().map(bank).collect();
        say!("  {direction:11} {}", if banks.is_empty() { "none".to_owned() } else { banks.join(", ") });
    }
    if let Some(seconds) = system["sample_seconds"].as_f64() {
        say!("  {:11} {} kS/s", "sampled at", (1.0 / seconds).round() / 1e3);
    }
    let timing = |key: &str| duration(system["timing"][key].as_f64().unwrap_or(0.0));
    say!(
        "  {:11} {} a shot, {} a batch, {} to settle after new controls",
        "timing",
        timing("shot_seconds"),
        timing("latency_seconds"),
        timing("settle_seconds")
    );
    for (label, key) in [("twins", "twins"), ("fidelities", "fidelities")] {
        for (row, item) in items(&system[key]).iter().enumerate() {
            let label = if row == 0 { label } else { "" };
            say!("  {label:11} {}: {}", text(&item["name"]), text(&item["about"]));
        }
    }
    let plants: Vec<String> = items(&system["plants"]).iter().map(text).collect();
    let plants = if plants.is_empty() { "none".to_owned() } else { plants.join(", ") };
    say!("  {:11} {plants} (rig `{rig}`)\n", "plants");
}

/// `drive: 256 × V in [-1, 1]`.
fn bank(bank: &Value) -> String {
    let unit = bank["unit"].as_str().unwrap_or("?");
    format!(
        "{} × {} in [{}, {}] {unit}",
        bank["count"],
        bank["name"].as_str().unwrap_or("?"),
        bank["low"],
        bank["high"]
    )
}

/// A time with a prefix.
fn duration(seconds: f64) -> String {
    match seconds {
        0.0 => "0 s".to_owned(),
        seconds if seconds < 1e-3 => format!("{:.0} µs", 1e6 * seconds),
        seconds if seconds < 1.0 => format!("{:.3} ms", 1e3 * seconds).replace(".000", ""),
        seconds => format!("{seconds:.1} s"),
    }
}
