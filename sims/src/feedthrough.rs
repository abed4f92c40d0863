//! A feed-through: the value of one input reaches the readings beside the physics, as a wire does that lies too near to another.
//!
//! ```text
//! reading_j = physics_j(inputs) + gain · input_i           for the outputs j that it reaches, clamped to their range
//! ```
//!
//! The leak is linear and without memory, and is added behind the converter: it is not rounded. `gain` is in the unit of the outputs over the unit
//! of the input. The twin that a physicist writes down does not have it.

use std::ops::Range;
use std::sync::Arc;

use drivers::{Batch, Card, Direction};

use crate::{Built, Error, Moment, Pullback, System, Twin};

/// Where a feed-through leads from and to.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedthrough {
    /// The number of the input, counted from 0 over all banks.
    pub input: usize,
    /// The numbers of the outputs that it reaches.
    pub outputs: Range<usize>,
    /// Units of the outputs for each unit of the input.
    pub gain: f32,
}

impl Feedthrough {
    /// The same system and ideal twin with the feed-through, the same twin without it.
    pub fn into(self, built: Built) -> Result<Built, Error> {
        let ports = &built.system.card().ports;
        let (inputs, outputs) = (ports.input_count(), ports.output_count());
        let refuse = |key, value: String, expected: String| Err(Error::Feedthrough { key, value, expected });
        if inputs <= self.input {
            let expected = format!("the plant has {inputs} inputs, numbered from 0");
            return refuse("input", self.input.to_string(), expected);
        }
        if self.outputs.is_empty() || outputs < self.outputs.end {
            let expected =
                format!("the plant has {outputs} outputs, numbered from 0, and at least one must be reached");
            return refuse("outputs", format!("{} up to {}", self.outputs.start, self.outputs.end), expected);
        }
        if !self.gain.is_finite() {
            return refuse("gain", self.gain.to_string(), "give a finite number".to_owned());
        }
        let Built { system, twin, ideal } = built;
        let ideal = Arc::new(Leaking { inner: ideal, leak: self.clone() });
        Ok(Built { system: Arc::new(Leaking { inner: system, leak: self }), twin, ideal })
    }

    fn add(&self, inputs: &Batch, card: &Card, outputs: &mut Batch) {
        let ranges = card.ports.ranges(Direction::Output);
        let columns = outputs.columns().max(1);
        for (row, readings) in outputs.values_mut().chunks_exact_mut(columns).enumerate() {
            let leak = self.gain * inputs.row(row)[self.input];
            for (reading, range) in readings.iter_mut().zip(&ranges).take(self.outputs.end).skip(self.outputs.start) {
                *reading = (*reading + leak).clamp(range.low, range.high);
            }
        }
    }
}

/// Something with a feed-through.
#[derive(Debug)]
struct Leaking<T: ?Sized> {
    leak: Feedthrough,
    inner: Arc<T>,
}

impl System for Leaking<dyn System> {
    fn card(&self) -> &Card {
        self.inner.card()
    }

    fn settle(&self, controls: &[f32]) -> Vec<f32> {
        self.inner.settle(controls)
    }

    fn shoot(&self, inputs: &Batch, controls: &[f32], moment: Moment) -> Batch {
        let mut outputs = self.inner.shoot(inputs, controls, moment);
        self.leak.add(inputs, self.inner.card(), &mut outputs);
        outputs
    }
}

impl Twin for Leaking<dyn Twin> {
    fn card(&self) -> &Card {
        self.inner.card()
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        let mut outputs = self.inner.predict(inputs, controls);
        self.leak.add(inputs, self.inner.card(), &mut outputs);
        outputs
    }

    /// What a reading at the end of its range has no slope for is the layer's to drop.
    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let mut back = self.inner.pull_back(inputs, controls, cotangents);
        let columns = back.inputs.columns().max(1);
        for (row, slopes) in back.inputs.values_mut().chunks_exact_mut(columns).enumerate() {
            slopes[self.leak.input] +=
                self.leak.gain * cotangents.row(row)[self.leak.outputs.clone()].iter().sum::<f32>();
        }
        back
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Electrical;

    fn built(gain: f32) -> Built {
        let bench = Electrical { samples: 8, ..Electrical::default() }.build().unwrap();
        Feedthrough { input: 7, outputs: 0..4, gain }.into(bench).unwrap()
    }

    #[test]
    fn one_input_is_added_to_the_readings_that_it_reaches() {
        let drive = Batch::from_fn(3, 8, |shot, sample| 0.05 * (shot + sample) as f32);
        let [without, with] = [0.0, 0.1].map(|gain| built(gain).system.shoot(&drive, &[], Moment::default()));
        for row in 0..3 {
            for (output, (a, b)) in without.row(row).iter().zip(with.row(row)).enumerate() {
                let leak = if output < 4 { 0.1 * drive.row(row)[7] } else { 0.0 };
                assert!((b - a - leak).abs() < 1e-6, "shot {row}, output {output}: {a} and {b}");
            }
        }
        assert_eq!(
            built(0.1).twin.predict(&drive, &[]),
            built(0.0).twin.predict(&drive, &[]),
            "the twin knows nothing of it"
        );
    }

    #[test]
    fn the_ideal_twin_pulls_back_through_the_leak() {
        let (ideal, drive) = (built(0.25).ideal, Batch::from_fn(1, 8, |_, sample| 0.1 + 0.02 * sample as f32));
        let weights = Batch::from_fn(1, 8, |_, output| 1.0 - 0.2 * output as f32);
        let slopes = ideal.pull_back(&drive, &[], &weights).inputs;
        let at = |input: usize, step: f32| {
            let moved =
                Batch::from_fn(1, 8, |_, sample| drive.row(0)[sample] + if sample == input { step } else { 0.0 });
            let out = ideal.predict(&moved, &[]);
            out.row(0).iter().zip(weights.row(0)).map(|(a, b)| f64::from(a * b)).sum::<f64>()
        };
        for input in [3, 7] {
            let slope = (at(input, 5e-3) - at(input, -5e-3)) / 1e-2;
            assert!(
                (f64::from(slopes.row(0)[input]) - slope).abs() < 1e-2 * slope.abs().max(1.0),
                "input {input}: {slope}"
            );
        }
    }

    #[test]
    fn ports_that_are_not_there_are_refused_with_those_that_are() {
        let bench = || Electrical { samples: 8, ..Electrical::default() }.build().unwrap();
        let refused = |leak: Feedthrough| leak.into(bench()).unwrap_err().to_string();
        assert!(
            refused(Feedthrough { input: 8, outputs: 0..8, gain: 0.1 })
                .contains("`input` is 8: the plant has 8 inputs")
        );
        assert!(refused(Feedthrough { input: 0, outputs: 4..9, gain: 0.1 }).contains("has 8 outputs"));
        assert!(refused(Feedthrough { input: 0, outputs: 4..4, gain: 0.1 }).contains("`outputs` is 4 up to 4"));
        assert!(refused(Feedthrough { input: 0, outputs: 0..4, gain: f32::NAN }).contains("finite"));
    }
}
