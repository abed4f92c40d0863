//! Intensities of fields, each shot brought to length 1: `y = |x|²/√(Σ |x|⁴)`, as between optical layers and at their read-out.
//!
//! Of `quadratures` the first half of the values are real parts and the other half imaginary ones; of `amplitudes` each value is squared; of
//! `intensities` none is.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// Intensities of fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MagnitudeConfig {
    /// What comes in.
    pub of: Fields,
    /// Whether each shot is brought to length 1 (true).
    #[serde(default = "yes")]
    pub normalized: bool,
}

/// How fields stand in a row of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fields {
    /// All real parts, then all imaginary parts: half as many values come out.
    Quadratures,
    /// One real amplitude each.
    Amplitudes,
    /// Intensities already.
    Intensities,
}

fn yes() -> bool {
    true
}

/// What is added to the sum of squares, so that the dark is not divided by 0.
const DARK: f64 = 1e-12;

impl MagnitudeConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        let before = chain.width();
        if self.of == Fields::Quadratures && !before.is_multiple_of(2) {
            let message =
                format!("is `quadratures`, but {before} values come in: they are as many real as imaginary parts");
            return Err(chain.refuse("of", message));
        }
        if self.of == Fields::Intensities && !self.normalized {
            return Err(chain.refuse("normalized", "is false of intensities: the layer would do nothing".to_owned()));
        }
        let width = if self.of == Fields::Quadratures { before / 2 } else { before };
        Ok(Box::new(Magnitude { config: self.clone(), width }))
    }
}

struct Magnitude {
    config: MagnitudeConfig,
    width: usize,
}

impl Layer for Magnitude {
    fn width(&self) -> usize {
        self.width
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        vec![]
    }

    fn forward(&self, values: Tensor<2>, _: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let intensities = match self.config.of {
            Fields::Quadratures => {
                let part = |from: usize| values.clone().narrow(1, from, self.width).square();
                part(0) + part(self.width)
            }
            Fields::Amplitudes => values.square(),
            Fields::Intensities => values,
        };
        if !self.config.normalized {
            return Ok(intensities);
        }
        let length = intensities.clone().square().sum_dim(1).add_scalar(DARK).sqrt();
        Ok(intensities / length)
    }
}
