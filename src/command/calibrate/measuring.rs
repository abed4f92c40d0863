//! The measuring part of `pnnlab calibrate`: what it will cost, and every shot.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use calibration::{Calibration, Procedure, SAMPLE_SECONDS, Search, Stimuli, Trace, Watch, bench_seconds};
use drivers::{Card, Limited, Origin, Plant};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use sims::{Key, Moment};

use super::begun::Begun;
use super::{CalibrateArgs, Columns, Subject, read_trace};
use crate::output::{bytes, duration};
use crate::plants::{Opened, lab::unknown};
use crate::record::unix_seconds;
use crate::report::calibration::counted;
use crate::training::plan::{free_bytes, waiting};
use crate::{Error, stop};

/// Copies of a trace that measuring and fitting hold at a time.
const COPIES: u64 = 4;
/// What may be used where the system does not say how much memory is free, in bytes.
const MOST_MEMORY: u64 = 64_000_000_000;

/// What a calibration will cost.
#[derive(Debug, Serialize)]
struct Cost {
    /// Shots on the plant.
    shots: u64,
    /// Settings of the controls.
    settings: usize,
    /// Bench time by the timing on the plant's card, in s.
    plant_seconds: f64,
    /// How long limits on steps, duty and energy make it wait besides, in s.
    waiting_seconds: f64,
    /// What the trace will take, in bytes.
    trace_bytes: u64,
    /// What measuring and fitting will take of the memory, in bytes.
    memory_bytes: u64,
    /// What is free where it goes, in bytes; none where that cannot be told.
    free_bytes: Option<u64>,
}

impl Cost {
    /// From numbers alone: nothing is drawn yet.
    fn of(card: &Card, calibration: &Calibration, near: bool, folder: &Path) -> Self {
        let settings = calibration.settings(&card.ports, near);
        let shots = (calibration.stimuli as u64).saturating_mul(calibration.repeats as u64);
        let values = card.ports.input_count() + card.ports.control_count() + card.ports.output_count();
        // A time, two numbers, and every value of the shot.
        let trace_bytes = shots.saturating_mul(16 + 4 * values as u64);
        Self {
            shots,
            settings: settings.iter().map(|(count, _)| count).sum(),
            plant_seconds: bench_seconds(card, &settings, calibration.repeats),
            waiting_seconds: 0.0,
            trace_bytes,
            memory_bytes: COPIES.saturating_mul(trace_bytes),
            free_bytes: free_bytes(folder),
        }
    }

    /// Refuses what does not fit into the memory.
    fn check_memory(&self) -> Result<(), Error> {
        let free = free_memory().unwrap_or(MOST_MEMORY);
        if self.memory_bytes <= free {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{} take {} of memory, and {} is free: take fewer --stimuli or --repeats",
            counted(self.shots as usize, "shot", "shots"),
            bytes(self.memory_bytes),
            bytes(free)
        )))
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
    fn say(&self, as_json: bool, unknown: &[String]) {
        if as_json {
            say!("{:#}", json!({ "plan": self, "checked_shots": self.shots, "cannot_be_known": unknown }));
            return;
        }
        say!("plan: {self}");
        say!("every stimulus keeps every limit: range, slew, duty, energy");
        for sentence in unknown {
            say!("not known before: {sentence}");
        }
        say!("nothing was driven and nothing was written: leave out --dry-run to measure");
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {} of the controls: {} of bench time, {} on disk",
            counted(self.shots as usize, "shot", "shots"),
            counted(self.settings, "setting", "settings"),
            duration(self.plant_seconds),
            bytes(self.trace_bytes)
        )?;
        waiting(f, self.waiting_seconds)?;
        self.free_bytes.map_or(Ok(()), |free| write!(f, " ({} free)", bytes(free)))
    }
}

/// The memory that the system says is free, in bytes.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(1024 * kibibytes)
}

