//! Messages of pnnlink, as postcard writes them inside a frame's body.
//!
//! postcard numbers the variants of an enum in the order written here, from 0; unsigned numbers wider than a byte are
//! little-endian base-128 varints, `f32` four little-endian bytes, text and bytes a varint length and the bytes.
//! So the order of variants and of fields *is* the protocol: change it, and [`SCHEMA_TEXT`] and [`VERSION`] change too.

use serde::{Deserialize, Serialize};

use super::frame::{self, Frame, Way};

/// The version of the protocol that this code speaks.
pub const VERSION: u16 = 1;

/// All messages in one line each; `docs/pnnlink.md` prints the same text.
pub const SCHEMA_TEXT: &str = "\
Q0 Hello version:u16 schema:u32 watchdog_ms:u32 replaces:u32
Q1 Describe bank:u8
Q2 Stage first:u16 values:bytes
Q3 Apply
Q4 Readback first:u16 count:u16
Q5 Shots first:u64 batch:u32 values:bytes
Q6 Ping
Q7 MakeSafe
Q8 Bye
R0 Welcome version:u16 schema:u32 boot:u32 uptime_ms:u64 watchdog_ms:u32 max_body:u16 window:u16 banks:u8 simulated:bool settle_s:f32 latency_s:f32 shot_s:f32 system:text serial:text firmware:text
R1 Bank bank:u8 way:enum(Input,Control,Output) name:text count:u16 unit:text low:f32 high:f32 coding:enum(F32,I16(scale:f32,offset:f32))
R2 Staged first:u16
R3 Applied
R4 Controls first:u16 values:bytes
R5 Results first:u64 acquisition:u32 quality:u8 values:bytes
R6 Status boot:u32 uptime_ms:u64 state:enum(Idle,Safe,Ready) expected:u64 watchdog_trips:u32
R7 Safe
R8 Refused reason:enum(NoSession,Busy,Version,Stopped,NotReady,OutOfRange,Incomplete,OutOfOrder,TooLong,Malformed,Hardware) expected:u64
";

/// The checksum of [`SCHEMA_TEXT`]: two sides that differ in it do not understand each other.
pub const SCHEMA: u32 = frame::checksum(SCHEMA_TEXT.as_bytes());

/// What the controller says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Opens the session that the frame names. Changes no output.
    Hello {
        /// [`VERSION`] of the controller.
        version: u16,
        /// [`SCHEMA`] of the controller.
        schema: u32,
        /// After how long without a frame of this session the instrument is to make itself safe, in ms.
        watchdog_ms: u32,
        /// The session that the same controller had before, or 0: it may be replaced at once.
        replaces: u32,
    },
    /// Asks for one bank of ports.
    Describe {
        /// Its number, from 0.
        bank: u8,
    },
    /// Lays controls ready. They take effect with [`Request::Apply`].
    Stage {
        /// The number of the first control, in the order of the banks.
        first: u16,
        /// Values, coded as their banks say.
        #[serde(with = "serde_bytes")]
        values: Vec<u8>,
    },
    /// Sets all staged controls at once and answers when they have settled. Arms the instrument for shots.
    Apply,
    /// Asks which controls are really applied.
    Readback {
        /// The number of the first control.
        first: u16,
        /// How many.
        count: u16,
    },
    /// Drives shots, one after another.
    Shots {
        /// The number of the first; the first of a session is 0.
        first: u64,
        /// How many shots the batch has that begins here, or 0 within a batch: to arm once for all of them.
        batch: u32,
        /// Inputs, shot after shot, coded as their banks say.
        #[serde(with = "serde_bytes")]
        values: Vec<u8>,
    },
    /// Asks how the instrument is, and keeps its watchdog quiet.
    Ping,
    /// Makes the instrument safe. Obeyed in any session or none; from outside the session it also ends the session.
    MakeSafe,
    /// Makes the instrument safe and ends the session.
    Bye,
}

/// What the instrument answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The session is open.
    Welcome(Welcome),
    /// One bank of ports.
    Bank(BankMessage),
    /// Controls lie ready.
    Staged {
        /// The number of the first, as in the request.
        first: u16,
    },
    /// All staged controls are set and have settled.
    Applied,
    /// The controls that are really applied.
    Controls {
        /// The number of the first.
        first: u16,
        /// Values, coded as their banks say.
        #[serde(with = "serde_bytes")]
        values: Vec<u8>,
    },
    /// Readings of shots, one after another.
    Results {
        /// The number of the first.
        first: u64,
        /// The acquisition counter of the first; each shot's own follow. A counter that stands still or goes back is a stale frame.
        acquisition: u32,
        /// [`OVERRUN`] and other bits that hold for all shots of this message; 0 when all is well.
        quality: u8,
        /// Outputs, shot after shot, coded as their banks say.
        #[serde(with = "serde_bytes")]
        values: Vec<u8>,
    },
    /// How the instrument is.
    Status(StatusMessage),
    /// The instrument is safe.
    Safe,
    /// The request was not obeyed.
    Refused {
        /// Why.
        reason: Reason,
        /// The number of the next shot that the instrument expects.
        expected: u64,
    },
}

