//! A trained generator that stays as it is: its weights, and the directions in which its latents vary.
//!
//! Its style is what comes to its first plant; of a generator without plants, what its first layer gives. Principal components are those
//! of the styles of latents that are drawn, about the mean of each class where it is told classes.
//! Where the first layer is linear, with the weights W of the latents, these are `V σ` of `Wᵀ W = V σ² Vᵀ`.

use std::ops::Range;
use std::sync::OnceLock;

use burn::tensor::{Device, Tensor, TensorData};
use sims::Key;

use super::principal::Principal;
use crate::Error;
use crate::data::{Latents, Movement};
use crate::network::{LayerConfig, NamedTensor, Network, Pass, Purpose, State, rows};

/// Latents that principal components are computed of.
const DRAWN: usize = 4096;
/// Principal components are the same for all runs of a generator.
const SEED: u64 = 20_210_430;
/// Below this share of the largest deviation there is no direction left.
const SMALL: f64 = 1e-6;

/// A frozen generator.
pub struct Generator {
    network: Network,
    weights: Vec<(Vec<f32>, [usize; 2])>,
    state: State,
    latents: Latents,
    /// Layers before the style.
    first: usize,
    components: OnceLock<Result<Components, String>>,
}

/// Directions that are moved along, each times its standard deviation.
#[derive(Debug, Clone)]
pub(super) struct Components {
    /// `[components, style]`.
    scaled: Vec<f32>,
    width: usize,
}

impl Components {
    /// `V σ`, `[components, style]`.
    pub fn scaled(&self, device: &Device) -> Tensor<2> {
        let shape = [self.scaled.len() / self.width.max(1), self.width];
        Tensor::from_data(TensorData::new(self.scaled.clone(), shape), device)
    }
}

/// Layers before the style: all before the first plant, or one; none where a layer behind adds the output of one before.
fn first(layers: &[LayerConfig], principal: bool) -> usize {
    if !principal {
        return 0;
    }
    let plant = layers.iter().position(|layer| matches!(layer, LayerConfig::Physical(_)));
    let first = plant.unwrap_or_else(|| usize::from(!layers.is_empty()));
    let reaches = |layer: &LayerConfig| matches!(layer, LayerConfig::Skip(skip) if skip.from + 1 < first);
    if layers.iter().skip(first).any(reaches) { 0 } else { first }
}

impl Generator {
    /// Of a network with what a training has left of it; the sentence says what does not fit.
    pub fn new(
        (network, layers): (Network, &[LayerConfig]),
        (weights, state): (&[NamedTensor], &[NamedTensor]),
        (latents, principal): (Latents, bool),
    ) -> Result<Self, String> {
        let mut found = Vec::new();
        for (name, weight) in network.weights(Key::new(0)) {
            let known = weights.iter().find(|known| known.name == name && known.tensor.dims() == weight.shape);
            let [height, width] = weight.shape;
            let known = known.ok_or_else(|| format!("has no weight `{name}` of {height} × {width}"))?;
            found.push((rows::values(known.tensor.clone()), weight.shape));
        }
        let (state, first) = (network.recall(state)?, first(layers, principal));
        Ok(Self { network, weights: found, state, latents, first, components: OnceLock::new() })
    }

    /// Values of a frame.
    pub fn pixels(&self) -> usize {
        self.network.layers.last().map_or(0, |layer| layer.width())
    }

    /// Values of its style.
    pub fn style_width(&self) -> usize {
        match self.first.checked_sub(1) {
            Some(last) => self.network.layers[last].width(),
            None => self.latents.width(),
        }
    }

    /// `[sequences, latents]` → `[sequences, style]`.
    pub(super) fn style(&self, latents: Tensor<2>, pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        self.part(0..self.first, latents, pass)
    }

    /// `[frames, style]` → `[frames, values]`: each a shot on each of its plants.
    fn frames(&self, styles: Tensor<2>, pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        self.part(self.first..self.network.layers.len(), styles, pass)
    }

    /// Images of latents, whole.
    pub fn images(&self, latents: Tensor<2>, pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        self.part(0..self.network.layers.len(), latents, pass)
    }

