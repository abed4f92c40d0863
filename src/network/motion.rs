//! The same chain at every frame: noise goes in, a step through the latents of a frozen generator comes out.
//!
//! ```text
//! s₀ = style(z)        s_t = s_{t−1} + step · tanh(chain(e_t)) · (V σ)        frame_t = generator(s_t)
//! ```
//!
//! A row of a batch is one sequence: what goes into the generator, z, then the noise e of each further frame. `style` is the generator up to
//! its first plant, V σ its principal components with their standard deviations (`motion/generator.rs`). What comes out is all frames, one
//! after another, and last the mean cosine between the noise and what the state tells of it: `[sequences, frames · values + 1]`. All frames
//! of a batch go through the generator together, each frame a shot. A row may have more frames than were learned.
//!
//! After Tian et al., *A Good Image Generator Is What You Need for High-Resolution Video Synthesis* (arXiv 2104.15069), without its critics.

mod generator;
mod principal;
#[cfg(test)]
mod tests;

use burn::tensor::{Tensor, activation};

use super::{MotionEnds, Network, Pass, Sequence};
use crate::Error;
use crate::data::Movement;

pub use generator::Generator;

/// Runs a chain at every frame.
pub struct Motion {
    rule: Movement,
    generator: Option<Box<Generator>>,
}

/// Where a motion went: for tests and films.
pub struct Walk {
    /// `[sequences, style]` of each frame.
    pub styles: Vec<Tensor<2>>,
    /// `[sequences, components]` of each frame but the first: the step in standard deviations.
    pub steps: Vec<Tensor<2>>,
    /// The mean cosine of each sequence between its noise and what was told of it, `[sequences, 1]`; none where nobody tells.
    pub told: Option<Tensor<2>>,
}

impl Motion {
    /// Without its generator, which is put in later.
    pub fn new(rule: &Movement) -> Self {
        Self { rule: rule.clone(), generator: None }
    }

    /// What its layers must know of it.
    pub fn ends(rule: &Movement) -> MotionEnds {
        MotionEnds { start: rule.latents.width(), noise: rule.noise, told: 0.0 < rule.mutual_information }
    }

    fn generator(&self) -> Result<&Generator, Error> {
        self.generator.as_deref().ok_or_else(|| {
            Error::Usage(
                "[motion]: this command runs the network without its generator, and cannot be used with it".to_owned(),
            )
        })
    }

    /// All frames of the sequences `inputs`.
    pub(super) fn roll(
        &self,
        network: &Network,
        inputs: &Tensor<2>,
        weights: &[Tensor<2>],
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, Error> {
        let generator = self.generator()?;
        let Walk { styles, told, .. } = self.walk(network, inputs, weights, pass)?;
        let [sequences, _] = inputs.dims();
        let shown = generator.together(styles, sequences, pass)?;
        let told = told.unwrap_or_else(|| Tensor::zeros([sequences, 1], &shown.device()));
        Ok(Tensor::cat(vec![shown, told], 1))
    }

    /// Through the latents, nothing shown.
    fn walk(
        &self,
        network: &Network,
        inputs: &Tensor<2>,
        weights: &[Tensor<2>],
        pass: &mut Pass<'_>,
    ) -> Result<Walk, Error> {
        let generator = self.generator()?;
        let Movement { latents, noise, step, .. } = self.rule;
        let ([sequences, width], start) = (inputs.dims(), latents.width());
        let steps = width.saturating_sub(start) / noise.max(1);
        let first = inputs.clone().narrow(1, 0, start);
        let device = first.device();
        let scaled = generator.components(&self.rule, pass)?.scaled(&device);
        let mut style = generator.style(first.clone(), pass)?;
        pass.sequence = Sequence { start: Some(first), ..Sequence::default() };
        let mut walk = Walk { styles: vec![style.clone()], steps: vec![], told: None };
        let mut count = 0;
        for frame in 0..steps {
            let drawn = inputs.clone().narrow(1, start + frame * noise, noise);
            let moved = network.chain(drawn.clone(), weights, pass)?;
            let moved = activation::tanh(moved).mul_scalar(step);
            style = style + moved.clone().matmul(scaled.clone());
            walk.styles.push(style.clone());
            walk.steps.push(moved);
            for told in std::mem::take(&mut pass.sequence.told) {
                let cosine = cosine(told, drawn.clone());
                walk.told = Some(walk.told.map_or(cosine.clone(), |sum| sum + cosine));
                count += 1;
            }
        }
        pass.sequence = Sequence::default();
        walk.told = walk.told.map(|sum| sum.div_scalar(f64::from(count.max(1))).reshape([sequences, 1]));
        Ok(walk)
    }
}

/// The cosine between the rows of two tensors: `[rows, 1]`.
fn cosine(one: Tensor<2>, other: Tensor<2>) -> Tensor<2> {
    let length = |rows: &Tensor<2>| rows.clone().square().sum_dim(1).add_scalar(1e-12).sqrt();
    let lengths = length(&one) * length(&other);
    (one * other).sum_dim(1) / lengths
}

impl Network {
    /// Whether it is run frame after frame.
    pub fn moves(&self) -> bool {
        self.motion.is_some()
    }

    /// Whether critics say how it is moved.
    pub fn has_critics(&self) -> bool {
        self.motion.as_ref().is_some_and(|motion| motion.rule.critics.is_some())
    }

    /// The generator that it moves.
    pub fn generator(&self) -> Result<&Generator, Error> {
        self.motion()?.generator()
    }

    /// The same with the generator that it moves.
    pub fn through(mut self, generator: Generator) -> Self {
        if let Some(motion) = &mut self.motion {
            motion.generator = Some(Box::new(generator));
        }
        self
    }

    /// Where sequences go, of a network that moves a generator: nothing is driven unless its own layers do.
    pub fn walk(&self, inputs: &Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Walk, Error> {
        self.motion()?.walk(self, inputs, weights, pass)
    }

    /// The frames of a walk, `[sequences, frames · values]`: each a shot.
    pub fn shown(&self, walk: &Walk, pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let sequences = walk.styles.first().map_or(0, |first| first.dims()[0]);
        self.generator()?.together(walk.styles.clone(), sequences, pass)
    }

    fn motion(&self) -> Result<&Motion, Error> {
        let none = || Error::Usage("this network moves no generator: it has no table [motion]".to_owned());
        self.motion.as_ref().ok_or_else(none)
    }
}
