//! Conformance checks: what every plant must do, asked of simulated, replayed and real ones alike.
//!
//! A check that could not run says so and why; it never counts as passed.

mod card;
mod order;
mod recovery;
mod subject;

use drivers::Gentle;

pub use subject::Subject;
use subject::{Failure, Seen};

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

/// Runs all checks; the plant is in its safe state afterwards. What is driven keeps its limits over time.
///
/// ```
/// use drivers::{Limited, Limits};
/// use hil::{CheckOutcome, Subject, check};
/// use sims::{Electrical, Simulated};
///
/// let bench = Electrical { samples: 16, ..Electrical::default() }.build().unwrap();
/// let mut plant = Limited::new(Simulated::new(bench.system), &Limits::default())?;
/// let found = check(&mut Subject {
///     plant: &mut plant,
///     links: vec![],
///     watchdog: false,
///     reads_controls: true,
///     stopped: || false,
/// });
/// assert!(found.iter().all(|check| check.outcome != CheckOutcome::Failed));
/// # Ok::<(), drivers::Error>(())
/// ```
pub fn check(subject: &mut Subject) -> Vec<Check> {
    let mut plant = Gentle::new(subject.plant);
    let (links, watchdog) = (subject.links.clone(), subject.watchdog);
    let (reads_controls, stopped) = (subject.reads_controls, subject.stopped);
    let subject = &mut Subject { plant: &mut plant, links, watchdog, reads_controls, stopped };
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

#[cfg(test)]
mod faulty_tests;
#[cfg(test)]
mod tests;
