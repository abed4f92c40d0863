//! The measuring part of `pnnlab calibrate`: what it will cost, and every shot.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use calibration::{Calibration, Procedure, Search, Stimuli, Trace, Watch};
use drivers::{Card, Direction, Origin, Plant, Ports};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use sims::Key;

use super::{CalibrateArgs, Subject, read_trace};
use crate::plan::{bytes, duration, free_bytes};
use crate::run::unix_seconds;
use crate::{Error, stop};

/// What a calibration will cost.
#[derive(Debug, Serialize)]
struct Cost {
    /// Shots on the plant.
    shots: u64,
    /// Settings of the controls.
    settings: usize,
    /// Bench time by the timing on the plant's card, in s.
    plant_seconds: f64,
    /// What the trace will take, in bytes.
    trace_bytes: u64,
    /// What is free where it goes, in bytes; none where that cannot be told.
    free_bytes: Option<u64>,
}

impl Cost {
    fn of(card: &Card, stimuli: &Stimuli, repeats: usize, folder: &Path) -> Self {
        let groups = stimuli.by_setting();
        let settle = if card.ports.control_count() == 0 { 0.0 } else { card.timing.settle };
        let time = groups.iter().map(|(_, inputs)| settle + repeats as f64 * card.timing.batch(inputs.rows()));
        let shots = (stimuli.inputs.rows() * repeats) as u64;
        let values = card.ports.input_count() + card.ports.control_count() + card.ports.output_count();
        Self {
            shots,
            settings: groups.len(),
            plant_seconds: time.sum(),
            // A time, two numbers, and every value of the shot.
            trace_bytes: shots * (16 + 4 * values as u64),
            free_bytes: free_bytes(folder),
        }
    }

    /// Refuses a trace that does not fit on the disk.
    fn check(&self, folder: &Path) -> Result<(), Error> {
        match self.free_bytes {
            Some(free) if free < self.trace_bytes => Err(Error::Record {
                path: folder.to_owned(),
                message: format!(
                    "has {} free, but the trace takes {}: free the disk, choose another folder with --fits, or take fewer --stimuli",
                    bytes(free),
                    bytes(self.trace_bytes)
                ),
            }),
            _ => Ok(()),
        }
    }

    /// What a dry run prints.
    fn say(&self, as_json: bool) {
        if as_json {
            say!("{:#}", json!({ "plan": self, "checked_shots": self.shots }));
            return;
        }
        say!("plan: {self}");
        say!("every stimulus keeps every limit");
        say!("nothing was driven and nothing was written: leave out --dry-run to measure");
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} shots at {} settings of the controls: {} of bench time, {} on disk",
            self.shots,
            self.settings,
            duration(self.plant_seconds),
            bytes(self.trace_bytes)
        )?;
        self.free_bytes.map_or(Ok(()), |free| write!(f, " ({} free)", bytes(free)))
    }
}

/// Holds every stimulus against the ranges that the rig allows.
fn hold_against_limits(ports: &Ports, stimuli: &Stimuli) -> Result<(), drivers::Error> {
    let mut settings = stimuli.settings.iter();
    settings.try_for_each(|setting| ports.check(Direction::Control, setting))?;
    stimuli.inputs.iter().try_for_each(|shot| ports.check(Direction::Input, shot))
}

/// What the command line asks for.
pub(super) fn calibration_of(arguments: &CalibrateArgs, procedure: Procedure) -> Calibration {
    let search = Search { candidates: arguments.candidates as usize, ..Search::default() };
    Calibration {
        procedure,
        stimuli: arguments.stimuli as usize,
        repeats: arguments.repeats as usize,
        per_setting: arguments.per_setting as usize,
        search,
        key: Key::new(arguments.seed).branch("calibration"),
    }
}

/// Measures the plant; nothing after a dry run.
pub(super) fn measured(
    arguments: &CalibrateArgs,
    procedure: Procedure,
    subject: &mut Subject,
) -> Result<Option<Trace>, Error> {
    let near = arguments.near.as_deref().map(|file| read_trace(file, None)).transpose()?;
    let (name, Some(opened)) = (subject.plant.clone(), &mut subject.opened) else {
        return Err(Error::Usage("name a rig file to measure, or a trace with --from".to_owned()));
    };
    let calibration = calibration_of(arguments, procedure);
    let plant = &mut opened.plant;
    if let Some(near) = &near {
        let widths = |ports: &drivers::Ports| [ports.input_count(), ports.control_count()];
        if widths(&near.card.ports) != widths(plant.ports()) {
            return Err(Error::Data(
                "--near: the trace has other numbers of inputs and controls than the plant".to_owned(),
            ));
        }
    }
    let stimuli = calibration.stimuli(plant.ports(), near.as_ref());
    let cost = Cost::of(plant.card(), &stimuli, calibration.repeats, &arguments.fits);
    cost.check(&arguments.fits)?;
    if arguments.dry_run {
        hold_against_limits(plant.ports(), &stimuli).map_err(Error::plant(&name))?;
        cost.say(arguments.json);
        return Ok(None);
    }
    tell!("pnnlab: plan: {cost}");
    Ok(Some(measure(arguments, procedure, subject, &stimuli)?))
}

/// Takes every shot.
fn measure(
    arguments: &CalibrateArgs,
    procedure: Procedure,
    subject: &mut Subject,
    stimuli: &Stimuli,
) -> Result<Trace, Error> {
    let (name, Some(opened)) = (subject.plant.clone(), &mut subject.opened) else {
        return Err(Error::Usage("name a rig file to measure, or a trace with --from".to_owned()));
    };
    let plant = &mut opened.plant;
    let repeats = arguments.repeats as usize;
    let shots = (stimuli.inputs.rows() * repeats) as u64;
    let bar = if arguments.json { ProgressBar::hidden() } else { ProgressBar::new(shots) };
    if let Ok(style) =
        ProgressStyle::with_template("{prefix:12} {bar:24} {pos:>6}/{len} shots {elapsed:>4} left {eta:>4}")
    {
        bar.set_style(style);
    }
    bar.set_prefix("measuring");
    let begun = Instant::now();
    let real = plant.card().identity.origin == Origin::Real;
    let mut watch = Watch {
        now: &mut || real.then(|| begun.elapsed().as_secs_f64()),
        progress: &mut |done| {
            bar.set_position(done as u64);
            if stop::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    };
    let measured = calibration::measure(plant, stimuli, repeats, &mut watch);
    plant.make_safe().map_err(Error::plant(&name))?;
    bar.finish_and_clear();
    let mut trace = measured.map_err(Error::calibration(&name))?.ok_or(Error::CalibrationStopped)?;
    for (key, value) in [
        ("rig", subject.rig.clone()),
        ("plant", name),
        ("description_sha256", subject.description.clone()),
        ("procedure", procedure.name().to_owned()),
        ("seed", arguments.seed.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("started_unix_seconds", (unix_seconds() - begun.elapsed().as_secs_f64()).to_string()),
    ] {
        trace.provenance.insert(key.to_owned(), value);
    }
    Ok(trace)
}
