//! What passes the guard and what does not.

use super::*;
use crate::{Bank, Identity, Origin, Ports, Timing};

/// Counts what reaches it.
struct Counter {
    card: Card,
    calls: usize,
    /// Whether it does not do what it is told.
    fails: bool,
}

impl Counter {
    fn done(&self) -> Result<(), Error> {
        let lost = || Error::Lost { instrument: "counter".into(), message: "unplugged".into() };
        if self.fails { Err(lost()) } else { Ok(()) }
    }
}

impl Plant for Counter {
    fn card(&self) -> &Card {
        &self.card
    }
    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.calls += 1;
        self.done().map(|()| controls.to_vec())
    }
    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        self.calls += 1;
        Ok(inputs.clone())
    }
    fn make_safe(&mut self) -> Result<(), Error> {
        self.done()
    }
}

fn counter() -> Counter {
    let bank = |name| vec![Bank::new(name, 2, "V", Range::new(-1.0, 1.0))];
    let ports = Ports { inputs: bank("drive"), controls: bank("bias"), outputs: bank("node") };
    let identity = Identity { system: "test".into(), serial: "1".into(), origin: Origin::Simulated };
    Counter { card: Card { identity, ports, timing: Timing::default() }, calls: 0, fails: false }
}

fn limits(low: f32, high: f32) -> Limits {
    Limits { inputs: BTreeMap::from([("drive".to_owned(), Range::new(low, high))]), ..Limits::default() }
}

#[test]
fn nothing_out_of_range_reaches_the_plant() {
    let rejections = Rejections::default();
    let mut limited = Limited::new(counter(), &limits(-0.5, 0.5)).unwrap().counted_in(&rejections);
    for bad in [0.6, -0.6, f32::NAN, f32::INFINITY] {
        let batch = Batch::new(2, vec![0.0, 0.0, 0.0, bad]).unwrap();
        let error = limited.measure(&batch).unwrap_err().to_string();
        assert!(error.starts_with("input drive[1] = ") && error.contains("[-0.5, 0.5] V"), "{error}");
    }
    assert!(limited.apply(&[0.0, 1.1]).is_err());
    assert!(limited.apply(&[0.0]).is_err());
    assert_eq!(limited.plant.calls, 0);
    assert_eq!(rejections.by_reason(), BTreeMap::from([("range", 4 * 2)]));
    assert!(limited.measure(&Batch::new(2, vec![0.5, -0.5]).unwrap()).is_ok());
    assert_eq!(limited.ports().inputs[0].range, Range::new(-0.5, 0.5));
}

#[test]
fn limits_that_cannot_be_kept_are_refused() {
    let error = |limits: &Limits| Limited::new(counter(), limits).err().unwrap().to_string();
    assert!(error(&limits(-2.0, 2.0)).contains("the limit [-2, 2] V for input bank `drive` is not within"));
    assert!(error(&limits(0.5, 0.5)).contains("is not within"));
    let unknown = Limits { controls: BTreeMap::from([("bais".to_owned(), Range::new(0.0, 1.0))]), ..Limits::default() };
    assert_eq!(error(&unknown), "the plant has no control bank `bais`: it has `bias`");
}

/// Remembers the rows of each call, and drives more than it is asked for where it is told to.
struct Greedy {
    card: Card,
    calls: Vec<usize>,
    more: Vec<usize>,
    allowance: Allowance,
}

impl Plant for Greedy {
    fn card(&self) -> &Card {
        &self.card
    }
    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        Ok(controls.to_vec())
    }
    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let more = self.more.pop().unwrap_or(0);
        self.allowance.spend_rows((0..more).map(|_| inputs.row(0)))?;
        self.calls.push(inputs.rows());
        Ok(inputs.clone())
    }
    fn make_safe(&mut self) -> Result<(), Error> {
        Ok(())
    }
    fn spend_from(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }
}

/// A shot takes 0.1 s, and a minute has room for sixty.
fn paced(origin: Origin, pace: bool, more: Vec<usize>) -> Limited<Greedy> {
    greedy(origin, DoseLimits { pace, ..DoseLimits::default() }, more)
}

