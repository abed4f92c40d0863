//! `pnnlab check`: what every plant must do, asked of the plants of a rig.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use calibration::{Trainability, check_trainable, trainable_shots, way_back_shots};
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use drivers::{Origin, Plant};
use hil::{Check, CheckOutcome, Subject, check};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde_json::{Value, json};
use sims::Key;

use super::calibrate::trainability_lines;
use crate::Error;
use crate::document::Document;
use crate::network::LayerConfig;
use crate::output::duration;
use crate::plants::{InUse, Opened, PlantConfig, Rig};
use crate::report::Theme;
use crate::stop::{self, Stoppable};
use crate::training::{Experiment, Prepared, prepared::slopes_of};

/// `pnnlab check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The rig file; without it, the built-in rig of simulated plants
    pub rig: Option<PathBuf>,
    /// Only these plants, with commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub plants: Vec<String>,
    /// Also asks each plant whether it will train: sensitivity against noise, rank, range, error growth, the twin's gradient through
    /// one pass and back through a network of several (drives some ten thousand shots within its limits)
    #[arg(long)]
    pub trainable: bool,
    /// Passes of a network through the plant, for --trainable; an experiment's network has its own
    #[arg(long, value_name = "N")]
    pub depth: Option<u32>,
    /// The experiment whose network --trainable also measures slopes in; without it and --depth a built-in experiment with such a
    /// plant, if there is one
    #[arg(long, value_name = "EXPERIMENT", requires = "trainable", conflicts_with = "depth")]
    pub experiment: Option<String>,
    /// The experiment's data, as for train
    #[arg(long, value_name = "PATH", requires = "experiment")]
    pub data: Option<PathBuf>,
    /// Checks what the rig file says without opening any plant: keys, limits, interlocks, addresses, twins
    #[arg(long, conflicts_with = "trainable")]
    pub offline: bool,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Passes of a network of which nothing is said.
const DEPTH: usize = 3;

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
    let look = |name: &&str| if arguments.offline { offline(&rig, name) } else { report(&rig, name, arguments) };
    let reports: Vec<Report> = names.iter().map(look).collect::<Result<_, _>>()?;
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

/// What the rig file says of one plant, held against itself: nothing is opened, so nothing is said of the instruments.
fn offline(rig: &Rig, name: &str) -> Result<Report, Error> {
    let check = |(name, found): (&'static str, Result<String, Error>)| {
        let (outcome, why) = match found {
            Ok(why) => (CheckOutcome::Passed, why),
            Err(error) => (CheckOutcome::Failed, error.to_string()),
        };
        Check { name, outcome, why }
    };
    let mut checks: Vec<Check> = rig.look_at(name)?.into_iter().map(check).collect();
    let why = "nothing was opened: leave out --offline to ask the instruments".to_owned();
    checks.push(Check { name: "instruments", outcome: CheckOutcome::NotRun, why });
    Ok(Report { plant: name.to_owned(), origin: Origin::Real, checks, trainability: None, remarks: vec![] })
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
    let Some(mut opened) = opened else {
        return Err(Error::Usage(format!("the rig has no plant `{name}`")));
    };
    // Waiting costs a check only time.
    opened.allowance.pace();
    let (links, watchdog) = (opened.links.clone(), opened.watchdog);
    let (unlearned, fit) = (opened.unlearned, opened.fit.clone());
    let plant = &mut opened.plant;
    let origin = plant.card().identity.origin;
    let is_wired = !links.is_empty();
    let mut stoppable = Stoppable::new(&mut *plant, is_wired);
    let config = rig.config.plants.get(name);
    let bench = config.and_then(|config| config.bench.as_ref());
    let reads_controls = bench.is_none_or(|bench| bench.instruments.reads_controls());
    let stopped = stop::requested;
    let mut checks =
        check(&mut Subject { plant: &mut stoppable, links: links.clone(), watchdog, reads_controls, stopped });
    let mut trainability = None;
    if config.is_some_and(PlantConfig::is_learned) {
        checks.push(twin_check(name, arguments.rig.as_deref(), fit.as_ref()));
    }
    if arguments.trainable && unlearned {
        let why = "its twin is not learned yet".to_owned();
        checks.push(Check { name: "trainable", outcome: CheckOutcome::NotRun, why });
    } else if arguments.trainable && !stop::requested() {
        let check = |outcome, why| Check { name: "trainable", outcome, why };
        match trainable(opened, rig, arguments) {
            Ok(found) => {
                let outcome = if found.trainable() { CheckOutcome::Passed } else { CheckOutcome::Failed };
                checks.push(check(outcome, trainability_lines(name, &found)[1..].join("; ")));
                trainability = Some(found);
            }
            // A training would be refused as well.
            Err(error) if error.is_overdriven() => {
                checks.push(check(CheckOutcome::Failed, format!("what the network drives is past a limit: {error}")));
            }
            Err(error) => return Err(error),
        }
    }
    Error::if_stopped()?;
    let remarks = links.iter().map(drivers::LinkWatch::report).filter(|report| !report.remark.is_empty());
    let remarks = remarks.map(|report| format!("{}: {}", report.address, report.remark)).collect();
    Ok(Report { plant: name.to_owned(), origin, checks, trainability, remarks })
}

