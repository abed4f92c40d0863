//! Instructions that bring values together or elsewhere: gathering, sums, outputs.

// Circle with equations/machine.rs: instructions and their sums work on one memory; split for its length.

use super::super::program::{Direction, NOWHERE, Operand};
use super::unit::Unit;
use super::{Lane, Outer, Rows};
use crate::Real;

/// Rows of a contraction whose sums are kept in registers together, and vectors of each.
const HEIGHT: usize = 4;
const TILE: usize = 4;

#[inline(always)]
pub(super) fn gather<S: Real, const W: usize>(to: u32, base: u32, places: &[u32], lanes: &mut [[S; W]], chunks: usize) {
    // An input lies before every register.
    let (inputs, rest) = lanes.split_at_mut(to as usize * chunks);
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
    [to, from, count, stride]: [u32; 4],
    walk: &[Direction],
    lanes: &mut [[S; W]],
    chunks: usize,
) {
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, source)) = outer.next() {
        for step in 0..inner.count as usize {
            let first = from as usize + source[0] + step * inner.from[0] as usize;
            let target = (to as usize + target + step * inner.to as usize) * chunks;
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
    [to, shared, from, count]: [u32; 4],
    strides: [u32; 2],
    walk: &[Direction],
    (lanes, table, row): (&mut [U::Scalar], &[U::Scalar], usize),
) {
    let stride = unit.vectors(&lanes[..row]).len();
    let lanes = unit.vectors_mut(lanes);
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, source)) = outer.next() {
        let steps = inner.count as usize;
        // Only where the same lanes serve several targets are those taken together.
        let height = if inner.from[1] == 0 { HEIGHT } else { 1 };
        let mut step = 0;
        while step < steps {
            let together = if step + height <= steps { height } else { 1 };
            let sums = Sums {
                count: count as usize,
                factors: [
                    shared as usize + source[0] + step * inner.from[0] as usize,
                    inner.from[0] as usize,
                    strides[0] as usize,
                ],
                values: [from as usize + source[1] + step * inner.from[1] as usize, strides[1] as usize],
                to: [to as usize + target + step * inner.to as usize, inner.to as usize],
                stride,
            };
            let mut at = 0;
            while at < stride {
                at += match (together == HEIGHT, TILE <= stride - at) {
                    (true, true) => sums.tile::<U, HEIGHT, TILE>(unit, lanes, table, at),
                    (true, false) => sums.tile::<U, HEIGHT, 1>(unit, lanes, table, at),
                    (false, true) => sums.tile::<U, 1, TILE>(unit, lanes, table, at),
                    (false, false) => sums.tile::<U, 1, 1>(unit, lanes, table, at),
                };
            }
            step += together;
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
    /// The sums of `H` rows and `T` vectors; returns `T`.
    #[inline(always)]
    fn tile<U: Unit, const H: usize, const T: usize>(
        &self,
        unit: U,
        lanes: &mut [U::Vector],
        table: &[U::Scalar],
        at: usize,
    ) -> usize {
        let zero = unit.splat(U::Scalar::of(0.0));
        let mut sums = [[zero; T]; H];
        let [first, next, along] = self.factors;
        let (mut factor, mut place) = (first, self.values[0] * self.stride + at);
        for _ in 0..self.count {
            let values = &lanes[place..][..T];
            for row in 0..H {
                let factor = unit.splat(table[factor + row * next]);
                for column in 0..T {
                    sums[row][column] = unit.multiply_add(factor, values[column], sums[row][column]);
                }
            }
            factor += along;
            place += self.values[1] * self.stride;
        }
        for row in 0..H {
            let to = &mut lanes[(self.to[0] + row * self.to[1]) * self.stride + at..][..T];
            to[..T].copy_from_slice(&sums[row][..T]);
        }
        T
    }
}

#[inline(always)]
pub(super) fn put<S: Real, const W: usize>(
    from: Operand,
    places: &[u32],
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
                let to = &mut lanes[place as usize * chunks + chunk];
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
