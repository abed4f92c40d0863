//! A digital micromirror device as spectral shaper: the TI DLP `LightCrafter` (0.3 WVGA, 608 × 684 mirrors) over TCP,
//! port 21845.
//!
//! A packet is type (1 byte), command (2), flag (1), length of the payload (2, little-endian), payload, checksum (1: the sum of
//! all bytes before it, modulo 256). Types: 0x02 write, 0x04 read; answered 0x00 busy, 0x01 error with a code, 0x03 write
//! response, 0x05 read response. Flags: 0 complete, 1 beginning, 2 intermediate, 3 end of a payload in several packets.
//! Source: TI's programmer's guide for the DLP `LightCrafter` (DLPU007) and labscript-devices' `LightCrafterDMD.py`.
//!
//! A spectrum is spread over the columns. A channel's transmission is the part of its columns' mirrors that is on: codes
//! of 0 to 684.

mod bitmap;

pub use bitmap::{COLUMNS, Image, LARGEST, MirrorCode, ROWS, bitmap, transmissions};

use crate::{Error, Opening, Port, Session};

/// Where it listens unless told otherwise.
pub const PORT: u16 = 21_845;
/// The longest payload of one packet.
const LONGEST: usize = 0xFFFF;
/// Bytes before the payload.
const HEADER: usize = 6;
/// The display mode of single images.
const STATIC: u8 = 0;
/// The image as it comes: mirrored along neither axis, and not turned.
const AS_IT_COMES: [u8; 3] = [0; 3];
/// How often a busy device is asked again.
const BUSY_RETRIES: u32 = 50;

/// Packet types.
pub mod kind {
    /// The device is busy.
    pub const BUSY: u8 = 0x00;
    /// The device refuses; the payload is the code.
    pub const ERROR: u8 = 0x01;
    /// Sets something.
    pub const WRITE: u8 = 0x02;
    /// It is set.
    pub const WRITTEN: u8 = 0x03;
    /// Asks something.
    pub const READ: u8 = 0x04;
    /// The answer.
    pub const ANSWER: u8 = 0x05;
}

/// Commands.
pub mod command {
    /// Read: the version of one component, as text.
    pub const VERSION: [u8; 2] = [0x01, 0x00];
    /// Write, or read: 0 static image, 1 internal test pattern, 2 and 3 video, 4 pattern sequence.
    pub const DISPLAY_MODE: [u8; 2] = [0x01, 0x01];
    /// Write, or read: the number of the internal test pattern.
    pub const TEST_PATTERN: [u8; 2] = [0x01, 0x03];
    /// Write, or read: the currents of the red, green and blue LED, two bytes each.
    pub const LED_CURRENT: [u8; 2] = [0x01, 0x04];
    /// Write: a bitmap that is shown until the next.
    pub const STATIC_IMAGE: [u8; 2] = [0x01, 0x05];
    /// Write: a color that fills the image, in four bytes: blue, green, red, 0.
    pub const STATIC_COLOR: [u8; 2] = [0x01, 0x06];
    /// Write, or read: flipped across the long axis, across the short axis, turned.
    pub const DISPLAY_SETTING: [u8; 2] = [0x01, 0x07];
    /// Write, or read: bit depth, number of patterns, inverted, trigger, its delay, its period and the exposure (in µs, four bytes each), LED.
    pub const SEQUENCE: [u8; 2] = [0x04, 0x00];
    /// Write: the number of a pattern, and its bitmap.
    pub const PATTERN: [u8; 2] = [0x04, 0x01];
    /// Write: 1 starts the sequence, 0 stops it.
    pub const START: [u8; 2] = [0x04, 0x02];
    /// Write: the next pattern, where commands trigger.
    pub const ADVANCE: [u8; 2] = [0x04, 0x03];
    /// Write, or read: the signal to a camera.
    pub const CAMERA_TRIGGER: [u8; 2] = [0x04, 0x04];
    /// Write: shows one pattern of the sequence, by its number in two bytes.
    pub const SHOW_PATTERN: [u8; 2] = [0x04, 0x05];
    /// Write, or read: as `SEQUENCE`, with two bytes for the number of patterns, and one more at the end: whether it repeats.
    pub const LONG_SEQUENCE: [u8; 2] = [0x04, 0x80];
}

