//! Instructions that bring values together or elsewhere: gathering, sums, outputs.

// Circle with equations/machine.rs: instructions and their sums work on one memory; split for its length.

use super::super::program::{Bank, Direction, NOWHERE, Operand};
use super::{Block, Lane, Outer, Rows, Splat};
use crate::Real;

/// Rows of a contraction whose sums are kept in registers together.
const HEIGHT: usize = 4;

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

#[inline(always)]
pub(super) fn contract<S: Real, const W: usize>(
    [to, shared, from, count]: [u32; 4],
    strides: [u32; 2],
    walk: &[Direction],
    block: Block<S, W>,
) {
    let Block { chunks, lanes, table } = block;
    let [shared_stride, lane_stride] = [strides[0] as usize, strides[1] as usize];
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, source)) = outer.next() {
        let steps = inner.count as usize;
        // Only where the same lanes serve several targets are those taken together.
        let height = if inner.from[1] == 0 { HEIGHT } else { 1 };
        let mut step = 0;
        while step < steps {
            let together = if step + height <= steps { height } else { 1 };
            let first = shared as usize + source[0] + step * inner.from[0] as usize;
            let row = from as usize + source[1] + step * inner.from[1] as usize;
            let place = to as usize + target + step * inner.to as usize;
            for chunk in 0..chunks {
                if together == HEIGHT {
                    let mut sums = [[S::of(0.0); W]; HEIGHT];
                    for term in 0..count as usize {
                        let values = lanes[(row + term * lane_stride) * chunks + chunk];
                        for (k, sums) in sums.iter_mut().enumerate() {
                            let factor = table[first + k * inner.from[0] as usize + term * shared_stride];
                            for (sum, value) in sums.iter_mut().zip(values) {
                                *sum = factor.mul_add(value, *sum);
                            }
                        }
                    }
                    for (k, sums) in sums.into_iter().enumerate() {
                        lanes[(place + k * inner.to as usize) * chunks + chunk] = sums;
                    }
                } else {
                    let mut sums = [S::of(0.0); W];
                    for term in 0..count as usize {
                        let values = lanes[(row + term * lane_stride) * chunks + chunk];
                        let factor = table[first + term * shared_stride];
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = factor.mul_add(value, *sum);
                        }
                    }
                    lanes[place * chunks + chunk] = sums;
                }
            }
            step += together;
        }
    }
}

#[inline(always)]
pub(super) fn put<S: Real, const W: usize>(
    from: Operand,
    places: &[u32],
    adds: bool,
    walk: &[Direction],
    (lanes, chunks): (&[[S; W]], usize),
    outputs: &mut [[S; W]],
) {
    let values = Lane { values: &lanes[from.base as usize * chunks..], chunks };
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, source)) = outer.next() {
        for step in 0..inner.count as usize {
            let place = places[target + step * inner.to as usize];
            if place == NOWHERE {
                continue;
            }
            let element = source[0] + step * inner.from[0] as usize;
            for (chunk, to) in outputs[place as usize * chunks..][..chunks].iter_mut().enumerate() {
                let row = values.row(element, chunk);
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

#[inline(always)]
pub(super) fn gain<S: Real, const W: usize>(
    to: u32,
    [a, b]: [Operand; 2],
    walk: &[Direction],
    (lanes, table, chunks): (&[[S; W]], &[S], usize),
    sums: &mut [[S; W]],
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
    sums: &mut [[S; W]],
) {
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, source)) = outer.next() {
        for step in 0..inner.count as usize {
            let first = source[0] + step * inner.from[0] as usize;
            let second = source[1] + step * inner.from[1] as usize;
            let sum = &mut sums[to as usize + target + step * inner.to as usize];
            for chunk in 0..chunks {
                let (a, b) = (a.row(first, chunk), b.row(second, chunk));
                for lane in 0..W {
                    sum[lane] = a[lane].mul_add(b[lane], sum[lane]);
                }
            }
        }
    }
}
