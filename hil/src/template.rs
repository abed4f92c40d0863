//! A command of a rig file, as the simulated instrument that it describes understands it.

use drivers::Numbers;

use crate::scpi_box::Parameter;

/// A command of the rig file: its header, and what it writes for its parameters.
pub(crate) struct Template {
    pub header: String,
    arguments: Vec<String>,
}

impl Template {
    pub fn new(command: &str) -> Self {
        let (header, rest) = command.trim().split_once(char::is_whitespace).unwrap_or((command.trim(), ""));
        let header = header.strip_prefix(':').unwrap_or(header).to_owned();
        let arguments =
            rest.split(',').map(|argument| argument.trim().to_owned()).filter(|argument| !argument.is_empty());
        Self { header, arguments: arguments.collect() }
    }

    /// What its parameters take, where samples are written as `numbers`.
    pub fn parameters(&self, numbers: Numbers) -> Vec<Parameter> {
        let parameter = |argument: &String| match argument.as_str() {
            text if text.contains("{data}") && numbers.is_block() => Parameter::block(),
            text if text.contains("{data}") => Parameter::number("V", f64::MIN..=f64::MAX).repeated(),
            text if text.contains("{count}") => Parameter::integer(1..=i64::from(u32::MAX)),
            text if text.contains("{rate}") => Parameter::number("HZ", 1e-3..=1e12),
            text if text.contains("{value}") => Parameter::number("", f64::MIN..=f64::MAX),
            text if text.contains("{volts}") => Parameter::number("V", f64::MIN..=f64::MAX),
            text => Parameter::literal(text),
        };
        self.arguments.iter().map(parameter).collect()
    }

    /// Which parameter has this place.
    pub fn place_of(&self, place: &str) -> Option<usize> {
        self.arguments.iter().position(|argument| argument.contains(place))
    }

    /// Whether a parameter is a number.
    pub fn is_number(&self, index: usize) -> bool {
        self.arguments.get(index).is_some_and(|argument| argument.contains('{') || argument.parse::<f64>().is_ok())
    }
}
