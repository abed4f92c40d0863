//! The panel of the calibrations: how old each twin's fit is, how badly it still misses, and whether it is due.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::dashboard::Dashboard;
use super::number::{duration, percent};
use super::panel::{Panel, lines, pair};
use super::theme::Tone;
use crate::control::PlantStatus;

/// The panel.
pub struct CalibrationPanel<'a>(pub &'a Dashboard);

impl Widget for CalibrationPanel<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let inner = Panel::Calibration.frame(self.0, area, buffer);
        let Some(run) = self.0.shown() else { return };
        let Some(status) = &run.status else {
            let text = if run.over() { "Fits are not in this record." } else { "No fit is known yet." };
            return lines(&[Line::styled(text, Tone::Faint)], 0, inner, buffer);
        };
        let mut text = Vec::new();
        let mut plants: Vec<&PlantStatus> = status.plants.iter().collect();
        // What is due is seen first, then what is calibrated at all.
        plants.sort_by_key(|plant| plant.calibration.as_ref().map_or(2, |fit| u8::from(fit.due.is_empty())));
        for plant in plants {
            let Some(fit) = &plant.calibration else {
                text.push(Line::from(vec![
                    Span::styled(format!("{} ", plant.plant), Tone::Strong),
                    Span::styled(
                        if inner.width < 50 { "nominal twin" } else { "nominal twin, not calibrated" },
                        Tone::Plain,
                    ),
                ]));
                continue;
            };
            let (mark, tone) = if fit.due.is_empty() { ("✓", Tone::Good) } else { ("!", Tone::Minor) };
            let mut spans =
                vec![Span::styled(format!("{mark} "), tone), Span::styled(format!("{} ", plant.plant), Tone::Strong)];
            let age = duration(self.0.shown_now() - fit.made_unix_seconds);
            let residual = percent(Some(fit.residual));
            if inner.width < 50 {
                spans.push(Span::raw(format!("{age} old, {residual} ")));
            } else {
                spans.extend(pair("residual", residual, Tone::Plain));
                spans.extend(pair("age", age, Tone::Plain));
            }
            spans.push(Span::styled(fit.fit.clone(), Tone::Faint));
            text.push(Line::from(spans));
            if !fit.due.is_empty() {
                text.push(Line::styled(format!("  DUE: {}", fit.due), tone));
            }
        }
        lines(&text, self.0.scroll_of(Panel::Calibration), inner, buffer);
    }
}
