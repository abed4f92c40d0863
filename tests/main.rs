//! The program as a user runs it: one test binary.

mod bad_input;
mod calibrate;
mod control;
mod experiments;
mod kill;
mod oscillators;
mod program;
mod reports;
mod runs;
mod soak;
mod terminal;
mod tidy;
mod watch;
mod wires;
