//! The learned and the residual twin: a network alone, or one that corrects physics.
//!
//! Features are inputs, controls and, behind physics, what it predicts, each in units of its range or spread. Targets are the
//! readings, less what the physics predicts. The network is kept only if it helps on shots that it never saw.

use std::sync::Arc;

use drivers::{Batch, Direction, Range};
use sims::{Key, Twin};

use crate::learning::{Examples, Learned, learn};
use crate::network::{Network, PlainLayer};
use crate::score::scale;
use crate::{Architecture, Error, LearnedTwin, Observer, Search, Trace, Unobserved};

/// What a network has learned of a trace.
#[derive(Debug, Clone)]
pub struct LearnedPart {
    /// The network; `None` where it does not help.
    pub network: Option<Network>,
    /// Its architecture.
    pub architecture: Architecture,
    /// Mean square that it leaves of the held-out shots, over that without it.
    pub left: f64,
}

impl LearnedPart {
    /// The twin of the plant of `trace`: physics with the network, if it helps.
    pub fn twin(&self, trace: &Trace, physics: Option<Arc<dyn Twin>>) -> Option<Arc<dyn Twin>> {
        match (&self.network, physics) {
            (Some(network), physics) => Some(Arc::new(LearnedTwin::new(trace.card.clone(), physics, network.clone()))),
            (None, physics) => physics,
        }
    }
}

/// How values of one kind become features: `(value − center)/width`.
struct Scaling {
    center: Vec<f32>,
    width: Vec<f32>,
}

impl Scaling {
    fn of_ranges(ranges: &[Range]) -> Self {
        let width = |range: &Range| if range.span() > 0.0 { 0.5 * range.span() } else { 1.0 };
        Self {
            center: ranges.iter().map(|range| 0.5 * (range.low + range.high)).collect(),
            width: ranges.iter().map(width).collect(),
        }
    }

    /// By mean and standard deviation; columns that do not move keep their scale.
    fn of_values(batch: &Batch, scales: &[f64]) -> Self {
        let rows = batch.rows().max(1) as f64;
        let column = |column: usize| {
            let mean = batch.iter().map(|row| f64::from(row[column])).sum::<f64>() / rows;
            let variance = batch.iter().map(|row| (f64::from(row[column]) - mean).powi(2)).sum::<f64>() / rows;
            let least = 1e-6 * scales[column];
            (mean as f32, if variance.sqrt() > least { variance.sqrt() } else { scales[column] } as f32)
        };
        let (center, width) = (0..batch.columns()).map(column).unzip();
        Self { center, width }
    }

    fn apply<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        row.iter().zip(&self.center).zip(&self.width).map(|((value, center), width)| (value - center) / width)
    }
}

/// Learns what `physics` leaves of `trace`, or all of it. Shots of `held_out` decide when to stop and whether it helps.
pub fn learn_part(
    [train, held_out]: [&Trace; 2],
    physics: Option<&Arc<dyn Twin>>,
    search: &Search,
    key: Key,
) -> Result<LearnedPart, Error> {
    learn_part_observed([train, held_out], physics, search, key, &Unobserved)
}

/// The same, watched.
pub(crate) fn learn_part_observed(
    [train, held_out]: [&Trace; 2],
    physics: Option<&Arc<dyn Twin>>,
    search: &Search,
    key: Key,
    observer: &dyn Observer,
) -> Result<LearnedPart, Error> {
    let needed = 50;
    if train.shots() < needed {
        return Err(Error::TooFew { procedure: "learned", what: "stimuli", needed, given: train.shots() });
    }
    let ports = &train.card.ports;
    let ranges = ports.ranges(Direction::Output);
    let scales: Vec<f64> = ranges.iter().map(|range| scale(*range)).collect();
    let base = |trace: &Trace| physics.map(|twin| trace.predict(&**twin));
    let (base_train, base_held) = (base(train), base(held_out));
    let left = |trace: &Trace, base: &Option<Batch>| match base {
        None => trace.outputs.clone(),
        Some(base) => {
            Batch::from_fn(base.rows(), base.columns(), |row, port| trace.outputs.row(row)[port] - base.row(row)[port])
        }
    };
    let (left_train, left_held) = (left(train, &base_train), left(held_out, &base_held));
    let scaling = Scalings {
        inputs: Scaling::of_ranges(&ports.ranges(Direction::Input)),
        controls: Scaling::of_ranges(&ports.ranges(Direction::Control)),
        base: base_train.as_ref().map(|base| Scaling::of_values(base, &scales)),
        targets: Scaling::of_values(&left_train, &scales),
    };
    let train_examples = scaling.examples(train, base_train.as_ref(), &left_train);
    let held_examples = scaling.examples(held_out, base_held.as_ref(), &left_held);
    let learned = learn([&train_examples, &held_examples], search, key, observer)?;
    // A network that is hardly better than nothing costs time and invents detail.
    let helps = physics.is_none() || learned.held_out < 0.98;
    let network = if helps { Some(scaling.network(&learned)?) } else { None };
    Ok(LearnedPart { network, architecture: learned.architecture, left: learned.held_out })
}

