//! `pnnlab calibrate`: measures a plant, or takes a trace, and leaves a twin with its residual, a noise model and a report.

mod measuring;

use std::path::{Path, PathBuf};
use std::time::Instant;

use calibration::{Fit, FitFacts, Procedure, Trace, Validity, digest};
use clap::{Args, ValueEnum};
use drivers::{Direction, Plant};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use sims::Key;

use crate::calibration_report::{Calibrated, write_report};
use crate::lab::Opened;
use crate::run::unix_seconds;
use crate::{Document, Error, Rig, Theme, fits};

use measuring::{calibration_of, measured};

/// What `--procedure` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProcedureName {
    /// Dark level, gain, linearity, range and clipping of each port
    Levels,
    /// Time of shots and changes, lag, settling
    Timing,
    /// Repeatability and noise
    Noise,
    /// The coefficients of the physical model, with uncertainties
    Physics,
    /// A network alone
    Learned,
    /// The physical model with corrections and a network: the default
    Residual,
    /// Whether the bench will train, and why not; leaves no fit
    Trainability,
}

impl ProcedureName {
    fn procedure(self) -> Option<Procedure> {
        match self {
            Self::Levels => Some(Procedure::Levels),
            Self::Timing => Some(Procedure::Timing),
            Self::Noise => Some(Procedure::Noise),
            Self::Physics => Some(Procedure::Physics),
            Self::Learned => Some(Procedure::Learned),
            Self::Residual => Some(Procedure::Residual),
            Self::Trainability => None,
        }
    }
}

/// `pnnlab calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// The rig file, or `simulated` for the built-in rig; not needed with --from, but it knows the physics
    pub rig: Option<String>,
    /// The plant; not needed where the rig has only one
    pub plant: Option<String>,
    /// What is calibrated
    #[arg(long, value_enum, default_value = "residual")]
    pub procedure: ProcedureName,
    /// Takes a trace (Arrow) or recorded data (.npz) instead of measuring
    #[arg(long, value_name = "TRACE")]
    pub from: Option<PathBuf>,
    /// Measures the residual on this trace or .npz instead of a part of --from
    #[arg(long, value_name = "TRACE", requires = "from")]
    pub test: Option<PathBuf>,
    /// The arrays of inputs and outputs in the .npz files; a part of their names is enough
    #[arg(long, value_name = "INPUTS,OUTPUTS", requires = "from")]
    pub arrays: Option<String>,
    /// How many different stimuli are measured
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(20..))]
    pub stimuli: u32,
    /// How often each of them is taken
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeats: u32,
    /// How many of them share one setting of the controls
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub per_setting: u32,
    /// Takes half of the stimuli near the shots of this trace, such as those of a training
    #[arg(long, value_name = "TRACE")]
    pub near: Option<PathBuf>,
    /// Architectures that are tried for the network; 0: two layers of 128
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub candidates: u32,
    /// The passes of a network through the plant, for --procedure trainability
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub depth: u32,
    /// The seed of stimuli, splits and initial weights
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Changes one key of the rig's simulated plants, such as plants.optical.simulated.mismatch=0.5
    #[arg(long = "set", value_name = "K=V")]
    pub set: Vec<String>,
    /// Says how many shots, how long and how much disk it will take, holds every stimulus against the limits, and stops before anything is driven
    #[arg(long, conflicts_with = "from")]
    pub dry_run: bool,
    /// The folder that fits and traces are kept in
    #[arg(long, value_name = "DIR", default_value = fits::FOLDER)]
    pub fits: PathBuf,
    /// Writes a report, .html or .md, with its figures in a folder beside it
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The paper of the figures
    #[arg(long, value_enum, default_value_t)]
    pub theme: Theme,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// What is calibrated: an opened plant, or data alone.
struct Subject {
    opened: Option<Opened>,
    rig: String,
    plant: String,
    description: String,
}

