//! The drivers against the simulated instruments, over sockets and pseudo-terminals, with faults.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drivers::{
    Batch, Error, Interlock, Interlocked, LinkOptions, LinkState, Plant, Range, RedPitaya, RedPitayaConfig, ScpiPair,
    ScpiPairConfig, Terminator, Watched, WaveformBench, WaveformConfig,
};
use sims::{Electrical, Simulated};

use super::{Served, Wire, serve_scpi};
use crate::red_pitaya::{RedPitayaCommands, SimulatedRedPitaya};
use crate::scpi_box::{ScpiBox, ScpiError};
use crate::waveform_world::{SharedWorld, WaveformWorld};
use crate::{Described, Fault, Faults, Half};

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
    served: Vec<Served>,
}

fn config(address: &str) -> RedPitayaConfig {
    RedPitayaConfig {
        address: address.to_owned(),
        wiring: "out 1 to in 1 through the circuit".into(),
        waveform: waveform(),
        deadline_seconds: 0.2,
        identity: "SIM-7".into(),
        serial: String::new(),
        controls: drivers::ScpiControlsConfig::default(),
        terminator: drivers::Terminator::Lf,
        pipelined: true,
    }
}

fn red_pitaya(wire: &Wire) -> Rig {
    let faults = Faults::new(5);
    let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &waveform(), faults.clone())));
    let instrument = ScpiBox::new(SimulatedRedPitaya::new(world.clone(), "SIM-7"));
    red_pitaya_of(instrument, world, faults, wire)
}

fn red_pitaya_of(instrument: ScpiBox, world: SharedWorld, faults: Faults, wire: &Wire) -> Rig {
    let served = serve_scpi(instrument, wire, faults.clone()).unwrap();
    let options = LinkOptions::new("pitaya", served.address.clone());
    let opened = RedPitaya::open(&config(&served.address.to_string()), &options).unwrap();
    let bench = WaveformBench::new(Box::new(opened), &waveform(), "electrical").unwrap();
    Rig { bench, world, faults, served: vec![served] }
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
            assert!(start.elapsed() < Duration::from_mins(1), "{fault}: {:?}", start.elapsed());
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
    assert!(
        !error.is_retryable() && error.to_string().contains("had the firmware `02-01` and now has `02-02`"),
        "{error}"
    );
    // Its output may be on whatever runs in it.
    rig.world.lock().unwrap().switch(true);
    rig.bench.make_safe().unwrap();
    assert!(!rig.world.lock().unwrap().output());
}

#[test]
fn the_commands_of_a_servers_system_are_asked_and_used() {
    for (commands, told, not) in [
        (RedPitayaCommands::First, ["SYST:HELP?", "ACQ:TRIG:FILL?", "ACQ:DEC", "SOUR1:TRIG:IMM"], "SOUR1:TRIG:INT"),
        (RedPitayaCommands::Second, ["SYST:HELP?", "ACQ:TRIG:FILL?", "ACQ:DEC:F", "SOUR1:TRIG:INT"], "ACQ:DEC"),
    ] {
        let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &waveform(), Faults::new(5))));
        let headers = Arc::new(Mutex::new(vec![]));
        let notes = headers.clone();
        let instrument = ScpiBox::new(SimulatedRedPitaya::with(world.clone(), "SIM-7", commands));
        let instrument = instrument.behind(move |header| {
            notes.lock().unwrap().push(header.to_owned());
            Ok(())
        });
        let mut rig = red_pitaya_of(instrument, world, Faults::new(5), &Wire::Tcp { port: 0 });
        assert_eq!(rig.bench.measure(&inputs()).unwrap(), in_process(), "{commands:?}");
        let headers = headers.lock().unwrap();
        for header in told {
            assert!(headers.iter().any(|told| told == header), "{commands:?}: {header} in {headers:?}");
        }
        assert!(headers.iter().all(|told| told != not), "{commands:?}: {not} in {headers:?}");
    }
}

