//! The owner of a pnnlink wire: what to do when a session fails.

mod controls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::description::Description;
use super::failure::{explain, may_pass};
use super::message::Reason;
use super::options::{Options, seconds};
use super::ours::Ours;
use super::report::Report;
use super::session::{Failure, Session};
use super::wires::Wires;
use crate::split_mix::SplitMix;
use crate::{Allowance, Batch, Card, Error, ErrorKind, LinkState, LinkWatch, Origin};

/// The first pause before an instrument that is gone is opened again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause: with an attempt on top, an instrument that is back is found within a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How long one attempt to open may take.
const OPENING: Duration = Duration::from_secs(2);
/// After how long without any answer a session is given up and opened anew.
const SILENCE: Duration = Duration::from_millis(750);
/// Opening again may take this many times as long as the last opening, but never less than this; each further attempt twice as long.
const PATIENCE_FACTOR: u32 = 8;
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

/// What is asked while nobody asks.
const IDLE: &str = "idle";

/// The owner of one wire.
pub(super) struct Owner {
    wires: Wires,
    options: Options,
    report: Arc<Mutex<Report>>,
    watch: LinkWatch,
    description: Description,
    session: Option<Session>,
    ours: Ours,
    /// After how long without a word the instrument makes itself safe: as it says, not as it was asked.
    watchdog: Duration,
    /// The last session's boot and firmware.
    last: (u32, String),
    /// The controls while the instrument is to be armed.
    controls: Option<Set>,
    /// Whether a session was opened anew since controls were set: they are at their safe state.
    has_fallen: bool,
    /// Bad frames of sessions that are closed.
    bad_frames: u64,
    random: SplitMix,
    pause: Duration,
    /// How long the next attempt to open it again may take.
    patience: Duration,
    is_stopped: bool,
    /// Where shots that are driven again are counted.
    pub allowance: Allowance,
}

/// Controls that somebody has set.
#[derive(Debug, Clone)]
struct Set {
    /// As they were asked for.
    asked: Vec<f32>,
    /// As the instrument applied them, coded.
    applied: Vec<u8>,
}

impl Owner {
    /// Opens the instrument for the first time.
    pub async fn open(
        wires: Wires,
        options: Options,
        (report, watch): (Arc<Mutex<Report>>, LinkWatch),
    ) -> Result<Self, Error> {
        watch.opening(OPENING);
        let mut random = SplitMix(options.seed);
        let end = Instant::now() + options.deadline;
        let mut was_there = false;
        let mut ours = Ours::default();
        let (session, patience) = loop {
            let start = Instant::now();
            let number = (random.draw() >> 32) as u32 | 1;
            let replaces = ours.likeliest(start, options.watchdog + OPENING);
            let failure = match timeout(options.deadline, wires.dial()).await {
                Err(_) => Failure::Silent,
                // A cable that is being pulled and plugged in again; where nobody ever was, the address is wrong.
                Ok(Err(_)) if was_there => Failure::Closed,
                Ok(stream) => {
                    let stream = stream?;
                    was_there = true;
                    let limit = OPENING.min(end.saturating_duration_since(Instant::now()));
                    match Session::open(stream, [number, replaces], options.watchdog, limit).await {
                        Ok(session) => break (session, patience(start.elapsed())),
                        Err(failure) => {
                            note(&mut ours, number, failure);
                            failure
                        }
                    }
                }
            };
            if let Some(error) = wires.trouble() {
                return Err(error);
            }
            // What was stopped before is started now. Only one that comes back is refused, and that is what our second attempt looks like.
            let looks_back = failure == Failure::Refused(Reason::Stopped) && replaces != 0;
            if looks_back {
                ours.clear();
            }
            // The controller before us may have died a moment ago: its session lasts for its watchdog time. A board that
            // starts anew when its port is opened hangs up once.
            if !(looks_back || may_pass(failure)) || end <= Instant::now() + LONGEST_PAUSE / 2 {
                return Err(match failure {
                    Failure::Silent => wires.mute(options.deadline),
                    Failure::Closed => wires.unreachable("it takes connections and closes them again"),
                    other => explain(wires.instrument(), "opening", other, options.deadline),
                });
            }
            sleep(LONGEST_PAUSE / 4).await;
        };
        let description = session.description().clone();
        lock(&report).is_connected = true;
        watch.opened();
        let last = (session.welcome().boot, session.welcome().firmware.clone());
        let watchdog = session.watchdog();
        Ok(Self {
            wires,
            options,
            report,
            watch,
            description,
            session: Some(session),
            ours: Ours::default(),
            watchdog,
            last,
            controls: None,
            has_fallen: false,
            bad_frames: 0,
            random,
            pause: FIRST_PAUSE,
            patience,
            is_stopped: false,
            allowance: Allowance::default(),
        })
    }

