//! The physics twin: a model's coefficients by Levenberg–Marquardt (crate `levenberg-marquardt`, after MINPACK), with
//! uncertainties, correlations, and the names of those that the data cannot tell.
//!
//! Parameters are coefficients in units of their plausible spans; derivatives are the twin's own ([`Adjustable::sensitivity`]).
//! The covariance is `(JᵀJ)⁻¹·(Σ_s g_s·g_sᵀ)·(JᵀJ)⁻¹` with `g_s = J_sᵀ·r_s` summed over a shot (White 1980; Liang and Zeger 1986): it
//! stays right where the noise of a shot's outputs is correlated, or differs from output to output.
//!
//! A step costs some two predictions of every shot for each coefficient, so only a part of the shots is used: few coarsely, from
//! far away, then some more to the end. [`PhysicsFit::shots`] says how many; the intervals are those of these shots.

use std::cell::Cell;

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::{DMatrix, DVector, Dyn, Owned};
use serde::{Deserialize, Serialize};
use sims::{Adjustable, Coefficient};

use crate::observer::going;
use crate::readings::Readings;
use crate::{Error, Observer, Trace, Unobserved};

/// Values of residuals that a fit uses at most: more only take time.
const MOST_VALUES: usize = 60_000;
/// Values that the first, coarse fit uses, and at least so many for each coefficient.
const COARSE_VALUES: [usize; 2] = [10_000, 150];
/// A search ends where a step would make the sum of squares smaller by less than this part: far below what noise decides.
const TOLERANCE: f64 = 1e-8;
/// A direction whose singular value is below this part of the largest is not felt at all: single precision tells no less.
const DEAF: f64 = 1e-5;
/// The first step is at most this part of the start's distance from zero: from far away a long step leads astray.
const FIRST_STEP: f64 = 0.05;
/// Searches that follow the first one, at most.
const RESTARTS: usize = 6;
/// How a coefficient leans on its nominal value: a whole span away costs as much as so many full scales in every reading.
const LEANING: f64 = 1e-7;
/// How steep the walls of what is plausible are, in full scales for a span.
const WALL: f64 = 100.0;
/// A coefficient known no better than this part of its plausible span is not known.
const UNKNOWN: f64 = 0.25;

/// One fitted coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Its name.
    pub name: String,
    /// The fitted value; one that the data say nothing about stays near its nominal value.
    pub value: f64,
    /// SI unit.
    pub unit: String,
    /// Half the width of its 95 % interval.
    pub uncertainty: f64,
    /// Whether the data can tell it.
    pub identified: bool,
    /// What was believed before.
    pub nominal: f64,
}

/// The coefficients that fit a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct PhysicsFit {
    /// In the order of the model.
    pub estimates: Vec<Estimate>,
    /// Correlation of the estimates' errors.
    pub correlations: DMatrix<f64>,
    /// Shots that they were fitted to.
    pub shots: usize,
    /// Derivatives that were taken on the way.
    pub steps: usize,
}

impl PhysicsFit {
    /// Coefficients of these values whose errors have this covariance, in plausible spans, after so many shots and steps.
    pub(crate) fn of(
        coefficients: &[Coefficient],
        values: &[f64],
        covariance: &DMatrix<f64>,
        [shots, steps]: [usize; 2],
    ) -> Self {
        let deviation = |index: usize| match covariance[(index, index)] {
            variance if variance.is_finite() => variance.max(0.0).sqrt(),
            _ => f64::INFINITY,
        };
        let count = coefficients.len();
        let correlations = DMatrix::from_fn(count, count, |row, column| {
            let product = deviation(row) * deviation(column);
            if row == column {
                1.0
            } else if product > 0.0 && product.is_finite() {
                covariance[(row, column)] / product
            } else {
                0.0
            }
        });
        let estimates = coefficients.iter().zip(values).enumerate().map(|(index, (coefficient, value))| {
            Estimate {
                name: coefficient.name.clone(),
                value: value.clamp(coefficient.low, coefficient.high),
                unit: coefficient.unit.clone(),
                // Two-sided 95 % of a normal error.
                uncertainty: 1.96 * deviation(index) * coefficient.span(),
                identified: 2.0 * deviation(index) < UNKNOWN,
                nominal: coefficient.nominal,
            }
        });
        Self { estimates: estimates.collect(), correlations, shots, steps }
    }

