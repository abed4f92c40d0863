//! What the plate must do because it is a plate: analytic answers that the kernel has to give.

use std::f64::consts::TAU;

use pulp::Arch;

use super::Mechanical;
use super::discrete::Discrete;
use super::kernel::{Conditions, Forward, Scratch};
use super::physics::{Physics, Quartic, Resonance};
use crate::LANES;

/// A speaker without a band and a microphone without distance, around `modes`.
fn bare(modes: Vec<Resonance>, couplings: Vec<Quartic>) -> Physics {
    Physics { period: 1.0 / 48_000.0, band: [0.0, 1e12], clipping: 0.0, delay: 0.0, modes, couplings }
}

/// A mode that an impulse of 1 V sets off with `y` = 1.
fn mode(hertz: f64, damping: f64, stiffening: f64) -> Resonance {
    let omega = TAU * hertz;
    Resonance { omega, damping, push: omega * 48_000.0, stiffening, pickup: 1.0 }
}

/// What is heard after an impulse of `volts`.
fn impulse(plate: &Discrete<f64>, volts: f64, samples: usize) -> Vec<f64> {
    let mut drive = vec![[0.0; LANES]; samples];
    let mut output = drive.clone();
    drive[0] = [volts; LANES];
    let mut scratch = Scratch::forward(plate.modes.len());
    let (drive, output_lanes, conditions) = (&drive[..], &mut output[..], &Conditions::nominal());
    let forward = Forward::<_, false, false> { plate, conditions, drive, scratch: &mut scratch, output: output_lanes };
    Arch::new().dispatch(forward);
    output.iter().map(|lanes| lanes[0]).collect()
}

/// Deflection and velocity of mode `index` after an impulse, step by step.
fn motion(plate: &Discrete<f64>, index: usize, volts: f64, samples: usize) -> [Vec<f64>; 2] {
    [[1.0, 0.0], [0.0, 1.0]].map(|[from_x, from_y]| {
        let mut plate = plate.clone();
        for (other, mode) in plate.modes.iter_mut().enumerate() {
            let heard = f64::from(u8::from(other == index));
            (mode.from_x, mode.from_y, mode.from_kick) = (heard * from_x, heard * from_y, 0.0);
        }
        impulse(&plate, volts, samples)
    })
}

#[test]
fn a_plate_of_titanium_rings_where_leissa_says() {
    let mut bench = Mechanical { modes: 8, ..Mechanical::default() };
    bench.plate.thickness_meters = 1e-3;
    let modes = Physics::nominal(&bench).modes;
    // 50 mm × 50 mm × 1 mm with Leissa's parameters for ν = 0.3, which are upper bounds.
    for (mode, hertz) in modes[2..].iter().zip([1328.0, 1948.0, 2404.0, 3447.0, 3447.0, 6056.0]) {
        let ratio = mode.omega / TAU / hertz;
        assert!((0.97..1.0).contains(&ratio), "{} Hz against {hertz} Hz", mode.omega / TAU);
    }
}

#[test]
fn the_impulse_response_is_the_closed_form() {
    let mut bench = Mechanical { mismatch: 0.0, ..Mechanical::default() };
    [bench.speaker.low_hertz, bench.speaker.high_hertz] = [0.0, 1e12];
    let physics = Physics::nominal(&bench);
    let heard = impulse(&physics.discretize(), 1.0, 700);
    let closed = |seconds: f64| -> f64 {
        let of_mode = |mode: &Resonance| {
            let (decay, fast) = (mode.damping * mode.omega, mode.omega * (1.0 - mode.damping.powi(2)).sqrt());
            let (sin, cos) = (fast * seconds).sin_cos();
            // The second derivative of e^(−dt) sin(wt)/w.
            let bend = (decay * decay - fast * fast) * sin / fast - 2.0 * decay * cos;
            physics.period * mode.push * mode.pickup * (-decay * seconds).exp() * bend
        };
        // The force itself, for as long as it lasts.
        let force: f64 = physics.modes.iter().map(|mode| mode.push * mode.pickup).sum();
        let rings: f64 = physics.modes.iter().map(of_mode).sum();
        let lasts = if seconds < physics.period { force } else { 0.0 };
        if seconds < 0.0 { 0.0 } else { rings + lasts }
    };
    let largest = heard.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    for (sample, heard) in heard.iter().enumerate() {
        let expected = closed(sample as f64 * physics.period - physics.delay);
        assert!((heard - expected).abs() < 1e-9 * largest, "sample {sample}: {heard} against {expected}");
    }
}

