//! Which rows are learned from, and which are held back: for the test at the end, and for validation while it trains.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Asked;
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
    /// In the order of the file: the first rows are learned from, the next validate, the last are tested on. For rows that follow
    /// one another in time.
    Sequential,
}

/// Rows to learn from, to validate with and to test on, as indices.
pub(super) struct Chosen {
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub test: Vec<usize>,
}

/// How many rows each part has.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    /// Held back for the test.
    pub test: usize,
    /// Held back for validation; left out, a tenth of the rest, as far as `train` leaves it.
    pub validation: Option<usize>,
    /// Learned from; left out, all others.
    pub train: Option<usize>,
}

impl Parts {
    /// How many of `rest` rows, which are not tested on, are learned from and validated with.
    fn share(self, rest: usize, words: &str, asked: Asked<'_>) -> Result<(usize, usize), Error> {
        if let Some(train) = self.train.filter(|train| *train == 0 || *train > rest) {
            let message = format!("is {train}, but {words}: learn from 1 to {rest}");
            return Err(asked.document.refuse("data.train", message));
        }
        let most = rest - self.train.unwrap_or(1);
        let validation = self.validation.unwrap_or((rest / 10).min(most));
        if validation > most {
            let taken = self.train.map_or(String::new(), |train| format!(" and {train} are learned from"));
            let message = format!("is {validation}, but {words}{taken}: hold back 0 to {most}");
            return Err(asked.document.refuse("data.validation", message));
        }
        Ok((self.train.unwrap_or(rest - validation), validation))
    }
}

impl SplitRule {
    /// Deals the rows out to the parts.
    pub(super) fn choose(self, labels: &[u32], parts: Parts, asked: Asked<'_>) -> Result<Chosen, Error> {
        let (count, test) = (labels.len(), parts.test);
        if test == 0 || test >= count {
            let message = format!("is {test}, but there are {count} rows: hold back 1 to {}", count.saturating_sub(1));
            return Err(asked.document.refuse("data.test", message));
        }
        let rest = count - test;
        let words = format!("of {count} rows {test} are held back for the test");
        let (train, validation) = parts.share(rest, &words, asked)?;
        let order = self.order(labels, asked);
        // Evenly spaced along the order: where the order is random, so is this; where it is sorted by class, each
        // class gives its share.
        let held: Vec<bool> = match self {
            Self::Random => (0..count).map(|place| place < test).collect(),
            Self::Sequential => (0..count).map(|place| rest <= place).collect(),
            Self::Stratified | Self::Interleaved => evenly(count, test),
        };
        let pick =
            |wanted: bool| order.iter().zip(&held).filter(move |(_, held)| **held == wanted).map(|(row, _)| *row);
        let (held_rows, others): (Vec<usize>, Vec<usize>) = (pick(true).collect(), pick(false).collect());
        let (train_rows, others) = self.deal(&others, train);
        let (validation_rows, _) = self.deal(&others, validation);
        Ok(Chosen { train: train_rows, validation: validation_rows, test: held_rows })
    }

    /// `some` of `rows`, which are in the order of [`Self::order`], and the others.
    fn deal(self, rows: &[usize], some: usize) -> (Vec<usize>, Vec<usize>) {
        if matches!(self, Self::Random | Self::Sequential) {
            let (some, others) = rows.split_at(some);
            return (some.to_vec(), others.to_vec());
        }
        let dealt = evenly(rows.len(), some);
        let pick = |wanted: bool| rows.iter().zip(&dealt).filter(move |(_, dealt)| **dealt == wanted);
        (pick(true).map(|(row, _)| *row).collect(), pick(false).map(|(row, _)| *row).collect())
    }

