//! The reading part of `pnnlab calibrate`: traces, recorded shots of a training, recorded data; and whether they fit together.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use calibration::{ColumnNames, Trace};
use drivers::{Card, MEBIBYTE, read_bounded};

use super::CalibrateArgs;
use crate::Error;
use crate::data::read_table;

/// The most that is read of a trace.
const MOST: u64 = 4096 * MEBIBYTE;

/// Which parts of recorded data are inputs, controls and outputs.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    /// Names of the arrays of a .npz.
    arrays: Option<(String, String)>,
    /// Names of the columns of a .csv.
    names: ColumnNames,
    /// A file of outputs alone.
    outputs: Option<PathBuf>,
}

impl Columns {
    /// As the command line says.
    pub fn of(arguments: &CalibrateArgs) -> Result<Self, Error> {
        let arrays = match arguments.arrays.as_deref().map(|arrays| arrays.split_once(',')) {
            Some(None) => return Err(Error::Usage("--arrays takes two names with a comma: INPUTS,OUTPUTS".to_owned())),
            Some(Some((inputs, outputs))) => Some((inputs.to_owned(), outputs.to_owned())),
            None => None,
        };
        let given = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
        let is_file = |name: &str| is_data(Path::new(name)) || Path::new(name).is_file();
        let (outputs, named) = match &arguments.outputs[..] {
            [file] if is_file(file) => (Some(PathBuf::from(file)), None),
            names => (None, given(names)),
        };
        let names =
            ColumnNames { inputs: given(&arguments.inputs), controls: arguments.controls.clone(), outputs: named };
        Ok(Self { arrays, names, outputs })
    }

    /// Refuses what `files`, those of --from, do not heed.
    pub fn heeded(self, files: &[PathBuf]) -> Result<Self, Error> {
        let Some(first) = files.first() else { return Ok(self) };
        let refuse = |option: &str, why: &str| {
            Err(Error::Usage(format!("{option} is not heeded by {}, which {why}", first.display())))
        };
        let all = [files, self.outputs.as_slice()].concat();
        if let [one, other] = &all[..]
            && one == other
            && is_table(one)
        {
            let message = format!("{} is given twice: inputs and outputs must be two tables", one.display());
            return Err(Error::Usage(message));
        }
        if let Some((inputs, outputs)) = &self.arrays
            && inputs == outputs
            && all.len() < 2
        {
            return Err(Error::Usage(format!(
                "--arrays names `{inputs}` twice: inputs and outputs must be two arrays"
            )));
        }
        let option = [
            ("--inputs", self.names.inputs.is_some()),
            ("--controls", !self.names.controls.is_empty()),
            ("--outputs", self.names.outputs.is_some()),
        ];
        let named = option.into_iter().find_map(|(option, given)| given.then_some(option));
        let arrays = self.arrays.as_ref().map(|_| "--arrays");
        match (arrays, named) {
            (Some(option), _) if is_table(first) => {
                refuse(option, "has columns: name them with --inputs and --outputs")
            }
            (_, Some(option)) if is(first, "npz") => {
                refuse(option, "has arrays: name them with --arrays INPUTS,OUTPUTS")
            }
            (_, Some(option)) if is_table(first) && files.len() + usize::from(self.outputs.is_some()) > 1 => refuse(
                option,
                "is one of two: all columns are taken, inputs from the first and outputs from the second. Leave it out",
            ),
            (Some(option), _) | (_, Some(option)) if !is_data(first) => {
                refuse(option, "says itself what is input and output: leave it out")
            }
            _ => Ok(self),
        }
    }

    /// The same for the test, whose outputs are another file than those of --from.
    pub fn of_test(self) -> Self {
        Self { outputs: None, ..self }
    }
}

/// Whether a file is recorded data by its name.
fn is_data(file: &Path) -> bool {
    is_table(file) || is(file, "npz")
}

/// Whether a file is a table by its name, plain or packed by gzip; and so is a pipe.
fn is_table(file: &Path) -> bool {
    let unpacked = if is(file, "gz") { file.with_extension("") } else { file.to_owned() };
    ["csv", "tsv", "txt"].iter().any(|ending| is(&unpacked, ending)) || is_pipe(file)
}

fn is_pipe(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|facts| facts.file_type().is_fifo())
}

