//! Entries of an error queue in the spellings that instruments have for them.
//!
//! SCPI-99 writes `-113,"Undefined header"`. Others write `+0,"No error"`, `0  No Error`, `-113,'Undefined header'`, a number alone
//! or `NO ERROR`. The whole number at the beginning is the code in all of them.

/// An entry of an error queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// 0 where nothing is wrong.
    pub code: i32,
    /// What follows the code, without quotation marks.
    pub words: String,
    /// Whether the words stand in quotation marks.
    pub is_quoted: bool,
}

/// Numbers that the standard gives to errors (SCPI-99, 21.8).
const STANDARD: std::ops::RangeInclusive<i32> = -899..=-100;
/// What is said in words where nothing is wrong.
const NOTHING: [&str; 4] = ["NO ERR", "NO_ERR", "NOERR", "NONE"];

impl Entry {
    /// Reads an entry; nothing where the text begins with no whole number and does not say that there is no error.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // A Red Pitaya of OS 1.x says this, without an end of its line, before what it answers next.
        let text = text.strip_prefix("ERR!").unwrap_or(text).trim_start();
        let whole = text.trim_matches(['"', '\'']).trim();
        if NOTHING.iter().any(|words| whole.to_uppercase().starts_with(words)) {
            return Some(Self { code: 0, words: whole.to_owned(), is_quoted: text.starts_with(['"', '\'']) });
        }
        // Some put the whole entry in quotation marks.
        let text = if text.starts_with(['"', '\'']) { whole } else { text };
        let end =
            text.find(|letter: char| !(letter.is_ascii_digit() || "+-.eE".contains(letter))).unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        if !rest.is_empty() && !rest.starts_with([',', ' ', '\t', ';', ':', '"', '\'']) {
            return None;
        }
        let code = number.parse::<f64>().ok().filter(|code| code.fract() == 0.0 && code.abs() < 1e6)?;
        let words = rest.trim_start_matches([',', ' ', '\t', ';', ':']);
        let is_quoted = words.starts_with(['"', '\'']);
        Some(Self { code: code as i32, words: words.trim_matches(['"', '\'']).trim().to_owned(), is_quoted })
    }

    /// Whether it says that nothing is wrong, in words: no reading looks like that.
    pub fn denies(&self) -> bool {
        let words = self.words.to_uppercase();
        self.code == 0 && NOTHING.iter().any(|nothing| words.starts_with(nothing))
    }

    /// Whether it can be nothing else than an error where a reading was asked for. `quotes` says whether the instrument is known to
    /// quote its words, or not to.
    pub fn is_error_for_certain(&self, quotes: Option<bool>) -> bool {
        STANDARD.contains(&self.code) && (self.is_quoted || quotes != Some(true))
    }

    /// Whether it may be an error of the instrument's own, which only what follows can tell from a reading such as `1,"USER"`.
    pub fn may_be_error(&self, quotes: Option<bool>) -> bool {
        self.code != 0 && self.is_quoted && quotes != Some(false)
    }
}

/// Whether an answer is a standard error with its words in quotation marks, such as `-113,"Undefined header"`.
pub(crate) fn says_error(answer: &str) -> bool {
    Entry::parse(answer).is_some_and(|entry| entry.is_error_for_certain(Some(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_number_at_the_beginning_is_the_code() {
        for (text, code, words) in [
            ("0,\"No error\"", 0, "No error"),
            ("+0,\"No error\"", 0, "No error"),
            ("-0,\"No error\" ", 0, "No error"),
            ("0  No Error", 0, "No Error"),
            ("NO ERROR", 0, "NO ERROR"),
            ("no errors", 0, "no errors"),
            ("\"No error\"", 0, "No error"),
            ("0", 0, ""),
            (" 0.0E+00 ", 0, ""),
            ("0,'No error'", 0, "No error"),
            ("-113, \"Undefined header;FOO\"", -113, "Undefined header;FOO"),
            ("-113,Undefined header", -113, "Undefined header"),
            ("-113", -113, ""),
            ("\"-113,Undefined header\"", -113, "Undefined header"),
            ("+501:Isolator problem", 501, "Isolator problem"),
            ("ERR!-222,\"Data out of range\"", -222, "Data out of range"),
            ("-1.13000E+02,\"Undefined header\"", -113, "Undefined header"),
        ] {
            let entry = Entry::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((entry.code, entry.words.as_str()), (code, words), "{text}");
            assert!(code != 0 || words.is_empty() || entry.denies(), "{text}");
        }
        for text in ["", "ARB", "1V", "0.5", "error -113", "1e9,\"x\"", "-"] {
            assert_eq!(Entry::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_reading_is_no_error() {
        let read = |text: &str| Entry::parse(text).unwrap();
        for text in ["1,DC", "0,\"USER\"", "1", "-1", "-113,DC", "5,'x'"] {
            assert!(!read(text).is_error_for_certain(Some(true)), "{text}");
        }
        assert!(read("-113,\"Undefined header\"").is_error_for_certain(Some(true)));
        assert!(read("-113").is_error_for_certain(Some(false)) && read("-113 Undefined").is_error_for_certain(None));
        assert!(read("9506,\"Mine\"").may_be_error(Some(true)) && !read("1,DC").may_be_error(None));
    }
}
