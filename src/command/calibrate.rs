//! `pnnlab calibrate`: measures a plant, or takes a trace, and leaves a twin with its residual, a noise model and a report.

// Circle with command/calibrate/: the parts of one command; split for its length.

mod begun;
mod measuring;
mod reading;
mod telling;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use calibration::{Fit, FitFacts, Observer, Procedure, Trace, Validity, digest};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use drivers::{Card, Direction, Plant};
use indicatif::ProgressBar;
use serde_json::json;
use sims::{Adjustable, Key};

use crate::plants::{Opened, PlantConfig, Rig, SimulatedConfig, fits};
use crate::record::unix_seconds;
use crate::report::{Calibrated, Theme, calibration::write_report};
use crate::{Error, stop};

use measuring::{calibration_of, measured};
use reading::{Columns, read_trace, same_plant, same_widths};

/// What `--procedure` takes: a procedure that leaves a fit, or the question whether the bench will train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcedureName(Option<Procedure>);

impl ProcedureName {
    /// Every value, the question last.
    const ALL: [Self; 8] = [
        Self(Some(Procedure::Levels)),
        Self(Some(Procedure::Timing)),
        Self(Some(Procedure::Noise)),
        Self(Some(Procedure::Physics)),
        Self(Some(Procedure::Learned)),
        Self(Some(Procedure::Piann)),
        Self(Some(Procedure::Residual)),
        Self(None),
    ];

    fn name(self) -> &'static str {
        self.0.map_or("trainability", Procedure::name)
    }
}

impl ValueEnum for ProcedureName {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let about = self.0.map_or("Whether the bench will train, and why not; leaves no fit", Procedure::about);
        Some(PossibleValue::new(self.name()).help(about))
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
    /// Takes a trace (.arrow), the recorded shots of a training (.arrows) or recorded data (.npz, .csv, .csv.gz) instead of measuring; given twice,
    /// inputs from the first .npz or .csv and outputs from the second. Nothing is opened then, also where a rig is named
    #[arg(long, value_name = "TRACE")]
    pub from: Vec<PathBuf>,
    /// Measures the residual on this trace, .npz or .csv (or these two) instead of a part of --from
    #[arg(long, value_name = "TRACE", requires = "from")]
    pub test: Vec<PathBuf>,
    /// The arrays of inputs and outputs in the .npz files; parts of their names are enough
    #[arg(long, value_name = "INPUTS,OUTPUTS", requires = "from")]
    pub arrays: Option<String>,
    /// The columns of a .csv that are inputs, with commas; `x*` stands for all that begin with x. Left out: all that are nothing else
    #[arg(long, value_name = "NAMES", requires = "from", value_delimiter = ',')]
    pub inputs: Vec<String>,
    /// The columns of a .csv that are controls
    #[arg(long, value_name = "NAMES", requires = "from", value_delimiter = ',')]
    pub controls: Vec<String>,
    /// The columns of a .csv that are outputs; or the .csv or .npz that holds them, a shot a row as in --from
    #[arg(long, value_name = "NAMES|FILE", requires = "from", value_delimiter = ',')]
    pub outputs: Vec<String>,
    /// How many different stimuli are measured
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(20..))]
    pub stimuli: u32,
    /// How often each of them is taken
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeats: u32,
    /// How many of them share one setting of the controls
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub per_setting: u32,
    /// Takes half of the stimuli near the shots of this trace, or of a training: runs/RUN/shots/PLANT-1.arrows, as --record leaves it
    #[arg(long, value_name = "TRACE")]
    pub near: Option<PathBuf>,
    /// Architectures that are tried for the network; 0: two layers of 128
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(..=1000))]
    pub candidates: u32,
    /// The passes of a network through the plant, for --procedure trainability
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
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
    /// Goes on with the measurement that was interrupted and had the same options: its shots lie in the folder of fits
    #[arg(long, conflicts_with = "from")]
    pub resume: bool,
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

