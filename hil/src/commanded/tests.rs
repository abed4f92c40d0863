//! Trainable controls of SCPI benches over real wires: set, read back, lost, walked, made safe.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drivers::{
    Address, Batch, Disturbance, DoseLimits, Error, Limited, Limits, LinkOptions, Plant, RedPitaya, RedPitayaConfig,
    ScpiPair, ScpiPairConfig, WaveformBench,
};
use sims::{Electrical, ElectricalImperfections, Simulated};

use crate::scpi_server::tests::waveform;
use crate::{
    Described, Fault, Faults, Half, ScpiBox, ScpiError, Served, SharedWorld, SimulatedRedPitaya, WaveformWorld, Wire,
    serve_scpi,
};

/// What the bias is told by, on the second output of the generator.
const CONTROLS: &str = "
[controls.bias]
command = \"SOUR2:VOLT:OFFS {value}\"
query = \"SOUR2:VOLT:OFFS?\"
unit = \"V\"
low = -0.5
high = 0.5
on = \"OUTP2 ON\"
off = \"OUTP2 OFF\"
";

/// A circuit with a bias, and nothing random.
fn circuit() -> sims::Built {
    let imperfections = ElectricalImperfections { dac_bits: 14, ..ElectricalImperfections::none() };
    Electrical { samples: 16, bias_volts: 0.5, imperfections, ..Electrical::default() }.build().unwrap()
}

fn pair_config(controls: &str) -> ScpiPairConfig {
    toml::from_str(&(include_str!("../scpi_server/pair.toml").to_owned() + controls)).unwrap()
}

/// A served pair, what the second output was told, and what may refuse it.
struct Pair {
    bench: WaveformBench,
    world: SharedWorld,
    told: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<String>>,
    faults: Faults,
    served: Vec<Served>,
    config: ScpiPairConfig,
}

impl Pair {
    fn new(controls: &str) -> Self {
        let config = pair_config(controls);
        let faults = Faults::new(1);
        let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &config.waveform, faults.clone())));
        let (told, refused) = (Arc::new(Mutex::new(vec![])), Arc::new(Mutex::new(String::new())));
        let (notes, refuses, seen) = (told.clone(), refused.clone(), world.clone());
        let generator = ScpiBox::new(Described::new(world.clone(), &config, Half::Generator)).behind(move |header| {
            // Where the control was before each command of the generator.
            notes.lock().unwrap().push(format!("{header} {}", seen.lock().unwrap().controls()[0]));
            if *refuses.lock().unwrap() == header { Err(ScpiError::OUT_OF_RANGE) } else { Ok(()) }
        });
        let digitizer = ScpiBox::new(Described::new(world.clone(), &config, Half::Digitizer));
        let serve = |instrument| serve_scpi(instrument, &Wire::Tcp { port: 0 }, faults.clone()).unwrap();
        let served = vec![serve(generator), serve(digitizer)];
        let bench = Self::opened(&config, &served).unwrap();
        Self { bench, world, told, refused, faults, served, config }
    }

    fn opened(config: &ScpiPairConfig, served: &[Served]) -> Result<WaveformBench, Error> {
        let options = |name: &str, served: &Served| LinkOptions::new(name, served.address.clone());
        let pair = ScpiPair::open(config, &options("generator", &served[0]), &options("digitizer", &served[1]))?;
        WaveformBench::new(Box::new(pair), &config.waveform, "electrical")
    }

    fn control(&self) -> f32 {
        self.world.lock().unwrap().controls()[0]
    }

    /// How often a header was told.
    fn count(&self, header: &str) -> usize {
        self.told.lock().unwrap().iter().filter(|line| line.split(' ').next() == Some(header)).count()
    }
}

fn inputs() -> Batch {
    Batch::from_fn(6, 16, |row, column| ((row * 31 + column * 7) % 20) as f32 / 20.0 - 0.5)
}

fn near(one: f32, other: f32) -> bool {
    (one - other).abs() < 1e-3
}

