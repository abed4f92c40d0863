//! The panel of the log: what happened, the newest last; a filter leaves the lines that hold its text.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::dashboard::Dashboard;
use super::number::clock;
use super::panel::{Panel, more, whole_or_marked};
use super::record::LogLine;
use super::theme::Tone;

/// The panel.
pub struct LogPanel<'a>(pub &'a Dashboard);

impl Widget for LogPanel<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let dashboard = self.0;
        let inner = Panel::Log.frame(dashboard, area, buffer);
        let lines: Vec<&LogLine> = dashboard.log_lines();
        if lines.is_empty() {
            let text =
                if dashboard.look.filter.is_empty() { "Nothing yet." } else { "No line holds the filter's text." };
            return Line::styled(text, Tone::Faint).render(inner, buffer);
        }
        let room = usize::from(inner.height);
        let back = dashboard.look.log_back.min(lines.len().saturating_sub(room));
        let end = lines.len() - back;
        let shown = &lines[end.saturating_sub(room)..end];
        for (line, row) in shown.iter().zip(inner.rows()) {
            let time = if line.unix_seconds.is_finite() { clock(line.unix_seconds) } else { "--:--:--".to_owned() };
            let spans = vec![Span::styled(format!("{time} "), Tone::Faint), Span::styled(line.text.clone(), line.tone)];
            whole_or_marked(&Line::from(spans), row, buffer);
        }
        if 0 < back {
            more(back, inner, buffer);
        }
    }
}

impl Dashboard {
    /// The lines that the filter leaves; of a record, those up to the slider.
    pub fn log_lines(&self) -> Vec<&LogLine> {
        let Some(run) = self.shown() else { return Vec::new() };
        let wanted = self.look.filter.to_lowercase();
        // At the end of the slider stands what came after the last step as well.
        let until = run.until(self.look.cursor);
        let wanted = |line: &&LogLine| wanted.is_empty() || line.text.to_lowercase().contains(&wanted);
        let in_time = |line: &&LogLine| until.is_none_or(|until| line.unix_seconds <= until);
        run.log.lines.iter().filter(wanted).filter(in_time).collect()
    }
}
