//! Each value several times: more samples, and more controls for each of them.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// How repeated values are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The whole row, then the whole row again.
    #[default]
    Row,
    /// Each value held over neighboring samples.
    Hold,
}

/// Each value several times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepeatConfig {
    /// How often.
    pub times: usize,
    /// `row` (default): the whole row again and again; `hold`: each value over neighboring samples.
    #[serde(default)]
    pub order: Order,
}

impl RepeatConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        if self.times == 0 {
            return Err(chain.refuse("times", "is 0: repeat at least once".into()));
        }
        Ok(Box::new(Repeat { config: self.clone(), width: self.times * chain.width() }))
    }
}

struct Repeat {
    config: RepeatConfig,
    width: usize,
}

impl Layer for Repeat {
    fn width(&self) -> usize {
        self.width
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        vec![]
    }

    fn forward(&self, values: Tensor<2>, _: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let [shots, before] = values.dims();
        let times = self.config.times;
        let repeated = match self.config.order {
            Order::Row => values.reshape([shots, 1, before]).repeat_dim(1, times),
            Order::Hold => values.reshape([shots, before, 1]).repeat_dim(2, times),
        };
        Ok(repeated.reshape([shots, before * times]))
    }
}
