//! A bench of real instruments in a rig file: how they are opened, made safe from outside, and served by simulated ones.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drivers::audio::AudioPlateConfig;
use drivers::pnnlink::PnnlinkConfig;
use drivers::pnnlink::link::Pnnlink;
use drivers::{
    Address, Batch, Direction, LinkOptions, LinkWatch, Plant, Ports, RedPitaya, RedPitayaConfig, SafeOrder,
    ScpiControlsConfig, ScpiPair, ScpiPairConfig, SpectralBench, SpectralBenchConfig, WaveformBench,
};
use hil::pnnlink::{Build, Firmware, Place};
use hil::{
    AudioBench, Described, Faults, Half, OpticalBench, ScpiBox, SerialLine, SimulatedRedPitaya, WaveformWorld, Wire,
    serve_scpi,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::{System, Twin};

use super::limits::LimitsConfig;
use super::system::TwinConfig;

/// The system of a bench whose physics nobody has named, where its instruments do not say.
const UNKNOWN: &str = "unknown";

/// Instruments around a physical system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BenchConfig {
    /// The system whose twin gives the gradient; `pnnlab serve` puts its simulation behind the simulated instruments. Or `"learned"`,
    /// for a plant whose physics nobody has written down.
    pub twin: TwinConfig,
    /// The instruments and what they are wired to.
    pub instruments: InstrumentsConfig,
    /// A folder that the dialogue with each instrument is recorded to, one file each; an instrument's address `replay://FILE` replays
    /// one. Relative paths count from the folder of the rig file. A run that is continued records to the next folder beside it:
    /// `dialogues-2` after `dialogues`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<PathBuf>,
}

/// The instruments of a bench by their protocol; each has its own keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "protocol", rename_all = "kebab-case")]
pub enum InstrumentsConfig {
    /// A Red Pitaya by its SCPI server.
    RedPitaya(RedPitayaConfig),
    /// A waveform generator and a digitizer, described by their SCPI commands.
    Scpi(Box<ScpiPairConfig>),
    /// A plant on a microcontroller that speaks pnnlink.
    Pnnlink(PnnlinkConfig),
    /// A mirror array as spectral shaper, and a spectrometer.
    Spectral(SpectralBenchConfig),
    /// An audio interface: the drive goes out, the microphone comes in.
    Audio(AudioPlateConfig),
}

/// One instrument of a bench: its key in the rig file and its address.
pub struct Wired<'a> {
    /// Below `instruments`; empty where the bench is one instrument.
    pub key: &'static str,
    /// As the rig file has it.
    pub address: &'a mut String,
}

/// An instrument that is served by a simulated one.
pub struct ServedInstrument {
    /// Its name: the plant's, and its own where there are several.
    pub instrument: String,
    /// Where it listens.
    pub address: Address,
    /// A variable, with its value, that a process must have in its environment to find it.
    pub environment: Option<(&'static str, PathBuf)>,
    /// Whether its output is on, seen from inside.
    on: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    /// The service, which ends with it.
    _service: Box<dyn Any + Send>,
}

impl ServedInstrument {
    /// The instrument called `instrument`, which `service` serves at `address`.
    pub(super) fn new(instrument: String, address: Address, service: impl Any + Send) -> Self {
        Self { instrument, address, environment: None, on: None, _service: Box::new(service) }
    }

    /// The same, whose output `on` sees.
    fn seen_by(self, on: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { on: Some(Box::new(on)), ..self }
    }

    /// Whether its output is on; none where it has none, or where nobody can see it.
    pub fn is_on(&self) -> Option<bool> {
        self.on.as_ref().map(|on| on())
    }
}

impl InstrumentsConfig {
    /// Its instruments.
    pub fn wired(&mut self) -> Vec<Wired<'_>> {
        match self {
            Self::RedPitaya(config) => vec![Wired { key: "", address: &mut config.address }],
            Self::Scpi(config) => vec![
                Wired { key: "generator", address: &mut config.generator.address },
                Wired { key: "digitizer", address: &mut config.digitizer.address },
            ],
            Self::Pnnlink(config) => vec![Wired { key: "", address: &mut config.address }],
            Self::Spectral(config) => vec![
                Wired { key: "shaper", address: &mut config.shaper.address },
                Wired { key: "spectrometer", address: &mut config.spectrometer.address },
            ],
            Self::Audio(config) => vec![Wired { key: "", address: &mut config.address }],
        }
    }

