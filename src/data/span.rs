//! Between what values data is scaled.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What 0 and 1 become.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Span {
    /// What 0 becomes (0).
    #[schemars(range(min = -1e6, max = 1e6))]
    pub low: f64,
    /// What 1 becomes (1).
    #[schemars(range(min = -1e6, max = 1e6))]
    pub high: f64,
}

impl Default for Span {
    fn default() -> Self {
        Self { low: 0.0, high: 1.0 }
    }
}

impl Span {
    /// Where `fraction` of it lies.
    pub(super) fn at(self, fraction: f32) -> f32 {
        // Exact at both ends, and the identity for 0 to 1.
        self.low as f32 * (1.0 - fraction) + self.high as f32 * fraction
    }
}
