//! Plant against twin: the readings of the last reference shots, what the twin predicts for them, and the difference.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::key::{Entry, key};
use super::record::RunRecord;
use super::response::times;
use super::sheet::{Axes, Figure, Pen, quantity, save, text};
use super::theme::Theme;
use crate::Error;
use crate::plants::RigConfig;

/// One plant's first reference shot.
struct Readings {
    title: String,
    unit: String,
    /// Seconds from one port to the next, where they are the samples of a waveform.
    sample_seconds: Option<f64>,
    /// Port, plant, twin.
    values: Vec<(f64, f64, f64)>,
}

struct PlantAndTwin {
    readings: Readings,
    caption: Vec<String>,
}

/// Draws `plant-and-twin-NAME` for each plant of the run with reference shots (`reference.csv`).
pub fn plant_and_twin(run: &RunRecord, folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let Some(text) = run.text("reference.csv") else { return Ok(vec![]) };
    let rig: Option<RigConfig> = run.text("rig.toml").and_then(|text| toml::from_str(&text).ok());
    let sample_seconds = |plant: &str| rig.as_ref()?.plants.get(plant)?.twin_system()?.sample_seconds();
    let mut plants: Vec<Readings> = Vec::new();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    for row in reader.deserialize::<(String, String, String, u32, u32, f64, f64)>() {
        let row = row.map_err(|error| Error::Record {
            path: folder.join("reference.csv"),
            message: format!("cannot be read: {error}"),
        })?;
        let (plant, bank, unit, shot, port, plant_value, twin_value) = row;
        // One shot and one bank can be read; more would hide one another.
        if shot != 0 {
            continue;
        }
        let title = format!("{plant}, {bank}");
        let values = (f64::from(port), plant_value, twin_value);
        match plants.iter_mut().find(|readings| readings.title == title) {
            Some(readings) => readings.values.push(values),
            None => plants.push(Readings { title, unit, sample_seconds: sample_seconds(&plant), values: vec![values] }),
        }
    }
    let mut drawn = Vec::new();
    for readings in plants {
        let square = |value: &dyn Fn(&(f64, f64, f64)) -> f64| {
            (readings.values.iter().map(|values| value(values).powi(2)).sum::<f64>() / readings.values.len() as f64)
                .sqrt()
        };
        let first = format!(
            "a shot of the last test: what the plant read and what the twin predicts; RMS difference {:.4} {}",
            square(&|(_, plant, twin)| twin - plant),
            readings.unit
        );
        let name = format!("plant-and-twin-{}", readings.title.replace(", ", "-").replace(' ', "-"));
        let figure = PlantAndTwin { readings, caption: run.caption(&first) };
        drawn.extend(save(&figure, folder, &name, theme)?);
    }
    Ok(drawn)
}

/// The extremes of some values, widened a little; never empty.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if high < low {
        return 0.0..1.0;
    }
    let margin = (0.06 * (high - low)).max(1e-9 * high.abs()).max(1e-12);
    low - margin..high + margin
}

impl Figure for PlantAndTwin {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let Readings { title, unit, values, sample_seconds } = &self.readings;
        let (above, below) = area.split_vertically(self.size().1 * 2 / 3);
        let (along, places) = match sample_seconds {
            Some(seconds) => times(values.len(), *seconds),
            None => ("output port".to_owned(), values.iter().map(|(port, ..)| *port).collect()),
        };
        let (first, last) = (places.first().copied().unwrap_or(0.0), places.last().copied().unwrap_or(0.0));
        let ports = || first..if first < last { last } else { first + 1.0 };
        let what = quantity("reading", unit);
        let both = range(values.iter().flat_map(|(_, plant, twin)| [*plant, *twin]));
        let axes = Axes { title, x: ("", ports()), y: (&what, both), small: true };
        let (plant, twin) = (theme.series(0), theme.series(1));
        let entry = |label: &str, color, dashed| Entry { label: label.to_owned(), color, dashed };
        let above = key(&above, theme, &[entry("plant", plant, false), entry("twin", twin, true)])?;
        let mut chart = axes.on(&above, theme)?;
        let lines = |which: usize| {
            let all = places.iter().zip(values);
            all.map(move |(place, (_, plant, twin))| (*place, [*plant, *twin, twin - plant][which]))
        };
        Pen { color: plant, width: 3, dashed: false, label: "" }.curve(&mut chart, lines(0))?;
        Pen { color: twin, width: 2, dashed: true, label: "" }.curve(&mut chart, lines(1))?;
        let what = quantity("difference", unit);
        let axes =
            Axes { title: "", x: (&along, ports()), y: (&what, range(lines(2).map(|point| point.1))), small: true };
        let mut chart = axes.on(&below, theme)?;
        chart
            .draw_series(LineSeries::new([(ports().start, 0.0), (ports().end, 0.0)], theme.ink().mix(0.4)))
            .map_err(text)?;
        Pen { color: theme.series(2), width: 2, dashed: false, label: "" }.curve(&mut chart, lines(2))
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_all_values_and_are_never_empty() {
        assert_eq!(range(std::iter::empty()), 0.0..1.0);
        let one = range([2.0].into_iter());
        assert!(one.start < 2.0 && 2.0 < one.end);
        let some = range([1.0, f64::NAN, 3.0].into_iter());
        assert!(some.start < 1.0 && 3.0 < some.end && some.end < 3.5);
    }
}
