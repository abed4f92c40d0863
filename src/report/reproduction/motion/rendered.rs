//! Digits that turn, shown by a plant: a generator with the electrical plant in it, and what moves it.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Tensor;
use serde_json::json;
use sims::Key;

use super::features::{Features, still};
use crate::Error;
use crate::data::{Dataset, Meaning, Movement};
use crate::document::Document;
use crate::network::{Network, Pass, Purpose, State, rows};
use crate::plants::{Forward, Lab, Rig};
use crate::record::Saved;
use crate::report::Theme;
use crate::training::film::Mover;
use crate::training::frozen::Frozen;
use crate::training::{Experiment, Method, Prepared, Trainer};

/// Splits, weights and latents.
pub const SEED: u64 = 1;
/// Random walks are tried with steps of so many standard deviations; the best one counts.
const WALKS: [f32; 5] = [0.02, 0.05, 0.1, 0.15, 0.2];
/// Sequences that are shown together.
const TOGETHER: usize = 50;

/// Tells the classes of turned digits; no plant, and nothing of the generator.
const CLASSIFIER: &str = r#"
name = "classifier"

[data]
source = "digits"
test = 500

[data.augmentation]
rotation_degrees = 30

[training]
steps = 1500
batch = 128
learning_rate = 5e-3
evaluate_every = 0

[[layers]]
kind = "linear"
width = 96

[[layers]]
kind = "activation"
function = "relu"

[[layers]]
kind = "linear"
width = 10
"#;

/// A generator that was trained, with its distances on the plant and as its method believed.
pub struct Trained {
    /// The generator.
    pub frozen: Frozen,
    /// On the plant.
    pub distance: f64,
}

/// How sequences of one motion came out on the plant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown {
    /// Fréchet distance of the motion from that of turned digits.
    pub distance: f64,
    /// The share of frames whose class is that of the first one, for the independent classifier.
    pub kept: f64,
    /// The mean cosine between noise and what was told of it.
    pub told: f64,
    /// The largest step of a component, in standard deviations.
    pub largest_step: f64,
    /// The same distance of still sequences, each with the first frame.
    pub still: f64,
}

fn prepared(name: &str, quick: bool, assignments: &[&str]) -> Result<Prepared, Error> {
    let assignments: Vec<String> = assignments.iter().map(|one| (*one).to_owned()).collect();
    let (experiment, document) = Experiment::find_form(name, quick, &assignments)?;
    let rig = Rig::find(None, &document)?;
    Ok(Prepared { experiment, document, rig, data: None, drawer: Arc::new(Theme::default()) })
}

/// Trains the generator by a method.
pub fn generator(method: Method, quick: bool) -> Result<Trained, Error> {
    let prepared = prepared("generator-electrical", quick, &[])?;
    let data = prepared.load(SEED)?;
    let mut lab = prepared.lab_unrecorded(method, SEED)?;
    let experiment = prepared.counted(method, SEED, &data);
    let network = Network::build(experiment.layout(), &prepared.document, &lab, &data)?;
    let mut trainer = Trainer::new(network, &data, &experiment.training, method, Key::new(SEED));
    trainer.updates(experiment.training.steps, &mut lab)?;
    let (saved, distance) = (trainer.saved(), trainer.test_scores(&mut lab)?.first());
    drop(trainer);
    lab.make_safe()?;
    let size = if let Meaning::Images(pictures) = &data.meaning { pictures.size } else { [1, data.meaning.len()] };
    let facts = json!({ "classes": data.meaning.names(), "size": size });
    let frozen = Frozen::new(Path::new("the generator"), (experiment, prepared.document.clone()), facts, saved)?;
    Ok(Trained { frozen, distance })
}

/// What tells the class of a frame.
pub struct Classifier {
    network: Network,
    weights: Vec<Tensor<2>>,
    lab: Lab,
    /// Of digits that it has not seen, as they are.
    pub accuracy: f64,
}

impl Classifier {
    /// Trained on turned digits.
    pub fn new() -> Result<Self, Error> {
        let document = Document::parse("classifier", CLASSIFIER)?;
        let experiment: Experiment = document.check()?;
        let key = Key::new(SEED);
        let data = Dataset::load(&experiment.data, None, &document, key.branch("data"))?;
        let mut lab = Lab::new(vec![], crate::plants::Derivatives::Twin)?;
        let build = |lab: &Lab| Network::build(experiment.layout(), &document, lab, &data);
        let mut trainer = Trainer::new(build(&lab)?, &data, &experiment.training, Method::PhysicsAware, key);
        trainer.updates(experiment.training.steps, &mut lab)?;
        let (Saved { weights, .. }, accuracy) = (trainer.saved(), trainer.test_scores(&mut lab)?.first());
        let weights = weights.into_iter().map(|weight| weight.tensor).collect();
        let network = build(&lab)?;
        Ok(Self { network, weights, lab, accuracy })
    }

    /// The share of frames whose class is that of the first frame of their sequence.
    pub fn kept(&mut self, sequences: &[f32], [frames, pixels]: [usize; 2]) -> Result<f64, Error> {
        let images = rows::tensor(sequences.to_vec(), [sequences.len() / pixels, pixels]);
        let mut state = State::default();
        let pass = &mut Pass::new(&mut self.lab, Forward::Plant, Purpose::Test, &mut state);
        let outputs = self.network.forward(images, &self.weights, pass)?;
        let [_, width] = outputs.dims();
        let values = rows::values(outputs);
        let best = |row: &[f32]| (0..width).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        let classes: Vec<Option<usize>> = values.chunks_exact(width).map(best).collect();
        let others = classes.chunks_exact(frames).flat_map(|one| one[1..].iter().map(|class| *class == one[0]));
        let (kept, all) = others.fold((0, 0), |(kept, all), same| (kept + u32::from(same), all + 1));
        Ok(f64::from(kept) / f64::from(all.max(1_u32)))
    }
}

