//! What a command takes: declared beside its header, checked before anything is done.

use std::ops::RangeInclusive;

use super::datum::{Datum, data, factor};
use super::error::ScpiError;
use super::pattern::forms;

/// One parameter of a command.
#[derive(Debug, Clone)]
pub struct Parameter {
    kind: Kind,
    optional: bool,
    repeated: bool,
}

/// What may stand there.
#[derive(Debug, Clone)]
enum Kind {
    Number(Bounds),
    Boolean,
    /// Short and long form of each word.
    Choice(Vec<(String, String)>),
    Literal(String),
    Text,
    Block,
    Expression,
    Raw,
}

/// A number's unit and range.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    unit: String,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) default: f64,
    whole: bool,
}

impl Parameter {
    fn new(kind: Kind) -> Self {
        Self { kind, optional: false, repeated: false }
    }

    /// A number in `unit`, such as `V` or `HZ`; empty is none. It may be written in multiples of the unit (`10 mV`), in another base
    /// (`#H1F`), and as `MINimum`, `MAXimum` and `DEFault`. What is outside is refused with -222.
    pub fn number(unit: &str, range: RangeInclusive<f64>) -> Self {
        let (low, high) = (*range.start(), *range.end());
        let default = 0.0_f64.clamp(low, high);
        Self::new(Kind::Number(Bounds { unit: unit.to_owned(), low, high, default, whole: false }))
    }

    /// A whole number; others are rounded, as IEEE 488.2 has it.
    pub fn integer(range: RangeInclusive<i64>) -> Self {
        let (low, high) = (*range.start() as f64, *range.end() as f64);
        Self::new(Kind::Number(Bounds {
            unit: String::new(),
            low,
            high,
            default: 0.0_f64.clamp(low, high),
            whole: true,
        }))
    }

    /// `ON`, `OFF`, or a number, which is on unless it rounds to 0.
    pub fn boolean() -> Self {
        Self::new(Kind::Boolean)
    }

    /// One of the words between bars, in its short or long form: `SINusoid|SQUare|ARBitrary`. Others are refused with -224.
    pub fn choice(words: &str) -> Self {
        Self::new(Kind::Choice(words.split('|').map(|word| forms(word.trim())).collect()))
    }

    /// Exactly what a rig file writes: a number by its value, a word in either form, `ON` as `1`, a string without its quotation marks.
    pub fn literal(text: &str) -> Self {
        Self::new(Kind::Literal(text.trim().to_owned()))
    }

    /// A string in quotation marks.
    pub fn text() -> Self {
        Self::new(Kind::Text)
    }

    /// A block of bytes.
    pub fn block() -> Self {
        Self::new(Kind::Block)
    }

    /// An expression in parentheses, such as a list of channels `(@1,3:5)`.
    pub fn expression() -> Self {
        Self::new(Kind::Expression)
    }

    /// All that follows the header, unread; the only parameter.
    pub fn raw() -> Self {
        Self::new(Kind::Raw)
    }

    /// What `DEFault` stands for; 0 where this is left out.
    #[must_use]
    pub fn default(mut self, value: f64) -> Self {
        if let Kind::Number(bounds) = &mut self.kind {
            bounds.default = value;
        }
        self
    }

    /// It may be left out, as may those behind it.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// It may be written any number of times, at least once; the last parameter.
    #[must_use]
    pub fn repeated(self) -> Self {
        Self { repeated: true, ..self }
    }

    /// The range, where it is a number.
    pub(super) fn bounds(&self) -> Option<&Bounds> {
        match &self.kind {
            Kind::Number(bounds) => Some(bounds),
            _ => None,
        }
    }

