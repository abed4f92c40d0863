//! One limit over the last minute: the time that a plant is driven, or the energy of one of its input banks.

use std::ops::Range;

use serde::Serialize;

use crate::dose_limits::within;
use crate::minute::MINUTE;
use crate::{Batch, Card, DoseLimits, Error};

/// What is limited over the last minute.
#[derive(Debug, Clone)]
enum Amount {
    /// The time driven, in s.
    Time,
    /// The energy of a bank, in unit²·s.
    Energy { bank: String, unit: String, columns: Range<usize> },
}

/// A limit over the last minute.
#[derive(Debug, Clone)]
pub(crate) struct OverTime {
    amount: Amount,
    /// As the rig file has it.
    limit: f32,
}

/// What a plant was driven with, beside what a minute allows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spent {
    /// The limit's key in the rig file, such as `duty`.
    pub limit: String,
    /// The unit: s, or the bank's squared times seconds.
    pub unit: String,
    /// How much was driven.
    pub amount: f64,
    /// The most in a minute.
    pub most_per_minute: f64,
}

impl OverTime {
    /// Those of `limits`, for a plant with this card. A plant may be driven all the time where `duty` is 1: that limits nothing.
    pub fn all(card: &Card, limits: &DoseLimits) -> Vec<Self> {
        let mut first = 0;
        let energies = card.ports.inputs.iter().filter_map(|bank| {
            let columns = first..first + bank.count;
            first += bank.count;
            let limit = *limits.energy_per_minute.get(&bank.name)?;
            Some(Self { amount: Amount::Energy { bank: bank.name.clone(), unit: bank.unit.clone(), columns }, limit })
        });
        let duty = limits.duty.filter(|duty| *duty < 1.0).map(|limit| Self { amount: Amount::Time, limit });
        duty.into_iter().chain(energies).collect()
    }

    /// Its key in the rig file.
    pub fn key(&self) -> String {
        match &self.amount {
            Amount::Time => "duty".to_owned(),
            Amount::Energy { bank, .. } => format!("energy_per_minute.{bank}"),
        }
    }

    /// The most in a minute, in s or unit²·s.
    pub fn most(&self) -> f64 {
        let limit = f64::from(self.limit);
        if matches!(self.amount, Amount::Time) { MINUTE * limit } else { limit }
    }

    /// What one shot adds that takes `seconds`.
    pub fn of(&self, shot: &[f32], seconds: f64) -> f64 {
        match &self.amount {
            Amount::Time => seconds,
            Amount::Energy { columns, .. } => {
                let squares: f64 = shot[columns.clone()].iter().map(|value| f64::from(*value).powi(2)).sum();
                squares / columns.len() as f64 * seconds
            }
        }
    }

    /// What these shots add, each of which takes `seconds`.
    pub fn of_all(&self, shots: &Batch, seconds: f64) -> f64 {
        match &self.amount {
            Amount::Time => seconds * shots.rows() as f64,
            Amount::Energy { .. } => shots.iter().map(|shot| self.of(shot, seconds)).sum(),
        }
    }

    /// Refuses a minute with so much.
    pub fn allow(&self, sum: f64, advice: &'static str) -> Result<(), Error> {
        match &self.amount {
            Amount::Time => {
                let what = || "the time driven".to_owned();
                within((sum / MINUTE) as f32, self.limit, "of a minute", what, advice)
            }
            Amount::Energy { bank, unit, .. } => {
                let what = || format!("the energy of input {bank} in a minute");
                within(sum as f32, self.limit, &format!("{unit}²·s"), what, advice)
            }
        }
    }

    /// So much of it.
    pub fn spent(&self, amount: f64) -> Spent {
        let unit = match &self.amount {
            Amount::Time => "s".to_owned(),
            Amount::Energy { unit, .. } => format!("{unit}²·s"),
        };
        Spent { limit: self.key(), unit, amount, most_per_minute: self.most() }
    }
}