    /// The values.
    pub fn values(&self) -> Vec<f64> {
        self.estimates.iter().map(|estimate| estimate.value).collect()
    }

    /// Pairs whose errors are nearly the same: only a combination of them is known well.
    pub fn confused(&self) -> Vec<(String, String, f64)> {
        let mut pairs = Vec::new();
        for (row, a) in self.estimates.iter().enumerate() {
            for (column, b) in self.estimates.iter().enumerate().take(row) {
                let correlation = self.correlations[(row, column)];
                if a.identified && b.identified && 0.95 < correlation.abs() {
                    pairs.push((b.name.clone(), a.name.clone(), correlation));
                }
            }
        }
        pairs
    }
}

/// Fits the coefficients of `model` to a trace, best with its repeats averaged.
pub fn fit_physics(model: &dyn Adjustable, trace: &Trace) -> Result<PhysicsFit, Error> {
    fit_observed(model, trace, &Unobserved)
}

/// The same, watched.
pub(crate) fn fit_observed(
    model: &dyn Adjustable,
    trace: &Trace,
    observer: &dyn Observer,
) -> Result<PhysicsFit, Error> {
    let coefficients = model.coefficients();
    let columns = trace.outputs.columns().max(1);
    let fine = trace.thinned((MOST_VALUES / columns).max(16));
    let needed = coefficients.len().div_ceil(columns).max(2);
    if fine.shots() < needed {
        return Err(Error::TooFew { procedure: "physics", what: "shots", needed, given: fine.shots(), held_out: 0 });
    }
    let [least, of_each] = COARSE_VALUES;
    let coarse = fine.thinned((least.max(of_each * coefficients.len()) / columns).max(16));
    let mut start: Vec<f64> = coefficients.iter().map(|coefficient| coefficient.start / coefficient.span()).collect();
    let mut steps = 0;
    if 2 * coarse.shots() < fine.shots() {
        let problem = Problem::new(model, &coefficients, &coarse, (start, observer)).minimized()?;
        (start, steps) = (problem.at.as_slice().to_vec(), problem.steps.get());
    }
    let problem = Problem::new(model, &coefficients, &fine, (start, observer));
    problem.steps.set(steps);
    problem.minimized()?.estimates()
}

/// Residuals of a model against a trace.
struct Problem<'a> {
    readings: Readings<'a>,
    coefficients: &'a [Coefficient],
    trace: &'a Trace,
    measured: Vec<f64>,
    at: DVector<f64>,
    observer: &'a dyn Observer,
    /// Derivatives that were taken.
    steps: Cell<usize>,
}

