//! Attention of a decoder over what an encoder has read (Luong et al., arXiv 1508.04025, their "general" score), on waves of values and rates.
//!
//! ```text
//! s = c·Eᵀ·Q     a = softmax of each column of s     C = E·a        c = 1/√hidden
//! ṡ = c·(Eᵀ·Q̇ + Ėᵀ·Q)     ȧ = a∘(ṡ − Σ a∘ṡ)     Ċ = E·ȧ + Ė·a
//! ```
//!
//! Of each sample: states E `[hidden, read]`, questions Q `[hidden, asked]`, contexts C `[hidden, asked]`.

use nalgebra::DMatrix;

use super::wave::{Number, of};

/// A matrix with its rate; without rates the second is empty.
pub(super) type Pair<S> = [DMatrix<S>; 2];

/// One sample, kept for the way back.
#[derive(Debug)]
pub(super) struct Attended<S> {
    states: Pair<S>,
    questions: Pair<S>,
    /// a and ȧ.
    weights: Pair<S>,
    /// ṡ.
    score_rates: DMatrix<S>,
}

/// A sample's columns of a list of waves as one matrix and its rates.
pub(super) fn of_sample<S: Number>(waves: &[DMatrix<S>], sample: usize, batch: usize) -> Pair<S> {
    let rows = waves.first().map_or(0, DMatrix::nrows);
    let columns = waves.first().map_or(0, DMatrix::ncols);
    [sample, batch + sample].map(|column| {
        if columns <= column {
            return DMatrix::zeros(0, 0);
        }
        let mut matrix = DMatrix::zeros(rows, waves.len());
        for (place, wave) in waves.iter().enumerate() {
            matrix.column_mut(place).copy_from(&wave.column(column));
        }
        matrix
    })
}

/// The other way: adds a sample's matrices to a list of waves.
pub(super) fn to_waves<S: Number>(pair: &Pair<S>, waves: &mut [DMatrix<S>], sample: usize, batch: usize) {
    for (matrix, column) in pair.iter().zip([sample, batch + sample]) {
        for (place, wave) in waves.iter_mut().enumerate().filter(|(_, wave)| column < wave.ncols()) {
            wave.column_mut(column).axpy(S::one(), &matrix.column(place), S::one());
        }
    }
}

/// Adds a product, unless a factor is that of rates that are not asked for.
fn add<S: Number>(to: &mut DMatrix<S>, factor: S, left: &DMatrix<S>, right: &DMatrix<S>) {
    if left.is_empty() || right.is_empty() {
        return;
    }
    to.gemm(factor, left, right, S::one());
}

fn scale<S: Number>(hidden: usize) -> S {
    of(1.0 / (hidden as f64).sqrt())
}

/// The contexts of one sample.
pub(super) fn attend<S: Number>(states: Pair<S>, questions: Pair<S>) -> (Pair<S>, Attended<S>) {
    let [e, e_rate] = &states;
    let [q, q_rate] = &questions;
    let c = scale(e.nrows());
    let (turned, turned_rate) = (e.transpose(), e_rate.transpose());
    let mut a = DMatrix::zeros(e.ncols(), q.ncols());
    let mut score_rates = a.clone();
    add(&mut a, c, &turned, q);
    add(&mut score_rates, c, &turned, q_rate);
    add(&mut score_rates, c, &turned_rate, q);
    let mut a_rate = score_rates.clone();
    for (mut weights, mut rates) in a.column_iter_mut().zip(a_rate.column_iter_mut()) {
        let largest = weights.max();
        weights.apply(|score| *score = (*score - largest).exp());
        let sum = weights.sum();
        weights /= sum;
        let mean = weights.dot(&rates);
        rates.zip_apply(&weights, |rate, weight| *rate = weight * (*rate - mean));
    }
    let mut context = DMatrix::zeros(e.nrows(), q.ncols());
    let mut context_rate = context.clone();
    add(&mut context, S::one(), e, &a);
    add(&mut context_rate, S::one(), e, &a_rate);
    add(&mut context_rate, S::one(), e_rate, &a);
    ([context, context_rate], Attended { states, questions, weights: [a, a_rate], score_rates })
}

impl<S: Number> Attended<S> {
    /// What is wanted of states and questions, where `wanted` is of the contexts.
    pub fn back(&self, [wanted, wanted_rate]: &Pair<S>) -> [Pair<S>; 2] {
        let ([e, e_rate], [q, q_rate], [a, a_rate]) = (&self.states, &self.questions, &self.weights);
        let (one, c) = (S::one(), scale(e.nrows()));
        let (turned, turned_rate) = (e.transpose(), e_rate.transpose());
        let (mut of_a, mut of_a_rate) = (DMatrix::zeros(a.nrows(), a.ncols()), DMatrix::zeros(a.nrows(), a.ncols()));
        add(&mut of_a, one, &turned, wanted);
        add(&mut of_a, one, &turned_rate, wanted_rate);
        add(&mut of_a_rate, one, &turned, wanted_rate);
        let (mut of_e, mut of_e_rate) = (DMatrix::zeros(e.nrows(), e.ncols()), DMatrix::zeros(e.nrows(), e.ncols()));
        let (a_turned, a_rate_turned) = (a.transpose(), a_rate.transpose());
        add(&mut of_e, one, wanted, &a_turned);
        add(&mut of_e, one, wanted_rate, &a_rate_turned);
        add(&mut of_e_rate, one, wanted_rate, &a_turned);
        // Through the softmax and its rate, column by column; afterwards these are what is wanted of s and ṡ.
        for column in 0..a.ncols() {
            let (weights, rates) = (a.column(column), self.score_rates.column(column));
            let mean = weights.dot(&rates);
            let sum = weights.dot(&of_a_rate.column(column));
            let mut total = S::zero();
            for place in 0..a.nrows() {
                let rate_wanted = of_a_rate[(place, column)];
                of_a[(place, column)] += rate_wanted * (rates[place] - mean) - rates[place] * sum;
                of_a_rate[(place, column)] = weights[place] * (rate_wanted - sum);
                total += weights[place] * of_a[(place, column)];
            }
            for place in 0..a.nrows() {
                of_a[(place, column)] = weights[place] * (of_a[(place, column)] - total);
            }
        }
        let (of_s, of_s_rate) = (of_a, of_a_rate);
        let (mut of_q, mut of_q_rate) = (DMatrix::zeros(q.nrows(), q.ncols()), DMatrix::zeros(q.nrows(), q.ncols()));
        add(&mut of_q, c, e, &of_s);
        add(&mut of_q, c, e_rate, &of_s_rate);
        add(&mut of_q_rate, c, e, &of_s_rate);
        let (s_turned, s_rate_turned) = (of_s.transpose(), of_s_rate.transpose());
        add(&mut of_e, c, q, &s_turned);
        add(&mut of_e, c, q_rate, &s_rate_turned);
        add(&mut of_e_rate, c, q, &s_rate_turned);
        [[of_e, of_e_rate], [of_q, of_q_rate]]
    }
}
