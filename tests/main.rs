//! The program as a user runs it: one test binary.

#[cfg(feature = "audio")]
mod audio;
mod bad_input;
mod calibrate;
mod calibrate_input;
mod catalog;
mod control;
mod experiments;
mod interlocks;
mod kill;
mod oscillators;
mod program;
mod recording;
mod replays;
mod reports;
mod resume;
mod runs;
mod safe;
mod soak;
mod terminal;
mod tidy;
mod watch;
mod wires;
