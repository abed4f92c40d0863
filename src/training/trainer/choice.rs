//! What validations decide while a training runs: which weights are the best so far, when the step size falls, when it ends.

use super::{Keep, Schedule, Trainer, TrainingConfig};
use crate::record::Choice;
use crate::scores::Score;

impl Choice {
    /// Takes the validation after `step` in; `true` if it is the best so far.
    pub fn take(&mut self, step: usize, (score, value): (&Score, f64), config: &TrainingConfig) -> bool {
        let is_best = self.best.is_none_or(|best| score.is_better(value, best));
        if is_best {
            (self.best, self.best_step, self.since_best, self.since_decay) = (Some(value), step, 0, 0);
        } else {
            (self.since_best, self.since_decay) = (self.since_best + 1, self.since_decay + 1);
        }
        if config.schedule == Schedule::Plateau && config.decay_every.is_some_and(|every| every <= self.since_decay) {
            (self.decays, self.since_decay) = (self.decays + 1, 0);
        }
        self.ended |= config.patience.is_some_and(|patience| patience <= self.since_best);
        is_best
    }
}

impl Trainer<'_> {
    /// Why it ended before its last update, where validations ended it, and which weights it has.
    pub fn ended_early(&self) -> Option<String> {
        early(&self.choice, self.done, self.config)
    }
}

/// Why a training ended after `done` updates, if `choice` ended it.
fn early(choice: &Choice, done: usize, config: &TrainingConfig) -> Option<String> {
    if !choice.ended || config.steps <= done {
        return None;
    }
    let (steps, best, since) = (config.steps, choice.best_step, choice.since_best);
    let kept = if config.keep == Keep::Best { "whose weights it has" } else { "and it has the last weights" };
    Some(format!(
        "training.patience ended it after {done} of {steps} updates: {since} validations in a row were no better than that after update \
         {best}, {kept}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::ObjectiveKind;

    #[test]
    fn an_early_end_says_after_what_and_which_weights_are_kept() {
        let config = TrainingConfig { steps: 400, patience: Some(2), keep: Keep::Best, ..TrainingConfig::default() };
        let choice = Choice { ended: true, best_step: 60, since_best: 2, ..Choice::default() };
        let said = early(&choice, 100, &config).unwrap();
        assert!(
            said.starts_with("training.patience ended it after 100 of 400 updates: 2 validations in a row"),
            "{said}"
        );
        assert!(said.ends_with("than that after update 60, whose weights it has"), "{said}");
        let said = early(&choice, 100, &TrainingConfig { keep: Keep::Last, ..config.clone() }).unwrap();
        assert!(said.ends_with("update 60, and it has the last weights"), "{said}");
        assert_eq!(early(&choice, 400, &config), None, "the last update ended it");
        assert_eq!(early(&Choice::default(), 100, &config), None);
    }

    #[test]
    fn of_errors_the_lowest_is_the_best() {
        let (config, mut choice) = (TrainingConfig::default(), Choice::default());
        let mut take = |step, error| choice.take(step, (ObjectiveKind::Regress.score(), error), &config);
        assert_eq!([take(1, 0.5), take(2, 0.75), take(3, 0.25), take(4, 0.25)], [true, false, true, false]);
        assert_eq!((choice.best, choice.best_step), (Some(0.25), 3));
    }

    #[test]
    fn it_knows_the_best_the_plateau_and_the_end() {
        let config = TrainingConfig {
            schedule: Schedule::Plateau,
            decay_every: Some(2),
            patience: Some(3),
            ..TrainingConfig::default()
        };
        let mut choice = Choice::default();
        let mut take = |step, accuracy| {
            let is_best = choice.take(step, (ObjectiveKind::Classify.score(), accuracy), &config);
            (is_best, choice.best_step, choice.decays, choice.ended)
        };
        assert_eq!(take(10, 0.5), (true, 10, 0, false));
        assert_eq!(take(20, 0.5), (false, 10, 0, false), "of equals the earliest");
        assert_eq!(take(30, 0.4), (false, 10, 1, false));
        assert_eq!(take(40, 0.6), (true, 40, 1, false));
        assert_eq!(take(50, 0.1), (false, 40, 1, false));
        assert_eq!(take(60, 0.1), (false, 40, 2, false));
        assert_eq!(take(70, 0.1), (false, 40, 2, true));
    }
}
