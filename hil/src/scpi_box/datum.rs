//! Program data: numbers with units, words, strings, blocks and expressions between commas (IEEE 488.2, 7.7).

use super::error::ScpiError;
use super::message::{after_white, is_white};

/// The longest unit (IEEE 488.2, 7.7.3.4).
const LONGEST_SUFFIX: usize = 12;

/// One element.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum<'a> {
    /// A number with its unit as it was written, which may be empty.
    Number(f64, &'a str),
    /// A word, as it was written.
    Word(&'a str),
    /// What stands between quotation marks.
    Text(String),
    /// The bytes of a block.
    Block(&'a [u8]),
    /// What stands in parentheses.
    Expression(&'a str),
}

/// The elements of what follows a header.
pub fn data(arguments: &[u8]) -> Result<Vec<Datum<'_>>, ScpiError> {
    let mut rest = after_white(arguments);
    let mut data = Vec::new();
    if rest.is_empty() {
        return Ok(data);
    }
    loop {
        let (datum, length) = datum(rest)?;
        data.push(datum);
        rest = after_white(&rest[length..]);
        match rest {
            [] => return Ok(data),
            [b',', tail @ ..] => rest = after_white(tail),
            _ => return Err(ScpiError::INVALID_SEPARATOR),
        }
    }
}

/// The element that bytes begin with, and its length.
fn datum(bytes: &[u8]) -> Result<(Datum<'_>, usize), ScpiError> {
    match *bytes {
        [] | [b',', ..] => Err(ScpiError::SYNTAX),
        [b'"' | b'\'', ..] => text(bytes),
        [b'(', ..] => expression(bytes),
        [b'#', b'0'..=b'9', ..] => block(bytes),
        [b'#', base, ..] => other_base(bytes, base),
        [first, ..] if first.is_ascii_digit() || b"+-.".contains(&first) => number(bytes),
        [first, ..] if first.is_ascii_alphabetic() => {
            let word = ascii(bytes, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
            Ok((Datum::Word(word), word.len()))
        }
        _ => Err(ScpiError::INVALID_CHARACTER),
    }
}

/// The text that bytes begin with, as far as `is_part` says.
fn ascii(bytes: &[u8], is_part: impl Fn(u8) -> bool) -> &str {
    let end = bytes.iter().position(|byte| !byte.is_ascii() || !is_part(*byte)).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).unwrap_or_default()
}

/// A string; two quotation marks in it are one.
fn text(bytes: &[u8]) -> Result<(Datum<'_>, usize), ScpiError> {
    let quote = bytes[0];
    let (mut content, mut at) = (Vec::new(), 1);
    loop {
        match bytes[at..] {
            [first, second, ..] if first == quote && second == quote => {
                content.push(quote);
                at += 2;
            }
            [first, ..] if first == quote => {
                return Ok((Datum::Text(String::from_utf8_lossy(&content).into_owned()), at + 1));
            }
            [byte, ..] => {
                content.push(byte);
                at += 1;
            }
            [] => return Err(ScpiError::INVALID_STRING),
        }
    }
}

/// What stands in parentheses, such as `(@1,3:5)`.
fn expression(bytes: &[u8]) -> Result<(Datum<'_>, usize), ScpiError> {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => {
                let inside = std::str::from_utf8(&bytes[1..at]).map_err(|_| ScpiError::INVALID_EXPRESSION)?;
                return Ok((Datum::Expression(inside), at + 1));
            }
            b')' => depth -= 1,
            _ => {}
        }
    }
    Err(ScpiError::INVALID_EXPRESSION)
}

/// A block of definite length, or one that ends with its message: `#0`.
fn block(bytes: &[u8]) -> Result<(Datum<'_>, usize), ScpiError> {
    let digits = usize::from(bytes[1] - b'0');
    if digits == 0 {
        return Ok((Datum::Block(&bytes[2..]), bytes.len()));
    }
    let head = 2 + digits;
    let length = bytes.get(2..head).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
    let end = length.and_then(|length| head.checked_add(length)).ok_or(ScpiError::INVALID_BLOCK)?;
    let content = bytes.get(head..end).ok_or(ScpiError::INVALID_BLOCK)?;
    Ok((Datum::Block(content), end))
}

