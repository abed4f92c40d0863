#![doc = include_str!("../README.md")]

mod adam;
pub mod cli;
mod command;
mod comparison;
mod dataset;
mod document;
mod engine;
mod error;
mod experiment;
mod fetch;
mod figure;
mod full_scale;
pub mod lab;
pub mod layer;
mod method;
pub mod physical;
pub mod range_penalty;
mod reproduction;
mod rig;
pub mod rows;
pub mod run;
mod stop;
mod systems;
pub mod train;
mod watch;

pub use comparison::{Comparison, MethodSummary, Prepared, Spread, compare};
pub use dataset::{DataConfig, Dataset, Split};
pub use document::{Document, schema};
pub use engine::Finished;
pub use error::{EXIT_CODES, Error};
pub use experiment::{ComparisonConfig, Experiment, Schedule, TrainingConfig};
pub use figure::Theme;
pub use method::Method;
pub use rig::{PlantConfig, Rig, RigConfig, SimulatedConfig};
pub use run::{Event, Observer, Progress, Record, StopReason};
