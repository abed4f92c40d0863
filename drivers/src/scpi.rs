//! SCPI-99 and IEEE 488.2 over a byte stream: commands, queries, blocks, the error queue, and answers that stay in step.
//!
//! An exchange is one write. Each of its steps is a line; a step that is checked is followed by a query of the error queue, so
//! an error belongs to its command. The last lines are ours:
//!
//! ```text
//! *ESE 17      the number of this exchange, written to the event mask, a register without effect on any output
//! *ESE?        … and read back: an answer that belongs to another exchange cannot pass for one of this
//! *ESR?        bit 7: the instrument was switched off in between (IEEE 488.2, 11.5.1)
//! ```
//!
//! An instrument that takes one line at a time gets one query a write, and the next when that is answered. One whose greeting fails
//! twice after it has answered a part of it is tried like that by itself.

mod block;
mod entry;
mod exchange;
mod held;
mod identity;
mod terminator;
mod value;

use std::collections::VecDeque;
use std::time::Duration;

use crate::dialogue::shown;
use crate::owner::is_serial_number;
use crate::{Error, Opening, Port, Session};

pub use block::{Numbers, block, read_block};
pub(crate) use entry::says_error;
pub use held::Held;
pub use identity::ScpiIdentity;
pub use terminator::Terminator;
pub use value::{Setting, agrees, numbers};
pub(crate) use value::{number, number_in, told};

/// The longest line that is read: a waveform as text.
const LONGEST_LINE: usize = 1 << 22;
/// The longest block that is read.
const LONGEST_BLOCK: usize = 1 << 26;
/// Entries that are taken from an error queue before it is called endless.
const QUEUE: usize = 64;
/// Bit 7 of the standard event status register: power on.
const POWER_ON: u32 = 128;
/// What an instrument that takes one line at a time is given for a line without an answer.
pub(crate) const ONE_LINE: Duration = Duration::from_millis(20);
/// Greetings that must have failed half-way before one query a write is tried.
const HALVES: u32 = 2;
/// How far the number of a look at the settings is from that of the exchange before it.
const LOOKS: u8 = 128;

/// What a step is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nothing,
    /// A line.
    Line,
    /// Lines, as many as there are: they end where the entry of the error queue comes.
    Lines,
    /// A definite-length block.
    Block,
}

/// One line to the instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Without its terminator; it may hold a block.
    pub command: Vec<u8>,
    /// What it is answered with.
    pub answer: Answer,
}

impl Step {
    /// A command.
    pub fn tell(command: impl Into<Vec<u8>>) -> Self {
        Self { command: command.into(), answer: Answer::Nothing }
    }

    /// A query that is answered with a line.
    pub fn query(command: impl Into<Vec<u8>>) -> Self {
        Self { command: command.into(), answer: Answer::Line }
    }

    /// A query that is answered with any number of lines, such as a list of commands.
    pub fn query_lines(command: impl Into<Vec<u8>>) -> Self {
        Self { command: command.into(), answer: Answer::Lines }
    }

    /// A query that is answered with a block.
    pub fn query_block(command: impl Into<Vec<u8>>) -> Self {
        Self { command: command.into(), answer: Answer::Block }
    }
}

/// What the instrument's protocol leaves open.
#[derive(Debug, Clone)]
pub struct Scpi {
    /// A part of the answer to `*IDN?` that must be there; empty if anybody may answer.
    expected: String,
    /// Which one it is, where it cannot say that itself; empty if nobody has named it.
    serial: String,
    /// Settings that are ours: pushed on every fresh port, and verified by readback where they have a query.
    settings: Vec<Setting>,
    /// What was set since the port was opened, and must stay.
    held: Vec<Held>,
    /// Whether each exchange carries a number.
    numbered: bool,
    /// What ends a line to the instrument; its answers may end as they like.
    terminator: Terminator,
    /// Whether an exchange is one write, and not one write for each query.
    pipelined: bool,
    /// How many greetings have failed half-way, before the first that succeeded.
    halves: u32,
    /// Whether the instrument quotes the words of its errors, where that is known.
    quotes: Option<bool>,
    /// Whether a number has come back.
    has_mask: bool,
    /// Who answered first.
    identity: Option<ScpiIdentity>,
    /// The number of the last exchange.
    number: u8,
    /// What the event mask was told last: that number, or the one of a look at the settings.
    written: u8,
}

