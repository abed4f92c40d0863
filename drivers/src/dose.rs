//! How much a plant is driven over time: steps between samples, time driven, energy in a minute.
//!
//! ```text
//! slew      |xₖ₊₁ − xₖ|                    between neighbors of a bank in a shot; of a control, from one setting to the next
//! duty      Σ t_shot / 60 s                over the shots of the last minute
//! energy    Σ t_shot · mean(xₖ²)           over the shots of the last minute, in unit²·s
//! ```
//!
//! A batch that takes long, or much of what a minute allows, is driven in pieces ([`Allowance::piece`]): each is counted when it is driven,
//! and leaves the last minute a minute after it has ended. Where a minute has no room for a piece, `pace` waits until it has
//! ([`Allowance::wait_for`]); without it the whole batch is refused before any of it is driven. What counts as a piece depends on
//! nothing but the shots and the limits, so that a replay is asked the same.
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

use std::time::{Instant, SystemTime};

use crate::dose_limits::within;
use crate::ledger::{Ledger, Place};
use crate::minute::{MINUTE, Minute};
use crate::over_time::OverTime;
use crate::setting::Setting;
use crate::{Batch, Card, Direction, DoseLimits, Error, Origin};

/// The longest piece of a batch by the timing of the plant's card, in s.
const LONGEST_PIECE: f64 = MINUTE / 20.0;
/// The largest piece where a plant is paced, as a part of what a minute allows.
const LARGEST_PIECE: f64 = 0.1;
/// What to do where neighbors in a shot are too far apart.
const SMOOTH: &str =
    "send less, or smoother rows (the layers before the plant, `range_penalty`), or allow larger steps by `slew`";
/// What to do about a shot that alone is too much for a minute, and about shots for which a minute has no room.
const DRIVE_LESS: &str = "drive less: no wait helps";
const WAIT: &str = "set `pace = true` to wait, or drive less";

/// What a plant has been driven with lately.
#[derive(Debug)]
pub(crate) struct Dose {
    pub card: Card,
    pub over_time: Vec<OverTime>,
    /// Whether it waits until a minute has room.
    pub pace: bool,
    start: Instant,
    /// Time on a bench that has no other, in s.
    pub bench_seconds: f64,
    /// Whether nothing is driven, so that time passes by the card.
    pub by_card: bool,
    pub minute: Minute,
    /// All that was ever counted, by limit.
    pub total: Vec<f64>,
    ledger: Option<Ledger>,
    /// None before the controls are set for the first time.
    pub setting: Option<Setting>,
}

impl Dose {
    /// Of a plant with this card, whose banks then say what is left for their values.
    ///
    /// Fails where a limit names a bank that does not exist, or makes no sense.
    pub fn new(card: &mut Card, limits: &DoseLimits) -> Result<Self, Error> {
        sensible(card, limits)?;
        let shot = card.timing.shot as f32;
        for bank in card.ports.inputs.iter_mut().chain(&mut card.ports.controls) {
            bank.dose.slew = limits.slew.get(&bank.name).copied();
        }
        for bank in &mut card.ports.inputs {
            bank.dose.mean_square =
                limits.energy_per_minute.get(&bank.name).map(|most| most / shot.max(f32::MIN_POSITIVE));
        }
        Ok(Self::with(card.clone(), OverTime::all(card, limits), limits.pace))
    }

    /// Nothing was driven yet.
    pub fn with(card: Card, over_time: Vec<OverTime>, pace: bool) -> Self {
        Self {
            card,
            pace,
            start: Instant::now(),
            bench_seconds: 0.0,
            by_card: false,
            minute: Minute::new(over_time.len(), vec![], 0.0),
            total: vec![0.0; over_time.len()],
            ledger: None,
            over_time,
            setting: None,
        }
    }

    pub fn keep_in(&mut self, place: Place, now: SystemTime) -> Result<(), Error> {
        if self.over_time.is_empty() {
            return Ok(());
        }
        let limits: Vec<_> = self.over_time.iter().map(|limit| (limit.key(), limit.most())).collect();
        let (ledger, past) = Ledger::open(place, &limits, now)?;
        self.ledger = Some(ledger);
        self.minute = Minute::new(self.over_time.len(), past, self.at());
        Ok(())
    }

    /// Whether time passes by the clock.
    pub fn is_by_clock(&self) -> bool {
        !self.by_card && (self.ledger.is_some() || self.card.identity.origin == Origin::Real)
    }

    /// Time on the bench, in s.
    pub fn at(&self) -> f64 {
        if self.is_by_clock() { self.start.elapsed().as_secs_f64() } else { self.bench_seconds }
    }

    pub fn step_to(&mut self, controls: &[f32]) -> Result<(), Error> {
        if let Some(setting) = &self.setting {
            setting.allow(controls, &self.card.ports)?;
        }
        self.widen(controls);
        self.bench_seconds += self.card.timing.settle;
        Ok(())
    }

