//! A bench without physics, whose readings tell which shot they belong to.

use drivers::{Bank, Batch, Card, Identity, Origin, Ports, Range, Timing};
use sims::{Moment, System};

/// The largest number that a shot can carry: whole numbers up to here are exact in `f32`.
pub const LARGEST: u32 = 1 << 22;

/// Reads back what it was driven with, after a gain that its one control sets: outputs = inputs · (1 + control).
///
/// With the control at 0 and no fault it is exact, so a reading in the wrong place cannot hide.
#[derive(Debug)]
pub struct Pattern(Card);

impl Pattern {
    /// A bench of `width` inputs and as many outputs.
    pub fn new(width: usize) -> Self {
        let range = Range::new(-(LARGEST as f32), LARGEST as f32);
        let readings = Range::new(2.0 * range.low, 2.0 * range.high);
        Self(Card {
            identity: Identity { system: "pattern".into(), serial: "0".into(), origin: Origin::Simulated },
            ports: Ports {
                inputs: vec![Bank::new("number", width, "1", range)],
                controls: vec![Bank::new("gain", 1, "1", Range::new(-0.5, 1.0))],
                outputs: vec![Bank::new("echo", width, "1", readings)],
            },
            timing: Timing::default(),
        })
    }
}

impl System for Pattern {
    fn card(&self) -> &Card {
        &self.0
    }

    fn settle(&self, controls: &[f32]) -> Vec<f32> {
        controls.to_vec()
    }

    fn shoot(&self, inputs: &Batch, controls: &[f32], _: Moment) -> Batch {
        let gain = 1.0 + controls.first().copied().unwrap_or_default();
        Batch::from_fn(inputs.rows(), inputs.columns(), |row, column| inputs.row(row)[column] * gain)
    }
}