impl Scpi {
    /// A session with settings of ours.
    pub fn new(expected: &str, settings: Vec<Setting>) -> Self {
        Self {
            expected: expected.to_owned(),
            serial: String::new(),
            settings,
            held: vec![],
            numbered: true,
            terminator: Terminator::Lf,
            pipelined: true,
            halves: 0,
            quotes: None,
            has_mask: false,
            identity: None,
            number: 0,
            written: 0,
        }
    }

    /// The same for the instrument that people call `serial`, which has no serial number of its own to say; empty if nobody has named it.
    pub fn named(self, serial: &str) -> Self {
        Self { serial: serial.trim().to_owned(), ..self }
    }

    /// The same, whose exchanges carry a number or not; instruments without the event mask `*ESE` need it off.
    pub fn numbered(self, numbered: bool) -> Self {
        Self { numbered, ..self }
    }

    /// The same, whose lines to the instrument end with `terminator`.
    pub fn ending(self, terminator: Terminator) -> Self {
        Self { terminator, ..self }
    }

    /// The same, with an exchange in one write, or with one write for each query.
    pub fn pipelined(self, pipelined: bool) -> Self {
        Self { pipelined, ..self }
    }

    /// Sends an exchange and refuses an instrument that lost its settings.
    async fn checked(&mut self, port: &mut Port, steps: &[Step]) -> Result<Vec<Vec<u8>>, Error> {
        self.number = self.number.wrapping_add(1);
        self.checked_as(self.number, port, steps).await
    }

    /// The same, in the exchange with this number.
    async fn checked_as(&mut self, number: u8, port: &mut Port, steps: &[Step]) -> Result<Vec<Vec<u8>>, Error> {
        let (answers, register) = self.converse_as(number, port, steps, true).await?;
        if register & POWER_ON != 0 {
            return Err(Error::Restarted { instrument: port.instrument().to_owned() });
        }
        Ok(answers)
    }

    /// Pushes our settings and reads them back.
    async fn push(&mut self, port: &mut Port) -> Result<(), Error> {
        if self.settings.is_empty() {
            return Ok(());
        }
        let settings = self.settings.clone();
        let mut steps = Vec::new();
        for setting in &settings {
            steps.push(Step::tell(setting.command()));
            steps.extend(setting.query.as_ref().map(|query| Step::query(query.clone())));
        }
        let answers = self.checked(port, &steps).await?;
        for (setting, answer) in settings.iter().filter(|setting| setting.query.is_some()).zip(&answers) {
            let read = String::from_utf8_lossy(answer);
            if !agrees(&setting.value, &read) {
                return Err(Error::Readback {
                    instrument: port.instrument().to_owned(),
                    setting: setting.header.clone(),
                    sent: setting.value.clone(),
                    read: shown(answer),
                });
            }
        }
        Ok(())
    }

    /// Looks whether the event mask still holds the number of the last exchange: whoever else has numbered one meanwhile is found out.
    async fn verify_number(&self, port: &mut Port) -> Result<(), Error> {
        let end = self.terminator.bytes();
        port.write(&[b"*ESE?", end].concat()).await?;
        let text = line(port).await?;
        if whole(&text) == Some(u32::from(self.written)) {
            return Ok(());
        }
        port.write(&[b"*ESR?", end].concat()).await?;
        let register = whole(&line(port).await?).unwrap_or(0);
        if register & POWER_ON != 0 {
            return Err(Error::Restarted { instrument: port.instrument().to_owned() });
        }
        let ours = format!("its event mask `*ESE` = {}", self.written);
        Err(changed(port, ours, shown(text.as_bytes())))
    }

