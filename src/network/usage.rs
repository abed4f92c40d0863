//! How the input ranges of plants were used by a pass.

use serde::{Deserialize, Serialize};

use crate::event::GuardCounts;

/// How the input ranges of plants were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Values that were sent.
    pub sent: u64,
    /// Values that the hard clamp changed.
    pub clipped: u64,
    /// Sum over physical layers of (largest − smallest value sent)/(span of the range), averaged over the ports.
    pub range_use: f64,
    /// Physical layers.
    pub layers: u64,
    /// What their guards found.
    #[serde(default)]
    pub guard: GuardCounts,
}

impl Usage {
    /// Adds what another pass used.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.clipped += other.clipped;
        self.range_use += other.range_use;
        self.layers += other.layers;
        self.guard.add(&other.guard);
    }

    /// The fraction of values that the hard clamp changed.
    pub fn clipping_rate(&self) -> f64 {
        self.clipped as f64 / self.sent.max(1) as f64
    }

    /// The fraction of the range that a batch covers, averaged over ports and physical layers.
    pub fn mean_range_use(&self) -> f64 {
        self.range_use / self.layers.max(1) as f64
    }
}
