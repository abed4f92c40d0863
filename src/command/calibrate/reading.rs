//! The reading part of `pnnlab calibrate`: traces, recorded shots of a training, recorded data; and whether they fit together.

use std::path::{Path, PathBuf};

use calibration::Trace;
use drivers::Plant;

use crate::Error;
use crate::lab::Opened;

/// Reads a trace, a training's recorded shots, an archive, or inputs and outputs from two archives.
pub(super) fn read_trace(files: &[PathBuf], arrays: Option<&str>) -> Result<Trace, Error> {
    let names = match arrays.map(|arrays| arrays.split_once(',')) {
        Some(None) => return Err(Error::Usage("--arrays takes two names with a comma: INPUTS,OUTPUTS".to_owned())),
        Some(names) => names,
        None => None,
    };
    let Some(first) = files.first() else { return Err(Error::Usage("name a trace with --from".to_owned())) };
    let is = |file: &Path, ending: &str| file.extension().is_some_and(|extension| extension == ending);
    if files.len() > 1 && !(files.len() == 2 && files.iter().all(|file| is(file, "npz"))) {
        return Err(Error::Usage(
            "only .npz files are taken together, and only two: inputs from the first and outputs from the second"
                .to_owned(),
        ));
    }
    let contents = files.iter().map(|file| content(file)).collect::<Result<Vec<_>, _>>()?;
    let trace = if is(first, "npz") {
        Trace::from_npz(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>(), names)
    } else if is(first, "arrows") {
        let stem = first.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let beside = first.with_file_name(format!("{stem}-controls.arrows"));
        let controls = if beside.is_file() { Some(content(&beside)?) } else { None };
        Trace::from_shots(&contents[0], controls.as_deref())
    } else {
        Trace::from_arrow(&contents[0])
    };
    trace.map_err(|error| Error::Data(format!("{}: {error}", list(files))))
}

fn content(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|source| {
        Error::Data(format!(
            "{}: cannot be read: {source}. Name a trace (.arrow), a training's shots (runs/RUN/shots/PLANT-N.arrows) or a .npz",
            file.display()
        ))
    })
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Refuses a trace of another plant.
pub(super) fn same_plant(trace: &Trace, opened: &Opened, file: Option<&PathBuf>) -> Result<(), Error> {
    let (of, plant) = (&trace.card.identity, &opened.plant.card().identity);
    let Some(file) = file else { return Ok(()) };
    if of.system == plant.system && of.serial == plant.serial {
        return Ok(());
    }
    Err(Error::Data(format!(
        "{}: the trace is of the {} plant `{}`, and `{}` is `{}`: name the rig that it was taken on",
        file.display(),
        of.system,
        of.serial,
        opened.name,
        plant.serial
    )))
}

/// Refuses a test of another shape.
pub(super) fn same_widths(trace: &Trace, test: &Trace, file: &Path) -> Result<(), Error> {
    let widths = |trace: &Trace| [trace.inputs.columns(), trace.settings.columns(), trace.outputs.columns()];
    if widths(trace) == widths(test) {
        return Ok(());
    }
    Err(Error::Data(format!(
        "{}: has {:?} inputs, controls and outputs, but --from has {:?}: both must be of one plant",
        file.display(),
        widths(test),
        widths(trace)
    )))
}
