//! The task that owns an instrument's port and keeps its state.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::options::LinkOptions;
use super::report::{Disturbance, LinkState, LinkWatch};
use super::session::{Opening, Session};
use crate::port::Opener;
use crate::split_mix::SplitMix;
use crate::{Error, Port};

/// The first pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest: with an attempt on top, an instrument that is back is found within a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(320);
/// The first attempt to open may find the instrument silent for this part of the deadline; each further one twice as long.
const FIRST_PART: u32 = 8;
/// Once a greeting is known, the instrument may be silent for so many times its longest silence at first, but for no less than this.
const PATIENCE_FACTOR: u32 = 4;
const LEAST_PATIENCE: Duration = Duration::from_millis(50);
/// Where its greetings usually take less, an attempt to find it again ends after so much silence.
const LONGEST_PATIENCE: Duration = Duration::from_millis(400);
/// How often a session looks whether its settings are still there.
const VERIFY_EVERY: Duration = Duration::from_secs(1);
const VERIFY: &str = "verify";
/// What is asked while nobody asks.
const IDLE: &str = "idle";

/// Where an answer goes, with the number of the opening of the port that it came from.
type Answer<S> = oneshot::Sender<Result<(<S as Session>::Reply, u64), Error>>;

/// On which terms a request is exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    /// With a look at the settings before, where one is due.
    Looking,
    /// In any case, whatever has become of the settings.
    AtOnce,
    /// Only on the port whose opening has this number: it belongs to what was exchanged there before.
    On(u64),
}

/// What the task is asked.
pub(super) enum Job<S: Session> {
    /// Be ready; answered with the number of the port's opening.
    Open { within: Duration, reply: oneshot::Sender<Result<u64, Error>> },
    /// Exchange a request until then, which was so long away when it was asked. Answered with the number of the opening as well.
    Ask { request: S::Request, terms: Terms, within: Duration, until: Instant, reply: Answer<S> },
    /// Nothing else to do: say something, or look for a lost instrument.
    Idle { within: Duration, reply: oneshot::Sender<Result<(), Error>> },
}

/// The owner of one port.
pub(super) struct Task<S> {
    session: S,
    opener: Opener,
    open_within: Duration,
    watch: LinkWatch,
    port: Option<Port>,
    /// A port that is being greeted, or whose greeting has failed.
    greeted: Option<Port>,
    /// How often the port was opened.
    openings: u64,
    /// Whether an answer may still be on its way.
    stale: bool,
    /// Attempts to open it that have failed since the last success.
    failures: u32,
    next_attempt: Instant,
    /// When the settings were last known to be there.
    verified: Instant,
    /// The longest silence in the last greeting that succeeded.
    usual: Option<Duration>,
    /// State of the jitter's generator.
    random: SplitMix,
}

impl<S: Session> Task<S> {
    pub(super) fn new(session: S, opener: Opener, options: &LinkOptions, watch: LinkWatch) -> Self {
        Self {
            session,
            opener,
            open_within: options.open_within,
            watch,
            port: None,
            greeted: None,
            openings: 0,
            stale: false,
            failures: 0,
            next_attempt: Instant::now(),
            verified: Instant::now(),
            usual: None,
            random: SplitMix(options.seed),
        }
    }

