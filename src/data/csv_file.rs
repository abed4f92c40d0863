//! CSV with a header and a column of labels.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use drivers::MEBIBYTE;

use super::split::{Chosen, Parts, classes};
use super::{Asked, CsvConfig, Dataset, Rows, Scaling, Span, source};
use crate::Error;
use crate::document::{list, nearest};

/// The most that is read of a file.
const LONGEST: u64 = 1024 * MEBIBYTE;

/// The rows of `file`, split and scaled.
pub fn dataset(config: &CsvConfig, file: &Path, asked: Asked<'_>) -> Result<Dataset, Error> {
    let table = load(file, config)?;
    table.warn(file, &config.label);
    let (rows, width, words) = (table.rows, table.names.len(), table.words);
    let classes = classes(&rows);
    if classes < 2 {
        let message = format!(
            "{}: all rows have the same label in column `{}`: nothing can be learned. Name another column as data.label",
            file.display(),
            config.label
        );
        return Err(Error::Data(message));
    }
    if classes == rows.len() {
        return Err(Error::Data(format!(
            "{}: each of its {classes} rows has a label of its own in column `{}`: nothing can be learned. Name another \
             column as data.label, or leave out the start of each label with data.label_skip",
            file.display(),
            config.label
        )));
    }
    let parts = Parts { test: config.test, validation: config.validation, train: config.train };
    let Chosen { train, validation, test } = config.split.choose(&rows.labels, parts, asked)?;
    let mut dataset = Dataset {
        name: file.display().to_string(),
        width,
        classes,
        words,
        train: rows.select(&train, width),
        validation: rows.select(&validation, width),
        test: rows.select(&test, width),
        augmented: None,
    };
    scale(&mut dataset, config.scaling, config.range);
    Ok(dataset)
}

/// What is learned of a file.
#[derive(Debug)]
struct Table {
    /// The columns of numbers.
    names: Vec<String>,
    rows: Rows,
    /// The classes, as the column of labels calls them.
    words: Vec<String>,
}

/// What becomes of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    Label,
    Number,
    LeftOut,
}

/// All rows of `file`; labels are numbered in alphabetical order, or as numbers if all are numbers.
fn load(file: &Path, config: &CsvConfig) -> Result<Table, Error> {
    let name = file.display().to_string();
    let opened = source::open(file, LONGEST)
        .map_err(|error| Error::Data(format!("{name}: cannot be read: {error}. Name the file with --data")))?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(opened);
    let header = reader.headers().map_err(|error| Error::Data(format!("{name}: {error}")))?.clone();
    let columns: Vec<&str> = header.iter().map(str::trim).collect();
    let uses = uses(&columns, config).map_err(|message| Error::Data(format!("{name}:1: {message}")))?;
    let mut values = Vec::new();
    let mut words = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| Error::Data(format!("{name}: {error}")))?;
        let line = record.position().map_or(0, csv::Position::line);
        read_row(&record, (&columns, &uses), config.label_skip, (&mut values, &mut words))
            .map_err(|message| Error::Data(format!("{name}:{line}: {message}")))?;
    }
    if words.len() < 2 {
        let message = format!("{name}: there are {} rows below the header: at least 2 are needed", words.len());
        return Err(Error::Data(message));
    }
    let numbers = columns.iter().zip(&uses).filter(|(_, used)| **used == Use::Number);
    let names = numbers.map(|(column, _)| (*column).to_owned()).collect();
    let (labels, classes) = numbered(&words);
    let numbers = (0..labels.len()).collect();
    Ok(Table { names, rows: Rows { values, labels, numbers }, words: classes })
}

/// What becomes of each column; what is wrong with the header is a sentence.
fn uses(columns: &[&str], config: &CsvConfig) -> Result<Vec<Use>, String> {
    let hint = |word: &str| nearest(word, columns).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
    let wanted = std::iter::once(&config.label).chain(&config.leave_out);
    if let Some(missing) = wanted.into_iter().find(|wanted| !columns.contains(&wanted.as_str())) {
        if columns.iter().all(|column| column.is_empty()) {
            return Err("the file is empty: a CSV file begins with the names of its columns".to_owned());
        }
        let advice = match columns {
            [one] if one.contains([';', '\t', '|']) => {
                " Its values are not separated by commas: write it anew with commas between them.".to_owned()
            }
            _ => hint(missing),
        };
        return Err(format!("there is no column `{missing}`: it has {}.{advice}", list(columns)));
    }
    let left_out = |column: &str| config.leave_out.iter().any(|name| name == column);
    if left_out(&config.label) {
        return Err(format!("column `{}` is the label, and cannot be left out as well", config.label));
    }
    if let Some(place) = columns.iter().position(|column| column.is_empty() && !left_out(column)) {
        return Err(format!(
            "column {} has no name, as pandas writes row numbers: write the file with index=False, leave the column out with \
             --set 'data.leave_out=[\"\"]', or give it a name if it is to be learned from",
            place + 1
        ));
    }
    let twice =
        columns.iter().enumerate().find(|(place, column)| !left_out(column) && columns[..*place].contains(column));
    if let Some((_, column)) = twice {
        return Err(format!(
            "there are two columns `{column}`: give each a name of its own, or leave them out with data.leave_out"
        ));
    }
    let used = |column: &&str| match *column {
        label if label == config.label => Use::Label,
        other if left_out(other) => Use::LeftOut,
        _ => Use::Number,
    };
    let uses: Vec<Use> = columns.iter().map(used).collect();
    if !uses.contains(&Use::Number) {
        return Err("there is nothing but labels: at least one column of numbers is needed".to_owned());
    }
    Ok(uses)
}

