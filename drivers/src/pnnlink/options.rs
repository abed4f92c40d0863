//! How patient whoever owns a pnnlink wire is.

use std::time::Duration;

/// How patient the owner is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How long a call may wait without any progress.
    pub deadline: Duration,
    /// How long a call that makes the instrument safe may take.
    pub safe_deadline: Duration,
    /// After how long without a word the instrument makes itself safe.
    pub watchdog: Duration,
    /// How often a shot with a void reading is driven, before it is given up.
    pub attempts: u32,
    /// Decides session numbers and the jitter of pauses. Two controllers must not have the same.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self {
            deadline: Duration::from_secs(5),
            safe_deadline: Duration::from_secs(1),
            watchdog: Duration::from_secs(1),
            attempts: 5,
            seed: clock.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(40),
        }
    }
}

/// A time in s as a duration; what makes no sense is no time.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
