//! A simulated SCPI instrument as IEEE 488.2 and SCPI-99 have it: messages, common commands, status, error queue.
//!
//! What one kind of instrument does stands in its [`Table`]; what all have is here. Each client has a status of its own. Answers of
//! one message are joined by semicolons. `docs/scpi.md` lists the mandatory commands, each with its test.

mod datum;
mod error;
mod mandatory;
mod message;
mod parameter;
mod pattern;
mod response;
mod status;
mod table;

use std::any::Any;

use drivers::Terminator;

pub use error::ScpiError;
use mandatory::Mandatory;
pub(crate) use message::{LONGEST, first_message};
use message::{split_header, undefined, units};
pub use parameter::Parameter;
pub(crate) use pattern::{Fit, Pattern};
pub use response::Response;
use status::{Conditions, QUEUE, Status};
pub use table::{Call, ScpiInstrument, Table};

/// An instrument with its table, whatever kind it is.
trait Machine: Send {
    fn identity(&self) -> [String; 3];
    fn firmware(&self, version: u32) -> String;
    fn reset(&mut self);
    fn trigger(&mut self) -> Result<(), ScpiError>;
    fn is_busy(&self) -> bool;
    fn conditions(&self) -> (u16, u16);
    fn self_test(&mut self) -> i32;
    fn greet(&self) -> Box<dyn Any + Send>;
    fn headers(&self) -> Vec<String>;
    fn obey(&mut self, unit: (&str, &[u8]), client: &mut dyn Any) -> Option<Result<Option<Response>, ScpiError>>;
}

struct Tabled<I: ScpiInstrument> {
    instrument: I,
    table: Table<I>,
}

impl<I: ScpiInstrument> Machine for Tabled<I> {
    fn identity(&self) -> [String; 3] {
        self.instrument.identity()
    }
    fn firmware(&self, version: u32) -> String {
        self.instrument.firmware(version)
    }
    fn reset(&mut self) {
        self.instrument.reset();
    }
    fn trigger(&mut self) -> Result<(), ScpiError> {
        self.instrument.trigger()
    }
    fn is_busy(&self) -> bool {
        self.instrument.is_busy()
    }
    fn conditions(&self) -> (u16, u16) {
        self.instrument.conditions()
    }
    fn self_test(&mut self) -> i32 {
        self.instrument.self_test()
    }
    fn greet(&self) -> Box<dyn Any + Send> {
        Box::new(I::Client::default())
    }
    fn headers(&self) -> Vec<String> {
        self.table.headers().map(str::to_owned).collect()
    }
    fn obey(&mut self, unit: (&str, &[u8]), client: &mut dyn Any) -> Option<Result<Option<Response>, ScpiError>> {
        // A client of this instrument is of its own kind.
        let client = client.downcast_mut::<I::Client>()?;
        self.table.obey(&mut self.instrument, unit, client)
    }
}

/// An instrument with what all instruments have.
pub struct ScpiBox {
    machine: Box<dyn Machine>,
    mandatory: Table<Mandatory>,
    terminator: Terminator,
    operation: Conditions,
    questionable: Conditions,
    firmware: u32,
    /// How often it was switched on.
    life: u64,
    /// Hears each header before it is obeyed, and may refuse it.
    #[cfg(test)]
    hook: Option<Hook>,
}

/// What a test puts before an instrument.
#[cfg(test)]
type Hook = Box<dyn FnMut(&str) -> Result<(), ScpiError> + Send>;

/// One client of an instrument, and what the instrument keeps for it.
pub struct ScpiClient {
    life: u64,
    status: Status,
    own: Box<dyn Any + Send>,
    held: Option<Turn>,
}

/// A message that is being read.
#[derive(Default)]
struct Turn {
    /// What waits for `*OPC?` or `*WAI`, with these.
    rest: Vec<u8>,
    /// The path of the last header, with a colon at its end.
    path: String,
    answers: Vec<Vec<u8>>,
    /// Whether the last answer has no end but that of its message (IEEE 488.2, 6.5.7.5).
    is_indefinite: bool,
}

impl ScpiBox {
    /// Switched on, with messages that end with a line feed.
    pub fn new(instrument: impl ScpiInstrument) -> Self {
        let table = instrument.table();
        Self {
            machine: Box::new(Tabled { instrument, table }),
            mandatory: Mandatory.table(),
            terminator: Terminator::Lf,
            operation: Conditions::default(),
            questionable: Conditions::default(),
            firmware: 1,
            life: 0,
            #[cfg(test)]
            hook: None,
        }
    }

    /// The same, whose messages and answers end with `terminator`.
    #[must_use]
    pub fn ending(self, terminator: Terminator) -> Self {
        Self { terminator, ..self }
    }

    /// The same behind `hook`, which hears each whole header before it is obeyed and may refuse it.
    #[cfg(test)]
    pub(crate) fn behind(self, hook: impl FnMut(&str) -> Result<(), ScpiError> + Send + 'static) -> Self {
        Self { hook: Some(Box::new(hook)), ..self }
    }

    /// What its messages and answers end with.
    pub fn terminator(&self) -> Terminator {
        self.terminator
    }

    /// Somebody who has just connected: it is told once that power was switched on.
    pub fn client(&self) -> ScpiClient {
        let status = Status::new(self.operation, self.questionable);
        ScpiClient { life: self.life, status, own: self.machine.greet(), held: None }
    }

    /// Switched off and on again: settings, errors and masks are gone, and the power-on bit says so to each client.
    pub fn power_cycle(&mut self) {
        self.machine.reset();
        self.life += 1;
    }

    /// Another firmware from now on.
    pub fn change_firmware(&mut self) {
        self.firmware += 1;
    }

