//! Red Pitaya by its SCPI server: output 1 plays a burst, input 1 records it.
//!
//! Commands as in the Red Pitaya documentation, "List of supported SCPI commands" (OS 2.x): the generator plays its buffer of up to
//! 16,384 samples, numbers from −1 to 1 in units of its amplitude, once per trigger; the acquisition stores every `ACQ:DEC`th sample
//! of 125 MS/s in a ring of 16,384, of which `ACQ:TRIG:DLY` + 8,192 come after the trigger.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dialogue::shown;
use crate::{
    Address, Bursts, Error, Link, LinkOptions, LinkWatch, Numbers, Scpi, ScpiIdentity, ScpiRequest, Setting, Step,
    WaveformConfig,
};

/// Samples per second of both converters (data sheet of the `STEMlab` 125-14).
const CLOCK_HERTZ: f64 = 125e6;
/// Samples in the buffers of generator and acquisition.
const BUFFER: usize = 16_384;
/// Samples after the trigger when the delay is 0: half the ring.
const HALF: usize = BUFFER / 2;
/// Largest output into high impedance, in V: ±1 V.
const OUTPUT_VOLTS: f32 = 1.0;
/// A safe state that takes longer than this, twice, has failed.
const SAFE_WITHIN: Duration = Duration::from_secs(1);

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
    pub deadline_seconds: f64,
    /// A part of the answer to `*IDN?` that must be there, such as a serial number.
    #[serde(default)]
    pub identity: String,
}

/// What `deadline_seconds` is when left out.
fn deadline() -> f64 {
    2.0
}

impl RedPitayaConfig {
    /// What the instrument must be told once: nothing that switches an output.
    fn settings(&self, decimation: u32) -> Vec<Setting> {
        vec![
            Setting::new("SOUR1:FUNC", &"ARBITRARY"),
            Setting::new("SOUR1:VOLT", &self.waveform.drive_volts),
            Setting::new("SOUR1:VOLT:OFFS", &0),
            Setting::new("SOUR1:BURS:STAT", &"BURST"),
            Setting::new("SOUR1:BURS:NCYC", &1),
            Setting::new("SOUR1:BURS:NOR", &1),
            Setting::new("SOUR1:TRIG:SOUR", &"INT"),
            Setting::new("ACQ:DEC", &decimation),
            Setting::new("ACQ:DATA:UNITS", &"VOLTS"),
            Setting::new("ACQ:DATA:FORMAT", &"BIN"),
        ]
    }

    /// Refuses what the instrument cannot do; the acquisition's decimation.
    fn check(&self) -> Result<u32, Error> {
        let refuse = |key: &str, message: String| Err(Error::Description { key: key.to_owned(), message });
        self.waveform.check()?;
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
    link: Link<Scpi>,
    /// The way to it where its own link refuses it.
    options: LinkOptions,
    config: RedPitayaConfig,
    identity: ScpiIdentity,
}

impl RedPitaya {
    /// Opens the instrument; no output changes.
    pub fn open(config: &RedPitayaConfig, options: &LinkOptions) -> Result<Self, Error> {
        let decimation = config.check()?;
        let link = Link::open(Scpi::new(&config.identity, config.settings(decimation)), options)?;
        let answers = link.ask(ScpiRequest::Identity, options.open_within)?;
        let identity = answers.first().map(|answer| ScpiIdentity::parse(&String::from_utf8_lossy(answer)));
        let identity = identity.unwrap_or_else(|| ScpiIdentity::parse(""));
        let options = LinkOptions { record: None, ..options.clone() };
        Ok(Self { link, options, config: config.clone(), identity })
    }

    /// Switches the output off over a connection of its own, whoever holds the instrument.
    pub fn make_safe_beside(options: &LinkOptions) -> Result<(), Error> {
        let link = Link::open_beside(Scpi::new("", vec![]), options)?;
        switch_off(&link)
    }

    /// Its address as the rig file gives it.
    pub fn address(config: &RedPitayaConfig) -> Result<Address, Error> {
        config.address.parse()
    }

