//! `pnnlab runs export`: runs as one file that other programs read.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema};
use clap::Args;
use drivers::{MEBIBYTE, read_bounded};
use serde_json::Value;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::compare::settings;
use super::{Named, find_groups};
use crate::record::{Catalog, catalog::whole_rows, whole_stream};
use crate::{Error, stop};

/// The most that is read of a file of a run.
const MOST: u64 = 4096 * MEBIBYTE;

/// `pnnlab runs export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The runs, or comparisons and sweeps with all their runs: their names, or their folders
    #[arg(required = true)]
    run: Vec<PathBuf>,
    /// The file: .csv or .arrow (all rows of their metrics), .zip (all that is needed to reproduce them)
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Exports.
pub fn run(catalog: &Catalog, arguments: &ExportArgs) -> Result<(), Error> {
    let runs = find_groups(catalog, &arguments.run)?;
    let to = &arguments.to;
    if to.exists() {
        let message = "exists already, and is not overwritten: give --to another name".to_owned();
        return Err(Error::Record { path: to.clone(), message });
    }
    let kind = to.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    // A name that is nobody's: a file of another program may be called NAME.partial.
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let beside = to.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let written = match kind {
        "csv" => Rows::read(&runs).and_then(|rows| rows.write_csv(&beside)),
        "arrow" => Rows::read(&runs).and_then(|rows| rows.write_arrow(&beside, &runs)),
        "zip" => write_zip(&beside, &runs),
        _ => Err(Error::Usage(format!("--to {}: ends with none of .csv, .arrow, .zip", to.display()))),
    };
    let moved = written.and_then(|()| fs::rename(&beside, to).map_err(Error::chosen(to, "cannot be written", "--to")));
    if moved.is_err() {
        drop(fs::remove_file(&beside));
    }
    moved?;
    say!("{}", to.display());
    Ok(())
}

/// The metrics of several runs under one another; the first column says whose a row is.
struct Rows {
    columns: Vec<String>,
    table: Vec<Vec<String>>,
    /// The columns at the end that say what a run is.
    words: Vec<String>,
}

impl Rows {
    fn read(runs: &[Named]) -> Result<Self, Error> {
        let mut all = Self { columns: vec![], table: vec![], words: vec![] };
        for run in runs {
            let path = run.folder.join("metrics.csv");
            let bad =
                |error: csv::Error| Error::Record { path: path.clone(), message: format!("cannot be read: {error}") };
            let text = whole_rows(&run.folder)?;
            let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_slice());
            let columns: Vec<String> = reader.headers().map_err(bad)?.iter().map(str::to_owned).collect();
            for column in columns {
                if !all.columns.contains(&column) {
                    all.columns.push(column);
                }
            }
            let headers = reader.headers().map_err(bad)?.clone();
            let places: Vec<Option<usize>> =
                all.columns.iter().map(|column| headers.iter().position(|header| header == column)).collect();
            for record in reader.records() {
                let record = record.map_err(bad)?;
                let cells =
                    places.iter().map(|place| place.and_then(|place| record.get(place)).unwrap_or("").to_owned());
                all.table.push(std::iter::once(run.name.clone()).chain(cells).collect());
            }
        }
        all.columns.insert(0, "run".to_owned());
        all.describe(runs)?;
        Ok(all)
    }

    /// Adds to each row what its run is: experiment, method, seed, and every key of experiment and rig that differs between the runs.
    fn describe(&mut self, runs: &[Named]) -> Result<(), Error> {
        let settings = runs.iter().map(settings).collect::<Result<Vec<_>, _>>()?;
        let mut keys: Vec<&String> = settings.iter().flat_map(serde_json::Map::keys).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| settings.iter().any(|one| one.get(*key) != settings[0].get(*key)));
        // The columns before say these.
        keys.retain(|key| !["name", "seed", "training.method"].contains(&key.as_str()));
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let facts = ["experiment", "method", "seed"];
        let cells: HashMap<&str, Vec<String>> = runs
            .iter()
            .zip(&settings)
            .map(|(run, settings)| {
                let known = facts.iter().map(|key| text(&run.facts[*key]));
                let swept = keys.iter().map(|key| settings.get(*key).map_or_else(String::new, text));
                (run.name.as_str(), known.chain(swept).collect())
            })
            .collect();
        let width = self.columns.len();
        for row in &mut self.table {
            row.resize(width, String::new());
            let more = cells.get(row[0].as_str()).cloned().unwrap_or_default();
            row.extend(more);
        }
        self.words = facts.iter().map(|fact| (*fact).to_owned()).chain(keys.into_iter().cloned()).collect();
        self.columns.extend(self.words.clone());
        Ok(())
    }

    fn write_csv(&self, path: &Path) -> Result<(), Error> {
        let bad =
            |error: csv::Error| Error::Record { path: path.to_owned(), message: format!("cannot be written: {error}") };
        let mut writer = csv::WriterBuilder::new().flexible(false).from_path(path).map_err(bad)?;
        writer.write_record(self.columns.iter().map(|column| plain(column))).map_err(bad)?;
        for row in &self.table {
            going()?;
            // Runs of an earlier program may have fewer columns.
            let missing = self.columns.len() - row.len();
            let cells = row.iter().map(|cell| plain(cell)).chain(std::iter::repeat_n(String::new(), missing));
            writer.write_record(cells).map_err(bad)?;
        }
        writer.flush().map_err(Error::chosen(path, "cannot be written", "--to"))
    }

    /// An Arrow IPC file (Feather): `run`, `kind` and what a run is are words, all else numbers, empty cells are null.
    fn write_arrow(&self, path: &Path, runs: &[Named]) -> Result<(), Error> {
        let bad =
            |message: String| Error::Record { path: path.to_owned(), message: format!("cannot be written: {message}") };
        let cell = |row: &Vec<String>, place: usize| row.get(place).cloned().unwrap_or_default();
        let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) = (vec![], vec![]);
        for (place, column) in self.columns.iter().enumerate() {
            let is_word = matches!(column.as_str(), "run" | "kind") || self.columns.len() - self.words.len() <= place;
            fields.push(Field::new(column, if is_word { DataType::Utf8 } else { DataType::Float64 }, !is_word));
            arrays.push(if is_word {
                Arc::new(self.table.iter().map(|row| Some(cell(row, place))).collect::<StringArray>())
            } else {
                Arc::new(self.table.iter().map(|row| cell(row, place).parse::<f64>().ok()).collect::<Float64Array>())
            });
        }
        // What the runs were goes with their numbers.
        let provenance: HashMap<String, String> =
            runs.iter().map(|run| (format!("run.{}", run.name), run.facts.to_string())).collect();
        let schema = Arc::new(Schema::new(fields).with_metadata(provenance));
        let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| bad(error.to_string()))?;
        let file = File::create(path).map_err(Error::chosen(path, "cannot be written", "--to"))?;
        let mut writer = FileWriter::try_new(file, &schema).map_err(|error| bad(error.to_string()))?;
        writer.write(&batch).and_then(|()| writer.finish()).map_err(|error| bad(error.to_string()))
    }
}

