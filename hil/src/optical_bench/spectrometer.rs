//! The spectrometer: the Ocean Binary Protocol, as python-seabreeze asks it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use drivers::ocean_obp::{BadMessage, ObpMessage, Spectrum, UNKNOWN_TYPE, error, flag, message_type};

use super::world::{FULL_SCALE, World, locked};
use crate::byte_server::{Answering, Heard};
use crate::{Fault, Faults};

/// The integration times that it takes, in µs.
const INTEGRATION_TIMES: std::ops::RangeInclusive<u32> = 10..=1_600_000_000;
/// What it integrates until it is told otherwise, in µs.
const INTEGRATION: u32 = 100_000;
/// What it says of itself.
const SERIAL: &[u8] = b"SIMULATED-1";
const NAME: &[u8] = b"pnnlab spectrometer (simulated)";
/// The numbers of an HDX, the one model that python-seabreeze knows by USB and by network.
const VENDOR: u16 = 0x2457;
const PRODUCT: u16 = 0x2003;
/// The wavelengths of the first pixel and behind the last, in nm: the second harmonic of light around 800 nm.
const WAVELENGTHS: [f64; 2] = [390.0, 410.0];
/// Its readings need no correction.
const NONLINEARITY: [f32; 1] = [1.0];

/// The spectrometer's side of the bench.
pub(super) struct Spectrometer {
    world: Arc<Mutex<World>>,
    /// In µs.
    integration: u32,
    faults: Faults,
}

/// What a request comes to: the payload of its answer, and how long it takes; or the code of an error.
type Done = Result<(Vec<u8>, Duration), u16>;

impl Spectrometer {
    pub(super) fn new(world: Arc<Mutex<World>>, faults: Faults) -> Self {
        Self { world, integration: INTEGRATION, faults }
    }

    fn obey(&mut self, kind: u32, payload: &[u8]) -> Done {
        let at_once = |payload: Vec<u8>| Ok((payload, Duration::ZERO));
        match kind {
            message_type::SERIAL => at_once(SERIAL.to_vec()),
            message_type::SERIAL_LENGTH => at_once(vec![SERIAL.len() as u8]),
            message_type::VENDOR => at_once(VENDOR.to_le_bytes().to_vec()),
            message_type::PRODUCT => at_once(PRODUCT.to_le_bytes().to_vec()),
            message_type::NAME => at_once(NAME.to_vec()),
            message_type::SET_INTEGRATION => {
                let micros = u32::from_le_bytes(payload.try_into().map_err(|_| error::LENGTH)?);
                let is_one = INTEGRATION_TIMES.contains(&micros);
                self.integration = if is_one { micros } else { return Err(error::VALUE) };
                at_once(vec![])
            }
            message_type::INTEGRATION => at_once(self.integration.to_le_bytes().to_vec()),
            // It takes a spectrum when it is asked for one, and has no line for other triggers.
            message_type::SET_TRIGGER => match payload {
                [0] => at_once(vec![]),
                [_] => Err(error::VALUE),
                _ => Err(error::LENGTH),
            },
            message_type::WAVELENGTH_COUNT => at_once(vec![self.wavelengths().len() as u8]),
            message_type::WAVELENGTH => at_once(coefficient(&self.wavelengths(), payload)?),
            message_type::NONLINEARITY_COUNT => at_once(vec![NONLINEARITY.len() as u8]),
            message_type::NONLINEARITY => at_once(coefficient(&NONLINEARITY, payload)?),
            message_type::SPECTRUM | message_type::RAW_SPECTRUM | message_type::CORRECTED_SPECTRUM => {
                let spectrum = self.spectrum();
                let is_buffered = kind == message_type::SPECTRUM;
                let payload = if is_buffered { spectrum.encode() } else { raw(&spectrum) };
                Ok((payload, Duration::from_micros(self.integration.into())))
            }
            _ => Err(UNKNOWN_TYPE),
        }
    }

    /// The next spectrum.
    fn spectrum(&self) -> Spectrum {
        let mut world = locked(&self.world);
        let is_stale = !world.last.is_empty() && self.faults.strike(Fault::StaleFrame);
        if is_stale { Spectrum { count: world.count, pixels: world.last.clone() } } else { world.expose() }
    }

    /// The coefficients of the wavelengths: they are linear in the number of the pixel.
    fn wavelengths(&self) -> [f32; 4] {
        let [first, end] = WAVELENGTHS;
        [first as f32, ((end - first) / locked(&self.world).pixels as f64) as f32, 0.0, 0.0]
    }

    /// The answer to a message, and how long it takes; none where none is wanted.
    fn answer(&mut self, message: Result<ObpMessage, (ObpMessage, u16)>) -> (Option<Vec<u8>>, Duration) {
        let (message, done) = match message {
            Ok(message) => {
                let done = self.obey(message.kind, &message.payload);
                (message, done)
            }
            Err((heading, code)) => (heading, Err(code)),
        };
        let wants_word = message.flags & flag::REQUEST_ACK != 0;
        let (flags, error, payload, work) = match done {
            Ok((payload, work)) if wants_word => (flag::ACK, 0, payload, work),
            Ok((payload, work)) if payload.is_empty() => return (None, work),
            Ok((payload, work)) => (0, 0, payload, work),
            Err(code) => (flag::NACK, code, vec![], Duration::ZERO),
        };
        let mut bytes = Vec::new();
        ObpMessage { flags: flag::RESPONSE | flags, error, payload, ..message }.encode(true, &mut bytes);
        (Some(bytes), work)
    }
}

/// A coefficient by the number in a payload.
fn coefficient(coefficients: &[f32], payload: &[u8]) -> Result<Vec<u8>, u16> {
    let [index] = *payload else { return Err(error::LENGTH) };
    let found = coefficients.get(usize::from(index)).ok_or(error::NOTHING_THERE)?;
    Ok(found.to_le_bytes().to_vec())
}

/// A spectrum in pixels of 16 bits.
fn raw(spectrum: &Spectrum) -> Vec<u8> {
    let scaled = |code: &u32| (u64::from(*code) * u64::from(u16::MAX) / u64::from(FULL_SCALE)) as u16;
    spectrum.pixels.iter().flat_map(|code| scaled(code).to_le_bytes()).collect()
}

impl Answering for Spectrometer {
    type Client = ();

    fn hear(&mut self, (): &mut (), received: &[u8]) -> Option<Heard> {
        let (message, length) = ObpMessage::decode(received)?;
        let message = match message {
            Ok(message) => Ok(message),
            // What is no message is passed over until one begins.
            Err(BadMessage::Start | BadMessage::Footer) => {
                return Some(Heard { length, answer: None, work: Duration::ZERO });
            }
            Err(bad) => {
                let code = match bad {
                    BadMessage::Checksum => error::CHECKSUM,
                    BadMessage::ChecksumType => error::CHECKSUM_TYPE,
                    BadMessage::TooLarge => error::TOO_LARGE,
                    BadMessage::Length | BadMessage::Start | BadMessage::Footer => error::LENGTH,
                };
                Err((ObpMessage::heading(received).unwrap_or_default(), code))
            }
        };
        let (answer, work) = self.answer(message);
        Some(Heard { length, answer, work })
    }

    fn power_cycle(&mut self) {
        self.integration = INTEGRATION;
        let mut world = locked(&self.world);
        world.count = 0;
        world.last.clear();
    }
}
