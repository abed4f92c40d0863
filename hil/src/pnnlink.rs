//! A simulated pnnlink instrument: firmware in front of simulated physics, on a pseudo-terminal or TCP, with faults.

mod bench;
mod firmware;
#[cfg(test)]
mod lying_tests;
mod mishaps;
mod pattern;
mod served;
#[cfg(test)]
mod tests;

pub use firmware::{Build, Firmware};
pub use pattern::Pattern;
pub use served::{Place, Served, ServedReport};
