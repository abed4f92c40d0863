//! Quotation marks in a table of text that nobody closes: what follows one, to the end of the file, would be one value.

/// Where the reading of a table stands among its quotation marks. A mark opens a quotation at the beginning of a value only, and two within
/// one stand for a mark (RFC 4180, section 2).
#[derive(Debug, Clone)]
pub struct Quotes {
    delimiter: u8,
    place: Place,
    line: u64,
    opened: u64,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Begin,
    Plain,
    Quoted,
    /// Behind a mark within a quotation: its end, or the first of two.
    Mark,
}

/// What some programs write before the first line.
const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

impl Quotes {
    /// Before the first byte of a table whose values `delimiter` separates.
    pub fn new(delimiter: u8) -> Self {
        Self { delimiter, place: Place::Begin, line: 1, opened: 0, bytes: 0 }
    }

    /// Goes over the next bytes.
    pub fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let is_mark = BYTE_ORDER_MARK.get(self.bytes) == Some(byte);
            self.bytes += 1;
            if is_mark && self.place == Place::Begin {
                continue;
            }
            self.place = match (self.place, *byte) {
                (Place::Quoted, b'"') => Place::Mark,
                (Place::Begin | Place::Mark, b'"') => {
                    if self.place == Place::Begin {
                        self.opened = self.line;
                    }
                    Place::Quoted
                }
                (Place::Quoted, _) => Place::Quoted,
                (_, b'\n' | b'\r') => Place::Begin,
                (_, byte) if byte == self.delimiter => Place::Begin,
                _ => Place::Plain,
            };
            self.line += u64::from(*byte == b'\n');
        }
    }

    /// The line, from 1, of the mark that is not closed, if the table ends here.
    pub fn unclosed(&self) -> Option<u64> {
        (self.place == Place::Quoted).then_some(self.opened)
    }
}

/// The line, from 1, of a mark in a whole table that is not closed.
pub(crate) fn unclosed_quote(table: &[u8], delimiter: u8) -> Option<u64> {
    let mut quotes = Quotes::new(delimiter);
    quotes.read(table);
    quotes.unclosed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_is_not_closed_is_found_with_its_line() {
        for (table, line) in [
            ("a,b\n1,\"x\n2,y\n3,z\n", Some(2)),
            ("a,b\r\n1,x\r\n2,\"y\r\n", Some(3)),
            ("a,\"b\"\"", Some(1)),
            ("\"a,b\n1,2\n", Some(1)),
            ("a,b\n1,\"x\ny\"\n2,\"z\n", Some(4)),
            ("a,\"b\"\n\"1\n2\",\"x, \"\"y\"\"\"\n", None),
            // Within a value a mark is a mark: 5" are five inches.
            ("a,b\n5\",x\"\n", None),
            ("\u{feff}\"a,\"\n1\n", None),
            ("", None),
        ] {
            assert_eq!(unclosed_quote(table.as_bytes(), b','), line, "{table:?}");
            let mut bytewise = Quotes::new(b',');
            table.bytes().for_each(|byte| bytewise.read(&[byte]));
            assert_eq!(bytewise.unclosed(), line, "{table:?}");
        }
        assert_eq!(unclosed_quote(b"a;\"b\n", b';'), Some(1));
        assert_eq!(unclosed_quote(b"a;\"b\n", b','), None);
    }
}
