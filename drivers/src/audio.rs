//! An audio interface as driver and microphone of a mechanical plant.
//!
//! Shots are laid end to end into bursts; each burst begins and ends with a sync chirp, which is played like a shot:
//!
//! ```text
//! played   ┃ chirp ┃ rest ┃ shot 0 ┃ rest ┃ … ┃ shot n−1 ┃ rest ┃ chirp ┃ rest ┃
//! heard      latency … ┃ chirp ┃ rest ┃ row 0 ┃ rest ┃ … ┃ row n−1 ┃ rest ┃ chirp ┃
//! ```
//!
//! The first chirp says where the burst begins in what was heard, the last one that nothing was lost or came twice in between: an audio
//! server hides most gaps from those who use it. Both are found by cross-correlation with what the plant's twin expects the
//! microphone to hear of a chirp ([`Aligner`]), so that time 0 of a row is time 0 of the twin. A burst with a gap is played again.
//!
//! Playing and recording are two streams of one interface (cpal 0.18 has no duplex stream). They share its clock, so that the
//! difference of their frame counts, once found, stays: a change without a gap is drift, and an error.
//!
//! All but `stream.rs` and the search in `interfaces.rs` builds and is tested without any audio library; these need the feature `audio`.

mod aligner;
mod burst;
mod config;
mod counts;
mod interfaces;
mod plate;
#[cfg(feature = "audio")]
mod stream;
#[cfg(test)]
mod tests;

pub use aligner::{Aligned, Aligner};
pub use burst::Layout;
pub use config::{AudioChannelConfig, AudioPlateConfig, SyncConfig};
pub use counts::Counts;
#[cfg(feature = "audio")]
pub use interfaces::find_interfaces;
pub use interfaces::{FoundInterface, Offer};
pub use plate::{AudioPlate, Duplex, Interface, Mark, Open};
