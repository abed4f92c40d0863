//! A spectrometer that speaks the Ocean Binary Protocol: STS, QE Pro, Spark, HDX, SR, HR, over a serial line or TCP.
//!
//! A message is, little-endian: start bytes C1 C0, version (u16), flags (u16), error (u16), type (u32), regarding (u32: the
//! answer repeats it), 6 reserved bytes, type of checksum (u8: 0 none, 1 MD5), length of immediate data (u8, 16 at most), 16 bytes of
//! immediate data, bytes remaining (u32: payload, checksum and footer); payload; 16 bytes of checksum; footer C5 C4 C3 C2. 64
//! bytes at least. Source: Ocean Optics' OBP as python-seabreeze speaks it (`pyseabreeze/protocol.py`).
//!
//! Spectra are read with metadata ("buffered spectrum", QE Pro): 32 bytes of which the first four count spectra, then
//! pixels of 32 bits. The counter tells a stale frame from a new one.

use std::time::Duration;

use md5::{Digest, Md5};

use crate::dialogue::shown;
use crate::{Error, Opening, Port, Session};

/// First bytes.
const START: [u8; 2] = [0xC1, 0xC0];
/// Last bytes.
const FOOTER: [u8; 4] = [0xC5, 0xC4, 0xC3, 0xC2];
/// The newest version of the protocol (python-seabreeze, `HEADER_PROTOCOL_VERSION`).
const VERSION: u16 = 0x1100;
/// Bytes before the payload.
const HEADER: usize = 44;
/// Checksum and footer.
const TRAILER: usize = 20;
/// The longest payload that is read: the largest of these spectrometers have some thousand pixels of four bytes.
const LONGEST: usize = 1 << 18;
/// Bytes of metadata before the pixels of a buffered spectrum.
pub const METADATA: usize = 32;

/// Error 2 of an answer: the instrument knows no such message (python-seabreeze).
pub const UNKNOWN_TYPE: u16 = 2;

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
    /// A spectrum with metadata.
    pub const SPECTRUM: u32 = 0x0010_0928;
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
    /// Its checksum differs, or is of an unknown type.
    Checksum,
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

    /// How many bytes follow a header; an error when it is none.
    pub fn remaining(header: &[u8; HEADER]) -> Result<usize, BadMessage> {
        if header[..2] != START {
            return Err(BadMessage::Start);
        }
        let remaining = u32::from_le_bytes([header[40], header[41], header[42], header[43]]) as usize;
        if !(TRAILER..=LONGEST + TRAILER).contains(&remaining) || 16 < header[23] {
            return Err(BadMessage::Length);
        }
        Ok(remaining)
    }

    /// The first message in `bytes` and how many of them it takes; none while it is incomplete.
    pub fn decode(bytes: &[u8]) -> Option<(Result<Self, BadMessage>, usize)> {
        let header = bytes.first_chunk::<HEADER>()?;
        let remaining = match Self::remaining(header) {
            Ok(remaining) => remaining,
            Err(error) => return Some((Err(error), 1)),
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
            _ => return Err(BadMessage::Checksum),
        }
        let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let long = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let immediate = &header[24..24 + usize::from(header[23])];
        let payload = if immediate.is_empty() { &body[HEADER..] } else { immediate };
        Ok(Self { flags: short(4), error: short(6), kind: long(8), regarding: long(12), payload: payload.to_vec() })
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

    /// The payload that holds it.
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = self.count.to_le_bytes().to_vec();
        payload.resize(METADATA, 0);
        payload.extend(self.pixels.iter().flat_map(|pixel| pixel.to_le_bytes()));
        payload
    }
}

/// What a spectrometer can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpectrometerRequest {
    /// Who it is.
    Serial,
    /// The next spectrum.
    Read,
}

/// What a spectrometer answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpectrometerReply {
    /// Who it is.
    Serial(String),
    /// A spectrum that is newer than any before.
    Spectrum(Spectrum),
    /// The one before, once more.
    Old,
}

