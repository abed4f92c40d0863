//! A simulated plate before a real audio server: what is played to one null sink, the plate answers into another.
//!
//! ```text
//! pnnlab ──► sink `drive` ──► its monitor ──► plate ──► sink `microphone` ──► its monitor ──► pnnlab
//! ```

mod bench;
mod plate_stream;

#[cfg(test)]
mod tests;

pub use bench::AudioBench;
pub use plate_stream::PlateStream;
