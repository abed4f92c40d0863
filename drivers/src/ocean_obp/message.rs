//! Messages of the Ocean Binary Protocol.
//!
//! A message is, little-endian: start bytes C1 C0, version (u16), flags (u16), error (u16), type (u32), regarding (u32: the
//! answer repeats it), 6 reserved bytes, type of checksum (u8: 0 none, 1 MD5), length of immediate data (u8, 16 at most), 16 bytes of
//! immediate data, bytes remaining (u32: payload, checksum and footer); payload; 16 bytes of checksum; footer C5 C4 C3 C2. 64
//! bytes at least. Source: Ocean Optics' OBP as python-seabreeze speaks it (`pyseabreeze/protocol.py`).

use md5::{Digest, Md5};

/// First bytes.
const START: [u8; 2] = [0xC1, 0xC0];
/// Last bytes.
const FOOTER: [u8; 4] = [0xC5, 0xC4, 0xC3, 0xC2];
/// The newest version of the protocol (python-seabreeze, `HEADER_PROTOCOL_VERSION`).
const VERSION: u16 = 0x1100;
/// Bytes before the payload.
pub(super) const HEADER: usize = 44;
/// Checksum and footer.
const TRAILER: usize = 20;
/// The longest payload that is read: the largest of these spectrometers have some thousand pixels of four bytes.
const LONGEST: usize = 1 << 18;
/// Bytes of metadata before the pixels of a buffered spectrum.
pub const METADATA: usize = 32;

/// Error 2 of an answer: the instrument knows no such message (python-seabreeze).
pub const UNKNOWN_TYPE: u16 = 2;

/// Errors of an answer (python-seabreeze, `ERROR_CODES`).
pub mod error {
    /// The checksum is another than the message's.
    pub const CHECKSUM: u16 = 3;
    /// More than it can take.
    pub const TOO_LARGE: u16 = 4;
    /// The payload is longer or shorter than the message has it.
    pub const LENGTH: u16 = 5;
    /// The payload is no value of this setting.
    pub const VALUE: u16 = 6;
    /// It cannot make such a checksum.
    pub const CHECKSUM_TYPE: u16 = 8;
    /// There is no such thing, as of a coefficient beyond the last.
    pub const NOTHING_THERE: u16 = 12;

    /// What an error means.
    pub fn meaning(code: u16) -> &'static str {
        match code {
            1 => "unsupported protocol",
            super::UNKNOWN_TYPE => "unknown message type",
            CHECKSUM => "wrong checksum",
            TOO_LARGE => "message too large",
            LENGTH => "the payload has another length than this message",
            VALUE => "invalid value",
            7 => "not ready for this message",
            CHECKSUM_TYPE => "unknown type of checksum",
            9 => "the instrument was reset",
            10 => "commands come over too many interfaces",
            11 => "out of memory",
            NOTHING_THERE => "there is no such information",
            13 => "internal error of the instrument",
            255 => "it will take some time",
            _ => "unknown error",
        }
    }
}

/// Bits of the flags.
pub mod flag {
    /// This is an answer.
    pub const RESPONSE: u16 = 0x0001;
    /// The request was obeyed.
    pub const ACK: u16 = 0x0002;
    /// An answer is wanted though there is nothing to say.
    pub const REQUEST_ACK: u16 = 0x0004;
    /// The request was not obeyed.
    pub const NACK: u16 = 0x0008;
}

