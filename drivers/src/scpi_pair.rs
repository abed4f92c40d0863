//! Any SCPI waveform generator and any SCPI digitizer, described in the rig file by their commands.
//!
//! In commands, `{rate}` stands for the sample rate in Hz, `{volts}` for the full scale in V, `{count}` for the samples of the burst, and
//! `{data}` for the samples themselves. Completion is asked for by a query that is answered when the burst is over, `*OPC?`.

mod config;
mod connecting;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scpi_controls::Reserved;
use crate::scpi_safe::ScpiSafe;
use crate::{
    Answer, Bursts, Error, Link, LinkOptions, LinkWatch, SafeOrder, Scpi, ScpiControls, ScpiControlsConfig,
    ScpiIdentity, ScpiRequest, Setting, Step, Terminator, WaveformConfig,
};

pub use config::{DigitizerConfig, GeneratorConfig, SettingConfig};
pub(crate) use connecting::{Unit, is_output, resets, switches_output, units};

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
    #[schemars(range(min = 0.001, max = 86_400))]
    pub deadline_seconds: f64,
    /// Whether exchanges carry numbers in the event mask `*ESE`; switch it off for instruments that lack it.
    #[serde(default = "numbered")]
    pub numbered: bool,
    /// What lines to the instruments end with; their answers may end otherwise.
    #[serde(default)]
    pub terminator: Terminator,
    /// Whether an exchange is sent in one piece; switch it off for instruments that take one line at a time.
    #[serde(default = "pipelined")]
    pub pipelined: bool,
    /// Trainable controls, which the generator sets: other outputs of it, or whatever it is told by a command with a number.
    #[serde(default, skip_serializing_if = "ScpiControlsConfig::is_empty")]
    pub controls: ScpiControlsConfig,
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

/// What `pipelined` is when left out.
fn pipelined() -> bool {
    true
}

impl ScpiPairConfig {
    /// What lines to the generator end with, and to the digitizer.
    pub fn terminators(&self) -> [Terminator; 2] {
        [self.generator.terminator, self.digitizer.terminator].map(|own| own.unwrap_or(self.terminator))
    }

    /// A session with an instrument whose lines end with `terminator`.
    fn session(&self, expected: &str, settings: Vec<Setting>, terminator: Terminator) -> Scpi {
        Scpi::new(expected, settings).numbered(self.numbered).pipelined(self.pipelined).ending(terminator)
    }

    /// A command with its places filled, but for `{data}`.
    pub fn fill(&self, text: &str, full_scale: f32, count: usize) -> String {
        text.replace("{rate}", &self.waveform.sample_rate_hertz.to_string())
            .replace("{volts}", &full_scale.to_string())
            .replace("{count}", &count.to_string())
    }

    /// The settings of one instrument.
    fn settings(&self, settings: &[SettingConfig], full_scale: f32) -> Vec<Setting> {
        let fill = |text: &str| self.fill(text, full_scale, self.waveform.burst_samples);
        let setting = |setting: &SettingConfig| {
            let (header, value) = setting.parts();
            Setting { header: header.to_owned(), value: fill(value), query: setting.query.clone() }
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
            ("generator.load", &self.generator.load),
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
        if let Some((key, place)) = self.unknown_place() {
            return refuse(
                key,
                &format!(
                    "has the place `{place}`, which is none of `{{rate}}`, `{{volts}}`, `{{count}}` and, in `load`, `{{data}}`"
                ),
            );
        }
        for (key, settings) in [("generator", &self.generator.settings), ("digitizer", &self.digitizer.settings)] {
            for (index, setting) in settings.iter().enumerate() {
                if let Some(message) = connecting::complaint(setting, &self.generator) {
                    return Err(Error::Description { key: format!("{key}.settings.{index}"), message });
                }
            }
        }
        let settings = self.generator.settings.iter().map(|setting| format!("{} {}", setting.header, setting.value));
        let commands = settings.chain([self.generator.load.clone()]).collect();
        self.controls.check(&Reserved { commands, switches: self.generator.switches(), owns: |_| false })
    }

    /// What makes the generator safe.
    fn safe(&self) -> ScpiSafe {
        ScpiSafe::new(&[&self.generator.off], &self.generator.state, &self.controls)
    }
}

/// What a command may stand places for.
const PLACES: [&str; 3] = ["{rate}", "{volts}", "{count}"];

impl ScpiPairConfig {
    /// A word in braces that stands for nothing, with the key of its command: it would be sent as it is.
    fn unknown_place(&self) -> Option<(&'static str, String)> {
        let (generator, digitizer) = (&self.generator, &self.digitizer);
        let settings = |key: &'static str, all: &[SettingConfig]| -> Vec<(&'static str, String)> {
            let parts = |setting: &SettingConfig| {
                [Some(&setting.header), Some(&setting.value), setting.query.as_ref()].map(Option::<&String>::cloned)
            };
            all.iter().flat_map(parts).flatten().map(|text| (key, text)).collect()
        };
        let commands = [
            ("generator.load", generator.load.replacen("{data}", "", 1)),
            ("generator.on", generator.on.clone()),
            ("generator.fire", generator.fire.clone()),
            ("generator.off", generator.off.clone()),
            ("generator.state", generator.state.clone()),
            ("digitizer.arm", digitizer.arm.clone()),
            ("digitizer.complete", digitizer.complete.clone()),
            ("digitizer.read", digitizer.read.clone()),
        ];
        let all = settings("generator.settings", &generator.settings)
            .into_iter()
            .chain(settings("digitizer.settings", &digitizer.settings))
            .chain(commands);
        all.into_iter().find_map(|(key, text)| Some((key, unknown_in(&text)?)))
    }
}

