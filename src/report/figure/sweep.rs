//! A sweep: accuracy on the plant against the value of a key, by method, with the spread over seeds.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::key::{Entry, key};
use super::sheet::{Axes, Figure, Pen, save, text};
use super::theme::Theme;
use crate::Error;
use crate::record::read_text;
use crate::training::sweep::{Point, Sweep};

/// Lines that can be told apart.
const MOST_LINES: usize = 8;

/// Draws the sweep that `file` holds to `sweep.svg` and `.png` in `folder`.
pub fn sweep(file: &Path, folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let bad = |message: String| Error::Record { path: file.to_owned(), message: format!("cannot be read: {message}") };
    let content = read_text(file).map_err(|error| bad(error.to_string()))?;
    let sweep: Sweep = serde_json::from_str(&content).map_err(|error| bad(error.to_string()))?;
    save(&sweep, folder, "sweep", theme)
}

/// The color of a method; a refreshed twin has one of its own.
fn color(theme: Theme, method: &str) -> RGBColor {
    if method.ends_with("+refresh") { theme.series(4) } else { theme.method(method) }
}

impl Sweep {
    /// The keys after the first, which are not on the axis, with their values.
    fn rest(&self, point: &Point) -> String {
        let rest = self.keys.iter().skip(1).filter_map(|key| Some((key, point.values.get(key)?)));
        let words = rest.map(|(key, value)| format!(", {} {value}", key.rsplit('.').next().unwrap_or(key)));
        words.collect::<Vec<_>>().concat()
    }
}

impl Figure for Sweep {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let values = || self.points.iter().map(|point| point.value);
        let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        let last = self.key.rsplit('.').next().unwrap_or(&self.key);
        let score = self.score();
        let what = format!("test {} on the plant{}", score.words, if score.in_percent { ", %" } else { "" });
        let shown = || self.points.iter().filter(|point| !point.diverged);
        let means = shown().map(|point| point.test(score).mean).filter(|mean| mean.is_finite());
        let most = if score.in_percent { 100.0 } else { 1.1 * means.fold(1e-6, f64::max) };
        let axes = Axes {
            title: "",
            x: (last, low..high + 0.02 * (high - low).max(1e-9)),
            y: (&what, 0.0..most),
            small: false,
        };
        let mut lines: Vec<(&str, String)> =
            self.points.iter().map(|point| (point.method.as_str(), self.rest(point))).collect();
        lines.sort_unstable();
        lines.dedup();
        // Of many settings each would be a line of one point: then a method is a cloud.
        let is_cloud = MOST_LINES < lines.len();
        if is_cloud {
            for line in &mut lines {
                line.1.clear();
            }
            lines.dedup();
        }
        let is_single = lines.iter().all(|(_, rest)| rest.is_empty());
        let color = |index: usize| if is_single { color(theme, lines[index].0) } else { theme.series(index) };
        let entry = |(index, (method, rest)): (usize, &(&str, String))| Entry {
            label: format!("{method}{rest}"),
            color: color(index),
            dashed: *method == "noise-aware",
        };
        let below = key(area, theme, &lines.iter().enumerate().map(entry).collect::<Vec<_>>())?;
        let mut chart = axes.on(&below, theme)?;
        for (index, (method, rest)) in lines.iter().enumerate() {
            let (method, color) = (*method, color(index));
            let is_own = |point: &&Point| point.method == method && (is_cloud || self.rest(point) == *rest);
            let mut points: Vec<&Point> = shown().filter(is_own).collect();
            points.sort_by(|a, b| a.value.total_cmp(&b.value));
            for point in &points {
                let Point { value, .. } = **point;
                let spread = point.test(score);
                let ends = [spread.mean - spread.spread, spread.mean + spread.spread]
                    .map(|end| (value, score.scaled(end).clamp(0.0, most)));
                if self.seeds > 1 {
                    chart.draw_series([PathElement::new(ends.to_vec(), color.stroke_width(1))]).map_err(text)?;
                }
                chart
                    .draw_series([Circle::new((value, score.scaled(spread.mean)), 4, color.filled())])
                    .map_err(text)?;
            }
            if !is_cloud {
                let line = points.iter().map(|point| (point.value, score.scaled(point.test(score).mean)));
                Pen { color, width: 3, dashed: method == "noise-aware", label: "" }.curve(&mut chart, line)?;
            }
        }
        Ok(())
    }

    fn caption(&self) -> Vec<String> {
        let first = self.first_seed;
        let seeds = match self.seeds as u64 {
            0 | 1 => format!("seed {first}"),
            seeds => format!("seeds {first} to {}, mean and standard deviation over them", first + seeds - 1),
        };
        vec![
            format!("{}; {}; {} updates; {seeds}", self.experiment, self.plants, self.steps),
            format!("command: {}", self.command),
        ]
    }
}
