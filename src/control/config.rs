//! How a run is kept: the table `[run]` of an experiment. Nothing here changes what is trained.

use std::num::NonZeroU64;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::control::{AlarmConfig, HooksConfig};
use crate::document::Document;
use crate::record::Cadence;
use crate::scores::ObjectiveKind;

/// The longest time that instruments are waited for, in s: a month.
const LONGEST_WAIT_SECONDS: f64 = 30.0 * 86_400.0;

/// How a run is kept. Nothing here changes what is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// A checkpoint is made after so many steps; 0: however many (0).
    #[schemars(range(max = 1_000_000_000))]
    pub checkpoint_steps: usize,
    /// A checkpoint is made after so many seconds; 0: however long (2).
    #[schemars(range(min = 0, max = 1e9))]
    pub checkpoint_seconds: f64,
    /// Which shots are recorded, as Arrow streams in the folder `shots` of the run: false, true, or `"every N"`, about one batch
    /// in N (false).
    pub record: RecordConfig,
    /// An address such as `127.0.0.1:9090` where Prometheus can ask for metrics while the run goes; empty: none.
    pub metrics: String,
    /// How long a run waits for instruments that are away, such as for a pulled cable, before it ends: it pauses, and goes on by itself
    /// when they are back; 0: not at all (600).
    #[schemars(range(min = 0, max = 2_592_000))]
    pub wait_for_instruments_seconds: f64,
    /// Whom the run tells of its alarms and its end.
    #[serde(skip_serializing_if = "HooksConfig::is_empty")]
    pub hooks: HooksConfig,
    /// What raises an alarm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<AlarmConfig>,
}

/// Which shots are recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RecordConfig {
    /// All or none.
    All(bool),
    /// `every N`: about one batch in N.
    Some(String),
}

impl RecordConfig {
    /// One batch in how many; none where nothing is recorded. Fails where the words say neither.
    pub fn one_in(&self) -> Result<Option<NonZeroU64>, String> {
        let words = match self {
            Self::All(all) => return Ok(all.then_some(NonZeroU64::MIN)),
            Self::Some(words) => words,
        };
        let number = words.strip_prefix("every ").and_then(|number| number.trim().parse().ok());
        number
            .map(Some)
            .ok_or_else(|| format!("is `{words}`, but true, false or \"every N\" was expected, such as \"every 10\""))
    }
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            checkpoint_steps: 0,
            checkpoint_seconds: 2.0,
            record: RecordConfig::All(false),
            metrics: String::new(),
            wait_for_instruments_seconds: 600.0,
            hooks: HooksConfig::default(),
            alarms: vec![],
        }
    }
}

impl RunConfig {
    /// How often a checkpoint is made.
    pub fn cadence(&self) -> Cadence {
        Cadence { steps: self.checkpoint_steps, seconds: self.checkpoint_seconds }
    }

    /// How long instruments that are away are waited for.
    pub fn patience(&self) -> Duration {
        Duration::try_from_secs_f64(self.wait_for_instruments_seconds).unwrap_or_default()
    }

    /// Refuses alarms on scores that `objective` does not have.
    pub fn judges(&self, objective: ObjectiveKind, document: &Document) -> Result<(), Error> {
        let known: Vec<&str> = objective.scores().iter().map(|score| score.name).collect();
        let mut alarms = self.alarms.iter().enumerate();
        let foreign = alarms.find(|(_, alarm)| alarm.on.score().is_some_and(|score| !known.contains(&score)));
        foreign.map_or(Ok(()), |(index, alarm)| {
            let keys: Vec<String> = objective.scores().iter().map(|score| format!("`{}`", score.key("test"))).collect();
            let message = format!(
                "is `{}`, but the objective is `{objective}`: watch {}, or another quantity",
                alarm.name(),
                keys.join(" or ")
            );
            Err(document.refuse(&format!("run.alarms.{index}.on"), message))
        })
    }

    /// Refuses what makes no sense.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        if !(self.checkpoint_seconds >= 0.0 && self.checkpoint_seconds.is_finite()) {
            let message = format!("is {}, but it must not be negative", self.checkpoint_seconds);
            return Err(document.refuse("run.checkpoint_seconds", message));
        }
        self.record.one_in().map_err(|message| document.refuse("run.record", message))?;
        let seconds = self.wait_for_instruments_seconds;
        if !(0.0..=LONGEST_WAIT_SECONDS).contains(&seconds) {
            let message = format!("is {seconds}, but it must be from 0 to {LONGEST_WAIT_SECONDS}");
            return Err(document.refuse("run.wait_for_instruments_seconds", message));
        }
        self.hooks.sensible(document)?;
        if !self.metrics.is_empty() && self.metrics.parse::<std::net::SocketAddr>().is_err() {
            let message =
                format!("is `{}`, but an address and a port were expected, such as 127.0.0.1:9090", self.metrics);
            return Err(document.refuse("run.metrics", message));
        }
        for (index, alarm) in self.alarms.iter().enumerate() {
            if let Some(complaint) = alarm.complaint() {
                return Err(document.refuse(&format!("run.alarms.{index}"), complaint));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_shots_are_recorded_in_words() {
        let of =
            |text: &str| toml::from_str::<RunConfig>(text).unwrap().record.one_in().map(|one| one.map_or(0, u64::from));
        assert_eq!([of(""), of("record = true"), of("record = false")], [Ok(0), Ok(1), Ok(0)]);
        assert_eq!(of("record = \"every 10\""), Ok(10));
        for wrong in ["every", "every 0", "10", "every -1", "each 3"] {
            assert!(of(&format!("record = \"{wrong}\"")).unwrap_err().contains("every N"), "{wrong}");
        }
    }
}
