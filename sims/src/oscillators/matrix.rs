//! Products of a symmetric matrix with blocks of shots, and sums of outer products: where the time goes.
//!
//! Vectors of a block are `[count]` rows of [`LANES`] shots, filled up with zeros to whole panels of [`LANES`] rows. The
//! matrix is cut into panels of [`LANES`] of its rows, turned so that a panel's column lies side by side. Both inner loops
//! keep [`HEIGHT`] rows of sums in registers: 4 with AVX-512 and 8 with AVX2, just enough to hide the latency of a fused
//! multiply–add. Each sum runs over its terms in their order whatever the vector unit, the block and the number of
//! threads, so results are the same bit for bit.

use crate::rows::Rows;
use crate::{LANES, Lanes, Real};

/// Rows of a panel whose sums are kept in registers together.
const HEIGHT: usize = 4;
/// Terms summed before the next panel: so many rows of a vector (16 KiB) stay in the first-level cache.
const DEPTH: usize = 256;

/// How many panels hold `count` rows.
pub(super) fn panels(count: usize) -> usize {
    count.div_ceil(LANES)
}

/// Room for `count` oscillators, filled up to whole panels.
pub(super) fn rows<S: Real>(count: usize) -> Rows<S> {
    Rows::zeros(panels(count) * LANES)
}

/// A symmetric matrix in panels: value (16 p + r, j) is `panels[p · size + j][r]`, zero below the last row.
#[derive(Debug)]
pub(super) struct Symmetric<S> {
    pub(super) size: usize,
    pub(super) panels: Rows<S>,
}

impl<S: Real> Symmetric<S> {
    /// Adds the product of the matrix with `from` to `to`; both have whole panels of rows.
    #[inline(always)]
    pub(super) fn add_product(&self, from: &[Lanes<S>], to: &mut [Lanes<S>]) {
        for start in (0..self.size).step_by(DEPTH) {
            let terms = start..(start + DEPTH).min(self.size);
            let rows = to.chunks_exact_mut(LANES).enumerate();
            for (panel, (index, to)) in self.panels.chunks_exact(self.size).zip(rows) {
                add_panel(&panel[terms.clone()], &from[terms.clone()], used(to, index, self.size));
            }
        }
    }
}

/// The rows of panel `index` that hold any of `count` values, up to a whole number of [`HEIGHT`]s.
#[inline(always)]
pub(super) fn used<S>(rows: &mut [Lanes<S>], index: usize, count: usize) -> &mut [Lanes<S>] {
    let left = (count - index * LANES).min(LANES);
    &mut rows[..left.next_multiple_of(HEIGHT)]
}

/// Adds the sum over k of `left[k]` (column of a panel) times `right[k]` (row of lanes) to the first rows of one panel.
#[inline(always)]
fn add_panel<S: Real>(left: &[Lanes<S>], right: &[Lanes<S>], to: &mut [Lanes<S>]) {
    for (part, to) in to.as_chunks_mut::<HEIGHT>().0.iter_mut().enumerate() {
        let mut sums = *to;
        for (left, right) in left.iter().zip(right) {
            let left = &left.as_chunks::<HEIGHT>().0[part];
            for (sums, factor) in sums.iter_mut().zip(left) {
                for (sum, value) in sums.iter_mut().zip(right) {
                    *sum = factor.mul_add(*value, *sum);
                }
            }
        }
        *to = sums;
    }
}

/// Adds outer products, summed over shots and stages: `to[i][j]` gains the sum of `left[s · stride + i][l]` times
/// `right[s · LANES + l][j]` over stages s and lanes l. `right` holds whole stages; `to` is the first
/// rows of one panel.
#[inline(always)]
pub(super) fn add_outer<S: Real>(left: &[Lanes<S>], stride: usize, right: &[Lanes<S>], to: &mut [Lanes<S>]) {
    for (part, to) in to.as_chunks_mut::<HEIGHT>().0.iter_mut().enumerate() {
        let mut sums = *to;
        for (left, right) in left.chunks(stride).zip(right.as_chunks::<LANES>().0) {
            let left = &left.as_chunks::<HEIGHT>().0[part];
            for (lane, right) in right.iter().enumerate() {
                for (sums, left) in sums.iter_mut().zip(left) {
                    for (sum, value) in sums.iter_mut().zip(right) {
                        *sum = left[lane].mul_add(*value, *sum);
                    }
                }
            }
        }
        *to = sums;
    }
}

/// Turns whole panels of rows into panels of columns: row 16 p + r, lane l goes to `to[p · stride + l][r]`.
#[inline(always)]
pub(super) fn turn<S: Real>(from: &[Lanes<S>], to: &mut [Lanes<S>], stride: usize) {
    for (panel, to) in from.as_chunks::<LANES>().0.iter().zip(to.chunks_mut(stride)) {
        // Two rows at a time: otherwise gathers are generated, and those are slow.
        for (pair, rows) in panel.as_chunks::<2>().0.iter().enumerate() {
            for (lane, to) in to[..LANES].iter_mut().enumerate() {
                to.as_chunks_mut::<2>().0[pair] = [rows[0][lane], rows[1][lane]];
            }
        }
    }
}

/// Turns up to [`LANES`] shots of `count` values into rows; unused lanes are zero.
pub(super) fn gather<S: Real>(shots: &[S], count: usize, to: &mut [Lanes<S>]) {
    to.fill([S::default(); LANES]);
    for (lane, shot) in shots.chunks_exact(count).enumerate() {
        for (value, row) in shot.iter().zip(to.iter_mut()) {
            row[lane] = *value;
        }
    }
}

/// Turns rows into up to [`LANES`] shots of `count` values.
pub(super) fn scatter<S: Real>(from: &[Lanes<S>], shots: &mut [S], count: usize) {
    for (lane, shot) in shots.chunks_exact_mut(count).enumerate() {
        for (value, row) in shot.iter_mut().zip(from) {
            *value = row[lane];
        }
    }
}