/// The first word in braces that is no place.
fn unknown_in(text: &str) -> Option<String> {
    let words = text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(word, _)| format!("{{{word}}}"));
    let is_word =
        |place: &String| place[1..place.len() - 1].chars().all(|letter| letter.is_alphabetic() || letter == '_');
    words.filter(is_word).find(|place| !PLACES.contains(&place.as_str()))
}

/// The opened instruments.
pub struct ScpiPair {
    generator: Arc<Link<Scpi>>,
    digitizer: Link<Scpi>,
    /// The way to the generator where its own link refuses it.
    options: LinkOptions,
    config: ScpiPairConfig,
    identity: ScpiIdentity,
    /// The openings of both ports on which the burst was loaded and the digitizer armed.
    prepared: Option<[u64; 2]>,
}

impl ScpiPair {
    /// Opens both instruments; no output changes.
    pub fn open(config: &ScpiPairConfig, generator: &LinkOptions, digitizer: &LinkOptions) -> Result<Self, Error> {
        config.check()?;
        let WaveformConfig { drive_volts, reading_volts, .. } = config.waveform;
        let [to_generator, to_digitizer] = config.terminators();
        let settings = config.settings(&config.generator.settings, drive_volts);
        let drives = config.session(&config.generator.identity, settings, to_generator);
        let settings = config.settings(&config.digitizer.settings, reading_volts);
        let reads = config.session(&config.digitizer.identity, settings, to_digitizer);
        let (drives, reads) = (Arc::new(Link::open(drives, generator)?), Link::open(reads, digitizer)?);
        let answers = reads.ask(ScpiRequest::Identity, digitizer.open_within)?;
        let text = answers.first().map(|answer| String::from_utf8_lossy(answer).into_owned()).unwrap_or_default();
        let identity = ScpiIdentity::parse(&text);
        let options = LinkOptions { record: None, ..generator.clone() };
        Ok(Self { generator: drives, digitizer: reads, options, config: config.clone(), identity, prepared: None })
    }

    /// Switches the output off over a connection of its own, whoever holds the generator.
    pub fn make_safe_beside(config: &ScpiPairConfig, generator: &LinkOptions) -> Result<(), Error> {
        config.safe().switch_off(&Self::beside(config, generator)?)
    }

    /// Looks for `time` whether the output stays off, over a connection of its own; where it is on again it is switched off once more.
    pub fn stays_safe_beside(config: &ScpiPairConfig, generator: &LinkOptions, time: Duration) -> Result<(), Error> {
        let link = Self::beside(config, generator)?;
        config.safe().stays_off(&link, &generator.instrument, time)
    }

