//! The program as a user runs it: one test binary.

mod bad_input;
mod calibrate;
mod control;
mod program;
mod runs;
mod tidy;
