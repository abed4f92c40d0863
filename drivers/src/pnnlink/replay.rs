//! A recorded pnnlink dialogue in the place of an instrument.
//!
//! The bytes of a session differ from one time to the next though the same was asked: its number is random, heartbeats come when
//! nothing else is to say, and what is not answered in time is sent again. So a replay compares what was asked: hello, controls,
//! each shot by its number and inputs, one after another, and answers as the instrument did. Where the recorded wire was
//! lost it is lost again; what was asked otherwise ends the replay, with the line of the recording.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::description::Description;
use super::frame::{Deframer, MAX_BODY, Way};
use super::message::{BankMessage, Reason, Reply, Request, Welcome};
use crate::dialogue::Turn;
use crate::port::locked;
use crate::tap::Trouble;
use crate::{DialogueReplay, Error, Stream};

/// What was asked.
#[derive(Debug, PartialEq)]
enum Said {
    /// Anything but shots.
    Control(Request),
    /// One shot: its number, how many shots the batch has that begins with it, and its coded inputs.
    Shot(u64, u32, Vec<u8>),
}

/// One thing that was asked, where, and the answer that came.
#[derive(Debug)]
struct Item {
    line: usize,
    said: Said,
    answer: Option<Reply>,
}

/// One session: what happened between two openings of the port.
#[derive(Debug, Default)]
struct Sitting {
    items: Vec<Item>,
    /// Bytes of one shot's inputs and outputs.
    widths: Option<[usize; 2]>,
    /// The place of each shot among the items.
    shots: BTreeMap<u64, usize>,
}

/// A recording that answers.
pub(super) struct Replay {
    path: PathBuf,
    sittings: Arc<Mutex<VecDeque<Sitting>>>,
    trouble: Trouble,
}

impl Replay {
    /// Reads what was asked and answered; what goes wrong later is put into `trouble`.
    pub fn new(dialogue: &mut DialogueReplay, trouble: &Trouble) -> Result<Self, Error> {
        let path = dialogue.path().to_owned();
        let mut reading: Vec<Reading> = Vec::new();
        for (line, turn) in dialogue.take_turns() {
            match (turn, reading.last_mut()) {
                (Turn::Opened, _) => reading.push(Reading::new()),
                (Turn::Sent(mut bytes), Some(reading)) => {
                    let read = reading.sent(line, bytes.make_contiguous());
                    read.map_err(|message| Error::recording(&path, format!("line {line}: {message}")))?;
                }
                (Turn::Received(mut bytes), Some(reading)) => reading.received(bytes.make_contiguous()),
                (_, None) => {
                    return Err(Error::recording(&path, format!("line {line}: comes before the port was opened")));
                }
            }
        }
        let sittings = reading.into_iter().map(|reading| reading.sitting).collect();
        Ok(Self { path, sittings: Arc::new(Mutex::new(sittings)), trouble: trouble.clone() })
    }

    /// A stream at whose other end the next recorded session answers. Needs a tokio runtime.
    pub fn open(&self) -> Result<Box<dyn Stream>, Error> {
        if let Some(error) = locked(&self.trouble).clone() {
            return Err(error);
        }
        let mut sittings = locked(&self.sittings);
        let Some(sitting) = sittings.pop_front() else { return Err(ended(&self.path, "opening of the port")) };
        let (near, far) = duplex(4 * MAX_BODY);
        let player =
            Player { path: self.path.clone(), sitting, is_last: sittings.is_empty(), visited: 0, last: (0, vec![]) };
        tokio::spawn(player.run(far, self.trouble.clone()));
        Ok(Box::new(near))
    }
}

/// How many sessions a recorded pnnlink dialogue holds; an error with the line where it is none.
pub fn recorded_sessions(mut dialogue: DialogueReplay) -> Result<usize, Error> {
    let replay = Replay::new(&mut dialogue, &Trouble::default())?;
    Ok(locked(&replay.sittings).len())
}

/// A session that is being read from its recording.
struct Reading {
    sitting: Sitting,
    requests: Deframer,
    replies: Deframer,
    session: Option<u32>,
    /// The items of each request.
    asked: BTreeMap<u32, std::ops::Range<usize>>,
    welcome: Option<Welcome>,
    banks: Vec<BankMessage>,
}

impl Reading {
    fn new() -> Self {
        Self {
            sitting: Sitting::default(),
            requests: Deframer::new(Way::Request),
            replies: Deframer::new(Way::Reply),
            session: None,
            asked: BTreeMap::new(),
            welcome: None,
            banks: vec![],
        }
    }

