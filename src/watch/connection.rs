//! What is known of the connection to a run.

/// What is known of the connection to a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Connection {
    /// The first try is under way.
    Opening,
    /// Statuses come.
    Live,
    /// Nobody answers; it is tried again and again.
    Lost {
        /// Seconds since 1970.
        since: f64,
        /// Tries since then.
        tries: u32,
        /// Why.
        why: String,
        /// The number of its process, where that is gone and the run with it.
        gone: Option<u64>,
    },
    /// The run is closed: there is nobody to connect to.
    Over,
}
