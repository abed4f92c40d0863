//! Published experiments beside our own numbers: what is run, what came out, and the report of it.
//!
//! A report is a Markdown file with a folder of the same name beside it: one section (`NAME.json`) and its figures for each
//! experiment. Every call writes the sections that it ran and the whole report anew, so experiments can be run one by one.

mod batchnorm;
mod learned_twins;
mod methods;
mod mos;
mod motion;
mod piann;
mod program;
mod programs;
mod provenance;
mod published;
mod report;
mod section;
mod simplicity_bias;
mod style_parameters;
mod symbolic_numerics;
mod textures;

pub use program::{Asked, Check, Curve, Measured, Measurement};
pub use programs::{find as program, parts};
pub use provenance::Provenance;
pub use published::{Entry, Published, entries};
pub use report::{over_runs, over_seeds, short, write};
pub use section::{Ours, Section, State};
