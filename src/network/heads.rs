//! Several read-outs on the same measured readings: the table `[heads]`.
//!
//! ```text
//! inputs ─► layers … plant … ─► readings h ─┬─► read-out 1 ─► outputs
//!                                           ├─► read-out 2 ─► outputs
//!                                           └─► …
//!
//! loss = 1/M Σₘ objective(outputsₘ) + diversity/M Σₘ Σₙ≠ₘ mean over shots of δₘₙ
//! δₘₙ  = (gₘᵀ S gₙ)²/((gₘᵀ S gₘ)(gₙᵀ S gₙ))             gₘ = ∂scoreₘ/∂h,  [shots, width of h]
//! ```
//!
//! One pass through the plant serves all read-outs. The penalty keeps the gradients of their scores from pointing the same way, so that each uses
//! something else of the readings (Teney et al., Evading the Simplicity Bias, arXiv 2105.05612). There δ is the plain product of the gradients;
//! that has no lower bound (gradients turn against each other and grow), so here it is the squared cosine, from 0 to 1. The loss is theirs divided by M.
//! S is 1, or the covariance of the readings (`metric`). The score of a row is the output of its class less the mean of its outputs,
//! since the softmax does not see what all outputs share.
//!
//! The penalty is differentiated through gₘ itself. Each layer of a read-out gives its backward pass as tensor operations
//! ([`Layer::pull_back`]), and those are differentiated once more, which is exact. In the penalty the readings are held fixed: it
//! trains the read-outs alone, and nothing is differentiated twice through a plant.

// Circle with network/chain.rs: a layer is refused by its place, which read-outs count anew, and read-outs are chains.

use burn::tensor::{Tensor, TensorData, activation::softmax};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, LayerConfig, Network, Pass, State, rows};
use crate::Error;
use crate::document::Document;

/// Read-outs at most.
const MOST: usize = 256;
/// Below this square a gradient has no direction.
const SMALL: f32 = 1e-12;
/// What the choice of a read-out is called among what a network remembers.
const SELECTED: &str = "selected";

/// Several read-outs, trained together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadsConfig {
    /// How many read-outs.
    #[schemars(range(min = 2, max = 256))]
    pub count: usize,
    /// Weight of the penalty on read-outs that use the same of the readings (default 0.3); 0: they are trained independently.
    #[serde(default = "three_tenths")]
    #[schemars(range(min = 0, max = 1e6))]
    pub diversity: f32,
    /// What is penalized: `cosine-squared` (default), the squared cosine between the gradients of two read-outs.
    #[serde(default)]
    pub penalty: Penalty,
    /// What angles between gradients are measured by.
    #[serde(default)]
    pub metric: Metric,
    /// The layers of a read-out, behind all of `[[layers]]`; left out, those of `[[layers]]` behind the last that is physical, normalizes or skips.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerConfig>,
}

fn three_tenths() -> f32 {
    0.3
}

/// What is penalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Penalty {
    /// The squared cosine between the gradients of two read-outs.
    #[default]
    CosineSquared,
}

/// What angles between gradients are measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The readings as they come: each counts alike.
    #[default]
    Readings,
    /// The covariance of the batch's readings: a direction counts as much as readings vary along it, between the classes as well. For readings that
    /// depend on one another, such as the samples of a waveform, where gradients could otherwise differ in directions that no shot has.
    Spread,
}

/// The layers of a network with its read-outs.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// `[[layers]]`.
    pub layers: &'a [LayerConfig],
    /// `[heads]`.
    pub heads: Option<&'a HeadsConfig>,
}

impl<'a> From<&'a [LayerConfig]> for Layout<'a> {
    fn from(layers: &'a [LayerConfig]) -> Self {
        Self { layers, heads: None }
    }
}

impl<'a> From<&'a Vec<LayerConfig>> for Layout<'a> {
    fn from(layers: &'a Vec<LayerConfig>) -> Self {
        Self { layers, heads: None }
    }
}

