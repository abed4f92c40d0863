//! Any bytes as a message and as a spectrum.
#![no_main]

use drivers::ocean_obp::{ObpMessage, Spectrum};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((Ok(message), length)) = ObpMessage::decode(bytes) {
        assert!(length <= bytes.len());
        let mut again = Vec::new();
        message.encode(true, &mut again);
        assert!(matches!(ObpMessage::decode(&again), Some((Ok(same), _)) if same == message));
    }
    let _ = Spectrum::decode(bytes);
});
