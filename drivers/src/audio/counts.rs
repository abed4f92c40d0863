//! What an audio plate has counted and found since it was opened.

/// Counts since the interface was opened first, and what was found last.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    /// Bursts that were taken.
    pub bursts: u64,
    /// Bursts that were played again.
    pub repeated: u64,
    /// Gaps: those that the interface reported, and those that were heard.
    pub xruns: u64,
    /// Times that the latency changed though no gap was reported or heard.
    pub drifts: u64,
    /// From a frame's way out to its way back in, in s.
    pub latency_seconds: f64,
    /// How many times higher the chirp's correlation was than anything else.
    pub peak_to_sidelobe: f32,
    /// How loud the chirp came back, as a part of what the twin expects.
    pub level: f32,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "latency {:.1} ms, chirp {:.1} times its sidelobes at {:.0} % of the twin's level, {} bursts, {} repeated, {} xruns, {} drifts",
            1e3 * self.latency_seconds,
            self.peak_to_sidelobe,
            100.0 * self.level,
            self.bursts,
            self.repeated,
            self.xruns,
            self.drifts,
        )
    }
}
