//! The shots of a calibration while it measures: on disk batch by batch, so that an interrupted one goes on with `--resume`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use calibration::{Kept, Stimuli, Trace, TraceWriter, Watch, digest, measure_on};
use drivers::{Batch, Card, Plant};

use super::CalibrateArgs;
use crate::Error;
use crate::plants::fits;

/// A measurement that is under way.
pub(super) struct Begun {
    path: PathBuf,
    writer: TraceWriter<File>,
    before: Option<Trace>,
    shots: usize,
    /// Why shots could not be written, if they could not.
    unwritten: Option<String>,
}

/// Where the shots of a measurement with these options lie until it is whole.
fn place(arguments: &CalibrateArgs, plant: &str) -> PathBuf {
    let CalibrateArgs { rig, procedure, stimuli, repeats, per_setting, near, seed, set, .. } = arguments;
    let options = format!("{rig:?} {procedure:?} {stimuli} {repeats} {per_setting} {near:?} {seed} {set:?}");
    arguments.fits.join(format!("{plant}-{}.begun.arrows", &digest(options.as_bytes())[..12]))
}

/// The newest whole trace of `plant` in the folder of fits.
fn newest_trace(folder: &Path, plant: &str) -> Option<PathBuf> {
    let is_trace = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digest = name.strip_prefix(plant).and_then(|rest| rest.strip_prefix('-'));
        digest.and_then(|rest| rest.strip_suffix(".arrow")).is_some_and(|digest| !digest.contains(['-', '.']))
    };
    let traces = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path()).filter(is_trace);
    traces.max_by_key(|path| path.metadata().and_then(|facts| facts.modified()).ok())
}

/// The shots that an interrupted measurement left at `path`; `None` if there are none.
fn left_at(path: &Path) -> Result<Option<Trace>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Trace::from_stream(&bytes).map_err(|error| Error::Data(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Data(format!("{}: cannot be read: {error}", path.display()))),
    }
}

impl Begun {
    /// Begins a measurement of the plant of `card`, or goes on with one.
    pub fn open(
        arguments: &CalibrateArgs,
        plant: &str,
        (card, provenance): (&Card, &BTreeMap<String, String>),
    ) -> Result<Self, Error> {
        fits::make_folder(&arguments.fits, "--fits")?;
        let path = place(arguments, plant);
        let before = left_at(&path)?;
        match &before {
            Some(trace) if !arguments.resume => {
                return Err(Error::Usage(format!(
                    "{}: holds {} shots of this calibration, which was interrupted: go on with --resume, or remove it",
                    path.display(),
                    trace.shots()
                )));
            }
            None if arguments.resume => {
                let whole = newest_trace(&arguments.fits, plant).map_or(String::new(), |trace| {
                    format!(". If all its shots were taken, they are in {}: --from fits them", trace.display())
                });
                return Err(Error::Usage(format!(
                    "--resume: no calibration with these options was interrupted while it measured: there is no {}{whole}",
                    path.display()
                )));
            }
            _ => {}
        }
        if let Some(key) = before
            .as_ref()
            .and_then(|trace| provenance.iter().find(|(key, value)| trace.provenance.get(*key) != Some(*value)))
        {
            let message = format!("{}: was begun with another {}: remove it and measure again", path.display(), key.0);
            return Err(Error::Usage(message));
        }
        // Beside it, until what was there before is there again: a cut stream cannot be written on.
        let beside = path.with_extension("partial");
        let like = empty(card, provenance);
        let file = File::create(&beside).map_err(Error::chosen(&beside, "cannot be written", "--fits"))?;
        let named = |error: calibration::Error| Error::Record { path: beside.clone(), message: error.to_string() };
        let mut writer = TraceWriter::new(file, &like).map_err(named)?;
        if let Some(before) = &before {
            writer.add(before).map_err(named)?;
        }
        std::fs::rename(&beside, &path).map_err(Error::chosen(&path, "cannot be written", "--fits"))?;
        let shots = before.as_ref().map_or(0, Trace::shots);
        Ok(Self { path, writer, before, shots, unwritten: None })
    }

    /// The shots that were taken before.
    pub fn before(&self) -> Option<&Trace> {
        self.before.as_ref()
    }

    /// Measures what is left.
    pub fn measure(
        &mut self,
        plant: &mut dyn Plant,
        stimuli: &Stimuli,
        repeats: usize,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Trace>, calibration::Error> {
        let Self { writer, before, shots, unwritten, .. } = self;
        let mut keep = |batch: &Trace| {
            let written = writer.add(batch);
            match &written {
                Ok(()) => *shots += batch.shots(),
                Err(error) => *unwritten = Some(error.to_string()),
            }
            written
        };
        measure_on(plant, stimuli, repeats, watch, &mut Kept { begun: before.as_ref(), keep: &mut keep })
    }

    /// The error of shots that could not be written, if that ended the measurement.
    pub fn unwritten(&self) -> Option<Error> {
        let message = self.unwritten.as_ref()?;
        let message = format!("{message}. Free the disk, or choose another folder with --fits");
        Some(Error::Record { path: self.path.clone(), message })
    }

    /// What is left of a measurement that was interrupted, as its error.
    pub fn left(&self) -> Error {
        if self.shots == 0 {
            // A stream without shots is of no use.
            let _ = std::fs::remove_file(&self.path);
            return Error::CalibrationStopped;
        }
        Error::CalibrationBegun { path: self.path.clone(), shots: self.shots }
    }

    /// Removes the shots of a measurement that is whole by now.
    pub fn forget(arguments: &CalibrateArgs, plant: &str) {
        // Where it cannot be removed, the next measurement with these options says so.
        let _ = std::fs::remove_file(place(arguments, plant));
    }
}

/// A trace without shots.
fn empty(card: &Card, provenance: &BTreeMap<String, String>) -> Trace {
    let ports = &card.ports;
    Trace {
        card: card.clone(),
        provenance: provenance.clone(),
        settings: Batch::zeros(0, ports.control_count()),
        setting_of: vec![],
        stimulus: vec![],
        seconds: vec![],
        inputs: Batch::zeros(0, ports.input_count()),
        outputs: Batch::zeros(0, ports.output_count()),
    }
}
