//! What is believed of a plant before anything is learned of it: every output in the middle of its range, whatever is driven.

use drivers::{Batch, Card, Direction};
use sims::{Pullback, Twin};

/// A twin that knows the ports of its plant, and nothing else. Its gradients are zero: it cannot be trained through.
#[derive(Debug, Clone)]
pub struct Unlearned {
    card: Card,
    middle: Vec<f32>,
}

impl Unlearned {
    /// That of the plant of `card`.
    pub fn new(card: Card) -> Self {
        let middle = card.ports.ranges(Direction::Output).iter().map(|range| 0.5 * (range.low + range.high)).collect();
        Self { card, middle }
    }
}

impl Twin for Unlearned {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, _controls: &[f32]) -> Batch {
        Batch::from_fn(inputs.rows(), self.middle.len(), |_, output| self.middle[output])
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], _cotangents: &Batch) -> Pullback {
        Pullback { inputs: Batch::zeros(inputs.rows(), inputs.columns()), controls: vec![0.0; controls.len()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::card;

    #[test]
    fn it_knows_the_ports_alone() {
        let twin = Unlearned::new(card(3, 2, 4));
        let inputs = Batch::from_fn(5, 3, |row, _| row as f32);
        assert_eq!(twin.predict(&inputs, &[1.0, 2.0]).values(), [0.0; 20]);
        let pulled = twin.pull_back(&inputs, &[1.0, 2.0], &Batch::zeros(5, 4));
        assert_eq!((pulled.inputs.rows(), pulled.inputs.columns(), pulled.controls), (5, 3, vec![0.0, 0.0]));
    }
}
