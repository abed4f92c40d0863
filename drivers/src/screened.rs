//! A plant whose readings are looked at before they are believed.

use std::collections::HashMap;

use crate::{Allowance, Batch, Card, Direction, Error, Plant, Probe, Range, Rejections};

/// What makes a reading suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// All outputs exactly as in another shot, though the inputs differ: a converter that has stuck.
    pub stuck: bool,
    /// All outputs at an end of their range: a converter that has been overdriven.
    pub saturated: bool,
    /// How often a suspicious shot is driven, before it is given up.
    pub attempts: u32,
}

impl Default for Screen {
    fn default() -> Self {
        Self { stuck: true, saturated: true, attempts: 4 }
    }
}

/// Why readings are not believed.
#[derive(Debug, Clone, Copy)]
enum Suspicion {
    NoNumber,
    Saturated,
    Stuck,
}

impl Suspicion {
    fn sentence(self) -> &'static str {
        match self {
            Self::NoNumber => "readings that are no numbers",
            Self::Saturated => "readings at the end of their range",
            Self::Stuck => "the same readings for different inputs",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::NoNumber => "no-number",
            Self::Saturated => "saturated",
            Self::Stuck => "stuck",
        }
    }
}

/// A plant that drives suspicious shots again, a bounded number of times, and gives up with an error.
///
/// Readings that are no numbers are always suspicious.
#[derive(Debug)]
pub struct Screened<P> {
    plant: P,
    screen: Screen,
    outputs: Vec<Range>,
    /// The batch before.
    last: Option<(Batch, Batch)>,
    repeated: u64,
    rejections: Rejections,
}

impl<P: Plant> Screened<P> {
    /// Looks at the readings of `plant`.
    pub fn new(plant: P, screen: Screen) -> Self {
        let outputs = plant.ports().ranges(Direction::Output);
        Self { plant, screen, outputs, last: None, repeated: 0, rejections: Rejections::default() }
    }

    /// Readings that are not believed are counted in `rejections`.
    pub fn counted_in(self, rejections: &Rejections) -> Self {
        Self { rejections: rejections.clone(), ..self }
    }

    /// How many shots were driven again so far.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// The plant itself.
    pub fn plant(&self) -> &P {
        &self.plant
    }

    /// The rows whose readings are suspicious, and why; they are counted.
    fn suspects(&self, inputs: &Batch, outputs: &Batch) -> Vec<(usize, Suspicion)> {
        let is_end = |(value, range): (&f32, &Range)| *value <= range.low || range.high <= *value;
        let twins = if self.screen.stuck { self.twins(inputs, outputs) } else { vec![] };
        let suspect = |row: usize| {
            let reading = outputs.row(row);
            if reading.iter().any(|value| !value.is_finite()) {
                Some((row, Suspicion::NoNumber))
            } else if self.screen.saturated && reading.iter().zip(&self.outputs).all(is_end) {
                Some((row, Suspicion::Saturated))
            } else if twins.contains(&row) {
                Some((row, Suspicion::Stuck))
            } else {
                None
            }
        };
        let found: Vec<_> = (0..inputs.rows()).filter_map(suspect).collect();
        for (_, why) in &found {
            self.rejections.add(why.word(), 1);
        }
        found
    }

    /// The rows that read exactly what another row read, or a shot of the batch before, though driven otherwise.
    ///
    /// A shot that was driven again may have stuck at any other shot's reading, and an instrument may deliver a whole burst of before,
    /// so all are compared with all; which of two is the wrong one cannot be told.
    fn twins(&self, inputs: &Batch, outputs: &Batch) -> Vec<usize> {
        let key = |reading: &[f32]| reading.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
        let mut seen: HashMap<Vec<u32>, (Option<usize>, &[f32])> = HashMap::new();
        if let Some((inputs, outputs)) = &self.last {
            seen.extend(inputs.iter().zip(outputs).map(|(driven, reading)| (key(reading), (None, driven))));
        }
        let mut twins = Vec::new();
        for (row, (driven, reading)) in inputs.iter().zip(outputs).enumerate() {
            match seen.get(&key(reading)) {
                Some((other, inputs)) if *inputs != driven => twins.extend(other.iter().copied().chain([row])),
                Some(_) => {}
                None => {
                    seen.insert(key(reading), (Some(row), driven));
                }
            }
        }
        twins
    }
}

