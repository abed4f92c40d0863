//! Any text as a file of a rig: refused with a place, or read.
#![no_main]

use pnnlab::{Document, RigConfig};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(mut document) = Document::parse("fuzz.toml", text) {
        let _ = document.check::<RigConfig>();
        if document.lay("quick").is_ok() {
            let _ = document.check::<RigConfig>();
        }
    }
});
