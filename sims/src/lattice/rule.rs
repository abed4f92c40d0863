//! A trained rule that is wholly digital: two matrices with a rectifier between them, computed only for the cells that change.
//!
//! ```text
//! h = clip(W₁ᵀ [p; 1], 0, 2)        Δ = clip(W₂ᵀ [h; 1], ±2)        s ← clip(s + m Δ, ±2)
//! ```
//!
//! p: what a cell perceives, `[kernels · channels]`; W₁ `[kernels · channels + 1, hidden]`, W₂ `[hidden + 1, channels]`, the last row of each a
//! summand. The bounds are those that the published rules were trained and quantized with (distillpub/post--selforg-textures,
//! `public/demo/models.json`).

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::line::Line;
use super::{Lattice, fires};
use crate::Key;

/// Cells that are computed together: a multiple of those that any vector unit holds in registers.
const CELLS: usize = 48;
/// Columns of a matrix that lie together, row after row: one or two of the widest vectors.
const PANELS: [usize; 2] = [16, 32];
/// The bounds of hidden values, of changes and of states.
const BOUND: f32 = 2.0;

/// A digital rule.
#[derive(Debug, Clone)]
pub struct TrainedRule {
    channels: usize,
    first: Matrix,
    second: Matrix,
}

/// A matrix whose columns stand in panels: `[panels, rows, panel]`, the summands after them.
#[derive(Debug, Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    panel: usize,
    weights: Vec<f32>,
    offsets: Vec<f32>,
}

impl Matrix {
    /// Of `[rows + 1, columns]`, row after row.
    fn new(values: &[f32], columns: usize) -> Self {
        let rows = values.len() / columns - 1;
        let panel = PANELS[usize::from(PANELS[0] < columns)];
        let padded = columns.next_multiple_of(panel);
        let at = |row: usize, column: usize| if column < columns { values[row * columns + column] } else { 0.0 };
        let weights = (0..padded / panel).flat_map(|index| {
            (0..rows).flat_map(move |row| (0..panel).map(move |place| at(row, index * panel + place)))
        });
        let offsets = (0..padded).map(|column| at(rows, column)).collect();
        Self { rows, columns, panel, weights: weights.collect(), offsets }
    }

    /// Columns with those that pad the last panel.
    fn padded(&self) -> usize {
        self.offsets.len()
    }

    /// `to = clip([from; 1] · self)` for the first `count` cells and some after them; `from` `[CELLS, stride]` has `rows` values of a cell
    /// first, `to` is `[CELLS, padded]`.
    #[inline(always)]
    fn apply<V: Simd>(&self, simd: V, from: &Cells<'_>, to: &mut [f32], ends: [f32; 2]) {
        // Twelve sums fill three quarters of sixteen registers.
        match self.panel / V::F32_LANES {
            1 => self.tiles::<V, 12, 1>(simd, from, to, ends),
            2 => self.tiles::<V, 6, 2>(simd, from, to, ends),
            _ => self.tiles::<V, 3, 4>(simd, from, to, ends),
        }
    }

    #[inline(always)]
    fn tiles<V: Simd, const TILE: usize, const VECTORS: usize>(
        &self,
        simd: V,
        from: &Cells<'_>,
        to: &mut [f32],
        ends: [f32; 2],
    ) {
        let (rows, padded, width) = (self.rows, self.padded(), VECTORS * V::F32_LANES);
        let ends = ends.map(|end| simd.splat_f32s(end));
        for start in (0..padded).step_by(width) {
            let weights = &self.weights[start / self.panel * self.panel * rows..][..self.panel * rows];
            let offsets = V::as_simd_f32s(&self.offsets[start..][..width]).0;
            for first in (0..from.count).step_by(TILE) {
                let from: [&[f32]; TILE] =
                    std::array::from_fn(|cell| &from.values[(first + cell) * from.stride..][..rows]);
                let mut sums: [[V::f32s; VECTORS]; TILE] = [std::array::from_fn(|place| offsets[place]); TILE];
                for (row, weights) in weights.chunks_exact(self.panel).enumerate() {
                    let weights = V::as_simd_f32s(&weights[start % self.panel..][..width]).0;
                    for (sums, from) in sums.iter_mut().zip(&from) {
                        let value = simd.splat_f32s(from[row]);
                        for (sum, weight) in sums.iter_mut().zip(weights) {
                            *sum = simd.mul_add_f32s(*weight, value, *sum);
                        }
                    }
                }
                for (cell, sums) in sums.iter().enumerate() {
                    let to = V::as_mut_simd_f32s(&mut to[(first + cell) * padded + start..][..width]).0;
                    for (to, sum) in to.iter_mut().zip(sums) {
                        *to = simd.min_f32s(simd.max_f32s(*sum, ends[0]), ends[1]);
                    }
                }
            }
        }
    }
}

/// Values of some cells.
struct Cells<'a> {
    values: &'a [f32],
    stride: usize,
    count: usize,
}

/// What a thread computes in.
struct Room {
    /// Cells of a line that change.
    changing: Vec<usize>,
    /// Where all cells see alike.
    line: Option<Line>,
    /// `[CELLS, perceived]`
    seen: Vec<f32>,
    /// `[CELLS, hidden]`, padded
    hidden: Vec<f32>,
    /// `[CELLS, channels]`, padded
    change: Vec<f32>,
}

/// A step of one line.
struct Step<'a> {
    rule: &'a TrainedRule,
    lattice: &'a Lattice,
    states: &'a [f32],
    next: &'a mut [f32],
    y: usize,
    noise: Key,
    room: &'a mut Room,
}

impl WithSimd for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) {
        let Self { rule: TrainedRule { channels, first, second }, lattice, states, next, y, noise, room } = self;
        let columns = lattice.size()[1];
        let Room { changing, line, seen, hidden, change } = room;
        if let Some(line) = line {
            line.look(simd, lattice, states, y);
        }
        for cells in changing.chunks(CELLS) {
            for (x, seen) in cells.iter().zip(seen.chunks_exact_mut(first.rows.max(1))) {
                match line {
                    Some(line) => {
                        line.read(*x, seen);
                        lattice.disturb(noise.number((y * columns + x) as u64), seen);
                    }
                    None => lattice.see(states, y * columns + x, noise, seen),
                }
            }
            let count = cells.len();
            first.apply(simd, &Cells { values: seen, stride: first.rows, count }, hidden, [0.0, BOUND]);
            let hidden = Cells { values: hidden, stride: first.padded(), count };
            second.apply(simd, &hidden, change, [-BOUND, BOUND]);
            for (x, change) in cells.iter().zip(change.chunks_exact(second.padded())) {
                for (state, change) in next[x * channels..][..*channels].iter_mut().zip(change) {
                    *state = (*state + change).clamp(-BOUND, BOUND);
                }
            }
        }
    }
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
        let alike = Line::of(lattice);
        let room = || Room {
            changing: Vec::with_capacity(columns),
            line: alike.clone(),
            seen: vec![0.0; CELLS * self.first.rows],
            hidden: vec![0.0; CELLS * self.first.padded()],
            change: vec![0.0; CELLS * self.second.padded()],
        };
        let line = columns * self.channels;
        next.par_chunks_mut(line.max(1)).enumerate().for_each_init(room, |room, (y, next)| {
            next.copy_from_slice(&states[y * line..][..line]);
            room.changing.clear();
            room.changing.extend((0..columns).filter(|x| fires[y * columns + x] != 0.0));
            Arch::new().dispatch(Step { rule: self, lattice, states, next, y, noise, room });
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
