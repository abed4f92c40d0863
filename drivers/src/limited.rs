//! The guard around every plant: nothing reaches an instrument except through [`Limited`].

use std::collections::BTreeMap;

use crate::owner::ledger_place;
use crate::{Address, Allowance, Batch, Card, Direction, DoseLimits, Error, Plant, Probe, Range, Rejections};

/// Narrower ranges than the instrument's own, by bank name, in the bank's SI unit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Limits of input banks.
    pub inputs: BTreeMap<String, Range>,
    /// Limits of control banks.
    pub controls: BTreeMap<String, Range>,
    /// Limits over time.
    pub dose: DoseLimits,
}

/// A plant that refuses what is out of range before anything is sent.
///
/// Its ports show the narrowed ranges, so whoever drives it clamps to what is allowed here.
///
/// ```
/// use drivers::{Bank, Batch, Card, Identity, Limited, Limits, Origin, Plant, Ports, Range, Silent, Timing};
///
/// let bank = |name: &str| vec![Bank::new(name, 2, "V", Range::new(-1.0, 1.0))];
/// // A plant that does nothing.
/// let plant = Silent::new(Card {
///     identity: Identity { system: "none".into(), serial: "1".into(), origin: Origin::Simulated },
///     ports: Ports { inputs: bank("drive"), controls: vec![], outputs: bank("node") },
///     timing: Timing::default(),
/// });
/// let limits = Limits { inputs: [("drive".to_owned(), Range::new(-0.2, 0.2))].into(), ..Limits::default() };
/// let mut plant = Limited::new(plant, &limits)?;
/// assert!(plant.measure(&Batch::new(2, vec![0.1, 0.2])?).is_ok());
/// assert!(plant.measure(&Batch::new(2, vec![0.1, 0.3])?).is_err(), "0.3 V never reaches the plant");
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Limited<P> {
    plant: P,
    card: Card,
    /// Where the safe state puts the controls, or the allowed setting nearest to it: the step there is as free as the first setting.
    safe: Vec<f32>,
    allowance: Allowance,
    rejections: Rejections,
    /// Where its controls were set last.
    controls: Vec<f32>,
    /// The batch whose wait was cut short, and the readings of its first pieces.
    begun: Option<(Batch, Vec<f32>)>,
}

/// A piece for which a minute had no room, since the plant drove more than it was asked for, is driven so often.
const MOST_TRIES: u32 = 5;

impl<P: Plant> Limited<P> {
    /// Guards `plant` by its own ranges, narrowed by `limits`.
    ///
    /// Fails when a limit is not within the instrument's own range, or names a bank that does not exist.
    pub fn new(mut plant: P, limits: &Limits) -> Result<Self, Error> {
        let mut card = plant.card().clone();
        narrow(&mut card, Direction::Input, &limits.inputs)?;
        narrow(&mut card, Direction::Control, &limits.controls)?;
        let safe = card.ports.at_rest(Direction::Control);
        let allowance = Allowance::new(&mut card, &limits.dose)?;
        plant.spend_from(allowance.clone());
        Ok(Self::around(plant, card, safe, allowance))
    }

    fn around(plant: P, card: Card, safe: Vec<f32>, allowance: Allowance) -> Self {
        let rejections = Rejections::default();
        Self { plant, card, safe, allowance, rejections, controls: vec![], begun: None }
    }

    /// What its limits over time still allow.
    pub fn allowance(&self) -> Allowance {
        self.allowance.clone()
    }

    /// What was driven in the last minute is kept beside the owner's lock of the instrument at `address`, which the plant holds: limits
    /// over time then hold from one opening to the next, in this process and in others. A recording drives nothing.
    ///
    /// Fails where it cannot be written.
    pub fn kept_beside(self, address: &Address) -> Result<Self, Error> {
        if let Some(place) = ledger_place(address)? {
            self.allowance.keep_in(place)?;
        }
        Ok(self)
    }

    /// Shots that are refused are counted in `rejections`.
    pub fn counted_in(self, rejections: &Rejections) -> Self {
        Self { rejections: rejections.clone(), ..self }
    }

    /// The plant itself.
    pub fn plant(&self) -> &P {
        &self.plant
    }

    /// Drives the pieces of a batch one after another. One whose wait is cut short goes on with the next piece when it is asked again.
    fn drive(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let mut checks = inputs.iter().map(|shot| self.card.ports.check(Direction::Input, shot));
        let allowed = checks.try_for_each(|check| check).and_then(|()| self.allowance.foresee(inputs));
        self.counted(allowed, inputs)?;
        let begun = self.begun.take().filter(|(batch, _)| batch == inputs);
        let mut outputs = begun.map(|(_, outputs)| outputs).unwrap_or_default();
        let width = self.card.ports.output_count();
        loop {
            let first = outputs.len() / width.max(1);
            let rows = self.allowance.piece(inputs, first);
            if rows == inputs.rows() {
                return self.drive_piece(inputs);
            }
            match self.drive_piece(&inputs.part(first, rows)) {
                Ok(readings) => outputs.extend(readings.into_values()),
                Err(error) => {
                    self.begun = matches!(error, Error::Interrupted).then(|| (inputs.clone(), outputs));
                    return Err(error);
                }
            }
            if first + rows == inputs.rows() {
                return Batch::new(width, outputs);
            }
        }
    }

