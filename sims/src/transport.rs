//! Sliced optimal transport between the patches of a texture and those of an image.
//!
//! Patches of `side²` pixels of three colors are projected on random unit vectors v. In one dimension the best transport between two sets
//! pairs them in the order of their values, so with the sorted projections a₁ ≤ … ≤ aₙ of the texture and the quantiles qᵢ of the image's
//! at (i − ½)/n
//!
//! ```text
//! D = mean over scales of mean over v of (1/n) Σᵢ (aᵢ − qᵢ)²        ∂D/∂aᵢ = 2 (aᵢ − qᵢ)/n, scattered to the pixels of its patch
//! ```
//!
//! A scale averages squares of 2ˢ pixels first. The texture is a torus, the image is not. Colors are of unit 1, so D is of unit 1.
//! After Bonneel et al., *Sliced and Radon Wasserstein Barycenters of Measures* (J. Math. Imaging Vis. 51, 22, 2015), and the loss of the
//! texture automata of Mordvintsev et al., which use it between features of a network.

use std::ops::Range;

use rayon::prelude::*;

use crate::Key;

#[cfg(test)]
mod tests;

/// Colors of a pixel.
pub const COLORS: usize = 3;
/// Quantiles that are kept of an image, at most.
const QUANTILES: usize = 4096;

/// Pixels with their colors: `[lines · columns, 3]`, line after line.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels<T> {
    /// Lines and columns.
    pub size: [usize; 2],
    /// Red, green and blue of each.
    pub colors: Vec<T>,
}

/// How patches are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patches {
    /// Pixels of a side.
    pub side: usize,
    /// Scales: 1, or more, each of which averages squares of twice as many pixels.
    pub scales: usize,
}

impl Patches {
    /// The shortest side of an image that has a patch at each scale.
    pub fn least(&self) -> usize {
        self.side << (self.scales - 1)
    }
}

/// The patches of an image, projected on random vectors.
#[derive(Debug, Clone)]
pub struct SlicedTransport {
    patches: Patches,
    scales: Vec<Vec<Slice>>,
}

/// One projection.
#[derive(Debug, Clone)]
struct Slice {
    /// `[side, side, 3]`: a unit vector.
    direction: Vec<f32>,
    /// Of the image's patches, in ascending order.
    quantiles: Vec<f32>,
}

/// A number that colors are made of.
pub trait Color: Copy + Send + Sync {
    /// As f64.
    fn wide(self) -> f64;
    /// Of f64.
    fn narrow(wide: f64) -> Self;
}

impl Color for f32 {
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn narrow(wide: f64) -> Self {
        wide as Self
    }
}

impl Color for f64 {
    fn wide(self) -> f64 {
        self
    }
    fn narrow(wide: f64) -> Self {
        wide
    }
}

impl SlicedTransport {
    /// To `image`, by `count` projections at each scale that `key` draws.
    pub fn new(image: &Pixels<f32>, patches: Patches, count: usize, key: Key) -> Self {
        let scales = (0..patches.scales).map(|scale| {
            let pixels = averaged(image, scale);
            let key = key.number(scale as u64);
            let slice = |index: usize| {
                let direction = direction(patches.side, key.number(index as u64));
                let mut values = project(&pixels, &direction, patches.side, false);
                values.sort_unstable_by(f32::total_cmp);
                let kept = values.len().min(QUANTILES);
                Slice { direction, quantiles: (0..kept).map(|place| quantile(&values, place, kept)).collect() }
            };
            (0..count).into_par_iter().map(slice).collect()
        });
        Self { patches, scales: scales.collect() }
    }

    /// Projections at each scale.
    pub fn count(&self) -> usize {
        self.scales.first().map_or(0, Vec::len)
    }

    /// The distance of a texture by some of the projections.
    pub fn distance<T: Color>(&self, texture: &Pixels<T>, slices: Range<usize>) -> f64 {
        self.compare(texture, (slices, true), false).0
    }

    /// The same of a piece of an image, which has edges.
    pub fn cut_distance<T: Color>(&self, piece: &Pixels<T>, slices: Range<usize>) -> f64 {
        self.compare(piece, (slices, false), false).0
    }

    /// The same with its gradient, `[lines · columns, 3]`.
    pub fn gradient<T: Color>(&self, texture: &Pixels<T>, slices: Range<usize>) -> (f64, Vec<T>) {
        self.compare(texture, (slices, true), true)
    }

    fn compare<T: Color>(
        &self,
        texture: &Pixels<T>,
        (slices, torus): (Range<usize>, bool),
        slopes: bool,
    ) -> (f64, Vec<T>) {
        let (mut sum, mut gradient) = (0.0, vec![0.0; if slopes { texture.colors.len() } else { 0 }]);
        for (scale, all) in self.scales.iter().enumerate() {
            let pixels = averaged(texture, scale);
            let share = 1.0 / (self.scales.len() * slices.len().max(1)) as f64;
            let side = self.patches.side;
            let found: Vec<(f64, Vec<f64>)> =
                all[slices.clone()].par_iter().map(|slice| slice.compare(&pixels, (side, torus), slopes)).collect();
            // In the order of the slices, whatever thread had which.
            let mut of_scale = vec![0.0; if slopes { pixels.colors.len() } else { 0 }];
            for (value, slopes) in found {
                sum += share * value;
                of_scale.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += share * slope);
            }
            spread(&of_scale, pixels.size, (&mut gradient, texture.size), scale);
        }
        (sum, gradient.into_iter().map(T::narrow).collect())
    }
}

