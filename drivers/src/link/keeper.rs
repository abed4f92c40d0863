//! The keeper: drives a link's runtime while nobody asks, so that heartbeats are sent and a lost instrument is found again.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::line::Line;
use super::report::LinkWatch;
use super::session::Session;
use super::task::Job;

/// The thread of one link. Dropping it ends it.
pub(super) struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts to look after `line` whenever nothing was answered for `every`.
    pub(super) fn start<S: Session>(line: &Arc<Line<S>>, watch: &LinkWatch, every: Duration) -> Self {
        let (stop, stopped) = channel();
        let (line, watch): (Weak<Line<S>>, LinkWatch) = (Arc::downgrade(line), watch.clone());
        let work = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let Some(line) = line.upgrade() else { return };
                if watch.idle_for() < every {
                    continue;
                }
                // What fails here shows in the link's state, and again when something is asked.
                let _ = line.ask(|reply| Job::Idle { within: every, reply });
            }
        };
        let thread = std::thread::Builder::new().name("link keeper".to_owned()).spawn(work).ok();
        Self { stop: Some(stop), thread }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It panics only where a session does, which has been printed.
            let _ = thread.join();
        }
    }
}
