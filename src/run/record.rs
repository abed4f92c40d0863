//! The folder of a run, written as it goes.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::checkpoint::{Checkpoint, make_room, replace, to_file};
use super::facts::{continuation, facts, read_facts, this_process, unix_seconds};
use super::rewind::rewind;
use super::{Event, Header, Observer, StopReason, Viewer};
use crate::Error;
use crate::lab::Lab;
use crate::train::NamedTensor;

/// Shots of each plant that are kept for figures.
const REFERENCE_SHOTS: usize = 4;

/// The folder of one run.
pub struct Record {
    folder: PathBuf,
    metrics: File,
    events: File,
    facts: Value,
    reason: Option<StopReason>,
    /// Alarms before this process.
    alarms: u64,
}

impl Record {
    /// Makes the folder and writes down what decides the run. The folder must not exist yet; it appears when it is whole.
    pub fn create(folder: &Path, header: &Header<'_>, lab: &Lab) -> Result<Self, Error> {
        refuse_existing(folder)?;
        let partial = partial_folder(folder)?;
        let made = Self::begin(&partial, header, lab).and_then(|mut record| {
            fs::rename(&partial, folder).map_err(Error::record(folder, "cannot be made"))?;
            folder.clone_into(&mut record.folder);
            Ok(record)
        });
        if made.is_err() {
            drop(fs::remove_dir_all(&partial));
        }
        made
    }

    fn begin(folder: &Path, header: &Header<'_>, lab: &Lab) -> Result<Self, Error> {
        let facts = facts(header, lab);
        fs::create_dir(folder).map_err(Error::record(folder, "cannot be made"))?;
        let open = |name: &str| {
            let path = folder.join(name);
            // Whole lines at the end, whoever else adds to it: see `append_event`.
            let file = OpenOptions::new().append(true).create_new(true).open(&path);
            file.map_err(Error::record(&path, "cannot be written"))
        };
        let (metrics, events) = (open("metrics.csv")?, open("events.jsonl")?);
        own(&events, folder)?;
        let mut record = Self { folder: folder.to_owned(), metrics, events, facts, reason: None, alarms: 0 };
        // First of all whose it is: should this process die now, what it leaves is known to be a leftover.
        record.write_facts()?;
        write_configs(folder, header)?;
        record.write_metrics(METRICS)?;
        Ok(record)
    }

