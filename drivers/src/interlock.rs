//! Interlocks: readings that must stay within bounds. One that leaves them makes the plant safe, and nothing is driven any more.

use crate::{Batch, Budget, Card, Direction, Error, Plant, Range, Rejections};

/// Bounds of a bank of readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Interlock {
    /// What it protects, in words.
    pub name: String,
    /// The output bank.
    pub bank: String,
    /// Where its readings must stay, in the bank's unit.
    pub range: Range,
}

/// A plant whose readings are watched.
pub struct Interlocked<P> {
    plant: P,
    interlocks: Vec<Interlock>,
    /// The first violation: until the plant is opened again it refuses everything.
    tripped: Option<Error>,
    rejections: Rejections,
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
        Ok(Self { plant, interlocks, tripped: None, rejections: Rejections::default() })
    }

    /// Shots whose readings nobody gets are counted in `rejections`.
    pub fn counted_in(self, rejections: &Rejections) -> Self {
        Self { rejections: rejections.clone(), ..self }
    }

    /// The first reading out of its bounds. A reading that is not a number is out of all bounds.
    fn violation(&self, readings: &Batch) -> Option<Error> {
        let mut first = 0;
        for bank in &self.plant.ports().outputs {
            let columns = first..first + bank.count;
            first += bank.count;
            for interlock in self.interlocks.iter().filter(|interlock| interlock.bank == bank.name) {
                for row in readings {
                    if let Some(index) = row[columns.clone()].iter().position(|value| !interlock.range.contains(*value))
                    {
                        return Some(Error::Interlock {
                            interlock: interlock.name.clone(),
                            output: format!("{}[{index}]", bank.name),
                            value: row[columns.start + index],
                            unit: bank.unit.clone(),
                            range: interlock.range,
                        });
                    }
                }
            }
        }
        None
    }

    /// Refuses once an interlock has tripped.
    fn intact(&self) -> Result<(), Error> {
        self.tripped.clone().map_or(Ok(()), Err)
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
        let Some(error) = self.violation(&readings) else { return Ok(readings) };
        self.tripped = Some(error.clone());
        self.rejections.add_for(&error, inputs.rows());
        // A plant that cannot be made safe is the worse news.
        self.plant.make_safe()?;
        Err(error)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.plant.make_safe()
    }

    fn spend_from(&mut self, budget: Budget) {
        self.plant.spend_from(budget);
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
        let interlock =
            |bank: &str| vec![Interlock { name: "coil heat".into(), bank: bank.into(), range: Range::new(-1.0, 1.0) }];
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
}
