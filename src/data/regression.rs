//! Numbers to predict: in standard deviations from the mean, both those of the training rows.

use super::split::Chosen;
use super::{Meaning, Target, Targets};
use crate::Error;

/// A column is told by another where their correlation differs from ±1 by less than rounding to seven digits leaves.
const ROUNDING: f64 = 1e-9;
/// A column whose deviation is a smaller part of its mean does not change.
const STILL: f64 = 1e-12;

/// Columns of numbers to predict, in their own units.
#[derive(Debug)]
pub(super) struct Numbers {
    names: Vec<String>,
    /// Column after column.
    columns: Vec<Vec<f64>>,
}

impl Numbers {
    /// Columns without rows.
    pub fn of(names: &[String]) -> Self {
        Self { names: names.to_vec(), columns: vec![Vec::new(); names.len()] }
    }

    /// One column with its rows.
    pub fn one(name: &str, values: Vec<f64>) -> Self {
        Self { names: vec![name.to_owned()], columns: vec![values] }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// Adds the next row's value of the column at `place`.
    pub fn put(&mut self, place: usize, value: f64) {
        self.columns[place].push(value);
    }

    /// The first target that is a straight line of `values`.
    pub fn told_by(&self, values: &[f64]) -> Option<&str> {
        let told = |column: &Vec<f64>| {
            let ((mean, deviation), (own, spread)) = (moments(values), moments(column));
            let product = values.iter().zip(column).map(|(a, b)| (a - mean) * (b - own)).sum::<f64>();
            deviation > 0.0 && spread > 0.0 && {
                let correlation = product / (values.len() as f64 * deviation * spread);
                1.0 - correlation.abs() < ROUNDING
            }
        };
        self.columns.iter().position(told).map(|place| self.names[place].as_str())
    }

    /// All rows as they are learned, and what they stand for; `data` is named where a part of them tells nothing.
    pub fn scaled(&self, chosen: &Chosen, data: &str) -> Result<(Targets, Meaning), Error> {
        let width = self.columns.len();
        let mut values = vec![0.0; width * self.len()];
        let mut meaning = Vec::with_capacity(width);
        for (place, (name, column)) in self.names.iter().zip(&self.columns).enumerate() {
            for (part, words) in [
                (&chosen.train, "training rows"),
                (&chosen.validation, "rows of the validation"),
                (&chosen.test, "rows of the test"),
            ] {
                let (mean, deviation) = moments_of(column, part);
                if !part.is_empty() && deviation <= STILL * mean.abs() {
                    return Err(Error::Data(format!(
                        "{data}: all {words} have the same `{name}`: nothing can be learned of it, and NRMSE divides by its standard \
                         deviation. Name another target, or split the rows otherwise"
                    )));
                }
            }
            let (mean, deviation) = moments_of(column, &chosen.train);
            for (row, value) in column.iter().enumerate() {
                values[row * width + place] = ((value - mean) / deviation) as f32;
            }
            meaning.push(Target { name: name.clone(), mean, deviation });
        }
        Ok((Targets::Values { values, width }, Meaning::Targets(meaning)))
    }
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// The same of the rows at `part`.
fn moments_of(column: &[f64], part: &[usize]) -> (f64, f64) {
    moments(&part.iter().map(|&row| column[row]).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_a_straight_line_of_a_target_is_told() {
        let numbers = Numbers::one("y", vec![1.0, 2.0, 4.0]);
        assert_eq!(numbers.told_by(&[-3.0, -5.0, -9.0]), Some("y"));
        assert_eq!(numbers.told_by(&[1.0, 2.0, 3.9]), None);
        assert_eq!(numbers.told_by(&[1.0, 1.0, 1.0]), None);
    }
}
