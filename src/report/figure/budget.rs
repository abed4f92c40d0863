//! What a run cost: its shots, and where its time went.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::record::RunRecord;
use super::sheet::{Figure, save, text};
use super::theme::{FONT, MEDIUM, Theme};
use crate::Error;
use crate::output::duration;

/// Pixels left of the bars, for names.
const NAMES: i32 = 190;
/// Pixels of the longest bar.
const LONGEST: f64 = 560.0;
/// Height of one bar and its gap.
const BAR: i32 = 40;

/// A bar: its group decides what it is measured against.
struct Bar {
    name: &'static str,
    words: String,
    share: f64,
    group: usize,
}

struct Budget {
    bars: Vec<Bar>,
    caption: Vec<String>,
}

/// Draws `budget`: shots that trained and tested, bench time and time here, and the parts of a step.
pub fn budget(run: &RunRecord, folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let number = |key: &str| run.facts[key].as_f64();
    let (Some(shots), Some(training), Some(plant), Some(wall)) =
        (number("shots"), number("training_shots"), number("plant_seconds"), number("wall_seconds"))
    else {
        return Ok(vec![]);
    };
    let part = |name: &str| run.facts["step_seconds"][name].as_f64().unwrap_or(0.0);
    let parts = ["plant", "twin", "digital", "overhead"].map(|name| (name, part(name)));
    let sum: f64 = parts.iter().map(|part| part.1).sum::<f64>().max(f64::MIN_POSITIVE);
    let longest = plant.max(wall).max(f64::MIN_POSITIVE);
    let mut bars = vec![
        Bar { name: "shots, training", words: format!("{training}"), share: training / shots.max(1.0), group: 0 },
        Bar {
            name: "shots, tests",
            words: format!("{}", shots - training),
            share: (shots - training) / shots.max(1.0),
            group: 0,
        },
        Bar { name: "bench time", words: duration(plant), share: plant / longest, group: 1 },
        Bar { name: "time here", words: duration(wall), share: wall / longest, group: 1 },
    ];
    for (name, seconds) in parts {
        let name = match name {
            "plant" => "step: plant",
            "twin" => "step: twin",
            "digital" => "step: digital",
            _ => "step: overhead",
        };
        let words = format!("{:.1} % ({})", 100.0 * seconds / sum, duration(seconds));
        bars.push(Bar { name, words, share: seconds / sum, group: 2 });
    }
    let caption =
        run.caption("what the run cost; bars of one color are parts of one whole, times are compared with the longer");
    save(&Budget { bars, caption }, folder, "budget", theme)
}

impl Figure for Budget {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let ink = theme.ink();
        for (row, bar) in self.bars.iter().enumerate() {
            let y = 24 + row as i32 * BAR;
            let end = NAMES + (LONGEST * bar.share.clamp(0.0, 1.0)).round() as i32;
            let style = || (FONT, MEDIUM, &ink).into_text_style(area);
            area.draw(&Text::new(bar.name, (24, y + 5), style())).map_err(text)?;
            let fill = theme.series(bar.group).filled();
            area.draw(&Rectangle::new([(NAMES, y), (end, y + BAR - 12)], fill)).map_err(text)?;
            area.draw(&Text::new(bar.words.clone(), (end + 10, y + 5), style())).map_err(text)?;
        }
        Ok(())
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }

    fn size(&self) -> (u32, u32) {
        (960, 48 + BAR as u32 * self.bars.len() as u32)
    }
}
