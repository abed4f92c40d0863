//! What can go wrong at an instrument, as sentences that name the offender and say what to do.

use std::path::{Path, PathBuf};

use crate::{AfterTrip, Direction, Range};

/// An instrument or its driver refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Values that do not make whole rows.
    #[error("{values} values do not fill rows of {columns}: give whole rows")]
    Ragged {
        /// How many values were given.
        values: usize,
        /// How many make a row.
        columns: usize,
    },
    /// A row of the wrong width.
    #[error(
        "the plant has {expected} {direction}{}, but {given} value{} given",
        if *.expected == 1 { "" } else { "s" },
        if *.given == 1 { " was" } else { "s were" }
    )]
    Width {
        /// Which way the values go.
        direction: Direction,
        /// How many there are of them on the plant.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// A value that must not reach the instrument.
    #[error(
        "{direction} {port} = {value} {unit} is outside {range} {unit}: keep it inside, or check the limits in the rig file"
    )]
    OutOfRange {
        /// Which way the value goes.
        direction: Direction,
        /// The port's name and number.
        port: String,
        /// What was given.
        value: f32,
        /// SI unit.
        unit: String,
        /// What is allowed.
        range: Range,
    },
    /// A limit in the rig file that the instrument itself cannot keep.
    #[error(
        "the limit {limit} {unit} for {direction} bank `{bank}` is not within the instrument's own {range} {unit}: narrow it in the rig file"
    )]
    LimitOutside {
        /// Which way the values go.
        direction: Direction,
        /// The bank's name.
        bank: String,
        /// What the rig file asks for.
        limit: Range,
        /// SI unit.
        unit: String,
        /// What the instrument can do.
        range: Range,
    },
    /// A recording that cannot be written, read or followed.
    #[error("recording {}: {message}", .path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
    /// A limit for a bank that the plant does not have.
    #[error("the plant has no {direction} bank `{bank}`: it has {known}")]
    UnknownBank {
        /// Which way the values go.
        direction: Direction,
        /// The name in the rig file.
        bank: String,
        /// The names that exist.
        known: String,
    },
    /// Not an address.
    #[error("`{text}` {message}")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong and what to write.
        message: String,
    },
    /// The port of an instrument cannot be opened.
    #[error("instrument `{instrument}` cannot be reached at {address}: {message}. Check power, cable and address")]
    Unreachable {
        /// Its name in the rig.
        instrument: String,
        /// Its address.
        address: String,
        /// What the system says.
        message: String,
    },
    /// Something takes the connection, and says nothing.
    #[error(
        "instrument `{instrument}` gave no answer to a greeting within {seconds} s: check that {address} is where it speaks this protocol, and that it is not busy{advice}"
    )]
    Mute {
        /// Its name in the rig.
        instrument: String,
        /// Its address.
        address: String,
        /// The deadline, in s.
        seconds: f32,
        /// What else may be so, a sentence after this one; often empty.
        advice: String,
    },
    /// Something came in time, and not all that was waited for.
    #[error(
        "instrument `{instrument}` gave no whole answer within {seconds} s, only `{heard}`: check that it is not busy, or give it more time{advice}"
    )]
    Unfinished {
        /// Its name in the rig.
        instrument: String,
        /// The deadline, in s.
        seconds: f32,
        /// The beginning of what came, with escapes.
        heard: String,
        /// What else may be so, a sentence after this one; often empty.
        advice: String,
    },
    /// The event mask that carries the number of an exchange is not there.
    #[error(
        "instrument `{instrument}` has no event mask `*ESE`, in which exchanges carry their number: write `numbered = false` for it in the rig file"
    )]
    Unnumbered {
        /// Its name in the rig.
        instrument: String,
    },
    /// The connection went away.
    #[error(
        "the connection to instrument `{instrument}` was lost: {message}. Check power and cable, and that no other program uses it"
    )]
    Lost {
        /// Its name in the rig.
        instrument: String,
        /// What the system says.
        message: String,
    },
    /// No answer in time.
    #[error(
        "instrument `{instrument}` gave no {what} within {seconds} s: check that it is not busy, or give it more time"
    )]
    Timeout {
        /// Its name in the rig.
        instrument: String,
        /// What is missing.
        what: &'static str,
        /// The deadline, in s.
        seconds: f32,
    },
    /// An answer that is not what the protocol allows.
    #[error("instrument `{instrument}` {message}: check that it is the instrument that the rig file names")]
    Garbled {
        /// Its name in the rig.
        instrument: String,
        /// What it did.
        message: String,
    },
    /// The instrument's own error queue.
    #[error("instrument `{instrument}` refuses `{command}`: {code} {message}")]
    Refused {
        /// Its name in the rig.
        instrument: String,
        /// What it was told.
        command: String,
        /// Its error number.
        code: i32,
        /// Its words.
        message: String,
    },
    /// Another instrument than the rig file names, or another than before.
    #[error(
        "instrument `{instrument}` is {found}, but {expected} was expected: check the address, or correct the rig file"
    )]
    Stranger {
        /// Its name in the rig.
        instrument: String,
        /// Who it should be.
        expected: String,
        /// Who it is.
        found: String,
    },
    /// The same instrument came back with another firmware.
    #[error(
        "instrument `{instrument}` had the firmware `{before}` and now has `{now}`: what was measured before may no longer hold. Begin anew, and calibrate anew"
    )]
    Reflashed {
        /// Its name in the rig.
        instrument: String,
        /// What ran in it.
        before: String,
        /// What runs in it.
        now: String,
    },
    /// It was switched off and on: its settings are gone, and are pushed back on the next port.
    #[error("instrument `{instrument}` has lost power or was reset: its settings are being restored")]
    Restarted {
        /// Its name in the rig.
        instrument: String,
    },
    /// A setting that does not read back as it was sent.
    #[error("instrument `{instrument}` was told {setting} = {sent}, but says {read}: check it and its range")]
    Readback {
        /// Its name in the rig.
        instrument: String,
        /// What was set.
        setting: String,
        /// What it was set to.
        sent: String,
        /// What it says.
        read: String,
    },
    /// A setting of ours that somebody else has changed.
    #[error(
        "instrument `{instrument}` was left with {ours}, and has {found} now: somebody else uses it. What was measured in the last seconds may be of his settings. End what else uses it, and begin again"
    )]
    Changed {
        /// Its name in the rig.
        instrument: String,
        /// What was set, and to what, such as `VOLT = 0.5`.
        ours: String,
        /// What it is now.
        found: String,
    },
    /// Outputs that were switched off are on again.
    #[error(
        "instrument `{instrument}` was switched off and is on again: somebody else drives it. Find out who, or switch it off by hand"
    )]
    OnAgain {
        /// Its name in the rig.
        instrument: String,
    },
    /// Somebody else holds the instrument.
    #[error(
        "instrument `{instrument}` at {address} is held by {owner}: let that end, or bring the bench to its safe state with `pnnlab safe RIG`"
    )]
    Owned {
        /// Its name in the rig.
        instrument: String,
        /// Its address.
        address: String,
        /// Who holds it.
        owner: String,
    },
    /// The file that says who holds an instrument cannot be used.
    #[error("the owner's lock {} cannot be used: {message}. Let this user write there", .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// The file that says what was driven in the last minute cannot be written.
    #[error(
        "what is driven cannot be noted in {}: {message}. Limits over time need it: let this user write there", .path.display()
    )]
    Ledger {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// Readings that cannot be right, such as one that is not a number.
    #[error("instrument `{instrument}` reads {message}: the shots are rejected")]
    Rejected {
        /// Its name in the rig.
        instrument: String,
        /// What is wrong with them.
        message: String,
    },
    /// Sound was lost or came in twice.
    #[error(
        "the sound of instrument `{instrument}` has gaps: {message}, in each of {tries} tries. Make `buffer_frames` larger, or end what keeps this computer busy"
    )]
    Xrun {
        /// Its name in the rig.
        instrument: String,
        /// What was seen.
        message: String,
        /// How often the shots were played.
        tries: u32,
    },
    /// The sync chirp cannot be found in what was heard.
    #[error("the sync chirp of instrument `{instrument}` was not found within {seconds} s: {message}")]
    NoChirp {
        /// Its name in the rig.
        instrument: String,
        /// How long it was looked for, in s.
        seconds: f64,
        /// What was heard instead, and what to do.
        message: String,
    },
    /// The latency is no longer what it was.
    #[error(
        "the latency of instrument `{instrument}` drifted by {frames:.1} frames within {seconds:.1} s, though no sound was lost, in each of {tries} tries: play and record with one interface, so that both have one clock"
    )]
    Drift {
        /// Its name in the rig.
        instrument: String,
        /// By how much.
        frames: f64,
        /// Since when, in s of sound.
        seconds: f64,
        /// How often the shots were played.
        tries: u32,
    },
    /// A description of an instrument that makes no sense.
    #[error("`{key}` {message}")]
    Description {
        /// The key in the rig file, below the instrument's table.
        key: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// A reading has left the bounds of an interlock, or cannot be had: the plant has been made safe.
    #[error("interlock `{interlock}`: {found}; the plant was made safe{after}")]
    Interlock {
        /// Its name in the rig; boxes, as errors are to stay small.
        interlock: Box<str>,
        /// The reading with its bounds, or why there is none.
        found: Box<str>,
        /// Whether the plant may be driven again.
        after: AfterTrip,
    },
    /// Whoever drives the plant has been asked to stop.
    #[error("nothing more is driven: the user has asked to stop")]
    Interrupted,
    /// More than the rig file allows in a stretch of time.
    #[error("{what} would be {value} {unit}, but the rig file allows {limit} {unit}: {advice}")]
    Overdriven {
        /// What would be too much, such as `slew of input drive[3]`.
        what: String,
        /// How much it would be.
        value: f32,
        /// What is allowed.
        limit: f32,
        /// Unit.
        unit: String,
        /// What to do.
        advice: &'static str,
    },
    /// More shots than the rig file allows while a plant is open.
    #[error(
        "these would be {total} shots since it was opened, but the rig file allows {most}: ask for fewer, or allow more by `limits.shots`"
    )]
    OutOfShots {
        /// How many it would be.
        total: u64,
        /// How many may be.
        most: u64,
    },
}

