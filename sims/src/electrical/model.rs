//! The circuit as a twin: nominal for [`twin`](crate::Built::twin), with the plant's own components, law and converter
//! lines for [`ideal`](crate::Built::ideal).
//!
//! Shapes: inputs, outputs and cotangents `[shots, samples]`, in V (gradients per V). The only control there may be is the bias: what its
//! gradient needs is the derivative of each output with respect to one number, so it comes forward, by dual numbers.

#![allow(clippy::inline_always)] // The blocks must be compiled for the vector unit that is found at run time.

use std::sync::Mutex;

use drivers::{Batch, Card};
use pulp::{Arch, WithSimd};
use rayon::prelude::*;

use super::{
    circuit::Circuit,
    kernel::{Slopes, State},
    solver::Solver,
};
use crate::dual::{self, Dual};
use crate::{LANES, Lanes, Pullback, Real, Sensitivity, Twin, blocks};

/// What a thread needs for one block; kept from batch to batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch<S> {
    pub states: Vec<State<S>>,
    pub rest: Vec<Lanes<S>>,
    pub wave: Vec<Lanes<S>>,
    cotangents: Vec<Lanes<S>>,
    tape: Vec<Slopes<S>>,
}

/// Scratch memory that outlives a batch: fresh pages cost as much time as the physics.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Scratch<f32>>>);

impl Pool {
    /// Lends `task` scratch memory.
    pub fn lend<T>(&self, task: impl FnOnce(&mut Scratch<f32>) -> T) -> T {
        let shelf = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut scratch = shelf().pop().unwrap_or_default();
        let result = task(&mut scratch);
        shelf().push(scratch);
        result
    }
}

/// A differentiable model of the electrical plant.
#[derive(Debug)]
pub(super) struct Model {
    card: Card,
    solver: Solver<f32>,
    /// What the solver is made of, and anew for each bias.
    circuit: Circuit,
    pool: Pool,
}

impl Model {
    /// The model of `circuit`, of the plant that `card` describes.
    pub fn new(card: Card, circuit: Circuit) -> Self {
        Self { card, solver: Solver::new(&circuit), circuit, pool: Pool::default() }
    }

    /// The solver with these controls, where there are any.
    fn biased(&self, controls: &[f32]) -> Option<Solver<f32>> {
        (!controls.is_empty()).then(|| Solver::new(&self.circuit.biased(controls)))
    }

    /// The gradient for the bias, summed over the shots.
    fn bias_gradient(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> f32 {
        let slopes = sensitivity(self.circuit.along_bias())(inputs, controls);
        let products = slopes.values().iter().zip(cotangents.values()).map(|(s, c)| f64::from(*s) * f64::from(*c));
        products.sum::<f64>() as f32
    }
}

impl Twin for Model {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        let biased = self.biased(controls);
        let solver = biased.as_ref().unwrap_or(&self.solver);
        let samples = self.solver.samples;
        let mut outputs = Batch::zeros(inputs.rows(), samples);
        let bytes = size_of::<Lanes<f32>>() * samples;
        let block = LANES * blocks::chunks_per_block(inputs.rows(), rayon::current_num_threads(), bytes);
        outputs.values_mut().par_chunks_mut(block * samples).zip(inputs.values().par_chunks(block * samples)).for_each(
            |(outputs, inputs)| {
                self.pool.lend(|scratch| Arch::new().dispatch(Predict { solver, scratch, inputs, outputs }));
            },
        );
        outputs
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let biased = self.biased(controls);
        let solver = biased.as_ref().unwrap_or(&self.solver);
        let samples = self.solver.samples;
        let mut gradients = Batch::zeros(cotangents.rows(), samples);
        let bytes = size_of::<Lanes<f32>>() * samples * 2 + size_of::<Slopes<f32>>() * samples * self.solver.substeps;
        let block = LANES * blocks::chunks_per_block(inputs.rows(), rayon::current_num_threads(), bytes);
        let rows = inputs.values().par_chunks(block * samples).zip(cotangents.values().par_chunks(block * samples));
        gradients.values_mut().par_chunks_mut(block * samples).zip(rows).for_each(
            |(gradients, (inputs, cotangents))| {
                self.pool.lend(|scratch| {
                    Arch::new().dispatch(PullBack { solver, scratch, inputs, cotangents, gradients });
                });
            },
        );
        let of_bias = controls.iter().take(1).map(|_| self.bias_gradient(inputs, controls, cotangents)).collect();
        Pullback { inputs: gradients, controls: of_bias }
    }
}

