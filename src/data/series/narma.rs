//! NARMA-10, a nonlinear autoregressive moving average of tenth order (Atiya and Parlos, IEEE Trans. Neural Netw. 11, 697, 2000):
//!
//! ```text
//! y(t+1) = 0.3 y(t) + 0.05 y(t) · (y(t) + … + y(t−9)) + 1.5 u(t−9) u(t) + 0.1        u: evenly from 0 to 0.5
//! ```
//!
//! Seen at time t are `u(t − window + 1) … u(t)`, predicted is `y(t+1)`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Series, Windows};
use crate::Error;
use crate::data::{Asked, Dataset, Span};

/// Times that pass before the first one that counts.
const WASHOUT: usize = 200;
/// Where `y` has left all bounds, as it does for rare inputs, others are drawn.
const BOUND: f64 = 10.0;
/// As often as that.
const DRAWS: u64 = 100;

/// NARMA-10.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NarmaConfig {
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
    /// Inputs that a row sees, the newest last (16). The equation multiplies the newest with the tenth.
    #[schemars(range(min = 1, max = 65_536))]
    pub window: usize,
    /// What the lowest and the highest input become.
    pub range: Span,
}

impl Default for NarmaConfig {
    fn default() -> Self {
        Self { train: 2000, validation: None, test: 1000, window: 16, range: Span::default() }
    }
}

impl NarmaConfig {
    /// The rows of a series drawn by the experiment's seed.
    pub(in crate::data) fn dataset(&self, asked: Asked<'_>) -> Result<Dataset, Error> {
        let &Self { train, validation, test, window, range } = self;
        let windows = Windows { train, validation, test, window, spacing: 1, ahead: 1, range };
        windows.sensible(asked)?;
        let length = WASHOUT + windows.length();
        let drawn = (0..DRAWS).find_map(|draw| {
            let inputs = inputs(length, asked.key.branch("narma").number(draw));
            narma(&inputs).map(|outputs| (inputs, outputs))
        });
        let (inputs, outputs) = drawn.ok_or_else(|| {
            Error::Data(format!("narma: no draw of {length} inputs has kept the series in bounds: ask for fewer times"))
        })?;
        // Predicted at t is y(t+1).
        windows.rows(&Series {
            name: "narma",
            target: "y",
            seen: inputs[WASHOUT..].to_vec(),
            wanted: outputs[WASHOUT + 1..].to_vec(),
        })
    }
}

fn inputs(length: usize, key: Key) -> Vec<f64> {
    let mut stream = key.stream();
    (0..length).map(|_| 0.5 * f64::from(stream.uniform())).collect()
}

/// `y(0) … y(length)` of inputs `u(0) … u(length − 1)`, from rest; none where it leaves all bounds.
fn narma(inputs: &[f64]) -> Option<Vec<f64>> {
    let mut outputs = vec![0.0; inputs.len() + 1];
    let before = |values: &[f64], time: usize, back: usize| time.checked_sub(back).map_or(0.0, |time| values[time]);
    for time in 0..inputs.len() {
        let now = outputs[time];
        let sum: f64 = (0..10).map(|back| before(&outputs, time, back)).sum();
        let next = 0.3 * now + 0.05 * now * sum + 1.5 * before(inputs, time, 9) * inputs[time] + 0.1;
        if BOUND < next {
            return None;
        }
        outputs[time + 1] = next;
    }
    Some(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    #[test]
    fn the_series_is_that_of_the_equation() {
        // Computed apart, in Python, from u(t) = (7t mod 11)/22.
        let inputs: Vec<f64> = (0..40_u32).map(|time| f64::from(7 * time % 11) / 22.0).collect();
        let outputs = narma(&inputs).unwrap();
        for (time, known) in KNOWN {
            assert!((outputs[time] - known).abs() < 1e-12, "y({time}) is {}, not {known}", outputs[time]);
        }
        assert!(narma(&[0.9; 400]).is_none(), "strong inputs drive it away");
    }

    #[test]
    fn what_is_predicted_follows_from_what_is_seen() {
        let document = Document::parse("a.toml", "[data]\n").unwrap();
        let load = |seed| {
            let config = NarmaConfig { train: 50, test: 20, window: 12, ..NarmaConfig::default() };
            config.dataset(Asked { document: &document, key: Key::new(seed) }).unwrap()
        };
        let data = load(3);
        assert_eq!((data.width, data.train.len(), data.validation.len(), data.test.len()), (12, 50, 5, 20));
        assert_eq!(data.train, load(3).train);
        assert_ne!(data.train.values, load(4).train.values);
        // Both rows of a pair lie on the series; from y(t) to y(t+1) the equation adds what the newest and the tenth input say.
        let inputs = inputs(WASHOUT + 300, Key::new(3).branch("narma").number(0));
        let outputs = narma(&inputs).unwrap();
        let crate::data::Meaning::Targets(targets) = &data.meaning else { panic!("there is a target") };
        let (own, time) = (targets[0].own(data.train.targets.values()[7]), WASHOUT + data.train.numbers[7]);
        assert!((own - outputs[time + 1]).abs() < 1e-6);
    }

    /// Time and value.
    const KNOWN: [(usize, f64); 4] =
        [(1, 0.1), (11, 0.244_722_699_076_5), (25, 0.342_810_530_418_565), (40, 0.274_705_492_692_739)];
}
