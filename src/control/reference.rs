//! `reference.csv`: the last shots of the last test, as each plant read them and as its twin predicts them. Written after each test
//! and before the checkpoint that follows it: a run that is continued after its last test drives nothing any more.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::Error;
use crate::control::Viewer;
use crate::event::{Event, Observer};
use crate::record::Journal;
use crate::stop::StopReason;

/// Shots of each plant that are saved.
const SHOTS: usize = 4;

/// Saves the reference shots of a run.
#[derive(Debug)]
pub struct Reference {
    journal: Arc<Journal>,
    viewer: Arc<Viewer>,
}

impl Reference {
    /// Of the run that `journal` writes, whose plants `viewer` sees.
    pub fn new(journal: &Arc<Journal>, viewer: &Arc<Viewer>) -> Self {
        Self { journal: journal.clone(), viewer: viewer.clone() }
    }

    /// Saves the shots that were taken last; where none were, what there is stays.
    pub fn save(&self) -> Result<(), Error> {
        let table = self.viewer.reference(SHOTS);
        if table.lines().count() < 2 { Ok(()) } else { self.journal.replace("reference.csv", table) }
    }
}

impl Observer for Reference {
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        if matches!(event, Event::Evaluated(_)) {
            self.save()?;
        }
        Ok(ControlFlow::Continue(()))
    }
}