    /// The options of each link, in the order of [`Self::wired`]; a relative recording counts from `folder`.
    fn options(&self, plant: &str, folder: &Path, record: Option<&Path>) -> Result<Vec<LinkOptions>, drivers::Error> {
        let mut config = self.clone();
        let wired = config.wired();
        let option = |wired: &Wired| {
            let mut address: Address = wired.address.parse()?;
            if let Address::Replay { path } = &mut address {
                *path = folder.join(&path);
            }
            let name = instrument_name(plant, wired.key);
            let record = record.map(|record| folder.join(record).join(format!("{name}.jsonl")));
            Ok(LinkOptions { record, bench: plant.to_owned(), ..LinkOptions::new(&name, address) })
        };
        wired.iter().map(option).collect()
    }

    /// Opens the bench of the plant called `plant`, whose nominal twin is `twin` if it has one; no output changes.
    pub fn open(
        &self,
        plant: &str,
        twin: Option<&dyn Twin>,
        folder: &Path,
        record: Option<&Path>,
    ) -> Result<(Box<dyn Plant>, Vec<LinkWatch>), drivers::Error> {
        let options = self.options(plant, folder, record)?;
        let system = twin.map_or(UNKNOWN, |twin| twin.card().identity.system.as_str());
        let bench = match (self, &options[..]) {
            (Self::RedPitaya(config), [one, ..]) => {
                WaveformBench::new(Box::new(RedPitaya::open(config, one)?), &config.waveform, system)?
            }
            (Self::Scpi(config), [generator, digitizer, ..]) => {
                WaveformBench::new(Box::new(ScpiPair::open(config, generator, digitizer)?), &config.waveform, system)?
            }
            (Self::Pnnlink(config), [one, ..]) => {
                let plant = Pnnlink::open(one, config.options()?)?;
                let links = vec![plant.watch()];
                return Ok((Box::new(plant), links));
            }
            (Self::Spectral(config), [shaper, spectrometer, ..]) => {
                let plant = SpectralBench::open(config, system, shaper, spectrometer)?;
                let links = plant.watches();
                return Ok((Box::new(plant), links));
            }
            (Self::Audio(config), [one, ..]) => {
                let twin = twin.ok_or_else(|| drivers::Error::Description {
                    key: "protocol".to_owned(),
                    message: "is `audio`, which finds its shots by the chirp that the twin expects: name a system as its twin"
                        .to_owned(),
                })?;
                return open_audio(config, twin, one);
            }
            _ => unreachable!("each bench has as many options as instruments"),
        };
        let links = bench.watches();
        Ok((Box::new(bench), links))
    }

    /// The controls that commands of the rig file set, where its protocol has any.
    pub(super) fn scpi_controls(&self) -> Option<&ScpiControlsConfig> {
        match self {
            Self::RedPitaya(config) => Some(&config.controls),
            Self::Scpi(config) => Some(&config.controls),
            _ => None,
        }
    }

    /// The same, to be added to.
    pub(super) fn scpi_controls_mut(&mut self) -> Option<&mut ScpiControlsConfig> {
        match self {
            Self::RedPitaya(config) => Some(&mut config.controls),
            Self::Scpi(config) => Some(&mut config.controls),
            _ => None,
        }
    }

    /// The ports that the bench will have; nothing where only its instruments can say.
    pub(super) fn ports(&self) -> Option<Ports> {
        match self {
            Self::RedPitaya(config) => Some(config.waveform.ports(config.controls.banks())),
            Self::Scpi(config) => Some(config.waveform.ports(config.controls.banks())),
            Self::Spectral(config) => Some(config.ports()),
            Self::Audio(config) => Some(config.ports()),
            Self::Pnnlink(_) => None,
        }
    }

    /// Whether its instruments say how each control is set.
    pub fn reads_controls(&self) -> bool {
        match self {
            Self::RedPitaya(config) => config.controls.are_read_back(),
            Self::Scpi(config) => config.controls.are_read_back(),
            // Nobody can ask a mirror array for its image.
            Self::Spectral(_) => false,
            Self::Pnnlink(_) | Self::Audio(_) => true,
        }
    }

