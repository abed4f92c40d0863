//! Rows of other data as the network of some data takes them: scaled by that data's training rows, and without labels.

use std::path::Path;

use drivers::MEBIBYTE;

use super::{Asked, DataConfig, Dataset, Rows, Targets, csv_file, file, idx, source};
use crate::Error;
use crate::document::{Document, list};
use sims::Key;

/// The most that is read of a file.
const LONGEST: u64 = 1024 * MEBIBYTE;

impl Dataset {
    /// The rows of `other`, which is what `--data` names, as a network takes them that learns this data: of a CSV file the columns that are
    /// learned from, by their names; of a folder of IDX files the test images. `path` is where the data itself lies.
    pub fn others(
        &self,
        config: &DataConfig,
        path: Option<&Path>,
        other: &Path,
        document: &Document,
        key: Key,
    ) -> Result<Rows, Error> {
        let asked = Asked { document, key };
        let mut rows = match config {
            DataConfig::Csv(config) => csv_file::others(config, [&file(config, path, document)?, other], asked)?,
            DataConfig::Idx(config) => {
                // Its labels are nobody's business.
                let mut config = config.clone();
                (config.classes, config.train, config.test, config.validation) = (256, None, None, Some(0));
                let rows = idx::dataset(&config, other, asked)?;
                if rows.width != self.width {
                    return Err(Error::Data(format!(
                        "{}: its images give {} values, but the network takes {}: name images of the same size",
                        other.display(),
                        rows.width,
                        self.width
                    )));
                }
                rows.test
            }
            _ => plain(other, self.width)?,
        };
        rows.targets = Targets::Classes(vec![0; rows.values.len() / self.width.max(1)]);
        Ok(rows)
    }
}

/// A CSV file with one column for each value that a network takes.
fn plain(file: &Path, width: usize) -> Result<Rows, Error> {
    let (names, values) = numbers(file, |columns| {
        let message = || {
            format!(
                "has {} columns, but the network takes {width} values: give a column for each of them, as they are after scaling",
                columns.len()
            )
        };
        if columns.len() == width { Ok((0..width).collect()) } else { Err(message()) }
    })?;
    Ok(rows(names, values))
}

/// Rows of `width` values.
pub(super) fn rows(width: usize, values: Vec<f32>) -> Rows {
    let count = values.len() / width.max(1);
    Rows { values, targets: Targets::Classes(vec![0; count]), numbers: (0..count).collect() }
}

/// The columns called `names` of a CSV file, row after row.
pub(super) fn columns(file: &Path, names: &[String]) -> Result<Vec<f32>, Error> {
    let wanted = |columns: &[String]| {
        let place = |name: &String| {
            let message = || {
                format!(
                    "has no column `{name}`, which the network learned from: it has {}",
                    list(&columns.iter().map(String::as_str).collect::<Vec<_>>())
                )
            };
            columns.iter().position(|column| column == name).ok_or_else(message)
        };
        names.iter().map(place).collect()
    };
    numbers(file, wanted).map(|(_, values)| values)
}

/// The columns at the wanted places of a CSV file with a header, row after row, and how many those are.
fn numbers(
    file: &Path,
    wanted: impl FnOnce(&[String]) -> Result<Vec<usize>, String>,
) -> Result<(usize, Vec<f32>), Error> {
    let name = file.display();
    let bad = |message: String| Error::Data(format!("{name}: {message}"));
    let opened = source::open(file, LONGEST)
        .map_err(|error| bad(format!("cannot be read: {error}. Name the file with --data")))?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(opened);
    let header = reader.headers().map_err(|error| bad(error.to_string()))?;
    let header: Vec<String> = header.iter().map(|column| column.trim().to_owned()).collect();
    let places = wanted(&header).map_err(bad)?;
    let mut values = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| bad(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        for place in &places {
            let field = record.get(*place).unwrap_or_default().trim();
            let number = field.parse::<f32>().ok().filter(|value| value.is_finite());
            values.push(number.ok_or_else(|| {
                Error::Data(format!(
                    "{name}:{line}: column `{}` is `{field}`, but a finite number was expected",
                    header[*place]
                ))
            })?);
        }
    }
    if values.is_empty() {
        return Err(bad("has no rows below the header".to_owned()));
    }
    Ok((places.len(), values))
}
