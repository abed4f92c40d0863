//! An experiment with its rig, ready to run.

mod slopes;

use std::path::PathBuf;
use std::sync::Arc;

use drivers::Plant;
use sims::Key;

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::{LayerConfig, Network, rows};
use crate::plants::{Derivatives, Lab, Rig};
use crate::record::Saved;
use crate::training::frozen::{self, Frozen};
use crate::training::{Drawer, Experiment, Interrupted, Method, Trainer, check_statistics};

pub(crate) use slopes::slopes_of;

/// Shots that measure the error of a twin.
const AGREEMENT_SHOTS: usize = 500;

/// An experiment with its rig, ready to run.
pub struct Prepared {
    /// What to do.
    pub experiment: Experiment,
    /// For errors.
    pub document: Document,
    /// On what.
    pub rig: Rig,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// Who draws what was trained.
    pub drawer: Arc<dyn Drawer>,
}

impl Prepared {
    /// The names of the plants that the layers use.
    pub fn plants(&self) -> Vec<&str> {
        let moved = self.experiment.motion.iter().flat_map(|motion| &motion.drives).map(String::as_str);
        let mut names: Vec<&str> = self
            .experiment
            .layers
            .iter()
            .filter_map(
                |layer| if let LayerConfig::Physical(config) = layer { Some(config.plant.as_str()) } else { None },
            )
            .chain(moved)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// How often one pass of the layers drives a plant, and how often one frame of the generator that they move does.
    pub fn passes(&self, plant: &str) -> [usize; 2] {
        let is_it = |layer: &&LayerConfig| matches!(layer, LayerConfig::Physical(config) if config.plant == plant);
        let moved = self.experiment.motion.iter().flat_map(|motion| &motion.drives).filter(|driven| *driven == plant);
        [self.experiment.layers.iter().filter(is_it).count(), moved.count()]
    }

    /// Loads the data, split by `seed`.
    pub fn load(&self, seed: u64) -> Result<Dataset, Error> {
        let key = Key::new(seed).branch("data");
        let data = Dataset::load(&self.experiment.data, self.data.as_deref(), &self.document, key)?;
        let data = match &self.experiment.objective {
            Some(objective) => objective.apply(data, &self.document, key)?,
            None => data,
        };
        let data = data.with_cells(self.experiment.cells.as_ref(), &self.document, key)?;
        let frozen = self.frozen()?;
        let facts = frozen.as_ref().map(Frozen::facts);
        let data = data.with_motion(self.experiment.motion.as_ref().zip(facts.as_ref()), &self.document, key)?;
        if self.experiment.training.chooses() && data.validation.is_empty() {
            let message = "leaves no row for validation, but [training] has something decided by it: hold some back";
            return Err(self.document.refuse("data.validation", message));
        }
        Ok(data)
    }

    /// The generator that is moved, if one is.
    pub(crate) fn frozen(&self) -> Result<Option<Frozen>, Error> {
        self.experiment.motion.as_ref().map(|motion| Frozen::read(motion, &self.document)).transpose()
    }

    /// The network with the generator that it moves, if it moves one.
    fn moving(&self, network: Network, (lab, data): (&Lab, &Dataset)) -> Result<Network, Error> {
        let (Some(frozen), Some(motion)) = (self.frozen()?, &self.experiment.motion) else { return Ok(network) };
        let generator = frozen.generator(lab, motion.principal, (&self.document, "motion.generator"))?;
        frozen::fits(&generator, data, &self.document)?;
        Ok(network.through(generator))
    }

    /// The network that is trained; refuses what cannot be, before anything is driven.
    pub(crate) fn network(&self, lab: &Lab, data: &Dataset) -> Result<Network, Error> {
        let Self { experiment, document, .. } = self;
        let network = Network::build(experiment.layout(), document, lab, data)?.trained(document)?;
        let network = network.beginning_with(data.rule(), document)?;
        let network = self.moving(network, (lab, data))?;
        check_statistics(&network, data, &experiment.training, document)?;
        network.guarded(experiment.guard.as_ref(), document)
    }

    /// The same for a training by `method`.
    pub(crate) fn network_by(&self, method: Method, (lab, data): (&Lab, &Dataset)) -> Result<Network, Error> {
        let network = self.network(lab, data)?;
        method.fits(&network, &self.experiment.training, &self.document)?;
        let training = self.counted(method, self.experiment.seed, data).training;
        let passes = method.plant_passes(&training, network.weight_count());
        if let Some(guard) = self.experiment.guard.as_ref().filter(|_| 0 < passes) {
            guard.begins(training.steps, passes * training.batch.min(data.train.len()), &self.document)?;
        }
        Ok(network)
    }

    /// The experiment as `method` runs it with `seed`, its epochs counted out in steps.
    pub(crate) fn counted(&self, method: Method, seed: u64, data: &Dataset) -> Experiment {
        let mut experiment = self.experiment.by(method, seed, &self.document);
        experiment.training = experiment.training.counted(data.train.len());
        experiment
    }

    /// Refuses layers that drive a plant which the rig does not have, before anything is opened.
    fn refuse_missing_plants(&self) -> Result<(), Error> {
        let known = self.rig.names();
        for (index, layer) in self.experiment.layers.iter().enumerate() {
            if let LayerConfig::Physical(config) = layer
                && !known.contains(&config.plant.as_str())
            {
                return Err(self.document.refuse(&format!("layers.{index}.plant"), config.missing_among(&known)));
            }
        }
        let moved = self.experiment.motion.iter();
        let mut moved = moved.flat_map(|motion| motion.drives.iter().map(move |plant| (motion, plant)));
        match moved.find(|(_, plant)| !known.contains(&plant.as_str())) {
            Some((motion, gone)) => {
                Err(self.document.refuse("motion.generator", frozen::gone(&motion.generator, gone, &known)))
            }
            None => Ok(()),
        }
    }

    /// Opens the rig for one method.
    pub(crate) fn lab(&self, method: Method, seed: u64) -> Result<Lab, Error> {
        self.open(&self.rig, method, seed)
    }

    /// The same for questions that are no training.
    pub(crate) fn lab_unrecorded(&self, method: Method, seed: u64) -> Result<Lab, Error> {
        self.open(&self.rig.clone().unrecorded(), method, seed)
    }

    /// The same for a run that goes on, which overwrites no recording.
    pub(crate) fn lab_again(&self, method: Method, seed: u64) -> Result<Lab, Error> {
        self.open(&self.rig.clone().recording_on(), method, seed)
    }

    /// The plants for what is measured beside trainings. Nobody wants it soon enough to end for a limit that is over in a minute.
    pub(crate) fn lab_beside(&self, seed: u64) -> Result<Lab, Error> {
        self.refuse_missing_plants()?;
        let mut opened = self.rig.clone().unrecorded().open(&self.plants(), seed)?;
        for plant in &mut opened {
            plant.allowance.pace();
        }
        Lab::new(opened, Derivatives::Twin)
    }

    /// The network of `run` as the run has left it.
    pub(crate) fn saved<'d>(&'d self, run: &Interrupted, data: &'d Dataset, lab: &Lab) -> Result<Trainer<'d>, Error> {
        let network = Network::build(self.experiment.layout(), &self.document, lab, data)?
            .guarded(self.experiment.guard.as_ref(), &self.document)?;
        let network = self.moving(network, (lab, data))?;
        let mut trainer = Trainer::new(network, data, &self.experiment.training, run.method, Key::new(run.seed));
        let bad = |message: String| Error::Record { path: Saved::path(&run.folder), message };
        let saved = Saved::read(&run.folder)?;
        trainer.take_over(&saved).map_err(bad)?;
        self.foreign_statistics(&saved, lab).into_iter().for_each(|sentence| tell!("pnnlab: {sentence}"));
        Ok(trainer)
    }

    /// Of each layer that goes by the statistics of another bench, since it has none of the plants at hand, a sentence.
    fn foreign_statistics(&self, saved: &Saved, lab: &Lab) -> Vec<String> {
        let (mut plants, mut sentences) = (Vec::new(), Vec::new());
        for (index, layer) in self.experiment.layers.iter().enumerate() {
            if let LayerConfig::Physical(config) = layer
                && let Some(place) = lab.find(&config.plant)
            {
                let identity = &lab.card(place).identity;
                let name = format!("{} {}", identity.system, identity.serial);
                if !plants.contains(&name) {
                    plants.push(name);
                }
            }
            let (own, prefix) = (plants.join(" + "), format!("layers.{index}.normalize.mean of "));
            // Those that training has renewed most are home, and of equals the first.
            let updates = |of: &str| {
                let count = format!("layers.{index}.normalize.count of {of}");
                let found = saved.state.iter().find(|tensor| tensor.name == count);
                found.and_then(|tensor| rows::values(tensor.tensor.clone()).last().copied()).unwrap_or(0.0)
            };
            let names = saved.state.iter().filter_map(|tensor| tensor.name.strip_prefix(&prefix));
            let mut sets: Vec<(f32, &str)> = names.map(|of| (updates(of), of)).collect();
            sets.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
            let is_own = |set: &(f32, &str)| set.1 == own;
            if let Some((_, home)) = sets.first()
                && !plants.is_empty()
                && !sets.iter().any(is_own)
            {
                sentences.push(format!(
                    "layer {index} (normalize) has no statistics of {own}, which is at hand, and goes by those of {home}: `pnnlab normalize` measures its own",
                ));
            }
        }
        sentences
    }

    fn open(&self, rig: &Rig, method: Method, seed: u64) -> Result<Lab, Error> {
        self.refuse_missing_plants()?;
        let opened = rig.open(&self.plants(), seed)?;
        let learns = method == Method::PhysicsAware && self.experiment.training.refresh.is_some();
        if let Some(plant) = opened.iter().find(|plant| plant.unlearned && method.needs_twin() && !learns) {
            return Err(Error::Unlearned { plant: plant.name.clone() });
        }
        Lab::new(opened, method.derivatives())
    }

    /// Whether the physics of all plants is known, as only a simulation knows it.
    pub fn knows_physics(&self) -> bool {
        self.may_be_asked()
    }

    /// Whether the plants may be asked before a training: only simulated ones. Opening a bench twice costs minutes, and its dialogue
    /// may be recorded.
    pub(crate) fn may_be_asked(&self) -> bool {
        let simulated = |name: &str| self.rig.config.plants.get(name).is_some_and(|plant| plant.simulated.is_some());
        self.plants().into_iter().all(simulated)
    }

    /// Whether each plant will train, by name. Benches are opened for it alone, so a simulated one is as new afterwards; what is
    /// replayed answers only the training's own questions.
    pub fn trainability(&self) -> Result<Vec<(String, calibration::Trainability)>, Error> {
        let mut found = Vec::new();
        if !self.may_be_asked() {
            return Ok(found);
        }
        // What is refused is refused before a plant is asked anything.
        let data = self.load(self.experiment.seed)?;
        let lab = self.lab_unrecorded(Method::PhysicsAware, self.experiment.seed)?;
        self.network(&lab, &data)?;
        drop(lab);
        let slopes = self.slopes(&data)?;
        // A recording holds one training, and nothing else.
        let recorded = |name: &str| self.rig.config.plants.get(name).is_some_and(|plant| plant.record.is_some());
        let plants: Vec<&str> = self.plants().into_iter().filter(|name| !recorded(name)).collect();
        for mut opened in self.rig.open(&plants, self.experiment.seed)? {
            if opened.plant.card().identity.origin == drivers::Origin::Replayed {
                continue;
            }
            let layers = self.experiment.layers.iter();
            let moved = self.experiment.motion.iter().flat_map(|motion| &motion.drives);
            let depth = layers
                .filter(|layer| matches!(layer, LayerConfig::Physical(config) if config.plant == opened.name))
                .count()
                + moved.filter(|plant| **plant == opened.name).count();
            opened.allowance.pace();
            let key = Key::new(self.experiment.seed).branch("trainability");
            let checked = calibration::check_trainable(&mut opened.plant, &*opened.twin, depth, key);
            opened.plant.make_safe().map_err(Error::plant(&opened.name))?;
            let checked = checked.map_err(Error::calibration(&opened.name))?;
            let checked = match slopes {
                Some((network, shots)) => checked.with_network(network, shots),
                None => checked,
            };
            found.push((opened.name.clone(), checked));
        }
        Ok(found)
    }

    /// What the plants that the layers use say of themselves.
    fn cards(&self) -> Result<serde_json::Value, Error> {
        let lab = self.lab(self.experiment.training.method, self.experiment.seed)?;
        let cards = crate::record::plant_facts(&lab);
        self.rig.keep_open(lab.into_plants()?);
        Ok(cards)
    }

    /// The plants with their origins, in words.
    pub(crate) fn origins(&self) -> Result<String, Error> {
        Ok(origins(&self.cards()?))
    }

    /// The error of each plant's nominal twin, the worst of them; none where it cannot be told.
    pub(crate) fn twin_error(&self, seed: u64) -> Result<Option<f64>, Error> {
        let mut worst = None;
        let mut plants = self.rig.open(&self.plants(), seed)?;
        for opened in &mut plants {
            // What is replayed answers the training's questions, not these; and of what is not learned there is nothing to ask.
            if opened.unlearned || opened.plant.card().identity.origin == drivers::Origin::Replayed {
                return Ok(None);
            }
            opened.allowance.pace();
            let key = Key::new(seed).branch("agreement");
            let agreement = calibration::agreement(&mut opened.plant, &*opened.twin, AGREEMENT_SHOTS, key);
            opened.plant.make_safe().map_err(Error::plant(&opened.name))?;
            let error = agreement.map_err(Error::plant(&opened.name))?.relative_error();
            if !error.is_finite() {
                tell!(
                    "pnnlab: the error of the twin of plant `{}` is not known: over its whole ranges readings or predictions are no numbers, or never \
                     differ",
                    opened.name
                );
                return Ok(None);
            }
            worst = Some(worst.map_or(error, |worst: f64| worst.max(error)));
        }
        self.rig.keep_open(plants);
        Ok(worst)
    }
}

/// Plants with their origins: `the SIMULATED plant electrical`.
pub(crate) fn origins(cards: &serde_json::Value) -> String {
    let word = |card: &serde_json::Value, key: &str| card[key].as_str().unwrap_or("?").to_owned();
    let plants = cards.as_array().into_iter().flatten();
    let words: Vec<String> = plants
        .map(|card| format!("the {} plant `{}`", word(card, "origin").to_uppercase(), word(card, "plant")))
        .collect();
    if words.is_empty() { "no plant".to_owned() } else { words.join(", ") }
}
