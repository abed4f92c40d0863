//! The panel of the alarms: how bad, since when, whether the cause persists, whether somebody has seen it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::dashboard::Dashboard;
use super::number::{clock, duration};
use super::panel::{Panel, lines};
use super::record::severity_tone;
use super::theme::Tone;
use crate::run::{Alarm, Severity};

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
        let rows: Vec<Line<'_>> = alarms
            .iter()
            .enumerate()
            .flat_map(|(index, alarm)| {
                alarm_lines(alarm, focused && index == selected, dashboard.moment(), inner.width)
            })
            .collect();
        let each = rows.len() / alarms.len();
        let scroll = ((selected + 1) * each).saturating_sub(usize::from(inner.height));
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

/// One line where there is room, else two.
fn alarm_lines(alarm: &Alarm, selected: bool, now: f64, width: u16) -> Vec<Line<'static>> {
    let tone = if alarm.acknowledged { Tone::Plain } else { severity_tone(alarm.severity) };
    let state = match (alarm.active, alarm.acknowledged) {
        (true, false) => "active",
        (true, true) => "active, seen",
        (false, false) => "gone, unseen",
        (false, true) => "gone, seen",
    };
    let age = duration(now - alarm.first_unix_seconds);
    let head = Span::styled(format!("{} ", severity_mark(alarm.severity)), tone);
    let message = Span::styled(format!("{}: {}", alarm.source, alarm.message), tone);
    let mut rows = if width < 70 {
        vec![Line::from(vec![head, Span::raw(format!("{age} {state}"))]), Line::from(vec![Span::raw("  "), message])]
    } else {
        let since = format!("{} ({age}) {state} ", clock(alarm.first_unix_seconds));
        vec![Line::from(vec![head, Span::raw(since), message])]
    };
    if selected {
        rows[0] = std::mem::take(&mut rows[0]).patch_style(Modifier::REVERSED);
    }
    rows
}