    fn deadline(&self, count: usize) -> Duration {
        Duration::from_secs_f64(self.config.deadline_seconds) + self.config.waveform.duration(count)
    }

    /// Loads the burst, arms, and fires: one write.
    fn fire(&self, volts: &[f32], within: Duration) -> Result<(), Error> {
        let config = &self.config.waveform;
        let scaled: Vec<f32> = volts.iter().map(|volts| volts / config.drive_volts).collect();
        let mut data = b"SOUR1:TRAC:DATA:DATA ".to_vec();
        data.extend_from_slice(&Numbers::Text.write(&scaled, 1.0));
        let frequency = config.sample_rate_hertz / volts.len() as f64;
        let steps = vec![
            Step::tell(data),
            Step::tell(format!("SOUR1:FREQ:FIX {frequency}")),
            Step::tell(format!("ACQ:TRIG:DLY {}", volts.len() as i64 - HALF as i64)),
            Step::tell("OUTPUT1:STATE ON"),
            Step::tell("ACQ:START"),
            Step::tell("ACQ:TRIG AWG_PE"),
            Step::tell("SOUR1:TRIG:INT"),
        ];
        self.link.ask(ScpiRequest::Steps(steps), within).map(drop)
    }

    /// Asks until the ring holds the burst; each question is a round trip, so nothing sleeps.
    fn wait(&self, within: Duration) -> Result<(), Error> {
        let start = std::time::Instant::now();
        loop {
            let steps = vec![Step::query("ACQ:TRIG:STAT?"), Step::query("ACQ:TRIG:FILL?")];
            let answers = self.link.ask(ScpiRequest::Steps(steps), within.saturating_sub(start.elapsed()))?;
            if answers == [b"TD".to_vec(), b"1".to_vec()] {
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

/// Switches the output off, and asks whether it is.
fn switch_off(link: &Link<Scpi>) -> Result<(), Error> {
    let steps = vec![Step::tell("OUTPUT1:STATE OFF"), Step::tell("ACQ:STOP"), Step::query("OUTPUT1:STATE?")];
    let answers = link.insist(ScpiRequest::Steps(steps), SAFE_WITHIN)?;
    let state = answers.first().map(|answer| String::from_utf8_lossy(answer).into_owned()).unwrap_or_default();
    if crate::settings_agree("OFF", &state) {
        return Ok(());
    }
    Err(Error::Readback {
        instrument: link.watch().report().instrument,
        setting: "OUTPUT1:STATE".to_owned(),
        sent: "OFF".to_owned(),
        read: shown(state.as_bytes()),
    })
}

impl Bursts for RedPitaya {
    fn identity(&self) -> &ScpiIdentity {
        &self.identity
    }

    fn prepare(&mut self, volts: &[f32]) -> Result<(), Error> {
        self.link.ready(self.deadline(volts.len()))
    }

    fn burst(&mut self, volts: &[f32]) -> Result<Vec<f32>, Error> {
        let within = self.deadline(volts.len());
        self.fire(volts, within)?;
        self.wait(within)?;
        let place = self.link.ask(ScpiRequest::Steps(vec![Step::query("ACQ:TPOS?")]), within)?;
        let place = place.first().map(|place| String::from_utf8_lossy(place).into_owned()).unwrap_or_default();
        let query = format!("ACQ:SOUR1:DATA:STA:N? {place},{}", volts.len());
        let blocks = self.link.ask(ScpiRequest::Steps(vec![Step::query_block(query)]), within)?;
        let instrument = || self.link.watch().report().instrument;
        let readings = blocks.first().and_then(|bytes| Numbers::FloatBig.read(bytes, 1.0));
        readings.ok_or_else(|| Error::Garbled { instrument: instrument(), message: "sends half a number".to_owned() })
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        match switch_off(&self.link) {
            // It is not measured with any more, but it is still the one to be switched off.
            Err(Error::Reflashed { .. }) => Self::make_safe_beside(&self.options),
            made => made,
        }
    }

    fn watches(&self) -> Vec<LinkWatch> {
        vec![self.link.watch()]
    }
}
