//! Any bytes from a controller to a simulated SCPI instrument: messages are cut where they end, and answered or refused.
#![no_main]

use hil::{Outcome, ScpiBox, ScpiInstrument, first_message};
use libfuzzer_sys::fuzz_target;

/// Answers what it is asked with the same.
struct Echo;

impl ScpiInstrument for Echo {
    fn identity(&self) -> [String; 3] {
        ["pnnlab", "Echo (simulated)", "1"].map(str::to_owned)
    }
    fn command(&mut self, header: &str, arguments: &[u8]) -> Outcome {
        if header.ends_with('?') { Outcome::Answer(arguments.to_vec()) } else { Outcome::Unknown }
    }
    fn reset(&mut self) {}
}

fuzz_target!(|bytes: &[u8]| {
    let mut instrument = ScpiBox::new(Box::new(Echo));
    let mut rest = bytes;
    while let Some((message, count)) = first_message(rest) {
        assert!(message.len() < count && count <= rest.len());
        let _ = instrument.message(message);
        rest = &rest[count..];
    }
    let _ = instrument.message(rest);
});
