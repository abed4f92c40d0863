//! Where controls are set, and how far they may step from there.

use crate::dose_limits::within;
use crate::ports::stepped;
use crate::{Error, Ports};

/// Steps from the safe state to a setting, at most: whoever asks for the safe state meanwhile waits for all of them.
pub(crate) const MOST_STEPS: f32 = 1000.0;

/// What to do where one is larger.
const STEP_LESS: &str = "go there in smaller steps (while training, by a smaller `learning_rate`, or a smaller perturbation where the method perturbs), or allow larger ones by `slew`";

/// Between which values the controls are set: one value, where that is known.
#[derive(Debug)]
pub(crate) struct Setting {
    pub low: Vec<f32>,
    pub high: Vec<f32>,
    /// Whether it may be left in several steps, and which it is.
    pub way: Way,
}

/// Whether settings further away than one step are walked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// No: each step is somebody's wish.
    None,
    /// From the safe state.
    FromSafe,
    /// From one setting of a measurement to the next.
    Between,
}

impl Setting {
    /// Exactly these.
    pub fn at(controls: &[f32]) -> Self {
        Self { low: controls.to_vec(), high: controls.to_vec(), way: Way::None }
    }

    /// Exactly these, and from there to any others.
    pub fn to_walk_from(controls: &[f32]) -> Self {
        Self { way: Way::Between, ..Self::at(controls) }
    }

    fn name(&self) -> &'static str {
        if self.way == Way::FromSafe { "the safe state" } else { "where it is" }
    }

    /// They may be set to `controls` as well.
    pub fn widen(&mut self, controls: &[f32]) {
        for ((low, high), control) in self.low.iter_mut().zip(&mut self.high).zip(controls) {
            (*low, *high) = (low.min(*control), high.max(*control));
        }
    }

    /// Refuses a step to `controls` that is larger than `slew` allows its bank, from wherever they are.
    pub fn allow(&self, controls: &[f32], ports: &Ports) -> Result<(), Error> {
        let bounds = controls.iter().zip(&self.low).zip(&self.high);
        let mut steps = bounds.map(|((to, low), high)| (to - low).max(high - to));
        for bank in &ports.controls {
            for (index, step) in steps.by_ref().take(bank.count).enumerate() {
                let Some(limit) = bank.dose.slew else { continue };
                let what = || format!("the step of control {}[{index}]", bank.name);
                within(step, limit, &bank.unit, what, STEP_LESS)?;
            }
        }
        Ok(())
    }

    /// The next setting on the way to `controls`, each step at most what `slew` allows its bank; none where that is `controls`, or
    /// where nobody may walk.
    ///
    /// Fails where the way has too many steps.
    pub fn next_to(&self, controls: &[f32], ports: &Ports) -> Result<Option<Vec<f32>>, Error> {
        if self.way == Way::None {
            return Ok(None);
        }
        let from = &self.low;
        let mut next = controls.to_vec();
        let mut first = 0;
        for bank in &ports.controls {
            let ports = first..first + bank.count;
            first += bank.count;
            let Some(limit) = bank.dose.slew else { continue };
            for (index, (next, from)) in next[ports.clone()].iter_mut().zip(&from[ports]).enumerate() {
                let what = || format!("the way of control {}[{index}] from {}", bank.name, self.name());
                within((*next - from).abs() / limit, MOST_STEPS, "steps", what, "allow larger ones: `slew`")?;
                *next = stepped(*from, *next, limit);
            }
        }
        Ok((next != controls && next != *from).then_some(next))
    }
}
