//! A run that learns nothing is an alarm: its loss has been no better than guessing for a tenth of its updates.
//!
//! Who gives every class the same probability has a cross-entropy of ln(classes), who predicts the mean of the targets a squared error of
//! their variance. The mean over the last tenth of the updates is compared with it, since single batches scatter around it; the alarm is over when the mean is below.
//! A loss that falls is no alarm: a network that begins sure of what is wrong has a loss far above that of guessing, and learns.

use std::collections::VecDeque;

use crate::Error;
use crate::control::{Board, Monitor};
use crate::event::Severity;
use crate::plants::Lab;
use crate::scores::ObjectiveKind;

/// The part of a run's updates that the mean is taken over.
const PART: usize = 10;
/// The fewest updates that say something: a network may guess for its first hundred, and learn then.
const FEWEST: usize = 100;
/// A loss falls where the newer half of these updates has at most this part of the older half's.
const FALLS: f64 = 0.8;

/// Looks whether a run learns.
pub struct Learning {
    guessing: f64,
    /// What the loss is called.
    loss: &'static str,
    /// So many losses are looked at together.
    window: usize,
    losses: VecDeque<f64>,
    step: usize,
    raised: bool,
}

impl Learning {
    /// Of a run of `steps` updates, where `guessing` is the loss of whoever has learned nothing.
    pub fn new((kind, guessing): (ObjectiveKind, f64), steps: usize) -> Self {
        let (window, [_, loss]) = ((steps / PART).max(FEWEST), kind.loss());
        Self { guessing, loss, window, losses: VecDeque::new(), step: 0, raised: false }
    }

    /// Takes note of one more loss: whether the run learns nothing.
    fn learns_nothing(&mut self, loss: f64) -> bool {
        self.losses.push_back(loss);
        if self.window < self.losses.len() {
            self.losses.pop_front();
        }
        if self.losses.len() < self.window {
            return false;
        }
        let mean = |from: usize, to: usize| self.losses.range(from..to).sum::<f64>() / (to - from) as f64;
        let (all, half) = (mean(0, self.window), self.window / 2);
        // What is no number learns nothing either.
        all.is_nan() || self.guessing < all && FALLS * mean(0, half) < mean(half, self.window)
    }
}

impl Monitor for Learning {
    fn name(&self) -> &'static str {
        "learning"
    }

    fn look(&mut self, _: usize, _: &mut Lab, board: &Board) -> Result<(), Error> {
        let Some(step) = board.last_step().filter(|step| step.step != self.step) else { return Ok(()) };
        self.step = step.step;
        match (self.learns_nothing(f64::from(step.objective)), self.raised) {
            (true, false) => {
                let message = format!(
                    "it learns nothing: the mean {} of the last {} updates is not below {:.3}, which guessing gives. Look \
                     at the plant's range use and the twin's error, or take another learning rate",
                    self.loss, self.window, self.guessing
                );
                board.raise(self.name(), Severity::Minor, message, false);
            }
            (false, true) => board.clear(self.name()),
            _ => return Ok(()),
        }
        self.raised = !self.raised;
        Ok(())
    }

    fn state(&self) -> toml::Table {
        toml::Table::new()
    }

    /// A run that goes on is looked at anew.
    fn restore(&mut self, _: &toml::Table) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_updates_at_the_loss_of_guessing_is_an_alarm() {
        let mut learning = Learning::new((ObjectiveKind::Classify, 10.0_f64.ln()), 1000);
        let mut said = vec![];
        // It guesses for 99 updates, learns, and forgets all of it.
        for loss in
            std::iter::repeat_n(2.31, 99).chain(std::iter::repeat_n(1.0, 10)).chain(std::iter::repeat_n(2.4, 200))
        {
            said.push(learning.learns_nothing(loss));
        }
        assert!(!said[..109].contains(&true));
        let first = said.iter().position(|nothing| *nothing).unwrap();
        // The good ones have to leave the window for the mean to reach it.
        assert!((150..=209).contains(&first), "{first}");
        assert!(learning.learns_nothing(f64::NAN));
        // From far above what guessing gives it falls for 300 updates, and then learns nothing more.
        let mut learning = Learning::new((ObjectiveKind::Classify, 10.0_f64.ln()), 1000);
        let falls = (0..400).map(|step: i32| 80.0 * 0.99_f64.powi(step.min(300)));
        let said: Vec<bool> = falls.map(|loss| learning.learns_nothing(loss)).collect();
        let first = said.iter().position(|nothing| *nothing);
        assert!(first.is_some_and(|first| (301..400).contains(&first)), "{first:?}");
        let mut short = Learning::new((ObjectiveKind::Regress, 1.0), 5);
        assert!(!(0..99).any(|_| short.learns_nothing(5.0)), "too few to say anything");
    }
}
