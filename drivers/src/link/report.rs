//! What a link says of itself to whoever watches.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use crate::{Address, Error, ErrorKind, Histogram, Owned, Rejections};

/// How many latencies are kept.
const KEPT: usize = 1024;

/// Where a link is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkState {
    /// Not opened yet, or given up.
    #[default]
    Closed,
    /// Opening the port and greeting.
    Opening,
    /// In step.
    Ready,
    /// An answer is missing or was not understood: the next query gets a fresh port.
    Dirty,
    /// Nobody is there: waiting to try again.
    Backoff,
}

impl std::fmt::Display for LinkState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Opening => "opening",
            Self::Ready => "ready",
            Self::Dirty => "dirty",
            Self::Backoff => "backoff",
        })
    }
}

/// A link at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LinkReport {
    /// The instrument's name in the rig.
    pub instrument: String,
    /// Its address.
    pub address: String,
    /// Where the link is in its life.
    pub state: LinkState,
    /// How long the last attempt to open it may be silent, because the instrument is slow or measures something: until then its silence
    /// says nothing.
    pub patience: Duration,
    /// Times that it was reopened.
    pub reconnects: u64,
    /// How long it was without an instrument the last time that it was opened, from the moment that this was noticed.
    pub opened_after: Option<Duration>,
    /// Half of the last thousand answers came faster than this.
    pub latency_p50: Option<Duration>,
    /// All but a hundredth of the last thousand answers came faster than this.
    pub latency_p99: Option<Duration>,
    /// When it last answered.
    pub answered: Option<SystemTime>,
    /// Who holds it.
    pub owner: String,
    /// Whether this process holds it, so that nobody else may open it.
    pub held: bool,
    /// How long answers took, by what was asked.
    pub queries: BTreeMap<&'static str, Histogram>,
    /// What went wrong, also where it was mended by asking again.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// Shots whose readings were thrown away, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// What else its driver has found out, in words; empty where there is nothing.
    pub remark: String,
    /// Where the instrument makes itself safe when it hears nothing: after how long, and how often it has, as it says itself.
    pub watchdog: Option<(Duration, u32)>,
}

#[derive(Debug)]
struct Watched {
    report: LinkReport,
    openings: u64,
    /// Since when there is no instrument.
    lost: Option<Instant>,
    latencies: VecDeque<Duration>,
    last: Instant,
    disturbance: Option<Disturbance>,
    silent: bool,
    owned: Weak<Mutex<Owned>>,
    rejections: Rejections,
}

/// What a conformance check does to a link, to see it recover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// The answer to the next request is given up as soon as the request is sent.
    LoseAnswer,
    /// The port is closed before the next request.
    ClosePort,
}

/// A view of a link that anybody may keep; it outlives the link.
#[derive(Debug, Clone)]
pub struct LinkWatch(Arc<Mutex<Watched>>);

impl LinkWatch {
    pub(crate) fn new(instrument: &str, address: &Address, owner: String, owned: Option<&Arc<Mutex<Owned>>>) -> Self {
        let report = LinkReport {
            instrument: instrument.to_owned(),
            address: address.to_string(),
            owner,
            ..LinkReport::default()
        };
        Self(Arc::new(Mutex::new(Watched {
            report,
            openings: 0,
            lost: None,
            latencies: VecDeque::new(),
            last: Instant::now(),
            disturbance: None,
            silent: false,
            owned: owned.map(Arc::downgrade).unwrap_or_default(),
            rejections: Rejections::default(),
        })))
    }

    /// The link now.
    pub fn report(&self) -> LinkReport {
        let watched = self.locked();
        let mut sorted: Vec<Duration> = watched.latencies.iter().copied().collect();
        sorted.sort_unstable();
        let quantile =
            |parts: usize| sorted.get((sorted.len() * parts / 100).min(sorted.len().saturating_sub(1))).copied();
        LinkReport {
            latency_p50: quantile(50),
            latency_p99: quantile(99),
            held: watched.owned.strong_count() > 0,
            rejected: watched.rejections.by_reason(),
            ..watched.report.clone()
        }
    }

    /// Says to other processes where this one listens for requests, for as long as it holds the instrument.
    pub fn announce(&self, control: &Path) {
        if let Some(owned) = self.locked().owned.upgrade() {
            owned.lock().unwrap_or_else(PoisonError::into_inner).announce(control);
        }
    }

    /// Disturbs the link at its next request.
    pub fn disturb(&self, disturbance: Disturbance) {
        self.locked().disturbance = Some(disturbance);
    }

    /// From now on says nothing of itself while nobody asks, or says it again: so a watchdog can be seen to act.
    pub fn keep_silent(&self, silent: bool) {
        self.locked().silent = silent;
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.locked().silent
    }

    /// The instrument's watchdog as it says: its time, and how often it has acted.
    pub(crate) fn watchdog(&self, time: Duration, trips: u32) {
        self.locked().report.watchdog = Some((time, trips));
    }

    /// The disturbance that is due, once.
    pub(crate) fn disturbed(&self) -> Option<Disturbance> {
        self.locked().disturbance.take()
    }

    /// Whether `disturbance` is due; once.
    pub(super) fn disturbed_by(&self, disturbance: Disturbance) -> bool {
        self.locked().disturbance.take_if(|due| *due == disturbance).is_some()
    }

    pub(crate) fn state(&self, state: LinkState) {
        let mut watched = self.locked();
        watched.report.state = state;
        if state != LinkState::Ready {
            watched.lost.get_or_insert_with(Instant::now);
        }
    }

    /// An attempt to open it begins, which may be silent for so long.
    pub(crate) fn opening(&self, patience: Duration) {
        self.state(LinkState::Opening);
        self.locked().report.patience = patience;
    }

    pub(crate) fn remark(&self, remark: String) {
        self.locked().report.remark = remark;
    }

    pub(crate) fn opened(&self) {
        let mut watched = self.locked();
        watched.report.state = LinkState::Ready;
        watched.report.reconnects = watched.openings;
        watched.report.opened_after = watched.lost.take().map(|lost| lost.elapsed());
        watched.openings += 1;
    }

    /// What was asked by `verb` was answered.
    pub(crate) fn answered(&self, verb: &'static str, latency: Duration) {
        let mut watched = self.locked();
        watched.report.queries.entry(verb).or_default().add(latency);
        watched.report.state = LinkState::Ready;
        watched.report.answered = Some(SystemTime::now());
        watched.lost = None;
        watched.last = Instant::now();
        if watched.latencies.len() == KEPT {
            watched.latencies.pop_front();
        }
        watched.latencies.push_back(latency);
    }

    /// Something went wrong, whether or not it can be mended.
    pub(crate) fn failed(&self, error: &Error) {
        if let Some(kind) = error.kind() {
            self.failed_by(kind, 1);
        }
    }

    /// The same of so many errors of one kind.
    pub(crate) fn failed_by(&self, kind: ErrorKind, count: u64) {
        if count > 0 {
            *self.locked().report.errors.entry(kind).or_default() += count;
        }
    }

    /// Where shots are counted whose readings are thrown away.
    pub(crate) fn rejections(&self) -> Rejections {
        self.locked().rejections.clone()
    }

    /// How long nothing has been answered.
    pub(super) fn idle_for(&self) -> Duration {
        self.locked().last.elapsed()
    }

    fn locked(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