impl Table {
    /// Warns of columns that give the label away: what is learned from them is nothing about the plant.
    fn warn(&self, file: &Path, label: &str) {
        let width = self.names.len();
        for (column, name) in self.names.iter().enumerate() {
            let values: Vec<f32> = self.rows.values.iter().skip(column).step_by(width).copied().collect();
            if let Some(what) = gives_away(&values, &self.rows.labels) {
                tell!(
                    "pnnlab: {}: column `{name}` {what} column `{label}`: if it was made from the label or counts the rows, leave it out with \
                     --set 'data.leave_out=[\"{name}\"]'",
                    file.display()
                );
            }
        }
    }
}

/// The fewest rows of a class, and of a value on average, from which that a column tells the classes apart is no chance.
const FEWEST: usize = 5;
const FEWEST_OF_A_VALUE: usize = 3;

/// Whether the values of a column give the labels away, in words: each value belongs to one class, or each class has a stretch of the
/// values for itself.
fn gives_away(values: &[f32], labels: &[u32]) -> Option<&'static str> {
    let mut order: Vec<(f32, u32)> = values.iter().copied().zip(labels.iter().copied()).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let groups: Vec<&[(f32, u32)]> = order.chunk_by(|a, b| a.0 == b.0).collect();
    if groups.iter().any(|group| group[0].1 != group[group.len() - 1].1) {
        return None;
    }
    let stretches: Vec<&[(f32, u32)]> = order.chunk_by(|a, b| a.1 == b.1).collect();
    let classes: BTreeSet<u32> = labels.iter().copied().collect();
    let once = stretches.len() == classes.len() && stretches.iter().all(|stretch| FEWEST <= stretch.len());
    match classes.len() {
        0 | 1 => None,
        count if FEWEST_OF_A_VALUE * groups.len() <= order.len() => {
            Some(if groups.len() == count { "says the same as" } else { "determines" })
        }
        _ => once.then_some("alone tells every class of"),
    }
}