struct Scalings {
    inputs: Scaling,
    controls: Scaling,
    base: Option<Scaling>,
    targets: Scaling,
}

impl Scalings {
    fn examples(&self, trace: &Trace, base: Option<&Batch>, left: &Batch) -> Examples {
        let physics = self.base.as_ref().map_or(0, |scaling| scaling.center.len());
        let columns = self.inputs.center.len() + self.controls.center.len() + physics;
        let mut features = Vec::with_capacity(trace.shots() * columns);
        let mut targets = Vec::with_capacity(left.values().len());
        for shot in 0..trace.shots() {
            features.extend(self.inputs.apply(trace.inputs.row(shot)));
            features.extend(self.controls.apply(trace.controls(shot)));
            if let (Some(scaling), Some(base)) = (&self.base, base) {
                features.extend(scaling.apply(base.row(shot)));
            }
            targets.extend(self.targets.apply(left.row(shot)));
        }
        let batch = |columns: usize, values: Vec<f32>| {
            let mut batch = Batch::zeros(trace.shots(), columns);
            batch.values_mut().copy_from_slice(&values);
            batch
        };
        Examples { features: batch(columns, features), targets: batch(left.columns(), targets) }
    }

    /// The network in the ports' own units: scaling becomes part of the first and the last layer.
    fn network(&self, learned: &Learned) -> Result<Network, Error> {
        let parts: Vec<&Scaling> =
            [Some(&self.inputs), Some(&self.controls), self.base.as_ref()].into_iter().flatten().collect();
        let center: Vec<f32> = parts.iter().flat_map(|part| part.center.iter().copied()).collect();
        let width: Vec<f32> = parts.iter().flat_map(|part| part.width.iter().copied()).collect();
        let mut layers = learned.layers.clone();
        if let Some(first) = layers.first_mut() {
            scale_inputs(first, &center, &width);
        }
        if let Some(last) = layers.last_mut() {
            for ((row, bias), (center, width)) in last
                .weights
                .chunks_exact_mut(last.inputs)
                .zip(&mut last.bias)
                .zip(self.targets.center.iter().zip(&self.targets.width))
            {
                for weight in row.iter_mut() {
                    *weight *= width;
                }
                *bias = *bias * width + center;
            }
        }
        let sizes = [
            self.inputs.center.len(),
            self.controls.center.len(),
            self.base.as_ref().map_or(0, |base| base.center.len()),
        ];
        Network::new(&layers, sizes).ok_or_else(|| Error::fit("has layers that do not chain"))
    }
}

/// Weights for raw values instead of scaled ones.
fn scale_inputs(layer: &mut PlainLayer, center: &[f32], width: &[f32]) {
    for (row, bias) in layer.weights.chunks_exact_mut(layer.inputs).zip(&mut layer.bias) {
        for ((weight, center), width) in row.iter_mut().zip(center).zip(width) {
            *weight /= width;
            *bias -= *weight * center;
        }
    }
}

#[cfg(test)]
mod tests {
    use sims::Adjustable;

    use super::*;
    use crate::Residual;
    use crate::physics::tests::Toy;
    use crate::trace::tests::{card, trace};

    #[test]
    fn a_network_corrects_what_physics_misses() {
        let physics = Toy.adjusted(&[1.0, 0.5, 0.5, 0.0, 0.0], &[]);
        let read = |x: &[f32], _: &[f32], _: usize| {
            let mut y = physics.predict(&Batch::new(2, x.to_vec()).unwrap(), &[]).into_values();
            y[0] += 0.3 * (3.0 * x[0]).sin() * x[1];
            y
        };
        let trace = trace(card(2, 0, 2), [1500, 1, 1500], read);
        let (train, held_out) = trace.split(0.2, Key::new(1));
        let search = Search { candidates: 0, epochs: 40, ..Search::default() };
        let part = learn_part([&train, &held_out], Some(&physics), &search, Key::new(2)).unwrap();
        let score = |twin: &dyn Twin| {
            let ranges = held_out.card.ports.ranges(Direction::Output);
            Residual::of(&held_out.predict(twin), &held_out.outputs, &ranges, &held_out.stimulus).rmse_of_full_scale
        };
        let (before, after) = (score(&*physics), score(&*part.twin(&trace, Some(physics.clone())).unwrap()));
        assert!(after < 0.25 * before, "{after} from {before}");
        // Where the physics is right already there is nothing to add.
        let right = crate::trace::tests::trace(card(2, 0, 2), [400, 1, 400], |x, _, shot| {
            let mut stream = Key::new(3).number(shot as u64).stream();
            let y = physics.predict(&Batch::new(2, x.to_vec()).unwrap(), &[]).into_values();
            y.iter().map(|y| y + 0.01 * stream.normal()).collect()
        });
        let (train, held_out) = right.split(0.3, Key::new(1));
        let part = learn_part([&train, &held_out], Some(&physics), &search, Key::new(2)).unwrap();
        assert!(part.network.is_none(), "{}", part.left);
    }
}
