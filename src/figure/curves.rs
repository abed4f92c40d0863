//! Learning curves: test accuracy against updates, by method, with the spread over seeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use serde_json::Value;

use super::sheet::{Axes, Chart, Figure, Pen, legend, save, text};
use super::theme::{MEDIUM, Theme};
use crate::comparison::Spread;
use crate::{Error, Method};

/// One curve of a run: what was tested, step by step.
struct Curve {
    method: String,
    seed: u64,
    facts: Value,
    /// Step, accuracy on the plant, accuracy believed.
    tests: Vec<(f64, f64, f64)>,
    /// Updates in each epoch, where the record shows a whole one.
    epoch: Option<f64>,
}

/// The curves of several runs of one experiment.
struct Curves {
    curves: Vec<Curve>,
    overlay: Overlay,
}

/// What others published, beside the curves.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// Method, words and accuracy of each published end.
    pub lines: Vec<(String, String, f64)>,
    /// A published curve: its name, and accuracy after each epoch.
    pub curve: Option<(String, Vec<(f64, f64)>)>,
}

/// Learning curves of the runs: `learning-curves.svg` and `.png` in `folder`; nothing where no run was tested.
pub fn learning_curves(runs: &[PathBuf], folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    published_curves(runs, Overlay::default(), &folder.join("learning-curves"), theme)
}

