//! A trainable matrix and summand: `y = x W + b`, `W` `[width before, width]`.
//!
//! Initial weights are uniform in ±spread/√(width before).

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, MOST_WEIGHTS, Pass, Weight};
use crate::Error;

/// A trainable matrix and summand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinearConfig {
    /// Values that it gives.
    #[schemars(range(min = 1, max = 65_536))]
    pub width: usize,
    /// What the initial weights are multiplied by (1); with 0 it begins by giving zeros.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 0, max = 1000))]
    pub spread: f32,
}

fn one() -> f32 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_one(spread: &f32) -> bool {
    *spread == 1.0
}

impl LinearConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        if self.width == 0 {
            return Err(chain.refuse("width", "is 0: give at least one value".into()));
        }
        // Before anything is made room for.
        if MOST_WEIGHTS / self.width < chain.width() {
            let message = format!(
                "is {} after {} values, which makes {} weights: at most {MOST_WEIGHTS} can be trained",
                self.width,
                chain.width(),
                self.width.saturating_mul(chain.width())
            );
            return Err(chain.refuse("width", message));
        }
        Ok(Box::new(Linear { before: chain.width(), width: self.width, spread: self.spread }))
    }
}

struct Linear {
    before: usize,
    width: usize,
    spread: f32,
}

impl Layer for Linear {
    fn width(&self) -> usize {
        self.width
    }

    fn weights(&self, key: Key) -> Vec<Weight> {
        let bound = self.spread / (self.before as f32).sqrt();
        let mut stream = key.stream();
        let mut draw = |count: usize| (0..count).map(|_| bound * (2.0 * stream.uniform() - 1.0)).collect();
        vec![
            Weight { name: "matrix", shape: [self.before, self.width], values: draw(self.before * self.width) },
            Weight::row("offset", draw(self.width)),
        ]
    }

    fn pull_back(&self, _: &Tensor<2>, weights: &[Tensor<2>], cotangents: Tensor<2>) -> Option<Tensor<2>> {
        Some(cotangents.matmul(weights[0].clone().transpose()))
    }

    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        Ok(values.matmul(weights[0].clone()) + weights[1].clone())
    }
}
