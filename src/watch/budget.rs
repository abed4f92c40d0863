//! The panel of the budget: shots, bench time and wall time, spent and planned.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::dashboard::{Dashboard, RunView};
use super::number::{bytes, count, duration};
use super::panel::{Panel, lines, pair};
use super::plot::progress_bar;
use super::theme::Tone;
use crate::control::Budget;

/// The panel.
pub struct BudgetPanel<'a>(pub &'a Dashboard);

impl Widget for BudgetPanel<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let inner = Panel::Budget.frame(self.0, area, buffer);
        let Some(run) = self.0.shown() else { return };
        if !run.known() {
            return lines(&[Line::styled("Nothing is known yet.", Tone::Faint)], 0, inner, buffer);
        }
        let cursor = self.0.look.cursor.filter(|_| run.over());
        let text = match (&run.status, cursor) {
            (Some(status), None) => {
                let left = status.budget.wall_seconds_left.filter(|_| !run.over());
                text(&Budget { wall_seconds_left: left, ..status.budget }, inner.width)
            }
            (status, _) => match recorded(run, cursor.unwrap_or(run.span().1), status.as_ref().map(|s| s.budget)) {
                Some(budget) => text(&budget, inner.width),
                None => vec![Line::styled("The record is being read…", Tone::Faint)],
            },
        };
        lines(&text, self.0.scroll_of(Panel::Budget), inner, buffer);
    }
}

/// What the record says had been spent at `step`, of all that was; nothing while its rows are being read.
fn recorded(run: &RunView, step: u64, known: Option<Budget>) -> Option<Budget> {
    let row = run.row_at(step)?;
    let end = run.history.last.unwrap_or_default();
    let known = known.unwrap_or_default();
    // The last test comes after the last update.
    let shots = (end.shots.unwrap_or(0.0) as u64).max(run.facts.shots.unwrap_or(0));
    let plant_seconds = end.plant_seconds.unwrap_or(0.0).max(run.facts.plant_seconds.unwrap_or(0.0));
    let at_end = run.span().1 <= step;
    // A run that did not finish has not done all that was planned, and its record does not say how much that was.
    let finished = run.facts.state == "finished";
    let planned = |said: f64, done: f64| if at_end && !finished { said } else { said.max(done) };
    Some(Budget {
        shots: planned(known.shots as f64, shots as f64) as u64,
        shots_taken: if at_end { shots } else { row.shots.unwrap_or(0.0) as u64 },
        plant_seconds: planned(known.plant_seconds, plant_seconds),
        plant_seconds_spent: if at_end { plant_seconds } else { row.plant_seconds.unwrap_or(0.0) },
        wall_seconds: run.time_of(step).map_or(0.0, |time| (time - run.facts.started_unix_seconds).max(0.0)),
        wall_seconds_left: None,
        record_bytes: known.record_bytes,
    })
}

fn text(budget: &Budget, width: u16) -> Vec<Line<'static>> {
    let wide = 60 <= width;
    let share = |done: f64, all: f64| if 0.0 < all { done / all } else { 0.0 };
    let line = |name: &str, value: String, fraction: f64| {
        let mut spans = pair(name, value, Tone::Plain).to_vec();
        let used: usize = spans.iter().map(Span::width).sum();
        let room = usize::from(width).saturating_sub(used + 6);
        if 4 <= room && 0.0 < fraction {
            spans.push(progress_bar(fraction, room.min(if wide { 40 } else { 10 })));
            spans.push(Span::raw(format!(" {:.0} %", 100.0 * fraction)));
        }
        Line::from(spans)
    };
    let of = |planned: Option<String>| planned.map_or(String::new(), |planned| format!(" of {planned}"));
    let shots = count(budget.shots_taken) + &of((0 < budget.shots).then(|| count(budget.shots)));
    let planned = (0.0 < budget.plant_seconds).then(|| duration(budget.plant_seconds));
    let bench = duration(budget.plant_seconds_spent) + &of(planned);
    let mut wall = pair("here", duration(budget.wall_seconds), Tone::Plain).to_vec();
    wall.extend(pair("left", budget.wall_seconds_left.map_or("-".to_owned(), duration), Tone::Plain));
    let record = pair("record", bytes(budget.record_bytes), Tone::Plain);
    if 0 < budget.record_bytes && wall.iter().chain(&record).map(Span::width).sum::<usize>() <= usize::from(width) + 2 {
        wall.extend(record);
    }
    let name = if wide { "bench time" } else { "bench" };
    vec![
        Line::from(wall),
        line("shots", shots, share(budget.shots_taken as f64, budget.shots as f64)),
        line(name, bench, share(budget.plant_seconds_spent, budget.plant_seconds)),
    ]
}
