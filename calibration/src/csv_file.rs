//! Recorded data as text: a shot a row, values between commas, semicolons, tabs or blanks, with or without a header.
//!
//! Which columns are inputs, controls and outputs is said by their names, or by two files, inputs in the first and outputs in the second.
//! Behind semicolons a comma is a decimal point. A first column without a name that counts the rows is passed over.

use std::collections::BTreeSet;

use csv::{ReaderBuilder, StringRecord};

use crate::quotes::unclosed_quote;
use crate::recorded::{Recorded, no_number, trace_of};
use crate::{Error, Trace};

/// The columns of inputs, controls and outputs: names, or beginnings of names with a `*` behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnNames {
    /// `None`: all columns that are nothing else; or where no names are given at all, those called `input…`, `x…` or `…before…`.
    pub inputs: Option<Vec<String>>,
    /// Of controls; empty where there are none.
    pub controls: Vec<String>,
    /// `None`: those called `output…`, `y…` or `…after…`.
    pub outputs: Option<Vec<String>>,
}

/// A file of numbers.
struct Table {
    /// Empty where there is no header.
    header: Vec<String>,
    width: usize,
    /// Row after row.
    values: Vec<f64>,
}

impl Trace {
    /// The trace that tables hold: one, whose columns `names` tells apart, or two, inputs in the first and outputs in the second. Each is
    /// given with what errors call it.
    pub fn from_csv(tables: &[(&str, &[u8])], names: &ColumnNames) -> Result<Self, Error> {
        match tables {
            [(_, one)] => {
                let table = Table::read(one)?;
                let [inputs, controls, outputs] = table.choose(names)?;
                let rows = |name: &str, columns: &[usize]| table.rows(name, columns);
                let controls = (!controls.is_empty()).then(|| rows("controls", &controls));
                trace_of(rows("inputs", &inputs), controls.as_ref(), rows("outputs", &outputs), Error::table)
            }
            [of_inputs, of_outputs] => {
                let whole = |(name, bytes): &(&str, &[u8])| -> Result<Recorded, Error> {
                    let table = Table::read(bytes)?;
                    Ok(table.rows(name, &(0..table.width).collect::<Vec<_>>()))
                };
                trace_of(whole(of_inputs)?, None, whole(of_outputs)?, Error::table)
            }
            _ => Err(Error::table(
                "is one of several: name one with all columns, or two, inputs first and outputs second",
            )),
        }
    }
}