#[test]
fn a_slow_drive_moves_the_plate_and_makes_hardly_any_sound() {
    // Far below its resonance a mode follows the force: q = F/ω², so q̈ is smaller than the force by the square of the frequencies.
    for (hertz, stiffening) in [(1_000.0, 0.0), (2_000.0, 0.2)] {
        let resonance = mode(hertz, 0.05, stiffening);
        let omega = resonance.omega;
        let plate = bare(vec![Resonance { push: 0.3 * omega * omega, ..resonance }], Vec::new()).discretize();
        let force = 0.3 * omega * omega;
        let (mut drive, mut output) = (vec![[0.0; LANES]; 9_600], vec![[0.0; LANES]; 9_600]);
        for (sample, volts) in drive.iter_mut().enumerate() {
            *volts = [(TAU * 20.0 * sample as f64 / 48_000.0).sin(); LANES];
        }
        let (mut scratch, conditions) = (Scratch::forward(1), &Conditions::nominal());
        let (plate, drive, heard) = (&plate, &drive[..], &mut output[..]);
        Arch::new().dispatch(Forward::<f64, false, false> {
            plate,
            conditions,
            drive,
            scratch: &mut scratch,
            output: heard,
        });
        // After what rings when it begins; a kick for a held force is good to (ωT)²/12.
        let loudest = output[4_800..].iter().fold(0.0_f64, |a, lanes| a.max(lanes[0].abs()));
        assert!(loudest < 0.02 * force, "{hertz} Hz: {} of the force", loudest / force);
    }
}

#[test]
fn a_linear_mode_without_damping_keeps_its_energy() {
    for hertz in [180.0, 3_000.0, 11_900.0] {
        let plate = bare(vec![mode(hertz, 0.0, 0.0)], Vec::new()).discretize();
        let [x, y] = motion(&plate, 0, 1.0, 50_000);
        for (x, y) in x.iter().zip(&y) {
            assert!((x * x + y * y - 1.0).abs() < 1e-10, "{hertz} Hz");
        }
    }
}

#[test]
fn stiffening_and_couplings_keep_the_energy_bounded() {
    let hertz = [700.0, 1100.0, 1300.0, 1900.0];
    let modes: Vec<Resonance> = hertz.map(|hertz| mode(hertz, 0.0, 0.5)).to_vec();
    let square = modes[0].omega * modes[3].omega;
    let couplings = vec![
        Quartic { modes: [0, 1, 2, 3], strength: -0.4 * square },
        Quartic { modes: [0, 0, 1, 3], strength: 0.2 * square },
    ];
    let physics = bare(modes, couplings);
    let plate = physics.discretize();
    let paths: Vec<_> = (0..4).map(|index| motion(&plate, index, 0.5, 60_000)).collect();
    let energy = |step: usize| -> f64 {
        let of_modes = physics.modes.iter().zip(&paths).map(|(mode, [x, y])| {
            let (x, y) = (x[step], y[step]);
            mode.omega.powi(2) * (0.5 * (x * x + y * y) + 0.25 * mode.stiffening * x.powi(4))
        });
        let of_couplings = physics
            .couplings
            .iter()
            .map(|c| -c.strength * c.modes.map(|mode| paths[mode][0][step]).iter().product::<f64>());
        of_modes.sum::<f64>() + of_couplings.sum::<f64>()
    };
    // The splitting's energy swings within a step's error, but goes nowhere.
    let mean = |steps: std::ops::Range<usize>| steps.clone().map(energy).sum::<f64>() / steps.len() as f64;
    let [early, late] = [mean(0..10_000), mean(50_000..60_000)];
    assert!((late / early - 1.0).abs() < 1e-3, "{early} became {late}");
    assert!((0..60_000).all(|step| (energy(step) / early - 1.0).abs() < 0.05));
    // All this with couplings that matter.
    let alone = motion(&bare(physics.modes.clone(), Vec::new()).discretize(), 0, 0.5, 60_000);
    assert!(paths[0][0].iter().zip(&alone[0]).any(|(x, alone)| (x - alone).abs() > 0.1));
}

#[test]
fn a_mode_hardens_along_duffings_backbone() {
    let (hertz, stiffening) = (500.0, 0.3);
    let plate = bare(vec![mode(hertz, 0.0, stiffening)], Vec::new()).discretize();
    let mut last = 0.0;
    for volts in [0.1, 0.2, 0.3] {
        let [x, _] = motion(&plate, 0, volts, 48_000);
        let amplitude = x.iter().fold(0.0_f64, |a, b| a.max(*b));
        // ω = ω₀ + 3 g a²/(8 ω₀) with g = ε ω₀² (Nayfeh and Mook, "Nonlinear Oscillations", 1979).
        let expected = 3.0 / 8.0 * stiffening * amplitude.powi(2);
        let shift = rising_rate(&x) * 48_000.0 / hertz - 1.0;
        assert!(last < shift && (shift / expected - 1.0).abs() < 0.05, "{shift:e} against {expected:e} at {amplitude}");
        last = shift;
    }
}

/// Periods per sample, from the first to the last upward zero crossing.
fn rising_rate(x: &[f64]) -> f64 {
    let crossings: Vec<f64> =
        (1..x.len()).filter(|&n| x[n - 1] < 0.0 && 0.0 <= x[n]).map(|n| n as f64 - x[n] / (x[n] - x[n - 1])).collect();
    (crossings.len() - 1) as f64 / (crossings[crossings.len() - 1] - crossings[0])
}
