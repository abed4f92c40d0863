//! One session with a pnnlink instrument over an open stream of bytes.
//!
//! Reading and writing go on at once: an instrument that cannot get rid of its answers takes no more requests, and a
//! controller that only wrote would wait for it for ever.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout_at};

use super::description::Description;
use super::frame::{DELIMITER, Deframer, MAX_BODY, OVERHEAD, Way};
use super::message::{Reason, Reply, Request, SCHEMA, StatusMessage, VERSION, Welcome};
use super::transfer::{Nonsense, Shape, Transfer};
use crate::Stream;

/// Why a request got no proper answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The stream ended.
    Closed,
    /// Nothing came in time.
    Silent,
    /// The instrument says no.
    Refused(Reason),
    /// The answer makes no sense, and in what way.
    Nonsense(&'static str),
}

impl From<Nonsense> for Failure {
    fn from(_: Nonsense) -> Self {
        Self::Nonsense("answers shots that were never sent")
    }
}

/// Bytes of a message of shots besides its values: variant, number of the first (10 at most), batch or acquisition (5 at
/// most), quality, length (3 at most).
const SHOTS_OVERHEAD: usize = 20;
/// Bounds of the patience with an answer before the request is repeated.
const PATIENCE: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];
/// What the time between answers to shots is taken for before any was measured.
const PATIENT: Duration = Duration::from_millis(100);
/// An answer may take this many times as long as answers usually take.
const PATIENCE_FACTOR: u32 = 4;

/// The watchdog times that guard a bench, in ms: those that a rig file may ask for.
const WATCHDOG_MS: std::ops::RangeInclusive<u32> = 20..=60_000;
/// The longest time that settling, a request or a shot may take, in s.
const LONGEST_TIME: f32 = 3600.0;

/// The stream, and what is under way on it.
struct Wire {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    outbox: Vec<u8>,
    deframer: Deframer,
    inbox: std::collections::VecDeque<(u32, Reply)>,
    bad_frames: u64,
}

impl Wire {
    fn new(stream: Box<dyn Stream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            // The first delimiter ends whatever half a frame an earlier controller left on the wire.
            outbox: vec![DELIMITER],
            deframer: Deframer::new(Way::Reply),
            inbox: std::collections::VecDeque::new(),
            bad_frames: 0,
        }
    }

    /// Waits until something was written or read, or for `until`; whether anything happened.
    async fn turn(&mut self, session: u32, until: Instant) -> Result<bool, Failure> {
        let mut buffer = [0; 4096];
        let has_more = !self.outbox.is_empty();
        let step = async {
            tokio::select! {
                read = self.reader.read(&mut buffer) => read.map(|count| (Some(count), 0)),
                written = self.writer.write(&self.outbox), if has_more => written.map(|count| (None, count)),
            }
        };
        match timeout_at(until, step).await {
            Err(_) => Ok(false),
            Ok(Err(_) | Ok((Some(0), _))) => Err(Failure::Closed),
            Ok(Ok((None, written))) => {
                self.outbox.drain(..written);
                Ok(true)
            }
            Ok(Ok((Some(count), _))) => {
                let (inbox, bad) = (&mut self.inbox, &mut self.bad_frames);
                self.deframer.push(&buffer[..count], |frame| {
                    match frame.map(|frame| (frame.session, frame.id, Reply::decode(frame.message))) {
                        // What another session was answered is not for us.
                        Ok((number, id, Some(reply))) if number == session => inbox.push_back((id, reply)),
                        Ok((number, ..)) if number != session => {}
                        _ => *bad += 1,
                    }
                });
                Ok(true)
            }
        }
    }
}

/// An open session.
pub struct Session {
    wire: Wire,
    number: u32,
    last_id: u32,
    /// How long an answer to a control request usually takes.
    usual: Duration,
    /// How long it usually takes from one answer to shots to the next: on a slow line much longer.
    usual_shots: Duration,
    epoch: Instant,
    next_shot: u64,
    acquisition: Option<u32>,
    shape: Shape,
    welcome: Welcome,
    description: Description,
}

