//! The firmware of a simulated pnnlink instrument, as `docs/pnnlink.md` asks for it: bytes and times in, bytes out.
//!
//! Behind it is the bench-fidelity physics of a system. It opens nothing and has no clock, so that its watchdog can be
//! tested in no time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use drivers::pnnlink::description::{Description, Layout, describe};
use drivers::pnnlink::frame::{Deframer, Way};
use drivers::pnnlink::message::{
    BankMessage, Coding, Reason, Reply, Request, SCHEMA, State, StatusMessage, VERSION, Welcome,
};
use drivers::{Batch, Direction, Range};
use sims::System;

use super::bench::{Answer, Bench};
use crate::Faults;

/// The watchdog times that it can keep, in ms.
const WATCHDOG_MS: Range = Range::new(20.0, 60_000.0);

/// How a simulated instrument is built.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    /// The longest body that it takes, in bytes.
    pub max_body: u16,
    /// How many answers it remembers.
    pub window: u16,
    /// Whether values travel as codes of 16 bits over their bank's range, or as `f32`.
    pub has_codes: bool,
    /// What tells it from another.
    pub serial: String,
}

impl Default for Build {
    fn default() -> Self {
        Self { max_body: 16_384, window: 64, has_codes: false, serial: "SIM-1".into() }
    }
}

/// The session that is open.
#[derive(Debug)]
struct Open {
    number: u32,
    watchdog: Duration,
    heard: Duration,
    /// The next shot.
    expected: u64,
    /// The answers of the last shots.
    answers: VecDeque<Answer>,
    /// The last control request and the frame that answered it.
    last: Option<(u32, Vec<u8>)>,
    /// Which staged bytes have come.
    staged: Vec<(usize, usize)>,
}

/// A simulated instrument without its wire.
#[derive(Debug)]
pub struct Firmware {
    bench: Bench,
    build: Build,
    banks: Vec<BankMessage>,
    description: Description,
    welcome: Welcome,
    booted: Duration,
    staging: Vec<u8>,
    state: State,
    trips: u32,
    session: Option<Open>,
    /// Why there is no session, for whoever asks.
    refusal: Reason,
}

impl Firmware {
    /// An instrument in front of `system`, just switched on.
    pub fn new(system: Arc<dyn System>, build: Build, faults: Faults) -> Self {
        let card = system.card().clone();
        let coding = |_: Direction, bank: &drivers::Bank| {
            if build.has_codes {
                // Code 0 is the middle of the range, ±32,767 its ends.
                let scale = bank.range.span() / 65_534.0;
                Coding::I16 { scale, offset: bank.range.low + 0.5 * bank.range.span() }
            } else {
                Coding::F32
            }
        };
        let banks = describe(&card.ports, coding);
        let welcome = Welcome {
            version: VERSION,
            schema: SCHEMA,
            boot: 1,
            uptime_ms: 0,
            watchdog_ms: 0,
            max_body: build.max_body,
            window: build.window,
            banks: banks.len() as u8,
            simulated: true,
            settle_seconds: card.timing.settle as f32,
            latency_seconds: card.timing.latency as f32,
            shot_seconds: card.timing.shot as f32,
            system: card.identity.system.clone(),
            serial: build.serial.clone(),
            firmware: "pnnlab simulated 1.0".into(),
        };
        // A system without ports cannot be built, so its description is sound.
        let description = Description::new(&welcome, &banks).unwrap_or_else(|| Description {
            card: card.clone(),
            inputs: Layout::default(),
            controls: Layout::default(),
            outputs: Layout::default(),
        });
        let staging = vec![0; description.controls.bytes()];
        let mut firmware = Self {
            bench: Bench::new(system, description.outputs.clone(), faults),
            build,
            banks,
            description,
            welcome,
            booted: Duration::ZERO,
            staging,
            state: State::Idle,
            trips: 0,
            session: None,
            refusal: Reason::NoSession,
        };
        firmware.go_safe(State::Idle);
        firmware
    }

    /// Whether its outputs are off and its controls where safety wants them.
    pub fn is_safe(&self) -> bool {
        self.state != State::Ready
    }

    /// How often the bench has been driven.
    pub fn driven(&self) -> u64 {
        self.bench.driven()
    }

    /// The largest step that a control has made at once since it was last safe, in its unit.
    pub fn largest_step(&self) -> f32 {
        self.bench.largest_step()
    }

    /// How often the watchdog has made it safe.
    pub fn watchdog_trips(&self) -> u32 {
        self.trips
    }

    /// Reads bytes of one wire at time `now`, and returns the frames of its answers.
    pub fn receive(&mut self, now: Duration, deframer: &mut Deframer, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.tick(now);
        let mut requests = Vec::new();
        deframer.push(bytes, |frame| {
            if let Ok(frame) = frame {
                requests.push((frame.session, frame.id, Request::decode(frame.message)));
            }
        });
        requests.into_iter().flat_map(|(session, id, request)| self.answer(now, [session, id], request)).collect()
    }

    /// A reader for one wire.
    pub fn deframer() -> Deframer {
        Deframer::new(Way::Request)
    }

