//! The program as a user runs it: one test binary.

mod bad_input;
mod control;
mod kill;
mod program;
mod runs;
mod soak;
mod tidy;
mod wires;
