//! The program as a user runs it: one test binary.

mod bad_input;
mod control;
mod program;
mod runs;
mod tidy;