impl Table {
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let text = text_of(bytes)?;
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let delimiter =
            [b',', b';', b'\t'].into_iter().max_by_key(|byte| first.bytes().filter(|other| other == byte).count());
        let delimiter = delimiter.filter(|byte| first.as_bytes().contains(byte));
        let blanks = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(",");
        // Lines stay lines, so that errors name the right one.
        let text =
            if delimiter.is_none() { text.lines().map(blanks).collect::<Vec<_>>().join("\n") } else { text.to_owned() };
        if let Some(line) = unclosed_quote(text.as_bytes(), delimiter.unwrap_or(b',')) {
            return Err(Error::table(format!("has a quotation mark in line {line} that is not closed")));
        }
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .delimiter(delimiter.unwrap_or(b','))
            .from_reader(text.as_bytes());
        let (mut header, mut width, mut values) = (Vec::new(), None, Vec::new());
        for record in reader.records() {
            let record = record.map_err(|error| Error::table(format!("cannot be read: {error}")))?;
            let line = record.position().map_or(0, csv::Position::line);
            let decimal_comma = delimiter == Some(b';');
            if width.is_none()
                && header.is_empty()
                && !record.iter().all(|field| number(field, decimal_comma).is_some())
            {
                header = named(&record)?;
                continue;
            }
            let columns = *width.get_or_insert(if header.is_empty() { record.len() } else { header.len() });
            if record.len() != columns {
                let message = format!("has {} values in line {line}, where {columns} were expected", record.len());
                return Err(Error::table(message));
            }
            read_row(&record, line, decimal_comma, &mut values)?;
        }
        let width = width.filter(|width| *width > 0).ok_or_else(|| Error::table("holds no rows of numbers"))?;
        Ok(Self { header, width, values }.without_row_numbers())
    }

    /// Without a first column that has no name, or that of a row number, and counts.
    fn without_row_numbers(self) -> Self {
        let named = self.header.first().is_some_and(|name| !name.is_empty() && name != "index");
        let lines = self.values.chunks_exact(self.width);
        let counts = lines.len() > 2
            && lines.clone().zip(lines.clone().skip(1)).all(|(before, after)| after[0] - before[0] == 1.0);
        if self.header.is_empty() || named || !counts || self.width < 2 {
            return self;
        }
        let values = lines.flat_map(|line| line[1..].iter().copied()).collect();
        Self { header: self.header[1..].to_vec(), width: self.width - 1, values }
    }

    /// Some columns.
    fn rows(&self, name: &str, columns: &[usize]) -> Recorded {
        Recorded {
            name: name.to_owned(),
            columns: columns.iter().filter_map(|column| self.header.get(*column).cloned()).collect(),
            width: columns.len(),
            values: self
                .values
                .chunks_exact(self.width)
                .flat_map(|line| columns.iter().map(move |column| line[*column]))
                .collect(),
        }
    }

    /// The columns of inputs, controls and outputs.
    fn choose(&self, names: &ColumnNames) -> Result<[Vec<usize>; 3], Error> {
        if self.header.is_empty() {
            return Err(Error::table(
                "has no header, so its inputs and outputs cannot be told apart: give the outputs in a second file, or name the columns in its first line",
            ));
        }
        let controls = self.find(&names.controls)?;
        if names.inputs.is_none() && names.outputs.is_none() {
            let called = |words: [&str; 2], letter: char| {
                let fits = |name: &str| {
                    let name = name.to_lowercase();
                    name.starts_with(words[0]) || name.contains(words[1]) || name.starts_with(letter)
                };
                let columns =
                    self.header.iter().enumerate().filter(|(column, name)| !controls.contains(column) && fits(name));
                columns.map(|(column, _)| column).collect::<Vec<_>>()
            };
            let (inputs, outputs) = (called(["input", "before"], 'x'), called(["output", "after"], 'y'));
            let clear =
                !inputs.is_empty() && !outputs.is_empty() && inputs.iter().all(|column| !outputs.contains(column));
            if clear && inputs.len() + outputs.len() + controls.len() == self.header.len() {
                return Ok([inputs, controls, outputs]);
            }
            return Err(Error::table(format!(
                "does not say by its columns which are inputs and which outputs: name them with --inputs and --outputs, such as --outputs y1,y2 or --outputs 'y*'. It has {}",
                self.words()
            )));
        }
        let outputs = if let Some(names) = &names.outputs {
            self.find(names)?
        } else {
            let inputs = self.find(names.inputs.as_deref().unwrap_or_default())?;
            (0..self.header.len()).filter(|column| !inputs.contains(column) && !controls.contains(column)).collect()
        };
        let inputs = match &names.inputs {
            Some(names) => self.find(names)?,
            None => (0..self.header.len())
                .filter(|column| !outputs.contains(column) && !controls.contains(column))
                .collect(),
        };
        let twice = inputs.iter().chain(&controls).find(|column| outputs.contains(column));
        if let Some(column) = twice.or_else(|| inputs.iter().find(|column| controls.contains(column))) {
            return Err(Error::table(format!(
                "has a column `{}` that is named twice: it can be one thing only",
                self.header[*column]
            )));
        }
        if inputs.is_empty() || outputs.is_empty() {
            return Err(Error::table(format!(
                "has no columns left for the inputs or the outputs: it has {}",
                self.words()
            )));
        }
        Ok([inputs, controls, outputs])
    }

    /// The columns with these names.
    fn find(&self, names: &[String]) -> Result<Vec<usize>, Error> {
        let mut found = Vec::new();
        for name in names {
            let before = found.len();
            let fits = |column: &str| match name.strip_suffix('*') {
                Some(start) => column.starts_with(start),
                None => column == name,
            };
            for (column, _) in self.header.iter().enumerate().filter(|(_, column)| fits(column)) {
                if !found.contains(&column) {
                    found.push(column);
                }
            }
            if found.len() == before {
                return Err(Error::table(format!("has no column `{name}`: it has {}", self.words())));
            }
        }
        Ok(found)
    }

    /// The names of the columns, not all where they are many.
    fn words(&self) -> String {
        let shown = self.header.iter().take(12).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        if self.header.len() > 12 { format!("{shown} and {} more", self.header.len() - 12) } else { shown }
    }
}

/// A file as text.
fn text_of(bytes: &[u8]) -> Result<&str, Error> {
    let utf16 = [[0xFF_u8, 0xFE], [0xFE, 0xFF]].iter().any(|mark| bytes.starts_with(mark));
    if utf16 || bytes.iter().take(64).any(|byte| *byte == 0) {
        return Err(Error::table("is UTF-16 text, or no text at all: save it as CSV in UTF-8"));
    }
    std::str::from_utf8(bytes).map(|text| text.trim_start_matches('\u{feff}')).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        Error::table(format!("holds a letter in line {line} that is not UTF-8, such as of Latin-1: save it as UTF-8"))
    })
}

/// The names of the columns.
fn named(header: &StringRecord) -> Result<Vec<String>, Error> {
    let names: Vec<String> = header.iter().map(|name| name.trim_start_matches(['#', ' ']).to_owned()).collect();
    let mut seen = BTreeSet::new();
    let twice = names.iter().find(|name| !name.is_empty() && !seen.insert(name.as_str())).cloned();
    match twice {
        Some(name) => Err(Error::table(format!("has two columns `{name}`: give each a name of its own"))),
        None => Ok(names),
    }
}

