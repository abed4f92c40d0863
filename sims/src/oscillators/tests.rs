//! The reference's scheme, physics with closed answers, adjoints, noise, and independence of threads and batches.

#![allow(clippy::float_cmp)] // Equal to the last bit is what these tests claim.

use std::f64::consts::TAU;

use super::*;
use crate::gradient_check::error_along;
use crate::{LANES, Moment};

/// Numbers in ±`scale`.
fn draw(count: usize, scale: f64, label: &str) -> Vec<f64> {
    let mut stream = Key::new(11).branch(label).stream();
    (0..count).map(|_| scale * (2.0 * f64::from(stream.uniform()) - 1.0)).collect()
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

fn batch(columns: usize, values: &[f64]) -> Batch {
    Batch::new(columns, single(values)).unwrap()
}

fn gapped(count: usize) -> Oscillators {
    Oscillators { count, mismatch: 1.0, plant_seed: 5, shot_seed: 6, ..Oscillators::default() }
}

pub(super) fn predict(physics: &Physics, inputs: &[f64], controls: &[f64]) -> Vec<f64> {
    let mut outputs = vec![0.0; inputs.len()];
    physics.predict(inputs, controls, &mut outputs, &mut physics.workspace());
    outputs
}

pub(super) fn pull_back(
    physics: &Physics,
    inputs: &[f64],
    controls: &[f64],
    cotangents: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let mut gradients = cotangents.to_vec();
    let controls = physics.pull_back(inputs, controls, &mut gradients, &mut physics.workspace());
    (gradients, controls)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The distance of `a` from `b` as a fraction of `b`.
fn distance(a: &[f32], b: &[f64]) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    (square / dot(b, b)).sqrt()
}

/// One shot by the equations as they are usually written: state (q, p), four stages, no shortcut.
fn by_the_book(physics: &Physics, input: &[f64], controls: &[f64]) -> Vec<f64> {
    let n = physics.count;
    let stray = |i: usize, j: usize| physics.stray.get(i * n + j).map_or(0.0, |stray| f64::from(*stray));
    let coupling = |i: usize, j: usize| 0.5 * (controls[i * n + j] + controls[j * n + i]) + stray(i, j);
    let flow = |state: &[f64]| -> Vec<f64> {
        let sine: Vec<f64> = state[..n].iter().map(|q| (physics.stretch * q).sin()).collect();
        // The reference: Q = (C + Cᵀ)/2, then Q_ii = −Σⱼ Q_ji, with Q_ii as it was in the sum.
        let q = |i: usize, j: usize| {
            if i == j { -(0..n).map(|k| coupling(k, i)).sum::<f64>() } else { coupling(i, j) }
        };
        let pull = |i: usize| (0..n).map(|j| q(i, j) * sine[j]).sum::<f64>();
        let force = (0..n).map(|i| -sine[i] + pull(i) + controls[n * n + i]);
        state[n..].iter().copied().chain(force).collect()
    };
    let moved = |state: &[f64], by: f64, rate: &[f64]| -> Vec<f64> {
        state.iter().zip(rate).map(|(value, rate)| value + by * rate).collect()
    };
    let h = physics.step;
    let mut state: Vec<f64> = input.iter().copied().chain(std::iter::repeat_n(0.0, n)).collect();
    for _ in 0..physics.steps {
        let k1 = flow(&state);
        let k2 = flow(&moved(&state, h / 2.0, &k1));
        let k3 = flow(&moved(&state, h / 2.0, &k2));
        let k4 = flow(&moved(&state, h, &k3));
        for (value, k) in state.iter_mut().zip((0..).map(|i| k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i])) {
            *value += h / 6.0 * k;
        }
    }
    state[..n].to_vec()
}

#[test]
fn positions_are_those_of_the_scheme_as_it_is_written() {
    for steps in [1, 2, 5] {
        let system = Oscillators { steps, ..gapped(37) };
        let inputs = draw(19 * 37, 3.0, "inputs");
        let controls = draw(37 * 38, 1.5, "controls");
        for physics in [system.nominal(), system.actual()] {
            let outputs = predict(&physics, &inputs, &controls);
            for (input, output) in inputs.chunks(37).zip(outputs.chunks(37)) {
                for (ours, book) in output.iter().zip(by_the_book(&physics, input, &controls)) {
                    assert!((ours - book).abs() < 1e-12, "{ours} instead of {book}");
                }
            }
        }
    }
}