    /// One element as this parameter's value.
    fn value<'a>(&self, datum: Datum<'a>) -> Result<Value<'a>, ScpiError> {
        match (&self.kind, datum) {
            (Kind::Number(bounds), datum) => bounds.value(&datum).map(Value::Number),
            (Kind::Boolean, Datum::Number(value, "")) => Ok(Value::On(value.round() != 0.0)),
            (Kind::Boolean, Datum::Number(..)) => Err(ScpiError::SUFFIX_NOT_ALLOWED),
            (Kind::Boolean, Datum::Word(word)) => match word.to_uppercase().as_str() {
                "ON" => Ok(Value::On(true)),
                "OFF" => Ok(Value::On(false)),
                _ => Err(ScpiError::ILLEGAL_VALUE),
            },
            (Kind::Choice(words), datum) => choose(words, &datum),
            (Kind::Literal(wanted), datum) => {
                if is_literal(wanted, &datum)? {
                    return Ok(Value::Choice(0, wanted.to_uppercase()));
                }
                Err(ScpiError::ILLEGAL_VALUE)
            }
            (Kind::Text, Datum::Text(text)) => Ok(Value::Text(text)),
            (Kind::Block, Datum::Block(bytes)) => Ok(Value::Block(bytes)),
            (Kind::Expression, Datum::Expression(text)) => Ok(Value::Text(text.to_owned())),
            (_, datum) => Err(misplaced(&datum)),
        }
    }
}

impl Bounds {
    fn value(&self, datum: &Datum<'_>) -> Result<f64, ScpiError> {
        let value = match datum {
            Datum::Number(value, "") => *value,
            Datum::Number(..) if self.unit.is_empty() => return Err(ScpiError::SUFFIX_NOT_ALLOWED),
            Datum::Number(value, unit) => value * factor(unit, &self.unit).ok_or(ScpiError::INVALID_SUFFIX)?,
            Datum::Word(word) => match word.to_uppercase().as_str() {
                "MIN" | "MINIMUM" => self.low,
                "MAX" | "MAXIMUM" => self.high,
                "DEF" | "DEFAULT" => self.default,
                "INF" | "INFINITY" => f64::INFINITY,
                "NINF" | "NINFINITY" => f64::NEG_INFINITY,
                _ => return Err(ScpiError::ILLEGAL_VALUE),
            },
            datum => return Err(misplaced(datum)),
        };
        let value = if self.whole { value.round() } else { value };
        (self.low..=self.high).contains(&value).then_some(value).ok_or(ScpiError::OUT_OF_RANGE)
    }
}

/// The word of a list that an element is.
fn choose<'a>(words: &[(String, String)], datum: &Datum<'a>) -> Result<Value<'a>, ScpiError> {
    let found = match datum {
        Datum::Word(word) => {
            let word = word.to_uppercase();
            words.iter().position(|(short, long)| *short == word || *long == word)
        }
        // Some lists hold numbers: `8|16`.
        Datum::Number(value, "") => words.iter().position(|(short, _)| short.parse() == Ok(*value)),
        datum => return Err(misplaced(datum)),
    };
    let found = found.ok_or(ScpiError::ILLEGAL_VALUE)?;
    Ok(Value::Choice(found, words[found].0.clone()))
}

/// Whether an element is what a rig file writes.
fn is_literal(wanted: &str, datum: &Datum<'_>) -> Result<bool, ScpiError> {
    let on = |text: &str| match text.to_uppercase().as_str() {
        "ON" | "1" => Some(true),
        "OFF" | "0" => Some(false),
        _ => None,
    };
    let word = |word: &str| {
        let ((short, long), word) = (forms(wanted), word.to_uppercase());
        short == word || long == word || on(wanted).is_some() && on(wanted) == on(&word)
    };
    match datum {
        Datum::Word(given) => Ok(word(given)),
        Datum::Text(text) => Ok(wanted.trim_matches(['"', '\'']) == text),
        Datum::Number(value, _) => match (wanted.parse::<f64>(), on(wanted)) {
            (Ok(number), _) => Ok((number - value).abs() <= 1e-9 * number.abs()),
            (Err(_), Some(on)) => Ok(on == (value.round() != 0.0)),
            (Err(_), None) => Err(ScpiError::NUMBER_NOT_ALLOWED),
        },
        datum => Err(misplaced(datum)),
    }
}

/// An element of a type that must not stand where it stands.
fn misplaced(datum: &Datum<'_>) -> ScpiError {
    match datum {
        Datum::Number(..) => ScpiError::NUMBER_NOT_ALLOWED,
        Datum::Word(_) => ScpiError::WORD_NOT_ALLOWED,
        Datum::Text(_) => ScpiError::STRING_NOT_ALLOWED,
        Datum::Block(_) => ScpiError::BLOCK_NOT_ALLOWED,
        Datum::Expression(_) => ScpiError::EXPRESSION_NOT_ALLOWED,
    }
}

