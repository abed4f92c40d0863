//! Interlocks: readings that must stay within bounds. One that leaves them makes the plant safe, and nothing is driven any more;
//! or, where its description says when it may be, not before its readings are back.
//!
//! Whether they are back is seen by probes: shots at rest, with the controls where the safe state has left them. Each probe ends in
//! the safe state again. Inside the bounds and outside of the inner range nothing changes, so a reading that trembles at a bound
//! drives nothing.

use std::collections::BTreeSet;

use crate::{Allowance, Batch, Card, Direction, Error, Plant, Range, Rejections};

/// Bounds of a bank of readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Interlock {
    /// What it protects, in words.
    pub name: String,
    /// The output bank.
    pub bank: String,
    /// Where its readings must stay, in the bank's unit.
    pub range: Range,
    /// When the plant may be driven again after it has tripped; without it, never.
    pub recovery: Option<Recovery>,
}

/// When a plant may be driven again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recovery {
    /// Where the readings must be back, within the interlock's range, in the bank's unit.
    pub range: Range,
    /// Probes in a row that must find them there.
    pub probes: u32,
    /// From probe to probe, in s.
    pub every: f32,
    /// Probes after one trip; if they do not do, it has tripped for good.
    pub most_probes: u32,
    /// Trips since the plant was opened; with one more it has tripped for good.
    pub most_trips: u32,
}

/// What follows a trip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AfterTrip {
    /// The plant is driven no more.
    Ends,
    /// It is probed, each time after so many seconds, and may be driven again when its readings are back.
    Probes(f32),
    /// It is driven no more: it has tripped so many times.
    TooOften(u32),
    /// It is driven no more: so many probes have not found it back for long enough.
    TooLong(u32),
}

impl std::fmt::Display for AfterTrip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Probes(every) => return write!(f, "; it is probed every {every} s"),
            Self::Ends => {}
            Self::TooOften(trips) => write!(f, "; this was its trip {trips}, more than `pause.most_trips` allows")?,
            Self::TooLong(probes) => write!(
                f,
                "; {probes} probes have not found it back, `pause.hysteresis` within its bounds, for long enough"
            )?,
        }
        f.write_str(". Find the cause before going on")
    }
}

/// What a probe has found.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// A reading is out of its bounds: nothing may be driven.
    Out(Error),
    /// All are within their bounds. So many more probes in a row must find them back before the plant is driven again by itself;
    /// whoever drives it sooner decides that.
    Within(u32),
}

/// A plant whose readings are watched.
pub struct Interlocked<P> {
    plant: P,
    interlocks: Vec<Interlock>,
    /// How often each has tripped.
    trips: Vec<u32>,
    tripped: Option<Tripped>,
    rejections: Rejections,
}

/// A plant that is not to be driven.
struct Tripped {
    /// The last violation: everything is refused with it.
    error: Error,
    /// The interlocks that were out.
    by: BTreeSet<usize>,
    /// Probes so far, and those at the end in a row that found all readings back.
    probes: u32,
    back: u32,
    /// Whether the last probe has found all readings within their bounds.
    within: bool,
}

impl<P: Plant> Interlocked<P> {
    /// Watches `plant`. Fails when an interlock names a bank that does not exist.
    pub fn new(plant: P, interlocks: Vec<Interlock>) -> Result<Self, Error> {
        let banks = &plant.ports().outputs;
        for interlock in &interlocks {
            if !banks.iter().any(|bank| bank.name == interlock.bank) {
                let known = banks.iter().map(|bank| format!("`{}`", bank.name)).collect::<Vec<_>>().join(", ");
                let (direction, bank) = (Direction::Output, interlock.bank.clone());
                return Err(Error::UnknownBank { direction, bank, known });
            }
        }
        let trips = vec![0; interlocks.len()];
        Ok(Self { plant, interlocks, trips, tripped: None, rejections: Rejections::default() })
    }

    /// Shots whose readings nobody gets are counted in `rejections`.
    pub fn counted_in(self, rejections: &Rejections) -> Self {
        Self { rejections: rejections.clone(), ..self }
    }

    /// The first reading of interlock `which` out of `range`. A reading that is not a number is out of all ranges.
    fn outside(&self, which: usize, range: Range, readings: &Batch) -> Option<Error> {
        let interlock = &self.interlocks[which];
        let mut first = 0;
        for bank in &self.plant.ports().outputs {
            let columns = first..first + bank.count;
            first += bank.count;
            if bank.name != interlock.bank {
                continue;
            }
            for row in readings {
                if let Some(index) = row[columns.clone()].iter().position(|value| !range.contains(*value)) {
                    return Some(Error::Interlock {
                        interlock: interlock.name.as_str().into(),
                        output: format!("{}[{index}]", bank.name),
                        value: row[columns.start + index],
                        unit: bank.unit.clone(),
                        range,
                        after: interlock.recovery.map_or(AfterTrip::Ends, |recovery| AfterTrip::Probes(recovery.every)),
                    });
                }
            }
        }
        None
    }

    /// The interlocks whose readings are out of their bounds; those that are never driven again first.
    fn violations(&self, readings: &Batch) -> Vec<(usize, Error)> {
        let out = |which| Some((which, self.outside(which, self.interlocks[which].range, readings)?));
        let mut all: Vec<_> = (0..self.interlocks.len()).filter_map(out).collect();
        all.sort_by_key(|(which, _)| self.interlocks[*which].recovery.is_some());
        all
    }

