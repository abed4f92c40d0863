//! How much a plant is driven over time: steps between samples, time driven, energy in a minute.
//!
//! ```text
//! slew      |xₖ₊₁ − xₖ|                    between neighbors of a bank in a shot; of a control, from one setting to the next
//! duty      Σ t_shot / 60 s                over the shots of the last minute
//! energy    Σ t_shot · mean(xₖ²)           over the shots of the last minute, in unit²·s
//! ```
//!
//! A plant that drives of itself what nobody asked for, a shot whose answer was lost or a sync chirp, counts it in the same
//! [`Allowance`] before it drives it, and is refused there as well.
//!
//! The first setting of controls may be any. After the safe state, steps are measured from there, and a setting further away is reached in
//! as many steps as that takes, at most a thousand (`setting.rs`): a training that was paused goes on where it was. Where setting them
//! has failed, nobody knows whether they were set: the next step is measured from either.
//!
//! `t_shot` is the time that the plant's card gives for a shot. Time passes by the clock on a real bench and on every bench behind a
//! wire, where the last minute also holds from one opening to the next (`ledger.rs`). It passes by the card's timing on what is
//! simulated in this process or replayed: a run there depends neither on how fast it is computed nor on the run before.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use crate::ledger::Ledger;
use crate::minute::{MINUTE, Minute};
use crate::setting::Setting;
use crate::{Batch, Card, Direction, Error, Origin};

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

/// What a plant may still be driven with; clones are the same allowance, and the default has no limits.
#[derive(Debug, Clone, Default)]
pub struct Allowance(Option<Arc<Mutex<Dose>>>);

impl Allowance {
    /// The allowance of the plant with this card, unless there is nothing to keep.
    ///
    /// Fails when a limit names a bank that does not exist, or makes no sense.
    pub(crate) fn new(card: &Card, limits: DoseLimits) -> Result<Self, Error> {
        if limits == DoseLimits::default() {
            return Ok(Self::default());
        }
        Ok(Self(Some(Arc::new(Mutex::new(Dose::new(card, limits)?)))))
    }

    /// From now on the last minute is kept in the file `path`, and begins with what that says.
    pub(crate) fn keep_in(&self, path: PathBuf) -> Result<(), Error> {
        self.with(|dose| dose.keep_in(path, SystemTime::now()))
    }

    /// The next setting on the way from the safe state to `controls`, in steps that are allowed; none where that is `controls`, or where
    /// the way does not begin at the safe state.
    ///
    /// Fails where the way has too many steps.
    pub(crate) fn next_to(&self, controls: &[f32]) -> Result<Option<Vec<f32>>, Error> {
        let mut next = None;
        self.with(|dose| {
            let (ports, slew) = (&dose.card.ports, &dose.slew);
            next = dose.setting.as_ref().map_or(Ok(None), |setting| setting.next_to(controls, ports, slew))?;
            Ok(())
        })?;
        Ok(next)
    }

    /// Refuses controls that step too far. From now on they may be set, or not.
    pub(crate) fn step_to(&self, controls: &[f32]) -> Result<(), Error> {
        self.with(|dose| dose.step_to(controls))
    }

    /// The plant is being made safe, whatever step that takes: its controls may be set to `safe`, or not.
    pub(crate) fn leave_for(&self, safe: &[f32]) {
        // It cannot be refused.
        let _ = self.with(|dose| {
            dose.widen(safe);
            Ok(())
        });
    }

    /// The plant has been made safe: the controls are `safe`, and what was driven is written exactly.
    pub(crate) fn rest_at(&self, safe: &[f32]) {
        // What cannot be written leaves a page that says too much.
        let _ = self.with(|dose| {
            dose.setting = Some(Setting { from_safe: true, ..Setting::at(safe) });
            dose.close(SystemTime::now())
        });
    }

    /// The controls have gone where they were to go.
    pub(crate) fn stay(&self) {
        // It cannot be refused.
        let _ = self.with(|dose| {
            dose.setting.iter_mut().for_each(|setting| setting.from_safe = false);
            Ok(())
        });
    }

