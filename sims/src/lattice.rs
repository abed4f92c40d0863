//! A lattice of cells on a torus: what each cell perceives of its neighbors, and which cells change in a step.
//!
//! ```text
//! p_k(y, x) = g_k(y, x) · f_k · Σ_d K_k(d) · s((y, x) + d) + noise        d: the 3×3 neighborhood, s: the cell's channels
//! ```
//!
//! States are `[lattices · cells, channels]`, cell after cell, line after line; perceptions `[lattices · cells, kernels · channels]`, kernel
//! after kernel. All of unit 1. The kernels are the identity, Sobel's two, and a nine-point Laplacian, as in Mordvintsev et al., *Texture
//! Generation with Neural Cellular Automata* (arXiv 2105.07545); those of the hexagonal grid, whose lines are shifted by half a cell each,
//! are those of the demonstration that goes with the article of Niklasson et al., *Self-Organising Textures* (Distill, 2021). Where each
//! cell is turned by an angle a, Sobel's x becomes `cos a · X + sin a · Y` and its y `cos a · Y − sin a · X`.
//!
//! A stencil of a real bench has gains that are off, each cell's in its own way, and noise: both are per kernel.

use std::ops::{AddAssign, Mul};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Key;

mod line;
mod rule;
#[cfg(test)]
mod tests;

pub use rule::TrainedRule;

/// What a cell sees of its neighborhood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel {
    /// Its own state.
    Identity,
    /// The slope along a line.
    SobelX,
    /// The slope across the lines.
    SobelY,
    /// How much its neighbors are above it.
    Laplacian,
}

/// How cells lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grid {
    /// In squares: eight neighbors.
    #[default]
    Square,
    /// In hexagons: six neighbors.
    Hexagonal,
}

/// One kernel of the perception, as the bench has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Perception {
    /// Which one.
    pub kernel: Kernel,
    /// What it is multiplied by; left out, 1 for the identity and 1/8 for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000))]
    pub factor: Option<f32>,
    /// How far the gain of each cell is off, evenly up to this share either way: a fixed pattern (0).
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub gain_error: f32,
    /// Standard deviation of the noise of each reading (0).
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub noise: f32,
}

impl Perception {
    /// Without errors.
    pub fn exact(kernel: Kernel) -> Self {
        Self { kernel, factor: None, gain_error: 0.0, noise: 0.0 }
    }

    /// The four kernels without errors, in the order of the trained rules that were published.
    pub fn all() -> Vec<Self> {
        [Kernel::Identity, Kernel::SobelX, Kernel::SobelY, Kernel::Laplacian].map(Self::exact).into()
    }

    fn factor(&self) -> f32 {
        self.factor.unwrap_or(if self.kernel == Kernel::Identity { 1.0 } else { 0.125 })
    }
}

impl Kernel {
    /// Its nine weights, line after line, and those that a turn by 90° makes of it.
    fn weights(self, grid: Grid) -> [[f32; 9]; 2] {
        let [x, y, laplacian]: [[f32; 9]; 3] = match grid {
            Grid::Square => [
                [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0],
                [-1.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0],
                [1.0, 2.0, 1.0, 2.0, -12.0, 2.0, 1.0, 2.0, 1.0],
            ],
            Grid::Hexagonal => [
                [0.0, -1.0, 1.0, -2.0, 0.0, 2.0, -1.0, 1.0, 0.0],
                [0.0, -2.0, -2.0, 0.0, 0.0, 0.0, 2.0, 2.0, 0.0],
                [0.0, 2.0, 2.0, 2.0, -12.0, 2.0, 2.0, 2.0, 0.0],
            ],
        };
        match self {
            Self::Identity => [[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.0; 9]],
            Self::SobelX => [x, y],
            Self::SobelY => [y, x.map(|weight| -weight)],
            Self::Laplacian => [laplacian, [0.0; 9]],
        }
    }
}

