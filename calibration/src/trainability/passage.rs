//! One pass of a network through a plant: what drove it, and what the network's loss wants of its readings. There the twin's
//! pull-back is held against slopes measured on the plant.
//!
//! For directions d of the inputs (or controls), with c the loss's slope along each reading y,
//!
//! ```text
//! believed  b = (Jᵀ·c)·d, by the twin        measured  m = c·(y(x + d) − y(x − d))/2
//! cosine    Σ b·m / √(Σ b² · (Σ m² − noise))
//! ```
//!
//! with sums over shots and directions. The noise is known from a repeat of the shots without any direction.

use drivers::{Bank, Batch, Direction, Ports};
use sims::{Key, Twin};

use super::steps::{REACH, sign};

/// Directions in which slopes are measured.
pub(super) const DIRECTIONS: usize = 12;
/// Ways to sum the slopes of controls over shots, which have them in common.
const SUMS: usize = 16;

/// One pass of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// What drove the plant.
    pub inputs: Batch,
    /// What its controls were.
    pub controls: Vec<f32>,
    /// How the loss changes with each reading, as the passes behind this one say.
    pub cotangents: Batch,
}

/// What slopes are taken along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Along {
    Inputs,
    Controls,
}

/// Sums over shots and directions.
#[derive(Default)]
struct Sums {
    product: f64,
    believed: f64,
    measured: f64,
    noise: f64,
}

impl Sums {
    fn add(&mut self, believed: f64, measured: f64, noise: f64) {
        self.product += believed * measured;
        self.believed += believed * believed;
        self.measured += measured * measured;
        self.noise += noise;
    }

    /// The cosine; 0 where nothing but noise was measured, or nothing is believed.
    fn cosine(&self) -> f64 {
        let real = self.measured - self.noise;
        let product = self.believed * real;
        if product > 0.0 { (self.product / product.sqrt()).clamp(-1.0, 1.0) } else { 0.0 }
    }
}

impl Passage {
    /// The cosine between the twin's gradient and the plant's along the inputs or controls. `measure` sets controls and drives inputs:
    /// the controls that were applied, and the readings.
    pub(super) fn cosine<E>(
        &self,
        along: Along,
        (twin, ports): (&dyn Twin, &Ports),
        key: Key,
        mut measure: impl FnMut(&[f32], &Batch) -> Result<(Vec<f32>, Batch), E>,
    ) -> Result<f64, E> {
        let mut stream = key.stream();
        let noise = self.noise(&measure(&self.controls, &self.inputs)?.1, &measure(&self.controls, &self.inputs)?.1);
        let mut sums = Sums::default();
        if along == Along::Inputs {
            let pulled = twin.pull_back(&self.inputs, &self.controls, &self.cotangents).inputs;
            for _ in 0..DIRECTIONS {
                let step: Vec<f32> =
                    reaches(&ports.inputs).iter().map(|reach| reach * sign(stream.uniform())).collect();
                let [above, below] = [1.0, -1.0].map(|by| self.moved(&step, by, ports));
                let read = [measure(&self.controls, &above)?.1, measure(&self.controls, &below)?.1];
                for (row, noise) in noise.iter().enumerate() {
                    let believed = slope(pulled.row(row), above.row(row), below.row(row));
                    let measured = slope(self.cotangents.row(row), read[0].row(row), read[1].row(row));
                    sums.add(believed, measured, *noise);
                }
            }
            return Ok(sums.cosine());
        }
        let signs: Vec<Vec<f32>> =
            (0..SUMS).map(|_| (0..self.inputs.rows()).map(|_| sign(stream.uniform())).collect()).collect();
        let signed = |signs: &[f32]| {
            let cotangents = &self.cotangents;
            Batch::from_fn(cotangents.rows(), cotangents.columns(), |row, port| cotangents.row(row)[port] * signs[row])
        };
        let pulled: Vec<Vec<f32>> =
            signs.iter().map(|signs| twin.pull_back(&self.inputs, &self.controls, &signed(signs)).controls).collect();
        let ranges = ports.ranges(Direction::Control);
        for _ in 0..DIRECTIONS {
            let step: Vec<f32> = reaches(&ports.controls).iter().map(|reach| reach * sign(stream.uniform())).collect();
            let moved = |by: f32| {
                let values = self.controls.iter().zip(&step).zip(&ranges);
                values
                    .map(|((value, step), range)| (value + by * step).clamp(range.low, range.high))
                    .collect::<Vec<_>>()
            };
            let (above, read_above) = measure(&moved(1.0), &self.inputs)?;
            let (below, read_below) = measure(&moved(-1.0), &self.inputs)?;
            let slopes: Vec<f64> = (0..self.inputs.rows())
                .map(|row| slope(self.cotangents.row(row), read_above.row(row), read_below.row(row)))
                .collect();
            for (signs, pulled) in signs.iter().zip(&pulled) {
                let measured = slopes.iter().zip(signs).map(|(slope, sign)| slope * f64::from(*sign)).sum();
                sums.add(slope(pulled, &above, &below), measured, noise.iter().sum());
            }
        }
        Ok(sums.cosine())
    }