/// A cell that a spreadsheet takes for text or a number, and never for a formula (OWASP, CSV injection).
fn plain(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    if is_formula { format!("'{cell}") } else { cell.to_owned() }
}

/// Ends the export where the user has asked to stop.
fn going() -> Result<(), Error> {
    if stop::requested() { Err(Error::ExportStopped) } else { Ok(()) }
}

/// The folders of the runs, but for what only this machine needs, and how to run them again.
fn write_zip(path: &Path, runs: &[Named]) -> Result<(), Error> {
    let bad =
        |message: String| Error::Record { path: path.to_owned(), message: format!("cannot be written: {message}") };
    let file = File::create(path).map_err(Error::chosen(path, "cannot be written", "--to"))?;
    let mut zip = ZipWriter::new(file);
    let mut add = |name: String, bytes: &[u8]| {
        // Dates would make two exports of one run differ.
        zip.start_file(name, SimpleFileOptions::default()).map_err(|error| bad(error.to_string()))?;
        zip.write_all(bytes).map_err(Error::chosen(path, "cannot be written", "--to"))
    };
    for run in runs {
        for (name, source) in files(&run.folder)? {
            going()?;
            let bytes = match name.as_str() {
                "metrics.csv" => whole_rows(&run.folder)?,
                _ if name.ends_with(".arrows") => {
                    whole_stream(read_bounded(&source, MOST).map_err(Error::record(&source, "cannot be read"))?)
                }
                _ => read_bounded(&source, MOST).map_err(Error::record(&source, "cannot be read"))?,
            };
            add(format!("{}/{name}", run.name), &bytes)?;
        }
        add(format!("{}/REPRODUCE.txt", run.name), reproduce(run).as_bytes())?;
    }
    zip.finish().map_err(|error| bad(error.to_string()))?;
    Ok(())
}

/// Files below a run's folder, but sockets, checkpoints and what is not whole. A link is told and left out: what it leads to is not the
/// run's, and may lead back.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let (mut found, mut rest) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = rest.pop() {
        for entry in fs::read_dir(&next).map_err(Error::record(&next, "cannot be read"))?.flatten() {
            let path = entry.path();
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            if name == crate::record::CHECKPOINTS || name.ends_with(".partial") {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_symlink() => tell!("pnnlab: {}: is a link, and is left out", path.display()),
                Ok(kind) if kind.is_dir() => rest.push(path),
                Ok(kind) if kind.is_file() => found.push((name, path)),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// How to run it again, in words.
fn reproduce(run: &Named) -> String {
    let facts = &run.facts;
    let word = |key: &str| facts[key].as_str().unwrap_or("?").to_owned();
    // Records of earlier programs name only the repository that they were started in.
    let source = if facts["program"].is_null() { &facts["git"] } else { &facts["program"] };
    let commit = source["commit"].as_str().map_or_else(String::new, |commit| {
        let changed = if source["changed"] == true { " with changes that are not in it" } else { "" };
        format!(" of commit {commit}{changed}")
    });
    let data = if facts["data_path"].is_null() { "" } else { " --data PATH" };
    format!(
        "pnnlab {}{commit}, in this folder:\n\n  pnnlab train experiment.toml --rig rig.toml{data}\n\n\
         It was started as `{}`.\nData: {} (fingerprint {}).\nOn simulated plants the same metrics.csv and \
         weights.safetensors come out byte for byte.\n",
        word("version"),
        word("command"),
        word("data"),
        word("data_fingerprint"),
    )
}
