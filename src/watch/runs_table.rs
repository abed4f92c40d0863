//! The table of all runs of a folder: those under way first, each with how it is doing.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use super::alarms::severity_mark;
use super::dashboard::{Dashboard, FRESH_SECONDS};
use super::find::{RunRow, origin_badge};
use super::layout;
use super::number::{clock, count, duration, fit, short};
use super::record::severity_tone;
use super::theme::Tone;

/// Columns: name, how wide at least. The last takes the rest.
const COLUMNS: [(&str, u16); 9] = [
    ("state", 13),
    ("origin", 9),
    ("experiment", 18),
    ("method", 13),
    ("step", 13),
    ("plant %", 7),
    ("steps/s", 7),
    ("alarms", 10),
    ("run", 20),
];

/// The title.
pub fn title(dashboard: &Dashboard, area: Rect, buffer: &mut Buffer) {
    let rows = &dashboard.table.rows;
    let active: Vec<&RunRow> = rows.iter().filter(|row| row.active()).collect();
    let origins: Vec<&str> =
        active.iter().flat_map(|row| row.facts.plants.iter().map(|plant| plant.origin.as_str())).collect();
    let mut left = vec![Span::styled(" pnnlab ", Tone::Badge), Span::raw(" ")];
    if !active.is_empty() {
        left.push(Span::styled(format!(" {} ", origin_badge(&origins)), Tone::Badge));
    }
    left.push(Span::styled(format!(" {} active of {} runs ", active.len(), rows.len()), Tone::Strong));
    let right = format!(" {} UTC ", clock(dashboard.now));
    let used: usize = left.iter().map(Span::width).sum::<usize>() + right.len();
    let folder = dashboard.table.folder.display().to_string();
    left.push(Span::styled(fit(&format!("in {folder}"), usize::from(area.width).saturating_sub(used)), Tone::Faint));
    Line::from(left).render(area, buffer);
    Line::styled(right, Tone::Faint).right_aligned().render(area, buffer);
}

/// The worst alarm of all that runs.
pub fn second_line(dashboard: &Dashboard, width: u16) -> Line<'static> {
    let alarms = dashboard.table.rows.iter().filter_map(|row| {
        let alarms = &row.status.as_ref()?.alarms;
        let worst = alarms.iter().filter(|alarm| !alarm.acknowledged).max_by_key(|alarm| alarm.severity)?;
        Some((row, worst))
    });
    match alarms.max_by_key(|(_, alarm)| alarm.severity) {
        Some((row, alarm)) => {
            let text =
                format!(" {} in {}: {}: {}", severity_mark(alarm.severity), row.name, alarm.source, alarm.message);
            Line::styled(fit(&text, usize::from(width)), severity_tone(alarm.severity))
        }
        None => Line::styled(" Active runs first. silent: it does not answer. lost: its process is gone.", Tone::Faint),
    }
}

/// The table in `body` of a terminal of size `area`.
pub fn draw(dashboard: &Dashboard, body: Rect, area: Rect, buffer: &mut Buffer) {
    let mut title = vec![Span::styled(" runs ", Tone::Focus)];
    if !dashboard.table.filter.is_empty() {
        let (left, all) = (dashboard.table.visible().count(), dashboard.table.rows.len());
        title.push(Span::styled(format!("/{} ({left} of {all}) ", dashboard.table.filter), Tone::Minor));
    }
    let block = Block::bordered().border_style(Tone::Focus).title_top(Line::from(title));
    let inner = block.inner(body);
    block.render(body, buffer);
    let [heading, _] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(inner);
    let widths = widths(inner.width);
    // Of several objectives each score has its own unit; a number without one is an error.
    let mut kinds = dashboard.table.rows.iter().map(RunRow::kind);
    let all_in_percent = kinds.all(|kind| kind.score().in_percent);
    for ((name, _), area) in COLUMNS.iter().zip(columns(heading, &widths)) {
        let name = if all_in_percent { name } else { name.trim_end_matches(" %") };
        Line::styled(name, Tone::Faint).render(area, buffer);
    }
    let rows = layout::table_rows(dashboard, area);
    let visible: Vec<&RunRow> = dashboard.table.visible().collect();
    if visible.is_empty() {
        let text = match (dashboard.table.read, dashboard.table.filter.is_empty()) {
            (false, _) => "Looking for runs…",
            (true, true) => "No runs here yet: `pnnlab train` makes one, and it appears by itself.",
            (true, false) => "No run holds the filter's text.",
        };
        return Line::styled(text, Tone::Plain).render(rows, buffer);
    }
    let start = layout::table_start(dashboard, usize::from(rows.height));
    for ((index, row), area) in visible.iter().enumerate().skip(start).zip(rows.rows()) {
        for (text, cell) in cells(row, dashboard.now, all_in_percent).into_iter().zip(columns(area, &widths)) {
            text.render(cell, buffer);
        }
        if index == dashboard.table.selected {
            buffer.set_style(area, Modifier::REVERSED);
        }
    }
}

