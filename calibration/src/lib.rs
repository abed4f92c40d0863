//! Agreement: how far a twin is from its plant.
//!
//! Nothing here opens anything: plants are passed in, and what is random has its key.

mod agreement;
mod response;

pub use agreement::{Agreement, agreement, stimuli};
pub use response::{
    Channels, Drift, Level, Passband, Plan, Repeats, Resonance, Response, Shot, Sweep, Tone, Waveform, response,
};