    /// Whether they say themselves which system they are and what their banks are called.
    pub fn describes_itself(&self) -> bool {
        matches!(self, Self::Pnnlink(_))
    }

    /// Refuses what makes no sense, and limits that what the instruments drive of themselves would not keep. Nothing is opened.
    pub fn keeps(&self, limits: &LimitsConfig) -> Result<(), drivers::Error> {
        let config = match self {
            Self::RedPitaya(config) => return config.check().map(drop),
            Self::Scpi(config) => return config.check(),
            Self::Audio(config) => config,
            Self::Pnnlink(_) | Self::Spectral(_) => return Ok(()),
        };
        let refuse = |message: String| Err(drivers::Error::Description { key: "sync.volts".to_owned(), message });
        let (volts, chirp) = (config.sync.volts, config.chirp());
        if let Some(range) = limits.inputs.get("drive").filter(|range| range.high < volts || -volts < range.low) {
            let (low, high) = (range.low, range.high);
            return refuse(format!(
                "is {volts} V, but the limits of `drive` are [{low}, {high}] V: the chirp keeps them too"
            ));
        }
        let step = chirp.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        if let Some(most) = limits.slew.get("drive").filter(|most| **most < step) {
            return refuse(format!(
                "is {volts} V: the chirp makes steps of {step} V, but the slew of `drive` is limited to {most} V. Lower it or `sync.high_hertz`"
            ));
        }
        Ok(())
    }

    /// Makes the bench safe over connections of their own, whoever holds its instruments. A recording switches nothing.
    pub fn make_safe_beside(&self, plant: &str, folder: &Path) -> Result<(), drivers::Error> {
        let options = self.options(plant, folder, None)?;
        if options.iter().any(|link| matches!(link.address, Address::Replay { .. })) {
            return Ok(());
        }
        match (self, &options[..]) {
            (Self::RedPitaya(config), [one, ..]) => RedPitaya::make_safe_beside(config, one),
            (Self::Scpi(config), [generator, ..]) => ScpiPair::make_safe_beside(config, generator),
            (Self::Pnnlink(_), [one, ..]) => Pnnlink::make_safe_beside(one),
            (Self::Spectral(_), [shaper, ..]) => SpectralBench::make_safe_beside(shaper),
            // Its output is silent as soon as nobody holds it.
            (Self::Audio(_), _) => Ok(()),
            _ => unreachable!("each bench has as many options as instruments"),
        }
    }

    /// Looks for `time` whether a bench that was made safe stays so, over connections of their own; what is on again is switched off once more,
    /// and is an error. A recording switches nothing.
    pub fn stays_safe_beside(&self, plant: &str, folder: &Path, time: Duration) -> Result<(), drivers::Error> {
        let options = self.options(plant, folder, None)?;
        if options.iter().any(|link| matches!(link.address, Address::Replay { .. })) {
            return Ok(());
        }
        match (self, &options[..]) {
            (Self::RedPitaya(config), [one, ..]) => RedPitaya::stays_safe_beside(config, one, time),
            (Self::Scpi(config), [generator, ..]) => ScpiPair::stays_safe_beside(config, generator, time),
            (Self::Pnnlink(_), [one, ..]) => Pnnlink::stays_safe_beside(one, time),
            (Self::Spectral(_), [shaper, ..]) => SpectralBench::stays_safe_beside(shaper, time),
            // Its output is silent as long as nobody holds it, which is looked up.
            (Self::Audio(_), _) => {
                std::thread::sleep(time);
                Ok(())
            }
            _ => unreachable!("each bench has as many options as instruments"),
        }
    }

    /// What makes the bench safe when this program has died; nothing where the instruments do that of themselves, or where a recording
    /// is replayed.
    pub fn safe_orders(&self, plant: &str, folder: &Path) -> Result<Vec<SafeOrder>, drivers::Error> {
        let options = self.options(plant, folder, None)?;
        let replays = options.iter().any(|link| matches!(link.address, Address::Replay { .. }));
        Ok(match (self, &options[..]) {
            _ if replays => vec![],
            (Self::RedPitaya(config), [one, ..]) => vec![RedPitaya::safe_order(config, one)],
            (Self::Scpi(config), [generator, ..]) => vec![ScpiPair::safe_order(config, generator)],
            (Self::Spectral(_), [shaper, ..]) => vec![SpectralBench::safe_order(shaper)],
            _ => vec![],
        })
    }

