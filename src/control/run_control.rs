//! What others ask of a run while it trains: pause, resume, stop, abort, safe.
//!
//! Socket, keyboard and signals write their wishes here; the training thread reads one flag at each of its gates, between two
//! steps and before each drive of a plant, and does what was asked. Nobody but the training thread touches a plant.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Error;
use crate::control::{Reply, Request, RunState};
use crate::plants::{Bench, Gate};
use crate::stop::{Interrupted, StopReason};

/// A stop waits so long for the step to end by itself; then it ends inside the step.
const PATIENCE: Duration = Duration::from_millis(400);
/// Who asks for the safe state is told after this time at the latest whether it was reached.
const SAFE_DEADLINE: Duration = Duration::from_secs(5);
/// A paused run looks around so often.
const LOOK: Duration = Duration::from_millis(200);

/// How a run is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Stop(StopReason),
    Abort,
}

/// Who has paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    User,
    Alarm,
}

/// What an interlock that has tripped says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trip {
    /// The reading is out of its bounds, in a sentence: nobody may go on.
    Out(String),
    /// It is within them, not yet for long enough: somebody may go on.
    Within(String),
}

/// What is asked, and where the run is.
#[derive(Debug)]
struct Asked {
    state: RunState,
    pause: Option<Pause>,
    /// The interlock that holds the run, whoever else does.
    trip: Option<Trip>,
    ending: Option<(Ending, Instant)>,
    /// Whether the run has plants that it can drive.
    opened: bool,
    /// Requests for the safe state so far, and how many of them are done.
    safe: [u64; 2],
    /// What the last attempt to reach it said.
    safe_failure: Option<String>,
    /// Nothing is driven any more.
    settled: bool,
    /// Alarms changed, and nobody has written them down yet.
    news: bool,
}

impl Asked {
    /// Whether the run ends, and nothing can change that.
    fn ends(&self) -> bool {
        self.ending.is_some() || self.state == RunState::Stopping
    }

    /// Whether the reading of an interlock is out of its bounds, so that nobody may go on. Who has paused may take that back.
    fn held(&self) -> bool {
        matches!(self.trip, Some(Trip::Out(_))) && self.pause != Some(Pause::User) && !self.ends()
    }

    /// Who or what holds it; empty where nothing does.
    fn why(&self) -> String {
        match (&self.trip, self.pause) {
            _ if self.ends() || matches!(self.state, RunState::Closed(_)) => String::new(),
            (Some(Trip::Out(why) | Trip::Within(why)), None | Some(Pause::Alarm)) => why.clone(),
            (Some(Trip::Out(why) | Trip::Within(why)), Some(Pause::User)) => format!("by request, and {why}"),
            (None, Some(Pause::User)) => "by request".to_owned(),
            (None, Some(Pause::Alarm)) => "by an alarm".to_owned(),
            (None, None) => String::new(),
        }
    }
}

/// What others ask of a run.
#[derive(Debug)]
pub struct Control {
    asked: Mutex<Asked>,
    changed: Condvar,
    /// Anything is asked: all that the training thread reads while nothing is.
    attention: AtomicBool,
}

impl Interrupted for Control {
    fn interrupt(&self) {
        self.end(Ending::Stop(StopReason::Interrupted));
    }
}

impl Control {
    /// A run that nobody asks anything; signals reach it.
    pub fn new() -> Arc<Self> {
        let asked = Asked {
            state: RunState::Running,
            pause: None,
            trip: None,
            ending: None,
            opened: false,
            safe: [0, 0],
            safe_failure: None,
            settled: false,
            news: false,
        };
        let control =
            Arc::new(Self { asked: Mutex::new(asked), changed: Condvar::new(), attention: AtomicBool::new(false) });
        crate::stop::tell(&control);
        control
    }

    /// Does what can be done at once, hands the rest to the training thread.
    ///
    /// A request for the safe state is answered when the plants are safe; at once, where the run has not opened any: it makes them
    /// safe before it drives one, and waits.
    pub fn request(&self, request: &Request) -> Reply {
        match request {
            Request::Pause => self.hold(Some(Pause::User)),
            Request::Resume => self.hold(None),
            Request::Stop => self.end(Ending::Stop(StopReason::Stopped)),
            Request::Abort => self.end(Ending::Abort),
            Request::Safe => self.make_safe(),
            Request::Acknowledge { .. } | Request::Status | Request::Watch { .. } => {
                Reply::Refused { message: "is answered by the server of the run, not by its control".into() }
            }
        }
    }

