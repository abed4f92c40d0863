//! The key of a figure: names of its curves in rows above the plot, where they cover no data.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::sheet::text;
use super::theme::{FONT, MEDIUM, Theme};

/// Height of a row, in pixels.
const ROW: i32 = 24;
/// Length of the piece of line before a name.
const LINE: i32 = 30;
/// Left and right of all, as the margins of the plot.
const MARGIN: i32 = 64;

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub label: String,
    /// Its color.
    pub color: RGBColor,
    /// Whether its line is broken.
    pub dashed: bool,
}

/// Draws the key at the top of `area`, and returns the room that is left for the plot.
pub fn key<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    theme: Theme,
    entries: &[Entry],
) -> Result<DrawingArea<B, Shift>, String> {
    let ink = theme.ink();
    let right = area.dim_in_pixel().0 as i32 - MARGIN / 2;
    let (mut x, mut y) = (MARGIN, 10);
    let mut places = Vec::new();
    for entry in entries {
        let style = (FONT, MEDIUM, &ink).into_text_style(area);
        let words = area.estimate_text_size(&entry.label, &style).map_err(text)?.0 as i32;
        let width = LINE + 8 + words + 24;
        if MARGIN < x && right < x + width {
            (x, y) = (MARGIN, y + ROW);
        }
        places.push((x, y));
        x += width;
    }
    let (above, below) = area.split_vertically(if entries.is_empty() { 0 } else { y + ROW });
    for (entry, (x, y)) in entries.iter().zip(places) {
        let middle = y + ROW / 2 - 7;
        let pieces: &[(i32, i32)] = if entry.dashed { &[(0, 12), (18, LINE)] } else { &[(0, LINE)] };
        for (from, to) in pieces {
            let line = PathElement::new([(x + from, middle), (x + to, middle)], entry.color.stroke_width(3));
            above.draw(&line).map_err(text)?;
        }
        let style = (FONT, MEDIUM, &ink).into_text_style(&above);
        above.draw(&Text::new(entry.label.clone(), (x + LINE + 8, y), style)).map_err(text)?;
    }
    Ok(below)
}
