//! A plant whose outputs follow one input each along a saturating curve `y = a·x/(x + b) + c`: a model with three coefficients for
//! each channel, for recorded data whose physics nobody has written down. `x` counts from the channel's smallest input.

use std::sync::Arc;

use drivers::{Batch, Card, Direction};
use nalgebra::{Matrix3, Vector3};
use sims::{Pullback, Twin};

use crate::folds::Folds;
use crate::linear::{as_network, least_squares};
use crate::score::{squares, surely_less};
use crate::{Error, Estimate, LearnedTwin, Trace};

/// One saturating curve for each channel.
#[derive(Debug, Clone)]
pub struct Curves {
    card: Card,
    /// a, b, c of each channel.
    pub coefficients: Vec<[f64; 3]>,
    /// The smallest input that was seen in each channel: below it the curve goes on straight.
    low: Vec<f64>,
}

impl Curves {
    /// Whether a trace can be such a plant's at all: as many outputs as inputs, no controls.
    fn fits(trace: &Trace) -> bool {
        trace.settings.columns() == 0 && trace.inputs.columns() == trace.outputs.columns()
    }

    /// Curves of the outputs that follow their own input: on held-out shots, or where these are few, on all in turn, least squares of
    /// all inputs must be better, by more than chance, where it stands on the curve. The other outputs get their mean, and no
    /// coefficients. `None` where no output does.
    pub fn fit([train, held_out]: [&Trace; 2]) -> Result<Option<(Self, Vec<Estimate>)>, Error> {
        if !Self::fits(train) {
            return Ok(None);
        }
        let (mut curves, estimates) = Self::fit_all(train);
        let outputs = curves.coefficients.len();
        // Squared errors of each output, on curves and without.
        let mut missed: [Vec<Vec<f64>>; 2] = std::array::from_fn(|_| vec![Vec::new(); outputs]);
        for [part, held] in Folds::of([train, held_out]).pairs() {
            let beneath: Arc<dyn Twin> = Arc::new(Self::fit_all(part).0);
            for (missed, beneath) in missed.iter_mut().zip([Some(beneath), None]) {
                let of_part = squares(&held.predict(&linear(part, beneath)?), &held.outputs);
                missed.iter_mut().zip(of_part).for_each(|(all, part)| all.extend(part));
            }
        }
        let follows: Vec<bool> =
            (0..outputs).map(|output| surely_less(&missed[0][output], &missed[1][output])).collect();
        for output in (0..follows.len()).filter(|output| !follows[*output]) {
            let mean =
                train.outputs.iter().map(|row| f64::from(row[output])).sum::<f64>() / train.shots().max(1) as f64;
            curves.coefficients[output] = [0.0, 1.0, mean];
        }
        let stated = estimates.into_iter().enumerate().filter(|(index, _)| follows[index / 3]);
        let estimates = stated.map(|(_, estimate)| estimate).collect();
        Ok(follows.contains(&true).then_some((curves, estimates)))
    }

    /// Fits every channel by least squares: b is searched over four decades, a and c follow exactly.
    fn fit_all(trace: &Trace) -> (Self, Vec<Estimate>) {
        let ranges = trace.card.ports.ranges(Direction::Input);
        let units = |direction: Direction| -> Vec<String> {
            let banks = trace.card.ports.banks(direction).iter();
            banks.flat_map(|bank| std::iter::repeat_n(bank.unit.clone(), bank.count)).collect()
        };
        let (input_units, output_units) = (units(Direction::Input), units(Direction::Output));
        let mut curves = Self { card: trace.card.clone(), coefficients: vec![], low: vec![] };
        let mut estimates = Vec::new();
        for channel in 0..trace.inputs.columns() {
            let x: Vec<f64> = trace.inputs.iter().map(|row| f64::from(row[channel])).collect();
            let y: Vec<f64> = trace.outputs.iter().map(|row| f64::from(row[channel])).collect();
            let low = x.iter().copied().fold(f64::MAX, f64::min);
            let span = f64::from(ranges[channel].span()).max(f64::MIN_POSITIVE);
            // Measured from the smallest input, so that no denominator vanishes.
            let fitted = search(&x, &y, low, span);
            let units = [&output_units[channel], &input_units[channel], &output_units[channel]];
            estimates.extend(stated((channel, units), &fitted, (&x, &y), low));
            curves.coefficients.push(fitted);
            curves.low.push(low);
        }
        (curves, estimates)
    }

