//! The bench of a text system: its own coefficients and terms, noise and converters.
//!
//! ```text
//! reading = ADC(output + σ·n)        n normal, a pure function of seed, shot number and port
//! ```

use std::sync::Arc;

use drivers::{Batch, Card, Direction};
use rayon::prelude::*;

use super::twin::Runner;
use crate::random::normal_pair;
use crate::{Converter, Key, LANES, Moment, Real, System};

/// The plant.
#[derive(Debug)]
pub(super) struct TextBench {
    pub card: Card,
    pub runner: Arc<Runner>,
    pub coefficients: Vec<f64>,
    /// RMS noise of each port, and its converter.
    pub ports: Vec<(f32, Converter)>,
    pub shots: Key,
}

impl System for TextBench {
    fn card(&self) -> &Card {
        &self.card
    }

    fn settle(&self, controls: &[f32]) -> Vec<f32> {
        let ranges = self.card.ports.ranges(Direction::Control);
        controls.iter().zip(ranges).map(|(value, range)| Real::min(Real::max(*value, range.low), range.high)).collect()
    }

    fn shoot(&self, inputs: &Batch, controls: &[f32], moment: Moment) -> Batch {
        let controls: Vec<f64> = controls.iter().map(|value| f64::from(*value)).collect();
        let mut readings = self.runner.predict(inputs, &controls, &self.coefficients, false);
        let columns = self.ports.len();
        readings.values_mut().par_chunks_mut(LANES * columns).enumerate().for_each(|(block, shots)| {
            let first = moment.shots + (block * LANES) as u64;
            let keys = std::array::from_fn(|lane| self.shots.number(first + lane as u64));
            pulp::Arch::new().dispatch(Read { ports: &self.ports, keys, shots });
        });
        readings
    }
}

/// Noise and conversion of one block of shots.
struct Read<'a> {
    ports: &'a [(f32, Converter)],
    keys: [Key; LANES],
    shots: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let columns = self.ports.len();
        for (pair, ports) in self.ports.chunks(2).enumerate() {
            let normals = if ports.iter().all(|(noise, _)| *noise == 0.0) {
                [[0.0; LANES]; 2]
            } else {
                normal_pair(&self.keys, pair as u32)
            };
            for (lane, shot) in self.shots.chunks_exact_mut(columns).enumerate() {
                for ((value, (noise, converter)), normals) in shot[2 * pair..].iter_mut().zip(ports).zip(&normals) {
                    *value = converter.convert(noise.mul_add(normals[lane], *value));
                }
            }
        }
    }
}