impl<'a> Problem<'a> {
    fn new(
        model: &'a dyn Adjustable,
        coefficients: &'a [Coefficient],
        trace: &'a Trace,
        (start, observer): (Vec<f64>, &'a dyn Observer),
    ) -> Self {
        let readings = Readings::new(model, trace);
        let (measured, at) = (readings.measured(), DVector::from_vec(start));
        Self { readings, coefficients, trace, measured, at, observer, steps: Cell::new(0) }
    }

    /// At the least squares, or as near as the predictions' rounding allows.
    fn minimized(self) -> Result<Self, Error> {
        let optimizer = || {
            let tolerant = LevenbergMarquardt::new().with_ftol(TOLERANCE).with_xtol(TOLERANCE).with_gtol(TOLERANCE);
            tolerant.with_stepbound(FIRST_STEP).with_patience(30)
        };
        let observer = self.observer;
        let (mut problem, mut report) = optimizer().minimize(self);
        // Rounding of the predictions can end a search early; a new one from there begins with fresh steps.
        for _ in 0..RESTARTS {
            going(observer)?;
            let before = report.objective_function;
            (problem, report) = optimizer().minimize(problem);
            if 0.999 * before < report.objective_function {
                break;
            }
        }
        going(observer)?;
        if !report.objective_function.is_finite() {
            return Err(Error::Diverged {
                procedure: "physics",
                message: format!(
                    "{:?}: check the units of the trace, and the nominal coefficients",
                    report.termination
                ),
            });
        }
        Ok(problem)
    }

    fn values(&self) -> Vec<f64> {
        self.at.iter().zip(self.coefficients).map(|(at, coefficient)| at * coefficient.span()).collect()
    }

    /// What the model misses of each reading, in full scales, shot after shot.
    fn missed(&self) -> Vec<f64> {
        let predicted = self.readings.predicted(&self.values(), &[]);
        predicted.iter().zip(&self.measured).map(|(predicted, measured)| predicted - measured).collect()
    }

    /// Parameter `index` within what is plausible.
    fn clamped(&self, index: usize) -> f64 {
        let coefficient = &self.coefficients[index];
        self.at[index].clamp(coefficient.low / coefficient.span(), coefficient.high / coefficient.span())
    }

    /// What keeps a fit together: each coefficient leans a little on its nominal value, which decides where the data say nothing, and
    /// hits a wall where it is no longer plausible.
    fn walls(&self) -> Vec<f64> {
        let leaning = LEANING * (self.measured.len() as f64).sqrt();
        let lean = self.coefficients.iter().zip(self.at.iter()).map(|(c, at)| leaning * (at - c.nominal / c.span()));
        lean.chain((0..self.at.len()).map(|index| WALL * (self.at[index] - self.clamped(index)))).collect()
    }

    /// One column for each coefficient; `None` once the observer wants to stop.
    fn derivatives(&self) -> Option<DMatrix<f64>> {
        self.steps.set(self.steps.get() + 1);
        let spans: Vec<f64> = self.coefficients.iter().map(Coefficient::span).collect();
        self.readings.slopes(&self.values(), &[], &spans, self.observer)
    }

    /// The coefficients with what is known about them.
    fn estimates(&self) -> Result<PhysicsFit, Error> {
        let derivatives = self.derivatives().ok_or(Error::Stopped)?;
        let columns = self.trace.outputs.columns();
        let (inverse, deaf) = pseudo_inverse(&derivatives.tr_mul(&derivatives));
        let covariance = &inverse * scatter(&derivatives, &self.missed(), columns) * &inverse;
        let counts = [self.trace.shots(), self.steps.get()];
        let mut fit = PhysicsFit::of(self.coefficients, &self.values(), &covariance, counts);
        for (estimate, deaf) in fit.estimates.iter_mut().zip(deaf) {
            estimate.identified &= deaf < 0.1;
        }
        Ok(fit)
    }
}

/// `Σ_s g_s·g_sᵀ` with `g_s = J_sᵀ·r_s` of each shot of `columns` outputs.
pub(crate) fn scatter(derivatives: &DMatrix<f64>, missed: &[f64], columns: usize) -> DMatrix<f64> {
    let count = derivatives.ncols();
    let mut scores = DMatrix::<f64>::zeros(count, missed.len() / columns.max(1));
    for (shot, missed) in missed.chunks_exact(columns.max(1)).enumerate() {
        let score = derivatives.rows(shot * columns, columns).tr_mul(&DVector::from_row_slice(missed));
        scores.column_mut(shot).copy_from(&score);
    }
    &scores * scores.transpose()
}

/// The inverse of a symmetric matrix without the directions that nothing depends on, and how far each coefficient lies along
/// these.
fn pseudo_inverse(normal: &DMatrix<f64>) -> (DMatrix<f64>, Vec<f64>) {
    let count = normal.nrows();
    let eigen = normal.clone().symmetric_eigen();
    let largest = eigen.eigenvalues.iter().copied().fold(0.0, f64::max);
    let mut inverse = DMatrix::zeros(count, count);
    let mut deaf = vec![0.0; count];
    for (value, vector) in eigen.eigenvalues.iter().zip(eigen.eigenvectors.column_iter()) {
        if *value > largest * DEAF * DEAF {
            inverse += vector * vector.transpose() / *value;
        } else {
            deaf.iter_mut().zip(vector.iter()).for_each(|(sum, part)| *sum += part * part);
        }
    }
    (inverse, deaf)
}

impl LeastSquaresProblem<f64, Dyn, Dyn> for Problem<'_> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, Dyn>;
    type ParameterStorage = Owned<f64, Dyn>;

