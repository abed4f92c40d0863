//! The guard of a network's physical layers: the table `[guard]` of an experiment, and what it does with the shots of a training.
//!
//! Each physical layer has a guard of its own for each plant identity (`calibration::StateGuard`), which is part of what layers remember: it goes
//! into checkpoints and weights. Shots of tests are not judged.

// Circle with network/pass.rs: a pass carries what guards found, and a guard works within a pass.

use std::sync::Arc;

use calibration::{GuardRule, StateGuard, Stimuli, Verdict};
use drivers::{Batch, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Pass, Purpose};
use crate::Error;
use crate::document::Document;

/// Guards the shots of a training: whether inputs, controls and readings are like those that the guard was fitted to, so that the twin's
/// gradient may be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuardConfig {
    /// What it is fitted to: `training`, the first shots of the training, and then again and again the newest ones, so that it follows what the
    /// network itself changes (default); `calibration`, shots over the whole ranges before the first update, once: the region in which the
    /// twin is calibrated.
    pub from: GuardSource,
    /// Updates before it begins (0): a network that has just begun changes what it sends faster than any guard follows.
    #[schemars(range(max = 1_000_000_000))]
    pub after: usize,
    /// Shots that a fit takes (1000): two thirds give the statistics, the rest the limits.
    #[schemars(range(max = 1_000_000))]
    pub shots: usize,
    /// Inputs, and readings, enter the distance as means of neighbors, so many each at most (32); the box is of every channel.
    #[schemars(range(min = 1, max = 1024))]
    pub channels: usize,
    /// The share of shots like the fitted ones that the guard takes for suspicious all the same (1e-3).
    #[schemars(range(min = 1e-9, max = 0.1))]
    pub false_alarms: f64,
    /// What is done about suspicious shots.
    pub on_alarm: GuardAlarm,
    /// With `reject`: a suspicious shot is measured so often again, until it is none (2). 0: it is left out at once.
    #[schemars(range(max = 100))]
    pub measure_again: usize,
}

/// What a guard is fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GuardSource {
    /// The shots of the training.
    #[default]
    Training,
    /// Stimuli over the whole ranges of inputs and controls.
    Calibration,
}

/// What is done about suspicious shots. In each case they are counted, and an update with more of them than chance explains raises an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GuardAlarm {
    /// Nothing else.
    #[default]
    Warn,
    /// They are measured again, and left out of the gradient where they stay suspicious.
    Reject,
    /// The alarm pauses the run until somebody resumes.
    Pause,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            from: GuardSource::Training,
            after: 0,
            shots: 1000,
            channels: 32,
            false_alarms: 1e-3,
            on_alarm: GuardAlarm::Warn,
            measure_again: 2,
        }
    }
}

/// Of the updates after the first fit, one in so many is learned from: to gather costs several times what it costs to judge.
pub const LEARNS_ONE_IN: usize = 32;
/// Shots that share one setting of the controls, of those over the whole ranges.
const PER_SETTING: usize = 20;

impl GuardConfig {
    /// How a guard is fitted.
    pub fn rule(&self) -> GuardRule {
        GuardRule {
            shots: self.shots,
            channels: self.channels,
            false_alarms: self.false_alarms,
            follows: self.from == GuardSource::Training,
        }
    }

    /// How often a suspicious shot is measured again.
    pub fn again(&self) -> usize {
        if self.on_alarm == GuardAlarm::Reject { self.measure_again } else { 0 }
    }

    /// Shots that are driven for it alone, plant by plant.
    pub fn calibration_shots(&self) -> usize {
        if self.from == GuardSource::Calibration { self.shots } else { 0 }
    }

    /// Refuses a fit to fewer shots than layer `index`, on a plant with these ports, has numbers.
    pub(super) fn check(&self, (index, plant): (usize, &str), ports: &Ports, document: &Document) -> Result<(), Error> {
        let [inputs, outputs] = self.rule().numbers(ports);
        let fewest = self.rule().fewest_shots(ports);
        if fewest <= self.shots {
            return Ok(());
        }
        let alone = GuardRule { channels: 1, ..self.rule() };
        let fewer = if alone.fewest_shots(ports) < fewest { ", or lower guard.channels" } else { "" };
        let message = format!(
            "is {}, but layer {index} (plant `{plant}`) is guarded by {} numbers ({inputs} of its inputs, {outputs} of its readings), whose covariance \
             and limits need at least {fewest} shots: give {fewest} or more{fewer}",
            self.shots,
            inputs + outputs
        );
        Err(document.refuse("guard.shots", message))
    }

    /// Refuses a guard that would judge nothing in a training of `steps` updates, each with so many shots of a layer.
    pub(crate) fn begins(&self, steps: usize, shots: usize, document: &Document) -> Result<(), Error> {
        if steps <= self.after {
            let message = format!(
                "is {}, but the training has {steps} updates, so the guard would never begin: give less than {steps}",
                self.after
            );
            return Err(document.refuse("guard.after", message));
        }
        let given = (steps - self.after).saturating_mul(shots);
        if self.from == GuardSource::Training && given <= self.shots {
            let behind = if self.after == 0 { String::new() } else { format!(" behind the first {}", self.after) };
            let message = format!(
                "is {}, but the {} updates{behind} give a layer {given} shots, so the guard would judge none: give less than {given}, train longer, or \
                 set guard.from = \"calibration\"",
                self.shots,
                steps - self.after
            );
            return Err(document.refuse("guard.shots", message));
        }
        Ok(())
    }
}

