//! What is drawn and written of results: figures, the report of a calibration, published experiments beside our own numbers.

pub(crate) mod calibration;
pub(crate) mod figure;
pub(crate) mod picture;
pub(crate) mod reproduction;

pub use calibration::Calibrated;
pub use figure::Theme;
pub(crate) use figure::{Bar, Captioned, Overlay, unknown_scores as draw_unknown_scores};
pub use reproduction::{Entry, Provenance, Section, State};