/// Columns that fit: the state always, then from the left; the run's name takes the rest.
fn widths(width: u16) -> Vec<u16> {
    let last = COLUMNS.len() - 1;
    let mut widths: Vec<u16> = COLUMNS.iter().map(|(_, width)| *width).collect();
    // Where there is little room, method, experiment, speed and origin go, in this order: a run's name says the first two as well.
    for index in [3, 2, 6, 1] {
        let sum: u16 = widths.iter().map(|width| width + u16::from(0 < *width)).sum::<u16>() - 1;
        if width < sum {
            widths[index] = 0;
        }
    }
    let sum: u16 = widths[..last].iter().map(|width| if *width == 0 { 0 } else { width + 1 }).sum();
    widths[last] = width.saturating_sub(sum);
    widths
}

fn columns(area: Rect, widths: &[u16]) -> Vec<Rect> {
    let mut x = area.x;
    widths
        .iter()
        .map(|&width| {
            let cell =
                Rect { x, width: width.min(area.right().saturating_sub(x)), height: area.height.min(1), y: area.y };
            x = (x + width + u16::from(width > 0)).min(area.right());
            cell
        })
        .collect()
}

fn cells(row: &RunRow, now: f64, all_in_percent: bool) -> Vec<Line<'static>> {
    let facts = &row.facts;
    let origins: Vec<&str> = facts.plants.iter().map(|plant| plant.origin.as_str()).collect();
    let origin = match origin_badge(&origins) {
        "SIMULATED" => "SIMULATED",
        "REAL BENCH" => "REAL",
        "REPLAYED PLANT" => "REPLAYED",
        "ORIGIN UNKNOWN" => "unknown",
        _ => "mixed",
    };
    let (mark, tone) = match row.state().as_str() {
        "running" => ("▶", Tone::Good),
        "paused" | "stopping" => ("■", Tone::Minor),
        "silent" => ("?", Tone::Invalid),
        "finished" => ("✓", Tone::Plain),
        _ => ("✗", Tone::Plain),
    };
    let status = row.status.as_ref().filter(|_| row.active());
    let age = status.map(|status| now - status.unix_seconds).filter(|age| FRESH_SECONDS < *age);
    let state = age.map_or(format!("{mark} {}", row.state()), |age| format!("{mark} old {}", duration(age)));
    let step = match status {
        Some(status) => format!("{}/{}", count(status.training.step as u64), count(status.training.steps as u64)),
        None => String::new(),
    };
    let tried = status.map_or(facts.tried, |status| status.training.tried).plant;
    let speed = status.and_then(|status| status.training.steps_per_second);
    let alarms = status.map_or(Line::default(), |status| {
        let unseen = status.alarms.iter().filter(|alarm| !alarm.acknowledged);
        match unseen.clone().max_by_key(|alarm| alarm.severity) {
            Some(worst) => {
                let text = format!("{} {}", unseen.count(), severity_mark(worst.severity));
                Line::styled(text, severity_tone(worst.severity))
            }
            None => Line::styled("none", Tone::Good),
        }
    });
    vec![
        Line::styled(state, tone),
        Line::from(origin),
        Line::from(fit(&facts.experiment, usize::from(COLUMNS[2].1))),
        Line::from(fit(&facts.method, usize::from(COLUMNS[3].1))),
        Line::from(step),
        Line::from(tried.map_or("-".to_owned(), |scores| match (scores.kind().score(), all_in_percent) {
            (score, true) => score.number(scores.first()),
            (score, false) => score.show(scores.first()),
        })),
        Line::from(speed.map_or(String::new(), short)),
        alarms,
        Line::styled(row.name.clone(), Tone::Faint),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Tried;
    use crate::scores::{ObjectiveKind, Scores};
    use crate::watch::holder::Holder;
    use crate::watch::record::Facts;

    #[test]
    fn beside_errors_an_accuracy_has_its_unit() {
        let cell = |kind: ObjectiveKind, value: f64, all_in_percent: bool| {
            let tried = Tried { kind, plant: Some(Scores::new(kind, &[value])), believed: None };
            let facts = Facts { tried, ..Facts::default() };
            let row = RunRow { folder: "a".into(), name: "a".into(), facts, status: None, holder: Holder::Unknown };
            cells(&row, 0.0, all_in_percent)[5].to_string()
        };
        assert_eq!(cell(ObjectiveKind::Classify, 0.885, true), "88.5");
        assert_eq!(cell(ObjectiveKind::Classify, 0.885, false), "88.5 %");
        assert_eq!(cell(ObjectiveKind::Regress, 0.4121, false), "0.412");
    }
}
