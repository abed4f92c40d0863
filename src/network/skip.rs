//! Adds the output of an earlier layer: `y = x + gain · earlier`.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// Adds the output of an earlier layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SkipConfig {
    /// The number of the layer whose output is added, counted from 0.
    #[schemars(range(max = 65_536))]
    pub from: usize,
    /// Its factor at the start (default 1).
    #[serde(default = "one")]
    #[schemars(range(min = -1e6, max = 1e6))]
    pub gain: f32,
    /// Whether the factor is trained (default false).
    #[serde(default)]
    pub trainable: bool,
}

fn one() -> f32 {
    1.0
}

impl SkipConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        let Some((kind, given)) = chain.before.get(self.from.saturating_add(1)).filter(|_| self.from < chain.index())
        else {
            return Err(chain.refuse(
                "from",
                format!("is layer {}, which does not come before: name an earlier layer, counted from 0", self.from),
            ));
        };
        if *given != chain.width() {
            let message = format!(
                "does not fit: layer {} ({kind}) gives {given} values, but layer {} ({}) gives {} to add them to",
                self.from,
                chain.index() - 1,
                chain.before[chain.index()].0,
                chain.width()
            );
            return Err(chain.refuse("from", message));
        }
        Ok(Box::new(Skip { config: self.clone(), width: chain.width() }))
    }
}

struct Skip {
    config: SkipConfig,
    width: usize,
}

impl Layer for Skip {
    fn width(&self) -> usize {
        self.width
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        if self.config.trainable { vec![Weight::row("gain", vec![self.config.gain])] } else { vec![] }
    }

    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        // The pass keeps what went into each layer; a layer's output is what went into the next.
        let earlier = pass.outputs[self.config.from + 1].clone();
        Ok(match weights.first() {
            Some(gain) => values + earlier * gain.clone(),
            None => values + earlier.mul_scalar(self.config.gain),
        })
    }
}