/// Samples were lost during the shot: its readings are void, drive it again.
pub const OVERRUN: u8 = 1;

/// The instrument's account of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`] of the instrument.
    pub version: u16,
    /// [`SCHEMA`] of the instrument.
    pub schema: u32,
    /// Drawn anew at each power-up: another number means that the instrument has forgotten everything.
    pub boot: u32,
    /// Time since power-up, in ms.
    pub uptime_ms: u64,
    /// The watchdog time that the instrument keeps, in ms: what was asked for, or the nearest it can.
    pub watchdog_ms: u32,
    /// The longest body that it takes, in bytes.
    pub max_body: u16,
    /// How many shots may be unanswered; it remembers as many answers.
    pub window: u16,
    /// How many banks of ports it has.
    pub banks: u8,
    /// Whether its physics is simulated.
    pub simulated: bool,
    /// From setting the controls until they have settled, in s.
    pub settle_seconds: f32,
    /// Once per batch, in s.
    pub latency_seconds: f32,
    /// Once per shot, in s.
    pub shot_seconds: f32,
    /// The physical system behind it.
    pub system: String,
    /// What tells this one from another.
    pub serial: String,
    /// What runs on it, with its version.
    pub firmware: String,
}

/// One bank of ports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BankMessage {
    /// Its number, from 0.
    pub bank: u8,
    /// Which way its values go.
    pub way: BankWay,
    /// What its ports are called together.
    pub name: String,
    /// How many there are.
    pub count: u16,
    /// SI unit; `1` where a value has none.
    pub unit: String,
    /// Smallest value, in the unit.
    pub low: f32,
    /// Largest value, in the unit.
    pub high: f32,
    /// How its values travel.
    pub coding: Coding,
}

/// Which way the values of a bank go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BankWay {
    /// Data that drives the plant.
    Input,
    /// A trainable setting.
    Control,
    /// A reading.
    Output,
}

/// How values of a bank travel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Coding {
    /// As `f32`, four little-endian bytes, in the unit.
    F32,
    /// As `i16` code, two little-endian bytes: value = `offset` + `scale` · code.
    I16 {
        /// What one code step is worth, in the unit.
        scale: f32,
        /// The value of code 0, in the unit.
        offset: f32,
    },
}

/// How the instrument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusMessage {
    /// Drawn anew at each power-up.
    pub boot: u32,
    /// Time since power-up, in ms.
    pub uptime_ms: u64,
    /// Whether its outputs are on.
    pub state: State,
    /// The number of the next shot that it expects.
    pub expected: u64,
    /// How often it has made itself safe because it heard nothing, since power-up.
    pub watchdog_trips: u32,
}

/// Whether the outputs are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// As after power-up: safe, and nothing has been applied yet.
    Idle,
    /// Safe, because it was asked to be or heard nothing.
    Safe,
    /// Controls are applied, shots are welcome.
    Ready,
}

/// Why a request was not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The session does not exist, or no longer: power cycle, watchdog, or another controller.
    NoSession,
    /// Another controller has the instrument.
    Busy,
    /// Another version of the protocol, or another schema.
    Version,
    /// Somebody outside the session has made the instrument safe.
    Stopped,
    /// Shots need controls to be applied first.
    NotReady,
    /// A value that the instrument does not take.
    OutOfRange,
    /// Not all controls were staged.
    Incomplete,
    /// Shots before these are missing: go on with the expected one.
    OutOfOrder,
    /// More than the instrument can hold.
    TooLong,
    /// The message makes no sense, or does not hold whole shots.
    Malformed,
    /// The instrument itself has failed.
    Hardware,
}

impl Request {
    /// Appends the request's frame to `wire`.
    pub fn encode(&self, session: u32, id: u32, wire: &mut Vec<u8>) {
        append(Way::Request, self, [session, id], wire);
    }

    /// The request in a frame's message; none when it makes no sense or has bytes left over.
    pub fn decode(message: &[u8]) -> Option<Self> {
        whole(message)
    }
}

impl Reply {
    /// Appends the reply's frame to `wire`.
    pub fn encode(&self, session: u32, id: u32, wire: &mut Vec<u8>) {
        append(Way::Reply, self, [session, id], wire);
    }

    /// The reply in a frame's message; none when it makes no sense or has bytes left over.
    pub fn decode(message: &[u8]) -> Option<Self> {
        whole(message)
    }
}

/// Appends a frame to `wire`.
fn append(way: Way, message: &impl Serialize, [session, id]: [u32; 2], wire: &mut Vec<u8>) {
    // Only a serializer without memory or a sequence of unknown length could fail; neither is here.
    let message = postcard::to_stdvec(message).unwrap_or_default();
    frame::encode(way, Frame { session, id, message: &message }, wire);
}

/// A message that fills its bytes to the last one.
fn whole<'a, T: Deserialize<'a>>(message: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(message) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
