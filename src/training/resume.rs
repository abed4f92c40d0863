//! A run that is to be continued: what it was started with, and how that differs from what is asked now.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use crate::Error;
use crate::plants::{Lab, RigConfig};
use crate::record::{Checkpoint, Header, edited, fingerprint, living_process, own, plant_facts, read_facts};
use crate::training::{Experiment, Method};

/// A run that is to be continued.
pub struct Interrupted {
    /// Its folder.
    pub folder: PathBuf,
    /// `run.json`.
    pub facts: Value,
    /// The method.
    pub method: Method,
    /// The seed.
    pub seed: u64,
    /// What it was started with.
    pub experiment: Experiment,
    /// On what.
    pub rig: RigConfig,
    /// Whether it goes on although what is asked differs.
    pub allow_changes: bool,
    /// Its record of events, locked: no other process goes on with it meanwhile.
    _lock: File,
}

impl Interrupted {
    /// The run called `name`: a folder, or one below `runs`. Refuses what another process is running.
    pub fn find(name: &Path, runs: &Path, allow_changes: bool) -> Result<Self, Error> {
        Self::of(("--resume ", name), runs, allow_changes)
    }

    /// The same as `option` names it.
    pub fn of((option, name): (&str, &Path), runs: &Path, allow_changes: bool) -> Result<Self, Error> {
        let folder = if name.join("run.json").is_file() { name.to_owned() } else { runs.join(name) };
        if !folder.join("run.json").is_file() {
            return Err(Error::Usage(format!(
                "{option}{}: is no folder of a run, nor is there one in {}: `pnnlab runs list` names them",
                name.display(),
                runs.display()
            )));
        }
        let running = |process| {
            Error::Usage(format!(
                "{option}{}: is being run by process {process}: stop that first, or `pnnlab watch` it",
                folder.display()
            ))
        };
        if let Some(process) = living_process(&read_facts(&folder)?) {
            return Err(running(process));
        }
        let events = folder.join("events.jsonl");
        let lock = OpenOptions::new().append(true).create(true).open(&events);
        let lock = lock.map_err(Error::record(&events, "cannot be written"))?;
        own(&lock, &folder)?;
        // Whoever had it may have changed it until now.
        let facts = read_facts(&folder)?;
        if let Some(process) = living_process(&facts) {
            return Err(running(process));
        }
        let word = facts["method"].as_str().unwrap_or_default();
        let (Ok(method), Some(seed)) = (Method::from_str(word, false), facts["seed"].as_u64()) else {
            let message = format!(
                "has the method `{word}` and the seed {}, which this program does not know: is it of a run of another program?",
                facts["seed"]
            );
            return Err(Error::Record { path: folder.join("run.json"), message });
        };
        let (experiment, document) = Experiment::find(&folder.join("experiment.toml").to_string_lossy(), &[])?;
        let rig = crate::plants::Rig::find(Some(&folder.join("rig.toml")), &document)?.config;
        Ok(Self { folder, facts, method, seed, experiment, rig, allow_changes, _lock: lock })
    }

    /// Updates that need not be done again, and the time that the run has taken so far, in s.
    pub fn spent(&self) -> Result<(usize, f64), Error> {
        let position = Checkpoint::newest(&self.folder)?.map(|checkpoint| checkpoint.snapshot.position);
        let steps = position.as_ref().map_or(0.0, |position| position.seconds.iter().sum());
        // A process that was killed has not said how long it took: its steps are known.
        let said = self.facts["wall_seconds"].as_f64().unwrap_or(0.0);
        Ok((position.map_or(0, |position| position.done), f64::max(said, steps)))
    }

