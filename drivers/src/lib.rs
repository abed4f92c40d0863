//! Instruments: what a physical system looks like from outside, and the limits that protect it.
//!
//! Rows of plain `f32` in SI units go in and come out; nothing here knows a tensor.

mod address;
mod after_trip;
mod allowance;
pub mod audio;
mod batch;
mod beside;
mod bounded;
mod card;
mod dialogue;
mod direction;
mod discovery;
mod dose;
mod dose_limits;
mod error;
mod gentle;
mod histogram;
mod interlock;
mod ledger;
pub mod lightcrafter;
mod limited;
mod link;
mod minute;
mod mnemonic;
pub mod ocean_obp;
mod over_time;
mod owner;
mod plant;
pub mod pnnlink;
mod port;
mod ports;
mod pseudo_terminal;
mod quotes;
mod range;
mod recording;
mod red_pitaya;
mod rejections;
mod safe_order;
mod scpi;
mod scpi_controls;
mod scpi_pair;
mod scpi_safe;
mod screened;
mod setting;
mod spectral_bench;
mod split_mix;
mod tap;
mod waveform_bench;

pub use address::Address;
pub use after_trip::AfterTrip;
pub use allowance::Allowance;
pub use batch::Batch;
pub use bounded::{Bounded, MEBIBYTE, open_bounded, read_bounded, read_text_bounded};
pub use card::{Card, Identity, Origin, Timing};
pub use dialogue::{DialogueRecorder, DialogueReplay};
pub use direction::Direction;
pub use discovery::{FoundPort, find_ports, who_answers};
pub use dose_limits::DoseLimits;
pub use error::{Error, ErrorKind};
pub use gentle::Gentle;
pub use histogram::Histogram;
pub use interlock::{Gauge, GaugeConfig, GaugeProtocol, Interlock, Interlocked, Reading, Recovery, Watched};
pub use limited::{Limited, Limits, Silent};
pub use link::{Disturbance, Link, LinkOptions, LinkReport, LinkState, LinkWatch, Opening, Session};
pub use over_time::Spent;
pub use owner::{Grip, Holder, Owned, Peer, holder, is_same_instrument, peer};
pub use plant::{Plant, Probe};
pub use port::{Port, Stream};
pub use ports::{Bank, BankDose, Ports};
pub use quotes::{Quotes, unclosed_quote};
pub use range::Range;
pub use recording::{Playhead, Recorded, Replayed};
pub use red_pitaya::{RedPitaya, RedPitayaConfig};
pub use rejections::Rejections;
pub use safe_order::SafeOrder;
pub use scpi::{
    Answer, Held, Numbers, Scpi, ScpiIdentity, ScpiRequest, Setting, Step, Terminator, agrees as settings_agree,
    block as scpi_block, numbers as scpi_numbers,
};
pub use scpi_controls::{ScpiControlConfig, ScpiControls, ScpiControlsConfig};
pub use scpi_pair::{DigitizerConfig, GeneratorConfig, ScpiPair, ScpiPairConfig, SettingConfig};
pub use screened::{Screen, Screened};
pub use spectral_bench::{ShaperConfig, SpectralBench, SpectralBenchConfig, SpectrometerConfig};
pub use waveform_bench::{Bursts, WaveformBench, WaveformConfig};
