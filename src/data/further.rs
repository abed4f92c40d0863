//! Rows of another table than the one that was learned from, as the network takes them: shots that choose among read-outs, and shots of
//! what the network may not know.

use std::path::Path;

use drivers::MEBIBYTE;

use super::scaling::finite;
use super::{Dataset, Meaning, Rows, Targets, source};
use crate::Error;
use crate::document::list;

/// The most that is read of a file.
const LONGEST: u64 = 1024 * MEBIBYTE;

/// Rows of another table.
#[derive(Debug, Clone, PartialEq)]
pub struct Further {
    /// Its rows; without the columns of what is to be learned they have no targets, and class 0.
    pub rows: Rows,
    /// Whether the table says what is to be learned.
    pub labeled: bool,
    /// The environment of each row, where a column says it.
    pub environments: Vec<String>,
}

/// What the columns of a table are called.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// The column of labels, where classes are learned, and how many characters of each are left out at its start.
    pub label: (&'a str, usize),
    /// Columns that are not learned from.
    pub leave_out: &'a [String],
    /// The column that says where a row comes from.
    pub environment: Option<&'a str>,
}

impl Dataset {
    /// The rows of `file`, a CSV table with a header. Its columns of numbers are those that were learned from, scaled alike; data that has no
    /// names for them (images) takes them in the order of the file, as what comes into the network.
    pub fn further(&self, file: &Path, columns: Columns<'_>) -> Result<Further, Error> {
        let name = file.display().to_string();
        let bad = |place: String, message: String| Error::Data(format!("{name}{place}: {message}"));
        let opened = source::open(file, LONGEST)
            .map_err(|error| bad(String::new(), format!("cannot be read: {error}. Name a CSV file")))?;
        let mut reader = csv::ReaderBuilder::new().from_reader(opened);
        let header = reader.headers().map_err(|error| source::complaint(&name, &error))?.clone();
        let names: Vec<&str> = header.iter().map(str::trim).collect();
        let header_error = |message: String| bad(":1".to_owned(), message);
        if names.iter().all(|name| name.is_empty()) {
            return Err(header_error("the file is empty: a CSV file begins with the names of its columns".to_owned()));
        }
        let find = |wanted: &str| names.iter().position(|name| *name == wanted);
        let needed = |wanted: &str| {
            find(wanted).ok_or_else(|| header_error(format!("there is no column `{wanted}`: it has {}", list(&names))))
        };
        let environment = columns.environment.map(needed).transpose()?;
        let wanted: Vec<usize> = match &self.meaning {
            Meaning::Classes(_) | Meaning::Groups(_) => find(columns.label.0).into_iter().collect(),
            Meaning::Targets(targets) => targets.iter().map_while(|target| find(&target.name)).collect(),
            Meaning::Texture(_) | Meaning::Images(_) | Meaning::Motion(_) => {
                return Err(bad(
                    String::new(),
                    "is a table, but the run makes images of its own: name a run that says something of rows"
                        .to_owned(),
                ));
            }
        };
        let labeled = match &self.meaning {
            Meaning::Classes(_) | Meaning::Groups(_) => wanted.len() == 1,
            Meaning::Targets(targets) => wanted.len() == targets.len(),
            Meaning::Texture(_) | Meaning::Images(_) | Meaning::Motion(_) => false,
        };
        let numbers: Vec<usize> = if self.columns.is_empty() {
            let is_free = |place: &usize| {
                !wanted.contains(place)
                    && environment != Some(*place)
                    && !columns.leave_out.iter().any(|name| name == names[*place])
            };
            (0..names.len()).filter(is_free).collect()
        } else {
            self.columns.iter().map(|column| needed(&column.name)).collect::<Result<_, _>>()?
        };
        if numbers.len() != self.width {
            let message =
                format!("has {} columns of numbers, but the network takes {} values", numbers.len(), self.width);
            return Err(header_error(message));
        }
        let (mut values, mut targets, mut environments) = (Vec::new(), self.meaning.no_targets(), Vec::new());
        let mut count = 0;
        for record in reader.records() {
            let record = record.map_err(|error| source::complaint(&name, &error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let field = |place: usize| record.get(place).unwrap_or_default().trim();
            let number = |place: usize| {
                let value = finite(field(place));
                value.ok_or_else(|| {
                    bad(
                        format!(":{line}"),
                        format!("column `{}` is `{}`, but a finite number was expected", names[place], field(place)),
                    )
                })
            };
            for (index, place) in numbers.iter().enumerate() {
                let value = number(*place)?;
                values.push(self.columns.get(index).map_or(value as f32, |column| column.map.apply(value)));
            }
            match (&mut targets, &self.meaning) {
                (Targets::Classes(classes), meaning) => classes.push(match wanted.first() {
                    None => 0,
                    Some(place) => meaning
                        .names()
                        .into_iter()
                        .position(|word| field(*place).chars().skip(columns.label.1).eq(word.chars()))
                        .ok_or_else(|| {
                            bad(
                                format!(":{line}"),
                                format!(
                                    "the label `{}` was not learned: those that were are {}",
                                    field(*place),
                                    list(&meaning.names())
                                ),
                            )
                        })? as u32,
                }),
                (Targets::Values { values, .. }, Meaning::Targets(known)) if labeled => {
                    for (place, target) in wanted.iter().zip(known) {
                        values.push(((number(*place)? - target.mean) / target.deviation) as f32);
                    }
                }
                (Targets::Values { values, width }, _) => values.resize(values.len() + *width, 0.0),
            }
            environments.extend(environment.map(|place| field(place).to_owned()));
            count += 1;
        }
        if count == 0 {
            return Err(bad(String::new(), "has no rows below its header".to_owned()));
        }
        Ok(Further { rows: Rows { values, targets, numbers: (0..count).collect() }, labeled, environments })
    }
}
