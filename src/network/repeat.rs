//! Each value several times: more samples, and more controls for each of them.

use burn::tensor::{Int, Tensor, TensorData};
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
    /// How often; or give `width`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub times: Option<usize>,
    /// Values that it gives, where that is no multiple of those that come in: each is repeated as evenly as can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub width: Option<usize>,
    /// `row` (default): the whole row again and again; `hold`: each value over neighboring samples.
    #[serde(default)]
    pub order: Order,
}

impl RepeatConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        let before = chain.width();
        let width = match (self.times, self.width) {
            (Some(0), None) => return Err(chain.refuse("times", "is 0: repeat at least once".into())),
            (Some(times), None) => times.saturating_mul(before),
            (None, Some(width)) if width >= before => width,
            (None, Some(width)) => {
                let message = format!("is {width}, but {before} values come in: give at least as many");
                return Err(chain.refuse("width", message));
            }
            _ => return Err(chain.refuse("times", "or `width`: give one of the two".into())),
        };
        Ok(Box::new(Repeat { order: self.order, before, width }))
    }
}

struct Repeat {
    order: Order,
    before: usize,
    width: usize,
}

impl Repeat {
    /// Which value stands at each place.
    fn sources(&self) -> Vec<i64> {
        let source = |place: usize| match self.order {
            Order::Row => place % self.before,
            Order::Hold => place * self.before / self.width,
        };
        (0..self.width).map(|place| source(place) as i64).collect()
    }
}

impl Layer for Repeat {
    fn width(&self) -> usize {
        self.width
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        vec![]
    }

    /// What stands at several places gets the sum.
    fn pull_back(&self, _: &Tensor<2>, _: &[Tensor<2>], cotangents: Tensor<2>) -> Option<Tensor<2>> {
        let mut sums = vec![0.0_f32; self.width * self.before];
        for (place, source) in self.sources().into_iter().enumerate() {
            sums[place * self.before + source as usize] = 1.0;
        }
        let sums = TensorData::new(sums, [self.width, self.before]);
        let device = cotangents.device();
        Some(cotangents.matmul(Tensor::from_data(sums, &device)))
    }

    fn forward(&self, values: Tensor<2>, _: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let [shots, before] = values.dims();
        if !self.width.is_multiple_of(before) {
            let sources = TensorData::new(self.sources(), [self.width]);
            let sources = Tensor::<1, Int>::from_data(sources, &values.device());
            return Ok(values.select(1, sources));
        }
        let times = self.width / before;
        let repeated = match self.order {
            Order::Row => values.reshape([shots, 1, before]).repeat_dim(1, times),
            Order::Hold => values.reshape([shots, before, 1]).repeat_dim(2, times),
        };
        Ok(repeated.reshape([shots, self.width]))
    }
}
