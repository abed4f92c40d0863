//! A simulated shaper and a simulated spectrometer that share one optical bench: what the shaper writes, the
//! spectrometer sees. They speak the bytes of the TI DLP `LightCrafter` and of the Ocean Binary Protocol.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drivers::Batch;
use drivers::lightcrafter::{INVALID_COMMAND, Packet, command, kind, transmissions};
use drivers::ocean_obp::{ObpMessage, Spectrum, UNKNOWN_TYPE, flag, message_type};
use sims::{Moment, System};

use crate::byte_server::{Answering, ByteServer, SerialLine};
use crate::{Fault, Faults};

/// Pixels that read each output.
const PIXELS_EACH: usize = 20;
/// Code 9 of the `LightCrafter`'s errors: wrong checksum.
const WRONG_CHECKSUM: u8 = 9;
/// Code 3: invalid parameter.
const INVALID_PARAMETER: u8 = 3;
/// Display modes: single images, and what is shown after power is switched on.
const STATIC: u8 = 0;
const TEST_PATTERN: u8 = 1;
/// Error 3 of the Ocean Binary Protocol: bad value.
const BAD_VALUE: u16 = 3;
/// The shortest integration time, in µs.
const SHORTEST: u32 = 10;
/// What the spectrometer integrates until it is told otherwise, in µs.
const INTEGRATION: u32 = 100_000;
/// A step of drift, as a part of full scale.
const DRIFT: f32 = 0.02;
/// The code that the simulated spectrometer reads at full scale: 18 bits, as a QE Pro has.
pub const FULL_SCALE: u32 = 262_143;

/// The light between the instruments.
#[derive(Debug)]
struct World {
    system: Arc<dyn System>,
    /// Transmissions of data and mask, interleaved.
    channels: Vec<f32>,
    moment: Moment,
    /// Spectra taken, and the last one.
    count: u32,
    last: Vec<u32>,
    /// What has drifted by steps, as a part of full scale.
    offset: f32,
    faults: Faults,
}

impl World {
    /// Takes one frame of what the shaper shows.
    fn expose(&mut self) -> Spectrum {
        let card = self.system.card();
        let pick = |offset: usize| self.channels.iter().skip(offset).step_by(2).copied().collect::<Vec<f32>>();
        let (inputs, controls) = (pick(0), self.system.settle(&pick(1)));
        let (shot, full_scale) = (card.timing.shot, f64::from(FULL_SCALE));
        let inputs = Batch::from_fn(1, inputs.len(), |_, column| inputs[column]);
        let outputs = self.system.shoot(&inputs, &controls, self.moment);
        self.moment.shots += 1;
        self.moment.seconds += shot;
        self.count += 1;
        if self.faults.strike(Fault::DriftStep) {
            self.offset += DRIFT;
        }
        let (stuck, saturated) = (self.faults.strike(Fault::StuckValue), self.faults.strike(Fault::Saturation));
        if stuck && !self.last.is_empty() {
            return Spectrum { count: self.count, pixels: self.last.clone() };
        }
        let offset = self.offset;
        let code = |value: &f32| (f64::from(*value + offset) * full_scale).round().clamp(0.0, full_scale) as u32;
        let pixels = outputs.values().iter().flat_map(|value| std::iter::repeat_n(code(value), PIXELS_EACH));
        self.last = pixels.collect();
        if saturated {
            self.last.fill(FULL_SCALE);
        }
        Spectrum { count: self.count, pixels: self.last.clone() }
    }
}

/// A served optical bench.
#[derive(Debug)]
pub struct OpticalBench {
    world: Arc<Mutex<World>>,
    shaper: ByteServer,
    spectrometer: ByteServer,
}

impl OpticalBench {
    /// Serves both instruments in front of `system`: the shaper on a free TCP port of this machine, the spectrometer on another, or on
    /// a serial `line`.
    pub fn serve(system: Arc<dyn System>, line: Option<&SerialLine>, faults: &Faults) -> io::Result<Self> {
        let channels = vec![0.0; system.card().ports.input_count() + system.card().ports.control_count()];
        let world = World {
            system,
            channels,
            moment: Moment::default(),
            count: 0,
            last: vec![],
            offset: 0.0,
            faults: faults.clone(),
        };
        let world = Arc::new(Mutex::new(world));
        let shaper = Shaper { world: Arc::clone(&world), received: vec![], image: vec![], mode: TEST_PATTERN };
        let spectrometer = Spectrometer {
            world: Arc::clone(&world),
            received: vec![],
            integration: INTEGRATION,
            faults: faults.clone(),
        };
        let spectrometer = match line {
            None => ByteServer::start(Box::new(spectrometer), faults)?,
            Some(line) => ByteServer::start_on_line(Box::new(spectrometer), line, faults)?,
        };
        Ok(Self { world, shaper: ByteServer::start(Box::new(shaper), faults)?, spectrometer })
    }

