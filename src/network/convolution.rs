//! A convolution of images with trainable kernels, and a summand for each channel.
//!
//! ```text
//! y[o, i, j] = b[o] + Σ_c Σ_k Σ_l  K[o, c, k, l] · x[c, stride·i + k − padding, stride·j + l − padding]
//! ```
//!
//! Beyond the edges x is 0. Kernels are a matrix `[channels, channels before × size × size]`, uniform in ±1/√(values of a kernel) at the start,
//! as in a linear layer.

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::image::{Image, values};
use super::{Chain, Layer, Pass, WIDEST, Weight};
use crate::Error;

/// A convolution with trainable kernels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvolutionConfig {
    /// Channels that it gives: kernels.
    #[schemars(range(min = 1, max = 65_536))]
    pub channels: usize,
    /// Height and width of a kernel.
    #[schemars(range(min = 1, max = 256))]
    pub size: usize,
    /// Zeros around each image (0).
    #[serde(default)]
    #[schemars(range(max = 256))]
    pub padding: usize,
    /// From place to place of a kernel (1).
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 256))]
    pub stride: usize,
    /// Channels, height and width of what comes in, where the layer before does not leave images and it is no single square channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

fn one() -> usize {
    1
}

impl ConvolutionConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        if self.channels == 0 || WIDEST < self.channels {
            return Err(chain.refuse("channels", format!("is {}: give 1 to {WIDEST}", self.channels)));
        }
        let before = chain.image(self.image)?;
        let [height, width] = chain.places(before, [self.size, self.padding, self.stride])?;
        if WIDEST < self.channels.saturating_mul(height * width) {
            let message = format!("is {}, each of {height} × {width} values: at most {WIDEST} in all", self.channels);
            return Err(chain.refuse("channels", message));
        }
        Ok(Box::new(Convolution { config: self.clone(), before, after: [self.channels, height, width] }))
    }
}

struct Convolution {
    config: ConvolutionConfig,
    before: Image,
    after: Image,
}

impl Layer for Convolution {
    fn width(&self) -> usize {
        values(self.after)
    }

    fn image(&self) -> Option<Image> {
        Some(self.after)
    }

    fn weights(&self, key: Key) -> Vec<Weight> {
        let kernel = self.before[0] * self.config.size * self.config.size;
        let bound = 1.0 / (kernel as f32).sqrt();
        let mut stream = key.stream();
        let mut draw = |count: usize| (0..count).map(|_| bound * (2.0 * stream.uniform() - 1.0)).collect();
        let channels = self.config.channels;
        vec![
            Weight { name: "kernels", shape: [channels, kernel], values: draw(channels * kernel) },
            Weight::row("offset", draw(channels)),
        ]
    }

    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let ConvolutionConfig { channels, size, padding, stride, .. } = self.config;
        let shots = values.dims()[0];
        let [before, height, width] = self.before;
        let images = values.reshape([shots, before, height, width]);
        let kernels = weights[0].clone().reshape([channels, before, size, size]);
        let offset = weights[1].clone().reshape([channels]);
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
        Ok(conv2d(images, kernels, Some(offset), options).reshape([shots, self.width()]))
    }
}
