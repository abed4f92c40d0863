//! Trips, probes, and what is driven meanwhile.

use std::sync::Mutex;

use super::*;
use crate::{Bank, Identity, Origin, Ports, Timing};

/// Reads what it is driven with; counts how often it was made safe.
struct Wire(Card, usize);

impl Plant for Wire {
    fn card(&self) -> &Card {
        &self.0
    }
    fn apply(&mut self, _: &[f32]) -> Result<Vec<f32>, Error> {
        Ok(vec![])
    }
    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        Ok(inputs.clone())
    }
    fn make_safe(&mut self) -> Result<(), Error> {
        self.1 += 1;
        Ok(())
    }
}

fn wire() -> Wire {
    let bank = |name| vec![Bank::new(name, 2, "V", Range::new(-9.0, 9.0))];
    let ports = Ports { inputs: bank("drive"), controls: vec![], outputs: bank("node") };
    let identity = Identity { system: "wire".into(), serial: "1".into(), origin: Origin::Real };
    Wire(Card { identity, ports, timing: Timing::default() }, 0)
}

#[test]
fn a_reading_out_of_bounds_makes_safe_and_ends_driving() {
    let interlock = |bank: &str| {
        let (name, range) = ("coil heat".into(), Range::new(-1.0, 1.0));
        vec![Interlock { name, watched: Watched::Bank(bank.into()), range, recovery: None }]
    };
    let mut plant = Interlocked::new(wire(), interlock("node")).unwrap();
    assert!(plant.measure(&Batch::new(2, vec![0.5, -1.0]).unwrap()).is_ok());
    let error = plant.measure(&Batch::new(2, vec![0.0, 0.0, 0.0, 1.5]).unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("interlock `coil heat`: node[1] = 1.5 V is outside [-1, 1] V"), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(plant.plant.1, 1, "made safe at once");
    assert_eq!(plant.measure(&Batch::zeros(1, 2)).unwrap_err(), error, "and driven no more");
    let mut plant = Interlocked::new(wire(), interlock("node")).unwrap();
    assert!(plant.measure(&Batch::new(2, vec![f32::NAN, 0.0]).unwrap()).is_err());
    assert!(Interlocked::new(wire(), interlock("knot")).err().unwrap().to_string().contains("it has `node`"));
}

/// A plant whose readings are its inputs and, at rest, what the list says; it notes what it was asked.
struct Heater {
    card: Card,
    at_rest: Vec<[f32; 2]>,
    asked: Vec<&'static str>,
}

impl Plant for Heater {
    fn card(&self) -> &Card {
        &self.card
    }
    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.asked.push("apply");
        Ok(controls.to_vec())
    }
    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let is_rest = inputs.values().iter().all(|value| *value == 0.0);
        self.asked.push(if is_rest { "rest" } else { "drive" });
        let reading = if is_rest { self.at_rest.pop() } else { None };
        reading.map_or_else(|| Ok(inputs.clone()), |reading| Batch::new(2, reading.to_vec()))
    }
    fn make_safe(&mut self) -> Result<(), Error> {
        self.asked.push("safe");
        Ok(())
    }
}

fn recovery() -> Recovery {
    Recovery { range: Range::new(-0.5, 0.5), probes: 2, every: 0.5, most_probes: 6, most_trips: 2 }
}

/// Reads `at_rest` at rest, one after another; `others` watch it as well.
fn heater(at_rest: &[f32], others: Vec<Interlock>) -> Interlocked<Heater> {
    let heater = Heater {
        card: wire().0,
        at_rest: at_rest.iter().rev().map(|reading| [0.0, *reading]).collect(),
        asked: vec![],
    };
    let own = Interlock {
        name: "coil heat".into(),
        watched: Watched::Bank("node".into()),
        range: Range::new(-1.0, 1.0),
        recovery: Some(recovery()),
    };
    Interlocked::new(heater, [vec![own], others].concat()).unwrap()
}

fn hot() -> Batch {
    Batch::new(2, vec![0.5, 2.0]).unwrap()
}

