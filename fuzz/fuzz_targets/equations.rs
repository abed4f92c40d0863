//! Any text as a file of equations: refused with a place, or read; small ones are compiled and run.
#![no_main]

use drivers::{Batch, Direction};
use sims::Equations;

/// Ports and samples of what is run.
const MOST: usize = 256;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let system = Equations { samples: Some(2), ..Equations::from_text("fuzz.toml", text) };
    if system.check().is_err() || system.size().is_none_or(|elements| MOST < elements) {
        return;
    }
    if let Ok(built) = system.build() {
        let ports = &built.twin.card().ports;
        let middle = |direction| ports.ranges(direction).iter().map(|range| range.at(0.5)).collect::<Vec<f32>>();
        let (inputs, controls) = (middle(Direction::Input), middle(Direction::Control));
        let inputs = Batch::from_fn(1, inputs.len(), |_, port| inputs[port]);
        let outputs = built.twin.predict(&inputs, &controls);
        let _ = built.twin.pull_back(&inputs, &controls, &outputs);
    }
});
