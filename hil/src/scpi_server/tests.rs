//! The drivers against the simulated instruments, over sockets and pseudo-terminals, with faults.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drivers::{
    Batch, LinkOptions, LinkState, Plant, RedPitaya, RedPitayaConfig, ScpiPair, ScpiPairConfig, WaveformBench,
    WaveformConfig,
};
use sims::{Electrical, Simulated};

use super::{Served, Wire, serve_scpi};
use crate::scpi_box::ScpiBox;
use crate::scpi_instruments::{Described, Half, SimulatedRedPitaya};
use crate::waveform_world::{SharedWorld, WaveformWorld};
use crate::{Fault, Faults};

fn circuit() -> sims::Built {
    Electrical { samples: 16, ..Electrical::default() }.build().unwrap()
}

/// The waveform of a small bench.
pub(crate) fn waveform() -> WaveformConfig {
    WaveformConfig {
        samples: 16,
        rest_samples: 8,
        sample_rate_hertz: 1e6,
        drive_volts: 1.0,
        reading_volts: 1.0,
        burst_samples: 100,
        retries: 5,
    }
}

fn inputs() -> Batch {
    Batch::from_fn(6, 16, |row, column| ((row * 31 + column * 7) % 20) as f32 / 10.0 - 1.0)
}

/// A bench with its served instruments and its world.
struct Rig {
    bench: WaveformBench,
    world: SharedWorld,
    faults: Faults,
    _served: Vec<Served>,
}

fn config(address: &str) -> RedPitayaConfig {
    RedPitayaConfig {
        address: address.to_owned(),
        wiring: "out 1 to in 1 through the circuit".into(),
        waveform: waveform(),
        deadline_seconds: 0.2,
        identity: "SIM-7".into(),
    }
}

fn red_pitaya(wire: &Wire) -> Rig {
    let faults = Faults::new(5);
    let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &waveform(), faults.clone())));
    let instrument = ScpiBox::new(Box::new(SimulatedRedPitaya::new(world.clone(), "SIM-7")));
    let served = serve_scpi(instrument, wire, faults.clone()).unwrap();
    let options = LinkOptions::new("pitaya", served.address.clone());
    let opened = RedPitaya::open(&config(&served.address.to_string()), &options).unwrap();
    let bench = WaveformBench::new(Box::new(opened), &waveform(), "electrical").unwrap();
    Rig { bench, world, faults, _served: vec![served] }
}

/// The shots as the simulated plant reads them in process, in bursts of four.
fn in_process() -> Batch {
    let mut plant = Simulated::new(circuit().system);
    let inputs = inputs();
    let parts = [&inputs.values()[..4 * 16], &inputs.values()[4 * 16..]];
    let read = parts.map(|part| plant.measure(&Batch::new(16, part.to_vec()).unwrap()).unwrap().into_values());
    Batch::new(16, read.concat()).unwrap()
}

#[test]
fn the_wire_adds_nothing_to_the_readings() {
    for wire in [Wire::Tcp { port: 0 }, Wire::Pty { link: None, baud: None }] {
        let mut rig = red_pitaya(&wire);
        assert!(!rig.world.lock().unwrap().output(), "connecting switches nothing on");
        assert_eq!(rig.bench.measure(&inputs()).unwrap(), in_process(), "{wire:?}");
        assert!(rig.world.lock().unwrap().output());
        rig.bench.make_safe().unwrap();
        assert!(!rig.world.lock().unwrap().output(), "safe is off");
    }
}

#[test]
fn faults_of_wire_and_box_cost_time_and_no_shot() {
    let struck = [
        Fault::NoReply,
        Fault::LateReply,
        Fault::SplitReply,
        Fault::JoinedReplies,
        Fault::MissingTerminator,
        Fault::WrongTerminator,
        Fault::WrongBlockLength,
        Fault::BufferSizedBlock,
        Fault::NotANumber,
        Fault::QueueOverflow,
        Fault::PowerCycle,
        Fault::Unplug,
        Fault::HalfOpen,
        Fault::SecondClient,
    ];
    let without_noise = Electrical {
        samples: 16,
        imperfections: sims::ElectricalImperfections {
            noise_volts: 0.0,
            jitter_seconds: 0.0,
            temperature_swing_kelvin: 0.0,
            ..Electrical::default().imperfections
        },
        ..Electrical::default()
    };
    for wire in [Wire::Tcp { port: 0 }, Wire::Pty { link: None, baud: None }] {
        let mut rig = red_pitaya(&wire);
        let system = without_noise.build().unwrap().system;
        *rig.world.lock().unwrap() = WaveformWorld::new(system, &waveform(), rig.faults.clone());
        let truth = rig.bench.measure(&inputs()).unwrap();
        for fault in struck {
            rig.faults.once(fault);
            let start = Instant::now();
            let read = rig.bench.measure(&inputs()).unwrap_or_else(|error| panic!("{fault} on {wire:?}: {error}"));
            assert!(start.elapsed() < Duration::from_secs(3), "{fault}: {:?}", start.elapsed());
            assert_eq!(read, truth, "{fault} on {wire:?}");
            assert!(rig.faults.counts().contains_key(&fault), "{fault} happened");
            rig.faults.clear();
        }
        let report = rig.bench.watches()[0].report();
        assert!(report.state == LinkState::Ready && 5 < report.reconnects, "{report:?}");
    }
}

