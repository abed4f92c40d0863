//! A fixed function of each value, as between digital layers.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn::tensor::{Tensor, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// A fixed function of each value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivationConfig {
    /// Which function.
    pub function: Function,
    /// For `leaky-relu`: the slope below 0 (0.01).
    #[serde(default = "hundredth")]
    pub slope: f64,
}

fn hundredth() -> f64 {
    0.01
}

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// max(x, 0).
    Relu,
    /// max(x, 0), but at most 2: as the published rules of textures were trained.
    ClippedRelu,
    /// x above 0, slope · x below.
    LeakyRelu,
    /// x Φ(x), with the normal distribution Φ.
    Gelu,
    /// x/(1 + e⁻ˣ).
    Silu,
    /// 1/(1 + e⁻ˣ): 0 to 1.
    Sigmoid,
    /// −1 to 1.
    Tanh,
    /// ln(1 + eˣ).
    Softplus,
    /// |x|.
    Abs,
    /// x², as a detector of light does with a field.
    Square,
    /// sin x.
    Sin,
}

/// Where `clipped-relu` ends.
const CLIP: f64 = 2.0;

impl ActivationConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        if !self.slope.is_finite() {
            return Err(chain.refuse("slope", format!("is {}, but it must be a finite number", self.slope)));
        }
        Ok(Box::new(Activation { config: self.clone(), width: chain.width() }))
    }
}

struct Activation {
    config: ActivationConfig,
    width: usize,
}

impl Layer for Activation {
    fn width(&self) -> usize {
        self.width
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        vec![]
    }

    fn pull_back(&self, values: &Tensor<2>, _: &[Tensor<2>], cotangents: Tensor<2>) -> Option<Tensor<2>> {
        let values = values.clone();
        let sigmoid = || activation::sigmoid(values.clone());
        let is_above = || values.clone().greater_elem(0.0).float();
        let slope = match self.config.function {
            Function::Relu => is_above(),
            Function::ClippedRelu => is_above() * values.clone().lower_elem(CLIP).float(),
            Function::LeakyRelu => is_above().mul_scalar(1.0 - self.config.slope).add_scalar(self.config.slope),
            Function::Gelu => gelu(values).1,
            Function::Silu => sigmoid() * (values.clone() * (-sigmoid()).add_scalar(1.0)).add_scalar(1.0),
            Function::Sigmoid => sigmoid() * (-sigmoid()).add_scalar(1.0),
            Function::Tanh => (-activation::tanh(values).square()).add_scalar(1.0),
            Function::Softplus => sigmoid(),
            Function::Abs => values.sign(),
            Function::Square => values.mul_scalar(2.0),
            Function::Sin => values.cos(),
        };
        Some(cotangents * slope)
    }

    fn forward_with_slope(
        &self,
        values: Tensor<2>,
        weights: &[Tensor<2>],
        pass: &mut Pass<'_>,
    ) -> Result<(Tensor<2>, Option<Tensor<2>>), Error> {
        if self.config.function == Function::Gelu {
            let (value, slope) = gelu(values);
            return Ok((value, Some(slope)));
        }
        Ok((self.forward(values, weights, pass)?, None))
    }

    fn forward(&self, values: Tensor<2>, _: &[Tensor<2>], _: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        Ok(match self.config.function {
            Function::Relu => activation::relu(values),
            Function::ClippedRelu => values.clamp(0.0, CLIP),
            Function::LeakyRelu => activation::leaky_relu(values, self.config.slope),
            // Not the library's, whose backward pass is that of an approximation.
            Function::Gelu => values.clone() * normal(values),
            Function::Silu => activation::silu(values),
            Function::Sigmoid => activation::sigmoid(values),
            Function::Tanh => activation::tanh(values),
            Function::Softplus => activation::softplus(values, 1.0),
            Function::Abs => values.abs(),
            Function::Square => values.square(),
            Function::Sin => values.sin(),
        })
    }
}

/// x Φ(x) and its slope Φ(x) + x φ(x), with the density φ: Φ is dear, and serves both.
fn gelu(values: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let density = values.clone().square().mul_scalar(-0.5).exp().mul_scalar((2.0 * PI).sqrt().recip());
    let below = normal(values.clone());
    (values.clone() * below.clone(), below + values * density)
}

/// Φ(x), the share of the normal distribution below x.
fn normal(values: Tensor<2>) -> Tensor<2> {
    values.mul_scalar(FRAC_1_SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5)
}
