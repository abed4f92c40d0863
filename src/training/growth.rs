//! A texture as it grows: an automaton on lattices of any size, whose rule is a trained network with its plants, or a digital rule of the
//! public collection.

use std::sync::Arc;

use burn::tensor::Tensor;
use sims::{Key, Lattice, Pixels, TrainedRule};

use crate::Error;
use crate::data::CellsConfig;
use crate::document::Document;
use crate::network::{LayerConfig, Network, Pass, Purpose, Rollout, State};
use crate::plants::{Forward, Lab};
use crate::record::Saved;

/// Who says what a cell does.
pub enum Rule<'a> {
    /// A rule of the public collection.
    Trained(TrainedRule),
    /// A network with its weights, on plants or on their twins.
    Network(Box<NetworkRule>, &'a mut Lab, Forward),
}

/// A trained network that is the rule of a cell.
pub struct NetworkRule {
    network: Network,
    weights: Vec<Tensor<2>>,
    state: State,
}

impl NetworkRule {
    /// Of what a training has left; the sentence says what does not fit.
    pub fn new(
        (layers, cells): (&[LayerConfig], &CellsConfig),
        saved: &Saved,
        document: &Document,
        lab: &Lab,
    ) -> Result<Self, Error> {
        let network = Network::build(layers, document, lab, cells)?;
        let mut weights = Vec::new();
        for (name, weight) in network.weights(Key::new(0)) {
            let found = saved.weights.iter().find(|found| found.name == name && found.tensor.dims() == weight.shape);
            let [rows, columns] = weight.shape;
            let found =
                found.ok_or_else(|| Error::Data(format!("the run has no weight `{name}` of {rows} × {columns}")))?;
            weights.push(found.tensor.clone());
        }
        let state = network.recall(&saved.state).map_err(Error::Data)?;
        Ok(Self { network, weights, state })
    }
}

/// A lattice with the rule that it follows.
pub struct Growth<'a> {
    rule: Rule<'a>,
    cells: CellsConfig,
    lattice: Arc<Lattice>,
    states: Vec<f32>,
    next: Vec<f32>,
    key: Key,
    done: usize,
}

impl<'a> Growth<'a> {
    /// A fresh seed of so many lines and columns.
    pub fn new(rule: Rule<'a>, cells: &CellsConfig, size: [usize; 2], seed: u64) -> Self {
        let lattice = Arc::new(cells.lattice_of(size));
        let key = Key::new(seed).branch("growth");
        let mut stream = key.branch("seed").stream();
        let states: Vec<f32> =
            (0..lattice.cells() * cells.channels).map(|_| cells.seed_noise * stream.normal()).collect();
        Self { rule, cells: cells.clone(), lattice, next: states.clone(), states, key, done: 0 }
    }

    /// Goes on by so many steps; with another fire rate than it was trained with, if one is given.
    pub fn advance(&mut self, steps: usize, rate: Option<f32>) -> Result<(), Error> {
        let rate = rate.unwrap_or(self.cells.fire_rate);
        let key = self.key.branch("steps");
        match &mut self.rule {
            Rule::Trained(rule) => {
                for step in self.done..self.done + steps {
                    Error::if_stopped()?;
                    let drawn = (rate, key.number(step as u64));
                    rule.step(&self.lattice, &self.states, &mut self.next, drawn);
                    std::mem::swap(&mut self.states, &mut self.next);
                }
            }
            Rule::Network(rule, lab, on) => {
                let NetworkRule { network, weights, state } = &mut **rule;
                let mut pass = Pass::new(lab, *on, Purpose::Test, state);
                for first in self.done..self.done + steps {
                    // Twins have nobody above them who ends it.
                    Error::if_stopped()?;
                    let (states, step) = (std::mem::take(&mut self.states), Rollout { key, first, steps: 1 });
                    self.states =
                        network.roll((states, &self.lattice), (&weights[..], step), (Some(rate), &mut pass))?;
                }
            }
        }
        self.done += steps;
        if self.states.iter().all(|state| state.is_finite()) {
            return Ok(());
        }
        Err(Error::Diverged { what: format!("a channel of the lattice within {} steps", self.done) })
    }

    /// Cuts a hole of so many lines and columns into the middle: all channels become 0.
    pub fn damage(&mut self, hole: [usize; 2]) {
        let size = self.lattice.size();
        let hole = [0, 1].map(|place| hole[place].min(size[place]));
        let [top, left] = [0, 1].map(|place| (size[place] - hole[place]) / 2);
        for y in top..top + hole[0] {
            let from = (y * size[1] + left) * self.cells.channels;
            self.states[from..][..hole[1] * self.cells.channels].fill(0.0);
        }
    }

    /// The colors as they are now; beyond 0 to 1 where channels are.
    pub fn colors(&self) -> Pixels<f32> {
        self.cells.colors(self.lattice.size(), &self.states)
    }

    /// Steps so far.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Cells of the lattice.
    pub fn cells(&self) -> usize {
        self.lattice.cells()
    }
}
