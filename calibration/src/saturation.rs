//! A twin whose readings end where its plant's converter ends.
//!
//! A saturated reading says no more than that the light, or the voltage, was beyond the range: a prediction beyond it agrees, and
//! its cotangent is dropped.

use std::sync::Arc;

use drivers::{Batch, Card, Direction, Range};
use sims::{Pullback, Twin};

/// A twin within the ranges of its outputs.
#[derive(Debug)]
struct WithinRange {
    twin: Arc<dyn Twin>,
    ranges: Vec<Range>,
}

/// `twin`, its predictions clamped to the ranges of its outputs.
pub(crate) fn within_range(twin: Arc<dyn Twin>) -> Arc<dyn Twin> {
    let ranges = twin.card().ports.ranges(Direction::Output);
    Arc::new(WithinRange { twin, ranges })
}

impl Twin for WithinRange {
    fn card(&self) -> &Card {
        self.twin.card()
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        let mut outputs = self.twin.predict(inputs, controls);
        for row in outputs.values_mut().chunks_exact_mut(self.ranges.len().max(1)) {
            for (value, range) in row.iter_mut().zip(&self.ranges) {
                *value = value.clamp(range.low, range.high);
            }
        }
        outputs
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let outputs = self.twin.predict(inputs, controls);
        let inside = |value: f32, range: &Range| range.low <= value && value <= range.high;
        let saturated =
            outputs.iter().any(|row| row.iter().zip(&self.ranges).any(|(value, range)| !inside(*value, range)));
        if !saturated {
            return self.twin.pull_back(inputs, controls, cotangents);
        }
        let kept = Batch::from_fn(outputs.rows(), outputs.columns(), |row, column| {
            if inside(outputs.row(row)[column], &self.ranges[column]) { cotangents.row(row)[column] } else { 0.0 }
        });
        self.twin.pull_back(inputs, controls, &kept)
    }
}

#[cfg(test)]
mod tests {
    use sims::{Key, Optical};

    use super::*;

    #[test]
    fn bright_light_saturates_and_gives_no_gradient() {
        let bench = Optical { exposure: 3.0, ..Optical::default() }.build().unwrap();
        let twin = within_range(bench.twin.clone());
        let mut stream = Key::new(1).stream();
        let shots = Batch::from_fn(30, 50, |_, _| stream.uniform());
        let mask = vec![0.6; 50];
        let (clamped, free) = (twin.predict(&shots, &mask), bench.twin.predict(&shots, &mask));
        assert!(free.values().iter().any(|value| 1.0 < *value));
        assert!(clamped.values().iter().zip(free.values()).all(|(clamped, free)| *clamped == free.clamp(0.0, 1.0)));
        let only_saturated = Batch::from_fn(30, 50, |row, column| f32::from(u8::from(1.0 < free.row(row)[column])));
        assert!(twin.pull_back(&shots, &mask, &only_saturated).inputs.values().iter().all(|gradient| *gradient == 0.0));
    }
}