    /// `[sequences, frames · values]` of sequences that go, from what `latents` become, to given places: of each frame `[sequences, components]`
    /// in standard deviations.
    pub fn walked(
        &self,
        rule: &Movement,
        (latents, places): (Tensor<2>, &[Tensor<2>]),
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, Error> {
        let scaled = self.components(rule, pass)?.scaled(&latents.device());
        let [sequences, _] = latents.dims();
        let start = self.style(latents, pass)?;
        let styles = places.iter().map(|place| start.clone() + place.clone().matmul(scaled.clone())).collect();
        self.together(styles, sequences, pass)
    }

    /// The frames of styles, all at once: sequence after sequence with all its frames.
    pub(super) fn together(
        &self,
        styles: Vec<Tensor<2>>,
        sequences: usize,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, Error> {
        let frames = styles.len();
        let shown = self.frames(Tensor::cat(styles, 0), pass)?;
        let [_, values] = shown.dims();
        let shown: Tensor<3> = shown.reshape([frames, sequences, values]).swap_dims(0, 1);
        Ok(shown.reshape([sequences, frames * values]))
    }

    /// Through some of its layers, in a pass of its own: what it remembers stays as it is.
    fn part(&self, layers: Range<usize>, values: Tensor<2>, pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let device = values.device();
        let weight = |(values, shape): &(Vec<f32>, [usize; 2])| {
            Tensor::from_data(TensorData::new(values.clone(), *shape), &device)
        };
        let weights: Vec<Tensor<2>> = self.weights.iter().map(weight).collect();
        let mut state = self.state.clone();
        let mut own = Pass::new(&mut *pass.lab, pass.on, Purpose::Test, &mut state).penalized(pass.sharpness);
        own.models = pass.models;
        let shown = self.network.chain_within(layers, values, &weights, &mut own)?;
        let (penalties, into_plants, usage) =
            (std::mem::take(&mut own.penalties), std::mem::take(&mut own.into_plants), own.usage);
        pass.penalties.extend(penalties);
        pass.into_plants.extend(into_plants);
        pass.usage.add(usage);
        Ok(shown)
    }

    /// What is moved along.
    pub(super) fn components(&self, rule: &Movement, pass: &mut Pass<'_>) -> Result<&Components, Error> {
        if let Some(known) = self.components.get() {
            return known.as_ref().map_err(|message| Error::Usage(message.clone()));
        }
        let found = if rule.principal { self.principal(rule.components, pass)? } else { self.each(rule.components) };
        self.components.get_or_init(|| found).as_ref().map_err(|message| Error::Usage(message.clone()))
    }

    /// Each latent by itself.
    fn each(&self, count: usize) -> Result<Components, String> {
        if count != self.latents.latent {
            return Err(format!(
                "motion.components is {count}, but without principal components each of the generator's {} latents moves by itself: give as many",
                self.latents.latent
            ));
        }
        let width = self.latents.width();
        let one = |row: usize| (0..width).map(move |column| f32::from(u8::from(row == column)));
        Ok(Components { scaled: (0..count).flat_map(one).collect(), width })
    }

    /// The directions in which styles vary most.
    fn principal(&self, count: usize, pass: &mut Pass<'_>) -> Result<Result<Components, String>, Error> {
        let (classes, width) = (self.latents.classes.max(1), self.style_width());
        let key = Key::new(SEED).branch("components");
        let row = |row: usize| self.latents.row(Some((row % classes) as u32), 0, key.number(row as u64));
        let drawn: Vec<f32> = (0..DRAWN).flat_map(row).collect();
        let styles = rows::values(self.style(rows::tensor(drawn, [DRAWN, self.latents.width()]), pass)?);
        let Principal { directions, deviations } = Principal::of(&styles, width, count, |row| row % classes);
        let least = SMALL * deviations.first().copied().unwrap_or_default();
        let there = deviations.iter().filter(|deviation| least < **deviation).count();
        if there < count {
            return Ok(Err(format!(
                "motion.components is {count}, but the generator's latents vary in {there} directions: give at most {there}"
            )));
        }
        let scaled = directions.iter().zip(&deviations);
        let scaled =
            scaled.flat_map(|(direction, deviation)| direction.iter().map(move |one| (one * deviation) as f32));
        Ok(Ok(Components { scaled: scaled.collect(), width }))
    }
}