impl Session {
    /// Opens session `number` over `stream`, in place of an earlier one that was ours, or 0.
    pub async fn open(
        stream: Box<dyn Stream>,
        [number, replaces]: [u32; 2],
        watchdog: Duration,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let end = Instant::now() + limit;
        let mut asking = Asking { wire: Wire::new(stream), number, last_id: 0, usual: PATIENCE[0] };
        let watchdog_ms = watchdog.as_millis().try_into().unwrap_or(u32::MAX);
        let hello = Request::Hello { version: VERSION, schema: SCHEMA, watchdog_ms, replaces };
        let welcome = match asking.ask(&hello, Duration::ZERO, end).await? {
            Reply::Welcome(welcome) if welcome.version == VERSION && welcome.schema == SCHEMA => welcome,
            Reply::Welcome(_) => return Err(Failure::Refused(Reason::Version)),
            _ => return Err(Failure::Nonsense("does not welcome a hello")),
        };
        if let Some(wrong) = senseless(&welcome) {
            return Err(Failure::Nonsense(wrong));
        }
        let mut banks = Vec::new();
        for bank in 0..welcome.banks {
            match asking.ask(&Request::Describe { bank }, Duration::ZERO, end).await? {
                Reply::Bank(message) if message.bank == bank => banks.push(message),
                _ => return Err(Failure::Nonsense("does not describe its banks")),
            }
        }
        let description = Description::new(&welcome, &banks)
            .ok_or(Failure::Nonsense("describes banks without ports, range or scale"))?;
        let shape = shape(&welcome, &description)
            .ok_or(Failure::Nonsense("has no inputs or outputs, or cannot take one shot in a frame"))?;
        let Asking { wire, number, last_id, usual } = asking;
        Ok(Self {
            wire,
            number,
            last_id,
            usual,
            usual_shots: PATIENT,
            epoch: Instant::now(),
            next_shot: 0,
            acquisition: None,
            shape,
            welcome,
            description,
        })
    }

    /// The session's number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The instrument as it has described itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What the instrument said at the beginning.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// After how long without a word the instrument makes itself safe.
    pub fn watchdog(&self) -> Duration {
        Duration::from_millis(self.welcome.watchdog_ms.into())
    }

    /// Frames that could not be understood.
    pub fn bad_frames(&self) -> u64 {
        self.wire.bad_frames
    }

    /// Sets the controls, coded, and returns those really applied.
    pub async fn apply(&mut self, controls: &[u8], limit: Duration) -> Result<Vec<u8>, Failure> {
        let end = Instant::now() + limit;
        let room = usize::from(self.welcome.max_body).min(MAX_BODY).saturating_sub(OVERHEAD + SHOTS_OVERHEAD);
        let layout = self.description.controls.clone();
        let settle = Duration::try_from_secs_f64(self.description.card.timing.settle).unwrap_or_default();
        let mut pieces = Vec::new();
        let mut first = 0;
        while first < layout.count() {
            let (count, bytes) = layout.span(first, room);
            if count == 0 {
                return Err(Failure::Nonsense("cannot take one control in a frame"));
            }
            pieces.push((first as u16, count as u16, bytes));
            first += count;
        }
        for (first, _, bytes) in &pieces {
            let request = Request::Stage { first: *first, values: controls[bytes.clone()].to_vec() };
            match self.ask(&request, Duration::ZERO, end).await? {
                Reply::Staged { first: staged } if staged == *first => {}
                _ => return Err(Failure::Nonsense("does not say that controls are staged")),
            }
        }
        match self.ask(&Request::Apply, settle, end).await? {
            Reply::Applied => {}
            _ => return Err(Failure::Nonsense("does not say that controls are applied")),
        }
        let mut applied = Vec::with_capacity(controls.len());
        for (first, count, bytes) in pieces {
            match self.ask(&Request::Readback { first, count }, Duration::ZERO, end).await? {
                Reply::Controls { first: read, values } if read == first && values.len() == bytes.len() => {
                    applied.extend(values);
                }
                _ => return Err(Failure::Nonsense("does not read its controls back")),
            }
        }
        Ok(applied)
    }