#[test]
fn a_board_that_the_rig_names_is_known_and_locked_by_that_name() {
    let serve = || {
        let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &waveform(), Faults::new(5))));
        let instrument = ScpiBox::new(SimulatedRedPitaya::new(world, "0"));
        serve_scpi(instrument, &Wire::Tcp { port: 0 }, Faults::new(5)).unwrap()
    };
    let open = |bench: &str, served: &Served, serial: &str| {
        let config = RedPitayaConfig { identity: String::new(), serial: serial.to_owned(), ..config("") };
        let options = LinkOptions { bench: bench.into(), ..LinkOptions::new(bench, served.address.clone()) };
        RedPitaya::open(&config, &options)
    };
    let (one, other) = (serve(), serve());
    let name = format!("rp-test-{}", std::process::id());
    let first = open("first", &one, &name).unwrap();
    // The same board by another address, as its name in the rig says.
    let error = open("second", &other, &name).err().unwrap();
    assert!(matches!(error, Error::Owned { .. }) && error.to_string().contains(&name), "{error}");
    let second = open("second", &other, &format!("{name}-b")).unwrap();
    let serial = |opened: RedPitaya| {
        let bench = WaveformBench::new(Box::new(opened), &waveform(), "electrical").unwrap();
        bench.card().identity.serial.clone()
    };
    assert_eq!([serial(first), serial(second)], [name.clone(), format!("{name}-b")]);
    // Boards that nobody has named say the same, and are not taken for one.
    let unnamed = [open("first", &one, "").unwrap(), open("second", &other, "").unwrap()];
    assert_eq!(unnamed.map(serial), ["0", "0"]);
}

#[test]
fn a_described_pair_shares_one_bench() {
    let config: ScpiPairConfig = toml::from_str(include_str!("pair.toml")).unwrap();
    config.check().unwrap();
    let faults = Faults::new(1);
    let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &config.waveform, faults.clone())));
    let serve = |half| {
        let instrument = ScpiBox::new(Described::new(world.clone(), &config, half));
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

/// A bench whose generator refuses the command `refused`: it drives nothing while it does, neither from the beginning nor with what
/// was loaded before.
fn is_not_driven(refused: &'static str, [on, fire]: [&str; 2], open: impl Fn(Wrap, SharedWorld) -> Rig) {
    let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &waveform(), Faults::new(1))));
    let (refuses, told) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(vec![])));
    let (shared, notes) = (refuses.clone(), told.clone());
    let wrap = move |instrument: ScpiBox| {
        let (refuses, told) = (shared.clone(), notes.clone());
        instrument.behind(move |header| {
            told.lock().unwrap().push(header.to_owned());
            let refuses = header == refused && refuses.load(Ordering::Relaxed);
            if refuses { Err(ScpiError::OUT_OF_RANGE) } else { Ok(()) }
        })
    };
    let mut rig = open(Box::new(wrap), world.clone());
    let fires = || told.lock().unwrap().iter().filter(|header| **header == fire).count();
    let error = rig.bench.measure(&inputs()).unwrap_err();
    assert!(matches!(error, Error::Refused { code: -222, .. }), "{error}");
    assert!(!world.lock().unwrap().output(), "{refused} is refused: the output stays off");
    assert!(told.lock().unwrap().iter().all(|header| header != on && header != fire), "{:?}", told.lock());
    refuses.store(false, Ordering::Relaxed);
    rig.bench.measure(&inputs()).unwrap();
    let before = fires();
    assert_eq!(before, 2, "two bursts");
    refuses.store(true, Ordering::Relaxed);
    rig.bench.measure(&inputs()).unwrap_err();
    assert_eq!(fires(), before, "what was loaded before is not played again");
}

/// What is done with an instrument before it is served.
type Wrap = Box<dyn Fn(ScpiBox) -> ScpiBox>;

#[test]
fn nothing_is_switched_on_or_fired_that_was_not_loaded_without_an_error() {
    let pitaya = |wrap: Wrap, world: SharedWorld| {
        let instrument = wrap(ScpiBox::new(SimulatedRedPitaya::new(world.clone(), "SIM-7")));
        red_pitaya_of(instrument, world, Faults::new(1), &Wire::Tcp { port: 0 })
    };
    for refused in ["SOUR1:TRAC:DATA:DATA", "SOUR1:FREQ:FIX", "ACQ:TRIG:DLY", "ACQ:START", "ACQ:TRIG"] {
        is_not_driven(refused, ["OUTPUT1:STATE", "SOUR1:TRIG:INT"], pitaya);
    }
    let pair = |wrap: Wrap, world: SharedWorld| {
        let config: ScpiPairConfig = toml::from_str(include_str!("pair.toml")).unwrap();
        let serve = |half| {
            let described = ScpiBox::new(Described::new(world.clone(), &config, half));
            serve_scpi(wrap(described), &Wire::Tcp { port: 0 }, Faults::new(1)).unwrap()
        };
        let (generator, digitizer) = (serve(Half::Generator), serve(Half::Digitizer));
        let link = |name: &str, served: &Served| LinkOptions::new(name, served.address.clone());
        let opened = ScpiPair::open(&config, &link("generator", &generator), &link("digitizer", &digitizer)).unwrap();
        let bench = WaveformBench::new(Box::new(opened), &config.waveform, "electrical").unwrap();
        Rig { bench, world, faults: Faults::new(1), served: vec![generator, digitizer] }
    };
    for refused in ["SOUR1:DATA:ARB", "INIT"] {
        is_not_driven(refused, ["OUTP1", "*TRG"], pair);
    }
}

