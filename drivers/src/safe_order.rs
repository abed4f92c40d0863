//! What makes an instrument safe in few words and with nothing around them: for the guard, which must do it after the instrument's
//! owner has died.
//!
//! No link, no runtime, no threads: one connection, the words, and what must be answered. Whoever carries an order out again and again
//! until it succeeds gives each attempt a number. On a serial line the owner may have died inside a block of data, which then swallows
//! what follows: from the second attempt on, ever more ends of lines go first, which are no message where no block is open.
//!
//! The lines are one write in the first attempt. An instrument that takes one line at a time gets one after another with pauses; so does
//! every instrument from the second attempt on, because nobody may have found out yet that it is one of these.

mod wire;

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::wire::{Wire, connect, drain, filling, left};
use crate::dialogue::shown;
use crate::lightcrafter::{Packet, dark, kind};
use crate::pseudo_terminal::{PseudoTerminal, REPLACED};
use crate::scpi::ONE_LINE;
use crate::{Address, Error, Terminator};

/// A line that is longer is no answer to a query of a state.
const LONGEST_LINE: usize = 4096;
/// The header of a packet of a mirror array.
const HEADER: usize = 6;

/// An instrument, and what makes it safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafeOrder {
    /// Its name in the rig.
    pub instrument: String,
    /// Where it is, as a rig file writes it.
    pub address: String,
    words: Words,
    /// Which pseudo-terminal the address led to, where it is one.
    #[serde(default)]
    terminal: Option<PseudoTerminal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Words {
    /// Lines, then a query that is answered with 0 or OFF where the output is off.
    Scpi {
        off: Vec<String>,
        state: String,
        #[serde(default)]
        terminator: Terminator,
        /// Whether it takes all lines in one write.
        #[serde(default = "in_one_write")]
        pipelined: bool,
    },
    /// The dark image of a mirror array, whose reception is acknowledged.
    Dark,
}

/// What `pipelined` is when left out.
fn in_one_write() -> bool {
    true
}

impl SafeOrder {
    /// Lines for an instrument that speaks SCPI, and the query that says whether its output is on.
    pub fn scpi(instrument: &str, address: &Address, off: &[&str], state: &str) -> Self {
        let off = off.iter().map(|line| (*line).to_owned()).collect();
        let (state, terminator) = (state.to_owned(), Terminator::Lf);
        Self::new(instrument, address, Words::Scpi { off, state, terminator, pipelined: true })
    }

    /// The same, whose lines are one write, or one write each.
    pub fn pipelined(mut self, in_one_write: bool) -> Self {
        if let Words::Scpi { pipelined, .. } = &mut self.words {
            *pipelined = in_one_write;
        }
        self
    }

    /// The pause after each line in this attempt.
    fn pause(&self, attempt: u32) -> Duration {
        match &self.words {
            Words::Scpi { pipelined, .. } if !pipelined || 0 < attempt => ONE_LINE,
            _ => Duration::ZERO,
        }
    }

    /// How many lines it has to say.
    fn line_count(&self) -> u32 {
        match &self.words {
            Words::Scpi { off, .. } => u32::try_from(off.len()).unwrap_or(u32::MAX),
            Words::Dark => 0,
        }
    }

    /// The same, whose lines end with `end`.
    pub fn ending(mut self, end: Terminator) -> Self {
        if let Words::Scpi { terminator, .. } = &mut self.words {
            *terminator = end;
        }
        self
    }

    /// What ends a line.
    fn end(&self) -> Terminator {
        match &self.words {
            Words::Scpi { terminator, .. } => *terminator,
            Words::Dark => Terminator::Lf,
        }
    }

    /// The dark image of a mirror array.
    pub fn dark(instrument: &str, address: &Address) -> Self {
        Self::new(instrument, address, Words::Dark)
    }

    fn new(instrument: &str, address: &Address, words: Words) -> Self {
        let terminal = match address {
            Address::Serial { path, .. } => PseudoTerminal::at(path),
            _ => None,
        };
        Self { instrument: instrument.to_owned(), address: address.to_string(), words, terminal }
    }

