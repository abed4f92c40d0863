//! Figures of a calibration: predicted against measured, and the residual of each output with its noise.

use std::path::{Path, PathBuf};

use drivers::Batch;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::sheet::{Axes, Figure, Pen, legend, quantity, save, text};
use super::theme::{MEDIUM, Theme};
use crate::Error;
use crate::report::{Calibrated, calibration::counted};

/// The vertical axis over the largest value: the legend lies above the curves.
const HEADROOM: f64 = 1.3;
/// Points that a scatter shows.
const POINTS: usize = 4000;
/// Outputs of which each has a mark: a line through one output would be nothing.
const MARKED: usize = 40;

/// Draws what a calibration has to show into `folder`.
pub fn calibration_figures(calibrated: &Calibrated<'_>, folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let caption = caption(calibrated);
    if let Some((read, predicted)) = &calibrated.fitted.held_out {
        let scatter = Scatter { read, predicted, unit: unit(calibrated), caption: caption.clone() };
        files.extend(save(&scatter, folder, "predicted", theme)?);
    }
    if let Some(residual) = &calibrated.fitted.residual {
        let physics = calibrated.fitted.physics_residual.as_ref().map(|residual| residual.ports.clone());
        files.extend(save(
            &Ports { twin: residual.ports.clone(), physics, noise: calibrated.noise_of_ports(), caption },
            folder,
            "ports",
            theme,
        )?);
    }
    Ok(files)
}

/// The unit of the outputs; none where they have several.
fn unit(calibrated: &Calibrated<'_>) -> String {
    let banks = &calibrated.trace.card.ports.outputs;
    match banks.first() {
        Some(first) if banks.iter().all(|bank| bank.unit == first.unit) => first.unit.clone(),
        _ => "1".to_owned(),
    }
}

fn caption(calibrated: &Calibrated<'_>) -> Vec<String> {
    let facts = calibrated.facts;
    vec![
        format!(
            "plant {} ({}, {}); procedure {}, {}; held-out stimuli",
            facts.plant,
            facts.origin.to_uppercase(),
            facts.serial,
            facts.procedure,
            counted(facts.shots, "shot", "shots")
        ),
        format!("command: {}", crate::record::command_line()),
    ]
}

/// How far apart the points lie that a scatter shows: a step that meets every one of `columns` outputs in turn.
fn every(values: usize, columns: usize) -> usize {
    let shared = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let sparse = values.div_ceil(POINTS).max(1);
    (sparse..=sparse + columns).find(|step| shared(*step, columns) <= 1).unwrap_or(1)
}

struct Scatter<'a> {
    read: &'a Batch,
    predicted: &'a Batch,
    unit: String,
    caption: Vec<String>,
}

impl Figure for Scatter<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let (low, high) = self
            .read
            .values()
            .iter()
            .chain(self.predicted.values())
            .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(f64::from(*value)), high.max(f64::from(*value))));
        let range = low..(high.max(low + 1e-9));
        let [x, y] = ["measured", "predicted"].map(|what| quantity(what, &self.unit));
        let axes = Axes { title: "", x: (&x, range.clone()), y: (&y, range.clone()), small: false };
        let mut chart = axes.on(area, theme)?;
        let every = every(self.read.values().len(), self.read.columns());
        let color = theme.series(0);
        let points = self.read.values().iter().zip(self.predicted.values()).step_by(every);
        chart
            .draw_series(points.map(|(x, y)| Circle::new((f64::from(*x), f64::from(*y)), 2, color.mix(0.4).filled())))
            .map_err(text)?;
        Pen { color: theme.ink(), width: 1, dashed: false, label: "" }
            .curve(&mut chart, [(range.start, range.start), (range.end, range.end)])
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }

    fn size(&self) -> (u32, u32) {
        (720, 640)
    }
}

struct Ports {
    twin: Vec<f64>,
    physics: Option<Vec<f64>>,
    noise: Option<Vec<f64>>,
    caption: Vec<String>,
}

impl Figure for Ports {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let all = [Some(&self.twin), self.physics.as_ref(), self.noise.as_ref()];
        let high = all.iter().flatten().flat_map(|values| values.iter()).copied().fold(1e-9, f64::max);
        let (outputs, marked) = (self.twin.len() as f64, self.twin.len() <= MARKED);
        let axes = Axes {
            title: "",
            x: ("number of the output", if marked { -0.5..outputs - 0.5 } else { 0.0..outputs - 1.0 }),
            y: ("RMS residual, % of full scale", 0.0..100.0 * HEADROOM * high),
            small: false,
        };
        let mut chart = axes.on(area, theme)?;
        let names = ["twin", "fitted coefficients", "noise of the means"];
        for (index, (name, values)) in names.into_iter().zip(all).enumerate() {
            // A twin that is its fitted coefficients is drawn once.
            let Some(values) = values.filter(|values| index == 0 || **values != self.twin) else { continue };
            let points = values.iter().enumerate().map(|(port, value)| (port as f64, 100.0 * value));
            let color = theme.series(index);
            Pen { color, width: 2, dashed: index == 2, label: name }.curve(&mut chart, points.clone())?;
            if marked {
                chart.draw_series(points.map(|point| Circle::new(point, 4, color.filled()))).map_err(text)?;
            }
        }
        legend(&mut chart, theme, SeriesLabelPosition::UpperRight, MEDIUM)
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_output_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports { twin: vec![0.01], physics: None, noise: None, caption: vec![] };
        let files = save(&ports, folder.path(), "ports", Theme::Light).unwrap();
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 1);
    }

    #[test]
    fn a_scatter_shows_every_output() {
        for (shots, outputs) in [(4000, 50), (100, 64), (20_000, 1), (3, 7)] {
            let step = every(shots * outputs, outputs);
            let shown: std::collections::HashSet<usize> =
                (0..shots * outputs).step_by(step).map(|value| value % outputs).collect();
            assert_eq!(shown.len(), outputs, "{shots} {outputs} {step}");
        }
    }
}
