//! CSV with a header and a column of labels.

use std::collections::HashMap;
use std::path::Path;

use super::split::{Chosen, classes};
use super::{Asked, CsvConfig, Dataset, Rows, Scaling, Span};
use crate::Error;
use crate::document::{list, nearest};

/// The rows of `file`, split and scaled.
pub fn dataset(config: &CsvConfig, file: &Path, asked: Asked<'_>) -> Result<Dataset, Error> {
    let (rows, width) = load(file, &config.label, config.label_skip)?;
    let classes = classes(&rows);
    if classes == rows.len() {
        return Err(Error::Data(format!(
            "{}: each of its {classes} rows has a label of its own in column `{}`: nothing can be learned. Name another \
             column as data.label, or leave out the start of each label with data.label_skip",
            file.display(),
            config.label
        )));
    }
    let Chosen { train, test } = config.split.choose(&rows.labels, config.test, config.train, asked)?;
    let mut dataset = Dataset {
        name: file.display().to_string(),
        width,
        classes,
        train: rows.select(&train, width),
        test: rows.select(&test, width),
        augmented: None,
    };
    scale(&mut dataset, config.scaling, config.range);
    Ok(dataset)
}

/// All rows of `file` and their width; labels are numbered in alphabetical order, or as numbers if all are numbers.
fn load(file: &Path, label: &str, label_skip: usize) -> Result<(Rows, usize), Error> {
    let name = file.display().to_string();
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(file)
        .map_err(|error| Error::Data(format!("{name}: cannot be read: {error}. Name the file with --data")))?;
    let header = reader.headers().map_err(|error| Error::Data(format!("{name}: {error}")))?.clone();
    let columns: Vec<&str> = header.iter().map(str::trim).collect();
    let Some(label_column) = columns.iter().position(|column| *column == label) else {
        let hint = nearest(label, &columns).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
        return Err(Error::Data(format!("{name}:1: there is no column `{label}`: it has {}.{hint}", list(&columns))));
    };
    if columns.len() < 2 {
        return Err(Error::Data(format!(
            "{name}:1: there is nothing but labels: at least one column of numbers is needed"
        )));
    }
    let mut values = Vec::new();
    let mut words = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| Error::Data(format!("{name}: {error}")))?;
        let line = record.position().map_or(0, csv::Position::line);
        read_row(&record, &columns, (label_column, label_skip), (&mut values, &mut words))
            .map_err(|message| Error::Data(format!("{name}:{line}: {message}")))?;
    }
    if words.len() < 2 {
        let message = format!("{name}: there are {} rows below the header: at least 2 are needed", words.len());
        return Err(Error::Data(message));
    }
    Ok((Rows { values, labels: numbered(&words) }, columns.len() - 1))
}

/// Adds the numbers and the label of one row.
fn read_row(
    record: &csv::StringRecord,
    columns: &[&str],
    (label_column, label_skip): (usize, usize),
    (values, words): (&mut Vec<f32>, &mut Vec<String>),
) -> Result<(), String> {
    if record.len() != columns.len() {
        return Err(format!("the row has {} values, but the header names {} columns", record.len(), columns.len()));
    }
    for ((index, field), column) in record.iter().enumerate().zip(columns) {
        if index == label_column {
            let word: String = field.trim().chars().skip(label_skip).collect();
            if word.is_empty() {
                let rest = if label_skip > 0 {
                    format!(", of which {label_skip} characters are left out")
                } else {
                    String::new()
                };
                return Err(format!("column `{column}` is `{field}`{rest}, but a label was expected"));
            }
            words.push(word);
        } else {
            let number = number(field)
                .ok_or_else(|| format!("column `{column}` is `{field}`, but a finite number was expected"))?;
            values.push(number);
        }
    }
    Ok(())
}

/// A finite number.
fn number(field: &str) -> Option<f32> {
    field.trim().parse::<f32>().ok().filter(|value| value.is_finite())
}

/// The class of each label.
fn numbered(words: &[String]) -> Vec<u32> {
    let numbers: Option<Vec<f64>> = words.iter().map(|word| word.parse().ok()).collect();
    let mut classes: Vec<(Option<f64>, &String)> = match numbers {
        Some(numbers) => numbers.into_iter().map(Some).zip(words).collect(),
        None => words.iter().map(|word| (None, word)).collect(),
    };
    classes.sort_by(|a, b| {
        let by_number = a.0.zip(b.0).map_or(std::cmp::Ordering::Equal, |(a, b)| a.total_cmp(&b));
        by_number.then_with(|| a.1.cmp(b.1))
    });
    classes.dedup();
    let classes: HashMap<&String, u32> =
        classes.iter().enumerate().map(|(class, (_, word))| (*word, class as u32)).collect();
    words.iter().map(|word| classes.get(word).copied().unwrap_or(0)).collect()
}

/// Scales each column as its training rows say.
fn scale(dataset: &mut Dataset, scaling: Scaling, range: Span) {
    for column in 0..dataset.width {
        let column_of = |values: &[f32]| values.iter().skip(column).step_by(dataset.width).copied().collect::<Vec<_>>();
        let map = Map::of(&column_of(&dataset.train.values), scaling, range);
        for values in [&mut dataset.train.values, &mut dataset.test.values] {
            for value in values.iter_mut().skip(column).step_by(dataset.width) {
                *value = map.apply(*value);
            }
        }
    }
}

