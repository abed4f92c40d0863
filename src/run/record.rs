//! The folder of a run, written as it goes.

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::{Event, Observer, StopReason};
use crate::lab::Lab;
use crate::train::NamedTensor;
use crate::{Error, Experiment, Method, RigConfig, rows};

/// What decides a run.
pub struct Header<'a> {
    /// The experiment, every default written out.
    pub experiment: &'a Experiment,
    /// The rig, every default written out.
    pub rig: &'a RigConfig,
    /// The method.
    pub method: Method,
    /// The seed.
    pub seed: u64,
    /// What the data is called.
    pub data: &'a str,
}

/// The folder of one run.
pub struct Record {
    folder: PathBuf,
    metrics: File,
    events: File,
    facts: Value,
    reason: Option<StopReason>,
}

impl Record {
    /// Makes the folder and writes down what decides the run. The folder must not exist yet.
    pub fn create(folder: &Path, header: &Header<'_>, lab: &Lab) -> Result<Self, Error> {
        make_folder(folder)?;
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(Error::record(&path, "cannot be written"))
        };
        write("experiment.toml", to_toml(header.experiment, folder)?)?;
        write("rig.toml", to_toml(header.rig, folder)?)?;
        let open = |name: &str| {
            let path = folder.join(name);
            File::create(&path).map_err(Error::record(&path, "cannot be written"))
        };
        let (metrics, events) = (open("metrics.csv")?, open("events.jsonl")?);
        let mut record = Self { folder: folder.to_owned(), metrics, events, facts: facts(header, lab), reason: None };
        record.write_facts()?;
        record.write_metrics(METRICS)?;
        Ok(record)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Saves the weights.
    pub fn save_weights(&self, weights: &[NamedTensor]) -> Result<(), Error> {
        let path = self.folder.join("weights.safetensors");
        let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = weights
            .iter()
            .map(|weight| {
                let values = rows::values(weight.tensor.clone());
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                (weight.name.as_str(), weight.tensor.dims().to_vec(), bytes)
            })
            .collect();
        let views: Result<Vec<_>, _> = bytes
            .iter()
            .map(|(name, shape, bytes)| TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (*name, view)))
            .collect();
        let refuse =
            |error: safetensors::SafeTensorError| Error::Record { path: path.clone(), message: error.to_string() };
        let file = safetensors::serialize(views.map_err(refuse)?, None).map_err(refuse)?;
        replace(&path, &file)
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
        replace(&self.folder.join("run.json"), text.as_bytes())
    }

    fn write_metrics(&mut self, row: &str) -> Result<(), Error> {
        let path = self.folder.join("metrics.csv");
        self.metrics.write_all(format!("{row}\n").as_bytes()).map_err(Error::record(&path, "cannot be written"))
    }

    fn write_event(&mut self, event: &Event) -> Result<(), Error> {
        let path = self.folder.join("events.jsonl");
        let mut line = json!(event);
        line["unix_seconds"] = json!(unix_seconds());
        self.events.write_all(format!("{line}\n").as_bytes()).map_err(Error::record(&path, "cannot be written"))
    }
}

/// A run that was not closed, because the program panicked, is closed as failed.
impl Drop for Record {
    fn drop(&mut self) {
        if self.reason.is_none() {
            self.reason = Some(StopReason::Failed);
            if let Err(error) = self.write_facts() {
                eprintln!("pnnlab: {error}");
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

/// Makes a folder that must not exist yet, and the folders above it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(Error::record(parent, "cannot be made"))?;
    }
    if folder.exists() {
        let message = "exists already, and a run is never overwritten: give another --name, or leave it out".to_owned();
        return Err(Error::Record { path: folder.to_owned(), message });
    }
    fs::create_dir(folder).map_err(Error::record(folder, "cannot be made"))
}

/// Puts `bytes` at `path` whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("partial");
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path)).map_err(Error::record(path, "cannot be written"))
}

fn to_toml(value: &impl serde::Serialize, folder: &Path) -> Result<String, Error> {
    toml::to_string(value).map_err(|error| Error::Record { path: folder.to_owned(), message: error.to_string() })
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// What a plant says about itself, for records.
pub fn plant_facts(lab: &Lab) -> Value {
    let plants = lab.names().into_iter().filter_map(|name| {
        let card = lab.card(lab.find(name)?);
        Some(json!({
            "plant": name,
            "system": card.identity.system,
            "serial": card.identity.serial,
            "origin": card.identity.origin.to_string(),
            "inputs": card.ports.input_count(),
            "controls": card.ports.control_count(),
            "outputs": card.ports.output_count(),
        }))
    });
    Value::Array(plants.collect())
}

/// All that decides a run, and where it ran.
fn facts(header: &Header<'_>, lab: &Lab) -> Value {
    let plants = plant_facts(lab);
    let simulated = plants.as_array().is_some_and(|plants| plants.iter().all(|plant| plant["origin"] == "simulated"));
    json!({
        "experiment": header.experiment.name,
        "method": header.method.name(),
        "seed": header.seed,
        "data": header.data,
        "rig": header.rig.name,
        "plants": plants,
        "simulated": simulated,
        "command": command_line(),
        "version": env!("CARGO_PKG_VERSION"),
        "git": git_state(),
        "started_unix_seconds": unix_seconds(),
        "state": "running",
    })
}

/// The command line, without the folder that the program lies in.
pub(crate) fn command_line() -> String {
    std::iter::once("pnnlab".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}

/// Commit of the working folder and whether it is changed; null where there is none.
fn git_state() -> Value {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match git(&["rev-parse", "HEAD"]) {
        Some(commit) => {
            json!({ "commit": commit, "changed": git(&["status", "--porcelain"]).is_some_and(|list| !list.is_empty()) })
        }
        None => Value::Null,
    }
}
