//! A connection without a runtime, and what goes over a serial line before the first word.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Terminator;

/// Late answers on a serial line are over after so much silence.
const QUIET: Duration = Duration::from_millis(20);
/// Ends of lines that fill an open block: the longest that is sent has 65,536 bytes.
const MOST_FILLING: usize = 65_536;
/// The second attempt fills for so long, at the speed of the line; each further one 16 times as much.
const FILLING_SECONDS: f64 = 0.2;

/// A connection without a runtime.
pub(super) trait Wire: Read + Write {
    /// Reads and writes wait so long at most.
    fn wait_for(&mut self, time: Duration) -> std::io::Result<()>;
}

impl Wire for TcpStream {
    fn wait_for(&mut self, time: Duration) -> std::io::Result<()> {
        let time = Some(time.max(Duration::from_millis(1)));
        self.set_read_timeout(time)?;
        self.set_write_timeout(time)
    }
}

impl Wire for Box<dyn serialport::SerialPort> {
    fn wait_for(&mut self, time: Duration) -> std::io::Result<()> {
        Ok(self.set_timeout(time)?)
    }
}

/// Connects to the first address that takes the connection.
pub(super) fn connect(at: &[SocketAddr], within: Duration) -> std::io::Result<TcpStream> {
    let mut failure = std::io::Error::other("its name is not known");
    for address in at {
        match TcpStream::connect_timeout(address, within) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// What goes first on a serial line: an end for the line, then for the block, in which the owner may have died.
pub(super) fn filling(attempt: u32, end: Terminator, baud: Option<u32>) -> Vec<u8> {
    // Ten bits a byte. What is not sent within an attempt would keep its own question from being answered; a pseudo-terminal has no speed.
    let at_once = baud.map_or(MOST_FILLING, |baud| (f64::from(baud) / 10.0 * FILLING_SECONDS) as usize);
    let count = match attempt.checked_sub(1) {
        None => 1,
        Some(more) => at_once.max(16).saturating_mul(16_usize.saturating_pow(more)),
    };
    end.bytes().repeat(count.min(MOST_FILLING))
}

/// Reads what is still on its way from before.
pub(super) fn drain(wire: &mut impl Wire, until: Instant) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while let Ok(left) = left(until) {
        wire.wait_for(QUIET.min(left))?;
        match wire.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The time until then; an error when it has come.
pub(super) fn left(until: Instant) -> std::io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_open_on_a_line_is_filled() {
        let lengths = |baud| [0, 1, 2, 9].map(|attempt| filling(attempt, Terminator::Lf, baud).len());
        assert_eq!(lengths(Some(9600)), [1, 192, 3072, MOST_FILLING]);
        assert_eq!(lengths(Some(115_200)), [1, 2304, 36_864, MOST_FILLING]);
        assert_eq!(lengths(None), [1, MOST_FILLING, MOST_FILLING, MOST_FILLING]);
    }
}
