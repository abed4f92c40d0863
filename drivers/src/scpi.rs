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

mod block;
mod value;

use crate::dialogue::shown;
use crate::{Error, Opening, Port, Session};

pub use block::{Numbers, block, read_block};
pub use value::{Setting, agrees, numbers};

/// The longest line that is read: a waveform as text.
const LONGEST_LINE: usize = 1 << 22;
/// The longest block that is read.
const LONGEST_BLOCK: usize = 1 << 26;
/// Entries that are taken from an error queue before it is called endless.
const QUEUE: usize = 64;
/// Bit 7 of the standard event status register: power on.
const POWER_ON: u32 = 128;
/// `-350,"Queue overflow"`: errors were lost, and nobody knows whose (SCPI-99, 21.8.11).
const OVERFLOW: i32 = -350;

/// What a step is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nothing,
    /// A line.
    Line,
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

    /// A query that is answered with a block.
    pub fn query_block(command: impl Into<Vec<u8>>) -> Self {
        Self { command: command.into(), answer: Answer::Block }
    }
}

/// Who an instrument is: the four fields of `*IDN?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScpiIdentity {
    /// Who made it.
    pub manufacturer: String,
    /// What it is.
    pub model: String,
    /// Which one it is.
    pub serial: String,
    /// What runs in it.
    pub firmware: String,
}

impl std::fmt::Display for ScpiIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{},{},{}", self.manufacturer, self.model, self.serial, self.firmware)
    }
}

impl ScpiIdentity {
    /// Reads the answer to `*IDN?`; what is missing is empty.
    pub fn parse(text: &str) -> Self {
        let mut fields = text.splitn(4, ',').map(|field| field.trim().to_owned());
        let mut next = || fields.next().unwrap_or_default();
        Self { manufacturer: next(), model: next(), serial: next(), firmware: next() }
    }

    /// Whether it says of itself that it is simulated.
    pub fn is_simulated(&self) -> bool {
        self.to_string().to_lowercase().contains("simulated")
    }
}

/// What the instrument's protocol leaves open.
#[derive(Debug, Clone)]
pub struct Scpi {
    /// A part of the answer to `*IDN?` that must be there; empty if anybody may answer.
    expected: String,
    /// Settings that are ours: pushed on every fresh port, and verified by readback where they have a query.
    settings: Vec<Setting>,
    /// Whether each exchange carries a number.
    numbered: bool,
    /// Who answered first.
    identity: Option<ScpiIdentity>,
    /// The number of the last exchange.
    number: u8,
}

impl Scpi {
    /// A session with settings of ours.
    pub fn new(expected: &str, settings: Vec<Setting>) -> Self {
        Self { expected: expected.to_owned(), settings, numbered: true, identity: None, number: 0 }
    }

    /// The same, whose exchanges carry a number or not; instruments without the event mask `*ESE` need it off.
    pub fn numbered(self, numbered: bool) -> Self {
        Self { numbered, ..self }
    }

    /// The bytes of an exchange.
    fn message(&self, steps: &[Step], checked: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for step in steps {
            bytes.extend_from_slice(&step.command);
            bytes.push(b'\n');
            if checked {
                bytes.extend_from_slice(b":SYST:ERR?\n");
            }
        }
        if self.numbered {
            bytes.extend_from_slice(format!("*ESE {}\n*ESE?\n*ESR?\n", self.number).as_bytes());
        }
        bytes
    }

    /// Sends steps and reads their answers.
    async fn converse(&mut self, port: &mut Port, steps: &[Step], checked: bool) -> Result<(Vec<Vec<u8>>, u32), Error> {
        self.number = self.number.wrapping_add(1);
        port.write(&self.message(steps, checked)).await?;
        let mut answers = Vec::new();
        let mut refusal = None;
        for step in steps {
            match step.answer {
                Answer::Nothing => {}
                Answer::Line => match line(port).await? {
                    // An instrument that refuses a query answers only the query of its error queue.
                    text if checked && is_error(&text) && !asks_for_error(step) => {
                        refusal = refusal.or(refused(port, step, &text));
                        continue;
                    }
                    text => answers.push(text.into_bytes()),
                },
                Answer::Block if port.peek().await? == b'#' => answers.push(read_block(port, LONGEST_BLOCK).await?),
                Answer::Block => {
                    let text = line(port).await?;
                    let Some(error) = refused(port, step, &text).filter(|_| is_error(&text)) else {
                        return Err(garbled(
                            port,
                            format!("answers `{}` where a block was expected", shown(text.as_bytes())),
                        ));
                    };
                    refusal = refusal.or(Some(error));
                    continue;
                }
            }
            if checked {
                let text = line(port).await?;
                if !is_error(&text) {
                    let text = shown(text.as_bytes());
                    return Err(garbled(port, format!("answers `{text}` where an error number was expected")));
                }
                refusal = refusal.or(refused(port, step, &text));
            }
        }
        let register = self.closing(port).await?;
        match refusal {
            Some(error) => {
                if self.drain(port).await? {
                    return Err(garbled(port, "lost entries of its error queue (-350)".to_owned()));
                }
                Err(error)
            }
            None => Ok((answers, register)),
        }
    }