#[test]
fn a_control_is_set_when_it_changes_and_is_what_the_instrument_says() {
    let Pair { mut bench, world, told, served: _served, .. } = Pair::new(CONTROLS);
    let bank = &bench.ports().controls[0];
    assert_eq!((bank.name.as_str(), bank.unit.as_str(), bank.range.high), ("bias", "V", 0.5));
    assert!(told.lock().unwrap().iter().all(|line| !line.starts_with("SOUR2")), "connecting sets nothing");
    let applied = bench.apply(&[0.3]).unwrap();
    assert!(near(applied[0], 0.3) && applied[0] != 0.3, "its converter rounds: {applied:?}");
    assert_eq!(world.lock().unwrap().controls(), applied);
    let mut near_plant = Simulated::new(circuit().system);
    near_plant.apply(&[0.3]).unwrap();
    let readings = bench.measure(&inputs()).unwrap();
    assert_eq!(readings, near_plant.measure(&inputs()).unwrap());
    let count = || told.lock().unwrap().iter().filter(|line| line.starts_with("SOUR2:VOLT:OFFS ")).count();
    assert_eq!(count(), 1);
    assert_eq!(bench.apply(&[0.3]).unwrap(), applied);
    bench.measure(&inputs()).unwrap();
    assert_eq!(count(), 1, "what has not changed is not sent again");
    bench.apply(&[-0.2]).unwrap();
    assert_ne!(bench.measure(&inputs()).unwrap(), readings);
    assert_eq!(count(), 2);
    assert!(matches!(bench.apply(&[0.6]), Err(Error::OutOfRange { .. })));
    bench.make_safe().unwrap();
    let world = world.lock().unwrap();
    assert!(!world.output() && near(world.controls()[0], 0.0), "{:?}", world.controls());
}

#[test]
fn a_control_that_is_refused_or_reads_back_otherwise_drives_nothing() {
    let mut rig = Pair::new(CONTROLS);
    *rig.refused.lock().unwrap() = "SOUR2:VOLT:OFFS".into();
    let error = rig.bench.apply(&[0.3]).unwrap_err();
    assert!(matches!(error, Error::Refused { code: -222, .. }), "{error}");
    rig.bench.measure(&inputs()).unwrap_err();
    assert_eq!((rig.count("*TRG"), rig.count("OUTP1")), (0, 0));
    *rig.refused.lock().unwrap() = String::new();
    rig.bench.apply(&[0.3]).unwrap();
    rig.bench.measure(&inputs()).unwrap();
    assert!(near(rig.control(), 0.3));

    let mut rig = Pair::new(&(CONTROLS.to_owned() + "tolerance = 1e-9\n"));
    let error = rig.bench.apply(&[0.3]).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Readback { .. }) && text.contains("SOUR2:VOLT:OFFS = 0.3"), "{text}");
}

fn slowly(bench: WaveformBench) -> Limited<WaveformBench> {
    let slew = BTreeMap::from([("bias".to_owned(), 0.125)]);
    let limits = Limits { dose: DoseLimits { slew, ..DoseLimits::default() }, ..Limits::default() };
    let mut limited = Limited::new(bench, &limits).unwrap();
    limited.make_safe().unwrap();
    limited
}

/// Where the control was before each command that has set it.
fn steps(told: &[String]) -> Vec<f32> {
    let of = |line: &String| line.strip_prefix("SOUR2:VOLT:OFFS ").and_then(|value| value.parse().ok());
    told.iter().filter_map(of).collect()
}

#[test]
fn what_has_lost_its_power_is_walked_back_before_anything_is_driven() {
    let Pair { bench, world, told, faults, served: _served, .. } = Pair::new(CONTROLS);
    let mut limited = slowly(bench);
    limited.apply(&[0.5]).unwrap();
    let before = limited.measure(&inputs()).unwrap();
    let from = told.lock().unwrap().len();
    faults.once(Fault::PowerCycle);
    assert_eq!(limited.measure(&inputs()).unwrap(), before, "measured again with the control where it was");
    let told = told.lock().unwrap()[from..].to_vec();
    let steps = steps(&told);
    assert!(steps.len() >= 4, "{steps:?}");
    let lost = steps.iter().position(|volts| near(*volts, 0.0)).unwrap();
    for (step, pair) in steps[lost..].windows(2).enumerate() {
        assert!((pair[1] - pair[0]).abs() < 0.1251, "step {step} of {steps:?}");
    }
    assert!(near(world.lock().unwrap().controls()[0], 0.5));
    assert!(
        told.iter().filter(|line| line.starts_with("*TRG")).all(|line| line.contains("0.5") || line.contains("0.49"))
    );
}

