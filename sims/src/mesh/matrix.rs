//! The whole mesh as one matrix U, N×N: worked out once for a batch, a shot then costs a product with it.
//!
//! ```text
//! y = U x        x̄ = Uᴴ ȳ        Ū = Σ shots ȳ xᴴ
//! ```
//!
//! U is what the columns make of N shots, each with light in one input only; slopes with the phases follow from Ū by sending it back as
//! cotangents of those N shots.

#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

use crate::{LANES, Lanes, Real};

use super::waves::Wave;

/// Rows that are worked out together.
const TILE: usize = 4;

/// A complex matrix, real and imaginary parts, `[modes, padded]`: rows are filled up with zeros to whole blocks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matrix<S> {
    pub modes: usize,
    /// Columns of a row, a multiple of [`LANES`].
    pub padded: usize,
    pub parts: [Vec<S>; 2],
}

impl<S: Real> Matrix<S> {
    /// All zero.
    pub fn zeros(modes: usize) -> Self {
        let padded = modes.div_ceil(LANES) * LANES;
        let part = || vec![S::default(); modes * padded];
        Self { modes, padded, parts: [part(), part()] }
    }

    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        for (part, other) in self.parts.iter_mut().zip(&other.parts) {
            part.iter_mut().zip(other).for_each(|(sum, term)| *sum += *term);
        }
    }

    /// Block `block` of its columns, as fields of shots.
    pub fn columns(&self, block: usize, wave: &mut Wave<S>) {
        for (part, wave) in self.parts.iter().zip(wave) {
            for (row, lanes) in part.chunks_exact(self.padded).zip(wave) {
                lanes.copy_from_slice(&row[block * LANES..][..LANES]);
            }
        }
    }

    /// The same the other way.
    pub fn set_columns(&mut self, block: usize, wave: &Wave<S>) {
        for (part, wave) in self.parts.iter_mut().zip(wave) {
            for (row, lanes) in part.chunks_exact_mut(self.padded).zip(wave) {
                row[block * LANES..][..LANES].copy_from_slice(lanes);
            }
        }
    }
}

/// y = U x for one block of shots; without imaginary parts where `imaginary` is empty.
pub(super) struct Product<'a, S> {
    pub matrix: &'a Matrix<S>,
    pub real: &'a [Lanes<S>],
    pub imaginary: &'a [Lanes<S>],
    pub to: &'a mut Wave<S>,
}

impl<S: Real> pulp::NullaryFnOnce for Product<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { matrix: Matrix { padded, parts: [re, im], .. }, real, imaginary, to: [to_re, to_im] } = self;
        let tiles = to_re.chunks_mut(TILE).zip(to_im.chunks_mut(TILE));
        let rows = re.chunks(TILE * padded).zip(im.chunks(TILE * padded));
        for ((to_re, to_im), (re, im)) in tiles.zip(rows) {
            let (mut sums_re, mut sums_im) = ([[S::default(); LANES]; TILE], [[S::default(); LANES]; TILE]);
            let used = to_re.len();
            for (column, x) in real.iter().enumerate() {
                for row in 0..used {
                    let (u, v) = (re[row * padded + column], im[row * padded + column]);
                    for lane in 0..LANES {
                        sums_re[row][lane] = u.mul_add(x[lane], sums_re[row][lane]);
                        sums_im[row][lane] = v.mul_add(x[lane], sums_im[row][lane]);
                    }
                }
            }
            for (column, x) in imaginary.iter().enumerate() {
                for row in 0..used {
                    let (u, v) = (re[row * padded + column], im[row * padded + column]);
                    for lane in 0..LANES {
                        sums_re[row][lane] = (-v).mul_add(x[lane], sums_re[row][lane]);
                        sums_im[row][lane] = u.mul_add(x[lane], sums_im[row][lane]);
                    }
                }
            }
            to_re.copy_from_slice(&sums_re[..used]);
            to_im.copy_from_slice(&sums_im[..used]);
        }
    }
}

/// x̄ = Uᴴ ȳ for one block of shots, real parts then, where there is room, imaginary ones.
pub(super) struct Adjoint<'a, S> {
    pub matrix: &'a Matrix<S>,
    pub cotangents: &'a Wave<S>,
    pub to: &'a mut [Lanes<S>],
}