    /// Drives shots, coded, and puts their coded readings into `readings`: none for a shot whose reading is void.
    ///
    /// Fails when no answer has come for `limit`; what was read until then is in `readings`, and what was sent is counted.
    pub async fn shoot(
        &mut self,
        inputs: &[u8],
        limit: Duration,
        readings: &mut [Option<Vec<u8>>],
    ) -> (super::transfer::Counts, Result<(), Failure>) {
        let mut transfer = Transfer::new(inputs, self.shape, self.next_shot, self.acquisition);
        let outcome = self.drive(&mut transfer, limit).await;
        self.next_shot = transfer.following();
        self.acquisition = transfer.acquisition();
        for (reading, read) in readings.iter_mut().zip(transfer.readings()) {
            *reading = read.map(<[u8]>::to_vec);
        }
        (transfer.counts(), outcome)
    }

    /// Asks how the instrument is; it keeps the watchdog quiet.
    pub async fn ping(&mut self, limit: Duration) -> Result<StatusMessage, Failure> {
        match self.ask(&Request::Ping, Duration::ZERO, Instant::now() + limit).await? {
            Reply::Status(status) => Ok(status),
            _ => Err(Failure::Nonsense("does not say how it is")),
        }
    }

    /// Makes the instrument safe; `bye` ends the session too.
    pub async fn make_safe(&mut self, bye: bool, limit: Duration) -> Result<(), Failure> {
        let request = if bye { Request::Bye } else { Request::MakeSafe };
        match self.ask(&request, Duration::ZERO, Instant::now() + limit).await? {
            Reply::Safe => Ok(()),
            _ => Err(Failure::Nonsense("does not say that it is safe")),
        }
    }