    /// More errors than the queue holds.
    pub fn overflow(client: &mut ScpiClient) {
        for _ in 0..=QUEUE {
            client.status.raise(ScpiError::new(-300, "Device-specific error"));
        }
    }

    /// The input buffer was full before a message ended.
    pub fn overrun(client: &mut ScpiClient) {
        client.status.raise(ScpiError::INPUT_OVERRUN);
    }

    /// What one program message, without its terminator, is answered with; empty where nothing was asked. Nothing while `*OPC?` or
    /// `*WAI` waits: [`Self::go_on`] goes on with it.
    pub fn message(&mut self, client: &mut ScpiClient, message: &[u8]) -> Option<Vec<u8>> {
        self.run(client, Turn::default(), message)
    }

    /// Goes on with the message that waits, if it need not wait any longer.
    pub fn go_on(&mut self, client: &mut ScpiClient) -> Option<Vec<u8>> {
        let mut turn = client.held.take()?;
        let rest = std::mem::take(&mut turn.rest);
        self.run(client, turn, &rest)
    }

    fn run(&mut self, client: &mut ScpiClient, mut turn: Turn, message: &[u8]) -> Option<Vec<u8>> {
        if client.life != self.life {
            *client = self.client();
        }
        let units = units(message);
        for (index, unit) in units.iter().enumerate() {
            self.refresh(client);
            client.status.answers_wait = !turn.answers.is_empty();
            match self.unit(client, &mut turn, unit) {
                Ok(Done::Answered(answer)) => turn.answers.extend(answer.map(|Response(bytes)| bytes)),
                Ok(Done::Waits) => {
                    turn.rest = units[index..].join(&b';');
                    client.held = Some(turn);
                    return None;
                }
                Err(error) => client.status.raise(error),
            }
        }
        self.refresh(client);
        Some(turn.answers.join(&b';'))
    }

    /// Takes into account what the instrument is doing now.
    fn refresh(&mut self, client: &mut ScpiClient) {
        let (operation, questionable) = self.machine.conditions();
        self.operation.note(operation);
        self.questionable.note(questionable);
        client.status.update(&self.operation, &self.questionable, self.machine.is_busy());
    }

    /// One unit of a message; headers after a semicolon stand at the level of the last (SCPI-99, 6.2.4).
    fn unit(&mut self, client: &mut ScpiClient, turn: &mut Turn, unit: &[u8]) -> Result<Done, ScpiError> {
        let Some((written, arguments)) = split_header(unit)? else { return Ok(Done::Answered(None)) };
        let header = match written.strip_prefix(':') {
            Some(absolute) => absolute.to_owned(),
            None if written.starts_with('*') => written,
            None => format!("{}{written}", turn.path),
        };
        if !header.starts_with('*') {
            turn.path = header.rfind(':').map_or_else(String::new, |at| header[..=at].to_owned());
        }
        if header.ends_with('?') && turn.is_indefinite {
            return Err(ScpiError::UNTERMINATED);
        }
        if matches!(header.as_str(), "*OPC?" | "*WAI") && self.machine.is_busy() && arguments.is_empty() {
            return Ok(Done::Waits);
        }
        #[cfg(test)]
        if let Some(hook) = &mut self.hook {
            hook(&header)?;
        }
        if let Some(done) = self.machine.obey((&header, arguments), client.own.as_mut()) {
            return done.map(Done::Answered);
        }
        if let Some(done) = self.mandatory.obey(&mut Mandatory, (&header, arguments), &mut client.status) {
            return done.map(Done::Answered);
        }
        let own = Self::own(&header).ok_or_else(|| undefined(&header))?;
        if !arguments.is_empty() {
            return Err(ScpiError::PARAMETER_NOT_ALLOWED);
        }
        turn.is_indefinite |= header == "*IDN?";
        own(self, client).map(Done::Answered)
    }

    /// Mandatory commands that concern the instrument and not its status alone.
    fn own(header: &str) -> Option<Own> {
        Some(match header {
            "*IDN?" => |it, _| {
                let [manufacturer, model, serial] = it.machine.identity();
                let firmware = it.machine.firmware(it.firmware);
                Ok(Some(Response::text(format!("{manufacturer},{model},{serial},{firmware}"))))
            },
            "*RST" => |it, client| {
                it.machine.reset();
                client.status.reset();
                client.own = it.machine.greet();
                Ok(None)
            },
            "*TST?" => |it, _| Ok(Some(Response::text(it.machine.self_test()))),
            "*OPC?" => |_, _| Ok(Some(Response::text(1))),
            "*WAI" => |_, _| Ok(None),
            "*TRG" => |it, _| it.machine.trigger().map(|()| None),
            _ if Pattern::new(HEADERS).fit(header) != Fit::No => |it, _| {
                let headers: Vec<String> = it.machine.headers().into_iter().chain(it.mandatory_headers()).collect();
                Ok(Some(Response::block(headers.join("\n").as_bytes())))
            },
            _ => return None,
        })
    }

    fn mandatory_headers(&self) -> Vec<String> {
        let own = ["*IDN?", "*RST", "*TST?", "*OPC?", "*WAI", "*TRG", HEADERS];
        self.mandatory.headers().chain(own).map(str::to_owned).collect()
    }
}

/// Lists all headers (SCPI-99, 21.11).
const HEADERS: &str = "SYSTem:HELP:HEADers?";

/// What came of a unit.
enum Done {
    /// It is done, and this is its answer.
    Answered(Option<Response>),
    /// It waits until nothing goes on any more.
    Waits,
}

/// A mandatory command.
type Own = fn(&mut ScpiBox, &mut ScpiClient) -> Result<Option<Response>, ScpiError>;

#[cfg(test)]
mod tests;
