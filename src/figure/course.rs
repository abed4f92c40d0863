//! The course of a run: how the range was used, and how far the twin drifted from the plant, update by update.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::record::RunRecord;
use super::sheet::{Axes, Figure, Pen, legend, save};
use super::theme::{MEDIUM, Theme};
use crate::Error;

/// The vertical axis over the largest value: the legend lies above the curves.
const HEADROOM: f64 = 1.3;

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
        let point = |event: &serde_json::Value| Some((event["step"].as_f64()?, factor * event[key].as_f64()?));
        events.iter().filter_map(point).collect()
    };
    let lines = vec![
        Line {
            label: "difference of twin and plant",
            points: points("agreement", "twin_residual", 100.0),
            dashed: false,
        },
        Line { label: "drift monitor, of its threshold", points: points("reference", "score", 100.0), dashed: true },
    ];
    if lines.iter().all(|line| line.points.is_empty()) {
        return Ok(vec![]);
    }
    let kept = run.events("refreshed");
    let kept = kept.iter().filter(|event| event["kept"] == true);
    let refreshed: Vec<f64> = kept.filter_map(|event| event["step"].as_f64()).collect();
    let caption = run.caption(if refreshed.is_empty() {
        "RMS difference of twin and plant on the last shots of each test, of the readings' standard deviation"
    } else {
        "RMS difference of twin and plant on the last shots of each test, of the readings' standard deviation; upright lines: the twin was refreshed"
    });
    save(&Course { what: "%", lines, refreshed, caption }, folder, "drift", theme)
}

impl Figure for Course {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let last = points().map(|point| point.0).fold(1.0, f64::max);
        let most = points().map(|point| point.1).filter(|value| value.is_finite()).fold(1.0, f64::max);
        let axes =
            Axes { title: "", x: ("update", 0.0..last * 1.02), y: (self.what, 0.0..most * HEADROOM), small: false };
        let mut chart = axes.on(area, theme)?;
        for step in &self.refreshed {
            let pen = Pen { color: theme.series(self.lines.len()), width: 1, dashed: false, label: "" };
            pen.curve(&mut chart, [(*step, 0.0), (*step, most)])?;
        }
        for (index, line) in self.lines.iter().enumerate().filter(|(_, line)| !line.points.is_empty()) {
            let pen = Pen { color: theme.series(index), width: 3, dashed: line.dashed, label: line.label };
            pen.curve(&mut chart, line.points.iter().copied())?;
        }
        legend(&mut chart, theme, SeriesLabelPosition::UpperRight, MEDIUM)
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }
}
