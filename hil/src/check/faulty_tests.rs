//! The checks on each bench while a fault happens again and again: a fault of the wire costs time and fails nothing, one of the
//! instrument itself passes where it can be mended, and is called by its name where it cannot.
//!
//! One seed by default; `PNNLAB_SEEDS=10 cargo test -p hil --lib faulty -- --nocapture` prints the table of ten.

use std::any::Any;
use std::sync::{Arc, Mutex};

use drivers::pnnlink::link::{Options, Pnnlink};
use drivers::{
    Error, Limited, Limits, LinkOptions, LinkWatch, Plant, RedPitaya, RedPitayaConfig, ScpiPair, ScpiPairConfig,
    Screen, Screened, SpectralBench, SpectralBenchConfig, Terminator, WaveformBench, WaveformConfig,
};
use sims::{Electrical, Optical};
use toml::{Table, Value};

use super::{CheckOutcome, Subject, check};
use crate::pnnlink::{Build, Firmware, Place};
use crate::{
    Described, Fault, Faults, Half, OpticalBench, ScpiBox, ScpiInstrument, SimulatedRedPitaya, WaveformWorld, Wire,
    serve_scpi,
};

/// How often the fault happens at each opportunity.
const RATE: f64 = 0.02;
/// The deadline of a burst or a spectrum beyond its own time, in s: what most faults cost. An instrument whose cable is pulled is
/// away for a part of it.
const DEADLINE: f64 = 0.5;

/// An opened bench, and what serves it.
struct Bench {
    plant: Box<dyn Plant>,
    links: Vec<LinkWatch>,
    _served: Vec<Box<dyn Any>>,
}

/// How a bench is served and opened.
type Open = fn(&Faults) -> Result<Bench, Error>;

/// The table of instruments of a rig file of this folder.
fn instruments(rig: &str, plant: &str) -> Table {
    let rig: Table = toml::from_str(rig).unwrap();
    let mut table = rig["plants"][plant]["bench"]["instruments"].as_table().unwrap().clone();
    table.remove("protocol");
    table.insert("deadline_seconds".to_owned(), Value::Float(DEADLINE));
    table
}

fn world(waveform: &WaveformConfig, faults: &Faults) -> crate::SharedWorld {
    let system = Electrical { samples: waveform.samples, ..Electrical::default() }.build().unwrap().system;
    Arc::new(Mutex::new(WaveformWorld::new(system, waveform, faults.clone())))
}

fn scpi(instrument: impl ScpiInstrument, terminator: Terminator, faults: &Faults) -> crate::Served {
    let instrument = ScpiBox::new(instrument).ending(terminator);
    serve_scpi(instrument, &Wire::Tcp { port: 0 }, faults.clone()).unwrap()
}

/// Shots that are stuck or saturated are driven again, as the rig files have it.
fn screened(plant: impl Plant + 'static) -> Box<dyn Plant> {
    Box::new(Screened::new(Limited::new(plant, &Limits::default()).unwrap(), Screen::default()))
}

fn red_pitaya(faults: &Faults) -> Result<Bench, Error> {
    let table = instruments(include_str!("../../rigs/red-pitaya.toml"), "electrical");
    let config: RedPitayaConfig = table.try_into().unwrap();
    let instrument = SimulatedRedPitaya::new(world(&config.waveform, faults), "SIM-1");
    let served = scpi(instrument, config.terminator, faults);
    let opened = RedPitaya::open(&config, &LinkOptions::new("pitaya", served.address.clone()))?;
    let bench = WaveformBench::new(Box::new(opened), &config.waveform, "electrical")?;
    Ok(Bench { links: bench.watches(), plant: screened(bench), _served: vec![Box::new(served)] })
}

fn pair(faults: &Faults) -> Result<Bench, Error> {
    let table = instruments(include_str!("../../rigs/scpi.toml"), "electrical");
    let config: ScpiPairConfig = table.try_into().unwrap();
    let world = world(&config.waveform, faults);
    let serve = |half| scpi(Described::new(world.clone(), &config, half), config.terminator, faults);
    let (drives, reads) = (serve(Half::Generator), serve(Half::Digitizer));
    let link = |name: &str, served: &crate::Served| LinkOptions::new(name, served.address.clone());
    let opened = ScpiPair::open(&config, &link("generator", &drives), &link("digitizer", &reads))?;
    let bench = WaveformBench::new(Box::new(opened), &config.waveform, "electrical")?;
    Ok(Bench { links: bench.watches(), plant: screened(bench), _served: vec![Box::new(drives), Box::new(reads)] })
}