/// How the readings go with the coefficient that `circuit` depends on.
pub(super) fn sensitivity(circuit: Circuit<Dual<f64>>) -> Sensitivity {
    Box::new(move |inputs, controls| {
        let solver = &Solver::new(&circuit.biased(controls));
        let samples = solver.samples;
        let mut slopes = Batch::zeros(inputs.rows(), samples);
        let bytes = size_of::<Lanes<Dual<f32>>>() * samples;
        let block = LANES * blocks::chunks_per_block(inputs.rows(), rayon::current_num_threads(), bytes);
        slopes.values_mut().par_chunks_mut(block * samples).zip(inputs.values().par_chunks(block * samples)).for_each(
            |(slopes, inputs)| {
                let inputs = &dual::constants(inputs)[..];
                let (outputs, scratch) = (&mut inputs.to_vec(), &mut Scratch::default());
                Arch::new().dispatch(Predict { solver, scratch, inputs, outputs });
                slopes.iter_mut().zip(outputs).for_each(|(slope, output)| *slope = output.slope);
            },
        );
        slopes
    })
}

/// Makes `scratch` fit a block of `rows` values, every shot at rest. Returns the number of chunks.
fn prepare<S: Real>(solver: &Solver<S>, scratch: &mut Scratch<S>, rows: usize) -> usize {
    let chunks = (rows / solver.samples).div_ceil(LANES);
    let rest = solver.at_rest(&[S::of(0.0); LANES]);
    scratch.states.clear();
    scratch.states.resize(chunks, rest);
    scratch.rest.clear();
    scratch.rest.resize(chunks, rest.node);
    scratch.wave.resize(solver.samples * chunks, [S::of(0.0); LANES]);
    chunks
}

/// One block of rows: `inputs` become `outputs`.
///
/// A type and not a closure, because only an `inline(always)` method is compiled for the vector unit found at run time.
pub(super) struct Predict<'a, S> {
    pub solver: &'a Solver<S>,
    pub scratch: &'a mut Scratch<S>,
    pub inputs: &'a [S],
    pub outputs: &'a mut [S],
}

impl<S: Real> WithSimd for Predict<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: pulp::Simd>(self, _: V) {
        let Self { solver, scratch, inputs, outputs } = self;
        let chunks = prepare(solver, scratch, inputs.len());
        let Scratch { states, rest, wave, .. } = scratch;
        blocks::gather(inputs, solver.samples, chunks, wave);
        solver.run::<false>(states, wave, &mut []);
        solver.read(rest, wave);
        blocks::scatter(wave, solver.samples, chunks, outputs);
    }
}

/// One block of rows: `cotangents` become `gradients` at `inputs`.
pub(super) struct PullBack<'a, S> {
    pub solver: &'a Solver<S>,
    pub scratch: &'a mut Scratch<S>,
    pub inputs: &'a [S],
    pub cotangents: &'a [S],
    pub gradients: &'a mut [S],
}

impl<S: Real> WithSimd for PullBack<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: pulp::Simd>(self, _: V) {
        let Self { solver, scratch, inputs, cotangents: given, gradients } = self;
        let chunks = prepare(solver, scratch, inputs.len());
        let Scratch { states, rest, wave, cotangents, tape } = scratch;
        let zero = [S::of(0.0); LANES];
        cotangents.resize(wave.len(), zero);
        tape.resize(wave.len() * solver.substeps, [zero; 2]);
        blocks::gather(inputs, solver.samples, chunks, wave);
        solver.run::<true>(states, wave, tape);
        blocks::gather(given, solver.samples, chunks, cotangents);
        solver.read_back(rest, wave, cotangents);
        solver.run_back(states, cotangents, tape);
        blocks::scatter(cotangents, solver.samples, chunks, gradients);
    }
}
