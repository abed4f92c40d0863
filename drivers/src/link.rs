//! The link to one instrument: a task that owns its port, and the synchronous handle that a plant holds.
//!
//! ```text
//! closed ──► opening ──► ready ──► dirty ──► opening …       dirty: an answer is missing or was not understood
//!               └──► backoff ──► opening …                    backoff: nobody there; try again, less and less often
//! ```
//!
//! A protocol is a [`Session`]: what it says first on a fresh port, and how one request is exchanged. The link does the rest for
//! all protocols alike: one owner per instrument, a deadline for each request that is kept, a fresh port after any answer that
//! is missing or was not understood, reconnection with exponential backoff and jitter, latencies, and the state for whoever
//! watches.
//!
//! Once a second, before something is asked, a session looks whether its settings are still there: whoever changed them meanwhile is
//! found out. That is not recorded, since it depends on the clock.
//!
//! A greeting changes nothing that it would not change twice, so it is begun anew on another port, several times within its deadline,
//! when an answer is missing or wrong. How long the instrument may be silent in it grows from one attempt to the next, and begins
//! with what its last greeting took. A request is never repeated by the link: only whoever asked knows what that would drive.
//!
//! The task lives in a runtime of its own that is driven by whoever waits for an answer: a query costs no change of thread. A
//! keeper thread drives it while nobody asks, so that heartbeats are sent and a lost instrument is found again.

mod keeper;
mod line;
mod options;
mod report;
mod session;
mod task;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::port::Opener;
use crate::{Error, Owned};

use keeper::Keeper;
use line::Line;
pub use options::LinkOptions;
pub use report::{Disturbance, LinkReport, LinkState, LinkWatch};
pub use session::{Opening, Session};
use task::{Job, Task, Terms};

/// The synchronous handle to one instrument. Dropping it closes the port.
pub struct Link<S: Session> {
    // The keeper first: it ends before what it drives.
    _keeper: Keeper,
    line: Arc<Line<S>>,
    watch: LinkWatch,
    /// Given back when the link is dropped.
    _owned: Option<Arc<Mutex<Owned>>>,
}

impl<S: Session> Link<S> {
    /// Takes the instrument, opens its port and greets it.
    ///
    /// Fails when somebody else holds it, or when it does not answer in time.
    pub fn open(session: S, options: &LinkOptions) -> Result<Self, Error> {
        let owned = Owned::of(options)?;
        let owner = owned.as_ref().map(|owned| owned.holder().to_string()).unwrap_or_default();
        Self::connect(session, options, owned, owner)
    }

    /// Opens a side connection to an instrument that somebody else may hold: for making it safe, and for nothing else.
    pub fn open_beside(session: S, options: &LinkOptions) -> Result<Self, Error> {
        Self::connect(session, options, None, "nobody: a connection beside the owner's".to_owned())
    }

    fn connect(session: S, options: &LinkOptions, owned: Option<Owned>, owner: String) -> Result<Self, Error> {
        let owned = owned.map(|owned| Arc::new(Mutex::new(owned)));
        let opener = Opener::new(options)?.held_by(owned.as_ref());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|source| Error::Unreachable {
            instrument: options.instrument.clone(),
            address: options.address.to_string(),
            message: format!("its link cannot be started: {source}"),
        })?;
        let watch = LinkWatch::new(&options.instrument, &options.address, owner, owned.as_ref());
        let (jobs, inbox) = mpsc::unbounded_channel();
        let within = options.open_within + session.silence();
        runtime.spawn(Task::new(session, opener, options, watch.clone()).run(inbox));
        let line = Arc::new(Line { runtime: Some(runtime), jobs, instrument: options.instrument.clone() });
        line.ask(|reply| Job::Open { within, reply })?;
        let keeper = Keeper::start(&line, &watch, options.idle_every);
        Ok(Self { _keeper: keeper, line, watch, _owned: owned })
    }

    /// Asks `request` and waits for the answer, at most for `within`: the time that reconnecting takes is part of it.
    ///
    /// Must not be called from inside a future.
    pub fn ask(&self, request: S::Request, within: Duration) -> Result<S::Reply, Error> {
        self.ask_noting(request, within).map(|(answer, _)| answer)
    }

    /// The same, and the number of the opening of the port that it was answered on.
    pub(crate) fn ask_noting(&self, request: S::Request, within: Duration) -> Result<(S::Reply, u64), Error> {
        self.exchange(request, within, Terms::Looking)
    }

    /// Asks `request` on the port whose opening has the number `on`, and nowhere else: where that port is gone, nothing is sent, because
    /// the instrument may have lost what it was told before.
    pub(crate) fn ask_on(&self, on: u64, request: S::Request, within: Duration) -> Result<S::Reply, Error> {
        self.exchange(request, within, Terms::On(on)).map(|(answer, _)| answer)
    }

    fn exchange(&self, request: S::Request, within: Duration, terms: Terms) -> Result<(S::Reply, u64), Error> {
        let until = Instant::now() + within;
        self.line.ask(|reply| Job::Ask { request, terms, within, until, reply })
    }

    /// Makes sure that there is a greeted port, at most within `within`: the number of its opening. Nothing is asked: where it fails,
    /// nothing was driven.
    pub(crate) fn ready(&self, within: Duration) -> Result<u64, Error> {
        self.line.ask(|reply| Job::Open { within, reply })
    }

    /// Asks, and once more where that can help: for what must not fail because one answer was lost, or because somebody else has changed
    /// a setting. Each time has `within`.
    pub(crate) fn insist(&self, request: S::Request, within: Duration) -> Result<S::Reply, Error>
    where
        S::Request: Clone,
    {
        let ask = |request| self.exchange(request, within, Terms::AtOnce).map(|(answer, _)| answer);
        match ask(request.clone()) {
            Err(error) if error.is_retryable() => ask(request),
            answer => answer,
        }
    }

    /// The link as it is, for whoever watches; it outlives the link.
    pub fn watch(&self) -> LinkWatch {
        self.watch.clone()
    }
}

#[cfg(test)]
mod tests;