    /// The instrument's card.
    pub fn card(&self) -> Card {
        let mut card = self.description.card.clone();
        if self.wires.is_replay() {
            card.identity.origin = Origin::Replayed;
        }
        card
    }

    /// So many shots may be on their way before a reading is seen.
    pub fn window(&self) -> usize {
        self.session.as_ref().map_or(1, |session| session.welcome().window.into())
    }

    /// How often the instrument must hear something: four times in its watchdog time, whether it keeps the one that was asked for or a shorter one.
    pub fn heartbeat(&self) -> Duration {
        self.options.watchdog.min(self.watchdog) / 4
    }

    /// Drives shots and returns their readings; void ones are driven again.
    pub async fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let mut readings: Vec<Option<Vec<u8>>> = vec![None; inputs.rows()];
        let mut end = Instant::now() + self.options.deadline;
        let mut attempts = vec![0; inputs.rows()];
        loop {
            let rows: Vec<usize> = (0..inputs.rows()).filter(|&row| readings[row].is_none()).collect();
            if rows.is_empty() {
                break;
            }
            let mut coded = Vec::new();
            for &row in &rows {
                self.description.inputs.encode(inputs.row(row), &mut coded);
            }
            let mut read = vec![None; rows.len()];
            let limit = SILENCE + seconds(self.description.card.timing.batch(1));
            if self.watch.disturbed().is_some() {
                // A conformance check wants to see it come back.
                self.lose();
            }
            // The way back may be long; it is no wait without progress.
            end += self.arm(end).await?;
            let start = Instant::now();
            let (counts, outcome) = self.connected(end, "measuring").await?.shoot(&coded, limit, &mut read).await;
            let mut bad = 0;
            for (&row, reading) in rows.iter().zip(read) {
                // A reading that is no number is void as well. That one counts whatever becomes of the session: it is the instrument's.
                let is_read = reading.is_some();
                readings[row] = reading.filter(|bytes| self.is_finite(bytes));
                let is_void = readings[row].is_none();
                bad += u64::from(is_void);
                attempts[row] += u32::from(is_void && (is_read || outcome.is_ok()));
                if !is_void {
                    end = Instant::now() + self.options.deadline;
                }
            }
            let given_up = rows.iter().find(|&&row| readings[row].is_none() && self.options.attempts <= attempts[row]);
            let given_up = given_up.map(|&row| self.rejected(row, attempts[row]));
            match outcome {
                Ok(()) => {
                    self.watch.answered("measure", start.elapsed());
                    self.watch.rejections().add("void", bad as usize);
                    let mut report = lock(&self.report);
                    report.resent += counts.resent;
                    report.repeated += counts.repeated;
                    report.void += bad;
                    drop(report);
                    self.count_bad_frames();
                }
                Err(failure) => self.mend(failure, end, "measuring")?,
            }
            if let Some(error) = given_up {
                return Err(error);
            }
            self.drive_again(inputs, &readings, &rows[..counts.sent])?;
        }
        self.collect(&readings)
    }

    /// Makes the instrument safe, whatever the state of the session.
    pub async fn make_safe(&mut self) -> Result<(), Error> {
        self.controls = None;
        let end = Instant::now() + self.options.safe_deadline;
        loop {
            let limit = SILENCE.min(end.saturating_duration_since(Instant::now()));
            let session = self.connected(end, "making safe").await?;
            let start = Instant::now();
            match session.make_safe(false, limit).await {
                Ok(()) => {
                    self.watch.answered("safe", start.elapsed());
                    return Ok(());
                }
                // It has been made safe by somebody else already.
                Err(Failure::Refused(Reason::Stopped)) => {
                    self.is_stopped = true;
                    return Ok(());
                }
                Err(failure) => self.mend(failure, end, "making safe")?,
            }
        }
    }

    /// Keeps the watchdog quiet, or tries once to get the instrument back.
    pub async fn beat(&mut self) {
        // A recording has no watchdog, and does not come back by itself.
        if self.is_stopped || self.wires.is_replay() || self.watch.is_silent() {
            return;
        }
        let limit = 2 * self.heartbeat();
        let start = Instant::now();
        let outcome = match &mut self.session {
            Some(session) => session.ping(limit).await.map(Some),
            None => self.reopen(limit.max(SILENCE)).await.map(|()| None),
        };
        match outcome {
            Ok(status) => {
                self.count_bad_frames();
                if let Some(status) = status {
                    self.watch.answered(IDLE, start.elapsed());
                    self.watch.watchdog(self.watchdog, status.watchdog_trips);
                    lock(&self.report).watchdog_trips = status.watchdog_trips.into();
                }
            }
            Err(Failure::Refused(Reason::Stopped)) => self.is_stopped = true,
            Err(failure) => {
                self.watch.failed(&self.explain("answering", failure));
                self.lose();
                self.wait_longer();
            }
        }
    }

    /// Makes the instrument safe and says goodbye.
    pub async fn close(&mut self) {
        if let Some(session) = &mut self.session {
            // An instrument that does not hear it makes itself safe by its watchdog.
            let _ = session.make_safe(true, self.options.safe_deadline / 2).await;
        }
    }

    /// The open session, opened again if need be.
    async fn connected(&mut self, end: Instant, verb: &'static str) -> Result<&mut Session, Error> {
        while self.session.is_none() || self.is_stopped {
            if self.is_stopped {
                return Err(self.explain(verb, Failure::Refused(Reason::Stopped)));
            }
            let limit = OPENING.min(end.saturating_duration_since(Instant::now()));
            if let Err(failure) = self.reopen(limit).await {
                self.mend(failure, end, verb)?;
                self.wait_longer();
                let jitter = self.random.fraction();
                let pause = self.pause.mul_f64(0.5 + 0.5 * jitter);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
            }
        }
        let instrument = self.wires.instrument();
        self.session.as_mut().ok_or_else(|| explain(instrument, verb, Failure::Closed, self.options.deadline))
    }

    /// The next attempt to open it may take twice as long as this one.
    fn wait_longer(&mut self) {
        self.patience = (2 * self.patience).min(SILENCE).max(self.patience);
    }

    /// Opens a session in place of the lost one. The instrument is at its safe state then, and stays there.
    async fn reopen(&mut self, limit: Duration) -> Result<(), Failure> {
        let (start, limit) = (Instant::now(), limit.min(self.patience));
        let number = (self.random.draw() >> 32) as u32 | 1;
        self.watch.opening(limit);
        let stream = match timeout(limit, self.wires.dial()).await {
            Err(_) => return Err(Failure::Silent),
            Ok(Err(_)) => return Err(Failure::Closed),
            Ok(Ok(stream)) => stream,
        };
        let replaces = self.ours.likeliest(Instant::now(), self.watchdog + OPENING);
        let session = Session::open(stream, [number, replaces], self.options.watchdog, limit).await;
        // Where it is given up below, the instrument has it all the same.
        note(&mut self.ours, number, session.as_ref().err().copied().unwrap_or(Failure::Closed));
        let session = session?;
        let (known, found) = (&self.description, session.description());
        if known.card.identity != found.card.identity || known.card.ports != found.card.ports {
            return Err(Failure::Nonsense("is another instrument than before, or has other ports"));
        }
        if known != found {
            self.description = found.clone();
        }
        // Nothing is set: whoever drives next walks there (`controls.rs`).
        self.has_fallen = true;
        let (boot, firmware) = (session.welcome().boot, session.welcome().firmware.clone());
        let mut report = lock(&self.report);
        report.is_connected = true;
        report.reconnections += 1;
        report.power_cycles += u64::from(boot != self.last.0);
        report.firmware_changes += u64::from(firmware != self.last.1);
        drop(report);
        self.last = (boot, firmware);
        self.watchdog = session.watchdog();
        self.ours.clear();
        self.session = Some(session);
        self.watch.opened();
        self.pause = FIRST_PAUSE;
        self.patience = patience(start.elapsed());
        Ok(())
    }

    /// Gives the session up, or the call, if trying again cannot help or the time is over.
    fn mend(&mut self, failure: Failure, end: Instant, verb: &'static str) -> Result<(), Error> {
        self.is_stopped |= failure == Failure::Refused(Reason::Stopped);
        self.watch.failed(&self.explain(verb, failure));
        self.lose();
        if let Some(error) = self.wires.trouble() {
            return Err(error);
        }
        if !may_pass(failure) || end <= Instant::now() {
            return Err(self.explain(verb, failure));
        }
        Ok(())
    }

    /// Forgets a session that can no longer be trusted.
    fn lose(&mut self) {
        if let Some(session) = self.session.take() {
            self.ours.lost(session.number(), Instant::now());
            self.bad_frames += session.bad_frames();
        }
        self.count_bad_frames();
        self.watch.state(LinkState::Backoff);
        lock(&self.report).is_connected = false;
    }

    /// Reports the frames that could not be understood, those of the open session as well.
    fn count_bad_frames(&mut self) {
        let all = self.bad_frames + self.session.as_ref().map_or(0, Session::bad_frames);
        let before = std::mem::replace(&mut lock(&self.report).bad_frames, all);
        self.watch.failed_by(ErrorKind::Framing, all.saturating_sub(before));
    }

    /// Counts those of `rows` that have been sent, and are driven again because they have no reading.
    fn drive_again(&self, inputs: &Batch, readings: &[Option<Vec<u8>>], rows: &[usize]) -> Result<(), Error> {
        let again: Vec<&[f32]> =
            rows.iter().filter(|&&row| readings[row].is_none()).map(|&row| inputs.row(row)).collect();
        if again.is_empty() { Ok(()) } else { self.allowance.spend_rows(again) }
    }

    /// All readings in their places, as values.
    fn collect(&self, readings: &[Option<Vec<u8>>]) -> Result<Batch, Error> {
        let outputs = &self.description.outputs;
        let mut values = Vec::with_capacity(readings.len() * outputs.count());
        for reading in readings.iter().flatten() {
            values
                .extend(outputs.decode(reading).ok_or_else(|| self.misunderstood("sends readings of another width"))?);
        }
        Batch::new(outputs.count(), values)
    }

    /// Whether all of a reading is numbers.
    fn is_finite(&self, reading: &[u8]) -> bool {
        self.description.outputs.decode(reading).is_some_and(|values| values.iter().all(|value| value.is_finite()))
    }

    fn rejected(&self, row: usize, attempts: u32) -> Error {
        let message = format!(
            "nothing usable for shot {row} of the batch, driven {attempts} times: look for overruns and stale frames"
        );
        Error::Rejected { instrument: self.wires.instrument().to_owned(), message }
    }

    fn misunderstood(&self, what: &'static str) -> Error {
        self.explain("answering", Failure::Nonsense(what))
    }

    fn explain(&self, verb: &'static str, failure: Failure) -> Error {
        explain(self.wires.instrument(), verb, failure, self.options.deadline)
    }
}