/// Codes of errors (programmer's guide, table of error codes).
pub mod error {
    /// There is no such command.
    pub const INVALID_COMMAND: u8 = 2;
    /// A value that the command does not take.
    pub const INVALID_PARAMETER: u8 = 3;
    /// More than it can hold.
    pub const OUT_OF_MEMORY: u8 = 4;
    /// What the command needs has not been set before, such as its display mode.
    pub const NOT_INITIALIZED: u8 = 7;
    /// The checksum is another than the packet's.
    pub const CHECKSUM: u8 = 9;
    /// The payload is longer or shorter than the command has it.
    pub const FORMAT: u8 = 10;
    /// A part of a payload that does not go on from the one before.
    pub const CONTINUATION: u8 = 11;

    /// What an error code means.
    pub(super) fn meaning(code: u8) -> &'static str {
        match code {
            INVALID_COMMAND => "invalid command",
            INVALID_PARAMETER => "invalid parameter",
            OUT_OF_MEMORY => "out of memory",
            5 => "hardware failure",
            6 => "busy",
            NOT_INITIALIZED => "not initialized",
            8 => "not found",
            CHECKSUM => "wrong checksum",
            FORMAT => "wrong packet format",
            CONTINUATION => "wrong continuation of a packet",
            _ => "unknown error",
        }
    }
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// One of [`kind`].
    pub kind: u8,
    /// One of [`command`].
    pub command: [u8; 2],
    /// 0 complete, 1 beginning, 2 intermediate, 3 end.
    pub flag: u8,
    /// What belongs to the command.
    pub payload: Vec<u8>,
}

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadChecksum;

impl Packet {
    /// The packets that carry `payload`, each of a length that its header can say.
    pub fn split(kind: u8, command: [u8; 2], payload: &[u8]) -> Vec<Self> {
        if payload.len() <= LONGEST {
            return vec![Self { kind, command, flag: 0, payload: payload.to_vec() }];
        }
        let last = payload.len().div_ceil(LONGEST) - 1;
        let flag = |index| {
            if index == 0 {
                1
            } else if index == last {
                3
            } else {
                2
            }
        };
        let parts = payload.chunks(LONGEST).enumerate();
        parts.map(|(index, part)| Self { kind, command, flag: flag(index), payload: part.to_vec() }).collect()
    }

    /// Appends the packet's bytes. The payload must fit into one packet; what does not is cut off.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        let payload = &self.payload[..self.payload.len().min(LONGEST)];
        bytes.extend([self.kind, self.command[0], self.command[1], self.flag]);
        bytes.extend((payload.len() as u16).to_le_bytes());
        bytes.extend(payload);
        let sum = sum(&bytes[start..]);
        bytes.push(sum);
    }

    /// The first packet in `bytes` and how many of them it takes; none while it is incomplete.
    pub fn decode(bytes: &[u8]) -> Option<(Result<Self, BadChecksum>, usize)> {
        let header = bytes.first_chunk::<HEADER>()?;
        let end = HEADER + usize::from(u16::from_le_bytes([header[4], header[5]]));
        let (body, check) = (bytes.get(..end)?, bytes.get(end)?);
        let packet = Self {
            kind: header[0],
            command: [header[1], header[2]],
            flag: header[3],
            payload: body[HEADER..].to_vec(),
        };
        Some((if sum(body) == *check { Ok(packet) } else { Err(BadChecksum) }, end + 1))
    }
}