    /// Lets the watchdog look at the clock.
    pub fn tick(&mut self, now: Duration) {
        if self.session.as_ref().is_some_and(|open| open.heard + open.watchdog <= now) {
            self.session = None;
            self.refusal = Reason::NoSession;
            self.trips += 1;
            self.go_safe(State::Safe);
        }
    }

    /// Loses its power and gets it back at once; `new_firmware` says that it was flashed meanwhile.
    pub fn power_cycle(&mut self, now: Duration, new_firmware: bool) {
        self.session = None;
        self.refusal = Reason::NoSession;
        self.booted = now;
        self.trips = 0;
        self.bench.power_cycle();
        self.welcome.boot = self.welcome.boot.wrapping_mul(0x9E37_79B9).wrapping_add(12_345);
        if new_firmware {
            self.welcome.firmware = format!("pnnlab simulated 1.0 build {:x}", self.welcome.boot);
        }
        self.go_safe(State::Idle);
    }

    /// The answers to one request, as frames.
    fn answer(&mut self, now: Duration, [session, id]: [u32; 2], request: Option<Request>) -> Vec<Vec<u8>> {
        let is_ours = self.session.as_ref().is_some_and(|open| open.number == session);
        if is_ours && let Some(open) = &mut self.session {
            open.heard = now;
            if let Some((last, frame)) = &open.last
                && *last == id
            {
                return vec![frame.clone()];
            }
        }
        let mut is_control = true;
        let replies = match request {
            None => vec![refused(Reason::Malformed)],
            Some(Request::MakeSafe) => vec![self.make_safe(is_ours)],
            Some(Request::Hello { version, schema, watchdog_ms, replaces }) => {
                vec![self.hello(now, session, [version.into(), schema, watchdog_ms, replaces])]
            }
            Some(_) if !is_ours => vec![refused(if self.session.is_some() { Reason::Busy } else { self.refusal })],
            Some(Request::Shots { first, batch, values }) => {
                is_control = false;
                self.shots(first, batch, &values)
            }
            Some(request) => vec![self.obey(now, request)],
        };
        let encode = |reply: Reply| {
            let mut frame = Vec::new();
            reply.encode(session, id, &mut frame);
            frame
        };
        let frames: Vec<Vec<u8>> = replies.into_iter().map(encode).collect();
        if is_control && let Some(open) = self.session.as_mut().filter(|open| open.number == session) {
            open.last = frames.first().map(|frame| (id, frame.clone()));
        }
        frames
    }

    fn hello(&mut self, now: Duration, session: u32, [version, schema, watchdog_ms, replaces]: [u32; 4]) -> Reply {
        if version != u32::from(VERSION) || schema != SCHEMA {
            return refused(Reason::Version);
        }
        if session == 0 {
            // The number of no session.
            return refused(Reason::Malformed);
        }
        if self.session.is_none() && self.refusal == Reason::Stopped && replaces != 0 {
            // It would undo what somebody did by hand.
            return refused(Reason::Stopped);
        }
        if self.session.as_ref().is_some_and(|open| open.number != replaces) {
            return refused(Reason::Busy);
        }
        let watchdog_ms = watchdog_ms.clamp(WATCHDOG_MS.low as u32, WATCHDOG_MS.high as u32);
        let watchdog = Duration::from_millis(watchdog_ms.into());
        // A session that replaces another begins as the first one did: safe until controls are applied.
        self.go_safe(State::Idle);
        self.refusal = Reason::NoSession;
        self.session = Some(Open {
            number: session,
            watchdog,
            heard: now,
            expected: 0,
            answers: VecDeque::new(),
            last: None,
            staged: Vec::new(),
        });
        Reply::Welcome(Welcome { watchdog_ms, uptime_ms: self.uptime(now), ..self.welcome.clone() })
    }

    fn make_safe(&mut self, is_ours: bool) -> Reply {
        self.go_safe(State::Safe);
        if !is_ours {
            self.session = None;
            self.refusal = Reason::Stopped;
        }
        Reply::Safe
    }

    /// Obeys a request of the open session.
    fn obey(&mut self, now: Duration, request: Request) -> Reply {
        match request {
            Request::Describe { bank } => {
                self.banks.get(usize::from(bank)).cloned().map_or(refused(Reason::OutOfRange), Reply::Bank)
            }
            Request::Stage { first, values } => self.stage(first, &values),
            Request::Apply => self.apply(),
            Request::Readback { first, count } => self.readback(first, count),
            Request::Ping => self.status(now),
            Request::Bye | Request::MakeSafe => {
                self.go_safe(State::Safe);
                self.session = None;
                Reply::Safe
            }
            Request::Hello { .. } | Request::Shots { .. } => refused(Reason::Malformed),
        }
    }

    fn status(&self, now: Duration) -> Reply {
        let expected = self.session.as_ref().map_or(0, |open| open.expected);
        let (boot, uptime_ms) = (self.welcome.boot, self.uptime(now));
        Reply::Status(StatusMessage { boot, uptime_ms, state: self.state, expected, watchdog_trips: self.trips })
    }