fn greedy(origin: Origin, limits: DoseLimits, more: Vec<usize>) -> Limited<Greedy> {
    let Counter { mut card, .. } = counter();
    card.identity.origin = origin;
    card.timing = Timing { settle: 0.0, latency: 0.0, shot: 0.1 };
    let dose = DoseLimits { duty: Some(0.1), ..limits };
    let greedy = Greedy { card, calls: vec![], more, allowance: Allowance::default() };
    Limited::new(greedy, &Limits { dose, ..Limits::default() }).unwrap()
}

fn ramp(rows: usize) -> Batch {
    Batch::from_fn(rows, 2, |row, _| row as f32 / rows as f32)
}

#[test]
fn a_paced_plant_waits_until_a_minute_has_room_and_reads_the_same() {
    let mut limited = paced(Origin::Simulated, true, vec![]);
    assert_eq!(limited.measure(&ramp(150)).unwrap(), ramp(150));
    assert_eq!(limited.plant.calls, [6; 25], "a piece is a tenth of what a minute allows");
    // Sixty at once, and each piece after that when an earlier one is a minute old: it took 0.6 s.
    let seconds = limited.allowance.at();
    assert!((121.0..130.0).contains(&seconds), "{seconds}");
    // Without it, nothing of the batch is driven.
    let mut limited = paced(Origin::Simulated, false, vec![]);
    let error = limited.measure(&ramp(150)).unwrap_err().to_string();
    assert!(error.contains("the time driven would be") && error.contains("pace = true"), "{error}");
    assert_eq!(limited.plant.calls, [0; 0]);
    assert_eq!(limited.rejections.by_reason()["dose"], 150);
    assert_eq!(limited.measure(&ramp(60)).unwrap(), ramp(60));
}

