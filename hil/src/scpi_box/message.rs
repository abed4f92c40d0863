//! Program messages: where one ends, the units between its semicolons, and the header of a unit (IEEE 488.2, 7).

use drivers::Terminator;

use super::error::ScpiError;

/// The longest message that is kept while its end is awaited, in bytes.
pub const LONGEST: usize = 1 << 24;
/// The longest mnemonic (IEEE 488.2, 7.6.1.4.1).
const LONGEST_MNEMONIC: usize = 12;

/// Walks over bytes outside strings and blocks.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    quote: Option<u8>,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, quote: None }
    }

    /// The next byte outside strings and blocks, and where it is. `Err` where a block is not whole yet.
    fn next(&mut self) -> Result<Option<(usize, u8)>, ()> {
        while let Some(byte) = self.bytes.get(self.at).copied() {
            let here = self.at;
            self.at += 1;
            match (self.quote, byte) {
                // A string ends with its message at the latest, so that one quotation mark does not swallow all that follows.
                (Some(_), b'\n' | b'\r') => {
                    self.quote = None;
                    return Ok(Some((here, byte)));
                }
                (Some(quote), byte) if quote == byte => self.quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => self.quote = Some(byte),
                (None, b'#') => match block_length(&self.bytes[here..]) {
                    Length::Known(length) if self.bytes.len() < here + length => return Err(()),
                    Length::Known(length) => self.at = here + length,
                    Length::Unfinished => return Err(()),
                    Length::None => return Ok(Some((here, byte))),
                },
                (None, byte) => return Ok(Some((here, byte))),
            }
        }
        Ok(None)
    }
}

/// How long a block is.
enum Length {
    /// So many bytes, with its head.
    Known(usize),
    /// Its head is not whole.
    Unfinished,
    /// It is no block of a definite length, or one of an absurd length.
    None,
}

fn block_length(bytes: &[u8]) -> Length {
    let Some(digit) = bytes.get(1) else { return Length::Unfinished };
    if !(b'1'..=b'9').contains(digit) {
        return Length::None;
    }
    let head = 2 + usize::from(digit - b'0');
    let Some(digits) = bytes.get(2..head) else { return Length::Unfinished };
    let length = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<usize>().ok());
    length.filter(|length| *length <= LONGEST).map_or(Length::None, |length| Length::Known(head + length))
}

/// The first whole program message of what has been received, and how many bytes it took with its terminator. A terminator inside
/// a block ends nothing.
pub fn first_message(received: &[u8], terminator: Terminator) -> Option<(&[u8], usize)> {
    let end = terminator.bytes();
    let last = *end.last()?;
    let mut walk = Walk::new(received);
    while let Ok(Some((at, byte))) = walk.next() {
        if byte == last && received[..=at].ends_with(end) {
            return Some((&received[..at + 1 - end.len()], at + 1));
        }
    }
    None
}

/// The units of a message between semicolons, but for those inside strings and blocks.
pub fn units(message: &[u8]) -> Vec<&[u8]> {
    let (mut units, mut start) = (Vec::new(), 0);
    let mut walk = Walk::new(message);
    while let Ok(Some((at, byte))) = walk.next() {
        match byte {
            b';' => {
                units.push(&message[start..at]);
                start = at + 1;
            }
            // An indefinite block goes to the end of its message.
            b'#' if message.get(at + 1) == Some(&b'0') => break,
            _ => {}
        }
    }
    units.push(&message[start..]);
    units
}

/// Whether IEEE 488.2 has this byte for white space (7.4.1.2).
pub fn is_white(byte: u8) -> bool {
    byte <= b' '
}

/// What follows white space. What stands at the end may belong to a block, and stays.
pub fn after_white(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_white(*first)
    {
        bytes = rest;
    }
    bytes
}

