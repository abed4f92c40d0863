//! Bars: the score of each method on the plant, what it believed, and what others published.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::sheet::{Figure, save, text};
use super::theme::{FONT, MEDIUM, SMALL, Theme};
use crate::Error;
use crate::scores::Score;
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
    /// The score, of the test set.
    pub value: Spread,
    /// Whether it is our own measurement on the plant: those are solid.
    pub solid: bool,
}

struct Bars {
    score: &'static Score,
    rows: Vec<Bar>,
    caption: Vec<String>,
}

/// Draws the bars, one below the other, to `NAME.svg` and `NAME.png`.
pub fn bars(
    score: &'static Score,
    bars: Vec<Bar>,
    caption: Vec<String>,
    (folder, name): (&Path, &str),
    theme: Theme,
) -> Result<Vec<PathBuf>, Error> {
    save(&Bars { score, rows: bars, caption }, folder, name, theme)
}

impl Bars {
    /// The longest bar that there can be: a whole, or what holds all of an error.
    fn most(&self) -> f64 {
        let ends = self.rows.iter().map(|bar| bar.value.mean + bar.value.spread).filter(|end| end.is_finite());
        if self.score.in_percent { 1.0 } else { ends.fold(1.0, f64::max) }
    }
}

impl Figure for Bars {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let (width, height) = self.size();
        let ink = theme.ink();
        let most = self.most();
        let place = |value: f64| NAMES + (value / most * f64::from(width as i32 - NAMES - RIGHT)).round() as i32;
        for tick in 0..=5_i32 {
            let value = most * f64::from(tick) / 5.0;
            let x = place(value);
            let line = PathElement::new([(x, 12), (x, height as i32 - 40)], ink.mix(0.15));
            area.draw(&line).map_err(text)?;
            let style = (FONT, SMALL, &ink).into_text_style(area);
            let words = if self.score.in_percent { format!("{:.0} %", 100.0 * value) } else { format!("{value:.1}") };
            area.draw(&Text::new(words, (x - 14, height as i32 - 34), style)).map_err(text)?;
        }
        let mut previous = "";
        for (row, bar) in self.rows.iter().enumerate() {
            let y = 20 + row as i32 * BAR;
            let color = theme.method(&bar.method);
            if bar.method != previous {
                let style = (FONT, MEDIUM, &ink).into_text_style(area);
                area.draw(&Text::new(bar.method.clone(), (20, y + 4), style)).map_err(text)?;
                previous = &bar.method;
            }
            let corners = [(place(0.0), y), (place(bar.value.mean.clamp(0.0, most)), y + BAR - 8)];
            let fill = if bar.solid { color.to_rgba() } else { color.mix(0.3) };
            area.draw(&Rectangle::new(corners, fill.filled())).map_err(text)?;
            area.draw(&Rectangle::new(corners, color)).map_err(text)?;
            let Spread { mean, spread } = bar.value;
            if spread > 0.0 {
                let middle = y + (BAR - 8) / 2;
                let whisker = [(place((mean - spread).max(0.0)), middle), (place((mean + spread).min(most)), middle)];
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
        (960, 66 + (BAR as u32) * self.rows.len() as u32)
    }
}