#[test]
fn another_firmware_is_another_instrument() {
    let mut rig = red_pitaya(&Wire::Tcp { port: 0 });
    rig.faults.once(Fault::FirmwareChange);
    let error = rig.bench.measure(&inputs()).unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("had the firmware `1.0` and now has `2.0`"), "{error}");
    // Its output may be on whatever runs in it.
    rig.world.lock().unwrap().switch(true);
    rig.bench.make_safe().unwrap();
    assert!(!rig.world.lock().unwrap().output());
}

#[test]
fn a_described_pair_shares_one_bench() {
    let config: ScpiPairConfig = toml::from_str(include_str!("pair.toml")).unwrap();
    config.check().unwrap();
    let faults = Faults::new(1);
    let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &config.waveform, faults.clone())));
    let serve = |half| {
        let instrument = ScpiBox::new(Box::new(Described::new(world.clone(), &config, half)));
        serve_scpi(instrument, &Wire::Tcp { port: 0 }, faults.clone()).unwrap()
    };
    let (generator, digitizer) = (serve(Half::Generator), serve(Half::Digitizer));
    let options = |name: &str, served: &Served| LinkOptions::new(name, served.address.clone());
    let pair = ScpiPair::open(&config, &options("generator", &generator), &options("digitizer", &digitizer)).unwrap();
    let mut bench = WaveformBench::new(Box::new(pair), &config.waveform, "electrical").unwrap();
    assert_eq!(bench.measure(&inputs()).unwrap(), in_process());
    bench.make_safe().unwrap();
    assert!(!world.lock().unwrap().output());
}

#[test]
fn safe_from_beside_takes_less_than_it_may() {
    let mut rig = red_pitaya(&Wire::Tcp { port: 0 });
    rig.bench.measure(&inputs()).unwrap();
    let address = rig.bench.watches()[0].report().address.parse().unwrap();
    RedPitaya::make_safe_beside(&LinkOptions::new("pitaya", address)).unwrap();
    assert!(!rig.world.lock().unwrap().output());
}

/// The dialogue in `hil/recordings/` was had with the simulated instrument over TCP. `RECORD=1 cargo test -p hil recorded` has it
/// again, after the file has been removed.
#[test]
fn a_recorded_dialogue_replays_and_refuses_other_shots() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/red-pitaya.jsonl");
    if std::env::var_os("RECORD").is_some() && !path.exists() {
        let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &waveform(), Faults::new(5))));
        let instrument = ScpiBox::new(Box::new(SimulatedRedPitaya::new(world, "SIM-7")));
        let served = serve_scpi(instrument, &Wire::Tcp { port: 0 }, Faults::new(5)).unwrap();
        let options = LinkOptions { record: Some(path.clone()), ..LinkOptions::new("pitaya", served.address.clone()) };
        let opened = RedPitaya::open(&config(&served.address.to_string()), &options).unwrap();
        let mut bench = WaveformBench::new(Box::new(opened), &waveform(), "electrical").unwrap();
        bench.measure(&inputs()).unwrap();
        bench.make_safe().unwrap();
    }
    let replay = || {
        let address = drivers::Address::Replay { path: path.clone() };
        let opened = RedPitaya::open(&config(&address.to_string()), &LinkOptions::new("pitaya", address)).unwrap();
        WaveformBench::new(Box::new(opened), &waveform(), "electrical").unwrap()
    };
    let mut bench = replay();
    assert_eq!(bench.card().identity.origin, drivers::Origin::Replayed);
    assert_eq!(bench.measure(&inputs()).unwrap(), in_process());
    bench.make_safe().unwrap();
    let error = replay().measure(&Batch::zeros(1, 16)).unwrap_err().to_string();
    assert!(error.contains("red-pitaya.jsonl") && error.contains(": line "), "{error}");
}
