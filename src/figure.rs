//! Figures: pure functions from what is on disk to SVG and PNG, one style, safe for color-blind readers.
//!
//! A figure is a `Figure` (`figure/sheet.rs`): it reads its numbers first, then draws on whatever paper it is given;
//! `save` writes both files with the caption. Colors and fonts are in `figure/theme.rs` and nowhere else.

mod bars;
mod calibration;
mod confusion;
mod curves;
mod response;
mod sheet;
mod sweep;
mod theme;

pub use bars::{Bar, bars};
pub use calibration::calibration_figures;
pub use confusion::confusion;
pub use curves::{Overlay, learning_curves, published_curves};
pub use response::{Captioned, response};
pub use sweep::sweep;
pub use theme::Theme;
