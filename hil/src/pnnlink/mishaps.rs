//! What faults do to the answers of a pnnlink instrument, and to what it hears.

use std::time::Duration;

use drivers::pnnlink::message::{Request, SCHEMA, VERSION};
use sims::{Key, Stream};

use crate::{Fault, Faults};

/// A USB full-speed bulk packet, in bytes (USB 2.0, 5.8.3): what a buffer is on such a line.
const BUFFER: usize = 64;
/// The session of the program that meddles.
const STRANGER: u32 = 0xBAD_F00D;

/// What the instrument does after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Goes on.
    Nothing,
    /// Hears and says nothing more on this connection.
    Mute,
    /// Loses the cable.
    Unplug,
    /// Loses its power.
    PowerCycle {
        /// And is flashed meanwhile.
        new_firmware: bool,
    },
}

/// What can happen after an answer.
const CONSEQUENCES: [(Fault, After); 4] = [
    (Fault::PowerCycle, After::PowerCycle { new_firmware: false }),
    (Fault::FirmwareChange, After::PowerCycle { new_firmware: true }),
    (Fault::Unplug, After::Unplug),
    (Fault::HalfOpen, After::Mute),
];
/// What can happen to an answer.
const ANSWERS: [Fault; 8] = [
    Fault::NoReply,
    Fault::LateReply,
    Fault::SplitReply,
    Fault::JoinedReplies,
    Fault::MissingTerminator,
    Fault::WrongTerminator,
    Fault::WrongBlockLength,
    Fault::BufferSizedBlock,
];

/// Bytes to be written after a pause.
pub(super) struct Piece {
    pub(super) pause: Duration,
    pub(super) bytes: Vec<u8>,
}

/// Faults under way.
#[derive(Debug)]
pub(super) struct Mishaps {
    faults: Faults,
    random: Stream,
    /// An answer that waits for the next one, and for how many ticks yet.
    held: Option<(u64, Vec<u8>, u32)>,
}

impl Mishaps {
    pub(super) fn new(faults: Faults) -> Self {
        Self { faults, random: Key::new(0).branch("mishaps").stream(), held: None }
    }

    /// The cable is out: what was under way is lost.
    pub(super) fn forget(&mut self) {
        self.held = None;
    }

    /// An answer that has waited long enough for another one.
    pub(super) fn release(&mut self) -> Option<(u64, Piece)> {
        let (id, bytes, ticks) = self.held.take()?;
        if ticks == 0 {
            return Some((id, Piece { pause: Duration::ZERO, bytes }));
        }
        self.held = Some((id, bytes, ticks - 1));
        None
    }

    /// What the instrument hears of `bytes`.
    pub(super) fn receive(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if self.faults.strike(Fault::QueueOverflow) {
            return Vec::new();
        }
        if self.faults.strike(Fault::SecondClient) {
            let mut heard = Vec::new();
            let hello = Request::Hello { version: VERSION, schema: SCHEMA, watchdog_ms: 60_000, replaces: 0 };
            hello.encode(STRANGER, 1, &mut heard);
            Request::Shots { first: 0, batch: 1, values: vec![0; 16] }.encode(STRANGER, 2, &mut heard);
            // Two programs that write to one line do not wait for each other's frames to end.
            let middle = bytes.len() / 2;
            return [&bytes[..middle], &heard, &bytes[middle..]].concat();
        }
        bytes
    }

    /// What becomes of an answer, and what happens then.
    pub(super) fn apply(&mut self, id: u64, mut frame: Vec<u8>) -> (Vec<Piece>, After) {
        if let Some((other, mut bytes, _)) = self.held.take()
            && other == id
        {
            bytes.append(&mut frame);
            return (whole(bytes), After::Nothing);
        }
        let after = CONSEQUENCES.into_iter().find(|(fault, _)| self.faults.strike(*fault));
        if let Some((_, after)) = after {
            return (whole(frame), after);
        }
        let fault = ANSWERS.into_iter().find(|fault| self.faults.strike(*fault));
        let pieces = fault.map_or_else(|| whole(frame.clone()), |fault| self.spoil(id, frame.clone(), fault));
        (pieces, After::Nothing)
    }

    /// What a fault makes of an answer.
    fn spoil(&mut self, id: u64, mut frame: Vec<u8>, fault: Fault) -> Vec<Piece> {
        match fault {
            Fault::NoReply => return Vec::new(),
            Fault::LateReply => {
                let pause = Duration::from_millis(20 + self.random.below(130) as u64);
                return vec![Piece { pause, bytes: frame }];
            }
            Fault::SplitReply => {
                let rest = frame.split_off(1 + self.random.below(frame.len() - 1));
                let pause = Duration::from_millis(1 + self.random.below(5) as u64);
                return vec![Piece { pause: Duration::ZERO, bytes: frame }, Piece { pause, bytes: rest }];
            }
            Fault::JoinedReplies => {
                self.held = Some((id, frame, 10));
                return Vec::new();
            }
            Fault::MissingTerminator => {
                frame.pop();
            }
            Fault::WrongTerminator => {
                frame.pop();
                frame.push(b'\n');
            }
            Fault::WrongBlockLength => {
                let start = self.random.below(frame.len() - 1);
                let end = (start + 1 + self.random.below(8)).min(frame.len() - 1);
                frame.drain(start..end);
            }
            Fault::BufferSizedBlock => return buffers(frame),
            _ => {}
        }
        whole(frame)
    }
}

/// An answer in one piece.
fn whole(bytes: Vec<u8>) -> Vec<Piece> {
    vec![Piece { pause: Duration::ZERO, bytes }]
}

/// An answer filled up with empty frames to a whole number of buffers, and sent buffer by buffer.
fn buffers(frame: Vec<u8>) -> Vec<Piece> {
    let mut bytes = vec![0; frame.len().next_multiple_of(BUFFER) - frame.len()];
    bytes.extend(frame);
    bytes.chunks(BUFFER).map(|part| Piece { pause: Duration::ZERO, bytes: part.to_vec() }).collect()
}