#[test]
fn a_control_that_the_instrument_has_kept_does_not_move() {
    let Pair { bench, told, served: _served, .. } = Pair::new(CONTROLS);
    let watch = bench.watches().remove(0);
    let mut limited = slowly(bench);
    limited.apply(&[0.5]).unwrap();
    let readings = limited.measure(&inputs()).unwrap();
    let from = told.lock().unwrap().len();
    watch.disturb(Disturbance::ClosePort);
    assert_eq!(limited.measure(&inputs()).unwrap(), readings);
    watch.disturb(Disturbance::ClosePort);
    limited.apply(&[0.4]).unwrap();
    let told = told.lock().unwrap();
    let steps = steps(&told[from..]);
    assert!(!steps.is_empty() && steps.iter().all(|volts| near(*volts, 0.5)), "it was there all the time: {steps:?}");
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again() {
    let mut rig = Pair::new(CONTROLS);
    for fault in [Fault::NoReply, Fault::LateReply, Fault::JoinedReplies] {
        rig.faults.once(fault);
        let applied = rig.bench.apply(&[0.25]).unwrap();
        assert!(near(applied[0], 0.25) && near(rig.control(), 0.25), "{fault:?}");
        rig.bench.apply(&[-0.25]).unwrap();
    }
    rig.bench.make_safe().unwrap();
}

#[test]
fn a_control_without_a_query_goes_back_from_the_safe_state() {
    let mute = CONTROLS.replace("query = \"SOUR2:VOLT:OFFS?\"\n", "");
    let Pair { bench, told, world, served: _served, .. } = Pair::new(&mute);
    let watch = bench.watches().remove(0);
    let mut limited = slowly(bench);
    assert_eq!(limited.apply(&[0.5]).unwrap(), [0.5]);
    limited.measure(&inputs()).unwrap();
    let from = told.lock().unwrap().len();
    watch.disturb(Disturbance::ClosePort);
    limited.measure(&inputs()).unwrap();
    // Its connection was lost and nothing else: the control has stayed where it was, and only the step to the safe state is free.
    let steps = way(&told.lock().unwrap()[from..], &world);
    assert!(near(steps[0], 0.5) && near(steps[1], 0.0), "{steps:?}");
    assert_slow(&steps[1..], 0.5);
}

/// Where a control was before each command that has set it, and where it is now.
fn way(told: &[String], world: &SharedWorld) -> Vec<f32> {
    steps(told).into_iter().chain([world.lock().unwrap().controls()[0]]).collect()
}

/// No step is larger than `slew` allows, and the last one comes to `end`.
fn assert_slow(way: &[f32], end: f32) {
    assert!(way.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.1251), "{way:?}");
    assert!(near(way[way.len() - 1], end), "{way:?}");
}

#[test]
fn a_wait_for_a_control_to_settle_gives_way_and_goes_on() {
    let Pair { bench, told, world, served: _served, .. } = Pair::new(&(CONTROLS.to_owned() + "settle_seconds = 60\n"));
    let mut free = Limited::new(bench, &Limits::default()).unwrap();
    free.allowance().wait_with(|_| false);
    for _ in 0..2 {
        assert_eq!(
            free.apply(&[0.3]),
            Err(Error::Interrupted),
            "also where there are no limits, and where it is asked again"
        );
    }
    assert_eq!(free.measure(&inputs()), Err(Error::Interrupted), "nothing is driven before it has settled");
    let told = told.lock().unwrap();
    assert!(near(world.lock().unwrap().controls()[0], 0.3) && steps(&told).len() == 1, "it is sent once: {told:?}");
    assert!(!told.iter().any(|line| line.starts_with("*TRG")));
}