    /// The controls are set.
    pub(crate) fn arrive_at(&self, controls: &[f32]) {
        // It cannot be refused.
        let _ = self.with(|dose| {
            let from_safe = dose.setting.as_ref().is_some_and(|setting| setting.from_safe);
            dose.setting = Some(Setting { from_safe, ..Setting::at(controls) });
            Ok(())
        });
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

/// What is limited over the last minute.
#[derive(Debug)]
enum Amount {
    /// The time driven, in s.
    Time,
    /// The energy of a bank, in unit²·s.
    Energy { bank: String, unit: String, columns: Range<usize> },
}

/// A limit over the last minute.
#[derive(Debug)]
struct OverTime {
    amount: Amount,
    /// As the rig file has it.
    limit: f32,
}

impl OverTime {
    /// Those of `limits`, for a plant with this card.
    fn all(card: &Card, limits: &DoseLimits) -> Vec<Self> {
        let mut first = 0;
        let energies = card.ports.inputs.iter().filter_map(|bank| {
            let columns = first..first + bank.count;
            first += bank.count;
            let limit = *limits.energy_per_minute.get(&bank.name)?;
            Some(Self { amount: Amount::Energy { bank: bank.name.clone(), unit: bank.unit.clone(), columns }, limit })
        });
        limits.duty.map(|limit| Self { amount: Amount::Time, limit }).into_iter().chain(energies).collect()
    }

    /// Its key in the rig file.
    fn key(&self) -> String {
        match &self.amount {
            Amount::Time => "duty".to_owned(),
            Amount::Energy { bank, .. } => format!("energy_per_minute.{bank}"),
        }
    }

    /// The most in a minute, in s or unit²·s.
    fn most(&self) -> f64 {
        let limit = f64::from(self.limit);
        if matches!(self.amount, Amount::Time) { MINUTE * limit } else { limit }
    }

    /// What these shots add, each of which takes `shot` s.
    fn of(&self, inputs: &Batch, shot: f64) -> f64 {
        match &self.amount {
            Amount::Time => shot * inputs.rows() as f64,
            Amount::Energy { columns, .. } => {
                let values = inputs.iter().flat_map(|row| &row[columns.clone()]);
                let squares: f64 = values.map(|value| f64::from(*value).powi(2)).sum();
                squares / columns.len() as f64 * shot
            }
        }
    }

    /// Refuses a minute with so much.
    fn allow(&self, sum: f64) -> Result<(), Error> {
        match &self.amount {
            Amount::Time => {
                let what = || "the time driven".to_owned();
                within((sum / MINUTE) as f32, self.limit, "of a minute", what, "wait, or send fewer shots")
            }
            Amount::Energy { bank, unit, .. } => {
                let what = || format!("the energy of input {bank} in a minute");
                within(sum as f32, self.limit, &format!("{unit}²·s"), what, "wait, or drive less")
            }
        }
    }
}

/// What a plant has been driven with lately.
#[derive(Debug)]
struct Dose {
    card: Card,
    slew: BTreeMap<String, f32>,
    over_time: Vec<OverTime>,
    start: Instant,
    /// Time on a bench that has no other, in s.
    bench_seconds: f64,
    minute: Minute,
    ledger: Option<Ledger>,
    /// None before the controls are set for the first time.
    setting: Option<Setting>,
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
        let over_time = OverTime::all(card, &limits);
        Ok(Self {
            card: card.clone(),
            slew: limits.slew,
            start: Instant::now(),
            bench_seconds: 0.0,
            minute: Minute::new(over_time.len(), vec![], 0.0),
            ledger: None,
            over_time,
            setting: None,
        })
    }

    fn keep_in(&mut self, path: PathBuf, now: SystemTime) -> Result<(), Error> {
        if self.over_time.is_empty() {
            return Ok(());
        }
        let limits: Vec<_> = self.over_time.iter().map(|limit| (limit.key(), limit.most())).collect();
        let (ledger, past) = Ledger::open(path, &limits, now)?;
        self.ledger = Some(ledger);
        self.minute = Minute::new(self.over_time.len(), past, self.at());
        Ok(())
    }

    /// Time on the bench, in s.
    fn at(&self) -> f64 {
        if self.ledger.is_some() || self.card.identity.origin == Origin::Real {
            self.start.elapsed().as_secs_f64()
        } else {
            self.bench_seconds
        }
    }

    fn step_to(&mut self, controls: &[f32]) -> Result<(), Error> {
        if let Some(setting) = &self.setting {
            setting.allow(controls, &self.card.ports, &self.slew)?;
        }
        self.widen(controls);
        self.bench_seconds += self.card.timing.settle;
        Ok(())
    }

    /// The controls may be set to `controls`, or be as they were; where nobody knows how, nobody knows more.
    fn widen(&mut self, controls: &[f32]) {
        if let Some(setting) = &mut self.setting {
            setting.widen(controls);
        }
    }

    fn measure(&mut self, inputs: &Batch) -> Result<(), Error> {
        self.measure_at(inputs, self.at(), SystemTime::now())?;
        self.bench_seconds += self.card.timing.batch(inputs.rows());
        Ok(())
    }

    /// Counts shots at `at` on the bench, which is `now` by the wall clock.
    fn measure_at(&mut self, inputs: &Batch, at: f64, now: SystemTime) -> Result<(), Error> {
        self.smooth(inputs)?;
        if self.over_time.is_empty() {
            return Ok(());
        }
        let amounts: Vec<f64> = self.over_time.iter().map(|limit| limit.of(inputs, self.card.timing.shot)).collect();
        for ((limit, amount), sum) in self.over_time.iter().zip(&amounts).zip(self.minute.sums(at)) {
            limit.allow(sum + amount)?;
        }
        self.minute.add(at, &amounts);
        let minute = &self.minute;
        self.ledger.as_mut().map_or(Ok(()), |ledger| ledger.count(&amounts, || minute.past(at), now))
    }

    /// Refuses shots that are too steep.
    fn smooth(&self, inputs: &Batch) -> Result<(), Error> {
        let mut first = 0;
        for bank in &self.card.ports.inputs {
            let columns = first..first + bank.count;
            first += bank.count;
            let Some(limit) = self.slew.get(&bank.name) else { continue };
            for row in inputs {
                let steps = row[columns.clone()].windows(2).map(|pair| (pair[1] - pair[0]).abs());
                let what = || format!("the step between neighbors of input {}", bank.name);
                within(steps.fold(0.0, f32::max), *limit, &bank.unit, what, "smooth the drive")?;
            }
        }
        Ok(())
    }

    /// Writes what was driven exactly, where it is kept.
    fn close(&mut self, now: SystemTime) -> Result<(), Error> {
        let at = self.at();
        self.ledger.as_mut().map_or(Ok(()), |ledger| ledger.close(self.minute.past(at), now))
    }
}

/// Refuses more than is allowed.
pub(crate) fn within(
    value: f32,
    limit: f32,
    unit: &str,
    what: impl Fn() -> String,
    advice: &'static str,
) -> Result<(), Error> {
    if value <= limit {
        return Ok(());
    }
    Err(Error::Overdriven { what: what(), value, limit, unit: unit.to_owned(), advice })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

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
        dose.step_to(&[2.0]).unwrap();
        dose.setting = Some(Setting::at(&[2.0]));
        dose.step_to(&[1.0]).unwrap();
        dose.setting = Some(Setting::at(&[1.0]));
        assert!(dose.step_to(&[-1.0]).unwrap_err().to_string().contains("control bias[0] would be 2 V"));
    }

