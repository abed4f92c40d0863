//! A toy: a generator with random weights, whose sequences circle in the plane of its first two principal components.
//!
//! ```text
//! s_t = s₀ + R [cos(φ + ωt) − cos φ] V₁σ₁ + R [sin(φ + ωt) − sin φ] V₂σ₂        φ even, ω even in ±0.1 to 0.3, R = 0.6
//! ```

use burn::tensor::Tensor;
use sims::Key;

use super::features::{Features, shuffled, still};
use crate::Error;
use crate::data::{Dataset, Latents, MotionConfig, MotionObjective, Movement};
use crate::document::Document;
use crate::network::{Ends, Generator, LayerConfig, NamedTensor, Network, Pass, Purpose, State, rows};
use crate::plants::{Derivatives, Forward, Lab};
use crate::training::film::Mover;
use crate::training::{Method, Trainer, TrainingConfig};

/// Values of a frame, and what goes into the generator.
const VALUES: usize = 32;
const LATENTS: Latents = Latents { latent: 8, classes: 0 };
/// Frames, components, and values of a recurrent state.
const FRAMES: usize = 16;
const COMPONENTS: usize = 6;
const STATE: usize = 32;
/// The radius of the circles, in standard deviations.
const RADIUS: f32 = 0.6;
/// Sequences of one batch.
const BATCH: usize = 100;
/// Contents whose motions are compared, and motions of each.
const CONTENTS: usize = 20;
const EACH: usize = 40;

/// How one run moves.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// Along principal components, or each latent by itself.
    pub principal: bool,
    /// Whether the noise is to be told.
    pub told: bool,
    /// Learned by critics, or by windows.
    pub critics: bool,
}

/// What one training came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moved {
    /// From the real sequences.
    pub distance: f64,
    /// The mean cosine between noise and what was told of it.
    pub told: f64,
    /// How much of the variance of the motion is within one content, as a share of deviations.
    pub diversity: f64,
    /// In standard deviations.
    pub largest_step: f64,
}

/// The toy of one seed.
pub struct Toy {
    plane: Plane,
    train: Vec<f32>,
    features: Features,
}

/// The generator, and what goes through it on given paths.
struct Plane {
    layers: Vec<LayerConfig>,
    weights: Vec<NamedTensor>,
    document: Document,
    lab: Lab,
    key: Key,
    count: usize,
}

/// What a file with layers holds.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Layers {
    layers: Vec<LayerConfig>,
}

fn layers(text: &str) -> Result<(Vec<LayerConfig>, Document), Error> {
    let document = Document::parse("motion", text)?;
    Ok((document.check::<Layers>()?.layers, document))
}

impl Plane {
    fn new(seed: u64, count: usize) -> Result<Self, Error> {
        let dense = "[[layers]]\nkind = \"linear\"\nwidth = 32\nspread = 1.732\n\n[[layers]]\nkind = \"activation\"\nfunction = \"tanh\"\n\n";
        let (layers, document) = layers(&dense.repeat(2))?;
        let lab = Lab::new(vec![], Derivatives::Twin)?;
        let key = Key::new(seed).branch("toy");
        let network = Network::build(&layers, &document, &lab, ends())?;
        let weights = network.weights(key.branch("weights")).into_iter();
        let weights = weights
            .map(|(name, weight)| NamedTensor { name, tensor: rows::tensor(weight.values, weight.shape) })
            .collect();
        Ok(Self { layers, weights, document, lab, key, count })
    }

    fn generator(&self, principal: bool) -> Result<Generator, Error> {
        let network = Network::build(&self.layers, &self.document, &self.lab, ends())?;
        Generator::new((network, &self.layers), (&self.weights, &[]), (LATENTS, principal)).map_err(Error::Usage)
    }

    /// Real sequences.
    fn circles(&mut self, key: Key) -> Result<Vec<f32>, Error> {
        self.walked(key, |stream| {
            let phase = std::f32::consts::TAU * stream.uniform();
            let speed = (0.1 + 0.2 * stream.uniform()) * if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
            let at = |frame: usize| (phase + speed * frame as f32).sin_cos();
            let (sin, cos) = at(0);
            (0..FRAMES).map(|frame| [RADIUS * (at(frame).1 - cos), RADIUS * (at(frame).0 - sin)]).collect()
        })
    }

    /// Sequences that wander about in the plane of the circles, with steps as long as theirs.
    fn wandering(&mut self, key: Key) -> Result<Vec<f32>, Error> {
        // The mean square of a circle's step along one axis: R² (1 − cos ω), averaged over its speeds.
        let speeds = (0..100).map(|part| 0.1 + 0.002 * (part as f32 + 0.5));
        let step = RADIUS * (speeds.map(|speed: f32| 1.0 - speed.cos()).sum::<f32>() / 100.0).sqrt();
        self.walked(key, |stream| {
            let mut place = [0.0; 2];
            let mut places = vec![place];
            for _ in 1..FRAMES {
                place = place.map(|along| along + step * stream.normal());
                places.push(place);
            }
            places
        })
    }