#[test]
fn what_a_paced_plant_drives_again_is_waited_for() {
    // The first piece is driven with three more; the last of the sixth minute finds no room for ten more at first.
    let mut limited = paced(Origin::Simulated, true, vec![0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    assert_eq!(limited.measure(&ramp(66)).unwrap(), ramp(66));
    assert_eq!(limited.plant.calls, [6; 11]);
    assert!(60.0 <= limited.allowance.at(), "{}", limited.allowance.at());
}

#[test]
fn a_wait_that_is_cut_short_goes_on_where_it_was() {
    let mut limited = paced(Origin::Real, true, vec![]);
    limited.allowance.wait_with(|_| false);
    limited.apply(&[0.0, 0.5]).unwrap();
    assert_eq!(limited.measure(&ramp(66)), Err(Error::Interrupted));
    assert_eq!(limited.plant.calls, [6; 10]);
    // The same with the same controls: only what is missing is waited for.
    limited.apply(&[0.0, 0.5]).unwrap();
    assert_eq!(limited.measure(&ramp(66)), Err(Error::Interrupted));
    assert_eq!(limited.plant.calls, [6; 10]);
    assert_eq!(limited.begun.as_ref().unwrap().1.len(), 120);
    limited.apply(&[0.0, 0.25]).unwrap();
    assert!(limited.begun.is_none(), "its readings belong to other controls");
}

#[test]
fn steps_of_controls_are_measured_from_where_they_are() {
    let limits = Limits {
        dose: DoseLimits { slew: BTreeMap::from([("bias".to_owned(), 0.5)]), ..DoseLimits::default() },
        ..Limits::default()
    };
    let mut limited = Limited::new(counter(), &limits).unwrap();
    limited.apply(&[1.0, 1.0]).unwrap();
    limited.make_safe().unwrap();
    // The safe state is 0 V: from there it is walked.
    limited.plant.calls = 0;
    assert_eq!(limited.apply(&[1.0, 0.0]).unwrap(), [1.0, 0.0]);
    assert_eq!(limited.plant.calls, 2);
    let error = limited.apply(&[0.25, 0.0]).unwrap_err().to_string();
    assert!(error.contains("the step of control bias[0] would be 0.75 V"), "{error}");
    limited.apply(&[0.5, 0.0]).unwrap();
    // Nobody knows whether it was set.
    limited.plant.fails = true;
    assert!(matches!(limited.apply(&[1.0, 0.0]), Err(Error::Lost { .. })));
    limited.plant.fails = false;
    assert!(limited.apply(&[0.25, 0.0]).is_err(), "0.75 V from what was asked for");
    assert!(limited.apply(&[-0.25, 0.0]).is_err());
    limited.apply(&[0.75, 0.0]).unwrap();
    limited.apply(&[0.25, 0.0]).unwrap();
    // Nor whether it is safe.
    limited.plant.fails = true;
    assert!(limited.make_safe().is_err());
    limited.plant.fails = false;
    assert!(limited.apply(&[0.6, 0.0]).is_err(), "0.6 V from the safe state");
    limited.apply(&[0.5, 0.0]).unwrap();
}

#[test]
fn the_way_from_the_safe_state_is_walked_in_steps_that_are_allowed() {
    let limited = |slew: f32, low: f32| {
        let limits = Limits {
            controls: BTreeMap::from([("bias".to_owned(), Range::new(low, 1.0))]),
            dose: DoseLimits { slew: BTreeMap::from([("bias".to_owned(), slew)]), ..DoseLimits::default() },
            ..Limits::default()
        };
        let mut limited = Limited::new(counter(), &limits).unwrap();
        limited.make_safe().unwrap();
        limited
    };
    // Steps that no f32 near the target has exactly.
    for (slew, steps) in [(1.1e-3, 800..=820), (0.05, 18..=19), (0.3, 3..=3), (10.0, 1..=1)] {
        let mut limited = limited(slew, -1.0);
        assert_eq!(limited.apply(&[0.9, -0.7]).unwrap(), [0.9, -0.7]);
        assert!(steps.contains(&limited.plant.calls), "{} steps of {slew}", limited.plant.calls);
        // Only from there.
        assert!(slew == 10.0 || limited.apply(&[0.5, -0.7]).is_err());
    }
    // Zero is not allowed: the step to what is allowed is free, as the first setting is.
    limited(0.3, 0.4).apply(&[0.9, 0.4]).unwrap();
    for slew in [1e-8, 1e-30] {
        let mut limited = limited(slew, -1.0);
        let error = limited.apply(&[0.0, 1.0]).unwrap_err().to_string();
        assert!(error.contains("the way of control bias[1] from the safe state"), "{error}");
        assert_eq!(limited.plant.calls, 0);
    }
}

#[test]
fn more_shots_than_a_plant_may_be_asked_for_are_refused_whole() {
    let dose = DoseLimits { shots: Some(10), ..DoseLimits::default() };
    let limits = Limits { dose, ..Limits::default() };
    let rejections = Rejections::default();
    let mut limited = Limited::new(counter(), &limits).unwrap().counted_in(&rejections);
    for _ in 0..2 {
        limited.measure(&ramp(4)).unwrap();
    }
    let error = limited.measure(&ramp(4)).unwrap_err();
    assert_eq!(error, Error::OutOfShots { total: 12, most: 10 });
    assert!(error.to_string().contains("12 shots since it was opened, but the rig file allows 10"), "{error}");
    assert_eq!((limited.plant.calls, rejections.by_reason()), (2, BTreeMap::from([("shots", 4)])));
    // The last ones that are allowed, and then no more.
    limited.measure(&ramp(2)).unwrap();
    limited.measure(&ramp(0)).unwrap();
    assert_eq!(limited.measure(&ramp(1)), Err(Error::OutOfShots { total: 11, most: 10 }));
    limited.make_safe().unwrap();
}

#[test]
fn pieces_of_a_paced_batch_are_counted_once_however_often_it_is_asked_again() {
    let limits = DoseLimits { pace: true, shots: Some(66), ..DoseLimits::default() };
    let mut limited = greedy(Origin::Real, limits, vec![]);
    limited.allowance.wait_with(|_| false);
    assert_eq!(limited.measure(&ramp(67)), Err(Error::OutOfShots { total: 67, most: 66 }));
    assert_eq!((limited.measure(&ramp(66)), limited.shots), (Err(Error::Interrupted), 60));
    assert_eq!((limited.measure(&ramp(66)), limited.shots), (Err(Error::Interrupted), 60));
    // What was driven with other controls is lost, and was driven all the same.
    limited.apply(&[0.0, 0.25]).unwrap();
    assert_eq!(limited.measure(&ramp(66)), Err(Error::OutOfShots { total: 126, most: 66 }));
}
