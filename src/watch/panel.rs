//! The panels of a run's page: their names and numbers, and what they are written with.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::theme::Tone;

/// A panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Panel {
    /// Instruments and their links.
    Bench,
    /// What the plant was driven with, and what it read.
    Plant,
    /// Curves and figures of the training.
    #[default]
    Training,
    /// The fits behind the twins.
    Calibration,
    /// What somebody must see.
    Alarms,
    /// What happened.
    Log,
    /// What it costs.
    Budget,
}

impl Panel {
    /// All, by number.
    pub const ALL: [Self; 7] =
        [Self::Bench, Self::Plant, Self::Training, Self::Calibration, Self::Alarms, Self::Log, Self::Budget];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bench => "bench",
            Self::Plant => "plant",
            Self::Training => "training",
            Self::Calibration => "calibration",
            Self::Alarms => "alarms",
            Self::Log => "log",
            Self::Budget => "budget",
        }
    }

    /// Its key.
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|panel| *panel == self).unwrap_or_default() + 1
    }

    /// The one `by` places further, around the end.
    pub fn next(self, by: isize) -> Self {
        let count = Self::ALL.len() as isize;
        Self::ALL[(self.number() as isize - 1 + by).rem_euclid(count) as usize]
    }
}

/// Draws lines from the top of `area`; when they do not fit, the frame below, or else the last line, says how many more there are.
pub fn lines(lines: &[Line<'_>], scroll: usize, area: Rect, buffer: &mut Buffer) {
    let room = usize::from(area.height);
    let scroll = scroll.min(lines.len().saturating_sub(room));
    for (line, row) in lines[scroll..].iter().zip(area.rows()) {
        whole_or_marked(line, row, buffer);
    }
    let rest = lines.len() - scroll;
    if rest > room {
        more(rest - room, area, buffer);
    }
}

/// Says below `area` that there are `count` more lines: in the frame, so that it hides nothing, or else over the last line.
pub fn more(count: usize, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let below = Position::new(area.right() - 1, area.bottom());
    let framed = buffer.cell(below).is_some_and(|cell| cell.symbol() == "─");
    let row = Rect { y: if framed { area.bottom() } else { area.bottom() - 1 }, height: 1, ..area };
    Line::styled(format!(" +{count} ▼ "), Tone::Focus).right_aligned().render(row, buffer);
}

/// Draws a line; one that is too long ends with `…`.
pub fn whole_or_marked(line: &Line<'_>, row: Rect, buffer: &mut Buffer) {
    line.render(row, buffer);
    let blank = |span: &Span<'_>| span.content.chars().rev().take_while(|letter| *letter == ' ').count();
    let width = line.width() - line.spans.last().map_or(0, blank);
    if usize::from(row.width) < width && !row.is_empty() {
        buffer[(row.right() - 1, row.y)].set_symbol("…");
    }
}

/// A name and its value.
pub fn pair(name: &str, value: impl Into<String>, tone: Tone) -> [Span<'static>; 2] {
    [Span::styled(format!("{name} "), Tone::Faint), Span::styled(format!("{}  ", value.into()), tone)]
}
