//! What a calibration must find again: the coefficients of simulated plants, which only the simulation knows.

use drivers::Plant;
use sims::{Adjustable, Electrical, ElectricalImperfections, Key, Optical, Simulated};

use crate::{Calibration, Estimate, Procedure, Search, Stimuli, Trace, Watch, fit_physics, measure};

/// A circuit of 64 samples; with noise its converters round and its readings scatter, all else is still.
///
/// Jitter and temperature are no noise of a reading: jitter looks like crosstalk, and temperature moves the device's offset.
fn bench(noisy: bool, shot_seed: u64) -> Electrical {
    let still = ElectricalImperfections::none();
    let usual = ElectricalImperfections::default();
    let imperfections = if noisy {
        ElectricalImperfections {
            noise_volts: usual.noise_volts,
            dac_bits: usual.dac_bits,
            adc_bits: usual.adc_bits,
            ..still
        }
    } else {
        still
    };
    Electrical { samples: 64, imperfections, shot_seed, ..Electrical::default() }
}

fn estimates(bench: &Electrical, shots: usize) -> Vec<Estimate> {
    let mut plant = Simulated::new(bench.build().unwrap().system);
    let stimuli = Stimuli::smooth(plant.ports(), shots, shots, Key::new(9));
    let mut watch = Watch { now: &mut || None, progress: &mut |_| std::ops::ControlFlow::Continue(()) };
    let trace: Trace = measure(&mut plant, &stimuli, 1, &mut watch).unwrap().unwrap();
    fit_physics(bench, &trace).unwrap().estimates
}

#[test]
fn the_circuits_coefficients_are_recovered_within_a_hundredth() {
    let bench = bench(false, 0);
    let spans: Vec<f64> = bench.coefficients().iter().map(sims::Coefficient::span).collect();
    for ((estimate, truth), span) in estimates(&bench, 400).iter().zip(bench.plant_coefficients()).zip(spans) {
        // A hundredth of the value; of an offset, whose truth is nearly nothing, a hundredth of what is plausible.
        let allowed = if estimate.name.contains("offset") || estimate.name == "crosstalk" {
            0.01 * span
        } else {
            0.01 * truth.abs()
        };
        assert!(estimate.identified, "{estimate:?} for {truth}");
        assert!((estimate.value - truth).abs() < allowed, "{estimate:?} for {truth}");
    }
}

#[test]
fn the_stated_uncertainties_cover_the_truth() {
    let mut covered = vec![0; bench(true, 0).coefficients().len()];
    let repetitions = 50;
    for repetition in 0..repetitions {
        // Each time another circuit.
        let mismatch = [0.5, 1.0, 2.0][repetition as usize % 3];
        let bench = Electrical { plant_seed: repetition, mismatch, ..bench(true, repetition) };
        let truth = bench.plant_coefficients();
        for (index, estimate) in estimates(&bench, 150).iter().enumerate() {
            covered[index] += u32::from((estimate.value - truth[index]).abs() <= estimate.uncertainty);
        }
    }
    let total: u32 = covered.iter().sum();
    let share = f64::from(total) / (repetitions as f64 * covered.len() as f64);
    assert!(0.9 <= share, "{share}: {covered:?} of {repetitions}");
    // 95 % stated; each coefficient alone scatters by 3 % of 50 repetitions.
    assert!(covered.iter().all(|count| 0.8 <= f64::from(*count) / repetitions as f64), "{covered:?}");
}

/// Without junction and memory the truth lies at the end of what is plausible.
#[test]
fn a_circuit_that_is_its_nominal_model_is_found_too() {
    let bench = Electrical { mismatch: 0.0, plant_seed: 7, ..Electrical::default() };
    let mut plant = Simulated::new(bench.build().unwrap().system);
    let stimuli = Stimuli::smooth(plant.ports(), 240, 240, Key::new(1));
    let mut watch = Watch { now: &mut || None, progress: &mut |_| std::ops::ControlFlow::Continue(()) };
    let trace = measure(&mut plant, &stimuli, 2, &mut watch).unwrap().unwrap();
    let fit = fit_physics(&bench, &trace.averaged().trace).unwrap();
    let error = |values: &[f64]| {
        let predicted = trace.predict(&*bench.adjusted(values, &[]));
        let pairs = predicted.values().iter().zip(trace.outputs.values());
        pairs.map(|(p, y)| f64::from(p - y).powi(2)).sum::<f64>()
    };
    assert!(error(&fit.values()) < error(&bench.plant_coefficients()));
}

#[test]
fn the_light_paths_chirp_comes_back_although_its_phase_ripples() {
    for (plant_seed, mismatch) in [(7, 0.5), (99, 1.0)] {
        let bench = Optical { plant_seed, mismatch, ..Optical::default() };
        let mut plant = Simulated::new(bench.build().unwrap().system);
        let calibration = Calibration {
            procedure: Procedure::Residual,
            stimuli: 1500,
            repeats: 2,
            per_setting: 20,
            search: Search { candidates: 0, updates: 10, ..Search::default() },
            key: Key::new(1),
        };
        let stimuli = calibration.stimuli(plant.ports(), None);
        let mut watch = Watch { now: &mut || None, progress: &mut |_| std::ops::ControlFlow::Continue(()) };
        let trace = measure(&mut plant, &stimuli, calibration.repeats, &mut watch).unwrap().unwrap();
        let fitted = calibration.fit(&trace, None, Some(&bench), &crate::Unobserved).unwrap();
        for (estimate, truth) in fitted.estimates.iter().zip(bench.plant_coefficients()) {
            // Gain and exponent lean where the camera's pixels saturate; the cubic phase shares its shape with the ripples.
            if ["dark_level", "quadratic_radians", "matching_radians"].contains(&estimate.name.as_str()) {
                assert!(estimate.identified, "{estimate:?}");
                assert!((estimate.value - truth).abs() < 2.0 * estimate.uncertainty, "{estimate:?} for {truth}");
            }
        }
    }
}