    /// Goes on with the run in `folder` from `checkpoint`: rows and recorded shots of later steps are taken back. Events stay, since
    /// they happened.
    pub fn reopen(folder: &Path, header: &Header<'_>, checkpoint: Option<&Checkpoint>) -> Result<Self, Error> {
        let mut facts = read_facts(folder)?;
        let (metrics, events) = (folder.join("metrics.csv"), folder.join("events.jsonl"));
        let open = |path: &Path| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.map_err(Error::record(path, "cannot be written"))
        };
        let cut = |path: &Path, bytes: u64| {
            let file = open(path)?;
            file.set_len(bytes).map_err(Error::record(path, "cannot be cut"))?;
            Ok::<File, Error>(file)
        };
        let mut before = fs::read(&events).unwrap_or_default();
        before.truncate(whole_lines(&before));
        let metrics = cut(&metrics, checkpoint.map_or(0, |checkpoint| checkpoint.metrics_bytes))?;
        let events = cut(&events, before.len() as u64)?;
        let plants = checkpoint.map(|checkpoint| &checkpoint.snapshot.position.plants);
        rewind(folder, |plant| plants.map_or(Some(0), |plants| plants.get(plant).map(|state| state.shots)))?;
        let step = checkpoint.map_or(0, |checkpoint| checkpoint.snapshot.position.done);
        match &mut facts["resumed"] {
            Value::Array(list) => list.push(continuation(step)),
            none => *none = json!([continuation(step)]),
        }
        facts["process"] = this_process();
        write_configs(folder, header)?;
        let alarms = last_alarm(&before);
        let mut record = Self { folder: folder.to_owned(), metrics, events, facts, reason: None, alarms };
        record.write_facts()?;
        if checkpoint.is_none() {
            record.write_metrics(METRICS)?;
        }
        Ok(record)
    }

    /// The number of the last alarm before this process; 0 if there was none.
    pub fn alarms(&self) -> u64 {
        self.alarms
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Saves the last shots of each plant beside what its twin predicts.
    pub fn save_reference(&self, viewer: &Viewer) -> Result<(), Error> {
        replace(&self.folder.join("reference.csv"), viewer.reference(REFERENCE_SHOTS).as_bytes())
    }

    /// What the files of this run say about where they come from.
    pub fn provenance(&self) -> HashMap<String, String> {
        let keys = ["experiment", "method", "seed", "data", "rig", "version", "command", "git"];
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        keys.into_iter().map(|key| (key.to_owned(), word(&self.facts[key]))).collect()
    }

    /// Saves the weights.
    pub fn save_weights(&self, weights: &[NamedTensor]) -> Result<(), Error> {
        let path = self.folder.join("weights.safetensors");
        replace(&path, &to_file(weights, None, &path)?)
    }

    /// Saves what the network said of each row of the test set, in `test.csv`; nothing where it was never tested.
    pub fn save_answers(&self, labels: &[u32], answers: &[u32]) -> Result<(), Error> {
        if answers.is_empty() {
            return Ok(());
        }
        let rows = labels.iter().zip(answers).enumerate();
        let rows = rows.map(|(row, (label, answer))| format!("{row},{label},{answer}\n"));
        let text = format!("row,label,answer\n{}", rows.collect::<String>());
        replace(&self.folder.join("test.csv"), text.as_bytes())
    }

    /// Adds facts to `run.json`.
    pub fn note(&mut self, facts: Value) -> Result<(), Error> {
        if let (Value::Object(all), Value::Object(more)) = (&mut self.facts, facts) {
            all.extend(more);
        }
        self.write_facts()
    }

    fn write_facts(&mut self) -> Result<(), Error> {
        let state = match self.reason {
            None => json!("running"),
            Some(reason) => json!(reason),
        };
        self.facts["state"] = state;
        let text = format!("{:#}\n", self.facts);
        let path = self.folder.join("run.json");
        self.insist(|| replace(&path, text.as_bytes()))
    }

    /// Writes; on a full disk again, with the room that an old checkpoint took.
    fn insist(&self, write: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
        write().or_else(|error| if make_room(&self.folder) { write() } else { Err(error) })
    }

    fn write_metrics(&mut self, row: &str) -> Result<(), Error> {
        let path = self.folder.join("metrics.csv");
        self.metrics.write_all(format!("{row}\n").as_bytes()).map_err(Error::record(&path, "cannot be written"))
    }

    fn write_event(&mut self, event: &Event) -> Result<(), Error> {
        let path = self.folder.join("events.jsonl");
        let line = event_line(event);
        let write = || (&self.events).write_all(line.as_bytes()).map_err(Error::record(&path, "cannot be written"));
        match event {
            // How a run ended is worth an old checkpoint.
            Event::Safe | Event::Failed { .. } | Event::Finished { .. } => self.insist(write),
            _ => write(),
        }
    }
}

/// A run that was not closed, because the program panicked, is closed as failed.
impl Drop for Record {
    fn drop(&mut self) {
        if self.reason.is_none() {
            self.reason = Some(StopReason::Failed);
            if let Err(error) = self.write_facts() {
                tell!("pnnlab: {error}");
            }
        }
    }
}

/// The columns of `metrics.csv`; a test's row leaves those of the update empty, and the other way around.
const METRICS: &str = "kind,step,epoch,learning_rate,loss,cross_entropy,penalty,batch_accuracy,range_use,clipping_rate,\
                       test_accuracy,believed_accuracy,shots,plant_seconds";

