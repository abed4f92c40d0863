//! A search for the settings of knobs, in the place of the training: how many signatures were read, how far each was from the reference, the best so
//! far, where each knob stands in its range, and the path.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::dashboard::{Dashboard, RunView};
use super::number::{count, short};
use super::panel::{Panel, lines, pair};
use super::plot::{Curve, limit_bar, plot, progress_bar};
use super::slider::{cursor_points, slider_line};
use super::theme::Tone;
use crate::control::{KnobStatus, TuningStatus};
use crate::output::unit_behind;

/// Rows that the path needs with its title.
const PATH_ROWS: u16 = 4;
/// Columns of the bar of a knob, at least and at most.
const BAR: (usize, usize) = (9, 40);

impl RunView {
    /// How the search goes, or went, where it is one.
    pub fn tuning(&self) -> Option<&TuningStatus> {
        self.status.as_ref().and_then(|status| status.tuning.as_ref()).or(self.facts.tuning.as_ref())
    }
}

/// Draws a search.
pub fn draw_search(dashboard: &Dashboard, run: &RunView, tuning: &TuningStatus, area: Rect, buffer: &mut Buffer) {
    let cursor = dashboard.look.cursor.filter(|_| run.over());
    let text = figures(tuning, cursor.and_then(|step| Some((step, run.row_at(step)?.loss?))), area.width);
    let slider = u16::from(run.over());
    // Where there is room, half of it is the path's.
    let least = if PATH_ROWS + 5 < area.height { PATH_ROWS } else { 0 };
    let head = (text.len() as u16).min(area.height.saturating_sub(slider + least));
    let rows = [Constraint::Length(head), Constraint::Length(slider), Constraint::Fill(1)];
    let [figures, slide, path] = Layout::vertical(rows).areas(area);
    lines(&text, dashboard.scroll_of(Panel::Training), figures, buffer);
    if slider == 1 {
        slider_line(dashboard, run, slide.width).render(slide, buffer);
    }
    draw_path(dashboard, run, path, buffer);
}

/// The lines above the path; `at` is the signature where the slider stands, with its distance.
fn figures(tuning: &TuningStatus, at: Option<(u64, f64)>, width: u16) -> Vec<Line<'static>> {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), short);
    let (done, distance) = at.map_or((tuning.evaluations as u64, tuning.distance), |(step, own)| (step, Some(own)));
    let share = if tuning.planned == 0 { 0.0 } else { done as f64 / tuning.planned as f64 };
    let signatures = format!("{}/{}", count(done), count(tuning.planned as u64));
    let mut first = pair("signature", signatures, Tone::Strong).to_vec();
    first.push(Span::raw(format!("{}  ", tuning.stage)));
    let used: usize = first.iter().map(Span::width).sum();
    if let Some(room) = usize::from(width).checked_sub(used + 6).filter(|room| 4 < *room) {
        first.push(progress_bar(share, room.min(40)));
        first.push(Span::raw(format!(" {:.0} %", 100.0 * share)));
    }
    let mut second = pair("distance", number(distance), Tone::First).to_vec();
    second.extend(pair("best", number(tuning.best), Tone::Second));
    second.extend(pair("start", number(tuning.start), Tone::Plain));
    if let Some(noise) = tuning.noise {
        second.extend(pair("noise", short(noise), Tone::Plain));
    }
    let mut text = vec![Line::from(first), Line::from(second)];
    match tuning.is_better {
        Some(true) => text.push(Line::styled("kept: better than the start", Tone::Good)),
        Some(false) => text.push(Line::styled("nothing was better: the knobs are where they were", Tone::Minor)),
        None => {}
    }
    let widest = tuning.knobs.iter().map(|knob| knob.name.chars().count()).max().unwrap_or(0);
    text.extend(tuning.knobs.iter().map(|knob| knob_line(knob, widest, width)));
    text
}

