//! Agreement: twins that agree with the bench, know how far, and keep agreeing.
//!
//! Nothing here opens anything: plants are passed in, files are bytes, and what is random has its key. A fit is a pure
//! function of a [`Trace`].

mod agreement;
mod archive;
mod arrow_bounds;
mod calibrate;
mod card_text;
mod corrected;
mod correction;
mod corrector;
mod csv_file;
mod curve;
mod detection;
mod drift;
mod error;
mod evolution;
mod fit;
mod folds;
mod learned;
mod learner;
mod learning;
mod levels;
mod linear;
mod mahalanobis;
mod many;
mod measure;
mod nearest_class;
mod network;
mod noise;
mod observer;
mod pattern;
mod physics;
pub mod piann;
mod quotes;
mod readings;
mod recorded;
#[cfg(test)]
mod recovery_tests;
mod response;
mod saturation;
mod score;
mod shot_file;
mod signature;
mod state_guard;
mod statistics;
mod stimuli;
mod tail;
mod timing;
mod trace;
mod trace_file;
mod trace_stream;
mod trainability;
mod tuner;
mod unlearned;

pub use agreement::{Agreement, agreement};
pub use archive::read_npy;
pub use calibrate::{Calibration, Fitted, Parts, Procedure};
pub use corrected::Corrected;
pub use correction::correct;
pub use corrector::Corrector;
pub use csv_file::ColumnNames;
pub use curve::Curves;
pub use detection::Detection;
pub use drift::{DriftMonitor, DriftState};
pub use error::Error;
pub use fit::{Fit, FitFacts, Validity, digest};
pub use learned::{LearnedPart, Stages, learn_part, learn_stages};
pub use learner::Architecture;
pub use learning::Search;
pub use levels::{Levels, PortLevels, fit_levels};
pub use mahalanobis::Mahalanobis;
pub use measure::{Kept, Watch, bench_seconds, measure, measure_on};
pub use nearest_class::NearestClass;
pub use network::{LearnedTwin, Network, Part, PlainLayer};
pub use noise::{NoiseModel, NoiseSummary, fit_noise};
pub use observer::{Observer, Unobserved};
pub use physics::{Estimate, PhysicsFit, fit_physics};
pub use quotes::Quotes;
pub use response::{
    Channels, Drift, Level, Passband, Plan, Repeats, Resonance, Response, Shot, Sweep, Tone, Waveform, response,
};
pub use score::Residual;
pub use signature::{MOST_CROSSED, Reduction, Signature};
pub use state_guard::{GuardRule, StateGuard, Verdict};
pub use statistics::{Statistics, StatisticsShift};
pub use stimuli::Stimuli;
pub use timing::{SAMPLE_SECONDS, TimingFit, fit_timing};
pub use trace::{Averaged, Trace};
pub use trace_stream::TraceWriter;
pub use trainability::{
    ChainCosine, NETWORK_SHOTS, NETWORKS, Passage, Trainability, check_trainable, trainable_shots, way_back,
    way_back_shots,
};
pub use tuner::{Kept as KeptSetting, Strategy, Tuner};
pub use unlearned::Unlearned;
