//! What validations decide while a training runs: which weights are the best so far, when the step size falls, when it ends.

use super::{Schedule, TrainingConfig};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::ObjectiveKind;

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
