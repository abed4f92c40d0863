//! Systems from text files of equations.

mod build;
mod calculus;
mod check;
mod compile;
mod constant;
mod file;
mod functions;
mod hoist;
mod machine;
mod model;
mod program;
mod rules;
mod syntax;
mod terms;
mod units;
