//! Agreement: twins that agree with the bench, know how far, and keep agreeing.
//!
//! Nothing here opens anything: plants are passed in, files are bytes, and what is random has its key. A fit is a pure
//! function of a [`Trace`].

mod agreement;
mod card_text;
mod correction;
mod error;
mod learned;
mod learning;
mod measure;
mod network;
mod noise;
mod physics;
mod score;
mod stimuli;
mod trace;
mod trace_file;

pub use agreement::{Agreement, agreement, stimuli};
pub use correction::{Corrected, correct};
pub use error::Error;
pub use learned::{LearnedPart, learn_part};
pub use learning::{Architecture, Search};
pub use measure::{Watch, measure};
pub use network::{LearnedTwin, Network, PlainLayer};
pub use noise::{NoiseModel, NoiseSummary, fit_noise};
pub use physics::{Estimate, PhysicsFit, fit_physics};
pub use score::Residual;
pub use stimuli::Stimuli;
pub use trace::{Averaged, Trace};