    /// Serves until the handle is gone.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Job<S>>) {
        let mut next = inbox.recv().await;
        while let Some(job) = next.take() {
            // Who no longer waits for the answer does not get it.
            match job {
                Job::Open { within, reply } => {
                    if self.watch.disturbed_by(Disturbance::ClosePort) {
                        self.port = None;
                    }
                    let ready = self.ready(Instant::now() + within).await;
                    drop(reply.send(ready.map(|()| self.openings)));
                }
                Job::Ask { request, terms, within, until, reply } => {
                    let answer = self.ask(&request, terms, (within, until)).await;
                    drop(reply.send(answer.map(|answer| (answer, self.openings))));
                }
                // Nobody waits behind the search for a lost instrument: who asks searches again, by a deadline of its own.
                Job::Idle { within, reply } if self.port.is_none() => tokio::select! {
                    biased;
                    job = inbox.recv() => {
                        next = job;
                        continue;
                    }
                    found = self.idle(within) => drop(reply.send(found)),
                },
                Job::Idle { within, reply } => drop(reply.send(self.idle(within).await)),
            }
            next = inbox.recv().await;
        }
        self.watch.state(LinkState::Closed);
    }

    /// One request, answered within its deadline or not at all.
    async fn ask(
        &mut self,
        request: &S::Request,
        terms: Terms,
        (within, mut until): (Duration, Instant),
    ) -> Result<S::Reply, Error> {
        let disturbance = self.watch.disturbed();
        if disturbance == Some(Disturbance::ClosePort) {
            self.port = None;
        }
        if matches!(terms, Terms::On(on) if self.port.is_none() || on != self.openings) {
            let message = "the connection was lost before it had done all that belongs together".to_owned();
            let error = Error::Lost { instrument: self.opener.instrument.clone(), message };
            self.watch.failed(&error);
            return Err(error);
        }
        self.ready(until).await?;
        if terms == Terms::Looking && VERIFY_EVERY <= self.verified.elapsed() {
            self.verify(within, until).await?;
        }
        if disturbance == Some(Disturbance::LoseAnswer) {
            // Well in the past, because a deadline is rounded up to a millisecond: the request goes out, and that is all.
            let now = Instant::now();
            until = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        }
        let Some(port) = &mut self.port else { return Err(self.timeout("opening", within)) };
        let start = Instant::now();
        port.listen();
        let answer = timeout_at(until, self.session.exchange(port, request)).await.ok();
        let answer = answer.filter(|_| disturbance != Some(Disturbance::LoseAnswer));
        self.settle(answer, S::verb(request), (start, within))
    }

    /// Looks whether the settings are still there. A recording knows nothing of such looks.
    async fn verify(&mut self, within: Duration, until: Instant) -> Result<(), Error> {
        let Some(port) = self.port.as_mut().filter(|port| !port.is_replay()) else { return Ok(()) };
        let start = Instant::now();
        let recorder = port.stop_recording();
        let looked = timeout_at(until, self.session.verify(port)).await.ok();
        port.record_to(recorder);
        match looked {
            Some(Ok(())) => {
                self.verified = Instant::now();
                Ok(())
            }
            looked => self.settle(looked, VERIFY, (start, within)),
        }
    }

    /// A heartbeat where there is a port, an attempt to open one where there is none.
    async fn idle(&mut self, within: Duration) -> Result<(), Error> {
        let until = Instant::now() + within;
        let Some(port) = &mut self.port else { return self.ready(until).await };
        let start = Instant::now();
        let answer = timeout_at(until, self.session.idle(port)).await.ok();
        // Who was not asked has not answered.
        if matches!(answer, Some(Ok(false))) {
            return Ok(());
        }
        self.settle(answer, IDLE, (start, within)).map(drop)
    }

    /// Notes how an exchange ended: an answer that is missing or was not understood makes the port useless.
    fn settle<T>(
        &mut self,
        answer: Option<Result<T, Error>>,
        verb: &'static str,
        (start, within): (Instant, Duration),
    ) -> Result<T, Error> {
        let answer = answer.unwrap_or_else(|| Err(self.unanswered(self.port.as_ref(), within)));
        if let Err(error) = &answer {
            self.watch.failed(error);
        }
        match &answer {
            Ok(_) => self.watch.answered(verb, start.elapsed()),
            Err(error) if error.breaks_link() => {
                self.port = None;
                self.stale = true;
                self.watch.state(LinkState::Dirty);
            }
            Err(_) => {}
        }
        answer
    }

    /// Makes sure that there is an open and greeted port, within the deadline.
    async fn ready(&mut self, until: Instant) -> Result<(), Error> {
        // As it was asked, but for what has passed since.
        let within = until.saturating_duration_since(Instant::now()).as_secs_f64();
        let within = Duration::from_secs_f64((100.0 * within).round() / 100.0);
        let mut failure = None;
        while self.port.is_none() {
            tokio::time::sleep_until(self.next_attempt.min(until)).await;
            if until <= Instant::now() {
                return Err(failure.unwrap_or_else(|| self.timeout("opening", within)));
            }
            let longest = self.open_within + self.session.silence();
            self.greeted = None;
            let opened = timeout_at(until.min(Instant::now() + longest), self.open()).await;
            match opened.unwrap_or_else(|_| Err(self.timeout("answer", within))) {
                Ok(port) => {
                    self.port = Some(port);
                    self.failures = 0;
                    self.stale = false;
                    self.verified = Instant::now();
                    self.openings += 1;
                    self.watch.opened();
                }
                Err(error) => {
                    self.watch.failed(&error);
                    self.back_off();
                    if !error.is_retryable() {
                        return Err(error);
                    }
                    // What was missing within one attempt will have been missing within all of them.
                    let is_silent = matches!(error, Error::Timeout { .. });
                    let error = if is_silent { self.unanswered(self.greeted.as_ref(), within) } else { error };
                    failure = Some(match (error, failure) {
                        (Error::Timeout { .. }, Some(known @ Error::Unfinished { .. })) => known,
                        (Error::Timeout { .. }, _) => self.opener.mute(within, self.session.advise(&[])),
                        (error, _) => error,
                    });
                }
            }
        }
        Ok(())
    }

    /// One attempt.
    async fn open(&mut self) -> Result<Port, Error> {
        let patience = self.patience();
        self.watch.opening(patience);
        let port = self.opener.open(patience.max(LONGEST_PATIENCE)).await?;
        let opening = Opening { count: self.openings, stale: self.stale && self.opener.is_line() };
        // Whether it fails or is given up, an answer may be on its way then.
        self.stale = true;
        let port = self.greeted.insert(port);
        port.be_patient(Some(patience));
        self.session.greet(port, opening).await?;
        self.usual = Some(port.longest_silence());
        port.be_patient(None);
        self.greeted.take().ok_or_else(|| self.timeout("opening", patience))
    }

    /// How long the instrument may be silent in the next attempt.
    fn patience(&self) -> Duration {
        let (first, most) = match self.usual {
            None => (self.open_within / FIRST_PART, self.open_within),
            Some(usual) => {
                let usual = PATIENCE_FACTOR * usual;
                (usual.max(LEAST_PATIENCE), usual.max(LONGEST_PATIENCE))
            }
        };
        self.session.silence() + first.saturating_mul(2_u32.saturating_pow(self.failures)).min(most)
    }

    /// Waits longer before the next attempt.
    fn back_off(&mut self) {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        self.failures += 1;
        self.next_attempt = Instant::now() + pause.mul_f64(0.75 + 0.5 * self.random.fraction());
        self.watch.state(LinkState::Backoff);
    }

    /// The deadline has passed before an answer on `port` was whole.
    fn unanswered(&self, port: Option<&Port>, within: Duration) -> Error {
        let heard = port.map(Port::heard).unwrap_or_default();
        if heard.is_empty() {
            return self.timeout("answer", within);
        }
        Error::Unfinished {
            instrument: self.opener.instrument.clone(),
            seconds: within.as_secs_f32(),
            heard: heard.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect(),
            advice: self.session.advise(heard),
        }
    }

    /// The deadline has passed.
    fn timeout(&self, what: &'static str, within: Duration) -> Error {
        Error::Timeout { instrument: self.opener.instrument.clone(), what, seconds: within.as_secs_f32() }
    }
}
