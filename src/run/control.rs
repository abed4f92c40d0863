//! What others ask of a run while it trains: pause, resume, stop, abort, safe.
//!
//! Socket, keyboard and signals write their wishes here; the training thread reads one flag at each of its gates, between two
//! steps and before each drive of a plant, and does what was asked. Nobody but the training thread touches a plant.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Reply, Request, RunState, StopReason};
use crate::Error;

/// A stop waits so long for the step to end by itself; then it ends inside the step.
const PATIENCE: Duration = Duration::from_millis(400);
/// Who asks for the safe state is told after this time at the latest whether it was reached.
const SAFE_DEADLINE: Duration = Duration::from_secs(5);
/// A paused run looks around so often.
const LOOK: Duration = Duration::from_millis(200);

/// Where the training thread is when it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Between two steps: the run can be continued from here.
    Between,
    /// Inside a step, before a plant is driven.
    Inside,
}

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

/// What is asked, and where the run is.
#[derive(Debug)]
struct Asked {
    state: RunState,
    pause: Option<Pause>,
    ending: Option<(Ending, Instant)>,
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
    /// Whether the run has plants that it can drive.
    opened: bool,
    /// Whether the run ends, and nothing can change that.
    fn ends(&self) -> bool {
        self.ending.is_some() || self.state == RunState::Stopping
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

impl Control {
    /// A run that nobody asks anything; signals reach it.
    pub fn new() -> Arc<Self> {
        let asked = Asked {
            state: RunState::Running,
            pause: None,
            ending: None,
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
            opened: false,
        }
    }

    /// Ctrl-C or SIGTERM.
    pub fn interrupt(&self) {
        self.end(Ending::Stop(StopReason::Interrupted));
    }

    /// Pauses because of an alarm; who resumes or pauses by hand is the master.
    pub fn pause_for_alarm(&self) {
        self.change(|asked| asked.pause = asked.pause.or(Some(Pause::Alarm)));
    }

    /// Goes on, if an alarm paused.
    pub fn resume_after_alarm(&self) {
        self.change(|asked| asked.pause = asked.pause.filter(|pause| *pause != Pause::Alarm));
    }

    /// Something happened that the training thread is to write down.
    pub fn bring_news(&self) {
        self.change(|asked| asked.news = true);
    }

    /// Where the run is.
    pub fn state(&self) -> RunState {
        self.lock().state
    }
    /// From now on the run may drive plants.
    pub fn open(&self) {
        self.lock().opened = true;
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
                && (gate == Gate::Between || ending == Ending::Abort || held || since.elapsed() >= PATIENCE)
            {
                asked.state = RunState::Stopping;
                return Ok(ControlFlow::Break(match ending {
                    Ending::Stop(reason) => reason,
                    Ending::Abort => StopReason::Aborted,
                }));
            }
            let waits = asked.pause.is_some() && (gate == Gate::Between || held);
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
                drop(asked);
                bench.pause()?;
                self.enter(RunState::Paused);
                continue;
            }
            asked.news &= !news;
            if waits {
                drop(self.changed.wait_timeout(asked, LOOK));
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

    /// Pauses or goes on; a run that ends does neither.
    fn hold(&self, pause: Option<Pause>) -> Reply {
        if self.lock().ends() {
            let message =
                "the run is ending: it neither pauses nor goes on any more. `pnnlab train --resume` continues it";
            return Reply::Refused { message: message.to_owned() };
        }
        self.change(|asked| asked.pause = pause)
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
        let state = match asked.pause {
            _ if asked.ends() => RunState::Stopping,
            Some(_) => RunState::Paused,
            None => RunState::Running,
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

/// What the training thread can do while it heeds.
pub trait Bench {
    /// Brings every plant to its safe state.
    fn make_safe(&mut self) -> Result<(), Error>;

    /// The run is about to pause.
    fn pause(&mut self) -> Result<(), Error>;

    /// Called again and again while the run is paused, and when there is news: alarms are written down, monitors look.
    fn look(&mut self) -> Result<(), Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts, and may ask for something while it is looked at.
    struct Counter<'a> {
        control: &'a Control,
        safe: usize,
        looks: usize,
        then: Vec<Request>,
    }

    impl Bench for Counter<'_> {
        fn make_safe(&mut self) -> Result<(), Error> {
            self.safe += 1;
            Ok(())
        }
        fn pause(&mut self) -> Result<(), Error> {
            assert_eq!(self.control.state(), RunState::Running);
            Ok(())
        }
        fn look(&mut self) -> Result<(), Error> {
            self.looks += 1;
            if let Some(request) = self.then.pop() {
                self.control.request(&request);
            }
            Ok(())
        }
    }

    fn heed(control: &Control, gate: Gate, then: Vec<Request>) -> (ControlFlow<StopReason>, usize, usize) {
        let mut bench = Counter { control, safe: 0, looks: 0, then };
        let flow = control.heed(gate, &mut bench).unwrap();
        (flow, bench.safe, bench.looks)
    }

    #[test]
    fn a_pause_waits_between_steps_only_until_it_is_resumed() {
        let control = Control::new();
        assert_eq!(control.request(&Request::Pause), Reply::Done { state: RunState::Paused });
        assert_eq!(heed(&control, Gate::Inside, vec![]).0, ControlFlow::Continue(()));
        let (flow, _, looks) = heed(&control, Gate::Between, vec![Request::Resume]);
        assert_eq!((flow, looks), (ControlFlow::Continue(()), 1));
        assert_eq!(control.state(), RunState::Running);
    }

    #[test]
    fn a_stop_lets_the_step_end_and_an_abort_does_not() {
        let control = Control::new();
        control.request(&Request::Stop);
        assert_eq!(heed(&control, Gate::Inside, vec![]).0, ControlFlow::Continue(()));
        assert_eq!(heed(&control, Gate::Between, vec![]).0, ControlFlow::Break(StopReason::Stopped));
        let control = Control::new();
        control.interrupt();
        control.request(&Request::Abort);
        assert_eq!(heed(&control, Gate::Inside, vec![]).0, ControlFlow::Break(StopReason::Aborted));
        control.enter(RunState::Closed(StopReason::Aborted));
        assert!(matches!(control.request(&Request::Resume), Reply::Refused { .. }));
    }

    #[test]
    fn a_run_that_ends_is_not_paused_or_resumed_and_says_whether_it_is_safe() {
        let control = Control::new();
        assert_eq!(control.request(&Request::Stop), Reply::Done { state: RunState::Stopping });
        for request in [Request::Resume, Request::Pause] {
            let reply = control.request(&request);
            assert!(matches!(&reply, Reply::Refused { message } if message.contains("is ending")), "{reply:?}");
        }
        assert_eq!(control.request(&Request::Stop), Reply::Done { state: RunState::Stopping });
        let safe = |failure: Option<&str>, state| {
            let control = Control::new();
            control.enter(RunState::Stopping);
            control.settle(failure.map(str::to_owned));
            control.enter(state);
            control.request(&Request::Safe)
        };
        let failed = RunState::Closed(StopReason::Failed);
        assert_eq!(safe(None, RunState::Stopping), Reply::Done { state: RunState::Stopping });
        assert_eq!(safe(None, failed), Reply::Done { state: failed });
        for state in [RunState::Stopping, failed] {
            let reply = safe(Some("no answer"), state);
            assert!(
                matches!(&reply, Reply::Refused { message } if message.contains("NOT SAFE: no answer")),
                "{reply:?}"
            );
        }
    }

    #[test]
    fn safe_is_reached_inside_a_step_and_answered_when_it_is() {
        let control = Control::new();
        control.open();
        let asker = std::thread::spawn({
            let control = control.clone();
            move || control.request(&Request::Safe)
        });
        while !control.attention.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let (flow, safe, looks) = heed(&control, Gate::Inside, vec![Request::Resume]);
        assert_eq!((flow, safe, looks), (ControlFlow::Continue(()), 1, 1));
        assert_eq!(asker.join().unwrap(), Reply::Done { state: RunState::Paused });
    }

    #[test]
    fn an_alarm_resumes_only_what_it_paused() {
        let control = Control::new();
        control.pause_for_alarm();
        control.resume_after_alarm();
        assert_eq!(heed(&control, Gate::Between, vec![]).0, ControlFlow::Continue(()));
        control.request(&Request::Pause);
        control.pause_for_alarm();
        control.resume_after_alarm();
        let (flow, _, looks) = heed(&control, Gate::Between, vec![Request::Stop]);
        assert_eq!((flow, looks), (ControlFlow::Break(StopReason::Stopped), 1));
    }
}