impl<'a> Layout<'a> {
    /// The layers of one chain from the data to the outputs, and how many of them all read-outs share.
    pub(super) fn chain(self, document: &Document) -> Result<(Vec<&'a LayerConfig>, usize), Error> {
        let all: Vec<&LayerConfig> = self.layers.iter().collect();
        let Some(heads) = self.heads else { return Ok((all, self.layers.len())) };
        if !(2..=MOST).contains(&heads.count) {
            return Err(document.refuse("heads.count", format!("is {}: train 2 to {MOST} read-outs", heads.count)));
        }
        if !(heads.diversity >= 0.0 && heads.diversity.is_finite()) {
            return Err(
                document.refuse("heads.diversity", format!("is {}, but it must be at least 0", heads.diversity))
            );
        }
        if heads.layers.is_empty() {
            let shared = all.iter().rposition(|layer| !layer.reads_out()).map_or(0, |last| last + 1);
            if shared == all.len() {
                let message = "is there, but behind the last layer that is physical, normalizes or skips there is none that a read-out could be \
                               made of: add layers such as `linear`, or [[heads.layers]]";
                return Err(document.refuse("heads", message));
            }
            return Ok((all, shared));
        }
        if let Some(bad) = heads.layers.iter().position(|layer| !layer.reads_out()) {
            let message = format!(
                "is `{}`, which cannot be part of a read-out: its backward pass cannot be differentiated again. Put it into [[layers]]",
                heads.layers[bad].kind()
            );
            return Err(document.refuse(&format!("heads.layers.{bad}.kind"), message));
        }
        Ok((all.into_iter().chain(&heads.layers).collect(), self.layers.len()))
    }
}

impl LayerConfig {
    /// Whether it can be part of a read-out: it needs no plant, remembers nothing, and gives its backward pass as tensor operations.
    fn reads_out(&self) -> bool {
        matches!(
            self,
            Self::Linear(_)
                | Self::Activation(_)
                | Self::ScaleOffset(_)
                | Self::Scale(_)
                | Self::Bins(_)
                | Self::Pick(_)
                | Self::Pad(_)
                | Self::Repeat(_)
        )
    }
}

/// The read-outs of a network.
pub(super) struct Heads {
    /// What the experiment says of them.
    config: HeadsConfig,
    /// Layers that all share.
    pub shared: usize,
    /// Whether outputs tell classes apart: the ensemble then is the mean of their probabilities.
    classes: bool,
}

impl Heads {
    /// Those whose layers stand behind the first `shared` of `layers`. Refuses read-outs that could never differ.
    pub fn new(
        (config, shared, classes): (&HeadsConfig, usize, bool),
        layers: &[Box<dyn Layer>],
        document: &Document,
    ) -> Result<Self, Error> {
        let own = &layers[shared..shared + (layers.len() - shared) / config.count];
        let drawn = |seed| -> Vec<Vec<f32>> {
            own.iter().flat_map(|layer| layer.weights(Key::new(seed))).map(|weight| weight.values).collect()
        };
        let first = drawn(0);
        if first.is_empty() {
            let message = "is there, but a read-out has no layer with weights, so there is nothing to train and all would say the same: add one, \
                           such as `linear`, behind the last layer that is physical, normalizes or skips, or to [[heads.layers]]";
            return Err(document.refuse("heads", message));
        }
        if first == drawn(1) {
            let message = "is there, but all weights of a read-out begin at given values, so all would learn the same: draw them, as by \
                           `scale_spread` of a layer `scale-offset`, or add a layer `linear`";
            return Err(document.refuse("heads", message));
        }
        Ok(Self { config: config.clone(), shared, classes })
    }

    /// What all of them say together: the logarithm of the mean probability of each class, or the mean of the numbers.
    fn together(&self, outputs: &[Tensor<2>]) -> Option<Tensor<2>> {
        let said = outputs.iter().map(|one| if self.classes { softmax(one.clone(), 1) } else { one.clone() });
        let mean = said.reduce(|sum, one| sum + one)?.div_scalar(outputs.len() as f64);
        Some(if self.classes { mean.add_scalar(1e-30).log() } else { mean })
    }
}

/// What one pass gave.
pub struct Outputs {
    /// What the network says: its only read-out, the one that was selected, or all together.
    pub said: Tensor<2>,
    /// What each read-out says, where there are several.
    pub each: Vec<Tensor<2>>,
    /// What came to the read-outs.
    pub readings: Tensor<2>,
}

impl Network {
    /// What `[heads]` says, where there are several read-outs.
    pub fn heads(&self) -> Option<&HeadsConfig> {
        self.heads.as_ref().map(|heads| &heads.config)
    }