#[test]
fn an_interlock_ends_a_batch_with_the_burst_that_trips_it() {
    let rig = red_pitaya(&Wire::Tcp { port: 0 });
    let fired = rig.world.clone();
    let reads = in_process();
    let highest = |row: usize| reads.row(row).iter().fold(f32::MIN, |highest, value| highest.max(*value));
    // A batch of 40 shots, four to a burst; those of the third burst read more than all before.
    let quiet = (0..4).map(highest).fold(f32::MIN, f32::max);
    let interlock = |high| Interlock {
        name: "node".into(),
        watched: Watched::Bank("node".into()),
        range: Range::new(-1.0, high),
        recovery: None,
    };
    let mut batch = inputs().row(0).repeat(8);
    batch.extend([1.0; 16]);
    batch.extend(inputs().row(0).repeat(31));
    let mut plant = Interlocked::new(rig.bench, vec![interlock(quiet)]).unwrap();
    assert_eq!(plant.shots_at_once(), 4);
    let error = plant.measure(&Batch::new(16, batch).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Interlock { .. }), "{error}");
    assert_eq!(fired.lock().unwrap().fired(), 3, "bursts");
    assert!(!fired.lock().unwrap().output());
}

#[test]
fn a_reading_that_is_no_number_trips_an_interlock_and_is_not_driven_again() {
    let rig = red_pitaya(&Wire::Tcp { port: 0 });
    let (fired, faults) = (rig.world.clone(), rig.faults.clone());
    let interlock = Interlock {
        name: "node".into(),
        watched: Watched::Bank("node".into()),
        range: Range::new(-1.0, 1.0),
        recovery: None,
    };
    let mut plant = Interlocked::new(rig.bench, vec![interlock]).unwrap();
    faults.once(Fault::NotANumber);
    let error = plant.measure(&inputs()).unwrap_err().to_string();
    assert!(error.contains("NaN V is outside"), "{error}");
    assert_eq!(fired.lock().unwrap().fired(), 1, "bursts");
}

#[test]
fn safe_from_beside_takes_less_than_it_may() {
    let mut rig = red_pitaya(&Wire::Tcp { port: 0 });
    rig.bench.measure(&inputs()).unwrap();
    let address: drivers::Address = rig.bench.watches()[0].report().address.parse().unwrap();
    RedPitaya::make_safe_beside(&config(&address.to_string()), &LinkOptions::new("pitaya", address)).unwrap();
    assert!(!rig.world.lock().unwrap().output());
}

/// A client without a driver.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(served: &Served) -> Self {
        let drivers::Address::Tcp { host, port } = &served.address else { panic!("{}", served.address) };
        let stream = TcpStream::connect((host.as_str(), *port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self(BufReader::new(stream))
    }

    fn tell(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn ask(&mut self, bytes: &[u8]) -> String {
        self.tell(bytes);
        let mut answer = String::new();
        self.0.read_line(&mut answer).unwrap();
        answer
    }
}

/// The generator and the digitizer of `pair.toml`, whose lines end with `terminator`.
fn served_pair(terminator: Terminator) -> [Served; 2] {
    let config: ScpiPairConfig = toml::from_str(include_str!("pair.toml")).unwrap();
    let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &config.waveform, Faults::new(1))));
    [Half::Generator, Half::Digitizer].map(|half| {
        let instrument = ScpiBox::new(Described::new(world.clone(), &config, half)).ending(terminator);
        serve_scpi(instrument, &Wire::Tcp { port: 0 }, Faults::new(1)).unwrap()
    })
}