/// A number that states are made of.
pub trait Number: Copy + Send + Sync + AddAssign + Mul<Output = Self> + From<f32> + Default {}

impl<T: Copy + Send + Sync + AddAssign + Mul<Output = T> + From<f32> + Default> Number for T {}

/// The cells of a torus with the stencils of each.
#[derive(Debug, Clone)]
pub struct Lattice {
    size: [usize; 2],
    channels: usize,
    stencils: Vec<Stencil>,
    /// Cosine and sine of the turn of each cell; of all if there is one.
    turns: Vec<[f32; 2]>,
}

#[derive(Debug, Clone)]
struct Stencil {
    /// Factor times weight, straight and turned by 90°.
    weights: [[f32; 9]; 2],
    /// The gain of each cell; of all if there is one.
    gains: Vec<f32>,
    noise: f32,
}

impl Lattice {
    /// Of so many lines and columns, with so many channels in each cell. `turn` is in rad: of all cells, and how far each may be off
    /// besides, either way. `key` draws the fixed patterns of gains and turns.
    pub fn new(
        size: [usize; 2],
        channels: usize,
        (perception, grid): (&[Perception], Grid),
        turn: [f32; 2],
        key: Key,
    ) -> Self {
        let cells = size[0] * size[1];
        let even = |key: Key| {
            let mut stream = key.stream();
            move || 2.0 * stream.uniform() - 1.0
        };
        let stencils = perception.iter().enumerate().map(|(index, perception)| {
            let mut draw = even(key.branch("gains").number(index as u64));
            let count = if perception.gain_error == 0.0 { 1 } else { cells };
            let gains = (0..count).map(|_| 1.0 + perception.gain_error * draw()).collect();
            let factor = perception.factor();
            let weights = perception.kernel.weights(grid).map(|weights| weights.map(|weight| factor * weight));
            Stencil { weights, gains, noise: perception.noise }
        });
        let mut draw = even(key.branch("turns"));
        let count = if turn[1] == 0.0 { 1 } else { cells };
        let turns = (0..count).map(|_| turn[0] + turn[1] * draw()).map(|angle| [angle.cos(), angle.sin()]).collect();
        Self { size, channels, stencils: stencils.collect(), turns }
    }