impl<P: Plant> Plant for Screened<P> {
    fn card(&self) -> &Card {
        self.plant.card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.last = None;
        self.plant.apply(controls)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let mut outputs = self.plant.measure(inputs)?;
        let mut suspects = self.suspects(inputs, &outputs);
        for _ in 1..self.screen.attempts {
            if suspects.is_empty() {
                break;
            }
            self.repeated += suspects.len() as u64;
            let rows: Vec<f32> = suspects.iter().flat_map(|(row, _)| inputs.row(*row).iter().copied()).collect();
            let again = self.plant.measure(&Batch::new(inputs.columns(), rows)?)?;
            let width = outputs.columns();
            for ((row, _), values) in suspects.iter().zip(&again) {
                outputs.values_mut()[row * width..(row + 1) * width].copy_from_slice(values);
            }
            suspects = self.suspects(inputs, &outputs);
        }
        if let Some((row, why)) = suspects.first() {
            let (instrument, attempts) = (self.card().identity.system.clone(), self.screen.attempts);
            let message = format!("{} in shot {row} of the batch, driven {attempts} times", why.sentence());
            return Err(Error::Rejected { instrument, message });
        }
        self.last = Some((inputs.clone(), outputs.clone()));
        Ok(outputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.last = None;
        self.plant.make_safe()
    }

    fn spend_from(&mut self, allowance: Allowance) {
        self.plant.spend_from(allowance);
    }

    fn probe(&mut self, rest: &Batch) -> Result<Probe, Error> {
        self.last = None;
        self.plant.probe(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bank, Identity, Origin, Ports, Timing};

    /// Echoes its inputs, but for what it has been told to read in the next shots.
    struct Echo(Card, Vec<Option<f32>>);

    impl Plant for Echo {
        fn card(&self) -> &Card {
            &self.0
        }
        fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
            Ok(controls.to_vec())
        }
        fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
            let wrong: Vec<_> = (0..inputs.rows()).map(|_| self.1.pop().flatten()).collect();
            Ok(Batch::from_fn(inputs.rows(), 1, |row, _| wrong[row].unwrap_or(inputs.row(row)[0])))
        }
        fn make_safe(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    fn screened(mut wrong: Vec<Option<f32>>) -> Screened<Echo> {
        wrong.reverse();
        let bank = |name| vec![Bank::new(name, 1, "V", Range::new(-9.0, 9.0))];
        let ports = Ports { inputs: bank("in"), controls: vec![], outputs: bank("out") };
        let identity = Identity { system: "echo".into(), serial: "1".into(), origin: Origin::Simulated };
        Screened::new(Echo(Card { identity, ports, timing: Timing::default() }, wrong), Screen::default())
    }

    #[test]
    fn suspicious_shots_are_driven_again() {
        let inputs = Batch::new(1, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        for wrong in [f32::NAN, f32::INFINITY, 9.0, -9.5] {
            let mut plant = screened(vec![None, Some(wrong), None, None, Some(wrong)]);
            assert_eq!(plant.measure(&inputs).unwrap(), inputs, "{wrong}");
            assert_eq!(plant.repeated(), 2, "{wrong}");
            let word = if wrong.is_finite() { "saturated" } else { "no-number" };
            assert_eq!(plant.rejections.by_reason().into_iter().collect::<Vec<_>>(), [(word, 2)]);
        }
        // Stuck at the shot before; and when both are driven again, the first one sticks at the last of the batch.
        let mut plant = screened(vec![None, Some(1.0), None, None, Some(4.0)]);
        assert_eq!(plant.measure(&inputs).unwrap(), inputs);
        assert_eq!(plant.repeated(), 4);
        let mut plant = screened(vec![None, None, None, None, Some(4.0)]);
        plant.measure(&inputs).unwrap();
        assert_eq!(plant.measure(&inputs).unwrap(), inputs, "stuck since the batch before");
        // The whole batch before comes again for other inputs.
        let mut plant = screened([vec![None; 4], [1.0, 2.0, 3.0, 4.0].map(Some).to_vec()].concat());
        plant.measure(&inputs).unwrap();
        let others = Batch::new(1, vec![2.0, 1.0, 4.0, 5.0]).unwrap();
        assert_eq!(plant.measure(&others).unwrap(), others);
        assert_eq!(plant.repeated(), 4);
    }

    #[test]
    fn a_shot_that_stays_suspicious_is_an_error() {
        let mut plant = screened(vec![Some(f32::NAN); 9]);
        let error = plant.measure(&Batch::new(1, vec![1.0]).unwrap()).unwrap_err();
        assert!(error.to_string().contains("no numbers in shot 0 of the batch, driven 4 times"), "{error}");
        assert!(error.is_retryable());
    }

    #[test]
    fn equal_shots_may_read_equal() {
        let mut plant = screened(vec![]);
        let inputs = Batch::new(1, vec![1.0, 1.0, 1.0]).unwrap();
        assert_eq!(plant.measure(&inputs).unwrap(), inputs);
        assert_eq!(plant.repeated(), 0);
    }
}
