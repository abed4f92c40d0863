//! A sweep: accuracy on the plant against the value of a key, by method, with the spread over seeds.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::key::{Entry, key};
use super::sheet::{Axes, Figure, Pen, around, save, text};
use super::theme::Theme;
use crate::Error;
use crate::record::read_text;
use crate::training::Spread;
use crate::training::sweep::{Point, Sweep};

/// Lines that can be told apart.
const MOST_LINES: usize = 8;
/// Those with a color of their own; lines after them are dashed.
const COLORS: usize = 5;

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

    /// Where the values of the first key stand on the axis, if they are no numbers.
    fn places(&self) -> Option<String> {
        let place = |point: &Point| {
            let value = point.values.get(&self.key)?;
            (value.parse().ok() != Some(point.value)).then(|| (point.value, value.clone()))
        };
        let mut places: Vec<(f64, String)> = self.points.iter().filter_map(place).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        places.dedup();
        let words: Vec<String> = places.iter().map(|(place, value)| format!("{place} is {value}")).collect();
        (!words.is_empty()).then(|| format!("{}: {}", self.key, words.join(", ")))
    }

    /// The settings that are not drawn.
    fn diverged(&self) -> Option<String> {
        let gone = self.points.iter().filter(|point| point.diverged);
        let words: Vec<String> =
            gone.map(|point| format!("{} at {}{}", point.method, point.value, self.rest(point))).collect();
        (!words.is_empty()).then(|| format!("not drawn, since a training left the numbers: {}", words.join("; ")))
    }
}

impl Figure for Sweep {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let values = || self.points.iter().map(|point| point.value);
        let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        let score = self.score();
        let what = format!("test {} on the plant{}", score.words, if score.in_percent { ", %" } else { "" });
        let shown = || self.points.iter().filter(|point| !point.diverged);
        let ends = |point: &Point| {
            let Spread { mean, spread } = point.test(score);
            [mean - spread, mean + spread].map(|end| score.scaled(end))
        };
        let (least, most) = if score.in_percent {
            (0.0, 100.0)
        } else {
            let whole = around(shown().flat_map(ends));
            (if score.range[0] < 0.0 { whole.start.min(0.0) } else { 0.0 }, whole.end)
        };
        let air = 0.02 * (high - low).max(1e-9);
        let axes = Axes { title: "", x: (&self.key, low - air..high + air), y: (&what, least..most), small: false };
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
        let is_dashed = |index: usize, method: &str| method == "noise-aware" || (!is_single && COLORS <= index);
        let entry = |(index, (method, rest)): (usize, &(&str, String))| Entry {
            label: format!("{method}{rest}"),
            color: color(index),
            dashed: is_dashed(index, method),
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
                let ends = ends(point).map(|end| (value, end.clamp(least, most)));
                if self.seeds > 1 {
                    chart.draw_series([PathElement::new(ends.to_vec(), color.stroke_width(1))]).map_err(text)?;
                }
                chart
                    .draw_series([Circle::new((value, score.scaled(spread.mean)), 4, color.filled())])
                    .map_err(text)?;
            }
            if !is_cloud {
                let line = points.iter().map(|point| (point.value, score.scaled(point.test(score).mean)));
                Pen { color, width: 3, dashed: is_dashed(index, method), label: "" }.curve(&mut chart, line)?;
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
        let first = format!("{}; {}; {} updates; {seeds}", self.experiment, self.plants, self.steps);
        let command = format!("command: {}", self.command);
        [Some(first), self.places(), self.diverged(), Some(command)].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_caption_says_what_the_axis_counts_and_what_is_not_drawn() {
        let point = |value: f64, word: &str, diverged: bool| {
            json!({
                "method": "in-silico", "value": value, "values": { "layers.1.order": word }, "diverged": diverged,
                "test_accuracy": [0.5],
            })
        };
        let sweep = |points: serde_json::Value| -> Sweep {
            serde_json::from_value(json!({
                "experiment": "e", "plants": "p (SIMULATED)", "key": "layers.1.order", "keys": ["layers.1.order"], "first_seed": 1,
                "seeds": 1, "steps": 2, "command": "pnnlab sweep", "points": points,
            }))
            .unwrap()
        };
        let words = sweep(json!([point(1.0, "tile", true), point(0.0, "hold", false)])).caption();
        assert_eq!(words[1], "layers.1.order: 0 is hold, 1 is tile");
        assert_eq!(words[2], "not drawn, since a training left the numbers: in-silico at 1");
        assert_eq!(sweep(json!([point(0.5, "5e-1", false)])).caption().len(), 2);
    }
}
