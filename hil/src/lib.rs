//! Proof: the rigs that need no bench, simulated instruments on real wires, faults and conformance checks.

mod fault;
pub mod pnnlink;
mod pty;

pub use fault::{Fault, Faults};
pub use pty::Pty;

/// The rig of simulated plants, each by its system's name: `hil/rigs/simulated.toml`.
pub const SIMULATED_RIG: &str = include_str!("../rigs/simulated.toml");