/// SCPI-99, 21.8.9.
const DATA_OUT_OF_RANGE: i32 = -222;

/// What kind of trouble with an instrument an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// No answer in time.
    Timeout,
    /// An answer that the protocol does not allow, or of somebody else.
    Framing,
    /// The instrument itself says no, such as by its SCPI error queue.
    Scpi,
    /// A value outside of what is allowed.
    Range,
    /// The connection, the power or the sound was lost.
    Io,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Timeout, Self::Framing, Self::Scpi, Self::Range, Self::Io];
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Timeout => "timeout",
            Self::Framing => "framing",
            Self::Scpi => "scpi",
            Self::Range => "range",
            Self::Io => "io",
        })
    }
}

impl Error {
    /// What kind of trouble with an instrument it is; none where it is about a file or a call.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Timeout { .. } | Self::Mute { .. } | Self::Unfinished { .. } => Some(ErrorKind::Timeout),
            Self::Garbled { .. } | Self::Stranger { .. } | Self::Changed { .. } => Some(ErrorKind::Framing),
            Self::Refused { code: DATA_OUT_OF_RANGE, .. }
            | Self::OutOfRange { .. }
            | Self::Overdriven { .. }
            | Self::OutOfShots { .. }
            | Self::Interlock { .. } => Some(ErrorKind::Range),
            Self::Refused { .. } | Self::Readback { .. } | Self::OnAgain { .. } | Self::Unnumbered { .. } => {
                Some(ErrorKind::Scpi)
            }
            Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Restarted { .. }
            | Self::Reflashed { .. }
            | Self::Xrun { .. }
            | Self::NoChirp { .. }
            | Self::Drift { .. } => Some(ErrorKind::Io),
            Self::Ragged { .. }
            | Self::Width { .. }
            | Self::LimitOutside { .. }
            | Self::Recording { .. }
            | Self::UnknownBank { .. }
            | Self::Address { .. }
            | Self::Owned { .. }
            | Self::Lock { .. }
            | Self::Ledger { .. }
            | Self::Rejected { .. }
            | Self::Description { .. }
            | Self::Interrupted => None,
        }
    }

    /// The reason in a word, where it says that shots were refused or their readings thrown away.
    pub fn rejects(&self) -> Option<&'static str> {
        match self {
            Self::OutOfRange { .. } => Some("range"),
            Self::Overdriven { .. } => Some("dose"),
            Self::OutOfShots { .. } => Some("shots"),
            Self::Interlock { .. } => Some("interlock"),
            Self::Rejected { .. } => Some("void"),
            Self::Xrun { .. } => Some("xrun"),
            Self::NoChirp { .. } => Some("sync"),
            Self::Drift { .. } => Some("drift"),
            _ => None,
        }
    }

    /// Whether asking again can help: the fault lies in the wire or the moment, not in what was asked.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Mute { .. }
                | Self::Unfinished { .. }
                | Self::Lost { .. }
                | Self::Timeout { .. }
                | Self::Garbled { .. }
                | Self::Restarted { .. }
                | Self::Rejected { .. }
                | Self::Xrun { .. }
                | Self::NoChirp { .. }
                | Self::Drift { .. }
        )
    }

    /// Whether an instrument is away, such as for a pulled cable or a lost power: it may come back by itself.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Mute { .. }
                | Self::Lost { .. }
                | Self::Timeout { .. }
                | Self::Garbled { .. }
                | Self::Restarted { .. }
                | Self::NoChirp { .. }
        )
    }

    /// Whether the bytes on the wire can no longer be trusted to be in step after this.
    pub fn breaks_link(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Mute { .. }
                | Self::Unfinished { .. }
                | Self::Lost { .. }
                | Self::Timeout { .. }
                | Self::Garbled { .. }
                | Self::Restarted { .. }
                | Self::NoChirp { .. }
                | Self::Unnumbered { .. }
                | Self::Recording { .. }
        )
    }

    /// A recording that cannot be written, read or followed.
    pub(crate) fn recording(path: &Path, message: String) -> Self {
        Self::Recording { path: path.to_owned(), message }
    }
}
