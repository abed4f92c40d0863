//! A generator and a digitizer as a rig file describes them: their commands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Numbers, Terminator};

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
    /// What its lines end with, where that is not what the other's end with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminator: Option<Terminator>,
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
    /// What its lines end with, where that is not what the other's end with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminator: Option<Terminator>,
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

impl SettingConfig {
    /// Header and value; a header that holds its value is taken apart.
    pub fn parts(&self) -> (&str, &str) {
        let (header, value) = (self.header.trim(), self.value.trim());
        match header.split_once(char::is_whitespace) {
            Some((header, inside)) if value.is_empty() => (header, inside.trim_start()),
            _ => (header, value),
        }
    }
}

impl GeneratorConfig {
    /// The lines that switch its output on, off, and play the burst.
    pub(super) fn switches(&self) -> [&str; 3] {
        [&self.on, &self.off, &self.fire]
    }
}
