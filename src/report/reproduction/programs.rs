//! The programs of the report.

use super::program::Program;
use super::{batchnorm, learned_twins, textures};

/// All of them.
const PROGRAMS: [Program; 3] = [batchnorm::PROGRAM, learned_twins::PROGRAM, textures::PROGRAM];

/// The program of that name.
pub fn find(name: &str) -> Option<&'static Program> {
    const { &PROGRAMS }.iter().find(|program| program.name == name)
}
