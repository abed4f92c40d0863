//! Driver and simulated instrument over real wires.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use drivers::pnnlink::link::{Options, Pnnlink};
use drivers::pnnlink::message::Request;
use drivers::{
    Address, Batch, DoseLimits, Error, Histogram, Interlock, Interlocked, Limited, Limits, LinkOptions, LinkState,
    Plant, Range, Watched,
};
use sims::{Electrical, Simulated};

use super::{Build, Firmware, Pattern, Place, Served};
use crate::{Fault, Faults};

fn served(place: Place, faults: &Faults) -> Served {
    let firmware = Firmware::new(Arc::new(Pattern::new(4)), Build::default(), faults.clone());
    Served::start(firmware, place, None, faults).unwrap()
}

fn none() -> Faults {
    Faults::new(0)
}

fn options() -> Options {
    Options { watchdog: Duration::from_millis(400), ..Options::default() }
}

fn link(address: &str) -> LinkOptions {
    LinkOptions::new("bench", address.parse().unwrap())
}

fn open(served: &Served) -> Pnnlink {
    Pnnlink::open(&link(served.address()), options()).unwrap()
}

fn numbers(first: usize, shots: usize) -> Batch {
    Batch::from_fn(shots, 4, |row, column| (4 * (first + row) + column) as f32)
}

/// Waits until something is true, but not for ever.
fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_plant_over_the_wire_is_the_plant_in_process_bit_for_bit() {
    let built = Electrical { samples: 32, ..Electrical::default() }.build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut near = Simulated::new(Arc::clone(&built.system));
    let firmware = Firmware::new(built.system, Build::default(), none());
    let served = Served::start(firmware, Place::Pty(folder.path().join("tty")), None, &none()).unwrap();
    let mut far = open(&served);
    assert_eq!(far.card().ports, near.card().ports);
    assert!(served.report().is_safe, "connecting changes no output");
    for batch in [40, 1, 7] {
        let inputs = Batch::from_fn(batch, 32, |row, column| ((row * 31 + column * 7) % 20) as f32 / 10.0 - 1.0);
        assert_eq!(far.apply(&[]).unwrap(), near.apply(&[]).unwrap());
        assert_eq!(far.measure(&inputs).unwrap(), near.measure(&inputs).unwrap());
    }
    assert!(!served.report().is_safe);
    far.make_safe().unwrap();
    wait_until("it is safe", || served.report().is_safe);
}

