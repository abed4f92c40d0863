//! Ordinary least squares: the first stage of a learned twin, `y = p + A·x + C·θ + c` with what physics or curves predict as `p`.
//!
//! Each output is fitted by itself. Where there are more inputs than shots, or hardly fewer, plain least squares follows the noise:
//! then the squares of the slopes are held small (ridge regression), by a weight that held-out shots choose, or where these are few, all in
//! turn. Plain least squares stays unless another weight is better by more than chance. Inputs that never move get no slope.

use drivers::Batch;
use nalgebra::{Cholesky, DMatrix, DVector};

use crate::folds::Folds;
use crate::network::{Network, PlainLayer};
use crate::score::surely_less;
use crate::{Error, Trace};

/// Weights of the slopes' squares, in mean variances of a scaled input; the first is plain least squares, but for rounding.
const WEIGHTS: [f64; 7] = [1e-10, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];

/// Inputs and controls of shots, each less its mean and over its standard deviation, and what is to be explained.
struct Columns {
    center: Vec<f64>,
    width: Vec<f64>,
    /// `[shots, inputs + controls]`.
    scaled: DMatrix<f64>,
    /// `[shots, outputs]`, less `mean`.
    wanted: DMatrix<f64>,
    mean: DVector<f64>,
}

/// A row of inputs and controls.
fn row(trace: &Trace, shot: usize) -> impl Iterator<Item = f64> + '_ {
    trace.inputs.row(shot).iter().chain(trace.controls(shot)).map(|value| f64::from(*value))
}

impl Columns {
    fn of(trace: &Trace, wanted: &Batch) -> Self {
        let (shots, columns) = (trace.shots(), trace.inputs.columns() + trace.settings.columns());
        let count = shots.max(1) as f64;
        let mut scaled = DMatrix::zeros(shots, columns);
        for shot in 0..shots {
            row(trace, shot).enumerate().for_each(|(column, value)| scaled[(shot, column)] = value);
        }
        let (mut center, mut width) = (vec![0.0; columns], vec![1.0; columns]);
        for (column, mut values) in scaled.column_iter_mut().enumerate() {
            let mean = values.sum() / count;
            let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
            // Rounding of f32 is no movement.
            let moves = deviation > 1e-6 * mean.abs() && deviation > 0.0;
            values.apply(|value| *value = if moves { (*value - mean) / deviation } else { 0.0 });
            (center[column], width[column]) = (mean, if moves { deviation } else { 1.0 });
        }
        let mut wanted = DMatrix::from_fn(shots, wanted.columns(), |shot, output| f64::from(wanted.row(shot)[output]));
        let mean = DVector::from_iterator(wanted.ncols(), wanted.column_iter().map(|column| column.sum() / count));
        for (mut column, mean) in wanted.column_iter_mut().zip(mean.iter()) {
            column.add_scalar_mut(-mean);
        }
        Self { center, width, scaled, wanted, mean }
    }

    /// Slopes `[inputs + controls, outputs]` in scaled units, one matrix for each of `weights`.
    fn slopes(&self, weights: &[f64]) -> Option<Vec<DMatrix<f64>>> {
        let shots = self.scaled.nrows() as f64;
        let transposed = self.scaled.transpose();
        let (squares, products) = (&transposed * &self.scaled, &transposed * &self.wanted);
        let solve = |weight: &f64| {
            let mut squares = squares.clone();
            for place in 0..squares.nrows() {
                squares[(place, place)] += weight * shots;
            }
            Some(Cholesky::new(squares)?.solve(&products))
        };
        weights.iter().map(solve).collect()
    }

    /// The layer with these slopes, in the ports' own units.
    fn layer(&self, slopes: &DMatrix<f64>) -> PlainLayer {
        let (inputs, outputs) = slopes.shape();
        let mut layer = PlainLayer { outputs, inputs, weights: Vec::with_capacity(inputs * outputs), bias: vec![] };
        for output in 0..outputs {
            let mut bias = self.mean[output];
            for input in 0..inputs {
                let slope = slopes[(input, output)] / self.width[input];
                bias -= slope * self.center[input];
                layer.weights.push(slope as f32);
            }
            layer.bias.push(bias as f32);
        }
        layer
    }

    /// What slopes leave of each output of `trace`, squared, `[shots, outputs]`.
    fn missed(&self, trace: &Trace, wanted: &Batch, slopes: &DMatrix<f64>) -> DMatrix<f64> {
        let scaled = DMatrix::from_row_iterator(
            trace.shots(),
            self.center.len(),
            (0..trace.shots()).flat_map(|shot| {
                row(trace, shot)
                    .zip(self.center.iter().zip(&self.width))
                    .map(|(value, (center, width))| (value - center) / width)
            }),
        );
        let mut missed = scaled * slopes;
        for (output, mut column) in missed.column_iter_mut().enumerate() {
            for (shot, value) in column.iter_mut().enumerate() {
                *value = (f64::from(wanted.row(shot)[output]) - self.mean[output] - *value).powi(2);
            }
        }
        missed
    }
}

