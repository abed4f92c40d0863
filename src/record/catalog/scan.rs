//! What lies in the run folders.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use drivers::{MEBIBYTE, read_bounded, read_text_bounded};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::Error;
use crate::record::{hold, is_lost, unix_seconds};
use crate::scores::ObjectiveKind;
use crate::whole_file;

/// What nobody touches for so long is nobody's work.
const ABANDONED: Duration = Duration::from_hours(1);
/// The most that is read of a run's metrics or events, and of a fit's text.
const MOST_RECORD: u64 = 1024 * MEBIBYTE;
const MOST_FIT: u64 = 16 * MEBIBYTE;

/// A folder or fit that is new or changed.
#[derive(Debug)]
pub struct Found {
    /// Its path below the folder of runs.
    pub name: String,
    /// When it changed: nanoseconds since 1970.
    pub changed: i64,
    /// `run.json`, or what a fit says.
    pub facts: Value,
    /// Alarms by number, each as it was last.
    pub alarms: BTreeMap<i64, Value>,
}

/// What differs from what the catalog knows.
#[derive(Debug, Default)]
pub struct Changes {
    /// New or changed.
    pub changed: Vec<Found>,
    /// No longer there.
    pub gone: Vec<String>,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }
}

/// What the catalog knows, and when that had changed.
pub fn known(connection: &Connection, query: &str) -> rusqlite::Result<HashMap<String, i64>> {
    let mut statement = connection.prepare(query)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Runs below `runs` that are not as they are known; those whose process is gone are closed first.
pub fn changes(runs: &Path, known: &HashMap<String, i64>) -> Changes {
    let mut changes = Changes::default();
    let mut seen = HashSet::new();
    remove_leftovers(runs);
    for (name, folder) in folders(runs) {
        let Some(mut changed) = changed_at(&folder.join("run.json")) else { continue };
        let before = known.get(&name);
        if before != Some(&changed) {
            let Some(mut facts) = read(&folder) else { continue };
            if close_lost(&folder, &mut facts) {
                changed = changed_at(&folder.join("run.json")).unwrap_or(changed);
            }
            // While a run goes on it is read anew each time.
            let changed = if facts["state"] == "running" { 0 } else { changed };
            if before != Some(&changed) || changed == 0 {
                changes.changed.push(Found { name: name.clone(), changed, facts, alarms: alarms(&folder) });
            }
        }
        seen.insert(name);
    }
    changes.gone = known.keys().filter(|name| !seen.contains(*name)).cloned().collect();
    changes
}

/// All run folders: those in `runs`, and those up to two levels deeper, where `compare` and `sweep` put them. A link leads to a run that lies elsewhere; where
/// it leads to one that is here, that is not another one.
fn folders(runs: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut rest: Vec<(usize, String, PathBuf)> =
        below(runs).into_iter().map(|(name, folder)| (0, name, folder)).collect();
    while let Some((depth, name, folder)) = rest.pop() {
        if folder.join("run.json").is_file() {
            found.push((name, folder));
        } else if depth < 2 {
            let inner = below(&folder).into_iter();
            rest.extend(inner.map(|(inner, path)| (depth + 1, format!("{name}/{inner}"), path)));
        }
    }
    // Those that need no link come first, so that they keep their names.
    let whole = fs::canonicalize(runs).unwrap_or_else(|_| runs.to_owned());
    let place = |(name, path): &(String, PathBuf)| {
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        (place != whole.join(name), place)
    };
    let mut placed: Vec<_> = found.into_iter().map(|run| (place(&run), run)).collect();
    placed.sort();
    let mut seen = HashSet::new();
    placed.into_iter().filter(|((_, place), _)| seen.insert(place.clone())).map(|(_, run)| run).collect()
}

/// Removes folders that a process was making when it was killed: hidden, named after that process, and holding the record of a
/// run that it began on this machine. Of what another machine makes here, and of what is no run, nothing is known: it stays.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let maker = name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial"));
        let process = maker.and_then(|name| name.rsplit('.').next()).and_then(|number| number.parse::<u64>().ok());
        let (Some(process), Ok(true)) = (process, entry.file_type().map(|kind| kind.is_dir())) else { continue };
        let is_left = match crate::record::read_facts(&entry.path()) {
            Ok(facts) => facts["process"]["id"].as_u64() == Some(process) && is_ours_and_lost(&entry.path(), &facts),
            Err(_) => is_abandoned(&entry.path()),
        };
        if is_left {
            // What cannot be removed is hidden at least.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Whether somebody died before he wrote down whose folder this is: it holds nothing but beginnings, and nothing has changed for an
/// hour, on whatever machine.
fn is_abandoned(folder: &Path) -> bool {
    let is_beginning = |name: &str| {
        matches!(name, "metrics.csv" | "events.jsonl") || name.starts_with(".run.json.") && name.ends_with(".partial")
    };
    let old = fs::metadata(folder).and_then(|facts| facts.modified()).ok().and_then(|time| time.elapsed().ok());
    let mut names = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.ok()?.file_name().into_string().ok());
    old.is_some_and(|old| ABANDONED < old) && names.all(|name| name.is_some_and(|name| is_beginning(&name)))
}

/// Whether these are the facts of the run in `folder`, which says that it is running, of a process of this machine that is gone.
///
/// A file of another program may say that it is running as well; it names no process as runs do, and is not touched.
fn is_ours_and_lost(folder: &Path, facts: &Value) -> bool {
    let process = &facts["process"];
    let named = process["id"].is_u64() && process["start"].is_u64() && process["host"].is_string();
    // Where processes cannot be looked up, nothing is known to be lost.
    named
        && facts["experiment"].is_string()
        && facts["method"].is_string()
        && Path::new("/proc/self").exists()
        && is_lost(folder, facts)
}

/// Folders in a folder, but hidden ones: those are not whole yet.
fn below(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.path().is_dir());
    let named = named.filter_map(|entry| {
        let (name, path) = (entry.file_name().into_string(), entry.path());
        if name.is_err() && path.join("run.json").is_file() {
            tell!("pnnlab: {}: its name is not UTF-8: it is left out, rename it", path.display());
        }
        Some((name.ok()?, path))
    });
    named.filter(|(name, _)| !name.starts_with('.')).collect()
}

