//! Any SCPI waveform generator and any SCPI digitizer, described in the rig file by their commands.
//!
//! In commands, `{rate}` stands for the sample rate in Hz, `{volts}` for the full scale in V, `{count}` for the samples of the burst, and
//! `{data}` for the samples themselves. Completion is asked for by a query that is answered when the burst is over, `*OPC?`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dialogue::shown;
use crate::{
    Answer, Bursts, Error, Link, LinkOptions, LinkWatch, Numbers, Scpi, ScpiIdentity, ScpiRequest, Setting, Step,
    WaveformConfig,
};

/// A safe state that takes longer than this, twice, has failed.
const SAFE_WITHIN: Duration = Duration::from_secs(1);

/// A setting: what sets it, and the query that reads it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingConfig {
    /// Such as `SOUR1:VOLT`.
    pub header: String,
    /// Such as `{volts}`; may be empty.
    #[serde(default)]
    pub value: String,
    /// Such as `SOUR1:VOLT?`; left out where the instrument cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// A waveform generator by its commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Where it listens, such as `TCPIP0::192.168.1.51::5025::SOCKET`.
    pub address: String,
    /// A part of the answer to `*IDN?` that must be there.
    #[serde(default)]
    pub identity: String,
    /// What it is told once, and again whenever it comes back. None of it may switch an output.
    #[serde(default)]
    pub settings: Vec<SettingConfig>,
    /// How the samples are written.
    #[serde(default)]
    pub numbers: Numbers,
    /// Loads `{data}`.
    pub load: String,
    /// Switches the output on.
    pub on: String,
    /// Plays the burst once.
    pub fire: String,
    /// Switches the output off: the safe state.
    pub off: String,
    /// Asks whether the output is on.
    pub state: String,
}

/// A digitizer by its commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DigitizerConfig {
    /// Where it listens.
    pub address: String,
    /// A part of the answer to `*IDN?` that must be there.
    #[serde(default)]
    pub identity: String,
    /// What it is told once, and again whenever it comes back.
    #[serde(default)]
    pub settings: Vec<SettingConfig>,
    /// How the samples are written.
    #[serde(default)]
    pub numbers: Numbers,
    /// Waits for the generator's trigger with room for `{count}` samples.
    pub arm: String,
    /// Is answered when the burst has been taken.
    #[serde(default = "complete")]
    pub complete: String,
    /// Reads the samples.
    pub read: String,
}

/// What `complete` is when left out.
fn complete() -> String {
    "*OPC?".to_owned()
}

/// A generator before the plant and a digitizer behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScpiPairConfig {
    /// How they are wired to the plant and to each other, in words.
    pub wiring: String,
    /// How shots become waveforms.
    pub waveform: WaveformConfig,
    /// The deadline of one burst beyond its own duration, in s.
    #[serde(default = "deadline")]
    pub deadline_seconds: f64,
    /// Whether exchanges carry numbers in the event mask `*ESE`; switch it off for instruments that lack it.
    #[serde(default = "numbered")]
    pub numbered: bool,
    /// Drives the plant.
    pub generator: GeneratorConfig,
    /// Reads it.
    pub digitizer: DigitizerConfig,
}

/// What `deadline_seconds` is when left out.
fn deadline() -> f64 {
    2.0
}

/// What `numbered` is when left out.
fn numbered() -> bool {
    true
}

impl ScpiPairConfig {
    /// A command with its places filled, but for `{data}`.
    pub fn fill(&self, text: &str, full_scale: f32, count: usize) -> String {
        text.replace("{rate}", &self.waveform.sample_rate_hertz.to_string())
            .replace("{volts}", &full_scale.to_string())
            .replace("{count}", &count.to_string())
    }

    /// The settings of one instrument.
    fn settings(&self, settings: &[SettingConfig], full_scale: f32) -> Vec<Setting> {
        let fill = |text: &str| self.fill(text, full_scale, self.waveform.burst_samples);
        let setting = |setting: &SettingConfig| Setting {
            header: setting.header.clone(),
            value: fill(&setting.value),
            query: setting.query.clone(),
        };
        settings.iter().map(setting).collect()
    }

    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        self.waveform.check()?;
        let refuse =
            |key: &str, message: &str| Err(Error::Description { key: key.to_owned(), message: message.to_owned() });
        if !self.generator.load.contains("{data}") {
            return refuse("generator.load", "has no `{data}`: say where the samples stand");
        }
        if !(1e-3..=3600.0).contains(&self.deadline_seconds) {
            return refuse("deadline_seconds", "must be from 0.001 to 3600 s");
        }
        for (key, text) in [
            ("generator.on", &self.generator.on),
            ("generator.fire", &self.generator.fire),
            ("generator.off", &self.generator.off),
            ("generator.state", &self.generator.state),
            ("digitizer.arm", &self.digitizer.arm),
            ("digitizer.complete", &self.digitizer.complete),
            ("digitizer.read", &self.digitizer.read),
        ] {
            if text.trim().is_empty() || text.contains(['\n', '\r']) {
                return refuse(key, "must be one command");
            }
        }
        let switches = |setting: &SettingConfig| self.generator.on.starts_with(&setting.command());
        if self.generator.settings.iter().any(switches) {
            return refuse("generator.settings", "must not switch the output on: connecting changes no output");
        }
        Ok(())
    }
}

impl SettingConfig {
    /// The line that sets it, with its places unfilled.
    fn command(&self) -> String {
        format!("{} {}", self.header, self.value)
    }
}

