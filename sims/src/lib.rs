//! Physics: the same systems as equations. Bench-fidelity plants with noise, drift and quantization, and the
//! differentiable twins that a physicist would write down first.
//!
//! Nothing here opens anything: time and randomness are arguments.

mod adjustable;
mod blocks;
mod buckley_leverett;
mod converter;
mod drift;
mod dual;
mod electrical;
mod equations;
mod error;
mod feedthrough;
#[cfg(test)]
mod gradient_check;
mod lattice;
mod line_volumes;
pub mod mechanical;
mod mesh;
mod noise;
mod optical;
mod oscillators;
mod random;
mod real;
mod rows;
mod shifted;
mod simulated;
mod transport;
mod twin;

pub use adjustable::{Adjustable, Coefficient, Sensitivity};
pub use buckley_leverett::BuckleyLeverett;
pub use converter::Converter;
pub use electrical::{Electrical, ElectricalDevice, ElectricalImperfections, ElectricalTolerances};
pub use equations::{Equations, Language, SystemReport, trials, with_tables};
pub use error::Error;
pub use feedthrough::Feedthrough;
pub use lattice::{Grid, Kernel, Lattice, Perception, TrainedRule, fires};
pub use line_volumes::{LineState, LineVolumes};
pub use mechanical::Mechanical;
pub use mesh::{Mesh, MeshImperfections, MeshInputs, MeshOutputs, MeshPattern};
pub use optical::{Optical, OpticalCoupledWave, OpticalFidelity, OpticalImperfections};
pub use oscillators::{OscillatorImperfections, Oscillators};
pub use random::{Key, Stream};
pub use real::{LANES, Lanes, Real};
pub use shifted::Shifted;
pub use simulated::{Built, Clock, Moment, Simulated, System};
pub use transport::{COLORS, Patches, Pixels, SlicedTransport};
pub use twin::{Predicted, Pullback, Twin};
