//! What lies over a page: the keys, and the question before a run is stopped. `!` works over both.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use super::dashboard::Dashboard;
use super::panel::lines;
use super::theme::Tone;

/// Keys and what they do; those without a key go on with the line above.
const KEYS: &[(&str, &str)] = &[
    ("!", "SAFE: this run's plants go to their safe state; it pauses;"),
    ("", "in the table every active run's. Anywhere, without asking"),
    ("p", "pause before the next step; resume"),
    ("s", "stop after this step and finish the record; asks first"),
    ("a", "acknowledge the selected alarm, else the one in line two"),
    ("q  Ctrl-C", "leave the dashboard; the run goes on"),
    ("1 … 7", "bench, plant, training, calibration, alarms, log, budget"),
    ("8  Esc", "all runs; Esc first takes back filter, expanding, freezing"),
    ("9", "nothing: there are seven panels"),
    ("Tab  Shift-Tab", "next, previous panel; a click chooses one"),
    ("e  Enter", "expand the panel to the whole page, and back"),
    ("↑↓ jk  wheel", "scroll or select in the panel; PgUp, PgDn by ten"),
    ("←→ hl", "other plant; time slider, once a run is over; else panel"),
    ("g  G", "first, last line; start, end of the time slider"),
    ("+  -", "zoom the curves in time"),
    ("w", "waveforms or spectra"),
    ("f", "freeze the picture; the run goes on, alarms still show"),
    ("/", "filter the log, or the runs"),
    ("space  H L", "play the record by itself; slide by ten"),
    ("?  F1", "this"),
];

/// Columns of the help, with its frame.
const WIDTH: u16 = 78;

/// A window of at most `width` times `height` in the middle, emptied.
fn window(title: &'static str, (width, height): (u16, u16), area: Rect, buffer: &mut Buffer) -> Rect {
    let [area] = Layout::vertical([Constraint::Max(height)]).flex(ratatui::layout::Flex::Center).areas(area);
    let [area] = Layout::horizontal([Constraint::Max(width)]).flex(ratatui::layout::Flex::Center).areas(area);
    Clear.render(area, buffer);
    let block = Block::bordered().border_style(Tone::Focus).title_top(Line::styled(title, Tone::Focus));
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

/// The keys.
pub fn help(scroll: usize, area: Rect, buffer: &mut Buffer) {
    let text: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(key, what)| Line::from(vec![Span::styled(format!(" {key:15}"), Tone::Focus), Span::raw(*what)]))
        .collect();
    let inner = window(" keys ", (WIDTH, KEYS.len() as u16 + 2), area, buffer);
    lines(&text, scroll, inner, buffer);
}

/// Whether to stop the run.
pub fn confirm_stop(dashboard: &Dashboard, area: Rect, buffer: &mut Buffer) {
    let name = dashboard.run.as_ref().map_or_else(String::new, super::dashboard::RunView::name);
    let text = [
        Line::styled(format!(" Stop {name}"), Tone::Strong),
        Line::from(" after this step, and finish its record?"),
        Line::default(),
        Line::from(vec![Span::styled(" y ", Tone::Badge), Span::raw(" stops it; any other key lets it go on")]),
    ];
    let inner = window(" stop? ", (60, text.len() as u16 + 2), area, buffer);
    lines(&text, 0, inner, buffer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_help_is_cut_and_all_of_it_fits_24_rows() {
        for (key, what) in KEYS {
            let width = 1 + key.chars().count().max(15) + what.chars().count();
            assert!(width <= usize::from(WIDTH) - 2, "{what}");
        }
        assert!(KEYS.len() + 2 <= 24);
    }
}
