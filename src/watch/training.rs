//! The panel of the training: how far, how good on the plant and as believed, how well the twin fits, where the time goes, and the
//! curves of the loss and of the score that decides.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::dashboard::{Dashboard, RunView};
use super::history::Test;
use super::number::{count, percent, short};
use super::panel::{Panel, lines, pair};
use super::picture::beside;
use super::plot::{Curve, plot, progress_bar};
use super::record::{StepSeconds, value_at};
use super::slider::{cursor_points, slider_line};
use super::theme::Tone;
use super::tuning::draw_search;
use crate::control::{TrainingStatus, Tried, TriedOn};
use crate::scores::{ObjectiveKind, Scores};

/// Rows that a curve needs with its title.
const CURVE_ROWS: u16 = 4;

/// The panel.
pub struct TrainingPanel<'a>(pub &'a Dashboard);

impl Widget for TrainingPanel<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let dashboard = self.0;
        let inner = Panel::Training.frame(dashboard, area, buffer);
        let Some(run) = dashboard.shown() else { return };
        if !run.known() {
            return lines(&[Line::styled("Nothing is known yet.", Tone::Faint)], 0, inner, buffer);
        }
        if let Some(tuning) = run.tuning() {
            return draw_search(dashboard, run, tuning, inner, buffer);
        }
        let cursor = dashboard.look.cursor.filter(|_| run.over());
        let (training, test) = match (cursor, &run.status) {
            (Some(step), _) => recorded(run, step),
            (None, Some(status)) if run.over() => {
                let (said, recorded) = (status.training, recorded(run, run.span().1).0);
                // A run that died has recorded more than it said; one that has just ended has said more than was read yet.
                let newest = if said.step <= recorded.step { recorded } else { said };
                let training = TrainingStatus {
                    twin_residual: said.twin_residual.or(recorded.twin_residual),
                    drift_score: said.drift_score.or(recorded.drift_score),
                    time_shares: recorded.time_shares.or(said.time_shares),
                    steps_per_second: None,
                    ..newest
                };
                (training, run.history.last_test)
            }
            (None, Some(status)) => (status.training, run.history.last_test),
            (None, None) => recorded(run, run.span().1),
        };
        let mut text = figures(&training, test, inner.width);
        let slider = u16::from(run.over());
        // A curve is worth more than where the time went, and than the use of the range.
        while 3 < text.len() && inner.height < text.len() as u16 + slider + CURVE_ROWS {
            text.pop();
        }
        let head = (text.len() as u16).min(inner.height.saturating_sub(slider));
        let rows = [Constraint::Length(head), Constraint::Length(slider), Constraint::Fill(1)];
        let [figures, slide, curves] = Layout::vertical(rows).areas(inner);
        lines(&text, dashboard.scroll_of(Panel::Training), figures, buffer);
        if slider == 1 {
            slider_line(dashboard, run, slide.width).render(slide, buffer);
        }
        draw_curves(dashboard, run, curves, buffer);
    }
}

/// What the record says of `step`.
fn recorded(run: &RunView, step: u64) -> (TrainingStatus, Option<Test>) {
    let row = run.row_at(step).unwrap_or_default();
    let test = run.test_at(step);
    let training = TrainingStatus {
        step: step as usize,
        steps: run.planned() as usize,
        epoch: row.epoch.unwrap_or(0.0) as usize,
        loss: row.loss,
        tried: Tried {
            kind: test.map_or(run.facts.tried.kind, |test| test.scores.kind()),
            plant: test.map(|test| test.scores),
            believed: test.map(|test| test.believed),
        },
        tried_on: test.and_then(|test| test.tried_on),
        twin_residual: row.twin_residual.or_else(|| value_at(&run.log.residuals, step)),
        drift_score: row.drift_score.or_else(|| value_at(&run.log.drift, step)),
        steps_per_second: None,
        range_use: row.range_use,
        clipping_rate: row.clipping_rate,
        alignment: row.alignment,
        heads: test.and_then(|test| test.heads),
        // What a record says of all updates together stands in `run.json`.
        guard: run.facts.guard,
        time_shares: run.facts.step_seconds.and_then(StepSeconds::shares),
    };
    (training, test)
}

