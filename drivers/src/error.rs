//! What can go wrong at an instrument, as sentences that name the offender and say what to do.

use std::path::{Path, PathBuf};

use crate::{Direction, Range};

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
    /// An instrument that cannot be opened.
    #[error("{address} cannot be opened: {message}. Check cable, power and address")]
    Unopened {
        /// Where it should be.
        address: String,
        /// What the system says.
        message: String,
    },
    /// An instrument that says nothing.
    #[error("{address} did not answer within {seconds} s while {verb}: check cable and power, then try again")]
    Unanswered {
        /// Where it is.
        address: String,
        /// What it was asked to do.
        verb: &'static str,
        /// The deadline, in s.
        seconds: f64,
    },
    /// A connection that ended and did not come back.
    #[error("{address} was lost while {verb} and did not come back: check cable and power, then try again")]
    ConnectionLost {
        /// Where it was.
        address: String,
        /// What it was asked to do.
        verb: &'static str,
    },
    /// An instrument that says no.
    #[error("{address} refuses {verb}: {reason}")]
    Refused {
        /// Where it is.
        address: String,
        /// What it was asked to do.
        verb: &'static str,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// An instrument whose answers make no sense.
    #[error("{address} {what}: trying again will not help; check which instrument and firmware it is")]
    Misunderstood {
        /// Where it is.
        address: String,
        /// What it does.
        what: &'static str,
    },
    /// A shot without a reading that can be used.
    #[error(
        "{address}: shot {shot} of the batch was driven {attempts} times and never read well: look for overruns and stale frames"
    )]
    ShotVoid {
        /// Where the instrument is.
        address: String,
        /// Its row in the batch.
        shot: usize,
        /// How often it was driven.
        attempts: u32,
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
}

impl Error {
    /// A recording that cannot be written, read or followed.
    pub(crate) fn recording(path: &Path, message: String) -> Self {
        Self::Recording { path: path.to_owned(), message }
    }
}