/// Calibrates, saves, and says how it went.
pub fn run(arguments: &CalibrateArgs) -> Result<(), Error> {
    let start = Instant::now();
    refuse_report(arguments.report.as_deref())?;
    let mut subject = subject(arguments)?;
    let Some(procedure) = arguments.procedure.procedure() else { return trainability(arguments, subject) };
    let trace = match &arguments.from {
        Some(file) => read_trace(file, arguments.arrays.as_deref())?,
        None => match measured(arguments, procedure, &mut subject)? {
            Some(trace) => trace,
            None => return Ok(()),
        },
    };
    let model = subject.opened.as_ref().and_then(|opened| opened.adjustable.clone());
    if let Some(opened) = &subject.opened {
        same_plant(&trace, opened, arguments.from.as_deref())?;
    }
    let test = arguments.test.as_deref().map(|file| read_trace(file, arguments.arrays.as_deref())).transpose()?;
    if let Some(test) = &test {
        same_widths(&trace, test, arguments.test.as_deref())?;
    }
    let spinner = spinner(arguments.json, "fitting");
    let calibration = calibration_of(arguments, procedure);
    let fitted = calibration.fit(&trace, test.as_ref(), model.as_deref())?;
    spinner.finish_and_clear();

    let bytes = trace.to_arrow()?;
    let facts = facts(arguments, &subject, &trace, &fitted, digest(&bytes));
    let fit = Fit { facts, parts: fitted.parts.clone(), noise: fitted.noise.as_ref().map(|noise| noise.0.clone()) };
    let path = fits::save(&fit, &arguments.fits)?;
    let trace_path = if let Some(file) = &arguments.from {
        file.clone()
    } else {
        let path = path.with_extension("arrow");
        fits::replace(&path, &bytes)?;
        path
    };
    let calibrated = Calibrated {
        facts: &fit.facts,
        fitted: &fitted,
        trace: &trace,
        fit: &path,
        seconds: start.elapsed().as_secs_f64(),
    };
    let figures =
        arguments.report.as_deref().map(|report| write_report(&calibrated, report, arguments.theme)).transpose()?;
    if arguments.json {
        say!("{:#}", object(&calibrated, &trace_path, figures.as_deref()));
    } else {
        say(&calibrated, &trace_path, arguments.report.as_deref());
    }
    Ok(())
}

/// Opens the plant that the command line names.
fn subject(arguments: &CalibrateArgs) -> Result<Subject, Error> {
    let Some(name) = &arguments.rig else {
        if arguments.from.is_none() {
            return Err(Error::Usage(
                "name a rig file to measure, or `simulated` for the built-in rig, or a trace with --from".to_owned(),
            ));
        }
        return Ok(Subject { opened: None, rig: "none".into(), plant: "recorded".into(), description: digest(b"") });
    };
    let mut document = Document::parse("command line", "")?;
    for assignment in &arguments.set {
        document.set(assignment)?;
    }
    let file = Path::new(name);
    let rig = Rig::find(if name == "simulated" && !file.is_file() { None } else { Some(file) }, &document)?;
    let names = rig.names();
    let plant = match (&arguments.plant, &names[..]) {
        (Some(plant), _) if names.contains(&plant.as_str()) => plant.clone(),
        (Some(plant), _) => {
            return Err(Error::Usage(format!(
                "the rig `{}` has no plant `{plant}`: it has {}",
                rig.config.name,
                names.join(", ")
            )));
        }
        (None, [only]) => (*only).to_owned(),
        (None, _) => {
            return Err(Error::Usage(format!(
                "the rig `{}` has several plants: name one of {}",
                rig.config.name,
                names.join(", ")
            )));
        }
    };
    let description = rig.description(&plant);
    let opened = rig.open_uncalibrated(&plant, arguments.seed)?;
    Ok(Subject { opened: Some(opened), rig: rig.config.name.clone(), plant, description })
}

/// Reads a trace or an archive.
fn read_trace(file: &Path, arrays: Option<&str>) -> Result<Trace, Error> {
    let bytes = std::fs::read(file).map_err(|source| Error::Unreadable { file: file.display().to_string(), source })?;
    let names = match arrays.map(|arrays| arrays.split_once(',')) {
        Some(None) => return Err(Error::Usage("--arrays takes two names with a comma: INPUTS,OUTPUTS".to_owned())),
        Some(names) => names,
        None => None,
    };
    let trace = match file.extension().and_then(|extension| extension.to_str()) {
        Some("npz") => Trace::from_npz(&bytes, names),
        _ => Trace::from_arrow(&bytes),
    };
    trace.map_err(|error| Error::Data(format!("{}: {error}", file.display())))
}