#[test]
fn a_pendulum_swings_with_the_period_of_the_elliptic_integral() {
    for amplitude in [0.1, 1.0, 2.5] {
        // T = 4 K(sin(q₀/2)) = 2π/agm(1, cos(q₀/2)).
        let (mut a, mut b) = (1.0_f64, (0.5_f64 * amplitude).cos());
        for _ in 0..10 {
            (a, b) = (0.5 * (a + b), (a * b).sqrt());
        }
        let steps = 2_000;
        let period = TAU / a;
        let physics = Oscillators { count: 1, steps, step: period / steps as f64, ..Oscillators::default() }.nominal();
        let end = predict(&physics, &[amplitude], &[0.0, 0.0])[0];
        assert!((end - amplitude).abs() < 1e-9, "{amplitude} came back as {end}");
        let half = predict(&Physics { steps: steps / 2, ..physics.clone() }, &[amplitude], &[0.0, 0.0])[0];
        assert!((half + amplitude).abs() < 1e-5, "{half} at half time");
        // The own coupling C₀₀ = 3 makes it four times as stiff: twice as fast.
        let end = predict(&Physics { steps: steps / 2, ..physics }, &[amplitude], &[3.0, 0.0])[0];
        assert!((end - amplitude).abs() < 1e-9, "{amplitude} came back as {end} with a self-term");
    }
}

#[test]
fn two_oscillators_swing_in_their_normal_modes() {
    // ω² = 1 in step and 1 + 2 J against each other, at small angles; J is the mean of both couplings.
    let physics = Oscillators { count: 2, steps: 400, step: 0.01, ..Oscillators::default() }.nominal();
    let controls = [0.0, 0.9, 0.5, 0.0, 0.0, 0.0];
    let a = 1e-5;
    for (other, frequency) in [(a, 1.0_f64), (-a, (1.0_f64 + 2.0 * 0.7).sqrt())] {
        let end = predict(&physics, &[a, other], &controls);
        let expected = a * (frequency * 4.0).cos();
        assert!((end[0] - expected).abs() < 1e-8 * a && (end[1] - expected * other / a).abs() < 1e-8 * a);
    }
}

#[test]
fn energy_is_conserved() {
    // With K = 1 − Q as inverse mass matrix the system is Hamiltonian: E = ½ p K⁻¹ p + Σ (1 − cos q) − e K⁻¹ q.
    let step = 0.002;
    let (coupling, drive) = (0.8, [0.3, -0.2]);
    let controls = [0.0, coupling, coupling, 0.0, drive[0], drive[1]];
    let inverse = |v: [f64; 2]| {
        let mixed = |a: f64, b: f64| ((1.0 + coupling) * a + coupling * b) / (1.0 + 2.0 * coupling);
        [mixed(v[0], v[1]), mixed(v[1], v[0])]
    };
    let energy = |steps: usize| {
        let at = |steps| {
            let physics = Oscillators { count: 2, steps, step, ..Oscillators::default() }.nominal();
            predict(&physics, &[1.2, -0.7], &controls)
        };
        // The velocity by central differences of fourth order.
        let around = [steps - 2, steps - 1, steps + 1, steps + 2].map(at);
        let slope = |i: usize| (around[0][i] - 8.0 * around[1][i] + 8.0 * around[2][i] - around[3][i]) / (12.0 * step);
        let (q, p) = (at(steps), [slope(0), slope(1)]);
        0.5 * dot(&p, &inverse(p)) + q.iter().map(|q| 1.0 - q.cos()).sum::<f64>() - dot(&inverse(drive), &q)
    };
    let start = 2.0 - 1.2_f64.cos() - 0.7_f64.cos() - dot(&inverse(drive), &[1.2, -0.7]);
    for steps in [100, 1_000, 5_000] {
        assert!((energy(steps) - start).abs() < 1e-9, "{} instead of {start}", energy(steps));
    }
}