/// Adds the numbers and the label of one row.
fn read_row(
    record: &csv::StringRecord,
    (columns, uses): (&[&str], &[Use]),
    label_skip: usize,
    (values, words): (&mut Vec<f32>, &mut Vec<String>),
) -> Result<(), String> {
    if record.len() != columns.len() {
        return Err(format!("the row has {} values, but the header names {} columns", record.len(), columns.len()));
    }
    for ((field, used), column) in record.iter().zip(uses).zip(columns) {
        if *used == Use::LeftOut {
            continue;
        }
        if *used == Use::Label {
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

/// The class of each label, and the label of each class.
fn numbered(words: &[String]) -> (Vec<u32>, Vec<String>) {
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
    let names = classes.iter().map(|(_, word)| (*word).clone()).collect();
    let classes: HashMap<&String, u32> =
        classes.iter().enumerate().map(|(class, (_, word))| (*word, class as u32)).collect();
    (words.iter().map(|word| classes.get(word).copied().unwrap_or(0)).collect(), names)
}

/// Scales each column as its training rows say.
fn scale(dataset: &mut Dataset, scaling: Scaling, range: Span) {
    for column in 0..dataset.width {
        let column_of = |values: &[f32]| values.iter().skip(column).step_by(dataset.width).copied().collect::<Vec<_>>();
        let map = Map::of(&column_of(&dataset.train.values), scaling, range);
        for rows in [&mut dataset.train, &mut dataset.validation, &mut dataset.test] {
            for value in rows.values.iter_mut().skip(column).step_by(dataset.width) {
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

    fn config(leave_out: &[&str]) -> CsvConfig {
        let leave_out: Vec<String> = leave_out.iter().map(|name| (*name).to_owned()).collect();
        let config = serde_json::json!({ "file": "data.csv", "label": "vowel", "test": 1, "leave_out": leave_out });
        serde_json::from_value(config).unwrap()
    }

    fn error(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.csv");
        std::fs::write(&file, text).unwrap();
        match load(&file, &config(&[])) {
            Err(error) => error.to_string().replace(&file.display().to_string(), "data.csv"),
            Ok(Table { names, rows: Rows { values, labels, .. }, words }) => {
                format!("{values:?} {labels:?} of {} columns, {words:?}", names.len())
            }
        }
    }

    #[test]
    fn rows_and_labels_are_read() {
        assert_eq!(error("vowel,f1,f2\nb,1,2\na,3,4\n"), "[1.0, 2.0, 3.0, 4.0] [1, 0] of 2 columns, [\"a\", \"b\"]");
        assert_eq!(
            error("f1,vowel\n1,10\n1,9\n1,1a\n1,10\n"),
            "[1.0, 1.0, 1.0, 1.0] [0, 2, 1, 0] of 1 columns, [\"10\", \"1a\", \"9\"]"
        );
        assert_eq!(
            error("f1,vowel\n1,1\n1,1.0\n1,2\n1,1\n"),
            "[1.0, 1.0, 1.0, 1.0] [0, 1, 2, 0] of 1 columns, [\"1\", \"1.0\", \"2\"]"
        );
        assert!(error("vowel\na\n").contains("nothing but labels"));
        assert_eq!(error("f1,vowel\n1,10\n1,9\n"), "[1.0, 1.0] [1, 0] of 1 columns, [\"9\", \"10\"]");
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
        assert!(error("vowel;f1\na;1\n").ends_with("write it anew with commas between them."));
        assert_eq!(error(""), "data.csv:1: the file is empty: a CSV file begins with the names of its columns");
        assert_eq!(error("vowel,f1\na,1\nb,1,2\n"), "data.csv:3: the row has 3 values, but the header names 2 columns");
        assert_eq!(error("vowel,f1\na,1\n,2\n"), "data.csv:3: column `vowel` is ``, but a label was expected");
        assert_eq!(error("vowel,f1\na,1\n"), "data.csv: there are 1 rows below the header: at least 2 are needed");
    }

    #[test]
    fn a_column_without_a_name_or_with_a_name_twice_is_refused() {
        let nameless = ",f1,vowel\n0,1,a\n1,2,b\n";
        let text = error(nameless);
        assert!(text.starts_with("data.csv:1: column 1 has no name, as pandas writes row numbers: "), "{text}");
        assert!(text.contains("--set 'data.leave_out=[\"\"]'"), "{text}");
        assert!(error("f1,f1,vowel\n0,1,a\n1,2,b\n").contains("two columns `f1`"));
        assert!(error("vowel,f1,vowel\n0,1,a\n1,2,b\n").contains("two columns `vowel`"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.csv");
        std::fs::write(&file, nameless).unwrap();
        let table = load(&file, &config(&[""])).unwrap();
        assert_eq!((table.names, table.rows.values), (vec!["f1".to_owned()], vec![1.0, 2.0]));
        assert!(load(&file, &config(&["f2"])).unwrap_err().to_string().contains("no column `f2`"));
        assert!(load(&file, &config(&["vowel"])).unwrap_err().to_string().contains("is the label"));
    }

    #[test]
    fn a_column_that_gives_the_label_away_is_told() {
        let labels: Vec<u32> = (0..30).map(|row| row / 10).collect();
        let of = |value: fn(u32) -> f32| gives_away(&(0..30).map(value).collect::<Vec<_>>(), &labels);
        assert_eq!(of(|row| (row / 10) as f32), Some("says the same as"));
        assert_eq!(of(|row| [5.0, -1.0, 2.0][row as usize / 10]), Some("says the same as"));
        assert_eq!(of(|row| row as f32), Some("alone tells every class of"));
        assert_eq!(of(|row| [0.0, 4.0, 2.0, 5.0, 1.0, 3.0][(row / 5) as usize]), Some("determines"));
        assert_eq!(of(|row| (row % 7) as f32), None);
        assert_eq!(of(|row| if row == 29 { 0.0 } else { row as f32 }), None);
        assert_eq!(of(|_| 1.0), None);
    }

    #[test]
    fn columns_are_scaled_by_their_training_rows() {
        let scaled = |scaling, range| {
            let rows = |values: &[f32]| {
                let count = values.len() / 2;
                Rows { values: values.to_vec(), labels: vec![0; count], numbers: (0..count).collect() }
            };
            let (train, test) = (rows(&[1.0, -4.0, 3.0, 2.0]), rows(&[5.0, 0.0]));
            let validation = Rows::default();
            let name = String::new();
            let words = vec![];
            let mut dataset = Dataset { name, width: 2, classes: 1, words, train, validation, test, augmented: None };
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