/// The lines above the curves.
fn figures(training: &TrainingStatus, test: Option<Test>, width: u16) -> Vec<Line<'static>> {
    let fraction = if training.steps == 0 { 0.0 } else { training.step as f64 / training.steps as f64 };
    let steps = format!("{}/{}", count(training.step as u64), count(training.steps as u64));
    let mut first = pair("step", steps, Tone::Strong).to_vec();
    first.extend(pair("epoch", training.epoch.to_string(), Tone::Plain));
    if let Some(speed) = training.steps_per_second {
        first.extend(pair("steps/s", short(speed), Tone::Plain));
    }
    let used: usize = first.iter().map(Span::width).sum();
    if let Some(room) = usize::from(width).checked_sub(used + 6).filter(|room| 4 < *room) {
        first.push(progress_bar(fraction, room.min(40)));
        first.push(Span::raw(format!(" {:.0} %", 100.0 * fraction)));
    }
    let mut second = pair("loss", training.loss.map_or("-".to_owned(), short), Tone::First).to_vec();
    // Scores of rows that settings were chosen by and of the test set are not the same thing.
    let tried = training.tried_on.map_or("plant", TriedOn::name);
    let score = training.tried.kind.score();
    let shown = |scores: Option<Scores>| scores.map_or("-".to_owned(), |scores| score.say(scores.first()));
    second.extend(pair(tried, shown(training.tried.plant), Tone::Second));
    let believed = training.tried.believed.map_or("-".to_owned(), |scores| score.show(scores.first()));
    second.extend(pair("believed", believed, Tone::Third));
    let mut third = pair("twin residual", percent(training.twin_residual), Tone::Plain).to_vec();
    let drift = training.drift_score.map_or("-".to_owned(), |score| format!("{score:.2} of limit"));
    let drifted = training.drift_score.is_some_and(|score| 1.0 <= score);
    third.extend(pair(
        "drift",
        if drifted { format!("! {drift}") } else { drift },
        if drifted { Tone::Major } else { Tone::Plain },
    ));
    let mut fourth = pair("range", percent(training.range_use), Tone::Plain).to_vec();
    fourth.extend(pair("clipped", percent(training.clipping_rate), Tone::Plain));
    if let Some(guard) = training.guard {
        let tone = if 0 < guard.left_out { Tone::Minor } else { Tone::Plain };
        let out = if 0 < guard.left_out { format!(", {} left out", count(guard.left_out)) } else { String::new() };
        fourth.extend(pair("suspicious", format!("{} of {}{out}", count(guard.suspicious), count(guard.judged)), tone));
    }
    if let Some(test) = test {
        fourth.extend(pair("tested", format!("@{}", count(test.step)), Tone::Plain));
    }
    let mut text = vec![Line::from(first), Line::from(second), Line::from(third), Line::from(fourth)];
    if let Some(line) = heads_line(training) {
        text.insert(2, line);
    }
    if let Some(shares) = training.time_shares {
        text.push(shares_line(shares, width));
    }
    text
}

/// Several read-outs: how far each goes its own way, and how good each is by itself.
fn heads_line(training: &TrainingStatus) -> Option<Line<'static>> {
    let alignment = training.alignment?;
    let mut line = pair("read-outs aligned", format!("{alignment:.3}"), Tone::Plain).to_vec();
    if let Some(heads) = training.heads {
        let show = |value: f64| training.tried.kind.score().show(value);
        line.extend(pair("best", show(heads.best), Tone::Plain));
        line.extend(pair("median", show(heads.median), Tone::Plain));
        line.extend(pair("worst", show(heads.worst), Tone::Plain));
    }
    Some(Line::from(line))
}

/// Where the time of a step goes, in words and as a bar of letters.
fn shares_line(shares: [f64; 4], width: u16) -> Line<'static> {
    let names = [
        ("plant", 'P', Tone::First),
        ("twin", 'T', Tone::Second),
        ("digital", 'D', Tone::Third),
        ("overhead", 'O', Tone::Faint),
    ];
    let mut spans = Vec::new();
    for ((name, _, tone), share) in names.into_iter().zip(shares) {
        spans.push(Span::styled(format!("{name} "), tone));
        spans.push(Span::raw(format!("{:.0}% ", 100.0 * share)));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let room = usize::from(width).saturating_sub(used).min(40);
    if 8 <= room {
        for ((_, letter, tone), share) in names.into_iter().zip(shares) {
            spans.push(Span::styled(letter.to_string().repeat((share * room as f64).round() as usize), tone));
        }
    }
    Line::from(spans)
}

/// Loss above the score, or the loss alone where there is little room.
fn draw_curves(dashboard: &Dashboard, run: &RunView, area: Rect, buffer: &mut Buffer) {
    let picture = run.status.as_ref().filter(|_| !run.over()).and_then(|status| status.picture.as_ref());
    let area = picture.map_or(area, |picture| beside(picture, dashboard.theme, area, buffer));
    let Some((from, to)) = dashboard.window().filter(|_| CURVE_ROWS <= area.height) else { return };
    let with_tests = 2 * CURVE_ROWS <= area.height && !run.history.tests().is_empty();
    let parts = if with_tests { vec![Constraint::Fill(1), Constraint::Fill(1)] } else { vec![Constraint::Fill(1)] };
    let areas = Layout::vertical(parts).split(area);
    loss_curve(dashboard, run, (from, to), areas[0], buffer);
    if with_tests {
        score_curve(dashboard, run, (from, to), areas[1], buffer);
    }
}