    /// The controls may be set to `controls`, or be as they were; where nobody knows how, nobody knows more.
    pub fn widen(&mut self, controls: &[f32]) {
        if let Some(setting) = &mut self.setting {
            setting.widen(controls);
        }
    }

    pub fn measure(&mut self, inputs: &Batch) -> Result<(), Error> {
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
        let amounts = self.amounts(inputs);
        for ((limit, amount), sum) in self.over_time.iter().zip(&amounts).zip(self.minute.sums(at)) {
            limit.allow(sum + amount, advice(self.pace, inputs, limit.most() < *amount))?;
        }
        self.minute.add(at, &amounts);
        self.total.iter_mut().zip(&amounts).for_each(|(total, amount)| *total += amount);
        let minute = &self.minute;
        self.ledger.as_mut().map_or(Ok(()), |ledger| ledger.count(&amounts, || minute.past(at), now))
    }

    /// What these shots add to each limit over time.
    fn amounts(&self, shots: &Batch) -> Vec<f64> {
        self.over_time.iter().map(|limit| limit.of_all(shots, self.card.timing.shot)).collect()
    }

    pub fn piece(&self, shots: &Batch, first: usize) -> usize {
        let seconds = self.card.timing.shot;
        let rows = shots.rows() - first;
        if self.over_time.is_empty() {
            return rows;
        }
        let by_time = ((LONGEST_PIECE / seconds.max(f64::MIN_POSITIVE)) as usize).clamp(1, rows.max(1)).min(rows);
        if !self.pace {
            return by_time;
        }
        let amount = |limit: &OverTime| {
            let mut left = LARGEST_PIECE * limit.most();
            let mut shots = (first..first + by_time).map(|row| limit.of(shots.row(row), seconds));
            let fit = shots.position(|amount| {
                left -= amount;
                left < 0.0
            });
            fit.unwrap_or(by_time).max(1)
        };
        self.over_time.iter().map(amount).min().unwrap_or(by_time)
    }

    /// How long nobody may drive these shots so many times, in s.
    pub fn delay(&mut self, shots: &Batch, times: f64) -> f64 {
        let most: Vec<f64> = self.over_time.iter().map(OverTime::most).collect();
        let amounts: Vec<f64> = self
            .amounts(shots)
            .iter()
            .zip(&most)
            .map(|(amount, most)| (times * amount).min(most.max(*amount)))
            .collect();
        let at = self.at();
        self.minute.delay(&amounts, &most, at)
    }

    pub fn foresee(&self, shots: &Batch) -> Result<(), Error> {
        // One piece is refused when it is counted.
        if self.piece(shots, 0) == shots.rows() {
            return Ok(());
        }
        self.smooth(shots)?;
        let (mut minute, mut at, mut first) = (self.minute.clone(), self.at(), 0);
        while first < shots.rows() {
            let piece = shots.part(first, self.piece(shots, first));
            let amounts = self.amounts(&piece);
            for ((limit, amount), sum) in self.over_time.iter().zip(&amounts).zip(minute.sums(at)) {
                // Who waits finds the minute empty.
                let sum = if self.pace { 0.0 } else { *sum };
                limit.allow(sum + amount, advice(self.pace, &piece, limit.most() < *amount))?;
            }
            minute.add(at, &amounts);
            (at, first) = (at + self.card.timing.batch(piece.rows()), first + piece.rows());
        }
        Ok(())
    }

    /// Refuses shots that are too steep.
    fn smooth(&self, inputs: &Batch) -> Result<(), Error> {
        let mut first = 0;
        for bank in &self.card.ports.inputs {
            let columns = first..first + bank.count;
            first += bank.count;
            let Some(limit) = bank.dose.slew else { continue };
            for row in inputs {
                let steps = row[columns.clone()].windows(2).map(|pair| (pair[1] - pair[0]).abs());
                let what = || format!("the step between neighbors of input {}", bank.name);
                within(steps.fold(0.0, f32::max), limit, &bank.unit, what, SMOOTH)?;
            }
        }
        Ok(())
    }

    /// Writes what was driven exactly, where it is kept.
    pub fn close(&mut self, now: SystemTime) -> Result<(), Error> {
        let at = self.at();
        self.ledger.as_mut().map_or(Ok(()), |ledger| ledger.close(self.minute.past(at), now))
    }
}

/// What to do where a minute has no room for these shots; `never` where none ever has.
fn advice(pace: bool, shots: &Batch, never: bool) -> &'static str {
    if pace || never && shots.rows() == 1 { DRIVE_LESS } else { WAIT }
}