    /// Cells of one lattice.
    pub fn cells(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Lines and columns.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Values that a cell perceives.
    pub fn width(&self) -> usize {
        self.stencils.len() * self.channels
    }

    /// What the cells of some lattices perceive; `noise` draws the noise of this step.
    pub fn perceive<T: Number>(&self, states: &[T], noise: Key) -> Vec<T> {
        let (line, cells) = (self.size[1] * self.channels, self.cells());
        let mut seen = vec![T::default(); states.len() * self.stencils.len()];
        seen.par_chunks_mut((self.size[1] * self.width()).max(1)).enumerate().for_each(|(index, seen)| {
            let (lattice, y) = (index / self.size[0], index % self.size[0]);
            let states = &states[lattice * self.size[0] * line..][..self.size[0] * line];
            for (x, seen) in seen.chunks_exact_mut(self.width()).enumerate() {
                let cell = y * self.size[1] + x;
                self.look(states, cell, seen);
                self.disturb(noise.number((lattice * cells + cell) as u64), seen);
            }
        });
        seen
    }

    /// What one cell of one lattice perceives, into `seen`.
    pub fn see<T: Number>(&self, states: &[T], cell: usize, noise: Key, seen: &mut [T]) {
        seen.fill(T::default());
        self.look(states, cell, seen);
        self.disturb(noise.number(cell as u64), seen);
    }

    #[inline(always)]
    fn look<T: Number>(&self, states: &[T], cell: usize, seen: &mut [T]) {
        let at = [cell / self.size[1], cell % self.size[1]];
        for (stencil, seen) in self.stencils.iter().zip(seen.chunks_exact_mut(self.channels)) {
            for (place, weight) in self.weights(stencil, cell).into_iter().enumerate() {
                if weight != 0.0 {
                    let from = self.neighbor(at, place) * self.channels;
                    add(seen, T::from(weight), &states[from..][..self.channels]);
                }
            }
        }
    }

    fn disturb<T: Number>(&self, noise: Key, seen: &mut [T]) {
        if self.stencils.iter().all(|stencil| stencil.noise == 0.0) {
            return;
        }
        let mut stream = noise.stream();
        for (stencil, seen) in self.stencils.iter().zip(seen.chunks_exact_mut(self.channels)) {
            for seen in seen {
                *seen += T::from(stencil.noise * stream.normal());
            }
        }
    }

    /// Cotangents of the states from those of the perceptions.
    pub fn pull_back<T: Number>(&self, cotangents: &[T]) -> Vec<T> {
        let (width, cells) = (self.width(), self.cells());
        let mut pulled = vec![T::default(); cotangents.len() / self.stencils.len().max(1)];
        pulled.par_chunks_mut((self.size[1] * self.channels).max(1)).enumerate().for_each(|(index, pulled)| {
            let (lattice, y) = (index / self.size[0], index % self.size[0]);
            let cotangents = &cotangents[lattice * cells * width..][..cells * width];
            for (x, pulled) in pulled.chunks_exact_mut(self.channels).enumerate() {
                // Who sees this cell at `place` is the neighbor opposite.
                for place in 0..9 {
                    let seer = self.neighbor([y, x], 8 - place);
                    for (index, stencil) in self.stencils.iter().enumerate() {
                        let weight = self.weight(stencil, seer, place);
                        if weight != 0.0 {
                            add(pulled, T::from(weight), &cotangents[seer * width + index * self.channels..]);
                        }
                    }
                }
            }
        });
        pulled
    }

    /// The number of the cell at `place` in the neighborhood of another.
    #[inline(always)]
    fn neighbor(&self, [y, x]: [usize; 2], place: usize) -> usize {
        let [height, width] = self.size;
        let (dy, dx) = (place / 3, place % 3);
        // Without a division: a neighbor is at most one line over the edge.
        let wrap = |at: usize, length: usize| if at < length { at } else { at - length };
        let line = wrap(y + dy + height - 1, height);
        let column = wrap(x + dx + width - 1, width);
        wrap(line, height) * width + wrap(column, width)
    }

    #[inline(always)]
    fn weights(&self, stencil: &Stencil, cell: usize) -> [f32; 9] {
        std::array::from_fn(|place| self.weight(stencil, cell, place))
    }

    #[inline(always)]
    fn weight(&self, stencil: &Stencil, cell: usize, place: usize) -> f32 {
        let of = |all: &[f32]| if let [one] = all { *one } else { all[cell] };
        let [cosine, sine] = if let [one] = self.turns[..] { one } else { self.turns[cell] };
        of(&stencil.gains)
            * (cosine_if_turned(stencil, cosine) * stencil.weights[0][place] + sine * stencil.weights[1][place])
    }
}

/// A kernel that looks the same from all sides is not turned.
#[inline(always)]
fn cosine_if_turned(stencil: &Stencil, cosine: f32) -> f32 {
    if stencil.weights[1] == [0.0; 9] { 1.0 } else { cosine }
}

#[inline(always)]
fn add<T: Number>(sum: &mut [T], weight: T, values: &[T]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += weight * *value;
    }
}

/// Which cells of `lattices` change in a step: 1 with the probability `rate`, 0 otherwise, as `key` draws it.
pub fn fires(cells: usize, rate: f32, key: Key) -> Vec<f32> {
    const PIECE: usize = 256;
    let mut fires = vec![1.0; cells];
    if rate < 1.0 {
        fires.par_chunks_mut(PIECE).enumerate().for_each(|(index, fires)| {
            let mut stream = key.number(index as u64).stream();
            for fire in fires {
                *fire = f32::from(u8::from(stream.uniform() < rate));
            }
        });
    }
    fires
}