/// The header of a unit in capitals, and what follows it; nothing where the unit is empty.
pub fn split_header(unit: &[u8]) -> Result<Option<(String, &[u8])>, ScpiError> {
    let unit = after_white(unit);
    let is_header = |byte: &u8| byte.is_ascii_alphanumeric() || b"*:_?".contains(byte);
    let end = unit.iter().position(|byte| !is_header(byte)).unwrap_or(unit.len());
    let (header, rest) = unit.split_at(end);
    let header = String::from_utf8_lossy(header).to_uppercase();
    match (header.as_str(), rest.first()) {
        ("", None) => return Ok(None),
        ("", Some(_)) => return Err(ScpiError::INVALID_CHARACTER),
        (_, Some(byte)) if byte.is_ascii_graphic() => return Err(ScpiError::HEADER_SEPARATOR.about(&header)),
        (_, Some(byte)) if !is_white(*byte) => return Err(ScpiError::INVALID_CHARACTER),
        _ => {}
    }
    let name = header.strip_prefix([':', '*']).unwrap_or(&header);
    let name = name.strip_suffix('?').unwrap_or(name);
    let begins = |word: &str| word.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if name.contains(['*', '?']) || !name.split(':').all(begins) || (header.starts_with('*') && name.contains(':')) {
        return Err(ScpiError::SYNTAX.about(&header));
    }
    Ok(Some((header, after_white(rest))))
}

/// What is wrong with a header that no command has.
pub fn undefined(header: &str) -> ScpiError {
    let is_long = |word: &str| LONGEST_MNEMONIC < word.trim_end_matches('?').len();
    let is_long = header.trim_start_matches('*').split(':').any(is_long);
    let error = if is_long { ScpiError::MNEMONIC_TOO_LONG } else { ScpiError::UNDEFINED_HEADER };
    error.about(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_may_hold_any_byte_and_come_in_pieces() {
        let first = |received| first_message(received, Terminator::Lf);
        let received = b"A #15\n;\"#\n\nB;C\n";
        assert_eq!(first(received).unwrap(), (&received[..10], 11));
        assert_eq!(first(&received[11..]).unwrap(), (&b"B;C"[..], 4));
        for end in 0..10 {
            assert_eq!(first(&received[..end]), None, "{end}");
        }
        assert_eq!(units(b"A #11;;B;C '1;2';D \"it's;\""), [&b"A #11;"[..], b"B", b"C '1;2'", b"D \"it's;\""]);
        assert_eq!(units(b"A;B #0;;"), [&b"A"[..], b"B #0;;"]);
        assert_eq!(units(b"A;B #0;;"), [&b"A"[..], b"B #0;;"]);
        assert_eq!(first(b"#9999999999\n").unwrap().1, 12, "an absurd length is no block");
        assert_eq!(first(b"A \"open\nB\n").unwrap().1, 8, "a string ends with its line");
    }

    #[test]
    fn a_message_ends_where_its_instrument_says() {
        let count = |received: &[u8], end| first_message(received, end).map(|(message, count)| (message.len(), count));
        assert_eq!(count(b"A\r\nB\r\n", Terminator::CrLf), Some((1, 3)));
        assert_eq!(count(b"A\nB\n", Terminator::CrLf), None, "half an end is none");
        assert_eq!(count(b"A\nB\r\n", Terminator::CrLf), Some((3, 5)));
        assert_eq!(count(b"A\rB\r", Terminator::Cr), Some((1, 2)));
        assert_eq!(count(b"A #15\r\r\r\r\r\r", Terminator::Cr), Some((10, 11)));
        assert_eq!(count(b"A\r\n", Terminator::Lf), Some((2, 3)), "a carriage return is white space");
    }

    #[test]
    fn headers_are_headers_or_what_is_wrong_with_them() {
        let header = |unit: &str| split_header(unit.as_bytes()).map(|found| found.map(|(header, _)| header));
        assert_eq!(header("  :sour1:volt? min ").unwrap().unwrap(), ":SOUR1:VOLT?");
        assert_eq!(header(" \t"), Ok(None));
        let code = |unit: &str| header(unit).unwrap_err().code;
        assert_eq!(
            [code("VOLT,5"), code("@VOLT"), code("1VOLT"), code("A::B"), code("A?B")],
            [-111, -101, -102, -102, -102]
        );
        assert_eq!([code("*A:B"), code("VOLT\u{e4}"), code("\"A\"")], [-102, -101, -101]);
        assert_eq!([undefined("ABCDEFGHIJKLM").code, undefined("ABC?").code], [-112, -113]);
    }
}
