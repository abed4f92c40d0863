//! What the failure of a session means: whether another one can help, and how it is said.

use std::time::Duration;

use super::message::Reason;
use super::session::Failure;
use crate::Error;

/// Whether another session can help.
pub(super) fn may_pass(failure: Failure) -> bool {
    match failure {
        Failure::Closed | Failure::Silent => true,
        Failure::Refused(reason) => matches!(
            reason,
            Reason::NoSession | Reason::Busy | Reason::NotReady | Reason::Incomplete | Reason::Malformed
        ),
        Failure::Nonsense(_) => false,
    }
}

/// The failure as an error that says what to do.
pub(super) fn explain(instrument: &str, verb: &'static str, failure: Failure, limit: Duration) -> Error {
    let instrument = instrument.to_owned();
    match failure {
        Failure::Closed => Error::Lost { instrument, message: format!("it did not come back while {verb}") },
        Failure::Silent => Error::Timeout { instrument, what: verb_noun(verb), seconds: limit.as_secs_f32() },
        Failure::Refused(reason) => Error::Refused {
            instrument,
            command: verb.to_owned(),
            code: reason as i32,
            message: sentence(reason).to_owned(),
        },
        Failure::Nonsense(what) => Error::Garbled { instrument, message: what.to_owned() },
    }
}

/// What is missing when an instrument is silent.
fn verb_noun(verb: &str) -> &'static str {
    match verb {
        "measuring" => "reading",
        "making safe" => "word that it is safe",
        _ => "answer",
    }
}

/// What a refusal means and what to do.
fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::NoSession => "it has forgotten the session: it lost its power, or heard nothing for its watchdog time",
        Reason::Busy => "another controller has it: end that one, or wait for its watchdog time",
        Reason::Version => "it speaks another version of pnnlink: update its firmware or this program",
        Reason::Stopped => "somebody has made it safe from outside: start again when the bench is clear",
        Reason::NotReady => "no controls are applied",
        Reason::OutOfRange => "a value is outside what it takes: narrow the limits in the rig file",
        Reason::Incomplete => "not all controls have reached it",
        Reason::OutOfOrder => "shots before these are missing",
        Reason::TooLong => "the message is longer than it can hold",
        Reason::Malformed => "the message makes no sense to it",
        Reason::Hardware => "its hardware has failed: look at the instrument itself",
    }
}