/// Where a knob stands in its range, the best setting behind it.
fn knob_line(knob: &KnobStatus, widest: usize, width: u16) -> Line<'static> {
    let unit = unit_behind(&knob.unit);
    let mut words = vec![Span::styled(format!("now {}{unit}  ", short(f64::from(knob.now))), Tone::First)];
    words.extend(pair("best", short(f64::from(knob.best)), Tone::Second));
    // Of a knob that the signature does not see that is what matters most.
    match knob.seen {
        Some(false) => words.push(Span::styled("! not seen", Tone::Minor)),
        _ => words.extend(pair("start", short(f64::from(knob.start)), Tone::Plain)),
    }
    let used: usize = words.iter().map(Span::width).sum();
    let room = usize::from(width).saturating_sub(used + widest + 2);
    let mut spans = vec![Span::styled(format!("{:widest$} ", knob.name), Tone::Faint)];
    if BAR.0 <= room {
        let range = (f64::from(knob.low), f64::from(knob.high));
        spans.push(limit_bar(f64::from(knob.now), Some(f64::from(knob.best)), range, room.min(BAR.1)));
        spans.push(Span::raw(" "));
    }
    spans.extend(words);
    Line::from(spans)
}

/// The distance of each signature, and the best until then.
fn draw_path(dashboard: &Dashboard, run: &RunView, area: Rect, buffer: &mut Buffer) {
    let Some((from, to)) = dashboard.window().filter(|_| PATH_ROWS <= area.height) else { return };
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let mut distances = run.history.loss(from, to, usize::from(body.width) * 2);
    let of = |fold: fn(f64, f64) -> f64| distances.iter().map(|point| point.1).reduce(fold);
    let (Some(low), Some(high)) = (of(f64::min), of(f64::max)) else { return };
    let is_logarithmic = 0.0 < low;
    let scale = if is_logarithmic { " log" } else { "" };
    let title = vec![
        Span::styled("distance", Tone::First),
        Span::raw(" and "),
        Span::styled("best", Tone::Second),
        Span::styled(
            format!(", {} … {}{scale}, {} to {}", short(low), short(high), count(from), count(to)),
            Tone::Faint,
        ),
    ];
    Line::from(title).render(head, buffer);
    let place = |value: f64| if is_logarithmic { value.log10() } else { value };
    for point in &mut distances {
        point.1 = place(point.1);
    }
    let mut least = f64::INFINITY;
    let best: Vec<(f64, f64)> = distances
        .iter()
        .map(|&(at, distance)| {
            least = least.min(distance);
            (at, least)
        })
        .collect();
    let (bottom, top) = (place(low), place(high));
    let bounds = if bottom < top { [bottom, top] } else { [bottom - 0.5, top + 0.5] };
    let marker = cursor_points(dashboard, bounds);
    let curves = [
        Curve { points: &distances, tone: Tone::First },
        Curve { points: &best, tone: Tone::Second },
        Curve { points: &marker, tone: Tone::Focus },
    ];
    plot(&curves, [from as f64, to.max(from + 1) as f64], bounds, body, buffer);
}

#[cfg(test)]
mod tests {
    use super::super::golden::{LARGE, NOW, SMALL, dashboard, picture, status};
    use super::*;
    use crate::control::Status;

    fn search() -> TuningStatus {
        let knob = |name: &str, unit: &str, now: f32, best: f32| KnobStatus {
            name: name.into(),
            unit: unit.into(),
            low: -0.5,
            high: 0.5,
            start: 0.0,
            now,
            best,
            seen: None,
        };
        TuningStatus {
            evaluations: 45,
            planned: 120,
            stage: "pattern search".into(),
            distance: Some(0.412),
            best: Some(0.103),
            start: Some(0.62),
            knobs: vec![knob("bias", "V", 0.1, -0.12), knob("gain", "1", -0.5, 0.25)],
            ..TuningStatus::default()
        }
    }

    #[test]
    fn a_search_shows_how_far_it_is_its_best_and_where_each_knob_stands() {
        let mut live = dashboard("normal");
        live.take_status(Status { tuning: Some(search()), ..status(NOW - 0.4) });
        let text = picture(&live, SMALL);
        for words in ["3 knobs", "signature 45/120", "pattern search", "distance 0.412", "best 0.103", "start 0.620"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.contains("now 0.100 V") && text.contains("best -0.120"), "{text}");
    }

    #[test]
    fn the_record_of_a_search_says_what_is_kept_and_which_knob_was_not_seen() {
        let mut over = dashboard("over");
        let run = over.run.as_mut().unwrap();
        let mut found = TuningStatus { is_better: Some(true), noise: Some(0.004), stage: "done".into(), ..search() };
        found.knobs[1].seen = Some(false);
        run.facts.tuning = Some(found);
        let text = picture(&over, LARGE);
        assert!(text.contains("kept: better than the start") && text.contains("noise 0.004"), "{text}");
        assert!(text.contains("! not seen") && text.contains("●"), "{text}");
    }
}