#[test]
fn halving_the_step_divides_the_error_by_16() {
    let inputs = draw(10, 2.0, "inputs");
    let controls = draw(110, 0.5, "controls");
    let end = |steps: usize| {
        let physics = Oscillators { steps, step: 2.0 / steps as f64, ..gapped(10) }.actual();
        predict(&physics, &inputs, &controls)
    };
    let exact = end(4_096);
    let error = |steps| end(steps).iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    for steps in [64, 128] {
        let ratio = error(steps) / error(2 * steps);
        assert!((14.0..18.0).contains(&ratio), "{ratio}");
    }
}

#[test]
fn adjoints_agree_with_finite_differences() {
    for (steps, shots) in [(1, 3), (2, 17), (5, 20)] {
        let count = 19;
        let system = Oscillators { steps, ..gapped(count) };
        for (point, physics) in [system.nominal(), system.actual(), system.actual()].iter().enumerate() {
            let name = |what: &str| format!("{what} {steps} {point}");
            let inputs = draw(shots * count, 2.0, &name("inputs"));
            let controls = draw(count * (count + 1), 0.5 + point as f64, &name("controls"));
            let cotangents = draw(shots * count, 1.0, &name("cotangents"));
            let gradients = pull_back(physics, &inputs, &controls, &cotangents);
            let by_inputs = |inputs: &[f64]| dot(&predict(physics, inputs, &controls), &cotangents);
            let by_controls = |controls: &[f64]| dot(&predict(physics, &inputs, controls), &cotangents);
            for direction in 0..3 {
                let along = draw(inputs.len(), 0.3, &name(&format!("along {direction}")));
                let error = error_along(by_inputs, &inputs, &along, &gradients.0);
                assert!(error < 1e-6, "inputs: {error:e}");
                let mut along = draw(controls.len(), 0.3, &name(&format!("across {direction}")));
                // Also the couplings and the drives by themselves.
                let (coupling, drive) = along.split_at_mut(count * count);
                [&mut [][..], drive, coupling][direction].fill(0.0);
                let error = error_along(by_controls, &controls, &along, &gradients.1);
                assert!(error < 1e-6, "controls: {error:e}");
            }
        }
    }
}

#[test]
fn the_gradient_of_the_coupling_is_symmetric_and_has_a_diagonal() {
    let count = 21;
    let built = gapped(count).build().unwrap();
    let inputs = batch(count, &draw(33 * count, 1.0, "inputs"));
    let gradient =
        built.twin.pull_back(&inputs, &single(&draw(count * (count + 1), 1.0, "controls")), &inputs).controls;
    for i in 0..count {
        assert_ne!(gradient[i * count + i], 0.0, "the self-term of oscillator {i} is trained");
        for j in 0..count {
            assert_eq!(gradient[i * count + j].to_bits(), gradient[j * count + i].to_bits());
        }
    }
}

#[test]
fn single_precision_agrees_with_double() {
    // More shots than tapes are kept for at once.
    let (count, shots) = (23, 300);
    let system = gapped(count);
    let built = system.build().unwrap();
    let inputs = draw(shots * count, 1.5, "inputs");
    let controls = draw(count * (count + 1), 0.5, "controls");
    let cotangents = draw(shots * count, 1.0, "cotangents");
    let (rows, settings) = (batch(count, &inputs), single(&controls));
    for (twin, physics) in [(&built.twin, system.nominal()), (&built.ideal, system.actual())] {
        assert!(distance(twin.predict(&rows, &settings).values(), &predict(&physics, &inputs, &controls)) < 1e-6);
        let exact = pull_back(&physics, &inputs, &controls, &cotangents);
        let ours = twin.pull_back(&rows, &settings, &batch(count, &cotangents));
        assert!(distance(ours.inputs.values(), &exact.0) < 2e-6);
        assert!(distance(&ours.controls, &exact.1) < 2e-6);
    }
}