    #[test]
    fn duty_and_energy_are_counted_over_the_last_minute() {
        let duty = DoseLimits { duty: Some(0.5), ..Default::default() };
        let mut dose = Dose::new(&card(), duty).unwrap();
        let thirty = Batch::zeros(30, 2);
        dose.measure_at(&thirty, 0.0, UNIX_EPOCH).unwrap();
        let error = dose.measure_at(&Batch::zeros(1, 2), 59.0, UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("of a minute"), "{error}");
        dose.measure_at(&thirty, 60.0, UNIX_EPOCH).unwrap();

        let energy = DoseLimits { energy_per_minute: only("drive", 3.0), ..Default::default() };
        let mut dose = Dose::new(&card(), energy).unwrap();
        dose.measure_at(&batch(&[1.0, 1.0, 1.0, 1.0]), 0.0, UNIX_EPOCH).unwrap();
        let error = dose.measure_at(&batch(&[1.5, 1.5]), 30.0, UNIX_EPOCH).unwrap_err().to_string();
        assert!(error.contains("would be 4.25 V²·s, but the rig file allows 3 V²·s"), "{error}");
        dose.measure_at(&batch(&[1.5, 1.5]), 60.0, UNIX_EPOCH).unwrap();
    }

    #[test]
    fn where_only_steps_are_limited_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let mut dose = Dose::new(&card(), DoseLimits { slew: only("drive", 0.5), ..Default::default() }).unwrap();
        dose.keep_in(path.clone(), UNIX_EPOCH).unwrap();
        dose.measure(&batch(&[0.0, 0.5])).unwrap();
        assert!(dose.minute.past(0.0).is_empty() && !path.exists());
    }

    #[test]
    fn a_minute_holds_from_one_opening_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let limits = DoseLimits { duty: Some(0.5), energy_per_minute: only("drive", 120.0), ..Default::default() };
        let open = |seconds: f64| {
            let now = UNIX_EPOCH + Duration::from_secs_f64(1e9 + seconds);
            let mut dose = Dose::new(&card(), limits.clone()).unwrap();
            dose.keep_in(path.clone(), now).unwrap();
            (dose, now)
        };
        let drive = |(mut dose, now): (Dose, SystemTime), shots: usize| {
            let at = dose.at();
            dose.measure_at(&Batch::zeros(shots, 2), at, now)
        };
        drive(open(0.0), 20).unwrap();
        // It was killed: of its advance, half a second is believed to be driven.
        let error = drive(open(40.0), 10).unwrap_err().to_string();
        assert!(error.contains("the time driven would be 0.508"), "{error}");
        drive(open(40.0), 9).unwrap();
        assert!(drive(open(59.0), 10).is_err());
        drive(open(61.1), 20).unwrap();
        assert!(drive(open(99.0), 2).is_err(), "nine, twenty, and what their processes had in advance");
        // A page that nobody understands.
        std::fs::write(&path, "[").unwrap();
        assert!(drive(open(200.0), 1).is_err());
        drive(open(262.0), 30).unwrap();
    }

    #[test]
    fn a_wire_passes_time_by_the_clock_and_what_is_in_process_by_its_card() {
        let folder = tempfile::tempdir().unwrap();
        let duty = DoseLimits { duty: Some(0.5), ..Default::default() };
        let mut dose = Dose::new(&card(), duty).unwrap();
        for _ in 0..4 {
            dose.measure(&Batch::zeros(30, 2)).unwrap();
            dose.bench_seconds += 30.0;
        }
        dose.keep_in(folder.path().join("a.json"), SystemTime::now()).unwrap();
        dose.measure(&Batch::zeros(30, 2)).unwrap();
        dose.bench_seconds += 60.0;
        assert!(dose.measure(&Batch::zeros(30, 2)).is_err());
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
