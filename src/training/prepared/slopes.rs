//! Whether a network's gradient is the plant's: what its passes say of their twins, where the network drives them.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;
use calibration::{ChainCosine, NETWORK_SHOTS, NETWORKS, Passage, way_back};
use drivers::{Batch, Card, Plant, Ports};
use sims::{Key, Pullback, Twin};

use super::Prepared;
use crate::Error;
use crate::data::{Dataset, Targets};
use crate::document::Document;
use crate::network::{LayerConfig, Network, Pass, Purpose, State, rows};
use crate::plants::{Forward, Lab, Opened};
use crate::training::{Experiment, Method, Objective, objective::objective};

/// The passes that a network went back through, the last one first, each with its plant.
type Passed = Arc<Mutex<Vec<(String, Passage)>>>;

/// A twin that writes down what it is asked for on the way back.
#[derive(Debug)]
struct Listening {
    plant: String,
    twin: Arc<dyn Twin>,
    passed: Passed,
}

impl Twin for Listening {
    fn card(&self) -> &Card {
        self.twin.card()
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        self.twin.predict(inputs, controls)
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let passage = Passage { inputs: inputs.clone(), controls: controls.to_vec(), cotangents: cotangents.clone() };
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.push((self.plant.clone(), passage));
        self.twin.pull_back(inputs, controls, cotangents)
    }
}

/// The plants of a network with their twins, and what the network asked the twins.
struct Heard {
    lab: Lab,
    twins: Vec<(String, Arc<dyn Twin>)>,
    passed: Passed,
}

impl Heard {
    fn new(mut opened: Vec<Opened>) -> Result<Self, Error> {
        let passed = Passed::default();
        let mut twins = Vec::new();
        for plant in &mut opened {
            let twin = plant.twin.clone();
            twins.push((plant.name.clone(), twin.clone()));
            plant.twin = Arc::new(Listening { plant: plant.name.clone(), twin, passed: passed.clone() });
        }
        Ok(Self { lab: Lab::new(opened, Method::PhysicsAware.derivatives())?, twins, passed })
    }

    /// The passes of one network over some rows, the first one first.
    fn passages(
        &mut self,
        network: &Network,
        weights: Vec<Tensor<2>>,
        (inputs, targets, objective): (Tensor<2>, &Targets, &dyn Objective),
    ) -> Result<Vec<(String, Passage)>, Error> {
        let device = rows::device().autodiff();
        let weights: Vec<Tensor<2>> =
            weights.into_iter().map(|weight| Tensor::from_inner(weight).require_grad()).collect();
        // As the first update of a training would: there is nothing that layers could remember yet.
        let state = &mut State::default();
        let pass = &mut Pass::new(&mut self.lab, Forward::Plant, Purpose::Train { step: 1 }, state);
        let outputs = network.forward(Tensor::from_inner(inputs), &weights, pass)?;
        drop(objective.loss(outputs, targets, &device).backward());
        let mut passed = std::mem::take(&mut *self.passed.lock().unwrap_or_else(PoisonError::into_inner));
        passed.reverse();
        Ok(passed)
    }

    /// How much of the gradient that these passes believe is the plants' own.
    fn cosine(&mut self, passed: &[(String, Passage)], key: Key) -> Result<f64, Error> {
        let twin = |plant: &str| self.twins.iter().find(|(name, _)| name == plant).map(|(_, twin)| &**twin);
        let lab = &mut self.lab;
        let cards: Vec<(String, Card)> = lab.cards();
        let ports = |plant: &str| cards.iter().find(|(name, _)| name == plant).map(|(_, card)| &card.ports);
        let passages: Vec<(&Passage, &dyn Twin, &Ports)> =
            passed.iter().filter_map(|(plant, passage)| Some((passage, twin(plant)?, ports(plant)?))).collect();
        way_back(&passages, key, |pass, controls, inputs| {
            Error::if_stopped()?;
            let place = lab.find(&passed[pass].0).unwrap_or_default();
            lab.run(place, Forward::Plant, controls, inputs)
        })
    }

    /// The same over several draws of the weights of an experiment's network; and the shots it took.
    fn over_networks(
        &mut self,
        experiment: &Experiment,
        document: &Document,
        data: &Dataset,
    ) -> Result<(ChainCosine, u64), Error> {
        let network = Network::build(experiment.layout(), document, &self.lab, data)?;
        let depth = experiment.layers.iter().filter(|layer| matches!(layer, LayerConfig::Physical(_))).count();
        let objective = objective(data);
        let before = self.lab.meter().shots;
        let mut found = Vec::new();
        for draw in 0..NETWORKS {
            let key = Key::new(experiment.seed).branch("slopes").number(draw);
            let mut order: Vec<usize> = (0..data.train.len()).collect();
            key.stream().shuffle(&mut order);
            order.truncate(NETWORK_SHOTS);
            let (values, targets) = data.train.pick(&order, data.width);
            let weights = network.weights(key).into_iter().map(|(_, weight)| rows::tensor(weight.values, weight.shape));
            let rows = (rows::tensor(values, [targets.len(), data.width]), &targets, &*objective);
            let passed = self.passages(&network, weights.collect(), rows)?;
            found.push(self.cosine(&passed, key)?);
        }
        Ok((ChainCosine::over(&found, depth), self.lab.meter().shots - before))
    }
}

impl Prepared {
    /// The cosine between believed and real gradient over the passes of this experiment's network; and the shots it took.
    pub(super) fn slopes(&self, data: &Dataset) -> Result<Option<(ChainCosine, u64)>, Error> {
        let is_replayed = |card: &Card| card.identity.origin == drivers::Origin::Replayed;
        let recorded = |name: &&str| self.rig.config.plants.get(*name).is_some_and(|plant| plant.record.is_some());
        let plants = self.plants();
        let opened = self.rig.clone().unrecorded().open(&plants, self.experiment.seed)?;
        // A rollout is a thousand passes: nobody waits for the slopes of each.
        let is_asked = self.experiment.cells.is_none()
            && self.experiment.motion.is_none()
            && !opened.iter().any(|plant| is_replayed(plant.plant.card()))
            && !plants.iter().any(recorded);
        if plants.is_empty() || !is_asked {
            return Ok(None);
        }
        let mut heard = Heard::new(opened)?;
        let found = heard.over_networks(&self.experiment, &self.document, data);
        heard.lab.make_safe()?;
        found.map(Some)
    }
}

/// The same for one opened plant in the place of every plant of the experiment.
pub(crate) fn slopes_of(opened: Opened, mut prepared: Prepared) -> Result<(ChainCosine, u64), Error> {
    for layer in &mut prepared.experiment.layers {
        if let LayerConfig::Physical(layer) = layer {
            layer.plant.clone_from(&opened.name);
        }
    }
    let rows = prepared.load(prepared.experiment.seed);
    let mut heard = Heard::new(vec![opened])?;
    let found = rows.and_then(|rows| heard.over_networks(&prepared.experiment, &prepared.document, &rows));
    heard.lab.make_safe()?;
    found
}
