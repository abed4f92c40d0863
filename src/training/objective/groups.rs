//! A class for each row, of classes in groups, and whether a row is of any group at all (Huang and Li, arXiv 2105.01879).
//!
//! ```text
//! in each group k a softmax over [others, its classes]        loss = Σ_k −log p_k(class, or others where it is of another group)
//! answer: the class with the largest probability of its group, others left out        unknown = min_k p_k(others)
//! ```

// Circle with training/objective.rs: the list of objectives names this one, which is one of them.

use burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};

use super::Objective;
use super::classify::{Classify, accuracy};
use crate::data::{Answers, Dataset, Rows, Targets, Taxonomy};
use crate::network::rows;
use crate::scores::{ObjectiveKind, Scores};

/// Tells classes in groups apart.
#[derive(Debug, Clone)]
pub struct Groups {
    taxonomy: Taxonomy,
    /// Answers are classes, like those of this one.
    flat: Classify,
    /// What each class wants of each group: the place of an output within it.
    wanted: Vec<Vec<i64>>,
}

impl Groups {
    /// Of these classes in these groups.
    pub fn new(taxonomy: &Taxonomy) -> Self {
        let mut wanted = vec![vec![0; taxonomy.groups().len()]; taxonomy.words().len()];
        for (number, group) in taxonomy.groups().iter().enumerate() {
            for (place, class) in group.classes.iter().enumerate() {
                wanted[*class as usize][number] = 1 + place as i64;
            }
        }
        Self { taxonomy: taxonomy.clone(), flat: Classify::new(taxonomy.words()), wanted }
    }

    /// The class of each row: the one with the largest probability within its group.
    fn classes(&self, outputs: &Tensor<2>) -> Vec<u32> {
        let width = self.taxonomy.outputs();
        let values = rows::values(outputs.clone());
        let answer = |row: &[f32]| {
            let logarithms = group_log_probabilities(&self.taxonomy, row);
            let of_group = |(place, group): (usize, &crate::data::Group)| {
                let own = group.classes.iter().enumerate();
                own.map(|(index, class)| (logarithms[place + 1 + index], *class)).collect::<Vec<_>>()
            };
            let all = self.taxonomy.places().flat_map(of_group);
            all.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, class)| class)
        };
        values.chunks_exact(width).map(answer).collect()
    }
}

/// The logarithm of the probability of each output within its group.
pub fn group_log_probabilities(taxonomy: &Taxonomy, outputs: &[f32]) -> Vec<f64> {
    let mut logarithms = Vec::with_capacity(outputs.len());
    for (place, group) in taxonomy.places() {
        let own = &outputs[place..=place + group.classes.len()];
        let most = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = own.iter().map(|output| f64::from(output - most).exp()).sum();
        logarithms.extend(own.iter().map(|output| f64::from(output - most) - sum.ln()));
    }
    logarithms
}

