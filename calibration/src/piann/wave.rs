//! Values with their rates: what goes through a network together with its derivative by one number, the time.
//!
//! ```text
//! y = W·x + b        ẏ = W·ẋ
//! ```
//!
//! A wave is a matrix `[features, 2·batch]`: the values of the samples, then their rates. The backward pass takes what a loss wants of both,
//! so a loss may hold time derivatives of the network: forward mode in time, reverse mode in the weights.

use nalgebra::{DMatrix, RealField, convert};

/// A number that networks are computed in: single precision to train, double to check gradients.
pub trait Number: RealField + Copy {}

impl Number for f32 {}
impl Number for f64 {}

/// A constant.
pub(super) fn of<S: Number>(value: f64) -> S {
    convert(value)
}

/// As f64.
pub(super) fn wide<S: Number>(value: S) -> f64 {
    nalgebra::try_convert(value).unwrap_or(f64::NAN)
}

/// σ(x) = 1/(1 + e⁻ˣ).
pub(super) fn sigmoid<S: Number>(x: S) -> S {
    S::one() / (S::one() + (-x).exp())
}

/// tanh x, which overflows nowhere.
pub(super) fn tanh<S: Number>(x: S) -> S {
    S::one() - of::<S>(2.0) / (S::one() + (x + x).exp())
}

/// A matrix with its bias, as gradients and weights have them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dense<S> {
    /// `[outputs, inputs]`.
    pub weights: DMatrix<S>,
    /// `[outputs, 1]`.
    pub bias: DMatrix<S>,
}

impl<S: Number> Dense<S> {
    /// Weights between ± 1/√`fan`, biases of 0; `draw` gives numbers from 0 to 1.
    pub fn new(outputs: usize, inputs: usize, fan: usize, draw: &mut dyn FnMut() -> f64) -> Self {
        let bound = 1.0 / (fan.max(1) as f64).sqrt();
        let weights = DMatrix::from_fn(outputs, inputs, |_, _| of(bound * (2.0 * draw() - 1.0)));
        Self { weights, bias: DMatrix::zeros(outputs, 1) }
    }

    /// Nothing, of the same size.
    pub fn zeros_like(&self) -> Self {
        Self {
            weights: DMatrix::zeros(self.weights.nrows(), self.weights.ncols()),
            bias: DMatrix::zeros(self.bias.nrows(), 1),
        }
    }

    /// A wave through it; the bias belongs to the first `batch` columns, the values.
    pub fn forward(&self, wave: &DMatrix<S>, batch: usize) -> DMatrix<S> {
        let mut sums = DMatrix::zeros(self.weights.nrows(), wave.ncols());
        for column in 0..batch {
            sums.column_mut(column).copy_from(&self.bias.column(0));
        }
        sums.gemm(S::one(), &self.weights, wave, S::one());
        sums
    }

    /// Adds to `gradient` what `wanted` of the sums says of the weights.
    pub fn gather(gradient: &mut Self, wave: &DMatrix<S>, wanted: &DMatrix<S>, batch: usize) {
        gradient.weights.gemm(S::one(), wanted, &wave.transpose(), S::one());
        for column in wanted.column_iter().take(batch) {
            gradient.bias.column_mut(0).axpy(S::one(), &column, S::one());
        }
    }
}

/// What is wanted of the wave before a matrix; `turned` is the matrix transposed.
pub(super) fn back<S: Number>(turned: &DMatrix<S>, wanted: &DMatrix<S>) -> DMatrix<S> {
    let mut before = DMatrix::zeros(turned.nrows(), wanted.ncols());
    before.gemm(S::one(), turned, wanted, S::zero());
    before
}

/// tanh of a wave: values and rates, `y = tanh x`, `ẏ = (1 − y²)·ẋ`. Rates may be several: each a block of `batch` columns.
pub(super) fn squash<S: Number>(sums: &DMatrix<S>, batch: usize) -> DMatrix<S> {
    let mut wave = sums.clone();
    let split = sums.nrows() * batch;
    let (values, rates) = wave.as_mut_slice().split_at_mut(split);
    for value in &mut *values {
        *value = tanh(*value);
    }
    for rates in rates.chunks_exact_mut(split.max(1)) {
        for (rate, value) in rates.iter_mut().zip(&*values) {
            *rate *= S::one() - *value * *value;
        }
    }
    wave
}

/// What is wanted of the sums of [`squash`], whose result was `wave`: with `s = 1 − y²`, `x̄ = s·ȳ − 2·y·s·ẋ·ẏ̄` and `ẋ̄ = s·ẏ̄`.
pub(super) fn squash_back<S: Number>(sums: &DMatrix<S>, wave: &DMatrix<S>, wanted: &mut DMatrix<S>, batch: usize) {
    let split = sums.nrows() * batch;
    let (values, rates) = wanted.as_mut_slice().split_at_mut(split);
    for (value, y) in values.iter_mut().zip(wave.as_slice()) {
        *value *= S::one() - *y * *y;
    }
    let rates_before = sums.as_slice()[split..].chunks_exact(split.max(1));
    for (rates, before) in rates.chunks_exact_mut(split.max(1)).zip(rates_before) {
        let places = rates.iter_mut().zip(before).zip(values.iter_mut().zip(wave.as_slice()));
        for ((rate, before), (value, y)) in places {
            let slope = S::one() - *y * *y;
            *value -= of::<S>(2.0) * *y * slope * *before * *rate;
            *rate *= slope;
        }
    }
}

/// Rows of two waves one below the other.
pub(super) fn stacked<S: Number>(upper: &DMatrix<S>, lower: &DMatrix<S>) -> DMatrix<S> {
    let mut both = DMatrix::zeros(upper.nrows() + lower.nrows(), upper.ncols());
    both.rows_mut(0, upper.nrows()).copy_from(upper);
    both.rows_mut(upper.nrows(), lower.nrows()).copy_from(lower);
    both
}
