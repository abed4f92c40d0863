//! Simulated SCPI instruments before and behind one simulated bench: a Red Pitaya, and the generator and digitizer that a rig
//! file describes by their commands.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use drivers::{Numbers, ScpiPairConfig, SettingConfig, scpi_numbers};

use crate::scpi_box::{Outcome, ScpiInstrument, matches};
use crate::waveform_world::{SharedWorld, WaveformWorld};

/// A Red Pitaya: output 1 into the bench, its reading into input 1.
pub struct SimulatedRedPitaya {
    world: SharedWorld,
    serial: String,
    /// Settings that are kept and given back.
    settings: BTreeMap<&'static str, String>,
    /// Amplitude of the generator, in V.
    amplitude: f32,
    /// The last burst as it was uploaded, from −1 to 1.
    data: Vec<f32>,
    /// Whether the last acquisition is complete.
    full: bool,
}

/// Settings without an effect on this bench: they are kept and read back.
const KEPT: [(&str, &str); 10] = [
    ("SOURce1:FUNC", "SINE"),
    ("SOURce1:FREQuency:FIX", "1000"),
    ("SOURce1:VOLTage:OFFSet", "0"),
    ("SOURce1:BURSt:STATe", "CONTINUOUS"),
    ("SOURce1:BURSt:NCYCles", "1"),
    ("SOURce1:BURSt:NORepetitions", "1"),
    ("SOURce1:TRIGger:SOURce", "INT"),
    ("ACQuire:DECimation", "1"),
    ("ACQuire:DATA:UNITs", "VOLTS"),
    ("ACQuire:DATA:FORMAT", "ASCII"),
];

/// Other spellings of the same, as the documentation has them.
const ALSO: [(&str, &str); 7] = [
    ("SOUR1:VOLT:OFFS", "SOURce1:VOLTage:OFFSet"),
    ("SOUR1:BURS:STAT", "SOURce1:BURSt:STATe"),
    ("SOUR1:BURS:NCYC", "SOURce1:BURSt:NCYCles"),
    ("SOUR1:BURS:NOR", "SOURce1:BURSt:NORepetitions"),
    ("SOUR1:TRIG:SOUR", "SOURce1:TRIGger:SOURce"),
    ("ACQ:DEC", "ACQuire:DECimation"),
    ("ACQ:DATA:UNITS", "ACQuire:DATA:UNITs"),
];

impl SimulatedRedPitaya {
    /// In front of `world`.
    pub fn new(world: SharedWorld, serial: &str) -> Self {
        let mut instrument = Self {
            world,
            serial: serial.to_owned(),
            settings: BTreeMap::new(),
            amplitude: 1.0,
            data: vec![],
            full: false,
        };
        instrument.reset();
        instrument
    }

