//! An instrument beside the plant whose reading must stay within bounds: a power meter, a shutter, a thermometer.
//!
//! A thread of its own asks it, once in each period. A failed question is asked again until its deadline; what has not answered for a
//! period and two deadlines counts as out of bounds, as does an answer that is no number.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::line_query::LineQuery;
use super::reading::Reading;
use crate::dialogue::shown;
use crate::pnnlink::link::{Options, Pnnlink};
use crate::scpi::{number_in, says_error};
use crate::{
    Address, Batch, Direction, Error, Link, LinkOptions, Plant, Scpi, ScpiRequest, Terminator, settings_agree,
};

/// From here on SCPI means that there is no number, and from there on that it is infinite (SCPI-99, 7.2.1).
const NOT_A_NUMBER: f64 = 9.905e37;
const INFINITE: f64 = 9.89e37;

/// How it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GaugeProtocol {
    /// By a SCPI query, after `*IDN?`.
    Scpi,
    /// By a line that is answered with a line, without anything else.
    Lines,
    /// By a shot at rest of a board that speaks pnnlink; `query` is the name of an output bank.
    Pnnlink,
}

/// An instrument beside the plant in a rig file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GaugeConfig {
    /// How it is asked.
    pub protocol: GaugeProtocol,
    /// Where it listens, such as `tcp://192.168.1.60:5025` or `serial:///dev/ttyUSB1?baud=9600`.
    pub address: String,
    /// A part of the answer to `*IDN?` that must be there, with `scpi`.
    #[serde(default)]
    pub identity: String,
    /// What it is asked, such as `MEAS:POW?`.
    pub query: String,
    /// The unit of its bounds, such as `mW`. An answer with a multiple of it, such as `0.015 W`, is converted; one with another unit cannot
    /// be read, which trips. An answer without a unit is taken to be in it.
    #[serde(default)]
    pub unit: String,
    /// From question to question, in s.
    #[serde(default = "one_second")]
    #[schemars(range(min = 0.01, max = 3600))]
    pub every_seconds: f64,
    /// The deadline of an answer, reconnecting and asking again included, in s.
    #[serde(default = "one_second")]
    #[schemars(range(min = 0.01, max = 3600))]
    pub deadline_seconds: f64,
    /// Which of the values between commas is the reading, from 1 on.
    #[serde(default = "first")]
    #[schemars(range(min = 1))]
    pub field: usize,
    /// Numbers that words of the instrument stand for, such as `{ OPEN = 1.0, CLOSED = 0.0 }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, f32>,
    /// What ends a line to it, with `scpi` and `lines`; its answers may end otherwise.
    #[serde(default)]
    pub terminator: Terminator,
}

fn one_second() -> f64 {
    1.0
}

fn first() -> usize {
    1
}

impl GaugeConfig {
    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |key: &str, message: String| Err(Error::Description { key: key.to_owned(), message });
        for (key, seconds) in [("every_seconds", self.every_seconds), ("deadline_seconds", self.deadline_seconds)] {
            if !(0.01..=3600.0).contains(&seconds) {
                return refuse(key, format!("is {seconds} s: give 0.01 to 3600"));
            }
        }
        if self.query.trim().is_empty() || self.query.chars().any(char::is_control) {
            return refuse("query", "must be one line that asks for the reading".to_owned());
        }
        let header = self.query.split_whitespace().next().unwrap_or_default();
        if self.protocol == GaugeProtocol::Scpi && (!header.ends_with('?') || self.query.contains(';')) {
            return refuse("query", format!("is `{}`: give one query, which ends with `?`", self.query));
        }
        if self.field == 0 {
            return refuse("field", "is 0: the first value is 1".to_owned());
        }
        if let Some((word, value)) = self.values.iter().find(|(_, value)| !value.is_finite()) {
            return refuse("values", format!("gives `{word}` the value {value}: give a number"));
        }
        match self.address.parse()? {
            Address::Tcp { .. } | Address::Serial { .. } => Ok(()),
            Address::Audio { .. } | Address::Replay { .. } => {
                refuse("address", format!("is `{}`: give one of an instrument on TCP or a serial line", self.address))
            }
        }
    }

    /// The reading in an answer.
    fn value(&self, answer: &str) -> Result<f32, String> {
        if self.protocol == GaugeProtocol::Scpi && says_error(answer) {
            return Err(format!("it answers with the error `{}`", shown(answer.as_bytes())));
        }
        let field = answer.split(',').nth(self.field - 1).unwrap_or_default().trim();
        let is_word = |(word, _): &(&String, &f32)| [answer, field].iter().any(|text| settings_agree(word, text));
        if let Some((_, value)) = self.values.iter().find(is_word) {
            return Ok(*value);
        }
        match number_in(field, &self.unit) {
            Some(Ok(value)) if NOT_A_NUMBER <= value.abs() => Ok(f32::NAN),
            Some(Ok(value)) if INFINITE <= value.abs() => Ok(f32::INFINITY.copysign(value as f32)),
            Some(Ok(value)) => Ok(value as f32),
            Some(Err(unit)) => Err(format!(
                "it answers `{}`, in `{unit}` and not in `{}`: write the bounds in the unit of its answers, and name that as `unit`",
                shown(answer.as_bytes()),
                self.unit
            )),
            None => Err(format!("it answers `{}`, whose value {} is no number", shown(answer.as_bytes()), self.field)),
        }
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs_f64(self.deadline_seconds)
    }

    /// How old a reading may be.
    fn oldest(&self) -> Duration {
        Duration::from_secs_f64(self.every_seconds) + 2 * self.deadline()
    }
}

