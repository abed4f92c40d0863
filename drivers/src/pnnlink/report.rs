//! What a pnnlink wire has been through.

/// What the wire has been through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Whether a session is open.
    pub is_connected: bool,
    /// Sessions opened after the first.
    pub reconnections: u64,
    /// Of these, after the instrument had lost its power.
    pub power_cycles: u64,
    /// Of these, after which it had another firmware.
    pub firmware_changes: u64,
    /// How often the instrument has made itself safe because it heard nothing.
    pub watchdog_trips: u64,
    /// Shots that were sent again.
    pub resent: u64,
    /// Answers that came twice and were dropped.
    pub repeated: u64,
    /// Readings that were void; their shots were driven again.
    pub void: u64,
    /// Frames that could not be understood.
    pub bad_frames: u64,
}