    /// Nothing is driven any more, or for now; why.
    fn trip(&mut self, out: Vec<(usize, Error)>) -> Option<Error> {
        let (first, mut error) = out.first().cloned()?;
        for (which, _) in &out {
            self.trips[*which] += 1;
        }
        let is_spent = |which: usize| {
            let most = self.interlocks[which].recovery.map(|recovery| recovery.most_trips);
            most.is_some_and(|most| most < self.trips[which])
        };
        if self.interlocks[first].recovery.is_some()
            && let Some((spent, of_spent)) = out.iter().find(|(which, _)| is_spent(*which))
        {
            error = of_spent.clone();
            set_after(&mut error, AfterTrip::TooOften(self.trips[*spent]));
        }
        let by = out.into_iter().map(|(which, _)| which).collect();
        self.tripped = Some(Tripped { error: error.clone(), by, probes: 0, back: 0, within: false });
        Some(error)
    }

    /// Refuses once an interlock has tripped, until a probe has found its readings within their bounds.
    fn intact(&mut self) -> Result<(), Error> {
        self.tripped = self.tripped.take().filter(|tripped| !tripped.within);
        self.tripped.as_ref().map_or(Ok(()), |tripped| Err(tripped.error.clone()))
    }

    /// What the readings of a probe say.
    fn judge(&mut self, mut tripped: Tripped, readings: &Batch) -> Result<Probe, Error> {
        let out = self.violations(readings);
        if let Some((which, _)) = out.first()
            && self.interlocks[*which].recovery.is_none()
        {
            return self.trip(out).map_or(Ok(Probe::Within(0)), Err);
        }
        tripped.by.extend(out.iter().map(|(which, _)| *which));
        let recoveries = tripped.by.iter().filter_map(|which| Some((*which, self.interlocks[*which].recovery?)));
        let (mut needed, mut most, mut missing) = (1, u32::MAX, out.into_iter().next().map(|(_, error)| error));
        tripped.within = missing.is_none();
        for (which, recovery) in recoveries {
            (needed, most) = (needed.max(recovery.probes), most.min(recovery.most_probes));
            missing = missing.or_else(|| self.outside(which, recovery.range, readings));
        }
        tripped.probes += 1;
        tripped.back = if missing.is_none() { tripped.back + 1 } else { 0 };
        tripped.error = missing.unwrap_or(tripped.error);
        if needed <= tripped.back {
            return Ok(Probe::Within(0));
        }
        if most <= tripped.probes {
            set_after(&mut tripped.error, AfterTrip::TooLong(tripped.probes));
            tripped.within = false;
            return Err(self.tripped.insert(tripped).error.clone());
        }
        let found =
            if tripped.within { Probe::Within(needed - tripped.back) } else { Probe::Out(tripped.error.clone()) };
        self.tripped = Some(tripped);
        Ok(found)
    }
}

/// Whether whoever waits for this violation waits for nothing.
fn is_final(error: &Error) -> bool {
    !matches!(error, Error::Interlock { after: AfterTrip::Probes(_), .. })
}

fn set_after(error: &mut Error, then: AfterTrip) {
    if let Error::Interlock { after, .. } = error {
        *after = then;
    }
}

impl<P: Plant> Plant for Interlocked<P> {
    fn card(&self) -> &Card {
        self.plant.card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.intact()?;
        self.plant.apply(controls)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        self.intact()?;
        let readings = self.plant.measure(inputs)?;
        let out = self.violations(&readings);
        let Some(error) = self.trip(out) else { return Ok(readings) };
        self.rejections.add_for(&error, inputs.rows());
        // A plant that cannot be made safe is the worse news.
        self.plant.make_safe()?;
        Err(error)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.plant.make_safe()
    }

    fn spend_from(&mut self, allowance: Allowance) {
        self.plant.spend_from(allowance);
    }

    fn probe(&mut self, rest: &Batch) -> Result<Probe, Error> {
        match self.tripped.take() {
            None => Ok(Probe::Within(0)),
            Some(tripped) if is_final(&tripped.error) => Err(self.tripped.insert(tripped).error.clone()),
            Some(tripped) => {
                let measured = self.plant.measure(rest);
                let safe = self.plant.make_safe();
                match safe.and(measured) {
                    Ok(readings) => self.judge(tripped, &readings),
                    Err(error) => {
                        self.tripped = Some(Tripped { within: false, ..tripped });
                        Err(error)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
            vec![Interlock { name, bank: bank.into(), range, recovery: None }]
        };
        let mut plant = Interlocked::new(wire(), interlock("node")).unwrap();
        assert!(plant.measure(&Batch::new(2, vec![0.5, -1.0]).unwrap()).is_ok());
        let error = plant.measure(&Batch::new(2, vec![0.0, 0.0, 0.0, 1.5]).unwrap()).unwrap_err();
        assert!(
            error.to_string().starts_with("interlock `coil heat`: node[1] = 1.5 V is outside [-1, 1] V"),
            "{error}"
        );
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
            bank: "node".into(),
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
            bank: "node".into(),
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
            bank: "node".into(),
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
}
