//! A simulated Red Pitaya before and behind a simulated bench, with the commands of its vendor's server.
//!
//! Output 1 drives the bench, whose reading is at input 1. A cable joins output 2 and input 2, and each slow output with its slow
//! input. Pulses come at the external trigger all the time. Nothing takes time: an acquisition that is triggered is full.

mod acquisition;
mod analog;
mod capture;
mod deep;
mod digital;
mod generator;
mod readings;
mod ring;
mod source;
mod system;

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use drivers::ScpiControlsConfig;

use crate::commanded;
use crate::scpi_box::{Call, Parameter, Response, ScpiError, ScpiInstrument, Table};
use crate::waveform_world::{SharedWorld, WaveformWorld};

use capture::Channel;
use digital::Pins;
use readings::Format;
use source::Source;

/// Samples in the buffers of generator and acquisition.
const BUFFER: usize = 16_384;
/// Samples per second of both converters.
const CLOCK_HERTZ: f64 = 125e6;
/// `RP_EOOR` of the vendor's library, as its server reports it.
const OUT_OF_RANGE: ScpiError = ScpiError::new(9506, "Value Out Of Range");
/// `RP_ENN`.
const NOT_NORMALIZED: ScpiError = ScpiError::new(9517, "Data not normalized");
/// `RP_NOTS`: other models have it.
const NOT_SUPPORTED: ScpiError = ScpiError::new(9524, "Command not supported");

/// Commands of one client.
type Asked<'a> = Call<'a, Format>;

/// The commands that its server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedPitayaCommands {
    /// Those of OS 1.x.
    First,
    /// Those of OS 2.x, and of the former those that only OS 1.x has, for older programs.
    Second,
}

/// A Red Pitaya of two outputs and two inputs.
pub struct SimulatedRedPitaya {
    world: SharedWorld,
    serial: String,
    /// Those of its commands that set controls of the bench.
    controls: ScpiControlsConfig,
    commands: RedPitayaCommands,
    sources: [Source; 2],
    channels: [Channel; 2],
    /// Whether readings are given as codes of the converter.
    is_raw: bool,
    /// The same for the deep memory.
    is_deep_raw: bool,
    is_split: bool,
    pins: Pins,
    /// Of the slow outputs, in V.
    volts: [f64; 4],
    /// Settings without an effect on this bench, by their headers.
    settings: BTreeMap<&'static str, String>,
}

impl SimulatedRedPitaya {
    /// In front of `world`, with the commands of OS 2.x. Real boards answer 0 for their serial number, all alike.
    pub fn new(world: SharedWorld, serial: &str) -> Self {
        Self::with(world, serial, RedPitayaCommands::Second)
    }

    /// The same, with these commands.
    pub fn with(world: SharedWorld, serial: &str, commands: RedPitayaCommands) -> Self {
        let mut instrument = Self {
            world,
            serial: serial.to_owned(),
            controls: ScpiControlsConfig::default(),
            commands,
            sources: [Source::default(), Source::default()],
            channels: [Channel::default(), Channel::default()],
            is_raw: false,
            is_deep_raw: false,
            is_split: false,
            pins: Pins::default(),
            volts: [0.0; 4],
            settings: BTreeMap::new(),
        };
        instrument.reset();
        instrument
    }

    /// The same, some of whose outputs are wired to controls of the bench.
    pub fn wired(self, controls: &ScpiControlsConfig) -> Self {
        let mut wired = Self { controls: controls.clone(), ..self };
        wired.reset();
        wired
    }

    fn world(&self) -> MutexGuard<'_, WaveformWorld> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has the commands of OS 2.x.
    fn is_second(&self) -> bool {
        self.commands == RedPitayaCommands::Second
    }
}

/// Which of two a header means: its number counts from 1.
fn place(call: &Asked<'_>) -> Result<usize, ScpiError> {
    let number = call.number_of(0)?;
    if (1..=2).contains(&number) { Ok(number - 1) } else { Err(OUT_OF_RANGE.about(call.header)) }
}

/// Any number: the server's own range is checked by whoever obeys, because it has an error of its own.
fn any(unit: &str) -> Parameter {
    Parameter::number(unit, f64::MIN..=f64::MAX)
}

/// `ON` or `OFF`, as its server answers.
fn on_off(on: bool) -> Response {
    Response::text(if on { "ON" } else { "OFF" })
}

impl ScpiInstrument for SimulatedRedPitaya {
    type Client = Format;

    fn identity(&self) -> [String; 3] {
        ["REDPITAYA".to_owned(), "INSTR2026 (simulated)".to_owned(), self.serial.clone()]
    }

    fn firmware(&self, version: u32) -> String {
        format!("{:02}-{version:02}", if self.is_second() { 2 } else { 1 })
    }

    fn table(&self) -> Table<Self> {
        let is_second = self.is_second();
        let controls = commanded::commands(Table::new(), &self.controls, &self.world, analog::keeps);
        let mut table = generator::commands(controls, is_second);
        table = acquisition::commands(table, is_second);
        table = digital::commands(analog::commands(table));
        if is_second {
            table = deep::commands(table);
        }
        system::commands(table, is_second)
    }

    fn reset(&mut self) {
        self.reset_generator();
        self.reset_acquisition();
        commanded::reset(&self.controls, &mut self.world.lock().unwrap_or_else(PoisonError::into_inner));
        self.pins = Pins::default();
        self.volts = [0.0; 4];
        self.settings = system::defaults();
    }
}

#[cfg(test)]
mod tests;