#[test]
fn a_way_back_that_is_cut_short_goes_on_in_allowed_steps() {
    for mute in [false, true] {
        let controls = CONTROLS.to_owned() + "settle_seconds = 0.02\n";
        let controls = if mute { controls.replace("query = \"SOUR2:VOLT:OFFS?\"\n", "") } else { controls };
        let Pair { bench, told, world, faults, served: _served, .. } = Pair::new(&controls);
        let watch = bench.watches().remove(0);
        let mut limited = slowly(bench);
        limited.apply(&[0.5]).unwrap();
        let before = limited.measure(&inputs()).unwrap();
        let from = told.lock().unwrap().len();
        // Whatever it waits for, it is cut short at once.
        limited.allowance().wait_with(|_| false);
        if mute {
            watch.disturb(Disturbance::ClosePort);
        } else {
            faults.once(Fault::PowerCycle);
        }
        let mut cuts = 0;
        let after = loop {
            // As a lab does it: controls first.
            match limited.apply(&[0.5]).and_then(|_| limited.measure(&inputs())) {
                Err(Error::Interrupted) => cuts += 1,
                result => break result.unwrap(),
            }
            assert!(cuts < 100, "it goes on");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(cuts >= 3 && after == before, "{cuts}: measured with the control where it was");
        let way = way(&told.lock().unwrap()[from..], &world);
        let safe = way.iter().position(|volts| near(*volts, 0.0)).unwrap();
        assert!(way.len() - safe > 4, "{way:?}");
        assert_slow(&way[safe..], 0.5);
    }
}

#[test]
fn the_drive_is_known_to_be_off_before_controls_are_told_and_one_that_refuses_keeps_no_other() {
    let heater = "[controls.heater]\ncommand = \"SOUR3:VOLT:OFFS {value}\"\nunit = \"V\"\nlow = -0.5\nhigh = 0.5\noff = \"OUTP3 OFF\"\non = \"OUTP3 ON\"\n";
    let mut rig = Pair::new(&(CONTROLS.to_owned() + heater));
    rig.bench.apply(&[0.4, 0.3]).unwrap();
    rig.bench.measure(&inputs()).unwrap();
    let from = rig.told.lock().unwrap().len();
    *rig.refused.lock().unwrap() = "SOUR2:VOLT:OFFS".into();
    let error = rig.bench.make_safe().unwrap_err();
    assert!(matches!(error, Error::Refused { code: -222, .. }), "{error}");
    let told: Vec<String> = rig.told.lock().unwrap()[from..].to_vec();
    let place = |header: &str| told.iter().position(|line| line.split(' ').next() == Some(header));
    assert!(place("OUTP1?").is_some() && place("OUTP1?") < place("SOUR2:VOLT:OFFS"), "{told:?}");
    assert!(place("SOUR2:VOLT:OFFS") < place("SOUR3:VOLT:OFFS") && place("OUTP3").is_some(), "{told:?}");
    assert!(!rig.world.lock().unwrap().output());
    *rig.refused.lock().unwrap() = String::new();
    let before = rig.count("SOUR3:VOLT:OFFS");
    rig.bench.measure(&inputs()).unwrap();
    assert!(before < rig.count("SOUR3:VOLT:OFFS"), "one that has become safe is not taken for where it was");
    rig.bench.make_safe().unwrap();
}

#[test]
fn the_guard_and_the_command_safe_bring_controls_to_their_safe_values() {
    let mut rig = Pair::new(CONTROLS);
    let link = LinkOptions::new("generator", rig.served[0].address.clone());
    let on = |rig: &mut Pair| {
        rig.bench.apply(&[0.4]).unwrap();
        rig.bench.measure(&inputs()).unwrap();
        assert!(near(rig.control(), 0.4) && rig.world.lock().unwrap().output());
    };
    let is_safe = |rig: &Pair| near(rig.control(), 0.0) && !rig.world.lock().unwrap().output();
    on(&mut rig);
    let order = ScpiPair::safe_order(&rig.config, &link);
    order.carry_out(&order.resolve(), 0, Duration::from_mins(1)).unwrap();
    assert!(is_safe(&rig));
    rig.bench.make_safe().unwrap();
    on(&mut rig);
    ScpiPair::make_safe_beside(&rig.config, &link).unwrap();
    assert!(is_safe(&rig));
    rig.bench.make_safe().unwrap();
    ScpiPair::stays_safe_beside(&rig.config, &link, Duration::from_millis(20)).unwrap();
    rig.world.lock().unwrap().set_control(0, 0.3);
    let error = ScpiPair::stays_safe_beside(&rig.config, &link, Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, Error::OnAgain { .. }) && is_safe(&rig), "{error}");
}

