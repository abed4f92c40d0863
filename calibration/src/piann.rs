//! Twins of fields with shocks: a recurrent network with attention that learns a conservation law from its equation (PIANN, after
//! Rodriguez-Torrado et al., *Physics-informed attention-based neural network for solving non-linear partial differential equations*, arXiv
//! 2105.07898), and the networks that it is held against. A patent application on the network exists: WO2022241137A1.
//!
//! ```text
//! (t, M), u(x, 0), u(0, t) ─► encoder ─► attention ─► decoder ─► u and ∂u/∂t at all nodes ─► upwind residual
//! ```

mod attention;
mod attentive;
mod cell;
mod descent;
mod field;
mod line;
mod plain;
mod surrogate;
#[cfg(test)]
mod tests;
mod twins;
mod wave;

pub use attentive::{Asked, Attentive, Passed, Sizes};
pub use field::{END, NODES};
pub use line::LineTwin;
pub use plain::{Plain, PlainPassed};
pub use surrogate::{FieldNetwork, Surrogate};
pub use twins::{FieldTwin, Piann, PlainParametric, PointPinn, Training, interpolated};
pub use wave::Number;
