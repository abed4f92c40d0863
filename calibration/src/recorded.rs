//! Recorded data without a card: rows of inputs, controls and outputs, as a trace.

use std::collections::{BTreeMap, HashMap};

use drivers::{Bank, Batch, Card, Direction, Identity, Origin, Ports, Range, Timing};

use crate::trace::RECORDED;
use crate::{Error, Trace};

/// What of a trace's provenance says which columns lose digits in single precision.
const ROUNDED: &str = "rounded";
/// Rounding that is more of a column's deviation than this is told: three digits are left.
const TOLD: f64 = 1e-3;
/// Such columns that are named.
const NAMED: usize = 6;

/// Values of one kind, a shot a row.
pub(crate) struct Recorded {
    /// What they are called: an array, a file, a column.
    pub name: String,
    /// The names of the columns, where they have any.
    pub columns: Vec<String>,
    /// How many values a row has.
    pub width: usize,
    /// Row after row, as they were written.
    pub values: Vec<f64>,
}

impl Recorded {
    /// How many rows there are.
    fn count(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// The rows in single precision.
    pub fn rows(&self) -> Batch {
        Batch::from_fn(self.count(), self.width, |row, column| self.values[row * self.width + column] as f32)
    }

    /// The rows, if all are numbers in single precision; else what is wrong.
    fn checked(&self) -> Result<Batch, String> {
        let Some(at) = self.values.iter().position(|value| !(*value as f32).is_finite()) else {
            return Ok(self.rows());
        };
        let place = format!("in row {} (the first is 1), {}", at / self.width + 1, self.place(at % self.width));
        Err(format!("holds {}", no_number(self.values[at], &place)))
    }

    /// The columns that lose digits in single precision: what lies far from 0 by its own deviation.
    fn rounded(&self) -> Vec<String> {
        let count = self.count() as f64;
        let of = |column: usize| {
            let values = || self.values.iter().skip(column).step_by(self.width);
            let mean = values().sum::<f64>() / count;
            let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
            let rounding = values().map(|value| (value - f64::from(*value as f32)).powi(2)).sum::<f64>() / count;
            let digits = (deviation / rounding.sqrt()).log10().floor().max(0.0);
            (rounding.sqrt() > TOLD * deviation && deviation > 1e-12 * mean.abs()).then(|| {
                format!(
                    "{} ({mean:.6e} with a deviation of {deviation:.1e}; digits left: {digits})",
                    self.place(column)
                )
            })
        };
        (0..self.width).filter_map(of).collect()
    }

    /// A column in words.
    fn place(&self, column: usize) -> String {
        match self.columns.get(column) {
            Some(name) => format!("column `{name}`"),
            None => format!("column {} of `{}`", column + 1, self.name),
        }
    }

    /// Banks of its columns, whose values are `rows`: one for each that has a name, or one for all.
    fn banks(&self, name: &str, rows: &Batch) -> Vec<Bank> {
        if self.columns.is_empty() {
            return vec![Bank::new(name, self.width, "1", range_of(rows.values().iter().copied()))];
        }
        let column =
            |(index, name): (usize, &String)| Bank::new(name, 1, "1", range_of(rows.iter().map(|row| row[index])));
        self.columns.iter().enumerate().map(column).collect()
    }
}

/// What is wrong with a value that is no number in single precision.
pub(crate) fn no_number(value: f64, place: &str) -> String {
    if value.is_finite() {
        format!("{value:e} {place}, which is beyond single precision (±3.4e38): scale the values")
    } else {
        format!("a value that is not finite {place}")
    }
}

/// The trace of a plant that is known by its data alone; `error` makes errors of where they come from.
pub(crate) fn trace_of(
    inputs: Recorded,
    controls: Option<&Recorded>,
    outputs: Recorded,
    error: fn(String) -> Error,
) -> Result<Trace, Error> {
    let shots = inputs.count();
    if shots != outputs.count() || shots == 0 {
        return Err(error(format!(
            "has {shots} rows in `{}` and {} in `{}`: a shot is a row in both",
            inputs.name,
            outputs.count(),
            outputs.name
        )));
    }
    let (driven, read) = (inputs.checked().map_err(error)?, outputs.checked().map_err(error)?);
    let (banks, (settings, setting_of)) = match controls {
        None => (vec![], (Batch::zeros(1, 0), vec![0; shots])),
        Some(controls) => {
            let rows = controls.checked().map_err(error)?;
            (controls.banks("control", &rows), settings(&rows))
        }
    };
    let ports =
        Ports { inputs: inputs.banks("input", &driven), controls: banks, outputs: outputs.banks("output", &read) };
    let mut provenance = BTreeMap::new();
    let rounded: Vec<String> = [&inputs, &outputs].into_iter().chain(controls).flat_map(Recorded::rounded).collect();
    if !rounded.is_empty() {
        let more = rounded.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more columns") } else { String::new() };
        provenance.insert(ROUNDED.to_owned(), rounded[..rounded.len().min(NAMED)].join(", ") + &more);
    }
    provenance.extend([("inputs".to_owned(), inputs.name), ("outputs".to_owned(), outputs.name.clone())]);
    Ok(Trace {
        card: Card {
            identity: Identity { system: RECORDED.into(), serial: outputs.name, origin: Origin::Replayed },
            ports,
            timing: Timing::default(),
        },
        provenance,
        settings,
        setting_of,
        stimulus: (0..shots as u32).collect(),
        seconds: vec![0.0; shots],
        inputs: driven,
        outputs: read,
    })
}

/// Each different row of controls, in the order of their first shots, and which of them each shot has.
fn settings(controls: &Batch) -> (Batch, Vec<u32>) {
    let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
    let (mut all, mut setting_of) = (Vec::new(), Vec::with_capacity(controls.rows()));
    for row in controls {
        let next = known.len() as u32;
        let place = *known.entry(row.iter().map(|value| value.to_bits()).collect()).or_insert(next);
        if place == next {
            all.extend_from_slice(row);
        }
        setting_of.push(place);
    }
    let columns = controls.columns();
    (Batch::from_fn(known.len(), columns, |row, column| all[row * columns + column]), setting_of)
}

/// Where the columns called as `wanted` lie among `own`; `None` where a name stands for no column, or none is in both.
fn order_of(own: &[Bank], wanted: &[Bank], kind: &str) -> Result<Option<Vec<usize>>, Error> {
    // A single bank that is called as all of its kind are has no header.
    let has_header =
        |banks: &[Bank]| banks.iter().all(|bank| bank.count == 1) && !matches!(banks, [only] if only.name == kind);
    let places: Vec<Option<usize>> =
        wanted.iter().map(|bank| own.iter().position(|other| other.name == bank.name)).collect();
    if !has_header(own) || !has_header(wanted) || places.iter().all(Option::is_none) {
        return Ok(None);
    }
    let place = |(bank, place): (&Bank, Option<usize>)| {
        place.ok_or_else(|| {
            let known: Vec<String> = own.iter().map(|other| format!("`{}`", other.name)).collect();
            let message = format!("has no {kind} `{}`, which was learned from: it has {}", bank.name, known.join(", "));
            Error::table(message)
        })
    };
    wanted.iter().zip(places).map(place).collect::<Result<Vec<_>, _>>().map(Some)
}

/// The smallest range around all values.
fn range_of(values: impl Iterator<Item = f32>) -> Range {
    let (low, high) = values.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    Range::new(low, high)
}

impl Trace {
    /// Whether it is recorded data without a card.
    pub fn is_recorded(&self) -> bool {
        self.card.identity.system == RECORDED
    }