    /// Sequences that go where a draw says, along the first two components.
    fn walked(&mut self, key: Key, draw: impl Fn(&mut sims::Stream) -> Vec<[f32; 2]>) -> Result<Vec<f32>, Error> {
        let (rule, generator, count) =
            (movement(Way { principal: true, told: false, critics: false }), self.generator(true)?, self.count);
        let mut places = vec![vec![0.0; count * COMPONENTS]; FRAMES];
        let mut latents = Vec::with_capacity(count * LATENTS.latent);
        for row in 0..count {
            let key = key.number(row as u64);
            latents.extend(LATENTS.row(None, 0, key));
            for (frame, [one, other]) in draw(&mut key.branch("path").stream()).into_iter().enumerate() {
                places[frame][row * COMPONENTS] = one;
                places[frame][row * COMPONENTS + 1] = other;
            }
        }
        let places: Vec<Tensor<2>> = places.into_iter().map(|place| rows::tensor(place, [count, COMPONENTS])).collect();
        let mut state = State::default();
        let pass = &mut Pass::new(&mut self.lab, Forward::Plant, Purpose::Test, &mut state);
        let latents = rows::tensor(latents, [count, LATENTS.latent]);
        generator.walked(&rule, (latents, &places), pass).map(rows::values)
    }
}

impl Toy {
    /// With `count` sequences to learn from, and as many to measure.
    pub fn new(seed: u64, count: usize) -> Result<Self, Error> {
        let mut plane = Plane::new(seed, count)?;
        let train = plane.circles(plane.key.branch("train"))?;
        let real = plane.circles(plane.key.branch("test"))?;
        let features = Features::new(&real, [FRAMES, VALUES])
            .ok_or_else(|| Error::Usage("motion: there are too few sequences to measure".to_owned()))?;
        Ok(Self { plane, train, features })
    }

    /// Names and distances of what does not learn: other real sequences, still ones, shuffled ones, a random walk.
    pub fn controls(&mut self) -> Result<Vec<(&'static str, f64)>, Error> {
        let (size, key) = ([FRAMES, VALUES], self.plane.key.branch("controls"));
        let walk = self.plane.wandering(key.branch("walk"))?;
        let of = |sequences: &[f32]| self.features.distance(sequences);
        Ok(vec![
            ("real sequences", of(&self.train)),
            ("still", of(&still(&self.train, size))),
            ("shuffled frames", of(&shuffled(&self.train, size, key))),
            ("random walk", of(&walk)),
        ])
    }

    /// Learns to move in one way, by so many updates.
    pub fn train(&mut self, way: Way, steps: usize) -> Result<Moved, Error> {
        let rule = movement(way);
        let text = format!(
            "[[layers]]\nkind = \"lstm\"\nwidth = {STATE}\n\n[[layers]]\nkind = \"linear\"\nwidth = {}\n",
            rule.components
        );
        let (layers, document) = layers(&text)?;
        let key = self.plane.key.branch("motion");
        let test = self.train[..FRAMES * VALUES].to_vec();
        let data = Dataset::of_sequences("circles", rule.clone(), [self.train.clone(), test], key);
        let network = |plane: &Plane| -> Result<Network, Error> {
            Ok(Network::build(&layers, &document, &plane.lab, &rule)?.through(plane.generator(way.principal)?))
        };
        let config = TrainingConfig {
            steps,
            batch: BATCH,
            learning_rate: 5e-3,
            gradient_clip: 1.0,
            evaluate_every: 0,
            ..TrainingConfig::default()
        };
        let mut trainer = Trainer::new(network(&self.plane)?, &data, &config, Method::PhysicsAware, key);
        trainer.updates(steps, &mut self.plane.lab)?;
        let saved = trainer.saved();
        drop(trainer);
        let saved = (&saved.weights[..], &saved.state[..]);
        let mut mover = Mover::new(network(&self.plane)?, saved, &rule).map_err(Error::Usage)?;
        let fresh = key.branch("fresh");
        let inputs: Vec<f32> =
            (0..self.plane.count).flat_map(|row| rule.row(None, FRAMES, fresh.number(row as u64))).collect();
        let film = mover.film(&inputs, FRAMES, &mut self.plane.lab, Forward::Plant)?;
        let width = rule.width();
        let contents: Vec<f32> = (0..CONTENTS * EACH)
            .flat_map(|row| {
                let content = rule.row(None, FRAMES, fresh.number((row / EACH) as u64));
                let noise = rule.row(None, FRAMES, fresh.branch("noise").number(row as u64));
                [&content[..LATENTS.latent], &noise[LATENTS.latent..width]].concat()
            })
            .collect();
        let varied = mover.film(&contents, FRAMES, &mut self.plane.lab, Forward::Plant)?;
        Ok(Moved {
            distance: self.features.distance(&film.frames),
            told: film.told.unwrap_or(0.0),
            diversity: self.features.diversity(&varied.frames, EACH),
            largest_step: film.largest_step,
        })
    }
}

fn ends() -> Ends {
    Ends { inputs: LATENTS.latent, outputs: VALUES, what: "values", classes: false, cells: None, movement: None }
}

fn movement(way: Way) -> Movement {
    let config = MotionConfig {
        frames: FRAMES,
        components: if way.principal { COMPONENTS } else { LATENTS.latent },
        principal: way.principal,
        mutual_information: if way.told { 0.5 } else { 0.0 },
        objective: if way.critics { MotionObjective::Critics } else { MotionObjective::Windows },
        ..MotionConfig::default()
    };
    Movement::new(&config, LATENTS, [1, VALUES])
}
