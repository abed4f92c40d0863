//! How much a plant is driven over time: steps between samples, time driven, energy in a minute.
//!
//! ```text
//! slew      |xₖ₊₁ − xₖ|                    between neighbors of a bank in a shot; of a control, from one setting to the next
//! duty      Σ t_shot / 60 s                over the shots of the last minute
//! energy    Σ t_shot · mean(xₖ²)           over the shots of the last minute, in unit²·s
//! ```
//!
//! A plant that drives of itself what nobody asked for, a shot whose answer was lost or a sync chirp, counts it in the same
//! [`Budget`] before it drives it, and is refused there as well; only old spectra are counted once they have been taken again. A budget
//! begins with the opening of its plant, and the first step after the safe state is measured from the setting before it.
//!
//! `t_shot` is the time that the plant's card gives for a shot. Time passes by the wall clock on a real bench, and by the card's
//! timing on a simulated or replayed one, so a run there does not depend on how fast it is computed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::{Batch, Card, Direction, Error, Origin};

/// The stretch of time that duty and energy are counted over, in s.
const MINUTE: f64 = 60.0;

/// Limits over time, by bank name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DoseLimits {
    /// Largest step, in the bank's unit: of inputs, between neighbors in a shot; of controls, between settings.
    pub slew: BTreeMap<String, f32>,
    /// Largest part of a minute that the plant may be driven, from 0 to 1.
    pub duty: Option<f32>,
    /// Most energy in a minute, of input banks, in unit²·s.
    pub energy_per_minute: BTreeMap<String, f32>,
}

/// Shots of one call.
#[derive(Debug)]
struct Driven {
    at: f64,
    seconds: f64,
    /// By the order of the limits, in unit²·s.
    energies: Vec<f64>,
}

/// What a plant may still be driven with; clones are the same budget, and the default has no limits.
#[derive(Debug, Clone, Default)]
pub struct Budget(Option<Arc<Mutex<Dose>>>);

impl Budget {
    /// The budget of the plant with this card, unless there is nothing to keep.
    ///
    /// Fails when a limit names a bank that does not exist, or makes no sense.
    pub(crate) fn new(card: &Card, limits: DoseLimits) -> Result<Self, Error> {
        if limits == DoseLimits::default() {
            return Ok(Self::default());
        }
        Ok(Self(Some(Arc::new(Mutex::new(Dose::new(card, limits)?)))))
    }

    /// Refuses controls that step too far, and remembers them.
    pub(crate) fn apply(&self, controls: &[f32]) -> Result<(), Error> {
        self.with(|dose| dose.apply(controls))
    }

    /// Refuses shots that are too steep, or too much for this minute, and counts them.
    pub fn spend(&self, shots: &Batch) -> Result<(), Error> {
        self.with(|dose| dose.measure(shots))
    }

