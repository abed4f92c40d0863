//! What a plant says about itself: who it is, its ports, and how long things take on its bench.

use crate::Ports;

/// Where readings come from. What is not real says so, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Instruments on a bench.
    Real,
    /// Bench-fidelity equations.
    Simulated,
    /// A recording of an earlier dialogue.
    Replayed,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Real => "real",
            Self::Simulated => "simulated",
            Self::Replayed => "replayed",
        })
    }
}

/// Who a plant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The physical system, such as `electrical`.
    pub system: String,
    /// What tells this one from another of the same system: a serial number, or the seed of a simulated one.
    pub serial: String,
    /// Real, simulated or replayed.
    pub origin: Origin,
}

/// How long things take on the bench, in seconds. Simulated plants spend this time on their own clock only.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timing {
    /// From setting the controls until they have settled, in s.
    pub settle: f64,
    /// Once per batch: uploading, arming, downloading, in s.
    pub latency: f64,
    /// Once per shot, in s.
    pub shot: f64,
}

impl Timing {
    /// Bench time of one batch of `shots`, in s.
    pub fn batch(&self, shots: usize) -> f64 {
        self.latency + self.shot * shots as f64
    }
}

/// What a plant says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// Who it is.
    pub identity: Identity,
    /// What goes in and comes out.
    pub ports: Ports,
    /// How long things take.
    pub timing: Timing,
}
