//! How much of a network's gradient is the plant's, over several passes.
//!
//! Backwards a network chains the twin's pull-backs where the plant really was: that is the gradient which physics-aware training
//! follows. In each pass the pull-back is held against slopes measured on the plant ([`Passage`]): of the first pass along what is
//! trained there, its controls, or its inputs where it has none; of the others along the inputs, through which the gradient comes
//! back. What each pass adds points anywhere, so that the cosines multiply. Slopes over all passes at once would not do: what a step that
//! stands out of the noise changes after several passes is no slope any more.
//!
//! Without a network of an experiment, shots go through the plant `depth` times, each reading being what the next pass is driven
//! with, and a random weighing of the last readings is the score.

use drivers::{Batch, Direction, Plant, Ports, Range};
use serde::{Deserialize, Serialize};
use sims::{Key, Twin};

use super::passage::{Along, Passage};
use super::steps::{moderate, with_room};
use crate::Error;
use crate::score::mean;

/// Networks that are drawn.
pub const NETWORKS: u64 = 8;
/// Shots of each.
pub const NETWORK_SHOTS: usize = 16;
/// How many shots the passes of such networks take, of `depth` passes each: one to go on, two for the noise, two for each direction.
pub fn way_back_shots(depth: usize) -> u64 {
    NETWORKS * (depth * NETWORK_SHOTS * (3 + 2 * super::passage::DIRECTIONS)) as u64
}

/// The 95 % point of Student's t with one degree of freedom less than there are networks.
const STUDENT: f64 = 1.895;

/// The cosine between the believed and the real gradient of the first of several passes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChainCosine {
    /// Passes through plants.
    pub depth: usize,
    /// The mean over networks.
    pub cosine: f64,
    /// The ends of its 90 % interval.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

/// Measures it for networks of `depth` passes; also says how many shots that took.
pub(super) fn chain_cosine(
    plant: &mut dyn Plant,
    twin: &dyn Twin,
    depth: usize,
    key: Key,
) -> Result<(ChainCosine, u64), Error> {
    let (mut found, mut taken) = (Vec::new(), 0);
    let ports = plant.ports().clone();
    for network in 0..NETWORKS {
        let key = key.branch("network").number(network);
        let mut chain = Chain::draw(plant, depth.max(1), key);
        let passages = chain.passages(plant, twin)?;
        let measure = |_: usize, controls: &[f32], inputs: &Batch| {
            taken += inputs.rows() as u64;
            Ok::<_, Error>((plant.apply(controls)?, plant.measure(inputs)?))
        };
        found.push(way_back(
            &passages.iter().map(|passage| (passage, twin, &ports)).collect::<Vec<_>>(),
            key,
            measure,
        )?);
        taken += chain.taken;
    }
    Ok((ChainCosine::over(&found, depth), taken))
}

/// The product of the cosines of a network's passes, the first of them first, each with the twin of its plant and the plant's ports, whose
/// limits the directions keep. `measure` drives the plant of a pass: its number, controls and inputs; the controls that were applied, and the readings.
pub fn way_back<E>(
    passages: &[(&Passage, &dyn Twin, &Ports)],
    key: Key,
    mut measure: impl FnMut(usize, &[f32], &Batch) -> Result<(Vec<f32>, Batch), E>,
) -> Result<f64, E> {
    let mut product = 1.0;
    for (pass, (passage, twin, ports)) in passages.iter().enumerate() {
        let along = if pass == 0 && !passage.controls.is_empty() { Along::Controls } else { Along::Inputs };
        let key = key.branch("slopes").number(pass as u64);
        let cosine = passage.cosine(along, (*twin, ports), key, |controls, inputs| measure(pass, controls, inputs))?;
        // Two passes whose gradients point backwards do not make a right one.
        product *= if pass == 0 { cosine } else { cosine.max(0.0) };
    }
    Ok(product)
}

impl ChainCosine {
    /// Over the products of several networks of `depth` passes.
    pub fn over(found: &[f64], depth: usize) -> Self {
        let (cosine, count) = (mean(found), found.len().max(1) as f64);
        let variance = found.iter().map(|one| (one - cosine).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        let half = STUDENT * (variance / count).sqrt();
        Self { depth, cosine, low: (cosine - half).max(-1.0), high: (cosine + half).min(1.0) }
    }
}

/// A network of passes through one plant.
struct Chain {
    inputs: Vec<Range>,
    /// The settings of each pass.
    settings: Vec<Vec<f32>>,
    /// What the first pass is driven with.
    first: Batch,
    /// The score's weight of each last reading.
    weights: Batch,
    /// What a reading becomes for the next pass: `gain · reading + offset`, in ranges of the inputs; known after the first shots.
    maps: Vec<[f64; 2]>,
    taken: u64,
}

impl Chain {
    fn draw(plant: &dyn Plant, depth: usize, key: Key) -> Self {
        let ports = plant.ports().clone();
        let (inputs, controls) = (ports.ranges(Direction::Input), ports.ranges(Direction::Control));
        let outputs = ports.ranges(Direction::Output);
        let mut stream = key.stream();
        // The middle of the ranges, with room on either side.
        let inside = |range: &Range, uniform: f32| range.at(0.15 + 0.7 * uniform);
        let settings = (0..depth)
            .map(|_| controls.iter().map(|range| inside(range, stream.uniform())).collect::<Vec<f32>>())
            .collect();
        let first = Batch::from_fn(NETWORK_SHOTS, inputs.len(), |_, port| inside(&inputs[port], stream.uniform()));
        let weights = Batch::from_fn(NETWORK_SHOTS, outputs.len(), |_, port| {
            stream.normal() / outputs[port].span().max(f32::MIN_POSITIVE)
        });
        Self { inputs, settings, first, weights, maps: Vec::new(), taken: 0 }
    }

