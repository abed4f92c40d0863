//! Which rows are learned from, and which are held back for the test.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asked, Rows};
use crate::Error;

/// Which rows of a table are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SplitRule {
    /// At random, by the experiment's seed.
    #[default]
    Random,
    /// At random, by the experiment's seed, the same share of each class.
    Stratified,
    /// Evenly through the file, whatever the seed: of a file sorted by class the same share of each.
    Interleaved,
}

/// Rows to learn from and rows to test on, as indices.
pub(super) struct Chosen {
    pub train: Vec<usize>,
    pub test: Vec<usize>,
}

impl SplitRule {
    /// Holds back `test` of the rows, and keeps `train` of the others, or all.
    pub(super) fn choose(
        self,
        labels: &[u32],
        test: usize,
        train: Option<usize>,
        asked: Asked<'_>,
    ) -> Result<Chosen, Error> {
        let count = labels.len();
        if test == 0 || test >= count {
            let message = format!("is {test}, but there are {count} rows: hold back 1 to {}", count.saturating_sub(1));
            return Err(asked.document.refuse("data.test", message));
        }
        let rest = count - test;
        if train.is_some_and(|train| train > rest) {
            let message = format!(
                "is {}, but of {count} rows {test} are held back for the test: learn from 1 to {rest}",
                train.unwrap_or(0)
            );
            return Err(asked.document.refuse("data.train", message));
        }
        let order = self.order(labels, asked);
        // Evenly spaced along the order: where the order is random, so is this; where it is sorted by class, each
        // class gives its share.
        let held: Vec<bool> = match self {
            Self::Random => (0..count).map(|place| place < test).collect(),
            Self::Stratified | Self::Interleaved => evenly(count, test),
        };
        let pick =
            |wanted: bool| order.iter().zip(&held).filter(move |(_, held)| **held == wanted).map(|(row, _)| *row);
        let (held_rows, mut train_rows): (Vec<usize>, Vec<usize>) = (pick(true).collect(), pick(false).collect());
        if let Some(train) = train {
            train_rows = match self {
                Self::Random => train_rows[..train].to_vec(),
                Self::Stratified | Self::Interleaved => {
                    let kept = evenly(rest, train);
                    train_rows.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(row, _)| row).collect()
                }
            };
        }
        Ok(Chosen { train: train_rows, test: held_rows })
    }

    /// The rows in the order from which they are taken.
    fn order(self, labels: &[u32], asked: Asked<'_>) -> Vec<usize> {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        if self != Self::Interleaved {
            asked.key.branch("split").stream().shuffle(&mut order);
        }
        if self == Self::Stratified {
            order.sort_by_key(|&row| labels[row]);
        }
        order
    }
}

/// `some` of `count` places, as evenly spaced as can be.
fn evenly(count: usize, some: usize) -> Vec<bool> {
    (0..count).map(|place| (place + 1) * some / count > place * some / count).collect()
}

/// `wanted` of `rows`, drawn by the experiment's seed; all of them in their order if it is left out.
pub(super) fn subset(rows: usize, wanted: Option<usize>, key: &str, asked: Asked<'_>) -> Result<Vec<usize>, Error> {
    let mut order: Vec<usize> = (0..rows).collect();
    let Some(wanted) = wanted else { return Ok(order) };
    if wanted == 0 || wanted > rows {
        let message = format!("is {wanted}, but there are {rows} images: take 1 to {rows}, or leave it out for all");
        return Err(asked.document.refuse(&format!("data.{key}"), message));
    }
    asked.key.branch("subset").branch(key).stream().shuffle(&mut order);
    order.truncate(wanted);
    Ok(order)
}

/// How many classes there are.
pub(super) fn classes(rows: &Rows) -> usize {
    rows.labels.iter().max().map_or(0, |&last| last as usize + 1)
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;
    use crate::Document;

    fn choose(rule: SplitRule, labels: &[u32], test: usize, train: Option<usize>, seed: u64) -> Result<Chosen, Error> {
        let document = Document::parse("a.toml", "[data]\ntest = 1\n").unwrap();
        rule.choose(labels, test, train, Asked { document: &document, key: Key::new(seed) })
    }

    fn sorted_by_class() -> Vec<u32> {
        (0..7).flat_map(|class| std::iter::repeat_n(class, 37)).collect()
    }

    fn counts(rows: &[usize], labels: &[u32]) -> Vec<usize> {
        (0..7).map(|class| rows.iter().filter(|&&row| labels[row] == class).count()).collect()
    }

    #[test]
    fn every_rule_takes_each_row_once() {
        let labels = sorted_by_class();
        for rule in [SplitRule::Random, SplitRule::Stratified, SplitRule::Interleaved] {
            let Chosen { train, test } = choose(rule, &labels, 84, None, 1).unwrap();
            assert_eq!((train.len(), test.len()), (175, 84));
            let mut all = [train, test].concat();
            all.sort_unstable();
            assert_eq!(all, (0..259).collect::<Vec<_>>());
        }
    }

    #[test]
    fn stratified_and_interleaved_take_twelve_of_each_vowel() {
        let labels = sorted_by_class();
        for rule in [SplitRule::Stratified, SplitRule::Interleaved] {
            let chosen = choose(rule, &labels, 84, Some(70), 3).unwrap();
            assert_eq!(counts(&chosen.test, &labels), [12; 7]);
            assert_eq!(counts(&chosen.train, &labels), [10; 7]);
        }
        let (one, other) =
            (choose(SplitRule::Stratified, &labels, 84, None, 1), choose(SplitRule::Stratified, &labels, 84, None, 2));
        assert_ne!(one.unwrap().test, other.unwrap().test);
        let (one, other) = (
            choose(SplitRule::Interleaved, &labels, 84, None, 1),
            choose(SplitRule::Interleaved, &labels, 84, None, 2),
        );
        assert_eq!(one.unwrap().test, other.unwrap().test);
    }

    #[test]
    fn counts_beyond_the_rows_are_refused() {
        let error = |test, train| choose(SplitRule::Random, &[0; 10], test, train, 1).err().unwrap().to_string();
        assert_eq!(error(10, None), "a.toml:2: `data.test` is 10, but there are 10 rows: hold back 1 to 9");
        assert_eq!(error(0, None), "a.toml:2: `data.test` is 0, but there are 10 rows: hold back 1 to 9");
        assert!(error(4, Some(7)).ends_with("of 10 rows 4 are held back for the test: learn from 1 to 6"));
    }

    #[test]
    fn a_subset_is_drawn_by_the_seed() {
        let document = Document::parse("a.toml", "[data]\ntrain = 1\n").unwrap();
        let draw = |wanted, seed| subset(50, wanted, "train", Asked { document: &document, key: Key::new(seed) });
        assert_eq!(draw(None, 1).unwrap(), (0..50).collect::<Vec<_>>());
        assert_eq!(draw(Some(9), 1).unwrap(), draw(Some(9), 1).unwrap());
        assert_ne!(draw(Some(9), 1).unwrap(), draw(Some(9), 2).unwrap());
        assert_eq!(
            draw(Some(51), 1).unwrap_err().to_string(),
            "a.toml:2: `data.train` is 51, but there are 50 images: take 1 to 50, or leave it out for all"
        );
    }
}