impl Observer for Record {
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        match event {
            Event::Step(s) => self.write_metrics(&format!(
                "step,{},{},{},{},{},{},{},{},{},,,{},{}",
                s.step,
                s.epoch,
                s.learning_rate,
                s.loss,
                s.cross_entropy,
                s.penalty,
                s.batch_accuracy,
                s.range_use,
                s.clipping_rate,
                s.shots,
                s.plant_seconds
            ))?,
            Event::Evaluated(test) => {
                self.write_metrics(&format!(
                    "test,{},,,,,,,,,{},{},{},{}",
                    test.step, test.test_accuracy, test.believed_accuracy, test.shots, test.plant_seconds
                ))?;
                self.write_event(event)?;
            }
            Event::Finished { reason } => {
                self.reason = Some(*reason);
                self.write_event(event)?;
                self.write_facts()?;
            }
            _ => self.write_event(event)?,
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Adds an event to the run in `folder` from where its observers cannot be reached: inside a step.
pub(crate) fn append_event(folder: &Path, event: &Event) -> Result<(), Error> {
    let path = folder.join("events.jsonl");
    let write = || OpenOptions::new().append(true).open(&path)?.write_all(event_line(event).as_bytes());
    write().map_err(Error::record(&path, "cannot be written"))
}

/// An event with its time, as a line.
fn event_line(event: &Event) -> String {
    let mut line = json!(event);
    line["unix_seconds"] = json!(unix_seconds());
    format!("{line}\n")
}

/// Makes this process the only one that runs the run in `folder`, as long as `events` is open.
pub(crate) fn own(events: &File, folder: &Path) -> Result<(), Error> {
    events.try_lock().map_err(|error| Error::Record {
        path: folder.to_owned(),
        message: match error {
            TryLockError::WouldBlock => {
                "is being run by another process: stop that first, or `pnnlab watch` it".to_owned()
            }
            TryLockError::Error(error) => format!("cannot be locked: {error}"),
        },
    })
}

/// Refuses a folder that exists.
pub(crate) fn refuse_existing(folder: &Path) -> Result<(), Error> {
    if folder.exists() {
        let message = "exists already, and a run is never overwritten: give another --name, or leave it out".to_owned();
        return Err(Error::Record { path: folder.to_owned(), message });
    }
    Ok(())
}

/// A hidden folder beside `folder` that becomes it; the folders above are made.
fn partial_folder(folder: &Path) -> Result<PathBuf, Error> {
    let parent = folder.parent().unwrap_or(Path::new(""));
    if !parent.as_os_str().is_empty() {
        fs::create_dir_all(parent).map_err(Error::record(parent, "cannot be made"))?;
    }
    let name = folder.file_name().map_or_else(Default::default, |name| name.to_string_lossy().into_owned());
    Ok(parent.join(format!(".{name}.{}.partial", std::process::id())))
}

/// Makes a folder that must not exist yet, and the folders above it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    refuse_existing(folder)?;
    fs::create_dir_all(folder).map_err(Error::record(folder, "cannot be made"))
}

/// Writes down the experiment and the rig, every default written out.
fn write_configs(folder: &Path, header: &Header<'_>) -> Result<(), Error> {
    let write = |name: &str, text: String| replace(&folder.join(name), text.as_bytes());
    write("experiment.toml", to_toml(header.experiment, folder)?)?;
    write("rig.toml", to_toml(header.rig, folder)?)
}

/// The highest number of an alarm in `events`.
fn last_alarm(events: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(events);
    let lines = text.lines().filter(|line| line.contains("\"alarm\""));
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["event"] == "alarm").filter_map(|event| event["id"].as_u64()).max().unwrap_or(0)
}

/// The bytes of all lines that end.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
}

fn to_toml(value: &impl serde::Serialize, folder: &Path) -> Result<String, Error> {
    toml::to_string(value).map_err(|error| Error::Record { path: folder.to_owned(), message: error.to_string() })
}
