//! The delay equation of Mackey and Glass (Science 197, 287, 1977), chaotic where the delay is 17:
//!
//! ```text
//! dx/dt = 0.2 x(t−τ) / (1 + x(t−τ)¹⁰) − 0.1 x(t)
//! ```
//!
//! It is solved by the classical Runge–Kutta method in steps of 0.1, with what lay τ ago interpolated by cubics, and read once in a
//! unit of time. Seen at time t are `x(t − (window − 1)·spacing), …, x(t − spacing), x(t)`, predicted is `x(t + horizon)`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Series, Windows};
use crate::Error;
use crate::data::{Asked, Dataset, Span};

/// Steps in a unit of time.
const STEPS: usize = 10;
/// Units of time before the first that counts.
const WASHOUT: usize = 1000;

/// The Mackey–Glass series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MackeyGlassConfig {
    /// Times to learn from (2,000).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub train: usize,
    /// Times that validate; left out, a tenth of `train`. 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub validation: Option<usize>,
    /// Times that are tested on (1,000).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub test: usize,
    /// Values that a row sees, the newest last (16).
    #[schemars(range(min = 1, max = 65_536))]
    pub window: usize,
    /// Units of time between two values of a row (1).
    #[schemars(range(min = 1, max = 1000))]
    pub spacing: usize,
    /// Units of time after the newest value at which the series is predicted (6).
    #[schemars(range(min = 1, max = 10_000))]
    pub horizon: usize,
    /// The delay τ, in units of time (17). Up to 16 the series is periodic.
    #[schemars(range(min = 1, max = 1000))]
    pub delay: usize,
    /// What the lowest and the highest value become.
    pub range: Span,
}

impl Default for MackeyGlassConfig {
    fn default() -> Self {
        Self {
            train: 2000,
            validation: None,
            test: 1000,
            window: 16,
            spacing: 1,
            horizon: 6,
            delay: 17,
            range: Span::default(),
        }
    }
}

impl MackeyGlassConfig {
    /// The rows of a series whose start the experiment's seed draws.
    pub(in crate::data) fn dataset(&self, asked: Asked<'_>) -> Result<Dataset, Error> {
        let &Self { train, validation, test, window, spacing, horizon, delay, range } = self;
        let windows = Windows { train, validation, test, window, spacing, ahead: horizon, range };
        windows.sensible(asked)?;
        let start = 1.0 + 0.4 * f64::from(asked.key.branch("mackey-glass").stream().uniform());
        let series = mackey_glass(start, delay, WASHOUT + windows.length());
        let (seen, wanted) = (series[WASHOUT..].to_vec(), series[WASHOUT + horizon..].to_vec());
        windows.rows(&Series { name: "mackey-glass", target: "x", seen, wanted })
    }
}

/// Its slope where it is `now` and was `then` a delay ago.
fn slope(now: f64, then: f64) -> f64 {
    0.2 * then / (1.0 + then.powi(10)) - 0.1 * now
}

/// `x(0), x(1), … x(length − 1)`, where it was `start` until 0.
fn mackey_glass(start: f64, delay: usize, length: usize) -> Vec<f64> {
    let (step, back) = (1.0 / STEPS as f64, delay * STEPS);
    let count = STEPS * length.saturating_sub(1) + 1;
    // Values and slopes at each step.
    let (mut values, mut slopes) = (vec![start; count], vec![0.0; count]);
    let ago = |values: &[f64], place: usize| place.checked_sub(back).map_or(start, |place| values[place]);
    for place in 0..count {
        let now = values[place];
        let then = ago(&values, place);
        slopes[place] = slope(now, then);
        if place + 1 == count {
            break;
        }
        let next = ago(&values, place + 1);
        // Between two steps, by the cubic through values and slopes; before 0 it is constant.
        let between = place.checked_sub(back).map_or(start, |early| {
            0.5 * (values[early] + values[early + 1]) + step / 8.0 * (slopes[early] - slopes[early + 1])
        });
        let first = slopes[place];
        let second = slope(now + 0.5 * step * first, between);
        let third = slope(now + 0.5 * step * second, between);
        let fourth = slope(now + step * third, next);
        values[place + 1] = now + step / 6.0 * (first + 2.0 * second + 2.0 * third + fourth);
    }
    values.into_iter().step_by(STEPS).collect()
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;
    use crate::document::Document;

    #[test]
    fn the_series_is_that_of_the_equation() {
        // Computed apart, in Python, by Heun's method in steps of 0.001 from x = 1.2.
        let series = mackey_glass(1.2, 17, 201);
        for (time, known) in KNOWN {
            assert!((series[time] - known).abs() < 1e-6, "x({time}) is {}, not {known}", series[time]);
        }
    }

    #[test]
    fn it_is_predicted_by_its_horizon_and_another_seed_is_another_series() {
        let document = Document::parse("a.toml", "[data]\n").unwrap();
        let config = MackeyGlassConfig {
            train: 60,
            test: 20,
            window: 4,
            spacing: 6,
            horizon: 3,
            ..MackeyGlassConfig::default()
        };
        let load = |seed| config.dataset(Asked { document: &document, key: Key::new(seed) }).unwrap();
        let data = load(1);
        assert_eq!((data.width, data.train.len(), data.validation.len(), data.test.len()), (4, 60, 6, 20));
        assert_ne!(data.train.values, load(2).train.values);
        let crate::data::Meaning::Targets(targets) = &data.meaning else { panic!("there is a target") };
        // What is predicted at one time is seen three rows later.
        let newest = |row: usize| f64::from(data.train.values[4 * row + 3]);
        let own = |row: usize| targets[0].own(data.train.targets.values()[row]);
        let (a, b) = (own(5) - own(9), newest(8) - newest(12));
        let (c, d) = (own(20) - own(30), newest(23) - newest(33));
        assert!((a * d - b * c).abs() < 1e-5 && a.abs() > 1e-3, "{a} {b} {c} {d}");
    }

    /// Time and value.
    const KNOWN: [(usize, f64); 6] = [
        (1, 1.117_562_21),
        (17, 0.491_972_097),
        (30, 1.023_838_25),
        (60, 0.829_067_274),
        (100, 1.013_724_02),
        (200, 1.186_718_09),
    ];
}
