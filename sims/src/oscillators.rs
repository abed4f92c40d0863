//! All-to-all coupled nonlinear oscillators: the reference implementation's own system.
//!
//! ```text
//! qᵢ'' = −(1 + Cᵢᵢ) sin qᵢ + Σⱼ Jᵢⱼ (sin qⱼ − sin qᵢ) + eᵢ        J = (C + Cᵀ)/2        q(0) = inputs, q'(0) = 0
//! ```
//!
//! With Q = J off the diagonal and Qᵢᵢ = −Σⱼ Jⱼᵢ this is q'' = −sin q + Q sin q + e. As in the reference's program, though not in
//! its text, the sum has Jᵢᵢ = Cᵢᵢ in it, so each oscillator's own stiffness is trained. Outputs are q(T), T =
//! `steps`·`step`, by the classical Runge–Kutta method. Positions are in rad; time is natural (a free oscillator swings
//! with period 2π at small angles), so couplings C, `[count, count]` row by row, and drives e, `[count]`, have unit 1.
//!
//! The plant may differ from this in the way of the reference's second example: sin((1 + η) q) wherever a sine stands,
//! and couplings that nobody asked for, J + J°; and its shots start a little beside where they should.
//!
//! Source: equation, integrator, T = 0.5 in 5 steps and the gap's sizes from Examples 1 and 2 of
//! github.com/mcmahon-lab/Physics-Aware-Training (`ode_utils.py` and the notebooks), after Wright et al., Nature 601,
//! 549 (2022). It exists as a simulation only, so the timing of its bench is invented, and there is no drift.

#![allow(clippy::inline_always)] // The kernels vectorise only inside the function that has the vector instructions.

mod adjust;
mod bench;
mod imperfections;
mod integrator;
mod matrix;
mod physics;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod text_tests;
mod written;

use std::sync::Arc;

use drivers::{Bank, Batch, Card, Identity, Origin, Ports, Range, Timing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Built, Error, Key, Pullback, Twin};
use bench::Bench;
pub use imperfections::OscillatorImperfections;
use physics::{Physics, Solver};

/// A lattice of coupled oscillators, as a rig file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Oscillators {
    /// Number of oscillators N: as many inputs and outputs, and N² + N controls. Default 100, the small networks of the
    /// reference's Example 2; its Example 1 has 196 and 206.
    #[schemars(range(min = 1, max = 4096))]
    pub count: usize,
    /// Integration steps of one shot. Reference: 5.
    #[schemars(range(min = 1, max = 100_000))]
    pub steps: usize,
    /// Length of an integration step in natural time (unit 1). Reference: 0.1.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub step: f64,
    /// Scales `nonlinearity_error` and `coupling_error`. 0, the default, is the reference's Example 1, where the plant's
    /// physics is exactly the twin's; 1 is its Example 2.
    #[schemars(range(min = 0, max = 100))]
    pub mismatch: f64,
    /// The plant's sines are of (1 + error · mismatch) q (unit 1). Reference, Example 2: 0.1.
    #[schemars(range(min = 0))]
    pub nonlinearity_error: f64,
    /// Standard deviation, at mismatch 1, of the matrix that adds to C in the plant (unit 1); drawn once from
    /// `plant_seed` and symmetrised like C, its diagonal being self-terms too. Reference, Example 2: 0.2.
    #[schemars(range(min = 0))]
    pub coupling_error: f64,
    /// Largest magnitude of initial and read positions, in rad. Default 10π: five turns either way.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub position_limit: f64,
    /// Largest magnitude of a coupling in C (unit 1). Chosen so wide that training does not meet it.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub coupling_limit: f64,
    /// Largest magnitude of a drive (unit 1). Chosen so wide that training does not meet it.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub drive_limit: f64,
    /// Decides what is wrong with this plant and with no other.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub plant_seed: u64,
    /// Decides what differs from shot to shot.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub shot_seed: u64,
    /// What differs from shot to shot, and the read-out.
    pub imperfections: OscillatorImperfections,
    /// From setting the controls until they have settled, in s. Invented: the system exists as a simulation only.
    #[schemars(range(min = 0, max = 1e9))]
    pub settle_seconds: f64,
    /// Once per batch, in s. Invented.
    #[schemars(range(min = 0, max = 1e9))]
    pub latency_seconds: f64,
    /// Once per shot, in s. Invented.
    #[schemars(range(min = 0, max = 1e9))]
    pub shot_seconds: f64,
}

impl Default for Oscillators {
    fn default() -> Self {
        Self {
            count: 100,
            steps: 5,
            step: 0.1,
            mismatch: 0.0,
            nonlinearity_error: 0.1,
            coupling_error: 0.2,
            position_limit: 10.0 * std::f64::consts::PI,
            coupling_limit: 20.0,
            drive_limit: 50.0,
            plant_seed: 0,
            shot_seed: 0,
            imperfections: OscillatorImperfections::default(),
            settle_seconds: 0.01,
            latency_seconds: 0.0,
            shot_seconds: 0.001,
        }
    }
}

