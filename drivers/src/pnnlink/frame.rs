//! Frames of pnnlink: bytes on the wire ⇄ checked bodies.
//!
//! On the wire a frame is a body stuffed by COBS (Cheshire and Baker, "Consistent overhead byte stuffing", 1999) and
//! closed by one 0x00, which occurs nowhere else. So a reader that joins in the middle, or meets garbage, is in step
//! again at the next 0x00. A body is
//!
//! | bytes | what |
//! |---|---|
//! | 1 | direction: 0x51 `Q` from the controller, 0x52 `R` from the instrument, so that an echo is not an answer |
//! | 4 | session, little-endian |
//! | 4 | identifier of the request, little-endian; the reply repeats it |
//! | n | message, postcard |
//! | 4 | CRC-32/ISO-HDLC of all before, little-endian |
//!
//! The CRC has always 32 bits: a CRC of 16 bits accepts one of 65,536 damaged frames, and a night of training sends
//! millions.

use crc::{CRC_32_ISO_HDLC, Crc};

/// The longest body, in bytes, that any side may send. With the stuffing it is what a reader must be able to hold.
pub const MAX_BODY: usize = 16_384;
/// Bytes of a body besides its message.
pub const OVERHEAD: usize = 13;
/// The byte that ends a frame.
pub const DELIMITER: u8 = 0;

/// CRC-32/ISO-HDLC, the one of Ethernet and zlib: check value 0xCBF43926 for `123456789`.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The CRC-32/ISO-HDLC of some bytes.
pub const fn checksum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the controller.
    Request,
    /// From the instrument.
    Reply,
}

impl Way {
    /// The first byte of the body.
    const fn byte(self) -> u8 {
        match self {
            Self::Request => b'Q',
            Self::Reply => b'R',
        }
    }
}

/// A checked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which session it belongs to.
    pub session: u32,
    /// Which request it is, or answers.
    pub id: u32,
    /// The message, postcard.
    pub message: &'a [u8],
}

/// What a reader met instead of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadFrame {
    /// More bytes than any frame has, without a delimiter.
    TooLong,
    /// The stuffing is broken, or the body is shorter than its overhead.
    Malformed,
    /// The checksum differs.
    Damaged,
    /// A frame that goes the other way: an echo.
    Echo,
}

/// Appends a frame to `wire`.
pub fn encode(way: Way, frame: Frame<'_>, wire: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(frame.message.len() + OVERHEAD);
    body.push(way.byte());
    body.extend_from_slice(&frame.session.to_le_bytes());
    body.extend_from_slice(&frame.id.to_le_bytes());
    body.extend_from_slice(frame.message);
    body.extend_from_slice(&checksum(&body).to_le_bytes());
    let start = wire.len();
    wire.resize(start + cobs::max_encoding_length(body.len()), 0);
    let length = cobs::encode(&body, &mut wire[start..]);
    wire.truncate(start + length);
    wire.push(DELIMITER);
}

/// Checks a body whose stuffing is off already.
fn check(way: Way, body: &[u8]) -> Result<Frame<'_>, BadFrame> {
    if body.len() < OVERHEAD || MAX_BODY < body.len() {
        return Err(BadFrame::Malformed);
    }
    let (rest, sum) = body.split_at(body.len() - 4);
    if checksum(rest).to_le_bytes() != sum {
        return Err(BadFrame::Damaged);
    }
    if rest[0] != way.byte() {
        return Err(BadFrame::Echo);
    }
    let word = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
    Ok(Frame { session: word(1), id: word(5), message: &rest[9..] })
}

/// Finds frames in bytes that come in any pieces. It holds one frame at most, whatever comes.
#[derive(Debug)]
pub struct Deframer {
    way: Way,
    buffer: Vec<u8>,
    overflown: bool,
}

impl Deframer {
    /// The most bytes between two delimiters.
    const LONGEST: usize = cobs::max_encoding_length(MAX_BODY);