/// Whether the opened plant will train.
fn trainable(mut opened: Opened, rig: &Rig, arguments: &CheckArgs) -> Result<Trainability, Error> {
    let experiment = experiment(arguments, &opened);
    let depth = match experiment {
        Some(experiment) => passes_of(experiment)?,
        None => arguments.depth.map_or(DEPTH, |depth| depth as usize),
    };
    // What is missing or does not fit is said before anything is driven.
    let prepared = experiment.map(|experiment| prepare(arguments, experiment, rig)).transpose()?;
    prepared.iter().try_for_each(|prepared| prepared.load(prepared.experiment.seed).map(drop))?;
    let is_wired = !opened.links.is_empty();
    let card = opened.plant.card();
    let shots = trainable_shots(&card.ports, depth) + prepared.as_ref().map_or(0, |_| way_back_shots(depth));
    let _measuring = (!arguments.json).then(|| measuring(&opened.name, shots, card.timing.batch(shots as usize)));
    let key = Key::new(0).branch("trainability");
    let mut stoppable = Stoppable::new(&mut opened.plant, is_wired);
    let found = check_trainable(&mut stoppable, &*opened.twin, depth, key);
    opened.plant.make_safe().map_err(Error::plant(&opened.name))?;
    let found = found.map_err(Error::calibration(&opened.name))?;
    let Some(prepared) = prepared else { return Ok(found) };
    let (network, shots) = slopes_of(opened, prepared)?;
    Ok(found.with_network(network, shots))
}

/// Says how much is going to be driven, and shows that it goes on.
fn measuring(plant: &str, shots: u64, seconds: f64) -> ProgressBar {
    tell!(
        "plant `{plant}`: asking whether it will train takes {shots} shots, at least {} of bench time",
        duration(seconds)
    );
    let bar = ProgressBar::new_spinner().with_message("measuring");
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_finish(ProgressFinish::AndClear)
}

/// The experiment whose network the slopes go through.
fn prepare(arguments: &CheckArgs, experiment: &str, rig: &Rig) -> Result<Prepared, Error> {
    let (experiment, document) = Experiment::find(experiment, &[])?;
    let drawer = Arc::new(Theme::default());
    Ok(Prepared { experiment, document, rig: rig.clone(), data: arguments.data.clone(), drawer })
}

/// What a plant with a learned twin still lacks.
fn twin_check(plant: &str, rig: Option<&Path>, fit: Option<&InUse>) -> Check {
    let (outcome, why) = match fit {
        Some(fit) => {
            let residual = fit.fit.facts.residual.as_ref().map_or(f64::NAN, |residual| residual.rmse_of_output_std);
            let left = format!(
                "learned: {}, which leaves {:.1} % of the outputs' deviation",
                fit.path.display(),
                100.0 * residual
            );
            (CheckOutcome::Passed, left)
        }
        None => (
            CheckOutcome::NotRun,
            format!(
                "nothing is learned yet: run `pnnlab calibrate {} {plant}`, or train with a table [training.refresh]",
                rig.map_or("RIG".into(), Path::to_string_lossy)
            ),
        ),
    };
    Check { name: "learned twin", outcome, why }
}

/// The experiment whose network is measured: the one that is named, or one that comes with the program and fits the plant.
fn experiment<'a>(arguments: &'a CheckArgs, opened: &Opened) -> Option<&'a str> {
    let card = opened.plant.card();
    let (inputs, outputs) = (card.ports.input_count(), card.ports.output_count());
    let fitting = match card.identity.system.as_str() {
        "optical" if (inputs, outputs) == (50, 50) => Some("digits-optical"),
        "electrical" if (inputs, outputs) == (256, 256) => Some("digits-electrical"),
        _ => None,
    };
    arguments.experiment.as_deref().or(fitting.filter(|_| arguments.depth.is_none()))
}

/// Passes through plants of an experiment's network.
fn passes_of(experiment: &str) -> Result<usize, Error> {
    let (experiment, _) = Experiment::find(experiment, &[])?;
    Ok(experiment.layers.iter().filter(|layer| matches!(layer, LayerConfig::Physical(_))).count().max(1))
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
