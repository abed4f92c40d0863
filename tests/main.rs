//! The program as a user runs it: one test binary.

mod bad_input;
mod catalog;
mod control;
mod program;
mod recording;
mod resume;
mod runs;
mod tidy;
