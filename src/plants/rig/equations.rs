//! Files of equations that the plants of a rig name.

use std::path::{Path, PathBuf};

use drivers::{MEBIBYTE, read_bounded};

use super::RigConfig;
use crate::Error;
use crate::document::Document;

/// The most that is read of a file of equations.
const MOST_EQUATIONS: u64 = 10 * MEBIBYTE;
/// The most that is read of a file of points.
const MOST_POINTS: u64 = MEBIBYTE;

/// Reads the files of equations that plants name: beside the rig file in `folder`, or where there is none of that name, those that come with
/// the program.
pub(super) fn read_equations(
    config: &mut RigConfig,
    document: &Document,
    folder: Option<&PathBuf>,
) -> Result<(), Error> {
    for (name, plant) in &mut config.plants {
        for (key, system) in plant.equations() {
            // A run keeps the text beside the name.
            if !system.text.is_empty() {
                continue;
            }
            let refuse = |message: String| document.refuse(&format!("plants.{name}.{key}.file"), message);
            let built_in = hil::SYSTEMS.iter().find(|(file, _)| *file == system.file);
            if system.file.is_empty() {
                return Err(refuse("is missing: name the file of equations, such as \"diode.toml\"".to_owned()));
            }
            let path = folder.map_or_else(|| PathBuf::from(&system.file), |folder| folder.join(&system.file));
            system.text = match built_in {
                Some((_, text)) if folder.is_none() || !path.exists() => (*text).to_owned(),
                _ => {
                    let read = read_bounded(&path, MOST_EQUATIONS);
                    let bytes = read.map_err(|error| {
                        refuse(format!(
                            "{}: cannot be read: {error}. Put the file beside the rig, or give its path",
                            path.display()
                        ))
                    })?;
                    let text =
                        String::from_utf8(bytes).map_err(|_| refuse(format!("{}: is no text", path.display())))?;
                    let beside = path.parent().unwrap_or(Path::new(""));
                    equations_with_tables(&system.file, &text, beside).map_err(|error| refuse(error.to_string()))?
                }
            };
        }
    }
    Ok(())
}

/// The text of a file of equations with the points of its tables' files, which lie beside it in `folder`.
pub fn equations_with_tables(name: &str, text: &str, folder: &Path) -> Result<String, sims::Error> {
    sims::with_tables(name, text, |file| {
        let path = folder.join(file);
        let refuse = |what: String| format!("{}: {what}", path.display());
        let bytes = read_bounded(&path, MOST_POINTS).map_err(|error| {
            refuse(format!(
                "cannot be read: {error}. Put the points beside the file of equations, x and y in each line"
            ))
        })?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .comment(Some(b'#'))
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(&*bytes);
        let mut points = Vec::new();
        for (number, row) in reader.records().enumerate() {
            let row = row.map_err(|error| refuse(error.to_string()))?;
            let line = row.position().map_or(number as u64 + 1, csv::Position::line);
            let numbers: Option<Vec<f64>> =
                row.iter().map(|cell| cell.parse().ok().filter(|x: &f64| x.is_finite())).collect();
            match numbers.as_deref() {
                Some([x, y]) => points.push([*x, *y]),
                // Names of columns.
                None if points.is_empty() && number == 0 => (),
                _ => return Err(refuse(format!("line {line} must be two numbers, x and y"))),
            }
        }
        Ok(points)
    })
}