/// The checksum.
fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// The packets that block all light, whatever the device showed before.
pub(crate) fn dark() -> Vec<Packet> {
    let mut packets = Packet::split(kind::WRITE, command::DISPLAY_MODE, &[STATIC]);
    packets.extend(Packet::split(kind::WRITE, command::STATIC_IMAGE, &bitmap(&[MirrorCode::DARK])));
    packets
}

/// The settings that an image needs: what they are called, and the bytes that are ours.
const SETTINGS: [(&str, [u8; 2], &[u8]); 2] = [
    ("its display mode", command::DISPLAY_MODE, &[STATIC]),
    ("its display setting (flips, rotation)", command::DISPLAY_SETTING, &AS_IT_COMES),
];

/// Bytes as numbers.
fn spelled(bytes: &[u8]) -> String {
    bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// What a shaper can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShaperRequest {
    /// Show these transmissions until told otherwise.
    Show(Vec<MirrorCode>),
    /// Block all light.
    Dark,
}

/// The dialogue with a `LightCrafter`.
#[derive(Debug)]
pub struct LightCrafter {
    instrument: String,
    /// Whether it has been told, on this port, to show single images.
    shows_images: bool,
}

impl LightCrafter {
    /// The device called `instrument` in the rig.
    pub fn new(instrument: &str) -> Self {
        Self { instrument: instrument.to_owned(), shows_images: false }
    }

    /// Sends a payload and waits for the answer to each of its packets.
    async fn send(&self, port: &mut Port, kind: u8, command: [u8; 2], payload: &[u8]) -> Result<Vec<u8>, Error> {
        let mut answer = Vec::new();
        for packet in Packet::split(kind, command, payload) {
            answer = self.packet(port, &packet).await?;
        }
        Ok(answer)
    }

    async fn packet(&self, port: &mut Port, packet: &Packet) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        for _ in 0..BUSY_RETRIES {
            port.write(&bytes).await?;
            let header = port.read_exact(HEADER).await?;
            let rest = port.read_exact(usize::from(u16::from_le_bytes([header[4], header[5]])) + 1).await?;
            let answer = Packet::decode(&[header, rest].concat());
            let Some((Ok(answer), _)) = answer else { return Err(self.garbled("sent a packet with a wrong checksum")) };
            match answer.kind {
                kind::BUSY => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
                kind::ERROR => {
                    let code = answer.payload.first().copied().unwrap_or(1);
                    return Err(Error::Refused {
                        instrument: self.instrument.clone(),
                        command: format!("{:02x} {:02x}", packet.command[0], packet.command[1]),
                        code: code.into(),
                        message: error::meaning(code).to_owned(),
                    });
                }
                kind::WRITTEN | kind::ANSWER if answer.command == packet.command => {
                    // One answer more would be taken for that to the next packet.
                    return if port.is_drained() {
                        Ok(answer.payload)
                    } else {
                        Err(self.garbled("said more than it was asked"))
                    };
                }
                _ => return Err(self.garbled("answered another command than it was given")),
            }
        }
        Err(self.garbled("stays busy"))
    }

    /// A setting of ours in words, as it is where it is another than ours; none where it is ours, or cannot be said.
    async fn other(&self, port: &mut Port, command: [u8; 2], ours: &[u8]) -> Result<Option<String>, Error> {
        let found = match self.send(port, kind::READ, command, &[]).await {
            Err(Error::Refused { code, .. }) if code == i32::from(error::INVALID_COMMAND) => return Ok(None),
            found => found?,
        };
        Ok((!found.starts_with(ours)).then(|| spelled(&found)))
    }

    /// Lets it show single images as they come, and asks whether it does where it can say. The image itself cannot be read back.
    async fn show_images(&self, port: &mut Port) -> Result<(), Error> {
        for (setting, command, ours) in SETTINGS {
            match self.send(port, kind::WRITE, command, ours).await {
                // Early firmware has no such setting.
                Err(Error::Refused { code, .. })
                    if command == command::DISPLAY_SETTING && code == i32::from(error::INVALID_COMMAND) =>
                {
                    continue;
                }
                written => written?,
            };
            if let Some(read) = self.other(port, command, ours).await? {
                let instrument = self.instrument.clone();
                return Err(Error::Readback { instrument, setting: setting.to_owned(), sent: spelled(ours), read });
            }
        }
        Ok(())
    }

    async fn show(&self, port: &mut Port, codes: &[MirrorCode]) -> Result<(), Error> {
        self.send(port, kind::WRITE, command::STATIC_IMAGE, &bitmap(codes)).await.map(drop)
    }

    fn garbled(&self, message: &str) -> Error {
        Error::Garbled { instrument: self.instrument.clone(), message: message.to_owned() }
    }
}