    /// Which read-out a layer belongs to, where there are several, and its number in a chain from the data to the outputs.
    pub(super) fn place(&self, index: usize) -> (Option<usize>, usize) {
        let own =
            self.heads.as_ref().map(|heads| (heads.shared, (self.layers.len() - heads.shared) / heads.config.count));
        match own {
            Some((shared, own)) if shared <= index => (Some((index - shared) / own), shared + (index - shared) % own),
            _ => (None, index),
        }
    }

    /// The layers of a read-out, with the weights of each.
    fn read_out<'w>(
        &'w self,
        heads: &'w Heads,
        head: usize,
        weights: &'w [Tensor<2>],
    ) -> Vec<(&'w dyn Layer, &'w [Tensor<2>])> {
        let own = (self.layers.len() - heads.shared) / heads.config.count;
        let first = heads.shared + head * own;
        let layers = self.layers.iter().map(|layer| &**layer).zip(self.dealt(weights));
        layers.skip(first).take(own).collect()
    }

    /// `[shots, inputs]` → what the network says, and each of its read-outs: the plants are driven once.
    pub fn outputs(&self, inputs: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Outputs, Error> {
        let readings = self.shared(inputs, weights, pass)?;
        let Some(heads) = &self.heads else { return Ok(Outputs { said: readings.clone(), each: vec![], readings }) };
        let each = self.read_outs(&readings, 0, weights, pass)?;
        let chosen = self.selected(pass.state).and_then(|head| each.get(head).cloned());
        let said = chosen.or_else(|| heads.together(&each)).unwrap_or_else(|| readings.clone());
        Ok(Outputs { said, each, readings })
    }

    /// What each read-out makes of what comes to it, where that comes from layers behind `first`, none of which drives a plant.
    pub(super) fn read_outs(
        &self,
        values: &Tensor<2>,
        first: usize,
        weights: &[Tensor<2>],
        pass: &mut Pass<'_>,
    ) -> Result<Vec<Tensor<2>>, Error> {
        let Some(heads) = self.heads.as_ref().filter(|heads| first < heads.shared.max(1)) else { return Ok(vec![]) };
        (0..heads.config.count)
            .map(|head| {
                self.read_out(heads, head, weights)
                    .into_iter()
                    .try_fold(values.clone(), |values, (layer, these)| layer.forward(values, these, pass))
            })
            .collect()
    }

    /// The sum of `δ` over the pairs m ≠ n, the mean over shots, for every set of cotangents of the outputs; their mean. It can be differentiated by
    /// the weights of the read-outs.
    pub fn alignment(
        &self,
        readings: &Tensor<2>,
        weights: &[Tensor<2>],
        (cotangents, spread): (&[Tensor<2>], Option<&Tensor<2>>),
        pass: &mut Pass<'_>,
    ) -> Result<Option<Tensor<1>>, Error> {
        let Some(heads) = &self.heads else { return Ok(None) };
        let [shots, width] = readings.dims();
        let count = heads.config.count;
        // Of each set of cotangents the gradient of each read-out.
        let mut gradients: Vec<Vec<Tensor<3>>> = vec![Vec::with_capacity(count); cotangents.len()];
        for head in 0..count {
            let (mut values, mut inputs) = (readings.clone().detach(), Vec::new());
            let layers = self.read_out(heads, head, weights);
            for (layer, these) in &layers {
                let input = values.clone();
                let (output, slope) = layer.forward_with_slope(values, these, pass)?;
                inputs.push((input, slope));
                values = output;
            }
            for (gradients, cotangents) in gradients.iter_mut().zip(cotangents) {
                let mut gradient = cotangents.clone();
                for ((layer, these), (input, slope)) in layers.iter().zip(&inputs).rev() {
                    if let Some(slope) = slope {
                        gradient = gradient * slope.clone();
                        continue;
                    }
                    gradient = layer.pull_back(input, these, gradient).ok_or_else(|| {
                        Error::Usage(
                            "[heads]: a layer of a read-out has no backward pass that can be differentiated again"
                                .to_owned(),
                        )
                    })?;
                }
                gradients.push(gradient.reshape([shots, 1, width]));
            }
        }
        let sums = gradients.into_iter().map(|gradients| {
            let all: Tensor<3> = Tensor::cat(gradients, 1);
            // [shots, heads, width]: seen by the metric.
            let seen = match spread {
                Some(spread) => {
                    all.clone().reshape([shots * count, width]).matmul(spread.clone()).reshape([shots, count, width])
                }
                None => all.clone(),
            };
            // Each is brought to length 1 first: the squares of two products are beyond the digits of a number long before a length is. What rounding
            // makes negative, or longer than 1, has no slope.
            let squares = (all.clone() * seen.clone()).sum_dim(2).clamp_min(0.0);
            let lengths = squares.add_scalar(SMALL).sqrt();
            let (all, seen) = (all / lengths.clone(), seen / lengths);
            // [shots, heads, heads] of squared cosines; each with itself is 1.
            let cosines = all.matmul(seen.swap_dims(1, 2)).square().clamp_max(1.0);
            let mask: Vec<f32> =
                (0..count * count).map(|at| if at / count == at % count { 0.0 } else { 1.0 }).collect();
            let mask = Tensor::<3>::from_data(TensorData::new(mask, [1, count, count]), &cosines.device());
            (cosines * mask).sum().div_scalar(shots as f64)
        });
        let total = sums.reduce(|sum, one| sum + one);
        Ok(total.map(|total| total.div_scalar(cotangents.len() as f64)))
    }

    /// The read-out that was selected, if one was.
    pub fn selected(&self, state: &State) -> Option<usize> {
        let heads = self.heads.as_ref()?;
        let tensor = state.of(self.layers.len())?.get(SELECTED)?;
        let number = rows::values(tensor.clone()).first().copied()?;
        is_choice(number, heads.config.count).then_some(number as usize)
    }

    /// Makes the network say what one of its read-outs says, or none: all together.
    pub fn select(&self, head: Option<usize>, state: &mut State) {
        let memory = state.of_mut(self.layers.len());
        match head {
            Some(head) => memory.insert(SELECTED.to_owned(), rows::tensor(vec![head as f32], [1, 1])),
            None => memory.remove(SELECTED),
        };
    }

    /// Whether `tensor` can be what the network remembers of its read-outs under `name`.
    pub(super) fn heads_remember(&self, name: &str, tensor: &Tensor<2>) -> bool {
        let Some(heads) = &self.heads else { return false };
        name == SELECTED
            && tensor.dims() == [1, 1]
            && rows::values(tensor.clone()).iter().all(|number| is_choice(*number, heads.config.count))
    }

    /// The covariance of the readings of a batch: `[width, width]`. What the classes differ in counts with the rest: it is there that all read-outs
    /// would go by the same.
    pub fn spread(readings: &Tensor<2>) -> Vec<f32> {
        let [shots, width] = readings.dims();
        let values: Vec<f64> = rows::values(readings.clone().detach()).into_iter().map(f64::from).collect();
        let count = shots.max(1) as f64;
        let mut mean = vec![0.0; width];
        for row in values.chunks_exact(width.max(1)) {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / count);
        }
        let mut covariance = vec![0.0; width * width];
        for row in values.chunks_exact(width.max(1)) {
            for (own, (value, at)) in covariance.chunks_exact_mut(width.max(1)).zip(row.iter().zip(&mean)) {
                for (sum, (other, mean)) in own.iter_mut().zip(row.iter().zip(&mean)) {
                    *sum += (value - at) * (other - mean) / count;
                }
            }
        }
        // Brought to a mean variance of 1, so that what is small stays small beside it.
        let trace: f64 = (0..width).map(|at| covariance[at * width + at]).sum::<f64>() / width.max(1) as f64;
        let unit = if trace > 0.0 { trace } else { 1.0 };
        covariance.into_iter().map(|value| (value / unit) as f32).collect()
    }
}

/// Whether a number chooses one of so many read-outs.
fn is_choice(number: f32, count: usize) -> bool {
    number.fract() == 0.0 && (0.0..count as f32).contains(&number)
}

/// The place of a layer in the experiment file.
pub(super) fn path(chain: &Chain<'_>) -> String {
    match chain.index().checked_sub(chain.own_from) {
        Some(own) => format!("heads.layers.{own}"),
        None => format!("layers.{}", chain.index()),
    }
}

#[cfg(test)]
mod tests;