/// What is calibrated: an opened plant, or data, with or without the physics of a plant.
struct Subject {
    opened: Option<Opened>,
    /// The physics that a rig names, with the card that it gives itself.
    physics: Option<(Arc<dyn Adjustable>, Card)>,
    /// Whether the plant is simulated: then its card says which one it is.
    simulated: bool,
    rig: String,
    plant: String,
    description: String,
    /// From sample to sample, where the plant's ports lie along time.
    sample_seconds: Option<f64>,
}

/// Shows how far a fit is, and ends it when the user wants to stop.
struct Spinner(ProgressBar);

impl Observer for Spinner {
    fn stop(&self) -> bool {
        stop::requested()
    }

    fn stage(&self, words: &str) {
        self.0.set_message(words.to_owned());
    }
}

/// Calibrates, saves, and says how it went.
pub fn run(arguments: &CalibrateArgs) -> Result<(), Error> {
    let start = Instant::now();
    refuse_report(arguments.report.as_deref())?;
    let mut subject = subject(arguments)?;
    let Some(procedure) = arguments.procedure.0 else { return trainability(arguments, subject) };
    let trace = if arguments.from.is_empty() {
        match measured(arguments, procedure, &mut subject)? {
            Some(trace) => trace,
            None => return Ok(()),
        }
    } else {
        let columns = Columns::of(arguments)?.heeded(&arguments.from)?;
        subject.claim(read_trace(&arguments.from, &columns)?, arguments.from.first())?
    };
    subject.take_names(&trace);
    let model = match &subject.opened {
        Some(opened) => opened.adjustable.clone(),
        None => subject.physics.as_ref().map(|(model, _)| model.clone()),
    };
    let test = read_test(arguments, &trace, &subject)?;
    let bytes = trace.to_arrow()?;
    let trace_sha256 = digest(&bytes);
    // On disk before anything is fitted: whatever happens then, nothing has to be measured again.
    let trace_path = match arguments.from.first() {
        Some(file) => file.clone(),
        None => fits::keep_trace(&subject.plant, (&bytes, &trace_sha256), &arguments.fits)?,
    };
    measuring::finished(arguments, &subject);
    drop(bytes);
    let spinner = spinner(arguments.json, "fitting");
    let fitted = calibration_of(arguments, procedure)
        .fit(&trace, test.as_ref(), model.as_deref(), &Spinner(spinner.clone()))
        .map_err(|error| match error {
            calibration::Error::Stopped => Error::FitStopped(trace_path.clone()),
            other => Error::from(other),
        })?;
    spinner.finish_and_clear();

    let facts = facts(arguments, &subject, &trace, &fitted, trace_sha256);
    let fit = Fit { facts, parts: fitted.parts.clone(), noise: fitted.noise.as_ref().map(|noise| noise.0.clone()) };
    let path = fits::save(&fit, &arguments.fits)?;
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
        say!("{:#}", telling::object(&calibrated, &trace_path, figures.as_deref()));
    } else {
        telling::say(&calibrated, &trace_path, arguments.report.as_deref());
    }
    Ok(())
}

/// The shots that measure the residual, where they are others than a part of `trace`.
fn read_test(arguments: &CalibrateArgs, trace: &Trace, subject: &Subject) -> Result<Option<Trace>, Error> {
    let Some(first) = arguments.test.first() else { return Ok(None) };
    let test = read_trace(&arguments.test, &Columns::of(arguments)?.of_test())?;
    same_widths(trace, &test, first)?;
    if trace.is_recorded() {
        let ordered = test.in_order_of(trace);
        return ordered.map(Some).map_err(|error| Error::Data(format!("{}: {error}", first.display())));
    }
    subject.claim(test, Some(first)).map(Some)
}

