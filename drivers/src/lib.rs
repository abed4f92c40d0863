//! Instruments: what a physical system looks like from outside, and the limits that protect it.
//!
//! Rows of plain `f32` in SI units go in and come out; nothing here knows a tensor.

mod batch;
mod card;
mod error;
mod limited;
mod plant;
pub mod pnnlink;
mod ports;
mod recording;

pub use batch::Batch;
pub use card::{Card, Identity, Origin, Timing};
pub use error::Error;
pub use limited::{Limited, Limits};
pub use plant::Plant;
pub use ports::{Bank, Direction, Ports, Range};
pub use recording::{Recorded, Replayed};
