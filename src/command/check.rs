//! `pnnlab check`: what every plant must do, asked of the plants of a rig.

use std::path::PathBuf;

use calibration::{Trainability, check_trainable};
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use drivers::{Origin, Plant};
use hil::{Check, CheckOutcome, Subject, check};
use serde_json::{Value, json};
use sims::Key;

use super::calibrate::trainability_lines;
use crate::lab::Opened;
use crate::stop::{self, Stoppable};
use crate::{Document, Error, Rig};

/// `pnnlab check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The rig file; without it, the built-in rig of simulated plants
    pub rig: Option<PathBuf>,
    /// Only these plants, with commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub plants: Vec<String>,
    /// Also asks each plant whether it will train: sensitivity against noise, rank, range, error growth, the twin's gradient
    /// (drives a few hundred random shots within its limits)
    #[arg(long)]
    pub trainable: bool,
    /// Passes of a network through the plant, for --trainable
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub depth: u32,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// One plant and how its checks ended.
struct Report {
    plant: String,
    origin: Origin,
    checks: Vec<Check>,
    trainability: Option<Trainability>,
    /// What the drivers have found out, in words.
    remarks: Vec<String>,
}

/// Checks, prints, and fails if any check failed.
pub fn run(arguments: &CheckArgs) -> Result<(), Error> {
    let rig = Rig::find(arguments.rig.as_deref(), &Document::parse("no experiment", "")?)?;
    let names = rig.chosen(&arguments.plants)?;
    let reports: Vec<Report> = names.iter().map(|name| report(&rig, name, arguments)).collect::<Result<_, _>>()?;
    if arguments.json {
        say!("{:#}", as_json(&rig.config.name, &reports));
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
fn report(rig: &Rig, name: &str, arguments: &CheckArgs) -> Result<Report, Error> {
    let opened = match rig.open(&[name], 0) {
        Ok(opened) => opened.into_iter().next(),
        Err(Error::Plant { source, .. }) => {
            let check = Check { name: "opening", outcome: CheckOutcome::Failed, why: source.to_string() };
            return Ok(Report {
                plant: name.to_owned(),
                origin: Origin::Real,
                checks: vec![check],
                trainability: None,
                remarks: vec![],
            });
        }
        Err(error) => return Err(error),
    };
    let Some(Opened { mut plant, twin, links, watchdog, .. }) = opened else {
        return Err(Error::Usage(format!("the rig has no plant `{name}`")));
    };
    let origin = plant.card().identity.origin;
    let is_wired = !links.is_empty();
    let mut stoppable = Stoppable::new(&mut plant, is_wired);
    let mut checks = check(&mut Subject { plant: &mut stoppable, links: links.clone(), watchdog });
    let mut trainability = None;
    if arguments.trainable && !stop::requested() {
        let key = Key::new(0).branch("trainability");
        let found = check_trainable(&mut stoppable, &*twin, arguments.depth as usize, key);
        plant.make_safe().map_err(Error::plant(name))?;
        let found = found.map_err(Error::calibration(name))?;
        let outcome = if found.trainable() { CheckOutcome::Passed } else { CheckOutcome::Failed };
        checks.push(Check { name: "trainable", outcome, why: trainability_lines(name, &found)[1..].join("; ") });
        trainability = Some(found);
    }
    if stop::requested() {
        return Err(Error::CalibrationStopped);
    }
    let remarks = links.iter().map(drivers::LinkWatch::report).filter(|report| !report.remark.is_empty());
    let remarks = remarks.map(|report| format!("{}: {}", report.address, report.remark)).collect();
    Ok(Report { plant: name.to_owned(), origin, checks, trainability, remarks })
}

/// The object that other programs read.
fn as_json(rig: &str, reports: &[Report]) -> Value {
    let check = |check: &Check| json!({ "check": check.name, "outcome": check.outcome.name(), "why": check.why });
    let plant = |report: &Report| {
        let checks: Vec<Value> = report.checks.iter().map(check).collect();
        let mut object =
            json!({ "plant": report.plant, "simulated": report.origin == Origin::Simulated, "checks": checks });
        if let Some(found) = &report.trainability {
            object["trainability"] = json!(found);
        }
        object
    };
    json!({ "rig": rig, "plants": reports.iter().map(plant).collect::<Vec<_>>() })
}

/// The table that people read.
fn print(rig: &str, reports: &[Report]) {
    say!("checks of the rig `{rig}`");
    for report in reports {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["check", "outcome", "why"]);
        for check in &report.checks {
            table.add_row([check.name, check.outcome.name(), &check.why]);
        }
        let origin = match report.origin {
            Origin::Real => "",
            Origin::Simulated => ", SIMULATED",
            Origin::Replayed => ", REPLAYED",
        };
        say!("\nplant `{}`{origin}\n{table}", report.plant);
        if let Some(found) = &report.trainability {
            say!("{}", trainability_lines(&report.plant, found)[0]);
        }
        report.remarks.iter().for_each(|remark| say!("{remark}"));
    }
}
