//! Objectives: what a network is to learn. An objective turns outputs and targets into a loss with a gradient, says what a network
//! answers and how good answers are, and what is reached without physics.
//!
//! What an objective is called, and its scores, stand in `scores.rs`, since every room speaks of them.

// Circle with training/objective/regress.rs: the list of objectives names this one, which is one of them.
// Circle with training/objective/texture.rs: the list of objectives names this one, which is one of them.
// Circle with training/objective/classify.rs: the list of objectives names this one, which is one of them.
// Circle with training/objective/groups.rs: the list of objectives names this one, which is one of them.
// Circle with training/objective/generate.rs: the list of objectives names this one, which is one of them.
// Circle with training/objective/motion.rs: the list of objectives names this one, which is one of them.

mod classify;
mod columns;
mod critics;
mod features;
mod generate;
mod groups;
mod least_squares;
mod logistic;
mod motion;
mod regress;
mod ruler;
mod texture;

use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

pub use classify::Classify;
pub use generate::Generate;
pub use groups::{Groups, group_log_probabilities};
pub use motion::Move;
pub use regress::Regress;
pub use texture::{Judge, TextureObjective};

use crate::Error;
use crate::data::{Answers, Dataset, Grouping, Meaning, Rows, Targets, Taxonomy};
use crate::document::Document;
use crate::network::NamedTensor;
use crate::scores::{ObjectiveKind, Scores};

/// What is learned: the table `[objective]`. Left out, it follows from the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// Which one.
    pub kind: ObjectiveKind,
    /// How the classes of `groups` are put into groups (taxonomy).
    #[serde(default)]
    pub grouping: Grouping,
    /// The groups of a taxonomy: lists of classes by their names in the data. Left out, the column `data.group` says them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<String>>,
    /// How many groups `clusters` or `random` makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 10_000))]
    pub count: Option<usize>,
    /// For `generate`: standard normal numbers that an image is made of (8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub latent: Option<usize>,
    /// For `generate`: whether the generator is told the class of an image, as one value for each class behind the latents (false). Each class
    /// then is learned by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
}

/// Latents of a generator, unless its experiment says otherwise.
const LATENTS: usize = 8;

impl ObjectiveConfig {
    /// Refuses keys that do not go together.
    pub fn sensible(&self, has_column: bool, document: &Document) -> Result<(), Error> {
        let refuse = |key: &str, message: String| Err(document.refuse(&format!("objective.{key}"), message));
        let is_generator = self.kind == ObjectiveKind::Generate;
        let of_generator = self.latent.map(|_| "latent").or(self.told.then_some("told"));
        if let Some(key) = of_generator.filter(|_| !is_generator) {
            return refuse(key, format!("is of `generate`, but the objective is `{}`: leave it out", self.kind));
        }
        if self.kind != ObjectiveKind::Groups {
            let key = if self.groups.is_empty() { self.count.map(|_| "count") } else { Some("groups") };
            let key = key.or((self.grouping != Grouping::Taxonomy).then_some("grouping"));
            return key.map_or(Ok(()), |key| {
                refuse(key, format!("is of `groups`, but the objective is `{}`: leave it out", self.kind))
            });
        }
        match (self.grouping, self.groups.is_empty(), self.count) {
            (Grouping::Taxonomy, true, None) if !has_column => refuse(
                "groups",
                "is missing: list the classes of each group, name the column of a CSV file that says them as data.group, or take \
                 `grouping = \"clusters\"`"
                    .to_owned(),
            ),
            (Grouping::Taxonomy, _, None) | (Grouping::Clusters | Grouping::Random, true, Some(_)) => Ok(()),
            (Grouping::Taxonomy, _, Some(_)) => {
                refuse("count", "is of `clusters` and `random`: a taxonomy has as many groups as it lists".to_owned())
            }
            (_, true, None) => refuse("count", "is missing: say how many groups are to be made".to_owned()),
            (_, false, _) => refuse("groups", "lists groups, but `grouping` makes them: leave one of the two out".to_owned()),
        }
    }

    /// Latents of a generator.
    pub fn latents(&self) -> usize {
        self.latent.unwrap_or(LATENTS)
    }

    /// The data as this objective learns it.
    pub fn apply(&self, mut data: Dataset, document: &Document, key: Key) -> Result<Dataset, Error> {
        if self.kind == ObjectiveKind::Generate {
            return Ok(data.ungrouped().generated((self.latents(), self.told), key));
        }
        if self.kind != ObjectiveKind::Groups {
            return Ok(data.ungrouped());
        }
        let words: Vec<String> = data.meaning.names().into_iter().map(str::to_owned).collect();
        let count = self.count.unwrap_or_default();
        let made = match self.grouping {
            Grouping::Taxonomy if self.groups.is_empty() => return Ok(data),
            Grouping::Taxonomy => Taxonomy::of_lists(words, &self.groups),
            Grouping::Clusters => Taxonomy::of_clusters(words, (&data.train, data.width), count, key),
            Grouping::Random => Taxonomy::at_random(words, count, key),
        };
        let at = if self.groups.is_empty() { "objective.count" } else { "objective.groups" };
        let made = made.map_err(|complaint| {
            let message =
                if self.groups.is_empty() { format!("is {count}: such groups {complaint}") } else { complaint };
            document.refuse(at, message)
        })?;
        data.meaning = Meaning::Groups(made);
        Ok(data)
    }
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

    /// Learns from what the network gave of a batch in the update with this number, `[shots, outputs]`, where an objective learns as well.
    fn learn(&mut self, _update: usize, _outputs: &Tensor<2>, _targets: &Targets) {}

    /// What it has learned, for a checkpoint.
    fn remembered(&self) -> Vec<NamedTensor> {
        vec![]
    }

    /// Goes on with what one before it has learned; the rest of a sentence says what cannot be.
    fn recall(&mut self, _tensors: &[NamedTensor]) -> Result<(), String> {
        Ok(())
    }

    /// The loss of whoever knows the targets of the training rows and sees no input: who is not below it has learned nothing.
    fn guessing(&self) -> f64;

    /// The scores of one batch while it trains.
    fn batch_scores(&self, outputs: &Tensor<2>, targets: &Targets) -> Scores;

    /// For every score of a row whose slope tells what a read-out goes by, the weights of so many outputs in it, row after row; none where
    /// nobody has said them, and several read-outs cannot be told apart.
    fn directions(&self, _targets: &Targets, _outputs: usize) -> Option<Vec<Vec<f32>>> {
        None
    }

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
        Meaning::Groups(taxonomy) => Box::new(Groups::new(taxonomy)),
        Meaning::Targets(targets) => Box::new(Regress::new(targets)),
        Meaning::Texture(texture) => Box::new(TextureObjective::new(texture)),
        Meaning::Images(pictures) => Box::new(Generate::new(pictures, data)),
        Meaning::Motion(movement) => Box::new(Move::new(movement, data)),
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
