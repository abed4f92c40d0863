//! Proof: the rigs that need no bench, simulated instruments on real wires, faults and conformance checks.

mod byte_server;
mod fault;
mod optical_bench;
pub mod pnnlink;
mod pty;
mod soak;

pub use fault::{Fault, Faults};
pub use optical_bench::{FULL_SCALE, OpticalBench};
pub use pty::Pty;
pub use soak::{SoakReport, soak};

/// The rig of simulated plants, each by its system's name: `hil/rigs/simulated.toml`.
pub const SIMULATED_RIG: &str = include_str!("../rigs/simulated.toml");
