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

use super::number::{percent, short};
use super::theme::Tone;
use crate::control::{Tried, TuningStatus};
use crate::event::{Alarm, GuardCounts, Severity};
use crate::record::read_text;
use crate::scores::Scores;

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
    /// Of the last test; once it has ended.
    #[serde(flatten)]
    pub tried: Tried,
    /// Shots on the plants; once it has ended.
    pub shots: Option<u64>,
    /// Bench time in s; once it has ended.
    pub plant_seconds: Option<f64>,
    /// What guards found in all updates; once it has ended.
    pub guard: Option<GuardCounts>,
    /// Where the time of all steps went; once it has ended.
    pub step_seconds: Option<StepSeconds>,
    /// Of a search for knobs: how it goes, or went.
    pub tuning: Option<TuningStatus>,
    /// Updates that `experiment.toml` plans, where it was asked.
    #[serde(skip)]
    pub steps: Option<u64>,
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
        let text = read_text(&folder.join("run.json"))?;
        let facts: Self = serde_json::from_str(&text).map_err(io::Error::from)?;
        if facts.state.is_empty() {
            return Err(io::Error::other("it has no `state`, so no run of pnnlab wrote it"));
        }
        Ok(facts)
    }

    /// The same with what `experiment.toml` beside it plans.
    pub fn read_with_plan(folder: &Path) -> io::Result<Self> {
        let plan = read_text(&folder.join("experiment.toml")).ok();
        let plan: Option<Value> = plan.and_then(|text| toml::from_str(&text).ok());
        // Where epochs are counted, the number of updates hangs on the data.
        let training = plan.map(|plan| plan["training"].clone()).filter(|training| training["epochs"].is_null());
        let steps = training.and_then(|training| training["steps"].as_u64());
        Ok(Self { steps, ..Self::read(folder)? })
    }

    /// Whether the record is still open.
    pub fn open(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused" | "stopping")
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
    /// What it tells of again and again; of several such lines one after another the last is kept.
    pub topic: Option<String>,
}

