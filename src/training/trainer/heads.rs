//! A trained network with several read-outs: what each of them says, and which one speaks for all.

use super::Trainer;
use crate::Error;
use crate::data::{Answers, Rows, Split};
use crate::plants::{Forward, Lab};

impl Trainer<'_> {
    /// Makes the network say what one of its read-outs says, or none: all together.
    pub(crate) fn select(&mut self, head: Option<usize>) {
        self.network.select(head, &mut self.state);
    }

    /// What the network, and each of its read-outs, says of some rows on the plant.
    pub(crate) fn answer_rows(&self, rows: &Rows, lab: &mut Lab) -> Result<(Answers, Vec<Answers>), Error> {
        self.answer(rows, lab, Forward::Plant)
    }

    /// One of the splits of its data.
    pub(crate) fn rows(&self, split: Split) -> &Rows {
        self.data.rows(split)
    }
}