#[test]
fn results_depend_neither_on_threads_nor_on_the_batch() {
    let (count, shots) = (20, 37);
    let noisy = OscillatorImperfections { amplitude_noise: 0.02, read_noise: 0.01, read_bits: 12 };
    let built = Oscillators { imperfections: noisy, ..gapped(count) }.build().unwrap();
    let inputs = batch(count, &draw(shots * count, 1.0, "inputs"));
    let controls = single(&draw(count * (count + 1), 0.3, "controls"));
    let moment = Moment { shots: 1_000, seconds: 3.0 };
    let in_threads = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let readings = built.system.shoot(&inputs, &controls, moment);
            (readings, built.twin.predict(&inputs, &controls), built.ideal.pull_back(&inputs, &controls, &inputs))
        })
    };
    let (readings, predictions, gradients) = in_threads(1);
    assert_eq!(in_threads(3), (readings.clone(), predictions.clone(), gradients.clone()));
    for row in [0, 15, 16, 36] {
        let alone = Batch::new(count, inputs.row(row).to_vec()).unwrap();
        let moment = Moment { shots: moment.shots + row as u64, seconds: 99.0 };
        assert_eq!(built.system.shoot(&alone, &controls, moment).values(), readings.row(row));
        assert_eq!(built.twin.predict(&alone, &controls).values(), predictions.row(row));
        assert_eq!(built.ideal.pull_back(&alone, &controls, &alone).inputs.values(), gradients.inputs.row(row));
    }
}

#[test]
fn a_broken_cotangent_stays_with_its_shot() {
    let (count, shots) = (18, 3 * LANES);
    let built = gapped(count).build().unwrap();
    let inputs = batch(count, &draw(shots * count, 1.0, "inputs"));
    let controls = single(&draw(count * (count + 1), 0.3, "controls"));
    let mut cotangents = inputs.clone();
    let sound = built.twin.pull_back(&inputs, &controls, &cotangents).inputs;
    cotangents.values_mut()[3 * count] = f32::NAN;
    cotangents.values_mut()[7 * count] = f32::INFINITY;
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let broken = one_thread.install(|| built.twin.pull_back(&inputs, &controls, &cotangents).inputs);
    for row in (0..shots).filter(|row| ![3, 7].contains(row)) {
        assert_eq!(broken.row(row), sound.row(row), "shot {row}");
    }
    let readings = one_thread.install(|| built.system.shoot(&inputs, &controls, Moment::default()));
    assert!(readings.values().iter().all(|reading| reading.is_finite()));
}

#[test]
fn without_mismatch_and_imperfections_the_plant_is_the_twin() {
    let built = Oscillators { count: 50, plant_seed: 9, ..Oscillators::default() }.build().unwrap();
    let inputs = batch(50, &draw(40 * 50, 3.0, "inputs"));
    let controls = single(&draw(50 * 51, 1.0, "controls"));
    let readings = built.system.shoot(&inputs, &controls, Moment::default());
    assert_eq!(readings, built.twin.predict(&inputs, &controls));
    assert_eq!(readings, built.ideal.predict(&inputs, &controls));
    assert_eq!(built.system.shoot(&Batch::zeros(0, 50), &controls, Moment::default()).rows(), 0);
    assert!(
        built.twin.pull_back(&Batch::zeros(0, 50), &controls, &Batch::zeros(0, 50)).controls.iter().all(|g| *g == 0.0)
    );
}

#[test]
fn the_gap_is_the_plants_own() {
    let error = |mismatch: f64, plant_seed: u64| {
        let built = Oscillators { mismatch, plant_seed, ..Oscillators::default() }.build().unwrap();
        let inputs = batch(100, &draw(64 * 100, 1.0, "inputs"));
        let controls = single(&draw(100 * 101, 0.2, "controls"));
        let exact = built.twin.predict(&inputs, &controls);
        let values: Vec<f64> = exact.values().iter().map(|value| f64::from(*value)).collect();
        distance(built.ideal.predict(&inputs, &controls).values(), &values)
    };
    assert_eq!(error(0.0, 1), 0.0);
    let errors = [error(0.5, 1), error(1.0, 1), error(1.0, 2)];
    assert!(0.01 < errors[0] && 1.5 * errors[0] < errors[1] && errors[1] != errors[2]);
}