/// What `events.jsonl` has said so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Log {
    /// The last lines.
    pub lines: VecDeque<LogLine>,
    /// What was said of alarms, and when.
    pub alarms: Vec<(f64, Alarm)>,
    /// When an update was done, by the events that name one: (step, seconds since 1970).
    pub times: Vec<(u64, f64)>,
    /// Difference of twin and plant at the tests.
    pub residuals: Vec<(u64, f64)>,
    /// What the drift monitor said, of its threshold.
    pub drift: Vec<(u64, f64)>,
    /// Updates that were planned when it started.
    pub steps: Option<u64>,
    /// When the plants were made safe last.
    pub safe: Option<f64>,
    /// Whether nothing was driven since.
    pub ends_safe: bool,
    /// Why it failed.
    pub failure: Option<String>,
    /// When the last thing happened.
    pub last: Option<f64>,
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
            return self.push(LogLine { unix_seconds: f64::NAN, step: None, tone: Tone::Minor, text, topic: None });
        };
        let unix_seconds = event["unix_seconds"].as_f64().unwrap_or(f64::NAN);
        let step = event["step"].as_u64();
        self.last = Some(unix_seconds).filter(|time| time.is_finite()).or(self.last);
        self.note(&event, unix_seconds);
        if let Some(step) = step
            && unix_seconds.is_finite()
            && self.times.last().is_none_or(|(last, _)| *last < step)
        {
            self.times.push((step, unix_seconds));
        }
        let (tone, text) = sentence(&event);
        let topic = (event["event"] == "reference").then(|| format!("drift of {}", event["plant"]));
        self.push(LogLine { unix_seconds, step, tone, text, topic });
    }

    /// What panels need of an event beside its sentence.
    fn note(&mut self, event: &Value, unix_seconds: f64) {
        let step = event["step"].as_u64();
        let value = |key: &str| Some((step?, event[key].as_f64()?));
        let kind = event["event"].as_str().unwrap_or_default();
        match kind {
            "safe" => self.ends_safe = true,
            "started" | "continued" | "resumed" | "evaluated" => (self.ends_safe, self.failure) = (false, None),
            "failed" => self.failure = event["message"].as_str().map(str::to_owned),
            _ => {}
        }
        match kind {
            "started" => {
                self.steps = event["steps"].as_u64().or(self.steps);
                if self.times.is_empty() && unix_seconds.is_finite() {
                    self.times.push((0, unix_seconds));
                }
            }
            "continued" => {
                // Rows of later updates are taken back, and so is what was said of them.
                for list in [&mut self.times, &mut self.residuals, &mut self.drift] {
                    list.retain(|(known, _)| step.is_none_or(|step| *known <= step));
                }
            }
            "agreement" => self.residuals.extend(value("twin_residual")),
            "reference" => self.drift.extend(value("score")),
            "safe" => self.safe = Some(unix_seconds).filter(|time| time.is_finite()).or(self.safe),
            "alarm" => {
                if let Ok(alarm) = serde_json::from_value::<Alarm>(event.clone()) {
                    self.alarms.push((unix_seconds, alarm));
                }
            }
            _ => {}
        }
    }

    /// Every alarm as it was said last, or last before `until`.
    pub fn alarms_at(&self, until: Option<f64>) -> Vec<Alarm> {
        let mut alarms: Vec<Alarm> = Vec::new();
        for (_, alarm) in self.alarms.iter().filter(|(time, _)| until.is_none_or(|until| *time <= until)) {
            match alarms.iter_mut().find(|known| known.id == alarm.id) {
                Some(known) => *known = alarm.clone(),
                None => alarms.push(alarm.clone()),
            }
        }
        alarms
    }

    fn push(&mut self, line: LogLine) {
        if line.topic.is_some() {
            let recurrent = self.lines.iter().rev().take_while(|known| known.topic.is_some()).count();
            let start = self.lines.len() - recurrent;
            let same = |known: &LogLine| known.topic == line.topic && known.tone == line.tone;
            if let Some(place) = (start..self.lines.len()).find(|place| same(&self.lines[*place])) {
                self.lines.remove(place);
            }
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The last event at or before update `step` that names one, and the first after it: (step, seconds since 1970).
    pub fn around(&self, step: u64) -> [Option<(u64, f64)>; 2] {
        let after = self.times.partition_point(|(known, _)| *known <= step);
        let before = after.checked_sub(1).and_then(|index| self.times.get(index));
        [before.copied(), self.times.get(after).copied()]
    }
}

/// The last value at or before `step`.
pub fn value_at(values: &[(u64, f64)], step: u64) -> Option<f64> {
    values.iter().rev().find(|(known, _)| *known <= step).map(|(_, value)| *value)
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
        "guarded" => {
            let text = format!(
                "guard of layer {} fitted on {}: {} shots give its statistics",
                event["layer"],
                word("bench"),
                event["shots"]
            );
            (Tone::Plain, text)
        }
        "evaluated" => {
            let of = |part: &str| Scores::read(part, |key| event[key].as_f64());
            let say = |scores: Option<Scores>| scores.map_or("-".to_owned(), |scores| scores.say());
            let (test, believed) = (of("test"), say(of("believed")));
            let part = if test.is_none() { "validation" } else { "test" };
            let plant = say(test.or_else(|| of("validation")));
            (Tone::Plain, format!("{part} {plant} on the plant, {believed} believed, after step {}", event["step"]))
        }
        "agreement" => {
            let residual = percent(event["twin_residual"].as_f64());
            (Tone::Plain, format!("twin residual {residual} after step {}", event["step"]))
        }
        "reference" => {
            let tone = if event["alarm"] == true { Tone::Minor } else { Tone::Plain };
            let score = event["score"].as_f64().map_or("-".to_owned(), |score| format!("{score:.2}"));
            (tone, format!("drift {score} of limit on {} after step {}", word("plant"), event["step"]))
        }
        "refreshed" => {
            let value = |key: &str| event[key].as_f64().map_or("-".to_owned(), short);
            let (before, after) = (value("residual_before"), value("residual_after"));
            let kept = if event["kept"] == true { "kept" } else { "not kept" };
            let (plant, step, why) = (word("plant"), &event["step"], word("why"));
            (
                Tone::Strong,
                format!("twin of {plant} fitted anew after step {step} ({why}): residual {before} to {after}, {kept}"),
            )
        }
        "normalized" => {
            let moved = event["mean_shift"]
                .as_f64()
                .map_or(String::new(), |shift| format!(": means moved by {} of their deviation", short(shift)));
            let (layer, bench, step) = (&event["layer"], word("bench"), &event["step"]);
            (Tone::Strong, format!("statistics of layer {layer} measured anew on {bench} after step {step}{moved}"))
        }
        "paused" => {
            (Tone::Minor, format!("paused {}", event["why"].as_str().unwrap_or_default()).trim_end().to_owned())
        }
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
        let value = value.as_str().map_or_else(|| rounded(value).to_string(), str::to_owned);
        text.extend([" ", key.as_str(), ": ", value.as_str()]);
    }
    text
}

/// Numbers with four digits: sixteen fill a line and say nothing more.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let few = number.as_f64().and_then(|number| format!("{number:.3e}").parse::<f64>().ok());
            few.and_then(serde_json::Number::from_f64).map_or_else(|| value.clone(), Value::Number)
        }
        Value::Array(list) => list.iter().map(rounded).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), rounded(value))).collect(),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests;
