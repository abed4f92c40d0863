//! Where a number comes from: command, version, commit, machine, time.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The command line.
    pub command: String,
    /// Of the program.
    pub version: String,
    /// The commit of the working folder, before this report was written to it; null where there is none.
    pub git: Value,
    /// When it began, in s since 1970.
    pub started_unix_seconds: f64,
    /// Processor and cores.
    pub machine: String,
    /// How long it took here, in s.
    pub wall_seconds: f64,
}

impl Provenance {
    /// As the record of one of the runs says, of a folder in this state; what no record says is left open.
    pub fn of(run: Option<&Path>, git: Value, wall_seconds: f64) -> Self {
        let read = |run: &Path| std::fs::read_to_string(run.join("run.json")).ok();
        let facts: Value = run.and_then(read).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let text = |key: &str| facts[key].as_str().unwrap_or_default().to_owned();
        Self {
            command: text("command"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git,
            started_unix_seconds: facts["started_unix_seconds"].as_f64().unwrap_or(0.0),
            machine: machine(),
            wall_seconds,
        }
    }

    /// The commit in short, and whether the folder was changed.
    pub fn commit(&self) -> String {
        let Some(commit) = self.git["commit"].as_str() else { return "no commit".to_owned() };
        let changed = if self.git["changed"] == true { ", changed" } else { "" };
        format!("commit {}{changed}", commit.get(..9).unwrap_or(commit))
    }
}

/// The processor's name, where the system tells, and how many cores the program may use.
fn machine() -> String {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} core{}, {}", if cores == 1 { "" } else { "s" }, std::env::consts::OS)
}
