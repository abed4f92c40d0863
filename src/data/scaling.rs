//! How the columns of a table are scaled, by what its training rows hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Dataset, Span};

/// How the columns of a table are scaled, by the training rows alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Each column's extremes become 0 and 1; test values beyond them are clipped.
    #[default]
    Extremes,
    /// Each column is divided by its largest magnitude; test values beyond it are clipped.
    Maximum,
    /// Each column's mean becomes 0 and its standard deviation 1.
    Standard,
    /// As they are in the file.
    None,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    /// As the header calls it.
    pub name: String,
    /// How it was scaled.
    pub map: Map,
}

/// Scales each column as its training rows say.
pub(super) fn scale(dataset: &mut Dataset, (names, scaling): (&[String], Scaling), range: Span) -> Vec<Column> {
    let mut columns = Vec::with_capacity(names.len());
    for (column, name) in names.iter().enumerate() {
        let column_of = |values: &[f32]| values.iter().skip(column).step_by(dataset.width).copied().collect::<Vec<_>>();
        let map = Map::of(&column_of(&dataset.train.values), scaling, range);
        for rows in [&mut dataset.train, &mut dataset.validation, &mut dataset.test] {
            for value in rows.values.iter_mut().skip(column).step_by(dataset.width) {
                *value = map.apply(*value);
            }
        }
        columns.push(Column { name: name.clone(), map });
    }
    columns
}

/// How a column is scaled: `(value − zero)/unit`, then clipped to `floor` to 1 and put into a range, if there is one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Map {
    zero: f32,
    unit: f32,
    floor: f32,
    range: Option<Span>,
}

impl Map {
    /// As the column's training values say. A column that never changes has no unit: it stays where it is.
    pub fn of(training: &[f32], scaling: Scaling, range: Span) -> Self {
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

    pub fn apply(&self, value: f32) -> f32 {
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
    use crate::data::{Meaning, Rows, Targets};

    #[test]
    fn columns_are_scaled_by_their_training_rows() {
        let scaled = |scaling, range| {
            let rows = |values: &[f32]| {
                let count = values.len() / 2;
                Rows {
                    values: values.to_vec(),
                    targets: Targets::Classes(vec![0; count]),
                    numbers: (0..count).collect(),
                }
            };
            let (train, test) = (rows(&[1.0, -4.0, 3.0, 2.0]), rows(&[5.0, 0.0]));
            let validation = Rows::default();
            let name = String::new();
            let meaning = Meaning::Classes(vec![String::new()]);
            let mut dataset = Dataset {
                name,
                width: 2,
                meaning,
                train,
                validation,
                test,
                augmented: None,
                drawn: None,
                columns: vec![],
            };
            scale(&mut dataset, (&["a".to_owned(), "b".to_owned()], scaling), range);
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
