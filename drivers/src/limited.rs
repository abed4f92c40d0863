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
    /// Shots that it was asked for, also again.
    shots: u64,
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
        Self { plant, card, safe, allowance, rejections, shots: 0, controls: vec![], begun: None }
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
        self.counted(allowed, inputs.rows())?;
        let begun = self.begun.take().filter(|(batch, _)| batch == inputs);
        let mut outputs = begun.map(|(_, outputs)| outputs).unwrap_or_default();
        let width = self.card.ports.output_count();
        // A batch that cannot be driven to its end is not begun.
        let rest = inputs.rows() - outputs.len() / width.max(1);
        self.counted(self.total_with(rest), rest)?;
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
    fn counted<T>(&self, allowed: Result<T, Error>, shots: usize) -> Result<T, Error> {
        allowed.inspect_err(|error| self.rejections.add_for(error, shots))
    }

    /// All shots with so many more; refuses more than may be.
    fn total_with(&self, shots: usize) -> Result<u64, Error> {
        let total = self.shots + shots as u64;
        match self.allowance.most_shots() {
            Some(most) if most < total => Err(Error::OutOfShots { total, most }),
            _ => Ok(total),
        }
    }

    fn drive_piece(&mut self, piece: &Batch) -> Result<Batch, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            // What a plant drives beyond what it is asked for needs room as well.
            self.allowance.wait_for(piece, f64::from(tries))?;
            let since = self.allowance.at();
            let total = self.total_with(piece.rows()).and_then(|total| self.allowance.spend(piece).map(|()| total));
            self.shots = self.counted(total, piece.rows())?;
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
            self.counted(rest.iter().try_for_each(|shot| self.card.ports.check(Direction::Input, shot)), rest.rows())?;
            self.allowance.wait_for(rest, 1.0)?;
            self.counted(self.allowance.spend(rest), rest.rows())?;
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
mod tests;
