//! A simulated Red Pitaya before and behind a simulated bench, with the commands of its vendor's server.
//!
//! Output 1 drives the bench, whose reading is at input 1. A cable joins output 2 and input 2, and each slow output with its slow
//! input. Pulses come at the external trigger all the time. Nothing takes time: an acquisition that is triggered is full.

mod acquisition;
mod analog;
mod board;
mod capture;
mod channel;
mod data_sheet;
mod deep;
mod digital;
mod generator;
mod pins;
mod readings;
mod ring;
mod source;
mod system;

use std::collections::BTreeMap;
use std::sync::PoisonError;

use drivers::ScpiControlsConfig;

use crate::commanded;
use crate::scpi_box::{ScpiInstrument, Table};
use crate::waveform_world::SharedWorld;

pub use board::{RedPitayaCommands, SimulatedRedPitaya};
use channel::Channel;
use pins::Pins;
use readings::Format;
use source::Source;

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
