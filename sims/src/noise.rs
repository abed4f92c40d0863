//! White noise of readings: a pure function of key and shot number.

use drivers::Batch;
use rayon::prelude::*;

use crate::random::normal_pair;
use crate::{Key, LANES};

/// White noise of a shot.
#[derive(Debug)]
pub(crate) struct Noise {
    key: Key,
    deviation: f32,
}

impl Noise {
    /// Drawn from `key`, with a standard deviation in the unit of what it is added to; 0: none.
    pub fn new(key: Key, deviation: f64) -> Self {
        Self { key, deviation: deviation as f32 }
    }

    /// Adds noise to the rows of `batch`, the first of which is shot number `first`.
    pub fn add(&self, batch: &mut Batch, first: u64) {
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