/// Opens the plant that the command line names.
fn subject(arguments: &CalibrateArgs) -> Result<Subject, Error> {
    let Some(name) = &arguments.rig else {
        if arguments.from.is_empty() {
            return Err(Error::Usage(
                "name a rig file to measure, or `simulated` for the built-in rig, or a trace with --from".to_owned(),
            ));
        }
        return Ok(Subject {
            opened: None,
            physics: None,
            simulated: false,
            rig: "none".into(),
            plant: "recorded".into(),
            description: String::new(),
            sample_seconds: None,
        });
    };
    let file = Path::new(name);
    let file = if name == "simulated" && !file.is_file() { None } else { Some(file) };
    let rig = Rig::changed(file, &arguments.set)?;
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
    let system = rig.config.plants.get(&plant).and_then(PlantConfig::twin_system);
    let sample_seconds = system.and_then(SimulatedConfig::sample_seconds);
    let simulated = rig.config.plants.get(&plant).is_some_and(|plant| plant.simulated.is_some());
    // What only fits opens no bench.
    let (opened, physics) = if arguments.from.is_empty() {
        (Some(rig.open_uncalibrated(&plant, arguments.seed)?), None)
    } else {
        (None, rig.physics(&plant)?)
    };
    Ok(Subject { opened, physics, simulated, rig: rig.config.name.clone(), plant, description, sample_seconds })
}

impl Subject {
    /// The trace that `file` holds, if it is of this plant. Recorded data, which says nothing of itself, becomes the plant's where the
    /// rig knows its physics.
    fn claim(&self, trace: Trace, file: Option<&PathBuf>) -> Result<Trace, Error> {
        let (Some((_, card)), Some(file)) = (&self.physics, file) else { return Ok(trace) };
        if trace.is_recorded() {
            return trace.of_plant(card).map_err(|error| Error::Data(format!("{}: {error}", file.display())));
        }
        same_plant(&trace, (&self.plant, card, self.simulated), file)?;
        Ok(trace)
    }

    /// Without a rig, the trace says whose it is.
    fn take_names(&mut self, trace: &Trace) {
        let known = |key: &str| trace.provenance.get(key).cloned();
        if let (true, Some(plant)) = (self.rig == "none", known("plant")) {
            self.plant = plant;
            self.rig = known("rig").unwrap_or_else(|| "none".to_owned());
        }
    }
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
    if let Some(test) = arguments.test.first() {
        options.insert("test".to_owned(), test.display().to_string());
    }
    if let Some(physics) = &fitted.physics {
        options.insert("coefficients".to_owned(), format!("of {} shots, {} steps", physics.shots, physics.steps));
    }
    if let Some((architecture, _)) = &fitted.learned {
        options.insert("hidden".to_owned(), format!("{:?}", architecture.hidden));
        options.insert(
            "network".to_owned(),
            if fitted.parts.network.is_some() { "kept" } else { "left out: it does not help" }.to_owned(),
        );
    } else if arguments.procedure.name() == Procedure::Residual.name() && fitted.twin.is_some() {
        options.insert("network".to_owned(), "left out: too few stimuli to learn one".to_owned());
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
        procedure: arguments.procedure.name().to_owned(),
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

/// Whether the bench will train.
fn trainability(arguments: &CalibrateArgs, subject: Subject) -> Result<(), Error> {
    let Some(mut opened) = subject.opened else {
        return Err(Error::Usage("--procedure trainability asks the plant itself: name a rig".to_owned()));
    };
    opened.allowance.pace();
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
         cosine of the twin's gradient {:.3} in one pass, {:.2} (90 %: {:.2} to {:.2}) back through {}{}",
        found.inputs_over_noise,
        found.controls_over_noise.map(|ratio| format!(", controls over noise {ratio:.0}")).unwrap_or_default(),
        found.effective_rank,
        100.0 * found.range_use,
        found.error_growth,
        found.growth_over_depth,
        found.depth,
        found.gradient_cosine,
        found.chain.cosine,
        found.chain.low,
        found.chain.high,
        found.chain.depth,
        found.network.map_or(String::new(), |network| {
            format!(", {:.2} ({:.2} to {:.2}) in the experiment's network", network.cosine, network.low, network.high)
        })
    )];
    if !found.trainable() {
        lines.extend(found.why_not.iter().map(|reason| format!("it will hardly train: {reason}")));
    } else if found.doubts.is_empty() {
        lines.push("it should train".to_owned());
    } else {
        lines.extend(found.doubts.iter().map(|doubt| format!("it may train or not: {doubt}")));
    }
    lines
}
