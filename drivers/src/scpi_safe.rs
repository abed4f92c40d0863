//! What makes the output of a SCPI instrument safe, with the controls that it carries, and what shows that it is.

use std::time::Duration;

use crate::beside::{is_off, stays_off};
use crate::dialogue::shown;
use crate::{Error, Held, Link, LinkOptions, SafeOrder, Scpi, ScpiControlsConfig, ScpiRequest, Step, Terminator};

/// A part of the safe state that takes longer than this, twice, has failed.
const SAFE_WITHIN: Duration = Duration::from_secs(1);

/// The words for one instrument. The drive is switched off, and is known to be off, before any control is told anything; each control is
/// an exchange of its own, so that neither their number nor one that refuses its value keeps anything on.
#[derive(Debug, Clone)]
pub(crate) struct ScpiSafe {
    /// The query of the drive's state.
    state: String,
    parts: Vec<Part>,
}

/// The drive, or one control.
#[derive(Debug, Clone)]
struct Part {
    /// Lines that make it safe, in their order.
    lines: Vec<String>,
    /// What shows that it is.
    shown: Shown,
}

#[derive(Debug, Clone)]
enum Shown {
    /// The answer to this query says that the output is off.
    Off(String),
    /// It reads its safe value.
    At(Held),
    /// Nothing: it cannot be read back.
    Nothing,
}

impl ScpiSafe {
    /// The lines `off`, then the controls at their safe values; `state` asks whether the output is on.
    pub fn new(off: &[&str], state: &str, controls: &ScpiControlsConfig) -> Self {
        let lines = off.iter().map(|line| (*line).to_owned()).collect();
        let drive = Part { lines, shown: Shown::Off(state.to_owned()) };
        let controls = controls.safe_lines().into_iter();
        let controls = controls.map(|(lines, held)| Part { lines, shown: held.map_or(Shown::Nothing, Shown::At) });
        Self { state: state.to_owned(), parts: std::iter::once(drive).chain(controls).collect() }
    }

    /// Switches off, and asks whether that is so.
    pub fn switch_off(&self, link: &Link<Scpi>) -> Result<(), Error> {
        self.each(|part| part.take(link, part.lines.iter().map(|line| Step::tell(line.clone())).collect()))
    }

    /// Asks whether it is off.
    fn is_off(&self, link: &Link<Scpi>) -> Result<bool, Error> {
        match self.each(|part| part.take(link, vec![])) {
            Ok(()) => Ok(true),
            Err(Error::Readback { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks for `time` whether it stays off; where it is on again it is switched off once more.
    pub fn stays_off(&self, link: &Link<Scpi>, instrument: &str, time: Duration) -> Result<(), Error> {
        stays_off(instrument, time, || self.is_off(link), || self.switch_off(link))
    }

    /// What the guard must say when this program has died.
    pub fn order(&self, options: &LinkOptions, terminator: Terminator) -> SafeOrder {
        let off: Vec<&str> = self.parts.iter().flat_map(|part| &part.lines).map(String::as_str).collect();
        SafeOrder::scpi(&options.instrument, &options.address, &off, &self.state).ending(terminator)
    }

    /// Does it with one part after another: the first error. What the instrument refuses, or does otherwise, keeps no other part from being
    /// made safe; where it does not answer, no other part is tried.
    fn each(&self, make: impl Fn(&Part) -> Result<(), Error>) -> Result<(), Error> {
        let mut all = Ok(());
        for part in &self.parts {
            match make(part) {
                Err(error @ (Error::Refused { .. } | Error::Readback { .. })) => all = all.and(Err(error)),
                made => made?,
            }
        }
        all
    }
}

impl Part {
    /// Takes these steps, after which it shows that it is safe.
    fn take(&self, link: &Link<Scpi>, mut steps: Vec<Step>) -> Result<(), Error> {
        let query = match &self.shown {
            Shown::Off(query) => Some(query),
            Shown::At(held) => Some(&held.query),
            Shown::Nothing => None,
        };
        steps.extend(query.map(|query| Step::query(query.clone())));
        if steps.is_empty() {
            return Ok(());
        }
        let answers = link.insist(ScpiRequest::Release(steps), SAFE_WITHIN)?;
        let instrument = link.watch().report().instrument;
        match &self.shown {
            Shown::Off(query) => is_off(&answers).map_err(|state| Error::Readback {
                instrument,
                setting: query.trim_end_matches('?').to_owned(),
                sent: "OFF".to_owned(),
                read: shown(state.as_bytes()),
            }),
            Shown::At(held) => held.check(&instrument, answers.first().map_or(&[][..], Vec::as_slice)),
            Shown::Nothing => Ok(()),
        }
    }
}
