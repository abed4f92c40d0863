//! The same chain at every cell of a lattice: what the cells perceive goes in, what their channels change by comes out.
//!
//! ```text
//! s ← clip(s + m · rule(perceive(s)))        m: 1 for a cell that changes in this step, else 0
//! ```
//!
//! A row of a batch is one lattice: its number in the pool, and what its seed is drawn by. What comes out is its final state,
//! `[lattices, cells · channels]`. A step is one pass of the chain with a shot for each cell, whether it changes or not. The pool is
//! remembered like the state of a layer, a matrix for each lattice that was met.
//!
//! After Mordvintsev et al., *Texture Generation with Neural Cellular Automata* (arXiv 2105.07545).

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use sims::{Key, Lattice, Pixels, fires};

use super::{Network, Pass, Purpose, State, computed::computed, rows};
use crate::Error;
use crate::data::CellsConfig;

/// Runs a chain at every cell.
pub struct Automaton {
    config: CellsConfig,
    lattice: Arc<Lattice>,
    key: Key,
}

/// What a rollout is drawn by, and how long it is.
#[derive(Debug, Clone, Copy)]
pub struct Rollout {
    /// Draws which cells change, and the noise of what they perceive.
    pub key: Key,
    /// The first step, counted from 0: a rollout that goes on draws other numbers.
    pub first: usize,
    /// Steps.
    pub steps: usize,
}

impl Automaton {
    /// The colors of the first lattice of the pool, as it is now.
    pub(super) fn picture(&self, place: usize, state: &State) -> Option<Pixels<f32>> {
        let lattice = state.of(place)?.get(&slot_name(0))?;
        Some(self.config.colors(self.lattice.size(), &rows::values(lattice.clone())))
    }

    /// With the lattice of a training.
    pub fn new(config: &CellsConfig) -> Self {
        let lattice = Arc::new(config.lattice());
        Self { config: config.clone(), lattice, key: Key::new(config.seed).branch("automaton") }
    }

