//! What a run folder says besides its curves: `run.json`, and `events.jsonl` as it grows.
//!
//! Fields that a record lacks, because an older or newer program wrote it, are left at their defaults; events of unknown kinds are
//! shown as they stand.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::number::percent;
use super::theme::Tone;
use crate::run::{Alarm, Severity};

/// Log lines that are kept.
const LINES: usize = 5000;

/// What `run.json` says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The experiment.
    pub experiment: String,
    /// The method.
    pub method: String,
    /// The seed.
    pub seed: u64,
    /// The rig.
    pub rig: String,
    /// The command line.
    pub command: String,
    /// The plants.
    pub plants: Vec<PlantFacts>,
    /// `running`, or why it ended.
    pub state: String,
    /// Seconds since 1970.
    pub started_unix_seconds: f64,
    /// Wall time in s; once it has ended.
    pub wall_seconds: Option<f64>,
    /// The process.
    pub process: Option<Process>,
    /// Of the last test; once it has ended.
    pub test_accuracy: Option<f64>,
    /// Where the time of all steps went; once it has ended.
    pub step_seconds: Option<StepSeconds>,
}

/// Seconds that all steps together spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StepSeconds {
    /// In plants.
    pub plant: f64,
    /// In twins.
    pub twin: f64,
    /// In digital layers.
    pub digital: f64,
    /// In all else.
    pub overhead: f64,
}

impl StepSeconds {
    /// As shares of their sum.
    pub fn shares(self) -> Option<[f64; 4]> {
        let parts = [self.plant, self.twin, self.digital, self.overhead];
        let sum: f64 = parts.iter().sum();
        (0.0 < sum).then(|| parts.map(|part| part / sum))
    }
}

/// The process of a run: its number alone, or with more about it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Process {
    /// Its number.
    Number(u32),
    /// An object that holds it.
    Object {
        /// Its number.
        #[serde(alias = "process", alias = "pid")]
        id: u32,
    },
}

/// A plant in `run.json`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PlantFacts {
    /// Its name in the rig.
    pub plant: String,
    /// The physical system.
    pub system: String,
    /// Its serial number.
    pub serial: String,
    /// `real`, `simulated` or `replayed`.
    pub origin: String,
    /// Input ports.
    pub inputs: usize,
    /// Trainable settings.
    pub controls: usize,
    /// Readings.
    pub outputs: usize,
}

impl Facts {
    /// Reads `run.json` of the run in `folder`.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let text = std::fs::read(folder.join("run.json"))?;
        serde_json::from_slice(&text).map_err(io::Error::from)
    }

    /// Whether the record is still open.
    pub fn open(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused" | "stopping")
    }

    /// The number of its process, where it is known.
    pub fn process_id(&self) -> Option<u32> {
        self.process.map(|process| match process {
            Process::Number(id) | Process::Object { id } => id,
        })
    }
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Seconds since 1970; NaN where the record does not say.
    pub unix_seconds: f64,
    /// The update that it belongs to, where it names one.
    pub step: Option<u64>,
    /// How to show it.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
}

/// What `events.jsonl` has said so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Log {
    /// The last lines.
    pub lines: VecDeque<LogLine>,
    /// Every alarm as it was said last.
    pub alarms: Vec<Alarm>,
    /// When an update was done, by the events that name one: (step, seconds since 1970).
    pub times: Vec<(u64, f64)>,
}

/// `events.jsonl` of one run.
pub struct Events {
    path: PathBuf,
    offset: u64,
    log: Log,
}

impl Events {
    /// Reads nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, log: Log::default() }
    }

    /// The log so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Reads what is new; says whether there was anything.
    pub fn poll(&mut self) -> io::Result<bool> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() < self.offset {
            *self = Self::new(self.path.clone());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(1 << 22).read_to_end(&mut bytes)?;
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Ok(false) };
        for line in bytes[..=end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.log.add(line);
        }
        self.offset += end as u64 + 1;
        Ok(true)
    }
}

impl Log {
    fn add(&mut self, line: &[u8]) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else {
            let text = format!("unreadable event: {}", String::from_utf8_lossy(line));
            return self.push(LogLine { unix_seconds: f64::NAN, step: None, tone: Tone::Minor, text });
        };
        let unix_seconds = event["unix_seconds"].as_f64().unwrap_or(f64::NAN);
        let step = event["step"].as_u64();
        if let (Some(step), "continued") = (step, event["event"].as_str().unwrap_or_default()) {
            // Rows of later updates are taken back, and so are their times.
            self.times.retain(|(known, _)| *known <= step);
        }
        if let Some(step) = step
            && unix_seconds.is_finite()
            && self.times.last().is_none_or(|(last, _)| *last < step)
        {
            self.times.push((step, unix_seconds));
        }
        if event["event"] == "alarm"
            && let Ok(alarm) = serde_json::from_value::<Alarm>(event.clone())
        {
            match self.alarms.iter_mut().find(|known| known.id == alarm.id) {
                Some(known) => *known = alarm,
                None => self.alarms.push(alarm),
            }
        }
        let (tone, text) = sentence(&event);
        self.push(LogLine { unix_seconds, step, tone, text });
    }

    fn push(&mut self, line: LogLine) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// About when update `step` was done, between the events that name one.
    pub fn time_of(&self, step: u64) -> Option<f64> {
        let after = self.times.partition_point(|(known, _)| *known < step);
        let next = self.times.get(after).copied();
        let before = after.checked_sub(1).and_then(|index| self.times.get(index)).copied();
        match (before, next) {
            (_, Some((known, time))) if known == step => Some(time),
            (Some((low, early)), Some((high, late))) => {
                Some(early + (late - early) * (step - low) as f64 / (high - low) as f64)
            }
            (Some((_, time)), None) | (None, Some((_, time))) => Some(time),
            (None, None) => None,
        }
    }
}

