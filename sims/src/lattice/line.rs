//! What a whole line of cells sees at once, where all cells of a lattice have the same stencils.
//!
//! States lie channel by channel within a cell and cell by cell within a line, so a neighbor to the right is `channels` values further on:
//! a tap of a stencil is a factor times a line that is moved by so much.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.

use pulp::Simd;

use super::Lattice;

/// Vectors that are summed side by side.
const TOGETHER: usize = 4;
/// Values that a line is padded to a multiple of: those of `TOGETHER` of the widest vectors.
const PADDED: usize = 16 * TOGETHER;

/// The taps of each stencil, and room for one line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    channels: usize,
    /// For each stencil the places of its taps in the neighborhood, with their factors.
    taps: Vec<Vec<(usize, f32)>>,
    /// The lines above, at, and below, each with its last cell before it and its first behind it.
    padded: [Vec<f32>; 3],
    /// `[stencils, padded line]`
    seen: Vec<f32>,
    length: usize,
}

impl Line {
    /// Of a lattice, unless its cells differ.
    pub fn of(lattice: &Lattice) -> Option<Self> {
        let alike = lattice.turns.len() == 1 && lattice.stencils.iter().all(|stencil| stencil.gains.len() == 1);
        if !alike {
            return None;
        }
        let taps = lattice.stencils.iter().map(|stencil| {
            lattice.weights(stencil, 0).into_iter().enumerate().filter(|(_, weight)| *weight != 0.0).collect()
        });
        let taps: Vec<Vec<(usize, f32)>> = taps.collect();
        let channels = lattice.channels;
        let length = (lattice.size[1] * channels).next_multiple_of(PADDED);
        let padded = std::array::from_fn(|_| vec![0.0; length + 2 * channels]);
        Some(Self { channels, seen: vec![0.0; taps.len() * length], taps, padded, length })
    }

    /// Looks from all cells of line `y` of a lattice.
    #[inline(always)]
    pub fn look<V: Simd>(&mut self, simd: V, lattice: &Lattice, states: &[f32], y: usize) {
        let [height, columns] = lattice.size;
        let line = columns * self.channels;
        for (above, padded) in self.padded.iter_mut().enumerate() {
            let states = &states[(y + above + height - 1) % height * line..][..line];
            padded[..self.channels].copy_from_slice(&states[line - self.channels..]);
            padded[self.channels..][..line].copy_from_slice(states);
            padded[self.channels + line..][..self.channels].copy_from_slice(&states[..self.channels]);
        }
        let width = TOGETHER * V::F32_LANES;
        for (taps, seen) in self.taps.iter().zip(self.seen.chunks_exact_mut(self.length)) {
            for (index, seen) in seen.chunks_exact_mut(width).enumerate() {
                let mut sums = [simd.splat_f32s(0.0); TOGETHER];
                for (place, weight) in taps {
                    let from = &self.padded[place / 3][index * width + place % 3 * self.channels..][..width];
                    let (from, weight) = (V::as_simd_f32s(from).0, simd.splat_f32s(*weight));
                    for (sum, from) in sums.iter_mut().zip(from) {
                        *sum = simd.add_f32s(*sum, simd.mul_f32s(weight, *from));
                    }
                }
                V::as_mut_simd_f32s(seen).0.copy_from_slice(&sums);
            }
        }
    }

    /// What one cell of that line sees, stencil after stencil.
    #[inline(always)]
    pub fn read(&self, x: usize, cell: &mut [f32]) {
        let lines = self.seen.chunks_exact(self.length);
        for (cell, seen) in cell.chunks_exact_mut(self.channels).zip(lines) {
            cell.copy_from_slice(&seen[x * self.channels..][..self.channels]);
        }
    }
}
