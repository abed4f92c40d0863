//! The panel of a plant: what it was driven with and what it read in its last shot, as waveforms or spectra, and its
//! controls with set-point, applied value and limits.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::dashboard::{Dashboard, FRESH_SECONDS};
use super::number::{count, duration, fit, prefixed, short};
use super::panel::{Panel, lines, pair, whole_or_marked};
use super::plot::{Curve, SPECTRUM_FLOOR, limit_bar, plot, spectrum};
use super::theme::Tone;
use crate::control::{BankStatus, PlantStatus};

/// Banks of fewer values are bars with limits, larger ones are curves.
const CURVE_FROM: usize = 9;

/// The panel.
pub struct PlantPanel<'a>(pub &'a Dashboard);

impl Widget for PlantPanel<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let dashboard = self.0;
        let inner = Panel::Plant.frame(dashboard, area, buffer);
        let Some(run) = dashboard.shown() else { return };
        let Some(status) = run.status.as_ref().filter(|status| !status.plants.is_empty()) else {
            let text = match (run.over(), run.facts.plants.is_empty()) {
                (true, _) => "The record holds no single shots.",
                (false, true) => "No plant is in use.",
                (false, false) => "No shot has been seen yet.",
            };
            return lines(&[Line::styled(text, Tone::Faint)], 0, inner, buffer);
        };
        let place = dashboard.look.plant % status.plants.len();
        let plant = &status.plants[place];
        let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(inner);
        whole_or_marked(
            &heading(plant, (place, status.plants.len()), dashboard.shown_now(), inner.width),
            head,
            buffer,
        );
        if plant.inputs.iter().chain(&plant.outputs).all(|bank| bank.values.is_empty()) {
            return lines(&[Line::styled("No shot has been seen yet.", Tone::Faint)], 0, body, buffer);
        }
        banks(dashboard, plant, body, buffer);
    }
}

/// Name, identity, shots, age of the last shot.
fn heading(plant: &PlantStatus, (place, plants): (usize, usize), now: f64, width: u16) -> Line<'static> {
    let mut spans = vec![Span::styled(format!("{} ", plant.plant), Tone::Strong)];
    if plants > 1 {
        spans.push(Span::styled(format!("◀{}/{plants}▶ ", place + 1), Tone::Focus));
    }
    spans.push(Span::raw(format!("{} ", plant.origin.to_uppercase())));
    match plant.driven_unix_seconds.map(|driven| now - driven) {
        Some(age) if age <= FRESH_SECONDS => {}
        Some(age) => spans.push(Span::styled(format!("shot {} old ", duration(age)), Tone::Minor)),
        None => spans.push(Span::styled("never driven ", Tone::Faint)),
    }
    spans.extend(pair("shots", count(plant.shots), Tone::Plain));
    if width >= 60 {
        spans.extend(pair("bench time", duration(plant.plant_seconds), Tone::Plain));
        spans.extend(pair("serial", plant.serial.clone(), Tone::Plain));
    }
    Line::from(spans)
}

/// Inputs, controls and outputs below each other, or side by side where there is room.
fn banks(dashboard: &Dashboard, plant: &PlantStatus, area: Rect, buffer: &mut Buffer) {
    // What goes in and comes out is seen first; where there is little room, controls are reached by scrolling.
    let parts = [
        ("in", &plant.inputs, Tone::First),
        ("out", &plant.outputs, Tone::Second),
        ("control", &plant.controls, Tone::Third),
    ];
    let all: Vec<(&str, &BankStatus, Tone)> = parts
        .into_iter()
        .flat_map(|(name, banks, tone)| banks.iter().map(move |bank| (name, bank, tone)))
        .filter(|(_, bank, _)| !bank.values.is_empty())
        .collect();
    // Those that do not fit are reached by scrolling.
    let room = usize::from(area.height / 3).max(1);
    let first = dashboard.scroll_of(Panel::Plant).min(all.len().saturating_sub(room));
    let shown = &all[first..(first + room).min(all.len())];
    let heights = shown.iter().map(|(_, bank, _)| {
        if is_curve(bank) { Constraint::Fill(2) } else { Constraint::Max(bank.values.len() as u16 + 1) }
    });
    let areas = Layout::vertical(heights).split(area);
    for ((name, bank, tone), area) in shown.iter().zip(areas.iter()) {
        draw_bank(name, bank, (*tone, dashboard.look.spectrum), *area, buffer);
    }
    let hidden = all.len() - shown.len();
    if hidden > 0 {
        let row = Rect { y: area.bottom() - 1, height: 1, ..area };
        Line::styled(format!(" {hidden} more ▼ "), Tone::Focus).right_aligned().render(row, buffer);
    }
}

