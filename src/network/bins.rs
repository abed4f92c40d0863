//! Read-out: the values in equal bins, each reduced to one number with a trainable attenuation and offset.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// What a bin is reduced to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// The mean.
    #[default]
    Mean,
    /// The root mean square: the loudness of a waveform.
    RootMeanSquare,
}

/// Read-out bins with trainable attenuation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BinsConfig {
    /// How many bins. Values that do not fill a last bin are left out.
    #[schemars(range(max = 65_536))]
    pub bins: usize,
    /// What a bin is reduced to: `mean` (default) or `root-mean-square`.
    #[serde(default)]
    pub statistic: Statistic,
    /// Initial attenuation: a factor from full scales to logits (default 1).
    #[serde(default = "one")]
    #[schemars(range(min = -1e6, max = 1e6))]
    pub attenuation: f32,
}

fn one() -> f32 {
    1.0
}

impl BinsConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        if self.bins == 0 || self.bins > chain.width() {
            return Err(chain.refuse(
                "bins",
                format!("is {}, but {} values come in: use 1 to {} bins", self.bins, chain.width(), chain.width()),
            ));
        }
        Ok(Box::new(Bins { config: self.clone(), each: chain.width() / self.bins }))
    }
}

struct Bins {
    config: BinsConfig,
    /// Values in each bin.
    each: usize,
}

impl Layer for Bins {
    fn width(&self) -> usize {
        self.config.bins
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        let bins = self.config.bins;
        vec![Weight::row("attenuation", vec![self.config.attenuation; bins]), Weight::row("offset", vec![0.0; bins])]
    }

    fn pull_back(&self, values: &Tensor<2>, weights: &[Tensor<2>], cotangents: Tensor<2>) -> Option<Tensor<2>> {
        let [shots, before] = values.dims();
        let (bins, used) = (self.config.bins, self.config.bins * self.each);
        let own = (cotangents * weights[0].clone()).reshape([shots, bins, 1]).div_scalar(self.each as f64);
        let spread = match self.config.statistic {
            Statistic::Mean => own.repeat_dim(2, self.each),
            Statistic::RootMeanSquare => {
                let values = values.clone().narrow(1, 0, used).reshape([shots, bins, self.each]);
                let power: Tensor<3> = values.clone().square().mean_dim(2).add_scalar(1e-12).sqrt();
                values * (own / power)
            }
        };
        let spread = spread.reshape([shots, used]);
        let device = spread.device();
        Some(if used == before {
            spread
        } else {
            Tensor::cat(vec![spread, Tensor::zeros([shots, before - used], &device)], 1)
        })
    }

    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let [shots, before] = values.dims();
        let (bins, used) = (self.config.bins, self.config.bins * self.each);
        let values = if used == before { values } else { values.narrow(1, 0, used) };
        let values = values.reshape([shots, bins, self.each]);
        let binned: Tensor<3> = match self.config.statistic {
            Statistic::Mean => values.mean_dim(2),
            // A silent bin has no slope; a little power keeps its gradient finite.
            Statistic::RootMeanSquare => values.clone().mul(values).mean_dim(2).add_scalar(1e-12).sqrt(),
        };
        Ok(binned.reshape([shots, bins]) * weights[0].clone() + weights[1].clone())
    }
}