#[test]
fn a_control_that_somebody_else_sets_is_noticed() {
    let mut rig = Pair::new(CONTROLS);
    rig.bench.apply(&[0.4]).unwrap();
    let start = Instant::now();
    let error = loop {
        rig.world.lock().unwrap().set_control(0, 0.1);
        match rig.bench.measure(&inputs()) {
            Ok(_) => assert!(start.elapsed() < Duration::from_mins(1), "nobody notices"),
            Err(error) => break error,
        }
    };
    let text = error.to_string();
    assert!(text.contains("SOUR2:VOLT:OFFS = 0.4") && text.contains("somebody else uses it"), "{text}");
    rig.bench.make_safe().unwrap();
    rig.bench.apply(&[0.2]).unwrap();
    rig.bench.measure(&inputs()).unwrap();
}

#[test]
fn a_slow_output_of_a_red_pitaya_is_a_control() {
    let controls = "[bias]\ncommand = \"ANALOG:PIN AOUT0,{value}\"\nquery = \"ANALOG:PIN? AOUT0\"\nunit = \"V\"\nlow = 0\nhigh = 0.5\ntolerance = 0.012\nsettle_seconds = 0.001";
    let config = |address: &Address| RedPitayaConfig {
        address: address.to_string(),
        wiring: "OUT1 and AOUT0 to the circuit, the circuit to IN1".into(),
        waveform: waveform(),
        deadline_seconds: 2.0,
        identity: String::new(),
        serial: String::new(),
        controls: toml::from_str(controls).unwrap(),
        terminator: drivers::Terminator::CrLf,
        pipelined: true,
    };
    let world = Arc::new(Mutex::new(WaveformWorld::new(circuit().system, &waveform(), Faults::new(1))));
    let controls = config(&"tcp://h:1".parse().unwrap()).controls;
    let instrument = ScpiBox::new(SimulatedRedPitaya::new(world.clone(), "0").wired(&controls));
    let instrument = instrument.ending(drivers::Terminator::CrLf);
    let served = serve_scpi(instrument, &Wire::Tcp { port: 0 }, Faults::new(1)).unwrap();
    let options = LinkOptions::new("pitaya", served.address.clone());
    let opened = RedPitaya::open(&config(&served.address), &options).unwrap();
    let mut bench = WaveformBench::new(Box::new(opened), &waveform(), "electrical").unwrap();
    assert_eq!(bench.card().timing.settle, 0.001);
    let applied = bench.apply(&[0.31]).unwrap();
    assert!(near(applied[0], 0.3), "its slow outputs have steps of 11.5 mV: {applied:?}");
    let mut near_plant = Simulated::new(circuit().system);
    assert_eq!(near_plant.apply(&[0.3]).unwrap(), applied);
    assert_eq!(bench.measure(&inputs()).unwrap(), near_plant.measure(&inputs()).unwrap());
    let order = RedPitaya::safe_order(&config(&served.address), &options);
    order.carry_out(&order.resolve(), 0, Duration::from_mins(1)).unwrap();
    assert!(near(world.lock().unwrap().controls()[0], 0.0));
    bench.make_safe().unwrap();
}
