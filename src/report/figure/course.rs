//! The course of a run: how the range was used, and how far the twin drifted from the plant, update by update.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::key::{Entry, key};
use super::record::{RunRecord, drawable};
use super::sheet::{Axes, Figure, Pen, save, text};
use super::theme::Theme;
use crate::Error;

/// Pixels of the horizontal axis, about.
const WIDTH: f64 = 870.0;
/// Pixels of a dash.
const DASH: f64 = 9.0;
/// Curves of fewer points have long straight stretches.
const FEW: usize = 100;

/// Each point of a curve of fewer than so many is marked: a single one has no line.
const MARKED: usize = 30;

/// A curve over the updates.
struct Line {
    label: &'static str,
    points: Vec<(f64, f64)>,
    dashed: bool,
}

struct Course {
    what: &'static str,
    lines: Vec<Line>,
    /// Updates after which the twin was another.
    refreshed: Vec<f64>,
    caption: Vec<String>,
}

/// Draws `range-use`: which part of the range the batches covered, and how much the hard clamp changed.
pub fn range_use(run: &RunRecord, folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let percent = |points: Vec<(f64, f64)>| points.into_iter().map(|(step, share)| (step, 100.0 * share)).collect();
    let lines = vec![
        Line { label: "range covered by the batch", points: percent(run.steps("range_use")?), dashed: false },
        Line { label: "values that the clamp changed", points: percent(run.steps("clipping_rate")?), dashed: true },
    ];
    if lines[0].points.is_empty() {
        return Ok(vec![]);
    }
    let caption = run.caption("use of the plants' input ranges, mean over ports and physical layers");
    save(&Course { what: "share, %", lines, refreshed: vec![], caption }, folder, "range-use", theme)
}

/// Draws `drift`: the difference of twin and plant at each test, and what the drift monitor said.
pub fn drift(run: &RunRecord, folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let points = |event: &str, key: &str, factor: f64| -> Vec<(f64, f64)> {
        let events = run.events(event);
        let point = |event: &serde_json::Value| {
            Some((event["step"].as_f64().filter(drawable)?, factor * event[key].as_f64().filter(drawable)?))
        };
        events.iter().filter_map(point).collect()
    };
    let lines = vec![
        Line {
            label: "difference of twin and plant",
            points: points("agreement", "twin_residual", 100.0),
            dashed: false,
        },
        // Most of it are single takes far above the others: dashes would hide them.
        Line { label: "drift monitor, of its threshold", points: points("reference", "score", 100.0), dashed: false },
    ];
    if lines.iter().all(|line| line.points.is_empty()) {
        return Ok(vec![]);
    }
    let kept = run.events("refreshed");
    let kept = kept.iter().filter(|event| event["kept"] == true);
    let refreshed: Vec<f64> = kept.filter_map(|event| event["step"].as_f64().filter(drawable)).collect();
    let caption = run.caption(if refreshed.is_empty() {
        "RMS difference of twin and plant on the last shots of each test, of the readings' standard deviation"
    } else {
        "RMS difference of twin and plant on the last shots of each test, of the readings' standard deviation; upright lines: the twin was refreshed"
    });
    save(&Course { what: "%", lines, refreshed, caption }, folder, "drift", theme)
}

/// A curve as pieces between neighboring points, all of one of some; of a broken one those in every second stretch of the axis,
/// where a pixel is `pixel` wide.
fn pieces(points: &[(f64, f64)], dashed: bool, pixel: f64) -> Vec<[(f64, f64); 2]> {
    let on = |piece: &[(f64, f64); 2]| !dashed || ((piece[0].0 / (pixel * DASH)) as u64).is_multiple_of(2);
    let finite = |piece: &[(f64, f64); 2]| piece.iter().all(|point| point.0.is_finite() && point.1.is_finite());
    let few = points.len() < 2 * FEW;
    let cut = |piece: [(f64, f64); 2]| {
        // Few points are far apart: each stretch between two is cut into what a dash is long.
        let parts = if few && dashed {
            ((piece[1].0 - piece[0].0) / (pixel * DASH / 4.0)).ceil().clamp(1.0, 400.0)
        } else {
            1.0
        };
        let at = move |part: f64| {
            let share = part / parts;
            (piece[0].0 + share * (piece[1].0 - piece[0].0), piece[0].1 + share * (piece[1].1 - piece[0].1))
        };
        (0..parts as u32).map(move |part| [at(f64::from(part)), at(f64::from(part) + 1.0)])
    };
    let all = points.windows(2).map(|pair| [pair[0], pair[1]]).filter(finite);
    all.flat_map(cut).filter(on).collect()
}

impl Figure for Course {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let last = points().map(|point| point.0).fold(1.0, f64::max);
        let most = points().map(|point| point.1).filter(|value| value.is_finite()).fold(1.0, f64::max);
        let axes = Axes { title: "", x: ("update", 0.0..last * 1.02), y: (self.what, 0.0..most * 1.05), small: false };
        let lines = || self.lines.iter().enumerate().filter(|(_, line)| !line.points.is_empty());
        let entry = |(index, line): (usize, &Line)| Entry {
            label: line.label.to_owned(),
            color: theme.series(index),
            dashed: line.dashed,
        };
        let below = key(area, theme, &lines().map(entry).collect::<Vec<_>>())?;
        let mut chart = axes.on(&below, theme)?;
        for step in &self.refreshed {
            let pen = Pen { color: theme.series(self.lines.len()), width: 1, dashed: false, label: "" };
            pen.curve(&mut chart, [(*step, 0.0), (*step, most)])?;
        }
        for (index, line) in lines() {
            // Joints of a thick line through noise would stick out far; pieces have none.
            let style = theme.series(index).stroke_width(2);
            let pieces = pieces(&line.points, line.dashed, last / WIDTH);
            chart.draw_series(pieces.into_iter().map(|piece| PathElement::new(piece, style))).map_err(text)?;
            if line.points.len() < MARKED {
                let color = theme.series(index).filled();
                chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 4, color))).map_err(text)?;
            }
        }
        Ok(())
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_no_joints_and_dashes_have_gaps() {
        let noise: Vec<(f64, f64)> = (0..400).map(|step| (f64::from(step), f64::from(step % 2))).collect();
        assert_eq!(pieces(&noise, false, 1.0).len(), 399);
        let broken = pieces(&noise, true, 1.0);
        assert!((150..250).contains(&broken.len()), "{}", broken.len());
        let two = pieces(&[(0.0, 1.0), (870.0, 1.0)], true, 1.0);
        let length: f64 = two.iter().map(|piece| piece[1].0 - piece[0].0).sum();
        assert!((400.0..470.0).contains(&length), "half of a straight line as well: {length}");
        assert_eq!(pieces(&[(0.0, f64::NAN), (1.0, 1.0)], false, 1.0).len(), 0);
        assert!(pieces(&[(3.0, 1.0)], false, 1.0).is_empty());
    }
}
