//! The frames of the panels.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use super::dashboard::{Dashboard, Freshness};
use super::number::duration;
use super::panel::Panel;
use super::theme::Tone;

impl Panel {
    /// Draws its frame, with how old its content is, and returns the room inside.
    pub fn frame(self, dashboard: &Dashboard, area: Rect, buffer: &mut Buffer) -> Rect {
        let focused = dashboard.look.focus == self;
        let tone = if focused { Tone::Focus } else { Tone::Faint };
        let searches = self == Self::Training && dashboard.shown().is_some_and(|run| run.tuning().is_some());
        let name = if searches { "knobs" } else { self.name() };
        let mut title = vec![
            Span::styled(format!(" {} ", self.number()), tone),
            Span::styled(format!("{name} "), if focused { Tone::Focus } else { Tone::Strong }),
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
