//! Numbers for each row: mean squared error, judged by NRMSE and R².
//!
//! Outputs and targets are in standard deviations from the mean, both those of the training rows, so who predicts the mean has the loss
//! 1. For K targets, of which the k-th has the mean squared error `mseₖ` and the variance `varₖ` on the rows that are judged:
//!
//! ```text
//! NRMSE = √(mean over k of mseₖ/varₖ)        R² = mean over k of (1 − mseₖ/varₖ)
//! ```
//!
//! 0 is the best NRMSE, and 1 that of the mean of the judged rows. Neither depends on the targets' units. A batch has no variance of its
//! own that could be relied on: its scores take that of the training rows, which is 1.

// Circle with training/objective.rs: the list of objectives names this one, which is one of them.

use burn::tensor::{Device, Tensor, TensorData};

use super::Objective;
use super::least_squares::least_squares;
use crate::data::{Answers, Dataset, Rows, Target, Targets};
use crate::network::rows;
use crate::scores::{ObjectiveKind, Scores};

/// Predicts numbers.
#[derive(Debug, Clone)]
pub struct Regress {
    targets: Vec<Target>,
}

impl Regress {
    /// Of these targets.
    pub fn new(targets: &[Target]) -> Self {
        Self { targets: targets.to_vec() }
    }
}

impl Objective for Regress {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Regress
    }

    fn loss(&self, outputs: Tensor<2>, targets: &Targets, device: &Device) -> Tensor<1> {
        let wanted = Tensor::from_data(TensorData::new(targets.values().to_vec(), outputs.dims()), device);
        (outputs - wanted).square().mean()
    }

    /// Of the mean of the training rows: their variance.
    fn guessing(&self) -> f64 {
        1.0
    }

    fn batch_scores(&self, outputs: &Tensor<2>, targets: &Targets) -> Scores {
        let outputs = rows::values(outputs.clone());
        let wanted = targets.values();
        let errors =
            outputs.iter().zip(wanted).map(|(output, target)| (f64::from(*output) - f64::from(*target)).powi(2));
        of_share(errors.sum::<f64>() / wanted.len().max(1) as f64)
    }

    /// Each output by itself.
    fn directions(&self, targets: &Targets, outputs: usize) -> Option<Vec<Vec<f32>>> {
        let of = |wanted: usize| {
            let row = move |_| (0..outputs).map(move |output| f32::from(u8::from(output == wanted)));
            (0..targets.len()).flat_map(row).collect()
        };
        Some((0..outputs).map(of).collect())
    }

    fn answers(&self, outputs: &Tensor<2>) -> Answers {
        Answers::Values(rows::values(outputs.clone()).into_iter().map(f64::from).collect())
    }

    fn scores(&self, answers: &Answers, targets: &Targets) -> Scores {
        let (Answers::Values(answers), wanted) = (answers, targets.values()) else { return of_share(f64::NAN) };
        let (width, count) = (self.targets.len(), targets.len().max(1) as f64);
        let share = |place: usize| {
            let wanted = || wanted.iter().skip(place).step_by(width).map(|value| f64::from(*value));
            let answers = answers.iter().skip(place).step_by(width);
            let mean = wanted().sum::<f64>() / count;
            let variance = wanted().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            let error = wanted().zip(answers).map(|(value, answer)| (answer - value).powi(2)).sum::<f64>() / count;
            error / variance
        };
        of_share((0..width).map(share).sum::<f64>() / width.max(1) as f64)
    }

    fn complaint(&self, answers: &Answers, rows: usize) -> Option<String> {
        let width = self.targets.len();
        let fit = match answers {
            Answers::Values(values) => values.len() == rows * width && values.iter().all(|value| value.is_finite()),
            Answers::Classes(_) => false,
        };
        (!fit).then(|| format!("has answers that are not those to {rows} rows of {width} targets"))
    }

    fn table(&self, rows: &Rows, answers: &Answers) -> Vec<Vec<String>> {
        let names = self
            .targets
            .iter()
            .flat_map(|target| ["target", "prediction"].map(|what| format!("{what}_{}", target.name)));
        let header = std::iter::once("row".to_owned()).chain(names).collect();
        let Answers::Values(answers) = answers else { return vec![header] };
        let width = self.targets.len();
        let wanted = rows.targets.values().chunks_exact(width).zip(answers.chunks_exact(width));
        let rows = rows.numbers.iter().zip(wanted).map(|(row, (wanted, answers))| {
            let cells = self.targets.iter().zip(wanted.iter().zip(answers)).flat_map(|(target, (wanted, answer))| {
                [*wanted, *answer as f32].map(|value| shown(target.own(value), target.deviation))
            });
            std::iter::once(row.to_string()).chain(cells).collect()
        });
        std::iter::once(header).chain(rows).collect()
    }

    fn baseline(&self, data: &Dataset) -> Scores {
        self.scores(&Answers::Values(least_squares(data)), &data.test.targets)
    }
}

