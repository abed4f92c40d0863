//! What can be wrong with the description of a system.

/// A system cannot be built as described.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A coefficient without physical sense.
    #[error("{system}: `{name}` = {value} {unit} makes no sense: {expected}")]
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
}
