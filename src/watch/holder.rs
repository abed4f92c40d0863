//! The process that runs a run: whether it lives, is gone, or runs on another machine.

use std::path::Path;

use serde_json::Value;

use crate::record::{is_held, is_lost, is_suspended, living_process, read_facts};

/// What is known of the process that a run's record names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Holder {
    /// Nothing: the record is closed, or does not say enough to tell its process from another of the same number.
    #[default]
    Unknown,
    /// It lives.
    Alive(u64),
    /// It lives, but a signal holds it: it does and hears nothing until it is let go on.
    Suspended(u64),
    /// It has ended, and nobody closed the record.
    Gone(u64),
    /// It lives in a container: its number there, which means nothing outside.
    Contained(u64),
    /// It runs on another machine: its number, and the machine.
    Elsewhere(u64, String),
}

impl Holder {
    /// Of the run in `folder`.
    pub fn of(folder: &Path) -> Self {
        read_facts(folder).map_or(Self::Unknown, |facts| Self::named_by(folder, &facts))
    }

    fn named_by(folder: &Path, facts: &Value) -> Self {
        let process = &facts["process"];
        let (Some(id), Some(_), Some(host)) =
            (process["id"].as_u64(), process["start"].as_u64(), process["host"].as_str())
        else {
            return Self::Unknown;
        };
        match () {
            () if facts["state"] != "running" => Self::Unknown,
            () if is_lost(folder, facts) => Self::Gone(id),
            () if living_process(facts).is_some() && is_suspended(id) => Self::Suspended(id),
            () if living_process(facts).is_some() => Self::Alive(id),
            () if is_held(folder) => Self::Contained(id),
            () => Self::Elsewhere(id, host.to_owned()),
        }
    }

    /// What to do about plants that it did not make safe. Nobody is told to end what has ended.
    pub fn advice(&self) -> String {
        match self {
            Self::Alive(id) => format!("End it: kill -TERM {id}. Or switch the bench off"),
            Self::Suspended(id) => {
                format!("Its process {id} is suspended: kill -CONT {id}, then ! again. Or switch the bench off")
            }
            Self::Contained(id) => format!("End it in its container: kill -TERM {id}. Or switch the bench off"),
            Self::Elsewhere(id, host) => format!("End it on {host}: kill -TERM {id}. Or switch the bench off"),
            Self::Gone(id) => format!("Its process {id} is gone: pnnlab safe, or switch the bench off"),
            Self::Unknown => "Switch the bench off".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::{host, this_process};

    #[test]
    fn a_process_is_known_by_its_number_its_start_and_its_machine() {
        let place = tempfile::tempdir().unwrap();
        let facts = |process: Value| json!({ "state": "running", "process": process });
        let own = u64::from(std::process::id());
        assert_eq!(Holder::named_by(place.path(), &facts(this_process())), Holder::Alive(own));
        let reused = json!({ "id": own, "start": 1, "host": host() });
        assert_eq!(Holder::named_by(place.path(), &facts(reused)), Holder::Gone(own), "the number is used again");
        let far = json!({ "id": 7, "start": 1, "host": "another machine" });
        assert_eq!(Holder::named_by(place.path(), &facts(far)), Holder::Elsewhere(7, "another machine".into()));
        assert_eq!(Holder::named_by(place.path(), &facts(json!(7))), Holder::Unknown);
        assert!(!Holder::Gone(7).advice().contains("kill"));
        // A process of a container has another number here, but its run is locked.
        let contained = facts(json!({ "id": u64::from(u32::MAX), "start": 1, "host": host() }));
        let events = std::fs::File::create(place.path().join("events.jsonl")).unwrap();
        events.lock().unwrap();
        assert_eq!(Holder::named_by(place.path(), &contained), Holder::Contained(u32::MAX.into()));
        drop(events);
        assert_eq!(Holder::named_by(place.path(), &contained), Holder::Gone(u32::MAX.into()));
    }

    #[test]
    fn a_child_is_suspended_by_a_signal_and_gone_when_it_has_ended_though_nobody_waited_for_it() {
        let place = tempfile::tempdir().unwrap();
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat starts");
        let stat = |id: u32| std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        let start: u64 =
            stat(child.id()).rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
        let facts = json!({ "state": "running", "process": { "id": child.id(), "start": start, "host": host() } });
        assert_eq!(Holder::named_by(place.path(), &facts), Holder::Alive(u64::from(child.id())));
        let wait_for = |holder: Holder| {
            let bound = std::time::Instant::now() + std::time::Duration::from_secs(30);
            while Holder::named_by(place.path(), &facts) != holder {
                assert!(std::time::Instant::now() < bound, "{}", stat(child.id()));
                std::thread::yield_now();
            }
        };
        let id = u64::from(child.id());
        let suspended = std::process::Command::new("kill").args(["-STOP", &id.to_string()]).status().unwrap();
        assert!(suspended.success());
        wait_for(Holder::Suspended(id));
        assert!(Holder::Suspended(id).advice().contains("kill -CONT"));
        std::process::Command::new("kill").args(["-KILL", &id.to_string()]).status().unwrap();
        wait_for(Holder::Gone(id));
        child.wait().unwrap();
    }
}
