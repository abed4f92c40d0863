//! What can be wrong with the description of a system.

/// A system cannot be built as described.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A coefficient without physical sense.
    #[error("{system}: `{name}` = {value}{} makes no sense: {expected}", after(unit))]
    Coefficient {
        /// The system.
        system: &'static str,
        /// The key in the rig file.
        name: &'static str,
        /// What was given.
        value: f64,
        /// SI unit.
        unit: &'static str,
        /// What would make sense, such as `it must be above 0`.
        expected: &'static str,
    },
    /// A feed-through from or to ports that are not there.
    #[error("feedthrough: `{key}` is {value}: {expected}")]
    Feedthrough {
        /// The key in the rig file.
        key: &'static str,
        /// What was given.
        value: String,
        /// What would make sense.
        expected: String,
    },
    /// An equation file that cannot be taken as it is written.
    #[error("{file}:{line}:{column}: {what}")]
    Equations {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// What is wrong, and what would be right.
        what: String,
    },
}

/// A unit after its number; a pure number has none.
fn after(unit: &str) -> String {
    if matches!(unit, "" | "1") { String::new() } else { format!(" {unit}") }
}
