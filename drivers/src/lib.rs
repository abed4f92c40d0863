//! Instruments: what a physical system looks like from outside, and the limits that protect it.
//!
//! Rows of plain `f32` in SI units go in and come out; nothing here knows a tensor.

mod address;
pub mod audio;
mod batch;
mod card;
mod dialogue;
mod discovery;
mod dose;
mod error;
mod histogram;
mod interlock;
mod ledger;
pub mod lightcrafter;
mod limited;
mod link;
mod minute;
pub mod ocean_obp;
mod owner;
mod plant;
pub mod pnnlink;
mod port;
mod ports;
mod recording;
mod red_pitaya;
mod rejections;
mod scpi;
mod scpi_pair;
mod screened;
mod setting;
mod spectral_bench;
mod tap;
mod waveform_bench;

pub use address::Address;
pub use batch::Batch;
pub use card::{Card, Identity, Origin, Timing};
pub use dialogue::{DialogueRecorder, DialogueReplay};
pub use discovery::{FoundPort, find_ports, who_answers};
pub use dose::{Allowance, DoseLimits};
pub use error::{Error, ErrorKind};
pub use histogram::Histogram;
pub use interlock::{AfterTrip, Interlock, Interlocked, Probe, Recovery};
pub use limited::{Limited, Limits};
pub use link::{Disturbance, Link, LinkOptions, LinkReport, LinkState, LinkWatch, Opening, Session};
pub use owner::{Holder, Owned, holder};
pub use plant::Plant;
pub use port::{Port, Stream};
pub use ports::{Bank, Direction, Ports, Range};
pub use recording::{Playhead, Recorded, Replayed};
pub use red_pitaya::{RedPitaya, RedPitayaConfig};
pub use rejections::Rejections;
pub use scpi::{
    Answer, Numbers, Scpi, ScpiIdentity, ScpiRequest, Setting, Step, agrees as settings_agree, block as scpi_block,
    numbers as scpi_numbers,
};
pub use scpi_pair::{DigitizerConfig, GeneratorConfig, ScpiPair, ScpiPairConfig, SettingConfig};
pub use screened::{Screen, Screened};
pub use spectral_bench::{ShaperConfig, SpectralBench, SpectralBenchConfig, SpectrometerConfig};
pub use waveform_bench::{Bursts, WaveformBench, WaveformConfig};