/// What was given for a parameter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Number(f64),
    On(bool),
    /// Its place in the list, and its short form.
    Choice(usize, String),
    Text(String),
    Block(&'a [u8]),
}

/// What follows a header as the values of its parameters.
pub(super) fn bind<'a>(parameters: &[Parameter], arguments: &'a [u8]) -> Result<Vec<Value<'a>>, ScpiError> {
    if let [Parameter { kind: Kind::Raw, .. }] = parameters {
        return Ok(vec![Value::Block(arguments.trim_ascii_end())]);
    }
    let mut data = data(arguments)?.into_iter();
    let mut values = Vec::with_capacity(data.len());
    for parameter in parameters {
        match data.next() {
            Some(datum) => values.push(parameter.value(datum)?),
            None if parameter.optional => break,
            None => return Err(ScpiError::MISSING_PARAMETER),
        }
        if parameter.repeated {
            for datum in data.by_ref() {
                values.push(parameter.value(datum)?);
            }
        }
    }
    if data.next().is_some() {
        return Err(ScpiError::PARAMETER_NOT_ALLOWED);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(parameters: &[Parameter], text: &str) -> i32 {
        bind(parameters, text.as_bytes()).map_or_else(|error| error.code, |_| 0)
    }

    #[test]
    fn each_kind_takes_its_own_and_says_what_is_wrong_with_the_rest() {
        let volts = [Parameter::number("V", -1.0..=1.0)];
        for (text, wanted) in [
            ("0.5", 0),
            ("500 mV", 0),
            ("MIN", 0),
            ("maximum", 0),
            ("DEF", 0),
            ("1.1", -222),
            ("INF", -222),
            ("2000MV", -222),
            ("high", -224),
            ("\"1\"", -158),
            ("1 HZ", -131),
            ("", -109),
            ("1,2", -108),
            ("#11a", -168),
            ("(1)", -178),
        ] {
            assert_eq!(code(&volts, text), wanted, "{text}");
        }
        let whole = [Parameter::integer(1..=10)];
        assert_eq!([code(&whole, "2.6"), code(&whole, "0.4"), code(&whole, "1 V")], [0, -222, -138]);
        assert_eq!(bind(&whole, b"2.6"), Ok(vec![Value::Number(3.0)]));
        let words = [Parameter::choice("SINusoid|SQUare|8")];
        assert_eq!(bind(&words, b"square"), Ok(vec![Value::Choice(1, "SQU".into())]));
        assert_eq!(
            [code(&words, "SQUA"), code(&words, "8"), code(&words, "9"), code(&words, "'SIN'")],
            [-224, 0, -224, -158]
        );
        let switch = [Parameter::boolean()];
        assert_eq!([code(&switch, "maybe"), code(&switch, "'ON'"), code(&switch, "1V")], [-224, -158, -138]);
        for (text, on) in [("ON", true), ("off", false), ("0.4", false), ("-2", true)] {
            assert_eq!(bind(&switch, text.as_bytes()), Ok(vec![Value::On(on)]), "{text}");
        }
        assert_eq!([code(&[Parameter::text()], "abc"), code(&[Parameter::block()], "1")], [-148, -128]);
    }

    #[test]
    fn some_may_be_left_out_and_some_repeated() {
        let list = [Parameter::integer(0..=9), Parameter::integer(0..=9).optional().repeated()];
        assert_eq!(
            [code(&list, ""), code(&list, "1"), code(&list, "1,2,3"), code(&list, "1,2,30")],
            [-109, 0, 0, -222]
        );
        assert_eq!(bind(&[Parameter::raw()], b"x y;z"), Ok(vec![Value::Block(b"x y;z")]));
        assert_eq!(code(&[], "1"), -108);
    }

    #[test]
    fn a_literal_is_what_the_rig_file_means() {
        for (wanted, given, expected) in [
            ("ON", "1", 0),
            ("1", "ON", 0),
            ("OFF", "0", 0),
            ("ON", "OFF", -224),
            ("ARB", "arbitrary", 0),
            ("ARB", "SIN", -224),
            ("1e6", "1000000", 0),
            ("1e6", "1e5", -224),
            ("'X'", "\"X\"", 0),
            ("ARB", "3", -128),
        ] {
            assert_eq!(code(&[Parameter::literal(wanted)], given), expected, "{wanted} {given}");
        }
    }
}