    fn world(&self) -> MutexGuard<'_, WaveformWorld> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept setting, if the header is one: its canonical name.
    fn kept(header: &str) -> Option<&'static str> {
        let header = header.trim_end_matches('?');
        let canonical = ALSO.iter().find(|(short, _)| matches(header, short)).map(|(_, long)| *long);
        canonical.or_else(|| KEPT.iter().map(|(name, _)| *name).find(|name| matches(header, name)))
    }

    /// Commands of the generator.
    fn source(&mut self, header: &str, text: &str, arguments: &[u8]) -> Option<Outcome> {
        let is = |pattern: &str| matches(header, pattern);
        if is("SOURce1:VOLTage") {
            return Some(match text.parse::<f32>() {
                Ok(volts) if (0.0..=1.0).contains(&volts) => {
                    self.amplitude = volts;
                    Outcome::Done
                }
                _ => Outcome::Refused(-222, "Data out of range"),
            });
        }
        if is("SOURce1:VOLTage?") {
            return Some(Outcome::text(self.amplitude));
        }
        if is("SOURce1:TRACe:DATA:DATA") {
            let data = std::str::from_utf8(arguments).ok().and_then(scpi_numbers);
            let sound = |data: &Vec<f32>| data.len() <= 16_384 && data.iter().all(|value| value.abs() <= 1.0);
            return Some(match data.filter(sound) {
                Some(data) => {
                    self.data = data;
                    Outcome::Done
                }
                None => Outcome::Refused(-222, "Data out of range"),
            });
        }
        if is("OUTPUT1:STATe") {
            let on = matches!(text.to_uppercase().as_str(), "ON" | "1");
            self.world().switch(on);
            return Some(Outcome::Done);
        }
        if is("OUTPUT1:STATe?") {
            let on = self.world().output();
            return Some(Outcome::text(u8::from(on)));
        }
        if is("SOURce1:TRIGger:INT") || is("SOURce1:TRIGger:IMM") {
            let volts = self.data.iter().map(|value| value * self.amplitude).collect();
            let mut world = self.world();
            world.load(volts);
            let armed = world.armed();
            world.fire();
            drop(world);
            self.full |= armed;
            return Some(Outcome::Done);
        }
        None
    }

    /// Commands of the acquisition.
    fn acquire(&mut self, header: &str, text: &str) -> Option<Outcome> {
        let is = |pattern: &str| matches(header, pattern);
        if is("ACQuire:RST") || is("ACQuire:STOP") {
            self.world().disarm();
            self.full = false;
            return Some(Outcome::Done);
        }
        if is("ACQuire:START") || is("ACQuire:TRIGger:DLY") {
            self.full &= !is("ACQuire:START");
            return Some(Outcome::Done);
        }
        if is("ACQuire:TRIGger") {
            if text.eq_ignore_ascii_case("AWG_PE") {
                self.world().arm();
            }
            return Some(Outcome::Done);
        }
        if is("ACQuire:TRIGger:STAT?") {
            return Some(Outcome::text(if self.full { "TD" } else { "WAIT" }));
        }
        if is("ACQuire:TRIGger:FILL?") {
            return Some(Outcome::text(u8::from(self.full)));
        }
        if is("ACQuire:TPOS?") {
            return Some(Outcome::text(0));
        }
        if is("ACQuire:SOURce1:DATA:STArt:N?") {
            return Some(self.samples(text));
        }
        if is("ACQuire:SOURce1:DATA?") {
            let count = self.world().record().len();
            return Some(self.samples(&format!("0,{count}")));
        }
        None
    }

    /// Samples of the ring from a place on.
    fn samples(&self, text: &str) -> Outcome {
        let mut numbers = text.split(',').map(|number| number.trim().parse::<usize>().ok());
        let (Some(Some(start)), Some(Some(count))) = (numbers.next(), numbers.next()) else {
            return Outcome::Refused(-109, "Missing parameter");
        };
        let world = self.world();
        let record = world.record();
        let ring = |at: usize| record.get((start + at) % 16_384).copied().unwrap_or_default();
        if 16_384 < count {
            return Outcome::Refused(-222, "Data out of range");
        }
        let values: Vec<f32> = (0..count).map(ring).collect();
        if self.settings.get("ACQuire:DATA:FORMAT").is_some_and(|format| format == "BIN") {
            return Outcome::Answer(Numbers::FloatBig.write(&values, 1.0));
        }
        Outcome::Answer([b"{", Numbers::Text.write(&values, 1.0).as_slice(), b"}"].concat())
    }
}

impl ScpiInstrument for SimulatedRedPitaya {
    fn identity(&self) -> [String; 3] {
        ["REDPITAYA".to_owned(), "STEMlab 125-14 (simulated)".to_owned(), self.serial.clone()]
    }

    fn command(&mut self, header: &str, arguments: &[u8]) -> Outcome {
        let text = String::from_utf8_lossy(arguments).trim().to_owned();
        let own = self.source(header, &text, arguments).or_else(|| self.acquire(header, &text));
        if let Some(outcome) = own {
            return outcome;
        }
        match Self::kept(header) {
            Some(name) if header.ends_with('?') => Outcome::text(self.settings.get(name).cloned().unwrap_or_default()),
            Some(name) => {
                self.settings.insert(name, text.to_uppercase());
                Outcome::Done
            }
            None => Outcome::Unknown,
        }
    }

    fn reset(&mut self) {
        self.settings = KEPT.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.amplitude = 1.0;
        self.data.clear();
        self.full = false;
        let mut world = self.world();
        world.switch(false);
        world.disarm();
    }
}

/// Which of the two instruments of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Drives the bench.
    Generator,
    /// Reads it.
    Digitizer,
}

/// One of the two instruments that a rig file describes by their commands: it understands what the file says it does.
pub struct Described {
    world: SharedWorld,
    config: ScpiPairConfig,
    half: Half,
    settings: BTreeMap<String, String>,
}

impl Described {
    /// In front of `world`.
    pub fn new(world: SharedWorld, config: &ScpiPairConfig, half: Half) -> Self {
        Self { world, config: config.clone(), half, settings: BTreeMap::new() }
    }

