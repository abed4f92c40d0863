//! The style of all figures: colors that color-blind readers tell apart, one font that comes with the program, light and
//! dark paper.

use std::sync::Once;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::training::Method;

/// The family that figures name; PNGs are drawn with the program's own.
pub const FONT: &str = "sans-serif";
/// Text height of titles and axis descriptions, in pixels.
pub const LARGE: u32 = 19;
/// Text height of numbers and legends, in pixels.
pub const MEDIUM: u32 = 17;
/// Text height of captions and of small panels, in pixels.
pub const SMALL: u32 = 15;

/// The text of figures is measured with a font that comes with the program, so that no system font is needed.
static FONTS: Once = Once::new();

/// The paper that a figure is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// Dark ink on white.
    #[default]
    Light,
    /// Light ink on near-black.
    Dark,
}

impl Theme {
    /// Registers the font; every figure does so before its first word.
    pub fn prepare(self) -> Self {
        FONTS.call_once(|| drop(register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)));
        self
    }

    /// The background.
    pub fn paper(self) -> RGBColor {
        match self {
            Self::Light => WHITE,
            Self::Dark => RGBColor(24, 26, 30),
        }
    }

    /// Text and axes.
    pub fn ink(self) -> RGBColor {
        match self {
            Self::Light => RGBColor(40, 40, 40),
            Self::Dark => RGBColor(222, 222, 222),
        }
    }

    /// The `index`th color of Okabe and Ito (2008), in an order that keeps neighbors apart; on dark paper the blue is
    /// their sky blue, which stands out there.
    pub fn series(self, index: usize) -> RGBColor {
        let blue = match self {
            Self::Light => RGBColor(0, 114, 178),
            Self::Dark => RGBColor(86, 180, 233),
        };
        let colors =
            [blue, RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167), RGBColor(230, 159, 0)];
        colors[index % colors.len()]
    }

    /// The color of a method, the same in every figure.
    pub fn method(self, name: &str) -> RGBColor {
        let place = Method::ALL.iter().position(|method| method.name() == name);
        self.series(place.unwrap_or(Method::ALL.len()))
    }

    /// A shade from the paper (0) to the first color (1), for the cells of a matrix.
    pub fn shade(self, share: f64) -> RGBColor {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        blend(self.paper(), self.series(0), share)
    }

    /// A shade from the second color (−1) over the paper (0) to the first color (1), for cells with a sign.
    pub fn signed_shade(self, share: f64) -> RGBColor {
        if share < 0.0 { blend(self.paper(), self.series(1), (-share).min(1.0)) } else { self.shade(share) }
    }
}

/// `share` of the way from one color to another.
fn blend(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let mix = |from: u8, to: u8| (f64::from(from) + share * (f64::from(to) - f64::from(from))).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_run_from_paper_to_ink_and_stay_finite() {
        for theme in [Theme::Light, Theme::Dark] {
            assert_eq!(theme.shade(0.0), theme.paper());
            assert_eq!(theme.shade(1.0), theme.series(0));
            assert_eq!(theme.shade(f64::NAN), theme.paper());
            assert_eq!(theme.signed_shade(-2.0), theme.series(1));
            assert_ne!(theme.method("physics-aware"), theme.method("in-silico"));
        }
    }
}
