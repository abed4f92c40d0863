//! How a link is kept: to whom, how long things may take, and where it is written down.

use std::path::PathBuf;
use std::time::Duration;

use crate::Address;

/// How a link is kept.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// The instrument's name in the rig.
    pub instrument: String,
    /// The bench that it belongs to: two connections of one bench may lead to one box.
    pub bench: String,
    /// Where it is.
    pub address: Address,
    /// The deadline of the first opening, and the most that any later attempt may take.
    pub open_within: Duration,
    /// How long nothing may be asked before the session may say something of itself.
    pub idle_every: Duration,
    /// Decides the jitter of the pauses between attempts.
    pub seed: u64,
    /// A file that the whole dialogue is recorded to.
    pub record: Option<PathBuf>,
}

impl LinkOptions {
    /// The usual: 2 s to open, something said at least twice a second.
    pub fn new(instrument: &str, address: Address) -> Self {
        Self {
            instrument: instrument.to_owned(),
            bench: instrument.to_owned(),
            address,
            open_within: Duration::from_secs(2),
            idle_every: Duration::from_millis(500),
            seed: 0,
            record: None,
        }
    }
}
