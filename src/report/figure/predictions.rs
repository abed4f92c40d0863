//! Predictions of a run's last test against the targets, each in the data's own unit; on the diagonal they are right.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::record::drawable;
use super::sheet::{Axes, Figure, Pen, save, text};
use super::theme::Theme;
use crate::Error;

/// Targets that are drawn.
const MOST_TARGETS: usize = 6;
/// Panels of a row.
const ACROSS: usize = 3;
/// Points of a panel at most: more would only be drawn over one another.
const POINTS: usize = 4000;

/// One target: what was wanted and what was said, row after row.
struct Panel {
    name: String,
    points: Vec<(f64, f64)>,
}

struct Predictions {
    panels: Vec<Panel>,
    caption: Vec<String>,
}

/// Draws the last tests of `runs` (`test.csv`) to `NAME.svg` and `NAME.png`; nothing where no run was tested.
pub fn predictions(
    runs: &[PathBuf],
    mut caption: Vec<String>,
    folder: &Path,
    name: &str,
    theme: Theme,
) -> Result<Vec<PathBuf>, Error> {
    let (mut panels, mut rows): (Vec<Panel>, usize) = (Vec::new(), 0);
    for run in runs {
        rows += read(&run.join("test.csv"), &mut panels)?;
    }
    if panels.iter().all(|panel| panel.points.is_empty()) {
        return Ok(vec![]);
    }
    let more = if MOST_TARGETS < panels.len() {
        format!("; {} more targets are not drawn", panels.len() - MOST_TARGETS)
    } else {
        String::new()
    };
    panels.truncate(MOST_TARGETS);
    let few = if POINTS < rows { format!("{POINTS} of {rows} rows") } else { format!("{rows} rows") };
    let plural = if runs.len() == 1 { "" } else { "s" };
    caption.insert(
        0,
        format!(
            "{few} of the test set, over {} run{plural}; the line is where predictions are right{more}",
            runs.len()
        ),
    );
    for panel in &mut panels {
        let every = panel.points.len().div_ceil(POINTS).max(1);
        panel.points = panel.points.iter().copied().step_by(every).collect();
    }
    save(&Predictions { panels, caption }, folder, name, theme)
}

/// Adds the rows of one test to the panels, and says how many there are; none where the run has no such file.
fn read(path: &Path, panels: &mut Vec<Panel>) -> Result<usize, Error> {
    if !path.exists() {
        return Ok(0);
    }
    let bad = |message: String| Error::Record { path: path.to_owned(), message: format!("cannot be read: {message}") };
    let mut reader = csv::Reader::from_path(path).map_err(|error| bad(error.to_string()))?;
    let headers = reader.headers().map_err(|error| bad(error.to_string()))?.clone();
    let place = |column: &str| headers.iter().position(|header| header == column);
    let names = headers.iter().filter_map(|header| header.strip_prefix("target_"));
    let columns: Vec<(String, [usize; 2])> = names
        .filter_map(|name| {
            let places = [place(&format!("target_{name}"))?, place(&format!("prediction_{name}"))?];
            Some((name.to_owned(), places))
        })
        .collect();
    let mut rows = 0;
    for row in reader.records() {
        let row = row.map_err(|error| bad(error.to_string()))?;
        for (name, places) in &columns {
            let number = |place: usize| {
                let field = row.get(place).unwrap_or_default();
                let number = field.parse::<f64>().ok().filter(drawable);
                number.ok_or_else(|| bad(format!("`{field}` is no number that can be drawn")))
            };
            let point = (number(places[0])?, number(places[1])?);
            match panels.iter_mut().find(|panel| panel.name == *name) {
                Some(panel) => panel.points.push(point),
                None => panels.push(Panel { name: name.clone(), points: vec![point] }),
            }
        }
        rows += 1;
    }
    Ok(rows)
}

impl Figure for Predictions {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let across = self.panels.len().min(ACROSS);
        let areas = area.split_evenly((self.panels.len().div_ceil(ACROSS), across));
        for (panel, area) in self.panels.iter().zip(&areas) {
            let (low, high) = panel
                .points
                .iter()
                .flat_map(|point| [point.0, point.1])
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
            let margin = 0.05 * (high - low).max(1e-9);
            let range = || low - margin..high + margin;
            let (x, y) = (format!("target {}", panel.name), format!("prediction {}", panel.name));
            let axes = Axes { title: "", x: (&x, range()), y: (&y, range()), small: 1 < self.panels.len() };
            let mut chart = axes.on_for_numbers(area, theme)?;
            let diagonal = [range().start, range().end].map(|end| (end, end));
            Pen { color: theme.ink(), width: 1, dashed: true, label: "" }.curve(&mut chart, diagonal)?;
            let style = theme.series(0).mix(0.5).filled();
            chart.draw_series(panel.points.iter().map(|point| Circle::new(*point, 2, style))).map_err(text)?;
        }
        Ok(())
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }

    fn size(&self) -> (u32, u32) {
        match self.panels.len() {
            0 | 1 => (660, 600),
            count if count <= ACROSS => (360 * count as u32, 360),
            _ => (1080, 700),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_panel_and_broken_rows_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        std::fs::create_dir(&run).unwrap();
        let draw = |text: &str| {
            std::fs::write(run.join("test.csv"), text).unwrap();
            predictions(std::slice::from_ref(&run), vec![], folder.path(), "p", Theme::Light)
        };
        let files = draw("row,target_y,prediction_y,target_z,prediction_z\n0,1,1.5,-2,-1\n7,2,2,-4,-3.5\n").unwrap();
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        for words in ["target y", "prediction y", "target z", "prediction z", "2 rows of the test set, over 1 run;"] {
            assert!(svg.contains(words), "{words}");
        }
        assert_eq!(svg.matches("<circle").count(), 4);
        let error = draw("row,target_y,prediction_y\n0,1,x\n").unwrap_err().to_string();
        assert!(error.contains("test.csv") && error.contains("`x` is no number"), "{error}");
        let none = folder.path().join("none");
        assert!(predictions(&[none], vec![], folder.path(), "q", Theme::Light).unwrap().is_empty());
    }
}
