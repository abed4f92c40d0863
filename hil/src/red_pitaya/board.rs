//! The board: what it keeps, and what its commands have in common.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use drivers::ScpiControlsConfig;

use super::channel::Channel;
use super::data_sheet::OUT_OF_RANGE;
use super::pins::Pins;
use super::readings::Format;
use super::source::Source;
use crate::scpi_box::{Call, Parameter, Response, ScpiError};
use crate::waveform_world::{SharedWorld, WaveformWorld};

/// Commands of one client.
pub(super) type Asked<'a> = Call<'a, Format>;

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
    pub(super) world: SharedWorld,
    pub(super) serial: String,
    /// Those of its commands that set controls of the bench.
    pub(super) controls: ScpiControlsConfig,
    pub(super) commands: RedPitayaCommands,
    pub(super) sources: [Source; 2],
    pub(super) channels: [Channel; 2],
    /// Whether readings are given as codes of the converter.
    pub(super) is_raw: bool,
    /// The same for the deep memory.
    pub(super) is_deep_raw: bool,
    pub(super) is_split: bool,
    pub(super) pins: Pins,
    /// Of the slow outputs, in V.
    pub(super) volts: [f64; 4],
    /// Settings without an effect on this bench, by their headers.
    pub(super) settings: BTreeMap<&'static str, String>,
}

impl SimulatedRedPitaya {
    pub(super) fn world(&self) -> MutexGuard<'_, WaveformWorld> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has the commands of OS 2.x.
    pub(super) fn is_second(&self) -> bool {
        self.commands == RedPitayaCommands::Second
    }
}

/// Which of two a header means: its number counts from 1.
pub(super) fn place(call: &Asked<'_>) -> Result<usize, ScpiError> {
    let number = call.number_of(0)?;
    if (1..=2).contains(&number) { Ok(number - 1) } else { Err(OUT_OF_RANGE.about(call.header)) }
}

/// Any number: the server's own range is checked by whoever obeys, because it has an error of its own.
pub(super) fn any(unit: &str) -> Parameter {
    Parameter::number(unit, f64::MIN..=f64::MAX)
}

/// `ON` or `OFF`, as its server answers.
pub(super) fn on_off(on: bool) -> Response {
    Response::text(if on { "ON" } else { "OFF" })
}
