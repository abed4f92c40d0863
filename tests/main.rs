//! The program as a user runs it: one test binary.

#[cfg(feature = "audio")]
mod audio;
mod bad_files;
mod bad_input;
mod board;
mod calibrate;
mod calibrate_input;
mod catalog;
mod circles;
mod control;
mod controls;
mod exits;
mod experiments;
mod interlocks;
mod kill;
mod methods;
mod normalize;
mod oscillators;
mod pacing;
mod pages;
mod program;
mod recording;
mod regression;
mod replays;
mod reports;
mod resume;
mod runs;
mod safe;
mod seeds;
mod soak;
mod terminal;
mod textures;
mod tidy;
mod watch;
mod wires;
