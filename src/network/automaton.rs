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
//! Where its graph of derivatives would be large, a rollout is run without one, in pieces, and each piece once more with one on the way back
//! (`src/network/trail.rs`).
//!
//! After Mordvintsev et al., *Texture Generation with Neural Cellular Automata* (arXiv 2105.07545).

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use sims::{Key, Lattice, Pixels, fires};

use super::trail::{Piece, Readings, Rollout, Trail};
use super::{Network, Pass, Purpose, State, Weight, computed::computed, rows};
use crate::Error;
use crate::data::CellsConfig;
use crate::document::Document;

/// Runs a chain at every cell.
pub struct Automaton {
    config: CellsConfig,
    lattice: Arc<Lattice>,
    key: Key,
    /// What the weights begin with, one after another; empty where they are drawn.
    start: Vec<Vec<f32>>,
}

impl Automaton {
    /// Puts what weights begin with in place of what was drawn.
    pub(super) fn begin(&self, weights: &mut [(String, Weight)]) {
        for ((_, weight), start) in weights.iter_mut().zip(&self.start) {
            weight.values.clone_from(start);
        }
    }

    /// The colors of the first lattice of the pool, as it is now.
    pub(super) fn picture(&self, place: usize, state: &State) -> Option<Pixels<f32>> {
        let lattice = state.of(place)?.get(&slot_name(0))?;
        Some(self.config.colors(self.lattice.size(), &rows::values(lattice.clone())))
    }

    /// With the lattice of a training.
    pub fn new(config: &CellsConfig) -> Self {
        let lattice = Arc::new(config.lattice());
        Self { config: config.clone(), lattice, key: Key::new(config.seed).branch("automaton"), start: vec![] }
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
        let shape = [count, cells * channels];
        // Whoever asks for no trail goes back through the whole graph, or not at all.
        let pieces = if pass.trail.is_some() { self.pieces(network, count, rollout.steps).0 } else { 1 };
        let states = if pieces == 1 {
            self.roll(network, states, (weights, rollout), pass)?.reshape(shape)
        } else {
            let states = self.roll_in_pieces(network, states.inner(), (weights, rollout, pieces), pass)?;
            Tensor::from_inner(states.reshape(shape)).require_grad()
        };
        if step.is_some() {
            let values = rows::values(states.clone().detach());
            let pool = pass.state.of_mut(place);
            for ((slot, _), values) in lattices.iter().zip(values.chunks_exact(cells * channels)) {
                pool.insert(slot_name(*slot), rows::tensor(values.to_vec(), [cells, channels]));
            }
        }
        Ok(states)
    }

