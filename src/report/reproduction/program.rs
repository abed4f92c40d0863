//! Programs of the report: what is measured otherwise than by training each method and testing it.

// Circle with report/reproduction/batchnorm.rs: the list of programs names this one, which is made of its types.
// Circle with report/reproduction/symbolic_numerics.rs: the list of programs names this one, which is made of its types.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Check, batchnorm, learned_twins, symbolic_numerics};
use crate::Error;

/// One program of the report.
#[derive(Debug)]
pub struct Program {
    /// Its name, as in `experiments/published.toml`.
    pub name: &'static str,
    /// What it will be judged by, not run.
    pub checks: fn() -> Vec<Check>,
    /// Measures; fails with [`Error::MissingData`] where it has no data.
    pub run: fn(&Asked<'_>) -> Result<Measured, Error>,
}

/// All programs.
const PROGRAMS: [Program; 3] = [batchnorm::PROGRAM, learned_twins::PROGRAM, symbolic_numerics::PROGRAM];

impl Program {
    /// The program of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        const { &PROGRAMS }.iter().find(|program| program.name == name)
    }
}

/// What is asked of a program.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The form that takes about a minute and is judged by nothing.
    pub quick: bool,
    /// The user's folder of data.
    pub data: Option<&'a Path>,
}

/// What a program measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// What it was measured on, such as the data and whose bench.
    pub on: String,
    /// Each number.
    pub measurements: Vec<Measurement>,
    /// What is asked of them, and what came of it.
    pub checks: Vec<Check>,
}

/// One number of the report, for programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What it is.
    pub name: String,
    /// In `unit`; accuracies and errors as fractions.
    pub value: f64,
    /// The sample standard deviation over the seeds; null of one.
    pub spread: Option<f64>,
    /// `1` for fractions.
    pub unit: String,
    /// The seeds it is over.
    pub seeds: Vec<u64>,
}

impl Measured {
    /// Adds a number of one seed.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &str, seed: u64) {
        let (name, unit) = (name.into(), unit.to_owned());
        self.measurements.push(Measurement { name, value, spread: None, unit, seeds: vec![seed] });
    }
}
