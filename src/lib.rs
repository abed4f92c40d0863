#![doc = include_str!("../README.md")]
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod output;

pub mod cli;
mod command;
pub mod control;
pub mod data;
pub mod document;
mod error;
pub mod event;
mod log;
mod memory;
pub mod network;
pub mod plants;
pub mod record;
mod report;
pub mod scores;
mod stop;
pub mod training;
mod watch;
mod whole_file;
mod writing;

pub use control::Progress;
pub use data::{DataConfig, Dataset, Split};
pub use document::{Document, schema};
pub use error::{EXIT_CODES, Error};
pub use event::{Event, Observer};
pub use plants::{PlantConfig, Rig, RigConfig, SimulatedConfig};
pub use record::Record;
pub use report::Theme;
pub use stop::StopReason;
pub use training::comparison::{compare, continue_comparison};
pub use training::{
    Comparison, ComparisonConfig, Experiment, Finished, Method, MethodSettings, MethodSummary, Plan, Prepared,
    Rehearsal, Schedule, Spread, TrainingConfig,
};