    /// Sends and receives until every shot has an answer.
    async fn drive(&mut self, transfer: &mut Transfer<'_>, limit: Duration) -> Result<(), Failure> {
        let shots = self.shape.per_request as f64 * self.description.card.timing.shot;
        let bench = Duration::try_from_secs_f64(shots + self.description.card.timing.latency).unwrap_or_default();
        let mut last = self.epoch.elapsed();
        transfer.start(last, (self.usual_shots * PATIENCE_FACTOR + bench).max(PATIENCE[0]));
        while !transfer.is_done() {
            let now = self.epoch.elapsed();
            if transfer.answered() != last {
                self.usual_shots = average(self.usual_shots, transfer.answered().saturating_sub(last));
                last = transfer.answered();
            }
            if self.wire.outbox.len() < MAX_BODY
                && let Some(request) = transfer.next(now)
            {
                let id = next(&mut self.last_id);
                request.encode(self.number, id, &mut self.wire.outbox);
                continue;
            }
            self.wire.turn(self.number, self.epoch + transfer.wakes()).await?;
            if limit < now.saturating_sub(transfer.answered()) {
                return Err(Failure::Silent);
            }
            let now = self.epoch.elapsed();
            while let Some((_, reply)) = self.wire.inbox.pop_front() {
                match reply {
                    Reply::Results { first, acquisition, quality, values } => {
                        transfer.results(now, first, acquisition, (quality != 0, &values))?;
                    }
                    Reply::Refused { reason: Reason::OutOfOrder, expected } => transfer.out_of_order(now, expected)?,
                    Reply::Refused { reason, .. } => return Err(Failure::Refused(reason)),
                    // A late answer to a control request that was repeated.
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// One request and its answer, which may take `extra` longer than usual.
    async fn ask(&mut self, request: &Request, extra: Duration, end: Instant) -> Result<Reply, Failure> {
        ask(&mut self.wire, [self.number, next(&mut self.last_id)], (request, extra, end), &mut self.usual).await
    }
}

/// Makes the instrument at the other end safe from outside its session.
pub async fn make_safe_beside(stream: Box<dyn Stream>, limit: Duration) -> Result<(), Failure> {
    let mut asking = Asking { wire: Wire::new(stream), number: 0, last_id: 0, usual: PATIENCE[0] };
    match asking.ask(&Request::MakeSafe, Duration::ZERO, Instant::now() + limit).await? {
        Reply::Safe => Ok(()),
        _ => Err(Failure::Nonsense("does not say that it is safe")),
    }
}

/// Looks from outside, for `time`, whether the instrument stays without a session: only in one can outputs be switched on.
pub async fn stays_safe_beside(stream: Box<dyn Stream>, limit: Duration, time: Duration) -> Result<bool, Failure> {
    let mut asking = Asking { wire: Wire::new(stream), number: 0, last_id: 0, usual: PATIENCE[0] };
    let end = Instant::now() + time;
    loop {
        match asking.ask(&Request::Ping, Duration::ZERO, Instant::now() + limit).await {
            Err(Failure::Refused(Reason::Busy)) => return Ok(false),
            Ok(_) | Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure),
        }
        if end <= Instant::now() {
            return Ok(true);
        }
        tokio::time::sleep(PATIENCE[0]).await;
    }
}

/// A session before it knows its instrument.
struct Asking {
    wire: Wire,
    number: u32,
    last_id: u32,
    usual: Duration,
}

impl Asking {
    async fn ask(&mut self, request: &Request, extra: Duration, end: Instant) -> Result<Reply, Failure> {
        ask(&mut self.wire, [self.number, next(&mut self.last_id)], (request, extra, end), &mut self.usual).await
    }
}

/// The identifier of a new request.
fn next(last: &mut u32) -> u32 {
    *last = last.wrapping_add(1);
    *last
}

/// Sends a request, again and again with the same identifier, until its answer comes or the time is over.
async fn ask(
    wire: &mut Wire,
    [session, id]: [u32; 2],
    (request, extra, end): (&Request, Duration, Instant),
    usual: &mut Duration,
) -> Result<Reply, Failure> {
    let mut patience = (*usual * PATIENCE_FACTOR).clamp(PATIENCE[0], PATIENCE[1]) + extra;
    let mut is_first = true;
    loop {
        let sent = Instant::now();
        request.encode(session, id, &mut wire.outbox);
        let until = end.min(sent + patience);
        loop {
            while let Some((answered, reply)) = wire.inbox.pop_front() {
                match reply {
                    Reply::Refused { reason, .. } if answered == id => return Err(Failure::Refused(reason)),
                    reply if answered == id => {
                        if is_first {
                            *usual = average(*usual, sent.elapsed().saturating_sub(extra));
                        }
                        return Ok(reply);
                    }
                    // A late answer to an earlier request.
                    _ => {}
                }
            }
            // Garbage that never ends is no answer either.
            if !wire.turn(session, until).await? || until <= Instant::now() {
                break;
            }
        }
        if end <= Instant::now() {
            return Err(Failure::Silent);
        }
        is_first = false;
        patience = (patience * 2).min(PATIENCE[1] + extra);
    }
}

/// An average that forgets: one eighth is new, as TCP does it (RFC 6298).
fn average(usual: Duration, new: Duration) -> Duration {
    (usual * 7 + new) / 8
}

/// What an instrument says of its times that no bench can be planned and guarded with.
fn senseless(welcome: &Welcome) -> Option<&'static str> {
    let times = [welcome.settle_seconds, welcome.latency_seconds, welcome.shot_seconds];
    if !times.iter().all(|time| (0.0..=LONGEST_TIME).contains(time)) {
        return Some("does not say that settling, a request and a shot take from 0 s to an hour each");
    }
    (!WATCHDOG_MS.contains(&welcome.watchdog_ms)).then_some("does not keep a watchdog time from 20 ms to 60 s")
}

/// How shots travel to this instrument: a quarter of its window in a frame, or as many as fit.
fn shape(welcome: &Welcome, description: &Description) -> Option<Shape> {
    let (input_bytes, output_bytes) = (description.inputs.bytes(), description.outputs.bytes());
    let window = usize::from(welcome.window);
    let room = usize::from(welcome.max_body).min(MAX_BODY).checked_sub(OVERHEAD + SHOTS_OVERHEAD)?;
    let fitting = room.checked_div(input_bytes.max(output_bytes))?;
    let per_request = fitting.min((window / 4).max(1)).min(window);
    (0 < per_request && input_bytes != 0 && output_bytes != 0).then_some(Shape {
        input_bytes,
        output_bytes,
        per_request,
        window,
    })
}
