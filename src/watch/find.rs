//! Finds the runs of a folder, and asks those that are under way how they are.
//!
//! A folder with a `run.json` is a run; a folder without one may hold the runs of a comparison.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::ask::ask;
use super::holder::Holder;
use super::record::Facts;
use crate::control::{Reply, Request, RunState, Status};
use crate::scores::ObjectiveKind;

/// A run that does not answer within this time counts as silent.
const PATIENCE: Duration = Duration::from_millis(500);
/// Runs that are over and that the table shows; there may be thousands.
const SHOWN_OVER: usize = 500;

/// One run in the table.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its folder.
    pub folder: PathBuf,
    /// Its name below the folder that was looked at.
    pub name: String,
    /// `run.json`.
    pub facts: Facts,
    /// What its process says; `None` if it says nothing.
    pub status: Option<Status>,
    /// The process that its record names, where that says nothing.
    pub holder: Holder,
}

impl RunRow {
    /// Whether its process answers and the run is not closed.
    pub fn active(&self) -> bool {
        self.status.as_ref().is_some_and(|status| !matches!(status.state, RunState::Closed(_)))
    }

    /// Whether its process may still drive plants: it answers, or is there and silent.
    pub fn lives(&self) -> bool {
        self.active() || matches!(self.holder, Holder::Alive(_) | Holder::Suspended(_) | Holder::Contained(_))
    }

    /// What it learns.
    pub fn kind(&self) -> ObjectiveKind {
        self.status.as_ref().map_or(self.facts.tried, |status| status.training.tried).kind
    }

    /// Where it is in its life, as one word.
    pub fn state(&self) -> String {
        match &self.status {
            Some(status) if self.active() => state_word(status.state).to_owned(),
            _ if self.facts.open() && matches!(self.holder, Holder::Gone(_)) => "lost".to_owned(),
            _ if self.facts.open() && matches!(self.holder, Holder::Suspended(_)) => "suspended".to_owned(),
            _ if self.facts.open() => "silent".to_owned(),
            _ => self.facts.state.clone(),
        }
    }

    /// What a filter looks at.
    pub fn words(&self) -> String {
        let plants: Vec<&str> = self.facts.plants.iter().map(|plant| plant.plant.as_str()).collect();
        format!("{} {} {} {} {}", self.name, self.facts.experiment, self.facts.method, plants.join(" "), self.state())
    }
}

/// The state of a run as a word.
pub fn state_word(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Paused => "paused",
        RunState::Stopping => "stopping",
        RunState::Closed(reason) => reason_word(reason),
    }
}

fn reason_word(reason: crate::stop::StopReason) -> &'static str {
    match reason {
        crate::stop::StopReason::Finished => "finished",
        crate::stop::StopReason::Interrupted => "interrupted",
        crate::stop::StopReason::Stopped => "stopped",
        crate::stop::StopReason::Aborted => "aborted",
        crate::stop::StopReason::Lost => "lost",
        crate::stop::StopReason::Failed => "failed",
    }
}

/// SIMULATED, REPLAYED PLANT, or where nothing is known, that.
pub fn origin_badge(origins: &[&str]) -> &'static str {
    let all = |kind: &str| !origins.is_empty() && origins.iter().all(|origin| *origin == kind);
    let any = |kind: &str| origins.contains(&kind);
    match () {
        () if all("simulated") => "SIMULATED",
        () if all("replayed") => "REPLAYED PLANT",
        () if all("real") => "REAL BENCH",
        () if any("simulated") => "PARTLY SIMULATED",
        () if any("replayed") => "PARTLY REPLAYED",
        () => "ORIGIN UNKNOWN",
    }
}

/// Looks for runs again and again, and reads only what has changed.
#[derive(Debug, Default)]
pub struct Finder {
    known: HashMap<PathBuf, (SystemTime, Facts)>,
    /// How long the last look waited for answers of runs.
    pub waited: Duration,
}

