//! Lattices of the pool of an automaton, as a training has left them.

use std::path::{Path, PathBuf};

use sims::{COLORS, Pixels};

use crate::Error;
use crate::network::{is_slot, rows};
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
pub fn texture(run: &Path, folder: &Path) -> Result<Vec<PathBuf>, Error> {
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
    let path = folder.join("texture.png");
    std::fs::create_dir_all(folder).map_err(Error::record(folder, "cannot be made"))?;
    let zoom = WIDTH.div_ceil(whole.size[1]);
    picture::write((&path, "--runs"), &[whole], zoom)?;
    Ok(vec![path])
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
}
