//! The programs of the report.

use super::program::Program;
use super::{batchnorm, learned_twins};

/// All of them.
const PROGRAMS: [Program; 2] = [batchnorm::PROGRAM, learned_twins::PROGRAM];

/// The program of that name.
pub fn find(name: &str) -> Option<&'static Program> {
    const { &PROGRAMS }.iter().find(|program| program.name == name)
}
