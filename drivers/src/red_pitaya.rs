//! Red Pitaya by its SCPI server: output 1 plays a burst, input 1 records it.
//!
//! Commands as in the Red Pitaya documentation, "List of supported SCPI commands" (OS 2.x): the generator plays its buffer of up to
//! 16,384 samples, numbers from −1 to 1 in units of its amplitude, once per trigger; the acquisition stores every `ACQ:DEC`th sample
//! of 125 MS/s in a ring of 16,384, of which `ACQ:TRIG:DLY` + 8,192 come after the trigger.
//!
//! Which of its commands a server has is asked (`red_pitaya/commands.rs`). Its commands say nothing that tells one board from another of the same
//! software: `SYST:BRD:ID?` is the number of the FPGA's design, `SYST:BRD:NAME?` the model. So `serial` in the rig file names the board.

mod commands;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scpi_controls::Reserved;
use crate::scpi_safe::ScpiSafe;
use commands::Commands;

use crate::{
    Address, Bursts, Error, Link, LinkOptions, LinkWatch, Numbers, SafeOrder, Scpi, ScpiControls, ScpiControlsConfig,
    ScpiIdentity, ScpiRequest, Setting, Step, Terminator, WaveformConfig,
};

/// Samples per second of both converters (data sheet of the `STEMlab` 125-14).
const CLOCK_HERTZ: f64 = 125e6;
/// Samples in the buffers of generator and acquisition.
const BUFFER: usize = 16_384;
/// Samples after the trigger when the delay is 0: half the ring.
const HALF: usize = BUFFER / 2;
/// Largest output into high impedance, in V: ±1 V.
const OUTPUT_VOLTS: f32 = 1.0;
/// What switches the output on and off, and plays the burst.
const SWITCHES: [&str; 3] = ["OUTPUT1:STATE ON", "OUTPUT1:STATE OFF", "SOUR1:TRIG:INT"];

/// A Red Pitaya between whose output 1 and input 1 the plant is wired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedPitayaConfig {
    /// Where its SCPI server listens, such as `TCPIP0::192.168.1.50::5000::SOCKET`.
    pub address: String,
    /// How output and input are wired to the plant, in words.
    pub wiring: String,
    /// How shots become waveforms; `burst_samples` at most 16,384.
    pub waveform: WaveformConfig,
    /// The deadline of one burst beyond its own duration, in s.
    #[serde(default = "deadline")]
    #[schemars(range(min = 0.001, max = 3600))]
    pub deadline_seconds: f64,
    /// A part of the answer to `*IDN?` that must be there, such as a serial number.
    #[serde(default)]
    pub identity: String,
    /// Which board it is, such as its host name `rp-f0abcd` or the number on its label: boards with the same software answer `*IDN?` alike,
    /// with 0 for the serial number. It is kept with what is measured, and nobody else opens the board of this name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// Trainable controls: the second output, the slow outputs `ANALOG:PIN AOUT0,{value}`, or whatever a command with a number sets.
    #[serde(default, skip_serializing_if = "ScpiControlsConfig::is_empty")]
    pub controls: ScpiControlsConfig,
    /// What its lines end with: its server acts on nothing before a carriage return and a line feed.
    #[serde(default = "terminator")]
    pub terminator: Terminator,
    /// Whether an exchange is sent in one piece; switch it off where the server takes one line at a time.
    #[serde(default = "pipelined")]
    pub pipelined: bool,
}

/// What `terminator` is when left out.
fn terminator() -> Terminator {
    Terminator::CrLf
}

/// What `pipelined` is when left out.
fn pipelined() -> bool {
    true
}

/// What `deadline_seconds` is when left out.
fn deadline() -> f64 {
    2.0
}

impl RedPitayaConfig {
    /// What the instrument must be told once: nothing that switches an output.
    fn settings(&self, commands: &Commands, decimation: u32) -> Vec<Setting> {
        let settings = vec![
            Setting::new("SOUR1:FUNC", &"ARBITRARY"),
            Setting::new("SOUR1:VOLT", &self.waveform.drive_volts),
            Setting::new("SOUR1:VOLT:OFFS", &0),
            Setting::new("SOUR1:BURS:STAT", &"BURST"),
            Setting::new("SOUR1:BURS:NCYC", &1),
            Setting::new("SOUR1:BURS:NOR", &1),
            Setting::new("SOUR1:TRIG:SOUR", &"INT"),
            Setting::new(commands.decimation, &decimation),
            Setting::new("ACQ:DATA:UNITS", &"VOLTS"),
            Setting::new("ACQ:DATA:FORMAT", &"BIN"),
        ];
        settings.into_iter().map(|setting| commands.readable(setting)).collect()
    }

