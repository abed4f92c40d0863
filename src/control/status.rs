//! What a running training says of itself to whoever asks: one line of JSON, several times a second.
//!
//! The engine sends it over the control socket of the run folder; the dashboard draws it. Numbers that the record holds as well
//! are the same numbers; what a value is worth depends on `unix_seconds`, so readers draw what is old as old.

use super::thumbnail::Thumbnail;
use super::tuning::TuningStatus;
use crate::event::{Alarm, GuardCounts, HeadScores};
use crate::plants::CalibrationStatus;
use crate::scores::{Keyed, ObjectiveKind, Scores};
use crate::stop::StopReason;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Training or testing.
    Running,
    /// Waiting, between two steps or for an interlock, until it is resumed.
    Paused,
    /// Finishing the record.
    Stopping,
    /// Closed, and why.
    Closed(StopReason),
}

/// A run at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When this was true: seconds since 1970.
    pub unix_seconds: f64,
    /// The process that runs it.
    pub process: u32,
    /// The experiment.
    pub experiment: String,
    /// The method.
    pub method: String,
    /// The seed.
    pub seed: u64,
    /// Where it is in its life.
    pub state: RunState,
    /// Who or what holds it while it is paused, or is about to; else empty.
    #[serde(default)]
    pub why: String,
    /// Whether nobody may go on: a reading is out of the bounds of its interlock.
    #[serde(default)]
    pub held: bool,
    /// How training goes.
    pub training: TrainingStatus,
    /// How the search goes, where it is none that trains but one for the settings of knobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningStatus>,
    /// The plants in use.
    pub plants: Vec<PlantStatus>,
    /// Alarms that are active, or were and have not been acknowledged; the newest last.
    pub alarms: Vec<Alarm>,
    /// What it will cost.
    pub budget: Budget,
    /// What it makes, where that is a picture (a lattice of the pool of an automaton) and somebody watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Thumbnail>,
}

/// Which rows were tried on the plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriedOn {
    /// Those that validate while it trains.
    Validation,
    /// The test set, at the end.
    Test,
}

impl TriedOn {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// The scores of what was last tried: of the validation set, or at the end of the test set.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tried {
    /// What is learned.
    pub kind: ObjectiveKind,
    /// On the plant.
    pub plant: Option<Scores>,
    /// As the method believes.
    pub believed: Option<Scores>,
}

impl Tried {
    /// Every score under its key; null where nothing was tried.
    pub fn keyed(&self) -> Keyed<Option<f64>> {
        self.kind.keyed([("test", self.plant), ("believed", self.believed)])
    }
}

impl Serialize for Tried {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.keyed().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tried {
    /// Other keys of the table come along: they may hold anything.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keyed = Keyed::<serde_json::Value>::deserialize(deserializer)?;
        let read = |part: &str| Scores::read(part, |key| keyed.get(key)?.as_f64());
        let named = keyed.get("objective").cloned().and_then(|name| serde_json::from_value(name).ok());
        let kind = named.unwrap_or_else(|| keyed.kind("test"));
        Ok(Self { kind, plant: read("test"), believed: read("believed") })
    }
}

/// How training goes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainingStatus {
    /// The last update, counted from 1; 0 before the first.
    pub step: usize,
    /// Updates in all.
    pub steps: usize,
    /// Counted from 1.
    pub epoch: usize,
    /// Of the last update.
    pub loss: Option<f64>,
    /// Of what was last tried: `test_accuracy`, `believed_accuracy`, or what the scores of another objective are called.
    #[serde(flatten)]
    pub tried: Tried,
    /// Which rows those were; nothing from a program that did not say.
    #[serde(default)]
    pub tried_on: Option<TriedOn>,
    /// RMS difference of twin and plant on the last batch, as a fraction of the readings' standard deviation.
    pub twin_residual: Option<f64>,
    /// Of the drift monitor, as a fraction of its threshold.
    pub drift_score: Option<f64>,
    /// Updates in each second of wall time, over the last few seconds.
    pub steps_per_second: Option<f64>,
    /// Fraction of the range that the last batch covered.
    pub range_use: Option<f64>,
    /// Fraction of the values sent that the hard clamp changed, in the last batch.
    pub clipping_rate: Option<f64>,
    /// Of several read-outs: the mean squared cosine between the gradients of two, in the last batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<f64>,
    /// Of several read-outs: each by itself, in the last test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<HeadScores>,
    /// What guards found so far, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardCounts>,
    /// Shares of the step time that went to plant, twin, digital layers and overhead; they sum to 1.
    pub time_shares: Option<[f64; 4]>,
}