/// The dialogue with a spectrometer.
#[derive(Debug)]
pub struct OceanObp {
    instrument: String,
    integration_micros: u32,
    has_md5: bool,
    regarding: u32,
    serial: Option<Vec<u8>>,
    last: Option<u32>,
}

impl OceanObp {
    /// The spectrometer called `instrument` in the rig, with its integration time in µs.
    pub fn new(instrument: &str, integration_micros: u32, has_md5: bool) -> Self {
        let instrument = instrument.to_owned();
        Self { instrument, integration_micros, has_md5, regarding: 0, serial: None, last: None }
    }

    async fn ask(&mut self, port: &mut Port, kind: u32, payload: &[u8], flags: u16) -> Result<Vec<u8>, Error> {
        self.regarding = self.regarding.wrapping_add(1);
        let request = ObpMessage { flags, error: 0, kind, regarding: self.regarding, payload: payload.to_vec() };
        let mut bytes = Vec::new();
        request.encode(self.has_md5, &mut bytes);
        port.write(&bytes).await?;
        let mut bytes = port.read_exact(HEADER).await?;
        let header = bytes.first_chunk().ok_or_else(|| self.garbled("sent half a header"))?;
        let remaining = ObpMessage::remaining(header).map_err(|_| self.garbled("sent what is no OBP message"))?;
        bytes.extend(port.read_exact(remaining).await?);
        let Some((Ok(answer), _)) = ObpMessage::decode(&bytes) else {
            return Err(self.garbled("sent an OBP message with a wrong checksum or end"));
        };
        if answer.regarding != self.regarding || answer.kind != kind {
            return Err(self.garbled("answered another request than it was sent"));
        }
        if !port.is_drained() {
            return Err(self.garbled("said more than it was asked"));
        }
        if answer.flags & flag::NACK != 0 || answer.error != 0 {
            return Err(Error::Refused {
                instrument: self.instrument.clone(),
                command: format!("{kind:#010x}"),
                code: answer.error.into(),
                message: "see the error codes of the spectrometer's OBP data sheet".to_owned(),
            });
        }
        Ok(answer.payload)
    }

    /// Sets the integration time, and asks whether it is set where the instrument can say: not all have that message.
    async fn push(&mut self, port: &mut Port) -> Result<(), Error> {
        let micros = self.integration_micros;
        self.ask(port, message_type::SET_INTEGRATION, &micros.to_le_bytes(), flag::REQUEST_ACK).await?;
        let read = match self.ask(port, message_type::INTEGRATION, &[], 0).await {
            Err(Error::Refused { code, .. }) if code == i32::from(UNKNOWN_TYPE) => return Ok(()),
            read => read?,
        };
        let read = read.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let read = read.ok_or_else(|| self.garbled("sent half an integration time"))?;
        if read == micros {
            return Ok(());
        }
        Err(Error::Readback {
            instrument: self.instrument.clone(),
            setting: "its integration time".to_owned(),
            sent: format!("{micros} µs"),
            read: format!("{read} µs"),
        })
    }

    /// A spectrum that is newer than the last one; none where that was sent again.
    async fn next(&mut self, port: &mut Port) -> Result<Option<Spectrum>, Error> {
        let payload = self.ask(port, message_type::SPECTRUM, &[], 0).await?;
        let spectrum = Spectrum::decode(&payload).ok_or_else(|| self.garbled("sent half a spectrum"))?;
        let ahead = self.last.map_or(1, |last| spectrum.count.wrapping_sub(last));
        if u32::MAX / 2 < ahead {
            // It counts anew: it was switched off and on, and has lost its integration time.
            return Err(Error::Restarted { instrument: self.instrument.clone() });
        }
        self.last = Some(spectrum.count);
        Ok((ahead != 0).then_some(spectrum))
    }

    fn garbled(&self, message: &str) -> Error {
        Error::Garbled { instrument: self.instrument.clone(), message: message.to_owned() }
    }
}

impl Session for OceanObp {
    type Request = SpectrometerRequest;
    type Reply = SpectrometerReply;