/// Refuses a trace of another plant.
fn same_plant(trace: &Trace, opened: &Opened, file: Option<&Path>) -> Result<(), Error> {
    let (of, plant) = (&trace.card.identity, &opened.plant.card().identity);
    if (of.system == plant.system && of.serial == plant.serial) || file.is_none() {
        return Ok(());
    }
    Err(Error::Data(format!(
        "{}: the trace is of the {} plant `{}`, and `{}` is `{}`: name the rig that it was taken on",
        file.unwrap_or(Path::new("trace")).display(),
        of.system,
        of.serial,
        opened.name,
        plant.serial
    )))
}

fn same_widths(trace: &Trace, test: &Trace, file: Option<&Path>) -> Result<(), Error> {
    let widths = |trace: &Trace| [trace.inputs.columns(), trace.settings.columns(), trace.outputs.columns()];
    if widths(trace) == widths(test) {
        return Ok(());
    }
    Err(Error::Data(format!(
        "{}: has {:?} inputs, controls and outputs, but --from has {:?}: both must be of one plant",
        file.unwrap_or(Path::new("test")).display(),
        widths(test),
        widths(trace)
    )))
}

fn refuse_report(report: Option<&Path>) -> Result<(), Error> {
    match report.map(|report| report.extension().and_then(|extension| extension.to_str())) {
        None | Some(Some("html" | "md")) => Ok(()),
        _ => Err(Error::Usage("--report: name a file that ends in .html or .md".to_owned())),
    }
}