    /// The rows in the order from which they are taken.
    fn order(self, labels: &[u32], asked: Asked<'_>) -> Vec<usize> {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        if !matches!(self, Self::Interleaved | Self::Sequential) {
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
    let count = count.max(1);
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

/// Images to learn from and to validate with, of `images` that are not tested on, drawn by the experiment's seed; without
/// numbers in their order.
pub(super) fn drawn(images: usize, parts: Parts, asked: Asked<'_>) -> Result<(Vec<usize>, Vec<usize>), Error> {
    let (train, validation) = parts.share(images, &format!("there are {images} images"), asked)?;
    let mut order: Vec<usize> = (0..images).collect();
    if parts.train.is_some() || validation > 0 {
        asked.key.branch("subset").branch("train").stream().shuffle(&mut order);
    }
    let mut learned = order[..train].to_vec();
    if parts.train.is_none() {
        learned.sort_unstable();
    }
    Ok((learned, order[train..train + validation].to_vec()))
}

/// How many classes there are.
pub(super) fn classes(labels: &[u32]) -> usize {
    labels.iter().max().map_or(0, |&last| last as usize + 1)
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;
    use crate::document::Document;

    fn choose(rule: SplitRule, labels: &[u32], test: usize, train: Option<usize>, seed: u64) -> Result<Chosen, Error> {
        deal(rule, labels, Parts { test, validation: None, train }, seed)
    }

    fn deal(rule: SplitRule, labels: &[u32], parts: Parts, seed: u64) -> Result<Chosen, Error> {
        let document = Document::parse("a.toml", "[data]\ntest = 1\n").unwrap();
        rule.choose(labels, parts, Asked { document: &document, key: Key::new(seed) })
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
        for rule in [SplitRule::Random, SplitRule::Stratified, SplitRule::Interleaved, SplitRule::Sequential] {
            let Chosen { train, validation, test } = choose(rule, &labels, 84, None, 1).unwrap();
            assert_eq!((train.len(), validation.len(), test.len()), (158, 17, 84));
            let mut all = [train, validation, test].concat();
            all.sort_unstable();
            assert_eq!(all, (0..259).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rows_that_follow_one_another_are_split_in_their_order() {
        let parts = Parts { test: 3, validation: Some(2), train: Some(4) };
        let Chosen { train, validation, test } = deal(SplitRule::Sequential, &[0; 10], parts, 1).unwrap();
        assert_eq!((train, validation, test), (vec![0, 1, 2, 3], vec![4, 5], vec![7, 8, 9]));
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
    fn validation_takes_its_rows_from_those_that_are_not_tested_on() {
        let labels = sorted_by_class();
        for rule in [SplitRule::Random, SplitRule::Stratified, SplitRule::Interleaved] {
            let parts = |validation, train| Parts { test: 84, validation, train };
            let of = |parts| deal(rule, &labels, parts, 5).unwrap();
            let (without, with) = (of(parts(Some(0), None)), of(parts(Some(35), None)));
            assert_eq!(without.test, with.test, "the test set does not depend on it");
            assert_eq!((without.train.len(), without.validation.len()), (175, 0));
            assert_eq!((with.train.len(), with.validation.len()), (140, 35));
            if rule != SplitRule::Random {
                assert_eq!(counts(&with.validation, &labels), [5; 7]);
            }
            // Whoever says how many are learned from learns from the same ones, whatever validates them.
            let (few, many) = (of(parts(Some(7), Some(70))), of(parts(Some(105), Some(70))));
            assert_eq!(few.train, many.train);
            assert_eq!(of(parts(None, Some(175))).validation.len(), 0, "as far as there are any left");
        }
        let refused = deal(SplitRule::Random, &labels, Parts { test: 84, validation: Some(106), train: Some(70) }, 1);
        let said = refused.err().unwrap().to_string();
        assert!(
            said.contains("`data.validation` is 106, but of 259 rows 84 are held back for the test and 70"),
            "{said}"
        );
        assert!(said.ends_with("hold back 0 to 105"), "{said}");
    }

    #[test]
    fn images_are_drawn_apart() {
        let document = Document::parse("a.toml", "[data]\ntrain = 1\n").unwrap();
        let draw = |validation, train| {
            drawn(50, Parts { test: 0, validation, train }, Asked { document: &document, key: Key::new(3) }).unwrap()
        };
        assert_eq!(draw(Some(0), None), ((0..50).collect(), vec![]));
        let (train, validation) = draw(None, None);
        assert_eq!((train.len(), validation.len()), (45, 5));
        assert!(train.is_sorted() && validation.iter().all(|row| !train.contains(row)));
        let (train, validation) = draw(Some(20), Some(9));
        assert_eq!((train.len(), validation.len()), (9, 20));
        assert_eq!(train, draw(Some(0), Some(9)).0);
        assert!(validation.iter().all(|row| !train.contains(row)));
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
