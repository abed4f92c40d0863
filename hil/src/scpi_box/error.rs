//! Entries of the error queue, with the numbers and words of SCPI-99, 21.8.

use std::borrow::Cow;

/// An entry of the error queue. Positive numbers are an instrument's own (SCPI-99, 21.8.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScpiError {
    /// Its number.
    pub code: i32,
    /// What the number means.
    pub words: Cow<'static, str>,
    /// What it is about, which follows the words after a semicolon; often empty.
    pub detail: String,
}

impl ScpiError {
    /// Errors of this kind, with nothing else to say.
    pub const fn new(code: i32, words: &'static str) -> Self {
        Self { code, words: Cow::Borrowed(words), detail: String::new() }
    }

    /// The same, about `detail`.
    #[must_use]
    pub fn about(self, detail: &str) -> Self {
        Self { detail: detail.to_owned(), ..self }
    }

    /// Nothing is wrong: what an empty queue answers.
    pub const NONE: Self = Self::new(0, "No error");
    /// A byte that no element begins with.
    pub const INVALID_CHARACTER: Self = Self::new(-101, "Invalid character");
    /// Neither a command nor data.
    pub const SYNTAX: Self = Self::new(-102, "Syntax error");
    /// Something else where a comma belongs.
    pub const INVALID_SEPARATOR: Self = Self::new(-103, "Invalid separator");
    /// Data of another type than the command takes.
    pub const DATA_TYPE: Self = Self::new(-104, "Data type error");
    /// More parameters than the command takes.
    pub const PARAMETER_NOT_ALLOWED: Self = Self::new(-108, "Parameter not allowed");
    /// Fewer parameters than the command needs.
    pub const MISSING_PARAMETER: Self = Self::new(-109, "Missing parameter");
    /// Something else than white space after the header.
    pub const HEADER_SEPARATOR: Self = Self::new(-111, "Header separator error");
    /// A mnemonic of more than twelve characters.
    pub const MNEMONIC_TOO_LONG: Self = Self::new(-112, "Program mnemonic too long");
    /// The instrument has no such command.
    pub const UNDEFINED_HEADER: Self = Self::new(-113, "Undefined header");
    /// The instrument has such a command, but not that many of it.
    pub const SUFFIX_OUT_OF_RANGE: Self = Self::new(-114, "Header suffix out of range");
    /// A byte that no number holds.
    pub const CHARACTER_IN_NUMBER: Self = Self::new(-121, "Invalid character in number");
    /// An exponent beyond 32000.
    pub const EXPONENT_TOO_LARGE: Self = Self::new(-123, "Exponent too large");
    /// A mantissa of more than 255 digits.
    pub const TOO_MANY_DIGITS: Self = Self::new(-124, "Too many digits");
    /// A number where there must be none.
    pub const NUMBER_NOT_ALLOWED: Self = Self::new(-128, "Numeric data not allowed");
    /// A unit that the parameter does not have.
    pub const INVALID_SUFFIX: Self = Self::new(-131, "Invalid suffix");
    /// A unit of more than twelve characters.
    pub const SUFFIX_TOO_LONG: Self = Self::new(-134, "Suffix too long");
    /// A unit on a parameter that has none.
    pub const SUFFIX_NOT_ALLOWED: Self = Self::new(-138, "Suffix not allowed");
    /// A word where there must be none.
    pub const WORD_NOT_ALLOWED: Self = Self::new(-148, "Character data not allowed");
    /// A string without its second quotation mark.
    pub const INVALID_STRING: Self = Self::new(-151, "Invalid string data");
    /// A string where there must be none.
    pub const STRING_NOT_ALLOWED: Self = Self::new(-158, "String data not allowed");
    /// A block that is shorter than it says, or does not hold what it must.
    pub const INVALID_BLOCK: Self = Self::new(-161, "Invalid block data");
    /// A block where there must be none.
    pub const BLOCK_NOT_ALLOWED: Self = Self::new(-168, "Block data not allowed");
    /// An expression without its second parenthesis.
    pub const INVALID_EXPRESSION: Self = Self::new(-171, "Invalid expression");
    /// An expression where there must be none.
    pub const EXPRESSION_NOT_ALLOWED: Self = Self::new(-178, "Expression data not allowed");
    /// A trigger that the instrument does not wait for.
    pub const TRIGGER_IGNORED: Self = Self::new(-211, "Trigger ignored");
    /// What is told fits other settings only.
    pub const SETTINGS_CONFLICT: Self = Self::new(-221, "Settings conflict");
    /// A number beyond what the instrument can do.
    pub const OUT_OF_RANGE: Self = Self::new(-222, "Data out of range");
    /// More data than the instrument holds.
    pub const TOO_MUCH_DATA: Self = Self::new(-223, "Too much data");
    /// A word that is none of those that the command takes.
    pub const ILLEGAL_VALUE: Self = Self::new(-224, "Illegal parameter value");
    /// Readings are asked for, and none were taken.
    pub const STALE: Self = Self::new(-230, "Data corrupt or stale");
    /// Errors were lost because the queue was full.
    pub const OVERFLOW: Self = Self::new(-350, "Queue overflow");
    /// A message longer than the input buffer.
    pub const INPUT_OVERRUN: Self = Self::new(-363, "Input buffer overrun");
    /// A query after one whose answer has no end of its own.
    pub const UNTERMINATED: Self = Self::new(-440, "Query UNTERMINATED after indefinite response");
}

impl std::fmt::Display for ScpiError {
    /// As the queue is answered: `-113,"Undefined header;SOUR9:VOLT"`, at most 255 characters between the quotation marks.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let separator = if self.detail.is_empty() { "" } else { ";" };
        let text = format!("{}{separator}{}", self.words, self.detail);
        let text: String = text.chars().filter(|letter| *letter != '"' && !letter.is_control()).take(255).collect();
        write!(f, "{},\"{text}\"", self.code)
    }
}
