//! `--dry-run`: the plan, and the first updates held against every limit without driving any plant.
//!
//! The first updates are made on twins: what they would send is refused as the bench would refuse it, ranges, steps between neighbors
//! and from setting to setting, duty and energy. What they send in a shot, times the shots of the whole plan at the speed of the
//! plants' cards, tells duty and energy of the rest. What only the bench knows is listed.

use std::path::Path;

use serde::Serialize;
use sims::Key;

use crate::Error;
use crate::plants::{Lab, Rehearsed};
use crate::training::{Method, Plan, Prepared, Trainer};

/// Updates that are held against the limits.
const UPDATES: usize = 3;

/// What a training would be, as far as can be told without a plant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rehearsal {
    /// What it would cost.
    pub plan: Plan,
    /// Shots that were held against the limits.
    pub checked_shots: u64,
    /// Fraction of the range that they would use.
    pub range_use: f64,
    /// Fraction of the values that the hard clamp would change.
    pub clipping_rate: f64,
    /// Read-outs on the same readings, where there are several: they cost no further shots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_outs: Option<usize>,
    /// What cannot be told before the plants are driven, as sentences.
    pub cannot_be_known: Vec<String>,
}

impl Prepared {
    /// Plans a training by `method`, and checks its first updates. Nothing is driven, nothing is written.
    pub fn rehearse(&self, method: Method, seed: u64, runs: &Path) -> Result<Rehearsal, Error> {
        let data = self.load(seed)?;
        let mut lab = self.lab_unrecorded(method, seed)?;
        let network = self.network_by(method, (&lab, &data))?;
        let experiment = self.counted(method, seed, &data);
        let mut trainer = Trainer::new(network, &data, &experiment.training, method, Key::new(seed));
        Plan::new(&experiment, method, (&data, trainer.network()), &lab, runs).check(runs, &self.rig)?;
        lab.rehearse();
        let usage = trainer.try_updates(UPDATES, &mut lab)?;
        let plan = Plan::new(&experiment, method, (&data, trainer.network()), &lab, runs);
        let rehearsed = lab.rehearsed();
        rehearsed.iter().try_for_each(|plant| plant.refuse(&plan))?;
        Ok(Rehearsal {
            plan,
            checked_shots: rehearsed.iter().map(|plant| plant.shots).sum(),
            range_use: usage.mean_range_use(),
            clipping_rate: usage.clipping_rate(),
            read_outs: self.experiment.heads.as_ref().map(|heads| heads.count),
            cannot_be_known: self.unknown(&lab),
        })
    }

    fn unknown(&self, lab: &Lab) -> Vec<String> {
        let used = self.plants();
        let plants = self.rig.config.plants.iter().filter(|(name, _)| used.contains(&name.as_str()));
        let interlocks = plants.flat_map(|(plant, config)| {
            let of = |name: &String| format!("whether the readings of plant `{plant}` keep the interlock `{name}`");
            config.interlocks.iter().map(|interlock| of(&interlock.name)).collect::<Vec<_>>()
        });
        lab.unknown().into_iter().chain(interlocks).collect()
    }
}

impl Rehearsed {
    /// Refuses a plan that is more than a minute allows, where nobody is to wait: the shots of the plan at the speed of the card.
    fn refuse(&self, plan: &Plan) -> Result<(), Error> {
        let (shots, seconds) = plan.driven.get(&self.plant).copied().unwrap_or_default();
        if self.paces || self.shots == 0 {
            return Ok(());
        }
        // A run that is shorter than a minute drives all it has.
        let in_a_minute = shots as f64 * (60.0 / seconds.max(f64::MIN_POSITIVE)).min(1.0);
        for spent in &self.spent {
            let amount = spent.amount / self.shots as f64 * in_a_minute;
            if spent.most_per_minute < amount {
                return Err(Error::Usage(format!(
                    "plant `{}` would be driven too much: at the speed of its card a minute of this training takes {amount:.3} {}, \
                     but `{}` allows {:.3}. Set `pace = true` below its limits to wait, or drive less",
                    self.plant, spent.unit, spent.limit, spent.most_per_minute
                )));
            }
        }
        Ok(())
    }
}
