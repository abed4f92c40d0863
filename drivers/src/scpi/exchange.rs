//! One exchange: its lines, their answers, and whose an error is.

use std::collections::VecDeque;

use super::entry::Entry;
use super::{Answer, HALVES, LONGEST_BLOCK, ONE_LINE, QUEUE, Scpi, Step, garbled, line, read_block, whole};
use crate::dialogue::shown;
use crate::{Error, Port};

/// An undefined header: `-113`.
const UNDEFINED: i32 = -113;
/// `-350,"Queue overflow"`: errors were lost, and nobody knows whose (SCPI-99, 21.8.11).
const OVERFLOW: i32 = -350;

/// The most bytes of a list of lines.
const LONGEST_LISTING: usize = 1 << 20;

/// What came of a step.
enum Answered {
    /// Nothing was asked.
    Nothing,
    With(Vec<u8>),
    Refused(Error),
}

impl Scpi {
    /// Whether an exchange is one write now.
    pub(super) fn is_pipelined(&self) -> bool {
        self.pipelined && self.halves < HALVES
    }

    /// The lines of an exchange, and whether each is answered.
    fn lines(&self, number: u8, steps: &[Step], checked: bool) -> VecDeque<(Vec<u8>, bool)> {
        let mut lines = VecDeque::new();
        let mut add = |line: &[u8], asks: bool| lines.push_back(([line, self.terminator.bytes()].concat(), asks));
        for step in steps {
            add(&step.command, step.answer != Answer::Nothing);
            if checked {
                add(b":SYST:ERR?", true);
            }
        }
        if self.numbered {
            add(format!("*ESE {number}").as_bytes(), false);
            add(b"*ESE?", true);
            add(b"*ESR?", true);
        }
        lines
    }

    /// Sends what must be sent before the next answer can come.
    pub(super) async fn feed(&self, port: &mut Port, lines: &mut VecDeque<(Vec<u8>, bool)>) -> Result<(), Error> {
        if self.is_pipelined() {
            let all: Vec<u8> = lines.drain(..).flat_map(|(line, _)| line).collect();
            return if all.is_empty() { Ok(()) } else { port.write(&all).await };
        }
        while let Some((line, asks)) = lines.pop_front() {
            port.write(&line).await?;
            if asks {
                break;
            }
            tokio::time::sleep(ONE_LINE).await;
        }
        Ok(())
    }

    /// Sends steps and reads their answers.
    pub(super) async fn converse(
        &mut self,
        port: &mut Port,
        steps: &[Step],
        checked: bool,
    ) -> Result<(Vec<Vec<u8>>, u32), Error> {
        self.number = self.number.wrapping_add(1);
        self.converse_as(self.number, port, steps, checked).await
    }