#[test]
fn it_is_driven_again_when_its_readings_are_back_for_long_enough() {
    let mut plant = heater(&[1.5, 0.4, 0.8, 0.4, 0.3], vec![]);
    let rest = Batch::zeros(1, 2);
    assert_eq!(plant.probe(&rest), Ok(Probe::Within(0)), "nothing waits");
    let error = plant.measure(&hot()).unwrap_err();
    assert!(matches!(error, Error::Interlock { after: AfterTrip::Probes(0.5), .. }), "{error}");
    assert_eq!(plant.measure(&hot()).unwrap_err(), error, "not before it was seen to be back");
    assert!(matches!(plant.probe(&rest), Ok(Probe::Out(error)) if error.to_string().contains("node[1] = 1.5 V")));
    assert!(plant.apply(&[]).is_err(), "still out");
    assert_eq!(plant.probe(&rest), Ok(Probe::Within(1)));
    assert_eq!(plant.probe(&rest), Ok(Probe::Within(2)), "within its bounds, but not back: it begins anew");
    assert_eq!([plant.probe(&rest), plant.probe(&rest)], [Ok(Probe::Within(1)), Ok(Probe::Within(0))]);
    let probes = ["rest", "safe"].repeat(5);
    assert_eq!(plant.plant.asked, [vec!["drive", "safe"], probes].concat(), "each probe ends in the safe state");
    assert!(plant.apply(&[]).is_ok() && plant.measure(&Batch::new(2, vec![0.9, -0.9]).unwrap()).is_ok());
}

#[test]
fn whoever_drives_it_sooner_than_asked_may_once_it_is_within_its_bounds() {
    let mut plant = heater(&[0.8], vec![]);
    plant.measure(&hot()).unwrap_err();
    assert_eq!(plant.probe(&Batch::zeros(1, 2)), Ok(Probe::Within(2)));
    assert!(plant.measure(&Batch::new(2, vec![0.9, -0.9]).unwrap()).is_ok());
}

#[test]
fn the_interlock_that_has_tripped_too_often_is_the_one_that_is_named() {
    let often = Interlock {
        name: "lid".into(),
        watched: Watched::Bank("node".into()),
        range: Range::new(-1.0, 1.0),
        recovery: Some(Recovery { most_trips: 0, ..recovery() }),
    };
    let error = heater(&[], vec![often]).measure(&hot()).unwrap_err().to_string();
    assert!(error.contains("interlock `lid`") && error.contains("its trip 1, more than"), "{error}");
    assert!(error.ends_with("Find the cause before going on"), "{error}");
}

#[test]
fn trips_and_probes_are_bounded() {
    let rest = Batch::zeros(1, 2);
    let mut plant = heater(&[0.0; 4], vec![]);
    for _ in 0..2 {
        plant.measure(&hot()).unwrap_err();
        assert_eq!([plant.probe(&rest), plant.probe(&rest)], [Ok(Probe::Within(1)), Ok(Probe::Within(0))]);
    }
    let error = plant.measure(&hot()).unwrap_err();
    assert!(error.to_string().contains("trip 3, more than `pause.most_trips` allows"), "{error}");
    assert_eq!(plant.probe(&rest), Err(error), "for good");

    // Never back for long enough, though the last reading is.
    let mut plant = heater(&[1.5, 0.0, 1.5, 0.0, 0.9, 0.0, 0.0], vec![]);
    plant.measure(&hot()).unwrap_err();
    for _ in 0..5 {
        plant.probe(&rest).unwrap();
    }
    let error = plant.probe(&rest).unwrap_err();
    let sentence = error.to_string();
    assert!(sentence.contains("node[1] = 0.9 V is outside [-0.5, 0.5] V"), "{sentence}");
    assert!(sentence.contains("6 probes have not found it back"), "{sentence}");
    assert_eq!([plant.probe(&rest).unwrap_err(), plant.measure(&rest).unwrap_err()], [error.clone(), error]);
    assert_eq!(plant.plant.asked.last(), Some(&"safe"));
}

#[test]
fn an_interlock_that_ends_a_run_does_so_in_a_probe_as_well() {
    let far = |recovery| Interlock {
        name: "breakdown".into(),
        watched: Watched::Bank("node".into()),
        range: Range::new(-5.0, 5.0),
        recovery,
    };
    let rest = Batch::zeros(1, 2);
    let mut plant = heater(&[6.0], vec![far(None)]);
    plant.measure(&hot()).unwrap_err();
    let error = plant.probe(&rest).unwrap_err();
    assert!(error.to_string().contains("`breakdown`") && is_final(&error), "{error}");
    assert_eq!(plant.measure(&rest).unwrap_err(), error);
    // Both are out: both must be back.
    let wide = Recovery { range: Range::new(-0.1, 0.1), probes: 3, ..recovery() };
    let mut plant = heater(&[6.0, 0.2, 0.0, 0.0, 0.0], vec![far(Some(wide))]);
    plant.measure(&hot()).unwrap_err();
    let found: Vec<_> = (0..5).map(|_| plant.probe(&rest).unwrap()).collect();
    assert!(matches!(found[0], Probe::Out(_)));
    assert_eq!(found[1..], [3, 2, 1, 0].map(Probe::Within));
}

