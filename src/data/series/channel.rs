//! Equalization of a nonlinear channel with intersymbol interference (Mathews and Lee, Proc. SPIE 2296, 317, 1994; as Jaeger and Haas
//! have it, Science 304, 78, 2004). Symbols d of −3, −1, 1 and 3 are sent:
//!
//! ```text
//! q(n) = 0.08 d(n+2) − 0.12 d(n+1) + d(n) + 0.18 d(n−1) − 0.1 d(n−2) + 0.091 d(n−3) − 0.05 d(n−4) + 0.04 d(n−5) + 0.03 d(n−6) + 0.01 d(n−7)
//! u(n) = q(n) + 0.036 q(n)² − 0.011 q(n)³ + noise
//! ```
//!
//! Seen at time n are `u(n − window + 1) … u(n)`, predicted is `d(n − delay)`. The noise is white and normal; its power is that of the
//! channel's output less `signal_to_noise_db`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Series, Windows};
use crate::Error;
use crate::data::{Asked, Dataset, Span};

/// The weight of `d(n + 2 − k)`, k from 0 on.
const TAPS: [f64; 10] = [0.08, -0.12, 1.0, 0.18, -0.1, 0.091, -0.05, 0.04, 0.03, 0.01];
/// Symbols that are sent before and after those that count.
const EARLY: usize = 16;
const LATE: usize = 2;

/// A nonlinear channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelConfig {
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
    /// Received values that a row sees, the newest last (8).
    #[schemars(range(min = 1, max = 65_536))]
    pub window: usize,
    /// The symbol that is predicted was sent so many times before the newest value (2): the channel answers two symbols early.
    #[schemars(range(max = 16))]
    pub delay: usize,
    /// Power of the channel's output over that of the noise, in dB (28).
    #[schemars(range(min = -20, max = 120))]
    pub signal_to_noise_db: f64,
    /// What the lowest and the highest value become.
    pub range: Span,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            train: 2000,
            validation: None,
            test: 1000,
            window: 8,
            delay: 2,
            signal_to_noise_db: 28.0,
            range: Span::default(),
        }
    }
}

impl ChannelConfig {
    /// The rows of symbols and noise drawn by the experiment's seed.
    pub(in crate::data) fn dataset(&self, asked: Asked<'_>) -> Result<Dataset, Error> {
        let &Self { train, validation, test, window, delay, range, .. } = self;
        // A target lies before the newest value, and the channel reaches further than the delay.
        let windows = Windows { train, validation, test, window, spacing: 1, ahead: EARLY, range };
        windows.sensible(asked)?;
        let key = asked.key.branch("channel");
        let sent = symbols(EARLY + windows.length() + LATE, key.branch("symbols"));
        let mut seen = received(&sent);
        let power = seen.iter().map(|value| value * value).sum::<f64>() / seen.len() as f64;
        let deviation = (power / 10.0_f64.powf(self.signal_to_noise_db / 10.0)).sqrt();
        let mut noise = key.branch("noise").stream();
        for value in &mut seen {
            *value += deviation * f64::from(noise.normal());
        }
        let wanted = sent[EARLY - delay..].to_vec();
        windows.rows(&Series { name: "channel", target: "d", seen, wanted })
    }
}

fn symbols(count: usize, key: Key) -> Vec<f64> {
    let mut stream = key.stream();
    (0..count).map(|_| f64::from(2.0 * (4.0 * stream.uniform()).floor().min(3.0) - 3.0)).collect()
}

/// What comes out of the channel without noise, from the symbol at [`EARLY`] to the last with [`LATE`] behind it.
fn received(sent: &[f64]) -> Vec<f64> {
    let linear = |now: usize| TAPS.iter().enumerate().map(|(place, tap)| tap * sent[now + LATE - place]).sum::<f64>();
    let distorted = |value: f64| value + 0.036 * value.powi(2) - 0.011 * value.powi(3);
    (EARLY..sent.len() - LATE).map(|now| distorted(linear(now))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    #[test]
    fn what_is_received_is_that_of_the_equations() {
        // Computed apart, in Python, for the symbols 2·((3n² + n) mod 7 mod 4) − 3.
        let sent: Vec<f64> = (0..40_u32).map(|n| f64::from(2 * ((3 * n * n + n) % 7 % 4)) - 3.0).collect();
        let received = received(&sent);
        assert_eq!(received.len(), 40 - EARLY - LATE);
        for (time, known) in KNOWN {
            assert!((received[time] - known).abs() < 1e-12, "u({time}) is {}, not {known}", received[time]);
        }
    }

    #[test]
    fn the_symbol_is_the_one_that_was_sent_and_noise_is_as_loud_as_told() {
        let document = Document::parse("a.toml", "[data]\n").unwrap();
        let load = |signal_to_noise_db, delay| {
            let config = ChannelConfig {
                train: 4000,
                test: 50,
                window: 1,
                delay,
                signal_to_noise_db,
                ..ChannelConfig::default()
            };
            config.dataset(Asked { document: &document, key: Key::new(1) }).unwrap()
        };
        let clean = load(100.0, 0);
        let crate::data::Meaning::Targets(targets) = &clean.meaning else { panic!("there is a target") };
        let symbols: Vec<f64> = clean.train.targets.values().iter().map(|value| targets[0].own(*value)).collect();
        let rounded: Vec<f64> = symbols.iter().map(|symbol| symbol.round()).collect();
        assert!([-3.0, -1.0, 1.0, 3.0].iter().all(|symbol| rounded.contains(symbol)));
        assert!(symbols.iter().zip(&rounded).all(|(symbol, rounded)| (symbol - rounded).abs() < 1e-5));
        // The newest value says most of the newest symbol.
        let seen: Vec<f64> = clean.train.values.iter().map(|value| f64::from(*value)).collect();
        let correlation = |symbols: &[f64]| {
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            let (a, b) = (mean(&seen), mean(symbols));
            let product =
                |x: &[f64], y: &[f64], a: f64, b: f64| x.iter().zip(y).map(|(x, y)| (x - a) * (y - b)).sum::<f64>();
            product(&seen, symbols, a, b) / (product(&seen, &seen, a, a) * product(symbols, symbols, b, b)).sqrt()
        };
        assert!(correlation(&symbols) > 0.9, "{}", correlation(&symbols));
        let late = load(100.0, 2);
        let crate::data::Meaning::Targets(targets) = &late.meaning else { panic!("there is a target") };
        let earlier: Vec<f64> =
            late.train.targets.values().iter().map(|value| targets[0].own(*value).round()).collect();
        assert_eq!((&late.train.values, &earlier[2..]), (&clean.train.values, &rounded[..3998]));
        let noisy = load(10.0, 0);
        let differs = noisy.train.values.iter().zip(&clean.train.values).filter(|(a, b)| a != b).count();
        assert!(differs > 3900);
    }

    /// Time and value.
    const KNOWN: [(usize, f64); 3] = [(0, -2.407_260_805_831), (5, -2.387_239_930_957), (21, -2.407_260_805_831)];
}
