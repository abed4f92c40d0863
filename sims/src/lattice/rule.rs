//! A trained rule that is wholly digital: two matrices with a rectifier between them, computed only for the cells that change.
//!
//! ```text
//! h = clip(W₁ᵀ [p; 1], 0, 2)        Δ = clip(W₂ᵀ [h; 1], ±2)        s ← clip(s + m Δ, ±2)
//! ```
//!
//! p: what a cell perceives, `[kernels · channels]`; W₁ `[kernels · channels + 1, hidden]`, W₂ `[hidden + 1, channels]`, the last row of each a
//! summand. The bounds are those that the published rules were trained and quantized with (distillpub/post--selforg-textures,
//! `public/demo/models.json`).

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::{Lattice, fires};
use crate::Key;

/// Cells that are computed side by side.
const WIDTH: usize = 32;
/// Rows of a matrix whose sums are held in registers together.
const TILE: usize = 6;
/// The bounds of hidden values, of changes and of states.
const BOUND: f32 = 2.0;

type Block = [f32; WIDTH];

/// A digital rule.
#[derive(Debug, Clone)]
pub struct TrainedRule {
    channels: usize,
    first: Matrix,
    second: Matrix,
}

/// A matrix whose columns stand in tiles: `[tiles, rows, TILE]`, the summands after them.
#[derive(Debug, Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    tiles: Vec<f32>,
    offsets: Vec<f32>,
}

impl Matrix {
    /// Of `[rows + 1, columns]`, row after row.
    fn new(values: &[f32], columns: usize) -> Self {
        let rows = values.len() / columns - 1;
        let padded = columns.next_multiple_of(TILE);
        let at = |row: usize, column: usize| if column < columns { values[row * columns + column] } else { 0.0 };
        let tiles = (0..padded / TILE)
            .flat_map(|tile| (0..rows).flat_map(move |row| (0..TILE).map(move |place| at(row, tile * TILE + place))));
        Self { rows, columns, tiles: tiles.collect(), offsets: (0..padded).map(|column| at(rows, column)).collect() }
    }
}

/// One matrix times a block of cells.
struct Product<'a> {
    matrix: &'a Matrix,
    from: &'a [Block],
    to: &'a mut [Block],
    ends: [f32; 2],
}

impl NullaryFnOnce for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { matrix, from, to, ends: [low, high] } = self;
        let from = &from[..matrix.rows];
        let tiles = matrix.tiles.chunks_exact(TILE * matrix.rows.max(1)).zip(matrix.offsets.chunks_exact(TILE));
        for ((weights, offsets), to) in tiles.zip(to.chunks_exact_mut(TILE)) {
            let mut sums: [Block; TILE] = std::array::from_fn(|place| [offsets[place]; WIDTH]);
            for (weights, values) in weights.chunks_exact(TILE).zip(from) {
                for place in 0..TILE {
                    for lane in 0..WIDTH {
                        sums[place][lane] = weights[place].mul_add(values[lane], sums[place][lane]);
                    }
                }
            }
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = sum.map(|sum| sum.max(low).min(high));
            }
        }
    }
}

/// What a thread computes in.
struct Room {
    /// Cells of a line that change.
    changing: Vec<usize>,
    cell: Vec<f32>,
    seen: Vec<Block>,
    hidden: Vec<Block>,
    change: Vec<Block>,
}

impl TrainedRule {
    /// Of its two matrices, row after row, for cells of so many channels that perceive so many values; the sentence says what does not fit.
    pub fn new([first, second]: [&[f32]; 2], channels: usize, perceived: usize) -> Result<Self, String> {
        let rows = perceived + 1;
        if channels == 0 || first.is_empty() || !first.len().is_multiple_of(rows) {
            return Err(format!("has {} numbers in its first matrix, which are no {rows} rows", first.len()));
        }
        let hidden = first.len() / rows;
        if second.len() != (hidden + 1) * channels {
            return Err(format!(
                "has {} numbers in its second matrix, not {} rows of {channels}",
                second.len(),
                hidden + 1
            ));
        }
        if let Some(value) = first.iter().chain(second).find(|value| !value.is_finite()) {
            return Err(format!("has the weight {value}"));
        }
        Ok(Self { channels, first: Matrix::new(first, hidden), second: Matrix::new(second, channels) })
    }

    /// Hidden values of a cell.
    pub fn hidden(&self) -> usize {
        self.first.columns
    }

