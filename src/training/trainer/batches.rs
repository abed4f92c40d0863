//! Batches: the rows of each epoch in an order of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::{Key, Stream};

/// In which order the training rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BatchOrder {
    /// Shuffled anew for each pass over them, by the experiment's seed.
    #[default]
    Shuffled,
    /// As the data has them, the same in each pass; rows that do not fill a last batch are not shown.
    AsGiven,
}

/// Batches of rows, epoch after epoch.
pub struct Batches {
    /// Rows in the order of this epoch.
    pub order: Vec<usize>,
    /// How many of them were given.
    pub at: usize,
    /// Counted from 1.
    pub epoch: usize,
    size: usize,
    rule: BatchOrder,
    stream: Stream,
}

impl Batches {
    /// Of so many rows and such a size, before the first.
    pub fn new((rows, size): (usize, usize), rule: BatchOrder, key: Key) -> Self {
        Self { order: (0..rows).collect(), at: rows, epoch: 0, size: size.min(rows), rule, stream: key.stream() }
    }

    fn shuffle(&mut self) {
        if self.rule == BatchOrder::Shuffled {
            self.stream.shuffle(&mut self.order);
        }
    }

    /// Goes to where `at` rows of `epoch` have been given: the order is a function of the seed and the number of the epoch.
    pub fn go_to(&mut self, epoch: usize, at: usize) {
        while self.epoch < epoch {
            self.shuffle();
            self.epoch += 1;
        }
        self.at = at;
    }

    /// The epoch, counted from 1, and the rows of the next batch. Rows that do not fill a last batch wait for the next
    /// shuffle.
    pub fn next(&mut self) -> (usize, Vec<usize>) {
        if self.at + self.size > self.order.len() {
            self.shuffle();
            (self.at, self.epoch) = (0, self.epoch + 1);
        }
        self.at += self.size;
        (self.epoch, self.order[self.at - self.size..self.at].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_shows_every_row_once() {
        let of = |rows, size| Batches::new((rows, size), BatchOrder::Shuffled, Key::new(1));
        let mut batches = of(10, 5);
        let mut seen: Vec<usize> = [batches.next(), batches.next()]
            .into_iter()
            .flat_map(|(epoch, rows)| {
                assert_eq!(epoch, 1);
                rows
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert_eq!(batches.next().0, 2);
        let mut later = of(10, 5);
        later.go_to(batches.epoch, batches.at);
        assert_eq!((later.next(), later.next()), (batches.next(), batches.next()));
        assert_eq!(of(3, 128).next().1.len(), 3);
    }

    #[test]
    fn as_given_is_the_order_of_the_data_in_every_pass() {
        let mut batches = Batches::new((5, 2), BatchOrder::AsGiven, Key::new(1));
        let shown = [(); 3].map(|()| batches.next());
        assert_eq!(shown, [(1, vec![0, 1]), (1, vec![2, 3]), (2, vec![0, 1])]);
        let mut later = Batches::new((5, 2), BatchOrder::AsGiven, Key::new(1));
        later.go_to(batches.epoch, batches.at);
        assert_eq!(later.next(), (2, vec![2, 3]));
    }
}
