//! What is tried on the plant: the validation set while it trains, the test set at the end.
//!
//! Without a validation set the test set stands in its place, and nothing is chosen by it.

use burn::tensor::Tensor;

use super::{Keep, Trainer};
use crate::Error;
use crate::data::{Answers, Split};
use crate::event::Evaluated;
use crate::network::{Pass, Purpose, Wants, rows};
use crate::plants::{Forward, Lab};
use crate::scores::Scores;
use crate::training::objective::joined;

/// Shots that are evaluated together.
pub(crate) const EVALUATION_BATCH: usize = 250;

impl Trainer<'_> {
    /// Tries the validation set, and at the end of the training the test set with the weights that are kept: each on the plant,
    /// and as the method itself computes.
    pub fn evaluate(&mut self, step: usize, lab: &mut Lab) -> Result<Evaluated, Error> {
        self.measure_for(Wants::Test { done: step }, lab)?;
        let (mut validation, mut test) = (None, None);
        if !self.data.validation.is_empty() {
            let found = self.score(Split::Validation, lab)?;
            validation = Some(found);
            self.choose(step, &found.0);
        }
        let is_end = self.choice.ended || step == self.config.steps;
        if is_end && !self.best.0.is_empty() {
            (self.weights, self.state) = std::mem::take(&mut self.best);
        }
        if is_end || validation.is_none() {
            test = Some(self.score(Split::Test, lab)?);
        }
        let meter = lab.meter();
        Ok(Evaluated {
            step,
            test: test.map(|found| found.0),
            validation: validation.map(|found| found.0),
            believed: test.or(validation).map_or(Scores::new(self.objective.kind(), &[]), |found| found.1),
            shots: meter.shots,
            plant_seconds: meter.plant_seconds,
        })
    }

    /// Decides by the validation after `step`.
    fn choose(&mut self, step: usize, scores: &Scores) {
        let (score, value) = (scores.kind().score(), scores.first());
        let is_best = self.choice.take(step, (score, value), self.config);
        if is_best && self.config.keep == Keep::Best {
            self.best = (self.weights.clone(), self.state.clone());
        }
        if self.choice.ended && step < self.config.steps {
            let best = score.say(self.choice.best.unwrap_or_default());
            tracing::info!(step, "ends early: the best validation, {best}, was after step {}", self.choice.best_step);
        }
    }

    /// The scores of a split: on the plant, and by the method's own forward pass.
    fn score(&mut self, split: Split, lab: &mut Lab) -> Result<(Scores, Scores), Error> {
        let targets = &self.data.rows(split).targets;
        let answers = self.answer(split, lab, Forward::Plant)?;
        let on_plant = self.objective.scores(&answers, targets);
        if split == Split::Test {
            self.answers = answers;
        }
        let believed = match self.method.forward() {
            Forward::Plant => on_plant,
            Forward::Twin => self.objective.scores(&self.answer(split, lab, Forward::Twin)?, targets),
        };
        if let Some((score, _)) = on_plant.impossible().or(believed.impossible()) {
            return Err(Error::Diverged { what: format!("the {} of a test", score.words) });
        }
        Ok((on_plant, believed))
    }

    /// What the network says of each row of a split.
    pub(super) fn answer(&self, split: Split, lab: &mut Lab, on: Forward) -> Result<Answers, Error> {
        let rows = self.data.rows(split);
        let weights: Vec<Tensor<2>> = self.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let order: Vec<usize> = (0..rows.len()).collect();
        let (mut answers, mut state) = (Vec::new(), self.state.clone());
        for indices in order.chunks(EVALUATION_BATCH) {
            let inputs = rows::tensor(rows.pick(indices, self.data.width).0, [indices.len(), self.data.width]);
            let pass = &mut Pass::new(lab, on, Purpose::Test, &mut state);
            answers.push(self.objective.answers(&self.network.forward(inputs, &weights, pass)?));
        }
        Ok(joined(answers))
    }
}