    /// Where the shaper listens.
    pub fn shaper_address(&self) -> &str {
        self.shaper.address()
    }

    /// Where the spectrometer listens.
    pub fn spectrometer_address(&self) -> &str {
        self.spectrometer.address()
    }

    /// Whether no light passes.
    pub fn is_dark(&self) -> bool {
        locked(&self.world).channels.iter().all(|transmission| *transmission == 0.0)
    }
}

fn locked(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The `LightCrafter`'s side.
struct Shaper {
    world: Arc<Mutex<World>>,
    received: Vec<u8>,
    /// An image that comes in several packets.
    image: Vec<u8>,
    /// The display mode.
    mode: u8,
}

impl Shaper {
    fn obey(&mut self, packet: &Packet) -> Packet {
        let answer = |kind, payload| Packet { kind, command: packet.command, flag: 0, payload };
        match (packet.kind, packet.command) {
            (kind::READ, command::VERSION) => answer(kind::ANSWER, b"pnnlab SIMULATED 1.0".to_vec()),
            (kind::WRITE, command::DISPLAY_MODE) => match packet.payload[..] {
                [mode @ 0..=4] => {
                    self.mode = mode;
                    answer(kind::WRITTEN, vec![])
                }
                _ => answer(kind::ERROR, vec![INVALID_PARAMETER]),
            },
            (kind::READ, command::DISPLAY_MODE) => answer(kind::ANSWER, vec![self.mode]),
            (kind::WRITE, command::STATIC_IMAGE) if self.mode != STATIC => answer(kind::ERROR, vec![INVALID_COMMAND]),
            (kind::WRITE, command::STATIC_IMAGE) => {
                if packet.flag <= 1 {
                    self.image.clear();
                }
                self.image.extend(&packet.payload);
                if matches!(packet.flag, 1 | 2) {
                    return answer(kind::WRITTEN, vec![]);
                }
                let mut world = locked(&self.world);
                match transmissions(&self.image, world.channels.len()) {
                    Some(channels) => {
                        world.channels = channels;
                        answer(kind::WRITTEN, vec![])
                    }
                    None => answer(kind::ERROR, vec![INVALID_PARAMETER]),
                }
            }
            _ => answer(kind::ERROR, vec![INVALID_COMMAND]),
        }
    }
}

impl Answering for Shaper {
    fn hear(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.received.extend(bytes);
        let mut answers = Vec::new();
        while let Some((packet, length)) = Packet::decode(&self.received) {
            let answer = match packet {
                Ok(packet) => self.obey(&packet),
                Err(_) => Packet { kind: kind::ERROR, command: [0, 0], flag: 0, payload: vec![WRONG_CHECKSUM] },
            };
            self.received.drain(..length);
            let mut bytes = Vec::new();
            answer.encode(&mut bytes);
            answers.push(bytes);
        }
        answers
    }

    fn reset(&mut self) {
        self.received.clear();
        self.image.clear();
    }

    fn power_cycle(&mut self) {
        self.mode = TEST_PATTERN;
        locked(&self.world).channels.fill(0.0);
    }
}

/// The spectrometer's side.
struct Spectrometer {
    world: Arc<Mutex<World>>,
    received: Vec<u8>,
    /// In µs.
    integration: u32,
    faults: Faults,
}

impl Spectrometer {
    /// Sets the integration time, if it is one.
    fn integrate(&mut self, payload: &[u8]) -> bool {
        let micros = payload.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let micros = micros.filter(|micros| SHORTEST <= *micros);
        self.integration = micros.unwrap_or(self.integration);
        micros.is_some()
    }

    fn obey(&mut self, message: &ObpMessage) -> ObpMessage {
        let refusal =
            |error| ObpMessage { flags: flag::RESPONSE | flag::NACK, error, payload: vec![], ..message.clone() };
        let answer = ObpMessage { flags: flag::RESPONSE, ..message.clone() };
        match message.kind {
            message_type::SERIAL => ObpMessage { payload: b"SIMULATED-1".to_vec(), ..answer },
            message_type::SET_INTEGRATION if self.integrate(&message.payload) => {
                ObpMessage { flags: flag::RESPONSE | flag::ACK, payload: vec![], ..answer }
            }
            message_type::SET_INTEGRATION => refusal(BAD_VALUE),
            message_type::INTEGRATION => ObpMessage { payload: self.integration.to_le_bytes().to_vec(), ..answer },
            message_type::SPECTRUM => {
                let mut world = locked(&self.world);
                let is_stale = !world.last.is_empty() && self.faults.strike(Fault::StaleFrame);
                let spectrum =
                    if is_stale { Spectrum { count: world.count, pixels: world.last.clone() } } else { world.expose() };
                ObpMessage { payload: spectrum.encode(), ..answer }
            }
            _ => refusal(UNKNOWN_TYPE),
        }
    }
}

impl Answering for Spectrometer {
    fn hear(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.received.extend(bytes);
        let mut answers = Vec::new();
        while let Some((message, length)) = ObpMessage::decode(&self.received) {
            self.received.drain(..length);
            // What is no message is passed over, byte by byte, until one begins.
            if let Ok(message) = message {
                let mut bytes = Vec::new();
                self.obey(&message).encode(true, &mut bytes);
                answers.push(bytes);
            }
        }
        answers
    }

    fn reset(&mut self) {
        self.received.clear();
    }

    fn power_cycle(&mut self) {
        self.integration = INTEGRATION;
        let mut world = locked(&self.world);
        world.count = 0;
        world.last.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use drivers::{
        DoseLimits, Error, Limited, Limits, LinkOptions, Origin, Plant, ShaperConfig, SpectralBench,
        SpectralBenchConfig, SpectrometerConfig,
    };
    use sims::{Built, Optical, OpticalImperfections};

    fn system() -> Built {
        let imperfections = OpticalImperfections {
            shaper_steps: 684,
            full_scale_counts: 0.0,
            pixel_noise: 0.0,
            power_noise: 0.0,
            tilt_noise: 0.0,
            power_per_hour: 0.0,
            phase_radians_per_hour: 0.0,
            registration_pixels_per_hour: 0.0,
            ..Optical::default().imperfections
        };
        Optical { imperfections, ..Optical::default() }.build().unwrap()
    }

    fn open(bench: &OpticalBench) -> SpectralBench {
        let config = SpectralBenchConfig {
            wiring: "laser, shaper, crystal, spectrometer".into(),
            inputs: 50,
            controls: 50,
            outputs: 50,
            deadline_seconds: 0.5,
            shaper: ShaperConfig { address: bench.shaper_address().into() },
            spectrometer: SpectrometerConfig {
                address: bench.spectrometer_address().into(),
                integration_seconds: 0.001,
                full_scale_codes: FULL_SCALE,
                discard: 1,
                md5: true,
            },
        };
        // A busy machine may take its time before anything is measured.
        let patient = Duration::from_secs(20);
        let options = |name: &str, address: &str| LinkOptions {
            open_within: patient,
            ..LinkOptions::new(name, address.parse().unwrap())
        };
        let (shaper, spectrometer) =
            (options("shaper", &config.shaper.address), options("spectrometer", &config.spectrometer.address));
        SpectralBench::open(&config, "optical", &shaper, &spectrometer).unwrap()
    }

    fn inputs(shots: usize) -> Batch {
        Batch::from_fn(shots, 50, |row, column| ((row * 7 + column * 3) % 11) as f32 / 10.0)
    }

    /// What the physics says to the transmissions that the mirrors can make, within a code of the converter.
    fn assert_reads_the_physics(plant: &mut SpectralBench, shots: usize) {
        let system = system().system;
        let mask: Vec<f32> = (0..50).map(|index| index as f32 / 49.0).collect();
        let applied = plant.apply(&mask).unwrap();
        let inputs = inputs(shots);
        let outputs = plant.measure(&inputs).unwrap();
        let round = |value: f32| (value * 684.0).round() / 684.0;
        let rounded = Batch::from_fn(shots, 50, |row, column| round(inputs.row(row)[column]));
        let expected = system.shoot(&rounded, &applied, Moment::default());
        for (read, wanted) in outputs.values().iter().zip(expected.values()) {
            assert!((read - wanted).abs() < 2e-5, "{read} for {wanted}");
        }
    }

    #[test]
    fn what_the_shaper_writes_the_spectrometer_sees() {
        let bench = OpticalBench::serve(system().system, None, &Faults::new(0)).unwrap();
        let mut plant = open(&bench);
        assert!(bench.is_dark(), "connecting switches nothing on");
        let patience = plant.watches()[1].report().patience;
        assert_eq!(patience, Duration::from_secs(20) / 8 + Duration::from_millis(1), "it integrates for 1 ms");
        assert_eq!(plant.card().identity.origin, Origin::Simulated);
        assert_reads_the_physics(&mut plant, 4);
        assert!(!bench.is_dark());
        plant.make_safe().unwrap();
        assert!(bench.is_dark());
    }

    #[test]
    fn no_fault_gives_a_shot_the_reading_of_another() {
        let faults = Faults::new(3);
        let kinds = [
            Fault::StaleFrame,
            Fault::NoReply,
            Fault::LateReply,
            Fault::SplitReply,
            Fault::JoinedReplies,
            Fault::BufferSizedBlock,
            Fault::WrongBlockLength,
            Fault::MissingTerminator,
            Fault::WrongTerminator,
            Fault::PowerCycle,
            Fault::Unplug,
            Fault::HalfOpen,
            Fault::SecondClient,
        ];
        let folder = tempfile::tempdir().unwrap();
        let line = SerialLine { link: folder.path().join("tty"), baud: None };
        let bench = OpticalBench::serve(system().system, Some(&line), &faults).unwrap();
        let mut plant = open(&bench);
        for fault in kinds {
            // Each of these costs a deadline.
            let is_cheap = matches!(
                fault,
                Fault::StaleFrame
                    | Fault::SplitReply
                    | Fault::JoinedReplies
                    | Fault::BufferSizedBlock
                    | Fault::WrongTerminator
                    | Fault::Unplug
            );
            faults.set(fault, if is_cheap { 0.03 } else { 0.005 });
        }
        assert_reads_the_physics(&mut plant, 30);
        assert!(1 < faults.counts().len(), "{:?}", faults.counts());
    }

    /// The bench with room for so many shots in a minute.
    fn limited(bench: &OpticalBench, shots: f64) -> Limited<SpectralBench> {
        let plant = open(bench);
        let duty = Some((shots * plant.card().timing.shot / 60.0) as f32);
        let dose = DoseLimits { duty, ..DoseLimits::default() };
        Limited::new(plant, &Limits { dose, ..Limits::default() }).unwrap()
    }

    #[test]
    fn an_old_frame_is_counted_before_it_is_taken_again() {
        let faults = Faults::new(0);
        let bench = OpticalBench::serve(system().system, None, &faults).unwrap();
        let taken = || locked(&bench.world).count;
        let mut plant = limited(&bench, 1.5);
        let before = taken();
        faults.once(Fault::StaleFrame);
        let error = plant.measure(&inputs(1)).unwrap_err();
        assert!(matches!(error, Error::Overdriven { .. }), "{error}");
        assert_eq!(taken(), before, "no light is measured and thrown away");
        drop(plant);
        let mut plant = limited(&bench, 2.5);
        faults.once(Fault::StaleFrame);
        plant.measure(&inputs(1)).unwrap();
        assert!(matches!(plant.measure(&inputs(1)), Err(Error::Overdriven { .. })), "the old frame is counted");
    }

    #[test]
    fn a_shot_that_cannot_be_shown_is_not_counted() {
        let bench = OpticalBench::serve(system().system, None, &Faults::new(0)).unwrap();
        let mut plant = limited(&bench, 1.5);
        let OpticalBench { shaper, spectrometer: _still_there, .. } = bench;
        drop(shaper);
        let error = plant.measure(&inputs(1)).unwrap_err();
        assert!(
            matches!(error, Error::Unreachable { .. }),
            "it is tried several times, and driven once at most: {error}"
        );
    }
}