    /// The session with an instrument that is who the rig file names.
    fn session(&self, expected: &str) -> Scpi {
        Scpi::new(expected, vec![]).ending(self.terminator).pipelined(self.pipelined)
    }

    /// What makes it safe.
    fn safe(&self) -> ScpiSafe {
        ScpiSafe::new(&[SWITCHES[1], "ACQ:STOP"], "OUTPUT1:STATE?", &self.controls)
    }

    /// Refuses what the instrument cannot do; the acquisition's decimation.
    pub fn check(&self) -> Result<u32, Error> {
        let refuse = |key: &str, message: String| Err(Error::Description { key: key.to_owned(), message });
        self.waveform.check()?;
        self.controls.check(&Reserved { commands: vec![], switches: SWITCHES, owns })?;
        if BUFFER < self.waveform.burst_samples {
            return refuse("waveform.burst_samples", format!("is above the {BUFFER} samples of the buffers"));
        }
        if OUTPUT_VOLTS < self.waveform.drive_volts {
            return refuse("waveform.drive_volts", format!("is above the {OUTPUT_VOLTS} V of the output"));
        }
        if !(1e-3..=3600.0).contains(&self.deadline_seconds) {
            return refuse("deadline_seconds", format!("is {} s: give 0.001 to 3600", self.deadline_seconds));
        }
        let rate = self.waveform.sample_rate_hertz;
        let decimation = (CLOCK_HERTZ / rate).round();
        let exact = (CLOCK_HERTZ / decimation - rate).abs() <= 1e-6 * rate;
        let allowed = [1.0, 2.0, 4.0, 8.0].contains(&decimation) || (16.0..=65_536.0).contains(&decimation);
        if exact && allowed {
            return Ok(decimation as u32);
        }
        let message =
            format!("is {rate} Hz, but 125 MHz must be divided by 1, 2, 4, 8 or a whole number from 16 to 65536");
        refuse("waveform.sample_rate_hertz", message)
    }
}

/// The opened instrument.
pub struct RedPitaya {
    link: Arc<Link<Scpi>>,
    /// The way to it where its own link refuses it.
    options: LinkOptions,
    config: RedPitayaConfig,
    identity: ScpiIdentity,
    commands: Commands,
    /// The opening of the port on which the burst was loaded and the acquisition armed.
    prepared: Option<u64>,
}

impl RedPitaya {
    /// Opens the instrument; no output changes.
    pub fn open(config: &RedPitayaConfig, options: &LinkOptions) -> Result<Self, Error> {
        let decimation = config.check()?;
        let link = Arc::new(Link::open(config.session(&config.identity).named(&config.serial), options)?);
        let answers = link.ask(ScpiRequest::Identity, options.open_within)?;
        let identity = answers.first().map(|answer| ScpiIdentity::parse(&String::from_utf8_lossy(answer)));
        let identity = identity.unwrap_or_else(|| ScpiIdentity::parse(""));
        let commands = Commands::ask(&link, options.open_within)?;
        let settings = config.settings(&commands, decimation);
        link.insist(ScpiRequest::Settings(settings), options.open_within)?;
        let options = LinkOptions { record: None, ..options.clone() };
        Ok(Self { link, options, config: config.clone(), identity, commands, prepared: None })
    }

    /// Switches the output off over a connection of its own, whoever holds the instrument.
    pub fn make_safe_beside(config: &RedPitayaConfig, options: &LinkOptions) -> Result<(), Error> {
        config.safe().switch_off(&Self::beside(config, options)?)
    }

    /// Looks for `time` whether the output stays off, over a connection of its own; where it is on again it is switched off once more.
    pub fn stays_safe_beside(config: &RedPitayaConfig, options: &LinkOptions, time: Duration) -> Result<(), Error> {
        let link = Self::beside(config, options)?;
        config.safe().stays_off(&link, &options.instrument, time)
    }

    /// On a socket of its own answers are in step, and the owner's number stays in the event mask.
    fn beside(config: &RedPitayaConfig, options: &LinkOptions) -> Result<Link<Scpi>, Error> {
        Link::open_beside(config.session("").numbered(options.address.is_exclusive()), options)
    }

    /// What the guard must say when this program has died.
    pub fn safe_order(config: &RedPitayaConfig, options: &LinkOptions) -> SafeOrder {
        config.safe().order(options, config.terminator).pipelined(config.pipelined)
    }

    /// Its address as the rig file gives it.
    pub fn address(config: &RedPitayaConfig) -> Result<Address, Error> {
        config.address.parse()
    }

    fn deadline(&self, count: usize) -> Duration {
        Duration::from_secs_f64(self.config.deadline_seconds) + self.config.waveform.duration(count)
    }