fn changed_at(path: &Path) -> Option<i64> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    modified.duration_since(UNIX_EPOCH).ok().map(|time| time.as_nanos() as i64)
}

fn read(folder: &Path) -> Option<Value> {
    match crate::record::read_facts(folder) {
        Ok(facts) if facts["state"].is_string() => Some(facts),
        // Another program's `run.json`: not for this list.
        Ok(_) => None,
        Err(error) => {
            tell!("pnnlab: {error}: it is left out");
            None
        }
    }
}

/// Closes a run that says that it is running while its process is gone; `true` if it was one.
pub fn close_lost(folder: &Path, facts: &mut Value) -> bool {
    if !is_ours_and_lost(folder, facts) {
        return false;
    }
    // Until it is closed nobody goes on with it; and who ran it may have closed it while nobody looked.
    let Ok(_lock) = hold(folder) else { return false };
    match crate::record::read_facts(folder) {
        Ok(now) if now["state"] != "running" => {
            *facts = now;
            return false;
        }
        _ => {}
    }
    facts["state"] = json!("lost");
    facts["error"] = json!(format!(
        "its process, number {}, is gone without closing it: it was killed, or the machine went down",
        facts["process"]["id"]
    ));
    for (key, value) in last_scores(folder) {
        facts[key] = value;
    }
    let event = json!({ "event": "finished", "reason": "lost", "unix_seconds": unix_seconds() });
    let written = whole_file::replace(&folder.join("run.json"), format!("{facts:#}\n").as_bytes()).and_then(|()| {
        let mut events = fs::OpenOptions::new().append(true).open(folder.join("events.jsonl"))?;
        // The last line may be torn.
        let torn = fs::read(folder.join("events.jsonl"))?.last().is_some_and(|byte| *byte != b'\n');
        events.write_all(format!("{}{event}\n", if torn { "\n" } else { "" }).as_bytes())
    });
    if let Err(error) = written {
        tell!("pnnlab: {}: cannot be closed as lost: {error}", folder.display());
    }
    true
}

/// What a run had reached when it was last tried on the plant, as far as its metrics say.
fn last_scores(folder: &Path) -> Vec<(String, Value)> {
    let scores = ObjectiveKind::JUDGED.into_iter().flat_map(ObjectiveKind::scores);
    let scores = scores.flat_map(|score| ["test", "validation", "believed"].map(|part| score.key(part)));
    let keys: Vec<String> = scores.chain(["shots", "plant_seconds"].map(str::to_owned)).collect();
    let rows = whole_rows(folder).unwrap_or_default();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(&rows[..]);
    let Ok(header) = reader.headers().cloned() else { return vec![] };
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for row in reader.records().filter_map(Result::ok) {
        for (key, text) in
            header.iter().zip(&row).filter(|(key, text)| !text.is_empty() && keys.iter().any(|known| known == key))
        {
            // Counts stay whole numbers.
            let value = text.parse::<u64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from));
            last.extend(value.ok().map(|value| (key.to_owned(), value)));
        }
    }
    last.into_iter().collect()
}

/// `metrics.csv` of the run in `folder`, but for a last row that is torn: its last number may be cut, and a cut number is another.
pub fn whole_rows(folder: &Path) -> Result<Vec<u8>, Error> {
    let path = folder.join("metrics.csv");
    let mut text = read_bounded(&path, MOST_RECORD).map_err(Error::record(&path, "cannot be read"))?;
    text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    Ok(text)
}

/// The alarms of a run, each as the last event about it says.
fn alarms(folder: &Path) -> BTreeMap<i64, Value> {
    let text = read_text_bounded(&folder.join("events.jsonl"), MOST_RECORD).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains("\"alarm\""));
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["event"] == "alarm").filter_map(|event| Some((event["id"].as_i64()?, event))).collect()
}

/// Fits in the folder `fits` beside the folder of runs that are not as they are known.
pub fn fit_changes(runs: &Path, known: &HashMap<String, i64>) -> Changes {
    let folder = std::path::absolute(runs).unwrap_or_else(|_| runs.to_owned()).with_file_name("fits");
    let mut changes = Changes::default();
    let mut seen = HashSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let (Some(changed), Ok(name)) = (changed_at(&path), entry.file_name().into_string()) else { continue };
        if known.get(&name) != Some(&changed) {
            let text = read_text_bounded(&path, MOST_FIT).unwrap_or_default();
            let Ok(facts) = toml::from_str::<Value>(&text) else { continue };
            changes.changed.push(Found { name: name.clone(), changed, facts, alarms: BTreeMap::new() });
        }
        seen.insert(name);
    }
    changes.gone = known.keys().filter(|name| !seen.contains(*name)).cloned().collect();
    changes
}
