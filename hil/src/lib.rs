//! Proof: the rigs that need no bench. Simulated instruments on real wires, faults and conformance checks join them
//! here.

/// The rig of simulated plants, each by its system's name: `hil/rigs/simulated.toml`.
pub const SIMULATED_RIG: &str = include_str!("../rigs/simulated.toml");
