//! The folder of a run, written as it goes.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::Error;
use crate::event::{Event, Observer};
use crate::plants::Lab;
use crate::record::{
    CHECKPOINTS, Header,
    checkpoint::Checkpoint,
    facts::{continuation, facts, kept_digest, read_facts, read_text, this_process},
    journal::{Journal, insist},
    lock::own,
    metric_rows::{metric_columns, step_row, test_row},
    new_folder::{NewFolder, make_parent, rename_new},
    rewind::rewind,
};
use crate::stop::StopReason;
use crate::whole_file;
use crate::writing::replace;

/// The configurations in the folder of a run.
const CONFIGS: [&str; 2] = ["experiment.toml", "rig.toml"];
/// Where `run.json` has their digests.
const KEPT: &str = "configurations_sha256";

/// The configurations in the folder of a run that are not as it wrote them.
pub(crate) fn edited(folder: &Path, facts: &Value) -> Vec<&'static str> {
    let is_edited = |name: &&str| {
        let now = || read_text(&folder.join(name)).ok().and_then(|text| kept_digest(&text));
        facts[KEPT][*name].as_str().is_some_and(|before| now().as_deref() != Some(before))
    };
    CONFIGS.into_iter().filter(is_edited).collect()
}

/// The folder of one run.
pub struct Record {
    folder: PathBuf,
    journal: Arc<Journal>,
    facts: Value,
    reason: Option<StopReason>,
    /// Alarms before this process.
    alarms: u64,
    /// Whether guards judge its shots.
    guarded: bool,
}

impl Record {
    /// Makes the folder and writes down what decides the run. The folder must not exist yet; it appears when it is whole.
    pub fn create(folder: &NewFolder, header: &Header<'_>, lab: &Lab) -> Result<Self, Error> {
        folder.refuse_existing()?;
        let partial = partial_folder(folder.wanted())?;
        let made = begin(&partial, header, lab).and_then(|(facts, metrics, events)| {
            let folder = folder.take(|free| rename_new(&partial, free))?;
            let journal = Arc::new(Journal::new(&folder, metrics, events)?);
            Ok(Self { folder, journal, facts, reason: None, alarms: 0, guarded: header.guarded })
        });
        if made.is_err() {
            drop(fs::remove_dir_all(&partial));
        }
        made
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
        let mut bytes = checkpoint.map_or(0, |checkpoint| checkpoint.metrics_bytes);
        let mut rows = cut(&metrics, bytes)?;
        if bytes == 0 {
            let first = format!("{}\n", metric_columns(header.data.kind(), header.beside()));
            rows.write_all(first.as_bytes()).map_err(Error::record(&metrics, "cannot be written"))?;
            bytes = first.len() as u64;
        }
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
        facts[KEPT] = write_configs(folder, header)?;
        // At once: what was edited is told by these.
        write_facts(folder, &facts)?;
        let alarms = last_alarm(&before);
        let journal = Arc::new(Journal::new(folder, (rows, bytes), events)?);
        let mut record =
            Self { folder: folder.to_owned(), journal, facts, reason: None, alarms, guarded: header.guarded };
        record.write_facts()?;
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

    /// What writes its lines.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// What the files of this run say about where they come from.
    pub fn provenance(&self) -> HashMap<String, String> {
        let keys = ["experiment", "method", "seed", "data", "rig", "version", "program", "command", "git"];
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        keys.into_iter().map(|key| (key.to_owned(), word(&self.facts[key]))).collect()
    }

    /// Saves what the network said of each row of the test set, in `test.csv`: by the rows' numbers in the data's own file, as the
    /// objective writes it; nothing where it was never tested.
    pub fn save_answers(&self, table: &[Vec<String>]) -> Result<(), Error> {
        if table.is_empty() {
            return Ok(());
        }
        let path = self.folder.join("test.csv");
        let mut writer = csv::Writer::from_writer(Vec::new());
        let written = table.iter().try_for_each(|row| writer.write_record(row));
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
        write_facts(&self.folder, &self.facts)
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

impl Observer for Record {
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        match event {
            Event::Step(step) => self.journal.add_row(&step_row(step))?,
            Event::Evaluated(test) => {
                self.journal.add_row(&test_row(test, self.guarded))?;
                self.journal.add_event(event)?;
            }
            Event::Finished { reason } => {
                self.reason = Some(*reason);
                self.journal.add_event(event)?;
                self.journal.flush()?;
                self.write_facts()?;
            }
            _ => self.journal.add_event(event)?,
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Writes down in a new `folder` what decides the run.
fn begin(folder: &Path, header: &Header<'_>, lab: &Lab) -> Result<(Value, (File, u64), File), Error> {
    let mut facts = facts(header, lab);
    fs::create_dir(folder).map_err(Error::record(folder, "cannot be made"))?;
    let open = |name: &str, first: &str| {
        let path = folder.join(name);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let filled = file.and_then(|mut file| file.write_all(first.as_bytes()).map(|()| file));
        filled.map_err(Error::record(&path, "cannot be written"))
    };
    let events = open("events.jsonl", "")?;
    own(&events, folder)?;
    // First of all whose it is: should this process die now, what it leaves is known to be a leftover.
    facts["state"] = json!("running");
    write_facts(folder, &facts)?;
    facts[KEPT] = write_configs(folder, header)?;
    write_facts(folder, &facts)?;
    let first = format!("{}\n", metric_columns(header.data.kind(), header.beside()));
    Ok((facts, (open("metrics.csv", &first)?, first.len() as u64), events))
}

/// Adds facts to the `run.json` of a run that is not going on.
pub(crate) fn note(folder: &Path, facts: &Value) -> Result<(), Error> {
    let mut all = read_facts(folder)?;
    if let (Value::Object(all), Value::Object(more)) = (&mut all, facts) {
        all.extend(more.clone());
    }
    write_facts(folder, &all)
}

fn write_facts(folder: &Path, facts: &Value) -> Result<(), Error> {
    let text = format!("{facts:#}\n");
    insist(folder, || replace(&folder.join("run.json"), text.as_bytes()))
}

/// A hidden folder beside `folder` that becomes it; the folders above are made.
fn partial_folder(folder: &Path) -> Result<PathBuf, Error> {
    make_parent(folder)?;
    let parent = folder.parent().unwrap_or(Path::new(""));
    let name = folder.file_name().map_or_else(Default::default, |name| name.to_string_lossy().into_owned());
    Ok(parent.join(format!(".{name}.{}.partial", std::process::id())))
}

/// Writes down the experiment and the rig, every default written out. Gives their digests, by which an edited one is known.
fn write_configs(folder: &Path, header: &Header<'_>) -> Result<Value, Error> {
    let [experiment, rig] = CONFIGS;
    let mut digests = json!({});
    for (name, text) in [(experiment, header.experiment.clone()), (rig, to_toml(header.rig, folder)?)] {
        replace(&folder.join(name), text.as_bytes())?;
        digests[name] = json!(kept_digest(&text));
    }
    Ok(digests)
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
