//! pnnlink: our own protocol for instruments on a microcontroller, over a serial line or TCP.
//!
//! `docs/pnnlink.md` specifies it well enough to write firmware from. From the wire inwards: [`frame`] finds and checks
//! frames in a stream of bytes, [`message`] says what they mean, [`description`] turns an instrument's account of itself
//! into ports, [`transfer`] moves a batch of shots through a window without losing or repeating one. All of these are
//! pure: bytes, messages and times go in and come out. [`session`] touches the wire, [`link`] owns it.

mod config;
pub mod description;
mod failure;
pub mod frame;
pub mod link;
pub mod message;
mod options;
mod ours;
mod owner;
mod replay;
mod report;
pub mod session;
pub mod transfer;
mod wires;

pub use config::PnnlinkConfig;
pub use replay::recorded_sessions;
