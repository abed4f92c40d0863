//! The circuit against what can be written down: resonance, damping, step response and operating point.

use std::f64::consts::TAU;

use super::{Electrical, ElectricalDevice, ElectricalImperfections, circuit::Circuit, solver::Solver, tests::predict};

/// The resonator alone: a device that draws no current.
fn linear(substeps: usize) -> Electrical {
    Electrical {
        samples: 200,
        substeps,
        reading_volts: 100.0,
        device: ElectricalDevice { current_amperes: 0.0, ..ElectricalDevice::default() },
        imperfections: ElectricalImperfections::none(),
        ..Electrical::default()
    }
}

/// Damping rate and pulsation of the circuit without device, in 1/s: the roots of
/// `s² + s·(R/L + 1/(R_p·C)) + (1 + R/R_p)/(L·C)`.
fn damped(circuit: &Circuit) -> (f64, f64) {
    let rate = 0.5 * (circuit.ohms / circuit.henry + 1.0 / (circuit.load_ohms * circuit.farad));
    let square = (1.0 + circuit.ohms / circuit.load_ohms) / (circuit.henry * circuit.farad);
    (rate, (square - rate * rate).sqrt())
}

/// Relative errors of resonance frequency and quality in the ring-down after a drive of one sample.
fn ring_down_errors(config: &Electrical) -> (f64, f64) {
    let circuit = config.nominal_circuit();
    let mut drive = vec![0.0; config.samples];
    drive[0] = 1.0;
    let v = predict(&Solver::new(&circuit), &drive);
    // A free decay of two states obeys v_{n+1} = p·v_n + q·v_{n−1}: two equations give p and q.
    let [a, b, c, d] = [v[20], v[21], v[22], v[23]];
    let q = (c * c - d * b) / (c * a - b * b);
    let p = (c - q * a) / b;
    let radius = (-q).sqrt();
    let rate = -radius.ln() * config.sample_rate_hertz;
    let pulsation = (p / (2.0 * radius)).acos() * config.sample_rate_hertz;
    let (exact_rate, exact_pulsation) = damped(&circuit);
    (pulsation / exact_pulsation - 1.0, (pulsation / rate) / (exact_pulsation / exact_rate) - 1.0)
}

#[test]
fn resonance_and_quality_converge_to_the_circuits() {
    let (frequency, quality) = ring_down_errors(&linear(4));
    // Implicit losses slow the resonance by a quarter of what they take in a substep: ω·dt/(4Q) = 0.125 %.
    assert!((frequency / -0.125e-2 - 1.0).abs() < 0.15, "frequency off by {frequency:e}");
    assert!(quality.abs() < 3e-3, "quality off by {quality:e}");
    let (finer_frequency, finer_quality) = ring_down_errors(&linear(16));
    assert!(finer_frequency.abs() < frequency.abs() / 3.7, "first order: {frequency:e}, then {finer_frequency:e}");
    assert!(finer_quality.abs() < quality.abs() / 3.5, "first order: {quality:e}, then {finer_quality:e}");
}

#[test]
fn the_configured_quality_is_the_circuits() {
    let (rate, pulsation) = damped(&linear(4).nominal_circuit());
    let undamped = rate.hypot(pulsation);
    assert!((undamped / (TAU * 31.8e3) - 1.0).abs() < 1e-3, "the load moves the resonance by less than 0.1 %");
    assert!((undamped / (2.0 * rate) / 10.0 - 1.0).abs() < 1e-3);
}

#[test]
fn the_step_response_converges_to_its_closed_form() {
    let worst = |substeps: usize| {
        let config = linear(substeps);
        let circuit = config.nominal_circuit();
        let (rate, pulsation) = damped(&circuit);
        let settled = 1.0 / (1.0 + circuit.ohms / circuit.load_ohms);
        let exact = |t: f64| {
            let (sin, cos) = (pulsation * t).sin_cos();
            settled * (1.0 - (-rate * t).exp() * (cos + rate / pulsation * sin))
        };
        let record = predict(&Solver::new(&circuit), &vec![1.0; config.samples]);
        let errors =
            record.iter().enumerate().map(|(n, v)| (v - exact((n + 1) as f64 / config.sample_rate_hertz)).abs());
        errors.fold(0.0, f64::max)
    };
    let (coarse, fine) = (worst(4), worst(16));
    // The coil's current is half a substep ahead of the node: 2.5 % of a radian at 4 substeps.
    assert!(coarse < 0.03, "off by {coarse} V");
    assert!(fine < coarse / 3.7, "first order: {coarse} V, then {fine} V");
}

#[test]
fn a_held_drive_settles_at_the_operating_point() {
    let config = Electrical { samples: 3000, imperfections: ElectricalImperfections::none(), ..Electrical::default() };
    for circuit in [config.nominal_circuit(), config.plant_circuit()] {
        let solver = Solver::new(&circuit);
        for volts in [-1.0, -0.2, 0.0, 0.4, 1.0] {
            let record = predict(&solver, &vec![volts; config.samples]);
            let node = circuit.rest(circuit.drive.gain * volts + circuit.drive.offset, 0.0);
            let u = ((circuit.own + circuit.memory) * node + circuit.offset_volts) / circuit.scale_volts;
            let current = node / circuit.load_ohms + circuit.device_current(u)[0];
            let input = circuit.drive.gain * volts + circuit.drive.offset;
            assert!((input - circuit.ohms * current - node).abs() < 1e-9, "Kirchhoff's voltages add up");
            let reading = circuit.reading.gain * node + circuit.reading.offset;
            assert!((record[2999] - reading).abs() < 1e-9, "{volts} V: {} V for {reading} V", record[2999]);
        }
        let idle = predict(&solver, &vec![0.0; config.samples]);
        assert!((idle[0] - idle[2999]).abs() < 1e-9, "the circuit begins at rest");
    }
}

#[test]
fn more_substeps_converge_on_the_full_circuit() {
    let record = |substeps: usize| {
        let config = Electrical { substeps, imperfections: ElectricalImperfections::none(), ..Electrical::default() };
        let drive: Vec<f64> = (0..256).map(|n| f64::from(0.8 * (0.3 * n as f32).sin())).collect();
        predict(&Solver::new(&config.plant_circuit()), &drive)
    };
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let (four, eight, sixteen) = (record(4), record(8), record(16));
    let (first, second) = (apart(&four, &eight), apart(&eight, &sixteen));
    assert!(first < 0.02 && second < 0.65 * first, "{first} V, then {second} V");
}