/// One plant as it was last driven.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlantStatus {
    /// Its name in the rig.
    pub plant: String,
    /// The physical system.
    pub system: String,
    /// Its serial number.
    pub serial: String,
    /// `real`, `simulated` or `replayed`.
    pub origin: String,
    /// Shots taken.
    pub shots: u64,
    /// Bench time, in s.
    pub plant_seconds: f64,
    /// When it was last driven: seconds since 1970.
    pub driven_unix_seconds: Option<f64>,
    /// How long it waits until its limits over time have room, in s; none while it does not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_seconds: Option<f64>,
    /// The inputs of the last shot, bank by bank.
    pub inputs: Vec<BankStatus>,
    /// The controls that were asked for and applied, bank by bank.
    pub controls: Vec<BankStatus>,
    /// The readings of the last shot, bank by bank.
    pub outputs: Vec<BankStatus>,
    /// Its instruments' links; none where nothing is wired.
    pub links: Vec<LinkStatus>,
    /// The fit behind its twin, if there is one.
    pub calibration: Option<CalibrationStatus>,
}

/// The values of one bank of ports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BankStatus {
    /// The bank's name.
    pub bank: String,
    /// SI unit.
    pub unit: String,
    /// What is allowed.
    pub low: f32,
    /// What is allowed.
    pub high: f32,
    /// What was asked for; only of controls, where it can differ from what was applied.
    pub set_points: Vec<f32>,
    /// What was sent, applied or read.
    pub values: Vec<f32>,
}

/// The link to one instrument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// The instrument's name in the rig.
    pub instrument: String,
    /// Its address.
    pub address: String,
    /// `closed`, `opening`, `ready`, `dirty` or `backoff`.
    pub state: String,
    /// Times that it was reopened.
    pub reconnects: u64,
    /// Half of the queries were faster than this, in s.
    pub latency_p50_seconds: Option<f64>,
    /// All but a hundredth of the queries were faster than this, in s.
    pub latency_p99_seconds: Option<f64>,
    /// When it last answered: seconds since 1970.
    pub answered_unix_seconds: Option<f64>,
    /// Who holds it.
    pub owner: String,
}

/// What a run will cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Budget {
    /// Shots planned.
    pub shots: u64,
    /// Shots taken.
    pub shots_taken: u64,
    /// Bench time planned, in s.
    pub plant_seconds: f64,
    /// Bench time spent, in s.
    pub plant_seconds_spent: f64,
    /// Wall time so far, in s.
    pub wall_seconds: f64,
    /// Wall time left, in s, from the speed so far.
    pub wall_seconds_left: Option<f64>,
    /// Bytes that the record will take.
    pub record_bytes: u64,
}

/// What may be asked over the control socket, one line of JSON each; each gets one [`Reply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Pause before the next step.
    Pause,
    /// Go on; refused while the reading of an interlock is out.
    Resume,
    /// End after this step and finish the record.
    Stop,
    /// End now: the plants are made safe, the record is closed as it is.
    Abort,
    /// Make the plants safe now, whatever else is going on, and pause; a run that has not opened them yet drives none before that.
    Safe,
    /// Somebody has seen the alarm.
    Acknowledge {
        /// Which.
        alarm: u64,
    },
    /// The status once.
    Status,
    /// The status again and again, at most so many times a second, until the connection ends.
    Watch {
        /// Lines a second at most.
        rate: u32,
    },
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// It is being done.
    Done {
        /// Where the run is now.
        state: RunState,
    },
    /// It cannot be done.
    Refused {
        /// Why, and what to do.
        message: String,
    },
    /// What was asked.
    Status(Box<Status>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_its_scores() {
        let status = |kind, scores: Option<Scores>| TrainingStatus {
            tried: Tried { kind, plant: scores, believed: scores },
            ..TrainingStatus::default()
        };
        let regress = Some(Scores::new(ObjectiveKind::Regress, &[0.5, 0.75]));
        for (status, words) in [
            (
                status(ObjectiveKind::Classify, None),
                r#""loss":null,"test_accuracy":null,"believed_accuracy":null,"tried_on":null"#,
            ),
            (status(ObjectiveKind::Regress, None), r#""test_nrmse":null,"believed_nrmse":null,"test_r2":null"#),
            (status(ObjectiveKind::Regress, regress), r#""test_nrmse":0.5,"believed_nrmse":0.5,"test_r2":0.75"#),
        ] {
            let text = serde_json::to_string(&status).unwrap();
            assert!(text.contains(words), "{text}");
            assert_eq!(serde_json::from_str::<TrainingStatus>(&text).unwrap(), status);
        }
    }

    #[test]
    fn requests_are_words_on_the_wire() {
        let line = |request: &Request| serde_json::to_string(request).unwrap();
        assert_eq!(line(&Request::Pause), r#"{"command":"pause"}"#);
        assert_eq!(line(&Request::Acknowledge { alarm: 3 }), r#"{"command":"acknowledge","alarm":3}"#);
        let reply = Reply::Done { state: RunState::Closed(StopReason::Finished) };
        let text = serde_json::to_string(&reply).unwrap();
        assert_eq!(text, r#"{"reply":"done","state":{"closed":"finished"}}"#);
        assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), reply);
    }
}