    /// Takes what was sent.
    fn sent(&mut self, line: usize, bytes: &[u8]) -> Result<(), String> {
        let mut found = Vec::new();
        self.requests.push(bytes, |frame| {
            found.push(frame.ok().and_then(|frame| Some((frame.session, frame.id, Request::decode(frame.message)?))));
        });
        for request in found {
            let Some((session, id, request)) = request else { return Err("holds no pnnlink request".to_owned()) };
            self.session.get_or_insert(session);
            // A request that was sent again counts once.
            if self.asked.contains_key(&id) || request == Request::Ping {
                continue;
            }
            let first = self.sitting.items.len();
            if let Request::Shots { first, batch, values } = &request {
                let Some([width, _]) = self.sitting.widths else {
                    return Err("drives shots before the instrument has described itself".to_owned());
                };
                for (index, inputs) in values.chunks(width).enumerate() {
                    let number = first.saturating_add(index as u64);
                    let batch = if index == 0 { *batch } else { 0 };
                    if let Entry::Vacant(place) = self.sitting.shots.entry(number) {
                        place.insert(self.sitting.items.len());
                        let said = Said::Shot(number, batch, inputs.to_vec());
                        self.sitting.items.push(Item { line, said, answer: None });
                    }
                }
            } else {
                self.sitting.items.push(Item { line, said: Said::Control(plain(request)), answer: None });
            }
            self.asked.insert(id, first..self.sitting.items.len());
        }
        Ok(())
    }

    /// Takes what was received. What is no answer of this session is passed over, as it was then.
    fn received(&mut self, bytes: &[u8]) {
        let mut found = Vec::new();
        self.replies.push(bytes, |frame| {
            let reply = frame.ok().and_then(|frame| Some((frame.session, frame.id, Reply::decode(frame.message)?)));
            found.extend(reply);
        });
        for (session, id, reply) in found {
            if Some(session) == self.session {
                self.answered(id, reply);
            }
        }
    }

    /// Puts an answer to what it answers; the first one counts.
    fn answered(&mut self, id: u32, reply: Reply) {
        match &reply {
            Reply::Results { first, acquisition, quality, values } => {
                let Some([_, width]) = self.sitting.widths else { return };
                for (index, values) in values.chunks_exact(width).enumerate() {
                    let first = first.saturating_add(index as u64);
                    let acquisition = acquisition.wrapping_add(index as u32);
                    let reading = Reply::Results { first, acquisition, quality: *quality, values: values.to_vec() };
                    if let Some(&place) = self.sitting.shots.get(&first) {
                        self.sitting.items[place].answer.get_or_insert(reading);
                    }
                }
                return;
            }
            // The same shots came again, in their order.
            Reply::Refused { reason: Reason::OutOfOrder, .. } => return,
            _ => {}
        }
        let items = self.asked.get(&id).cloned().unwrap_or_default();
        let Some(item) = self.sitting.items[items].iter_mut().find(|item| item.answer.is_none()) else { return };
        match &reply {
            Reply::Welcome(welcome) => self.welcome = Some(welcome.clone()),
            Reply::Bank(bank) => self.banks.push(bank.clone()),
            _ => {}
        }
        item.answer = Some(reply);
        if let (Some(welcome), None) = (&self.welcome, self.sitting.widths) {
            let description = Description::new(welcome, &self.banks);
            let widths = description.map(|description| [description.inputs.bytes(), description.outputs.bytes()]);
            self.sitting.widths = widths.filter(|widths| !widths.contains(&0));
        }
    }
}

/// Answers in one session.
struct Player {
    path: PathBuf,
    sitting: Sitting,
    /// Whether no other session follows.
    is_last: bool,
    /// Items that were asked so far.
    visited: usize,
    /// The last control request and its frame.
    last: (u32, Vec<u8>),
}

/// How the wire goes on.
#[derive(PartialEq)]
enum Flow {
    Open,
    Lost,
}

