//! Constant values after those that come in, up to a width: ports of the next plant that carry no data.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// Constant values after those that come in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PadConfig {
    /// Values that it gives: at least as many as come in.
    #[schemars(range(max = 65_536))]
    pub width: usize,
    /// The value of those that are added, in what the next layer takes (default 0).
    #[serde(default)]
    #[schemars(range(min = -1e6, max = 1e6))]
    pub value: f32,
}

impl PadConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        if self.width < chain.width() {
            let message = format!("is {}, but {} values come in: pad to at least as many", self.width, chain.width());
            return Err(chain.refuse("width", message));
        }
        Ok(Box::new(Pad { config: self.clone(), added: self.width - chain.width() }))
    }
}

struct Pad {
    config: PadConfig,
    /// Values that are added.
    added: usize,
}

impl Layer for Pad {
    fn width(&self) -> usize {
        self.config.width
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        vec![]
    }

    fn pull_back(&self, _: &Tensor<2>, _: &[Tensor<2>], cotangents: Tensor<2>) -> Option<Tensor<2>> {
        Some(cotangents.narrow(1, 0, self.config.width - self.added))
    }

    fn forward(&self, values: Tensor<2>, _: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        if self.added == 0 {
            return Ok(values);
        }
        let added = Tensor::full([values.dims()[0], self.added], self.config.value, &values.device());
        Ok(Tensor::cat(vec![values, added], 1))
    }
}
