//! Recorded dialogues of each protocol, replayed through its driver: those in `hil/recordings/`, and new ones of faulty wires.
//!
//! The recordings were had with simulated instruments. `RECORD=1 cargo test -p hil recordings` has those again that have been removed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use drivers::pnnlink::link::{Options, Pnnlink};
use drivers::{
    Address, Batch, LinkOptions, Origin, Plant, RedPitaya, RedPitayaConfig, ScpiPair, ScpiPairConfig, ShaperConfig,
    SpectralBench, SpectralBenchConfig, SpectrometerConfig, WaveformBench, WaveformConfig,
};
use sims::{Electrical, Optical};

use crate::pnnlink::{Build, Firmware, Pattern, Place};
use crate::scpi_server::tests::waveform;
use crate::{
    Described, FULL_SCALE, Fault, Faults, Half, OpticalBench, ScpiBox, Served, SimulatedRedPitaya, WaveformWorld, Wire,
    serve_scpi,
};

/// A recording of this folder.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings").join(name)
}

/// Whether a recording is to be had again.
fn is_wanted(path: &Path) -> bool {
    std::env::var_os("RECORD").is_some() && !path.exists()
}

/// A link to an instrument, recorded.
fn recorded(name: &str, address: Address, path: &Path) -> LinkOptions {
    LinkOptions { record: Some(path.to_owned()), ..LinkOptions::new(name, address) }
}

/// A link to a recording.
fn replayed(name: &str, path: &Path) -> LinkOptions {
    LinkOptions::new(name, Address::Replay { path: path.to_owned() })
}

fn numbers(shots: usize, first: usize) -> Batch {
    Batch::from_fn(shots, 4, |row, column| (4 * (first + row) + column) as f32)
}

fn serve_pnnlink(place: Place, faults: &Faults) -> crate::pnnlink::Served {
    let firmware = Firmware::new(Arc::new(Pattern::new(4)), Build::default(), faults.clone());
    crate::pnnlink::Served::start(firmware, place, None, faults).unwrap()
}

#[test]
fn a_pnnlink_recording_replays_and_refuses_deviations() {
    let path = kept("pnnlink.jsonl");
    let script = |plant: &mut Pnnlink| {
        let applied = plant.apply(&[0.5]).unwrap();
        let readings = plant.measure(&numbers(10, 0)).unwrap();
        plant.make_safe().unwrap();
        (applied, readings)
    };
    if is_wanted(&path) {
        let served = serve_pnnlink(Place::Tcp(0), &Faults::new(0));
        let link = recorded("bench", served.address().parse().unwrap(), &path);
        script(&mut Pnnlink::open(&link, Options::default()).unwrap());
    }
    let replay = || Pnnlink::open(&replayed("bench", &path), Options::default()).unwrap();
    let mut plant = replay();
    assert_eq!(plant.card().identity.origin, Origin::Replayed);
    let (applied, readings) = script(&mut plant);
    assert_eq!(applied, [0.5]);
    assert!(readings.values().iter().zip(numbers(10, 0).values()).all(|(output, input)| *output == 1.5 * input));

    let refused = |error: drivers::Error, sentence: &str| {
        let text = error.to_string();
        assert!(!error.is_retryable() && text.contains("pnnlink.jsonl: ") && text.contains(sentence), "{text}");
    };
    let mut plant = replay();
    refused(plant.apply(&[0.25]).unwrap_err(), "a set of controls from number 0 on is asked for, with other values");
    refused(plant.apply(&[0.5]).unwrap_err(), "with other values");
    let mut plant = replay();
    plant.apply(&[0.5]).unwrap();
    refused(plant.measure(&numbers(10, 1)).unwrap_err(), "the first of 10 is asked for, with other values");
    let mut plant = replay();
    plant.apply(&[0.5]).unwrap();
    refused(plant.measure(&numbers(9, 0)).unwrap_err(), "the first of 9 is asked for, where");
    let mut plant = replay();
    script(&mut plant);
    refused(plant.apply(&[0.5]).unwrap_err(), "where the end of the session was recorded");
    let other = Options { watchdog: std::time::Duration::from_millis(500), ..Options::default() };
    refused(Pnnlink::open(&replayed("bench", &path), other).unwrap_err(), "a session with a watchdog of 500 ms");
}

