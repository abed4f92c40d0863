//! Which shots decide between a simpler and a more complicated model: held-out ones where they are many. Few agree with anything by chance;
//! then each fifth of all shots is held out in turn (cross-validation: Stone, J. R. Stat. Soc. B 36, 111, 1974).

use sims::Key;

use crate::Trace;

/// Held-out shots from which on one split decides.
const ENOUGH: usize = 500;
/// Parts that are held out in turn.
const PARTS: usize = 5;

/// Training and held-out shots, with the folds of both where these are few.
pub(crate) struct Folds<'a> {
    split: [&'a Trace; 2],
    parts: Vec<(Trace, Trace)>,
}

impl<'a> Folds<'a> {
    /// Of training and held-out shots. The same shots have the same folds, whoever asks.
    pub fn of([train, held_out]: [&'a Trace; 2]) -> Self {
        let few = held_out.shots() < ENOUGH;
        let parts = if few { train.followed_by(held_out).folds(PARTS, Key::new(0)) } else { vec![] };
        Self { split: [train, held_out], parts }
    }

    /// Whether all shots are held out in turn.
    pub fn in_turn(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The share of the split that is held out.
    pub fn share(&self) -> f64 {
        let [train, held_out] = self.split.map(|trace| trace.shots() as f64);
        held_out / (train + held_out).max(1.0)
    }

    /// Pairs of training and held-out shots.
    pub fn pairs(&self) -> Vec<[&Trace; 2]> {
        if self.in_turn() { self.parts.iter().map(|(train, held)| [train, held]).collect() } else { vec![self.split] }
    }
}
