//! Many small corrections inside a physical model at once: the most probable ones, given that they are small.
//!
//! Minimizes `|r(p)|²/s² + |κ|² + |c − c₀|²/w²` over coefficients c and corrections κ ~ N(0, 1) by Gauss–Newton steps, s² the mean
//! square of what is left, re-estimated after each step (the evidence's first approximation; `MacKay` 1992). Coefficients stay
//! near what the physics' own fit has found, `w` a fifth of their plausible span.

use drivers::Direction;
use nalgebra::{DMatrix, DVector};
use sims::Adjustable;

use crate::observer::going;
use crate::physics::STEP;
use crate::saturation::within_range;
use crate::score::scale;
use crate::{Error, Observer, Trace, Unobserved};

/// Values of residuals that a fit uses at most.
const MOST_VALUES: usize = 100_000;
/// How far a coefficient may move, in plausible spans.
const REACH: f64 = 0.2;
/// Step of a correction's central difference, in its standard deviations.
const CORRECTION_STEP: f64 = 0.05;

/// Coefficients and corrections.
#[derive(Debug, Clone, PartialEq)]
pub struct Corrected {
    /// In the model's order.
    pub coefficients: Vec<f64>,
    /// In units of their standard deviations.
    pub corrections: Vec<f64>,
}

/// Corrects `model` from `start` on, in at most `steps` steps.
pub fn correct(model: &dyn Adjustable, trace: &Trace, start: &Corrected, steps: usize) -> Corrected {
    // Only an observer ends it early.
    correct_observed(model, trace, start, steps, &Unobserved).unwrap_or_else(|_| start.clone())
}

/// The same, watched.
pub(crate) fn correct_observed(
    model: &dyn Adjustable,
    trace: &Trace,
    start: &Corrected,
    steps: usize,
    observer: &dyn Observer,
) -> Result<Corrected, Error> {
    let columns = trace.outputs.columns().max(1);
    let thinned = trace.thinned((MOST_VALUES / columns).max(16));
    let fit = Fit {
        model,
        trace: &thinned,
        spans: model.coefficients().iter().map(sims::Coefficient::span).collect(),
        weights: thinned.card.ports.ranges(Direction::Output).into_iter().map(|range| 1.0 / scale(range)).collect(),
        observer,
    };
    let center = fit.pack(start);
    let mut at = center.clone();
    let mut best = fit.residuals(&at);
    for number in 1..=steps {
        going(observer)?;
        observer.stage(&format!("corrections: step {number} of at most {steps}"));
        let noise = best.norm_squared() / best.len().max(1) as f64;
        let Some(step) = fit.step(&at, &center, &best, noise.max(1e-18)) else { break };
        let cost = |at: &DVector<f64>, residuals: &DVector<f64>| {
            residuals.norm_squared() / noise.max(1e-18) + fit.prior(at, &center)
        };
        let before = cost(&at, &best);
        let mut share = 1.0;
        let mut improved = false;
        while share > 0.05 {
            let next = &at + &step * share;
            let residuals = fit.residuals(&next);
            if residuals.iter().all(|value| value.is_finite()) && cost(&next, &residuals) < before {
                improved = before - cost(&next, &residuals) > 1e-4 * before;
                (at, best) = (next, residuals);
                break;
            }
            share *= 0.5;
        }
        if !improved {
            break;
        }
    }
    going(observer)?;
    Ok(fit.unpack(&at))
}

struct Fit<'a> {
    model: &'a dyn Adjustable,
    trace: &'a Trace,
    spans: Vec<f64>,
    weights: Vec<f64>,
    observer: &'a dyn Observer,
}