    /// Whether it is data that others recorded, also where it was given the card of a plant.
    pub fn is_foreign(&self) -> bool {
        ["inputs", "outputs"].iter().all(|key| self.provenance.contains_key(*key))
    }

    /// The columns of recorded data of which single precision keeps fewer than three digits of how their values differ, in words.
    pub fn rounded(&self) -> Option<&str> {
        self.provenance.get(ROUNDED).map(String::as_str)
    }

    /// The same with its columns in the order of those of `like`, where both have names for them; an error where only some names are the
    /// same.
    pub fn in_order_of(mut self, like: &Self) -> Result<Self, Error> {
        let Card { ports: wanted, .. } = &like.card;
        let Ports { inputs, controls, outputs } = &mut self.card.ports;
        for (values, banks, wanted, kind) in [
            (&mut self.inputs, inputs, &wanted.inputs, "input"),
            (&mut self.settings, controls, &wanted.controls, "control"),
            (&mut self.outputs, outputs, &wanted.outputs, "output"),
        ] {
            if let Some(order) = order_of(banks, wanted, kind)? {
                *values = Batch::from_fn(values.rows(), order.len(), |row, column| values.row(row)[order[column]]);
                *banks = order.iter().map(|place| banks[*place].clone()).collect();
            }
        }
        Ok(self)
    }

