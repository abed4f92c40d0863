//! Thousands of corrections inside a physical model, such as the errors of each interferometer of a mesh: too many for a matrix of slopes.
//!
//! Minimizes `mean r(p)²/s² + |κ|²/V` over coefficients and corrections κ ~ N(0, 1), V readings in all and s² the mean square of what is
//! left, by Adam (Kingma and Ba 2015) on some settings of the controls at a time; the slopes with all numbers come from one pass back
//! ([`Adjustable::gradient`]). Far from the truth a deep mesh agrees with its model in little, but over settings drawn at random the
//! agreement is a product of what each element contributes, so each finds its own value from anywhere near.

use drivers::{Batch, Range};
use nalgebra::DVector;
use rayon::prelude::*;
use sims::{Adjustable, Coefficient, Key};

use crate::observer::going;
use crate::score::scale;
use crate::trace::pick;
use crate::{Corrected, Error, Observer, Trace};

/// From so many numbers on slopes are not taken one by one.
pub(crate) const MANY: usize = 200;

/// Updates, at least; and how often each setting is seen, at least.
const UPDATES: usize = 2000;
const PASSES: usize = 10;
/// Settings of one update.
const TOGETHER: usize = 8;
/// The first steps, in standard deviations of a correction; they fall to nothing along a half cosine.
const STEP: f64 = 0.05;
/// A step of a coefficient, as a part of its plausible span, where that of a correction is 1.
const OF_SPAN: f64 = 0.05;
/// Decay of the moments, and what keeps a division from nothing.
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;
/// The share of the mean square that an update's own readings replace.
const NEW: f64 = 0.05;

/// Shots of one setting.
struct Group<'a> {
    inputs: Batch,
    outputs: Batch,
    controls: &'a [f32],
}

/// Corrects `model` from `start` on.
pub(crate) fn correct_many(
    model: &dyn Adjustable,
    trace: &Trace,
    start: &Corrected,
    observer: &dyn Observer,
) -> Result<Corrected, Error> {
    let groups = groups(trace);
    let coefficients = model.coefficients();
    let units: Vec<f64> = coefficients.iter().map(|coefficient| OF_SPAN * coefficient.span()).collect();
    let mut at = pack(start, &units, model.corrections());
    let ranges = trace.output_ranges();
    let each = groups.len().div_ceil(TOGETHER).max(1);
    let updates = UPDATES.max(PASSES * each);
    let (mut mean, mut square) = (DVector::zeros(at.len()), DVector::zeros(at.len()));
    let (mut order, mut stream) = ((0..groups.len()).collect::<Vec<_>>(), Key::new(0).branch("many").stream());
    let (values, mut left) = (trace.outputs.values().len().max(1) as f64, None);
    for update in 0..updates {
        going(observer)?;
        let place = update % each;
        if place == 0 {
            stream.shuffle(&mut order);
        }
        let these = &order[place * TOGETHER..order.len().min((place + 1) * TOGETHER)];
        let numbers = unpack(&at, &units);
        let found: Vec<(Vec<f64>, f64, usize)> = these
            .par_iter()
            .map(|&group| slopes(model, &numbers, &groups[group], &ranges))
            .collect::<Option<_>>()
            .ok_or(Error::NoPhysics { procedure: "residual" })?;
        let count = found.iter().map(|(.., count)| count).sum::<usize>().max(1) as f64;
        let squares = found.iter().map(|(_, squares, _)| squares).sum::<f64>() / count;
        let noise = left.map_or(squares, |left: f64| (1.0 - NEW) * left + NEW * squares).max(1e-18);
        left = Some(noise);
        if !noise.is_finite() {
            let message = "check the units of the trace, and the nominal coefficients".to_owned();
            return Err(Error::Diverged { procedure: "residual", message });
        }
        let mut gradient = DVector::<f64>::zeros(at.len());
        for (slopes, ..) in &found {
            gradient.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope / (count * noise));
        }
        for (index, slope) in gradient.iter_mut().enumerate() {
            if index < units.len() {
                *slope *= units[index];
            } else {
                *slope += at[index] / values;
            }
        }
        let rate = 0.5 * STEP * (1.0 + (std::f64::consts::PI * update as f64 / updates as f64).cos());
        step(&mut at, &gradient, [&mut mean, &mut square], (rate, update + 1));
        hold(&mut at, &coefficients, &units);
        if update % 100 == 99 {
            let percent = 100.0 * noise.sqrt();
            observer
                .stage(&format!("corrections: update {} of {updates} leaves {percent:.3} % of full scale", update + 1));
        }
    }
    Ok(unpack(&at, &units))
}

/// The shots of each setting.
fn groups(trace: &Trace) -> Vec<Group<'_>> {
    let with_shots = trace.by_setting().into_iter().enumerate().filter(|(_, shots)| !shots.is_empty());
    let group = |(setting, shots): (usize, Vec<usize>)| Group {
        inputs: pick(&trace.inputs, &shots),
        outputs: pick(&trace.outputs, &shots),
        controls: trace.settings.row(setting),
    };
    with_shots.map(group).collect()
}

