//! Runs that go side by side and are asked together: what one keyboard says reaches each of them, also those that begin later.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::control::{Control, Reply, Request, RunState};

/// Runs that go side by side.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<Asked>);

/// What all of them were asked.
#[derive(Debug, Default)]
struct Asked {
    runs: Vec<Weak<Control>>,
    paused: bool,
    ends: bool,
}

impl Fleet {
    /// A run that joins now.
    pub fn join(&self) -> Arc<Control> {
        let control = Control::new();
        let mut asked = self.lock();
        asked.runs.retain(|run| run.strong_count() > 0);
        asked.runs.push(Arc::downgrade(&control));
        if asked.paused {
            control.request(&Request::Pause);
        }
        if asked.ends {
            control.request(&Request::Stop);
        }
        control
    }

    /// Whether they were asked to end, so that none is to begin.
    pub fn ends(&self) -> bool {
        self.lock().ends
    }

    /// Asks all of them at once; where one is not safe, or does not go on, the answer is its.
    pub fn request(&self, request: &Request) -> Reply {
        let runs: Vec<Arc<Control>> = {
            let mut asked = self.lock();
            match request {
                Request::Pause | Request::Safe => asked.paused = true,
                Request::Resume => asked.paused = false,
                Request::Stop | Request::Abort => asked.ends = true,
                Request::Acknowledge { .. } | Request::Status | Request::Watch { .. } => {}
            }
            asked.runs.iter().filter_map(Weak::upgrade).collect()
        };
        let replies: Vec<Reply> = std::thread::scope(|scope| {
            let asked: Vec<_> = runs.iter().map(|run| scope.spawn(|| reply_of(run, request))).collect();
            // It panics nowhere.
            asked.into_iter().filter_map(|asking| asking.join().ok()).collect()
        });
        let state = match &*self.lock() {
            Asked { ends: true, .. } => RunState::Stopping,
            Asked { paused: true, .. } => RunState::Paused,
            _ => RunState::Running,
        };
        replies.into_iter().find(|reply| matches!(reply, Reply::Refused { .. })).unwrap_or(Reply::Done { state })
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        // Plain data: a thread that panicked while it held it has broken nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one run says. One that ends by itself refuses to pause and to go on: that is its affair.
fn reply_of(run: &Control, request: &Request) -> Reply {
    let reply = run.request(request);
    let state = run.state();
    match reply {
        Reply::Refused { .. } if *request != Request::Safe && state != RunState::Paused => Reply::Done { state },
        reply => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_asked_and_who_joins_a_pause_is_paused() {
        let fleet = Fleet::default();
        let first = fleet.join();
        assert_eq!(fleet.request(&Request::Pause), Reply::Done { state: RunState::Paused });
        let second = fleet.join();
        assert!(first.asks() && second.asks());
        assert_eq!(fleet.request(&Request::Resume), Reply::Done { state: RunState::Running });
        assert!(!fleet.join().asks() && !fleet.ends());
        // One that an interlock holds does not go on.
        let held = fleet.join();
        held.trip("interlock `heat`".into());
        held.enter(RunState::Paused);
        let reply = fleet.request(&Request::Resume);
        assert!(matches!(&reply, Reply::Refused { message } if message.contains("`heat`")), "{reply:?}");
        held.trip_is_over();
        // None has opened its plants, and none drives any before somebody resumes.
        assert_eq!(fleet.request(&Request::Safe), Reply::Done { state: RunState::Paused });
        first.settle(Some("no answer".into()));
        second.settle(None);
        let reply = fleet.request(&Request::Safe);
        assert!(matches!(&reply, Reply::Refused { message } if message.contains("no answer")), "{reply:?}");
        assert_eq!(fleet.request(&Request::Stop), Reply::Done { state: RunState::Stopping });
        assert!(fleet.ends());
    }
}
