//! The shaper: a `LightCrafter` with its display modes, test patterns and pattern sequences.
//!
//! Not there: video (no light comes of it), stored solutions, and firmware. Turning an image by 90° is for video and changes no image of 608 × 684.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drivers::lightcrafter::{COLUMNS, Image, LARGEST, Packet, command, error, kind};

use super::sequence::{Sequence, Shown};
use super::world::{World, locked};
use crate::byte_server::{Answering, Heard};

/// Display modes.
const STATIC: u8 = 0;
const TEST_PATTERN: u8 = 1;
const SEQUENCE: u8 = 4;
/// The test pattern after power is switched on: solid black.
const BLACK: u8 = 1;
/// The last of the test patterns.
const LAST_PATTERN: u8 = 0x0D;
/// Flags of packets.
const COMPLETE: u8 = 0;
const BEGINNING: u8 = 1;
const END: u8 = 3;

/// The shaper's side of the bench.
pub(super) struct Shaper {
    world: Arc<Mutex<World>>,
    mode: u8,
    /// Flipped across the long axis, across the short one, turned.
    display: [u8; 3],
    test_pattern: u8,
    /// Red, green, blue.
    led_currents: [u8; 6],
    camera: [u8; 11],
    image: Option<Image>,
    sequence: Sequence,
}

/// A payload that comes in several packets, over one connection.
#[derive(Debug, Default)]
pub(super) struct Upload(Option<([u8; 2], Vec<u8>)>);

impl Upload {
    /// The payload that a packet completes; none where more is to come.
    fn take(&mut self, packet: &Packet) -> Result<Option<Vec<u8>>, u8> {
        let begun = self.0.take();
        match packet.flag {
            COMPLETE => return Ok(Some(packet.payload.clone())),
            BEGINNING => self.0 = Some((packet.command, packet.payload.clone())),
            2 | END => {
                let goes_on = begun.filter(|(command, _)| *command == packet.command);
                let (command, mut payload) = goes_on.ok_or(error::CONTINUATION)?;
                payload.extend(&packet.payload);
                // The number of a pattern comes before its image.
                if LARGEST + 1 < payload.len() {
                    return Err(error::OUT_OF_MEMORY);
                }
                if packet.flag == END {
                    return Ok(Some(payload));
                }
                self.0 = Some((command, payload));
            }
            _ => return Err(error::FORMAT),
        }
        Ok(None)
    }
}

impl Shaper {
    /// As it is after power is switched on: dark.
    pub(super) fn new(world: Arc<Mutex<World>>) -> Self {
        Self {
            world,
            mode: TEST_PATTERN,
            display: [0; 3],
            test_pattern: BLACK,
            led_currents: [0; 6],
            camera: [0; 11],
            image: None,
            sequence: Sequence::default(),
        }
    }

    fn read(&self, command: [u8; 2], payload: &[u8]) -> Result<Vec<u8>, u8> {
        Ok(match command {
            command::VERSION => match payload {
                [0..=2] => b"pnnlab SIMULATED 1.0".to_vec(),
                [_] => return Err(error::INVALID_PARAMETER),
                _ => return Err(error::FORMAT),
            },
            command::DISPLAY_MODE => vec![self.mode],
            command::TEST_PATTERN => vec![self.test_pattern],
            command::LED_CURRENT => self.led_currents.to_vec(),
            command::DISPLAY_SETTING => self.display.to_vec(),
            command::SEQUENCE => self.sequence.setting(false),
            command::LONG_SEQUENCE => self.sequence.setting(true),
            command::CAMERA_TRIGGER => self.camera.to_vec(),
            _ => return Err(error::INVALID_COMMAND),
        })
    }

