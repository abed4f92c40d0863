//! What is tried on the plant: the validation set while it trains, the test set at the end.
//!
//! Without a validation set the test set stands in its place, and nothing is chosen by it.

use burn::tensor::Tensor;

use super::{Keep, Trainer};
use crate::Error;
use crate::data::{Answers, Rows, Split};
use crate::event::{Evaluated, HeadScores};
use crate::network::{Pass, Purpose, Wants, rows};
use crate::plants::{Forward, Lab};
use crate::scores::Scores;
use crate::training::Question;
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
            self.choose(step, &found.plant);
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
            test: test.map(|found| found.plant),
            validation: validation.map(|found| found.plant),
            believed: test.or(validation).map_or(Scores::new(self.objective.kind(), &[]), |found| found.believed),
            shots: meter.shots,
            plant_seconds: meter.plant_seconds,
            heads: test.or(validation).and_then(|found| found.heads),
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
    fn score(&mut self, split: Split, lab: &mut Lab) -> Result<Tried, Error> {
        let targets = &self.data.rows(split).targets;
        let (answers, each) = self.answer(self.data.rows(split), lab, Forward::Plant)?;
        let plant = self.objective.scores(&answers, targets);
        let each: Vec<Scores> = each.iter().map(|answers| self.objective.scores(answers, targets)).collect();
        if split == Split::Test {
            self.answers = answers;
        }
        let believed = match self.method.forward() {
            Forward::Plant => plant,
            Forward::Twin => self.objective.scores(&self.answer(self.data.rows(split), lab, Forward::Twin)?.0, targets),
        };
        if let Some((score, _)) = plant.impossible().or(believed.impossible()) {
            return Err(Error::Diverged { what: format!("the {} of a test", score.words) });
        }
        Ok(Tried { plant, believed, heads: HeadScores::of(&each) })
    }

    /// What the network says of each of some rows, and what each of its read-outs says where there are several.
    pub(super) fn answer(&self, rows: &Rows, lab: &mut Lab, on: Forward) -> Result<(Answers, Vec<Answers>), Error> {
        let weights: Vec<Tensor<2>> = self.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let order: Vec<usize> = (0..rows.len()).collect();
        let (mut answers, mut each, mut state) = (Vec::new(), Vec::new(), self.state.clone());
        for indices in order.chunks(EVALUATION_BATCH) {
            let inputs = rows::tensor(rows.pick(indices, self.data.width).0, [indices.len(), self.data.width]);
            let question =
                Question { network: &self.network, weights: &weights, inputs: inputs.clone(), state: &mut state, on };
            if let Some(said) = self.estimator.answer(question, lab)? {
                answers.push(self.objective.answers(&said));
                continue;
            }
            let pass = &mut Pass::new(lab, on, Purpose::Test, &mut state);
            let outputs = self.network.outputs(inputs, &weights, pass)?;
            answers.push(self.objective.answers(&outputs.said));
            each.resize_with(outputs.each.len(), Vec::new);
            for (all, outputs) in each.iter_mut().zip(&outputs.each) {
                all.push(self.objective.answers(outputs));
            }
        }
        Ok((joined(answers), each.into_iter().map(joined).collect()))
    }
}

/// The scores of one split.
#[derive(Debug, Clone, Copy)]
struct Tried {
    plant: Scores,
    believed: Scores,
    heads: Option<HeadScores>,
}
