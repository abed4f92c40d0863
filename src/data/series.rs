//! Series made in code from the experiment's seed: what is seen at a time is a window of the last values, what is to be predicted a
//! number that belongs to that time.
//!
//! Windows make a memory for networks that have none: a physical layer sees each as one shot. The parts lie one after another in time,
//! first training, then validation, then test, and no value is in the windows or the targets of two parts.

mod channel;
mod mackey_glass;
mod narma;

pub use channel::ChannelConfig;
pub use mackey_glass::MackeyGlassConfig;
pub use narma::NarmaConfig;

use super::regression::Numbers;
use super::scaling::{Map, Scaling};
use super::split::Chosen;
use super::{Asked, Dataset, Rows, Span};
use crate::Error;

/// Values in all rows together at most: 1 GiB of them.
const MOST: usize = 1 << 28;

/// What is seen and what is to be predicted, time after time.
struct Series {
    /// What it is called.
    name: &'static str,
    /// What is called so that is to be predicted.
    target: &'static str,
    seen: Vec<f64>,
    wanted: Vec<f64>,
}

/// How a series becomes rows.
#[derive(Debug, Clone, Copy)]
struct Windows {
    train: usize,
    validation: Option<usize>,
    test: usize,
    /// Values of a row, the newest last.
    window: usize,
    /// Times between two values of a row.
    spacing: usize,
    /// How many times after the newest value of a row its target lies.
    ahead: usize,
    range: Span,
}

impl Windows {
    /// Refuses sizes that make no rows.
    fn sensible(&self, asked: Asked<'_>) -> Result<(), Error> {
        for (key, value) in [("train", self.train), ("test", self.test), ("window", self.window)] {
            if value == 0 {
                return Err(asked.document.refuse(&format!("data.{key}"), "is 0, but it must be at least 1"));
            }
        }
        let rows = self.parts().iter().sum::<usize>();
        if MOST / self.window < rows {
            let message = format!("is {}, which makes {rows} rows too long: at most {MOST} values in all", self.window);
            return Err(asked.document.refuse("data.window", message));
        }
        Ok(())
    }

    /// Rows of training, validation and test.
    fn parts(&self) -> [usize; 3] {
        [self.train, self.validation.unwrap_or(self.train / 10), self.test]
    }

    /// Times before the newest value of a row that the row sees.
    fn reach(&self) -> usize {
        (self.window - 1) * self.spacing
    }

    /// Times that are needed.
    fn length(&self) -> usize {
        self.parts().iter().map(|rows| self.reach() + rows + self.ahead).sum()
    }

    /// The rows of `series`, which has [`Self::length`] times.
    fn rows(&self, series: &Series) -> Result<Dataset, Error> {
        let (mut values, mut wanted, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        let (mut parts, mut begin) = ([const { Vec::new() }; 3], 0);
        for (part, rows) in parts.iter_mut().zip(self.parts()) {
            let first = begin + self.reach();
            for time in first..first + rows {
                part.push(numbers.len());
                let times = (0..self.window).rev().map(|back| time - back * self.spacing);
                values.extend(times.map(|time| series.seen[time]));
                wanted.push(series.wanted[time]);
                numbers.push(time);
            }
            begin = first + rows + self.ahead;
        }
        let [train, validation, test] = parts;
        let chosen = Chosen { train, validation, test };
        let (targets, meaning) = Numbers::one(series.target, wanted).scaled(&chosen, series.name)?;
        // One scale for the whole window: its columns are one quantity at several times.
        let map = Map::of(&values[..self.train * self.window], Scaling::Extremes, self.range);
        let values = values.into_iter().map(|value| map.apply(value)).collect();
        let rows = Rows { values, targets, numbers };
        let width = self.window;
        Ok(Dataset {
            name: series.name.to_owned(),
            width,
            meaning,
            train: rows.select(&chosen.train, width),
            validation: rows.select(&chosen.validation, width),
            test: rows.select(&chosen.test, width),
            augmented: None,
            drawn: None,
            columns: vec![],
        })
    }
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;
    use crate::document::Document;

    #[test]
    fn rows_are_windows_and_parts_share_no_value() {
        let windows =
            Windows { train: 3, validation: Some(2), test: 2, window: 3, spacing: 2, ahead: 1, range: Span::default() };
        let seen: Vec<f64> = (0..windows.length()).map(|time| time as f64).collect();
        let wanted: Vec<f64> = seen.iter().map(|time| time * time).collect();
        let data = windows.rows(&Series { name: "s", target: "y", seen, wanted }).unwrap();
        assert_eq!(
            (data.train.numbers.as_slice(), data.validation.numbers.as_slice()),
            (&[4, 5, 6][..], &[12, 13][..])
        );
        assert_eq!(data.test.numbers, [19, 20]);
        // From 0 to 6 in the training rows; what lies beyond is clipped.
        let sixth = |value: f32| value / 6.0;
        assert_eq!(data.train.values[..3], [0.0, 2.0, 4.0].map(sixth));
        assert_eq!(data.test.values, [1.0; 6]);
        let crate::data::Meaning::Targets(targets) = &data.meaning else { panic!("there is a target") };
        assert!((targets[0].own(data.test.targets.values()[0]) - 361.0).abs() < 1e-3);
    }

    #[test]
    fn sizes_that_make_no_rows_are_refused() {
        let document = Document::parse("a.toml", "[data]\n").unwrap();
        let asked = Asked { document: &document, key: Key::new(1) };
        let windows = |train, window| Windows {
            train,
            validation: None,
            test: 1,
            window,
            spacing: 1,
            ahead: 0,
            range: Span::default(),
        };
        assert!(windows(0, 5).sensible(asked).unwrap_err().to_string().contains("`data.train` is 0"));
        assert!(windows(1 << 20, 1 << 12).sensible(asked).unwrap_err().to_string().contains("too long"));
        assert!(windows(100, 10).sensible(asked).is_ok());
    }
}
