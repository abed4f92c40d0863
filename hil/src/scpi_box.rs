//! A simulated SCPI instrument as far as all are alike: messages, common commands, status registers, error queue.
//!
//! Common commands are those of IEEE 488.2, 10; the error queue is SCPI-99's, 16 entries deep as a Red Pitaya's, and says -350
//! when it overflows. The identity says that the instrument is simulated.

use std::collections::VecDeque;

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// A query's answer, without terminator.
    Answer(Vec<u8>),
    /// The instrument has no such command.
    Unknown,
    /// An error number and its words.
    Refused(i32, &'static str),
}

impl Outcome {
    /// An answer of text.
    pub fn text(text: impl std::fmt::Display) -> Self {
        Self::Answer(text.to_string().into_bytes())
    }
}

/// What one kind of instrument does with its own commands.
pub trait ScpiInstrument: Send {
    /// Manufacturer, model and serial number; the model says that it is simulated.
    fn identity(&self) -> [String; 3];

    /// A command or query: its header in capitals without a leading colon, and its arguments.
    fn command(&mut self, header: &str, arguments: &[u8]) -> Outcome;

    /// `*RST`, and what a loss of power does: outputs off, settings as made.
    fn reset(&mut self);
}

/// How many errors the queue holds.
const QUEUE: usize = 16;
/// Bits of the standard event status register (IEEE 488.2, 11.5.1).
const POWER_ON: u8 = 128;
const COMMAND_ERROR: u8 = 32;
const EXECUTION_ERROR: u8 = 16;
const DEVICE_ERROR: u8 = 8;
const OPERATION_COMPLETE: u8 = 1;

/// An instrument with its status.
pub struct ScpiBox {
    instrument: Box<dyn ScpiInstrument>,
    errors: VecDeque<(i32, &'static str)>,
    event: u8,
    event_mask: u8,
    service_mask: u8,
    firmware: u32,
}

impl ScpiBox {
    /// Switched on.
    pub fn new(instrument: Box<dyn ScpiInstrument>) -> Self {
        let errors = VecDeque::new();
        Self { instrument, errors, event: POWER_ON, event_mask: 0, service_mask: 0, firmware: 1 }
    }

    /// Switched off and on again: settings and errors are gone, and the power-on bit says so.
    pub fn power_cycle(&mut self) {
        self.instrument.reset();
        self.errors.clear();
        (self.event, self.event_mask, self.service_mask) = (POWER_ON, 0, 0);
    }

    /// Another firmware from now on.
    pub fn change_firmware(&mut self) {
        self.firmware += 1;
    }

    /// More errors than the queue holds.
    pub fn overflow(&mut self) {
        for _ in 0..=QUEUE {
            self.raise(-300, "Device-specific error");
        }
    }

    /// What one program message, without its terminator, is answered with: lines.
    pub fn message(&mut self, message: &[u8]) -> Vec<u8> {
        let mut answers: Vec<Vec<u8>> = Vec::new();
        let mut path = String::new();
        for unit in units(message) {
            let (header, arguments) = split_header(unit);
            if header.is_empty() {
                continue;
            }
            match self.unit(&header, arguments, &mut path) {
                Outcome::Done => {}
                Outcome::Answer(answer) => answers.push(answer),
                Outcome::Unknown => self.raise(-113, "Undefined header"),
                Outcome::Refused(code, words) => self.raise(code, words),
            }
        }
        let mut reply = answers.join(&b';');
        if !answers.is_empty() {
            reply.push(b'\n');
        }
        reply
    }

    /// One unit of a message; headers after a semicolon stand at the level of the last (SCPI-99, 6.2.4).
    fn unit(&mut self, header: &str, arguments: &[u8], path: &mut String) -> Outcome {
        if header.starts_with('*') {
            return self.common(header, arguments);
        }
        let absolute = header.strip_prefix(':');
        let full = absolute.map_or_else(|| format!("{path}{header}"), str::to_owned);
        let outcome = self.own(&full, arguments);
        // Many instruments, Red Pitaya among them, take a full header after a semicolon as well.
        let (full, outcome) = match outcome {
            Outcome::Unknown if absolute.is_none() && !path.is_empty() => {
                (header.to_owned(), self.own(header, arguments))
            }
            outcome => (full, outcome),
        };
        *path = full.rfind(':').map_or_else(String::new, |at| full[..=at].to_owned());
        outcome
    }

    /// Commands beside the common ones: SCPI's own system commands, then the instrument's.
    fn own(&mut self, header: &str, arguments: &[u8]) -> Outcome {
        if matches(header, "SYSTem:ERRor?") || matches(header, "SYSTem:ERRor:NEXT?") {
            let (code, words) = self.errors.pop_front().unwrap_or((0, "No error"));
            return Outcome::text(format!("{code},\"{words}\""));
        }
        if matches(header, "SYSTem:ERRor:COUNt?") {
            return Outcome::text(self.errors.len());
        }
        if matches(header, "SYSTem:VERSion?") {
            return Outcome::text("1999.0");
        }
        self.instrument.command(header, arguments)
    }

