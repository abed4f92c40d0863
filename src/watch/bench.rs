//! The panel of the bench: each instrument's link, how fast and how often it answers, and who holds it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::dashboard::{Dashboard, FRESH_SECONDS};
use super::number::{duration, fit, latency};
use super::panel::{Panel, lines, pair};
use super::theme::Tone;
use crate::control::{LinkStatus, PlantStatus};

/// The panel.
pub struct BenchPanel<'a>(pub &'a Dashboard);

impl Widget for BenchPanel<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let dashboard = self.0;
        let inner = Panel::Bench.frame(dashboard, area, buffer);
        let Some(run) = dashboard.shown() else { return };
        let now = dashboard.shown_now();
        let mut text = Vec::new();
        if let Some(status) = &run.status {
            let wide = 70 <= inner.width;
            // A link that is not ready is seen first, however small the panel.
            let troubled = status.plants.iter().flat_map(|plant| &plant.links).filter(|link| link.state != "ready");
            for link in troubled.filter(|_| !wide) {
                text.extend(narrow_lines(link, now, inner.width));
            }
            for plant in &status.plants {
                text.push(plant_line(plant, now, inner.width));
                for link in &plant.links {
                    if wide {
                        text.push(wide_line(link, now));
                    } else if link.state == "ready" {
                        text.extend(narrow_lines(link, now, inner.width));
                    }
                }
            }
            text.push(Line::from(Span::styled(format!("run by process {}", status.process), Tone::Faint)));
        } else {
            let plants = run.facts.plants.iter();
            text.extend(plants.map(|plant| {
                let origin = plant.origin.to_uppercase();
                Line::from(format!("○ {} {origin} {} {}", plant.plant, plant.system, plant.serial))
            }));
        }
        lines(&text, dashboard.scroll_of(Panel::Bench), inner, buffer);
    }
}

/// A plant: since when it was not driven, where it comes from, and whether it has wires at all. Its name is cut before its age.
fn plant_line(plant: &PlantStatus, now: f64, width: u16) -> Line<'static> {
    let age = plant.driven_unix_seconds.map(|driven| now - driven);
    let (mark, tone) = match age {
        Some(age) if age <= FRESH_SECONDS => ("●", Tone::Good),
        _ => ("○", Tone::Faint),
    };
    let wires = if plant.links.is_empty() { " · no wires" } else { "" };
    let driven = age.map_or("never driven".to_owned(), |age| {
        if age <= FRESH_SECONDS { "driven now".to_owned() } else { format!("idle {}", duration(age)) }
    });
    let room = usize::from(width).saturating_sub(3 + driven.chars().count()).max(4);
    Line::from(vec![
        Span::styled(format!("{mark} "), tone),
        Span::styled(fit(&plant.plant, room), Tone::Strong),
        Span::styled(format!(" {driven} · {}{wires}", plant.origin.to_uppercase()), Tone::Plain),
    ])
}

/// The mark and tone of a link's state: the word stands beside it.
fn state_mark(link: &LinkStatus) -> (&'static str, Tone) {
    match link.state.as_str() {
        "ready" => ("✓", Tone::Good),
        "opening" => ("…", Tone::Minor),
        "dirty" => ("!", Tone::Minor),
        "backoff" => ("✗", Tone::Major),
        "closed" => ("○", Tone::Faint),
        _ => ("?", Tone::Invalid),
    }
}

fn answered(link: &LinkStatus, now: f64) -> Span<'static> {
    match link.answered_unix_seconds {
        None => Span::styled("never answered", Tone::Minor),
        Some(answered) if now - answered <= FRESH_SECONDS && link.state == "ready" => {
            Span::styled("answers", Tone::Good)
        }
        // It may be that nobody has asked since.
        Some(answered) if link.state == "ready" => {
            Span::styled(format!("answered {} ago", duration(now - answered)), Tone::Minor)
        }
        Some(answered) => Span::styled(format!("silent {}", duration(now - answered)), Tone::Minor),
    }
}

fn latencies(link: &LinkStatus) -> String {
    let one = |value: Option<f64>| value.map_or("-".to_owned(), latency);
    format!("p50 {} p99 {}", one(link.latency_p50_seconds), one(link.latency_p99_seconds))
}

fn wide_line(link: &LinkStatus, now: f64) -> Line<'static> {
    let (mark, tone) = state_mark(link);
    let mut spans = vec![
        Span::styled(format!("  {mark} {:8}", link.state), tone),
        Span::styled(format!("{:16} ", fit(&link.instrument, 16)), Tone::Plain),
        Span::styled(format!("{:28} ", latencies(link)), Tone::Plain),
        answered(link, now),
        Span::raw("  "),
    ];
    spans.extend(pair("reopened", link.reconnects.to_string(), reopened_tone(link)));
    spans.extend(pair("held by", link.owner.clone(), Tone::Plain));
    spans.push(Span::styled(link.address.clone(), Tone::Faint));
    Line::from(spans)
}

fn narrow_lines(link: &LinkStatus, now: f64, width: u16) -> Vec<Line<'static>> {
    let (mark, tone) = state_mark(link);
    let answered = answered(link, now);
    let room = usize::from(width).saturating_sub(4 + answered.width()).max(4);
    let first = Line::from(vec![
        Span::styled(format!(" {mark} "), tone),
        Span::styled(format!("{} ", fit(&link.instrument, room)), Tone::Plain),
        answered,
    ]);
    let mut second = vec![Span::styled(format!("   {} ", link.state), tone)];
    second.push(Span::styled(format!("×{} ", link.reconnects), reopened_tone(link)));
    second.push(Span::styled(latencies(link), Tone::Plain));
    second.push(Span::styled(format!(" {}", link.owner), Tone::Faint));
    vec![first, Line::from(second)]
}

fn reopened_tone(link: &LinkStatus) -> Tone {
    if link.reconnects == 0 { Tone::Plain } else { Tone::Minor }
}