/// Refuses limits without sense, or of banks that do not exist.
fn sensible(card: &Card, limits: &DoseLimits) -> Result<(), Error> {
    let named = |direction: Direction, name: &str| card.ports.banks(direction).iter().any(|bank| bank.name == name);
    for (key, bank, value) in limits
        .slew
        .iter()
        .map(|(bank, value)| ("slew", bank, *value))
        .chain(limits.energy_per_minute.iter().map(|(bank, value)| ("energy_per_minute", bank, *value)))
    {
        if !named(Direction::Input, bank) && (key != "slew" || !named(Direction::Control, bank)) {
            let known = card.ports.inputs.iter().map(|bank| format!("`{}`", bank.name)).collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownBank { direction: Direction::Input, bank: bank.clone(), known });
        }
        if !(value.is_finite() && 0.0 < value) {
            let message = format!("is {value}: a limit must be above 0");
            return Err(Error::Description { key: format!("{key}.{bank}"), message });
        }
    }
    match limits.duty.filter(|duty| !(0.0 < *duty && *duty <= 1.0)) {
        None => Ok(()),
        Some(duty) => {
            let message = format!("is {duty}: it must be above 0 and at most 1");
            Err(Error::Description { key: "duty".to_owned(), message })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
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

    /// The place of a ledger in a folder of its own.
    fn place(folder: &tempfile::TempDir) -> Place {
        Place { folder: crate::owner::Folder::at(folder.path()), names: vec!["a".to_owned()] }
    }

    #[test]
    fn steps_are_refused_with_their_size() {
        let limits = DoseLimits {
            slew: [only("drive", 0.5), only("bias", 1.0)].into_iter().flatten().collect(),
            ..Default::default()
        };
        let mut dose = Dose::new(&mut card(), &limits).unwrap();
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
        let mut dose = Dose::new(&mut card(), &duty).unwrap();
        let thirty = Batch::zeros(30, 2);
        dose.measure_at(&thirty, 0.0, UNIX_EPOCH).unwrap();
        let error = dose.measure_at(&Batch::zeros(1, 2), 59.0, UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("of a minute"), "{error}");
        dose.measure_at(&thirty, 60.0, UNIX_EPOCH).unwrap();

        let energy = DoseLimits { energy_per_minute: only("drive", 3.0), ..Default::default() };
        let mut dose = Dose::new(&mut card(), &energy).unwrap();
        dose.measure_at(&batch(&[1.0, 1.0, 1.0, 1.0]), 0.0, UNIX_EPOCH).unwrap();
        let error = dose.measure_at(&batch(&[1.5, 1.5]), 30.0, UNIX_EPOCH).unwrap_err().to_string();
        assert!(error.contains("would be 4.25 V²·s, but the rig file allows 3 V²·s"), "{error}");
        dose.measure_at(&batch(&[1.5, 1.5]), 60.0, UNIX_EPOCH).unwrap();
    }

    #[test]
    fn where_only_steps_are_limited_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut dose = Dose::new(&mut card(), &DoseLimits { slew: only("drive", 0.5), ..Default::default() }).unwrap();
        dose.keep_in(place(&folder), UNIX_EPOCH).unwrap();
        dose.measure(&batch(&[0.0, 0.5])).unwrap();
        assert!(dose.minute.past(0.0).is_empty() && std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }

    #[test]
    fn a_minute_holds_from_one_opening_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let limits = DoseLimits { duty: Some(0.5), energy_per_minute: only("drive", 120.0), ..Default::default() };
        let open = |seconds: f64| {
            let now = UNIX_EPOCH + Duration::from_secs_f64(1e9 + seconds);
            let mut dose = Dose::new(&mut card(), &limits).unwrap();
            dose.keep_in(place(&folder), now).unwrap();
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
        let page = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        std::fs::write(page, "[").unwrap();
        assert!(drive(open(200.0), 1).is_err());
        drive(open(262.0), 30).unwrap();
    }

    #[test]
    fn a_wire_passes_time_by_the_clock_and_what_is_in_process_by_its_card() {
        let folder = tempfile::tempdir().unwrap();
        let duty = DoseLimits { duty: Some(0.5), ..Default::default() };
        let mut dose = Dose::new(&mut card(), &duty).unwrap();
        for _ in 0..4 {
            dose.measure(&Batch::zeros(30, 2)).unwrap();
            dose.bench_seconds += 30.0;
        }
        dose.keep_in(place(&folder), SystemTime::now()).unwrap();
        dose.measure(&Batch::zeros(30, 2)).unwrap();
        dose.bench_seconds += 60.0;
        assert!(dose.measure(&Batch::zeros(30, 2)).is_err());
    }

    #[test]
    fn limits_without_sense_are_refused() {
        let refused = |limits: DoseLimits| Dose::new(&mut card(), &limits).unwrap_err().to_string();
        assert!(
            refused(DoseLimits { slew: only("drvie", 1.0), ..Default::default() }).contains("no input bank `drvie`")
        );
        assert!(refused(DoseLimits { slew: only("drive", 0.0), ..Default::default() }).contains("above 0"));
        assert!(refused(DoseLimits { duty: Some(1.5), ..Default::default() }).contains("at most 1"));
        assert!(refused(DoseLimits { energy_per_minute: only("bias", 1.0), ..Default::default() }).contains("`bias`"));
    }
}