    /// The inputs moved along a direction, as far as ranges and limits over time allow.
    fn moved(&self, step: &[f32], by: f32, ports: &Ports) -> Batch {
        let ranges = ports.ranges(Direction::Input);
        let mut moved = Batch::from_fn(self.inputs.rows(), self.inputs.columns(), |row, port| {
            (self.inputs.row(row)[port] + by * step[port]).clamp(ranges[port].low, ranges[port].high)
        });
        let columns = moved.columns().max(1);
        moved.values_mut().chunks_exact_mut(columns).for_each(|row| ports.moderate(row, 1.0));
        moved
    }

    /// The variance that noise gives the measured slope of each shot, from two takes of the same: that of a reading is taken over all
    /// shots, since one difference says little.
    fn noise(&self, first: &Batch, second: &Batch) -> Vec<f64> {
        let mut variances = vec![0.0; first.columns()];
        for (a, b) in first.iter().zip(second.iter()) {
            for ((variance, a), b) in variances.iter_mut().zip(a).zip(b) {
                *variance += 0.5 * f64::from(a - b).powi(2) / first.rows() as f64;
            }
        }
        // Half the difference of two readings has half their variance.
        let of = |weights: &[f32]| weights.iter().zip(&variances).map(|(c, v)| 0.5 * f64::from(*c).powi(2) * v).sum();
        self.cotangents.iter().map(of).collect()
    }
}

/// `weights · (above − below)/2`.
fn slope(weights: &[f32], above: &[f32], below: &[f32]) -> f64 {
    let differences = above.iter().zip(below).map(|(above, below)| 0.5 * (f64::from(*above) - f64::from(*below)));
    weights.iter().zip(differences).map(|(weight, difference)| f64::from(*weight) * difference).sum()
}

/// How far each port of `banks` is moved: less where a limit on steps needs it.
pub(super) fn reaches(banks: &[Bank]) -> Vec<f32> {
    let reach = |bank: &Bank| (REACH * bank.range.span()).min(bank.dose.slew.map_or(f32::INFINITY, |slew| 0.25 * slew));
    banks.iter().flat_map(|bank| std::iter::repeat_n(reach(bank), bank.count)).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use sims::{Electrical, Simulated, Twin};

    use super::*;
    use drivers::Plant;

    /// A twin whose cotangents are mixed with others: as wrong as it is told to be.
    #[derive(Debug)]
    struct Wrong<'a>(&'a dyn Twin, f32);

    impl Twin for Wrong<'_> {
        fn card(&self) -> &drivers::Card {
            self.0.card()
        }
        fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
            self.0.predict(inputs, controls)
        }
        fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> sims::Pullback {
            let mut pulled = self.0.pull_back(inputs, controls, cotangents);
            let size = (pulled.inputs.values().iter().map(|value| value * value).sum::<f32>()
                / pulled.inputs.values().len() as f32)
                .sqrt();
            let mut stream = Key::new(9).stream();
            pulled.inputs.values_mut().iter_mut().for_each(|value| *value += self.1 * size * stream.normal());
            pulled
        }
    }

    #[test]
    fn known_cosines_are_measured_through_noise() {
        let built = Electrical { mismatch: 0.0, ..Electrical::default() }.build().unwrap();
        let mut plant = Simulated::new(built.system);
        let ports = plant.ports().clone();
        let count = [ports.input_count(), ports.output_count()];
        let mut stream = Key::new(1).stream();
        let passage = Passage {
            inputs: Batch::from_fn(24, count[0], |_, _| 0.4 * stream.uniform()),
            controls: vec![],
            cotangents: Batch::from_fn(24, count[1], |_, _| stream.normal()),
        };
        // Noise of the size √(1/cos² − 1) at right angles leaves that cosine.
        for wanted in [1.0_f64, 0.9, 0.5] {
            let twin = Wrong(&*built.ideal, ((1.0 / wanted.powi(2) - 1.0).sqrt()) as f32);
            let measure = |_: &[f32], inputs: &Batch| Ok::<_, Infallible>((vec![], plant.measure(inputs).unwrap()));
            let found = passage.cosine(Along::Inputs, (&twin, &ports), Key::new(2), measure).unwrap();
            assert!((found - wanted).abs() < 0.06, "{found} where {wanted} is right");
        }
    }
}
