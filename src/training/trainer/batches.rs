//! Batches: the rows of each epoch in an order of their own.

use sims::{Key, Stream};

/// Batches of shuffled rows, epoch after epoch.
pub struct Batches {
    /// Rows in the order of this epoch.
    pub order: Vec<usize>,
    /// How many of them were given.
    pub at: usize,
    /// Counted from 1.
    pub epoch: usize,
    size: usize,
    stream: Stream,
}

impl Batches {
    /// Of so many rows, before the first.
    pub fn new(rows: usize, size: usize, key: Key) -> Self {
        Self { order: (0..rows).collect(), at: rows, epoch: 0, size: size.min(rows), stream: key.stream() }
    }

    /// Goes to where `at` rows of `epoch` have been given: the order is a function of the seed and the number of the epoch.
    pub fn go_to(&mut self, epoch: usize, at: usize) {
        while self.epoch < epoch {
            self.stream.shuffle(&mut self.order);
            self.epoch += 1;
        }
        self.at = at;
    }

    /// The epoch, counted from 1, and the rows of the next batch. Rows that do not fill a last batch wait for the next
    /// shuffle.
    pub fn next(&mut self) -> (usize, Vec<usize>) {
        if self.at + self.size > self.order.len() {
            self.stream.shuffle(&mut self.order);
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
        let mut batches = Batches::new(10, 5, Key::new(1));
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
        let mut later = Batches::new(10, 5, Key::new(1));
        later.go_to(batches.epoch, batches.at);
        assert_eq!((later.next(), later.next()), (batches.next(), batches.next()));
        assert_eq!(Batches::new(3, 128, Key::new(1)).next().1.len(), 3);
    }
}
