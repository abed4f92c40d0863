//! The time slider of a record: its line, and where it stands in a plot.

use ratatui::text::{Line, Span};

use super::dashboard::{Dashboard, RunView};
use super::number::{count, duration};
use super::theme::Tone;

/// Where the slider stands, and when that was.
pub fn slider_line(dashboard: &Dashboard, run: &RunView, width: u16) -> Line<'static> {
    let (first, last) = run.span();
    let at = dashboard.look.cursor.unwrap_or(last);
    let sign = if dashboard.look.playing { "▶" } else { "■" };
    let elapsed = run.time_of(at).map(|time| time - run.facts.started_unix_seconds).filter(|time| *time >= 0.0);
    let time = elapsed.map_or(String::new(), |time| format!(" {}", duration(time)));
    let text = format!("{sign} {}{time} ", count(at));
    let room = usize::from(width).saturating_sub(text.chars().count()).max(3);
    let part = if first < last { (at.saturating_sub(first)) as f64 / (last - first) as f64 } else { 1.0 };
    let place = (part * (room - 1) as f64).round() as usize;
    let bar: String = (0..room).map(|index| if index == place { '●' } else { '─' }).collect();
    Line::from(vec![Span::styled(text, Tone::Strong), Span::styled(bar, Tone::Focus)])
}

/// An upright line where the slider stands.
pub fn cursor_points(dashboard: &Dashboard, bounds: [f64; 2]) -> Vec<(f64, f64)> {
    let cursor = dashboard.look.cursor.filter(|_| dashboard.shown().is_some_and(RunView::over));
    cursor.map_or(Vec::new(), |step| bounds.map(|value| (step as f64, value)).to_vec())
}
