//! What is tried on the plant: the validation set while it trains, the test set at the end.
//!
//! Without a validation set the test set stands in its place, and nothing is chosen by it.

use burn::tensor::Tensor;

use super::{Keep, Trainer, largest};
use crate::Error;
use crate::data::Split;
use crate::event::Evaluated;
use crate::network::{Pass, Purpose, Wants, rows};
use crate::plants::{Forward, Lab};

/// Shots that are evaluated together.
pub(crate) const EVALUATION_BATCH: usize = 250;

impl Trainer<'_> {
    /// Tries the validation set, and at the end of the training the test set with the weights that are kept: each on the plant,
    /// and as the method itself computes.
    pub fn evaluate(&mut self, step: usize, lab: &mut Lab) -> Result<Evaluated, Error> {
        self.measure_for(Wants::Test { done: step }, lab)?;
        let (mut validation, mut test) = (None, None);
        if !self.data.validation.is_empty() {
            let found = self.accuracy(Split::Validation, lab)?;
            validation = Some(found);
            self.choose(step, found.0);
        }
        let is_end = self.choice.ended || step == self.config.steps;
        if is_end && !self.best.0.is_empty() {
            (self.weights, self.state) = std::mem::take(&mut self.best);
        }
        if is_end || validation.is_none() {
            test = Some(self.accuracy(Split::Test, lab)?);
        }
        let meter = lab.meter();
        Ok(Evaluated {
            step,
            test_accuracy: test.map(|found| found.0),
            validation_accuracy: validation.map(|found| found.0),
            believed_accuracy: test.or(validation).map_or(0.0, |found| found.1),
            shots: meter.shots,
            plant_seconds: meter.plant_seconds,
        })
    }

    /// Decides by the validation after `step`.
    fn choose(&mut self, step: usize, accuracy: f64) {
        let is_best = self.choice.take(step, accuracy, self.config);
        if is_best && self.config.keep == Keep::Best {
            self.best = (self.weights.clone(), self.state.clone());
        }
        if self.choice.ended && step < self.config.steps {
            let best = 100.0 * self.choice.best.unwrap_or_default();
            tracing::info!(
                step,
                "ends early: the best validation, {best:.1} %, was after step {}",
                self.choice.best_step
            );
        }
    }

    /// The fraction of a split that is right: on the plant, and by the method's own forward pass.
    fn accuracy(&mut self, split: Split, lab: &mut Lab) -> Result<(f64, f64), Error> {
        let answers = self.answer(split, lab, Forward::Plant)?;
        let on_plant = self.share_right(split, &answers);
        if split == Split::Test {
            self.answers = answers;
        }
        Ok(match self.method.forward() {
            Forward::Plant => (on_plant, on_plant),
            Forward::Twin => (on_plant, self.share_right(split, &self.answer(split, lab, Forward::Twin)?)),
        })
    }

    /// The class that the network gives each row of a split.
    pub(super) fn answer(&self, split: Split, lab: &mut Lab, on: Forward) -> Result<Vec<u32>, Error> {
        let rows = self.data.rows(split);
        let weights: Vec<Tensor<2>> = self.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let order: Vec<usize> = (0..rows.len()).collect();
        let mut answers = Vec::with_capacity(rows.len());
        let mut state = self.state.clone();
        for indices in order.chunks(EVALUATION_BATCH) {
            let (values, labels) = rows.pick(indices, self.data.width);
            let inputs = rows::tensor(values, [labels.len(), self.data.width]);
            let pass = &mut Pass::new(lab, on, Purpose::Test, &mut state);
            answers.extend(largest(&self.network.forward(inputs, &weights, pass)?));
        }
        Ok(answers)
    }

    /// The fraction of a split that `answers` get right.
    pub(super) fn share_right(&self, split: Split, answers: &[u32]) -> f64 {
        let labels = &self.data.rows(split).labels;
        let right = answers.iter().zip(labels).filter(|(answer, label)| answer == label).count();
        right as f64 / labels.len().max(1) as f64
    }
}
