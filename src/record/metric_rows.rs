//! The rows of `metrics.csv`: what its columns are called, which depends on the objective, and what stands in them.
//!
//! A test's row leaves the columns of an update empty, and the other way around. The columns of the score that decides stand where those
//! of accuracy always did; those of further scores come last.

use crate::event::{Evaluated, Step};
use crate::scores::{ObjectiveKind, Score};

/// The parts that a test has scores of, in the order of further columns.
const PARTS: [&str; 3] = ["test", "believed", "validation"];

/// The header.
pub fn metric_columns(kind: ObjectiveKind) -> String {
    let (score, [loss, _]) = (kind.score(), kind.loss());
    let [batch, test, believed, validation] = ["batch", "test", "believed", "validation"].map(|part| score.key(part));
    let further = further(kind).flat_map(|score| {
        let parts = PARTS.map(|part| score.key(part));
        std::iter::once(score.key("batch")).chain(parts)
    });
    let further: String = further.map(|column| format!(",{column}")).collect();
    format!(
        "kind,step,epoch,learning_rate,loss,{loss},penalty,{batch},range_use,clipping_rate,{test},{believed},shots,plant_seconds,\
         {validation}{further}"
    )
}

/// The scores behind the first.
fn further(kind: ObjectiveKind) -> impl Iterator<Item = &'static Score> {
    kind.scores().iter().skip(1)
}

/// The row of an update.
pub fn step_row(step: &Step) -> String {
    let kind = step.batch.kind();
    let further: String = further(kind).map(|score| format!(",{},,,", cell(step.batch.get(score.name)))).collect();
    format!(
        "step,{},{},{},{},{},{},{},{},{},,,{},{},{further}",
        step.step,
        step.epoch,
        step.learning_rate,
        step.loss,
        step.objective,
        step.penalty,
        step.batch.first(),
        step.range_use,
        step.clipping_rate,
        step.shots,
        step.plant_seconds
    )
}

/// The row of a test.
pub fn test_row(test: &Evaluated) -> String {
    let kind = test.believed.kind();
    let scores = test.keyed();
    let of = |score: &Score, part: &str| cell(scores.get(&score.key(part)).copied().flatten());
    let further: String = further(kind)
        .map(|score| format!(",{}", PARTS.iter().map(|part| format!(",{}", of(score, part))).collect::<String>()))
        .collect();
    format!(
        "test,{},,,,,,,,,{},{},{},{},{}{further}",
        test.step,
        of(kind.score(), "test"),
        of(kind.score(), "believed"),
        test.shots,
        test.plant_seconds,
        of(kind.score(), "validation")
    )
}

/// What stands in a cell.
fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::Scores;

    #[test]
    fn columns_are_called_after_the_scores_and_every_row_fills_them() {
        assert_eq!(
            metric_columns(ObjectiveKind::Classify),
            "kind,step,epoch,learning_rate,loss,cross_entropy,penalty,batch_accuracy,range_use,clipping_rate,test_accuracy,\
             believed_accuracy,shots,plant_seconds,validation_accuracy"
        );
        for (kind, values) in [(ObjectiveKind::Classify, &[0.25][..]), (ObjectiveKind::Regress, &[0.25, 0.125])] {
            let header = metric_columns(kind);
            let names: Vec<&str> = header.split(',').collect();
            let batch = Scores::new(kind, values);
            let step = Step {
                step: 3,
                epoch: 1,
                learning_rate: 0.1,
                loss: 2.5,
                objective: 2.0,
                penalty: 0.5,
                batch,
                range_use: 0.75,
                clipping_rate: 0.0,
                shots: 9,
                plant_seconds: 1.5,
            };
            let test = Evaluated {
                step: 3,
                test: None,
                validation: Some(batch),
                believed: batch,
                shots: 9,
                plant_seconds: 1.5,
            };
            let value = |row: &str, name: String| {
                let cells: Vec<&str> = row.split(',').collect();
                assert_eq!(cells.len(), names.len(), "{row}");
                cells[names.iter().position(|known| *known == name).unwrap()].to_owned()
            };
            for (score, known) in kind.scores().iter().zip(values) {
                let known = known.to_string();
                assert_eq!(value(&step_row(&step), score.key("batch")), known);
                assert_eq!(value(&step_row(&step), score.key("believed")), "");
                assert_eq!(value(&test_row(&test), score.key("believed")), known);
                assert_eq!(value(&test_row(&test), score.key("validation")), known);
                assert_eq!(value(&test_row(&test), score.key("test")), "");
            }
            assert_eq!(value(&step_row(&step), kind.loss()[0].to_owned()), "2");
            assert_eq!(value(&test_row(&test), "shots".to_owned()), "9");
        }
    }
}
