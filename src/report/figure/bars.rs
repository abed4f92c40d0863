//! Bars: the accuracy of each method on the plant, what it believed, and what others published.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::sheet::{Figure, save, text};
use super::theme::{FONT, MEDIUM, SMALL, Theme};
use crate::Error;
use crate::training::Spread;

/// Pixels left of the bars, for names.
const NAMES: i32 = 170;
/// Pixels right of the bars.
const RIGHT: i32 = 40;
/// Height of one bar and its gap.
const BAR: i32 = 34;

/// One bar.
#[derive(Debug, Clone)]
pub struct Bar {
    /// The method: its color and its name at the left, where it is the first of its kind.
    pub method: String,
    /// What the bar shows, inside or beside it.
    pub label: String,
    /// Fraction of the test set.
    pub accuracy: Spread,
    /// Whether it is our own measurement on the plant: those are solid.
    pub solid: bool,
}

struct Bars {
    bars: Vec<Bar>,
    caption: Vec<String>,
}

/// Draws the bars, one below the other, to `NAME.svg` and `NAME.png`.
pub fn bars(
    bars: Vec<Bar>,
    caption: Vec<String>,
    folder: &Path,
    name: &str,
    theme: Theme,
) -> Result<Vec<PathBuf>, Error> {
    save(&Bars { bars, caption }, folder, name, theme)
}

impl Figure for Bars {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let (width, height) = self.size();
        let ink = theme.ink();
        let place = |share: f64| NAMES + (share * f64::from(width as i32 - NAMES - RIGHT)).round() as i32;
        for percent in (0..=100).step_by(20) {
            let x = place(f64::from(percent) / 100.0);
            let line = PathElement::new([(x, 12), (x, height as i32 - 40)], ink.mix(0.15));
            area.draw(&line).map_err(text)?;
            let style = (FONT, SMALL, &ink).into_text_style(area);
            area.draw(&Text::new(format!("{percent} %"), (x - 14, height as i32 - 34), style)).map_err(text)?;
        }
        let mut previous = "";
        for (row, bar) in self.bars.iter().enumerate() {
            let y = 20 + row as i32 * BAR;
            let color = theme.method(&bar.method);
            if bar.method != previous {
                let style = (FONT, MEDIUM, &ink).into_text_style(area);
                area.draw(&Text::new(bar.method.clone(), (20, y + 4), style)).map_err(text)?;
                previous = &bar.method;
            }
            let corners = [(place(0.0), y), (place(bar.accuracy.mean), y + BAR - 8)];
            let fill = if bar.solid { color.to_rgba() } else { color.mix(0.3) };
            area.draw(&Rectangle::new(corners, fill.filled())).map_err(text)?;
            area.draw(&Rectangle::new(corners, color)).map_err(text)?;
            let Spread { mean, spread } = bar.accuracy;
            if spread > 0.0 {
                let middle = y + (BAR - 8) / 2;
                let whisker = [(place((mean - spread).max(0.0)), middle), (place((mean + spread).min(1.0)), middle)];
                area.draw(&PathElement::new(whisker, ink.stroke_width(2))).map_err(text)?;
            }
            // On light paper white is read best on a solid bar; on a faint one, ink.
            let word = if bar.solid { theme.paper() } else { ink };
            let style = (FONT, SMALL, &word).into_text_style(area);
            area.draw(&Text::new(bar.label.clone(), (place(0.0) + 8, y + 5), style)).map_err(text)?;
        }
        Ok(())
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }

    fn size(&self) -> (u32, u32) {
        (960, 66 + (BAR as u32) * self.bars.len() as u32)
    }
}