impl Oscillators {
    /// Builds the plant's physics and its twins, or says which coefficient makes no sense.
    pub fn build(&self) -> Result<Built, Error> {
        self.check()?;
        let card = self.card();
        let twin = Lattice { card: card.clone(), solver: Solver::new(self.nominal()) };
        let ideal = Lattice { card: card.clone(), solver: Solver::new(self.actual()) };
        let system = Bench::new(card, Solver::new(self.actual()), &self.imperfections, self.shot_seed);
        Ok(Built { system: Arc::new(system), twin: Arc::new(twin), ideal: Arc::new(ideal) })
    }

    /// The equation by the book.
    fn nominal(&self) -> Physics {
        Physics { count: self.count, steps: self.steps, step: self.step, stretch: 1.0, stray: Vec::new() }
    }

    /// The equation that the plant obeys.
    fn actual(&self) -> Physics {
        let stretch = 1.0 + self.nonlinearity_error * self.mismatch;
        Physics { stretch, stray: self.stray(), ..self.nominal() }
    }

    /// The plant's own couplings and self-terms J°, `[count, count]`, or nothing where they are all 0.
    fn stray(&self) -> Vec<f32> {
        let deviation = (self.coupling_error * self.mismatch) as f32;
        if deviation == 0.0 {
            return Vec::new();
        }
        let mut stream = Key::new(self.plant_seed).branch("oscillators").branch("stray coupling").stream();
        let drawn: Vec<f32> = (0..self.count * self.count).map(|_| stream.normal()).collect();
        let pairs = (0..self.count).flat_map(|i| (0..self.count).map(move |j| (i, j)));
        pairs.map(|(i, j)| 0.5 * deviation * (drawn[i * self.count + j] + drawn[j * self.count + i])).collect()
    }

    fn card(&self) -> Card {
        let within = |limit: f64| Range::new(-limit as f32, limit as f32);
        let count = self.count;
        Card {
            identity: Identity {
                system: "oscillators".to_owned(),
                serial: format!("simulated-{}", self.plant_seed),
                origin: Origin::Simulated,
            },
            ports: Ports {
                inputs: vec![Bank::new("position", count, "rad", within(self.position_limit))],
                controls: vec![
                    Bank::new("coupling", count * count, "1", within(self.coupling_limit)),
                    Bank::new("drive", count, "1", within(self.drive_limit)),
                ],
                outputs: vec![Bank::new("position", count, "rad", within(self.position_limit))],
            },
            timing: Timing { settle: self.settle_seconds, latency: self.latency_seconds, shot: self.shot_seconds },
        }
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |name, value, unit, expected| {
            Err(Error::Coefficient { system: "oscillators", name, value, unit, expected })
        };
        for (name, value, largest) in [("count", self.count, 4096), ("steps", self.steps, 100_000)] {
            if value == 0 || largest < value {
                return refuse(name, value as f64, "1", "it must be at least 1, and few enough to compute");
            }
        }
        for (name, value, unit) in [
            ("step", self.step, "1"),
            ("position_limit", self.position_limit, "rad"),
            ("coupling_limit", self.coupling_limit, "1"),
            ("drive_limit", self.drive_limit, "1"),
        ] {
            if !(value.is_finite() && 0.0 < value) {
                return refuse(name, value, unit, "it must be finite and above 0");
            }
        }
        for (name, value, unit) in [
            ("mismatch", self.mismatch, "1"),
            ("nonlinearity_error", self.nonlinearity_error, "1"),
            ("coupling_error", self.coupling_error, "1"),
            ("amplitude_noise", self.imperfections.amplitude_noise, "rad"),
            ("read_noise", self.imperfections.read_noise, "rad"),
            ("settle_seconds", self.settle_seconds, "s"),
            ("latency_seconds", self.latency_seconds, "s"),
            ("shot_seconds", self.shot_seconds, "s"),
        ] {
            if !(value.is_finite() && 0.0 <= value) {
                return refuse(name, value, unit, "it must be finite and not negative");
            }
        }
        // More bits than a single-precision number has.
        if 24 < self.imperfections.read_bits {
            return refuse("read_bits", f64::from(self.imperfections.read_bits), "bit", "it must be at most 24");
        }
        Ok(())
    }
}

/// The deterministic physics as a twin.
#[derive(Debug)]
struct Lattice {
    card: Card,
    solver: Solver,
}

impl Twin for Lattice {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        let mut outputs = Batch::zeros(inputs.rows(), inputs.columns());
        self.solver.predict(inputs.values(), controls, outputs.values_mut());
        outputs
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let mut gradients = cotangents.clone();
        let controls = self.solver.pull_back(inputs.values(), controls, gradients.values_mut());
        Pullback { inputs: gradients, controls }
    }
}