    /// One step of one lattice, from `states` into `next`, both `[cells, channels]`. `rate` is the probability that a cell changes, which
    /// `key` draws, as well as the noise of what is perceived.
    pub fn step(&self, lattice: &Lattice, states: &[f32], next: &mut [f32], (rate, key): (f32, Key)) {
        let columns = lattice.size()[1];
        let fires = fires(lattice.cells(), rate, key.branch("fires"));
        let noise = key.branch("noise");
        let room = || Room {
            changing: Vec::with_capacity(columns),
            cell: vec![0.0; lattice.width()],
            seen: vec![[0.0; WIDTH]; self.first.rows],
            hidden: vec![[0.0; WIDTH]; self.first.offsets.len()],
            change: vec![[0.0; WIDTH]; self.second.offsets.len()],
        };
        let line = columns * self.channels;
        next.par_chunks_mut(line.max(1)).enumerate().for_each_init(room, |room, (y, next)| {
            next.copy_from_slice(&states[y * line..][..line]);
            room.changing.clear();
            room.changing.extend((0..columns).filter(|x| fires[y * columns + x] != 0.0));
            let changing = std::mem::take(&mut room.changing);
            for cells in changing.chunks(WIDTH) {
                for (lane, x) in cells.iter().enumerate() {
                    lattice.see(states, y * columns + x, noise, &mut room.cell);
                    room.seen.iter_mut().zip(&room.cell).for_each(|(block, value)| block[lane] = *value);
                }
                let (seen, hidden, change) = (&room.seen, &mut room.hidden, &mut room.change);
                Arch::new().dispatch(Product { matrix: &self.first, from: seen, to: hidden, ends: [0.0, BOUND] });
                Arch::new().dispatch(Product { matrix: &self.second, from: hidden, to: change, ends: [-BOUND, BOUND] });
                for (lane, x) in cells.iter().enumerate() {
                    let cell = &mut next[x * self.channels..][..self.channels];
                    for (state, change) in cell.iter_mut().zip(&room.change) {
                        *state = (*state + change[lane]).clamp(-BOUND, BOUND);
                    }
                }
            }
            room.changing = changing;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Grid, Perception};
    use super::*;

    fn draw(count: usize, scale: f32, seed: u64) -> Vec<f32> {
        let mut stream = Key::new(seed).stream();
        (0..count).map(|_| scale * stream.normal()).collect()
    }

    #[test]
    fn a_step_is_what_the_matrices_say() {
        let (channels, hidden) = (5, 11);
        let lattice = Lattice::new([6, 40], channels, (&Perception::all(), Grid::Square), [0.0; 2], Key::new(1));
        let [first, second] = [draw(21 * hidden, 0.7, 2), draw(12 * channels, 1.5, 3)];
        let rule = TrainedRule::new([&first, &second], channels, 20).unwrap();
        assert_eq!(rule.hidden(), hidden);
        let states = draw(240 * channels, 1.0, 4);
        let (mut next, key) = (vec![0.0; states.len()], Key::new(5));
        rule.step(&lattice, &states, &mut next, (0.6, key));
        let seen = lattice.perceive(&states, key.branch("noise"));
        let fires = fires(240, 0.6, key.branch("fires"));
        for cell in 0..240 {
            let hidden: Vec<f64> = (0..hidden)
                .map(|column| {
                    let sum: f64 = (0..20)
                        .map(|row| f64::from(seen[20 * cell + row]) * f64::from(first[row * hidden + column]))
                        .sum();
                    (sum + f64::from(first[20 * hidden + column])).clamp(0.0, 2.0)
                })
                .collect();
            for channel in 0..channels {
                let sum: f64 =
                    hidden.iter().enumerate().map(|(row, h)| h * f64::from(second[row * channels + channel])).sum();
                let change = (sum + f64::from(second[11 * channels + channel])).clamp(-2.0, 2.0);
                let before = f64::from(states[cell * channels + channel]);
                let wanted = if fires[cell] == 0.0 { before } else { (before + change).clamp(-2.0, 2.0) };
                let found = f64::from(next[cell * channels + channel]);
                assert!((found - wanted).abs() < 1e-4, "cell {cell}: {found}, not {wanted}");
            }
        }
    }

    #[test]
    fn matrices_that_do_not_fit_are_refused() {
        let said =
            |first: usize, second: usize| TrainedRule::new([&vec![0.0; first], &vec![0.0; second]], 3, 12).unwrap_err();
        assert!(said(25, 12).contains("25 numbers in its first matrix, which are no 13 rows"));
        assert!(said(26, 12).contains("12 numbers in its second matrix, not 3 rows of 3"));
        assert!(TrainedRule::new([&[f32::NAN; 26], &[0.0; 9]], 3, 12).unwrap_err().contains("NaN"));
    }
}
