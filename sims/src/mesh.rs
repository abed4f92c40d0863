//! A rectangular mesh of Mach–Zehnder interferometers: N modes of light, N(N − 1)/2 programmable couplers, any unitary matrix.
//!
//! ```text
//! y = D · T(θ_M, φ_M) ⋯ T(θ₁, φ₁) · x        T: 2×2, two couplers and two phase shifters (`mesh/chip.rs`)
//! reading: |y|², |y|² normalized, or both quadratures of y (`mesh/readout.rs`)
//! ```
//!
//! Inputs x are amplitudes, real or with both quadratures; controls are all phases θ, φ in rad, and where quadratures are read the phases D
//! of the outputs; amplitudes have unit 1, intensities are their squares. The plant's couplers are not balanced, its phases are off, a
//! neighbor's heater is felt, light is lost, phases drift; the twin is the mesh without errors.
//!
//! Source: Clements et al., Optica 3, 1460 (2016); errors as in Bandyopadhyay, Hamerly and Englund, Optica 8, 1247 (2021), and in the public
//! program and files of Sharpness-Aware-Training (Nat. Commun. 2026, 10.1038/s41467-026-68470-9), where both deviations are 0.15. It exists
//! here as a simulation only: the timing is that of thermo-optic phase shifters and photodiodes in general.

mod adjust;
mod bench;
mod chip;
mod clements;
mod imperfections;
mod layout;
mod matrix;
mod model;
mod pattern;
mod readout;
#[cfg(test)]
mod tests;
mod waves;

use std::f64::consts::PI;
use std::sync::Arc;

use drivers::{Bank, Batch, Card, Identity, Origin, Ports, Range, Timing};
use nalgebra::{Complex, DMatrix};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Built, Error, Key, Pullback, Twin};
use bench::Bench;
use chip::Chip;
pub use imperfections::MeshImperfections;
use layout::Layout;
use model::Optics;
pub use pattern::MeshPattern;
pub use readout::MeshOutputs;

/// What goes into a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MeshInputs {
    /// A real amplitude in each mode.
    #[default]
    Real,
    /// Both quadratures of the field of each mode, first all real parts, then all imaginary ones.
    Complex,
}

/// A mesh of interferometers, as a rig file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mesh {
    /// Number of modes N, 2 to 128 (16): N inputs and outputs, N(N − 1) phases.
    #[schemars(range(min = 2, max = 128))]
    pub modes: usize,
    /// What goes in.
    pub inputs: MeshInputs,
    /// What is read.
    pub outputs: MeshOutputs,
    /// Largest magnitude of an amplitude (unit 1).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub amplitude_limit: f64,
    /// Largest magnitude of a phase, in rad (2π), counted from the point about which the shifters are biased.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub phase_limit: f64,
    /// The intensity at which a detector ends (unit 1; 4); quadratures end at its root, normalized intensities at 1.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub detector_limit: f64,
    /// Scales all errors of the plant, `crosstalk` and `loss_decibel`; 0: the plant's optics is exactly the twin's.
    #[schemars(range(min = 0, max = 100))]
    pub mismatch: f64,
    /// Standard deviation of the couplers' errors e, which keep the share (1 + e)/2 of the power in a mode (0.04: two percent of the power,
    /// typical of foundries after Bandyopadhyay et al. 2021; the table of Sharpness-Aware-Training has 0.15).
    #[schemars(range(min = 0, max = 0.5))]
    pub coupler_error: f64,
    /// Standard deviation of the phases' errors, in rad (0.1; the table of Sharpness-Aware-Training has 0.15).
    #[schemars(range(min = 0, max = 10))]
    pub phase_error: f64,
    /// A folder with the errors of one chip in place of drawn ones: `enn.npy`, `enp.npy`, `epn.npy`, `epp.npy`, `theta.npy`, `phi.npy`, as
    /// published with Sharpness-Aware-Training; relative to the folder of the rig file. These files say nothing of the phases of the outputs, which
    /// are set where quadratures are read: their errors are drawn with `phase_error`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub errors: String,
    /// The errors of one chip in place of drawn ones, interferometer by interferometer. Whoever opens the rig reads them from the folder
    /// `errors`; a run keeps them, so that the run is whole without the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<MeshPattern>,
    /// The share of a neighbor's phase that a phase shifter gets besides its own (0.005): the heat of the shifters above and below in its
    /// column, and of the other one in its interferometer.
    #[schemars(range(min = 0, max = 0.5))]
    pub crosstalk: f64,
    /// What an interferometer loses of the power, in dB (0.05).
    #[schemars(range(min = 0, max = 10))]
    pub loss_decibel: f64,
    /// Decides what is wrong with this chip and with no other.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub plant_seed: u64,
    /// Decides what differs from shot to shot.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub shot_seed: u64,
    /// What differs from shot to shot, converters, drift.
    pub imperfections: MeshImperfections,
    /// From setting the phases until they have settled, in s (0.001: heaters take some ten microseconds, their drivers longer).
    #[schemars(range(min = 0, max = 1e9))]
    pub settle_seconds: f64,
    /// Once per batch, in s.
    #[schemars(range(min = 0, max = 1e9))]
    pub latency_seconds: f64,
    /// Once per shot, in s (1e-5: a converter of a hundred thousand samples a second on each photodiode).
    #[schemars(range(min = 0, max = 1e9))]
    pub shot_seconds: f64,
}

