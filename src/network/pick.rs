//! Read-out: some neighboring values and no others, such as the class oscillators of a lattice.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// Some neighboring values and no others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PickConfig {
    /// The first value that is kept, counted from 0; left out, the last `count` values are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65_536))]
    pub from: Option<usize>,
    /// How many are kept.
    #[schemars(range(max = 65_536))]
    pub count: usize,
}

impl PickConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        let width = chain.width();
        let from = self.from.unwrap_or(width.saturating_sub(self.count));
        if self.count == 0 || width < from.saturating_add(self.count) {
            let message = format!(
                "is {} from value {from} on, but {width} values come in, numbered from 0: pick 1 to {}",
                self.count,
                width.saturating_sub(from)
            );
            return Err(chain.refuse("count", message));
        }
        Ok(Box::new(Pick { from, count: self.count }))
    }
}

struct Pick {
    from: usize,
    count: usize,
}

impl Layer for Pick {
    fn width(&self) -> usize {
        self.count
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        vec![]
    }

    fn pull_back(&self, values: &Tensor<2>, _: &[Tensor<2>], cotangents: Tensor<2>) -> Option<Tensor<2>> {
        let ([shots, width], device) = (values.dims(), cotangents.device());
        let zeros = |count: usize| Tensor::zeros([shots, count], &device);
        let parts = [zeros(self.from), cotangents, zeros(width - self.from - self.count)];
        Some(Tensor::cat(parts.into_iter().filter(|part: &Tensor<2>| part.dims()[1] > 0).collect(), 1))
    }

    fn forward(&self, values: Tensor<2>, _: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        Ok(values.narrow(1, self.from, self.count))
    }
}
