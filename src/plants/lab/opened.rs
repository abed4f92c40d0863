//! One plant of a rig as it was opened: behind its limits, with its twins, before a method uses it.

use std::sync::Arc;

use drivers::{Allowance, LinkWatch, Plant, Playhead, Rejections};
use sims::{Adjustable, Clock, Twin};

use super::Guarded;
use crate::plants::InUse;

/// One plant of the rig with the twins that belong to it, as it was opened.
pub struct Opened {
    /// Its name in the rig.
    pub name: String,
    /// The plant, behind its limits.
    pub plant: Guarded,
    /// Its nominal twin.
    pub twin: Arc<dyn Twin>,
    /// Its own physics as a twin; only a simulation knows it.
    pub ideal: Option<Arc<dyn Twin>>,
    /// The physics behind its twin, with coefficients that can be fitted.
    pub adjustable: Option<Arc<dyn Adjustable>>,
    /// The fit behind its twin, if there is one.
    pub fit: Option<InUse>,
    /// The clock of its bench; only a simulated one can be set.
    pub clock: Option<Clock>,
    /// Where it is in its recording, where it replays one.
    pub playhead: Option<Playhead>,
    /// The links of its instruments; none where nothing is wired.
    pub links: Vec<LinkWatch>,
    /// Shots that its limits, interlocks and screen have rejected.
    pub rejections: Rejections,
    /// What its limits over time still allow.
    pub allowance: Allowance,
    /// Whether its instruments make themselves safe when they hear nothing.
    pub watchdog: bool,
    /// Whether its twin is to be learned, and nothing is learned yet.
    pub unlearned: bool,
}

impl Opened {
    /// A plant that no rig has opened, with its twin: without a guard process, limits, links and fit, and of physics that nobody knows.
    pub fn bare(name: &str, plant: Box<dyn Plant>, twin: Arc<dyn Twin>) -> Self {
        Self {
            name: name.to_owned(),
            plant: Guarded::new(name, plant, None),
            twin,
            ideal: None,
            adjustable: None,
            fit: None,
            clock: None,
            playhead: None,
            links: vec![],
            rejections: Rejections::default(),
            allowance: Allowance::default(),
            watchdog: false,
            unlearned: false,
        }
    }
}