    /// Loads the burst and arms the acquisition: one write, whose errors are looked at before anything is switched on.
    fn load(&self, volts: &[f32], within: Duration) -> Result<u64, Error> {
        let config = &self.config.waveform;
        let scaled: Vec<f32> = volts.iter().map(|volts| volts / config.drive_volts).collect();
        let mut data = b"SOUR1:TRAC:DATA:DATA ".to_vec();
        data.extend_from_slice(&Numbers::Text.write(&scaled, 1.0));
        let frequency = config.sample_rate_hertz / volts.len() as f64;
        let steps = vec![
            Step::tell(data),
            Step::tell(format!("SOUR1:FREQ:FIX {frequency}")),
            Step::tell(format!("ACQ:TRIG:DLY {}", volts.len() as i64 - HALF as i64)),
            Step::tell("ACQ:START"),
            Step::tell("ACQ:TRIG AWG_PE"),
        ];
        self.link.ask_noting(ScpiRequest::Steps(steps), within).map(|(_, opening)| opening)
    }

    /// Asks until the ring holds a burst of `count` samples; each question is a round trip, so nothing sleeps.
    fn wait(&self, loaded: u64, count: usize, within: Duration) -> Result<(), Error> {
        let start = std::time::Instant::now();
        loop {
            let fill = self.commands.tells_full.then(|| Step::query("ACQ:TRIG:FILL?"));
            let steps = [Step::query("ACQ:TRIG:STAT?")].into_iter().chain(fill).collect();
            let left = within.saturating_sub(start.elapsed());
            let answers = self.link.ask_on(loaded, ScpiRequest::Steps(steps), left)?;
            let is_full = answers.get(1).is_none_or(|fill| fill == b"1");
            if answers.first().is_some_and(|state| state == b"TD") && is_full {
                if !self.commands.tells_full {
                    // It has been triggered, and the rest of the burst takes its time.
                    std::thread::sleep(self.config.waveform.duration(count));
                }
                return Ok(());
            }
            if within < start.elapsed() {
                return Err(Error::Timeout {
                    instrument: self.link.watch().report().instrument,
                    what: "full buffer",
                    seconds: within.as_secs_f32(),
                });
            }
        }
    }
}

/// Whether a header, in capitals, is of what drives and reads the plant: output 1, the acquisition, and what resets either.
fn owns(header: &str) -> bool {
    let (first, _) = header.split_once(':').unwrap_or((header, ""));
    matches!(
        first,
        "ACQ"
            | "GEN"
            | "RP"
            | "PHAS"
            | "OUTP"
            | "OUTPUT"
            | "OUTP1"
            | "OUTPUT1"
            | "SOUR"
            | "SOURCE"
            | "SOUR1"
            | "SOURCE1"
    )
}

impl Bursts for RedPitaya {
    fn identity(&self) -> &ScpiIdentity {
        &self.identity
    }

    fn prepare(&mut self, volts: &[f32]) -> Result<(), Error> {
        self.prepared = None;
        self.prepared = Some(self.load(volts, self.deadline(volts.len()))?);
        Ok(())
    }

    fn burst(&mut self, volts: &[f32]) -> Result<Vec<f32>, Error> {
        let instrument = || self.link.watch().report().instrument;
        let unprepared = || Error::Lost { instrument: instrument(), message: "no burst is loaded".to_owned() };
        let loaded = self.prepared.take().ok_or_else(unprepared)?;
        let within = self.deadline(volts.len());
        let ask = |steps: Vec<Step>| self.link.ask_on(loaded, ScpiRequest::Steps(steps), within);
        ask(vec![Step::tell(SWITCHES[0]), Step::tell(self.commands.fire)])?;
        self.wait(loaded, volts.len(), within)?;
        let place = ask(vec![Step::query("ACQ:TPOS?")])?;
        let place = place.first().map(|place| String::from_utf8_lossy(place).into_owned()).unwrap_or_default();
        let query = format!("ACQ:SOUR1:DATA:STA:N? {place},{}", volts.len());
        let blocks = ask(vec![Step::query_block(query)])?;
        let readings = blocks.first().and_then(|bytes| Numbers::FloatBig.read(bytes, 1.0));
        readings.ok_or_else(|| Error::Garbled { instrument: instrument(), message: "sends half a number".to_owned() })
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        match self.config.safe().switch_off(&self.link) {
            // It is not measured with any more, but it is still the one to be switched off.
            Err(Error::Reflashed { .. }) => Self::make_safe_beside(&self.config, &self.options),
            made => made,
        }
    }

    fn controls(&self) -> ScpiControls {
        let within = Duration::from_secs_f64(self.config.deadline_seconds);
        ScpiControls::new(&self.config.controls, self.link.clone(), within)
    }

    fn watches(&self) -> Vec<LinkWatch> {
        vec![self.link.watch()]
    }
}

#[cfg(test)]
mod tests;
