//! Alarms: what somebody must see. One is raised by its source, stays until its cause is gone and somebody has seen it.

use crate::event::{Alarm, Severity};
use crate::record::unix_seconds;

/// The alarms of a run.
#[derive(Debug, Default)]
pub struct Alarms {
    list: Vec<Alarm>,
    count: u64,
    /// Changed, and not yet written down.
    fresh: Vec<Alarm>,
}

impl Alarms {
    /// Of a run that had `count` alarms before this process: theirs keep their numbers.
    pub fn after(count: u64) -> Self {
        Self { count, ..Self::default() }
    }

    /// `source` says that something is wrong; `true` if that is new.
    pub fn raise(&mut self, source: &str, severity: Severity, message: String) -> bool {
        if let Some(alarm) = self.list.iter_mut().find(|alarm| alarm.source == source && alarm.active) {
            // A cause that persists is one alarm, as bad as it ever was; only what is worse is news.
            let worse = alarm.severity < severity;
            alarm.message = message;
            if worse {
                (alarm.severity, alarm.acknowledged) = (severity, false);
                self.fresh.push(alarm.clone());
            }
            return worse;
        }
        // A cause that comes and goes unseen is one alarm, so that there are never more than there are causes.
        if let Some(alarm) = self.list.iter_mut().find(|alarm| alarm.source == source) {
            (alarm.active, alarm.severity, alarm.message) = (true, alarm.severity.max(severity), message);
            self.fresh.push(alarm.clone());
            return true;
        }
        self.count += 1;
        let alarm = Alarm {
            id: self.count,
            severity,
            source: source.to_owned(),
            message,
            first_unix_seconds: unix_seconds(),
            active: true,
            acknowledged: false,
        };
        self.fresh.push(alarm.clone());
        self.list.push(alarm);
        true
    }

    /// The cause that `source` complained of is gone; `true` if there was one.
    pub fn clear(&mut self, source: &str) -> bool {
        let Some(alarm) = self.list.iter_mut().find(|alarm| alarm.source == source && alarm.active) else {
            return false;
        };
        alarm.active = false;
        self.fresh.push(alarm.clone());
        self.list.retain(|alarm| alarm.active || !alarm.acknowledged);
        true
    }

    /// Somebody has seen it; `false` if there is no such alarm.
    pub fn acknowledge(&mut self, id: u64) -> bool {
        let Some(alarm) = self.list.iter_mut().find(|alarm| alarm.id == id) else { return false };
        alarm.acknowledged = true;
        self.fresh.push(alarm.clone());
        self.list.retain(|alarm| alarm.active || !alarm.acknowledged);
        true
    }

    /// Those that are active, or were and have not been seen.
    pub fn list(&self) -> &[Alarm] {
        &self.list
    }

    /// What has changed since the last call.
    pub fn take_fresh(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_stays_until_its_cause_is_gone_and_it_was_seen() {
        let mut alarms = Alarms::default();
        assert!(alarms.raise("drift", Severity::Minor, "1".into()));
        assert!(!alarms.raise("drift", Severity::Minor, "2".into()), "the same again is no news");
        assert!(alarms.raise("drift", Severity::Major, "3".into()), "worse is news");
        assert_eq!(alarms.list().len(), 1);
        assert!(alarms.clear("drift") && !alarms.clear("drift"));
        assert_eq!((alarms.list().len(), alarms.list()[0].active), (1, false), "latched");
        assert!(alarms.raise("drift", Severity::Minor, "4".into()) && alarms.clear("drift"));
        assert_eq!(
            (alarms.list().len(), alarms.list()[0].severity),
            (1, Severity::Major),
            "unseen, it is the same alarm"
        );
        assert!(alarms.acknowledge(1));
        assert!(alarms.list().is_empty());

        alarms.raise("drift", Severity::Minor, "again".into());
        assert!(alarms.acknowledge(2) && !alarms.acknowledge(7));
        assert_eq!(alarms.list().len(), 1, "seen, but it persists");
        alarms.clear("drift");
        assert!(alarms.list().is_empty());
        assert_eq!(alarms.take_fresh().len(), 9);
    }
}