    fn uptime(&self, now: Duration) -> u64 {
        now.saturating_sub(self.booted).as_millis() as u64
    }

    fn stage(&mut self, first: u16, values: &[u8]) -> Reply {
        let (_, span) = self.description.controls.span(first.into(), values.len());
        let Some(open) = self.session.as_mut().filter(|_| span.len() == values.len()) else {
            return refused(Reason::Malformed);
        };
        self.staging[span.clone()].copy_from_slice(values);
        open.staged.push((span.start, span.end));
        Reply::Staged { first }
    }

    fn apply(&mut self) -> Reply {
        let Some(open) = &mut self.session else { return refused(Reason::NoSession) };
        let mut staged = std::mem::take(&mut open.staged);
        staged.sort_unstable();
        let covered = staged.iter().fold(0, |end, &(from, to)| if from <= end { end.max(to) } else { end });
        let Some(values) = self.description.controls.decode(&self.staging).filter(|_| covered == self.staging.len())
        else {
            return refused(Reason::Incomplete);
        };
        if self.bench.apply(&values).is_err() {
            return refused(Reason::OutOfRange);
        }
        self.state = State::Ready;
        Reply::Applied
    }

    fn readback(&self, first: u16, count: u16) -> Reply {
        let mut bytes = Vec::new();
        self.description.controls.encode(self.bench.controls(), &mut bytes);
        let rest = self.description.controls.span(first.into(), usize::MAX / 2).0;
        if rest < usize::from(count) {
            return refused(Reason::OutOfRange);
        }
        let place = |number: usize| self.description.controls.span(number, 0).1.start;
        let (start, end) = (place(first.into()), place(usize::from(first) + usize::from(count)));
        Reply::Controls { first, values: bytes[start..end].to_vec() }
    }

    /// Drives the shots that it has not driven yet, and answers all of them.
    fn shots(&mut self, first: u64, batch: u32, values: &[u8]) -> Vec<Reply> {
        let width = self.description.inputs.bytes();
        let Some(open) = &self.session else { return vec![refused(Reason::NoSession)] };
        let (expected, remembered) = (open.expected, open.answers.len() as u64);
        let refuse = |reason| vec![Reply::Refused { reason, expected }];
        if self.state != State::Ready {
            return refuse(Reason::NotReady);
        }
        let count = (values.len() / width) as u64;
        if count == 0 || values.len() as u64 != count * width as u64 || u64::from(self.build.window) < count {
            return refuse(Reason::Malformed);
        }
        if expected < first || first + remembered < expected {
            return refuse(Reason::OutOfOrder);
        }
        let old = (expected - first).min(count);
        if old < count {
            let begins = batch != 0 && old == 0;
            if let Err(reason) = self.drive(begins, &values[old as usize * width..]) {
                return refuse(reason);
            }
        }
        self.collect(first, count)
    }

    /// Drives new shots.
    fn drive(&mut self, begins: bool, values: &[u8]) -> Result<(), Reason> {
        let mut rows = Vec::new();
        for row in values.chunks_exact(self.description.inputs.bytes()) {
            rows.extend(self.description.inputs.decode(row).ok_or(Reason::Malformed)?);
        }
        let inputs = Batch::new(self.description.inputs.count(), rows).map_err(|_| Reason::Malformed)?;
        let last = self.session.as_ref().and_then(|open| open.answers.back().cloned());
        let answers = self.bench.shoot(begins, &inputs, last).map_err(|_| Reason::OutOfRange)?;
        if let Some(open) = &mut self.session {
            open.expected += answers.len() as u64;
            open.answers.extend(answers);
            let forgotten = open.answers.len().saturating_sub(self.build.window.into());
            open.answers.drain(..forgotten);
        }
        Ok(())
    }

    /// The remembered answers from shot `first` on. A message holds shots of one quality, whose acquisitions follow each
    /// other.
    fn collect(&self, first: u64, count: u64) -> Vec<Reply> {
        let Some(open) = &self.session else { return vec![refused(Reason::NoSession)] };
        let start = open.answers.len() - (open.expected - first) as usize;
        let answers: Vec<&Answer> = open.answers.iter().skip(start).take(count as usize).collect();
        let follows =
            |a: &&Answer, b: &&Answer| a.quality == b.quality && b.acquisition == a.acquisition.wrapping_add(1);
        let mut number = first;
        let mut replies = Vec::new();
        for run in answers.chunk_by(follows) {
            let (acquisition, quality) = (run[0].acquisition, run[0].quality);
            let values = run.iter().flat_map(|answer| answer.values.clone()).collect();
            replies.push(Reply::Results { first: number, acquisition, quality, values });
            number += run.len() as u64;
        }
        replies
    }

    /// Outputs off, controls at zero or the nearest allowed.
    fn go_safe(&mut self, state: State) {
        self.bench.make_safe();
        self.state = state;
    }
}

fn refused(reason: Reason) -> Reply {
    Reply::Refused { reason, expected: 0 }
}

#[cfg(test)]
mod tests;