    /// The addresses that must be free of owners before it is safe for good.
    pub fn addresses(&self, plant: &str, folder: &Path) -> Result<Vec<Address>, drivers::Error> {
        Ok(self.options(plant, folder, None)?.into_iter().map(|options| options.address).collect())
    }

    /// Serves simulated instruments in front of `system`, in the order of [`Self::wired`].
    pub fn serve(
        &self,
        plant: &str,
        system: Arc<dyn System>,
        wire: &Wire,
        faults: &Faults,
    ) -> std::io::Result<Vec<ServedInstrument>> {
        let waveform = match self {
            Self::RedPitaya(config) => &config.waveform,
            Self::Scpi(config) => &config.waveform,
            Self::Pnnlink(_) => return serve_pnnlink(plant, system, wire, faults),
            Self::Spectral(config) => return serve_spectral(plant, (system, config.spectrometer.pixels), wire, faults),
            Self::Audio(config) => return serve_audio(config, plant, system, wire, faults),
        };
        let world = Arc::new(Mutex::new(WaveformWorld::new(system, waveform, faults.clone())));
        let seen = world.clone();
        let boxes: Vec<(&str, ScpiBox)> = match self {
            Self::RedPitaya(config) => {
                let simulated = SimulatedRedPitaya::new(world, "0").wired(&config.controls);
                let instrument = ScpiBox::new(simulated);
                vec![("", instrument.ending(config.terminator))]
            }
            Self::Pnnlink(_) | Self::Spectral(_) | Self::Audio(_) => vec![],
            Self::Scpi(config) => {
                let described = |half| ScpiBox::new(Described::new(world.clone(), config, half));
                let [generator, digitizer] = config.terminators();
                vec![
                    ("generator", described(Half::Generator).ending(generator)),
                    ("digitizer", described(Half::Digitizer).ending(digitizer)),
                ]
            }
        };
        let serve = |(key, instrument): (&str, ScpiBox)| {
            let served = serve_scpi(instrument, wire, faults.clone())?;
            let address = served.address.clone();
            Ok(ServedInstrument::new(instrument_name(plant, key), address, served))
        };
        let mut served: Vec<ServedInstrument> = boxes.into_iter().map(serve).collect::<std::io::Result<_>>()?;
        // The first instrument is the one that drives.
        if !served.is_empty() {
            let first = served.remove(0);
            let on = move || seen.lock().unwrap_or_else(PoisonError::into_inner).output();
            served.insert(0, first.seen_by(on));
        }
        Ok(served)
    }

    /// Whether its instruments make themselves safe when they hear nothing.
    pub fn has_watchdog(&self) -> bool {
        match self {
            // Where nobody gives it sound any more, an audio interface is silent.
            Self::Pnnlink(_) | Self::Audio(_) => true,
            // None of these protocols has one.
            Self::RedPitaya(_) | Self::Scpi(_) | Self::Spectral(_) => false,
        }
    }
}

/// Opens an audio interface; the twin says what is expected of a chirp.
fn open_audio(
    config: &AudioPlateConfig,
    twin: &dyn Twin,
    options: &LinkOptions,
) -> Result<(Box<dyn Plant>, Vec<LinkWatch>), drivers::Error> {
    config.check()?;
    let refuse = |key: &str, message: String| Err(drivers::Error::Description { key: key.to_owned(), message });
    if options.record.is_some() {
        let message =
            "is `audio`, which has no dialogue to record: take `record` out of `bench`, and give the plant one";
        return refuse("protocol", message.to_owned());
    }
    let ports = &twin.card().ports;
    if (ports.count(Direction::Input), ports.count(Direction::Control)) != (config.waveform.samples, 0) {
        let message = format!(
            "is {}, but the twin has {} inputs and {} controls: give it as many inputs and no controls",
            config.waveform.samples,
            ports.input_count(),
            ports.control_count()
        );
        return refuse("waveform.samples", message);
    }
    let expected = twin.predict(&Batch::new(config.waveform.samples, config.chirp())?, &[]);
    audio(config, &twin.card().identity.system, options, expected.values())
}

