//! Textures compared by the filters of a network that sees images.
//!
//! ```text
//! D = mean over blocks of (1/variance) · mean over directions v of (1/n) Σᵢ (aᵢ − qᵢ)²
//! ```
//!
//! a: the sorted projections, on random unit vectors v, of what the first convolution of a block gives behind its rectifier at the n places of the
//! texture; q: the quantiles of the same of the image; the variance is that of the image. Beyond the edges there are zeros, as where the
//! network was trained. After the loss of Mordvintsev et al., *Texture Generation with Neural Cellular Automata* (arXiv 2105.07545), which
//! takes the blocks of VGG16.

use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation};
use sims::{COLORS, Pixels};

use super::generate::directions;
use super::ruler::transport;
use crate::data::{Filter, Filters};
use crate::network::rows;

/// Directions of each block in an update.
const SEEN: usize = 32;
/// A block is left out whose map of the lattice has a shorter side.
const LEAST: usize = 4;
/// Places of the image's map that are kept of a block, at most.
const MOST: usize = 1 << 14;

/// What an image is to the filters.
pub struct Features {
    filters: Vec<Filter>,
    blocks: Vec<Block>,
}

/// What one block sees of the image.
struct Block {
    /// `[places, channels]`
    wanted: Tensor<2>,
    /// What each direction counts.
    weight: f64,
}

impl Features {
    /// Of an image, for lattices of so many lines and columns.
    pub fn new(filters: &Filters, image: &Pixels<f32>, size: [usize; 2]) -> Self {
        let side = size.into_iter().chain(image.size).min().unwrap_or(0);
        // A block beyond the first halves the sides.
        let fits = |block: usize| LEAST <= side.checked_shr(block as u32 - 1).unwrap_or(0);
        let mut block = 0;
        let mut kept: Vec<Filter> = Vec::new();
        for filter in &filters.0 {
            block += usize::from(filter.begins);
            if !fits(block) {
                break;
            }
            kept.push(filter.clone());
        }
        let last = kept.iter().rposition(|filter| filter.begins).map_or(0, |last| last + 1);
        kept.truncate(last);
        let mut own = Self { filters: kept, blocks: vec![] };
        let [height, width] = image.size;
        let colors = rows::tensor(image.colors.clone(), [height * width, COLORS]);
        let maps = own.maps(colors.reshape([1, height, width, COLORS]));
        let share = 1.0 / (maps.len() * SEEN).max(1) as f64;
        own.blocks = maps
            .into_iter()
            .map(|wanted| {
                let [places, _] = wanted.dims();
                let wanted = wanted.narrow(0, 0, places.min(MOST));
                let variance = mean_variance(&wanted);
                Block { wanted, weight: share / variance.max(f64::from(f32::MIN_POSITIVE)) }
            })
            .collect();
        own
    }

    /// How many blocks are compared.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// How far the textures `[count, height, width, colors]` are from the image, by the directions of an update; the mean over all.
    pub fn distance(&self, update: u64, colors: &Tensor<4>) -> Tensor<1> {
        let [count, height, width, _] = colors.dims();
        let key = super::ruler::key().branch("filters").number(update);
        let one = |place: usize| colors.clone().slice([place..place + 1, 0..height, 0..width, 0..COLORS]);
        let distances = (0..count).flat_map(|place| {
            self.maps(one(place)).into_iter().zip(&self.blocks).enumerate().map(|(number, (map, block))| {
                let drawn = directions(map.dims()[1], SEEN, key.number(number as u64));
                let along = |map: Tensor<2>| {
                    let shape = [map.dims()[1], SEEN];
                    let drawn = Tensor::<2>::from_data(TensorData::new(drawn.clone(), shape), &map.device());
                    map.matmul(drawn)
                };
                let wanted = rows::values(along(block.wanted.clone()));
                transport(along(map), &wanted, &[block.weight; SEEN], None)
            })
        });
        let distances: Vec<Tensor<1>> = distances.collect();
        Tensor::cat(distances, 0).sum() / count.max(1) as f32
    }

    /// What each block sees: `[places, channels]`, of one image `[1, height, width, colors]`.
    fn maps(&self, colors: Tensor<4>) -> Vec<Tensor<2>> {
        let device: Device = colors.device();
        let (mut values, mut maps) = (colors.permute([0, 3, 1, 2]), vec![]);
        for (place, Filter { shape, kernels, offsets, begins }) in self.filters.iter().enumerate() {
            if *begins && 0 < place {
                values = max_pool2d(values, MaxPoolOptions { stride: [2; 2], ..MaxPoolOptions::new([2; 2]) });
            }
            let kernels = Tensor::<4>::from_data(TensorData::new(kernels.clone(), *shape), &device);
            let offsets = Tensor::<1>::from_data(TensorData::new(offsets.clone(), [shape[0]]), &device);
            let around = [shape[2] / 2, shape[3] / 2];
            let options = ConvOptions::new([1; 2], around, [1; 2], 1);
            values = activation::relu(conv2d(values, kernels, Some(offsets), options));
            if *begins {
                let [_, channels, height, width] = values.dims();
                maps.push(values.clone().permute([0, 2, 3, 1]).reshape([height * width, channels]));
            }
        }
        maps
    }
}

/// The mean of the variances of the columns.
fn mean_variance(values: &Tensor<2>) -> f64 {
    let [count, width] = values.dims();
    let values = rows::values(values.clone());
    let (mut sums, mut squares) = (vec![0.0; width], vec![0.0; width]);
    for row in values.chunks_exact(width.max(1)) {
        for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(row) {
            *sum += f64::from(*value);
            *square += f64::from(*value) * f64::from(*value);
        }
    }
    let count = count.max(1) as f64;
    let variances = sums.iter().zip(&squares).map(|(sum, square)| (square / count - (sum / count).powi(2)).max(0.0));
    variances.sum::<f64>() / width.max(1) as f64
}

/// Filters that are drawn, for tests: two blocks.
#[cfg(test)]
pub fn drawn() -> Filters {
    let filter = |shape: [usize; 4], begins: bool, seed: u64| {
        let mut stream = sims::Key::new(seed).stream();
        let fan = (shape[1] * shape[2] * shape[3]) as f32;
        let kernels = (0..shape.iter().product()).map(|_| stream.normal() / fan.sqrt()).collect();
        Filter { shape, kernels, offsets: (0..shape[0]).map(|_| 0.1 * stream.normal()).collect(), begins }
    };
    Filters(vec![
        filter([6, COLORS, 3, 3], true, 1),
        filter([5, 6, 3, 3], false, 2),
        filter([7, 5, 3, 3], true, 3),
        filter([8, 7, 3, 3], true, 4),
    ])
}
