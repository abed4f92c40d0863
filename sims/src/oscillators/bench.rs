//! The simulated bench of the oscillators: initial positions that miss a little, a read-out with noise and a converter.
//!
//! ```text
//! q(0) = input + σ₀ n        reading = ADC(q(T) + σ₁ n')        n, n' normal, a pure function of seed and shot number
//! ```

use drivers::{Batch, Card, Direction};

use super::imperfections::OscillatorImperfections;
use super::physics::Solver;
use crate::noise::Noise;
use crate::{Converter, Key, Moment, Real, System};

/// The plant: its own physics and what differs from shot to shot.
#[derive(Debug)]
pub(super) struct Bench {
    card: Card,
    solver: Solver,
    amplitude: Noise,
    reading: Noise,
    converter: Converter,
}

impl Bench {
    /// Puts the physics of `solver` on a bench.
    pub(super) fn new(card: Card, solver: Solver, imperfections: &OscillatorImperfections, shot_seed: u64) -> Self {
        let key = Key::new(shot_seed).branch("oscillators");
        let noise = |label, deviation: f64| Noise::new(key.branch(label), deviation);
        let converter = Converter::new(card.ports.outputs[0].range, imperfections.read_bits);
        Self {
            card,
            solver,
            amplitude: noise("amplitude", imperfections.amplitude_noise),
            reading: noise("reading", imperfections.read_noise),
            converter,
        }
    }
}

impl System for Bench {
    fn card(&self) -> &Card {
        &self.card
    }

    fn settle(&self, controls: &[f32]) -> Vec<f32> {
        let mut settled = controls.to_vec();
        let mut rest = &mut settled[..];
        for bank in self.card.ports.banks(Direction::Control) {
            let these = rest.split_off_mut(..bank.count).unwrap_or_default();
            for control in these {
                *control = Real::min(Real::max(*control, bank.range.low), bank.range.high);
            }
        }
        settled
    }

    fn shoot(&self, inputs: &Batch, controls: &[f32], moment: Moment) -> Batch {
        let mut start = inputs.clone();
        self.amplitude.add(&mut start, moment.shots);
        let mut readings = Batch::zeros(inputs.rows(), inputs.columns());
        self.solver.predict(start.values(), controls, readings.values_mut());
        self.reading.add(&mut readings, moment.shots);
        for reading in readings.values_mut() {
            *reading = self.converter.convert(*reading);
        }
        readings
    }
}