/// How it is reached.
enum Wire {
    Scpi(Link<Scpi>),
    Lines(Link<LineQuery>),
    Pnnlink(Box<Mutex<Pnnlink>>),
}

/// What the thread shares with whoever looks.
struct Shared {
    config: GaugeConfig,
    wire: Arc<Wire>,
    /// The newest answer, and when it came.
    newest: Mutex<(Result<f32, String>, Instant)>,
}

impl Shared {
    /// Asks, again where that can help, until the deadline.
    fn ask(&self) -> Result<f32, String> {
        let end = Instant::now() + self.config.deadline();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.answer(left) {
                Err(error) if error.is_retryable() && Instant::now() < end => {}
                Err(error) => return Err(error.to_string()),
                Ok(answer) => return answer,
            }
        }
    }

    /// One answer, and what it says.
    fn answer(&self, within: Duration) -> Result<Result<f32, String>, Error> {
        match &*self.wire {
            Wire::Scpi(link) => {
                let answers = link.ask(ScpiRequest::Query(self.config.query.clone().into_bytes()), within)?;
                let answer = answers.first().map(|answer| String::from_utf8_lossy(answer).into_owned());
                Ok(self.config.value(answer.unwrap_or_default().trim()))
            }
            Wire::Lines(link) => Ok(self.config.value(&link.ask(self.config.query.clone(), within)?)),
            Wire::Pnnlink(board) => {
                let mut board = locked(board);
                let columns = columns(&board, &self.config.query)?;
                let rest = board.ports().at_rest(Direction::Input);
                let readings = board.measure(&Batch::new(rest.len(), rest)?)?;
                let value = readings.row(0)[columns].get(self.config.field - 1);
                Ok(value.copied().ok_or_else(|| format!("its bank has no output {}", self.config.field)))
            }
        }
    }

    fn note(&self, reading: Result<f32, String>) -> Result<f32, String> {
        *locked(&self.newest) = (reading.clone(), Instant::now());
        reading
    }
}

/// An opened instrument beside the plant. Dropping it ends its thread and closes it.
pub struct Gauge {
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gauge {
    /// Opens the instrument called `name`, and reads it once.
    pub fn open(name: &str, config: &GaugeConfig) -> Result<Self, Error> {
        config.check()?;
        let options = LinkOptions::new(name, config.address.parse()?);
        let wire = match config.protocol {
            GaugeProtocol::Scpi => {
                let session = Scpi::new(&config.identity, vec![]).numbered(false).ending(config.terminator);
                Wire::Scpi(Link::open(session, &options)?)
            }
            GaugeProtocol::Lines => Wire::Lines(Link::open(LineQuery(config.terminator), &options)?),
            GaugeProtocol::Pnnlink => {
                let board = Pnnlink::open(&options, Options { deadline: config.deadline(), ..Options::default() })?;
                Wire::Pnnlink(Box::new(Mutex::new(board)))
            }
        };
        Self::start(Arc::new(wire), config)
    }

    /// Another reading over the same connection, if it is of the same instrument.
    pub fn beside(&self, config: &GaugeConfig) -> Result<Option<Self>, Error> {
        let way = |config: &GaugeConfig| {
            (config.protocol, config.address.clone(), config.identity.clone(), config.terminator)
        };
        if way(config) != way(&self.shared.config) {
            return Ok(None);
        }
        config.check()?;
        Self::start(self.shared.wire.clone(), config).map(Some)
    }

    /// Reads once, and then in each period.
    fn start(wire: Arc<Wire>, config: &GaugeConfig) -> Result<Self, Error> {
        let newest = Mutex::new((Err("it was not asked yet".to_owned()), Instant::now()));
        let shared = Arc::new(Shared { config: config.clone(), wire, newest });
        let first = shared.ask();
        if let Err(why) = shared.note(first) {
            return Err(Error::Description { key: "query".to_owned(), message: format!("cannot be answered: {why}") });
        }
        let (stop, stopped) = channel();
        let (asking, every) = (shared.clone(), Duration::from_secs_f64(config.every_seconds));
        let work = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                // Whoever looks sees whether it failed.
                let _ = asking.note(asking.ask());
            }
        };
        let thread = std::thread::Builder::new().name("gauge".to_owned()).spawn(work);
        let thread = thread.map_err(|error| Error::Unreachable {
            instrument: config.query.clone(),
            address: config.address.clone(),
            message: format!("its thread cannot be started: {error}"),
        })?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }
}

