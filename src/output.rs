//! Lines for people: `say!` on standard output, `tell!` on standard error.
//!
//! `println!` panics when nobody reads any more (`pnnlab runs list | head`, a terminal that was closed): a training must not end
//! for that, least of all with its plants driven. Names and serial numbers come from files and instruments: a control character among
//! them would be an order to the terminal, so it is written as its number, in the way that JSON has for it.

use std::fmt::{Arguments, Write as _};
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

pub use quantity::{bytes, duration, short_time, timestamp, unit_behind};

/// Whether a line could not be written on standard output.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints a line on standard output.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::say(format_args!($($words)*)) };
}

/// Prints a line on standard error.
macro_rules! tell {
    ($($words:tt)*) => { $crate::output::tell(format_args!($($words)*)) };
}

mod quantity;
pub mod table;

/// Prints a line on standard output; a reader that has gone is passed over, a full disk is told, and the program's exit code says it.
pub fn say(line: Arguments<'_>) {
    let text = printable(&line.to_string());
    if let Err(error) = writeln!(stdout().lock(), "{text}").and_then(|()| stdout().flush())
        && error.kind() != ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        tell(format_args!("pnnlab: standard output cannot be written: {error}"));
    }
}

/// Prints a line on standard error, if anybody is there.
pub fn tell(line: Arguments<'_>) {
    drop(writeln!(stderr().lock(), "{}", printable(&line.to_string())));
}

/// Whether something that was said is lost, because standard output could not be written.
pub fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Whether a character is an order and not a sign: control characters, and those that turn the direction of what follows.
pub fn is_order(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// `text` with each order that it holds written as its number; its lines stay lines.
pub fn printable(text: &str) -> String {
    if !text.contains(is_order) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut shown, character| {
        if is_order(character) && !matches!(character, '\n' | '\t') {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\u{:04x}", u32::from(character));
        } else {
            shown.push(character);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_to_the_terminal_are_written_as_numbers() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{9b}31m"), "a\\u001b[2Jb\\u000d\\u009b31m");
        assert_eq!(printable("a\tb\nc µΩ 日本"), "a\tb\nc µΩ 日本");
        assert_eq!(printable("x\u{202e}y"), "x\\u202ey");
        let object = serde_json::json!({ "serial": "\u{1b}[2J\u{9b}x" });
        let read: serde_json::Value = serde_json::from_str(&printable(&format!("{object:#}"))).unwrap();
        assert_eq!(read, object, "JSON stays what it is");
    }
}
