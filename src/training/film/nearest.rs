//! The latents whose frame is nearest to a given one, by gradient: first on the twins of the generator's plants, then on the plants, where the
//! value is what was measured and the gradient the twins'.
//!
//! ```text
//! z ← z − Adam(∂/∂z ⟨(generator(z) − frame)²⟩), each latent within ±3        from the nearest of some draws; classes stay as they were drawn
//! ```

use burn::tensor::Tensor;
use sims::Key;

use crate::Error;
use crate::data::Latents;
use crate::network::{Generator, Pass, Purpose, State, rows};
use crate::plants::{Forward, Lab};
use crate::training::trainer::adam;

/// Latents that are drawn, and how many of them are followed.
const DRAWN: usize = 512;
const FOLLOWED: usize = 8;
/// Steps on the twins and on the plants, with their sizes.
const ON_TWINS: (usize, f64) = (300, 0.05);
const ON_PLANTS: (usize, f64) = (24, 0.02);
/// Latents stay within so many of their standard deviations.
const FARTHEST: f32 = 3.0;

/// Shots of a search for each physical layer.
pub const SHOTS: usize = FOLLOWED * (ON_PLANTS.0 + 1);

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    /// What goes into the generator.
    pub latents: Vec<f32>,
    /// How far its frame is from the given one: the root mean square of the differences of their values.
    pub distance: f64,
}

/// What is searched.
pub struct Search<'a> {
    /// The generator.
    pub generator: &'a Generator,
    /// What goes into it.
    pub latents: Latents,
    /// The given frame.
    pub frame: &'a [f32],
}

