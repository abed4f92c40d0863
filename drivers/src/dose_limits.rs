//! Limits over time as a rig file gives them, and the error of whoever would go beyond one.

use std::collections::BTreeMap;

use crate::Error;

/// Limits over time, by bank name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DoseLimits {
    /// Largest step, in the bank's unit: of inputs, between neighbors in a shot; of controls, between settings.
    pub slew: BTreeMap<String, f32>,
    /// Largest part of a minute that the plant may be driven, from 0 to 1.
    pub duty: Option<f32>,
    /// Most energy in a minute, of input banks, in unit²·s.
    pub energy_per_minute: BTreeMap<String, f32>,
    /// Whether a plant waits until a minute has room for what it is to be driven with, instead of refusing it.
    pub pace: bool,
    /// Most shots that the plant may be asked for from its opening on, also again.
    pub shots: Option<u64>,
}

impl DoseLimits {
    /// Whether they limit nothing over time.
    pub(crate) fn are_empty(&self) -> bool {
        self.slew.is_empty() && self.duty.is_none() && self.energy_per_minute.is_empty()
    }
}

/// Refuses more than is allowed.
pub(crate) fn within(
    value: f32,
    limit: f32,
    unit: &str,
    what: impl Fn() -> String,
    advice: &'static str,
) -> Result<(), Error> {
    if value <= limit {
        return Ok(());
    }
    Err(Error::Overdriven { what: what(), value, limit, unit: unit.to_owned(), advice })
}
