//! What differs from shot to shot on the bench of a mesh, its converters, and its drift.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What differs from shot to shot, converters, drift. 0 switches each off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MeshImperfections {
    /// Bits of the converters that set the phases, over ± `phase_limit` (16, as the drivers of published meshes have).
    #[schemars(range(max = 24))]
    pub control_bits: u32,
    /// Bits of the converters that set the inputs, over ± `amplitude_limit` (12).
    #[schemars(range(max = 24))]
    pub input_bits: u32,
    /// Bits of the converters behind the detectors, over their range (12).
    #[schemars(range(max = 24))]
    pub read_bits: u32,
    /// Standard deviation of a reading, in its own unit (0.002: some thousandths of a unit of power, as a photodiode and its amplifier
    /// have).
    #[schemars(range(min = 0))]
    pub detector_noise: f64,
    /// How far each phase has moved after an hour, in rad, root mean square over all phases (0): laboratories that hold a chip's
    /// temperature see some hundredths.
    #[schemars(range(min = 0))]
    pub drift_radians_per_hour: f64,
}

impl Default for MeshImperfections {
    fn default() -> Self {
        Self { control_bits: 16, input_bits: 12, read_bits: 12, detector_noise: 0.002, drift_radians_per_hour: 0.0 }
    }
}

impl MeshImperfections {
    /// A bench that differs from its physics in nothing.
    pub fn none() -> Self {
        Self { control_bits: 0, input_bits: 0, read_bits: 0, detector_noise: 0.0, drift_radians_per_hour: 0.0 }
    }
}
