//! What `run.json` says: all that decides a run, where it ran, and which process runs it.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use drivers::{MEBIBYTE, read_text_bounded};
use serde_json::{Value, json};

use super::metric_rows::Beside;
use crate::Error;
use crate::data::{Dataset, Group, Meaning};
use crate::network::HeadsConfig;
use crate::plants::{Lab, RigConfig};
use crate::record::lock::is_held;

/// What decides a run.
pub struct Header<'a> {
    /// The experiment's name.
    pub name: &'a str,
    /// The experiment as TOML, every default written out.
    pub experiment: String,
    /// The rig, every default written out.
    pub rig: &'a RigConfig,
    /// The folder that the rig's relative paths count from.
    pub rig_folder: &'a Path,
    /// The method.
    pub method: &'static str,
    /// The seed.
    pub seed: u64,
    /// What is learned.
    pub data: &'a Dataset,
    /// `--data`.
    pub data_path: Option<&'a Path>,
    /// Several read-outs, where there are several.
    pub heads: Option<&'a HeadsConfig>,
    /// Whether guards judge its shots.
    pub guarded: bool,
}

impl Header<'_> {
    /// What columns its rows have beside those of the objective.
    pub(super) fn beside(&self) -> Beside {
        Beside { guarded: self.guarded, heads: self.heads.is_some() }
    }
}

/// All that decides a run, and where it ran.
pub(super) fn facts(header: &Header<'_>, lab: &Lab) -> Value {
    let plants = plant_facts(lab);
    let simulated = plants.as_array().is_some_and(|plants| plants.iter().all(|plant| plant["origin"] == "simulated"));
    let mut facts = json!({
        "experiment": header.name,
        "method": header.method,
        "seed": header.seed,
        "data": header.data.name,
        "data_path": header.data_path.map(absolute),
        "data_fingerprint": fingerprint(header.data),
        "objective": header.data.kind(),
        (header.data.meaning.word()): header.data.meaning.names(),
        "groups": groups(&header.data.meaning),
        "rig": header.rig.name,
        "rig_folder": absolute(header.rig_folder),
        "plants": plants,
        "simulated": simulated,
        "command": command_line(),
        "version": env!("CARGO_PKG_VERSION"),
        "program": program(),
        "git": git_state(),
        "started_unix_seconds": unix_seconds(),
        "process": this_process(),
        "state": "running",
    });
    if let Meaning::Images(pictures) = &header.data.meaning {
        facts["size"] = json!(pictures.size);
    }
    if let Meaning::Motion(movement) = &header.data.meaning {
        facts["generator"] = json!(movement.generator.map(|check| format!("{check:016x}")));
    }
    if let Some(HeadsConfig { count, diversity, penalty, metric, .. }) = header.heads {
        facts["heads"] = json!({ "count": count, "diversity": diversity, "penalty": penalty, "metric": metric });
    }
    facts
}

/// The classes of each group, where there are groups.
fn groups(meaning: &Meaning) -> Value {
    let Meaning::Groups(taxonomy) = meaning else { return Value::Null };
    let word = |class: &u32| taxonomy.words()[*class as usize].clone();
    let of = |group: &Group| (group.name.clone(), group.classes.iter().map(word).collect());
    taxonomy.groups().iter().map(of).collect::<serde_json::Map<String, Value>>().into()
}

/// One continuation of a run.
pub(super) fn continuation(step: usize) -> Value {
    json!({
        "step": step,
        "command": command_line(),
        "version": env!("CARGO_PKG_VERSION"),
        "program": program(),
        "git": git_state(),
        "unix_seconds": unix_seconds(),
    })
}

/// What a plant says about itself, for records.
pub fn plant_facts(lab: &Lab) -> Value {
    let plants = lab.names().into_iter().filter_map(|name| {
        let place = lab.find(name)?;
        let card = lab.card(place);
        let fit = lab.fit(place).map(|used| {
            let residual = used.fit.facts.residual.as_ref().map(|residual| residual.rmse_of_full_scale);
            json!({ "file": used.path, "key": used.fit.facts.key, "rmse_of_full_scale": residual })
        });
        Some(json!({
            "plant": name,
            "system": card.identity.system,
            "serial": card.identity.serial,
            "origin": card.identity.origin.to_string(),
            "inputs": card.ports.input_count(),
            "controls": card.ports.control_count(),
            "outputs": card.ports.output_count(),
            "fit": fit,
        }))
    });
    Value::Array(plants.collect())
}

/// The most that is read of a `run.json`, and of any other text of a run.
const MOST: u64 = 16 * MEBIBYTE;
const MOST_OF_A_RECORD: u64 = 1024 * MEBIBYTE;

/// The text of a file that a run keeps, of bounded length.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    read_text_bounded(path, MOST_OF_A_RECORD)
}