/// Adds the numbers of one row.
fn read_row(record: &StringRecord, line: u64, decimal_comma: bool, values: &mut Vec<f64>) -> Result<(), Error> {
    for (column, field) in record.iter().enumerate() {
        let value = number(field, decimal_comma).filter(|value| value.is_finite()).ok_or_else(|| {
            let field: String = field.chars().take(40).collect();
            Error::table(format!(
                "has `{field}` in line {line}, column {}, where a finite number was expected",
                column + 1
            ))
        })?;
        if !(value as f32).is_finite() {
            let place = format!("in line {line}, column {}", column + 1);
            return Err(Error::table(format!("has {}", no_number(value, &place))));
        }
        values.push(value);
    }
    Ok(())
}

/// A number, finite or not.
fn number(field: &str, decimal_comma: bool) -> Option<f64> {
    if decimal_comma { field.replace(',', ".").parse().ok() } else { field.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, names: &ColumnNames) -> Result<Trace, Error> {
        Trace::from_csv(&[("one.csv", text.as_bytes())], names)
    }

    fn names(inputs: Option<&str>, controls: &str, outputs: Option<&str>) -> ColumnNames {
        let split =
            |names: &str| names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        ColumnNames { inputs: inputs.map(split), controls: split(controls), outputs: outputs.map(split) }
    }

    #[test]
    fn two_files_are_inputs_and_outputs() {
        let (x, y) = ("0,1,2\n3,4,5\n6,7,8e0\n", "a;b\n0,5;1\n1;2\n-1,5;3\n");
        let trace =
            Trace::from_csv(&[("x.csv", x.as_bytes()), ("y.csv", y.as_bytes())], &ColumnNames::default()).unwrap();
        assert_eq!((trace.inputs.row(2), trace.outputs.row(2)), (&[6.0, 7.0, 8.0][..], &[-1.5, 3.0][..]));
        let banks: Vec<&str> = trace.card.ports.outputs.iter().map(|bank| bank.name.as_str()).collect();
        assert_eq!((banks, trace.card.ports.inputs[0].count), (vec!["a", "b"], 3));
        let short = Trace::from_csv(&[("x.csv", x.as_bytes()), ("y.csv", b"1\n2\n")], &ColumnNames::default());
        assert!(short.unwrap_err().to_string().contains("has 3 rows in `x.csv` and 2 in `y.csv`"));
    }

    #[test]
    fn columns_are_found_by_name_beginning_or_what_they_are_called() {
        let text = "\u{feff},v1,v2,bias,power_a,power_b\n0,1,2,0,3,4\n1,5,6,0,7,8\n2,9,10,1,11,12\n";
        for names in [names(Some("v1,v2"), "bias", Some("power*")), names(None, "bias", Some("power_a,power_b"))] {
            let trace = read(text, &names).unwrap();
            assert_eq!(
                (trace.inputs.row(1), trace.outputs.row(1), trace.controls(2)),
                (&[5.0, 6.0][..], &[7.0, 8.0][..], &[1.0][..])
            );
        }
        let told = read("x0 x1 y\n1 2 3\n4 5  6\n", &ColumnNames::default()).unwrap();
        assert_eq!((told.inputs.row(1), told.outputs.row(1)), (&[4.0, 5.0][..], &[6.0][..]));
        for (names, complaint) in [
            (ColumnNames::default(), "name them with --inputs and --outputs"),
            (names(None, "", Some("current")), "has no column `current`: it has `v1`, `v2`"),
            (names(Some("v1"), "", Some("v*")), "`v1` that is named twice"),
        ] {
            let text = read(text, &names).unwrap_err().to_string();
            assert!(text.contains(complaint), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_named_with_its_place() {
        for (text, complaint) in [
            ("x,y\n1,2\n3,oops\n", "has `oops` in line 3, column 2"),
            ("x,y\n1,2\n3\n", "has 1 values in line 3, where 2 were expected"),
            ("x,y\n1,2\n3,nan\n", "has `nan` in line 3, column 2"),
            ("x,y\n1,2\n3,1e39\n", "has 1e39 in line 3, column 2, which is beyond single precision"),
            ("x,y,x\n1,2,3\n", "has two columns `x`: give each a name of its own"),
            ("x,y\n", "holds no rows"),
            ("", "holds no rows"),
            ("1,2\n3,4\n", "has no header"),
            ("x,\"y\n1,2\n3,4\n", "has a quotation mark in line 1 that is not closed"),
        ] {
            let error = read(text, &ColumnNames::default()).unwrap_err().to_string();
            assert!(error.contains(complaint), "{text:?}: {error}");
        }
        for (bytes, complaint) in [
            (&b"\xFF\xFEx\0,\0y\0\n\0"[..], "is UTF-16 text"),
            (b"x\0,\0y\0\n\0", "is UTF-16 text"),
            (b"x,y\n1,2\n3,4 \xB5\n", "holds a letter in line 3 that is not UTF-8"),
        ] {
            let error = Trace::from_csv(&[("one.csv", bytes)], &ColumnNames::default()).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
