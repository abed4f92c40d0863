//! A pnnlink instrument in a rig file.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::options::Options;
use crate::Error;

/// A plant on a microcontroller that speaks pnnlink (`docs/pnnlink.md`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PnnlinkConfig {
    /// Where it listens, such as `serial:///dev/ttyACM0?baud=921600`.
    pub address: String,
    /// What is wired to what, in words.
    pub wiring: String,
    /// After how long without a word the instrument makes itself safe, in s.
    #[serde(default = "one_second")]
    #[schemars(range(min = 0.02, max = 60))]
    pub watchdog_seconds: f64,
    /// How long a call may wait without any progress, in s.
    #[serde(default = "five_seconds")]
    #[schemars(range(min = 0.1, max = 3600))]
    pub deadline_seconds: f64,
    /// How often a shot is driven whose reading is void: samples lost, frame stale, no number.
    #[serde(default = "five_times")]
    #[schemars(range(min = 1, max = 1000))]
    pub attempts: u32,
}

fn one_second() -> f64 {
    1.0
}

fn five_seconds() -> f64 {
    5.0
}

fn five_times() -> u32 {
    5
}

impl PnnlinkConfig {
    /// How patient the link is; refuses what makes no sense.
    pub fn options(&self) -> Result<Options, Error> {
        let seconds = |key: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(Duration::from_secs_f64(value));
            }
            Err(Error::Description { key: key.to_owned(), message: format!("is {value} s: give {low} to {high}") })
        };
        if !(1..=1000).contains(&self.attempts) {
            let message = format!("is {}: give 1 to 1000", self.attempts);
            return Err(Error::Description { key: "attempts".into(), message });
        }
        Ok(Options {
            deadline: seconds("deadline_seconds", self.deadline_seconds, 0.1, 3600.0)?,
            watchdog: seconds("watchdog_seconds", self.watchdog_seconds, 0.02, 60.0)?,
            attempts: self.attempts,
            ..Options::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_sense_are_refused_with_their_key() {
        let good: PnnlinkConfig =
            serde_json::from_str(r#"{ "address": "/dev/ttyACM0", "wiring": "DAC to ADC" }"#).unwrap();
        assert_eq!(good.options().unwrap().watchdog, Duration::from_secs(1));
        let bad = PnnlinkConfig { watchdog_seconds: f64::NAN, ..good.clone() };
        assert_eq!(bad.options().unwrap_err().to_string(), "`watchdog_seconds` is NaN s: give 0.02 to 60");
        let bad = PnnlinkConfig { attempts: 0, ..good };
        assert!(bad.options().unwrap_err().to_string().starts_with("`attempts` is 0"));
    }
}
