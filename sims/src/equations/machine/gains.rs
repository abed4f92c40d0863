//! Sums over shots. Each is one number; a block's shots are added lane by lane or in a fixed order, so that sums do not depend on the
//! vector unit.

use super::super::program::{Bank, Direction, Operand};
use super::unit::Unit;
use super::walk::{Lane, Outer, Rows, Splat};
use crate::{LANES, Real};

/// Rows and columns of outer products that are summed together.
const HEIGHT: usize = 4;
const ACROSS: usize = 2;
/// The most numbers of `ACROSS` vectors.
const MOST: usize = ACROSS * LANES;

/// An outer product: the variable that goes along the rows of the sums, and that which goes along their columns.
pub(super) struct Outside {
    /// First element of the rows' operand, how far the next is, how many, and how far the next row of the sums is.
    rows: [usize; 4],
    /// First element of the columns' operand, how far the next is, how many.
    columns: [usize; 3],
}

impl Outside {
    /// The outer product that a gain is, if it is one.
    pub fn of([a, b]: [Operand; 2], walk: &[Direction]) -> Option<Self> {
        let [outer, inner] = walk else { return None };
        if a.bank == Bank::Shared || b.bank == Bank::Shared || inner.to != 1 {
            return None;
        }
        let (first, second) = match [outer.from[0], outer.from[1], inner.from[0], inner.from[1]] {
            [_, 0, 0, _] => (0, 1),
            [0, _, _, 0] => (1, 0),
            _ => return None,
        };
        let bases = [a.base as usize, b.base as usize];
        Some(Self {
            rows: [bases[first], outer.from[first] as usize, outer.count as usize, outer.to as usize],
            columns: [bases[second], inner.from[second] as usize, inner.count as usize],
        })
    }

    /// Numbers of the columns' operand turned, with `depth` shots.
    fn turned(&self, depth: usize) -> usize {
        self.columns[2].next_multiple_of(LANES) * depth
    }

    /// Adds the products of all shots of a block to `sums`. `turned` is room for the columns' operand, shot by shot.
    #[inline(always)]
    pub fn add<U: Unit>(
        &self,
        unit: U,
        (lanes, depth): (&[U::Scalar], usize),
        turned: &mut Vec<U::Scalar>,
        sums: &mut [U::Scalar],
    ) {
        let zero = U::Scalar::of(0.0);
        let [first, step, count] = self.columns;
        let width = count.next_multiple_of(LANES);
        turned.resize(self.turned(depth).max(turned.len()), zero);
        for block in 0..width / LANES {
            let within = LANES.min(count - block * LANES);
            for shots in (0..depth).step_by(LANES) {
                let here = LANES.min(depth - shots);
                let mut tile = [zero; LANES * LANES];
                for column in 0..within {
                    let from = &lanes[(first + (block * LANES + column) * step) * depth + shots..][..here];
                    tile[column * LANES..][..here].copy_from_slice(from);
                }
                crate::blocks::transpose(&mut tile);
                for shot in 0..here {
                    turned[(shots + shot) * width + block * LANES..][..LANES]
                        .copy_from_slice(&tile[shot * LANES..][..LANES]);
                }
            }
        }
        let columns = unit.vectors(&turned[..width * depth]);
        let across = columns.len() / depth;
        let size = width / across;
        let rows = self.rows[2];
        let mut row = 0;
        while row < rows {
            let whole = row + HEIGHT <= rows;
            let mut at = 0;
            while at * size < count {
                let place = Place { row, at, across, depth, left: count - at * size, size };
                at += match (whole, at + ACROSS <= across) {
                    (true, true) => self.tile::<U, HEIGHT, ACROSS>(unit, &place, (lanes, columns), sums),
                    (true, false) => self.tile::<U, HEIGHT, 1>(unit, &place, (lanes, columns), sums),
                    (false, true) => self.tile::<U, 1, ACROSS>(unit, &place, (lanes, columns), sums),
                    (false, false) => self.tile::<U, 1, 1>(unit, &place, (lanes, columns), sums),
                };
            }
            row += if whole { HEIGHT } else { 1 };
        }
    }

    #[inline(always)]
    fn tile<U: Unit, const H: usize, const A: usize>(
        &self,
        unit: U,
        place: &Place,
        (lanes, columns): (&[U::Scalar], &[U::Vector]),
        sums: &mut [U::Scalar],
    ) -> usize {
        let zero = unit.splat(U::Scalar::of(0.0));
        let [first, step, _, next] = self.rows;
        let mut tile = [[zero; A]; H];
        let start = (first + place.row * step) * place.depth;
        for shot in 0..place.depth {
            let values = &columns[shot * place.across + place.at..][..A];
            for row in 0..H {
                let factor = unit.splat(lanes[start + row * step * place.depth + shot]);
                for column in 0..A {
                    tile[row][column] = unit.multiply_add(factor, values[column], tile[row][column]);
                }
            }
        }
        let left = place.left.min(A * place.size);
        for row in 0..H {
            let mut line = [U::Scalar::of(0.0); MOST];
            let vectors = unit.vectors_mut(&mut line);
            vectors[..A].copy_from_slice(&tile[row][..A]);
            let to = &mut sums[(place.row + row) * next + place.at * place.size..][..left];
            for (sum, value) in to.iter_mut().zip(&line) {
                *sum += *value;
            }
        }
        A
    }
}

/// Where a tile of outer products is.
struct Place {
    row: usize,
    /// Vectors before it in a row, of how many.
    at: usize,
    across: usize,
    /// Shots of the block.
    depth: usize,
    /// Columns that are left, and those of a vector.
    left: usize,
    size: usize,
}

/// Adds the products of two values, element by element.
#[inline(always)]
pub(super) fn gain<S: Real, const W: usize>(
    to: u32,
    [a, b]: [Operand; 2],
    walk: &[Direction],
    (lanes, table, chunks): (&[[S; W]], &[S], usize),
    sums: &mut [S],
) {
    let first = Lane { values: &lanes[a.base as usize * chunks..], chunks };
    if b.bank == Bank::Shared {
        gained(to, (first, Splat { values: &table[b.base as usize..] }), walk, chunks, sums);
    } else {
        gained(to, (first, Lane { values: &lanes[b.base as usize * chunks..], chunks }), walk, chunks, sums);
    }
}

#[inline(always)]
fn gained<S: Real, const W: usize>(
    to: u32,
    (a, b): (impl Rows<S, W>, impl Rows<S, W>),
    walk: &[Direction],
    chunks: usize,
    sums: &mut [S],
) {
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, source)) = outer.next() {
        for step in 0..inner.count as usize {
            let first = source[0] + step * inner.from[0] as usize;
            let second = source[1] + step * inner.from[1] as usize;
            let mut sum = [S::of(0.0); W];
            for chunk in 0..chunks {
                let (a, b) = (a.row(first, chunk), b.row(second, chunk));
                for lane in 0..W {
                    sum[lane] = a[lane].mul_add(b[lane], sum[lane]);
                }
            }
            let mut width = W;
            while 1 < width {
                width /= 2;
                for lane in 0..width {
                    let other = sum[width + lane];
                    sum[lane] += other;
                }
            }
            sums[to as usize + target + step * inner.to as usize] += sum[0];
        }
    }
}