    fn set_params(&mut self, at: &DVector<f64>) {
        self.at.copy_from(at);
    }

    fn params(&self) -> DVector<f64> {
        self.at.clone()
    }

    fn residuals(&self) -> Option<DVector<f64>> {
        if self.observer.stop() {
            return None;
        }
        let mut residuals = self.missed();
        residuals.extend(self.walls());
        let residuals = DVector::from_vec(residuals);
        let rms = residuals.norm() / (self.measured.len().max(1) as f64).sqrt();
        let (step, shots) = (self.steps.get(), self.trace.shots());
        self.observer
            .stage(&format!("coefficients: step {step} on {shots} shots leaves {:.3} % of full scale", 100.0 * rms));
        residuals.iter().all(|residual| residual.is_finite()).then_some(residuals)
    }

    fn jacobian(&self) -> Option<DMatrix<f64>> {
        let (data, count) = (self.derivatives()?, self.at.len());
        let rows = data.nrows();
        let mut derivatives = data.resize_vertically(rows + 2 * count, 0.0);
        let leaning = LEANING * (rows as f64).sqrt();
        for index in 0..count {
            derivatives[(rows + index, index)] = leaning;
            let outside = self.at[index] != self.clamped(index);
            derivatives[(rows + count + index, index)] = if outside { WALL } else { 0.0 };
        }
        derivatives.iter().all(|derivative| derivative.is_finite()).then_some(derivatives)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use drivers::{Batch, Card};
    use sims::{Key, Pullback, Sensitivity, Twin};

    use super::*;
    use crate::trace::tests::{card, trace};

    /// y₀ = a·x₀ + b·x₁², y₁ = a·x₁ + (c + d)·x₀ + e·0: c and d cannot be told apart, e not at all. Corrections: y₀ += Σ `ε_k·sin(kx₀)/10`.
    #[derive(Debug, Clone)]
    pub(crate) struct Toy;

    #[derive(Debug)]
    struct ToyTwin(Card, Vec<f64>, Vec<f64>);

    impl Adjustable for Toy {
        fn card(&self) -> Card {
            card(2, 0, 2)
        }
        fn coefficients(&self) -> Vec<Coefficient> {
            ["a", "b", "c", "d", "e"].map(|name| Coefficient::new(name, "V", 1.0, [-3.0, 5.0])).to_vec()
        }
        fn adjusted(&self, coefficients: &[f64], corrections: &[f64]) -> Arc<dyn Twin> {
            Arc::new(ToyTwin(self.card(), coefficients.to_vec(), corrections.to_vec()))
        }
        fn sensitivity(&self, _: &[f64], _: &[f64], index: usize) -> Sensitivity {
            Box::new(move |inputs, _| {
                Batch::from_fn(inputs.rows(), 2, |row, port| {
                    let (x, y) = (inputs.row(row)[0], inputs.row(row)[1]);
                    let slopes = match index {
                        0 => [x, y],
                        1 => [y * y, 0.0],
                        2 | 3 => [0.0, x],
                        4 => [0.0, 0.0],
                        correction => [0.1 * ((correction - 4) as f32 * x).sin(), 0.0],
                    };
                    slopes[port]
                })
            })
        }
        fn corrections(&self) -> usize {
            3
        }
    }

    impl Twin for ToyTwin {
        fn card(&self) -> &Card {
            &self.0
        }
        fn predict(&self, inputs: &Batch, _: &[f32]) -> Batch {
            Batch::from_fn(inputs.rows(), 2, |row, port| {
                let (x, y) = (f64::from(inputs.row(row)[0]), f64::from(inputs.row(row)[1]));
                let [a, b, c, d] = [self.1[0], self.1[1], self.1[2], self.1[3]];
                let ripple: f64 = self.2.iter().enumerate().map(|(k, e)| 0.1 * e * ((k + 1) as f64 * x).sin()).sum();
                (if port == 0 { a * x + b * y * y + ripple } else { a * y + (c + d) * x }) as f32
            })
        }
        fn pull_back(&self, inputs: &Batch, _: &[f32], _: &Batch) -> Pullback {
            Pullback { inputs: inputs.clone(), controls: vec![] }
        }
    }

    #[test]
    fn coefficients_come_back_and_what_cannot_be_told_is_said() {
        let truth = Toy.adjusted(&[0.6, -0.3, 0.2, 0.1, 0.0], &[]);
        let read =
            |x: &[f32], _: &[f32], _: usize| truth.predict(&Batch::new(2, x.to_vec()).unwrap(), &[]).into_values();
        let fit = fit_physics(&Toy, &trace(card(2, 0, 2), [100, 1, 100], read)).unwrap();
        let [a, b, c, d, e] = &fit.estimates[..] else { panic!() };
        assert!((a.value - 0.6).abs() < 1e-5 && (b.value + 0.3).abs() < 1e-5);
        assert!((c.value + d.value - 0.3).abs() < 1e-5);
        assert_eq!([a, b, c, d, e].map(|estimate| estimate.identified), [true, true, false, false, false]);
    }

    #[test]
    fn a_fit_ends_when_its_observer_says_so() {
        struct After(std::sync::atomic::AtomicUsize);
        impl Observer for After {
            fn stop(&self) -> bool {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 7
            }
        }
        let truth = Toy.adjusted(&[0.6, -0.3, 0.2, 0.1, 0.0], &[]);
        let read =
            |x: &[f32], _: &[f32], _: usize| truth.predict(&Batch::new(2, x.to_vec()).unwrap(), &[]).into_values();
        let trace = trace(card(2, 0, 2), [100, 1, 100], read);
        let observer = After(0.into());
        assert_eq!(fit_observed(&Toy, &trace, &observer), Err(Error::Stopped));
        // It asks before every prediction: the one that is under way is the last.
        assert!(observer.0.into_inner() < 14);
        let start = crate::Corrected { coefficients: vec![0.5, 0.0, 0.0, 0.0, 0.0], corrections: vec![] };
        let stopped = crate::correction::correct_observed(&Toy, &trace, &start, 3, &After(0.into()));
        assert_eq!(stopped, Err(Error::Stopped));
    }

    #[test]
    fn the_stated_interval_covers_the_truth_as_often_as_it_says() {
        let truth = Toy.adjusted(&[0.6, -0.3, 0.2, 0.1, 0.0], &[]);
        let (mut covered, repetitions) = (0, 200);
        for repetition in 0..repetitions {
            let noise = Key::new(repetition);
            // Both outputs of a shot share half of their noise.
            let read = |x: &[f32], _: &[f32], shot: usize| {
                let mut stream = noise.number(shot as u64).stream();
                let common = 0.05 * stream.normal();
                let clean = truth.predict(&Batch::new(2, x.to_vec()).unwrap(), &[]);
                clean.into_values().iter().map(|y| y + common + 0.05 * stream.normal()).collect()
            };
            let fit = fit_physics(&Toy, &trace(card(2, 0, 2), [200, 1, 200], read)).unwrap();
            covered += u32::from((fit.estimates[0].value - 0.6).abs() < fit.estimates[0].uncertainty);
            assert!(!fit.estimates[2].identified);
        }
        // 95 % expected; five standard deviations of the count below it is 87 %.
        assert!(f64::from(covered) / repetitions as f64 > 0.87, "{covered} of {repetitions}");
    }
}