impl Player {
    /// Answers until the other end is gone, the recorded wire was lost, or the replay has ended.
    async fn run(mut self, mut stream: DuplexStream, trouble: Trouble) {
        let mut requests = Deframer::new(Way::Request);
        let mut chunk = vec![0; MAX_BODY];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            let mut found = Vec::new();
            requests.push(&chunk[..count], |frame| {
                found.extend(
                    frame.ok().and_then(|frame| Some(([frame.session, frame.id], Request::decode(frame.message)?))),
                );
            });
            for (place, request) in found {
                let mut frames = Vec::new();
                let flow = self.answer(place, request, &mut frames);
                // Whoever has gone wants no answer.
                let _ = stream.write_all(&frames).await;
                match flow {
                    Ok(Flow::Open) => {}
                    Ok(Flow::Lost) => return,
                    Err(error) => {
                        *locked(&trouble) = Some(error);
                        return;
                    }
                }
            }
        }
    }

    /// Appends the frames that answer one request.
    fn answer(&mut self, [session, id]: [u32; 2], request: Request, frames: &mut Vec<u8>) -> Result<Flow, Error> {
        match request {
            Request::Ping => return Ok(Flow::Open),
            _ if self.last.0 == id => frames.extend(&self.last.1),
            Request::Shots { first, batch, values } => {
                let width = self.sitting.widths.map_or(values.len(), |[inputs, _]| inputs).max(1);
                for (index, inputs) in values.chunks(width).enumerate() {
                    let number = first.saturating_add(index as u64);
                    let place = match self.sitting.shots.get(&number) {
                        // Asked again, because this machine was slow.
                        Some(&place) if place < self.visited => place,
                        _ => {
                            let batch = if index == 0 { batch } else { 0 };
                            match self.visit(&Said::Shot(number, batch, inputs.to_vec()))? {
                                Some(place) => place,
                                None => return Ok(Flow::Lost),
                            }
                        }
                    };
                    if let Some(reply) = &self.sitting.items[place].answer {
                        reply.encode(session, id, frames);
                    }
                }
            }
            request => {
                let Some(place) = self.visit(&Said::Control(plain(request)))? else { return Ok(Flow::Lost) };
                let mut frame = Vec::new();
                if let Some(reply) = &self.sitting.items[place].answer {
                    reply.encode(session, id, &mut frame);
                }
                frames.extend(&frame);
                self.last = (id, frame);
            }
        }
        self.flow()
    }

    /// The place of what is asked now, which must be what was asked then; none where the wire was lost before.
    fn visit(&mut self, said: &Said) -> Result<Option<usize>, Error> {
        let Some(item) = self.sitting.items.get(self.visited) else {
            return if self.is_last { Err(ended(&self.path, &words(said))) } else { Ok(None) };
        };
        if item.said != *said {
            let (line, is, was) = (item.line, words(said), words(&item.said));
            let other = if is == was { "with other values".to_owned() } else { format!("where {was} was recorded") };
            return Err(Error::recording(&self.path, format!("line {line}: {is} is asked for, {other}")));
        }
        self.visited += 1;
        Ok(Some(self.visited - 1))
    }

    /// The wire is lost where an answer is missing and none is to come.
    fn flow(&self) -> Result<Flow, Error> {
        let (past, coming) = self.sitting.items.split_at(self.visited);
        let missing = past.iter().find(|item| item.answer.is_none());
        match missing.filter(|_| coming.iter().all(|item| item.answer.is_none())) {
            None => Ok(Flow::Open),
            Some(item) if self.is_last => Err(ended(&self.path, &format!("answer to {}", words(&item.said)))),
            Some(_) => Ok(Flow::Lost),
        }
    }
}

/// A request without what is random in it.
fn plain(request: Request) -> Request {
    match request {
        Request::Hello { version, schema, watchdog_ms, .. } => {
            Request::Hello { version, schema, watchdog_ms, replaces: 0 }
        }
        request => request,
    }
}

/// What is asked, for a sentence.
fn words(said: &Said) -> String {
    match said {
        Said::Shot(number, 0, _) => format!("shot {number} of the session"),
        Said::Shot(number, batch, _) => format!("shot {number} of the session, the first of {batch}"),
        Said::Control(Request::Hello { watchdog_ms, .. }) => format!("a session with a watchdog of {watchdog_ms} ms"),
        Said::Control(Request::Describe { bank }) => format!("bank {bank}"),
        Said::Control(Request::Stage { first, .. }) => format!("a set of controls from number {first} on"),
        Said::Control(Request::Apply) => "that controls are applied".to_owned(),
        Said::Control(Request::Readback { first, .. }) => format!("readback from control {first} on"),
        Said::Control(Request::MakeSafe) => "the safe state".to_owned(),
        Said::Control(Request::Bye) => "the end of the session".to_owned(),
        Said::Control(Request::Ping | Request::Shots { .. }) => "a sign of life".to_owned(),
    }
}

fn ended(path: &Path, what: &str) -> Error {
    Error::recording(path, format!("ends before this {what}: the replay asks for more than was recorded"))
}
