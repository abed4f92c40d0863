//! The guard around every plant: nothing reaches an instrument except through [`Limited`].

use std::collections::BTreeMap;

use crate::owner::ledger_file;
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
pub struct Limited<P> {
    plant: P,
    card: Card,
    /// Where the safe state puts the controls, or the allowed setting nearest to it: the step there is as free as the first setting.
    safe: Vec<f32>,
    allowance: Allowance,
    rejections: Rejections,
}

impl<P: Plant> Limited<P> {
    /// Guards `plant` by its own ranges, narrowed by `limits`.
    ///
    /// Fails when a limit is not within the instrument's own range, or names a bank that does not exist.
    pub fn new(mut plant: P, limits: &Limits) -> Result<Self, Error> {
        let mut card = plant.card().clone();
        narrow(&mut card, Direction::Input, &limits.inputs)?;
        narrow(&mut card, Direction::Control, &limits.controls)?;
        let safe = card.ports.at_rest(Direction::Control);
        let allowance = Allowance::new(&card, limits.dose.clone())?;
        plant.spend_from(allowance.clone());
        Ok(Self { plant, card, safe, allowance, rejections: Rejections::default() })
    }

    /// What was driven in the last minute is kept beside the owner's lock of the instrument at `address`, which the plant holds: limits
    /// over time then hold from one opening to the next, in this process and in others. A recording drives nothing.
    ///
    /// Fails where it cannot be written.
    pub fn kept_beside(self, address: &Address) -> Result<Self, Error> {
        if let Some(path) = ledger_file(address) {
            self.allowance.keep_in(path)?;
        }
        Ok(self)
    }

    /// Shots that are refused are counted in `rejections`.
    pub fn counted_in(self, rejections: &Rejections) -> Self {
        Self { rejections: rejections.clone(), ..self }
    }

    /// Whether these shots may be driven.
    fn allow(&self, inputs: &Batch) -> Result<(), Error> {
        inputs.iter().try_for_each(|shot| self.card.ports.check(Direction::Input, shot))?;
        self.allowance.spend(inputs)
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
        Ok(applied)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        if inputs.rows() == 0 {
            return Ok(Batch::zeros(0, self.card.ports.output_count()));
        }
        self.allow(inputs).inspect_err(|error| self.rejections.add_for(error, inputs.rows()))?;
        self.plant.measure(inputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.allowance.leave_for(&self.safe);
        self.plant.make_safe()?;
        self.allowance.rest_at(&self.safe);
        Ok(())
    }

    fn probe(&mut self, rest: &Batch) -> Result<Probe, Error> {
        self.allow(rest).inspect_err(|error| self.rejections.add_for(error, rest.rows()))?;
        self.plant.probe(rest)
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
