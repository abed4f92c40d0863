//! What is kept of a rollout that is run twice: first without derivatives, then once more, piece by piece, on the way back.
//!
//! Only the state that each piece begins with is kept, and what plants answered. Memory goes with the number of pieces and the length of one of
//! them (Griewank, *Optim. Methods Softw.* 1, 35, 1992, of one level), and nothing is driven twice.

use burn::tensor::Tensor;
use drivers::Batch;
use sims::Key;

/// What a rollout is drawn by, and how long it is.
#[derive(Debug, Clone, Copy)]
pub struct Rollout {
    /// Draws which cells change, and the noise of what they perceive.
    pub key: Key,
    /// The first step, counted from 0: a rollout that goes on draws other numbers.
    pub first: usize,
    /// Steps.
    pub steps: usize,
}

impl Rollout {
    /// The same in so many pieces, one after another, whose lengths differ by one at most.
    pub fn pieces(self, count: usize) -> impl Iterator<Item = Self> {
        (0..count).map(move |piece| {
            let [from, to] = [piece, piece + 1].map(|piece| piece * self.steps / count);
            Self { first: self.first + from, steps: to - from, ..self }
        })
    }
}

/// The pieces of a rollout; none where its graph of derivatives is whole.
#[derive(Debug, Default)]
pub struct Trail(pub(super) Vec<Piece>);

impl Trail {
    /// Whether the graph of derivatives is whole.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Some steps of a rollout.
#[derive(Debug)]
pub struct Piece {
    /// Where they begin, without a graph.
    pub states: Tensor<2>,
    /// Which steps they are.
    pub rollout: Rollout,
    /// What the physical layers were answered in them.
    pub readings: Vec<Reading>,
}

/// The controls that a plant really had, and what it read, in SI units; or its twin.
pub type Reading = (Vec<f32>, Batch);

/// What physical layers are answered, shot batch after shot batch.
#[derive(Debug, Default)]
pub enum Readings {
    /// Nobody asks again.
    #[default]
    Once,
    /// They are kept for the way back.
    Kept(Vec<Reading>),
    /// The way back: those that were kept, and nothing is driven.
    Again(std::vec::IntoIter<Reading>),
}

impl Readings {
    /// What was answered before, on the way back.
    pub fn again(&mut self) -> Option<Reading> {
        if let Self::Again(known) = self { known.next() } else { None }
    }

    /// Keeps an answer, where somebody asks again.
    pub fn keep(&mut self, applied: &[f32], outputs: &Batch) {
        if let Self::Kept(kept) = self {
            kept.push((applied.to_vec(), outputs.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_one_another_and_leave_out_no_step() {
        for (steps, count) in [(7, 3), (8, 8), (5, 1)] {
            let whole = Rollout { key: Key::new(1), first: 10, steps };
            let steps_of = |piece: Rollout| piece.first..piece.first + piece.steps;
            let found: Vec<usize> = whole.pieces(count).flat_map(steps_of).collect();
            assert_eq!(found, (10..10 + steps).collect::<Vec<_>>());
            assert!(whole.pieces(count).all(|piece| (steps / count..=steps.div_ceil(count)).contains(&piece.steps)));
        }
    }
}
