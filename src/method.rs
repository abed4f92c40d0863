//! How gradients are made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lab::Forward;

/// How gradients are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Value from the plant, gradient from its twin (Wright et al., Nature 601, 549, 2022).
    PhysicsAware,
    /// Value and gradient from the twin; the plant is met only at the end.
    InSilico,
    /// In silico with the plant's measured noise in the forward pass.
    NoiseAware,
    /// Value from the plant, gradient from the plant's own physics: the ceiling, possible only in simulation.
    Ideal,
}

impl Method {
    /// All methods, in the order of tables and figures.
    pub const ALL: [Self; 4] = [Self::PhysicsAware, Self::InSilico, Self::NoiseAware, Self::Ideal];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::PhysicsAware => "physics-aware",
            Self::InSilico => "in-silico",
            Self::NoiseAware => "noise-aware",
            Self::Ideal => "ideal",
        }
    }

    /// Who computes the forward pass while it trains.
    pub fn forward(self) -> Forward {
        match self {
            Self::InSilico | Self::NoiseAware => Forward::Twin,
            Self::PhysicsAware | Self::Ideal => Forward::Plant,
        }
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