    /// On a socket of its own answers are in step, and the owner's number stays in the event mask.
    fn beside(config: &ScpiPairConfig, generator: &LinkOptions) -> Result<Link<Scpi>, Error> {
        let numbered = config.numbered && generator.address.is_exclusive();
        Link::open_beside(config.session("", vec![], config.terminators()[0]).numbered(numbered), generator)
    }

    /// What the guard must say to the generator when this program has died.
    pub fn safe_order(config: &ScpiPairConfig, generator: &LinkOptions) -> SafeOrder {
        config.safe().order(generator, config.terminators()[0]).pipelined(config.pipelined)
    }

    fn deadline(&self, count: usize) -> Duration {
        Duration::from_secs_f64(self.config.deadline_seconds) + self.config.waveform.duration(count)
    }

    /// A burst that was not prepared, or that was driven already.
    fn unprepared(&self) -> Error {
        let instrument = self.generator.watch().report().instrument;
        Error::Lost { instrument, message: "no burst is loaded".to_owned() }
    }
}

impl Bursts for ScpiPair {
    fn identity(&self) -> &ScpiIdentity {
        &self.identity
    }

    /// Loads the burst and arms; only what was loaded without an error may be played.
    fn prepare(&mut self, volts: &[f32]) -> Result<(), Error> {
        self.prepared = None;
        let within = self.deadline(volts.len());
        let WaveformConfig { drive_volts, reading_volts, .. } = self.config.waveform;
        let generator = |text: &str| self.config.fill(text, drive_volts, volts.len());
        let (before, after) = self.config.generator.load.split_once("{data}").unwrap_or_default();
        let mut load = generator(before).into_bytes();
        load.extend_from_slice(&self.config.generator.numbers.write(volts, drive_volts));
        load.extend_from_slice(generator(after).as_bytes());
        // An error of a load that goes on in the background shows behind `*OPC?`.
        let load = vec![Step::tell(load), Step::query("*OPC?")];
        let (_, loaded) = self.generator.ask_noting(ScpiRequest::Steps(load), within)?;
        let arm = vec![Step::tell(self.config.fill(&self.config.digitizer.arm, reading_volts, volts.len()))];
        let (_, armed) = self.digitizer.ask_noting(ScpiRequest::Steps(arm), within)?;
        self.prepared = Some([loaded, armed]);
        Ok(())
    }

    fn burst(&mut self, volts: &[f32]) -> Result<Vec<f32>, Error> {
        let [loaded, armed] = self.prepared.take().ok_or_else(|| self.unprepared())?;
        let within = self.deadline(volts.len());
        let WaveformConfig { drive_volts, reading_volts, .. } = self.config.waveform;
        let generator = |text: &str| Step::tell(self.config.fill(text, drive_volts, volts.len()));
        let digitizer = |text: &str| self.config.fill(text, reading_volts, volts.len());
        let (on, fire) = (&self.config.generator.on, &self.config.generator.fire);
        let play = vec![generator(on), Step::query("*OPC?"), generator(fire)];
        self.generator.ask_on(loaded, ScpiRequest::Steps(play), within)?;
        let numbers = self.config.digitizer.numbers;
        let answer = if numbers.is_block() { Answer::Block } else { Answer::Line };
        let read = Step { command: digitizer(&self.config.digitizer.read).into_bytes(), answer };
        let steps = vec![Step::query(digitizer(&self.config.digitizer.complete)), read];
        let answers = self.digitizer.ask_on(armed, ScpiRequest::Steps(steps), within)?;
        let readings = answers.get(1).and_then(|bytes| numbers.read(bytes, reading_volts));
        readings.ok_or_else(|| Error::Garbled {
            instrument: self.digitizer.watch().report().instrument,
            message: "sends readings that are not the numbers that the rig file describes".to_owned(),
        })
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        match self.config.safe().switch_off(&self.generator) {
            // It is not measured with any more, but it is still the one to be switched off.
            Err(Error::Reflashed { .. }) => Self::make_safe_beside(&self.config, &self.options),
            made => made,
        }
    }

    fn controls(&self) -> ScpiControls {
        let within = Duration::from_secs_f64(self.config.deadline_seconds);
        ScpiControls::new(&self.config.controls, self.generator.clone(), within)
    }

    fn watches(&self) -> Vec<LinkWatch> {
        vec![self.generator.watch(), self.digitizer.watch()]
    }
}
