#![doc = include_str!("../README.md")]
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod output;

mod adam;
mod calibration_report;
pub mod catalog;
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
pub mod fits;
mod full_scale;
pub mod lab;
pub mod layer;
mod log;
mod memory;
mod method;
pub mod physical;
mod plan;
pub mod range_penalty;
mod recent;
mod rehearsal;
mod reproduction;
mod resume;
mod rig;
pub mod rows;
pub mod run;
mod stop;
pub mod sweep;
mod systems;
pub mod train;
pub mod upkeep;
mod watch;

pub use comparison::{Comparison, MethodSummary, Prepared, Spread, compare, continue_comparison};
pub use dataset::{DataConfig, Dataset, Split};
pub use document::{Document, schema};
pub use engine::Finished;
pub use error::{EXIT_CODES, Error};
pub use experiment::{ComparisonConfig, Experiment, Schedule, TrainingConfig};
pub use figure::Theme;
pub use method::Method;
pub use plan::Plan;
pub use rehearsal::Rehearsal;
pub use rig::{PlantConfig, Rig, RigConfig, SimulatedConfig};
pub use run::{Event, Observer, Progress, Record, StopReason};
