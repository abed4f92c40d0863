//! One factor for all values: `y = scale · x`, as from a reading to logits.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// One factor for all values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleConfig {
    /// The factor at the start (default 1).
    #[serde(default = "one")]
    #[schemars(range(min = -1e6, max = 1e6))]
    pub scale: f32,
    /// Whether it is trained (default true).
    #[serde(default = "yes")]
    pub trainable: bool,
}

fn one() -> f32 {
    1.0
}

fn yes() -> bool {
    true
}

impl ScaleConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        if !self.scale.is_finite() {
            return Err(chain.refuse("scale", format!("is {}, but it must be a finite number", self.scale)));
        }
        Ok(Box::new(Scale { config: self.clone(), width: chain.width() }))
    }
}

struct Scale {
    config: ScaleConfig,
    width: usize,
}

impl Layer for Scale {
    fn width(&self) -> usize {
        self.width
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        if self.config.trainable { vec![Weight::row("scale", vec![self.config.scale])] } else { vec![] }
    }

    fn pull_back(&self, _: &Tensor<2>, weights: &[Tensor<2>], cotangents: Tensor<2>) -> Option<Tensor<2>> {
        Some(match weights.first() {
            Some(scale) => cotangents * scale.clone(),
            None => cotangents.mul_scalar(self.config.scale),
        })
    }

    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        Ok(match weights.first() {
            Some(scale) => values * scale.clone(),
            None => values.mul_scalar(self.config.scale),
        })
    }
}