    fn write(&mut self, command: [u8; 2], payload: &[u8]) -> Result<(), u8> {
        match command {
            command::DISPLAY_MODE => self.mode = up_to(SEQUENCE, payload)?,
            command::TEST_PATTERN => self.test_pattern = up_to(LAST_PATTERN, payload)?,
            command::LED_CURRENT => self.led_currents = payload.try_into().map_err(|_| error::FORMAT)?,
            command::CAMERA_TRIGGER => self.camera = payload.try_into().map_err(|_| error::FORMAT)?,
            command::DISPLAY_SETTING => {
                let display: [u8; 3] = payload.try_into().map_err(|_| error::FORMAT)?;
                let is_one = display.iter().all(|value| *value <= 1);
                self.display = if is_one { display } else { return Err(error::INVALID_PARAMETER) };
            }
            command::STATIC_IMAGE => {
                self.needs(STATIC)?;
                self.image = Some(Image::decode(payload, None).ok_or(error::INVALID_PARAMETER)?);
            }
            command::STATIC_COLOR => {
                self.needs(STATIC)?;
                let [blue, green, red, _]: [u8; 4] = payload.try_into().map_err(|_| error::FORMAT)?;
                let sum: f64 = [blue, green, red].into_iter().map(f64::from).sum();
                self.image = Some(Image::even(sum / (3.0 * 255.0)));
            }
            command::SEQUENCE => self.sequence.set(payload, false)?,
            command::LONG_SEQUENCE => self.sequence.set(payload, true)?,
            command::PATTERN => self.sequence.define(payload)?,
            command::START => {
                // Stopping is never refused.
                if payload != [0] {
                    self.needs(SEQUENCE)?;
                }
                self.sequence.run(payload, Instant::now())?;
            }
            command::ADVANCE if !payload.is_empty() => return Err(error::FORMAT),
            command::ADVANCE => self.needs(SEQUENCE).and_then(|()| self.sequence.advance())?,
            command::SHOW_PATTERN => self.needs(SEQUENCE).and_then(|()| self.sequence.show(payload))?,
            _ => return Err(error::INVALID_COMMAND),
        }
        self.show();
        #[cfg(test)]
        if command == command::STATIC_IMAGE {
            let mut world = locked(&self.world);
            let mask = world.shown.now(world.channels(), Instant::now()).into_iter().skip(1).step_by(2).collect();
            world.masks.push(mask);
        }
        Ok(())
    }

    /// Refuses what needs another display mode.
    fn needs(&self, mode: u8) -> Result<(), u8> {
        if self.mode == mode { Ok(()) } else { Err(error::NOT_INITIALIZED) }
    }

    /// Lets the light through as it is to be now.
    fn show(&mut self) {
        if self.mode != SEQUENCE {
            self.sequence.stop();
        }
        let mut world = locked(&self.world);
        let channels = world.channels();
        let is_flipped = self.display[1] == 1;
        let seen = |image: &Image| {
            let image = if is_flipped { &image.flipped() } else { image };
            image.transmissions(channels)
        };
        world.shown = match self.mode {
            STATIC => self.image.as_ref().map_or(Shown::Dark, |image| Shown::Still(seen(image))),
            TEST_PATTERN => Shown::Still(seen(&test_pattern(self.test_pattern))),
            SEQUENCE => self.sequence.shown(seen),
            _ => Shown::Dark,
        };
    }
}

/// One byte that is no larger than `most`.
fn up_to(most: u8, payload: &[u8]) -> Result<u8, u8> {
    match *payload {
        [value] if value <= most => Ok(value),
        [_] => Err(error::INVALID_PARAMETER),
        _ => Err(error::FORMAT),
    }
}

/// The internal test patterns, by their numbers.
fn test_pattern(number: u8) -> Image {
    let lines = |every: usize| Image::from_columns(move |column| f64::from(u8::from(column % every == 0)));
    match number {
        BLACK => Image::even(0.0),
        2 => Image::even(1.0),
        // One color of three, which take turns.
        3..=5 => Image::even(1.0 / 3.0),
        6 => lines(8),
        // One row in eight; lines on the diagonal are as many.
        7 | 0x0A => Image::even(1.0 / 8.0),
        8 => lines(2),
        0x0C => Image::from_columns(|column| column as f64 / (COLUMNS - 1) as f64),
        // Checkerboards, every other row, a ramp from top to bottom.
        _ => Image::even(0.5),
    }
}

impl Answering for Shaper {
    type Client = Upload;

    fn hear(&mut self, upload: &mut Upload, received: &[u8]) -> Option<Heard> {
        let (packet, length) = Packet::decode(received)?;
        let heard = match packet {
            Err(_) => Err(error::CHECKSUM),
            Ok(packet) => match packet.kind {
                kind::READ => self.read(packet.command, &packet.payload).map(|payload| (kind::ANSWER, payload)),
                kind::WRITE => match upload.take(&packet) {
                    Ok(Some(payload)) => self.write(packet.command, &payload).map(|()| (kind::WRITTEN, vec![])),
                    more => more.map(|_| (kind::WRITTEN, vec![])),
                },
                _ => Err(error::FORMAT),
            },
        };
        let (kind, payload) = heard.unwrap_or_else(|code| (kind::ERROR, vec![code]));
        let mut bytes = Vec::new();
        Packet { kind, command: [received[1], received[2]], flag: COMPLETE, payload }.encode(&mut bytes);
        Some(Heard { length, answer: Some(bytes), work: Duration::ZERO })
    }

    fn power_cycle(&mut self) {
        *self = Self::new(Arc::clone(&self.world));
        self.show();
    }
}
