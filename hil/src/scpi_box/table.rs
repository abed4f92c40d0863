//! One kind of instrument and its commands: headers as its manual prints them, what each takes, and what it does.
//!
//! ```ignore
//! Table::<Self>::new()
//!     .setting("[:SOURce#]:VOLTage", Parameter::number("V", 0.0..=1.0), |it, call| {
//!         it.volts[call.number_of(0)?] = call.number(0)?;
//!         Ok(())
//!     }, |it, call| Ok(Response::text(it.volts[call.number_of(0)?])))
//!     .command("ACQuire:STARt", [], |it, _| it.start())
//!     .query("ACQuire:DATA?", [Parameter::integer(1..=16_384)], |it, call| it.samples(call.integer(0)?))
//! ```

use super::error::ScpiError;
use super::parameter::{Parameter, Value, bind};
use super::pattern::{Fit, Pattern};
use super::response::Response;

/// What one kind of instrument is and does.
pub trait ScpiInstrument: Send + Sized + 'static {
    /// What it keeps for each of its clients, such as the format of data; `()` where there is nothing.
    type Client: Default + Send + 'static;

    /// Manufacturer, model and serial number; the model says that it is simulated.
    fn identity(&self) -> [String; 3];

    /// Its commands, beside those that all instruments have. Asked for once.
    fn table(&self) -> Table<Self>;

    /// `*RST`, and what a loss of power does: outputs off, settings as made.
    fn reset(&mut self);

    /// The fourth field of `*IDN?`, where `version` counts from 1.
    fn firmware(&self, version: u32) -> String {
        format!("{version}.0")
    }

    /// `*TRG`.
    fn trigger(&mut self) -> Result<(), ScpiError> {
        Err(ScpiError::UNDEFINED_HEADER.about("*TRG"))
    }

    /// Whether something goes on that `*OPC?` and `*WAI` wait for, such as a measurement.
    fn is_busy(&self) -> bool {
        false
    }

    /// The conditions of `STATus:OPERation` and `STATus:QUEStionable` (SCPI-99, 9.3 and 9.4).
    fn conditions(&self) -> (u16, u16) {
        (0, 0)
    }

    /// `*TST?`: 0 where nothing is wrong.
    fn self_test(&mut self) -> i32 {
        0
    }
}