    /// Reads the lines that end an exchange: the event register.
    async fn closing(&mut self, port: &mut Port) -> Result<u32, Error> {
        if !self.numbered {
            return Ok(0);
        }
        let number = line(port).await?;
        if number.parse::<f64>().ok() != Some(f64::from(self.number)) {
            let number = shown(number.as_bytes());
            return Err(garbled(port, format!("answers `{number}` in exchange {}: it is out of step", self.number)));
        }
        let register = line(port).await?;
        let register = register.parse::<u32>().ok().filter(|register| *register < 256);
        let register = register.ok_or_else(|| garbled(port, "has no event register `*ESR?`".to_owned()))?;
        if !port.is_drained() {
            return Err(garbled(port, "said more than it was asked".to_owned()));
        }
        Ok(register)
    }

    /// Empties the error queue, so that an old error is not taken for a new one: whether it had overflowed, so that nobody
    /// knows whose its errors are.
    async fn drain(&mut self, port: &mut Port) -> Result<bool, Error> {
        let mut overflowed = false;
        for _ in 0..QUEUE {
            port.write(b":SYST:ERR?\n").await?;
            match error_number(&line(port).await?) {
                Some(0) => return Ok(overflowed),
                number => overflowed |= number == Some(OVERFLOW),
            }
        }
        Err(garbled(port, format!("has more than {QUEUE} errors in its queue")))
    }

    /// Sends an exchange and refuses an instrument that lost its settings.
    async fn checked(&mut self, port: &mut Port, steps: &[Step]) -> Result<Vec<Vec<u8>>, Error> {
        let (answers, register) = self.converse(port, steps, true).await?;
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

    /// Brings answers in step after one went missing on a line that keeps what is late.
    async fn resynchronize(&mut self, port: &mut Port) -> Result<(), Error> {
        let pause = std::time::Duration::from_millis(50);
        port.write(b"\n*CLS\n").await?;
        port.discard_until_quiet(pause, 10 * pause).await?;
        if !self.numbered {
            return Ok(());
        }
        // Two numbers in a row that no late answer is likely to hold, until they come back in their order.
        for number in [173_u8, 92] {
            port.write(format!("*ESE {number}\n*ESE?\n").as_bytes()).await?;
            let mut tries = 0;
            while line(port).await? != number.to_string() {
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScpiRequest {
    /// Lines, each checked for errors.
    Steps(Vec<Step>),
    /// A query alone, without a look at the error queue: the fastest.
    Query(Vec<u8>),
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
            ScpiRequest::Steps(_) | ScpiRequest::Query(_) => "query",
            ScpiRequest::Identity => "identity",
        }
    }

    async fn greet(&mut self, port: &mut Port, opening: Opening) -> Result<(), Error> {
        if opening.stale {
            self.resynchronize(port).await?;
        }
        // The power-on bit of before is read away here, and old errors are not ours.
        let (answers, _) = self.converse(port, &[Step::query("*IDN?")], false).await?;
        let text = answers.first().map(|answer| String::from_utf8_lossy(answer).into_owned()).unwrap_or_default();
        self.recognize(port.instrument(), ScpiIdentity::parse(&text))?;
        self.drain(port).await?;
        self.push(port).await
    }

    async fn exchange(&mut self, port: &mut Port, request: &ScpiRequest) -> Result<Vec<Vec<u8>>, Error> {
        match request {
            ScpiRequest::Steps(steps) => self.checked(port, steps).await,
            ScpiRequest::Query(command) => {
                let steps = [Step::query(command.clone())];
                self.converse(port, &steps, false).await.map(|(answers, _)| answers)
            }
            ScpiRequest::Identity => {
                let identity = self.identity.as_ref().map(ToString::to_string).unwrap_or_default();
                Ok(vec![identity.into_bytes()])
            }
        }
    }
}

/// One line, without its terminator.
async fn line(port: &mut Port) -> Result<String, Error> {
    let bytes = port.read_until(b'\n', LONGEST_LINE).await?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned())
}

/// The number of an entry of the error queue.
fn error_number(text: &str) -> Option<i32> {
    text.split(',').next()?.trim().parse().ok()
}

/// Whether a line looks like an entry of the error queue: `-113,"Undefined header"`, with or without quotes.
fn is_error(text: &str) -> bool {
    let words = text.split_once(',').map_or("", |(_, words)| words.trim_start());
    error_number(text).is_some() && words.starts_with(|letter: char| letter == '"' || letter.is_ascii_alphabetic())
}

/// Whether the step itself asks for the error queue.
fn asks_for_error(step: &Step) -> bool {
    let command = step.command.to_ascii_uppercase();
    command.strip_prefix(b":").unwrap_or(&command).starts_with(b"SYST")
}

/// The error that an entry of the queue stands for, if it is one.
fn refused(port: &Port, step: &Step, text: &str) -> Option<Error> {
    let code = error_number(text).filter(|code| *code != 0)?;
    if code == OVERFLOW {
        return Some(garbled(port, "lost entries of its error queue (-350)".to_owned()));
    }
    let message = text.split_once(',').map_or("", |(_, message)| message).trim_matches('"');
    let (command, message) = (shown(&step.command), shown(message.as_bytes()));
    Some(Error::Refused { instrument: port.instrument().to_owned(), command, code, message })
}

/// The instrument said what it must not.
fn garbled(port: &Port, message: String) -> Error {
    Error::Garbled { instrument: port.instrument().to_owned(), message }
}

#[cfg(test)]
mod tests;
