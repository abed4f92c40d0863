//! Coefficients of a bench that is only text, found again from its shots.

// Circle with report/reproduction/symbolic_numerics.rs: one program; split for its length.

use std::ops::ControlFlow;

use calibration::{Estimate, Stimuli, Watch, fit_physics, measure};
use drivers::Plant;
use sims::{Equations, Key, Simulated};

use super::super::Check;
use super::super::program::{Asked, Measured};
use super::{over_seeds, wrong};
use crate::Error;

/// The diode resonator of docs/equations.md with a coil that is known: readings of the node alone do not tell the scale of the current.
const DIODE: &str = r#"
[inputs]
drive = { unit = "V", range = [-1, 1] }
[controls]
bias = { unit = "V", range = [0, 0.6] }
[coefficients]
R = { unit = "ohm", value = 200, spread = 0.05 }
L = { unit = "H", value = 1e-2 }
C = { unit = "F", value = 2.5e-9, spread = 0.05 }
Is = { unit = "A", value = 1e-9, spread = 0.1 }
Vd = { unit = "V", value = 0.05, spread = 0.02 }
[states]
i = { unit = "A" }
v = { unit = "V" }
[equations]
"der(i)" = "(drive - R*i - v)/L"
"der(v)" = "(i - Is*(exp((v - bias)/Vd) - 1))/C"
[outputs]
node = { unit = "V", value = "v", range = [-2, 2], noise = NOISE, bits = BITS }
[time]
sample_seconds = 1e-6
samples = 48
substeps = 4
method = "implicit"
"#;

/// Shots of a fit, and those of one setting of the controls; benches without noise, and with.
const SHOTS: usize = 120;
const TOGETHER: usize = 20;
const STILL: u64 = 5;
const NOISY: u64 = 50;
/// Names of the numbers.
const ERROR: &str = "coefficients: largest relative error without noise";
const COVERED: &str = "coefficients: share within the stated 95 % intervals, with noise";

pub(super) fn judge(of: &dyn Fn(&str) -> Option<f64>) -> Vec<Check> {
    vec![
        Check::at_most("coefficients of a text system: 1 % without noise", 0.01, of(ERROR), "1"),
        Check::at_least("coefficients: stated intervals cover ≥ 90 % of 50 noisy repetitions", 0.9, of(COVERED), "1"),
    ]
}

/// The coefficients of a bench of this seed, as a fit finds them and as they are.
fn found(seed: u64, noisy: bool) -> Result<(Vec<Estimate>, Vec<f64>), Error> {
    let text = DIODE.replace("NOISE", if noisy { "2e-3" } else { "0" }).replace("BITS", if noisy { "14" } else { "0" });
    let system = Equations { plant_seed: seed, shot_seed: seed, ..Equations::from_text("diode.toml", &text) };
    let mut plant = Simulated::new(wrong(system.build())?.system);
    let stimuli = Stimuli::smooth(plant.ports(), SHOTS, TOGETHER, Key::new(seed).branch("coefficients"));
    let mut watch = Watch { now: &mut || None, progress: &mut |_| ControlFlow::Continue(()) };
    let Some(trace) = measure(&mut plant, &stimuli, 1, &mut watch)? else { return Ok((vec![], vec![])) };
    let fit = fit_physics(&*wrong(system.adjustable())?, &trace)?;
    Ok((fit.estimates, wrong(system.plant_coefficients())?))
}

pub(super) fn run(asked: &Asked<'_>, measured: &mut Measured) -> Result<(), Error> {
    let still: Vec<u64> = (1..=if asked.quick { 1 } else { STILL }).collect();
    let mut errors = Vec::new();
    for seed in &still {
        let (estimates, truth) = found(*seed, false)?;
        let error = |(estimate, truth): (&Estimate, &f64)| (estimate.value / truth - 1.0).abs();
        errors.push(estimates.iter().zip(&truth).map(error).fold(0.0, f64::max));
    }
    // The check is of the worst bench.
    measured.measurements.push(super::Measurement {
        name: ERROR.to_owned(),
        value: errors.iter().copied().fold(0.0, f64::max),
        spread: None,
        unit: "1".to_owned(),
        seeds: still,
    });
    let noisy: Vec<u64> = (1..=if asked.quick { 4 } else { NOISY }).map(|seed| 100 + seed).collect();
    let mut covered = Vec::new();
    for seed in &noisy {
        let (estimates, truth) = found(*seed, true)?;
        let within = estimates.iter().zip(&truth).filter(|(one, truth)| (one.value - **truth).abs() <= one.uncertainty);
        covered.push(within.count() as f64 / truth.len().max(1) as f64);
    }
    over_seeds(measured, COVERED, &covered, "1", &noisy);
    Ok(())
}
