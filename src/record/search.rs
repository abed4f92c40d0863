//! The record of a search for the settings of knobs: a folder that looks like a run's to whoever watches it.
//!
//! `run.json` says whose it is, how it goes and how it ended; `metrics.csv` has one row a signature, `events.jsonl` what happened besides. A
//! search that goes on writes its rows anew, since it is told again what was tried before.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::Error;
use crate::event::Event;
use crate::plants::Lab;
use crate::record::facts::{command_line, git_state, plant_facts, program, read_facts, this_process, unix_seconds};
use crate::record::journal::{Journal, insist};
use crate::record::lock::own;
use crate::stop::StopReason;
use crate::writing::replace;

/// The folder of one search.
#[derive(Debug)]
pub struct SearchRecord {
    folder: PathBuf,
    journal: Arc<Journal>,
    facts: Value,
    is_closed: bool,
}

impl SearchRecord {
    /// Opens the folder; what an earlier search has left there is replaced, but for its events where this one goes on with it. `about` is
    /// added to what is known of any search.
    pub fn open(folder: &Path, (about, columns): (Value, &str), lab: &Lab, goes_on: bool) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::record(folder, "cannot be made"))?;
        let open = |name: &str| {
            let path = folder.join(name);
            let file = OpenOptions::new().append(true).create(true).open(&path);
            file.map_err(Error::record(&path, "cannot be written"))
        };
        let empty =
            |file: &File, name: &str| file.set_len(0).map_err(Error::record(&folder.join(name), "cannot be cut"));
        let events = open("events.jsonl")?;
        // Nothing is changed before it is known that nobody else searches there.
        own(&events, folder)?;
        let before = read_facts(folder).ok().filter(|_| goes_on);
        if !goes_on {
            empty(&events, "events.jsonl")?;
        }
        let mut metrics = open("metrics.csv")?;
        empty(&metrics, "metrics.csv")?;
        let first = format!("{columns}\n");
        metrics.write_all(first.as_bytes()).map_err(Error::record(folder, "cannot be written"))?;
        let plants = plant_facts(lab);
        let simulated =
            plants.as_array().is_some_and(|plants| plants.iter().all(|plant| plant["origin"] == "simulated"));
        let started = before.and_then(|facts| facts["started_unix_seconds"].as_f64()).unwrap_or_else(unix_seconds);
        let mut facts = json!({
            "plants": plants, "simulated": simulated, "command": command_line(), "version": env!("CARGO_PKG_VERSION"),
            "program": program(), "git": git_state(), "started_unix_seconds": started, "process": this_process(), "state": "running",
        });
        join(&mut facts, about);
        let journal = Arc::new(Journal::new(folder, (metrics, first.len() as u64), events)?);
        let record = Self { folder: folder.to_owned(), journal, facts, is_closed: false };
        record.write()?;
        Ok(record)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What writes its lines.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Adds a row to `metrics.csv`.
    pub fn add_row(&self, row: &str) -> Result<(), Error> {
        self.journal.add_row(row)
    }

    /// Closes it, with what is known at the end.
    pub fn close(&mut self, reason: StopReason, facts: Value) -> Result<(), Error> {
        self.is_closed = true;
        join(&mut self.facts, facts);
        self.facts["state"] = json!(reason);
        let told = self.journal.add_event(&Event::Finished { reason }).and_then(|()| self.journal.flush());
        self.write().and(told)
    }

    fn write(&self) -> Result<(), Error> {
        let text = format!("{:#}\n", self.facts);
        insist(&self.folder, || replace(&self.folder.join("run.json"), text.as_bytes()))
    }
}

/// A search that was not closed, because the program panicked, is closed as failed.
impl Drop for SearchRecord {
    fn drop(&mut self) {
        if !self.is_closed {
            let error = json!({ "error": "the program ended without closing the search, as it does when it panics" });
            if let Err(error) = self.close(StopReason::Failed, error) {
                tell!("pnnlab: {error}");
            }
        }
    }
}

/// Adds the entries of one object to another.
fn join(all: &mut Value, more: Value) {
    if let (Value::Object(all), Value::Object(more)) = (all, more) {
        all.extend(more);
    }
}