/// Types of messages (python-seabreeze; `SeaBreeze`'s `OBPMessageTypes.h`).
pub mod message_type {
    /// The serial number, as text.
    pub const SERIAL: u32 = 0x0000_0100;
    /// How many bytes the serial number has, u8.
    pub const SERIAL_LENGTH: u32 = 0x0000_0101;
    /// The number of its maker for USB, u16.
    pub const VENDOR: u32 = 0x0000_0E00;
    /// The number of its model for USB, u16.
    pub const PRODUCT: u32 = 0x0000_0E01;
    /// What it is, as text.
    pub const NAME: u32 = 0x0000_0E11;
    /// A spectrum with metadata, pixels of 32 bits.
    pub const SPECTRUM: u32 = 0x0010_0928;
    /// A spectrum alone, pixels of 16 bits, corrected where the model can.
    pub const CORRECTED_SPECTRUM: u32 = 0x0010_1000;
    /// A spectrum alone, pixels of 16 bits.
    pub const RAW_SPECTRUM: u32 = 0x0010_1100;
    /// Sets what begins a spectrum, u8: 0 the request itself.
    pub const SET_TRIGGER: u32 = 0x0011_0110;
    /// How many coefficients the wavelengths have, u8.
    pub const WAVELENGTH_COUNT: u32 = 0x0018_0100;
    /// One of them, f32, by its number, u8: the wavelength in nm is their polynomial in the pixel's number.
    pub const WAVELENGTH: u32 = 0x0018_0101;
    /// How many coefficients the correction of the readings has, u8.
    pub const NONLINEARITY_COUNT: u32 = 0x0018_1100;
    /// One of them, f32, by its number, u8.
    pub const NONLINEARITY: u32 = 0x0018_1101;
    /// Asks for the integration time, u32, in µs.
    pub const INTEGRATION: u32 = 0x0011_0000;
    /// Sets it.
    pub const SET_INTEGRATION: u32 = 0x0011_0010;
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObpMessage {
    /// Bits of [`flag`].
    pub flags: u16,
    /// 0, or why a request was refused.
    pub error: u16,
    /// One of [`message_type`].
    pub kind: u32,
    /// Which request it is, or answers.
    pub regarding: u32,
    /// What belongs to it.
    pub payload: Vec<u8>,
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadMessage {
    /// It does not begin as one.
    Start,
    /// It says a length that no message has.
    Length,
    /// It says that it is longer than any is.
    TooLarge,
    /// Its checksum differs.
    Checksum,
    /// Its checksum is of an unknown type.
    ChecksumType,
    /// It does not end as one.
    Footer,
}

impl ObpMessage {
    /// Appends the message's bytes, with an MD5 or without.
    pub fn encode(&self, has_md5: bool, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        let is_immediate = self.payload.len() <= 16;
        let (immediate, payload) =
            if is_immediate { (&self.payload[..], &[][..]) } else { (&[][..], &self.payload[..]) };
        bytes.extend(START);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.error.to_le_bytes());
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.regarding.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend([u8::from(has_md5), immediate.len() as u8]);
        bytes.extend(immediate);
        bytes.extend(std::iter::repeat_n(0, 16 - immediate.len()));
        bytes.extend(((payload.len() + TRAILER) as u32).to_le_bytes());
        bytes.extend(payload);
        if has_md5 {
            let digest = Md5::digest(&bytes[start..]);
            bytes.extend(digest);
        } else {
            bytes.extend([0; 16]);
        }
        bytes.extend(FOOTER);
    }

    /// What a header says, without a payload; none while it is incomplete. It may be of a message that is none.
    pub fn heading(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER>()?;
        let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let long = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        Some(Self { flags: short(4), error: short(6), kind: long(8), regarding: long(12), payload: vec![] })
    }

    /// How many bytes follow a header; an error when it is none.
    pub fn remaining(header: &[u8; HEADER]) -> Result<usize, BadMessage> {
        if header[..2] != START {
            return Err(BadMessage::Start);
        }
        let remaining = u32::from_le_bytes([header[40], header[41], header[42], header[43]]) as usize;
        if remaining < TRAILER || 16 < header[23] {
            return Err(BadMessage::Length);
        }
        if LONGEST + TRAILER < remaining {
            return Err(BadMessage::TooLarge);
        }
        Ok(remaining)
    }

    /// The first message in `bytes` and how many of them it takes, or where the next may begin; none while it is incomplete.
    pub fn decode(bytes: &[u8]) -> Option<(Result<Self, BadMessage>, usize)> {
        let header = bytes.first_chunk::<HEADER>()?;
        let remaining = match Self::remaining(header) {
            Ok(remaining) => remaining,
            // Another message may begin at the next byte that looks like it.
            Err(error) => {
                let next =
                    bytes.iter().skip(1).position(|byte| *byte == START[0]).map_or(bytes.len(), |place| place + 1);
                return Some((Err(error), next));
            }
        };
        let whole = bytes.get(..HEADER + remaining)?;
        Some((Self::whole(header, whole), whole.len()))
    }

    /// The message that fills `whole`.
    fn whole(header: &[u8; HEADER], whole: &[u8]) -> Result<Self, BadMessage> {
        let (body, footer) = whole.split_at(whole.len() - FOOTER.len());
        let (body, checksum) = body.split_at(body.len() - 16);
        if footer != FOOTER {
            return Err(BadMessage::Footer);
        }
        match header[22] {
            0 => {}
            1 if Md5::digest(body)[..] == *checksum => {}
            1 => return Err(BadMessage::Checksum),
            _ => return Err(BadMessage::ChecksumType),
        }
        let immediate = &header[24..24 + usize::from(header[23])];
        let payload = if immediate.is_empty() { &body[HEADER..] } else { immediate };
        Ok(Self { payload: payload.to_vec(), ..Self::heading(header).unwrap_or_default() })
    }
}

/// A spectrum and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spectrum {
    /// How many the spectrometer has taken.
    pub count: u32,
    /// Codes of the converter.
    pub pixels: Vec<u32>,
}