/// The same with what others published beside it: `PATH.svg` and `PATH.png`.
pub fn published_curves(runs: &[PathBuf], overlay: Overlay, path: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let curves = runs.iter().map(|run| read(run)).collect::<Result<Vec<_>, _>>()?;
    if curves.iter().all(|curve| curve.tests.is_empty()) {
        return Ok(vec![]);
    }
    let (folder, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
    save(&Curves { curves, overlay }, folder, &name.to_string_lossy(), theme)
}

/// Reads the tests of one run.
fn read(run: &Path) -> Result<Curve, Error> {
    let bad = |path: &Path, message: String| Error::Record {
        path: path.to_owned(),
        message: format!("cannot be read: {message}"),
    };
    let facts_path = run.join("run.json");
    let text = std::fs::read_to_string(&facts_path).map_err(|error| bad(&facts_path, error.to_string()))?;
    let facts: Value = serde_json::from_str(&text).map_err(|error| bad(&facts_path, error.to_string()))?;
    let path = run.join("metrics.csv");
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_path(&path).map_err(|error| bad(&path, error.to_string()))?;
    let headers = reader.headers().map_err(|error| bad(&path, error.to_string()))?.clone();
    let column = |name: &str| {
        let place = headers.iter().position(|header| header == name);
        place.ok_or_else(|| bad(&path, format!("it has no column `{name}`")))
    };
    let columns = [column("step")?, column("test_accuracy")?, column("believed_accuracy")?];
    let epoch_column = column("epoch")?;
    let (mut tests, mut epoch) = (Vec::new(), None);
    for row in reader.records() {
        let row = row.map_err(|error| bad(&path, error.to_string()))?;
        let number = |column: usize| row.get(column).and_then(|field| field.parse::<f64>().ok());
        if let (Some("test"), [Some(step), Some(plant), Some(believed)]) = (row.get(0), columns.map(number)) {
            tests.push((step, plant, believed));
        }
        // The first update of the second epoch tells how many the first had.
        if epoch.is_none() && row.get(0) == Some("step") && number(epoch_column) == Some(2.0) {
            epoch = number(columns[0]).map(|step| step - 1.0);
        }
    }
    let method = facts["method"].as_str().unwrap_or("unknown").to_owned();
    Ok(Curve { method, seed: facts["seed"].as_u64().unwrap_or(0), facts, tests, epoch })
}

/// A step with the spread of its values over the seeds.
type Band = Vec<(f64, Spread)>;

/// The mean and spread of each method at each step, in the order of the tables.
fn bands(curves: &[Curve], value: impl Fn(&(f64, f64, f64)) -> f64) -> Vec<(String, Band)> {
    let mut methods: Vec<String> = curves.iter().map(|curve| curve.method.clone()).collect();
    methods.sort_by_key(|method| Method::ALL.iter().position(|known| known.name() == method));
    methods.dedup();
    let of = |method: &str| {
        let mut steps: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for curve in curves.iter().filter(|curve| curve.method == method) {
            for test in &curve.tests {
                steps.entry(test.0 as u64).or_default().push(value(test));
            }
        }
        steps.into_iter().map(|(step, values)| (step as f64, Spread::of(&values))).collect()
    };
    methods
        .into_iter()
        .map(|method| {
            let band = of(&method);
            (method, band)
        })
        .collect()
}

impl Curves {
    /// Updates for each unit of the horizontal axis: an epoch, where the record shows one and several were run.
    fn unit(&self) -> Option<f64> {
        let last = self.curves.iter().flat_map(|curve| &curve.tests).map(|test| test.0).fold(1.0, f64::max);
        self.curves.first()?.epoch.filter(|epoch| 0.0 < *epoch && *epoch < last)
    }

    /// The lowest accuracy that is shown, in %: low enough for all but what belongs to the first tenth.
    fn floor(&self, last: f64) -> f64 {
        let late = self.curves.iter().flat_map(|curve| &curve.tests).filter(|test| 0.1 * last <= test.0);
        let lowest = late.map(|test| test.1.min(test.2)).chain(self.overlay.lines.iter().map(|line| line.2));
        let lowest = 100.0 * lowest.fold(1.0, f64::min);
        // Differences of some points need a scale of their own; all else is shown from zero.
        if lowest < 80.0 { 0.0 } else { (10.0 * ((lowest - 2.0) / 10.0).floor()).max(0.0) }
    }

    /// What others published.
    fn draw_published<B: DrawingBackend>(
        &self,
        chart: &mut Chart<'_, B>,
        theme: Theme,
        end: f64,
    ) -> Result<(), String> {
        for (method, words, accuracy) in &self.overlay.lines {
            let pen = Pen { color: theme.method(method), width: 1, dashed: true, label: words };
            pen.curve(chart, [(0.0, 100.0 * accuracy), (end, 100.0 * accuracy)])?;
        }
        if let (Some((words, points)), Some(_)) = (&self.overlay.curve, self.unit()) {
            let pen = Pen { color: theme.ink(), width: 2, dashed: true, label: words };
            pen.curve(chart, points.iter().map(|(epoch, accuracy)| (*epoch, 100.0 * accuracy)))?;
        }
        Ok(())
    }
}

impl Figure for Curves {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let steps = self.curves.iter().flat_map(|curve| &curve.tests).map(|test| test.0).fold(1.0, f64::max);
        let (unit, words) = self.unit().map_or((1.0, "update"), |epoch| (epoch, "epoch"));
        let last = steps / unit;
        let low = self.floor(steps);
        let axes = Axes { title: "", x: (words, 0.0..last * 1.02), y: ("test accuracy, %", low..100.0), small: false };
        let mut chart = axes.on(area, theme)?;
        for (method, band) in bands(&self.curves, |test| test.1) {
            let color = theme.method(&method);
            let percent = |(step, spread): &(f64, Spread), sign: f64| {
                (*step / unit, (100.0 * (spread.mean + sign * spread.spread)).clamp(low, 100.0))
            };
            let outline =
                band.iter().map(|point| percent(point, 1.0)).chain(band.iter().rev().map(|point| percent(point, -1.0)));
            chart.draw_series([Polygon::new(outline.collect::<Vec<_>>(), color.mix(0.18))]).map_err(text)?;
            let points = band.iter().map(|point| percent(point, 0.0));
            chart.draw_series(points.clone().map(|point| Circle::new(point, 4, color.filled()))).map_err(text)?;
            let label = format!("{method}, on the plant");
            Pen { color, width: 3, dashed: false, label: &label }.curve(&mut chart, points)?;
        }
        for (method, band) in bands(&self.curves, |test| test.2) {
            if method != Method::InSilico.name() {
                continue;
            }
            let label = format!("{method}, what it believes");
            let points = band.iter().map(|(step, spread)| (*step / unit, (100.0 * spread.mean).max(low)));
            Pen { color: theme.method(&method), width: 2, dashed: true, label: &label }.curve(&mut chart, points)?;
        }
        self.draw_published(&mut chart, theme, last * 1.02)?;
        legend(&mut chart, theme, SeriesLabelPosition::LowerRight, MEDIUM)
    }

    /// What was measured on what, with which seeds, and the command.
    fn caption(&self) -> Vec<String> {
        let first = &self.curves[0].facts;
        let plants = first["plants"].as_array().cloned().unwrap_or_default();
        let plants = plants.iter().map(|plant| {
            let text = |key: &str| plant[key].as_str().unwrap_or("?").to_owned();
            format!("plant {} ({}, {})", text("plant"), text("origin").to_uppercase(), text("serial"))
        });
        let mut seeds: Vec<u64> = self.curves.iter().map(|curve| curve.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let seeds = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let experiment = first["experiment"].as_str().unwrap_or("?");
        vec![
            format!(
                "{experiment}; {}; seeds {seeds}; line: mean, band: one standard deviation over seeds",
                plants.collect::<Vec<_>>().join(", ")
            ),
            format!("command: {}", first["command"].as_str().unwrap_or("?")),
        ]
    }
}