    /// Brings answers in step after one went missing on a line that keeps what is late.
    async fn resynchronize(&mut self, port: &mut Port) -> Result<(), Error> {
        let pause = std::time::Duration::from_millis(50);
        let end = self.terminator.bytes();
        port.write(&[end, b"*CLS", end].concat()).await?;
        port.discard_until_quiet(pause, 10 * pause).await?;
        if !self.numbered {
            return Ok(());
        }
        // Two numbers in a row that no late answer is likely to hold, until they come back in their order.
        for number in [173_u32, 92] {
            let told = [format!("*ESE {number}").as_bytes(), end].concat();
            let mut lines = VecDeque::from([(told, false), ([b"*ESE?", end].concat(), true)]);
            self.feed(port, &mut lines).await?;
            let mut tries = 0;
            while whole(&line(port).await?) != Some(number) {
                tries += 1;
                if tries == QUEUE {
                    return Err(garbled(port, "cannot be brought in step".to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Refuses whoever is not who was there before, or not who the rig file names.
    fn recognize(&mut self, instrument: &str, found: ScpiIdentity) -> Result<(), Error> {
        let stranger = |expected: String, found: &ScpiIdentity| Error::Stranger {
            instrument: instrument.to_owned(),
            expected,
            found: format!("`{}`", shown(found.to_string().as_bytes())),
        };
        if !found.to_string().to_lowercase().contains(&self.expected.to_lowercase()) {
            return Err(stranger(format!("one whose `*IDN?` contains `{}`", self.expected), &found));
        }
        let says_number = is_serial_number(&found.serial);
        if !self.serial.is_empty() && says_number && found.serial != self.serial {
            return Err(stranger(format!("the one with the serial number `{}`", self.serial), &found));
        }
        let found = if self.serial.is_empty() { found } else { ScpiIdentity { serial: self.serial.clone(), ..found } };
        match &self.identity {
            Some(before) if ScpiIdentity { firmware: before.firmware.clone(), ..found.clone() } == *before => {
                if found.firmware == before.firmware {
                    return Ok(());
                }
                let (instrument, before, now) = (instrument.to_owned(), before.firmware.clone(), found.firmware);
                Err(Error::Reflashed { instrument, before, now })
            }
            Some(before) => Err(stranger(format!("`{before}`"), &found)),
            None => {
                self.identity = Some(found);
                Ok(())
            }
        }
    }
}

/// What a SCPI instrument may be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum ScpiRequest {
    /// Lines, each checked for errors.
    Steps(Vec<Step>),
    /// A query alone, without a look at the error queue: the fastest.
    Query(Vec<u8>),
    /// Settings that are ours from now on, with those that are already: pushed and read back.
    Settings(Vec<Setting>),
    /// Commands that set values, which are read back and must stay as they are from now on: the answers to the queries. What was held
    /// before is so no more.
    Hold {
        /// Each is checked for errors.
        commands: Vec<String>,
        /// What they set.
        held: Vec<Held>,
    },
    /// Lines, each checked for errors; from now on no value is held.
    Release(Vec<Step>),
    /// Who it is.
    Identity,
}

impl Session for Scpi {
    type Request = ScpiRequest;
    type Reply = Vec<Vec<u8>>;

    fn verb(request: &ScpiRequest) -> &'static str {
        match request {
            ScpiRequest::Steps(steps) if steps.iter().any(|step| step.answer == Answer::Block) => "block",
            ScpiRequest::Steps(steps) if steps.iter().all(|step| step.answer == Answer::Nothing) => "command",
            ScpiRequest::Hold { held, .. } if held.is_empty() => "command",
            ScpiRequest::Identity => "identity",
            _ => "query",
        }
    }

    async fn greet(&mut self, port: &mut Port, opening: Opening) -> Result<(), Error> {
        port.listen();
        let greeted = self.introduce(port, opening).await;
        // Before its first greeting succeeded, nobody knows how the instrument likes to be spoken to.
        if let Err(Error::Timeout { .. }) = greeted
            && self.halves < HALVES
            && opening.count == 0
        {
            self.halves =
                if port.heard().contains(&b'\n') || port.heard().contains(&b'\r') { self.halves + 1 } else { 0 };
        }
        greeted
    }

    fn advise(&self, heard: &[u8]) -> String {
        let end = if self.terminator == Terminator::Lf {
            "`terminator = \"crlf\"` or `\"cr\"`"
        } else {
            "`terminator = \"lf\"`"
        };
        if heard.is_empty() {
            return format!(". If its lines end otherwise, write {end}");
        }
        if heard.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return ". If it takes one line at a time, write `pipelined = false`; if it has no `*ESE`, `numbered = false`".to_owned();
        }
        ". What came has no end of line: an answer ends with a line feed or a carriage return".to_owned()
    }

    async fn verify(&mut self, port: &mut Port) -> Result<(), Error> {
        // A second connection of ours to the same box numbers its exchanges as well.
        if self.numbered && port.is_alone() {
            self.verify_number(port).await?;
        }
        let settings: Vec<Setting> = self.settings.iter().filter(|setting| setting.query.is_some()).cloned().collect();
        let held = self.held.clone();
        if settings.is_empty() && held.is_empty() {
            return Ok(());
        }
        let queries = settings.iter().filter_map(|setting| setting.query.clone());
        let queries = queries.chain(held.iter().map(|held| held.query.clone())).map(Step::query).collect::<Vec<_>>();
        // A recording has no such looks, so that they must not count: the look has a number far from those of the exchanges before and
        // after it, and the next exchange has the number that it would have had without the look.
        let number = self.number.wrapping_add(LOOKS);
        let answers = self.checked_as(number, port, &queries).await?;
        let (of_settings, of_held) = answers.split_at(settings.len().min(answers.len()));
        for (setting, answer) in settings.into_iter().zip(of_settings) {
            if !agrees(&setting.value, &String::from_utf8_lossy(answer)) {
                return Err(changed(port, format!("{} = {}", setting.header, setting.value), shown(answer)));
            }
        }
        match held.iter().zip(of_held).find(|(held, answer)| held.read(answer).is_none()) {
            Some((held, answer)) => Err(changed(port, format!("{} = {}", held.header, held.value), shown(answer))),
            None => Ok(()),
        }
    }

    async fn exchange(&mut self, port: &mut Port, request: &ScpiRequest) -> Result<Vec<Vec<u8>>, Error> {
        match request {
            ScpiRequest::Steps(steps) => self.checked(port, steps).await,
            ScpiRequest::Query(command) => {
                let steps = [Step::query(command.clone())];
                self.converse(port, &steps, false).await.map(|(answers, _)| answers)
            }
            ScpiRequest::Settings(settings) => {
                let is_known = |setting: &&Setting| !self.settings.iter().any(|known| known.header == setting.header);
                let new: Vec<Setting> = settings.iter().filter(is_known).cloned().collect();
                self.settings.extend(new);
                self.push(port).await.map(|()| vec![])
            }
            ScpiRequest::Hold { commands, held } => {
                self.held.clear();
                let commands = commands.iter().map(|command| Step::tell(command.clone()));
                let queries = held.iter().map(|held| Step::query(held.query.clone()));
                let answers = self.checked(port, &commands.chain(queries).collect::<Vec<_>>()).await?;
                held.iter().zip(&answers).try_for_each(|(held, answer)| held.check(port.instrument(), answer))?;
                self.held.clone_from(held);
                Ok(answers)
            }
            ScpiRequest::Release(steps) => {
                self.held.clear();
                self.checked(port, steps).await
            }
            ScpiRequest::Identity => {
                let identity = self.identity.as_ref().map(ToString::to_string).unwrap_or_default();
                Ok(vec![identity.into_bytes()])
            }
        }
    }
}

impl Scpi {
    /// Makes sure that answers are in step, asks who is there, and pushes our settings.
    async fn introduce(&mut self, port: &mut Port, opening: Opening) -> Result<(), Error> {
        // Nothing is known of values that were set on the port before: their driver reads them back, and sets them again where needed.
        self.held.clear();
        if opening.stale {
            self.resynchronize(port).await?;
        }
        // The power-on bit of before is read away here, and old errors are not ours.
        let (answers, _) = self.converse(port, &[Step::query("*IDN?")], false).await?;
        let text = answers.first().map(|answer| String::from_utf8_lossy(answer).into_owned()).unwrap_or_default();
        let found = ScpiIdentity::parse(&text);
        let serial = if self.serial.is_empty() { &found.serial } else { &self.serial };
        port.claim(&found.manufacturer, &found.model, serial)?;
        self.recognize(port.instrument(), found)?;
        self.drain(port).await?;
        self.push(port).await
    }
}

/// Somebody else has changed what was ours.
fn changed(port: &Port, ours: String, found: String) -> Error {
    Error::Changed { instrument: port.instrument().to_owned(), ours, found }
}

/// One line, without its terminator and what pads it.
async fn line(port: &mut Port) -> Result<String, Error> {
    let bytes = port.read_line(LONGEST_LINE).await?;
    Ok(String::from_utf8_lossy(&bytes)
        .trim_matches(|letter: char| letter.is_ascii_control() || letter == ' ')
        .to_owned())
}

/// A register, however it is written: `16`, `+16`, `  16`, `+1.6E+01`.
fn whole(text: &str) -> Option<u32> {
    let value = text.trim().parse::<f64>().ok()?;
    (value.fract() == 0.0 && (0.0..=65_535.0).contains(&value)).then_some(value as u32)
}

/// The instrument said what it must not.
fn garbled(port: &Port, message: String) -> Error {
    Error::Garbled { instrument: port.instrument().to_owned(), message }
}

#[cfg(test)]
mod tests;