#[test]
fn a_faulty_pnnlink_wire_replays_to_the_same_readings() {
    let folder = tempfile::tempdir().unwrap();
    for (name, place) in [("pty.jsonl", Place::Pty(folder.path().join("tty"))), ("tcp.jsonl", Place::Tcp(0))] {
        let path = folder.path().join("a new folder").join(name);
        let faults = Faults::new(23);
        for fault in Fault::ALL {
            faults.set(fault, 0.01);
        }
        let served = serve_pnnlink(place, &faults);
        let script = |plant: &mut Pnnlink| {
            let mut readings = vec![];
            for batch in 0..12 {
                plant.apply(&[0.125 * (batch % 4) as f32]).unwrap();
                readings.push(plant.measure(&numbers(50, 50 * batch)).unwrap());
            }
            plant.make_safe().unwrap();
            readings
        };
        let link = recorded("bench", served.address().parse().unwrap(), &path);
        let mut plant = Pnnlink::open(&link, Options::default()).unwrap();
        let readings = script(&mut plant);
        assert!(0 < plant.report().reconnections, "{:?}", plant.report());
        drop(plant);
        let mut plant = Pnnlink::open(&replayed("bench", &path), Options::default()).unwrap();
        assert_eq!(script(&mut plant), readings, "{name}");
    }
}

/// A drive of four shots.
fn drive() -> Batch {
    Batch::from_fn(4, 16, |row, column| ((row * 31 + column * 7) % 20) as f32 / 10.0 - 1.0)
}

/// The circuit behind it.
fn world(waveform: &WaveformConfig, faults: &Faults) -> crate::SharedWorld {
    let system = Electrical { samples: 16, ..Electrical::default() }.build().unwrap().system;
    Arc::new(Mutex::new(WaveformWorld::new(system, waveform, faults.clone())))
}

#[test]
fn a_recording_of_a_described_pair_replays() {
    let config: ScpiPairConfig = toml::from_str(include_str!("scpi_server/pair.toml")).unwrap();
    let [generator, digitizer] = ["generator", "digitizer"].map(|name| kept(&format!("scpi-{name}.jsonl")));
    let open = |drives: &LinkOptions, reads: &LinkOptions| {
        let pair = ScpiPair::open(&config, drives, reads).unwrap();
        WaveformBench::new(Box::new(pair), &config.waveform, "electrical").unwrap()
    };
    let script = |bench: &mut WaveformBench| {
        let readings = bench.measure(&drive()).unwrap();
        bench.make_safe().unwrap();
        readings
    };
    if is_wanted(&generator) {
        let world = world(&config.waveform, &Faults::new(0));
        let serve = |half| {
            let instrument = ScpiBox::new(Described::new(world.clone(), &config, half));
            serve_scpi(instrument, &Wire::Tcp { port: 0 }, Faults::new(0)).unwrap()
        };
        let (drives, reads) = (serve(Half::Generator), serve(Half::Digitizer));
        let link = |name: &str, served: &Served, path: &Path| recorded(name, served.address.clone(), path);
        script(&mut open(&link("generator", &drives, &generator), &link("digitizer", &reads, &digitizer)));
    }
    let replay = || open(&replayed("generator", &generator), &replayed("digitizer", &digitizer));
    let mut bench = replay();
    assert_eq!(bench.card().identity.origin, Origin::Replayed);
    let mut near = sims::Simulated::new(Electrical { samples: 16, ..Electrical::default() }.build().unwrap().system);
    assert_eq!(script(&mut bench), near.measure(&drive()).unwrap());
    let error = replay().measure(&Batch::zeros(1, 16)).unwrap_err().to_string();
    assert!(error.contains("scpi-generator.jsonl: line "), "{error}");
}