/// What a file is that is neither a trace nor recorded data, by how it begins.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 6] = [
        (b"PAR1", "a Parquet file"),
        (b"MATLAB ", "a MATLAB file"),
        (b"\x89HDF", "an HDF5 file"),
        (b"SQLite format 3", "a database of SQLite"),
        (b"PK\x03\x04", "an archive, such as .npz or .xlsx, whose name does not say so"),
        (b"\x1F\x8B", "packed by gzip"),
    ];
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let known = kinds.into_iter().find(|(head, _)| bytes.starts_with(head)).map(|(_, kind)| kind);
    // Both a file and a stream of Arrow hold zeros at their beginning.
    let begin = &bytes[..bytes.len().min(64)];
    known.or((!begin.is_empty() && begin.iter().all(is_text)).then_some("text whose name does not end in .csv"))
}

fn is(file: &Path, ending: &str) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

/// Reads a trace, a training's recorded shots, recorded data, or inputs and outputs from two files of it.
pub(super) fn read_trace(files: &[PathBuf], columns: &Columns) -> Result<Trace, Error> {
    let all = [files, columns.outputs.as_slice()].concat();
    let files = &all[..];
    let Some(first) = files.first() else { return Err(Error::Usage("name a trace with --from".to_owned())) };
    let alike = files.iter().all(|file| is(file, "npz")) || files.iter().all(|file| is_table(file));
    if files.len() > 1 && !(files.len() == 2 && alike) {
        return Err(Error::Usage(
            "only two .npz or two .csv files are taken together: inputs from the first and outputs from the second"
                .to_owned(),
        ));
    }
    let names = columns.arrays.as_ref().map(|(inputs, outputs)| (inputs.as_str(), outputs.as_str()));
    let contents = files.iter().map(|file| content(file)).collect::<Result<Vec<_>, _>>()?;
    let trace = if is(first, "npz") {
        Trace::from_npz(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>(), names)
    } else if is_table(first) && !contents[0].starts_with(b"ARROW1") {
        let called: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let tables = called.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice));
        Trace::from_csv(&tables.collect::<Vec<_>>(), &columns.names)
    } else if is(first, "arrows") {
        let stem = first.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let beside = first.with_file_name(format!("{stem}-controls.arrows"));
        let controls = if beside.is_file() { Some(content(&beside)?) } else { None };
        Trace::from_shots(&contents[0], controls.as_deref())
    } else if is(first, "npy") {
        return Err(Error::Data(format!(
            "{}: is a single array: save inputs and outputs in one file with `numpy.savez(\"FILE.npz\", inputs=x, outputs=y)`",
            first.display()
        )));
    } else if let Some(kind) = foreign(&contents[0]).filter(|_| !is(first, "arrow")) {
        return Err(Error::Data(format!(
            "{}: is {kind}, which is not read here: write its shots as .csv (or .csv.gz), or with numpy.savez as .npz",
            first.display()
        )));
    } else {
        Trace::from_arrow(&contents[0])
    };
    trace.map_err(|error| Error::Data(format!("{}: {error}", list(files))))
}

fn content(file: &Path) -> Result<Vec<u8>, Error> {
    let read = if is_table(file) { read_table(file, MOST) } else { read_bounded(file, MOST) };
    read.map_err(|source| {
        Error::Data(format!(
            "{}: cannot be read: {source}. Name a trace (.arrow), a training's shots (runs/RUN/shots/PLANT-N.arrows), a .npz or a .csv (also .csv.gz, .tsv, .txt)",
            file.display()
        ))
    })
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Refuses a trace of another plant. Which one a real bench is, only the bench itself could say, and it is not opened.
pub(super) fn same_plant(
    trace: &Trace,
    (name, card, simulated): (&str, &Card, bool),
    file: &Path,
) -> Result<(), Error> {
    let (of, plant) = (&trace.card.identity, &card.identity);
    let widths = |card: &Card| [card.ports.input_count(), card.ports.control_count(), card.ports.output_count()];
    let (taken, here) = (widths(&trace.card), widths(card));
    if of.system == plant.system && (!simulated || of.serial == plant.serial) {
        if taken == here {
            return Ok(());
        }
        return Err(Error::Data(format!(
            "{}: the trace has {taken:?} inputs, controls and outputs, and `{name}` has {here:?}: name the rig that it was taken on",
            file.display(),
        )));
    }
    Err(Error::Data(format!(
        "{}: the trace is of the {} plant `{}`, and `{}` is `{}`: name the rig that it was taken on",
        file.display(),
        of.system,
        of.serial,
        name,
        if simulated { &plant.serial } else { &plant.system }
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