/// Notes how far an attempt to open session `number` may have come.
fn note(ours: &mut Ours, number: u32, failure: Failure) {
    match failure {
        Failure::Refused(Reason::Busy) => ours.missed(),
        _ => ours.lost(number, Instant::now()),
    }
}

/// How long opening it again may take, after it has taken so long.
fn patience(took: Duration) -> Duration {
    // A board that is slow to start gets twice its time, however long.
    (PATIENCE_FACTOR * took).min(SILENCE.max(2 * took)).clamp(LEAST_PATIENCE, OPENING)
}

/// Makes an instrument safe from outside its session.
pub(super) async fn make_safe_beside(wires: &Wires, limit: Duration) -> Result<(), Error> {
    let outcome = timeout(limit, async {
        let stream = wires.dial().await?;
        let made = super::session::make_safe_beside(stream, limit).await;
        made.map_err(|failure| explain(wires.instrument(), "making safe", failure, limit))
    });
    outcome.await.unwrap_or_else(|_| Err(explain(wires.instrument(), "making safe", Failure::Silent, limit)))
}

/// Looks from outside for `time` whether an instrument stays without a session.
pub(super) async fn stays_safe_beside(wires: &Wires, limit: Duration, time: Duration) -> Result<bool, Error> {
    let outcome = timeout(limit + time, async {
        let stream = wires.dial().await?;
        let looked = super::session::stays_safe_beside(stream, limit, time).await;
        looked.map_err(|failure| explain(wires.instrument(), "answering", failure, limit))
    });
    outcome.await.unwrap_or_else(|_| Err(explain(wires.instrument(), "answering", Failure::Silent, limit)))
}

fn lock(report: &Mutex<Report>) -> std::sync::MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}
