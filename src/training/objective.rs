//! Objectives: what a network is to learn. An objective turns outputs and targets into a loss with a gradient, says what a network
//! answers and how good answers are, and what is reached without physics.
//!
//! What an objective is called, and its scores, stand in `scores.rs`, since every room speaks of them.

// Circle with training/objective/regress.rs: the list of objectives names this one, which is one of them.
// Circle with training/objective/texture.rs: the list of objectives names this one, which is one of them.
// Circle with training/objective/classify.rs: the list of objectives names this one, which is one of them.

mod classify;
mod least_squares;
mod logistic;
mod regress;
mod texture;

use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use classify::Classify;
pub use regress::Regress;
pub use texture::{Judge, TextureObjective};

use crate::data::{Answers, Dataset, Meaning, Rows, Targets};
use crate::scores::{ObjectiveKind, Scores};

/// What is learned: the table `[objective]`. Left out, it follows from the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// Which one.
    pub kind: ObjectiveKind,
}

/// What a network is to learn.
pub trait Objective: Send + Sync {
    /// Its name, with the words that belong to it.
    fn kind(&self) -> ObjectiveKind;

    /// `[shots, outputs]` → the mean loss of a batch, which can be differentiated; `device` is that of the outputs.
    fn loss(&self, outputs: Tensor<2>, targets: &Targets, device: &Device) -> Tensor<1>;

    /// The same for the update with this number, counted from 1, where a loss draws something for each.
    fn loss_at(&self, _update: usize, outputs: Tensor<2>, targets: &Targets, device: &Device) -> Tensor<1> {
        self.loss(outputs, targets, device)
    }

    /// The loss of whoever knows the targets of the training rows and sees no input: who is not below it has learned nothing.
    fn guessing(&self) -> f64;

    /// The scores of one batch while it trains.
    fn batch_scores(&self, outputs: &Tensor<2>, targets: &Targets) -> Scores;

    /// What a network says by `[shots, outputs]`.
    fn answers(&self, outputs: &Tensor<2>) -> Answers;

    /// The scores of the answers to a whole split.
    fn scores(&self, answers: &Answers, targets: &Targets) -> Scores;

    /// Why no network of this objective can have given these answers to so many rows, if it cannot.
    fn complaint(&self, answers: &Answers, rows: usize) -> Option<String>;

    /// Answers to the rows of a split as a table, its header first.
    fn table(&self, rows: &Rows, answers: &Answers) -> Vec<Vec<String>>;

    /// The scores on the test set of what [`ObjectiveKind::baseline`] learns of the training rows.
    fn baseline(&self, data: &Dataset) -> Scores;
}

/// The objective that learns some data.
pub fn objective(data: &Dataset) -> Box<dyn Objective> {
    match &data.meaning {
        Meaning::Classes(words) => Box::new(Classify::new(words)),
        Meaning::Targets(targets) => Box::new(Regress::new(targets)),
        Meaning::Texture(texture) => Box::new(TextureObjective::new(texture)),
    }
}

/// One after another, the answers to parts of a split.
pub(super) fn joined(parts: Vec<Answers>) -> Answers {
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or_default();
    for part in parts {
        match (&mut all, part) {
            (Answers::Classes(all), Answers::Classes(part)) => all.extend(part),
            (Answers::Values(all), Answers::Values(part)) => all.extend(part),
            // One objective gives answers of one kind.
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::rows;

    /// Holds the gradient of an objective against central differences of its loss, which `exact` computes in double precision.
    pub fn gradient(objective: &dyn Objective, outputs: &[f32], targets: &Targets, exact: impl Fn(&[f64]) -> f64) {
        let shape = [targets.len(), outputs.len() / targets.len()];
        let device = rows::device().autodiff();
        let leaf = Tensor::from_inner(rows::tensor(outputs.to_vec(), shape)).require_grad();
        let loss = objective.loss(leaf.clone(), targets, &device);
        let outputs: Vec<f64> = outputs.iter().map(|output| f64::from(*output)).collect();
        let value = f64::from(rows::values(loss.clone().detach())[0]);
        assert!((value - exact(&outputs)).abs() < 1e-6, "{value}, not {}", exact(&outputs));
        let slopes = rows::values(leaf.grad(&loss.backward()).unwrap());
        for (place, slope) in slopes.iter().enumerate() {
            let at = |by: f64| {
                let mut moved = outputs.clone();
                moved[place] += by;
                exact(&moved)
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((f64::from(*slope) - difference).abs() < 1e-6, "output {place}: {slope}, not {difference}");
        }
        assert!(slopes.iter().any(|slope| 0.05 < slope.abs()), "there is a slope to find");
    }

    pub fn refuses(objective: &dyn Objective, answers: &Answers, rows: usize, words: &str) {
        let said = objective.complaint(answers, rows).unwrap();
        assert!(said.contains(words), "{said}");
    }

    #[test]
    fn answers_are_joined_in_their_order() {
        let classes = joined(vec![Answers::Classes(vec![1, 2]), Answers::Classes(vec![0])]);
        assert_eq!(classes, Answers::Classes(vec![1, 2, 0]));
        assert_eq!(joined(vec![Answers::Values(vec![1.5])]), Answers::Values(vec![1.5]));
        assert!(joined(vec![]).is_empty());
    }
}
