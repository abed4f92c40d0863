//! Where a number comes from: command, version, commit, machine, time.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{program, read_text};

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The command line.
    pub command: String,
    /// Of the program.
    pub version: String,
    /// The commit that the program was built from; null where it does not know.
    #[serde(default)]
    pub program: Value,
    /// The commit of the user's repository, in which the working folder lies, before this report was written to it; null where there is
    /// none.
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
        let read = |run: &Path| read_text(&run.join("run.json")).ok();
        let facts: Value = run.and_then(read).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let text = |key: &str| facts[key].as_str().unwrap_or_default().to_owned();
        Self {
            command: text("command"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program: program(),
            git,
            started_unix_seconds: facts["started_unix_seconds"].as_f64().unwrap_or(0.0),
            machine: machine(),
            wall_seconds,
        }
    }

    /// The program's own commit, and beside it that of the user's repository, in short, and whether each was changed.
    pub fn commits(&self) -> String {
        let short = |source: &Value| {
            let commit = source["commit"].as_str()?;
            let changed = if source["changed"] == true { ", changed" } else { "" };
            Some(format!("commit {}{changed}", commit.get(..9).unwrap_or(commit)))
        };
        let program = short(&self.program).unwrap_or_else(|| "of an unknown commit".to_owned());
        let user =
            short(&self.git).map_or_else(|| "no repository".to_owned(), |commit| format!("repository at {commit}"));
        format!("{program} · run in {user}")
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_commit_of_the_program_stands_before_that_of_the_user() {
        let user = json!({ "commit": "0123456789abcdef", "changed": true });
        let mut provenance = Provenance::of(None, user, 1.0);
        provenance.program = json!({ "commit": "fedcba9876543210", "changed": false });
        assert_eq!(provenance.commits(), "commit fedcba987 · run in repository at commit 012345678, changed");
        (provenance.program, provenance.git) = (Value::Null, Value::Null);
        assert_eq!(provenance.commits(), "of an unknown commit · run in no repository");
    }
}