impl Session for LightCrafter {
    type Request = ShaperRequest;
    type Reply = ();

    fn verb(request: &ShaperRequest) -> &'static str {
        match request {
            ShaperRequest::Show(_) => "show",
            ShaperRequest::Dark => "dark",
        }
    }

    async fn greet(&mut self, port: &mut Port, _: Opening) -> Result<(), Error> {
        // Component 0 is the device itself. What it shows stays as it is, also when it is back: whoever drives it shows the next image.
        self.shows_images = false;
        self.send(port, kind::READ, command::VERSION, &[0]).await.map(drop)
    }

    async fn verify(&mut self, port: &mut Port) -> Result<(), Error> {
        if !self.shows_images {
            return Ok(());
        }
        for (setting, command, ours) in SETTINGS {
            if let Some(found) = self.other(port, command, ours).await? {
                let (instrument, ours) = (self.instrument.clone(), format!("{setting} = {}", spelled(ours)));
                return Err(Error::Changed { instrument, ours, found });
            }
        }
        Ok(())
    }

    async fn exchange(&mut self, port: &mut Port, request: &ShaperRequest) -> Result<(), Error> {
        match request {
            ShaperRequest::Show(codes) => {
                if !self.shows_images {
                    self.show_images(port).await?;
                    self.shows_images = true;
                }
                self.show(port, codes).await
            }
            // Whatever its settings are: a dark image is dark either way round.
            ShaperRequest::Dark => {
                for packet in dark() {
                    self.packet(port, &packet).await?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_packet_has_the_bytes_of_the_guide() {
        let mut bytes = Vec::new();
        Packet::split(kind::WRITE, command::DISPLAY_MODE, &[4])[0].encode(&mut bytes);
        assert_eq!(bytes, [0x02, 0x01, 0x01, 0x00, 0x01, 0x00, 0x04, 0x09]);
    }

    #[test]
    fn long_payloads_are_split_and_flagged() {
        let packets = Packet::split(kind::WRITE, command::STATIC_IMAGE, &vec![7; 2 * LONGEST + 5]);
        let shape: Vec<_> = packets.iter().map(|packet| (packet.flag, packet.payload.len())).collect();
        assert_eq!(shape, [(1, LONGEST), (2, LONGEST), (3, 5)]);
    }

    proptest! {
        #[test]
        fn packets_are_found_in_any_split_and_damage_is_noticed(
            payload in prop::collection::vec(any::<u8>(), 0..300),
            place in any::<prop::sample::Index>(),
            flip in 1_u8..,
        ) {
            let packet = Packet { kind: kind::ANSWER, command: command::VERSION, flag: 0, payload };
            let mut bytes = Vec::new();
            packet.encode(&mut bytes);
            for length in 0..bytes.len() {
                prop_assert_eq!(Packet::decode(&bytes[..length]), None);
            }
            prop_assert_eq!(Packet::decode(&bytes), Some((Ok(packet.clone()), bytes.len())));
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            if let Some((Ok(other), length)) = Packet::decode(&bytes) {
                // A length that was damaged may make a packet of the same sum; one changed byte elsewhere may not.
                prop_assert!((4..6).contains(&place) && length != bytes.len(), "{other:?}");
            }
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Packet::decode(&bytes);
        }
    }
}
