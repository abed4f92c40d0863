//! Figures: pure functions from what is on disk to SVG and PNG, one style, safe for color-blind readers.
//!
//! A figure is a `Figure` (`figure/sheet.rs`): it reads its numbers first, then draws on whatever paper it is given;
//! `save` writes both files with the caption. Colors and fonts are in `figure/theme.rs` and nowhere else.

use std::path::{Path, PathBuf};

use budget::budget;
use course::{drift, range_use};
use record::RunRecord;
use texture::texture;
use twin::plant_and_twin;

use crate::Error;
use crate::scores::{ObjectiveKind, Picture, Scores};
use crate::training::Drawer;

mod bars;
mod budget;
mod calibration;
mod confusion;
mod course;
mod curves;
mod key;
mod predictions;
mod print;
mod record;
mod response;
mod scores;
mod settings;
mod sheet;
mod shots;
mod sweep;
mod texture;
mod theme;
mod twin;

pub use bars::{Bar, bars};
pub use calibration::calibration_figures;
pub use confusion::confusion;
pub use curves::{Overlay, learning_curves, published_curves};
pub use predictions::predictions;
pub use response::{Captioned, response};
pub use scores::unknown_scores;
pub use shots::{ShotPanel, shots};
pub use sweep::sweep;
pub use theme::Theme;

impl Drawer for Theme {
    fn draw_run(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        of_run(folder, *self)
    }

    fn draw_runs(&self, runs: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>, Error> {
        learning_curves(runs, folder, *self)
    }

    fn draw_sweep(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        sweep(&folder.join("sweep.json"), &folder.join("figures"), *self)
    }
}

/// All figures of one run, in its folder `figures`.
pub fn of_run(run: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let folder = run.join("figures");
    let record = RunRecord::read(run)?;
    let mut drawn = learning_curves(&[run.to_owned()], &folder, theme)?;
    let last = [run.to_owned()];
    drawn.extend(match ObjectiveKind::of_record(&record.facts).picture() {
        Picture::Confusion => {
            confusion(&last, record.caption("the last test, on the plant"), &folder, "confusion", theme)?
        }
        Picture::Predictions => {
            let scores = Scores::read("test", |key| record.facts[key].as_f64());
            let scores = scores.map_or(String::new(), |scores| format!(": {}", scores.say()));
            let caption = record.caption(&format!("the last test, on the plant{scores}"));
            predictions(&last, caption, &folder, "predictions", theme)?
        }
        Picture::Texture => texture(run, &record, &folder, theme)?,
    });
    drawn.extend(plant_and_twin(&record, &folder, theme)?);
    drawn.extend(drift(&record, &folder, theme)?);
    drawn.extend(range_use(&record, &folder, theme)?);
    drawn.extend(budget(&record, &folder, theme)?);
    Ok(drawn)
}
