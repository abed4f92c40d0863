//! `pnnlab check`: what every plant must do, asked of the plants of a rig.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use drivers::{Origin, Plant};
use hil::{Check, CheckOutcome, Subject, check};
use serde_json::{Value, json};

use crate::lab::Opened;
use crate::{Document, Error, Rig};

/// `pnnlab check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The rig file; without it, the built-in rig of simulated plants
    pub rig: Option<PathBuf>,
    /// Only these plants, with commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub plants: Vec<String>,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// One plant and how its checks ended.
struct Report {
    plant: String,
    simulated: bool,
    checks: Vec<Check>,
    /// What the drivers have found out, in words.
    remarks: Vec<String>,
}

/// Checks, prints, and fails if any check failed.
pub fn run(arguments: &CheckArgs) -> Result<(), Error> {
    let rig = Rig::find(arguments.rig.as_deref(), &Document::parse("no experiment", "")?)?;
    let names = rig.chosen(&arguments.plants)?;
    let reports: Vec<Report> = names.iter().map(|name| report(&rig, name)).collect::<Result<_, _>>()?;
    if arguments.json {
        println!("{:#}", as_json(&rig.config.name, &reports));
    } else {
        print(&rig.config.name, &reports);
    }
    let failed = reports.iter().flat_map(|report| &report.checks).filter(|check| check.outcome == CheckOutcome::Failed);
    match failed.count() {
        0 => Ok(()),
        count => Err(Error::Checks { count }),
    }
}

/// Opens one plant and checks it; one that cannot be opened has failed.
fn report(rig: &Rig, name: &str) -> Result<Report, Error> {
    let opened = match rig.open(&[name], 0) {
        Ok(opened) => opened.into_iter().next(),
        Err(Error::Plant { source, .. }) => {
            let check = Check { name: "opening", outcome: CheckOutcome::Failed, why: source.to_string() };
            return Ok(Report { plant: name.to_owned(), simulated: false, checks: vec![check], remarks: vec![] });
        }
        Err(error) => return Err(error),
    };
    let Some(Opened { mut plant, links, watchdog, .. }) = opened else {
        return Err(Error::Usage(format!("the rig has no plant `{name}`")));
    };
    let simulated = plant.card().identity.origin == Origin::Simulated;
    let checks = check(&mut Subject { plant: &mut plant, links: links.clone(), watchdog });
    let remarks = links.iter().map(drivers::LinkWatch::report).filter(|report| !report.remark.is_empty());
    let remarks = remarks.map(|report| format!("{}: {}", report.address, report.remark)).collect();
    Ok(Report { plant: name.to_owned(), simulated, checks, remarks })
}

/// The object that other programs read.
fn as_json(rig: &str, reports: &[Report]) -> Value {
    let check = |check: &Check| json!({ "check": check.name, "outcome": check.outcome.name(), "why": check.why });
    let plant = |report: &Report| {
        let checks: Vec<Value> = report.checks.iter().map(check).collect();
        json!({ "plant": report.plant, "simulated": report.simulated, "checks": checks })
    };
    json!({ "rig": rig, "plants": reports.iter().map(plant).collect::<Vec<_>>() })
}

/// The table that people read.
fn print(rig: &str, reports: &[Report]) {
    println!("checks of the rig `{rig}`");
    for report in reports {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["check", "outcome", "why"]);
        for check in &report.checks {
            table.add_row([check.name, check.outcome.name(), &check.why]);
        }
        println!("\nplant `{}`{}\n{table}", report.plant, if report.simulated { ", SIMULATED" } else { "" });
        report.remarks.iter().for_each(|remark| println!("{remark}"));
    }
}