    /// `allowed`, with the shots counted where it refuses them.
    fn counted(&self, allowed: Result<(), Error>, shots: &Batch) -> Result<(), Error> {
        allowed.inspect_err(|error| self.rejections.add_for(error, shots.rows()))
    }

    fn drive_piece(&mut self, piece: &Batch) -> Result<Batch, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            // What a plant drives beyond what it is asked for needs room as well.
            self.allowance.wait_for(piece, f64::from(tries))?;
            let since = self.allowance.at();
            self.counted(self.allowance.spend(piece), piece)?;
            let result = self.plant.measure(piece);
            self.allowance.lasted(since);
            match result {
                Err(Error::Overdriven { .. }) if self.allowance.paces() && tries < MOST_TRIES => {}
                result => return result,
            }
        }
    }

    fn step_to(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.allowance.step_to(controls)?;
        let applied = self.plant.apply(controls)?;
        self.allowance.arrive_at(controls);
        Ok(applied)
    }
}

impl<P: Plant> Plant for Limited<P> {
    fn card(&self) -> &Card {
        &self.card
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.card.ports.check(Direction::Control, controls)?;
        while let Some(between) = self.allowance.next_to(controls)? {
            self.step_to(&between)?;
        }
        let applied = self.step_to(controls)?;
        self.allowance.stay();
        if self.controls != controls {
            (self.controls, self.begun) = (controls.to_vec(), None);
        }
        Ok(applied)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        if inputs.rows() == 0 {
            return Ok(Batch::zeros(0, self.card.ports.output_count()));
        }
        self.drive(inputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.allowance.leave_for(&self.safe);
        self.plant.make_safe()?;
        self.allowance.rest_at(&self.safe);
        Ok(())
    }

    fn probe(&mut self, rest: &Batch) -> Result<Probe, Error> {
        if self.plant.probe_drives() {
            self.counted(rest.iter().try_for_each(|shot| self.card.ports.check(Direction::Input, shot)), rest)?;
            self.allowance.wait_for(rest, 1.0)?;
            self.counted(self.allowance.spend(rest), rest)?;
        }
        self.plant.probe(rest)
    }
}

impl Limited<Silent> {
    /// What a plant with this card and these limits would refuse: nothing is driven, and time passes by the card.
    pub fn rehearsal(card: Card, allowance: &Allowance) -> Self {
        let safe = card.ports.at_rest(Direction::Control);
        Self::around(Silent::new(card.clone()), card, safe, allowance.rehearsal())
    }
}

/// A plant that does nothing and reads zero.
#[derive(Debug, Clone)]
pub struct Silent(Card);

impl Silent {
    /// It says that it is who `card` says.
    pub fn new(card: Card) -> Self {
        Self(card)
    }
}

impl Plant for Silent {
    fn card(&self) -> &Card {
        &self.0
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        Ok(controls.to_vec())
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        Ok(Batch::zeros(inputs.rows(), self.0.ports.output_count()))
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Replaces the ranges of the named banks.
fn narrow(card: &mut Card, direction: Direction, limits: &BTreeMap<String, Range>) -> Result<(), Error> {
    let banks = match direction {
        Direction::Input => &mut card.ports.inputs,
        _ => &mut card.ports.controls,
    };
    for (name, &limit) in limits {
        let Some(bank) = banks.iter_mut().find(|bank| bank.name == *name) else {
            let known = banks.iter().map(|bank| format!("`{}`", bank.name)).collect::<Vec<_>>();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::UnknownBank { direction, bank: name.clone(), known });
        };
        if !bank.range.covers(&limit) || limit.high <= limit.low {
            return Err(Error::LimitOutside {
                direction,
                bank: name.clone(),
                limit,
                unit: bank.unit.clone(),
                range: bank.range,
            });
        }
        bank.range = limit;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        let unknown =
            Limits { controls: BTreeMap::from([("bais".to_owned(), Range::new(0.0, 1.0))]), ..Limits::default() };
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
        let Counter { mut card, .. } = counter();
        card.identity.origin = origin;
        card.timing = Timing { settle: 0.0, latency: 0.0, shot: 0.1 };
        let dose = DoseLimits { duty: Some(0.1), pace, ..DoseLimits::default() };
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
}
