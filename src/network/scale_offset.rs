//! A trainable factor and summand for each element: `y = scale · x + offset`, the trainables of the original electrical
//! and mechanical experiments.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// A trainable factor and summand for each element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleOffsetConfig {
    /// Values that it takes and gives; left out, what the layer before gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65_536))]
    pub width: Option<usize>,
    /// Mean of the initial factors, in full scales of the plant that follows (default 1).
    #[serde(default = "one")]
    #[schemars(range(min = -1e6, max = 1e6))]
    pub scale: f32,
    /// Standard deviation of the initial factors (default 0).
    #[serde(default)]
    #[schemars(range(min = 0, max = 1e6))]
    pub scale_spread: f32,
    /// Mean of the initial summands, in full scales (default 0).
    #[serde(default)]
    #[schemars(range(min = -1e6, max = 1e6))]
    pub offset: f32,
    /// Standard deviation of the initial summands (default 0).
    #[serde(default)]
    #[schemars(range(min = 0, max = 1e6))]
    pub offset_spread: f32,
}

fn one() -> f32 {
    1.0
}

impl ScaleOffsetConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        let width = self.width.unwrap_or(chain.width());
        chain.takes("scale-offset", "width", width)?;
        Ok(Box::new(ScaleOffset { config: self.clone(), width }))
    }
}

struct ScaleOffset {
    config: ScaleOffsetConfig,
    width: usize,
}

impl Layer for ScaleOffset {
    fn width(&self) -> usize {
        self.width
    }

    fn weights(&self, key: Key) -> Vec<Weight> {
        let config = &self.config;
        let mut stream = key.stream();
        let mut draw = |mean: f32, spread: f32| (0..self.width).map(|_| mean + spread * stream.normal()).collect();
        vec![
            Weight::row("scale", draw(config.scale, config.scale_spread)),
            Weight::row("offset", draw(config.offset, config.offset_spread)),
        ]
    }

    fn pull_back(&self, _: &Tensor<2>, weights: &[Tensor<2>], cotangents: Tensor<2>) -> Option<Tensor<2>> {
        Some(cotangents * weights[0].clone())
    }

    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        Ok(values * weights[0].clone() + weights[1].clone())
    }
}