impl Finder {
    /// The runs below `folder`: active ones first, then the newest.
    pub fn find(&mut self, folder: &Path) -> Vec<RunRow> {
        self.waited = Duration::ZERO;
        let mut rows: Vec<RunRow> = run_folders(folder).into_iter().filter_map(|path| self.row(folder, path)).collect();
        rows.sort_by(|a, b| {
            let newest = b.facts.started_unix_seconds.total_cmp(&a.facts.started_unix_seconds);
            b.active().cmp(&a.active()).then(newest).then_with(|| a.name.cmp(&b.name))
        });
        let active = rows.iter().filter(|row| row.active()).count();
        rows.truncate(active + SHOWN_OVER);
        rows
    }

    fn row(&mut self, root: &Path, folder: PathBuf) -> Option<RunRow> {
        let modified = folder.join("run.json").metadata().and_then(|facts| facts.modified()).ok()?;
        let facts = match self.known.get(&folder) {
            Some((known, facts)) if *known == modified => facts.clone(),
            _ => {
                // A file that is no run's is not shown; the next look tries again.
                let facts = Facts::read(&folder).ok()?;
                self.known.insert(folder.clone(), (modified, facts.clone()));
                facts
            }
        };
        let status = if facts.open() {
            let start = Instant::now();
            let answer = ask(&folder, &Request::Status, PATIENCE);
            self.waited += start.elapsed();
            match answer {
                Ok(Reply::Status(status)) => Some(*status),
                _ => None,
            }
        } else {
            None
        };
        let holder = if facts.open() && status.is_none() { Holder::of(&folder) } else { Holder::Unknown };
        let name = folder.strip_prefix(root).unwrap_or(&folder).display().to_string();
        Some(RunRow { folder, name, facts, status, holder })
    }
}

/// Every run folder below `folder`, those of comparisons as well.
pub fn run_folders(folder: &Path) -> Vec<PathBuf> {
    let folders = |parent: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
    };
    let is_run = |path: &PathBuf| path.join("run.json").is_file();
    folders(folder)
        .into_iter()
        .flat_map(|path| if is_run(&path) { vec![path] } else { folders(&path).into_iter().filter(is_run).collect() })
        .collect()
}

/// The run that `watch` opens by itself: the newest that answers, else the newest.
pub fn newest(rows: &[RunRow]) -> Option<&RunRow> {
    rows.first()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, text: &str) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("run.json"), text).unwrap();
    }

    #[test]
    fn runs_of_comparisons_are_found_and_the_newest_come_first() {
        let place = tempfile::tempdir().unwrap();
        write(&place.path().join("old"), r#"{"state":"finished","started_unix_seconds":5}"#);
        write(&place.path().join("compare/a"), r#"{"state":"failed","started_unix_seconds":7,"experiment":"digits"}"#);
        write(&place.path().join("open"), r#"{"state":"running","started_unix_seconds":6}"#);
        write(&place.path().join("torn"), r#"{"state":"run"#);
        write(&place.path().join("foreign"), r#"{"name":"of another program"}"#);
        let killed = serde_json::json!({ "state": "running", "started_unix_seconds": 1,
            "process": { "id": 4_294_967_295_u32, "start": 1, "host": crate::record::host() } });
        write(&place.path().join("killed"), &killed.to_string());
        let hangs = serde_json::json!({ "state": "running", "process": crate::record::this_process() });
        write(&place.path().join("hangs"), &hangs.to_string());
        std::fs::create_dir_all(place.path().join("compare/figures")).unwrap();
        let mut finder = Finder::default();
        let rows = finder.find(place.path());
        let names: Vec<(&str, String)> = rows.iter().map(|row| (row.name.as_str(), row.state())).collect();
        assert_eq!(
            names,
            [
                ("compare/a", "failed".into()),
                ("open", "silent".into()),
                ("old", "finished".into()),
                ("killed", "lost".into()),
                ("hangs", "silent".into())
            ],
            "a run whose process does not answer is not active"
        );
        let living: Vec<&str> = rows.iter().filter(|row| row.lives()).map(|row| row.name.as_str()).collect();
        assert_eq!(living, ["hangs"], "a process that is there and says nothing may drive plants");
        assert!(rows[0].words().contains("digits"));
        assert_eq!(newest(&rows).unwrap().name, "compare/a");
        assert!(run_folders(&place.path().join("nowhere")).is_empty());
    }
}
