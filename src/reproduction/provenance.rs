//! Where a number comes from: command, version, commit, machine, time.

use serde::{Deserialize, Serialize};

use crate::run::{command_line, git_state, unix_seconds};

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The command line.
    pub command: String,
    /// Of the program.
    pub version: String,
    /// The commit of the working folder; null where there is none.
    pub git: serde_json::Value,
    /// Processor and cores.
    pub machine: String,
    /// When it began, in s since 1970.
    pub started_unix_seconds: f64,
    /// How long it took here, in s.
    pub wall_seconds: f64,
}

impl Provenance {
    /// Of what begins now.
    pub fn begin() -> Self {
        Self {
            command: command_line(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git: git_state(),
            machine: machine(),
            started_unix_seconds: unix_seconds(),
            wall_seconds: 0.0,
        }
    }

    /// The same, ended now.
    pub fn ended(mut self) -> Self {
        self.wall_seconds = unix_seconds() - self.started_unix_seconds;
        self
    }

    /// The commit in short, and whether the folder was changed.
    pub fn commit(&self) -> String {
        let Some(commit) = self.git["commit"].as_str() else { return "no commit".to_owned() };
        let changed = if self.git["changed"] == true { ", changed" } else { "" };
        format!("{}{changed}", commit.get(..9).unwrap_or(commit))
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
