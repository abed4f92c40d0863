//! The panel of the alarms: how bad, since when, whether the cause persists, whether somebody has seen it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::dashboard::Dashboard;
use super::number::{clock, duration, wrapped};
use super::panel::{Panel, lines};
use super::record::severity_tone;
use super::theme::Tone;
use crate::event::{Alarm, Severity};

/// The panel.
pub struct AlarmsPanel<'a>(pub &'a Dashboard);

impl Widget for AlarmsPanel<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let dashboard = self.0;
        let inner = Panel::Alarms.frame(dashboard, area, buffer);
        let Some(run) = dashboard.shown() else { return };
        let alarms = dashboard.alarms();
        if alarms.is_empty() {
            let known = run.status.is_some() || run.over();
            let text =
                if known { Line::styled("✓ none", Tone::Good) } else { Line::styled("? unknown", Tone::Invalid) };
            return lines(&[text], 0, inner, buffer);
        }
        let selected = dashboard.look.alarm.min(alarms.len() - 1);
        let focused = dashboard.look.focus == Panel::Alarms;
        let whole = focused && dashboard.look.expanded;
        let (mut rows, mut end) = (Vec::new(), 0);
        for (index, alarm) in alarms.iter().enumerate() {
            let reversed = focused && index == selected;
            rows.extend(alarm_lines(alarm, (reversed, whole), dashboard.moment(), inner.width));
            if index == selected {
                end = rows.len();
            }
        }
        let scroll = end.saturating_sub(usize::from(inner.height));
        lines(&rows, if focused { scroll } else { 0 }, inner, buffer);
    }
}

/// The mark of a severity.
pub fn severity_mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Minor => "! MINOR",
        Severity::Major => "!! MAJOR",
        Severity::Invalid => "? INVALID",
    }
}

/// One line where there is room, else two; the `whole` message on as many as it needs.
fn alarm_lines(alarm: &Alarm, (reversed, whole): (bool, bool), now: f64, width: u16) -> Vec<Line<'static>> {
    let tone = if alarm.acknowledged { Tone::Plain } else { severity_tone(alarm.severity) };
    let state = match (alarm.active, alarm.acknowledged) {
        (true, false) => "active",
        (true, true) => "active, seen",
        (false, false) => "gone, unseen",
        (false, true) => "gone, seen",
    };
    let age = duration(now - alarm.first_unix_seconds);
    let message = format!("{}: {}", alarm.source, alarm.message);
    let narrow = width < 70;
    let since = if narrow { String::new() } else { format!("{} ", clock(alarm.first_unix_seconds)) };
    let age = if narrow { age } else { format!("({age})") };
    let head = vec![
        Span::styled(format!("{} ", severity_mark(alarm.severity)), tone),
        Span::raw(format!("{since}{age} {state} ")),
    ];
    let room = usize::from(width).saturating_sub(head.iter().map(Span::width).sum());
    let mut rows = vec![Line::from(head)];
    if !narrow && (!whole || message.chars().count() <= room) {
        rows[0].push_span(Span::styled(message, tone));
    } else {
        let broken = if whole { wrapped(&message, usize::from(width).saturating_sub(2)) } else { vec![message] };
        rows.extend(broken.into_iter().map(|row| Line::from(vec![Span::raw("  "), Span::styled(row, tone)])));
    }
    if reversed {
        rows[0] = std::mem::take(&mut rows[0]).patch_style(Modifier::REVERSED);
    }
    rows
}
