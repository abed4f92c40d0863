//! The programs of the report.

use super::program::Program;
use super::{
    batchnorm, learned_twins, methods, mos, motion, piann, simplicity_bias, style_parameters, symbolic_numerics,
    textures,
};

/// All of them.
const PROGRAMS: [Program; 10] = [
    batchnorm::PROGRAM,
    learned_twins::PROGRAM,
    methods::PROGRAM,
    mos::PROGRAM,
    motion::PROGRAM,
    piann::PROGRAM,
    simplicity_bias::PROGRAM,
    style_parameters::PROGRAM,
    symbolic_numerics::PROGRAM,
    textures::PROGRAM,
];

/// The parts of an entry that can be run by themselves.
pub fn parts(name: &str) -> &'static [&'static str] {
    if name == methods::PROGRAM.name { &methods::PARTS } else { &[] }
}

/// The program of that name.
pub fn find(name: &str) -> Option<&'static Program> {
    const { &PROGRAMS }.iter().find(|program| program.name == name)
}