/// A linear model of `train` that explains what `wanted` says of shots, `[shots, outputs]`. With it, for each output, the weight that the
/// held-out shots of `folds` chose.
pub(crate) fn fit_linear(train: &Trace, folds: &Folds<'_>, wanted: impl Fn(&Trace) -> Batch) -> Result<Linear, Error> {
    let outputs = train.outputs.columns();
    // Squared errors by weight and output.
    let mut missed: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); outputs]; WEIGHTS.len()];
    for [part, held] in folds.pairs() {
        let (columns, wanted) = (Columns::of(part, &wanted(part)), wanted(held));
        for (missed, slopes) in missed.iter_mut().zip(columns.slopes(&WEIGHTS).ok_or_else(singular)?) {
            let of_part = columns.missed(held, &wanted, &slopes);
            missed.iter_mut().zip(of_part.column_iter()).for_each(|(all, part)| all.extend(part.iter()));
        }
    }
    let choose = |output: usize| {
        let of = |choice: usize| missed[choice][output].as_slice();
        (1..WEIGHTS.len()).fold(0, |best, choice| if surely_less(of(choice), of(best)) { choice } else { best })
    };
    let chosen: Vec<usize> = (0..outputs).map(choose).collect();
    let columns = Columns::of(train, &wanted(train));
    let all = columns.slopes(&WEIGHTS).ok_or_else(singular)?;
    let slopes = DMatrix::from_fn(columns.center.len(), outputs, |input, output| all[chosen[output]][(input, output)]);
    Ok(Linear { layer: columns.layer(&slopes), chosen })
}

/// Plain least squares of `wanted`, `[shots, outputs]` for the shots of a trace.
pub(crate) fn least_squares(trace: &Trace, wanted: &Batch) -> Result<PlainLayer, Error> {
    let columns = Columns::of(trace, wanted);
    let slopes = columns.slopes(&WEIGHTS[..1]).ok_or_else(singular)?;
    Ok(columns.layer(&slopes[0]))
}

fn singular() -> Error {
    Error::Diverged {
        procedure: "learned",
        message: "least squares has no solution: the trace holds values that are too large or none".to_owned(),
    }
}

/// A linear model of every output.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub layer: PlainLayer,
    /// Which of [`WEIGHTS`] each output has.
    chosen: Vec<usize>,
}

impl Linear {
    /// The same with the outputs that `these` names fitted anew to `trace`, each with the weight that it has.
    pub fn refitted(mut self, trace: &Trace, wanted: &Batch, these: impl Fn(usize) -> bool) -> Result<Self, Error> {
        let columns = Columns::of(trace, wanted);
        let all = columns.slopes(&WEIGHTS).ok_or_else(singular)?;
        let inputs = self.layer.inputs;
        for output in (0..self.layer.outputs).filter(|output| these(*output)) {
            let one = columns.layer(&all[self.chosen[output]]);
            self.layer.weights[output * inputs..(output + 1) * inputs]
                .copy_from_slice(&one.weights[output * inputs..(output + 1) * inputs]);
            self.layer.bias[output] = one.bias[output];
        }
        Ok(self)
    }

    /// As a network without hidden layers.
    pub fn network(&self, trace: &Trace) -> Result<Network, Error> {
        as_network(&self.layer, trace)
    }
}

/// A layer of inputs and controls as a network without hidden layers.
pub(crate) fn as_network(layer: &PlainLayer, trace: &Trace) -> Result<Network, Error> {
    Network::new(std::slice::from_ref(layer), [trace.inputs.columns(), trace.settings.columns(), 0])
        .ok_or_else(|| Error::fit("has layers that do not chain"))
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;
    use crate::trace::tests::{card, trace};

    #[test]
    fn slopes_come_back_exactly_where_nothing_is_noisy() {
        let trace = trace(card(2, 1, 2), [200, 1, 10], |x, k, _| {
            vec![0.3 + 2.0 * x[0] - 0.5 * x[1] + 4.0 * k[0], 1000.0 * x[1] + 5.0]
        });
        let layer = least_squares(&trace, &trace.outputs).unwrap();
        for (found, is) in layer.weights.iter().zip([2.0, -0.5, 4.0, 0.0, 1000.0, 0.0]) {
            assert!((found - is).abs() < 1e-3, "{:?}", layer.weights);
        }
        assert!((layer.bias[0] - 0.3).abs() < 1e-5 && (layer.bias[1] - 5.0).abs() < 1e-2);
    }

    #[test]
    fn few_shots_of_many_inputs_are_held_small_and_many_are_not() {
        let noisy = |stimuli: usize| {
            trace(card(40, 0, 1), [stimuli, 1, stimuli], |x, _, shot| {
                let mut noise = Key::new(3).number(shot as u64).stream();
                vec![x[0] + 0.5 * noise.normal()]
            })
        };
        let error = |layer: &PlainLayer| -> f32 {
            let truth = |index: usize| f32::from(u8::from(index == 0));
            layer.weights.iter().enumerate().map(|(index, slope)| (slope - truth(index)).powi(2)).sum()
        };
        let fitted = |stimuli: usize| {
            let (train, held_out) = noisy(stimuli).split(0.3, Key::new(1));
            let folds = Folds::of([&train, &held_out]);
            let linear = fit_linear(&train, &folds, |trace| trace.outputs.clone()).unwrap();
            (error(&linear.layer), error(&least_squares(&train, &train.outputs).unwrap()), linear.chosen[0])
        };
        let (held, plain, chosen) = fitted(70);
        assert!(chosen > 0 && held < 0.5 * plain, "{held} against {plain}");
        assert_eq!(fitted(4000).2, 0, "plain least squares is as good");
    }

    #[test]
    fn an_input_that_never_moves_and_one_that_is_twice_there_do_no_harm() {
        let mut still = trace(card(3, 0, 1), [300, 1, 300], |x, _, _| vec![3.0 * x[0]]);
        for row in still.inputs.values_mut().chunks_exact_mut(3) {
            (row[1], row[2]) = (0.7, row[0]);
        }
        let layer = least_squares(&still, &still.outputs).unwrap();
        assert!((layer.weights[0] + layer.weights[2] - 3.0).abs() < 1e-3 && layer.weights[1] == 0.0, "{layer:?}");
    }
}