impl Fit<'_> {
    fn pack(&self, values: &Corrected) -> DVector<f64> {
        let coefficients = values.coefficients.iter().zip(&self.spans).map(|(value, span)| value / span);
        let count = self.model.corrections();
        let corrections = (0..count).map(|index| values.corrections.get(index).copied().unwrap_or(0.0));
        DVector::from_iterator(self.spans.len() + count, coefficients.chain(corrections))
    }

    fn unpack(&self, at: &DVector<f64>) -> Corrected {
        let (coefficients, corrections) = at.as_slice().split_at(self.spans.len());
        Corrected {
            coefficients: coefficients.iter().zip(&self.spans).map(|(value, span)| value * span).collect(),
            corrections: corrections.to_vec(),
        }
    }

    fn predicted(&self, at: &DVector<f64>) -> Vec<f32> {
        let values = self.unpack(at);
        let twin = within_range(self.model.adjusted(&values.coefficients, &values.corrections));
        self.trace.predict(&*twin).into_values()
    }

    fn residuals(&self, at: &DVector<f64>) -> DVector<f64> {
        let pairs = self.predicted(at).into_iter().zip(self.trace.outputs.values()).zip(self.weights.iter().cycle());
        let values: Vec<f64> = pairs.map(|((p, y), weight)| f64::from(p - y) * weight).collect();
        DVector::from_vec(values)
    }

    fn prior(&self, at: &DVector<f64>, center: &DVector<f64>) -> f64 {
        let precision = |index: usize| if index < self.spans.len() { 1.0 / (REACH * REACH) } else { 1.0 };
        let from = |index: usize| if index < self.spans.len() { at[index] - center[index] } else { at[index] };
        (0..at.len()).map(|index| precision(index) * from(index).powi(2)).sum()
    }

    /// One Gauss–Newton step.
    fn step(
        &self,
        at: &DVector<f64>,
        center: &DVector<f64>,
        residuals: &DVector<f64>,
        noise: f64,
    ) -> Option<DVector<f64>> {
        let count = at.len();
        let mut derivatives = DMatrix::<f64>::zeros(residuals.len(), count);
        for index in 0..count {
            if self.observer.stop() {
                return None;
            }
            let by = if index < self.spans.len() { STEP } else { CORRECTION_STEP };
            let (mut above, mut below) = (at.clone(), at.clone());
            above[index] += by;
            below[index] -= by;
            let pairs = self.predicted(&above).into_iter().zip(self.predicted(&below)).zip(self.weights.iter().cycle());
            let column = pairs.map(|((above, below), weight)| f64::from(above - below) * weight / (2.0 * by));
            derivatives.column_mut(index).iter_mut().zip(column).for_each(|(to, value)| *to = value);
        }
        let mut normal = DMatrix::zeros(count, count);
        normal.gemm_tr(1.0 / noise, &derivatives, &derivatives, 0.0);
        let mut right = derivatives.tr_mul(residuals) / -noise;
        for index in 0..count {
            let (precision, from) = if index < self.spans.len() {
                (1.0 / (REACH * REACH), at[index] - center[index])
            } else {
                (1.0, at[index])
            };
            normal[(index, index)] += precision;
            right[index] -= precision * from;
        }
        normal.cholesky().map(|factors| factors.solve(&right))
    }
}

#[cfg(test)]
mod tests {
    use drivers::Batch;
    use sims::{Adjustable, Key};

    use super::*;
    use crate::physics::tests::Toy;
    use crate::trace::tests::{card, trace};

    #[test]
    fn small_corrections_come_back_through_noise() {
        let truth = Toy.adjusted(&[0.5, -0.3, 0.2, 0.1, 0.0], &[0.8, -0.5, 0.3]);
        let read = |x: &[f32], _: &[f32], shot: usize| {
            let mut stream = Key::new(1).number(shot as u64).stream();
            let clean = truth.predict(&Batch::new(2, x.to_vec()).unwrap(), &[]);
            clean.into_values().iter().map(|y| y + 0.002 * stream.normal()).collect()
        };
        let trace = trace(card(2, 0, 2), [2000, 1, 2000], read);
        let start = Corrected { coefficients: vec![0.45, -0.3, 0.25, 0.1, 0.0], corrections: vec![] };
        let fitted = correct(&Toy, &trace, &start, 6);
        let predicted = trace.predict(&*Toy.adjusted(&fitted.coefficients, &fitted.corrections));
        let square: f32 = predicted.values().iter().zip(trace.outputs.values()).map(|(a, b)| (a - b) * (a - b)).sum();
        let rms = (f64::from(square) / 4000.0).sqrt();
        assert!(rms < 0.0022, "{rms} where the noise is 0.002");
    }
}