    /// From now on the run may drive plants.
    pub fn open(&self) {
        self.lock().opened = true;
    }

    /// Pauses because of an alarm; who resumes or pauses by hand is the master.
    pub fn pause_for_alarm(&self) {
        self.change(|asked| asked.pause = asked.pause.or(Some(Pause::Alarm)));
    }

    /// Goes on, if an alarm paused.
    pub fn resume_after_alarm(&self) {
        self.change(|asked| asked.pause = asked.pause.filter(|pause| *pause != Pause::Alarm));
    }

    /// An interlock has tripped: the run waits where it is, and nobody may go on; `why` is its sentence. Said again, `why` is newer.
    pub fn trip(&self, why: String) {
        self.change(|asked| asked.trip = Some(Trip::Out(why)));
    }

    /// The readings of the interlock are within their bounds, not yet for long enough: who resumes decides that.
    pub fn trip_eases(&self, why: String) {
        // Somebody may have gone on meanwhile.
        self.change(|asked| asked.trip = asked.trip.take().map(|_| Trip::Within(why)));
    }

    /// The interlock holds the run no longer.
    pub fn trip_is_over(&self) {
        self.change(|asked| asked.trip = None);
    }

    /// Whether an interlock may look for its readings: not while somebody holds the run, since nothing is driven then.
    pub fn lets_probe(&self) -> bool {
        let asked = self.lock();
        asked.trip.is_some() && asked.pause != Some(Pause::User) && asked.ending.is_none()
    }

    /// Who or what holds the run, in words; empty where nothing does.
    pub fn why(&self) -> String {
        self.lock().why()
    }

    /// Whether an interlock lets nobody go on.
    pub fn is_held(&self) -> bool {
        self.lock().held()
    }

    /// Something happened that the training thread is to write down.
    pub fn bring_news(&self) {
        self.change(|asked| asked.news = true);
    }

    /// Where the run is.
    pub fn state(&self) -> RunState {
        self.lock().state
    }

    /// Times that the plants were made safe on request.
    pub fn safe_states(&self) -> u64 {
        self.lock().safe[1]
    }

    /// The run ends, or has ended; whoever waits is told.
    pub fn enter(&self, state: RunState) {
        let mut asked = self.lock();
        asked.state = state;
        drop(asked);
        self.changed.notify_all();
    }

    /// The run has ended, and drives nothing any more; `failure` says why its plants are not safe. Whoever asked, or asks from now
    /// on, is answered by that.
    pub fn settle(&self, failure: Option<String>) {
        let mut asked = self.lock();
        (asked.settled, asked.safe_failure) = (true, failure);
        drop(asked);
        self.changed.notify_all();
    }

    /// Waits until the state changes or `patience` is over.
    pub fn wait(&self, patience: Duration) -> RunState {
        let asked = self.lock();
        let before = asked.state;
        let unchanged = |asked: &mut Asked| asked.state == before;
        let waited = self.changed.wait_timeout_while(asked, patience, unchanged);
        waited.unwrap_or_else(PoisonError::into_inner).0.state
    }

    /// Whether anything is asked.
    pub fn asks(&self) -> bool {
        self.attention.load(Ordering::Acquire)
    }

    /// Whether a step that waits may go on waiting: nobody wants anything else of it.
    pub fn lets_wait(&self) -> bool {
        let asked = self.lock();
        asked.pause.is_none() && asked.trip.is_none() && asked.ending.is_none() && asked.safe[0] == asked.safe[1]
    }

