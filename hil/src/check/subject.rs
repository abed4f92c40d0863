//! A plant under test, what a check says of it, and how checks drive it.

use drivers::{Batch, LinkWatch, Origin, Plant};
use sims::Key;

/// The part of what a minute allows that one shot may take: all checks together then need not wait.
const SHARE: f32 = 1.0 / 128.0;

/// A plant under test, behind its limits.
pub struct Subject<'a> {
    /// The plant.
    pub plant: &'a mut dyn Plant,
    /// The links of its instruments; none where nothing is wired.
    pub links: Vec<LinkWatch>,
    /// Whether its instruments make themselves safe when they hear nothing.
    pub watchdog: bool,
    /// Whether its instruments say how its controls are set.
    pub reads_controls: bool,
    /// Whether somebody wants the checks to end, such as by Ctrl-C: nothing is waited for then.
    pub stopped: fn() -> bool,
}

/// What a check says: what was seen, or what is wrong.
pub(super) type Seen = Result<String, Failure>;

/// Why a check did not pass.
pub(super) enum Failure {
    /// Not as it must be.
    Wrong(String),
    /// As it may be, but somebody should know.
    Warning(&'static str),
    /// It could not run.
    NotRun(&'static str),
}

impl From<drivers::Error> for Failure {
    fn from(error: drivers::Error) -> Self {
        Self::Wrong(error.to_string())
    }
}

/// Shots all different: white, over half of each range around its middle, as far as limits over time allow. `seed` decides them.
pub(super) fn shots(subject: &Subject, count: usize, seed: u64) -> Batch {
    let ranges = subject.plant.ports().ranges(drivers::Direction::Input);
    let mut stream = Key::new(seed).branch("check").stream();
    let mut shots = Batch::from_fn(count, ranges.len(), |_, column| {
        let range = ranges[column];
        range.low + range.span() * (0.25 + 0.5 * stream.uniform())
    });
    for row in shots.values_mut().chunks_exact_mut(ranges.len().max(1)) {
        subject.plant.ports().moderate(row, SHARE);
    }
    shots
}

/// Sets the controls to the middle of their ranges, if there are any.
pub(super) fn set_controls(subject: &mut Subject) -> Result<(), drivers::Error> {
    let ranges = subject.plant.ports().ranges(drivers::Direction::Control);
    if ranges.is_empty() {
        return Ok(());
    }
    let middle: Vec<f32> = ranges.iter().map(|range| 0.5 * (range.low + range.high)).collect();
    subject.plant.apply(&middle).map(drop)
}

/// Refuses to drive what answers only what was recorded.
pub(super) fn free_to_drive(subject: &Subject) -> Result<(), Failure> {
    if subject.plant.card().identity.origin == Origin::Replayed {
        return Err(Failure::NotRun("a recording answers only what was recorded"));
    }
    Ok(())
}

/// Root mean square difference of two rows.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len().max(1) as f64).sqrt()
}