    /// A reader of frames that go `way`.
    pub fn new(way: Way) -> Self {
        Self { way, buffer: Vec::new(), overflown: false }
    }

    /// Reads `bytes`, and calls `found` for each frame that ends in them, good or bad.
    pub fn push(&mut self, bytes: &[u8], mut found: impl FnMut(Result<Frame<'_>, BadFrame>)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == DELIMITER) {
            self.hold(&rest[..end]);
            rest = &rest[end + 1..];
            if std::mem::take(&mut self.overflown) {
                found(Err(BadFrame::TooLong));
            } else if !self.buffer.is_empty() {
                found(match cobs::decode_in_place(&mut self.buffer) {
                    Ok(length) => check(self.way, &self.buffer[..length]),
                    Err(_) => Err(BadFrame::Malformed),
                });
            }
            self.buffer.clear();
        }
        self.hold(rest);
    }

    /// Forgets what came since the last delimiter.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.overflown = false;
    }

    /// Keeps bytes of an unfinished frame, as far as a frame can be that long.
    fn hold(&mut self, bytes: &[u8]) {
        if self.overflown || Self::LONGEST < self.buffer.len() + bytes.len() {
            self.overflown = true;
            self.buffer.clear();
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Found = Result<(u32, u32, Vec<u8>), BadFrame>;

    fn read(way: Way, pieces: &[&[u8]]) -> Vec<Found> {
        let mut deframer = Deframer::new(way);
        let mut found = Vec::new();
        for piece in pieces {
            deframer.push(piece, |frame| {
                found.push(frame.map(|frame| (frame.session, frame.id, frame.message.to_vec())));
            });
            assert!(deframer.buffer.len() <= Deframer::LONGEST);
        }
        found
    }

    fn wire(message: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        encode(Way::Reply, Frame { session: 7, id: 9, message }, &mut wire);
        wire
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(checksum(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn an_endless_frame_is_dropped_and_the_next_one_found() {
        let mut bytes = vec![1; 10 * MAX_BODY];
        bytes.push(DELIMITER);
        bytes.extend(wire(b"next"));
        let pieces: Vec<&[u8]> = bytes.chunks(1000).collect();
        assert_eq!(read(Way::Reply, &pieces), [Err(BadFrame::TooLong), Ok((7, 9, b"next".to_vec()))]);
    }

    #[test]
    fn an_echo_is_not_an_answer() {
        assert_eq!(read(Way::Request, &[&wire(b"x")]), [Err(BadFrame::Echo)]);
    }

    proptest! {
        #[test]
        fn frames_survive_any_split(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..6),
            cuts in prop::collection::vec(1_usize..300, 1..30),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|message| wire(message)).collect();
            let (mut pieces, mut rest) = (Vec::new(), &bytes[..]);
            for cut in cuts {
                let (piece, others) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = others;
            }
            pieces.push(rest);
            let expected: Vec<Found> = messages.into_iter().map(|message| Ok((7, 9, message))).collect();
            prop_assert_eq!(read(Way::Reply, &pieces), expected);
        }

        #[test]
        fn damage_is_never_taken_for_another_message(
            message in prop::collection::vec(any::<u8>(), 0..300),
            damage in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
        ) {
            let mut bytes = wire(&message);
            for (place, flip) in damage {
                let place = place.index(bytes.len());
                bytes[place] ^= flip;
            }
            bytes.push(DELIMITER);
            for found in read(Way::Reply, &[&bytes]).into_iter().flatten() {
                prop_assert_eq!(found, (7, 9, message.clone()));
            }
        }

        #[test]
        fn garbage_is_no_frame_and_hides_none(garbage in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut bytes = garbage;
            bytes.push(DELIMITER);
            bytes.extend(wire(b"after"));
            let found: Vec<_> = read(Way::Reply, &[&bytes]).into_iter().flatten().collect();
            prop_assert_eq!(found, [(7, 9, b"after".to_vec())]);
        }
    }
}
