//! Instruments: what a physical system looks like from outside, and the limits that protect it.
//!
//! Rows of plain `f32` in SI units go in and come out; nothing here knows a tensor.

mod address;
mod batch;
mod card;
mod dialogue;
mod error;
mod limited;
mod link;
mod owner;
mod plant;
pub mod pnnlink;
mod port;
mod ports;
mod recording;

pub use address::Address;
pub use batch::Batch;
pub use card::{Card, Identity, Origin, Timing};
pub use dialogue::{DialogueRecorder, DialogueReplay};
pub use error::Error;
pub use limited::{Limited, Limits};
pub use link::{Link, LinkOptions, LinkReport, LinkState, LinkWatch, Opening, Session};
pub use owner::{Holder, Owned, holder};
pub use plant::Plant;
pub use port::{Port, Stream};
pub use ports::{Bank, Direction, Ports, Range};
pub use recording::{Recorded, Replayed};
