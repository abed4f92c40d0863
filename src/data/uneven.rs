//! What a table's rows cannot teach, in sentences: columns that never change, classes that hold most of the rows, classes of which
//! nothing is learned. Each sentence is told once: an experiment loads its data for each seed and each check anew.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::document::list;

/// The share of the rows from which on a class is most of what an accuracy says.
const MOSTLY: f64 = 2.0 / 3.0;
/// The most names of a sentence.
const NAMED: usize = 3;

/// What was told so far.
static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Tells a sentence about data that was not told before.
pub(super) fn tell_once(sentence: &str) {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(sentence.to_owned()) {
        tell!("pnnlab: {sentence}");
    }
}

/// What the classes called `words` leave unsaid: one that most rows have, and those that no training row has. The labels of the training
/// rows stand first.
pub(super) fn of_classes(words: &[String], labels: &[u32], training: usize) -> Vec<String> {
    let (mut sentences, rows) = (Vec::new(), labels.len());
    let counts = counted(words.len(), labels.iter().copied());
    if let Some((word, most)) = words.iter().zip(&counts).max_by_key(|(_, count)| **count)
        && 0 < *most
        && MOSTLY * rows as f64 <= *most as f64
    {
        sentences.push(format!(
            "{most} of {rows} rows are of the class `{word}`: who always says so is right in {:.1} % of them, so hold accuracies against \
             that, and see in the figure `confusion` what is said of the other classes",
            100.0 * *most as f64 / rows.max(1) as f64
        ));
    }
    let learned = counted(words.len(), labels.iter().copied().take(training));
    let unlearned = words.iter().zip(&learned).filter(|(_, count)| **count == 0).map(|(word, _)| word.as_str());
    let unlearned: Vec<&str> = unlearned.collect();
    if !unlearned.is_empty() {
        sentences.push(format!(
            "no training row is of {} {}, so nothing is learned of that: add rows, split them with data.split = \"stratified\", or leave \
             it out",
            if unlearned.len() == 1 { "the class" } else { "the classes" },
            some(&unlearned)
        ));
    }
    sentences
}

/// How many of `labels` each class has.
fn counted(classes: usize, labels: impl Iterator<Item = u32>) -> Vec<usize> {
    let mut counts = vec![0; classes];
    labels.for_each(|label| counts[label as usize] += 1);
    counts
}

/// Which columns of `values`, row after row, never change in the `training` rows.
pub(super) fn of_columns(names: &[String], values: &[f64], training: &[usize]) -> Option<String> {
    let never_changes = |column: usize| {
        let mut seen = training.iter().map(|row| values[row * names.len() + column]);
        seen.next().is_some_and(|first| seen.all(|value| value.total_cmp(&first).is_eq()))
    };
    let still = names.iter().enumerate().filter(|(column, _)| never_changes(*column)).map(|(_, name)| name.as_str());
    let still: Vec<&str> = still.collect();
    if still.is_empty() || training.len() < 2 {
        return None;
    }
    let [column, changes, them] =
        if still.len() == 1 { ["column", "changes", "it"] } else { ["columns", "change", "them"] };
    Some(format!("{column} {} never {changes} in the training rows: nothing is learned of {them}", some(&still)))
}

/// Some names, not all where they are many.
fn some(names: &[&str]) -> String {
    let shown = list(&names[..names.len().min(NAMED)]);
    if NAMED < names.len() { format!("{shown} and {} more", names.len() - NAMED) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_class_of_most_rows_is_told_and_one_that_is_not_learned() {
        let labels = [0, 1, 1, 1, 1, 1, 1, 2];
        let said = of_classes(&words(&["bad", "ok", "odd"]), &labels, 6);
        assert_eq!(said.len(), 2);
        assert!(
            said[0].starts_with("6 of 8 rows are of the class `ok`: who always says so is right in 75.0 %"),
            "{said:?}"
        );
        assert!(
            said[1].starts_with("no training row is of the class `odd`, so nothing is learned of that"),
            "{said:?}"
        );
        assert!(of_classes(&words(&["a", "b"]), &[0, 1, 0, 1], 2).is_empty());
        let none = of_classes(&words(&["a", "b", "c", "d", "e"]), &[0, 1, 2, 3, 4], 1);
        assert!(none[0].starts_with("no training row is of the classes `b`, `c`, `d` and 1 more,"), "{none:?}");
    }

    #[test]
    fn columns_that_never_change_in_the_training_rows_are_told() {
        let names = words(&["a", "b", "c"]);
        let values = [1.0, 5.0, 0.0, 2.0, 5.0, 0.0, 3.0, 6.0, 0.0];
        let said = of_columns(&names, &values, &[0, 1]).unwrap();
        assert_eq!(said, "columns `b`, `c` never change in the training rows: nothing is learned of them");
        let said = of_columns(&names, &values, &[0, 2]).unwrap();
        assert!(said.starts_with("column `c` never changes in the training rows"), "{said}");
        assert_eq!(of_columns(&names, &values, &[0]), None, "one row has no changes");
        assert_eq!(of_columns(&names[..1], &[1.0, 2.0], &[0, 1]), None);
    }
}
