//! Interlocks: readings that must stay within bounds. One that leaves them makes the plant safe, and nothing is driven any more;
//! or, where its description says when it may be, not before its readings are back.
//!
//! Whether they are back is seen by probes: shots at rest, with the controls where the safe state has left them. Each probe ends in
//! the safe state again. Inside the bounds and outside of the inner range nothing changes, so a reading that trembles at a bound
//! drives nothing.
//!
//! Readings of the plant are looked at as soon as its transport shows them: after each burst, window or shot (`Plant::shots_at_once`), before
//! the next is driven. A reading of another instrument (`gauge.rs`) is asked for by a thread of its own and looked at before and after
//! each of these, and whenever controls are set. A probe of such a reading drives nothing.

mod gauge;
mod line_query;
mod reading;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::{AfterTrip, Allowance, Batch, Card, Direction, Error, Plant, Probe, Range, Rejections};

pub use gauge::{Gauge, GaugeConfig, GaugeProtocol};
pub use reading::Reading;

/// Where the readings of an interlock come from.
#[derive(Clone)]
pub enum Watched {
    /// An output bank of the plant.
    Bank(String),
    /// Another instrument.
    Gauge(Arc<dyn Reading>),
}

/// Bounds of readings.
#[derive(Clone)]
pub struct Interlock {
    /// What it protects, in words.
    pub name: String,
    /// Where the readings come from.
    pub watched: Watched,
    /// Where they must stay, in their unit.
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
    pub fn new(mut plant: P, interlocks: Vec<Interlock>) -> Result<Self, Error> {
        let banks = &plant.ports().outputs;
        for interlock in &interlocks {
            let Watched::Bank(bank) = &interlock.watched else { continue };
            if !banks.iter().any(|known| known.name == *bank) {
                let known = banks.iter().map(|bank| format!("`{}`", bank.name)).collect::<Vec<_>>().join(", ");
                return Err(Error::UnknownBank { direction: Direction::Output, bank: bank.clone(), known });
            }
        }
        if interlocks.iter().any(|interlock| matches!(interlock.watched, Watched::Bank(_))) {
            plant.show_all();
        }
        let trips = vec![0; interlocks.len()];
        Ok(Self { plant, interlocks, trips, tripped: None, rejections: Rejections::default() })
    }

    /// Shots whose readings nobody gets are counted in `rejections`.
    pub fn counted_in(self, rejections: &Rejections) -> Self {
        Self { rejections: rejections.clone(), ..self }
    }

    /// The first reading of interlock `which` out of `range`. A reading that is not a number is out of all ranges. Where there are no
    /// `readings` of the plant, its banks are not looked at.
    fn outside(&self, which: usize, range: Range, readings: Option<&Batch>) -> Option<Error> {
        let interlock = &self.interlocks[which];
        let found = match &interlock.watched {
            Watched::Bank(bank) => self.outside_in_bank(bank, range, readings?)?,
            Watched::Gauge(gauge) => match gauge.newest() {
                Ok(value) if range.contains(value) => return None,
                Ok(value) => is_outside(gauge.what(), value, gauge.unit(), range),
                Err(why) => format!("{} cannot be read: {why}", gauge.what()),
            },
        };
        let after = interlock.recovery.map_or(AfterTrip::Ends, |recovery| AfterTrip::Probes(recovery.every));
        Some(Error::Interlock { interlock: interlock.name.as_str().into(), found: found.into(), after })
    }

    /// The first reading of an output bank out of `range`, in words.
    fn outside_in_bank(&self, name: &str, range: Range, readings: &Batch) -> Option<String> {
        let mut first = 0;
        for bank in &self.plant.ports().outputs {
            let columns = first..first + bank.count;
            first += bank.count;
            if bank.name != name {
                continue;
            }
            for row in readings {
                if let Some(index) = row[columns.clone()].iter().position(|value| !range.contains(*value)) {
                    let value = row[columns.start + index];
                    return Some(is_outside(&format!("{name}[{index}]"), value, &bank.unit, range));
                }
            }
        }
        None
    }

