//! A gated recurrent unit (Cho et al., arXiv 1406.1078) on waves of values and rates.
//!
//! ```text
//! r = σ(A_r·x + B_r·h)     z = σ(A_z·x + B_z·h)     n = tanh(A_n·x + r∘p), p = B_n·h     h' = n + z∘(h − n)        biases left out
//! ```
//!
//! Rates follow by the chain rule, and what is wanted of rates reaches the values through second derivatives: σ'' = σ'·(1 − 2σ),
//! tanh'' = −2·tanh·tanh'. A wave may have no rates: `batch` columns in place of twice as many.
//! Shapes: x `[inputs, 2·batch]`, h `[hidden, 2·batch]`, A `[3·hidden, inputs]`, B `[3·hidden, hidden]`.

use nalgebra::DMatrix;

use super::wave::{Dense, Number, back, of, sigmoid, tanh};

/// Its weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell<S> {
    pub input: Dense<S>,
    pub state: Dense<S>,
}

/// The transposed matrices, for the way back.
pub(super) struct Turned<S> {
    input: DMatrix<S>,
    state: DMatrix<S>,
}

/// One step, kept for the way back.
#[derive(Debug)]
pub(super) struct Step<S> {
    input: DMatrix<S>,
    before: DMatrix<S>,
    /// r, z and n, `[3·hidden]` a column; in the columns of rates the rates of what they are functions of.
    gates: DMatrix<S>,
    /// p with its rates.
    inner: DMatrix<S>,
}

impl<S: Number> Cell<S> {
    pub fn new(inputs: usize, hidden: usize, draw: &mut dyn FnMut() -> f64) -> Self {
        Self {
            input: Dense::new(3 * hidden, inputs, hidden, draw),
            state: Dense::new(3 * hidden, hidden, hidden, draw),
        }
    }

    pub fn turned(&self) -> Turned<S> {
        Turned { input: self.input.weights.transpose(), state: self.state.weights.transpose() }
    }

    /// The next state, and what the way back needs.
    pub fn step(&self, input: &DMatrix<S>, before: &DMatrix<S>, batch: usize) -> (DMatrix<S>, Step<S>) {
        let hidden = before.nrows();
        let mut gates = self.input.forward(input, batch);
        let from_state = self.state.forward(before, batch);
        let inner = from_state.rows(2 * hidden, hidden).into_owned();
        let mut after = DMatrix::zeros(hidden, input.ncols());
        let moving = batch < input.ncols();
        for column in 0..batch {
            let rates = batch + column;
            for unit in 0..hidden {
                let sum = |gates: &DMatrix<S>, gate: usize, column: usize| {
                    gates[(gate * hidden + unit, column)] + from_state[(gate * hidden + unit, column)]
                };
                let [r, z] = [0, 1].map(|gate| sigmoid(sum(&gates, gate, column)));
                let p = inner[(unit, column)];
                let n = tanh(gates[(2 * hidden + unit, column)] + r * p);
                let h = before[(unit, column)];
                after[(unit, column)] = n + z * (h - n);
                if moving {
                    let [r_sum, z_sum] = [0, 1].map(|gate| sum(&gates, gate, rates));
                    let r_rate = r * (S::one() - r) * r_sum;
                    let n_sum = gates[(2 * hidden + unit, rates)] + r_rate * p + r * inner[(unit, rates)];
                    let n_rate = (S::one() - n * n) * n_sum;
                    let z_rate = z * (S::one() - z) * z_sum;
                    after[(unit, rates)] = n_rate + z_rate * (h - n) + z * (before[(unit, rates)] - n_rate);
                    for (gate, rate) in [(0, r_sum), (1, z_sum), (2, n_sum)] {
                        gates[(gate * hidden + unit, rates)] = rate;
                    }
                }
                for (gate, value) in [(0, r), (1, z), (2, n)] {
                    gates[(gate * hidden + unit, column)] = value;
                }
            }
        }
        (after, Step { input: input.clone(), before: before.clone(), gates, inner })
    }

    /// What is wanted of input and state before a step of which `wanted` is; the weights' part is added to `gradient`.
    pub fn back(
        turned: &Turned<S>,
        step: &Step<S>,
        wanted: &DMatrix<S>,
        gradient: &mut Self,
        batch: usize,
    ) -> [DMatrix<S>; 2] {
        let hidden = wanted.nrows();
        let (one, two) = (S::one(), of::<S>(2.0));
        let columns = wanted.ncols();
        let moving = batch < columns;
        let mut of_input = DMatrix::zeros(3 * hidden, columns);
        let mut of_inner = DMatrix::zeros(hidden, columns);
        let mut before = DMatrix::zeros(hidden, columns);
        for column in 0..batch {
            let rates = batch + column;
            for unit in 0..hidden {
                let rate_of = |wave: &DMatrix<S>, row: usize| if moving { wave[(row, rates)] } else { S::zero() };
                let [r, z, n] = [0, 1, 2].map(|index| step.gates[(index * hidden + unit, column)]);
                let [r_sum, z_sum, n_sum] = [0, 1, 2].map(|index| rate_of(&step.gates, index * hidden + unit));
                let (p, p_rate) = (step.inner[(unit, column)], rate_of(&step.inner, unit));
                let (h, h_rate) = (step.before[(unit, column)], rate_of(&step.before, unit));
                let (g, d) = (wanted[(unit, column)], rate_of(wanted, unit));
                let [r_slope, z_slope, n_slope] = [r * (one - r), z * (one - z), one - n * n];
                let (r_rate, z_rate, n_rate) = (r_slope * r_sum, z_slope * z_sum, n_slope * n_sum);
                // h' = n + z(h − n), and its rate.
                before[(unit, column)] = g * z + d * z_rate;
                let (n_wanted, n_rate_wanted) = (g * (one - z) - d * z_rate, d * (one - z));
                let (z_wanted, z_rate_wanted) = (g * (h - n) + d * (h_rate - n_rate), d * (h - n));
                // n = tanh(a + r·p).
                let n_sum_rate = n_rate_wanted * n_slope;
                let n_sum_value = n_wanted * n_slope - two * n * n_slope * n_sum * n_rate_wanted;
                let r_wanted = n_sum_value * p + n_sum_rate * p_rate;
                let r_rate_wanted = n_sum_rate * p;
                of_inner[(unit, column)] = n_sum_value * r + n_sum_rate * r_rate;
                of_input[(2 * hidden + unit, column)] = n_sum_value;
                // The gates.
                let gates =
                    [(0, r, r_slope, r_sum, r_wanted, r_rate_wanted), (1, z, z_slope, z_sum, z_wanted, z_rate_wanted)];
                for (index, value, slope, sum, wanted, rate_wanted) in gates {
                    of_input[(index * hidden + unit, column)] =
                        wanted * slope + rate_wanted * sum * slope * (one - two * value);
                    if moving {
                        of_input[(index * hidden + unit, rates)] = rate_wanted * slope;
                    }
                }
                if moving {
                    before[(unit, rates)] = d * z;
                    of_inner[(unit, rates)] = n_sum_rate * r;
                    of_input[(2 * hidden + unit, rates)] = n_sum_rate;
                }
            }
        }
        let mut of_state = of_input.clone();
        of_state.rows_mut(2 * hidden, hidden).copy_from(&of_inner);
        Dense::gather(&mut gradient.input, &step.input, &of_input, batch);
        Dense::gather(&mut gradient.state, &step.before, &of_state, batch);
        before += back(&turned.state, &of_state);
        [back(&turned.input, &of_input), before]
    }
}