    fn verb(request: &SpectrometerRequest) -> &'static str {
        match request {
            SpectrometerRequest::Read => "read",
            SpectrometerRequest::Serial => "identity",
        }
    }

    async fn greet(&mut self, port: &mut Port, opening: Opening) -> Result<(), Error> {
        if opening.stale {
            let pause = Duration::from_millis(20);
            port.discard_until_quiet(pause, pause * 10).await?;
        }
        let serial = self.ask(port, message_type::SERIAL, &[], 0).await?;
        if let Some(known) = &self.serial
            && *known != serial
        {
            let text = |bytes: &[u8]| format!("the one with the serial number `{}`", shown(bytes));
            let (expected, found) = (text(known), text(&serial));
            return Err(Error::Stranger { instrument: self.instrument.clone(), expected, found });
        }
        self.serial = Some(serial);
        self.push(port).await?;
        // The first frame after opening may be of before (python-seabreeze issue 174).
        self.last = None;
        self.next(port).await.map(drop)
    }

    async fn exchange(&mut self, port: &mut Port, request: &SpectrometerRequest) -> Result<SpectrometerReply, Error> {
        match request {
            SpectrometerRequest::Serial => {
                let serial = String::from_utf8_lossy(self.serial.as_deref().unwrap_or_default()).into_owned();
                Ok(SpectrometerReply::Serial(serial))
            }
            SpectrometerRequest::Read => {
                Ok(self.next(port).await?.map_or(SpectrometerReply::Old, SpectrometerReply::Spectrum))
            }
        }
    }

    fn silence(&self) -> Duration {
        Duration::from_micros(self.integration_micros.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
        assert_eq!(ObpMessage::decode(&bytes), Some((Err(BadMessage::Length), 1)));
    }

    #[test]
    fn a_spectrum_returns_from_its_payload() {
        let spectrum = Spectrum { count: 77, pixels: vec![0, 1, 65_535, u32::MAX] };
        assert_eq!(Spectrum::decode(&spectrum.encode()), Some(spectrum));
        assert_eq!(Spectrum::decode(&[0; 31]), None);
        assert_eq!(Spectrum::decode(&[0; 33]), None);
    }

    /// What the driver says of a spectrometer that answers its integration time with `read`, or knows no such question.
    async fn greeted(read: Option<u32>) -> Result<(), Error> {
        let (near, mut far) = tokio::io::duplex(4096);
        let answer = async move {
            loop {
                let mut bytes = vec![0; 64];
                if far.read_exact(&mut bytes).await.is_err() {
                    return;
                }
                let Some((Ok(asked), _)) = ObpMessage::decode(&bytes) else { return };
                let payload = match (asked.kind, read) {
                    (message_type::SERIAL, _) => b"SIM".to_vec(),
                    (message_type::INTEGRATION, Some(read)) => read.to_le_bytes().to_vec(),
                    (message_type::SPECTRUM, _) => Spectrum { count: 1, pixels: vec![7] }.encode(),
                    _ => vec![],
                };
                let refuses = asked.kind == message_type::INTEGRATION && read.is_none();
                let (flags, error) = if refuses { (flag::NACK, UNKNOWN_TYPE) } else { (flag::RESPONSE, 0) };
                let mut bytes = Vec::new();
                ObpMessage { flags, error, payload, ..asked }.encode(true, &mut bytes);
                far.write_all(&bytes).await.unwrap();
            }
        };
        let mut session = OceanObp::new("spectrometer", 10_000, false);
        let mut port = Port::over("spectrometer", near);
        let opening = Opening { count: 0, stale: false };
        tokio::select! {
            greeted = session.greet(&mut port, opening) => greeted,
            () = answer => panic!("the driver asked what is no message"),
        }
    }

    #[tokio::test]
    async fn the_integration_time_is_read_back_where_the_instrument_can_say() {
        greeted(Some(10_000)).await.unwrap();
        greeted(None).await.unwrap();
        let text = greeted(Some(100_000)).await.unwrap_err().to_string();
        assert!(text.contains("was told its integration time = 10000 µs, but says 100000 µs"), "{text}");
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