/// Opens it through the audio library.
#[cfg(feature = "audio")]
fn audio(
    config: &AudioPlateConfig,
    system: &str,
    options: &LinkOptions,
    expected: &[f32],
) -> Result<(Box<dyn Plant>, Vec<LinkWatch>), drivers::Error> {
    let plant = drivers::audio::AudioPlate::open(config, system, options, expected)?;
    let links = vec![plant.watch()];
    Ok((Box::new(plant), links))
}

/// Says that there is no audio library.
#[cfg(not(feature = "audio"))]
fn audio(
    _: &AudioPlateConfig,
    _: &str,
    _: &LinkOptions,
    _: &[f32],
) -> Result<(Box<dyn Plant>, Vec<LinkWatch>), drivers::Error> {
    let message = "is `audio`, but this pnnlab was built without audio: build it with `--features audio`";
    Err(drivers::Error::Description { key: "protocol".to_owned(), message: message.to_owned() })
}

/// Serves a simulated plate behind an audio server of its own.
fn serve_audio(
    config: &AudioPlateConfig,
    plant: &str,
    system: Arc<dyn System>,
    wire: &Wire,
    faults: &Faults,
) -> std::io::Result<Vec<ServedInstrument>> {
    if matches!(wire, Wire::Pty { .. }) {
        return Err(std::io::Error::other("sound has no pseudo-terminal: leave --pty out"));
    }
    let bench = AudioBench::serve(system, config, faults)?;
    let (address, environment) = (parsed(&bench.address())?, bench.environment());
    let served = ServedInstrument::new(plant.to_owned(), address, bench);
    Ok(vec![ServedInstrument { environment: Some(environment), ..served }])
}

/// Serves a simulated pnnlink instrument.
fn serve_pnnlink(
    plant: &str,
    system: Arc<dyn System>,
    wire: &Wire,
    faults: &Faults,
) -> std::io::Result<Vec<ServedInstrument>> {
    let (place, baud) = match wire {
        Wire::Tcp { port } => (Place::Tcp(*port), None),
        Wire::Pty { link, baud } => {
            let own = || std::env::temp_dir().join(format!("pnnlab-{plant}-{}", std::process::id()));
            (Place::Pty(link.clone().unwrap_or_else(own)), *baud)
        }
    };
    let firmware = Firmware::new(system, Build::default(), faults.clone());
    let served = Arc::new(hil::pnnlink::Served::start(firmware, place, baud, faults)?);
    let (address, seen) = (parsed(served.address())?, served.clone());
    Ok(vec![ServedInstrument::new(plant.to_owned(), address, served).seen_by(move || !seen.report().is_safe)])
}

/// Serves a simulated shaper and a simulated spectrometer with so many pixels.
fn serve_spectral(
    plant: &str,
    (system, pixels): (Arc<dyn System>, Option<usize>),
    wire: &Wire,
    faults: &Faults,
) -> std::io::Result<Vec<ServedInstrument>> {
    // The shaper's protocol is one of TCP; a spectrometer may be on a serial line.
    let line = match wire {
        Wire::Tcp { .. } => None,
        Wire::Pty { link, baud } => {
            let own = || std::env::temp_dir().join(format!("pnnlab-{plant}-spectrometer-{}", std::process::id()));
            Some(SerialLine { link: link.clone().unwrap_or_else(own), baud: *baud })
        }
    };
    let bench = Arc::new(OpticalBench::serve(system, line.as_ref(), pixels, faults)?);
    let seen = bench.clone();
    let (shaper, spectrometer) = (parsed(bench.shaper_address())?, parsed(bench.spectrometer_address())?);
    let name = |key| instrument_name(plant, key);
    Ok(vec![
        ServedInstrument::new(name("shaper"), shaper, bench).seen_by(move || !seen.is_dark()),
        ServedInstrument::new(name("spectrometer"), spectrometer, ()),
    ])
}

/// An address that a simulated instrument says of itself.
fn parsed(address: &str) -> std::io::Result<Address> {
    address.parse().map_err(|error: drivers::Error| std::io::Error::other(error.to_string()))
}

/// An instrument's name in errors and reports.
fn instrument_name(plant: &str, key: &str) -> String {
    if key.is_empty() { plant.to_owned() } else { format!("{plant}-{key}") }
}