    /// Grows lattices by the rule `network`, for a training or a test.
    pub(super) fn grow(
        &self,
        network: &Network,
        inputs: &Tensor<2>,
        weights: &[Tensor<2>],
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, Error> {
        let lattices = rows::values(inputs.clone());
        let lattices: Vec<(usize, u64)> =
            lattices.chunks_exact(2).map(|pair| (pair[0] as usize, pair[1] as u64)).collect();
        let mut drawn = self.key;
        for (_, entropy) in &lattices {
            drawn = drawn.number(*entropy);
        }
        let (place, cells, channels) = (network.layers.len(), self.lattice.cells(), self.config.channels);
        let mut states = Vec::with_capacity(lattices.len() * cells * channels);
        let step = if let Purpose::Train { step } = pass.purpose { Some(step) } else { None };
        for (index, (slot, entropy)) in lattices.iter().enumerate() {
            let is_fresh = index == 0 && step.is_some_and(|step| step.is_multiple_of(self.config.fresh_every));
            let known = pass.state.of(place).and_then(|pool| pool.get(&slot_name(*slot)));
            if let Some(known) = known.filter(|_| step.is_some() && !is_fresh) {
                states.extend(rows::values(known.clone()));
            } else {
                let key = self.key.branch("seed").number(*entropy).number(step.map_or(0, |step| step as u64));
                states.extend(self.seed(cells, key));
            }
        }
        let count = lattices.len();
        let states = Tensor::from_data(TensorData::new(states, [count * cells, channels]), &inputs.device());
        let rollout = match step {
            Some(step) => {
                Rollout { key: drawn.branch("train").number(step as u64), first: 0, steps: self.config.rollout(step) }
            }
            None => Rollout { key: drawn.branch("test"), first: 0, steps: self.config.tested() },
        };
        let states = self.roll(network, states, (weights, rollout), pass)?;
        if step.is_some() {
            let values = rows::values(states.clone().detach());
            let pool = pass.state.of_mut(place);
            for ((slot, _), values) in lattices.iter().zip(values.chunks_exact(cells * channels)) {
                pool.insert(slot_name(*slot), rows::tensor(values.to_vec(), [cells, channels]));
            }
        }
        Ok(states.reshape([count, cells * channels]))
    }

    /// `[lattices · cells, channels]` some steps on.
    fn roll(
        &self,
        network: &Network,
        mut states: Tensor<2>,
        (weights, rollout): (&[Tensor<2>], Rollout),
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, Error> {
        let [cells, _] = states.dims();
        for step in rollout.first..rollout.first + rollout.steps {
            let key = rollout.key.number(step as u64);
            let seen = self.perceive(states.clone(), key.branch("noise"));
            let change = network.chain(seen, weights, pass)?;
            let fires = TensorData::new(fires(cells, self.config.fire_rate, key.branch("fires")), [cells, 1]);
            states = states.clone() + change * Tensor::from_data(fires, &states.device());
            if let Some(clip) = self.config.clip {
                states = states.clamp(-clip, clip);
            }
        }
        Ok(states)
    }

    /// What the cells of a few lattices perceive while they grow, for statistics of the layers: by the statistics of before, where there
    /// are any.
    pub(super) fn perceptions(
        &self,
        network: &Network,
        batches: Vec<Tensor<2>>,
        weights: &[Tensor<2>],
        pass: &mut Pass<'_>,
    ) -> Result<Vec<Tensor<2>>, Error> {
        let Some(first) = batches.into_iter().next() else { return Ok(vec![]) };
        let rows = rows::values(first);
        let (cells, place) = (self.lattice.cells(), network.layers.len());
        let mut states = Vec::new();
        let lattices = rows.len().min(2 * MEASURED) / 2;
        for pair in rows.chunks_exact(2).take(lattices) {
            let known = pass.state.of(place).and_then(|pool| pool.get(&slot_name(pair[0] as usize)));
            match known {
                Some(known) => states.extend(rows::values(known.clone())),
                None => states.extend(self.seed(cells, self.key.branch("seed").number(pair[1] as u64).number(0))),
            }
        }
        let mut states = rows::tensor(states, [lattices * cells, self.config.channels]);
        let (key, mut seen) = (self.key.branch("statistics"), Vec::new());
        for piece in 0..MEASURED {
            seen.push(self.perceive(states.clone(), key.branch("seen").number(piece as u64)));
            let rollout = Rollout { key, first: piece * MEASURED_STEPS, steps: MEASURED_STEPS };
            states = match self.roll(network, states, (weights, rollout), pass) {
                Ok(states) => states,
                // There is nothing to normalize by yet: seeds must do.
                Err(Error::Usage(_)) => break,
                Err(error) => return Err(error),
            };
        }
        Ok(seen)
    }

    fn perceive(&self, states: Tensor<2>, noise: Key) -> Tensor<2> {
        let [cells, _] = states.dims();
        let seen = self.lattice.perceive(&rows::values(states.clone()), noise);
        let lattice = self.lattice.clone();
        computed(states, (seen, [cells, self.lattice.width()]), move |cotangents| lattice.pull_back(&cotangents))
    }

    /// The channels of a seed.
    fn seed(&self, cells: usize, key: Key) -> Vec<f32> {
        let mut stream = key.stream();
        (0..cells * self.config.channels).map(|_| self.config.seed_noise * stream.normal()).collect()
    }

    /// Whether a matrix can be a lattice of the pool of this name.
    pub(super) fn remembers(&self, name: &str, tensor: &Tensor<2>) -> bool {
        let slot = name.strip_prefix(SLOT).and_then(|slot| slot.parse::<usize>().ok());
        slot.is_some_and(|slot| slot < self.config.pool && slot_name(slot) == name)
            && tensor.dims() == [self.lattice.cells(), self.config.channels]
    }
}

/// Statistics are measured on so many lattices, as often, with so many steps in between.
const MEASURED: usize = 4;
const MEASURED_STEPS: usize = 8;
/// How the lattices of the pool are called.
const SLOT: &str = "pool ";

/// Whether a tensor of this name, of those that a run remembers, is a lattice of a pool.
pub fn is_slot(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, own)| own.starts_with(SLOT))
}

fn slot_name(slot: usize) -> String {
    format!("{SLOT}{slot}")
}

impl Network {
    /// Lattices of any size some steps on: `[lattices · cells, channels]`, of a network that is an automaton's rule.
    pub fn roll(
        &self,
        (states, lattice): (Vec<f32>, &Arc<Lattice>),
        (weights, rollout): (&[Tensor<2>], Rollout),
        (rate, pass): (Option<f32>, &mut Pass<'_>),
    ) -> Result<Vec<f32>, Error> {
        let Some(automaton) = &self.automaton else { return Ok(states) };
        let mut config = automaton.config.clone();
        config.fire_rate = rate.unwrap_or(config.fire_rate);
        let rows = states.len() / config.channels;
        let own = Automaton { config, lattice: lattice.clone(), key: automaton.key };
        let states = rows::tensor(states, [rows, own.config.channels]);
        own.roll(self, states, (weights, rollout), pass).map(rows::values)
    }
}
