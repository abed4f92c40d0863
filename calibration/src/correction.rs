//! Many small corrections inside a physical model at once: the most probable ones, given that they are small.
//!
//! Minimizes `|r(p)|²/s² + |κ|² + |c − c₀|²/w²` over coefficients c and corrections κ ~ N(0, 1) by Gauss–Newton steps, s² the mean
//! square of what is left, re-estimated after each step (the evidence's first approximation; `MacKay` 1992). Coefficients stay
//! near what the physics' own fit has found, `w` a fifth of their plausible span.

use nalgebra::{DMatrix, DVector};
use sims::Adjustable;

use crate::many::{Given, MANY, correct_many};
use crate::observer::going;
use crate::physics::{PhysicsFit, fit_observed, scatter};
use crate::readings::Readings;
use crate::{Corrected, Error, Observer, Trace, Unobserved};

/// Values of residuals that a fit uses at most.
const MOST_VALUES: usize = 100_000;
/// How far a coefficient may move, in plausible spans.
const REACH: f64 = 0.2;

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
    if MANY < model.corrections() {
        return correct_many(model, trace, start, observer);
    }
    let thinned = thinned(trace);
    let fit = Fit::new(model, &thinned, observer);
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

/// What is known of the coefficients of a corrected model, the corrections being unknown too.
///
/// The covariance is `H⁻¹·(Σ_s g_s·g_sᵀ/s⁴ + P)·H⁻¹` with `H = JᵀJ/s² + P`: what the noise of the shots does, whatever correlates it
/// within a shot (as in the physics' own fit), and what the corrections do, whose expected sizes are in P. Of a model with thousands of
/// corrections it is that of the coefficients given these.
pub(crate) fn estimates_observed(
    model: &dyn Adjustable,
    trace: &Trace,
    corrected: &Corrected,
    steps: usize,
    observer: &dyn Observer,
) -> Result<PhysicsFit, Error> {
    if MANY < model.corrections() {
        return fit_observed(&Given { model, corrections: &corrected.corrections }, trace, observer);
    }
    let thinned = thinned(trace);
    let fit = Fit::new(model, &thinned, observer);
    let at = fit.pack(corrected);
    let missed = fit.residuals(&at);
    let noise = missed.norm_squared() / missed.len().max(1) as f64;
    let noise = noise.max(1e-18);
    let derivatives = fit.derivatives(&at).ok_or(Error::Stopped)?;
    let inverse = fit.normal(&derivatives, noise).cholesky().map(|factors| factors.inverse());
    // Where it cannot be inverted nothing is known.
    let inverse = inverse.unwrap_or_else(|| DMatrix::from_element(at.len(), at.len(), f64::NAN));
    let mut spread = scatter(&derivatives, missed.as_slice(), thinned.outputs.columns()) / (noise * noise);
    for index in 0..at.len() {
        spread[(index, index)] += fit.precision(index);
    }
    let covariance = &inverse * spread * &inverse;
    Ok(PhysicsFit::of(&model.coefficients(), &corrected.coefficients, &covariance, [thinned.shots(), steps]))
}

/// As many shots as a step can take.
fn thinned(trace: &Trace) -> Trace {
    trace.thinned((MOST_VALUES / trace.outputs.columns().max(1)).max(16))
}

struct Fit<'a> {
    readings: Readings<'a>,
    measured: Vec<f64>,
    spans: Vec<f64>,
    corrections: usize,
    observer: &'a dyn Observer,
}

impl<'a> Fit<'a> {
    fn new(model: &'a dyn Adjustable, trace: &'a Trace, observer: &'a dyn Observer) -> Self {
        let readings = Readings::new(model, trace);
        Self {
            measured: readings.measured(),
            readings,
            spans: model.coefficients().iter().map(sims::Coefficient::span).collect(),
            corrections: model.corrections(),
            observer,
        }
    }

    fn pack(&self, values: &Corrected) -> DVector<f64> {
        let coefficients = values.coefficients.iter().zip(&self.spans).map(|(value, span)| value / span);
        let count = self.corrections;
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

    fn residuals(&self, at: &DVector<f64>) -> DVector<f64> {
        let values = self.unpack(at);
        let predicted = self.readings.predicted(&values.coefficients, &values.corrections);
        DVector::from_iterator(predicted.len(), predicted.iter().zip(&self.measured).map(|(p, y)| p - y))
    }

    /// How strongly a number is held near where it is expected.
    fn precision(&self, index: usize) -> f64 {
        if index < self.spans.len() { 1.0 / (REACH * REACH) } else { 1.0 }
    }

    /// How far a number lies from where it is expected.
    fn from(&self, index: usize, at: &DVector<f64>, center: &DVector<f64>) -> f64 {
        if index < self.spans.len() { at[index] - center[index] } else { at[index] }
    }

    fn prior(&self, at: &DVector<f64>, center: &DVector<f64>) -> f64 {
        (0..at.len()).map(|index| self.precision(index) * self.from(index, at, center).powi(2)).sum()
    }

    fn derivatives(&self, at: &DVector<f64>) -> Option<DMatrix<f64>> {
        let values = self.unpack(at);
        let units: Vec<f64> = self.spans.iter().copied().chain((0..self.corrections).map(|_| 1.0)).collect();
        self.readings.slopes(&values.coefficients, &values.corrections, &units, self.observer)
    }

    /// H.
    fn normal(&self, derivatives: &DMatrix<f64>, noise: f64) -> DMatrix<f64> {
        let count = derivatives.ncols();
        let mut normal = DMatrix::zeros(count, count);
        normal.gemm_tr(1.0 / noise, derivatives, derivatives, 0.0);
        for index in 0..count {
            normal[(index, index)] += self.precision(index);
        }
        normal
    }

    /// One Gauss–Newton step.
    fn step(
        &self,
        at: &DVector<f64>,
        center: &DVector<f64>,
        residuals: &DVector<f64>,
        noise: f64,
    ) -> Option<DVector<f64>> {
        let derivatives = self.derivatives(at)?;
        let mut right = derivatives.tr_mul(residuals) / -noise;
        for index in 0..at.len() {
            right[index] -= self.precision(index) * self.from(index, at, center);
        }
        self.normal(&derivatives, noise).cholesky().map(|factors| factors.solve(&right))
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