    /// The newest checkpoint; none before the first. Refuses differences, unless they are allowed, and a run that is done.
    pub fn checkpoint(
        &self,
        experiment: &Experiment,
        header: &Header<'_>,
        lab: &Lab,
    ) -> Result<Option<Checkpoint>, Error> {
        let differences = self.differences(experiment, header, lab);
        if !differences.is_empty() && !self.allow_changes {
            return Err(Error::Usage(format!(
                "--resume {}: differs from what is asked now: {}. Leave out what changes it, or give --allow-changes",
                self.folder.display(),
                differences.join("; ")
            )));
        }
        for difference in differences {
            tell!("pnnlab: continued with a change: {difference}");
        }
        let checkpoint = Checkpoint::newest(&self.folder)?;
        let done = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.snapshot.position.done);
        let has_ended = checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.snapshot.position.choice.ended);
        if (has_ended || experiment.training.steps <= done) && self.facts["state"] == "finished" {
            return Err(Error::NothingToContinue { folder: self.folder.clone(), done });
        }
        if let (1.., Some(plant)) = (done, lab.only_from_the_start()) {
            return Err(Error::Usage(format!(
                "--resume {}: plant `{plant}` replays a dialogue with its instruments, which cannot begin in the middle: train again \
                 under another --name, with the same seed",
                self.folder.display()
            )));
        }
        Ok(checkpoint)
    }

    /// Keys of experiment and rig that are asked differently now, one clause each.
    pub fn changes(&self, experiment: &Experiment, rig: &RigConfig) -> Vec<String> {
        let mut list = differences("", &value(&self.experiment), &value(experiment));
        // How a run is kept does not change what is trained.
        list.retain(|clause| !clause.starts_with("run.") && !clause.starts_with("about:"));
        list.extend(differences("rig", &value(&self.rig), &value(rig)));
        list
    }

    /// What would be continued differently, one clause each.
    fn differences(&self, experiment: &Experiment, header: &Header<'_>, lab: &Lab) -> Vec<String> {
        // What the folder says is what is asked for, so an edited file differs from nothing but what the run wrote.
        let edited = edited(&self.folder, &self.facts).into_iter();
        let mut list: Vec<String> =
            edited.map(|name| format!("`{name}` in its folder is not as the run wrote it")).collect();
        list.extend(self.changes(experiment, header.rig));
        let others = [
            ("plants", &self.facts["plants"], plant_facts(lab)),
            ("data", &self.facts["data_fingerprint"], fingerprint(header.data).into()),
            ("version of the program", &self.facts["version"], env!("CARGO_PKG_VERSION").into()),
        ];
        for (name, before, now) in others {
            if !before.is_null() {
                list.extend(differences(name, before, &now));
            }
        }
        list
    }
}

/// A configuration as a tree of values.
fn value(config: &impl Serialize) -> Value {
    // Configurations were written as TOML when the run was started: they are trees.
    serde_json::to_value(config).unwrap_or(Value::Null)
}

/// Leaves that differ: `training.steps: 8, now 16`.
fn differences(path: &str, before: &Value, now: &Value) -> Vec<String> {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
            keys.dedup();
            let pair = |key: &String| (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
            keys.into_iter().flat_map(|key| differences(&below(key), pair(key).0, pair(key).1)).collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let each = a.iter().zip(b).enumerate();
            each.flat_map(|(index, (a, b))| differences(&below(&index.to_string()), a, b)).collect()
        }
        _ if before == now => vec![],
        _ => vec![format!("{path}: {}, now {}", short(before), short(now))],
    }
}

/// A value in a sentence.
fn short(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(_) => "a table".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_name_the_key_and_both_values() {
        let before = json!({"a": 1, "b": {"c": "x", "d": [1, 2]}, "gone": true});
        let now = json!({"a": 1, "b": {"c": "y", "d": [1, 3]}, "new": {}});
        assert_eq!(
            differences("", &before, &now),
            ["b.c: `x`, now `y`", "b.d.1: 2, now 3", "gone: true, now nothing", "new: nothing, now a table"]
        );
        assert!(differences("", &before, &before).is_empty());
    }
}
