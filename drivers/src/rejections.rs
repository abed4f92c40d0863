//! Shots that a plant was asked for and whose readings nobody got: refused before they were driven, or thrown away after.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// How many shots were rejected, by reason; all copies count together.
#[derive(Debug, Clone, Default)]
pub struct Rejections(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Rejections {
    /// Counts shots.
    pub fn add(&self, reason: &'static str, shots: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += shots as u64;
    }

    /// Counts shots that `error` rejects, if it is that kind of error.
    pub fn add_for(&self, error: &Error, shots: usize) {
        if let Some(reason) = error.rejects() {
            self.add(reason, shots);
        }
    }

    /// Counts from 0 again: what comes is another run's.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All so far.
    pub fn by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