/// A whole number in another base: `#H1F`, `#Q17`, `#B101` (IEEE 488.2, 7.7.4).
fn other_base(bytes: &[u8], base: u8) -> Result<(Datum<'_>, usize), ScpiError> {
    let radix = match base.to_ascii_uppercase() {
        b'H' => 16,
        b'Q' => 8,
        b'B' => 2,
        _ => return Err(ScpiError::INVALID_CHARACTER),
    };
    let digits = ascii(&bytes[2..], |byte| byte.is_ascii_alphanumeric());
    let value = u64::from_str_radix(digits, radix).map_err(|_| ScpiError::CHARACTER_IN_NUMBER)?;
    Ok((Datum::Number(value as f64, ""), 2 + digits.len()))
}

/// A decimal number with a unit, or without one.
fn number(bytes: &[u8]) -> Result<(Datum<'_>, usize), ScpiError> {
    let mut at = usize::from(b"+-".contains(&bytes[0]));
    let mantissa = ascii(&bytes[at..], |byte| byte.is_ascii_digit() || byte == b'.');
    if mantissa.matches('.').count() > 1 || !mantissa.contains(|letter: char| letter.is_ascii_digit()) {
        return Err(ScpiError::CHARACTER_IN_NUMBER);
    }
    if 255 < mantissa.trim_start_matches('0').len() {
        return Err(ScpiError::TOO_MANY_DIGITS);
    }
    at += mantissa.len();
    let mut text = format!("{}{mantissa}", if bytes[0] == b'-' { "-" } else { "" });
    if let Some((exponent, length)) = exponent(&bytes[at..]) {
        if exponent.parse::<i64>().is_ok_and(|exponent| exponent.abs() <= 32_000) {
            text.push('e');
            text.push_str(&exponent);
        } else {
            return Err(ScpiError::EXPONENT_TOO_LARGE);
        }
        at += length;
    }
    let value = text.parse::<f64>().map_err(|_| ScpiError::CHARACTER_IN_NUMBER)?;
    let gap = bytes[at..].iter().take_while(|byte| is_white(**byte)).count();
    let unit = ascii(&bytes[at + gap..], |byte| byte.is_ascii_alphanumeric() || b"/.-%".contains(&byte));
    if LONGEST_SUFFIX < unit.len() {
        return Err(ScpiError::SUFFIX_TOO_LONG);
    }
    if unit.is_empty() {
        return Ok((Datum::Number(value, ""), at));
    }
    if unit.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '%') {
        return Ok((Datum::Number(value, unit), at + gap + unit.len()));
    }
    // Two numbers need a comma between them.
    Err(if gap == 0 { ScpiError::CHARACTER_IN_NUMBER } else { ScpiError::INVALID_SEPARATOR })
}

/// The exponent that bytes begin with, without its letter, and its length; there may be white space around the letter.
fn exponent(bytes: &[u8]) -> Option<(String, usize)> {
    let white = |bytes: &[u8]| bytes.iter().take_while(|byte| is_white(**byte)).count();
    let mut at = white(bytes);
    if !matches!(bytes.get(at)?, b'e' | b'E') {
        return None;
    }
    at += 1;
    at += white(&bytes[at..]);
    let sign = match bytes.get(at)? {
        b'-' => "-",
        _ => "",
    };
    at += usize::from(matches!(bytes[at], b'+' | b'-'));
    let digits = ascii(&bytes[at..], |byte| byte.is_ascii_digit());
    // Without digits it is a unit, such as exahertz.
    (!digits.is_empty()).then(|| (format!("{sign}{digits}"), at + digits.len()))
}

