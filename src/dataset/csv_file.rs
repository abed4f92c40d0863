//! CSV with a header and a column of labels.

use std::path::Path;

use super::{Dataset, Rows};
use crate::Error;
use crate::document::{list, nearest};

/// All rows of `file` and their width; labels are numbered in alphabetical order, or as numbers if all are numbers.
pub fn load(file: &Path, label: &str) -> Result<(Rows, usize), Error> {
    let name = file.display().to_string();
    let mut reader = csv::Reader::from_path(file)
        .map_err(|error| Error::Data(format!("{name}: cannot be read: {error}. Name the file with --data")))?;
    let header = reader.headers().map_err(|error| Error::Data(format!("{name}: {error}")))?.clone();
    let columns: Vec<&str> = header.iter().map(str::trim).collect();
    let Some(label_column) = columns.iter().position(|column| *column == label) else {
        let hint = nearest(label, &columns).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
        return Err(Error::Data(format!("{name}:1: there is no column `{label}`: it has {}.{hint}", list(&columns))));
    };
    let mut values = Vec::new();
    let mut words = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| Error::Data(format!("{name}: {error}")))?;
        let line = record.position().map_or(0, csv::Position::line);
        for (column, field) in record.iter().enumerate() {
            if column == label_column {
                words.push(field.trim().to_owned());
            } else {
                values.push(number(field).ok_or_else(|| {
                    Error::Data(format!(
                        "{name}:{line}: column `{}` is `{field}`, but a finite number was expected",
                        columns[column]
                    ))
                })?);
            }
        }
    }
    Ok((Rows { values, labels: numbered(&words) }, columns.len() - 1))
}

/// A finite number.
fn number(field: &str) -> Option<f32> {
    field.trim().parse::<f32>().ok().filter(|value| value.is_finite())
}

/// The class of each label.
fn numbered(words: &[String]) -> Vec<u32> {
    let mut classes: Vec<&String> = words.iter().collect();
    let as_number = |word: &str| word.parse::<f64>().unwrap_or(f64::NAN);
    classes.sort_by(|a, b| as_number(a).partial_cmp(&as_number(b)).unwrap_or_else(|| a.cmp(b)));
    classes.dedup();
    words.iter().map(|word| classes.iter().position(|class| *class == word).unwrap_or(0) as u32).collect()
}

/// Scales each column to 0 to 1 by its extremes in the training rows; test rows beyond them are clipped.
pub fn scale(dataset: &mut Dataset) {
    for column in 0..dataset.width {
        let of = |values: &[f32]| values.iter().skip(column).step_by(dataset.width).copied().collect::<Vec<_>>();
        let training = of(&dataset.train.values);
        let low = training.iter().copied().fold(f32::INFINITY, f32::min);
        let high = training.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let span = if high > low { high - low } else { 1.0 };
        for values in [&mut dataset.train.values, &mut dataset.test.values] {
            for value in values.iter_mut().skip(column).step_by(dataset.width) {
                *value = ((*value - low) / span).clamp(0.0, 1.0);
            }
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
        match load(&file, "vowel") {
            Err(error) => error.to_string().replace(&file.display().to_string(), "data.csv"),
            Ok((rows, width)) => format!("{rows:?} {width}"),
        }
    }

    #[test]
    fn rows_and_labels_are_read() {
        assert_eq!(error("vowel,f1,f2\nb,1,2\na,3,4\n"), "Rows { values: [1.0, 2.0, 3.0, 4.0], labels: [1, 0] } 2");
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
        assert!(error("vowel,f1\na,1\nb,1,2\n").contains("line: 3"));
    }
}
