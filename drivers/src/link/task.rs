//! The task that owns an instrument's port and keeps its state.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{Disturbance, LinkOptions, LinkState, LinkWatch, Opening, Session};
use crate::port::Opener;
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
/// What is asked while nobody asks.
const IDLE: &str = "idle";

/// What the task is asked.
pub(super) enum Job<S: Session> {
    /// Be ready.
    Open { within: Duration, reply: oneshot::Sender<Result<(), Error>> },
    /// Exchange a request until then, which was so long away when it was asked.
    Ask { request: S::Request, within: Duration, until: Instant, reply: oneshot::Sender<Result<S::Reply, Error>> },
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
    /// How often the port was opened.
    openings: u64,
    /// Whether an answer may still be on its way.
    stale: bool,
    /// Attempts to open it that have failed since the last success.
    failures: u32,
    next_attempt: Instant,
    /// The longest silence in the last greeting that succeeded.
    usual: Option<Duration>,
    /// State of the jitter's generator.
    random: u64,
}

impl<S: Session> Task<S> {
    pub(super) fn new(session: S, opener: Opener, options: &LinkOptions, watch: LinkWatch) -> Self {
        Self {
            session,
            opener,
            open_within: options.open_within,
            watch,
            port: None,
            openings: 0,
            stale: false,
            failures: 0,
            next_attempt: Instant::now(),
            usual: None,
            random: options.seed,
        }
    }

    /// Serves until the handle is gone.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Job<S>>) {
        let mut next = inbox.recv().await;
        while let Some(job) = next.take() {
            // Who no longer waits for the answer does not get it.
            match job {
                Job::Open { within, reply } => drop(reply.send(self.ready(Instant::now() + within).await)),
                Job::Ask { request, within, until, reply } => {
                    drop(reply.send(self.ask(&request, within, until).await));
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
    async fn ask(&mut self, request: &S::Request, within: Duration, mut until: Instant) -> Result<S::Reply, Error> {
        let disturbance = self.watch.disturbed();
        if disturbance == Some(Disturbance::ClosePort) {
            self.port = None;
        }
        self.ready(until).await?;
        if disturbance == Some(Disturbance::LoseAnswer) {
            // Well in the past, because a deadline is rounded up to a millisecond: the request goes out, and that is all.
            let now = Instant::now();
            until = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        }
        let Some(port) = &mut self.port else { return Err(self.timeout("opening", within)) };
        let start = Instant::now();
        let answer = timeout_at(until, self.session.exchange(port, request)).await.ok();
        let answer = answer.filter(|_| disturbance != Some(Disturbance::LoseAnswer));
        self.settle(answer, S::verb(request), (start, within))
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
        let answer = answer.unwrap_or_else(|| Err(self.timeout("answer", within)));
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
            let opened = timeout_at(until.min(Instant::now() + longest), self.open()).await;
            match opened.unwrap_or_else(|_| Err(self.timeout("answer", within))) {
                Ok(port) => {
                    self.port = Some(port);
                    self.failures = 0;
                    self.stale = false;
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
                    failure = Some(if is_silent { self.opener.mute(within) } else { error });
                }
            }
        }
        Ok(())
    }

    /// One attempt.
    async fn open(&mut self) -> Result<Port, Error> {
        let patience = self.patience();
        self.watch.opening(patience);
        let mut port = self.opener.open(patience.max(LONGEST_PATIENCE)).await?;
        let opening = Opening { count: self.openings, stale: self.stale && self.opener.is_line() };
        // Whether it fails or is given up, an answer may be on its way then.
        self.stale = true;
        port.be_patient(Some(patience));
        self.session.greet(&mut port, opening).await?;
        self.usual = Some(port.longest_silence());
        port.be_patient(None);
        Ok(port)
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
        self.next_attempt = Instant::now() + pause.mul_f64(0.75 + 0.5 * self.fraction());
        self.watch.state(LinkState::Backoff);
    }

    /// The next number from 0 to 1, by `SplitMix64` (Steele, Lea and Flood, 2014).
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The deadline has passed.
    fn timeout(&self, what: &'static str, within: Duration) -> Error {
        Error::Timeout { instrument: self.opener.instrument.clone(), what, seconds: within.as_secs_f32() }
    }
}