fn is_curve(bank: &BankStatus) -> bool {
    bank.values.len() >= CURVE_FROM
}

fn draw_bank(name: &str, bank: &BankStatus, (tone, as_spectrum): (Tone, bool), area: Rect, buffer: &mut Buffer) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    if is_curve(bank) {
        whole_or_marked(&title(name, bank, tone, as_spectrum), head, buffer);
        if as_spectrum {
            let points = spectrum(&bank.values);
            plot(&[Curve { points: &points, tone }], [0.0, 0.5], [SPECTRUM_FLOOR, 0.0], body, buffer);
        } else {
            waveform(bank, tone, body, buffer);
        }
    } else {
        whole_or_marked(&title(name, bank, tone, false), head, buffer);
        let rows: Vec<Line<'_>> = (0..bank.values.len()).map(|index| control_line(bank, index, body.width)).collect();
        lines(&rows, 0, body, buffer);
    }
}

/// What the curve is, the range it is drawn over, and how much of it is used.
fn title(name: &str, bank: &BankStatus, tone: Tone, as_spectrum: bool) -> Line<'static> {
    let (lowest, highest) = extremes(&bank.values);
    let mut spans = vec![Span::styled(format!("{name} {} ", bank.bank), tone)];
    if as_spectrum {
        spans.push(Span::raw(format!("spectrum, {SPECTRUM_FLOOR} to 0 dB, 0 to 0.5 cycles a sample")));
        return Line::from(spans);
    }
    let unit = if bank.unit.is_empty() { String::new() } else { format!(" {}", bank.unit) };
    spans.push(Span::raw(format!("{} … {}{unit} ", short(lowest), short(highest))));
    spans.push(Span::styled(
        format!("of {} … {}", short(f64::from(bank.low)), short(f64::from(bank.high))),
        Tone::Faint,
    ));
    let outside = bank.values.iter().filter(|value| !(bank.low..=bank.high).contains(*value)).count();
    let at_limit = bank.values.iter().filter(|value| **value == bank.low || **value == bank.high).count();
    if outside > 0 {
        spans.push(Span::styled(format!(" ! {outside} OUTSIDE"), Tone::Major));
    } else if at_limit > 0 {
        spans.push(Span::styled(format!(" ! {at_limit} at limit"), Tone::Minor));
    }
    Line::from(spans)
}

/// The values over the allowed range; over their own where that is hardly used, so that a small signal is seen as well.
fn waveform(bank: &BankStatus, tone: Tone, area: Rect, buffer: &mut Buffer) {
    let points: Vec<(f64, f64)> =
        bank.values.iter().enumerate().map(|(index, value)| (index as f64, f64::from(*value))).collect();
    let (lowest, highest) = extremes(&bank.values);
    let (low, high) = (f64::from(bank.low), f64::from(bank.high));
    let whole = high - low;
    let limits_known = whole.is_finite() && 0.0 < whole;
    let bounds = if limits_known && whole < 5.0 * (highest - lowest) { [low, high] } else { [lowest, highest] };
    let bounds = if bounds[0] < bounds[1] { bounds } else { [bounds[0] - 0.5, bounds[1] + 0.5] };
    plot(&[Curve { points: &points, tone }], [0.0, (points.len() - 1) as f64], bounds, area, buffer);
}

/// One control: number, set-point, applied value, bar between its limits.
fn control_line(bank: &BankStatus, index: usize, width: u16) -> Line<'static> {
    let value = f64::from(bank.values[index]);
    let set_point = bank.set_points.get(index).map(|value| f64::from(*value));
    let text = match set_point {
        Some(set_point) => {
            format!("{index:>2} set {:>9} is {:>9} ", prefixed(set_point, &bank.unit), prefixed(value, &bank.unit))
        }
        None => format!("{index:>2} {:>9} ", prefixed(value, &bank.unit)),
    };
    let text = fit(&text, usize::from(width));
    let bar = usize::from(width).saturating_sub(text.chars().count()).min(40);
    let mut spans = vec![Span::raw(text)];
    if bar >= 5 {
        spans.push(limit_bar(value, set_point, (f64::from(bank.low), f64::from(bank.high)), bar));
    }
    Line::from(spans)
}

fn extremes(values: &[f32]) -> (f64, f64) {
    let all = values.iter().map(|value| f64::from(*value)).filter(|value| value.is_finite());
    let (low, high) = all.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low <= high { (low, high) } else { (0.0, 0.0) }
}
