//! How gradients are made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plants::{Derivatives, Forward};

/// How gradients are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Value from the plant, gradient from its twin (Wright et al., Nature 601, 549, 2022).
    PhysicsAware,
    /// Value and gradient from the twin; the plant is met only to validate and to test.
    InSilico,
    /// In silico with the plant's measured noise in the forward pass.
    NoiseAware,
    /// Value from the plant, gradient from the plant's own physics: a reference, possible only in simulation, and no ceiling.
    Ideal,
    /// No twin: the loss on the plant with all weights perturbed at once, both ways (Spall, IEEE Trans. Automat. Contr. 37, 332, 1992).
    Spsa,
}

impl Method {
    /// All methods, in the order of tables and figures.
    pub const ALL: [Self; 5] = [Self::PhysicsAware, Self::InSilico, Self::NoiseAware, Self::Ideal, Self::Spsa];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::PhysicsAware => "physics-aware",
            Self::InSilico => "in-silico",
            Self::NoiseAware => "noise-aware",
            Self::Ideal => "ideal",
            Self::Spsa => "spsa",
        }
    }

    /// Who computes the forward pass while it trains.
    pub fn forward(self) -> Forward {
        match self {
            Self::InSilico | Self::NoiseAware => Forward::Twin,
            Self::PhysicsAware | Self::Ideal | Self::Spsa => Forward::Plant,
        }
    }

    /// Whose derivatives it uses.
    pub fn derivatives(self) -> Derivatives {
        match self {
            Self::Ideal => Derivatives::Plant,
            Self::PhysicsAware | Self::InSilico | Self::NoiseAware | Self::Spsa => Derivatives::Twin,
        }
    }

    /// Whether it trains several read-outs ([heads]): it differentiates their loss.
    pub fn trains_heads(self) -> bool {
        matches!(self, Self::PhysicsAware | Self::InSilico | Self::NoiseAware | Self::Ideal)
    }

    /// Whether it learns nothing without a twin.
    pub fn needs_twin(self) -> bool {
        self != Self::Spsa
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
