//! What waits for a thread that writes to the disk: how much, and for how long.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What waits to be written, the oldest first; all copies are one.
#[derive(Debug, Clone, Default)]
pub struct Backlog(Arc<Mutex<VecDeque<Instant>>>);

impl Backlog {
    /// One more waits from now on.
    pub fn add(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(Instant::now());
    }

    /// The oldest is written.
    pub fn done(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    }

    /// The newest will not be written.
    pub fn take_back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_back();
    }

    /// Whoever writes has given up: none of them will be written.
    pub fn give_up(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many wait or are being written, and how long the oldest of them has.
    pub fn waiting(&self) -> (usize, Duration) {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (since.len(), since.front().map_or(Duration::ZERO, Instant::elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_until_it_is_written() {
        let backlog = Backlog::default();
        assert_eq!(backlog.waiting(), (0, Duration::ZERO));
        backlog.add();
        backlog.add();
        assert_eq!(backlog.waiting().0, 2);
        backlog.take_back();
        assert!(backlog.waiting().1 > Duration::ZERO);
        backlog.clone().done();
        assert_eq!(backlog.waiting(), (0, Duration::ZERO));
        backlog.add();
        backlog.give_up();
        assert_eq!(backlog.waiting(), (0, Duration::ZERO));
    }
}
