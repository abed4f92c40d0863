//! The rows of `metrics.csv`: what its columns are called, which depends on the objective, and what stands in them.
//!
//! A test's row leaves the columns of an update empty, and the other way around. The columns of the score that decides stand where those
//! of accuracy always did; those of further scores come last, and behind them those of several read-outs, where there are several.

use crate::event::{Evaluated, HeadScores, Step};
use crate::scores::{ObjectiveKind, Score};

/// The parts that a test has scores of, in the order of further columns.
const PARTS: [&str; 3] = ["test", "believed", "validation"];

/// What guards count, where there are any.
const GUARD: [&str; 4] = ["guard_judged", "guard_suspicious", "guard_measured_again", "guard_left_out"];
/// The columns of several read-outs: one of an update, three of a test.
const HEADS: [&str; 4] = ["alignment", "heads_best", "heads_median", "heads_worst"];

/// What columns a run has beside those of its objective.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    /// Whether guards judge the shots.
    pub guarded: bool,
    /// Whether there are several read-outs.
    pub heads: bool,
}

/// The header.
pub fn metric_columns(kind: ObjectiveKind, beside: Beside) -> String {
    let (score, [loss, _]) = (kind.score(), kind.loss());
    let first = ["kind", "step", "epoch", "learning_rate", "loss", loss, "penalty"].map(str::to_owned);
    let own = [
        score.key("batch"),
        "range_use".to_owned(),
        "clipping_rate".to_owned(),
        score.key("test"),
        score.key("believed"),
    ];
    let last = ["shots".to_owned(), "plant_seconds".to_owned(), score.key("validation")];
    let further = further(kind).flat_map(|score| std::iter::once("batch").chain(PARTS).map(|part| score.key(part)));
    let guard = GUARD.into_iter().filter(|_| beside.guarded).map(str::to_owned);
    let of_heads = HEADS.into_iter().filter(|_| beside.heads).map(str::to_owned);
    first.into_iter().chain(own).chain(last).chain(further).chain(guard).chain(of_heads).collect::<Vec<_>>().join(",")
}

/// The scores behind the first.
fn further(kind: ObjectiveKind) -> impl Iterator<Item = &'static Score> {
    kind.scores().iter().skip(1)
}

/// The row of an update.
pub fn step_row(step: &Step) -> String {
    let mut cells = vec![
        "step".to_owned(),
        step.step.to_string(),
        step.epoch.to_string(),
        step.learning_rate.to_string(),
        step.loss.to_string(),
        step.objective.to_string(),
        step.penalty.to_string(),
        step.batch.first().to_string(),
        step.range_use.to_string(),
        step.clipping_rate.to_string(),
        String::new(),
        String::new(),
        step.shots.to_string(),
        step.plant_seconds.to_string(),
        String::new(),
    ];
    for score in further(step.batch.kind()) {
        cells.push(cell(step.batch.get(score.name)));
        cells.extend(PARTS.map(|_| String::new()));
    }
    if let Some(guard) = step.guard {
        let counts = [guard.judged, guard.suspicious, guard.measured_again, guard.left_out];
        cells.extend(counts.map(|count| count.to_string()));
    }
    if let Some(alignment) = step.alignment {
        cells.push(alignment.to_string());
        cells.extend(HEADS.iter().skip(1).map(|_| String::new()));
    }
    cells.join(",")
}

/// The row of a test.
pub fn test_row(test: &Evaluated, guarded: bool) -> String {
    let (kind, scores) = (test.believed.kind(), test.keyed());
    let of = |score: &Score, part: &str| cell(scores.get(&score.key(part)).copied().flatten());
    let mut cells = vec!["test".to_owned(), test.step.to_string()];
    cells.resize(10, String::new());
    cells.extend([
        of(kind.score(), "test"),
        of(kind.score(), "believed"),
        test.shots.to_string(),
        test.plant_seconds.to_string(),
        of(kind.score(), "validation"),
    ]);
    for score in further(kind) {
        cells.push(String::new());
        cells.extend(PARTS.map(|part| of(score, part)));
    }
    cells.extend(GUARD.into_iter().filter(|_| guarded).map(|_| String::new()));
    if let Some(HeadScores { best, median, worst }) = test.heads {
        cells.push(String::new());
        cells.extend([best, median, worst].map(|value| value.to_string()));
    }
    cells.join(",")
}

/// What stands in a cell.
fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::GuardCounts;
    use crate::scores::Scores;

    #[test]
    fn columns_are_called_after_the_scores_and_every_row_fills_them() {
        assert_eq!(
            metric_columns(ObjectiveKind::Classify, Beside::default()),
            "kind,step,epoch,learning_rate,loss,cross_entropy,penalty,batch_accuracy,range_use,clipping_rate,test_accuracy,\
             believed_accuracy,shots,plant_seconds,validation_accuracy"
        );
        for (kind, values, guarded, heads) in [
            (ObjectiveKind::Classify, &[0.25][..], false, false),
            (ObjectiveKind::Regress, &[0.25, 0.125], true, false),
            (ObjectiveKind::Groups, &[0.25], true, true),
            (ObjectiveKind::Regress, &[0.25, 0.125], false, true),
        ] {
            let header = metric_columns(kind, Beside { guarded, heads });
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
                alignment: heads.then_some(0.5),
                range_use: 0.75,
                clipping_rate: 0.0,
                shots: 9,
                plant_seconds: 1.5,
                guard: guarded.then(|| GuardCounts {
                    judged: 32,
                    suspicious: 2,
                    left_out: 1,
                    ..GuardCounts::default()
                }),
            };
            if guarded && !heads {
                assert!(header.ends_with(",guard_judged,guard_suspicious,guard_measured_again,guard_left_out"));
                assert!(step_row(&step).ends_with(",32,2,0,1"));
            }
            let test = Evaluated {
                step: 3,
                test: None,
                validation: Some(batch),
                believed: batch,
                shots: 9,
                plant_seconds: 1.5,
                heads: heads.then_some(HeadScores { best: 0.0625, median: 0.5, worst: 2.5 }),
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
                assert_eq!(value(&test_row(&test, guarded), score.key("believed")), known);
                assert_eq!(value(&test_row(&test, guarded), score.key("validation")), known);
                assert_eq!(value(&test_row(&test, guarded), score.key("test")), "");
            }
            if heads {
                assert_eq!(value(&step_row(&step), "alignment".to_owned()), "0.5");
                assert_eq!(value(&test_row(&test, guarded), "alignment".to_owned()), "");
                assert_eq!(value(&test_row(&test, guarded), "heads_best".to_owned()), "0.0625");
                assert_eq!(value(&test_row(&test, guarded), "heads_worst".to_owned()), "2.5");
            }
            assert_eq!(value(&step_row(&step), kind.loss()[0].to_owned()), "2");
            assert_eq!(value(&test_row(&test, guarded), "shots".to_owned()), "9");
        }
    }
}