    /// The curves as plain numbers, `[channels, 4]`: a, b, c, and the smallest input.
    pub fn plain(&self) -> Vec<f64> {
        self.coefficients.iter().zip(&self.low).flat_map(|([a, b, c], low)| [*a, *b, *c, *low]).collect()
    }

    /// The curves that [`plain`](Self::plain) gave, of the plant of `card`.
    pub fn from_plain(card: Card, values: &[f64]) -> Arc<dyn Twin> {
        let rows = values.chunks_exact(4);
        Arc::new(Self {
            card,
            coefficients: rows.clone().map(|row| [row[0], row[1], row[2]]).collect(),
            low: rows.map(|row| row[3]).collect(),
        })
    }

    fn value(&self, channel: usize, x: f64) -> f64 {
        let ([a, b, c], t) = (self.coefficients[channel], x - self.low[channel]);
        if t >= 0.0 { a * t / (t + b) + c } else { a * t / b + c }
    }

    fn slope(&self, channel: usize, x: f64) -> f64 {
        let ([a, b, _], t) = (self.coefficients[channel], (x - self.low[channel]).max(0.0));
        a * b / (t + b).powi(2)
    }
}

/// Least squares of all inputs on what `beneath` leaves of the readings.
fn linear(trace: &Trace, beneath: Option<Arc<dyn Twin>>) -> Result<LearnedTwin, Error> {
    let left = trace.left(beneath.as_ref());
    let network = as_network(&least_squares(trace, &left)?, trace)?;
    Ok(LearnedTwin::new(trace.card.clone(), beneath, network))
}

/// The b with the least squares, by golden section on a grid in its logarithm.
fn search(x: &[f64], y: &[f64], low: f64, span: f64) -> [f64; 3] {
    let at = |exponent: f64| solve(x, y, low, span * 10.0_f64.powf(exponent));
    let mut best = (f64::MAX, 0.0);
    for step in 0..=40 {
        let exponent = -2.0 + 0.1 * f64::from(step);
        best = if at(exponent).0 < best.0 { (at(exponent).0, exponent) } else { best };
    }
    let (mut left, mut right) = (best.1 - 0.1, best.1 + 0.1);
    for _ in 0..30 {
        let (a, b) = (right - 0.618 * (right - left), left + 0.618 * (right - left));
        if at(a).0 < at(b).0 { right = b } else { left = a }
    }
    at(0.5 * (left + right)).1
}

/// Sum of squares and coefficients for one b.
fn solve(x: &[f64], y: &[f64], low: f64, b: f64) -> (f64, [f64; 3]) {
    let count = x.len() as f64;
    let basis = |x: f64| (x - low) / (x - low + b);
    let (mut su, mut sy, mut suu, mut suy, mut syy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let u = basis(*x);
        su += u;
        sy += y;
        suu += u * u;
        suy += u * y;
        syy += y * y;
    }
    let (uu, uy, yy) = (suu - su * su / count, suy - su * sy / count, syy - sy * sy / count);
    let a = if uu > 0.0 { uy / uu } else { 0.0 };
    (yy - a * uy, [a, b, (sy - a * su) / count])
}

