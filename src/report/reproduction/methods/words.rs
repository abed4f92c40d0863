//! What the parts of the program have in common.

use crate::Error;

/// A measured number by its name.
pub(super) type Known<'a> = &'a dyn Fn(&str) -> Option<f64>;

/// The words for data that is not there.
pub(super) fn needs(what: &str) -> Error {
    Error::MissingData(format!("methods: needs {what}: name the folder that holds it with --data"))
}
