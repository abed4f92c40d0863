//! Light through the columns of a mesh, one block of [`LANES`] shots, and cotangents back.
//!
//! A column multiplies the fields of each pair of modes by its interferometer's 2×2 matrix; modes without a partner pass. Backward, a
//! pair's cotangents are multiplied by the adjoint, and the products conj(gᵢ)·xⱼ of its cotangents g and inputs x are summed over the shots:
//! all slopes of its transfer follow from these ([`Chip::slopes`](super::chip::Chip::slopes)). The fields before each column are kept.

#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

use super::chip::Transfer;
use super::layout::Layout;
use crate::{LANES, Lanes, Real};

/// Fields of all modes: real parts, then imaginary parts.
pub(super) type Wave<S> = [Vec<Lanes<S>>; 2];

/// Dark modes.
pub(super) fn dark<S: Real>(modes: usize) -> Wave<S> {
    [vec![[S::default(); LANES]; modes], vec![[S::default(); LANES]; modes]]
}

/// A mesh whose settings are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set<'a, S> {
    pub layout: Layout,
    pub transfers: &'a [Transfer<S>],
    /// e^iψ of each output; empty where no phases are set there.
    pub turns: &'a [[S; 2]],
}

/// Sends `wave` through; `tape`, if it has room for all columns, keeps the fields before each of them.
pub(super) struct Forth<'a, S> {
    pub set: Set<'a, S>,
    pub wave: &'a mut Wave<S>,
    pub tape: &'a mut [[Lanes<S>; 2]],
}

impl<S: Real> pulp::NullaryFnOnce for Forth<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { set: Set { layout, transfers, turns }, wave: [re, im], tape } = self;
        let mut kept = tape.chunks_exact_mut(layout.modes);
        for column in 0..layout.columns() {
            if let Some(kept) = kept.next() {
                for ((kept, re), im) in kept.iter_mut().zip(&*re).zip(&*im) {
                    *kept = [*re, *im];
                }
            }
            let these = &transfers[layout.first(column)..][..layout.in_column(column)];
            let skipped = column % 2;
            let pairs = re[skipped..].as_chunks_mut::<2>().0.iter_mut().zip(im[skipped..].as_chunks_mut::<2>().0);
            for (([r0, r1], [i0, i1]), t) in pairs.zip(these) {
                for lane in 0..LANES {
                    let (x0, y0, x1, y1) = (r0[lane], i0[lane], r1[lane], i1[lane]);
                    r0[lane] = t[0].mul_add(x0, (-t[1]).mul_add(y0, t[2].mul_add(x1, -t[3] * y1)));
                    i0[lane] = t[0].mul_add(y0, t[1].mul_add(x0, t[2].mul_add(y1, t[3] * x1)));
                    r1[lane] = t[4].mul_add(x0, (-t[5]).mul_add(y0, t[6].mul_add(x1, -t[7] * y1)));
                    i1[lane] = t[4].mul_add(y0, t[5].mul_add(x0, t[6].mul_add(y1, t[7] * x1)));
                }
            }
        }
        for ((re, im), turn) in re.iter_mut().zip(im.iter_mut()).zip(turns) {
            for lane in 0..LANES {
                let (x, y) = (re[lane], im[lane]);
                re[lane] = turn[0].mul_add(x, -turn[1] * y);
                im[lane] = turn[0].mul_add(y, turn[1] * x);
            }
        }
    }
}

/// Sends cotangents back to the inputs, and adds up the products of each interferometer and the slopes with the phases of the outputs.
pub(super) struct Back<'a, S> {
    pub set: Set<'a, S>,
    /// The fields at the outputs.
    pub wave: &'a Wave<S>,
    pub tape: &'a [[Lanes<S>; 2]],
    pub cotangents: &'a mut Wave<S>,
    pub products: &'a mut [[S; 8]],
    pub of_outputs: &'a mut [S],
}

impl<S: Real> pulp::NullaryFnOnce for Back<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { set: Set { layout, transfers, turns }, wave, tape, cotangents: [re, im], products, of_outputs } =
            self;
        for (mode, turn) in turns.iter().enumerate() {
            let (mut slope, [x, y]) = ([S::default(); LANES], [&wave[0][mode], &wave[1][mode]]);
            for lane in 0..LANES {
                let (g, h) = (re[mode][lane], im[mode][lane]);
                slope[lane] = h * x[lane] - g * y[lane];
                re[mode][lane] = turn[0].mul_add(g, turn[1] * h);
                im[mode][lane] = turn[0].mul_add(h, -turn[1] * g);
            }
            of_outputs[mode] += sum(&slope);
        }
        for column in (0..layout.columns()).rev() {
            let kept = &tape[column * layout.modes..][..layout.modes];
            let (first, count, skipped) = (layout.first(column), layout.in_column(column), column % 2);
            let pairs = re[skipped..].as_chunks_mut::<2>().0.iter_mut().zip(im[skipped..].as_chunks_mut::<2>().0);
            let inputs = kept[skipped..].as_chunks::<2>().0;
            let these = transfers[first..][..count].iter().zip(&mut products[first..][..count]);
            for ((([r0, r1], [i0, i1]), [[x0, y0], [x1, y1]]), (t, product)) in pairs.zip(inputs).zip(these) {
                let mut sums = [[S::default(); LANES]; 8];
                for lane in 0..LANES {
                    let (g0, h0, g1, h1) = (r0[lane], i0[lane], r1[lane], i1[lane]);
                    let (x0, y0, x1, y1) = (x0[lane], y0[lane], x1[lane], y1[lane]);
                    sums[0][lane] = g0.mul_add(x0, h0 * y0);
                    sums[1][lane] = g0.mul_add(y0, -h0 * x0);
                    sums[2][lane] = g0.mul_add(x1, h0 * y1);
                    sums[3][lane] = g0.mul_add(y1, -h0 * x1);
                    sums[4][lane] = g1.mul_add(x0, h1 * y0);
                    sums[5][lane] = g1.mul_add(y0, -h1 * x0);
                    sums[6][lane] = g1.mul_add(x1, h1 * y1);
                    sums[7][lane] = g1.mul_add(y1, -h1 * x1);
                    r0[lane] = t[0].mul_add(g0, t[1].mul_add(h0, t[4].mul_add(g1, t[5] * h1)));
                    i0[lane] = t[0].mul_add(h0, (-t[1]).mul_add(g0, t[4].mul_add(h1, -t[5] * g1)));
                    r1[lane] = t[2].mul_add(g0, t[3].mul_add(h0, t[6].mul_add(g1, t[7] * h1)));
                    i1[lane] = t[2].mul_add(h0, (-t[3]).mul_add(g0, t[6].mul_add(h1, -t[7] * g1)));
                }
                for (total, lanes) in product.iter_mut().zip(&sums) {
                    *total += sum(lanes);
                }
            }
        }
    }
}

/// The sum over a block's shots, halves first, as vector units do it.
#[inline(always)]
pub(super) fn sum<S: Real>(lanes: &Lanes<S>) -> S {
    let mut part = *lanes;
    let mut width = LANES / 2;
    while 0 < width {
        for lane in 0..width {
            part[lane] += part[lane + width];
        }
        width /= 2;
    }
    part[0]
}