    fn world(&self) -> MutexGuard<'_, WaveformWorld> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its settings as the rig file lists them.
    fn listed(&self) -> &[SettingConfig] {
        match self.half {
            Half::Generator => &self.config.generator.settings,
            Half::Digitizer => &self.config.digitizer.settings,
        }
    }

    /// What the generator does.
    fn generate(&mut self, header: &str, arguments: &[u8]) -> Option<Outcome> {
        let generator = &self.config.generator;
        if told(&generator.load, header, b"{data}") {
            let bytes = payload(arguments, &generator.load)?;
            let volts = generator.numbers.read(bytes, self.config.waveform.drive_volts);
            let most = self.config.waveform.burst_samples;
            return Some(match volts.filter(|volts| volts.len() <= most) {
                Some(volts) => {
                    self.world().load(volts);
                    Outcome::Done
                }
                None => Outcome::Refused(-161, "Invalid block data"),
            });
        }
        if told(&generator.on, header, arguments) || told(&generator.off, header, arguments) {
            let on = told(&generator.on, header, arguments);
            self.world().switch(on);
            return Some(Outcome::Done);
        }
        if told(&generator.state, header, arguments) {
            let on = self.world().output();
            return Some(Outcome::text(u8::from(on)));
        }
        if told(&generator.fire, header, arguments) {
            self.world().fire();
            return Some(Outcome::Done);
        }
        None
    }

    /// What the digitizer does.
    fn digitize(&mut self, header: &str, arguments: &[u8]) -> Option<Outcome> {
        let digitizer = &self.config.digitizer;
        if told(&digitizer.arm, header, arguments) {
            self.world().arm();
            return Some(Outcome::Done);
        }
        if told(&digitizer.complete, header, arguments) {
            return Some(Outcome::text(1));
        }
        if told(&digitizer.read, header, arguments) {
            let numbers = digitizer.numbers;
            let bytes = numbers.write(self.world().record(), self.config.waveform.reading_volts);
            return Some(Outcome::Answer(bytes));
        }
        None
    }
}

impl ScpiInstrument for Described {
    fn identity(&self) -> [String; 3] {
        let model = match self.half {
            Half::Generator => "generator (simulated)",
            Half::Digitizer => "digitizer (simulated)",
        };
        ["pnnlab".to_owned(), model.to_owned(), "SIM-1".to_owned()]
    }

    fn command(&mut self, header: &str, arguments: &[u8]) -> Outcome {
        let own = match self.half {
            Half::Generator => self.generate(header, arguments),
            Half::Digitizer => self.digitize(header, arguments),
        };
        if let Some(outcome) = own {
            return outcome;
        }
        let listed = self.listed();
        if let Some(setting) =
            listed.iter().find(|setting| setting.query.as_ref().is_some_and(|query| matches(header, query)))
        {
            return Outcome::text(self.settings.get(&setting.header).cloned().unwrap_or_else(|| "0".to_owned()));
        }
        match listed.iter().find(|setting| matches(header, &setting.header)) {
            Some(setting) => {
                let (header, value) = (setting.header.clone(), String::from_utf8_lossy(arguments).trim().to_owned());
                self.settings.insert(header, value);
                Outcome::Done
            }
            None => Outcome::Unknown,
        }
    }

    fn reset(&mut self) {
        self.settings.clear();
        let mut world = self.world();
        world.disarm();
        if self.half == Half::Generator {
            world.switch(false);
        }
    }
}

/// Whether a header with its arguments is this command of the rig file, with anything in its places.
fn told(command: &str, header: &str, arguments: &[u8]) -> bool {
    let (expected, rest) = command.trim().split_once(' ').unwrap_or((command.trim(), ""));
    let rest = rest.trim();
    let arguments = String::from_utf8_lossy(arguments);
    matches(header, expected) && (rest.contains('{') || rest.eq_ignore_ascii_case(arguments.trim()))
}

/// The samples among the arguments of the command that loads them: the block's content, or the text.
fn payload<'a>(arguments: &'a [u8], command: &str) -> Option<&'a [u8]> {
    let before = command.split_once(' ').map_or("", |(_, rest)| rest).split("{data}").next().unwrap_or("");
    let rest = arguments.get(before.trim_start().len()..)?;
    match rest {
        [b'#', digit @ b'1'..=b'9', tail @ ..] => tail.get(usize::from(digit - b'0')..),
        text => Some(text),
    }
}
