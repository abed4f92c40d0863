//! What a soak has found, and how much memory it takes.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a soak has found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SoakReport {
    /// Shots asked for and read.
    pub shots: u64,
    /// Queries of instruments asked and answered.
    pub transactions: u64,
    /// Shots or queries without an answer.
    pub lost: u64,
    /// Answers that came for two shots or queries.
    pub duplicated: u64,
    /// Answers that belong to another shot or query.
    pub misattributed: u64,
    /// The longest time that a call took.
    pub longest_wait: Duration,
    /// The longest that it may take.
    pub deadline: Duration,
    /// By how much the process has grown since a tenth of the run, in bytes; none where it cannot be told.
    pub memory_growth: Option<i64>,
    /// How often each fault has happened.
    pub faults: BTreeMap<&'static str, u64>,
}

impl SoakReport {
    /// Both together; the memory is that of one process.
    pub fn with(mut self, other: &Self) -> Self {
        self.shots += other.shots;
        self.transactions += other.transactions;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.misattributed += other.misattributed;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.deadline = self.deadline.max(other.deadline);
        self.memory_growth = self.memory_growth.max(other.memory_growth);
        for (fault, count) in &other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self
    }

    /// Whether nothing was lost, repeated or misplaced, and no call took longer than it may.
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.misattributed == 0 && self.longest_wait <= self.deadline
    }
}

/// The memory that the process has in use, in bytes, where the system says so (Linux: `/proc/self/statm`, in pages).
pub(super) fn resident_memory() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = text.split_whitespace().nth(1)?.parse().ok()?;
    // Pages of 4 KiB; where they are larger, growth shows smaller by that factor.
    Some(pages * 4096)
}
