//! `[plants.NAME.limits]`: what a plant may be driven with.

// Circle with plants/rig.rs: a rig is made of these tables and refuses by them; split for its length.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use drivers::{DoseLimits, Limits, Range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Rig;
use crate::Error;

/// Limits by bank name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Of input banks.
    pub inputs: BTreeMap<String, RangeConfig>,
    /// Of control banks.
    pub controls: BTreeMap<String, RangeConfig>,
    /// Largest step, in the bank's unit: of inputs, between neighbors in a shot; of controls, between two settings. From the
    /// safe state a setting further away is reached in as many steps as that takes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("additionalProperties" = { "type": "number", "format": "float", "exclusiveMinimum": 0 }))]
    pub slew: BTreeMap<String, f32>,
    /// Largest part of a minute that the plant may be driven, above 0 and at most 1. What a bench was driven before it was opened, by
    /// whichever process with such a limit, counts as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub duty: Option<f32>,
    /// Most energy in a minute, of input banks, in the bank's unit squared times seconds; counted as `duty` is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("additionalProperties" = { "type": "number", "format": "float", "exclusiveMinimum": 0 }))]
    pub energy_per_minute: BTreeMap<String, f32>,
    /// Most shots that the plant may be driven with while it is open. A command that plans more, such as a training with its tests or all
    /// runs of a comparison (not of a sweep), is refused before the first shot; one that comes to need more ends before the batch that would be too
    /// much. Shots that are asked for again (by `screen`, after an interlock) count again; each opening counts from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_000_000_000_000_000_u64))]
    pub shots: Option<u64>,
    /// Whether the plant waits until a minute has room for what it is to be driven with (true). Without it, what is too much for this
    /// minute is refused, which ends a run. What alone is too much for any minute is refused in either case.
    #[serde(skip_serializing_if = "is_default_pace")]
    pub pace: bool,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            inputs: BTreeMap::new(),
            controls: BTreeMap::new(),
            slew: BTreeMap::new(),
            duty: None,
            energy_per_minute: BTreeMap::new(),
            shots: None,
            pace: true,
        }
    }
}

/// A fit depends on what a rig says of its plant: one that says nothing of pace reads as it did before there was any.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_default_pace(pace: &bool) -> bool {
    *pace
}

/// A closed interval, in the unit of its bank.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeConfig {
    /// Smallest allowed value.
    pub low: f32,
    /// Largest allowed value.
    pub high: f32,
}

impl LimitsConfig {
    /// What makes no sense whatever plant it is for, if anything: the key below the limits', and the rest of the sentence.
    pub(super) fn complaint(&self) -> Option<(String, String)> {
        for (kind, banks) in [("inputs", &self.inputs), ("controls", &self.controls)] {
            for (bank, RangeConfig { low, high }) in banks {
                if low.partial_cmp(high) != Some(Ordering::Less) {
                    let swapped = if high < low { ": they are swapped" } else { ": no value would be allowed" };
                    return Some((
                        format!("{kind}.{bank}"),
                        format!("has `low` {low} not below `high` {high}{swapped}"),
                    ));
                }
            }
        }
        for (key, banks) in [("slew", &self.slew), ("energy_per_minute", &self.energy_per_minute)] {
            if let Some((bank, value)) = banks.iter().find(|(_, value)| !(value.is_finite() && 0.0 < **value)) {
                return Some((format!("{key}.{bank}"), format!("is {value}: a limit must be above 0")));
            }
        }
        let duty = self.duty.filter(|duty| !(0.0 < *duty && *duty <= 1.0))?;
        Some(("duty".to_owned(), format!("is {duty}: it must be above 0 and at most 1")))
    }

    pub(super) fn limits(&self) -> Limits {
        let ranges = |banks: &BTreeMap<String, RangeConfig>| {
            banks.iter().map(|(bank, range)| (bank.clone(), Range::new(range.low, range.high))).collect()
        };
        let dose = DoseLimits {
            slew: self.slew.clone(),
            duty: self.duty,
            energy_per_minute: self.energy_per_minute.clone(),
            pace: self.pace,
            shots: self.shots,
        };
        Limits { inputs: ranges(&self.inputs), controls: ranges(&self.controls), dose }
    }
}

impl Rig {
    /// Refuses to drive a plant with more shots than it may be (`limits.shots`), before it is driven: while it is, it counts by itself.
    pub fn refuse_shots(&self, plant: &str, shots: u64) -> Result<(), Error> {
        match self.config.plants.get(plant).and_then(|config| config.limits.shots) {
            Some(most) if most < shots => Err(self.document.refuse(
                &format!("plants.{plant}.limits.shots"),
                format!("is {most}, but {shots} shots are asked for: allow more, or ask for fewer steps, rows, seeds or cells"),
            )),
            _ => Ok(()),
        }
    }
}