    /// Recorded data as that of a plant of `card`: its ports with their units and ranges. Whose shots they were stays what the data
    /// says: the serial number is not the plant's.
    pub fn of_plant(self, card: &Card) -> Result<Self, Error> {
        let directions = [Direction::Input, Direction::Control, Direction::Output];
        let counts = |ports: &Ports| directions.map(|direction| ports.count(direction));
        let (has, wanted) = (counts(&self.card.ports), counts(&card.ports));
        if has != wanted {
            return Err(Error::trace(format!(
                "has {} inputs, {} controls and {} outputs, but the {} plant has {}, {} and {}: choose other columns, or another plant",
                has[0], has[1], has[2], card.identity.system, wanted[0], wanted[1], wanted[2]
            )));
        }
        let identity = Identity { system: card.identity.system.clone(), ..self.card.identity };
        Ok(Self { card: Card { identity, ports: card.ports.clone(), timing: card.timing }, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::card;

    fn rows(name: &str, width: usize, value: impl Fn(usize) -> f64) -> Recorded {
        let values = (0..6 * width).map(|at| value(at / width)).collect();
        Recorded { name: name.into(), columns: vec![], width, values }
    }

    fn recorded() -> Trace {
        let controls = rows("theta", 1, |row| (row / 2) as f64);
        trace_of(rows("x", 2, |row| row as f64), Some(&controls), rows("y", 1, |row| -(row as f64)), Error::table)
            .unwrap()
    }

    #[test]
    fn what_is_no_number_in_single_precision_is_named_with_row_and_column() {
        for (value, complaint) in [
            (1e39, "holds 1e39 in row 3 (the first is 1), column 2 of `x`, which is beyond single precision (±3.4e38)"),
            (f64::NAN, "holds a value that is not finite in row 3 (the first is 1), column 2 of `x`"),
        ] {
            let mut x = rows("x", 2, |row| row as f64);
            x.values[5] = value;
            let text = trace_of(x, None, rows("y", 1, |row| row as f64), Error::table).unwrap_err().to_string();
            assert!(text.contains(complaint), "{text}");
        }
    }

    #[test]
    fn equal_controls_are_one_setting() {
        let trace = recorded();
        assert_eq!((trace.settings.rows(), trace.setting_of.as_slice()), (3, &[0, 0, 1, 1, 2, 2][..]));
        assert_eq!(trace.controls(5), [2.0]);
        assert!(trace.is_recorded());
        assert_eq!(trace.output_ranges(), [Range::new(-5.0, 0.0)]);
    }

    #[test]
    fn columns_that_lose_digits_in_single_precision_are_named() {
        let of = |offset: f64, step: f64| {
            let x = rows("x", 2, |row| offset + step * row as f64);
            trace_of(x, None, rows("y", 1, |row| row as f64), Error::table).unwrap()
        };
        let far = of(1e6, 0.3);
        let told = far.rounded().unwrap();
        assert!(
            told.starts_with("column 1 of `x` (1.000001e6 with a deviation of 5.1e-1; digits left: 1), column 2"),
            "{told}"
        );
        // Small numbers lose nothing that counts, and whole ones nothing at all.
        assert_eq!((of(1.0, 0.3).rounded(), of(1e6, 1.0).rounded(), of(1e-30, 1e-31).rounded()), (None, None, None));
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let named = |columns: [&str; 2]| {
            let mut x = rows("x", 2, |row| row as f64);
            x.columns = columns.map(str::to_owned).to_vec();
            x.values.iter_mut().skip(1).step_by(2).for_each(|value| *value += 100.0);
            trace_of(x, None, rows("y", 1, |row| row as f64), Error::table).unwrap()
        };
        let like = named(["a", "b"]);
        let turned = named(["b", "a"]).in_order_of(&like).unwrap();
        assert_eq!(turned.inputs.row(2), [102.0, 2.0]);
        let names: Vec<&str> = turned.card.ports.inputs.iter().map(|bank| bank.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(turned.card.ports.inputs[0].range, Range::new(100.0, 105.0));
        assert_eq!(named(["c", "d"]).in_order_of(&like).unwrap().inputs.row(2), [2.0, 102.0], "no name is in both");
        let text = named(["b", "c"]).in_order_of(&like).unwrap_err().to_string();
        assert_eq!(text, "the table has no input `a`, which was learned from: it has `b`, `c`");
        assert_eq!(recorded().in_order_of(&recorded()).unwrap(), recorded());
    }

    #[test]
    fn recorded_data_takes_the_ports_of_a_plant_of_the_same_size() {
        let trace = recorded().of_plant(&card(2, 1, 1)).unwrap();
        assert_eq!((trace.card.identity.system.as_str(), trace.card.identity.serial.as_str()), ("toy", "y"));
        assert!(trace.is_foreign() && !trace.is_recorded());
        assert_eq!(trace.output_ranges(), [Range::new(-1.0, 1.0)]);
        let text = recorded().of_plant(&card(2, 2, 1)).unwrap_err().to_string();
        assert!(text.contains("has 2 inputs, 1 controls and 1 outputs, but the toy plant has 2, 2 and 1"), "{text}");
    }
}
