//! Any bytes as a recorded dialogue, of any protocol, and as a recorded plant: refused with a line, or replayed.
#![no_main]

use std::path::Path;

use drivers::pnnlink::recorded_sessions;
use drivers::{Batch, DialogueReplay, Plant, Replayed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz.jsonl");
    if let Ok(mut replay) = DialogueReplay::read(path, bytes) {
        let _ = replay.reopen();
        let _ = replay.send(b"*IDN?\n");
        while let Ok(Some(received)) = replay.receive() {
            let _ = replay.send(&received);
        }
        let _ = replay.reopen();
        replay.discard();
    }
    if let Ok(replay) = DialogueReplay::read(path, bytes) {
        let _ = recorded_sessions(replay);
    }
    if let Ok(mut plant) = Replayed::read(path, bytes) {
        let [inputs, controls] = [plant.ports().input_count(), plant.ports().control_count()];
        if inputs < 1000 && controls < 1000 {
            let _ = plant.apply(&vec![0.0; controls]);
            let _ = plant.measure(&Batch::zeros(1, inputs));
        }
    }
});
