//! The system of a simulated plant or a twin, as a rig file says it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::{Adjustable, Built, Electrical, Equations, Key, Mechanical, Mesh, Optical, Oscillators};

/// The system that a simulated plant or a twin is made of; each has its own keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "system", rename_all = "kebab-case")]
pub enum SimulatedConfig {
    /// A transistor in an RLC resonator between a DAC and an ADC.
    Electrical(Electrical),
    /// A titanium plate on a voice coil, with a microphone.
    Mechanical(Mechanical),
    /// Broadband second-harmonic generation between a spectral shaper and a camera.
    Optical(Optical),
    /// All-to-all coupled nonlinear oscillators, the reference implementation's own system.
    Oscillators(Oscillators),
    /// A rectangular mesh of Mach–Zehnder interferometers.
    Mesh(Box<Mesh>),
    /// What a file of equations says.
    Equations(Equations),
}

impl SimulatedConfig {
    /// The physics with coefficients that can be fitted.
    pub(super) fn adjustable(&self) -> Result<Arc<dyn Adjustable>, sims::Error> {
        Ok(match self {
            Self::Electrical(config) => Arc::new(config.clone()),
            Self::Mechanical(config) => Arc::new(config.clone()),
            Self::Optical(config) => Arc::new(config.clone()),
            Self::Oscillators(config) => Arc::new(config.clone()),
            Self::Mesh(config) => Arc::new((**config).clone()),
            Self::Equations(config) => config.adjustable()?,
        })
    }

    /// Plant, twin and ideal twin; shot noise is that of run `seed`.
    pub(crate) fn build(&self, seed: u64) -> Result<Built, sims::Error> {
        let noise = |shot_seed: u64| Key::new(shot_seed).branch("run").number(seed).seed();
        match self {
            Self::Electrical(config) => Electrical { shot_seed: noise(config.shot_seed), ..config.clone() }.build(),
            Self::Mechanical(config) => Mechanical { shot_seed: noise(config.shot_seed), ..config.clone() }.build(),
            Self::Optical(config) => Optical { shot_seed: noise(config.shot_seed), ..config.clone() }.build(),
            Self::Oscillators(config) => Oscillators { shot_seed: noise(config.shot_seed), ..config.clone() }.build(),
            Self::Mesh(config) => Mesh { shot_seed: noise(config.shot_seed), ..(**config).clone() }.build(),
            Self::Equations(config) => Equations { shot_seed: noise(config.shot_seed), ..config.clone() }.build(),
        }
    }

    /// Time from sample to sample, in s, where its ports lie along time.
    pub fn sample_seconds(&self) -> Option<f64> {
        match self {
            Self::Electrical(config) => Some(1.0 / config.sample_rate_hertz),
            Self::Mechanical(config) => Some(1.0 / config.sample_hertz),
            Self::Optical(_) | Self::Oscillators(_) | Self::Mesh(_) => None,
            Self::Equations(config) => config.sample_seconds(),
        }
    }
}

/// What a twin is made of: a system with its keys, or `"learned"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TwinConfig {
    /// Nothing but shots, for any ports and controls: the plant's newest fit, as `pnnlab calibrate` leaves it, or what a training with
    /// `[training.refresh]` learns on the way.
    Learned(Learned),
    /// The equations of a system.
    System(Box<SimulatedConfig>),
}

/// The word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Learned {
    /// The twin is learned.
    Learned,
}

impl TwinConfig {
    /// The system, where there is one.
    pub fn system(&self) -> Option<&SimulatedConfig> {
        match self {
            Self::Learned(_) => None,
            Self::System(system) => Some(system.as_ref()),
        }
    }
}