/// The digits that double precision has.
const DOUBLE: usize = 16;

/// The scores where so much of the variance is missed.
fn of_share(missed: f64) -> Scores {
    Scores::new(ObjectiveKind::Regress, &[missed.sqrt(), 1.0 - missed])
}

/// A number with the seven digits that single precision has, and no idle ones. Where it is far from 0 and the targets lie near one another,
/// what they have in common takes none of the seven.
fn shown(value: f64, deviation: f64) -> String {
    let common = (value.abs() / deviation).log10();
    let more = if common < 3.0 { 0 } else { (common.ceil() as usize).min(DOUBLE - 7) };
    let digits = format!("{value:.*e}", 6 + more);
    digits.parse::<f64>().map_or(digits, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{gradient, refuses};
    use super::*;

    fn target(name: &str, mean: f64, deviation: f64) -> Target {
        Target { name: name.to_owned(), mean, deviation }
    }

    fn two() -> Regress {
        Regress::new(&[target("y1", 10.0, 2.0), target("y2", -1.0, 0.5)])
    }

    fn values(values: &[f32]) -> Targets {
        Targets::Values { values: values.to_vec(), width: 2 }
    }

    #[test]
    fn its_gradient_is_the_slope_of_its_loss() {
        let (outputs, wanted) = ([0.3_f32, -1.0, 0.5, 0.8], [1.0_f32, 0.5, -2.0, 0.0]);
        let exact = |outputs: &[f64]| {
            outputs.iter().zip(wanted).map(|(output, wanted)| (output - f64::from(wanted)).powi(2)).sum::<f64>() / 4.0
        };
        gradient(&two(), &outputs, &values(&wanted), exact);
    }

    #[test]
    fn scores_are_those_of_a_hand_computation() {
        let objective = two();
        // y1 is 0, 2, 4: its variance is 8/3, its mean squared error (1 + 0 + 4)/3. y2 is −1, 0, 1: 2/3 and (0 + 1 + 0)/3.
        let wanted = values(&[0.0, -1.0, 2.0, 0.0, 4.0, 1.0]);
        let answers = Answers::Values(vec![1.0, -1.0, 2.0, 1.0, 2.0, 1.0]);
        let missed: f64 = 0.5 * (5.0 / 8.0 + 1.0 / 2.0);
        let scores = objective.scores(&answers, &wanted);
        assert!((scores.get("nrmse").unwrap() - missed.sqrt()).abs() < 1e-12, "{scores:?}");
        assert!((scores.get("r2").unwrap() - (1.0 - missed)).abs() < 1e-12);
        // Whoever says the mean has NRMSE 1 and R² 0, whoever says the truth 0 and 1.
        let mean = Answers::Values(vec![2.0, 0.0, 2.0, 0.0, 2.0, 0.0]);
        assert_eq!(objective.scores(&mean, &wanted).say(), "NRMSE 1.000, R² 0.000");
        let outputs = rows::tensor(wanted.values().to_vec(), [3, 2]);
        assert_eq!(objective.scores(&objective.answers(&outputs), &wanted).say(), "NRMSE 0.000, R² 1.000");
        // Of a batch: the root of the loss.
        let loss = rows::values(objective.loss(outputs.clone().add_scalar(0.5), &wanted, &rows::device()))[0];
        assert!((loss - 0.25).abs() < 1e-6);
        assert!((objective.batch_scores(&outputs.add_scalar(0.5), &wanted).first() - 0.5).abs() < 1e-6);
    }

    #[test]
    fn answers_are_written_in_the_units_of_the_data() {
        let objective = two();
        let rows = Rows { values: vec![], targets: values(&[0.5, 1.0, -1.0, 0.0]), numbers: vec![4, 2] };
        let answers = Answers::Values(vec![0.25, 0.0, -0.9, 2.0]);
        let table: Vec<String> = objective.table(&rows, &answers).iter().map(|row| row.join(",")).collect();
        assert_eq!(table, ["row,target_y1,prediction_y1,target_y2,prediction_y2", "4,11,10.5,-0.5,-1", "2,8,8.2,-1,0"]);
        assert_eq!(objective.complaint(&answers, 2), None);
        refuses(&objective, &answers, 3, "3 rows of 2 targets");
        let offset = Regress::new(&[target("f", 1e8 + 2.41, 1.25)]);
        let rows = Rows { targets: Targets::Values { values: vec![0.2], width: 1 }, numbers: vec![7], ..rows };
        assert_eq!(offset.table(&rows, &Answers::Values(vec![-0.6]))[1], ["7", "100000002.66", "100000001.66"]);
        refuses(&objective, &Answers::Values(vec![f64::NAN; 4]), 2, "2 rows of 2 targets");
        refuses(&objective, &Answers::Classes(vec![1; 4]), 2, "2 rows of 2 targets");
    }
}