    /// `[lattices · cells, channels]` some steps on, without derivatives; the trail of the pass says how to go back.
    fn roll_in_pieces(
        &self,
        network: &Network,
        mut states: Tensor<2>,
        (weights, rollout, pieces): (&[Tensor<2>], Rollout, usize),
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, Error> {
        let weights: Vec<Tensor<2>> = weights.iter().map(|weight| weight.clone().inner()).collect();
        let mut trail = Vec::with_capacity(pieces);
        for rollout in rollout.pieces(pieces) {
            pass.readings = Readings::Kept(vec![]);
            let start = states.clone();
            states = self.roll(network, states, (&weights, rollout), pass)?;
            if let Readings::Kept(readings) = std::mem::take(&mut pass.readings) {
                trail.push(Piece { states: start, rollout, readings });
            }
        }
        pass.trail = Some(Trail(trail));
        // Numbers beside a loss that has a graph.
        pass.penalties = std::mem::take(&mut pass.penalties).into_iter().map(Tensor::from_inner).collect();
        Ok(states)
    }

    /// In how many pieces a training goes back through so many steps of so many lattices, and about how many bytes that takes.
    fn pieces(&self, network: &Network, lattices: usize, steps: usize) -> (usize, u64) {
        let channels = self.config.channels;
        // Of a cell: what it perceives, its state before and after the clip, and what goes into each layer and comes out of it; each as a
        // value and as what its operation keeps of it, or as its slope on the way back.
        let (mut before, mut graph, mut read) = (self.lattice.width(), 2 * self.lattice.width() + 6 * channels, 0);
        for layer in &network.layers {
            graph += 2 * (before + layer.width());
            before = layer.width();
            read += if layer.plant().is_some() { before } else { 0 };
        }
        let cells = (lattices * self.lattice.cells() * size_of::<f32>()) as u64;
        let [graph, state, read] = [graph, channels, read].map(|values| cells * values as u64);
        let whole = steps as u64 * graph;
        let pieces = match self.config.checkpoints {
            Some(given) => given,
            None if whole <= WHOLE => 1,
            // Where states and the graph of a piece together are least.
            None => (whole as f64 / state.max(1) as f64).sqrt().round() as usize,
        };
        match pieces.clamp(1, steps.max(1)) {
            1 => (1, whole),
            pieces => {
                let longest = steps.div_ceil(pieces) as u64;
                (pieces, pieces as u64 * state + longest * graph + steps as u64 * read)
            }
        }
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
            if let Some(bound) = self.config.clip {
                states = clip(states, bound);
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

/// Channels within ±`bound`. Back through it goes what leads inwards: a channel that is held has no slope outwards, but what pulls it back,
/// such as the overflow in the loss, must reach it, or it would be held for ever.
fn clip(states: Tensor<2>, bound: f32) -> Tensor<2> {
    let wanted = rows::values(states.clone());
    let (held, shape) = (wanted.iter().map(|state| state.clamp(-bound, bound)).collect(), states.dims());
    computed(states, (held, shape), move |mut slopes| {
        for (slope, wanted) in slopes.iter_mut().zip(&wanted) {
            // A step goes against the slope.
            if (*wanted > bound && *slope < 0.0) || (*wanted < -bound && *slope > 0.0) {
                *slope = 0.0;
            }
        }
        slopes
    })
}

/// The largest graph of derivatives that is kept whole, in bytes: below that no step is computed twice.
const WHOLE: u64 = 256 << 20;
/// The layers that a rule of the public collection is.
const RULE_LAYERS: [&str; 3] = ["linear", "activation", "linear"];
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
    /// Whether it is run at every cell of a lattice.
    pub fn grows(&self) -> bool {
        self.automaton.is_some()
    }

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
        let own = Automaton { config, lattice: lattice.clone(), key: automaton.key, start: vec![] };
        let states = rows::tensor(states, [rows, own.config.channels]);
        own.roll(self, states, (weights, rollout), pass).map(rows::values)
    }

    /// The same, whose weights begin with a digital rule of two matrices, the last row of each its summands; as it is where there is none.
    pub fn beginning_with(mut self, rule: Option<&[Vec<f32>; 2]>, document: &Document) -> Result<Self, Error> {
        let (Some(automaton), Some(rule)) = (&mut self.automaton, rule) else { return Ok(self) };
        if self.kinds != RULE_LAYERS {
            let message = format!(
                "are {}, but `cells.rule` begins with a rule that is {}: take these, or leave it out",
                self.kinds.join(", "),
                RULE_LAYERS.join(", ")
            );
            return Err(document.refuse("layers", message));
        }
        let hidden = rule[0].len() / (automaton.lattice.width() + 1);
        if self.layers[0].width() != hidden {
            let message = format!(
                "is {}, but the rule that `cells.rule` begins with has {hidden} hidden values: give {hidden}",
                self.layers[0].width()
            );
            return Err(document.refuse("layers.0.width", message));
        }
        for (matrix, columns) in rule.iter().zip([hidden, automaton.config.channels]) {
            let (factors, summands) = matrix.split_at(matrix.len() - columns);
            automaton.start.extend([factors.to_vec(), summands.to_vec()]);
        }
        Ok(self)
    }

    /// About how many bytes the way back takes through the longest rollout of so many lattices; none where nothing is rolled.
    pub fn rollout_bytes(&self, lattices: usize) -> Option<u64> {
        let automaton = self.automaton.as_ref()?;
        Some(automaton.pieces(self, lattices, automaton.config.steps[1]).1)
    }

    /// The gradient of each weight through a rollout that was run in pieces; none where nothing depends on it. `cotangents` are those of its final
    /// states, `[lattices, cells · channels]`; `penalty` is what each range penalty counts in the loss.
    pub fn retrace(
        &self,
        trail: Trail,
        weights: &[Tensor<2>],
        (mut cotangents, penalty): (Tensor<2>, f64),
        pass: &mut Pass<'_>,
    ) -> Result<Vec<Option<Tensor<2>>>, Error> {
        let mut gradients: Vec<Option<Tensor<2>>> = weights.iter().map(|_| None).collect();
        let Some(automaton) = &self.automaton else { return Ok(gradients) };
        // Layers have remembered this rollout already. What they say while training follows from the batch, or from what is frozen.
        let known = pass.state.clone();
        for Piece { states, rollout, readings } in trail.0.into_iter().rev() {
            pass.readings = Readings::Again(readings.into_iter());
            let start = Tensor::from_inner(states).require_grad();
            let end = automaton.roll(self, start.clone(), (weights, rollout), pass)?;
            let along = (end * Tensor::from_inner(cotangents.reshape(start.dims()))).sum();
            let penalties = std::mem::take(&mut pass.penalties).into_iter();
            let along = penalties.fold(along, |along, term| along + term.mul_scalar(penalty));
            let mut found = along.backward();
            cotangents = start.grad_remove(&mut found).unwrap_or_else(|| start.inner().zeros_like());
            for (sum, weight) in gradients.iter_mut().zip(weights) {
                *sum = match (sum.take(), weight.grad_remove(&mut found)) {
                    (Some(sum), Some(own)) => Some(sum + own),
                    (sum, own) => sum.or(own),
                };
            }
        }
        (pass.readings, *pass.state) = (Readings::Once, known);
        pass.outputs.clear();
        Ok(gradients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_is_held_has_slopes_inwards_only() {
        let leaf = Tensor::from_inner(rows::tensor(vec![0.3, 2.0, 2.0, -3.0, -3.0, 1.0], [2, 3])).require_grad();
        let held = clip(leaf.clone(), 1.0);
        assert_eq!(rows::values(held.clone().detach()), [0.3, 1.0, 1.0, -1.0, -1.0, 1.0]);
        let slopes = rows::tensor(vec![-5.0, 2.0, -2.0, 4.0, -4.0, -7.0], [2, 3]);
        let gradients = (held * Tensor::from_inner(slopes)).sum().backward();
        assert_eq!(rows::values(leaf.grad(&gradients).unwrap()), [-5.0, 2.0, 0.0, 0.0, -4.0, -7.0]);
    }
}
