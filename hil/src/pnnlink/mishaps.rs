//! What faults do to the answers of a pnnlink instrument, and to what it hears.

use std::collections::BTreeMap;
use std::time::Duration;

use drivers::pnnlink::message::{Request, SCHEMA, VERSION};

use super::served::Piece;
use crate::{Fault, FaultMix};

/// A USB full-speed bulk packet, in bytes (USB 2.0, 5.8.3): what a buffer is on such a line.
const BUFFER: usize = 64;
/// The session of the program that meddles.
const STRANGER: u32 = 0xBAD_F00D;

/// What the instrument does after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Goes on.
    Nothing,
    /// Has something wrong with the next shot.
    Spoil(Fault),
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

/// Faults under way.
#[derive(Debug)]
pub(super) struct Mishaps {
    mix: FaultMix,
    /// Asked for from outside, for the next answer.
    ordered: Option<Fault>,
    /// An answer that waits for the next one, and for how many ticks yet.
    held: Option<(u64, Vec<u8>, u32)>,
    drops_next: bool,
    stranger_next: bool,
}

impl Mishaps {
    pub(super) fn new(mix: FaultMix) -> Self {
        Self { mix, ordered: None, held: None, drops_next: false, stranger_next: false }
    }

    pub(super) fn counts(&self) -> &BTreeMap<Fault, u64> {
        self.mix.counts()
    }

    pub(super) fn count(&mut self, fault: Fault) {
        self.mix.count(fault);
    }

    /// What goes wrong with the next answer.
    pub(super) fn draw(&mut self) -> Option<Fault> {
        self.ordered.take().or_else(|| self.mix.draw())
    }

    /// A fault asked for from outside: some happen at once, the others to the next answer.
    pub(super) fn order(&mut self, fault: Fault) -> After {
        let after = self.consequence(fault);
        if after == After::Nothing {
            self.ordered = Some(fault);
        }
        after
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
        if std::mem::take(&mut self.drops_next) {
            self.mix.count(Fault::QueueOverflow);
            return Vec::new();
        }
        if std::mem::take(&mut self.stranger_next) {
            self.mix.count(Fault::SecondClient);
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

    /// What becomes of an answer.
    pub(super) fn apply(&mut self, id: u64, mut frame: Vec<u8>, fault: Option<Fault>) -> (Vec<Piece>, After) {
        if let Some((other, mut bytes, _)) = self.held.take()
            && other == id
        {
            self.mix.count(Fault::JoinedReplies);
            bytes.append(&mut frame);
            frame = bytes;
        }
        let Some(fault) = fault else { return (whole(frame), After::Nothing) };
        let after = self.consequence(fault);
        if after != After::Nothing {
            return (whole(frame), after);
        }
        let pieces = match fault {
            Fault::NoReply => Vec::new(),
            Fault::LateReply => {
                let pause = Duration::from_millis(20 + self.mix.below(130) as u64);
                vec![Piece { pause, bytes: frame }]
            }
            Fault::SplitReply => {
                let rest = frame.split_off(1 + self.mix.below(frame.len() - 1));
                let pause = Duration::from_millis(1 + self.mix.below(5) as u64);
                vec![Piece { pause: Duration::ZERO, bytes: frame }, Piece { pause, bytes: rest }]
            }
            Fault::JoinedReplies => {
                self.held = Some((id, frame, 10));
                return (Vec::new(), After::Nothing);
            }
            Fault::MissingTerminator => {
                frame.pop();
                whole(frame)
            }
            Fault::WrongTerminator => {
                frame.pop();
                frame.push(b'\n');
                whole(frame)
            }
            Fault::WrongLength => {
                let start = self.mix.below(frame.len() - 1);
                let end = (start + 1 + self.mix.below(8)).min(frame.len() - 1);
                frame.drain(start..end);
                whole(frame)
            }
            Fault::WholeBuffers => buffers(frame),
            Fault::QueueOverflow => {
                self.drops_next = true;
                return (whole(frame), After::Nothing);
            }
            Fault::SecondClient => {
                self.stranger_next = true;
                return (whole(frame), After::Nothing);
            }
            _ => whole(frame),
        };
        self.mix.count(fault);
        (pieces, After::Nothing)
    }

    /// What a fault does to more than an answer.
    fn consequence(&mut self, fault: Fault) -> After {
        let after = match fault {
            Fault::PowerCycle => After::PowerCycle { new_firmware: false },
            Fault::FirmwareChange => After::PowerCycle { new_firmware: true },
            Fault::Unplug => After::Unplug,
            Fault::HalfOpen => After::Mute,
            // Counted when a shot has it.
            Fault::NotANumber
            | Fault::StuckValue
            | Fault::Saturation
            | Fault::StaleFrame
            | Fault::DriftStep
            | Fault::Overrun => return After::Spoil(fault),
            _ => return After::Nothing,
        };
        self.mix.count(fault);
        after
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