/// What a command does, and what a query answers.
type Act<I> = Box<
    dyn Fn(&mut I, &mut Call<'_, <I as ScpiInstrument>::Client>) -> Result<Option<Response>, ScpiError> + Send + Sync,
>;

/// One command.
struct Command<I: ScpiInstrument> {
    pattern: Pattern,
    parameters: Vec<Parameter>,
    act: Act<I>,
}

/// The commands of an instrument. Where several fit a header, the first whose parameters fit as well is obeyed.
pub struct Table<I: ScpiInstrument> {
    commands: Vec<Command<I>>,
}

impl<I: ScpiInstrument> Default for Table<I> {
    fn default() -> Self {
        Self { commands: vec![] }
    }
}

impl<I: ScpiInstrument> Table<I> {
    /// Without any.
    pub fn new() -> Self {
        Self::default()
    }

    /// A command. `pattern` is its header as manuals print it: `[:SOURce#]:VOLTage[:LEVel]`.
    #[must_use]
    pub fn command(
        self,
        pattern: &str,
        parameters: impl Into<Vec<Parameter>>,
        act: impl Fn(&mut I, &mut Call<'_, I::Client>) -> Result<(), ScpiError> + Send + Sync + 'static,
    ) -> Self {
        self.with(pattern, parameters.into(), Box::new(move |instrument, call| act(instrument, call).map(|()| None)))
    }

    /// A query. `pattern` ends with a question mark.
    #[must_use]
    pub fn query(
        self,
        pattern: &str,
        parameters: impl Into<Vec<Parameter>>,
        answer: impl Fn(&mut I, &mut Call<'_, I::Client>) -> Result<Response, ScpiError> + Send + Sync + 'static,
    ) -> Self {
        self.with(pattern, parameters.into(), Box::new(move |instrument, call| answer(instrument, call).map(Some)))
    }

    /// A command and the query with the same header. A number is asked for its limits with `? MIN`, `? MAX` and `? DEF`.
    #[must_use]
    pub fn setting(
        self,
        pattern: &str,
        parameter: Parameter,
        set: impl Fn(&mut I, &mut Call<'_, I::Client>) -> Result<(), ScpiError> + Send + Sync + 'static,
        get: impl Fn(&mut I, &mut Call<'_, I::Client>) -> Result<Response, ScpiError> + Send + Sync + 'static,
    ) -> Self {
        let asked = format!("{pattern}?");
        let bounds = parameter.bounds().cloned();
        let table = self.command(pattern, [parameter], set).query(&asked, [], get);
        let Some(bounds) = bounds else { return table };
        let limit = Parameter::choice("MINimum|MAXimum|DEFault");
        table.query(&asked, [limit], move |_, call| {
            let limits = [bounds.low, bounds.high, bounds.default];
            Ok(Response::text(limits[call.place(0)?]))
        })
    }

    fn with(mut self, pattern: &str, parameters: Vec<Parameter>, act: Act<I>) -> Self {
        self.commands.push(Command { pattern: Pattern::new(pattern), parameters, act });
        self
    }

    /// The headers of all commands, as they were declared.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(|command| command.pattern.text())
    }

    /// Obeys a command or query; nothing where the instrument has no such header.
    pub(super) fn obey(
        &self,
        instrument: &mut I,
        (header, arguments): (&str, &[u8]),
        client: &mut I::Client,
    ) -> Option<Result<Option<Response>, ScpiError>> {
        let mut failure: Option<ScpiError> = None;
        for command in &self.commands {
            let numbers = match command.pattern.fit(header) {
                Fit::No => continue,
                Fit::Number => {
                    failure.get_or_insert(ScpiError::SUFFIX_OUT_OF_RANGE.about(header));
                    continue;
                }
                Fit::Yes(numbers) => numbers,
            };
            match bind(&command.parameters, arguments) {
                Ok(values) => {
                    return Some((command.act)(instrument, &mut Call { header, numbers, values, client }));
                }
                // What is wrong with the parameters of a command that there is says more.
                Err(error)
                    if failure.as_ref().is_none_or(|known| known.code == ScpiError::SUFFIX_OUT_OF_RANGE.code) =>
                {
                    failure = Some(error);
                }
                Err(_) => {}
            }
        }
        failure.map(Err)
    }
}

/// One command or query as it was written, with its parameters checked.
pub struct Call<'a, C> {
    /// The whole header in capitals, without a leading colon.
    pub header: &'a str,
    numbers: Vec<u32>,
    values: Vec<Value<'a>>,
    /// What the instrument keeps for this client alone.
    pub client: &'a mut C,
}

impl<C> Call<'_, C> {
    /// How many parameters were given.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// The number in the header at the `index`th place that takes any: 2 for `SOUR2`, 1 for `SOUR`.
    pub fn number_of(&self, index: usize) -> Result<usize, ScpiError> {
        self.numbers.get(index).map(|number| *number as usize).ok_or(ScpiError::SUFFIX_OUT_OF_RANGE)
    }

    /// The `index`th parameter, a number in its declared unit.
    pub fn number(&self, index: usize) -> Result<f64, ScpiError> {
        match self.values.get(index) {
            Some(Value::Number(value)) => Ok(*value),
            given => Err(missing(given)),
        }
    }

    /// The `index`th parameter, a whole number.
    pub fn integer(&self, index: usize) -> Result<i64, ScpiError> {
        self.number(index).map(|value| value as i64)
    }

    /// All parameters from the `index`th on, numbers.
    pub fn numbers(&self, index: usize) -> Result<Vec<f64>, ScpiError> {
        (index..self.values.len()).map(|index| self.number(index)).collect()
    }

    /// The `index`th parameter, a boolean.
    pub fn on(&self, index: usize) -> Result<bool, ScpiError> {
        match self.values.get(index) {
            Some(Value::On(on)) => Ok(*on),
            given => Err(missing(given)),
        }
    }

    /// The `index`th parameter, a choice: its place in the list.
    pub fn place(&self, index: usize) -> Result<usize, ScpiError> {
        match self.values.get(index) {
            Some(Value::Choice(place, _)) => Ok(*place),
            given => Err(missing(given)),
        }
    }

    /// The `index`th parameter: a choice in its short form, a string, or an expression without its parentheses.
    pub fn text(&self, index: usize) -> Result<&str, ScpiError> {
        match self.values.get(index) {
            Some(Value::Choice(_, text) | Value::Text(text)) => Ok(text),
            given => Err(missing(given)),
        }
    }

    /// The `index`th parameter: the bytes of a block, or all that was written where that is declared.
    pub fn bytes(&self, index: usize) -> Result<&[u8], ScpiError> {
        match self.values.get(index) {
            Some(Value::Block(bytes)) => Ok(bytes),
            given => Err(missing(given)),
        }
    }
}

/// A parameter is asked for that is not there, or is of another type.
fn missing(given: Option<&Value<'_>>) -> ScpiError {
    if given.is_some() { ScpiError::DATA_TYPE } else { ScpiError::MISSING_PARAMETER }
}