impl Slice {
    /// The mean squared difference from the image's quantiles, and its slopes by pixel.
    fn compare<T: Color>(&self, pixels: &Pixels<T>, (side, torus): (usize, bool), slopes: bool) -> (f64, Vec<f64>) {
        let values = project(pixels, &self.direction, side, torus);
        let mut order: Vec<(T, u32)> = values.into_iter().zip(0..).collect();
        order.sort_unstable_by(|(a, at), (b, bt)| a.wide().total_cmp(&b.wide()).then(at.cmp(bt)));
        let (count, mut sum) = (order.len(), 0.0);
        let mut pulled = vec![0.0; if slopes { count } else { 0 }];
        for (rank, (value, place)) in order.into_iter().enumerate() {
            let difference = value.wide() - f64::from(quantile(&self.quantiles, rank, count));
            sum += difference * difference;
            if slopes {
                pulled[place as usize] = 2.0 * difference / count as f64;
            }
        }
        let gradient = if slopes { self.scatter(&pulled, pixels.size, side) } else { vec![] };
        (sum / count as f64, gradient)
    }

    /// Slopes of pixels from those of the patches that begin at them.
    fn scatter(&self, patches: &[f64], [height, width]: [usize; 2], side: usize) -> Vec<f64> {
        let mut gradient = vec![0.0; height * width * COLORS];
        for (cell, slope) in patches.iter().enumerate() {
            let (y, x) = (cell / width, cell % width);
            for (dy, line) in self.direction.chunks_exact(side * COLORS).enumerate() {
                let below = (y + dy) % height * width;
                for (dx, weights) in line.chunks_exact(COLORS).enumerate() {
                    let pixel = (below + (x + dx) % width) * COLORS;
                    for (sum, weight) in gradient[pixel..][..COLORS].iter_mut().zip(weights) {
                        *sum += slope * f64::from(*weight);
                    }
                }
            }
        }
        gradient
    }
}

/// A unit vector among patches.
fn direction(side: usize, key: Key) -> Vec<f32> {
    let mut stream = key.stream();
    let values: Vec<f32> = (0..side * side * COLORS).map(|_| stream.normal()).collect();
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.into_iter().map(|value| value / norm).collect()
}

/// The `place`th of `count` quantiles of ascending values, each in the middle of its share.
fn quantile(values: &[f32], place: usize, count: usize) -> f32 {
    if values.len() == count {
        return values[place];
    }
    let at = ((place as f32 + 0.5) * values.len() as f32 / count as f32 - 0.5).clamp(0.0, (values.len() - 1) as f32);
    let below = at as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (at - below as f32) * (values[above] - values[below])
}

/// Squares of 2ˢ pixels averaged; what is left over at the ends is left out.
fn averaged<T: Color>(pixels: &Pixels<T>, scale: usize) -> Pixels<T> {
    if scale == 0 {
        return pixels.clone();
    }
    let side = 1 << scale;
    let size = pixels.size.map(|length| length / side);
    let share = 1.0 / (side * side) as f64;
    let mut colors = Vec::with_capacity(size[0] * size[1] * COLORS);
    for (y, x) in (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| (y, x))) {
        for color in 0..COLORS {
            let square =
                (0..side).flat_map(|dy| (0..side).map(move |dx| (y * side + dy) * pixels.size[1] + x * side + dx));
            colors
                .push(T::narrow(share * square.map(|pixel| pixels.colors[pixel * COLORS + color].wide()).sum::<f64>()));
        }
    }
    Pixels { size, colors }
}

/// Adds slopes of averages to those of the pixels that they are of.
fn spread(slopes: &[f64], [height, width]: [usize; 2], (to, size): (&mut [f64], [usize; 2]), scale: usize) {
    if to.is_empty() {
        return;
    }
    let side = 1 << scale;
    let share = 1.0 / (side * side) as f64;
    for (y, x) in (0..height * side).flat_map(|y| (0..width * side).map(move |x| (y, x))) {
        let from = (y / side * width + x / side) * COLORS;
        let pixel = (y * size[1] + x) * COLORS;
        for color in 0..COLORS {
            to[pixel + color] += share * slopes[from + color];
        }
    }
}

/// Each patch along a vector: those that begin at each pixel of a torus, or those that lie within an image.
fn project<T: Color>(pixels: &Pixels<T>, direction: &[f32], side: usize, torus: bool) -> Vec<T> {
    let [height, width] = pixels.size;
    let [lines, columns] = if torus { [height, width] } else { [height + 1 - side, width + 1 - side] };
    let mut values = Vec::with_capacity(lines * columns);
    let row = side * COLORS;
    for (y, x) in (0..lines).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        let mut sum = 0.0;
        for (dy, weights) in direction.chunks_exact(row).enumerate() {
            let line = (y + dy) % height * width;
            if x + side <= width {
                let colors = &pixels.colors[(line + x) * COLORS..][..row];
                sum += colors.iter().zip(weights).map(|(color, weight)| color.wide() * f64::from(*weight)).sum::<f64>();
            } else {
                for (dx, weights) in weights.chunks_exact(COLORS).enumerate() {
                    let colors = &pixels.colors[(line + (x + dx) % width) * COLORS..][..COLORS];
                    sum += colors
                        .iter()
                        .zip(weights)
                        .map(|(color, weight)| color.wide() * f64::from(*weight))
                        .sum::<f64>();
                }
            }
        }
        values.push(T::narrow(sum));
    }
    values
}