/// What moves a generator, with the data it learns.
pub struct Turning<'a> {
    prepared: Prepared,
    frozen: &'a Frozen,
    data: Dataset,
    movement: Movement,
    features: Features,
}

impl<'a> Turning<'a> {
    /// By the built-in experiment with some keys changed.
    pub fn new(frozen: &'a Frozen, quick: bool, assignments: &[&str]) -> Result<Self, Error> {
        let prepared = prepared("motion-electrical", quick, assignments)?;
        let key = Key::new(SEED).branch("data");
        let data = Dataset::load(&prepared.experiment.data, None, &prepared.document, key)?;
        let facts = frozen.facts();
        let motion = prepared.experiment.motion.as_ref().map(|motion| (motion, &facts));
        let data = data.with_motion(motion, &prepared.document, key)?;
        let Meaning::Motion(movement) = &data.meaning else {
            return Err(Error::Usage("motion: the experiment has no table [motion]".to_owned()));
        };
        let movement = (**movement).clone();
        let features = Features::new(data.test.targets.values(), [movement.frames, movement.pixels()])
            .ok_or_else(|| Error::Usage("motion: there are too few sequences to measure".to_owned()))?;
        Ok(Self { prepared, frozen, data, movement, features })
    }

    fn size(&self) -> [usize; 2] {
        [self.movement.frames, self.movement.pixels()]
    }

    fn lab(&self, method: Method) -> Result<Lab, Error> {
        let plants: Vec<&str> = self.prepared.rig.names().into_iter().filter(|name| *name == "electrical").collect();
        Lab::new(self.prepared.rig.open(&plants, SEED)?, method.derivatives())
    }

    fn network(&self, lab: &Lab) -> Result<Network, Error> {
        let Prepared { experiment, document, .. } = &self.prepared;
        let generator = self.frozen.generator(lab, self.movement.principal, (document, "motion.generator"))?;
        Ok(Network::build(experiment.layout(), document, lab, &self.data)?.through(generator))
    }

    /// Turned digits that were held back, and others: as near as real ones are.
    pub fn real(&self) -> f64 {
        let width = self.movement.frames * self.movement.pixels();
        let count = self.data.test.len().min(self.data.train.len());
        self.features.distance(&self.data.train.targets.values()[..count * width])
    }

    /// How far the classes of turned digits are kept, for the independent classifier.
    pub fn kept(&self, classifier: &mut Classifier) -> Result<f64, Error> {
        classifier.kept(self.data.test.targets.values(), self.size())
    }

    /// The best of some random walks along the same components, on the plant.
    pub fn walk(&self) -> Result<f64, Error> {
        let mut lab = self.lab(Method::PhysicsAware)?;
        let document = (&self.prepared.document, "motion.generator");
        let generator = self.frozen.generator(&lab, self.movement.principal, document)?;
        let [frames, _] = self.size();
        let (latents, components, count) = (self.movement.latents, self.movement.components, self.data.test.len());
        let mut best = f64::INFINITY;
        for step in WALKS {
            let mut shown = Vec::new();
            for first in (0..count).step_by(TOGETHER) {
                let some = TOGETHER.min(count - first);
                let rows_of = |row: usize| &self.data.test.values[row * self.data.width..][..latents.width()];
                let start: Vec<f32> = (first..first + some).flat_map(rows_of).copied().collect();
                let mut stream = Key::new(SEED).branch("walk").number(first as u64).stream();
                let mut place = vec![0.0; some * components];
                let mut places = vec![rows::tensor(place.clone(), [some, components])];
                for _ in 1..frames {
                    for place in &mut place {
                        *place += step * (2.0 * stream.uniform() - 1.0);
                    }
                    places.push(rows::tensor(place.clone(), [some, components]));
                }
                let mut state = State::default();
                let pass = &mut Pass::new(&mut lab, Forward::Plant, Purpose::Test, &mut state);
                let start = rows::tensor(start, [some, latents.width()]);
                shown.extend(rows::values(generator.walked(&self.movement, (start, &places), pass)?));
            }
            best = best.min(self.features.distance(&shown));
        }
        lab.make_safe()?;
        Ok(best)
    }

    /// Learns to move it by a method with a seed, and shows sequences on the plant.
    pub fn learn(&self, method: Method, seed: u64, classifier: &mut Classifier) -> Result<Shown, Error> {
        let experiment = self.prepared.counted(method, seed, &self.data);
        let mut lab = self.lab(method)?;
        let mut trainer = Trainer::new(self.network(&lab)?, &self.data, &experiment.training, method, Key::new(seed));
        trainer.updates(experiment.training.steps, &mut lab)?;
        let saved = trainer.saved();
        drop(trainer);
        let mover = Mover::new(self.network(&lab)?, (&saved.weights, &saved.state), &self.movement);
        let mut mover = mover.map_err(Error::Usage)?;
        let film = mover.film(&self.data.test.values, self.movement.frames, &mut lab, Forward::Plant);
        lab.make_safe()?;
        let film = film?;
        Ok(Shown {
            distance: self.features.distance(&film.frames),
            kept: classifier.kept(&film.frames, self.size())?,
            told: film.told.unwrap_or(0.0),
            largest_step: film.largest_step,
            still: self.features.distance(&still(&film.frames, self.size())),
        })
    }
}
