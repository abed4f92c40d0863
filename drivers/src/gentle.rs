//! A plant whose controls go to any setting in steps that its limits allow: for measurements whose settings lie far apart.

use crate::setting::Setting;
use crate::{Batch, Card, Error, Plant};

/// A plant that goes to a setting further away than one step in as many steps as that takes, at most a thousand.
pub struct Gentle<'a> {
    plant: &'a mut dyn Plant,
    /// Where the controls were set, as far as is known.
    setting: Option<Setting>,
}

impl<'a> Gentle<'a> {
    /// Drives `plant`.
    pub fn new(plant: &'a mut dyn Plant) -> Self {
        Self { plant, setting: None }
    }
}

impl Plant for Gentle<'_> {
    fn card(&self) -> &Card {
        self.plant.card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.plant.ports().check(crate::Direction::Control, controls)?;
        while let Some(setting) = self.setting.take() {
            let Some(next) = setting.next_to(controls, self.plant.ports())? else { break };
            self.plant.apply(&next)?;
            self.setting = Some(Setting::to_walk_from(&next));
        }
        let applied = self.plant.apply(controls)?;
        self.setting = Some(Setting::to_walk_from(controls));
        Ok(applied)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        self.plant.measure(inputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        // From there the limits themselves know the way.
        self.setting = None;
        self.plant.make_safe()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Bank, DoseLimits, Identity, Limited, Limits, Origin, Ports, Range, Silent, Timing};

    #[test]
    fn settings_that_lie_far_apart_are_reached_in_allowed_steps() {
        let bank = |name| vec![Bank::new(name, 2, "V", Range::new(-1.0, 1.0))];
        let ports = Ports { inputs: bank("drive"), controls: bank("bias"), outputs: bank("node") };
        let identity = Identity { system: "test".into(), serial: "1".into(), origin: Origin::Simulated };
        let card = Card { identity, ports, timing: Timing::default() };
        let slew = BTreeMap::from([("bias".to_owned(), 0.3)]);
        let limits = Limits { dose: DoseLimits { slew, ..DoseLimits::default() }, ..Limits::default() };
        let mut limited = Limited::new(Silent::new(card), &limits).unwrap();
        limited.apply(&[0.0, 0.0]).unwrap();
        assert!(limited.apply(&[1.0, -1.0]).is_err());
        let mut gentle = Gentle::new(&mut limited);
        for setting in [[0.0, 0.0], [1.0, -1.0], [-0.9, 0.05]] {
            assert_eq!(gentle.apply(&setting).unwrap(), setting);
        }
        gentle.make_safe().unwrap();
        assert_eq!(gentle.apply(&[0.9, 0.9]).unwrap(), [0.9, 0.9]);
    }
}
