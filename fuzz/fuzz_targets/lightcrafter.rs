//! Any bytes as a packet and as a bitmap.
#![no_main]

use drivers::lightcrafter::{Packet, transmissions};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((Ok(packet), length)) = Packet::decode(bytes) {
        let mut again = Vec::new();
        packet.encode(&mut again);
        assert_eq!(again, bytes[..length]);
    }
    let _ = transmissions(bytes, 100);
});
