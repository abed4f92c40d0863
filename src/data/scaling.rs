//! How the columns of a table are scaled, by what its training rows hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;
use super::uneven::tell_once;

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

/// Columns whose training values differ by a smaller part of their magnitude have an offset: single precision, whose step is 2⁻²³ of a
/// value, leaves at most as many steps between them as a converter of 12 bits has.
const OFFSET: f64 = 1.0 / 4096.0;

/// Whether values from `low` to `high` have an offset that single precision should not be spent on.
fn has_offset([low, high]: [f64; 2]) -> bool {
    low < high && high - low < OFFSET * low.abs().max(high.abs())
}

/// The smallest and the largest of some values.
fn ends(values: &[f64]) -> [f64; 2] {
    values.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| [low.min(*value), high.max(*value)])
}

/// Warns of a column of `data` that loses digits because it is learned from as it is; `advice` says what to do.
pub(super) fn warn_of_offset(data: &str, column: &str, [low, high]: [f64; 2], advice: &str) {
    if has_offset([low, high]) {
        tell_once(&format!(
            "{data}: column `{column}` is {low} to {high}, and single precision holds steps of {:.2e} there: {advice}",
            low.abs().max(high.abs()) * f64::from(f32::EPSILON)
        ));
    }
}

/// The number in a field of a table, if single precision has one for it.
pub(super) fn finite(field: &str) -> Option<f64> {
    field.trim().parse::<f64>().ok().filter(|value| (*value as f32).is_finite())
}

/// The columns of `values` (row after row) as `training` rows say, and all values scaled by them; `data` is named in warnings.
pub(super) fn scale(
    values: &[f64],
    names: &[String],
    training: &[usize],
    (scaling, range): (Scaling, Span),
    data: &str,
) -> (Vec<Column>, Vec<f32>) {
    let width = names.len();
    let mut scaled = vec![0.0; values.len()];
    let mut columns = Vec::with_capacity(width);
    for (column, name) in names.iter().enumerate() {
        let learned: Vec<f64> = training.iter().map(|row| values[row * width + column]).collect();
        let map = Map::of(&learned, scaling, range);
        if !scaling.takes_offsets() {
            let advice = "take its offset off with data.scaling = \"extremes\" or \"standard\"";
            warn_of_offset(data, name, ends(&learned), advice);
        }
        let mine = values.iter().skip(column).step_by(width);
        for (place, value) in scaled.iter_mut().skip(column).step_by(width).zip(mine) {
            *place = map.apply(*value);
        }
        columns.push(Column { name: name.clone(), map });
    }
    (columns, scaled)
}

impl Scaling {
    /// Whether what all values have in common is taken off.
    fn takes_offsets(self) -> bool {
        matches!(self, Self::Extremes | Self::Standard)
    }
}

/// How a column is scaled: `(value − offset − zero)/unit`, then clipped to `floor` to 1 and put into a range, if there is one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Map {
    /// Taken off before the value is rounded to single precision; 0 where that has digits enough for the values as they are.
    offset: f64,
    zero: f32,
    unit: f32,
    floor: f32,
    range: Option<Span>,
}

impl Map {
    /// As the column's training values say. A column that never changes has no unit: it stays where it is.
    pub fn of(training: &[f64], scaling: Scaling, range: Span) -> Self {
        let [low, high] = ends(training);
        let offset = if scaling.takes_offsets() && has_offset([low, high]) { low } else { 0.0 };
        let training: Vec<f32> = training.iter().map(|value| (value - offset) as f32).collect();
        let fold = |start: f32, pick: fn(f32, f32) -> f32| training.iter().copied().fold(start, pick);
        let unit = |unit: f32| if unit > 0.0 { unit } else { 1.0 };
        match scaling {
            Scaling::Extremes => {
                let (low, high) = (fold(f32::INFINITY, f32::min), fold(f32::NEG_INFINITY, f32::max));
                Self { offset, zero: low, unit: unit(high - low), floor: 0.0, range: Some(range) }
            }
            Scaling::Maximum => {
                let largest = fold(0.0, |most, value| most.max(value.abs()));
                // Of negative values the sign is kept.
                Self { offset, zero: 0.0, unit: unit(largest), floor: -1.0, range: Some(range) }
            }
            Scaling::Standard => {
                let count = training.len().max(1) as f64;
                let mean = training.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
                let variance = training.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
                Self { offset, zero: mean as f32, unit: unit(variance.sqrt() as f32), floor: 0.0, range: None }
            }
            Scaling::None => Self { offset, zero: 0.0, unit: 1.0, floor: 0.0, range: None },
        }
    }

    /// A value in single precision, as it is learned from.
    pub fn apply(&self, value: f64) -> f32 {
        let scaled = ((value - self.offset) as f32 - self.zero) / self.unit;
        match self.range {
            Some(range) => range.at(scaled.clamp(self.floor, 1.0)),
            None => scaled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_scaled_by_their_training_rows() {
        let names = ["a".to_owned(), "b".to_owned()];
        let rows = [1.0, -4.0, 3.0, 2.0, 5.0, 0.0];
        let scaled = |scaling, range| scale(&rows, &names, &[0, 1], (scaling, range), "a.csv").1;
        let unit = Span::default();
        assert_eq!(scaled(Scaling::Extremes, unit), [0.0, 0.0, 1.0, 1.0, 1.0, 4.0 / 6.0]);
        assert_eq!(scaled(Scaling::Extremes, Span { low: -1.0, high: 1.0 })[..4], [-1.0, -1.0, 1.0, 1.0]);
        assert_eq!(scaled(Scaling::Maximum, unit), [1.0 / 3.0, -1.0, 1.0, 0.5, 1.0, 0.0]);
        assert_eq!(scaled(Scaling::Standard, unit), [-1.0, -1.0, 1.0, 1.0, 3.0, 1.0 / 3.0]);
        assert_eq!(scaled(Scaling::None, unit), [1.0, -4.0, 3.0, 2.0, 5.0, 0.0]);
    }

    #[test]
    fn an_offset_costs_no_digits() {
        let rows = [2.41, 40.1, 2.83, 6.67, 22.0, 3.62];
        for scaling in [Scaling::Extremes, Scaling::Standard] {
            let scaled = |offset: f64| {
                let rows = rows.map(|value| value + offset);
                scale(&rows, &["f".to_owned()], &[0, 1, 2, 3], (scaling, Span::default()), "a.csv").1
            };
            for offset in [1e8, -1e9, 1.7e9] {
                for (with, without) in scaled(offset).into_iter().zip(scaled(0.0)) {
                    assert!((with - without).abs() < 1e-6, "{offset}: {with} for {without}");
                }
            }
        }
    }

    #[test]
    fn values_that_single_precision_can_tell_apart_keep_their_bits() {
        let map = Map::of(&[1000.1, 1000.9], Scaling::Extremes, Span::default());
        assert_eq!(map.offset, 0.0);
        assert_eq!(map.apply(1000.3), (1000.3_f32 - 1000.1) / (1000.9_f32 - 1000.1));
        assert!(!has_offset([1e9, 1e9]), "a column that never changes stays where it is");
        assert!(has_offset([1e9, 1e9 + 40.0]) && has_offset([-1e9 - 40.0, -1e9]));
        // Whoever asks for the values as they are gets them.
        assert_eq!(Map::of(&[1e9, 1e9 + 40.0], Scaling::None, Span::default()).apply(1e9), 1e9);
    }
}