#[test]
fn codes_of_sixteen_bits_cost_half_a_code() {
    let built = Electrical { samples: 16, ..Electrical::default() }.build().unwrap();
    let mut near = Simulated::new(Arc::clone(&built.system));
    let firmware = Firmware::new(built.system, Build { has_codes: true, ..Build::default() }, none());
    let served = Served::start(firmware, Place::Tcp(0), None, &none()).unwrap();
    let mut far = open(&served);
    let inputs = Batch::from_fn(20, 16, |row, column| if (row + column) % 3 == 0 { 1.0 } else { -1.0 });
    let (there, here) = (far.measure(&inputs).unwrap(), near.measure(&inputs).unwrap());
    let worst = there.values().iter().zip(here.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let code = near.card().ports.outputs[0].range.span() / 65_534.0;
    assert!(worst <= 0.51 * code, "{worst} against {code}");
}

#[test]
fn no_fault_loses_or_misplaces_a_shot() {
    let folder = tempfile::tempdir().unwrap();
    let faults: Vec<Fault> = Fault::ALL
        .into_iter()
        // These change the reading itself, and no wire can tell.
        .filter(|fault| !matches!(fault, Fault::StuckValue | Fault::Saturation | Fault::DriftStep))
        .collect();
    for place in [Place::Pty(folder.path().join("tty")), Place::Tcp(0)] {
        let switches = Faults::new(11);
        for fault in &faults {
            switches.set(*fault, 0.004);
        }
        let served = served(place, &switches);
        let mut plant = open(&served);
        plant.apply(&[0.0]).unwrap();
        for batch in 0..20 {
            let inputs = numbers(batch * 100, 100);
            assert_eq!(plant.measure(&inputs).unwrap(), inputs, "{:?}", switches.counts());
        }
        assert!(5 < switches.counts().len(), "{:?}", switches.counts());
    }
}

#[test]
fn each_fault_is_survived() {
    for fault in Fault::ALL {
        let switches = Faults::new(0);
        let served = served(Place::Tcp(0), &switches);
        let mut plant = open(&served);
        plant.apply(&[0.0]).unwrap();
        plant.measure(&numbers(0, 3)).unwrap();
        switches.once(fault);
        let mut batch = 1;
        wait_until(fault.name(), || {
            let inputs = numbers(batch * 64, 64);
            let outputs = plant.measure(&inputs).unwrap();
            batch += 1;
            let changes = matches!(fault, Fault::StuckValue | Fault::Saturation | Fault::DriftStep);
            assert!(changes || outputs == inputs, "{}", fault.name());
            switches.counts().contains_key(&fault)
        });
        let report = plant.report();
        assert_eq!(report.power_cycles, u64::from(matches!(fault, Fault::PowerCycle | Fault::FirmwareChange)));
        assert_eq!(report.firmware_changes, u64::from(fault == Fault::FirmwareChange));
    }
}

#[test]
fn controls_come_back_after_a_power_cycle() {
    let switches = Faults::new(0);
    let served = served(Place::Tcp(0), &switches);
    let mut plant = open(&served);
    assert_eq!(plant.apply(&[0.5]).unwrap(), [0.5]);
    switches.once(Fault::PowerCycle);
    let inputs = numbers(0, 10);
    let outputs = plant.measure(&inputs).unwrap();
    assert!(outputs.values().iter().zip(inputs.values()).all(|(output, input)| *output == 1.5 * input));
    assert_eq!(plant.report().power_cycles, 1);
}

/// A plant on a wire whose control makes steps of at most a tenth.
fn walking(served: &Served) -> Limited<Pnnlink> {
    let slew = BTreeMap::from([("gain".to_owned(), 0.1)]);
    let limits = Limits { dose: DoseLimits { slew, ..DoseLimits::default() }, ..Limits::default() };
    Limited::new(open(served), &limits).unwrap()
}

#[test]
fn after_a_power_cycle_controls_are_walked_back_in_steps_that_are_allowed() {
    let switches = Faults::new(0);
    let served = served(Place::Tcp(0), &switches);
    let mut plant = walking(&served);
    assert_eq!(plant.apply(&[0.5]).unwrap(), [0.5]);
    // In the middle of a batch, and when the next setting is asked for.
    for setting in [None, Some(0.5625)] {
        switches.once(Fault::PowerCycle);
        let gain = 1.0 + setting.unwrap_or(0.5);
        if let Some(setting) = setting {
            assert_eq!(plant.apply(&[setting]).unwrap(), [setting]);
        }
        let outputs = plant.measure(&numbers(0, 10)).unwrap();
        assert!(outputs.values().iter().zip(numbers(0, 10).values()).all(|(output, input)| *output == gain * input));
        assert!(switches.counts().contains_key(&Fault::PowerCycle));
        wait_until("it reports", || !served.report().is_safe);
        let step = served.report().largest_step;
        assert!(0.09 < step && step < 0.1001, "{setting:?}: {step}");
    }
    // From there it goes on as ever: by steps, and refuses larger ones.
    assert!(matches!(plant.apply(&[0.3]), Err(Error::Overdriven { .. })));
    plant.apply(&[0.5]).unwrap();
}

#[test]
fn an_idle_link_that_comes_back_sets_nothing_until_somebody_drives() {
    let switches = Faults::new(0);
    let served = served(Place::Tcp(0), &switches);
    let mut plant = walking(&served);
    let watch = plant.plant().watch();
    plant.apply(&[0.5]).unwrap();
    // The next heartbeat finds it gone, one more brings it back.
    switches.once(Fault::PowerCycle);
    wait_until("it is found", || {
        let report = watch.report();
        report.reconnects == 1 && report.state == LinkState::Ready && served.report().is_safe
    });
    // Two heartbeats later it is as it was.
    let answered = watch.report().queries.get("idle").map_or(0, Histogram::count);
    wait_until("it is idle", || {
        assert!(served.report().is_safe, "nobody has asked for its controls");
        watch.report().queries.get("idle").is_some_and(|idle| answered + 2 <= idle.count())
    });
    assert_eq!(plant.measure(&numbers(0, 1)).unwrap(), Batch::from_fn(1, 4, |_, column| 1.5 * column as f32));
    wait_until("it reports", || !served.report().is_safe);
    assert!(served.report().largest_step < 0.1001, "{}", served.report().largest_step);
}

#[test]
fn an_interlock_ends_a_batch_within_a_window() {
    let served = served(Place::Tcp(0), &none());
    let window = u64::from(Build::default().window);
    let interlock = Interlock {
        name: "echo".into(),
        watched: Watched::Bank("echo".into()),
        range: Range::new(-1.0, 399.0),
        recovery: None,
    };
    let mut plant = Interlocked::new(open(&served), vec![interlock]).unwrap();
    assert_eq!(plant.shots_at_once() as u64, window);
    // Shot 100 is the first that reads more.
    assert!(matches!(plant.measure(&numbers(0, 1000)), Err(Error::Interlock { .. })));
    wait_until("it is safe", || served.report().is_safe);
    let driven = served.report().driven;
    assert!((101..=100 + window).contains(&driven), "{driven}");
}

#[test]
fn shots_that_are_driven_again_are_counted() {
    let built = Electrical { samples: 32, ..Electrical::default() }.build().unwrap();
    let shot = built.system.card().timing.shot;
    let inputs = Batch::from_fn(20, 32, |row, column| ((row * 31 + column * 7) % 20) as f32 / 10.0 - 1.0);
    let switches = Faults::new(0);
    let firmware = Firmware::new(built.system, Build::default(), switches.clone());
    let served = Served::start(firmware, Place::Tcp(0), None, &switches).unwrap();
    // Room for the batch, and for eight shots more.
    let duty = Some((28.5 * shot / 60.0) as f32);
    let limits = Limits { dose: DoseLimits { duty, ..DoseLimits::default() }, ..Limits::default() };
    let limited = || Limited::new(open(&served), &limits).unwrap();
    limited().measure(&inputs).unwrap();
    switches.once(Fault::Xrun);
    limited().measure(&inputs).unwrap();
    assert_eq!(switches.counts().get(&Fault::Xrun), Some(&1), "one void shot has room");
    // All twenty are void once, or nearly all: their second time has none.
    switches.set(Fault::Xrun, 0.9);
    let error = limited().measure(&inputs).unwrap_err();
    assert!(matches!(error, Error::Overdriven { .. }), "{error}");
}

#[test]
fn an_idle_link_keeps_the_watchdog_quiet_and_a_dead_one_does_not() {
    let served = served(Place::Tcp(0), &none());
    let mut plant = open(&served);
    plant.apply(&[0.5]).unwrap();
    let start = Instant::now();
    wait_until("three watchdog times", || {
        assert!(!served.report().is_safe, "the heartbeat keeps it awake");
        Duration::from_millis(1200) < start.elapsed()
    });
    assert_eq!(served.report().watchdog_trips, 0);
    drop(plant);
    wait_until("goodbye makes safe", || served.report().is_safe);
}

#[test]
fn what_is_not_there_is_said_in_a_sentence() {
    let options = Options { deadline: Duration::from_millis(500), ..options() };
    let error = |address: &str| Pnnlink::open(&link(address), options).unwrap_err().to_string();
    let text = error("/nonexistent/tty");
    assert!(text.starts_with("instrument `bench` cannot be reached at serial:///nonexistent/tty"), "{text}");
    // A server that says nothing at all.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = error(&format!("tcp://{}", listener.local_addr().unwrap()));
    assert!(text.contains("gave no answer to a greeting within 0.5 s"), "{text}");
}

#[test]
fn a_board_says_who_it_is_to_whoever_looks_for_instruments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tty");
    let _served = served(Place::Pty(path.clone()), &none());
    assert_eq!(drivers::who_answers(path.to_str().unwrap()), "pnnlink: pattern SIM-1");
}

