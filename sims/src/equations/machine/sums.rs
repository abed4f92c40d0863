//! Instructions that bring values together or elsewhere: gathering, sums, outputs.

use super::super::program::{Direction, NOWHERE, Operand};
use super::unit::Unit;
use super::walk::{Lane, Outer, Rows, placed};
use crate::Real;

/// Rows of a contraction whose sums are kept in registers together, where these are of one vector each, and where they are of more.
const TALL: usize = 8;
const HEIGHT: usize = 4;
/// Vectors of a row that are kept so.
const TILE: usize = 4;
const PAIR: usize = 2;

#[inline(always)]
pub(super) fn gather<S: Real, const W: usize>(
    to: usize,
    base: u32,
    places: &[u32],
    lanes: &mut [[S; W]],
    chunks: usize,
) {
    // An input lies before every register, and what is kept behind them; nothing is gathered of what is kept.
    let (inputs, rest) = lanes.split_at_mut(to * chunks);
    for (rows, place) in rest.chunks_exact_mut(chunks).zip(places) {
        if *place == NOWHERE {
            rows.fill([S::of(0.0); W]);
        } else {
            rows.copy_from_slice(&inputs[(base + place) as usize * chunks..][..chunks]);
        }
    }
}

#[inline(always)]
pub(super) fn total<S: Real, const W: usize>(
    [to, from]: [usize; 2],
    [count, stride]: [u32; 2],
    walk: &[Direction],
    lanes: &mut [[S; W]],
    chunks: usize,
) {
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, source)) = outer.next() {
        for step in 0..inner.count as usize {
            let first = from + source[0] + step * inner.from[0] as usize;
            let target = (to + target + step * inner.to as usize) * chunks;
            for chunk in 0..chunks {
                let mut sum = [S::of(0.0); W];
                for term in 0..count as usize {
                    let row = &lanes[(first + term * stride as usize) * chunks + chunk];
                    for (sum, value) in sum.iter_mut().zip(row) {
                        *sum += *value;
                    }
                }
                lanes[target + chunk] = sum;
            }
        }
    }
}

/// A contraction: `lanes` have `row` numbers an element. Each sum runs over its terms in their order, whatever the vector unit.
#[inline(always)]
pub(super) fn contract<U: Unit>(
    unit: U,
    [to, shared, from]: [usize; 3],
    (count, strides): (u32, [u32; 2]),
    walk: &[Direction],
    (lanes, table, row): (&mut [U::Scalar], &[U::Scalar], usize),
) {
    let stride = unit.vectors(&lanes[..row]).len();
    let lanes = unit.vectors_mut(lanes);
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, source)) = outer.next() {
        let steps = inner.count as usize;
        // Only where the same lanes serve several targets are those taken together.
        let most = if inner.from[1] == 0 { steps } else { 1 };
        let mut step = 0;
        while step < steps {
            let left = most.min(steps - step);
            let sums = Sums {
                count: count as usize,
                factors: [
                    shared + source[0] + step * inner.from[0] as usize,
                    inner.from[0] as usize,
                    strides[0] as usize,
                ],
                values: [from + source[1] + step * inner.from[1] as usize, strides[1] as usize],
                to: [to + target + step * inner.to as usize, inner.to as usize],
                stride,
            };
            step += match (left, stride) {
                (TALL.., 1) => sums.row::<U, TALL, 1>(unit, lanes, table),
                (HEIGHT.., 1) => sums.row::<U, HEIGHT, 1>(unit, lanes, table),
                (HEIGHT.., PAIR) => sums.row::<U, HEIGHT, PAIR>(unit, lanes, table),
                (HEIGHT.., _) => sums.row::<U, HEIGHT, TILE>(unit, lanes, table),
                (_, TILE..) => sums.row::<U, 1, TILE>(unit, lanes, table),
                _ => sums.row::<U, 1, 1>(unit, lanes, table),
            };
        }
    }
}

/// Where some sums of a contraction find what they need.
struct Sums {
    count: usize,
    /// The first factor, how far that of the next row is, and that of the next term.
    factors: [usize; 3],
    /// The first element of lanes, and how far the next term's is.
    values: [usize; 2],
    to: [usize; 2],
    /// Vectors of an element.
    stride: usize,
}

impl Sums {
    /// The sums of `H` rows, all their vectors, most of them `T` by `T`; returns `H`.
    #[inline(always)]
    fn row<U: Unit, const H: usize, const T: usize>(
        &self,
        unit: U,
        lanes: &mut [U::Vector],
        table: &[U::Scalar],
    ) -> usize {
        let mut at = 0;
        while at + T <= self.stride {
            self.tile::<U, H, T>(unit, lanes, table, at);
            at += T;
        }
        while at < self.stride {
            self.tile::<U, H, 1>(unit, lanes, table, at);
            at += 1;
        }
        H
    }

    /// The sums of `H` rows and `T` vectors.
    #[inline(always)]
    fn tile<U: Unit, const H: usize, const T: usize>(
        &self,
        unit: U,
        lanes: &mut [U::Vector],
        table: &[U::Scalar],
        at: usize,
    ) {
        let zero = unit.splat(U::Scalar::of(0.0));
        let mut sums = [[zero; T]; H];
        let [first, next, along] = self.factors;
        let place = self.values[0] * self.stride + at;
        let step = self.values[1] * self.stride;
        if along == 1 {
            // Slices of one length each, so that no index is checked again.
            let rows: [&[U::Scalar]; H] = std::array::from_fn(|row| &table[first + row * next..][..self.count]);
            for term in 0..self.count {
                let values = &lanes[place + term * step..][..T];
                for row in 0..H {
                    let factor = unit.splat(rows[row][term]);
                    for column in 0..T {
                        sums[row][column] = unit.multiply_add(factor, values[column], sums[row][column]);
                    }
                }
            }
        } else {
            for term in 0..self.count {
                let values = &lanes[place + term * step..][..T];
                for row in 0..H {
                    let factor = unit.splat(table[first + row * next + term * along]);
                    for column in 0..T {
                        sums[row][column] = unit.multiply_add(factor, values[column], sums[row][column]);
                    }
                }
            }
        }
        for row in 0..H {
            let to = &mut lanes[(self.to[0] + row * self.to[1]) * self.stride + at..][..T];
            to[..T].copy_from_slice(&sums[row][..T]);
        }
    }
}

#[inline(always)]
pub(super) fn put<S: Real, const W: usize>(
    from: Operand,
    (places, kept): (&[u32], usize),
    adds: bool,
    walk: &[Direction],
    (lanes, chunks): (&mut [[S; W]], usize),
) {
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, source)) = outer.next() {
        for step in 0..inner.count as usize {
            let place = places[target + step * inner.to as usize];
            if place == NOWHERE {
                continue;
            }
            let element = from.base as usize + source[0] + step * inner.from[0] as usize;
            for chunk in 0..chunks {
                let row = Lane { values: lanes, chunks }.row(element, chunk);
                let to = &mut lanes[placed(place, kept) * chunks + chunk];
                if adds {
                    for (to, value) in to.iter_mut().zip(row) {
                        *to += value;
                    }
                } else {
                    *to = row;
                }
            }
        }
    }
}
