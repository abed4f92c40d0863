//! Accuracy against the shots that were spent on it: one panel for each task, one line for each method.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::key::{Entry, key};
use super::sheet::{Axes, Figure, Pen, save};
use super::theme::Theme;
use crate::Error;

/// Panels that stand side by side.
const ACROSS: usize = 2;
/// Height of a row of panels, in pixels.
const HEIGHT: u32 = 430;
/// Colors that are told apart; further lines are broken, then thin.
const COLORS: usize = 5;

/// The lines of one task.
#[derive(Debug, Clone, PartialEq)]
pub struct ShotPanel {
    /// The task.
    pub title: String,
    /// Each line: whose, and shots with accuracies as fractions.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// What is drawn.
struct Shots {
    panels: Vec<ShotPanel>,
    /// Names of all lines, in the order in which they first come.
    names: Vec<String>,
    caption: Vec<String>,
}

/// Draws `NAME.svg` and `.png` in a folder; nothing where there are no panels.
pub fn shots(
    panels: Vec<ShotPanel>,
    caption: Vec<String>,
    (folder, name): (&Path, &str),
    theme: Theme,
) -> Result<Vec<PathBuf>, Error> {
    let mut names: Vec<String> = Vec::new();
    for (line, _) in panels.iter().flat_map(|panel| &panel.lines) {
        if !names.contains(line) {
            names.push(line.clone());
        }
    }
    if names.is_empty() { Ok(vec![]) } else { save(&Shots { panels, names, caption }, folder, name, theme) }
}

impl Shots {
    /// How the line with this number looks.
    fn pen(number: usize, theme: Theme) -> Pen<'static> {
        let round = number / COLORS;
        Pen { color: theme.series(number), width: if round < 2 { 3 } else { 1 }, dashed: round == 1, label: "" }
    }
}

impl Figure for Shots {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let entry = |(number, name): (usize, &String)| {
            let Pen { color, dashed, .. } = Self::pen(number, theme);
            Entry { label: name.clone(), color, dashed }
        };
        let entries: Vec<Entry> = self.names.iter().enumerate().map(entry).collect();
        let below = key(area, theme, &entries)?;
        let across = ACROSS.min(self.panels.len()).max(1);
        let areas = below.split_evenly((self.panels.len().div_ceil(across).max(1), across));
        for (panel, area) in self.panels.iter().zip(&areas) {
            let powers = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
                points.iter().filter(|(shots, _)| 0.0 < *shots).map(|(x, y)| (x.log10(), 100.0 * y)).collect()
            };
            let all: Vec<f64> = panel.lines.iter().flat_map(|(_, points)| powers(points)).map(|(x, _)| x).collect();
            let (low, high) = (all.iter().copied().fold(9.0, f64::min), all.iter().copied().fold(0.0, f64::max));
            let axes = Axes {
                title: &panel.title,
                x: ("shots that trained, power of ten", low.min(high)..high + 0.02),
                y: ("test accuracy on the plant, %", 0.0..100.0),
                small: true,
            };
            let mut chart = axes.on(area, theme)?;
            for (name, points) in &panel.lines {
                let number = self.names.iter().position(|known| known == name).unwrap_or_default();
                Self::pen(number, theme).curve(&mut chart, powers(points))?;
            }
        }
        Ok(())
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }

    fn size(&self) -> (u32, u32) {
        (960, 90 + HEIGHT * self.panels.len().div_ceil(ACROSS).max(1) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_method_and_nothing_where_nothing_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let line = |name: &str| (name.to_owned(), vec![(100.0, 0.2), (1000.0, 0.7), (0.0, 0.1)]);
        let panel = ShotPanel { title: "digits".into(), lines: vec![line("spsa"), line("phyll")] };
        let at = (folder.path(), "shots");
        assert!(shots(vec![], vec![], at, Theme::Light).unwrap().is_empty());
        let files = shots(vec![panel], vec!["SIMULATED".into()], at, Theme::Light).unwrap();
        let text = std::fs::read_to_string(&files[0]).unwrap();
        assert!(["spsa", "phyll", "digits", "SIMULATED"].iter().all(|word| text.contains(word)));
    }
}
