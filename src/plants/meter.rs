//! What a plant has done.

/// What has been asked of a plant so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Meter {
    /// Shots taken.
    pub shots: u64,
    /// Bench time in s: measured on a real plant, from its card on a simulated or replayed one.
    pub plant_seconds: f64,
    /// Time that this process waited, in s.
    pub wall_seconds: f64,
}