impl Default for Mesh {
    fn default() -> Self {
        Self {
            modes: 16,
            inputs: MeshInputs::default(),
            outputs: MeshOutputs::default(),
            amplitude_limit: 1.0,
            phase_limit: 2.0 * PI,
            detector_limit: 4.0,
            mismatch: 1.0,
            coupler_error: 0.04,
            phase_error: 0.1,
            errors: String::new(),
            pattern: None,
            crosstalk: 0.005,
            loss_decibel: 0.05,
            plant_seed: 0,
            shot_seed: 0,
            imperfections: MeshImperfections::default(),
            settle_seconds: 0.001,
            latency_seconds: 0.0,
            shot_seconds: 1e-5,
        }
    }
}

/// The modes that a mesh may have.
const MODES: std::ops::RangeInclusive<usize> = 2..=128;

impl Mesh {
    /// Builds the plant's physics and its twins, or says which coefficient makes no sense.
    pub fn build(&self) -> Result<Built, Error> {
        self.check()?;
        let card = self.card();
        let twin = Ideal { card: card.clone(), optics: self.nominal() };
        let ideal = Ideal { card: card.clone(), optics: self.actual() };
        let seeds = [self.plant_seed, self.shot_seed];
        let system = Bench::new(card, self.actual(), &self.imperfections, seeds);
        Ok(Built { system: Arc::new(system), twin: Arc::new(twin), ideal: Arc::new(ideal) })
    }

    /// The settings, in the order of the controls, at which a mesh without errors multiplies by `unitary` (Clements et al. 2016); phases of
    /// the outputs are left out where none are set. `None` of a matrix that is not unitary, or not of this mesh's size.
    pub fn settings_for(&self, unitary: &DMatrix<Complex<f64>>) -> Option<Vec<f32>> {
        let phases = clements::decompose(unitary).filter(|_| unitary.nrows() == self.modes)?;
        let set = self.phases();
        Some(phases.into_iter().take(set).map(|phase| phase as f32).collect())
    }

    /// The same chip after its phases θ and φ have drifted: by so many rad, root mean square over all of them, in a pattern that `key` draws.
    /// A mesh without mismatch is the twin's and does not drift.
    pub fn drifted(&self, radians: f64, key: Key) -> Self {
        let own = Key::new(self.plant_seed).branch("mesh");
        let deviations = [self.coupler_error, self.phase_error];
        let mut pattern = self.pattern.clone().unwrap_or_else(|| MeshPattern::drawn(self.layout(), deviations, own));
        // The pattern is counted in mismatches.
        let each = if self.mismatch > 0.0 { radians / self.mismatch } else { 0.0 };
        pattern.move_phases(each, key);
        Self { pattern: Some(pattern), ..self.clone() }
    }

    fn layout(&self) -> Layout {
        Layout { modes: self.modes }
    }

    /// How many phases are set.
    fn phases(&self) -> usize {
        let of_outputs = if self.outputs == MeshOutputs::Quadratures { self.modes } else { 0 };
        2 * self.layout().interferometers() + of_outputs
    }

    fn optics(&self, chip: Chip<f32>) -> Optics<f32> {
        Optics { chip, complex: self.inputs == MeshInputs::Complex, outputs: self.outputs }
    }

    /// The mesh by the book.
    fn nominal(&self) -> Optics<f32> {
        let couplers = vec![[0.0; 2]; self.layout().interferometers()];
        self.optics(Chip::new(self.layout(), couplers, vec![0.0; self.phases()], [0.0, 1.0]))
    }

    /// The mesh that the plant is.
    fn actual(&self) -> Optics<f32> {
        let key = Key::new(self.plant_seed).branch("mesh");
        let deviations = [self.coupler_error, self.phase_error];
        let pattern = self.pattern.clone().unwrap_or_else(|| MeshPattern::drawn(self.layout(), deviations, key));
        let (couplers, mut phases) = pattern.scaled(self.mismatch);
        let mut outputs = key.branch("outputs").stream();
        let deviation = (self.mismatch * self.phase_error) as f32;
        phases.extend((phases.len()..self.phases()).map(|_| deviation * outputs.normal()));
        let passage = passage(self.mismatch * self.loss_decibel);
        let crosstalk = (self.mismatch * self.crosstalk) as f32;
        self.optics(Chip::new(self.layout(), couplers, phases, [crosstalk, passage as f32]))
    }

