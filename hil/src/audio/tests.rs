//! The driver and the simulated plate with nothing between them but frames: no audio server.

use std::sync::Arc;
use std::time::Duration;

use drivers::audio::{AudioChannelConfig, AudioPlate, AudioPlateConfig, Duplex, Interface, Mark, Open, SyncConfig};
use drivers::{Address, Batch, Error, LinkOptions, Plant, WaveformConfig};
use sims::{Built, Key, Mechanical, Simulated, Twin};

use super::PlateStream;
use crate::{Fault, Faults};

/// Frames on the way beside the plate's own.
const LINE: usize = 500;

/// An interface that the plate is wired to; what has been heard is as long as what was played.
struct Wired {
    plate: PlateStream,
    played: u64,
    heard: Vec<f32>,
}

impl Wired {
    fn run(&mut self, frames: &[f32]) {
        self.played += frames.len() as u64;
        let answer = self.plate.push(frames);
        self.heard.extend(answer);
    }
}

impl Duplex for Wired {
    fn play(&mut self, frames: Vec<f32>) -> Result<Mark, Error> {
        let mark = Mark { played: self.played, heard: self.played };
        self.run(&frames);
        Ok(mark)
    }

    fn heard(&mut self, from: u64, count: usize, _: Duration) -> Result<Vec<f32>, Error> {
        // While it listens it plays silence.
        let (from, until) = (from as usize, from as usize + count);
        if (self.played as usize) < until {
            self.run(&vec![0.0; until - self.played as usize]);
        }
        Ok(self.heard[from..until].to_vec())
    }

    fn xruns(&self) -> u64 {
        0
    }

    fn silence(&mut self, _: Duration) -> Result<(), Error> {
        Ok(())
    }
}

fn config() -> AudioPlateConfig {
    AudioPlateConfig {
        address: "audio://wired".to_owned(),
        wiring: "straight".to_owned(),
        waveform: WaveformConfig {
            samples: 512,
            rest_samples: 600,
            sample_rate_hertz: 48_000.0,
            drive_volts: 1.0,
            reading_volts: 1.0,
            burst_samples: 12_000,
            retries: 8,
        },
        output: AudioChannelConfig::default(),
        input: AudioChannelConfig { channel: 1, full_scale_volts: 1.5 },
        buffer_frames: 480,
        sync: SyncConfig::default(),
    }
}

/// What the twin expects to hear of the chirp.
fn expected(twin: &dyn Twin, config: &AudioPlateConfig) -> Vec<f32> {
    let chirp = Batch::new(config.waveform.samples, config.chirp()).unwrap();
    twin.predict(&chirp, &[]).values().to_vec()
}

/// The plate of seed `seed` behind the driver.
fn wired(name: &str, built: &Built, faults: &Faults) -> AudioPlate {
    let (config, system, faults) = (config(), built.system.clone(), faults.clone());
    let expected = expected(built.twin.as_ref(), &config);
    let again = config.clone();
    let open: Open = Box::new(move || {
        let plate = PlateStream::new(system.clone(), &again, faults.clone());
        let heard = vec![0.0; plate.lead() + LINE + 20 * 240];
        Ok(Interface { name: "simulated".to_owned(), duplex: Box::new(Wired { plate, played: 0, heard }) })
    });
    let options = LinkOptions::new(name, Address::Audio { device: name.to_owned() });
    AudioPlate::new(&config, "mechanical", &options, &expected, open).unwrap()
}

/// White shots over the full range.
fn shots(rows: usize) -> Batch {
    let mut stream = Key::new(7).branch("shots").stream();
    Batch::from_fn(rows, 512, |_, _| 2.0 * stream.uniform() - 1.0)
}

/// How alike two waveforms are.
fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// The least correlation of any shot with the plate in process.
fn assert_like_in_process(plate: &mut AudioPlate, system: Arc<dyn sims::System>, rows: usize) {
    let read = plate.measure(&shots(rows)).unwrap();
    assert_eq!(read.rows(), rows);
    let straight = Simulated::new(system).measure(&shots(rows)).unwrap();
    for (row, (read, straight)) in read.iter().zip(straight.iter()).enumerate() {
        let alike = correlation(read, straight);
        assert!(0.999 < alike, "shot {row}: {alike}, {}", plate.counts());
    }
}

#[test]
fn every_plate_reads_as_in_process_though_the_twin_is_nominal() {
    for seed in 0..12 {
        let built = Mechanical { plant_seed: seed, ..Mechanical::default() }.build().unwrap();
        let mut plate = wired(&format!("wired-{seed}"), &built, &Faults::new(0));
        assert_like_in_process(&mut plate, built.system.clone(), 10);
        let counts = plate.counts();
        assert_eq!((counts.bursts, counts.repeated, counts.xruns), (2, 0, 0), "{counts}");
    }
}

#[test]
fn lost_sound_is_counted_and_the_shots_are_repeated() {
    let built = Mechanical::default().build().unwrap();
    let faults = Faults::new(1);
    let mut plate = wired("wired-lossy", &built, &faults);
    assert_like_in_process(&mut plate, built.system.clone(), 8);
    assert_eq!(plate.counts().xruns, 0);
    faults.once(Fault::Xrun);
    assert_like_in_process(&mut plate, built.system.clone(), 8);
    let counts = plate.counts();
    assert_eq!((counts.bursts, counts.repeated, counts.xruns), (2, 1, 1), "{counts}");
    // Each burst is ten sounds, one of which is lost in more than every second burst.
    faults.set(Fault::Xrun, 0.08);
    for _ in 0..4 {
        assert_like_in_process(&mut plate, built.system.clone(), 8);
    }
    let (counts, struck) = (plate.counts(), faults.counts()[&Fault::Xrun]);
    assert!(counts.bursts == 6 && 1 < struck, "{struck} struck; {counts}");
}
