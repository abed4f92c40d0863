//! One pass of a batch through a network: on whose plants, what for, and what layers leave behind.

// Circle with network/guard.rs: a pass carries what guards found, and a guard works within a pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use drivers::Batch;
use sims::Twin;

use super::trail::{Readings, Trail};
use super::{FullScales, GuardConfig, Sequence, State, Usage};
use crate::plants::{Forward, Lab};

/// What a pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The update with this number, counted from 1: layers may remember what they saw.
    Train {
        /// The number of the update.
        step: usize,
    },
    /// What the network says: layers remember nothing.
    Test,
}

/// One batch as it went through a physical layer.
#[derive(Debug)]
pub struct Shots {
    /// The number of the layer, and the place of its plant.
    pub layer: usize,
    /// See `layer`.
    pub place: usize,
    /// What drove the plant, `[shots, inputs]`, in SI units.
    pub inputs: Batch,
    /// The controls that it really had.
    pub controls: Vec<f32>,
    /// What it read, `[shots, outputs]`, in SI units.
    pub outputs: Batch,
    /// The controls that the network wanted, as it counts.
    pub wanted: Vec<f32>,
    /// How it counts.
    pub scales: Arc<FullScales>,
}

/// One forward pass through a network.
pub struct Pass<'a> {
    /// The plants.
    pub lab: &'a mut Lab,
    /// Who computes the physical layers.
    pub on: Forward,
    /// What it is for.
    pub purpose: Purpose,
    /// What layers remember from pass to pass.
    pub state: &'a mut State,
    /// Sharpness of the range penalty, per full scale; None: nobody reads it.
    pub sharpness: Option<f32>,
    /// What each layer so far has given; the first is the network's input.
    pub outputs: Vec<Tensor<2>>,
    /// One range penalty for each set of values that went to a plant.
    pub penalties: Vec<Tensor<1>>,
    /// How the ranges of the plants were used.
    pub usage: Usage,
    /// The number of the layer that computes.
    pub layer: usize,
    /// The places of the plants that the values have come through so far.
    pub places: Vec<usize>,
    /// What guards the physical layers.
    pub guard: Option<Arc<GuardConfig>>,
    /// Shots that have no part in the gradient; empty where all have.
    pub left_out: Vec<bool>,
    /// Whether derivatives go through plants, by their twins.
    pub models: bool,
    /// Where none do: what went into each plant, as the network counts.
    pub into_plants: Vec<Tensor<2>>,
    /// What layers carry from frame to frame of a motion.
    pub sequence: Sequence,
    /// Where none do and shots are kept: what came out of each plant, as the network counts, by which the loss can be differentiated.
    pub from_plants: Vec<Tensor<2>>,
    /// Whether no derivative passes from behind a plant to before it, not even past it.
    pub local: bool,
    /// The class that is tried with each shot; empty where none is.
    pub labels: Vec<u32>,
    /// Whose derivatives a physical layer has, by its number, where they are not those of the lab's twin.
    pub twins: BTreeMap<usize, Arc<dyn Twin>>,
    /// What went through each physical layer, where somebody keeps it.
    pub shots: Option<Vec<Shots>>,
    /// How to go back through a rollout, where somebody asks that can go back piece by piece.
    pub trail: Option<Trail>,
    /// What physical layers are answered in such a rollout.
    pub(super) readings: Readings,
}

impl<'a> Pass<'a> {
    /// One that has not begun.
    pub fn new(lab: &'a mut Lab, on: Forward, purpose: Purpose, state: &'a mut State) -> Self {
        Self {
            lab,
            on,
            purpose,
            state,
            sharpness: None,
            outputs: vec![],
            penalties: vec![],
            usage: Usage::default(),
            layer: 0,
            places: vec![],
            guard: None,
            left_out: vec![],
            models: true,
            into_plants: vec![],
            sequence: Sequence::default(),
            from_plants: vec![],
            local: false,
            labels: vec![],
            twins: BTreeMap::new(),
            shots: None,
            trail: None,
            readings: Readings::Once,
        }
    }

    /// The same, with a graph of derivatives that ends at each plant.
    pub fn without_models(self) -> Self {
        Self { models: false, ..self }
    }

    /// The same, with a graph of its own for each stage: the digital layers up to a plant, and those behind the last.
    pub fn in_stages(self) -> Self {
        Self { models: false, local: true, ..self }
    }

    /// The same with a range penalty of this sharpness, if it has one.
    pub fn penalized(self, sharpness: Option<f32>) -> Self {
        Self { sharpness, ..self }
    }

    /// The bench that the values have come through so far, by what its plants say they are: who measures there has statistics of his own.
    pub fn bench(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for place in &self.places {
            let identity = &self.lab.card(*place).identity;
            let name = format!("{} {}", identity.system, identity.serial);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        match (names.join(" + "), self.on) {
            (none, _) if none.is_empty() => "no plant".to_owned(),
            (plants, Forward::Plant) => plants,
            (plants, Forward::Twin) => format!("the twin of {plants}"),
        }
    }

    /// Forgets where the last batch was.
    pub(super) fn begin(&mut self, guard: Option<&Arc<GuardConfig>>) {
        self.outputs.clear();
        self.places.clear();
        self.left_out.clear();
        self.into_plants.clear();
        self.from_plants.clear();
        self.shots.iter_mut().for_each(Vec::clear);
        self.guard = guard.cloned();
    }

    /// Whether a plant computes what is learned from.
    pub(super) fn is_training_on_plant(&self) -> bool {
        self.on == Forward::Plant && matches!(self.purpose, Purpose::Train { .. })
    }

    /// The shots that have a part in the gradient, if some have none.
    pub fn kept(&self) -> Option<Vec<usize>> {
        let is_any = self.left_out.contains(&true);
        is_any.then(|| (0..self.left_out.len()).filter(|shot| !self.left_out[*shot]).collect())
    }

    /// Layer `index` is next, and takes `values`.
    pub(super) fn enter(&mut self, index: usize, values: Tensor<2>) {
        self.layer = index;
        self.outputs.push(values);
    }
}