impl Spectrum {
    /// The spectrum in a payload; none when it does not hold whole pixels.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (metadata, pixels) = payload.split_at_checked(METADATA)?;
        let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let pixels = pixels.len().is_multiple_of(4).then(|| pixels.chunks_exact(4).map(word).collect())?;
        Some(Self { count: word(metadata), pixels })
    }

    /// The payload that holds it, with its number.
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = self.count.to_le_bytes().to_vec();
        payload.resize(METADATA, 0);
        payload.extend(self.pixels.iter().flat_map(|pixel| pixel.to_le_bytes()));
        payload
    }
}

/// Which of `pixels` are read as one of `runs` readings.
pub fn run(pixels: usize, runs: usize, index: usize) -> std::ops::Range<usize> {
    index * pixels / runs..(index + 1) * pixels / runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_has_the_layout_of_the_protocol() {
        let mut bytes = Vec::new();
        let payload = 10_000_u32.to_le_bytes().to_vec();
        let message = ObpMessage {
            flags: flag::REQUEST_ACK,
            kind: message_type::SET_INTEGRATION,
            payload,
            ..ObpMessage::default()
        };
        message.encode(false, &mut bytes);
        assert_eq!(bytes.len(), 64);
        assert_eq!(bytes[..12], [0xC1, 0xC0, 0x00, 0x11, 0x04, 0, 0, 0, 0x10, 0x00, 0x11, 0x00]);
        assert_eq!(bytes[22..28], [0, 4, 0x10, 0x27, 0, 0]);
        assert_eq!(bytes[40..44], [20, 0, 0, 0]);
        assert_eq!(bytes[60..], FOOTER);
    }

    #[test]
    fn a_length_that_no_message_has_is_refused_before_it_is_held() {
        let mut bytes = Vec::new();
        ObpMessage::default().encode(false, &mut bytes);
        bytes[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(ObpMessage::decode(&bytes), Some((Err(BadMessage::TooLarge), bytes.len())));
        bytes[40..44].copy_from_slice(&19_u32.to_le_bytes());
        assert_eq!(ObpMessage::decode(&bytes), Some((Err(BadMessage::Length), bytes.len())));
    }

    #[test]
    fn a_spectrum_returns_from_its_payload() {
        let spectrum = Spectrum { count: 77, pixels: vec![0, 1, 65_535, u32::MAX] };
        assert_eq!(Spectrum::decode(&spectrum.encode()), Some(spectrum));
        assert_eq!(Spectrum::decode(&[0; 31]), None);
        assert_eq!(Spectrum::decode(&[0; 33]), None);
    }

    #[test]
    fn runs_of_pixels_leave_none_out_and_differ_by_one_at_most() {
        for (pixels, runs) in [(1000, 50), (1044, 50), (2068, 50), (7, 7), (2136, 3)] {
            let all: Vec<_> = (0..runs).map(|index| run(pixels, runs, index)).collect();
            assert!(all[0].start == 0 && all[runs - 1].end == pixels);
            assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(all.iter().all(|run| run.len() == pixels / runs || run.len() == pixels / runs + 1));
        }
    }

    proptest! {
        #[test]
        fn messages_return_in_any_split_and_damage_is_noticed(
            kind: u32,
            regarding: u32,
            payload in prop::collection::vec(any::<u8>(), 0..200),
            place in any::<prop::sample::Index>(),
            flip in 1_u8..,
        ) {
            let message = ObpMessage { flags: flag::RESPONSE, error: 0, kind, regarding, payload };
            let mut bytes = Vec::new();
            message.encode(true, &mut bytes);
            for length in [0, 1, 43, 44, bytes.len() - 1] {
                prop_assert_eq!(ObpMessage::decode(&bytes[..length]), None);
            }
            prop_assert_eq!(ObpMessage::decode(&bytes), Some((Ok(message.clone()), bytes.len())));
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            // The byte that says that there is a checksum is the one thing that none protects.
            if place != 22 {
                prop_assert!(!matches!(ObpMessage::decode(&bytes), Some((Ok(_), _))));
            }
        }

        #[test]
        fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..300), is_start: bool) {
            if is_start && 2 < bytes.len() {
                bytes[..2].copy_from_slice(&START);
            }
            let _ = ObpMessage::decode(&bytes);
            let _ = Spectrum::decode(&bytes);
        }
    }
}