impl<S: Real> pulp::NullaryFnOnce for Adjoint<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { matrix: Matrix { modes, padded, parts: [re, im] }, cotangents: [g, h], to } = self;
        let (real, imaginary) = to.split_at_mut(*modes);
        for (tile, to) in real.chunks_mut(TILE).enumerate() {
            let mut sums = [[S::default(); LANES]; TILE];
            for row in 0..*modes {
                for place in 0..to.len() {
                    let at = row * padded + tile * TILE + place;
                    for lane in 0..LANES {
                        sums[place][lane] =
                            re[at].mul_add(g[row][lane], im[at].mul_add(h[row][lane], sums[place][lane]));
                    }
                }
            }
            to.copy_from_slice(&sums[..to.len()]);
        }
        for (tile, to) in imaginary.chunks_mut(TILE).enumerate() {
            let mut sums = [[S::default(); LANES]; TILE];
            for row in 0..*modes {
                for place in 0..to.len() {
                    let at = row * padded + tile * TILE + place;
                    for lane in 0..LANES {
                        sums[place][lane] =
                            re[at].mul_add(h[row][lane], (-im[at]).mul_add(g[row][lane], sums[place][lane]));
                    }
                }
            }
            to.copy_from_slice(&sums[..to.len()]);
        }
    }
}

/// Ū += Σ ȳ xᴴ over one block of shots; `rows` are its inputs shot after shot, each part of each filled up to whole blocks.
pub(super) struct Outer<'a, S> {
    pub cotangents: &'a Wave<S>,
    pub rows: [&'a [Lanes<S>]; 2],
    pub to: &'a mut Matrix<S>,
}

impl<S: Real> pulp::NullaryFnOnce for Outer<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { cotangents: [g, h], rows: [real, imaginary], to } = self;
        let (modes, blocks) = (to.modes, to.padded / LANES);
        let [re, im] = &mut to.parts;
        let (re, im) = (re.as_chunks_mut::<LANES>().0, im.as_chunks_mut::<LANES>().0);
        for first in (0..modes).step_by(TILE) {
            let used = TILE.min(modes - first);
            for block in 0..blocks {
                let (mut sums_re, mut sums_im) = ([[S::default(); LANES]; TILE], [[S::default(); LANES]; TILE]);
                for row in 0..used {
                    sums_re[row] = re[(first + row) * blocks + block];
                    sums_im[row] = im[(first + row) * blocks + block];
                }
                for shot in 0..LANES {
                    let x = &real[shot * blocks + block];
                    for row in 0..used {
                        let (g, h) = (g[first + row][shot], h[first + row][shot]);
                        for lane in 0..LANES {
                            sums_re[row][lane] = g.mul_add(x[lane], sums_re[row][lane]);
                            sums_im[row][lane] = h.mul_add(x[lane], sums_im[row][lane]);
                        }
                    }
                    if let Some(y) = imaginary.get(shot * blocks + block) {
                        for row in 0..used {
                            let (g, h) = (g[first + row][shot], h[first + row][shot]);
                            for lane in 0..LANES {
                                sums_re[row][lane] = h.mul_add(y[lane], sums_re[row][lane]);
                                sums_im[row][lane] = (-g).mul_add(y[lane], sums_im[row][lane]);
                            }
                        }
                    }
                }
                for row in 0..used {
                    re[(first + row) * blocks + block] = sums_re[row];
                    im[(first + row) * blocks + block] = sums_im[row];
                }
            }
        }
    }
}

/// The largest difference of `UᴴU` from the identity.
#[cfg(test)]
pub(super) fn unitarity<S: Real>(matrix: &Matrix<S>) -> f64 {
    let Matrix { modes, padded, parts: [re, im] } = matrix;
    let mut worst = 0.0_f64;
    for a in 0..*modes {
        for b in 0..*modes {
            let (mut real, mut imaginary) = (0.0, 0.0);
            for row in 0..*modes {
                let at = |column: usize| (re[row * padded + column].to_f64(), im[row * padded + column].to_f64());
                let ((ar, ai), (br, bi)) = (at(a), at(b));
                real += ar * br + ai * bi;
                imaginary += ar * bi - ai * br;
            }
            worst = worst.max((real - f64::from(u8::from(a == b))).abs()).max(imaginary.abs());
        }
    }
    worst
}