/// The three coefficients of a channel with their uncertainties.
fn stated(
    (channel, units): (usize, [&String; 3]),
    fitted: &[f64; 3],
    (x, y): (&[f64], &[f64]),
    low: f64,
) -> Vec<Estimate> {
    let [a, b, c] = *fitted;
    let (mut normal, mut square) = (Matrix3::<f64>::zeros(), 0.0);
    for (x, y) in x.iter().zip(y) {
        let t = x - low;
        let gradient = Vector3::new(t / (t + b), -a * t / (t + b).powi(2), 1.0);
        normal += gradient * gradient.transpose();
        square += (a * t / (t + b) + c - y).powi(2);
    }
    let variance = square / (x.len() as f64 - 3.0).max(1.0);
    let inverse = normal.try_inverse();
    ["a", "b", "c"]
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let deviation = inverse.map_or(f64::INFINITY, |inverse| (variance * inverse[(index, index)]).sqrt());
            let value = fitted[index];
            let reach = value.abs().max(a.abs() * f64::from(u8::from(index == 2)));
            Estimate {
                name: format!("channel_{channel}_{name}"),
                value,
                unit: units[index].clone(),
                uncertainty: if deviation.is_finite() { 1.96 * deviation } else { f64::MAX },
                identified: deviation.is_finite() && 1.96 * deviation < 0.5 * reach,
                nominal: 0.0,
            }
        })
        .collect()
}

impl Twin for Curves {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, _controls: &[f32]) -> Batch {
        Batch::from_fn(inputs.rows(), inputs.columns(), |row, channel| {
            self.value(channel, f64::from(inputs.row(row)[channel])) as f32
        })
    }

    fn pull_back(&self, inputs: &Batch, _controls: &[f32], cotangents: &Batch) -> Pullback {
        let gradient = |row: usize, channel: usize| {
            cotangents.row(row)[channel] * self.slope(channel, f64::from(inputs.row(row)[channel])) as f32
        };
        Pullback { inputs: Batch::from_fn(inputs.rows(), inputs.columns(), gradient), controls: vec![] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::{card, trace};

    #[test]
    fn a_saturating_curve_comes_back() {
        let trace = trace(card(2, 0, 2), [2000, 1, 2000], |x, _, _| {
            vec![0.8 * (x[0] + 1.0) / (x[0] + 1.0 + 0.5) - 0.1, 0.3 * (x[1] + 1.0) / (x[1] + 1.0 + 2.0)]
        });
        let (curves, estimates) = Curves::fit([&trace, &trace]).unwrap().unwrap();
        assert!((curves.value(0, 0.3) - (0.8 * 1.3 / 1.8 - 0.1)).abs() < 2e-3);
        assert!(estimates.iter().all(|estimate| estimate.identified));
        let h = 1e-4;
        let numeric = (curves.value(1, 0.2 + h) - curves.value(1, 0.2 - h)) / (2.0 * h);
        assert!((curves.slope(1, 0.2) - numeric).abs() < 1e-6);
    }

    #[test]
    fn only_outputs_that_follow_their_own_input_get_a_curve() {
        let trace = trace(card(3, 0, 3), [600, 1, 600], |x, _, _| {
            vec![0.8 * (x[0] + 1.0) / (x[0] + 1.5), 0.5 * x[0] + x[2], 0.8 * (x[1] + 1.0) / (x[1] + 1.5)]
        });
        let (train, held_out) = trace.split(0.2, sims::Key::new(1));
        let (curves, estimates) = Curves::fit([&train, &held_out]).unwrap().unwrap();
        let names: Vec<&str> = estimates.iter().map(|estimate| estimate.name.as_str()).collect();
        assert_eq!(names, ["channel_0_a", "channel_0_b", "channel_0_c"]);
        assert_eq!(curves.coefficients[1][0], 0.0);
        let mixed = Trace { outputs: Batch::from_fn(600, 3, |row, _| trace.inputs.row(row)[1]), ..trace };
        let (train, held_out) = mixed.split(0.2, sims::Key::new(1));
        assert!(Curves::fit([&train, &held_out]).unwrap().is_none());
    }
}
