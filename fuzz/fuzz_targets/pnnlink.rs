//! Any bytes, in two pieces, both ways: what is found is either refused or encodes to a frame that decodes to itself.
#![no_main]

use drivers::pnnlink::frame::{Deframer, Way};
use drivers::pnnlink::message::{Reply, Request};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.first().map_or(0, |first| usize::from(*first).min(bytes.len()));
    for way in [Way::Request, Way::Reply] {
        let mut deframer = Deframer::new(way);
        for piece in [&bytes[..cut], &bytes[cut..]] {
            deframer.push(piece, |frame| {
                let Ok(frame) = frame else { return };
                let mut wire = Vec::new();
                match way {
                    Way::Request => {
                        if let Some(request) = Request::decode(frame.message) {
                            request.encode(frame.session, frame.id, &mut wire);
                        }
                    }
                    Way::Reply => {
                        if let Some(reply) = Reply::decode(frame.message) {
                            reply.encode(frame.session, frame.id, &mut wire);
                        }
                    }
                }
            });
        }
    }
    // The checksum keeps most bytes from the messages themselves.
    let _ = Request::decode(bytes);
    let _ = Reply::decode(bytes);
});
