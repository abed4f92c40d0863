//! The simulated bench of the oscillators: initial positions that miss a little, a read-out with noise and a converter.
//!
//! ```text
//! q(0) = input + σ₀ n        reading = ADC(q(T) + σ₁ n')        n, n' normal, a pure function of seed and shot number
//! ```

use drivers::{Batch, Card, Direction};
use rayon::prelude::*;

use super::imperfections::OscillatorImperfections;
use super::physics::Solver;
use crate::random::normal_pair;
use crate::{Converter, Key, LANES, Moment, Real, System};

/// The plant: its own physics and what differs from shot to shot.
#[derive(Debug)]
pub(super) struct Bench {
    card: Card,
    solver: Solver,
    amplitude: Noise,
    reading: Noise,
    converter: Converter,
}

/// White noise of a shot.
#[derive(Debug)]
struct Noise {
    key: Key,
    deviation: f32,
}

impl Bench {
    /// Puts the physics of `solver` on a bench.
    pub(super) fn new(card: Card, solver: Solver, imperfections: &OscillatorImperfections, shot_seed: u64) -> Self {
        let key = Key::new(shot_seed).branch("oscillators");
        let noise = |label, deviation: f64| Noise { key: key.branch(label), deviation: deviation as f32 };
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

impl Noise {
    /// Adds noise to the rows of `batch`, the first of which is shot number `first`.
    fn add(&self, batch: &mut Batch, first: u64) {
        if self.deviation == 0.0 {
            return;
        }
        let columns = batch.columns();
        batch.values_mut().par_chunks_mut(LANES * columns).enumerate().for_each(|(block, shots)| {
            let first = first + (block * LANES) as u64;
            let keys = std::array::from_fn(|lane| self.key.number(first + lane as u64));
            pulp::Arch::new().dispatch(Jitter { keys, deviation: self.deviation, columns, shots });
        });
    }
}

/// Noise for one block of shots.
struct Jitter<'a> {
    keys: [Key; LANES],
    deviation: f32,
    columns: usize,
    shots: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Jitter<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for first in (0..self.columns).step_by(2) {
            let pair = normal_pair(&self.keys, first as u32 / 2);
            for (lane, shot) in self.shots.chunks_exact_mut(self.columns).enumerate() {
                for (value, normals) in shot[first..].iter_mut().zip(&pair) {
                    *value = self.deviation.mul_add(normals[lane], *value);
                }
            }
        }
    }
}