/// The loss, logarithmic where it is positive.
fn loss_curve(dashboard: &Dashboard, run: &RunView, (from, to): (u64, u64), area: Rect, buffer: &mut Buffer) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let columns = usize::from(body.width) * 2;
    let detail = run.detail.as_ref().filter(|detail| detail.from <= from && to <= detail.to);
    let mut points = match detail {
        Some(detail) => {
            let rows = detail.rows.iter().filter_map(|row| row.loss.map(|loss| (row.step, loss, loss)));
            super::history::envelope(rows, (from, to), columns)
        }
        None => run.history.loss(from, to, columns),
    };
    let logarithmic = points.iter().all(|point| 0.0 < point.1);
    let (low, high) =
        points.iter().fold((f64::MAX, f64::MIN), |(low, high), point| (low.min(point.1), high.max(point.1)));
    if points.is_empty() {
        return;
    }
    if logarithmic {
        for point in &mut points {
            point.1 = point.1.log10();
        }
    }
    let scale = if logarithmic { " log" } else { "" };
    let text = format!("loss {} … {}{scale}, steps {} to {}", short(low), short(high), count(from), count(to));
    Line::styled(text, Tone::First).render(head, buffer);
    let place = |value: f64| if logarithmic { value.log10() } else { value };
    let (bottom, top) = (place(low), place(high));
    let bounds = if bottom < top { [bottom, top] } else { [bottom - 0.5, top + 0.5] };
    let marker = cursor_points(dashboard, bounds);
    let curves = [Curve { points: &points, tone: Tone::First }, Curve { points: &marker, tone: Tone::Focus }];
    plot(&curves, [from as f64, to.max(from + 1) as f64], bounds, body, buffer);
}

/// The score that decides, on the plant and as believed.
fn score_curve(dashboard: &Dashboard, run: &RunView, (from, to): (u64, u64), area: Rect, buffer: &mut Buffer) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    // One test before the window, so that the line comes in from the left.
    let tests = run.history.tests();
    let start = tests.partition_point(|test| test.step < from).saturating_sub(1);
    let shown = tests[start..].iter().take_while(|test| test.step <= to);
    let line =
        |value: fn(&Test) -> f64| shown.clone().map(move |test| (test.step as f64, value(test))).collect::<Vec<_>>();
    let (plant, believed) = (line(|test| test.scores.first()), line(|test| test.believed.first()));
    let score = tests.last().map_or(ObjectiveKind::default(), |test| test.scores.kind()).score();
    let values = plant.iter().chain(&believed).map(|point| point.1).filter(|value| value.is_finite());
    // A fraction has an end; of an error all is shown.
    let most = if score.in_percent { 1.0 } else { values.fold(1e-6, f64::max) };
    let scale =
        if score.in_percent { "0 to 100 %".to_owned() } else { format!("{} 0 to {}", score.words, short(most)) };
    let title = vec![
        Span::styled("on the plant", Tone::Second),
        Span::raw(" and "),
        Span::styled("believed", Tone::Third),
        Span::styled(format!(", {scale}"), Tone::Faint),
    ];
    Line::from(title).render(head, buffer);
    let marker = cursor_points(dashboard, [0.0, most]);
    let curves = [
        Curve { points: &believed, tone: Tone::Third },
        Curve { points: &plant, tone: Tone::Second },
        Curve { points: &marker, tone: Tone::Focus },
    ];
    plot(&curves, [from as f64, to.max(from + 1) as f64], [0.0, most], body, buffer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::GuardCounts;

    #[test]
    fn an_accuracy_is_called_after_its_rows() {
        for (tried_on, words) in [
            (Some(TriedOn::Validation), "validation 88.5 %"),
            (Some(TriedOn::Test), "test 88.5 %"),
            (None, "plant 88.5 %"),
        ] {
            let plant = Some(Scores::new(ObjectiveKind::Classify, &[0.885]));
            let tried = Tried { plant, ..Tried::default() };
            let training = TrainingStatus { tried, tried_on, ..TrainingStatus::default() };
            let text: Vec<String> = figures(&training, None, 80).iter().map(ToString::to_string).collect();
            assert!(text[1].contains(words), "{text:?}");
        }
        let guard = Some(GuardCounts { judged: 12_000, suspicious: 14, left_out: 3, ..GuardCounts::default() });
        let training = TrainingStatus { guard, ..TrainingStatus::default() };
        let text: Vec<String> = figures(&training, None, 80).iter().map(ToString::to_string).collect();
        assert!(text[3].contains("suspicious 14 of 12") && text[3].contains("3 left out"), "{text:?}");
        let plant = Some(Scores::new(ObjectiveKind::Regress, &[0.4121, 0.83]));
        let tried = Tried { kind: ObjectiveKind::Regress, plant, believed: plant };
        let training = TrainingStatus { tried, tried_on: Some(TriedOn::Test), ..TrainingStatus::default() };
        let text: Vec<String> = figures(&training, None, 80).iter().map(ToString::to_string).collect();
        assert!(text[1].contains("test NRMSE 0.412") && text[1].contains("believed 0.412"), "{text:?}");
    }
}
