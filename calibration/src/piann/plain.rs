//! A plain network of tanh layers on waves of values with one rate or several: what other twins of fields are built of.
//!
//! ```text
//! hᵢ₊₁ = tanh(Wᵢ·hᵢ + bᵢ)        y = W_last·h + b
//! ```
//!
//! Shapes: x `[inputs, (1 + rates)·batch]`, the values first, then a block of columns for each derivative that is taken along.

use nalgebra::DMatrix;
use sims::Key;

use super::wave::{Dense, Number, back, squash, squash_back};

/// Its weights, or gradients for them.
#[derive(Debug, Clone, PartialEq)]
pub struct Plain<S> {
    layers: Vec<Dense<S>>,
}

/// What a forward pass leaves for the way back: what each layer took, and its sums.
#[derive(Debug)]
pub struct PlainPassed<S> {
    batch: usize,
    taken: Vec<DMatrix<S>>,
    sums: Vec<DMatrix<S>>,
}

impl<S: Number> Plain<S> {
    /// A network with these widths, the inputs first and the outputs last; weights after Glorot and Bengio (2010).
    pub fn new(widths: &[usize], key: Key) -> Self {
        let mut stream = key.stream();
        let mut draw = || f64::from(stream.uniform());
        let layers = widths.windows(2).map(|pair| {
            let mut dense = Dense::new(pair[1], pair[0], 1, &mut draw);
            dense.weights *= super::wave::of::<S>((6.0 / (pair[0] + pair[1]) as f64).sqrt());
            dense
        });
        Self { layers: layers.collect() }
    }

    pub(super) fn matrices(&self) -> Vec<&DMatrix<S>> {
        self.layers.iter().flat_map(|dense| [&dense.weights, &dense.bias]).collect()
    }

    pub(super) fn matrices_mut(&mut self) -> Vec<&mut DMatrix<S>> {
        self.layers.iter_mut().flat_map(|dense| [&mut dense.weights, &mut dense.bias]).collect()
    }

    pub(super) fn into_matrices(self) -> Vec<DMatrix<S>> {
        self.layers.into_iter().flat_map(|dense| [dense.weights, dense.bias]).collect()
    }

    /// How many weights there are.
    pub fn size(&self) -> usize {
        self.matrices().iter().map(|matrix| matrix.len()).sum()
    }

    /// The outputs of a wave whose first `batch` columns are values.
    pub fn forward(&self, wave: &DMatrix<S>, batch: usize) -> (DMatrix<S>, PlainPassed<S>) {
        let (mut taken, mut sums) = (vec![wave.clone()], Vec::with_capacity(self.layers.len()));
        let mut last = DMatrix::zeros(0, 0);
        for (index, dense) in self.layers.iter().enumerate() {
            let next = dense.forward(&taken[index], batch);
            if index + 1 < self.layers.len() {
                taken.push(squash(&next, batch));
                sums.push(next);
            } else {
                last = next;
            }
        }
        (last, PlainPassed { batch, taken, sums })
    }

    /// Gradients for the weights where `wanted` is of the outputs and their rates.
    pub fn back(&self, passed: &PlainPassed<S>, wanted: &DMatrix<S>) -> Self {
        let mut gradient = Self { layers: self.layers.iter().map(Dense::zeros_like).collect() };
        let mut wanted = wanted.clone();
        for index in (0..self.layers.len()).rev() {
            Dense::gather(&mut gradient.layers[index], &passed.taken[index], &wanted, passed.batch);
            if let Some(before) = index.checked_sub(1) {
                wanted = back(&self.layers[index].weights.transpose(), &wanted);
                squash_back(&passed.sums[before], &passed.taken[index], &mut wanted, passed.batch);
            }
        }
        gradient
    }
}
