//! Benches that stay open between the runs of one command: to open one can take minutes.

use std::fmt::{Debug, Formatter, Result};
use std::sync::{Arc, Mutex, PoisonError};

use super::PlantConfig;
use crate::plants::Opened;

/// Benches that are open, safe, and driven by nobody, each with what the rig says of it; all copies are one.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<(PlantConfig, Opened)>>>);

impl Kept {
    /// The plants that were opened as `is_wanted` says, as if they had just been opened; all others are closed.
    pub fn take(&self, is_wanted: impl Fn(&str, &PlantConfig) -> bool) -> Vec<Opened> {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let wanted = all.into_iter().filter(|(config, opened)| is_wanted(&opened.name, config));
        wanted
            .map(|(config, opened)| {
                opened.rejections.forget();
                opened.allowance.pace_as(config.limits.pace);
                opened.allowance.wait_alone();
                opened
            })
            .collect()
    }

    /// Keeps a plant that was opened as `config` says.
    pub fn keep(&self, config: PlantConfig, opened: Opened) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((config, opened));
    }
}

impl Debug for Kept {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(kept.iter().map(|(_, opened)| &opened.name)).finish()
    }
}