#[test]
fn a_client_that_waits_for_a_trigger_keeps_no_other_waiting() {
    let [generator, digitizer] = served_pair(Terminator::Lf);
    let (mut waits, mut other, mut plays) = (Client::new(&digitizer), Client::new(&digitizer), Client::new(&generator));
    waits.tell(b"*CLS;INIT;*OPC?\n*IDN?\n");
    let start = Instant::now();
    while other.ask(b"STAT:OPER:COND?\n") == "0\n" {
        assert!(start.elapsed() < Duration::from_mins(1), "it waits for its trigger");
    }
    assert_eq!(other.ask(b"NONSENSE;*ESR?\n"), "160\n", "power-on, and a command error");
    assert_eq!(plays.ask(b"SOUR1:DATA:ARB BURST,#14\0\0\0\0;:OUTP ON;*TRG;*OPC?\n"), "1\n");
    assert_eq!(waits.ask(b""), "1\n");
    assert!(waits.ask(b"").starts_with("pnnlab,digitizer"), "what came behind it");
    assert_eq!(waits.ask(b"SYST:ERR?\n"), "0,\"No error\"\n", "the error is the other's");
    // Who leaves while it waits holds nothing up.
    waits.tell(b"INIT;*OPC?\n");
    drop(waits);
    assert!(other.ask(b"*IDN?\n").starts_with("pnnlab,digitizer"));
}

#[test]
fn messages_and_answers_end_as_the_instrument_has_it() {
    let [generator, _] = served_pair(Terminator::CrLf);
    let mut client = Client::new(&generator);
    client.tell(b"*IDN?\n");
    assert_eq!(
        client.ask(b";*ESE?\r\n"),
        "pnnlab,generator (simulated),SIM-1,1.0\r\n",
        "a line feed alone ends nothing"
    );
    assert!(client.ask(b"SYST:ERR?\r\n").starts_with("-440,"), "they were one message");
}

#[test]
fn a_message_that_is_too_long_is_thrown_away_and_said() {
    let [generator, _] = served_pair(Terminator::Lf);
    let mut client = Client::new(&generator);
    let flood = vec![b'A'; 1 << 20];
    for _ in 0..17 {
        client.tell(&flood);
    }
    client.tell(b"\n*CLS\n");
    for _ in 0..17 {
        client.tell(&flood);
    }
    assert_eq!(client.ask(b"\nSYST:ERR?\n"), "-363,\"Input buffer overrun\"\n");
}

/// The dialogue in `hil/recordings/` was had with the simulated instrument over TCP. `RECORD=1 cargo test -p hil recorded` has it
/// again, after the file has been removed.
#[test]
fn a_recorded_dialogue_replays_and_refuses_other_shots() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/red-pitaya.jsonl");
    if std::env::var_os("RECORD").is_some() && !path.exists() {
        let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &waveform(), Faults::new(5))));
        let instrument = ScpiBox::new(SimulatedRedPitaya::new(world, "SIM-7"));
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

#[test]
fn a_second_controller_that_got_past_the_locks_is_noticed() {
    let mut rig = red_pitaya(&Wire::Tcp { port: 0 });
    rig.bench.measure(&inputs()).unwrap();
    // Looks beside the owner change nothing of his.
    let address = rig.served[0].address.clone();
    RedPitaya::stays_safe_beside(&config(&address.to_string()), &LinkOptions::new("beside", address), Duration::ZERO)
        .unwrap_err();
    let drivers::Address::Tcp { host, port } = rig.served[0].address.clone() else { unreachable!("it is a socket") };
    let mut stranger = std::net::TcpStream::connect((host, port)).unwrap();
    let start = Instant::now();
    // It is noticed at the next look, which is due once a second.
    let error = loop {
        std::io::Write::write_all(&mut stranger, b"SOUR1:VOLT 0.25\n*OPC?\n").unwrap();
        std::io::Read::read_exact(&mut stranger, &mut [0; 2]).unwrap();
        match rig.bench.measure(&inputs()) {
            Ok(_) => assert!(start.elapsed() < Duration::from_mins(1), "nobody notices"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("somebody else uses it"), "{error}");
    rig.bench.make_safe().unwrap();
    assert!(!rig.world.lock().unwrap().output(), "it is made safe all the same");
}

#[test]
fn outputs_that_are_on_again_are_switched_off_and_said() {
    let mut rig = red_pitaya(&Wire::Tcp { port: 0 });
    rig.bench.measure(&inputs()).unwrap();
    let options = LinkOptions::new("beside", rig.served[0].address.clone());
    let config = config(&options.address.to_string());
    assert!(rig.world.lock().unwrap().output());
    let error = RedPitaya::stays_safe_beside(&config, &options, Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, drivers::Error::OnAgain { .. }), "{error}");
    assert!(!rig.world.lock().unwrap().output());
    RedPitaya::stays_safe_beside(&config, &options, Duration::from_millis(50)).unwrap();
}
