//! Alarms that a user asks for: `[[run.alarms]]`, on what each update reports.
//!
//! An alarm is raised when its quantity passes a limit and is over when it has come back behind another: between the two nothing
//! changes, so a value that trembles at the limit is one alarm. A run that an alarm paused goes on when the alarm is over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::control::{Board, Monitor, Quantity};
use crate::event::Severity;
use crate::plants::Lab;

/// An alarm that a user asks for. Give one of `above` and `below`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmConfig {
    /// What is watched.
    pub on: Quantity,
    /// Raised above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// Raised below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Over when it is back behind this; without it, when it is back behind the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<f64>,
    /// How bad it is (minor).
    #[serde(default = "minor")]
    pub severity: Severity,
    /// Whether the run pauses until it is over or somebody resumes (false).
    #[serde(default)]
    pub pause: bool,
}

fn minor() -> Severity {
    Severity::Minor
}

impl AlarmConfig {
    /// What is wrong with it, if anything.
    pub fn complaint(&self) -> Option<&'static str> {
        let (limit, sign) = match (self.above, self.below) {
            (Some(above), None) => (above, 1.0),
            (None, Some(below)) => (below, -1.0),
            _ => return Some("must have exactly one of `above` and `below`"),
        };
        let backwards = self.clear.is_some_and(|clear| sign * clear > sign * limit);
        backwards.then_some("is over before it is raised: put `clear` on the good side of the limit")
    }

    /// Whether it is raised at `value`, given whether it is raised now.
    fn judge(&self, value: f64, raised: bool) -> bool {
        let (limit, sign) = match (self.above, self.below) {
            (Some(above), _) => (above, 1.0),
            (None, Some(below)) => (below, -1.0),
            (None, None) => return false,
        };
        let edge = if raised { self.clear.unwrap_or(limit) } else { limit };
        // What is no number is on the wrong side of everything.
        value.is_nan() || sign * edge < sign * value
    }

    fn sentence(&self, value: f64) -> String {
        let name = self.name();
        match (self.above, self.below) {
            (Some(above), _) => format!("{name} is {value:.4}, above {above}"),
            (None, below) => format!("{name} is {value:.4}, below {}", below.unwrap_or(f64::NAN)),
        }
    }

    /// The quantity as it is written in the file.
    pub(crate) fn name(&self) -> String {
        serde_json::to_value(self.on).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// Watches all quantities that alarms were asked for on.
pub struct Thresholds {
    alarms: Vec<(AlarmConfig, bool)>,
}

impl Thresholds {
    /// Nothing is raised yet.
    pub fn new(alarms: &[AlarmConfig]) -> Self {
        Self { alarms: alarms.iter().map(|alarm| (alarm.clone(), false)).collect() }
    }
}

impl Monitor for Thresholds {
    fn name(&self) -> &'static str {
        "thresholds"
    }

    fn look(&mut self, _: usize, _: &mut Lab, board: &Board) -> Result<(), Error> {
        for (index, (alarm, raised)) in self.alarms.iter_mut().enumerate() {
            let Some(value) = board.quantity(alarm.on) else { continue };
            let source = format!("run.alarms.{index}");
            match (alarm.judge(value, *raised), *raised) {
                (true, false) => board.raise(&source, alarm.severity, alarm.sentence(value), alarm.pause),
                (false, true) => board.clear(&source),
                _ => continue,
            }
            *raised = !*raised;
        }
        Ok(())
    }

    fn state(&self) -> toml::Table {
        let raised = self.alarms.iter().map(|(_, raised)| toml::Value::Boolean(*raised)).collect();
        toml::Table::from_iter([("raised".to_owned(), toml::Value::Array(raised))])
    }

    /// Alarms that were raised are raised again, by the next look: nobody has seen them in this process.
    fn restore(&mut self, _: &toml::Table) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(above: Option<f64>, below: Option<f64>, clear: Option<f64>) -> AlarmConfig {
        AlarmConfig { on: Quantity::Loss, above, below, clear, severity: Severity::Minor, pause: false }
    }

    #[test]
    fn between_the_limits_nothing_changes() {
        let high = alarm(Some(2.0), None, Some(1.0));
        let mut raised = false;
        let said: Vec<bool> = [1.5, 2.1, 1.5, 1.1, 0.9, 1.9, f64::NAN]
            .into_iter()
            .map(|value| {
                raised = high.judge(value, raised);
                raised
            })
            .collect();
        assert_eq!(said, [false, true, true, true, false, false, true]);
        assert!(alarm(None, Some(0.5), None).judge(0.4, false));
        assert_eq!(high.complaint(), None);
        assert!(alarm(Some(2.0), None, Some(3.0)).complaint().unwrap().contains("`clear`"));
        assert!(alarm(Some(2.0), Some(1.0), None).complaint().unwrap().contains("exactly one"));
        assert_eq!(high.sentence(2.5), "loss is 2.5000, above 2");
    }
}