impl Reading for Gauge {
    fn what(&self) -> &str {
        &self.shared.config.query
    }

    fn unit(&self) -> &str {
        &self.shared.config.unit
    }

    fn newest(&self) -> Result<f32, String> {
        let (reading, at) = locked(&self.shared.newest).clone();
        let age = at.elapsed();
        if self.shared.config.oldest() < age {
            return Err(format!("it has not answered for {:.1} s", age.as_secs_f64()));
        }
        reading
    }

    fn read(&self) -> Result<f32, String> {
        self.shared.note(self.shared.ask())
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It panics only where a session does, which has been printed.
            let _ = thread.join();
        }
    }
}

/// Where a bank is among the outputs of a board.
fn columns(board: &Pnnlink, name: &str) -> Result<std::ops::Range<usize>, Error> {
    let mut first = 0;
    for bank in &board.ports().outputs {
        let columns = first..first + bank.count;
        first += bank.count;
        if bank.name == name {
            return Ok(columns);
        }
    }
    let known = board.ports().outputs.iter().map(|bank| format!("`{}`", bank.name)).collect::<Vec<_>>().join(", ");
    Err(Error::UnknownBank { direction: Direction::Output, bank: name.to_owned(), known })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str) -> GaugeConfig {
        GaugeConfig {
            protocol: GaugeProtocol::Lines,
            address: address.into(),
            identity: String::new(),
            query: "TEMP?".into(),
            unit: "C".into(),
            every_seconds: 1.0,
            deadline_seconds: 1.0,
            field: 1,
            values: BTreeMap::from([("OPEN".to_owned(), 1.0), ("CLOSed".to_owned(), 0.0)]),
            terminator: Terminator::Lf,
        }
    }

    #[test]
    fn an_answer_is_a_number_with_or_without_its_unit_or_a_word_that_stands_for_one() {
        let read = |answer: &str| config("tcp://h:1").value(answer);
        for (answer, value) in [("23.4", 23.4), ("+2.34E+01 C", 23.4), ("OPEN", 1.0), ("closed", 0.0)] {
            assert!(read(answer).is_ok_and(|read| (read - value).abs() < 1e-5), "{answer}");
        }
        assert!(read("9.91E37").unwrap().is_nan());
        assert_eq!(read("-9.9E37"), Ok(f32::NEG_INFINITY));
        assert!(read("AJAR").unwrap_err().contains("answers `AJAR`"));
        assert!(read("").is_err() && read("NAN").is_err());
        assert!(read("300 K").unwrap_err().contains("in `K` and not in `C`"));
        let second = GaugeConfig { field: 2, ..config("tcp://h:1") };
        assert_eq!(second.value("1, 2,3"), Ok(2.0));
    }

    #[test]
    fn an_error_is_no_reading() {
        let scpi = GaugeConfig { protocol: GaugeProtocol::Scpi, ..config("tcp://h:1") };
        assert!(scpi.value("-113,\"Undefined header\"").unwrap_err().contains("answers with the error"));
        assert_eq!(scpi.value("-113"), Ok(-113.0));
    }

    #[test]
    fn a_description_without_sense_is_refused_by_its_key() {
        let refused = |change: fn(&mut GaugeConfig)| {
            let mut config = config("tcp://h:1");
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(refused(|config| config.every_seconds = 0.0).starts_with("`every_seconds` is 0 s"));
        assert!(refused(|config| config.deadline_seconds = f64::NAN).starts_with("`deadline_seconds` is NaN s"));
        assert!(refused(|config| config.query = "A?\nOUTP ON".into()).starts_with("`query`"));
        assert!(refused(|config| config.field = 0).starts_with("`field` is 0"));
        assert!(refused(|config| config.address = "replay://a".into()).starts_with("`address`"));
        assert!(refused(|config| config.values = BTreeMap::from([("OPEN".into(), f32::NAN)])).starts_with("`values`"));
    }
}