#[test]
fn a_faulty_scpi_wire_replays_to_the_same_readings() {
    let folder = tempfile::tempdir().unwrap();
    for (name, wire) in [("tcp.jsonl", Wire::Tcp { port: 0 }), ("pty.jsonl", Wire::Pty { link: None, baud: None })] {
        let path = folder.path().join(name);
        let faults = Faults::new(5);
        let instrument = ScpiBox::new(SimulatedRedPitaya::new(world(&waveform(), &faults), "SIM-7"));
        let served = serve_scpi(instrument, &wire, faults.clone()).unwrap();
        let open = |link: &LinkOptions| {
            let config = RedPitayaConfig {
                address: link.address.to_string(),
                wiring: "out 1 to in 1 through the circuit".into(),
                waveform: waveform(),
                deadline_seconds: 0.2,
                identity: "SIM-7".into(),
                serial: String::new(),
                controls: drivers::ScpiControlsConfig::default(),
                terminator: drivers::Terminator::Lf,
                pipelined: true,
            };
            WaveformBench::new(Box::new(RedPitaya::open(&config, link).unwrap()), &waveform(), "electrical").unwrap()
        };
        // One after another before each batch; the replay knows nothing of it.
        let struck = [Fault::NoReply, Fault::LateReply, Fault::JoinedReplies, Fault::PowerCycle, Fault::NotANumber];
        let script = |bench: &mut WaveformBench| {
            let shoot = |fault| {
                faults.once(fault);
                bench.measure(&drive()).unwrap()
            };
            let readings = struck.map(shoot);
            bench.make_safe().unwrap();
            readings
        };
        let readings = script(&mut open(&recorded("pitaya", served.address.clone(), &path)));
        assert_eq!(faults.counts().len(), struck.len(), "{:?}", faults.counts());
        assert_eq!(script(&mut open(&replayed("pitaya", &path))), readings, "{name}");
    }
}

fn optical(shaper: &LinkOptions, spectrometer: &LinkOptions) -> SpectralBench {
    let config = SpectralBenchConfig {
        wiring: "laser, shaper, crystal, spectrometer".into(),
        inputs: 50,
        controls: 50,
        outputs: 50,
        deadline_seconds: 2.0,
        shaper: ShaperConfig { address: shaper.address.to_string(), settle_seconds: 0.0 },
        spectrometer: SpectrometerConfig {
            address: spectrometer.address.to_string(),
            integration_seconds: 0.001,
            full_scale_codes: FULL_SCALE,
            discard: 1,
            md5: true,
            pixels: None,
        },
    };
    SpectralBench::open(&config, "optical", shaper, spectrometer).unwrap()
}

#[test]
fn a_recording_of_an_optical_bench_replays() {
    let [shaper, spectrometer] = ["shaper", "spectrometer"].map(|name| kept(&format!("optical-{name}.jsonl")));
    // Half of the band is open, half is dark: a bitmap of few words.
    let (mask, data) = ([1.0; 50], |open: usize| Batch::from_fn(1, 50, |_, column| f32::from(u8::from(column < open))));
    let script = |bench: &mut SpectralBench| {
        let applied = bench.apply(&mask).unwrap();
        let readings = bench.measure(&data(25)).unwrap();
        bench.make_safe().unwrap();
        (applied, readings)
    };
    if is_wanted(&shaper) {
        let served =
            OpticalBench::serve(Optical::default().build().unwrap().system, None, None, &Faults::new(0)).unwrap();
        let address = |text: &str| text.parse().unwrap();
        let shows = recorded("shaper", address(served.shaper_address()), &shaper);
        let sees = recorded("spectrometer", address(served.spectrometer_address()), &spectrometer);
        script(&mut optical(&shows, &sees));
    }
    let replay = || optical(&replayed("shaper", &shaper), &replayed("spectrometer", &spectrometer));
    let mut bench = replay();
    assert_eq!(bench.card().identity.origin, Origin::Replayed);
    let (applied, readings) = script(&mut bench);
    assert!(applied == mask && readings.values().iter().any(|reading| 0.1 < *reading), "{readings:?}");
    let mut bench = replay();
    bench.apply(&mask).unwrap();
    let error = bench.measure(&data(24)).unwrap_err().to_string();
    assert!(error.contains("optical-shaper.jsonl: line ") && error.contains("was recorded"), "{error}");
}