    /// Common commands (IEEE 488.2, 10).
    fn common(&mut self, header: &str, arguments: &[u8]) -> Outcome {
        let number = std::str::from_utf8(arguments).ok().and_then(|text| text.trim().parse::<f64>().ok());
        let mask = number.filter(|number| (0.0..=255.0).contains(number)).map(|number| number.round() as u8);
        match (header, mask) {
            ("*IDN?", _) => {
                let [manufacturer, model, serial] = self.instrument.identity();
                Outcome::text(format!("{manufacturer},{model},{serial},{}.0", self.firmware))
            }
            ("*OPC?" | "*TST?", _) if header == "*OPC?" => Outcome::text(1),
            ("*TST?", _) => Outcome::text(0),
            ("*OPC", _) => {
                self.event |= OPERATION_COMPLETE;
                Outcome::Done
            }
            ("*ESR?", _) => Outcome::text(std::mem::take(&mut self.event)),
            ("*ESE?", _) => Outcome::text(self.event_mask),
            ("*SRE?", _) => Outcome::text(self.service_mask),
            ("*STB?", _) => Outcome::text(self.status_byte()),
            ("*ESE", Some(mask)) => {
                self.event_mask = mask;
                Outcome::Done
            }
            ("*SRE", Some(mask)) => {
                self.service_mask = mask;
                Outcome::Done
            }
            ("*ESE" | "*SRE", None) => Outcome::Refused(-222, "Data out of range"),
            ("*CLS", _) => {
                self.errors.clear();
                self.event = 0;
                Outcome::Done
            }
            ("*RST", _) => {
                self.instrument.reset();
                Outcome::Done
            }
            ("*WAI", _) => Outcome::Done,
            ("*TRG", _) => self.instrument.command("*TRG", arguments),
            _ => Outcome::Unknown,
        }
    }

    /// Bit 2: errors wait; bit 5: an event that the mask lets through; bit 6: service is requested.
    fn status_byte(&self) -> u8 {
        let summary = (u8::from(!self.errors.is_empty()) << 2) | (u8::from(self.event & self.event_mask != 0) << 5);
        summary | (u8::from(summary & self.service_mask != 0) << 6)
    }