    /// Runs all passes, and goes back through them with the twin.
    fn passages(&mut self, plant: &mut dyn Plant, twin: &dyn Twin) -> Result<Vec<Passage>, Error> {
        let mut driven = Vec::new();
        let mut read = Vec::new();
        // Half of each step is left for moving neighbors apart.
        let calm = with_room(plant.ports());
        let mut inputs = self.first.clone();
        moderate(&mut inputs, &calm, 0.5);
        for settings in &self.settings {
            let applied = plant.apply(settings)?;
            let readings = plant.measure(&inputs)?;
            self.taken += inputs.rows() as u64;
            self.maps.push(map(&readings));
            let mut next = self.onward(&readings, self.maps[self.maps.len() - 1]);
            moderate(&mut next, &calm, 0.5);
            driven.push((std::mem::replace(&mut inputs, next), applied));
            read.push(readings);
        }
        let mut cotangents = self.weights.clone();
        let mut passages = Vec::new();
        for (pass, (driven, applied)) in driven.into_iter().enumerate().rev() {
            let before = match pass.checked_sub(1) {
                Some(before) => {
                    let pulled = twin.pull_back(&driven, &applied, &cotangents).inputs;
                    self.back(&read[before], &pulled, self.maps[before])
                }
                None => Batch::default(),
            };
            let cotangents = std::mem::replace(&mut cotangents, before);
            passages.push(Passage { inputs: driven, controls: applied, cotangents });
        }
        passages.reverse();
        Ok(passages)
    }

    /// What readings become for the next pass: more inputs than readings hold neighbors, fewer leave the last ones out.
    fn onward(&self, read: &Batch, [gain, offset]: [f64; 2]) -> Batch {
        Batch::from_fn(read.rows(), self.inputs.len(), |row, port| {
            let range = &self.inputs[port];
            let fraction = gain * f64::from(read.row(row)[source(port, self.inputs.len(), read.columns())]) + offset;
            range.at(fraction as f32)
        })
    }

    /// The slopes along readings, from those along the inputs that they became.
    fn back(&self, read: &Batch, pulled: &Batch, [gain, offset]: [f64; 2]) -> Batch {
        let columns = read.columns();
        let mut slopes = Batch::zeros(read.rows(), columns);
        for row in 0..read.rows() {
            for (port, range) in self.inputs.iter().enumerate() {
                let source = source(port, self.inputs.len(), columns);
                let fraction = gain * f64::from(read.row(row)[source]) + offset;
                // What is clamped has no slope.
                if (0.0..=1.0).contains(&fraction) {
                    let slope = gain * f64::from(range.span() * pulled.row(row)[port]);
                    slopes.values_mut()[row * columns + source] += slope as f32;
                }
            }
        }
        slopes
    }
}

/// The reading that an input is driven with.
fn source(port: usize, inputs: usize, readings: usize) -> usize {
    if readings < inputs { port * readings / inputs } else { port }
}

/// Gain and offset that put the bulk of `read` well inside the ranges of the next pass.
fn map(read: &Batch) -> [f64; 2] {
    let mut values: Vec<f64> = read.values().iter().map(|value| f64::from(*value)).collect();
    values.sort_by(f64::total_cmp);
    let at = |fraction: f64| values[((values.len() - 1) as f64 * fraction) as usize];
    let (low, high) = (at(0.02), at(0.98));
    let gain = 0.8 / (high - low).max(f64::MIN_POSITIVE);
    [gain, 0.1 - gain * low]
}

#[cfg(test)]
mod tests {
    use sims::{Electrical, Mechanical, Optical, Simulated};

    use super::*;

    fn of(built: &sims::Built, depth: usize) -> ChainCosine {
        chain_cosine(&mut Simulated::new(built.system.clone()), &*built.twin, depth, Key::new(3)).unwrap().0
    }

    #[test]
    fn a_worse_twin_is_worse_over_several_passes() {
        let optical = |mismatch| of(&Optical { mismatch, plant_seed: 1, ..Optical::default() }.build().unwrap(), 3);
        let [one, four, six, eight] = [1.0, 4.0, 6.0, 8.0].map(optical);
        assert!(
            0.9 < one.cosine && four.cosine < one.low && six.high < four.low && eight.cosine < six.low,
            "{one:?} {four:?} {six:?} {eight:?}"
        );
        let mechanical = |mismatch| of(&Mechanical { mismatch, ..Mechanical::default() }.build().unwrap(), 2);
        assert!(0.95 < mechanical(0.0).low && 0.9 < mechanical(2.0).low);
        let exact = of(&Electrical { mismatch: 0.0, ..Electrical::default() }.build().unwrap(), 4);
        assert!(0.95 < exact.low, "{exact:?}");
    }
}