/// One batch through a plant, with what it was driven with and read.
pub(super) struct Passed<'a> {
    pub place: usize,
    pub settings: &'a [f32],
    pub inputs: &'a Batch,
}

impl Pass<'_> {
    /// The guard of the layer that computes, where it guards this pass.
    fn guarding(&self) -> Option<Arc<GuardConfig>> {
        let guard = self.guard.as_ref()?;
        let has_begun = matches!(self.purpose, Purpose::Train { step } if guard.after < step);
        (has_begun && self.is_training_on_plant() && !self.lab.is_rehearsing()).then(|| guard.clone())
    }

    /// Whose statistics they are.
    fn guarded(&self, place: usize) -> String {
        let identity = &self.lab.card(place).identity;
        format!("{} {}", identity.system, identity.serial)
    }

    /// Fits the guard of a plant to shots over its whole ranges, where that is wanted and not done.
    pub(super) fn fit_guard(&mut self, place: usize) -> Result<(), Error> {
        let wanted = self.guarding().filter(|config| config.from == GuardSource::Calibration);
        let Some(config) = wanted else { return Ok(()) };
        let (bench, layer) = (self.guarded(place), self.layer);
        if self.state.guard(layer, &bench).is_some_and(StateGuard::is_fitted) {
            return Ok(());
        }
        // A plant that several layers drive is measured once.
        let known = self.state.guards_of(&bench).find(|guard| guard.is_fitted()).cloned();
        if let Some(known) = known {
            self.state.put_guard(layer, known);
            return Ok(());
        }
        let ports = self.lab.card(place).ports.clone();
        let key = Key::new(0).branch("guard").branch(self.lab.names()[place]);
        let stimuli = Stimuli::smooth(&ports, config.shots, PER_SETTING, key);
        let mut guard = StateGuard::new(&bench, &ports, config.rule());
        for (setting, inputs) in stimuli.by_setting() {
            let (applied, outputs) = self.lab.run_apart(place, stimuli.settings.row(setting as usize), &inputs)?;
            guard.learn(&applied, &inputs, &outputs, &[]).map_err(|error| self.unguarded(place, error))?;
        }
        guard.insist().map_err(|error| self.unguarded(place, error))?;
        self.state.put_guard(layer, Arc::new(guard));
        Ok(())
    }

    fn unguarded(&self, place: usize, error: calibration::Error) -> Error {
        Error::calibration(self.lab.names()[place])(error)
    }

    /// Judges a batch that the plant was driven with. Where suspicious shots are rejected they are measured again, and what stays suspicious is
    /// left out of the gradient.
    pub(super) fn watch(&mut self, passed: &Passed<'_>, applied: &[f32], outputs: &mut Batch) -> Result<(), Error> {
        let Some(config) = self.guarding() else { return Ok(()) };
        let Passed { place, settings, inputs } = *passed;
        let (bench, layer) = (self.guarded(place), self.layer);
        let mut guard = match self.state.guard_arc(layer, &bench) {
            Some(guard) => guard,
            None => Arc::new(StateGuard::new(&bench, &self.lab.card(place).ports, config.rule())),
        };
        let mut rejected = vec![];
        if let Some(first) = guard.judge(applied, inputs, outputs) {
            self.count(&first);
            rejected = first.out;
            for _ in 0..config.again() {
                let again: Vec<usize> = (0..rejected.len()).filter(|shot| rejected[*shot]).collect();
                if again.is_empty() {
                    break;
                }
                let these = inputs.picked(&again);
                let (applied, read) = self.lab.run(place, self.on, settings, &these)?;
                self.usage.guard.measured_again += again.len() as u64;
                let verdict = guard.judge(&applied, &these, &read).unwrap_or_default();
                let columns = outputs.columns();
                for (row, shot) in again.into_iter().enumerate() {
                    rejected[shot] = verdict.out.get(row).copied().unwrap_or(true);
                    outputs.values_mut()[shot * columns..(shot + 1) * columns].copy_from_slice(read.row(row));
                }
            }
            if config.on_alarm == GuardAlarm::Reject {
                self.leave_out(&rejected);
            }
        }
        // Where most of a batch is suspicious, the bench or the network has moved: that is what is usual from now on.
        let suspicious = rejected.iter().filter(|out| **out).count();
        let has_moved = rejected.len() < 2 * suspicious;
        let is_due = matches!(self.purpose, Purpose::Train { step } if step.is_multiple_of(LEARNS_ONE_IN));
        if guard.is_fitted() && !(is_due || has_moved) {
            return Ok(());
        }
        if has_moved {
            rejected.clear();
        }
        let learned = Arc::make_mut(&mut guard).learn(applied, inputs, outputs, &rejected);
        learned.map_err(|error| self.unguarded(place, error))?;
        self.state.put_guard(layer, guard);
        Ok(())
    }

    fn count(&mut self, verdict: &Verdict) {
        let suspicious = verdict.out.iter().filter(|out| **out).count() as u64;
        self.usage.guard.add_layer(self.layer as u64, (verdict.out.len() as u64, suspicious), verdict.reasons);
    }

    /// These shots have no part in the gradient.
    fn leave_out(&mut self, rejected: &[bool]) {
        self.left_out.resize(rejected.len(), false);
        for (out, rejected) in self.left_out.iter_mut().zip(rejected) {
            self.usage.guard.left_out += u64::from(*rejected && !*out);
            *out |= *rejected;
        }
    }
}
