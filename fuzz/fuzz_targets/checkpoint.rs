//! Any bytes as a checkpoint, and as the position in one: refused, or one that a training can have left.
#![no_main]

use std::path::Path;

use pnnlab::record::Checkpoint;
use pnnlab::record::Position;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Checkpoint::parse(Path::new("fuzz.safetensors"), bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(position) = Position::parse(text) {
        for seconds in position.seconds {
            let _ = std::time::Duration::from_secs_f64(seconds);
        }
    }
});