/// How to show an alarm of some severity.
pub fn severity_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Minor => Tone::Minor,
        Severity::Major => Tone::Major,
        Severity::Invalid => Tone::Invalid,
    }
}

/// An event as a sentence.
fn sentence(event: &Value) -> (Tone, String) {
    let word = |key: &str| event[key].as_str().unwrap_or("?").to_owned();
    match event["event"].as_str().unwrap_or_default() {
        "started" => (
            Tone::Strong,
            format!(
                "started {} by {}, seed {}, {} steps",
                word("experiment"),
                word("method"),
                event["seed"],
                event["steps"]
            ),
        ),
        "evaluated" => (
            Tone::Plain,
            format!(
                "test after step {}: {} right on the plant, {} believed",
                event["step"],
                percent(event["test_accuracy"].as_f64()),
                percent(event["believed_accuracy"].as_f64())
            ),
        ),
        "paused" => (Tone::Minor, "paused".to_owned()),
        "resumed" => (Tone::Plain, "resumed".to_owned()),
        "continued" => (Tone::Strong, format!("continued from the checkpoint after step {}", event["step"])),
        "safe" => (Tone::Good, "the plants are in their safe state".to_owned()),
        "failed" => (Tone::Major, format!("failed: {}", word("message"))),
        "finished" if event["reason"] == "finished" => (Tone::Good, "finished".to_owned()),
        "finished" => (Tone::Strong, format!("ended: {}", word("reason"))),
        "alarm" => {
            let tone = match event["severity"].as_str() {
                Some("minor") => Tone::Minor,
                Some("major") => Tone::Major,
                _ => Tone::Invalid,
            };
            let what = match (event["active"].as_bool(), event["acknowledged"].as_bool()) {
                (Some(false), _) => "cleared",
                (_, Some(true)) => "acknowledged",
                _ => "raised",
            };
            let text = format!("{} alarm {what}: {}: {}", word("severity"), word("source"), word("message"));
            (if what == "raised" { tone } else { Tone::Plain }, text)
        }
        _ => (Tone::Plain, plain(event)),
    }
}

/// An event of an unknown kind: its name and its values.
fn plain(event: &Value) -> String {
    let Value::Object(entries) = event else { return event.to_string() };
    let mut text = event["event"].as_str().unwrap_or("event").to_owned();
    for (key, value) in entries.iter().filter(|(key, _)| *key != "event" && *key != "unix_seconds") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.extend([" ", key.as_str(), ": ", value.as_str()]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_sentences_alarms_and_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut events = Events::new(path.clone());
        assert!(!events.poll().unwrap(), "no file yet");
        let alarm = |active, seen| {
            format!(
                r#"{{"event":"alarm","id":1,"severity":"major","source":"drift","message":"moved","first_unix_seconds":5.0,"active":{active},"acknowledged":{seen},"unix_seconds":6.0}}"#
            )
        };
        let text = format!(
            "{}\n{}\n{}\n{}\nnonsense\n{{\"event\":\"half",
            r#"{"event":"evaluated","step":10,"test_accuracy":0.5,"believed_accuracy":0.75,"unix_seconds":100.0}"#,
            r#"{"event":"evaluated","step":20,"test_accuracy":0.5,"believed_accuracy":0.75,"unix_seconds":120.0}"#,
            alarm(true, false),
            alarm(false, true)
        );
        std::fs::write(&path, text).unwrap();
        assert!(events.poll().unwrap());
        let log = events.log();
        let texts: Vec<&str> = log.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "test after step 10: 50.0 % right on the plant, 75.0 % believed",
                "test after step 20: 50.0 % right on the plant, 75.0 % believed",
                "major alarm raised: drift: moved",
                "major alarm cleared: drift: moved",
                "unreadable event: nonsense",
            ]
        );
        assert_eq!((log.alarms.len(), log.alarms[0].active), (1, false));
        assert_eq!([5, 15, 20, 99].map(|step| log.time_of(step)), [100.0, 110.0, 120.0, 120.0].map(Some));
        std::fs::write(&path, r#"{"event":"refreshed","fit":"a","residual":0.5}"#.to_owned() + "\n").unwrap();
        assert!(events.poll().unwrap(), "a shorter file is read again");
        assert_eq!(events.log().lines[0].text, "refreshed fit: a residual: 0.5");
    }
}