fn spinner(hidden: bool, what: &str) -> ProgressBar {
    let spinner = if hidden { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    spinner.set_message(what.to_owned());
    spinner.enable_steady_tick(std::time::Duration::from_millis(200));
    spinner
}

fn facts(
    arguments: &CalibrateArgs,
    subject: &Subject,
    trace: &Trace,
    fitted: &calibration::Fitted,
    trace_sha256: String,
) -> FitFacts {
    let mut options = std::collections::BTreeMap::from([("candidates".to_owned(), arguments.candidates.to_string())]);
    if let Some(test) = &arguments.test {
        options.insert("test".to_owned(), test.display().to_string());
    }
    if let Some((architecture, _)) = &fitted.learned {
        options.insert("hidden".to_owned(), format!("{:?}", architecture.hidden));
        options.insert(
            "network".to_owned(),
            if fitted.parts.network.is_some() { "kept" } else { "left out: it does not help" }.to_owned(),
        );
    }
    let identity = &trace.card.identity;
    let mut facts = FitFacts {
        format: 0,
        key: String::new(),
        plant: subject.plant.clone(),
        rig: subject.rig.clone(),
        system: identity.system.clone(),
        serial: identity.serial.clone(),
        origin: identity.origin.to_string(),
        description_sha256: trace.provenance.get("description_sha256").unwrap_or(&subject.description).clone(),
        procedure: arguments.procedure.procedure().map_or("trainability", Procedure::name).to_owned(),
        options,
        seed: arguments.seed,
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        trace_sha256,
        shots: trace.shots(),
        made_unix_seconds: unix_seconds(),
        tensors_sha256: String::new(),
        residual: fitted.residual.clone(),
        noise: fitted.noise.as_ref().map(|noise| noise.1.clone()),
        coefficients: fitted.estimates.clone(),
        validity: validity(trace),
    };
    facts.decide(&trace.card);
    facts
}

/// The smallest and the largest value of each bank.
fn validity(trace: &Trace) -> Vec<Validity> {
    let mut all = Vec::new();
    for (direction, rows) in
        [(Direction::Input, &trace.inputs), (Direction::Control, &trace.settings), (Direction::Output, &trace.outputs)]
    {
        let mut first = 0;
        for bank in trace.card.ports.banks(direction) {
            let (mut low, mut high) = (f32::MAX, f32::MIN);
            for row in rows {
                for value in &row[first..first + bank.count] {
                    (low, high) = (low.min(*value), high.max(*value));
                }
            }
            first += bank.count;
            all.push(Validity {
                bank: format!("{direction}.{}", bank.name),
                unit: bank.unit.clone(),
                low: f64::from(low),
                high: f64::from(high),
            });
        }
    }
    all
}

/// What `--json` prints.
fn object(calibrated: &Calibrated<'_>, trace: &Path, figures: Option<&[PathBuf]>) -> Value {
    let Calibrated { facts, fitted, fit, seconds, .. } = calibrated;
    let short = |residual: &Option<calibration::Residual>| {
        residual.as_ref().map(|residual| {
            json!({
                "rmse_of_full_scale": residual.rmse_of_full_scale,
                "rmse_standard_error": residual.rmse_standard_error,
                "rmse_of_output_std": residual.rmse_of_output_std,
                "r2_median": residual.r2_median,
                "r2_lowest": residual.r2_lowest,
                "noise_of_full_scale": residual.noise_of_full_scale,
                "neighbors_of_full_scale": residual.neighbors_of_full_scale,
            })
        })
    };
    json!({
        "plant": facts.plant,
        "procedure": facts.procedure,
        "shots": facts.shots,
        "fit": fit,
        "residual": short(&fitted.residual),
        "noise": facts.noise,
        "coefficients": facts.coefficients,
        "nominal_residual": short(&fitted.nominal_residual),
        "physics_residual": short(&fitted.physics_residual),
        "corrected_residual": short(&fitted.corrected_residual),
        "network": fitted.learned.as_ref().map(|(architecture, left)| json!({
            "hidden": architecture.hidden, "kept": fitted.parts.network.is_some(), "left": left,
        })),
        "confused": fitted.physics.as_ref().map(calibration::PhysicsFit::confused),
        "levels": fitted.levels,
        "timing": fitted.timing,
        "validity": facts.validity,
        "origin": facts.origin,
        "key": facts.key,
        "trace": trace,
        "figures": figures,
        "wall_seconds": seconds,
    })
}

/// What is said to a person.
fn say(calibrated: &Calibrated<'_>, trace: &Path, report: Option<&Path>) {
    for line in calibrated.sentences() {
        say!("{line}");
    }
    say!("trace: {}", trace.display());
    say!("fit: {}", calibrated.fit.display());
    if let Some(report) = report {
        say!("report: {}", report.display());
    }
}

/// Whether the bench will train.
fn trainability(arguments: &CalibrateArgs, subject: Subject) -> Result<(), Error> {
    let Some(mut opened) = subject.opened else {
        return Err(Error::Usage("--procedure trainability asks the plant itself: name a rig".to_owned()));
    };
    let key = Key::new(arguments.seed).branch("trainability");
    let found = calibration::check_trainable(&mut opened.plant, &*opened.twin, arguments.depth as usize, key);
    opened.plant.make_safe().map_err(Error::plant(&subject.plant))?;
    let found = found.map_err(Error::calibration(&subject.plant))?;
    if arguments.json {
        let object = json!({
            "plant": subject.plant, "procedure": "trainability", "shots": found.shots,
            "trainable": found.trainable(), "trainability": found,
        });
        say!("{object:#}");
        return Ok(());
    }
    for line in trainability_lines(&subject.plant, &found) {
        say!("{line}");
    }
    Ok(())
}

/// The check in words.
pub fn trainability_lines(plant: &str, found: &calibration::Trainability) -> Vec<String> {
    let mut lines = vec![format!(
        "plant `{plant}`: inputs over noise {:.0}{}, effective rank {:.1}, range use {:.0} %, error growth {:.2} a pass ({:.1} over {}), \
         cosine of the twin's gradient {:.3}",
        found.inputs_over_noise,
        found.controls_over_noise.map(|ratio| format!(", controls over noise {ratio:.0}")).unwrap_or_default(),
        found.effective_rank,
        100.0 * found.range_use,
        found.error_growth,
        found.growth_over_depth,
        found.depth,
        found.gradient_cosine
    )];
    if found.trainable() {
        lines.push("it should train".to_owned());
    } else {
        lines.extend(found.why_not.iter().map(|reason| format!("it will hardly train: {reason}")));
    }
    lines
}