impl Search<'_> {
    /// The nearest latents, by draws of `key`; on the plants only where there are any and `on` says so.
    pub fn run(&self, key: Key, (lab, on): (&mut Lab, Forward)) -> Result<Nearest, Error> {
        let classes = self.latents.classes.max(1);
        let draw = |row: usize| {
            let latents = self.latents.row(Some((row % classes) as u32), 0, key.number(row as u64));
            let latents = latents.into_iter().map(|value| value.clamp(-FARTHEST, FARTHEST)).collect();
            Nearest { latents, distance: 0.0 }
        };
        let drawn = (0..DRAWN).map(draw).collect();
        let mut found = self.follow(drawn, (0, 0.0), (&mut *lab, Forward::Twin))?;
        found.sort_by(|one, other| one.distance.total_cmp(&other.distance));
        found.truncate(FOLLOWED);
        found = self.follow(found, ON_TWINS, (&mut *lab, Forward::Twin))?;
        if on == Forward::Plant && !lab.names().is_empty() {
            found = self.follow(found, ON_PLANTS, (lab, on))?;
        }
        let nearest = found.into_iter().min_by(|one, other| one.distance.total_cmp(&other.distance));
        nearest.ok_or_else(|| Error::Diverged { what: "the search of a first frame".to_owned() })
    }

    /// So many steps from each start, of a size; of each the nearest place that it came to.
    fn follow(
        &self,
        starts: Vec<Nearest>,
        (steps, size): (usize, f64),
        (lab, on): (&mut Lab, Forward),
    ) -> Result<Vec<Nearest>, Error> {
        let (count, width, free) = (starts.len(), self.latents.width(), self.latents.latent);
        let mut values: Vec<f32> = starts.iter().flat_map(|start| start.latents.clone()).collect();
        let (mut mean, mut square) = (vec![0.0; values.len()], vec![0.0; values.len()]);
        let wanted = Tensor::from_inner(rows::tensor(self.frame.to_vec(), [1, self.frame.len()]));
        let mut nearest = starts;
        for step in 0..=steps {
            let leaf = Tensor::from_inner(rows::tensor(values.clone(), [count, width])).require_grad();
            let mut state = State::default();
            let shown =
                self.generator.images(leaf.clone(), &mut Pass::new(&mut *lab, on, Purpose::Test, &mut state))?;
            let apart = (shown - wanted.clone()).square().mean_dim(1);
            let places = values.chunks_exact(width).zip(rows::values(apart.clone().detach()));
            for (nearest, (latents, square)) in nearest.iter_mut().zip(places) {
                let distance = f64::from(square).sqrt();
                if step == 0 || distance < nearest.distance {
                    *nearest = Nearest { latents: latents.to_vec(), distance };
                }
            }
            if step == steps {
                break;
            }
            let Some(slopes) = leaf.grad(&apart.sum().backward()).map(rows::values) else { break };
            let before = values.clone();
            let weight = adam::Weight { values: &mut values, mean: &mut mean, square: &mut square };
            adam::step(size, step + 1, &slopes, weight);
            for (row, before) in values.chunks_exact_mut(width).zip(before.chunks_exact(width)) {
                row[..free].iter_mut().for_each(|value| *value = value.clamp(-FARTHEST, FARTHEST));
                row[free..].copy_from_slice(&before[free..]);
            }
        }
        Ok(nearest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::network::{Ends, LayerConfig, NamedTensor, Network};
    use crate::plants::Derivatives;

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Layers {
        layers: Vec<LayerConfig>,
    }

    const LATENTS: Latents = Latents { latent: 3, classes: 2 };

    /// Random, of 12 values.
    fn generator(lab: &Lab) -> Generator {
        let text = "[[layers]]\nkind = \"linear\"\nwidth = 9\nspread = 1.5\n[[layers]]\nkind = \"activation\"\nfunction = \"tanh\"\n[[layers]]\nkind = \"linear\"\nwidth = 12\n";
        let document = Document::parse("a.toml", text).unwrap();
        let layers = document.check::<Layers>().unwrap().layers;
        let ends =
            Ends { inputs: LATENTS.width(), outputs: 12, what: "values", classes: false, cells: None, movement: None };
        let network = Network::build(&layers, &document, lab, ends).unwrap();
        let weights: Vec<NamedTensor> = network
            .weights(Key::new(7))
            .into_iter()
            .map(|(name, weight)| NamedTensor { name, tensor: rows::tensor(weight.values, weight.shape) })
            .collect();
        Generator::new((network, &layers), (&weights, &[]), (LATENTS, true)).unwrap()
    }

    #[test]
    fn latents_of_a_frame_that_the_generator_makes_are_found_again_with_their_class() {
        let mut lab = Lab::new(vec![], Derivatives::Twin).unwrap();
        let generator = generator(&lab);
        let known = vec![0.7, -1.2, 0.4, 0.0, 1.0];
        let mut image = |latents: Vec<f32>| {
            let mut state = State::default();
            let pass = &mut Pass::new(&mut lab, Forward::Plant, Purpose::Test, &mut state);
            rows::values(generator.images(rows::tensor(latents, [1, 5]), pass).unwrap())
        };
        let frame = image(known.clone());
        let found = |frame: &[f32], seed: u64| {
            let search = Search { generator: &generator, latents: LATENTS, frame };
            search.run(Key::new(seed), (&mut Lab::new(vec![], Derivatives::Twin).unwrap(), Forward::Plant)).unwrap()
        };
        let nearest = found(&frame, 1);
        assert!(nearest.distance < 0.02 && nearest.latents[3..] == known[3..], "{nearest:?}");
        assert!(nearest.latents.iter().zip(&known).all(|(found, known)| (found - known).abs() < 0.15), "{nearest:?}");
        assert_eq!(nearest, found(&frame, 1), "a search is a function of its key");
        // What is said is how far the frame of these latents is.
        let far = found(&[9.0; 12], 1);
        let square =
            image(far.latents.clone()).iter().map(|value| (f64::from(*value) - 9.0).powi(2)).sum::<f64>() / 12.0;
        assert!((far.distance - square.sqrt()).abs() < 1e-4 && 5.0 < far.distance, "{far:?}");
        assert!(far.latents.iter().all(|latent| latent.abs() <= FARTHEST));
    }
}