/// A port that leads to `address`.
fn forward(address: &Address) -> u16 {
    let Address::Tcp { host, port } = address.clone() else { panic!("{address}") };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let far = std::net::TcpStream::connect((host.as_str(), port)).unwrap();
            let ends = [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)];
            for (mut from, mut to) in ends {
                std::thread::spawn(move || {
                    drop(std::io::copy(&mut from, &mut to));
                    drop(to.shutdown(std::net::Shutdown::Both));
                });
            }
        }
    });
    here
}

#[test]
fn a_second_controller_is_told() {
    let served = served(Place::Tcp(0), &none());
    let address: Address = served.address().parse().unwrap();
    // On a busy machine the first must not lose its session, nor the second its patience, before the board has said its word.
    let options = Options { watchdog: Duration::from_mins(1), deadline: Duration::from_secs(4), ..Options::default() };
    let _first = Pnnlink::open(&link(served.address()), options).unwrap();
    let error = Pnnlink::open(&LinkOptions::new("bench", address.clone()), options).unwrap_err().to_string();
    assert!(error.contains("is held by process"), "{error}");
    // From another machine, here by a forwarded port, there is no lock to look at: the instrument itself says no.
    let forwarded = Address::Tcp { host: "127.0.0.1".into(), port: forward(&address) };
    let error = Pnnlink::open(&LinkOptions::new("bench", forwarded), options).unwrap_err().to_string();
    assert!(error.contains("another controller has it"), "{error}");
}