/// The opened instruments.
pub struct ScpiPair {
    generator: Link<Scpi>,
    digitizer: Link<Scpi>,
    /// The way to the generator where its own link refuses it.
    options: LinkOptions,
    config: ScpiPairConfig,
    identity: ScpiIdentity,
}

impl ScpiPair {
    /// Opens both instruments; no output changes.
    pub fn open(config: &ScpiPairConfig, generator: &LinkOptions, digitizer: &LinkOptions) -> Result<Self, Error> {
        config.check()?;
        let WaveformConfig { drive_volts, reading_volts, .. } = config.waveform;
        let session = |expected: &str, settings: &[SettingConfig], volts: f32| {
            Scpi::new(expected, config.settings(settings, volts)).numbered(config.numbered)
        };
        let drives = session(&config.generator.identity, &config.generator.settings, drive_volts);
        let reads = session(&config.digitizer.identity, &config.digitizer.settings, reading_volts);
        let (drives, reads) = (Link::open(drives, generator)?, Link::open(reads, digitizer)?);
        let answers = reads.ask(ScpiRequest::Identity, digitizer.open_within)?;
        let text = answers.first().map(|answer| String::from_utf8_lossy(answer).into_owned()).unwrap_or_default();
        let identity = ScpiIdentity::parse(&text);
        let options = LinkOptions { record: None, ..generator.clone() };
        Ok(Self { generator: drives, digitizer: reads, options, config: config.clone(), identity })
    }

    /// Switches the output off over a connection of its own, whoever holds the generator.
    pub fn make_safe_beside(config: &ScpiPairConfig, generator: &LinkOptions) -> Result<(), Error> {
        let session = Scpi::new("", vec![]).numbered(config.numbered);
        let link = Link::open_beside(session, generator)?;
        switch_off(&link, &config.generator)
    }

    fn deadline(&self, count: usize) -> Duration {
        Duration::from_secs_f64(self.config.deadline_seconds) + self.config.waveform.duration(count)
    }
}

/// Switches the output off, and asks whether it is.
fn switch_off(generator: &Link<Scpi>, config: &GeneratorConfig) -> Result<(), Error> {
    let steps = vec![Step::tell(config.off.clone()), Step::query(config.state.clone())];
    let answers = generator.insist(ScpiRequest::Steps(steps), SAFE_WITHIN)?;
    let state = answers.first().map(|answer| String::from_utf8_lossy(answer).into_owned()).unwrap_or_default();
    if crate::settings_agree("OFF", &state) {
        return Ok(());
    }
    Err(Error::Readback {
        instrument: generator.watch().report().instrument,
        setting: config.state.clone(),
        sent: "off".to_owned(),
        read: shown(state.as_bytes()),
    })
}

impl Bursts for ScpiPair {
    fn identity(&self) -> &ScpiIdentity {
        &self.identity
    }

    /// Loads the burst, switches the output on, and arms: what is left is to fire.
    fn prepare(&mut self, volts: &[f32]) -> Result<(), Error> {
        let within = self.deadline(volts.len());
        let WaveformConfig { drive_volts, reading_volts, .. } = self.config.waveform;
        let generator = |text: &str| self.config.fill(text, drive_volts, volts.len());
        let (before, after) = self.config.generator.load.split_once("{data}").unwrap_or_default();
        let mut load = generator(before).into_bytes();
        load.extend_from_slice(&self.config.generator.numbers.write(volts, drive_volts));
        load.extend_from_slice(generator(after).as_bytes());
        let load = vec![Step::tell(load), Step::tell(generator(&self.config.generator.on)), Step::query("*OPC?")];
        self.generator.ask(ScpiRequest::Steps(load), within)?;
        let arm = vec![Step::tell(self.config.fill(&self.config.digitizer.arm, reading_volts, volts.len()))];
        self.digitizer.ask(ScpiRequest::Steps(arm), within).map(drop)
    }

    fn burst(&mut self, volts: &[f32]) -> Result<Vec<f32>, Error> {
        let within = self.deadline(volts.len());
        let WaveformConfig { drive_volts, reading_volts, .. } = self.config.waveform;
        let digitizer = |text: &str| self.config.fill(text, reading_volts, volts.len());
        let fire = vec![Step::tell(self.config.fill(&self.config.generator.fire, drive_volts, volts.len()))];
        self.generator.ask(ScpiRequest::Steps(fire), within)?;
        let numbers = self.config.digitizer.numbers;
        let answer = if numbers.is_block() { Answer::Block } else { Answer::Line };
        let read = Step { command: digitizer(&self.config.digitizer.read).into_bytes(), answer };
        let steps = vec![Step::query(digitizer(&self.config.digitizer.complete)), read];
        let answers = self.digitizer.ask(ScpiRequest::Steps(steps), within)?;
        let readings = answers.get(1).and_then(|bytes| numbers.read(bytes, reading_volts));
        readings.ok_or_else(|| Error::Garbled {
            instrument: self.digitizer.watch().report().instrument,
            message: "sends readings that are not the numbers that the rig file describes".to_owned(),
        })
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        match switch_off(&self.generator, &self.config.generator) {
            // It is not measured with any more, but it is still the one to be switched off.
            Err(Error::Reflashed { .. }) => Self::make_safe_beside(&self.config, &self.options),
            made => made,
        }
    }

    fn watches(&self) -> Vec<LinkWatch> {
        vec![self.generator.watch(), self.digitizer.watch()]
    }
}