    /// The same, in the exchange with this number.
    pub(super) async fn converse_as(
        &mut self,
        number: u8,
        port: &mut Port,
        steps: &[Step],
        checked: bool,
    ) -> Result<(Vec<Vec<u8>>, u32), Error> {
        self.written = number;
        let mut lines = self.lines(number, steps, checked);
        let mut answers = Vec::new();
        let mut refusal = None;
        for (index, step) in steps.iter().enumerate() {
            if checked || step.answer != Answer::Nothing {
                self.feed(port, &mut lines).await?;
            }
            if checked && step.answer == Answer::Lines && !self.is_pipelined() {
                // What tells where the lines end is asked before they are read.
                tokio::time::sleep(ONE_LINE).await;
                self.feed(port, &mut lines).await?;
            }
            match self.answer(port, step, checked).await? {
                // An instrument that refuses a query answers only the query of its error queue.
                Answered::Refused(error) => {
                    refusal = refusal.or(Some(error));
                    continue;
                }
                Answered::With(answer) => answers.push(answer),
                Answered::Nothing => {}
            }
            if checked {
                // The line behind a command was sent with it; the one behind a query goes out when that is answered.
                if !matches!(step.answer, Answer::Nothing | Answer::Lines) {
                    self.feed(port, &mut lines).await?;
                }
                let text = line(port).await?;
                let Some(entry) = Entry::parse(&text) else {
                    let (text, number) = (shown(text.as_bytes()), index + 1);
                    let message = format!("answers `{text}` where the error number of its line {number} was expected");
                    return Err(garbled(port, message));
                };
                refusal = refusal.or(refused(port, step, &entry));
            }
        }
        let register = self.closing(port, &mut lines).await?;
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

    /// The answer to one step, or the entry of the error queue that came in its place.
    async fn answer(&self, port: &mut Port, step: &Step, checked: bool) -> Result<Answered, Error> {
        let is_block = step.answer == Answer::Block;
        if step.answer == Answer::Nothing {
            return Ok(Answered::Nothing);
        }
        if is_block && port.peek_answer().await? == b'#' {
            return read_block(port, LONGEST_BLOCK).await.map(Answered::With);
        }
        if step.answer == Answer::Lines && checked {
            return self.listing(port, step).await;
        }
        let text = line(port).await?;
        let entry = Entry::parse(&text).filter(|_| checked && !asks_for_error(step));
        if let Some(entry) = entry {
            let is_error = entry.is_error_for_certain(self.quotes)
                || entry.may_be_error(self.quotes) && (is_block || !self.error_follows(port).await?);
            if let Some(error) = refused(port, step, &entry).filter(|_| is_error) {
                return Ok(Answered::Refused(error));
            }
            if entry.denies() {
                let message =
                    format!("answers `{}` with nothing but `{}`", shown(&step.command), shown(text.as_bytes()));
                return Err(garbled(port, message));
            }
        }
        if is_block {
            let text = shown(text.as_bytes());
            return Err(garbled(port, format!("answers `{text}` where a block was expected")));
        }
        Ok(Answered::With(text.into_bytes()))
    }

    /// Lines up to the entry of the error queue; an error in place of all of them.
    async fn listing(&self, port: &mut Port, step: &Step) -> Result<Answered, Error> {
        let mut list = Vec::new();
        while list.len() < LONGEST_LISTING {
            let text = line(port).await?;
            match Entry::parse(&text) {
                Some(entry) if list.is_empty() => {
                    let denied = || garbled(port, format!("answers `{}` with nothing", shown(&step.command)));
                    return refused(port, step, &entry).map(Answered::Refused).ok_or_else(denied);
                }
                Some(_) => {
                    port.unread_line(text.as_bytes());
                    return Ok(Answered::With(list));
                }
                None => list.extend_from_slice(format!("{text}\n").as_bytes()),
            }
        }
        Err(garbled(port, format!("answers `{}` with more than {LONGEST_LISTING} bytes", shown(&step.command))))
    }

    /// Whether an entry of the error queue comes next: then what came before it was an answer.
    async fn error_follows(&self, port: &mut Port) -> Result<bool, Error> {
        if !self.is_pipelined() {
            // Its error queue has not been asked yet: whatever came is an answer.
            return Ok(true);
        }
        if port.peek_answer().await? == b'#' {
            return Ok(false);
        }
        let text = line(port).await?;
        port.unread_line(text.as_bytes());
        Ok(Entry::parse(&text).is_some_and(|entry| entry.is_quoted))
    }

    /// Reads the lines that end an exchange: the event register.
    async fn closing(&mut self, port: &mut Port, lines: &mut VecDeque<(Vec<u8>, bool)>) -> Result<u32, Error> {
        self.feed(port, lines).await?;
        if !self.numbered {
            return Ok(0);
        }
        let number = line(port).await?;
        if whole(&number) != Some(u32::from(self.written)) {
            if !self.has_mask && self.refuses_mask(port, lines).await {
                return Err(Error::Unnumbered { instrument: port.instrument().to_owned() });
            }
            let number = shown(number.as_bytes());
            return Err(garbled(port, format!("answers `{number}` in exchange {}: it is out of step", self.written)));
        }
        self.has_mask = true;
        self.feed(port, lines).await?;
        let register = whole(&line(port).await?).filter(|register| *register < 256);
        let register = register.ok_or_else(|| garbled(port, "has no event register `*ESR?`".to_owned()))?;
        if !port.is_drained_of_text() {
            return Err(garbled(port, "said more than it was asked".to_owned()));
        }
        Ok(register)
    }

    /// Whether an instrument that has not given a number back so far refuses `*ESE`: asked among the last 64 of its errors.
    async fn refuses_mask(&self, port: &mut Port, lines: &mut VecDeque<(Vec<u8>, bool)>) -> bool {
        let asked = [b":SYST:ERR?", self.terminator.bytes()].concat();
        if self.feed(port, lines).await.is_err() {
            return false;
        }
        for _ in 0..QUEUE {
            if port.write(&asked).await.is_err() {
                return false;
            }
            match line(port).await.ok().map(|text| Entry::parse(&text)) {
                Some(Some(Entry { code: UNDEFINED, .. })) => return true,
                // The answer to `*ESR?` may be on its way.
                Some(Some(Entry { code: 0, words, .. })) if !words.is_empty() => return false,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    /// Empties the error queue, so that an old error is not taken for a new one: whether it had overflowed, so that nobody
    /// knows whose its errors are.
    pub(super) async fn drain(&mut self, port: &mut Port) -> Result<bool, Error> {
        let asked = [b":SYST:ERR?", self.terminator.bytes()].concat();
        let mut overflowed = false;
        for _ in 0..QUEUE {
            port.write(&asked).await?;
            let text = line(port).await?;
            let Some(entry) = Entry::parse(&text) else {
                let text = shown(text.as_bytes());
                return Err(garbled(
                    port,
                    format!("answers `{text}` to `:SYST:ERR?`, which begins with no error number"),
                ));
            };
            if !entry.words.is_empty() {
                self.quotes = Some(entry.is_quoted);
            }
            if entry.code == 0 {
                return Ok(overflowed);
            }
            overflowed |= entry.code == OVERFLOW;
        }
        Err(garbled(port, format!("has more than {QUEUE} errors in its queue")))
    }
}

/// Whether the step itself asks for the error queue.
fn asks_for_error(step: &Step) -> bool {
    let command = step.command.to_ascii_uppercase();
    let command = command.strip_prefix(b":").unwrap_or(&command);
    command.starts_with(b"SYST:ERR") || command.starts_with(b"SYSTEM:ERR")
}

/// The error that an entry of the queue stands for, if it is one.
fn refused(port: &Port, step: &Step, entry: &Entry) -> Option<Error> {
    if entry.code == 0 {
        return None;
    }
    if entry.code == OVERFLOW {
        return Some(garbled(port, "lost entries of its error queue (-350)".to_owned()));
    }
    let (command, message) = (shown(&step.command), shown(entry.words.as_bytes()));
    Some(Error::Refused { instrument: port.instrument().to_owned(), command, code: entry.code, message })
}