impl Objective for Groups {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Groups
    }

    fn loss(&self, outputs: Tensor<2>, targets: &Targets, device: &Device) -> Tensor<1> {
        let labels = targets.classes();
        let of_group = |(number, (place, group)): (usize, (usize, &crate::data::Group))| {
            let own = outputs.clone().narrow(1, place, 1 + group.classes.len());
            let wanted: Vec<i64> = labels.iter().map(|label| self.wanted[*label as usize][number]).collect();
            let wanted = Tensor::<2, Int>::from_data(TensorData::new(wanted, [labels.len(), 1]), device);
            log_softmax(own, 1).gather(1, wanted)
        };
        let terms: Vec<Tensor<2>> = self.taxonomy.places().enumerate().map(of_group).collect();
        Tensor::cat(terms, 1).sum().div_scalar(labels.len().max(1) as f64).neg()
    }

    /// In each group the entropy of whoever knows how many classes there are: all alike, and the others as often as the rest.
    fn guessing(&self) -> f64 {
        let classes = self.taxonomy.words().len() as f64;
        let of_group = |group: &crate::data::Group| {
            let share = group.classes.len() as f64 / classes;
            share * classes.ln() - (1.0 - share) * (1.0 - share).ln()
        };
        self.taxonomy.groups().iter().map(of_group).sum()
    }

    fn batch_scores(&self, outputs: &Tensor<2>, targets: &Targets) -> Scores {
        accuracy(&self.classes(outputs), targets.classes())
    }

    fn answers(&self, outputs: &Tensor<2>) -> Answers {
        Answers::Classes(self.classes(outputs))
    }

    fn scores(&self, answers: &Answers, targets: &Targets) -> Scores {
        self.flat.scores(answers, targets)
    }

    fn complaint(&self, answers: &Answers, rows: usize) -> Option<String> {
        self.flat.complaint(answers, rows)
    }

    fn table(&self, rows: &Rows, answers: &Answers) -> Vec<Vec<String>> {
        self.flat.table(rows, answers)
    }

    fn baseline(&self, data: &Dataset) -> Scores {
        self.flat.baseline(data)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{gradient, refuses};
    use super::*;

    /// Classes a to e; `{a, d}` and `{b, c, e}`: seven outputs.
    fn groups() -> Groups {
        let words: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        let lists = [vec!["a".to_owned(), "d".to_owned()], vec!["b".to_owned(), "c".to_owned(), "e".to_owned()]];
        Groups::new(&Taxonomy::of_lists(words, &lists).unwrap())
    }

    #[test]
    fn its_loss_is_the_sum_over_groups_and_its_gradient_the_slope_of_that() {
        let outputs = [0.3_f32, -1.0, 0.5, 0.8, 0.1, -0.6, 1.2, -0.2, 0.4, 0.9, -1.5, 0.7, 0.2, 0.6];
        // d is the second of the first group, and others in the second; b the first of the second.
        let targets = Targets::Classes(vec![3, 1]);
        let exact = |outputs: &[f64]| {
            let of = |row: usize, from: usize, to: usize, wanted: usize| {
                let own = &outputs[7 * row + from..7 * row + to];
                own.iter().map(|value| value.exp()).sum::<f64>().ln() - own[wanted]
            };
            0.5 * (of(0, 0, 3, 2) + of(0, 3, 7, 0) + of(1, 0, 3, 0) + of(1, 3, 7, 1))
        };
        gradient(&groups(), &outputs, &targets, exact);
    }

    #[test]
    fn answers_leave_the_others_out_and_compare_probabilities_within_groups() {
        let objective = groups();
        // Row 0: in the first group others win, a has 0.27 of it; in the second each class has less: a. Row 1: others win everywhere, e has most.
        let outputs = vec![3.0, 2.0, 0.0, 0.5, 0.5, 0.5, 0.5, 9.0, 0.0, 0.0, 9.0, 0.0, 0.0, 5.0];
        let outputs = rows::tensor(outputs, [2, 7]);
        assert_eq!(objective.answers(&outputs), Answers::Classes(vec![0, 4]));
        let targets = Targets::Classes(vec![0, 1]);
        assert_eq!(objective.batch_scores(&outputs, &targets).first(), 0.5);
        assert_eq!(objective.scores(&Answers::Classes(vec![0, 1]), &targets).first(), 1.0);
        refuses(&objective, &Answers::Classes(vec![0, 5]), 2, "2 rows in 5 classes");
        let logarithms = group_log_probabilities(&objective.taxonomy, &[0.0, 0.0, 0.0, 1000.0, 0.0, 0.0, 0.0]);
        assert!((logarithms[1] + 3.0_f64.ln()).abs() < 1e-12 && logarithms[3].abs() < 1e-12);
        assert_eq!(logarithms[4], -1000.0);
    }

    #[test]
    fn guessing_is_the_loss_of_the_best_constant() {
        // First group: others 3/5, each class 1/5; second: others 2/5, each class 1/5.
        let entropy = |shares: &[f64]| -shares.iter().map(|share| share * share.ln()).sum::<f64>();
        let known = entropy(&[0.6, 0.2, 0.2]) + entropy(&[0.4, 0.2, 0.2, 0.2]);
        assert!((groups().guessing() - known).abs() < 1e-12);
    }
}