/// How half the sum of squares of what a group leaves, in full scales, goes with each number; that sum without the half; and how many
/// readings it is of.
fn slopes(
    model: &dyn Adjustable,
    numbers: &Corrected,
    group: &Group<'_>,
    ranges: &[Range],
) -> Option<(Vec<f64>, f64, usize)> {
    let squares = std::sync::Mutex::new(0.0);
    let missed = |read: &Batch| {
        let mut sum = 0.0;
        let cotangents = Batch::from_fn(read.rows(), read.columns(), |row, column| {
            let (range, wanted, value) = (ranges[column], group.outputs.row(row)[column], read.row(row)[column]);
            let scale = scale(range);
            let missed = f64::from(value.clamp(range.low, range.high) - wanted) / scale;
            sum += missed * missed;
            // Beyond the ends of its range a reading says nothing of how far.
            if range.contains(value) { (missed / scale) as f32 } else { 0.0 }
        });
        *squares.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = sum;
        cotangents
    };
    let parts = (&numbers.coefficients[..], &numbers.corrections[..]);
    let slopes = model.gradient(parts, (&group.inputs, group.controls), &missed)?;
    let squares = squares.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Some((slopes, squares, group.outputs.values().len()))
}

/// One step of Adam.
fn step(
    at: &mut DVector<f64>,
    gradient: &DVector<f64>,
    [mean, square]: [&mut DVector<f64>; 2],
    (rate, time): (f64, usize),
) {
    let corrected = BETAS.map(|beta| 1.0 - beta.powi(i32::try_from(time).unwrap_or(i32::MAX)));
    for (index, slope) in gradient.iter().enumerate() {
        mean[index] = BETAS[0] * mean[index] + (1.0 - BETAS[0]) * slope;
        square[index] = BETAS[1] * square[index] + (1.0 - BETAS[1]) * slope * slope;
        at[index] -= rate * mean[index] / corrected[0] / ((square[index] / corrected[1]).sqrt() + EPSILON);
    }
}

/// Keeps coefficients within what is plausible.
fn hold(at: &mut DVector<f64>, coefficients: &[Coefficient], units: &[f64]) {
    for ((value, coefficient), unit) in at.iter_mut().zip(coefficients).zip(units) {
        *value = value.clamp(coefficient.low / unit, coefficient.high / unit);
    }
}

fn pack(numbers: &Corrected, units: &[f64], corrections: usize) -> DVector<f64> {
    let coefficients = numbers.coefficients.iter().zip(units).map(|(value, unit)| value / unit);
    let filled = (0..corrections).map(|index| numbers.corrections.get(index).copied().unwrap_or(0.0));
    DVector::from_iterator(units.len() + corrections, coefficients.chain(filled))
}

fn unpack(at: &DVector<f64>, units: &[f64]) -> Corrected {
    let (coefficients, corrections) = at.as_slice().split_at(units.len());
    Corrected {
        coefficients: coefficients.iter().zip(units).map(|(value, unit)| value * unit).collect(),
        corrections: corrections.to_vec(),
    }
}

/// A model whose corrections are no longer fitted: for its coefficients given these.
#[derive(Debug)]
pub(crate) struct Given<'a> {
    pub model: &'a dyn Adjustable,
    pub corrections: &'a [f64],
}

impl Adjustable for Given<'_> {
    fn card(&self) -> drivers::Card {
        self.model.card()
    }

    fn coefficients(&self) -> Vec<Coefficient> {
        self.model.coefficients()
    }

    fn adjusted(&self, coefficients: &[f64], _: &[f64]) -> std::sync::Arc<dyn sims::Twin> {
        self.model.adjusted(coefficients, self.corrections)
    }

    fn sensitivity(&self, coefficients: &[f64], _: &[f64], index: usize) -> sims::Sensitivity {
        self.model.sensitivity(coefficients, self.corrections, index)
    }
}

#[cfg(test)]
mod tests {
    use sims::{Mesh, MeshImperfections, Simulated};

    use super::*;
    use crate::{Calibration, Procedure, Residual, Search, Unobserved, Watch, measure};

    /// What a calibration of a mesh leaves of held-out readings, of their deviation: nominal, and fitted; and the fit.
    fn calibrated(mesh: &Mesh, [stimuli, per_setting]: [usize; 2]) -> ([f64; 2], Corrected) {
        let mut plant = Simulated::new(mesh.build().unwrap().system);
        let calibration = Calibration {
            procedure: Procedure::Residual,
            stimuli,
            repeats: 1,
            per_setting,
            search: Search { candidates: 0, updates: 0, ..Search::default() },
            key: Key::new(1),
        };
        let stimuli = calibration.stimuli(&sims::Adjustable::card(mesh).ports, None);
        let mut watch = Watch { now: &mut || None, progress: &mut |_| std::ops::ControlFlow::Continue(()) };
        let trace = measure(&mut plant, &stimuli, 1, &mut watch).unwrap().unwrap();
        let fitted = calibration.fit(&trace, None, Some(mesh), &Unobserved).unwrap();
        let of = |residual: &Option<Residual>| residual.as_ref().unwrap().rmse_of_output_std;
        ([of(&fitted.nominal_residual), of(&fitted.corrected_residual)], fitted.parts.corrected.unwrap())
    }

    #[test]
    fn the_errors_of_a_mesh_are_found_in_its_own_shots() {
        let imperfections = MeshImperfections { detector_noise: 0.002, ..MeshImperfections::none() };
        let mesh = Mesh { modes: 12, coupler_error: 0.15, phase_error: 0.15, imperfections, ..Mesh::default() };
        let ([nominal, fitted], corrected) = calibrated(&mesh, [3000, 10]);
        assert!(0.5 < nominal && fitted < 0.05, "{nominal} to {fitted}");
        let (coefficients, truth) = mesh.plant_numbers();
        assert!((corrected.coefficients[1] - coefficients[1]).abs() < 0.002, "{:?}", corrected.coefficients);
        // θ of an interferometer in the middle, which all light passes.
        let middle = 2 * 66 + 33;
        assert!((corrected.corrections[middle] - truth[middle]).abs() < 0.3);
    }
}
