//! The folder of a run, written as it goes.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Error;
use crate::data::Dataset;
use crate::event::{Event, Observer};
use crate::plants::Lab;
use crate::record::{
    CHECKPOINTS, Header,
    checkpoint::{Checkpoint, make_room, replace},
    facts::{continuation, facts, read_facts, this_process, unix_seconds},
    lock::own,
    new_folder::{NewFolder, make_parent, rename_new},
    rewind::rewind,
};
use crate::stop::StopReason;
use crate::whole_file;

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
    pub fn create(folder: &NewFolder, header: &Header<'_>, lab: &Lab) -> Result<Self, Error> {
        folder.refuse_existing()?;
        let partial = partial_folder(folder.wanted())?;
        let made = Self::begin(&partial, header, lab).and_then(|mut record| {
            record.folder = folder.take(|free| rename_new(&partial, free))?;
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
        // The process that ran it before may have died while it wrote.
        whole_file::sweep(folder);
        whole_file::sweep(&folder.join(CHECKPOINTS));
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
        // What ended it before is no longer so.
        if let Some(facts) = facts.as_object_mut() {
            facts.remove("error");
        }
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

    /// What the files of this run say about where they come from.
    pub fn provenance(&self) -> HashMap<String, String> {
        let keys = ["experiment", "method", "seed", "data", "rig", "version", "program", "command", "git"];
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        keys.into_iter().map(|key| (key.to_owned(), word(&self.facts[key]))).collect()
    }

    /// Saves what the network said of each row of the test set, in `test.csv`: by the rows' numbers in the data's own file, with
    /// numbers and words of the classes; nothing where it was never tested.
    pub fn save_answers(&self, data: &Dataset, answers: &[u32]) -> Result<(), Error> {
        if answers.is_empty() {
            return Ok(());
        }
        let path = self.folder.join("test.csv");
        let word = |class: u32| data.words.get(class as usize).map_or("", String::as_str);
        let mut writer = csv::Writer::from_writer(Vec::new());
        let rows = data.test.numbers.iter().zip(&data.test.labels).zip(answers);
        let mut rows = rows.map(|((row, &label), &answer)| {
            [&row.to_string(), &label.to_string(), &answer.to_string(), word(label), word(answer)].map(str::to_owned)
        });
        let written = writer
            .write_record(["row", "label", "answer", "label_word", "answer_word"])
            .and_then(|()| rows.try_for_each(|row| writer.write_record(row)));
        let bad = |error: String| Error::Record { path: path.clone(), message: format!("cannot be written: {error}") };
        written.map_err(|error| bad(error.to_string()))?;
        replace(&path, &writer.into_inner().map_err(|error| bad(error.to_string()))?)
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
            if self.facts["error"].is_null() {
                self.facts["error"] = json!("the program ended without closing the run, as it does when it panics");
            }
            if let Err(error) = self.write_facts() {
                tell!("pnnlab: {error}");
            }
        }
    }
}

/// The columns of `metrics.csv`; a test's row leaves those of the update empty, and the other way around.
const METRICS: &str = "kind,step,epoch,learning_rate,loss,cross_entropy,penalty,batch_accuracy,range_use,clipping_rate,\
                       test_accuracy,believed_accuracy,shots,plant_seconds,validation_accuracy";

impl Observer for Record {
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        match event {
            Event::Step(s) => self.write_metrics(&format!(
                "step,{},{},{},{},{},{},{},{},{},,,{},{},",
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
                let cell = |accuracy: Option<f64>| accuracy.map_or(String::new(), |accuracy| accuracy.to_string());
                self.write_metrics(&format!(
                    "test,{},,,,,,,,,{},{},{},{},{}",
                    test.step,
                    cell(test.test_accuracy),
                    test.believed_accuracy,
                    test.shots,
                    test.plant_seconds,
                    cell(test.validation_accuracy)
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

/// A hidden folder beside `folder` that becomes it; the folders above are made.
fn partial_folder(folder: &Path) -> Result<PathBuf, Error> {
    make_parent(folder)?;
    let parent = folder.parent().unwrap_or(Path::new(""));
    let name = folder.file_name().map_or_else(Default::default, |name| name.to_string_lossy().into_owned());
    Ok(parent.join(format!(".{name}.{}.partial", std::process::id())))
}

/// Writes down the experiment and the rig, every default written out.
fn write_configs(folder: &Path, header: &Header<'_>) -> Result<(), Error> {
    let write = |name: &str, text: String| replace(&folder.join(name), text.as_bytes());
    write("experiment.toml", header.experiment.clone())?;
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
