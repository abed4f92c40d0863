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
    /// Physics-aware, with the gradient of where, nearby, the loss is largest (Foret et al., ICLR 2021; Xu et al., Nat. Commun. 2026).
    SharpnessAware,
    /// The same in silico.
    #[serde(rename = "sharpness-aware-in-silico")]
    #[value(name = "sharpness-aware-in-silico")]
    SharpnessInSilico,
    /// No twin: errors sent past the physics through random matrices, for the digital layers (Nakajima et al., Nat. Commun. 13, 7847, 2022).
    FeedbackAlignment,
    /// No twin: the loss on the plant with all weights perturbed at once, both ways (Spall, IEEE Trans. Automat. Contr. 37, 332, 1992).
    Spsa,
    /// No twin: every weight perturbed by a code of its own (`McCaughan` et al., APL Mach. Learn. 1, 026118, 2023).
    Multiplexed,
    /// No twin: a distribution of weights, whose deviations are learned (Sehnke et al., Neural Networks 23, 551, 2010).
    Pepg,
    /// No twin, small networks: covariance matrix adaptation (Hansen, arXiv 1604.00772).
    CmaEs,
    /// No twin, small networks: each weight moved alone.
    FiniteDifferences,
    /// The physics stays; the read-out is fitted by ridge regression.
    Reservoir,
    /// No twin: each stage of digital layers learns by itself to tell the right class from a wrong one (Momeni et al., Science 382, 1297, 2023).
    Phyll,
    /// Physics-aware, with a residual network of the twin that learns from the readings meanwhile (Zheng et al., Nat. Mach. Intell. 5, 1119,
    /// 2023).
    DualAdaptive,
    /// No twin: a plant that settles, pushed a little both ways (Scellier and Bengio, Front. Comput. Neurosci. 11, 24, 2017).
    EquilibriumPropagation,
}

impl Method {
    /// All methods, in the order of tables and figures.
    pub const ALL: [Self; 16] = [
        Self::PhysicsAware,
        Self::InSilico,
        Self::NoiseAware,
        Self::Ideal,
        Self::Spsa,
        Self::SharpnessAware,
        Self::SharpnessInSilico,
        Self::FeedbackAlignment,
        Self::Multiplexed,
        Self::Pepg,
        Self::CmaEs,
        Self::FiniteDifferences,
        Self::Reservoir,
        Self::Phyll,
        Self::DualAdaptive,
        Self::EquilibriumPropagation,
    ];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::PhysicsAware => "physics-aware",
            Self::InSilico => "in-silico",
            Self::NoiseAware => "noise-aware",
            Self::Ideal => "ideal",
            Self::SharpnessAware => "sharpness-aware",
            Self::SharpnessInSilico => "sharpness-aware-in-silico",
            Self::FeedbackAlignment => "feedback-alignment",
            Self::Spsa => "spsa",
            Self::Multiplexed => "multiplexed",
            Self::Pepg => "pepg",
            Self::CmaEs => "cma-es",
            Self::FiniteDifferences => "finite-differences",
            Self::Reservoir => "reservoir",
            Self::Phyll => "phyll",
            Self::DualAdaptive => "dual-adaptive",
            Self::EquilibriumPropagation => "equilibrium-propagation",
        }
    }

    /// Who computes the forward pass while it trains.
    pub fn forward(self) -> Forward {
        match self {
            Self::InSilico | Self::NoiseAware | Self::SharpnessInSilico => Forward::Twin,
            _ => Forward::Plant,
        }
    }

    /// Whose derivatives it uses.
    pub fn derivatives(self) -> Derivatives {
        if self == Self::Ideal { Derivatives::Plant } else { Derivatives::Twin }
    }

    /// Whether it trains several read-outs (`[heads]`): it differentiates their loss.
    pub fn trains_heads(self) -> bool {
        matches!(self, Self::PhysicsAware | Self::InSilico | Self::NoiseAware | Self::Ideal)
    }

    /// Why it does not train several read-outs.
    pub(super) fn no_heads(self) -> String {
        let able: Vec<&str> = Self::ALL.into_iter().filter(|method| method.trains_heads()).map(Self::name).collect();
        format!("is `{self}`, which does not differentiate the penalty of [heads]: take {}", able.join(", "))
    }

    /// Why it does not train the layers of `table`, which are run at every cell (`cells`) or frame after frame (`motion`), if it does not.
    pub fn by_rows(self, table: &str) -> Option<String> {
        matches!(self, Self::FeedbackAlignment | Self::Reservoir).then(|| {
            format!("is `{self}`, which knows layers by their rows: take another where there is a table [{table}]")
        })
    }

    /// Whether it learns nothing without a twin.
    pub fn needs_twin(self) -> bool {
        matches!(
            self,
            Self::PhysicsAware
                | Self::InSilico
                | Self::NoiseAware
                | Self::Ideal
                | Self::SharpnessAware
                | Self::SharpnessInSilico
                | Self::DualAdaptive
        )
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