#[test]
fn noise_has_the_deviations_that_were_asked_for() {
    let (count, shots) = (40, 5_000);
    let deviation = |imperfections: OscillatorImperfections| {
        // So short a time that positions stay where they start.
        let system = Oscillators { count, steps: 1, step: 1e-4, imperfections, ..Oscillators::default() };
        let built = system.build().unwrap();
        let zeros = Batch::zeros(shots, count);
        let readings = built.system.shoot(&zeros, &vec![0.0; count * (count + 1)], Moment::default());
        assert_ne!(readings.row(0), readings.row(1));
        assert_ne!(readings.row(0)[..20], readings.row(0)[20..]);
        let mean: f64 = readings.values().iter().map(|value| f64::from(*value)).sum::<f64>() / (shots * count) as f64;
        let square = readings.values().iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
        (mean, (square / (shots * count) as f64).sqrt())
    };
    for (amplitude_noise, read_noise, expected) in [(0.02, 0.0, 0.02), (0.0, 0.01, 0.01), (0.03, 0.04, 0.05)] {
        let (mean, found) = deviation(OscillatorImperfections { amplitude_noise, read_noise, read_bits: 0 });
        // Five standard errors over 200,000 readings.
        assert!(mean.abs() < 0.0112 * expected && (found / expected - 1.0).abs() < 0.008, "{mean}, {found}");
    }
}

#[test]
fn readings_lie_on_the_converters_grid_and_saturate() {
    let imperfections = OscillatorImperfections { read_bits: 6, ..OscillatorImperfections::default() };
    let system = Oscillators { count: 17, position_limit: 2.0, imperfections, ..Oscillators::default() };
    let built = system.build().unwrap();
    let inputs = batch(17, &draw(20 * 17, 2.0, "inputs"));
    let controls = single(&draw(17 * 18, 20.0, "controls"));
    let readings = built.system.shoot(&inputs, &controls, Moment::default());
    let lsb = 4.0 / 63.0;
    for reading in readings.values() {
        let code = (reading + 2.0) / lsb;
        assert!((code - code.round()).abs() < 1e-4 && reading.abs() <= 2.0);
    }
    assert!(readings.values().contains(&2.0) && readings.values().contains(&-2.0));
}

#[test]
fn full_scale_square_waves_do_no_harm() {
    let count = 3 * LANES + 5;
    let system = gapped(count);
    let sign = |values: Vec<f64>, scale: f64| values.iter().map(|value| scale * value.signum()).collect::<Vec<_>>();
    let inputs = batch(count, &sign(draw(40 * count, 1.0, "inputs"), system.position_limit));
    let mut controls = sign(draw(count * count, 1.0, "coupling"), system.coupling_limit);
    controls.extend(sign(draw(count, 1.0, "drive"), system.drive_limit));
    for steps in [5, 500] {
        let built = Oscillators { steps, ..system.clone() }.build().unwrap();
        let readings = built.system.shoot(&inputs, &single(&controls), Moment::default());
        assert!(readings.values().iter().all(|reading| reading.is_finite()));
        assert!(built.twin.predict(&inputs, &single(&controls)).values().iter().all(|value| value.is_finite()));
    }
    let gradients = system.build().unwrap().ideal.pull_back(&inputs, &single(&controls), &inputs);
    assert!(gradients.controls.iter().chain(gradients.inputs.values()).all(|gradient| gradient.is_finite()));
}

#[test]
fn controls_settle_within_their_ranges() {
    let system = Oscillators { count: 2, ..Oscillators::default() };
    let built = system.build().unwrap();
    let settled = built.system.settle(&[0.5, 100.0, -100.0, 1.0, 30.0, -70.0]);
    assert_eq!(settled, [0.5, 20.0, -20.0, 1.0, 30.0, -50.0]);
    let ports = &built.twin.card().ports;
    assert_eq!((ports.input_count(), ports.control_count(), ports.output_count()), (2, 6, 2));
}

#[test]
fn a_coefficient_without_sense_is_refused_by_name() {
    let error = Oscillators { step: -0.1, ..Oscillators::default() }.build().unwrap_err();
    assert_eq!(error.to_string(), "oscillators: `step` = -0.1 makes no sense: it must be finite and above 0");
    for bad in [
        Oscillators { count: 0, ..Oscillators::default() },
        Oscillators { steps: 0, ..Oscillators::default() },
        Oscillators { mismatch: f64::NAN, ..Oscillators::default() },
        Oscillators { shot_seconds: f64::INFINITY, ..Oscillators::default() },
        Oscillators {
            imperfections: OscillatorImperfections { read_bits: 99, ..OscillatorImperfections::default() },
            ..Oscillators::default()
        },
    ] {
        assert!(bad.build().is_err(), "{bad:?}");
    }
}