    /// Looked through by the training thread: does what was asked, and says whether to go on. While the run is paused,
    /// `look` is called again and again.
    pub fn heed(&self, gate: Gate, bench: &mut dyn Bench) -> Result<ControlFlow<StopReason>, Error> {
        if !self.asks() {
            return Ok(ControlFlow::Continue(()));
        }
        let mut held = false;
        loop {
            let mut asked = self.lock();
            if asked.safe[1] < asked.safe[0] {
                let count = asked.safe[0];
                drop(asked);
                let result = bench.make_safe();
                let mut asked = self.lock();
                asked.safe[1] = count;
                asked.safe_failure = result.as_ref().err().map(ToString::to_string);
                drop(asked);
                self.changed.notify_all();
                // Nothing may be driven again before somebody resumes, not even the rest of this step.
                held = true;
                result?;
                continue;
            }
            if let Some((ending, since)) = asked.ending
                && (gate != Gate::Inside
                    || ending == Ending::Abort
                    || held
                    || asked.trip.is_some()
                    || since.elapsed() >= PATIENCE)
            {
                asked.state = RunState::Stopping;
                return Ok(ControlFlow::Break(match ending {
                    Ending::Stop(reason) => reason,
                    Ending::Abort => StopReason::Aborted,
                }));
            }
            // Who pauses while an interlock holds the run wants nothing driven, not even the rest of this step.
            held |= asked.trip.is_some() && asked.pause == Some(Pause::User);
            let waits = asked.trip.is_some() || asked.pause.is_some() && (gate != Gate::Inside || held);
            if !waits && asked.state == RunState::Paused {
                asked.state = RunState::Running;
                self.changed.notify_all();
            }
            let news = asked.news && gate == Gate::Between;
            if !waits && !news {
                let calm = asked.pause.is_none() && asked.ending.is_none() && !asked.news;
                self.attention.store(!calm, Ordering::Release);
                return Ok(ControlFlow::Continue(()));
            }
            if waits && asked.state == RunState::Running {
                // It is written down before anybody can see it.
                let why = asked.why();
                drop(asked);
                bench.pause(why)?;
                self.enter(RunState::Paused);
                continue;
            }
            asked.news &= !news;
            if waits {
                drop(self.changed.wait_timeout(asked, bench.patience().min(LOOK)));
            } else {
                drop(asked);
            }
            bench.look()?;
        }
    }

    fn end(&self, ending: Ending) -> Reply {
        self.change(|asked| {
            // The first wish counts, but an abort is stronger than a stop.
            if asked.ending.is_none_or(|(before, _)| before != Ending::Abort && ending == Ending::Abort) {
                asked.ending = Some((ending, Instant::now()));
            }
        })
    }

    /// Pauses or goes on; a run that ends does neither, and one whose interlock is out does not go on.
    fn hold(&self, pause: Option<Pause>) -> Reply {
        let refusal = {
            let asked = self.lock();
            match &asked.trip {
                _ if asked.ends() => Some(
                    "the run is ending: it neither pauses nor goes on any more. `pnnlab train --resume` continues it"
                        .to_owned(),
                ),
                Some(Trip::Out(why)) if pause.is_none() && asked.held() => {
                    Some(format!("the run waits: {why}. It goes on by itself when the reading is back; or stop it"))
                }
                _ => None,
            }
        };
        if let Some(message) = refusal {
            return Reply::Refused { message };
        }
        self.change(|asked| {
            // Who takes back a pause leaves the rest to the interlock; who has not paused goes on before it would.
            if pause.is_none() && asked.pause != Some(Pause::User) {
                asked.trip = None;
            }
            asked.pause = pause;
        })
    }

    /// Asks for the safe state and waits for it.
    fn make_safe(&self) -> Reply {
        let mut number = 0;
        self.change(|asked| {
            (asked.pause, asked.safe[0]) = (Some(Pause::User), asked.safe[0] + 1);
            number = asked.safe[0];
        });
        let open = |asked: &Asked| asked.opened && asked.safe[1] < number && !asked.settled;
        let waiting = |asked: &mut Asked| open(asked);
        let waited = self.changed.wait_timeout_while(self.lock(), SAFE_DEADLINE, waiting);
        let asked = waited.unwrap_or_else(PoisonError::into_inner).0;
        if let Some(failure) = asked.safe_failure.as_ref().filter(|_| !open(&asked)) {
            return Reply::Refused { message: format!("the plants are NOT SAFE: {failure}") };
        }
        if open(&asked) {
            let message = format!(
                "the plants are not safe after {} s: an instrument does not answer; switch the bench off by hand",
                SAFE_DEADLINE.as_secs()
            );
            return Reply::Refused { message };
        }
        let state = if asked.state == RunState::Running { RunState::Paused } else { asked.state };
        Reply::Done { state }
    }

    /// Changes what is asked, and wakes whoever waits.
    fn change(&self, change: impl FnOnce(&mut Asked)) -> Reply {
        let mut asked = self.lock();
        if let RunState::Closed(_) = asked.state {
            return Reply::Refused { message: "the run is closed: `pnnlab train --resume` continues it".into() };
        }
        change(&mut asked);
        self.attention.store(true, Ordering::Release);
        let state = if asked.ends() {
            RunState::Stopping
        } else if asked.pause.is_some() || asked.trip.is_some() {
            RunState::Paused
        } else {
            RunState::Running
        };
        drop(asked);
        self.changed.notify_all();
        Reply::Done { state }
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        // What is asked is plain data: a thread that panicked while it held it has broken nothing.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
