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

use crate::{Error, Opening, Port, Session};

/// Where it listens unless told otherwise.
pub const PORT: u16 = 21_845;
/// Mirrors in a row.
pub const COLUMNS: usize = 608;
/// Rows of mirrors: a channel's transmission has as many steps.
pub const ROWS: usize = 684;
/// The longest payload of one packet.
const LONGEST: usize = 0xFFFF;
/// Bytes before the payload.
const HEADER: usize = 6;
/// Bytes of a monochrome bitmap before its pixels: file header 14, information header 40, two colors of 4.
const BITMAP_HEADER: usize = 62;
/// Bytes of a row of a monochrome bitmap: a whole number of four.
const STRIDE: usize = COLUMNS.div_ceil(32) * 4;
/// Error code 2: the device has no such command.
pub const INVALID_COMMAND: u8 = 2;
/// The display mode of single images.
const STATIC: u8 = 0;
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
    /// Write, or read: 0 static image, 4 pattern sequence.
    pub const DISPLAY_MODE: [u8; 2] = [0x01, 0x01];
    /// Write: a bitmap that is shown until the next.
    pub const STATIC_IMAGE: [u8; 2] = [0x01, 0x05];
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

/// What an error code means (programmer's guide, table of error codes).
fn meaning(code: u8) -> &'static str {
    match code {
        INVALID_COMMAND => "invalid command",
        3 => "invalid parameter",
        4 => "out of memory",
        5 => "hardware failure",
        6 => "busy",
        7 => "not initialized",
        8 => "not found",
        9 => "wrong checksum",
        10 => "wrong packet format",
        11 => "wrong continuation of a packet",
        _ => "unknown error",
    }
}

/// A transmission as a number of mirrors that are on in each column of its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MirrorCode(u16);

impl MirrorCode {
    /// The code nearest to a transmission; beyond 0 and 1 it is the end.
    pub fn nearest(transmission: f32) -> Self {
        Self((transmission.clamp(0.0, 1.0) * ROWS as f32).round() as u16)
    }

    /// The transmission that it stands for, in fractions of the light.
    pub fn transmission(self) -> f32 {
        f32::from(self.0) / ROWS as f32
    }
}

/// The columns of one of `channels` channels: all have as many, centered on the device.
fn columns(channel: usize, channels: usize) -> std::ops::Range<usize> {
    let width = COLUMNS / channels.max(1);
    let start = (COLUMNS - width * channels) / 2 + channel * width;
    start..start + width
}

/// The monochrome bitmap file that gives each channel its transmission.
pub fn bitmap(codes: &[MirrorCode]) -> Vec<u8> {
    let size = BITMAP_HEADER + STRIDE * ROWS;
    let mut file = Vec::with_capacity(size);
    file.extend(b"BM");
    file.extend((size as u32).to_le_bytes());
    file.extend([0; 4]);
    file.extend((BITMAP_HEADER as u32).to_le_bytes());
    file.extend(40_u32.to_le_bytes());
    file.extend((COLUMNS as u32).to_le_bytes());
    file.extend((ROWS as u32).to_le_bytes());
    // One plane of one bit per pixel; not compressed, size and resolution left out, two colors.
    file.extend([1, 0, 1, 0]);
    file.extend([0; 16]);
    file.extend([2, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0]);
    let mut rows = vec![0_u8; STRIDE * ROWS];
    for (channel, code) in codes.iter().enumerate() {
        for column in columns(channel, codes.len()) {
            for row in 0..usize::from(code.0).min(ROWS) {
                rows[row * STRIDE + column / 8] |= 0x80 >> (column % 8);
            }
        }
    }
    file.extend(rows);
    file
}

/// The transmissions of `channels` channels that a bitmap file gives; none when it is not one of this device's.
pub fn transmissions(file: &[u8], channels: usize) -> Option<Vec<f32>> {
    let word =
        |at: usize| file.get(at..at + 4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let is_ours = file.starts_with(b"BM") && word(18)? == COLUMNS as u32 && word(22)? == ROWS as u32;
    let rows = file.get(word(10)? as usize..)?.get(..STRIDE * ROWS).filter(|_| is_ours)?;
    let is_on = |row: usize, column: usize| rows[row * STRIDE + column / 8] & (0x80 >> (column % 8)) != 0;
    let part = |channel| {
        let columns = columns(channel, channels);
        let on = columns.clone().map(|column| (0..ROWS).filter(|&row| is_on(row, column)).count()).sum::<usize>();
        on as f32 / (columns.len().max(1) * ROWS) as f32
    };
    Some((0..channels).map(part).collect())
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
    /// What is shown, so that it is shown again after the device was lost.
    shown: Option<Vec<MirrorCode>>,
}

impl LightCrafter {
    /// The device called `instrument` in the rig.
    pub fn new(instrument: &str) -> Self {
        Self { instrument: instrument.to_owned(), shown: None }
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
                        message: meaning(code).to_owned(),
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

    /// Lets it show single images, and asks whether it does where it can say. The image itself cannot be read back.
    async fn show_images(&self, port: &mut Port) -> Result<(), Error> {
        self.send(port, kind::WRITE, command::DISPLAY_MODE, &[STATIC]).await?;
        let mode = match self.send(port, kind::READ, command::DISPLAY_MODE, &[]).await {
            Err(Error::Refused { code, .. }) if code == i32::from(INVALID_COMMAND) => return Ok(()),
            mode => mode?,
        };
        if mode.first() == Some(&STATIC) {
            return Ok(());
        }
        Err(Error::Readback {
            instrument: self.instrument.clone(),
            setting: "its display mode".to_owned(),
            sent: STATIC.to_string(),
            read: mode.first().map(ToString::to_string).unwrap_or_default(),
        })
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
        // Component 0 is the device itself. What it shows stays as it is.
        self.send(port, kind::READ, command::VERSION, &[0]).await?;
        if let Some(codes) = self.shown.clone() {
            self.show_images(port).await?;
            self.show(port, &codes).await?;
        }
        Ok(())
    }

    async fn exchange(&mut self, port: &mut Port, request: &ShaperRequest) -> Result<(), Error> {
        let codes = match request {
            ShaperRequest::Show(codes) => codes.clone(),
            ShaperRequest::Dark => vec![MirrorCode(0)],
        };
        if self.shown.is_none() {
            self.show_images(port).await?;
        }
        // Light that was to end is not shown once more when a device that was lost is back.
        if matches!(request, ShaperRequest::Dark) {
            self.shown = Some(codes.clone());
        }
        self.show(port, &codes).await?;
        self.shown = Some(codes);
        Ok(())
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

    #[test]
    fn a_bitmap_holds_what_it_was_made_of() {
        let wanted: Vec<f32> = (0..100).map(|channel| channel as f32 / 99.0).collect();
        let codes: Vec<MirrorCode> = wanted.iter().map(|&value| MirrorCode::nearest(value)).collect();
        let file = bitmap(&codes);
        assert_eq!(file.len(), 62 + 76 * 684);
        let read = transmissions(&file, 100).unwrap();
        for ((read, code), wanted) in read.iter().zip(&codes).zip(&wanted) {
            assert_eq!(*read, code.transmission());
            assert!((read - wanted).abs() <= 0.5 / 684.0 + 1e-6);
        }
        assert_eq!(transmissions(&file[1..], 100), None);
        assert_eq!(transmissions(&file[..1000], 100), None);
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
            let _ = transmissions(&bytes, 7);
        }
    }
}
