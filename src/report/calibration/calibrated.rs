//! What a report of a calibration is made of.

use std::path::Path;

use calibration::{FitFacts, Fitted, Trace};

/// A calibration with what it came from.
pub struct Calibrated<'a> {
    /// What the fit says of itself.
    pub facts: &'a FitFacts,
    /// What was found.
    pub fitted: &'a Fitted,
    /// Of what.
    pub trace: &'a Trace,
    /// Where the fit lies.
    pub fit: &'a Path,
    /// Time here, in s.
    pub seconds: f64,
}
