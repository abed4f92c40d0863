//! What differs from shot to shot on the bench of the oscillators, and its read-out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What differs from shot to shot, and the read-out. All off by default, as in the reference's Example 1.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OscillatorImperfections {
    /// Standard deviation of the initial positions about the inputs, in rad; 0: off. Reference, Example 2: 0.02.
    #[schemars(range(min = 0))]
    pub amplitude_noise: f64,
    /// Standard deviation of a reading, in rad; 0: off.
    #[schemars(range(min = 0))]
    pub read_noise: f64,
    /// Bits of the converter that reads positions, over ± `position_limit`; 0: ideal resolution.
    #[schemars(range(max = 24))]
    pub read_bits: u32,
}