/// An instrument beside the plant that reads what it is told.
struct Meter(Arc<Mutex<Result<f32, String>>>);

impl Reading for Meter {
    fn what(&self) -> &'static str {
        "POW?"
    }
    fn unit(&self) -> &'static str {
        "W"
    }
    fn newest(&self) -> Result<f32, String> {
        self.0.lock().unwrap().clone()
    }
    fn read(&self) -> Result<f32, String> {
        self.newest()
    }
}

#[test]
fn a_reading_of_another_instrument_trips_and_is_probed_without_driving() {
    let power = Arc::new(Mutex::new(Ok(0.0)));
    let meter = Interlock {
        name: "laser".into(),
        watched: Watched::Gauge(Arc::new(Meter(power.clone()))),
        range: Range::new(-1.0, 1.0),
        recovery: Some(recovery()),
    };
    let read = |value: Result<f32, String>| *power.lock().unwrap() = value;
    let (good, rest) = (Batch::new(2, vec![0.5, 0.5]).unwrap(), Batch::zeros(1, 2));
    let mut plant = heater(&[], vec![meter]);
    plant.apply(&[]).unwrap();
    plant.measure(&good).unwrap();
    read(Ok(2.0));
    let error = plant.measure(&good).unwrap_err();
    assert!(error.to_string().starts_with("interlock `laser`: POW? = 2 W is outside [-1, 1] W"), "{error}");
    assert_eq!(plant.plant.asked, ["apply", "drive", "safe"], "nothing is driven any more");
    assert!(!plant.probe_drives());
    assert!(matches!(plant.probe(&rest), Ok(Probe::Out(_))));
    read(Ok(0.8));
    assert_eq!(plant.probe(&rest), Ok(Probe::Within(2)), "not within its hysteresis");
    read(Ok(0.1));
    assert_eq!([plant.probe(&rest), plant.probe(&rest)], [Ok(Probe::Within(1)), Ok(Probe::Within(0))]);
    assert_eq!(plant.plant.asked.len(), 3, "a probe drives nothing");
    plant.measure(&good).unwrap();
    // One that cannot be read is out, whoever asks.
    read(Err("it has not answered for 4.0 s".into()));
    let error = plant.apply(&[]).unwrap_err().to_string();
    assert!(error.contains("POW? cannot be read: it has not answered for 4.0 s; the plant was made safe"), "{error}");
    read(Ok(f32::NAN));
    assert!(matches!(plant.probe(&rest), Ok(Probe::Out(_))));
}

/// Drives two shots at once, and makes the meter read too much after the second time.
struct InPieces(Heater, Arc<Mutex<Result<f32, String>>>);

impl Plant for InPieces {
    fn card(&self) -> &Card {
        self.0.card()
    }
    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.0.apply(controls)
    }
    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        assert!(inputs.rows() <= 2);
        if self.0.asked.len() == 1 {
            *self.1.lock().unwrap() = Ok(5.0);
        }
        self.0.measure(inputs)
    }
    fn make_safe(&mut self) -> Result<(), Error> {
        self.0.make_safe()
    }
    fn shots_at_once(&self) -> usize {
        2
    }
}

#[test]
fn both_are_looked_at_between_the_pieces_of_a_batch() {
    let (power, nothing) = (Arc::new(Mutex::new(Ok(0.0))), Arc::new(Mutex::new(Ok(0.0))));
    let interlock = |watched| Interlock { name: "i".into(), watched, range: Range::new(-1.0, 1.0), recovery: None };
    let heater = || Heater { card: wire().0, at_rest: vec![], asked: vec![] };
    let meter = interlock(Watched::Gauge(Arc::new(Meter(power.clone()))));
    let mut plant = Interlocked::new(InPieces(heater(), power), vec![meter]).unwrap();
    plant.measure(&Batch::from_fn(9, 2, |_, _| 0.5)).unwrap_err();
    assert_eq!(plant.plant.0.asked, ["drive", "drive", "safe"]);
    // The fifth shot reads too much.
    let bank = || vec![interlock(Watched::Bank("node".into()))];
    let mut plant = Interlocked::new(InPieces(heater(), nothing.clone()), bank()).unwrap();
    let shots = |high: usize| Batch::from_fn(9, 2, |row, _| if row == high { 2.0 } else { 0.1 * row as f32 });
    plant.measure(&shots(4)).unwrap_err();
    assert_eq!(plant.plant.0.asked, ["drive", "drive", "drive", "safe"]);
    let mut plant = Interlocked::new(InPieces(heater(), nothing), bank()).unwrap();
    assert_eq!(plant.measure(&shots(99)).unwrap(), shots(99), "all come back in their places");
}