/// Holds every stimulus, as often as it is to be taken, against every limit, and returns the time that this takes on the bench, in s.
fn hold_against_limits(opened: &Opened, stimuli: &Stimuli, repeats: usize) -> Result<f64, calibration::Error> {
    let mut plant = Limited::rehearsal(opened.plant.card().clone(), &opened.allowance);
    let mut watch = Watch { now: &mut || None, progress: &mut |_| ControlFlow::Continue(()) };
    calibration::measure(&mut plant, stimuli, repeats, &mut watch)?;
    Ok(plant.allowance().at())
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
    let near = arguments.near.as_ref().map(|file| read_trace(std::slice::from_ref(file), &Columns::default()));
    let near = near.transpose()?;
    let (name, Some(opened)) = (subject.plant.clone(), &mut subject.opened) else {
        return Err(Error::Usage("name a rig file to measure, or a trace with --from".to_owned()));
    };
    let calibration = calibration_of(arguments, procedure);
    let plant = &opened.plant;
    if let Some(near) = &near {
        let widths = |ports: &drivers::Ports| [ports.input_count(), ports.control_count()];
        if widths(&near.card.ports) != widths(plant.ports()) {
            return Err(Error::Data(
                "--near: the trace has other numbers of inputs and controls than the plant".to_owned(),
            ));
        }
    }
    // Waiting costs a measurement only time.
    opened.allowance.pace();
    let mut cost = Cost::of(plant.card(), &calibration, near.is_some(), &arguments.fits);
    cost.check_memory()?;
    cost.check(&arguments.fits)?;
    let stimuli = calibration.stimuli(plant.ports(), near.as_ref());
    let seconds = hold_against_limits(opened, &stimuli, calibration.repeats).map_err(Error::calibration(&name))?;
    if opened.allowance.paces() {
        cost.waiting_seconds = (seconds - cost.plant_seconds).max(0.0);
    }
    if arguments.dry_run {
        cost.say(arguments.json, &unknown(&name, opened.plant.card(), &opened.allowance, !opened.links.is_empty()));
        return Ok(None);
    }
    tell!("pnnlab: plan: {cost}");
    Ok(Some(measure(arguments, procedure, subject, &stimuli)?))
}

/// What a trace says of where it comes from.
fn provenance(
    arguments: &CalibrateArgs,
    procedure: Procedure,
    (rig, plant, description): (&str, &str, &str),
) -> BTreeMap<String, String> {
    let facts = [
        ("rig", rig.to_owned()),
        ("plant", plant.to_owned()),
        ("description_sha256", description.to_owned()),
        ("procedure", procedure.name().to_owned()),
        ("seed", arguments.seed.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What was kept in case the measurement were interrupted is not needed any more: the whole trace is on disk.
pub(super) fn finished(arguments: &CalibrateArgs, subject: &Subject) {
    if let Some(opened) = subject.opened.as_ref().filter(|_| arguments.from.is_empty()) {
        Begun::forget(arguments, &opened.name);
    }
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
    let provenance = provenance(arguments, procedure, (&subject.rig, &name, &subject.description));
    let mut begun = Begun::open(arguments, &name, (opened.plant.card(), &provenance))?;
    if let (Some(clock), Some(before)) = (&opened.clock, begun.before()) {
        let seconds = before.seconds.last().copied().unwrap_or(0.0);
        clock.set(Moment { shots: before.shots() as u64, seconds });
    }
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
    let start = Instant::now();
    let real = plant.card().identity.origin == Origin::Real;
    let earlier = begun.before().and_then(|before| before.seconds.last().copied()).unwrap_or(0.0);
    let mut watch = Watch {
        now: &mut || real.then(|| earlier + start.elapsed().as_secs_f64()),
        progress: &mut |done| {
            bar.set_position(done as u64);
            if stop::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    };
    let measured = begun.measure(plant, stimuli, repeats, &mut watch);
    plant.make_safe().map_err(Error::plant(&name))?;
    bar.finish_and_clear();
    let mut trace = match measured {
        Ok(Some(trace)) => trace,
        Ok(None) => return Err(begun.left()),
        // While it waited for its limits over time.
        Err(_) if stop::requested() => return Err(begun.left()),
        Err(error) => {
            if let Error::CalibrationBegun { path, shots } = begun.left() {
                tell!(
                    "pnnlab: {shots} shots are kept: {}. Give the same options and --resume to go on",
                    path.display()
                );
            }
            return Err(begun.unwritten().unwrap_or_else(|| Error::calibration(&name)(error)));
        }
    };
    trace.provenance = provenance;
    trace
        .provenance
        .insert("started_unix_seconds".to_owned(), (unix_seconds() - start.elapsed().as_secs_f64()).to_string());
    if let Some(seconds) = subject.sample_seconds {
        trace.provenance.insert(SAMPLE_SECONDS.to_owned(), seconds.to_string());
    }
    Ok(trace)
}