    /// Looks up where the instrument is: what may take seconds is not left until it is urgent.
    pub fn resolve(&self) -> Vec<SocketAddr> {
        match self.address.parse() {
            Ok(Address::Tcp { host, port }) => {
                (host.as_str(), port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
            }
            _ => vec![],
        }
    }

    /// Makes the instrument safe over a connection of its own, and asks whether it is; `at` is what [`Self::resolve`] found, and
    /// `attempt` counts from 0. Pauses between lines are not part of the time.
    pub fn carry_out(&self, at: &[SocketAddr], attempt: u32, within: Duration) -> Result<(), Error> {
        let pause = self.pause(attempt);
        let until = Instant::now() + within + pause.saturating_mul(self.line_count());
        let unreachable = |source: std::io::Error| Error::Unreachable {
            instrument: self.instrument.clone(),
            address: self.address.clone(),
            message: source.to_string(),
        };
        let result = match self.address.parse()? {
            Address::Tcp { .. } => {
                let mut wire = connect(at, within).map_err(unreachable)?;
                self.say(&mut wire, pause, until)
            }
            Address::Serial { path, .. }
                if self.terminal.as_ref().is_some_and(|terminal| terminal.is_replaced_at(&path)) =>
            {
                return Err(unreachable(std::io::Error::other(REPLACED)));
            }
            Address::Serial { path, baud } => {
                let mut wire = serialport::new(path.to_string_lossy(), baud)
                    .timeout(within)
                    .open()
                    .map_err(|error| unreachable(error.into()))?;
                wire.write_all(&filling(attempt, self.end(), self.terminal.is_none().then_some(baud)))
                    .and_then(|()| drain(&mut wire, until))
                    .map_err(unreachable)?;
                self.say(&mut wire, pause, until)
            }
            // Nobody else can play there, and a recording switches nothing.
            Address::Audio { .. } | Address::Replay { .. } => return Ok(()),
        };
        match result {
            Err(Failed::Wire(source)) if matches!(source.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(Error::Timeout {
                    instrument: self.instrument.clone(),
                    what: "answer",
                    seconds: within.as_secs_f32(),
                })
            }
            Err(Failed::Wire(source)) => Err(unreachable(source)),
            Err(Failed::Said(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    fn say(&self, wire: &mut impl Wire, pause: Duration, until: Instant) -> Result<(), Failed> {
        match &self.words {
            Words::Scpi { off, state, .. } => {
                self.tell(wire, (off, state), pause, until)?;
                self.hear_off(wire, state, until)
            }
            Words::Dark => dark().iter().try_for_each(|packet| self.show(wire, packet, until)),
        }
    }

    /// Sends the lines and the query of the state: in one write, or with a pause after each line but the last.
    fn tell(
        &self,
        wire: &mut impl Wire,
        (off, state): (&[String], &str),
        pause: Duration,
        until: Instant,
    ) -> Result<(), Failed> {
        let lines = off.iter().map(String::as_str).chain([state]);
        let mut writes: Vec<Vec<u8>> = lines.map(|line| [line.as_bytes(), self.end().bytes()].concat()).collect();
        if pause.is_zero() {
            writes = vec![writes.concat()];
        }
        for (index, write) in writes.iter().enumerate() {
            if 0 < index {
                std::thread::sleep(pause);
            }
            wire.wait_for(left(until)?)?;
            wire.write_all(write)?;
        }
        Ok(())
    }

    /// Reads until it says that it is off.
    fn hear_off(&self, wire: &mut impl Wire, state: &str, until: Instant) -> Result<(), Failed> {
        let (mut line, mut last) = (Vec::new(), None);
        loop {
            let mut byte = [0];
            let got = left(until).and_then(|left| {
                wire.wait_for(left)?;
                wire.read_exact(&mut byte)
            });
            if let Err(error) = got {
                // It has answered, but not that it is off.
                return Err(last.map_or(Failed::Wire(error), Failed::Said));
            }
            if byte != *b"\n" && byte != *b"\r" {
                line.push(byte[0]);
                line.truncate(LONGEST_LINE);
                continue;
            }
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            if is_off(&text) {
                return Ok(());
            }
            if !text.is_empty() {
                last = Some(Error::Readback {
                    instrument: self.instrument.clone(),
                    setting: state.to_owned(),
                    sent: "off".to_owned(),
                    read: shown(text.as_bytes()),
                });
            }
            line.clear();
        }
    }

    fn show(&self, wire: &mut impl Wire, packet: &Packet, until: Instant) -> Result<(), Failed> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        loop {
            wire.wait_for(left(until)?)?;
            wire.write_all(&bytes)?;
            let mut answer = vec![0; HEADER];
            wire.read_exact(&mut answer)?;
            let length = usize::from(u16::from_le_bytes([answer[4], answer[5]]));
            answer.resize(HEADER + length + 1, 0);
            wire.wait_for(left(until)?)?;
            wire.read_exact(&mut answer[HEADER..])?;
            match Packet::decode(&answer) {
                Some((Ok(answer), _)) if answer.kind == kind::BUSY => std::thread::sleep(Duration::from_millis(2)),
                Some((Ok(answer), _)) if answer.kind == kind::WRITTEN => return Ok(()),
                _ => {
                    return Err(Failed::Said(Error::Garbled {
                        instrument: self.instrument.clone(),
                        message: "does not take the dark image".to_owned(),
                    }));
                }
            }
        }
    }
}

/// Why an order was not carried out.
enum Failed {
    Wire(std::io::Error),
    Said(Error),
}

impl From<std::io::Error> for Failed {
    fn from(source: std::io::Error) -> Self {
        Self::Wire(source)
    }
}

/// Whether an instrument says by `text` that its output is off; some repeat the header before the value.
fn is_off(text: &str) -> bool {
    let value = text.rsplit(' ').next().unwrap_or(text);
    value.eq_ignore_ascii_case("OFF") || value.parse::<f64>() == Ok(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lightcrafter::transmissions;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    const WITHIN: Duration = Duration::from_mins(1);

    /// An instrument that takes one connection and hands it to `work`; its address.
    fn instrument<T: Send + 'static>(
        work: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> (Address, std::thread::JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || work(listener.accept().unwrap().0));
        (Address::Tcp { host: "localhost".into(), port }, thread)
    }

    fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
        let (mut heard, mut byte) = (vec![], [0]);
        while !heard.ends_with(end) {
            stream.read_exact(&mut byte).unwrap();
            heard.push(byte[0]);
        }
        heard
    }

    #[test]
    fn an_output_is_switched_off_and_asked_for() {
        let (address, heard) = instrument(|mut stream| {
            let heard = read_until(&mut stream, b"?\r\n");
            // A greeting, an answer that says that it is still on, then that it is off.
            stream.write_all(b"Welcome\r\n1\r\n0\r\n").unwrap();
            heard
        });
        let order = SafeOrder::scpi("generator", &address, &["OUTP1 OFF", "ABOR"], "OUTP1?").ending(Terminator::CrLf);
        let written = serde_json::to_string(&order).unwrap();
        let order: SafeOrder = serde_json::from_str(&written).unwrap();
        order.carry_out(&order.resolve(), 0, WITHIN).unwrap();
        assert_eq!(heard.join().unwrap(), b"OUTP1 OFF\r\nABOR\r\nOUTP1?\r\n");
    }

    /// Notes what is written, and says that it is off.
    struct Notes(Vec<String>, &'static [u8]);

    impl Read for Notes {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1.read(buffer)
        }
    }

    impl Write for Notes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Wire for Notes {
        fn wait_for(&mut self, _time: Duration) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_instrument_that_takes_one_line_at_a_time_gets_one_at_a_time() {
        let address = "tcp://h:1".parse().unwrap();
        let order = |pipelined| SafeOrder::scpi("x", &address, &["OUTP1 OFF", "ABOR"], "OUTP1?").pipelined(pipelined);
        let told = |order: &SafeOrder, attempt| {
            let mut notes = Notes(vec![], b"0\n");
            assert!(order.say(&mut notes, order.pause(attempt), Instant::now() + WITHIN).is_ok());
            notes.0
        };
        let (together, alone) = (["OUTP1 OFF\nABOR\nOUTP1?\n"], ["OUTP1 OFF\n", "ABOR\n", "OUTP1?\n"]);
        assert_eq!(told(&order(true), 0), together);
        assert_eq!(told(&order(true), 1), alone, "where that was of no use, it may be such an instrument");
        // The order goes to the guard as text, and is the same there.
        let written = serde_json::to_string(&order(false)).unwrap();
        assert_eq!(told(&serde_json::from_str(&written).unwrap(), 0), alone);
        let older = serde_json::to_string(&order(true)).unwrap().replace(",\"pipelined\":true", "");
        assert_eq!(serde_json::from_str::<SafeOrder>(&older).unwrap(), order(true));
    }

    #[test]
    fn an_output_that_stays_on_is_said() {
        let (address, thread) = instrument(|mut stream| {
            read_until(&mut stream, b"?\n");
            stream.write_all(b"1\n").unwrap();
        });
        let order = SafeOrder::scpi("generator", &address, &["OUTP1 OFF"], "OUTP1?");
        let error = order.carry_out(&order.resolve(), 0, WITHIN).unwrap_err().to_string();
        assert!(error.contains("told OUTP1? = off, but says `1`") || error.contains("says 1"), "{error}");
        thread.join().unwrap();
        let error = order.carry_out(&order.resolve(), 0, WITHIN).unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        assert!(is_off("OUTP1 0") && is_off("off") && is_off("+0.0E0") && !is_off("1") && !is_off("OFFSET"));
    }

    #[test]
    fn a_mirror_array_shows_the_dark_image_also_after_it_was_busy() {
        let (address, shown) = instrument(|mut stream| {
            let (mut image, mut busy) = (vec![], true);
            while image.len() < 10_000 {
                let mut bytes = vec![];
                let packet = loop {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    bytes.push(byte[0]);
                    if let Some((Ok(packet), _)) = Packet::decode(&bytes) {
                        break packet;
                    }
                };
                let answer = if std::mem::take(&mut busy) { kind::BUSY } else { kind::WRITTEN };
                let mut said = vec![];
                Packet { kind: answer, command: packet.command, flag: 0, payload: vec![] }.encode(&mut said);
                stream.write_all(&said).unwrap();
                image = packet.payload;
            }
            image
        });
        let order = SafeOrder::dark("shaper", &address);
        order.carry_out(&order.resolve(), 0, WITHIN).unwrap();
        assert_eq!(transmissions(&shown.join().unwrap(), 4), Some(vec![0.0; 4]));
    }

    #[test]
    fn a_recording_switches_nothing() {
        let order = SafeOrder::scpi("x", &Address::Replay { path: "y".into() }, &[], "");
        order.carry_out(&[], 0, WITHIN).unwrap();
    }
}
