//! Agreement: how far a twin is from its plant.
//!
//! Nothing here opens anything: plants are passed in, and what is random has its key.

mod agreement;

pub use agreement::{Agreement, agreement, stimuli};
