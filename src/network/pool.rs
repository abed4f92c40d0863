//! Windows of images, each as one value: its largest, or its mean.
//!
//! Values that do not fill a last window are left out.

use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::image::{Image, values};
use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// Windows of images, each as one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// What a window gives.
    pub statistic: PoolStatistic,
    /// Height and width of a window (2).
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 256))]
    pub size: usize,
    /// From window to window (its size).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub stride: Option<usize>,
    /// Channels, height and width of what comes in, where the layer before does not leave images and it is no single square channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

/// What a window gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PoolStatistic {
    /// Its largest value.
    Max,
    /// The mean of its values.
    Mean,
}

fn two() -> usize {
    2
}

impl PoolConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        let before = chain.image(self.image)?;
        let stride = self.stride.unwrap_or(self.size);
        let [height, width] = chain.places(before, [self.size, 0, stride])?;
        let after = [before[0], height, width];
        Ok(Box::new(Pool { statistic: self.statistic, size: self.size, stride, before, after }))
    }
}

struct Pool {
    statistic: PoolStatistic,
    size: usize,
    stride: usize,
    before: Image,
    after: Image,
}

impl Layer for Pool {
    fn width(&self) -> usize {
        values(self.after)
    }

    fn image(&self) -> Option<Image> {
        Some(self.after)
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        vec![]
    }

    fn forward(&self, values: Tensor<2>, _: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let shots = values.dims()[0];
        let [channels, height, width] = self.before;
        let images = values.reshape([shots, channels, height, width]);
        let (size, stride) = ([self.size; 2], [self.stride; 2]);
        let pooled = match self.statistic {
            PoolStatistic::Max => {
                max_pool2d(images, MaxPoolOptions { kernel_size: size, stride, ..MaxPoolOptions::new(size) })
            }
            PoolStatistic::Mean => {
                avg_pool2d(images, AvgPoolOptions { kernel_size: size, stride, ..AvgPoolOptions::new(size) })
            }
        };
        Ok(pooled.reshape([shots, self.width()]))
    }
}