/// How a column is scaled: `(value − zero)/unit`, then clipped to `floor` to 1 and put into a range, if there is one.
struct Map {
    zero: f32,
    unit: f32,
    floor: f32,
    range: Option<Span>,
}

impl Map {
    /// As the column's training values say. A column that never changes has no unit: it stays where it is.
    fn of(training: &[f32], scaling: Scaling, range: Span) -> Self {
        let fold = |start: f32, pick: fn(f32, f32) -> f32| training.iter().copied().fold(start, pick);
        let unit = |unit: f32| if unit > 0.0 { unit } else { 1.0 };
        match scaling {
            Scaling::Extremes => {
                let (low, high) = (fold(f32::INFINITY, f32::min), fold(f32::NEG_INFINITY, f32::max));
                Self { zero: low, unit: unit(high - low), floor: 0.0, range: Some(range) }
            }
            Scaling::Maximum => {
                let largest = fold(0.0, |most, value| most.max(value.abs()));
                // Of negative values the sign is kept.
                Self { zero: 0.0, unit: unit(largest), floor: -1.0, range: Some(range) }
            }
            Scaling::Standard => {
                let count = training.len().max(1) as f64;
                let mean = training.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
                let variance = training.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
                Self { zero: mean as f32, unit: unit(variance.sqrt() as f32), floor: 0.0, range: None }
            }
            Scaling::None => Self { zero: 0.0, unit: 1.0, floor: 0.0, range: None },
        }
    }

    fn apply(&self, value: f32) -> f32 {
        let scaled = (value - self.zero) / self.unit;
        match self.range {
            Some(range) => range.at(scaled.clamp(self.floor, 1.0)),
            None => scaled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.csv");
        std::fs::write(&file, text).unwrap();
        match load(&file, "vowel", 0) {
            Err(error) => error.to_string().replace(&file.display().to_string(), "data.csv"),
            Ok((rows, width)) => format!("{rows:?} {width}"),
        }
    }

    #[test]
    fn rows_and_labels_are_read() {
        assert_eq!(error("vowel,f1,f2\nb,1,2\na,3,4\n"), "Rows { values: [1.0, 2.0, 3.0, 4.0], labels: [1, 0] } 2");
        assert_eq!(
            error("f1,vowel\n1,10\n1,9\n1,1a\n1,10\n"),
            "Rows { values: [1.0, 1.0, 1.0, 1.0], labels: [0, 2, 1, 0] } 1"
        );
        assert_eq!(
            error("f1,vowel\n1,1\n1,1.0\n1,2\n1,1\n"),
            "Rows { values: [1.0, 1.0, 1.0, 1.0], labels: [0, 1, 2, 0] } 1"
        );
        assert!(error("vowel\na\n").contains("nothing but labels"));
        assert_eq!(error("f1,vowel\n1,10\n1,9\n"), "Rows { values: [1.0, 1.0], labels: [1, 0] } 1");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(
            error("vowel,f1\na,1\nb,NaN\n"),
            "data.csv:3: column `f1` is `NaN`, but a finite number was expected"
        );
        assert_eq!(error("vowel,f1\na,x\n"), "data.csv:2: column `f1` is `x`, but a finite number was expected");
        assert_eq!(
            error("vowl,f1\na,1\n"),
            "data.csv:1: there is no column `vowel`: it has `vowl`, `f1`. Did you mean `vowl`?"
        );
        assert_eq!(error("vowel,f1\na,1\nb,1,2\n"), "data.csv:3: the row has 3 values, but the header names 2 columns");
        assert_eq!(error("vowel,f1\na,1\n,2\n"), "data.csv:3: column `vowel` is ``, but a label was expected");
        assert_eq!(error("vowel,f1\na,1\n"), "data.csv: there are 1 rows below the header: at least 2 are needed");
    }

    #[test]
    fn columns_are_scaled_by_their_training_rows() {
        let scaled = |scaling, range| {
            let rows = |values: &[f32]| Rows { values: values.to_vec(), labels: vec![0; values.len() / 2] };
            let (train, test) = (rows(&[1.0, -4.0, 3.0, 2.0]), rows(&[5.0, 0.0]));
            let mut dataset = Dataset { name: String::new(), width: 2, classes: 1, train, test, augmented: None };
            scale(&mut dataset, scaling, range);
            [dataset.train.values, dataset.test.values].concat()
        };
        let unit = Span::default();
        assert_eq!(scaled(Scaling::Extremes, unit), [0.0, 0.0, 1.0, 1.0, 1.0, 4.0 / 6.0]);
        assert_eq!(scaled(Scaling::Extremes, Span { low: -1.0, high: 1.0 })[..4], [-1.0, -1.0, 1.0, 1.0]);
        assert_eq!(scaled(Scaling::Maximum, unit), [1.0 / 3.0, -1.0, 1.0, 0.5, 1.0, 0.0]);
        assert_eq!(scaled(Scaling::Standard, unit), [-1.0, -1.0, 1.0, 1.0, 3.0, 1.0 / 3.0]);
        assert_eq!(scaled(Scaling::None, unit), [1.0, -4.0, 3.0, 2.0, 5.0, 0.0]);
    }
}
