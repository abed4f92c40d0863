//! Conformance checks: what every plant must do, asked of simulated, replayed and real ones alike.
//!
//! A check that could not run says so and why; it never counts as passed.

mod card;
mod order;
mod recovery;

use drivers::{Batch, Gentle, LinkWatch, Origin, Plant};
use sims::Key;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    /// As it must be.
    Passed,
    /// Not as it must be.
    Failed,
    /// Nothing is wrong with the plant, but somebody should know.
    Warning,
    /// It could not run.
    NotRun,
}

impl CheckOutcome {
    /// Its word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Warning => "warning",
            Self::NotRun => "not-run",
        }
    }
}

/// One check of one plant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Which.
    pub name: &'static str,
    /// How it ended.
    pub outcome: CheckOutcome,
    /// What was seen, or why it did not run.
    pub why: String,
}

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
}

/// What a check says: what was seen, or what is wrong.
type Seen = Result<String, Failure>;

/// Why a check did not pass.
enum Failure {
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

/// A check by its name.
type Named = (&'static str, fn(&mut Subject) -> Seen);

/// The list.
const CHECKS: [Named; 10] = [
    ("identity", card::identity),
    ("ports and units", card::ports),
    ("limits refuse", card::limits),
    ("readback of controls", card::readback),
    ("repeatability", order::repeatability),
    ("order of shots", order::order),
    ("timeout recovery", recovery::timeout),
    ("reconnect", recovery::reconnect),
    ("safe state", recovery::safe_state),
    ("watchdog", recovery::watchdog),
];

/// The part of what a minute allows that one shot may take: all checks together then need not wait.
const SHARE: f32 = 1.0 / 128.0;

/// Runs all checks; the plant is in its safe state afterwards. What is driven keeps its limits over time.
///
/// ```
/// use drivers::{Limited, Limits};
/// use hil::{CheckOutcome, Subject, check};
/// use sims::{Electrical, Simulated};
///
/// let bench = Electrical { samples: 16, ..Electrical::default() }.build().unwrap();
/// let mut plant = Limited::new(Simulated::new(bench.system), &Limits::default())?;
/// let found = check(&mut Subject { plant: &mut plant, links: vec![], watchdog: false, reads_controls: true });
/// assert!(found.iter().all(|check| check.outcome != CheckOutcome::Failed));
/// # Ok::<(), drivers::Error>(())
/// ```
pub fn check(subject: &mut Subject) -> Vec<Check> {
    let mut plant = Gentle::new(subject.plant);
    let (links, watchdog, reads_controls) = (subject.links.clone(), subject.watchdog, subject.reads_controls);
    let subject = &mut Subject { plant: &mut plant, links, watchdog, reads_controls };
    let run = |(name, run): &Named| {
        let (outcome, why) = match run(subject) {
            Ok(why) => (CheckOutcome::Passed, why),
            Err(Failure::Wrong(why)) => (CheckOutcome::Failed, why),
            Err(Failure::Warning(why)) => (CheckOutcome::Warning, why.to_owned()),
            Err(Failure::NotRun(why)) => (CheckOutcome::NotRun, why.to_owned()),
        };
        Check { name, outcome, why }
    };
    CHECKS.iter().map(run).collect()
}

/// Shots all different: white, over half of each range around its middle, as far as limits over time allow. `seed` decides them.
fn shots(subject: &Subject, count: usize, seed: u64) -> Batch {
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
fn set_controls(subject: &mut Subject) -> Result<(), drivers::Error> {
    let ranges = subject.plant.ports().ranges(drivers::Direction::Control);
    if ranges.is_empty() {
        return Ok(());
    }
    let middle: Vec<f32> = ranges.iter().map(|range| 0.5 * (range.low + range.high)).collect();
    subject.plant.apply(&middle).map(drop)
}

/// Refuses to drive what answers only what was recorded.
fn free_to_drive(subject: &Subject) -> Result<(), Failure> {
    if subject.plant.card().identity.origin == Origin::Replayed {
        return Err(Failure::NotRun("a recording answers only what was recorded"));
    }
    Ok(())
}

/// Root mean square difference of two rows.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod faulty_tests;
#[cfg(test)]
mod tests;
