//! Where controls are set, and how far they may step from there.

use std::collections::BTreeMap;

use crate::dose::within;
use crate::{Error, Ports};

/// Steps from the safe state to a setting, at most: whoever asks for the safe state meanwhile waits for all of them.
const MOST_STEPS: f32 = 1000.0;

/// Between which values the controls are set: one value, where that is known.
#[derive(Debug)]
pub(crate) struct Setting {
    pub low: Vec<f32>,
    pub high: Vec<f32>,
    /// Whether it is that of the safe state, or on the way from there.
    pub from_safe: bool,
}

impl Setting {
    /// Exactly these.
    pub fn at(controls: &[f32]) -> Self {
        Self { low: controls.to_vec(), high: controls.to_vec(), from_safe: false }
    }

    /// They may be set to `controls` as well.
    pub fn widen(&mut self, controls: &[f32]) {
        for ((low, high), control) in self.low.iter_mut().zip(&mut self.high).zip(controls) {
            (*low, *high) = (low.min(*control), high.max(*control));
        }
    }

    /// Refuses a step to `controls` that is larger than `slew` allows its bank, from wherever they are.
    pub fn allow(&self, controls: &[f32], ports: &Ports, slew: &BTreeMap<String, f32>) -> Result<(), Error> {
        let bounds = controls.iter().zip(&self.low).zip(&self.high);
        let mut steps = bounds.map(|((to, low), high)| (to - low).max(high - to));
        for bank in &ports.controls {
            for (index, step) in steps.by_ref().take(bank.count).enumerate() {
                let Some(limit) = slew.get(&bank.name) else { continue };
                let what = || format!("the step of control {}[{index}]", bank.name);
                within(step, *limit, &bank.unit, what, "go there in smaller steps")?;
            }
        }
        Ok(())
    }

    /// The next setting on the way from the safe state to `controls`, each step at most what `slew` allows its bank; none where that is
    /// `controls`, or where the way does not begin at the safe state.
    ///
    /// Fails where the way has too many steps.
    pub fn next_to(
        &self,
        controls: &[f32],
        ports: &Ports,
        slew: &BTreeMap<String, f32>,
    ) -> Result<Option<Vec<f32>>, Error> {
        if !self.from_safe {
            return Ok(None);
        }
        let from = &self.low;
        let mut next = controls.to_vec();
        let mut first = 0;
        for bank in &ports.controls {
            let ports = first..first + bank.count;
            first += bank.count;
            let Some(limit) = slew.get(&bank.name) else { continue };
            for (index, (next, from)) in next[ports.clone()].iter_mut().zip(&from[ports]).enumerate() {
                let what = || format!("the way of control {}[{index}] from the safe state", bank.name);
                within((*next - from).abs() / limit, MOST_STEPS, "steps", what, "allow larger ones: `slew`")?;
                *next = stepped(*from, *next, *limit);
            }
        }
        Ok((next != controls && next != *from).then_some(next))
    }
}

/// `to`, or as near to it as one step of at most `limit` comes.
fn stepped(from: f32, to: f32, limit: f32) -> f32 {
    let next = from + (to - from).clamp(-limit, limit);
    // Rounding may have made the step too large.
    match next - from {
        step if step > limit => next.next_down(),
        step if step < -limit => next.next_up(),
        _ => next,
    }
}
