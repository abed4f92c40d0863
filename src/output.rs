//! Lines for people: `say!` on standard output, `tell!` on standard error.
//!
//! `println!` panics when nobody reads any more (`pnnlab runs list | head`, a terminal that was closed): a training must not end
//! for that, least of all with its plants driven.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Prints a line on standard output.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::say(format_args!($($words)*)) };
}

/// Prints a line on standard error.
macro_rules! tell {
    ($($words:tt)*) => { $crate::output::tell(format_args!($($words)*)) };
}

/// Prints a line on standard output; a reader that has gone is passed over, a full disk is told.
pub fn say(line: Arguments<'_>) {
    if let Err(error) = writeln!(stdout().lock(), "{line}").and_then(|()| stdout().flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        tell(format_args!("pnnlab: standard output cannot be written: {error}"));
    }
}

/// Prints a line on standard error, if anybody is there.
pub fn tell(line: Arguments<'_>) {
    drop(writeln!(stderr().lock(), "{line}"));
}
