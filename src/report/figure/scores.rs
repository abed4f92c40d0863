//! How scores of known and of unknown rows are distributed: a small panel for each score.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::record::{RunRecord, drawable};
use super::sheet::{Axes, Figure, Pen, legend, save, text};
use super::theme::{SMALL, Theme};
use crate::Error;
use crate::training::GUARD_SCORES;

/// Panels of a row.
const ACROSS: usize = 3;
/// Bars of a panel.
const BINS: usize = 40;

/// One score: shares of known and of unknown rows along it.
struct Panel {
    name: String,
    range: [f64; 2],
    shares: [Vec<f64>; 2],
}

struct Scores {
    panels: Vec<Panel>,
    caption: Vec<String>,
}

/// Draws the scores that the last `pnnlab guard` of a run has left; nothing where there was none.
pub fn unknown_scores(run: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let path = run.join(GUARD_SCORES);
    if !path.exists() {
        return Ok(vec![]);
    }
    let (panels, rows) = read(&path)?;
    let first = format!(
        "{} known rows (the test set) and {} unknown ones, on the plant; a higher score says \"unknown\"; the outermost hundredths are drawn at the ends",
        rows[0], rows[1]
    );
    let caption = RunRecord::read(run)?.caption(&first);
    save(&Scores { panels, caption }, &run.join("figures"), "guard", theme)
}

/// The panels, and how many rows are known and unknown.
fn read(path: &Path) -> Result<(Vec<Panel>, [usize; 2]), Error> {
    let bad = |message: String| Error::Record { path: path.to_owned(), message: format!("cannot be read: {message}") };
    let mut reader = csv::Reader::from_path(path).map_err(|error| bad(error.to_string()))?;
    let names: Vec<String> =
        reader.headers().map_err(|error| bad(error.to_string()))?.iter().skip(1).map(str::to_owned).collect();
    let mut values = vec![[vec![], vec![]]; names.len()];
    let mut rows = [0; 2];
    for row in reader.records() {
        let row = row.map_err(|error| bad(error.to_string()))?;
        let set = usize::from(row.get(0) == Some("unknown"));
        rows[set] += 1;
        for (place, both) in values.iter_mut().enumerate() {
            let field = row.get(place + 1).unwrap_or_default();
            let value = field.parse::<f64>().ok().filter(|value| !value.is_nan());
            both[set].push(value.ok_or_else(|| bad(format!("`{field}` is no score")))?);
        }
    }
    Ok((names.into_iter().zip(values).map(|(name, both)| panel(name, &both)).collect(), rows))
}

/// Shares of the rows along a score. A few rows that lie far out must not press all others into one bar.
fn panel(name: String, both: &[Vec<f64>; 2]) -> Panel {
    let mut all: Vec<f64> = both.iter().flatten().copied().filter(drawable).collect();
    all.sort_by(f64::total_cmp);
    let at =
        |share: f64| all.get(((all.len().saturating_sub(1)) as f64 * share).round() as usize).copied().unwrap_or(0.0);
    let (low, high) = (at(0.01), at(0.99));
    let high = if low < high { high } else { low + 1e-9_f64.max(1e-6 * low.abs()) };
    let shares = both.each_ref().map(|values| {
        let mut shares = vec![0.0; BINS];
        for value in values {
            let place = ((value - low) / (high - low) * BINS as f64).clamp(0.0, BINS as f64 - 1.0);
            shares[place as usize] += 1.0 / values.len() as f64;
        }
        shares
    });
    Panel { name, range: [low, high], shares }
}

impl Figure for Scores {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let across = self.panels.len().clamp(1, ACROSS);
        let areas = area.split_evenly((self.panels.len().div_ceil(ACROSS).max(1), across));
        for (panel, area) in self.panels.iter().zip(&areas) {
            let [low, high] = panel.range;
            let most = panel.shares.iter().flatten().copied().fold(1e-6, f64::max);
            let axes =
                Axes { title: "", x: (&panel.name, low..high), y: ("share of rows", 0.0..1.1 * most), small: true };
            let mut chart = axes.on(area, theme)?;
            for (set, (shares, label)) in panel.shares.iter().zip(["known", "unknown"]).enumerate() {
                let width = (high - low) / BINS as f64;
                let bar = |(place, share): (usize, &f64)| {
                    let from = low + place as f64 * width;
                    Rectangle::new([(from, 0.0), (from + width, *share)], theme.series(set).mix(0.35).filled())
                };
                chart
                    .draw_series(shares.iter().enumerate().filter(|(_, share)| 0.0 < **share).map(bar))
                    .map_err(text)?;
                let steps = shares.iter().enumerate().flat_map(|(place, share)| {
                    let from = low + place as f64 * width;
                    [(from, *share), (from + width, *share)]
                });
                Pen { color: theme.series(set), width: 2, dashed: set == 1, label }.curve(&mut chart, steps)?;
            }
            legend(&mut chart, theme, SeriesLabelPosition::UpperRight, SMALL)?;
        }
        Ok(())
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }

    fn size(&self) -> (u32, u32) {
        (360 * self.panels.len().clamp(1, ACROSS) as u32, 300 * self.panels.len().div_ceil(ACROSS).max(1) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shared_out_along_each_score() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.csv");
        let rows: Vec<String> = (0..100).map(|row| format!("known,{row},1\nunknown,{},inf\n", 50 + row)).collect();
        let rows = rows.concat();
        std::fs::write(&path, format!("set,energy,state\n{rows}")).unwrap();
        let (panels, rows) = read(&path).unwrap();
        assert_eq!((panels.len(), rows), (2, [100, 100]));
        for panel in &panels {
            for shares in &panel.shares {
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9 && panel.range[0] < panel.range[1]);
            }
        }
        assert!((panels[1].shares[1][BINS - 1] - 1.0).abs() < 1e-9, "what is infinitely far is at the end");
        let files =
            save(&Scores { panels, caption: vec!["words".into()] }, folder.path(), "guard", Theme::Light).unwrap();
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        assert!(svg.contains("energy") && svg.contains("unknown") && svg.contains("words"));
        std::fs::write(&path, "set,energy\nknown,x\n").unwrap();
        assert!(read(&path).err().unwrap().to_string().contains("`x` is no score"));
    }
}
