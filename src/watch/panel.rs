//! The panels of a run's page: their names, numbers and frames.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use super::dashboard::{Dashboard, Freshness};
use super::number::duration;
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

    /// Draws its frame, with how old its content is, and returns the room inside.
    pub fn frame(self, dashboard: &Dashboard, area: Rect, buffer: &mut Buffer) -> Rect {
        let focused = dashboard.look.focus == self;
        let tone = if focused { Tone::Focus } else { Tone::Faint };
        let mut title = vec![
            Span::styled(format!(" {} ", self.number()), tone),
            Span::styled(format!("{} ", self.name()), if focused { Tone::Focus } else { Tone::Strong }),
        ];
        if self == Self::Log && !dashboard.look.filter.is_empty() {
            title.push(Span::styled(format!("/{} ", dashboard.look.filter), Tone::Minor));
        }
        if focused {
            title.push(Span::styled("◀ ", Tone::Focus));
        }
        let block = Block::bordered().border_style(tone).title_top(Line::from(title));
        let block = match self.freshness_mark(dashboard) {
            Some((text, tone)) => block.title_top(Line::styled(text, tone).right_aligned()),
            None => block,
        };
        let inner = block.inner(area);
        block.render(area, buffer);
        inner
    }

    fn freshness_mark(self, dashboard: &Dashboard) -> Option<(String, Tone)> {
        match dashboard.shown()?.panel_freshness(self, dashboard.shown_now()) {
            Freshness::Fresh => None,
            Freshness::Stale(age) => Some((format!(" STALE {} ", duration(age)), Tone::Minor)),
            Freshness::Record => Some((" record ".to_owned(), Tone::Faint)),
            Freshness::Absent => Some((" no data ".to_owned(), Tone::Faint)),
        }
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
