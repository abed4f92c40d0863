//! Lattices of the pool of an automaton, as a training has left them.

use std::path::{Path, PathBuf};

use plotters::prelude::*;
use sims::{COLORS, Pixels};

use super::record::RunRecord;
use super::sheet::{LETTERS, LINE, text, wrapped};
use super::theme::{FONT, SMALL, Theme};
use crate::Error;
use crate::network::{is_slot, rows};
use crate::output::printable;
use crate::record::Saved;
use crate::report::picture;
use crate::training::Experiment;

/// Lattices in a row, and rows.
const GRID: [usize; 2] = [2, 4];
/// White cells between two lattices.
const GAP: usize = 2;
/// Pixels of the picture across, at least.
const WIDTH: usize = 800;

/// Draws the first lattices of the pool beside one another: `texture.png`. Nothing where the run has none.
pub fn texture(run: &Path, record: &RunRecord, folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let (experiment, _) = Experiment::find(&run.join("experiment.toml").to_string_lossy(), &[])?;
    let Some(cells) = experiment.cells else { return Ok(vec![]) };
    let saved = Saved::read(run)?;
    let lattices: Vec<Pixels<f32>> = saved
        .state
        .iter()
        .filter(|one| is_slot(&one.name) && one.tensor.dims() == [cells.cells(), cells.channels])
        .take(GRID[0] * GRID[1])
        .map(|one| cells.colors([cells.size; 2], &rows::values(one.tensor.clone())))
        .collect();
    let Some(whole) = side_by_side(&lattices) else { return Ok(vec![]) };
    let what = format!("{} lattices of the pool, {} × {} cells each", lattices.len(), cells.size, cells.size);
    let path = folder.join("texture.png");
    std::fs::create_dir_all(folder).map_err(Error::record(folder, "cannot be made"))?;
    let whole = enlarged(&whole, WIDTH.div_ceil(whole.size[1]));
    let captioned = captioned(whole, &record.caption(&what), theme);
    let captioned = captioned
        .map_err(|error| Error::Record { path: path.clone(), message: format!("cannot be drawn: {error}") })?;
    picture::write((&path, "--runs"), &[captioned], 1)?;
    Ok(vec![path])
}

/// The picture with pixels that are squares.
fn enlarged(picture: &Pixels<f32>, zoom: usize) -> Pixels<f32> {
    let [height, width] = picture.size.map(|side| side * zoom);
    let cells = (0..height).flat_map(|y| (0..width).map(move |x| y / zoom * (width / zoom) + x / zoom));
    let colors = cells.flat_map(|cell| picture.colors[cell * COLORS..][..COLORS].iter().copied()).collect();
    Pixels { size: [height, width], colors }
}

/// The picture with its caption below, as wide as it is.
fn captioned(mut picture: Pixels<f32>, caption: &[String], theme: Theme) -> Result<Pixels<f32>, String> {
    theme.prepare();
    let width = picture.size[1] as u32;
    let lines: Vec<String> = caption.iter().map(|line| printable(line)).collect();
    let lines = wrapped(&lines, (LETTERS * width / 960) as usize);
    let height = LINE * lines.len() as u32 + 8;
    let mut strip = vec![0_u8; width as usize * height as usize * COLORS];
    {
        let area = BitMapBackend::with_buffer(&mut strip, (width, height)).into_drawing_area();
        area.fill(&theme.paper()).map_err(text)?;
        let ink = theme.ink();
        for (line, words) in lines.into_iter().enumerate() {
            let style = (FONT, SMALL, &ink).into_text_style(&area);
            area.draw(&Text::new(words, (8, 4 + (LINE as usize * line) as i32), style)).map_err(text)?;
        }
        area.present().map_err(text)?;
    }
    picture.size[0] += height as usize;
    picture.colors.extend(strip.into_iter().map(|byte| f32::from(byte) / 255.0));
    Ok(picture)
}

/// Pictures of one size in a grid.
fn side_by_side(pictures: &[Pixels<f32>]) -> Option<Pixels<f32>> {
    let [height, width] = pictures.first()?.size;
    let columns = pictures.len().min(GRID[1]);
    let lines = pictures.len().div_ceil(columns);
    let size = [lines * (height + GAP) - GAP, columns * (width + GAP) - GAP];
    let mut colors = vec![1.0; size[0] * size[1] * COLORS];
    for (place, picture) in pictures.iter().enumerate() {
        let [top, left] = [place / columns * (height + GAP), place % columns * (width + GAP)];
        for (y, line) in picture.colors.chunks_exact(width * COLORS).enumerate() {
            let start = ((top + y) * size[1] + left) * COLORS;
            colors[start..start + line.len()].copy_from_slice(line);
        }
    }
    Some(Pixels { size, colors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_rows_with_white_between_them() {
        let picture = |color: f32| Pixels { size: [2, 3], colors: vec![color; 18] };
        let pictures: Vec<Pixels<f32>> = (0..5).map(|color| picture(0.1 * color as f32)).collect();
        let whole = side_by_side(&pictures).unwrap();
        assert_eq!(whole.size, [2 + GAP + 2, 4 * 3 + 3 * GAP]);
        let at = |y: usize, x: usize| whole.colors[(y * whole.size[1] + x) * COLORS];
        assert_eq!([at(0, 0), at(1, 3), at(0, 5), at(4, 2)], [0.0, 1.0, 0.1, 0.4]);
        assert_eq!(at(4, 5), 1.0, "no sixth picture");
        assert_eq!(side_by_side(&[]), None);
    }

    #[test]
    fn the_caption_stands_below_the_picture_and_leaves_it_as_it_is() {
        let picture = enlarged(&Pixels { size: [1, 2], colors: vec![0.0, 0.0, 0.0, 0.5, 0.5, 0.5] }, 400);
        assert_eq!((picture.size, picture.colors[399 * COLORS], picture.colors[400 * COLORS]), ([400, 800], 0.0, 0.5));
        let caption = ["plant `electrical` (SIMULATED)".to_owned()];
        let with = captioned(picture.clone(), &caption, Theme::Light).unwrap();
        assert_eq!(with.size, [400 + LINE as usize + 8, 800]);
        assert_eq!(with.colors.len(), with.size[0] * with.size[1] * COLORS);
        let (above, below) = with.colors.split_at(picture.colors.len());
        assert_eq!(above, picture.colors);
        assert!(
            below.iter().any(|color| *color < 0.8)
                && below.iter().filter(|color| **color > 0.9).count() > below.len() / 2
        );
    }
}
