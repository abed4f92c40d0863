//! The mechanical bench through a real audio server: `PulseAudio` with null sinks, the simulated plate between sink and source, measured
//! through cpal. Needs the feature `audio` and `PulseAudio` with ALSA's plugin; `.ci/run` installs and runs it.
//!
//! A process finds the audio server by its environment, which it cannot change for itself: the server and the faults are in this
//! process, the measurement is in a second one, which asks on its standard output for a fault.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use drivers::audio::{AudioChannelConfig, AudioPlate, AudioPlateConfig, SyncConfig};
use drivers::{Batch, Limited, Limits, LinkOptions, LinkWatch, Origin, Plant, WaveformConfig};
use hil::{AudioBench, CheckOutcome, Fault, Faults, Subject, check};
use sims::{Built, Key, Mechanical, Simulated};

/// Where the second process finds the plate.
const ADDRESS: &str = "PNNLAB_TEST_AUDIO_ADDRESS";
/// What it asks for.
const WANTED: &str = "xrun, please";
/// Shots of one measurement: two bursts.
const SHOTS: usize = 24;
/// How often the conformance checks may be tried.
const CHANCES: u32 = 3;
/// How alike a waveform must be to that of the plate in process.
const ALIKE: f64 = 0.999;

fn main() {
    match std::env::var(ADDRESS) {
        Ok(address) => measure(&address),
        Err(_) => serve(),
    }
}

fn built() -> Built {
    Mechanical::default().build().unwrap()
}

fn config(address: &str) -> AudioPlateConfig {
    AudioPlateConfig {
        address: address.to_owned(),
        wiring: "the simulated plate between two null sinks".to_owned(),
        waveform: WaveformConfig {
            samples: 512,
            rest_samples: 960,
            sample_rate_hertz: 48_000.0,
            drive_volts: 1.0,
            reading_volts: 1.0,
            burst_samples: 20_608,
            retries: 8,
        },
        output: AudioChannelConfig::default(),
        input: AudioChannelConfig::default(),
        // Large, so that a busy computer loses no sound; so the latency is some 0.5 s.
        buffer_frames: 3840,
        sync: SyncConfig { search_seconds: 5.0, ..SyncConfig::default() },
    }
}

/// The audio server, the plate and the faults.
fn serve() {
    let faults = Faults::new(1);
    let bench = AudioBench::serve(built().system, &config("audio://any"), &faults).unwrap();
    let (key, value) = bench.environment();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(key, value).env(ADDRESS, bench.address()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut second = command.spawn().unwrap();
    let mut answers = second.stdin.take().unwrap();
    for line in BufReader::new(second.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == WANTED {
            faults.once(Fault::Xrun);
            writeln!(answers, "armed").unwrap();
        } else {
            println!("{line}");
        }
    }
    let status = second.wait().unwrap();
    assert!(status.success(), "the measurement failed: {status}");
    assert_eq!(faults.counts().get(&Fault::Xrun), Some(&1), "the xrun happened");
    println!("test audio: ok");
}

/// The measurement, in a process that finds the audio server.
fn measure(address: &str) {
    let built = built();
    let config = config(address);
    let options = LinkOptions::new("plate", address.parse().unwrap());
    let chirp = Batch::new(config.waveform.samples, config.chirp()).unwrap();
    let expected = built.twin.predict(&chirp, &[]);
    let open = |config: &AudioPlateConfig, options: &LinkOptions| {
        AudioPlate::open(config, "mechanical", options, expected.values())
    };

    let elsewhere = LinkOptions::new("plate", "audio://nowhere".parse().unwrap());
    let error = open(&config, &elsewhere).err().unwrap().to_string();
    let known = address.strip_prefix("audio://").unwrap();
    assert!(error.contains("no audio interface `nowhere`") && error.contains(known), "{error}");
    let mut many = config.clone();
    many.input.channel = 1000;
    let error = open(&many, &options).err().unwrap().to_string();
    assert!(error.starts_with("`input.channel` is 1000, but the input has"), "{error}");

    let mut plate = open(&config, &options).unwrap();
    assert_eq!(plate.card().identity.origin, Origin::Simulated, "{}", plate.card().identity.serial);
    let least = least_alike(&mut plate, &built);
    let counts = plate.counts();
    println!("{SHOTS} shots, none lost, least correlation with the plate in process {least:.6}; {counts}");
    assert!(ALIKE < least && 0.0 < counts.latency_seconds);

    println!("{WANTED}");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).unwrap();
    assert_eq!(answer, "armed\n");
    let least = least_alike(&mut plate, &built);
    let after = plate.counts();
    println!("with an xrun: {SHOTS} shots, none lost, least correlation {least:.6}; {after}");
    assert!(ALIKE < least);
    assert!(counts.xruns < after.xruns && counts.repeated < after.repeated, "counted and repeated");

    let links = vec![plate.watch()];
    let mut plate = Limited::new(plate, &Limits::default()).unwrap();
    // Reopened streams may lose sound again and again on a busy computer; they get another chance, wrong answers get none.
    let again = (1..=CHANCES).find(|_| passes(&mut plate, &links)).unwrap_or_else(|| panic!("not in {CHANCES} tries"));
    println!("conformance checks passed in try {again}");
}

/// Whether the plate passes the conformance checks; a shot in the wrong place is the end.
fn passes(plate: &mut dyn Plant, links: &[LinkWatch]) -> bool {
    let checks = check(&mut Subject {
        plant: plate,
        links: links.to_vec(),
        watchdog: true,
        reads_controls: true,
        stopped: || false,
    });
    for check in &checks {
        println!("{:22} {:8} {}", check.name, check.outcome.name(), check.why);
        assert!(!check.why.contains("came back as others"), "{}", check.why);
    }
    !checks.iter().any(|check| check.outcome == CheckOutcome::Failed)
}

/// Measures, and says how alike the least alike shot is to that of the plate in process; each must be most like its own.
fn least_alike(plate: &mut AudioPlate, built: &Built) -> f64 {
    let mut stream = Key::new(7).branch("audio").stream();
    let inputs = Batch::from_fn(SHOTS, plate.ports().input_count(), |_, _| 2.0 * stream.uniform() - 1.0);
    let read = plate.measure(&inputs).unwrap();
    let straight = Simulated::new(built.system.clone()).measure(&inputs).unwrap();
    assert_eq!(read.rows(), SHOTS);
    let own = read.iter().enumerate().map(|(row, read)| {
        let alike: Vec<f64> = straight.iter().map(|straight| correlation(read, straight)).collect();
        let nearest = alike.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        assert_eq!(nearest, row, "a shot came back as another");
        alike[row]
    });
    own.fold(1.0, f64::min)
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}
