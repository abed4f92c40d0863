//! How the owner of a pnnlink wire sets controls, and sets them again after the instrument has fallen to its safe state.
//!
//! A new session begins safe (`docs/pnnlink.md`), whoever opened it and why: nothing is set until somebody drives. Then the way from the safe
//! state is walked in the steps that `slew` allows, as after any other safe state.

use std::time::Duration;

use tokio::time::Instant;

use super::{Owner, SILENCE, Set};
use crate::pnnlink::options::seconds;
use crate::{Direction, Error, Range};

/// How far out of its range a control may read back, as a part of the range: converters round and have offsets.
const BEYOND: f32 = 0.1;

impl Owner {
    /// Sets the controls and returns those really applied.
    pub async fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        let applied = self.go_to(controls, true, "setting controls").await?;
        let values = self.read_back(&applied)?;
        self.controls = Some(Set { asked: controls.to_vec(), applied });
        Ok(values)
    }

    /// The controls in a readback. A network learns with what is read back, so that none may be no number or far out of its range.
    fn read_back(&self, applied: &[u8]) -> Result<Vec<f32>, Error> {
        let values = self.description.controls.decode(applied);
        let values = values.ok_or_else(|| self.misunderstood("does not read its controls back"))?;
        let ranges = self.description.card.ports.ranges(Direction::Control);
        let is_sound = |(value, range): (&f32, &Range)| {
            let beyond = BEYOND * range.span();
            (range.low - beyond..=range.high + beyond).contains(value)
        };
        if values.iter().zip(&ranges).all(is_sound) {
            return Ok(values);
        }
        Err(self
            .misunderstood("reads a control back that is no number, or out of its range by more than a tenth of it"))
    }

    /// Makes sure that the controls are where they were asked to be: shots need an armed instrument. The time that setting them took.
    pub(super) async fn arm(&mut self, end: Instant) -> Result<Duration, Error> {
        self.connected(end, "measuring").await?;
        let start = Instant::now();
        match self.controls.clone() {
            None => {
                // They stay where safety has put them.
                let safe = self.description.card.ports.at_rest(Direction::Control);
                let applied = self.go_to(&safe, false, "setting controls").await?;
                self.controls = Some(Set { asked: safe, applied });
            }
            Some(Set { asked, applied }) if self.has_fallen => {
                if self.go_to(&asked, true, "putting controls back").await? != applied {
                    return Err(self.misunderstood("has taken other controls than before the connection was lost"));
                }
                self.allowance.stay();
            }
            Some(_) => {}
        }
        Ok(start.elapsed())
    }

    /// Sets the controls and returns those really applied, coded; where it `may_walk`, step by step from their safe state.
    async fn go_to(&mut self, controls: &[f32], may_walk: bool, verb: &'static str) -> Result<Vec<u8>, Error> {
        let settle = seconds(self.description.card.timing.settle);
        let patience = self.options.deadline + settle;
        let (mut end, mut walks) = (Instant::now() + patience, false);
        loop {
            self.connected(end, verb).await?;
            if self.has_fallen && may_walk {
                self.allowance.fall();
                walks = true;
            }
            let between = if walks { self.allowance.next_to(controls)? } else { None };
            let step = between.as_deref().unwrap_or(controls);
            if walks {
                self.allowance.step_to(step)?;
            }
            let mut coded = Vec::new();
            self.description.controls.encode(step, &mut coded);
            let start = Instant::now();
            match self.connected(end, verb).await?.apply(&coded, SILENCE + settle).await {
                Ok(applied) => {
                    self.read_back(&applied)?;
                    self.watch.answered("apply", start.elapsed());
                    self.has_fallen = false;
                    if walks {
                        self.allowance.arrive_at(step);
                    }
                    if between.is_none() {
                        return Ok(applied);
                    }
                    end = Instant::now() + patience;
                }
                Err(failure) => self.mend(failure, end, verb)?,
            }
        }
    }
}
