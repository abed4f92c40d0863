#![doc = include_str!("../README.md")]

mod calibration_report;
pub mod cli;
mod command;
mod comparison;
mod dataset;
mod document;
mod engine;
mod error;
mod experiment;
mod figure;
pub mod fits;
pub mod lab;
pub mod layer;
mod method;
pub mod physical;
pub mod range_penalty;
mod recent;
mod rig;
pub mod rows;
pub mod run;
mod stop;
pub mod sweep;
pub mod train;
pub mod upkeep;

pub use comparison::{Comparison, MethodSummary, Prepared, Spread, compare};
pub use dataset::{DataConfig, Dataset, Split};
pub use document::{Document, schema};
pub use engine::Finished;
pub use error::{EXIT_CODES, Error};
pub use experiment::{Experiment, TrainingConfig};
pub use figure::Theme;
pub use method::Method;
pub use rig::{PlantConfig, Rig, RigConfig, SimulatedConfig};
pub use run::{Event, Observer, Progress, Record, StopReason};
