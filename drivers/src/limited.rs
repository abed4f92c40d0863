//! The guard around every plant: nothing reaches an instrument except through [`Limited`].

use std::collections::BTreeMap;

use crate::{Batch, Card, Direction, Error, Plant, Range};

/// Narrower ranges than the instrument's own, by bank name, in the bank's SI unit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Limits of input banks.
    pub inputs: BTreeMap<String, Range>,
    /// Limits of control banks.
    pub controls: BTreeMap<String, Range>,
}

/// A plant that refuses what is out of range before anything is sent.
///
/// Its ports show the narrowed ranges, so whoever drives it clamps to what is allowed here.
pub struct Limited<P> {
    plant: P,
    card: Card,
}

impl<P: Plant> Limited<P> {
    /// Guards `plant` by its own ranges, narrowed by `limits`.
    ///
    /// Fails when a limit is not within the instrument's own range, or names a bank that does not exist.
    pub fn new(plant: P, limits: &Limits) -> Result<Self, Error> {
        let mut card = plant.card().clone();
        narrow(&mut card, Direction::Input, &limits.inputs)?;
        narrow(&mut card, Direction::Control, &limits.controls)?;
        Ok(Self { plant, card })
    }
}

impl<P: Plant> Plant for Limited<P> {
    fn card(&self) -> &Card {
        &self.card
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.card.ports.check(Direction::Control, controls)?;
        self.plant.apply(controls)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        if inputs.rows() == 0 {
            return Ok(Batch::zeros(0, self.card.ports.output_count()));
        }
        for shot in inputs.iter() {
            self.card.ports.check(Direction::Input, shot)?;
        }
        self.plant.measure(inputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.plant.make_safe()
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
                unit: bank.unit,
                range: bank.range,
            });
        }
        bank.range = limit;
    }
    Ok(())
}