#[test]
fn a_board_whose_welcome_was_lost_hands_over_at_once() {
    let switches = Faults::new(0);
    let served = served(Place::Tcp(0), &switches);
    // The cable is pulled after the welcome, before anybody could use the session.
    switches.once(Fault::Unplug);
    let options = Options { watchdog: Duration::from_mins(1), ..Options::default() };
    let mut plant = Pnnlink::open(&link(served.address()), options).unwrap();
    assert_eq!(switches.counts().get(&Fault::Unplug), Some(&1));
    assert_eq!(plant.measure(&numbers(0, 3)).unwrap(), numbers(0, 3));
}

#[test]
fn a_controller_that_is_started_starts_a_board_that_was_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let board = std::thread::spawn(move || {
        // A line that hangs up once: whether the hello has come through, the controller cannot know.
        drop(listener.accept().unwrap());
        drop(listener);
        let mut firmware = Firmware::new(Arc::new(Pattern::new(4)), Build::default(), none());
        let mut stop = Vec::new();
        Request::MakeSafe.encode(7, 1, &mut stop);
        assert_eq!(firmware.receive(Duration::ZERO, &mut Firmware::deframer(), &stop).len(), 1);
        Served::start(firmware, Place::Tcp(address.port()), None, &none()).unwrap()
    });
    let mut plant = Pnnlink::open(&link(&format!("tcp://{address}")), options()).unwrap();
    let _served = board.join().unwrap();
    assert_eq!(plant.measure(&numbers(0, 3)).unwrap(), numbers(0, 3));
}

#[test]
fn readings_without_a_number_are_given_up_whatever_becomes_of_the_sessions() {
    let switches = Faults::new(1);
    let served = served(Place::Tcp(0), &switches);
    let mut plant = open(&served);
    plant.apply(&[0.0]).unwrap();
    switches.set(Fault::NotANumber, 1.0);
    // Of 125 answers, one loses the session each time.
    switches.set(Fault::Unplug, 0.1);
    let (sender, ended) = channel();
    std::thread::spawn(move || drop(sender.send((plant.measure(&numbers(0, 2000)), plant.report()))));
    let (outcome, report) = ended.recv_timeout(Duration::from_mins(1)).expect("it ends");
    assert!(matches!(outcome, Err(Error::Rejected { .. })), "{outcome:?}");
    assert!(0 < report.reconnections, "{report:?}");
}

#[test]
fn an_idle_link_finds_a_board_that_has_become_slow() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Pty(folder.path().join("tty"));
    let quick = served(place.clone(), &none());
    let plant = open(&quick);
    drop(quick);
    wait_until("it is missed", || plant.watch().report().state != LinkState::Ready);
    // Its greeting now takes longer than the first attempt may.
    let firmware = Firmware::new(Arc::new(Pattern::new(4)), Build::default(), none());
    let _slow = Served::start(firmware, place, Some(9600), &none()).unwrap();
    wait_until("it is found", || plant.watch().report().state == LinkState::Ready);
}