/// Reads `run.json` in `folder`.
pub fn read_facts(folder: &Path) -> Result<Value, Error> {
    let path = folder.join("run.json");
    let bad = |message: String| Error::Record { path: path.clone(), message: format!("cannot be read: {message}") };
    let text = read_text_bounded(&path, MOST).map_err(|error| bad(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| bad(error.to_string()))
}

/// The process that runs a run which says that it is running; none if that process is gone.
///
/// A number is not enough, since numbers are used again: the process must have started when the run says.
pub fn living_process(facts: &Value) -> Option<u64> {
    let process = facts["process"]["id"].as_u64()?;
    let same = facts["state"] == "running" && process_start(process)? == facts["process"]["start"].as_u64()?;
    same.then_some(process)
}

/// Whether the run in `folder` says that it is running while its process is gone. Of another machine's processes nothing is known here,
/// and a process in a container has another number here: whoever runs a run has its lock, whatever his number.
pub fn is_lost(folder: &Path, facts: &Value) -> bool {
    let elsewhere = facts["process"]["host"].as_str().is_some_and(|name| name != host());
    facts["state"] == "running" && !elsewhere && living_process(facts).is_none() && !is_held(folder)
}

/// The name of this machine.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// The number of this process, when it started in the system's own clock, and where.
pub(crate) fn this_process() -> Value {
    let id = u64::from(std::process::id());
    json!({ "id": id, "start": process_start(id), "host": host() })
}

/// Whether a process is held by a signal (`SIGSTOP`, Ctrl-Z) or a debugger: it does nothing until it is let go on.
pub fn is_suspended(process: u64) -> bool {
    stat(process).is_some_and(|fields| matches!(fields[0].as_str(), "T" | "t"))
}

/// When a process started, in clock ticks since the system did: field 22 of `/proc/PID/stat` (proc(5)).
fn process_start(process: u64) -> Option<u64> {
    // A zombie runs nothing.
    let fields = stat(process).filter(|fields| fields[0] != "Z")?;
    fields.get(19)?.parse().ok()
}

/// The fields of `/proc/PID/stat` from the third on, which is the state; at least that one.
fn stat(process: u64) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in field 2 may hold anything; the fields count from its closing bracket.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    Some(fields).filter(|fields| !fields.is_empty())
}

/// SHA-256 of a configuration as a run keeps it, without what may always change: how the run is kept, and what is said about it. None
/// where it is no TOML.
pub(crate) fn kept_digest(config: &str) -> Option<String> {
    let mut table: toml::Table = toml::from_str(config).ok()?;
    table.remove("run");
    table.remove("about");
    Some(calibration::digest(toml::to_string(&table).ok()?.as_bytes()))
}

/// FNV-1a over all rows and labels, so that a run is not continued with other data.
pub(crate) fn fingerprint(data: &Dataset) -> String {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut add = |word: u32| hash = (hash ^ u64::from(word)).wrapping_mul(0x0100_0000_01B3);
    for rows in [&data.train, &data.test] {
        rows.values.iter().for_each(|value| add(value.to_bits()));
        rows.targets.words().into_iter().for_each(&mut add);
    }
    format!("{hash:016x}")
}

/// The path from the root, where it can be told.
fn absolute(path: &Path) -> String {
    let whole = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(whole).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The command line, without the folder that the program lies in.
pub(crate) fn command_line() -> String {
    std::iter::once("pnnlab".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}

/// The commit that this program was built from, and whether its source was changed; null where the build did not know it.
pub(crate) fn program() -> Value {
    match env!("PNNLAB_COMMIT") {
        "" => Value::Null,
        commit => json!({ "commit": commit, "changed": env!("PNNLAB_CHANGED") == "true" }),
    }
}

/// What a record says of a commit, in words; none where it names none.
pub(crate) fn commit_words(source: &Value) -> Option<String> {
    let commit = source["commit"].as_str()?;
    Some(format!("{commit}{}", if source["changed"] == true { ", changed" } else { "" }))
}

/// Commit of the user's repository, in which the working folder lies, and whether that is changed; null where there is none.
pub(crate) fn git_state() -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_another_where_it_trains_otherwise() {
        let of = |text: &str| kept_digest(text).unwrap();
        let first = of("about = \"a\"\nseed = 1\n[run]\ncheckpoint_steps = 7\n[training]\nsteps = 8\n");
        assert_eq!(of("seed = 1 # the first\n\n[training]\nsteps = 8\n"), first);
        assert_ne!(of("seed = 1\n[training]\nsteps = 9\n"), first);
        assert_eq!(kept_digest("seed = "), None);
    }

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let mut facts = json!({ "state": "running", "process": this_process() });
        assert_eq!(living_process(&facts), Some(u64::from(std::process::id())));
        facts["process"]["start"] = json!(1);
        assert_eq!(living_process(&facts), None, "the number is used again");
        assert_eq!(living_process(&json!({ "state": "running" })), None);
    }
}