    fn card(&self) -> Card {
        let within = |limit: f64| Range::new(-limit as f32, limit as f32);
        let (modes, count) = (self.modes, self.layout().interferometers());
        let fields = |limit: f64| {
            vec![Bank::new("in-phase", modes, "1", within(limit)), Bank::new("quadrature", modes, "1", within(limit))]
        };
        let phase = |name: &str, count: usize| Bank::new(name, count, "rad", within(self.phase_limit));
        let mut controls = vec![phase("theta", count), phase("phi", count)];
        if self.outputs == MeshOutputs::Quadratures {
            controls.push(phase("output", modes));
        }
        let intensity = |limit: f64| vec![Bank::new("intensity", modes, "1", Range::new(0.0, limit as f32))];
        Card {
            identity: Identity {
                system: "mesh".to_owned(),
                serial: format!("simulated-{}", self.plant_seed),
                origin: Origin::Simulated,
            },
            ports: Ports {
                inputs: match self.inputs {
                    MeshInputs::Real => vec![Bank::new("amplitude", modes, "1", within(self.amplitude_limit))],
                    MeshInputs::Complex => fields(self.amplitude_limit),
                },
                controls,
                outputs: match self.outputs {
                    MeshOutputs::Intensity => intensity(self.detector_limit),
                    MeshOutputs::Normalized => intensity(1.0),
                    MeshOutputs::Quadratures => fields(self.detector_limit.sqrt()),
                },
            },
            timing: Timing { settle: self.settle_seconds, latency: self.latency_seconds, shot: self.shot_seconds },
        }
    }

    fn check(&self) -> Result<(), Error> {
        let refuse =
            |name, value, unit, expected| Err(Error::Coefficient { system: "mesh", name, value, unit, expected });
        if !MODES.contains(&self.modes) {
            return refuse("modes", self.modes as f64, "1", "it must be from 2 to 128");
        }
        let positive = [
            ("amplitude_limit", self.amplitude_limit, "1"),
            ("phase_limit", self.phase_limit, "rad"),
            ("detector_limit", self.detector_limit, "1"),
        ];
        for (name, value, unit) in positive {
            if !(value.is_finite() && 0.0 < value) {
                return refuse(name, value, unit, "it must be finite and above 0");
            }
        }
        for (name, value, unit) in [
            ("mismatch", self.mismatch, "1"),
            ("coupler_error", self.coupler_error, "1"),
            ("phase_error", self.phase_error, "rad"),
            ("crosstalk", self.crosstalk, "1"),
            ("loss_decibel", self.loss_decibel, "dB"),
            ("detector_noise", self.imperfections.detector_noise, "1"),
            ("drift_radians_per_hour", self.imperfections.drift_radians_per_hour, "rad"),
            ("settle_seconds", self.settle_seconds, "s"),
            ("latency_seconds", self.latency_seconds, "s"),
            ("shot_seconds", self.shot_seconds, "s"),
        ] {
            if !(value.is_finite() && 0.0 <= value) {
                return refuse(name, value, unit, "it must be finite and not negative");
            }
        }
        let MeshImperfections { control_bits, input_bits, read_bits, .. } = self.imperfections;
        for (name, bits) in [("control_bits", control_bits), ("input_bits", input_bits), ("read_bits", read_bits)] {
            // More bits than a single-precision number has.
            if 24 < bits {
                return refuse(name, f64::from(bits), "bit", "it must be at most 24");
            }
        }
        let count = self.layout().interferometers();
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.fits(count)) {
            let expected = "its four lists must have a finite number for each of the N(N − 1)/2 interferometers";
            return refuse("pattern", pattern.theta.len() as f64, "1", expected);
        }
        Ok(())
    }
}

/// The amplitude that is left of 1 after a loss in dB.
fn passage(decibel: f64) -> f64 {
    10.0_f64.powf(-decibel / 20.0)
}

/// The deterministic optics as a twin.
#[derive(Debug)]
struct Ideal {
    card: Card,
    optics: Optics<f32>,
}

impl Twin for Ideal {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        let outputs = self.optics.predict(&self.optics.at(controls), inputs.values());
        let mut batch = Batch::zeros(inputs.rows(), self.card.ports.output_count());
        batch.values_mut().copy_from_slice(&outputs);
        batch
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let at = self.optics.at(controls);
        let gradients = self.optics.pull_back(&at, inputs.values(), cotangents.values());
        let mut to_inputs = Batch::zeros(inputs.rows(), inputs.columns());
        to_inputs.values_mut().copy_from_slice(&gradients.inputs);
        Pullback { inputs: to_inputs, controls: self.optics.chip.settings(&gradients.slopes.phases) }
    }
}