    /// Notes an error.
    fn raise(&mut self, code: i32, words: &'static str) {
        self.event |= match code {
            -199..=-100 => COMMAND_ERROR,
            -299..=-200 => EXECUTION_ERROR,
            _ => DEVICE_ERROR,
        };
        if self.errors.len() < QUEUE {
            self.errors.push_back((code, words));
        } else if let Some(last) = self.errors.back_mut() {
            *last = (-350, "Queue overflow");
        }
    }
}

/// Whether a header is this command, where capitals are what must be written: `SYST:ERR?` and `SYSTEM:ERROR?` are
/// `SYSTem:ERRor?`. What is left out before a question mark is 1: `SOUR` is `SOUR1`.
pub fn matches(header: &str, pattern: &str) -> bool {
    let (header, pattern) = (header.split(':'), pattern.split(':'));
    let (header, pattern): (Vec<&str>, Vec<&str>) = (header.collect(), pattern.collect());
    header.len() == pattern.len() && header.iter().zip(&pattern).all(|(word, pattern)| matches_word(word, pattern))
}

/// One mnemonic.
fn matches_word(word: &str, pattern: &str) -> bool {
    let (word, asks) = word.strip_suffix('?').map_or((word, false), |word| (word, true));
    let (pattern, wants) = pattern.strip_suffix('?').map_or((pattern, false), |pattern| (pattern, true));
    let number = |text: &str| -> (String, String) {
        let stem = text.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let digits = &text[stem.len()..];
        (stem.to_owned(), if digits.is_empty() { "1".to_owned() } else { digits.to_owned() })
    };
    let ((word, which), (pattern, wanted)) = (number(word), number(pattern));
    let short: String = pattern.chars().filter(|letter| !letter.is_ascii_lowercase()).collect();
    let word = word.to_uppercase();
    asks == wants && which == wanted && (word == short || word == pattern.to_uppercase())
}

/// The units of a message between semicolons, but for those inside strings and blocks.
fn units(message: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    let (mut start, mut at, mut quoted) = (0, 0, false);
    while at < message.len() {
        match message[at] {
            b'"' => quoted = !quoted,
            b'#' if !quoted => at += block_length(&message[at..]).unwrap_or(1) - 1,
            b';' if !quoted => {
                units.push(&message[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    units.push(&message[start.min(message.len())..]);
    units
}

/// The length of the block that begins here, head included, if a whole head is there and it has a length.
fn block_length(bytes: &[u8]) -> Option<usize> {
    let digits = usize::from(bytes.get(1)?.checked_sub(b'0').filter(|digits| (1..=9).contains(digits))?);
    let length = std::str::from_utf8(bytes.get(2..2 + digits)?).ok()?.parse::<usize>().ok()?;
    Some(2 + digits + length)
}

/// The longest message that is kept while its end is awaited.
const LONGEST: usize = 1 << 24;

/// The first whole program message of what has been received, and how many bytes it took with its terminator. A line feed
/// inside a block ends nothing.
pub fn first_message(received: &[u8]) -> Option<(&[u8], usize)> {
    let (mut at, mut quoted) = (0, false);
    while at < received.len() {
        match received[at] {
            b'"' => quoted = !quoted,
            b'#' if !quoted => {
                let digit = received.get(at + 1)?;
                if (b'1'..=b'9').contains(digit) {
                    let head = at + 2 + usize::from(digit - b'0');
                    received.get(..head)?;
                    if let Some(length) = block_length(&received[at..]).filter(|length| *length <= LONGEST) {
                        received.get(..at + length)?;
                        at += length;
                        continue;
                    }
                }
            }
            b'\n' => {
                let message = &received[..at];
                return Some((message.strip_suffix(b"\r").unwrap_or(message), at + 1));
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Header in capitals, and the arguments.
fn split_header(unit: &[u8]) -> (String, &[u8]) {
    let unit = unit.trim_ascii_start();
    let end = unit.iter().position(u8::is_ascii_whitespace).unwrap_or(unit.len());
    let header = String::from_utf8_lossy(&unit[..end]).to_uppercase();
    (header, unit[end..].trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has one setting.
    struct Knob(f64);

    impl ScpiInstrument for Knob {
        fn identity(&self) -> [String; 3] {
            ["pnnlab".into(), "Knob (simulated)".into(), "1".into()]
        }
        fn command(&mut self, header: &str, arguments: &[u8]) -> Outcome {
            if matches(header, "SOURce1:VOLTage?") {
                return Outcome::text(self.0);
            }
            if !matches(header, "SOURce1:VOLTage") {
                return Outcome::Unknown;
            }
            match std::str::from_utf8(arguments).ok().and_then(|text| text.trim().parse().ok()) {
                Some(volts) => {
                    self.0 = volts;
                    Outcome::Done
                }
                None => Outcome::Refused(-104, "Data type error"),
            }
        }
        fn reset(&mut self) {
            self.0 = 0.0;
        }
    }

    fn say(instrument: &mut ScpiBox, message: &str) -> String {
        String::from_utf8(instrument.message(message.as_bytes())).unwrap()
    }

    #[test]
    fn messages_are_understood_as_the_standard_has_it() {
        let mut knob = ScpiBox::new(Box::new(Knob(0.0)));
        assert_eq!(say(&mut knob, "*IDN?"), "pnnlab,Knob (simulated),1,1.0\n");
        assert_eq!(say(&mut knob, "*ESR?;*ESR?"), "128;0\n", "power-on is told once");
        assert_eq!(say(&mut knob, "sour:volt 0.5;volt?;:SOURCE1:VOLTAGE?;*OPC?"), "0.5;0.5;1\n");
        assert_eq!(say(&mut knob, "SOUR2:VOLT 1"), "");
        assert_eq!(say(&mut knob, "SOUR:VOLT x"), "");
        assert_eq!(say(&mut knob, "SYST:ERR:COUN?;:SYST:ERR?"), "2;-113,\"Undefined header\"\n");
        assert_eq!(say(&mut knob, "*STB?;*ESR?"), "4;32\n", "both are command errors");
        assert_eq!(say(&mut knob, "SYSTEM:ERROR?"), "-104,\"Data type error\"\n");
        assert_eq!(say(&mut knob, "SYST:ERR?"), "0,\"No error\"\n");
        knob.overflow();
        let last = (0..QUEUE).map(|_| say(&mut knob, "SYST:ERR?")).last().unwrap();
        assert_eq!(last, "-350,\"Queue overflow\"\n");
        knob.power_cycle();
        assert_eq!(say(&mut knob, "SOUR:VOLT?;*ESR?"), "0;128\n");
    }

    #[test]
    fn a_block_may_hold_any_byte_and_come_in_pieces() {
        let received = b"A #15\n;\"#\n\nB\r\n";
        assert_eq!(first_message(received).unwrap(), (&received[..10], 11));
        assert_eq!(first_message(&received[11..]).unwrap(), (&b"B"[..], 3));
        for end in 0..10 {
            assert_eq!(first_message(&received[..end]), None, "{end}");
        }
        assert_eq!(units(b"A #11;;B"), [&b"A #11;"[..], b"B"]);
        assert_eq!(first_message(b"#9999999999\n").unwrap().1, 12, "an absurd length is no block");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_cut_into_messages_and_answered_or_refused(
            pieces in proptest::collection::vec("[ -~]{0,6}|[#\"\\n;:?*0-9]{1,8}", 0..20),
            noise in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        ) {
            let received = [pieces.concat().into_bytes(), noise].concat();
            let mut knob = ScpiBox::new(Box::new(Knob(0.0)));
            let mut rest = &received[..];
            while let Some((message, count)) = first_message(rest) {
                proptest::prop_assert!(message.len() < count && count <= rest.len());
                let _ = knob.message(message);
                rest = &rest[count..];
            }
            let _ = knob.message(rest);
        }
    }
}