fn board(faults: &Faults) -> Result<Bench, Error> {
    let system = Electrical { samples: 64, ..Electrical::default() }.build().unwrap().system;
    let firmware = Firmware::new(system, Build::default(), faults.clone());
    let served = crate::pnnlink::Served::start(firmware, Place::Tcp(0), None, faults).unwrap();
    let opened = Pnnlink::open(&LinkOptions::new("board", served.address().parse()?), Options::default())?;
    Ok(Bench { links: vec![opened.watch()], plant: screened(opened), _served: vec![Box::new(served)] })
}

fn optical(faults: &Faults) -> Result<Bench, Error> {
    let served = OpticalBench::serve(Optical::default().build().unwrap().system, None, None, faults).unwrap();
    let table = instruments(include_str!("../../rigs/optical.toml"), "optical");
    let mut config: SpectralBenchConfig = table.try_into().unwrap();
    config.spectrometer.integration_seconds = 0.001;
    let link = |name: &str, address: &str| Ok::<_, Error>(LinkOptions::new(name, address.parse()?));
    let shows = link("shaper", served.shaper_address())?;
    let sees = link("spectrometer", served.spectrometer_address())?;
    let bench = SpectralBench::open(&config, "optical", &shows, &sees)?;
    let links = bench.watches();
    let plant = Box::new(Limited::new(bench, &Limits::default())?);
    Ok(Bench { plant, links, _served: vec![Box::new(served)] })
}

/// Why a bench failed its checks, each with the sentence; nothing if it passed them.
fn failures(open: Open, fault: Fault, seed: u64) -> Vec<String> {
    let faults = Faults::new(seed);
    faults.set(fault, RATE);
    match open(&faults) {
        Err(error) => vec![format!("opening: {error}")],
        Ok(Bench { mut plant, links, _served }) => {
            check(&mut Subject { plant: &mut *plant, links, watchdog: false, reads_controls: true, stopped: || false })
                .into_iter()
                .filter(|check| check.outcome == CheckOutcome::Failed)
                .map(|check| format!("{}: {}", check.name, check.why))
                .collect()
        }
    }
}

/// What a failure must say, where the fault may make one.
fn name_of(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::FirmwareChange => Some("firmware"),
        Fault::DriftStep => Some("drift"),
        // Where there is no screen.
        Fault::StuckValue => Some("stuck"),
        Fault::Saturation => Some("saturated"),
        _ => None,
    }
}

/// All faults on one bench.
fn suffer(name: &str, open: Open) {
    let seeds: u64 = std::env::var("PNNLAB_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(1);
    for fault in Fault::ALL {
        let outcomes: Vec<Vec<String>> = (1..=seeds).map(|seed| failures(open, fault, seed)).collect();
        let passed = outcomes.iter().filter(|failures| failures.is_empty()).count();
        println!("{name:12} {:20} {passed} of {seeds} {:?}", fault.name(), outcomes.concat());
        for why in outcomes.concat() {
            let named = name_of(fault).is_some_and(|name| why.contains(name));
            assert!(named, "{name} under {fault}: {why}");
        }
    }
}

#[test]
fn a_faulty_red_pitaya_passes_or_says_why() {
    suffer("red-pitaya", red_pitaya);
}

#[test]
fn a_faulty_pair_passes_or_says_why() {
    suffer("scpi", pair);
}

#[test]
fn a_faulty_board_passes_or_says_why() {
    suffer("pnnlink", board);
}

#[test]
fn a_faulty_optical_bench_passes_or_says_why() {
    suffer("optical", optical);
}

#[test]
fn who_ends_the_checks_does_not_wait_for_a_watchdog() {
    let Bench { mut plant, links, _served } = board(&Faults::new(0)).unwrap();
    let subject = &mut Subject { plant: &mut *plant, links, watchdog: true, reads_controls: true, stopped: || true };
    let checks = check(subject);
    let last = checks.last().unwrap();
    assert_eq!((last.name, last.outcome), ("watchdog", CheckOutcome::NotRun), "{}", last.why);
    assert!(last.why.contains("ended the checks"), "{}", last.why);
}