    /// The interlocks whose readings are out of their bounds; those that are never driven again first.
    fn violations(&self, readings: Option<&Batch>) -> Vec<(usize, Error)> {
        let out = |which| Some((which, self.outside(which, self.interlocks[which].range, readings)?));
        let mut all: Vec<_> = (0..self.interlocks.len()).filter_map(out).collect();
        all.sort_by_key(|(which, _)| self.interlocks[*which].recovery.is_some());
        all
    }

    /// Makes the plant safe where a reading is out of its bounds.
    fn look(&mut self, readings: Option<&Batch>) -> Result<(), Error> {
        let out = self.violations(readings);
        let Some(error) = self.trip(out) else { return Ok(()) };
        // A plant that cannot be made safe is the worse news.
        self.plant.make_safe()?;
        Err(error)
    }

    /// Drives shots, as many at once as nobody can look between.
    fn drive(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        self.look(None)?;
        if self.interlocks.is_empty() {
            return self.plant.measure(inputs);
        }
        let (columns, mut first, mut outputs) = (inputs.columns(), 0, Vec::new());
        while first < inputs.rows() {
            let end = inputs.rows().min(first.saturating_add(self.plant.shots_at_once().max(1)));
            let shots = inputs.values()[first * columns..end * columns].to_vec();
            let readings = self.plant.measure(&Batch::new(columns, shots)?)?;
            self.look(Some(&readings))?;
            outputs.extend(readings.into_values());
            first = end;
        }
        Batch::new(self.plant.ports().output_count(), outputs)
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

    /// Whether readings of the plant itself were out: they are seen only where it is driven.
    fn is_driven_by(&self, tripped: &Tripped) -> bool {
        tripped.by.iter().any(|which| matches!(self.interlocks[*which].watched, Watched::Bank(_)))
    }

    /// Asks the other instruments anew: what they say is looked at where their newest reading is.
    fn read_gauges(&self) {
        for interlock in &self.interlocks {
            if let Watched::Gauge(gauge) = &interlock.watched {
                // Where it fails, there is no newest reading.
                let _ = gauge.read();
            }
        }
    }

    /// What the readings of a probe say.
    fn judge(&mut self, mut tripped: Tripped, readings: Option<&Batch>) -> Result<Probe, Error> {
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

/// A reading and its bounds, in words.
fn is_outside(what: &str, value: f32, unit: &str, range: Range) -> String {
    format!("{what} = {value} {unit} is outside {range} {unit}")
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
        self.look(None)?;
        self.plant.apply(controls)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        self.intact()?;
        self.drive(inputs).inspect_err(|error| {
            if matches!(error, Error::Interlock { .. }) {
                self.rejections.add_for(error, inputs.rows());
            }
        })
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.plant.make_safe()
    }

    fn spend_from(&mut self, allowance: Allowance) {
        self.plant.spend_from(allowance);
    }

    fn shots_at_once(&self) -> usize {
        self.plant.shots_at_once()
    }

    fn probe_drives(&self) -> bool {
        self.tripped.as_ref().is_some_and(|tripped| !is_final(&tripped.error) && self.is_driven_by(tripped))
    }

    fn probe(&mut self, rest: &Batch) -> Result<Probe, Error> {
        match self.tripped.take() {
            None => Ok(Probe::Within(0)),
            Some(tripped) if is_final(&tripped.error) => Err(self.tripped.insert(tripped).error.clone()),
            Some(tripped) => {
                self.read_gauges();
                // Nothing is driven where that could not help.
                if !self.is_driven_by(&tripped) || !self.violations(None).is_empty() {
                    return self.judge(tripped, None);
                }
                let measured = self.plant.measure(rest);
                let safe = self.plant.make_safe();
                match safe.and(measured) {
                    Ok(readings) => self.judge(tripped, Some(&readings)),
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
mod tests;
