//! Proof: the rigs that need no bench, simulated instruments on real wires, faults and conformance checks.

mod audio;
mod byte_server;
mod check;
mod commanded;
mod described;
mod fault;
mod gauge;
mod optical_bench;
mod overheard;
pub mod pnnlink;
mod pty;
#[cfg(test)]
mod recordings;
mod red_pitaya;
mod scpi_box;
mod scpi_server;
mod soak;
mod template;
mod waveform_world;

pub use audio::{AudioBench, PlateStream};
pub use byte_server::SerialLine;
pub use check::{Check, CheckOutcome, Subject, check};
pub use described::{Described, Half};
pub use fault::{Fault, Faults};
pub use gauge::{GaugeValue, SimulatedGauge};
pub use optical_bench::{FULL_SCALE, OpticalBench};
pub use overheard::Overheard;
pub use pty::Pty;
pub use red_pitaya::{RedPitayaCommands, SimulatedRedPitaya};
pub use scpi_box::{Call, Parameter, Response, ScpiBox, ScpiClient, ScpiError, ScpiInstrument, Table};
pub use scpi_server::{Served, Wire, serve_scpi};
pub use soak::{SoakReport, soak};
pub use waveform_world::{SharedWorld, WaveformWorld};

/// The rig of simulated plants, each by its system's name: `hil/rigs/simulated.toml`.
pub const SIMULATED_RIG: &str = include_str!("../rigs/simulated.toml");

/// Files of equations that the rig of simulated plants names, each with its text.
pub const SYSTEMS: [(&str, &str); 6] = [
    ("systems/diode.toml", include_str!("../rigs/systems/diode.toml")),
    ("systems/coupled.toml", include_str!("../rigs/systems/coupled.toml")),
    ("systems/lattice.toml", include_str!("../rigs/systems/lattice.toml")),
    ("systems/line.toml", include_str!("../rigs/systems/line.toml")),
    ("systems/line-volumes.toml", include_str!("../rigs/systems/line-volumes.toml")),
    ("systems/settling.toml", include_str!("../rigs/systems/settling.toml")),
];