/// By how much a number in `given` must be multiplied to be in `wanted` (IEEE 488.2, table 7-2).
pub fn factor(given: &str, wanted: &str) -> Option<f64> {
    let (given, wanted) = (given.to_uppercase(), wanted.to_uppercase());
    let same = |unit: &str| unit == wanted || (wanted == "S" && unit == "SEC");
    if given.is_empty() || same(&given) {
        return Some(1.0);
    }
    let prefixes = [
        ("EX", 1e18),
        ("PE", 1e15),
        ("T", 1e12),
        ("G", 1e9),
        ("MA", 1e6),
        ("K", 1e3),
        ("M", 1e-3),
        ("U", 1e-6),
        ("N", 1e-9),
        ("P", 1e-12),
        ("F", 1e-15),
        ("A", 1e-18),
    ];
    // What nobody writes in thousandths: MHZ is a million hertz, and so is MOHM.
    if wanted == "HZ" && given == "MHZ" || wanted == "OHM" && given == "MOHM" {
        return Some(1e6);
    }
    prefixes.iter().find(|(prefix, _)| given.strip_prefix(prefix).is_some_and(same)).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Datum<'_>>, i32> {
        data(text.as_bytes()).map_err(|error| error.code)
    }

    #[test]
    fn numbers_in_all_notations() {
        for (text, value, unit) in [
            ("1", 1.0, ""),
            ("-.5", -0.5, ""),
            ("+1.5E-3", 1.5e-3, ""),
            ("2 E 3", 2000.0, ""),
            ("1e3Hz", 1e3, "Hz"),
            ("10 mV", 10.0, "mV"),
            ("3EHZ", 3.0, "EHZ"),
            ("#H1f", 31.0, ""),
            ("#q17", 15.0, ""),
            ("#B101", 5.0, ""),
            ("5 V/us", 5.0, "V/us"),
            ("20%", 20.0, "%"),
            ("007", 7.0, ""),
        ] {
            assert_eq!(read(text), Ok(vec![Datum::Number(value, unit)]), "{text}");
        }
        for (text, code) in [
            ("1.2.3", -121),
            ("+", -121),
            ("1e40000", -123),
            ("#H", -121),
            ("#Hxy", -121),
            ("1 2", -103),
            ("1,", -102),
            (",1", -102),
            ("1,,2", -102),
            ("1;", -103),
            ("1 ABCDEFGHIJKLM", -134),
            ("&", -101),
            ("#Z1", -101),
        ] {
            assert_eq!(read(text), Err(code), "{text}");
        }
        assert_eq!(read(&"9".repeat(256)), Err(-124));
    }

    #[test]
    fn words_strings_blocks_and_expressions() {
        let all = read("BURST, 'it''s, \"so\"',\"a\"\"b\" ,(@1,(2)), #13,;x").unwrap();
        let expected = [
            Datum::Word("BURST"),
            Datum::Text("it's, \"so\"".into()),
            Datum::Text("a\"b".into()),
            Datum::Expression("@1,(2)"),
            Datum::Block(b",;x"),
        ];
        assert_eq!(all, expected);
        assert_eq!(data(b"#0\x01\x02"), Ok(vec![Datum::Block(b"\x01\x02")]), "it ends with its message");
        assert_eq!(data(b"#14\x00 \n\x00 \r"), Ok(vec![Datum::Block(b"\x00 \n\x00")]), "white space in a block stays");
        assert_eq!([read("\"a").unwrap_err(), read("(1").unwrap_err(), read("#15ab").unwrap_err()], [-151, -171, -161]);
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn units_with_their_multiples() {
        for (given, wanted, by) in [
            ("", "V", 1.0),
            ("mV", "V", 1e-3),
            ("MHz", "HZ", 1e6),
            ("MAHZ", "HZ", 1e6),
            ("us", "S", 1e-6),
            ("MS", "S", 1e-3),
            ("sec", "S", 1.0),
            ("MOHM", "OHM", 1e6),
            ("kohm", "OHM", 1e3),
            ("A", "A", 1.0),
            ("MA", "A", 1e-3),
        ] {
            assert_eq!(factor(given, wanted), Some(by), "{given} in {wanted}");
        }
        assert_eq!([factor("HZ", "V"), factor("XV", "V"), factor("M", "V")], [None; 3]);
    }
}
