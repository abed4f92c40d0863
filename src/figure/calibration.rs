//! Figures of a calibration: predicted against measured, and the residual of each output with its noise.

use std::path::{Path, PathBuf};

use drivers::Batch;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::sheet::{Axes, Figure, Pen, legend, save, text};
use super::theme::{MEDIUM, Theme};
use crate::Error;
use crate::calibration_report::Calibrated;

/// Points that a scatter shows.
const POINTS: usize = 4000;

/// Draws what a calibration has to show into `folder`.
pub fn calibration_figures(calibrated: &Calibrated<'_>, folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let caption = caption(calibrated);
    if let Some((read, predicted)) = &calibrated.fitted.held_out {
        files.extend(save(&Scatter { read, predicted, caption: caption.clone() }, folder, "predicted", theme)?);
    }
    if let Some(residual) = &calibrated.fitted.residual {
        let physics = calibrated.fitted.physics_residual.as_ref().map(|residual| residual.ports.clone());
        files.extend(save(
            &Ports { twin: residual.ports.clone(), physics, noise: noise(calibrated), caption },
            folder,
            "ports",
            theme,
        )?);
    }
    Ok(files)
}

/// Standard deviation of each output's mean of repeats, in full scales.
fn noise(calibrated: &Calibrated<'_>) -> Option<Vec<f64>> {
    let averaged = calibrated.trace.averaged();
    let repeats = calibrated.trace.shots() as f64 / averaged.trace.shots().max(1) as f64;
    let ranges = calibrated.trace.card.ports.ranges(drivers::Direction::Output);
    let noise = averaged.noise?;
    Some(
        noise
            .iter()
            .zip(ranges)
            .map(|(noise, range)| noise / repeats.sqrt() / f64::from(range.full_scale().max(f32::MIN_POSITIVE)))
            .collect(),
    )
}

fn caption(calibrated: &Calibrated<'_>) -> Vec<String> {
    let facts = calibrated.facts;
    vec![
        format!(
            "plant {} ({}, {}); {} of {} shots; held-out stimuli",
            facts.plant,
            facts.origin.to_uppercase(),
            facts.serial,
            facts.procedure,
            facts.shots
        ),
        format!("command: {}", crate::run::command_line()),
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
        let axes = Axes { title: "", x: ("measured", range.clone()), y: ("predicted", range.clone()), small: false };
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
        let axes = Axes {
            title: "",
            x: ("output", 0.0..(self.twin.len() as f64 - 1.0).max(1.0)),
            y: ("RMS residual, % of full scale", 0.0..110.0 * high),
            small: false,
        };
        let mut chart = axes.on(area, theme)?;
        for (index, (name, values)) in ["twin", "fitted coefficients", "noise"].into_iter().zip(all).enumerate() {
            let Some(values) = values else { continue };
            let points = values.iter().enumerate().map(|(port, value)| (port as f64, 100.0 * value));
            Pen { color: theme.series(index), width: 2, dashed: index == 2, label: name }.curve(&mut chart, points)?;
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
    fn a_scatter_shows_every_output() {
        for (shots, outputs) in [(4000, 50), (100, 64), (20_000, 1), (3, 7)] {
            let step = every(shots * outputs, outputs);
            let shown: std::collections::HashSet<usize> =
                (0..shots * outputs).step_by(step).map(|value| value % outputs).collect();
            assert_eq!(shown.len(), outputs, "{shots} {outputs} {step}");
        }
    }
}