    /// The same for rows of a batch.
    pub(crate) fn spend_rows<'a>(&self, rows: impl IntoIterator<Item = &'a [f32]>) -> Result<(), Error> {
        self.with(|dose| {
            let values: Vec<f32> = rows.into_iter().flatten().copied().collect();
            dose.measure(&Batch::new(dose.card.ports.input_count(), values)?)
        })
    }

    fn with(&self, count: impl FnOnce(&mut Dose) -> Result<(), Error>) -> Result<(), Error> {
        // Counts are whole whatever another thread did with them.
        self.0.as_ref().map_or(Ok(()), |dose| count(&mut dose.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What a plant has been driven with lately.
#[derive(Debug)]
struct Dose {
    card: Card,
    limits: DoseLimits,
    start: Instant,
    /// Time on a bench that is not real, in s.
    bench_seconds: f64,
    recent: VecDeque<Driven>,
    controls: Option<Vec<f32>>,
}

impl Dose {
    fn new(card: &Card, limits: DoseLimits) -> Result<Self, Error> {
        let named = |direction: Direction, name: &str| card.ports.banks(direction).iter().any(|bank| bank.name == name);
        for (key, bank, value) in limits
            .slew
            .iter()
            .map(|(bank, value)| ("slew", bank, *value))
            .chain(limits.energy_per_minute.iter().map(|(bank, value)| ("energy_per_minute", bank, *value)))
        {
            if !named(Direction::Input, bank) && (key != "slew" || !named(Direction::Control, bank)) {
                let known =
                    card.ports.inputs.iter().map(|bank| format!("`{}`", bank.name)).collect::<Vec<_>>().join(", ");
                return Err(Error::UnknownBank { direction: Direction::Input, bank: bank.clone(), known });
            }
            if !(value.is_finite() && 0.0 < value) {
                let message = format!("is {value}: a limit must be above 0");
                return Err(Error::Description { key: format!("{key}.{bank}"), message });
            }
        }
        if let Some(duty) = limits.duty.filter(|duty| !(0.0 < *duty && *duty <= 1.0)) {
            return Err(Error::Description {
                key: "duty".to_owned(),
                message: format!("is {duty}: it must be above 0 and at most 1"),
            });
        }
        let card = card.clone();
        Ok(Self { card, limits, start: Instant::now(), bench_seconds: 0.0, recent: VecDeque::new(), controls: None })
    }

    fn apply(&mut self, controls: &[f32]) -> Result<(), Error> {
        if let Some(before) = &self.controls {
            let mut first = 0;
            for bank in &self.card.ports.controls {
                if let Some(limit) = self.limits.slew.get(&bank.name) {
                    for index in first..first + bank.count {
                        let step = (controls[index] - before[index]).abs();
                        let what = || format!("the step of control {}[{}]", bank.name, index - first);
                        within(step, *limit, &bank.unit, what, "go there in smaller steps")?;
                    }
                }
                first += bank.count;
            }
        }
        self.controls = Some(controls.to_vec());
        self.bench_seconds += self.card.timing.settle;
        Ok(())
    }

    fn measure(&mut self, inputs: &Batch) -> Result<(), Error> {
        let is_real = self.card.identity.origin == Origin::Real;
        let at = if is_real { self.start.elapsed().as_secs_f64() } else { self.bench_seconds };
        self.measure_at(inputs, at)?;
        self.bench_seconds += self.card.timing.batch(inputs.rows());
        Ok(())
    }

    fn measure_at(&mut self, inputs: &Batch, at: f64) -> Result<(), Error> {
        let card = &self.card;
        let mut energies = vec![];
        let mut first = 0;
        for bank in &card.ports.inputs {
            let columns = first..first + bank.count;
            first += bank.count;
            if let Some(limit) = self.limits.slew.get(&bank.name) {
                for row in inputs {
                    let steepest =
                        row[columns.clone()].windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
                    let what = || format!("the step between neighbors of input {}", bank.name);
                    within(steepest, *limit, &bank.unit, what, "smooth the drive")?;
                }
            }
            if self.limits.energy_per_minute.contains_key(&bank.name) {
                let squares: f64 =
                    inputs.iter().flat_map(|row| &row[columns.clone()]).map(|x| f64::from(*x).powi(2)).sum();
                energies.push(squares / bank.count as f64 * card.timing.shot);
            }
        }
        while self.recent.front().is_some_and(|driven| driven.at + MINUTE <= at) {
            self.recent.pop_front();
        }
        let seconds = card.timing.shot * inputs.rows() as f64;
        if let Some(duty) = self.limits.duty {
            let driven = seconds + self.recent.iter().map(|driven| driven.seconds).sum::<f64>();
            within(
                (driven / MINUTE) as f32,
                duty,
                "of a minute",
                || "the time driven".to_owned(),
                "wait, or send fewer shots",
            )?;
        }
        let limited =
            card.ports.inputs.iter().filter_map(|bank| Some((bank, self.limits.energy_per_minute.get(&bank.name)?)));
        for (place, (bank, limit)) in limited.enumerate() {
            let sum = energies[place] + self.recent.iter().map(|driven| driven.energies[place]).sum::<f64>();
            let what = || format!("the energy of input {} in a minute", bank.name);
            within(sum as f32, *limit, &format!("{}²·s", bank.unit), what, "wait, or drive less")?;
        }
        self.recent.push_back(Driven { at, seconds, energies });
        Ok(())
    }
}

/// Refuses more than is allowed.
fn within(value: f32, limit: f32, unit: &str, what: impl Fn() -> String, advice: &'static str) -> Result<(), Error> {
    if value <= limit {
        return Ok(());
    }
    Err(Error::Overdriven { what: what(), value, limit, unit: unit.to_owned(), advice })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bank, Identity, Ports, Range, Timing};

    fn card() -> Card {
        let bank = |name, count| vec![Bank::new(name, count, "V", Range::new(-2.0, 2.0))];
        Card {
            identity: Identity { system: "s".into(), serial: "1".into(), origin: Origin::Simulated },
            ports: Ports { inputs: bank("drive", 2), controls: bank("bias", 1), outputs: bank("node", 1) },
            timing: Timing { settle: 0.0, latency: 0.0, shot: 1.0 },
        }
    }

    fn only(name: &str, value: f32) -> BTreeMap<String, f32> {
        BTreeMap::from([(name.to_owned(), value)])
    }

    fn batch(values: &[f32]) -> Batch {
        Batch::new(2, values.to_vec()).unwrap()
    }

    #[test]
    fn steps_are_refused_with_their_size() {
        let limits = DoseLimits {
            slew: [only("drive", 0.5), only("bias", 1.0)].into_iter().flatten().collect(),
            ..Default::default()
        };
        let mut dose = Dose::new(&card(), limits).unwrap();
        dose.measure(&batch(&[0.0, 0.5])).unwrap();
        let error = dose.measure(&batch(&[0.0, 0.0, 0.0, 0.75])).unwrap_err().to_string();
        assert!(error.contains("input drive would be 0.75 V, but the rig file allows 0.5 V"), "{error}");
        dose.apply(&[2.0]).unwrap();
        dose.apply(&[1.0]).unwrap();
        assert!(dose.apply(&[-1.0]).unwrap_err().to_string().contains("control bias[0] would be 2 V"));
    }

    #[test]
    fn duty_and_energy_are_counted_over_the_last_minute() {
        let duty = DoseLimits { duty: Some(0.5), ..Default::default() };
        let mut dose = Dose::new(&card(), duty).unwrap();
        let thirty = Batch::zeros(30, 2);
        dose.measure_at(&thirty, 0.0).unwrap();
        assert!(dose.measure_at(&Batch::zeros(1, 2), 59.0).unwrap_err().to_string().contains("of a minute"));
        dose.measure_at(&thirty, 60.0).unwrap();

        let energy = DoseLimits { energy_per_minute: only("drive", 3.0), ..Default::default() };
        let mut dose = Dose::new(&card(), energy).unwrap();
        dose.measure_at(&batch(&[1.0, 1.0, 1.0, 1.0]), 0.0).unwrap();
        let error = dose.measure_at(&batch(&[1.5, 1.5]), 30.0).unwrap_err().to_string();
        assert!(error.contains("would be 4.25 V²·s, but the rig file allows 3 V²·s"), "{error}");
        dose.measure_at(&batch(&[1.5, 1.5]), 60.0).unwrap();
    }

    #[test]
    fn limits_without_sense_are_refused() {
        let refused = |limits: DoseLimits| Dose::new(&card(), limits).unwrap_err().to_string();
        assert!(
            refused(DoseLimits { slew: only("drvie", 1.0), ..Default::default() }).contains("no input bank `drvie`")
        );
        assert!(refused(DoseLimits { slew: only("drive", 0.0), ..Default::default() }).contains("above 0"));
        assert!(refused(DoseLimits { duty: Some(1.5), ..Default::default() }).contains("at most 1"));
        assert!(refused(DoseLimits { energy_per_minute: only("bias", 1.0), ..Default::default() }).contains("`bias`"));
    }
}
