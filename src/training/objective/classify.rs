//! A class for each row: cross-entropy of the softmax of the outputs, judged by the fraction of rows whose largest output is that of
//! their class.

// Circle with training/objective/logistic.rs: the baseline of the objective learns by its loss.
// Circle with training/objective.rs: the list of objectives names this one, which is one of them.

use burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};

use super::Objective;
use super::logistic::logistic_answers;
use crate::data::{Answers, Dataset, Rows, Targets};
use crate::network::rows;
use crate::scores::{ObjectiveKind, Scores};

/// Tells classes apart.
#[derive(Debug, Clone)]
pub struct Classify {
    words: Vec<String>,
}

impl Classify {
    /// Of classes with these words.
    pub fn new(words: &[String]) -> Self {
        Self { words: words.to_vec() }
    }
}

impl Objective for Classify {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Classify
    }

    fn loss(&self, outputs: Tensor<2>, targets: &Targets, device: &Device) -> Tensor<1> {
        cross_entropy(outputs, targets.classes(), device)
    }

    /// Of the same probability for every class.
    fn guessing(&self) -> f64 {
        (self.words.len() as f64).ln()
    }

    fn batch_scores(&self, outputs: &Tensor<2>, targets: &Targets) -> Scores {
        accuracy(&largest(outputs), targets.classes())
    }

    /// The output of the row's class less the mean of all: what all outputs share changes no probability.
    fn directions(&self, targets: &Targets, outputs: usize) -> Option<Vec<Vec<f32>>> {
        let share = 1.0 / outputs as f32;
        let row = |label: &u32| {
            (0..outputs).map(|output| f32::from(u8::from(output == *label as usize)) - share).collect::<Vec<_>>()
        };
        Some(vec![targets.classes().iter().flat_map(row).collect()])
    }

    fn answers(&self, outputs: &Tensor<2>) -> Answers {
        Answers::Classes(largest(outputs))
    }

    fn scores(&self, answers: &Answers, targets: &Targets) -> Scores {
        let Answers::Classes(answers) = answers else { return Scores::default() };
        accuracy(answers, targets.classes())
    }

    fn complaint(&self, answers: &Answers, rows: usize) -> Option<String> {
        let classes = self.words.len();
        let fit = match answers {
            Answers::Classes(answers) => {
                answers.len() == rows && answers.iter().all(|answer| (*answer as usize) < classes)
            }
            Answers::Values(_) => false,
        };
        let count = match answers {
            Answers::Classes(answers) => answers.len(),
            Answers::Values(values) => values.len(),
        };
        (!fit).then(|| format!("has answers for {count} rows that are not those of {rows} rows in {classes} classes"))
    }

    fn table(&self, rows: &Rows, answers: &Answers) -> Vec<Vec<String>> {
        let header = ["row", "label", "answer", "label_word", "answer_word"].map(str::to_owned).to_vec();
        let Answers::Classes(answers) = answers else { return vec![header] };
        let word = |class: u32| self.words.get(class as usize).cloned().unwrap_or_default();
        let rows = rows.numbers.iter().zip(rows.labels()).zip(answers);
        let rows = rows.map(|((row, &label), &answer)| {
            vec![row.to_string(), label.to_string(), answer.to_string(), word(label), word(answer)]
        });
        std::iter::once(header).chain(rows).collect()
    }

    fn baseline(&self, data: &Dataset) -> Scores {
        accuracy(&largest(&logistic_answers(data)), data.test.labels())
    }
}

/// −mean log p(label).
pub(super) fn cross_entropy(logits: Tensor<2>, labels: &[u32], device: &Device) -> Tensor<1> {
    let indices: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
    let indices = Tensor::<2, Int>::from_data(TensorData::new(indices, [labels.len(), 1]), device);
    log_softmax(logits, 1).gather(1, indices).mean().neg()
}

/// The fraction of answers that are right.
pub(super) fn accuracy(answers: &[u32], labels: &[u32]) -> Scores {
    let right = answers.iter().zip(labels).filter(|(answer, label)| answer == label).count();
    Scores::new(ObjectiveKind::Classify, &[right as f64 / labels.len().max(1) as f64])
}

/// Where each row has its largest output.
fn largest(outputs: &Tensor<2>) -> Vec<u32> {
    let classes = outputs.dims()[1];
    let values = rows::values(outputs.clone());
    let largest = |row: &[f32]| {
        let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(0, |(index, _)| index as u32)
    };
    values.chunks_exact(classes).map(largest).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{gradient, refuses};
    use super::*;

    fn classify() -> Classify {
        Classify::new(&["ae", "iy", "uw"].map(str::to_owned))
    }

    #[test]
    fn cross_entropy_of_even_logits_is_the_logarithm_of_the_classes() {
        let device = rows::device();
        let loss = cross_entropy(Tensor::zeros([3, 10], &device), &[0, 5, 9], &device);
        assert!((rows::values(loss)[0] - 10.0_f32.ln()).abs() < 1e-6);
        assert!((classify().guessing() - 3.0_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn its_gradient_is_the_slope_of_its_loss() {
        let outputs = [0.3_f32, -1.0, 0.5, 0.8, 0.1, -0.6];
        let targets = Targets::Classes(vec![2, 0]);
        let exact = |outputs: &[f64]| {
            let of = |row: usize, label: usize| {
                let row = &outputs[3 * row..3 * row + 3];
                row.iter().map(|value| value.exp()).sum::<f64>().ln() - row[label]
            };
            0.5 * (of(0, 2) + of(1, 0))
        };
        gradient(&classify(), &outputs, &targets, exact);
    }

    #[test]
    fn answers_are_judged_by_hand_and_written_with_words() {
        let objective = classify();
        let outputs = rows::tensor(vec![0.3, -1.0, 0.5, 0.8, 0.1, -0.6, 0.0, 2.0, 1.0, 0.0, 2.0, 1.0], [4, 3]);
        let rows = Rows { values: vec![], targets: Targets::Classes(vec![2, 0, 1, 2]), numbers: vec![7, 3, 9, 4] };
        let answers = objective.answers(&outputs);
        assert_eq!(answers, Answers::Classes(vec![2, 0, 1, 1]));
        assert_eq!(objective.scores(&answers, &rows.targets), Scores::new(ObjectiveKind::Classify, &[0.75]));
        assert_eq!(objective.batch_scores(&outputs, &rows.targets).first(), 0.75);
        let table = objective.table(&rows, &answers);
        assert_eq!(table[0].join(","), "row,label,answer,label_word,answer_word");
        assert_eq!(table[4].join(","), "4,2,1,uw,iy");
        assert_eq!(objective.complaint(&answers, 4), None);
        refuses(&objective, &Answers::Classes(vec![0, 3]), 2, "2 rows in 3 classes");
        refuses(&objective, &Answers::Values(vec![0.5]), 1, "1 rows in 3 classes");
    }
}
