//! Whether a bench will train, and why not: sensitivity against noise, rank of the response, use of the range, growth of errors
//! over the network's depth, and how well the twin's gradient agrees with slopes measured on the plant.

mod chain;
mod passage;
mod steps;

use drivers::{Batch, Direction, Gentle, Plant, Ports, Range};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use sims::{Key, Twin};

use crate::Error;
use crate::score::{mean, scale};
pub use chain::{ChainCosine, NETWORK_SHOTS, NETWORKS, way_back, way_back_shots};
pub use passage::Passage;
use passage::reaches;
use steps::{REACH, moderate, sign, with_room};

/// Directions in which slopes are measured.
const DIRECTIONS: usize = 12;
/// Shots of one direction.
const SHOTS: usize = 24;
/// Shots that tell how far the readings reach.
const WHITE: usize = 200;

/// Cosines in the network of an experiment: below the first, training follows another gradient than the plant's; from the second on, it
/// reached what the plant can do. They were chosen by what digits-optical reaches on four plants (`docs/calibration.md`).
const IN_NETWORK: [f64; 2] = [0.45, 0.56];
/// The same over chained passes, which are no network that anybody trains: they say less.
const CHAINED: [f64; 2] = [0.65, 0.82];

/// What decides whether a bench trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trainability {
    /// Change of the outputs for a change of all inputs by a twentieth of their range, over the noise of one shot.
    pub inputs_over_noise: f64,
    /// The same for the controls; `None` without any.
    pub controls_over_noise: Option<f64>,
    /// Directions of the outputs that carry the response: (Σλ)²/Σλ² of its covariance.
    pub effective_rank: f64,
    /// Share of the outputs' range that random shots cover, median port.
    pub range_use: f64,
    /// Growth of a small error through one pass, in full scales: above 1 it grows with each pass.
    pub error_growth: f64,
    /// The same over the network's depth.
    pub growth_over_depth: f64,
    /// Passes that the growth was taken over.
    pub depth: usize,
    /// Mean cosine between the twin's pull-back of one pass and slopes measured on the plant; 1 is a right gradient.
    pub gradient_cosine: f64,
    /// The same for the first of `depth` passes, whose gradient comes back through all of them.
    pub chain: ChainCosine,
    /// The same in the network of an experiment, where one was asked for.
    pub network: Option<ChainCosine>,
    /// What was found wanting, as sentences; empty when the bench should train.
    pub why_not: Vec<String>,
    /// What is near to be found wanting, as sentences.
    pub doubts: Vec<String>,
    /// Shots that the check took.
    pub shots: u64,
}

impl Trainability {
    /// Whether nothing stands against training.
    pub fn trainable(&self) -> bool {
        self.why_not.is_empty()
    }

    /// The same with slopes measured through the network of an experiment, which took so many shots.
    pub fn with_network(mut self, network: ChainCosine, shots: u64) -> Self {
        (self.network, self.shots) = (Some(network), self.shots + shots);
        self.judged()
    }

    /// The same with what stands against training.
    fn judged(mut self) -> Self {
        self.why_not = objections(&self);
        self.doubts.clear();
        let (found, [least, enough], whose) = match self.network {
            Some(network) => (network, IN_NETWORK, "of the experiment's network"),
            None => (self.chain, CHAINED, "that are chained"),
        };
        let ChainCosine { depth, cosine, low, high } = found;
        let words = format!(
            "back through {depth} passes {whose} the cosine of the twin's gradient with the plant's is {cosine:.2} (90 %: {low:.2} to {high:.2}), below"
        );
        if cosine < least {
            self.why_not.push(format!("{words} {least}. Calibrate the twin, or make the network shallower"));
        } else if cosine < enough {
            let network = if self.network.is_none() { ", or name your experiment with --experiment" } else { "" };
            self.doubts.push(format!("{words} {enough}, where some trainings fail. Calibrate the twin{network}"));
        }
        self
    }
}

/// How many shots [`check_trainable`] takes of a plant with these ports.
pub fn trainable_shots(ports: &Ports, depth: usize) -> u64 {
    let moved = DIRECTIONS + usize::from(0 < ports.control_count());
    (2 * SHOTS * (1 + moved) + WHITE) as u64 + way_back_shots(depth.max(1))
}

/// Measures `plant` and compares with `twin`; `depth` is how many passes a network makes through it.
pub fn check_trainable(plant: &mut dyn Plant, twin: &dyn Twin, depth: usize, key: Key) -> Result<Trainability, Error> {
    let plant = &mut Gentle::new(plant);
    let ports = plant.ports().clone();
    let inputs = ports.ranges(Direction::Input);
    let reaches = reaches(&ports.inputs);
    let controls = ports.ranges(Direction::Control);
    let outputs: Vec<f64> = ports.ranges(Direction::Output).into_iter().map(scale).collect();
    let middle: Vec<f32> = controls.iter().map(|range| 0.5 * (range.low + range.high)).collect();
    let mut stream = key.branch("trainability").stream();
    // The middle half of the ranges leaves room to either side.
    let inside = |range: &Range, uniform: f32| range.at(0.25 + 0.5 * uniform);
    let mut points = Batch::from_fn(SHOTS, inputs.len(), |_, port| inside(&inputs[port], stream.uniform()));
    moderate(&mut points, &with_room(&ports), 0.5);
    let applied = plant.apply(&middle)?;
    let (first, second) = (plant.measure(&points)?, plant.measure(&points)?);
    let mut taken = 2 * SHOTS as u64;
    let noise = rms(&difference(&first, &second), &outputs) / 2.0_f64.sqrt();

    let mut directions: Vec<Vec<f32>> = Vec::new();
    let mut slopes = Vec::new();
    for _ in 0..DIRECTIONS {
        let direction: Vec<f32> = reaches.iter().map(|reach| reach * sign(stream.uniform())).collect();
        let moved =
            |by: f32| Batch::from_fn(SHOTS, inputs.len(), |row, port| points.row(row)[port] + by * direction[port]);
        let (above, below) = (plant.measure(&moved(1.0))?, plant.measure(&moved(-1.0))?);
        taken += 2 * SHOTS as u64;
        slopes.push(difference(&above, &below));
        directions.push(direction);
    }
    let gradient_cosine = cosine(twin, (&points, &applied), &directions, &slopes, key);
    let response = slopes.iter().map(|slope| (0.5 * rms(slope, &outputs)).powi(2)).sum::<f64>() / DIRECTIONS as f64;
    // Both readings of a difference carry noise.
    let response = (response - 0.5 * noise * noise).max(0.0).sqrt();
    let reach =
        mean(&reaches.iter().zip(&inputs).map(|(reach, range)| f64::from(*reach) / scale(*range)).collect::<Vec<_>>());

    let mut controls_over_noise = None;
    if !controls.is_empty() {
        let direction: Vec<f32> = controls.iter().map(|range| REACH * range.span() * sign(stream.uniform())).collect();
        let moved = |by: f32| middle.iter().zip(&direction).map(|(k, d)| k + by * d).collect::<Vec<f32>>();
        plant.apply(&moved(1.0))?;
        let above = plant.measure(&points)?;
        plant.apply(&moved(-1.0))?;
        let below = plant.measure(&points)?;
        taken += 2 * SHOTS as u64;
        controls_over_noise = Some(0.5 * rms(&difference(&above, &below), &outputs) / noise.max(1e-12));
        plant.apply(&middle)?;
    }
    let mut white = Batch::from_fn(WHITE, inputs.len(), |_, port| inputs[port].at(stream.uniform()));
    moderate(&mut white, &ports, 1.0);
    let read = plant.measure(&white)?;
    taken += WHITE as u64;
    let (chain, chained) = chain::chain_cosine(plant, twin, depth, key.branch("chain"))?;
    taken += chained;
    plant.apply(&middle)?;
    let growth = response / reach.max(f64::MIN_POSITIVE);
    let found = Trainability {
        inputs_over_noise: response / noise.max(1e-12),
        controls_over_noise,
        effective_rank: effective_rank(&read, &outputs),
        range_use: range_use(&read, &ports.ranges(Direction::Output)),
        error_growth: growth,
        growth_over_depth: growth.powi(depth as i32),
        depth,
        gradient_cosine,
        chain,
        network: None,
        why_not: vec![],
        doubts: vec![],
        shots: taken,
    };
    Ok(found.judged())
}

/// What stands against training, but for the passes together.
fn objections(found: &Trainability) -> Vec<String> {
    let mut reasons = Vec::new();
    if found.inputs_over_noise < 3.0 {
        reasons.push(format!(
            "the outputs hardly follow the inputs: {:.1} times the noise of a shot for a twentieth of the range. Drive harder, or average shots",
            found.inputs_over_noise
        ));
    }
    if let Some(ratio) = found.controls_over_noise.filter(|ratio| *ratio < 3.0) {
        reasons.push(format!("the controls hardly matter: {ratio:.1} times the noise of a shot. Widen their limits"));
    }
    if found.effective_rank < 2.0 {
        reasons.push(format!(
            "all outputs tell the same: the response has an effective rank of {:.1}. Mix the inputs more before they are read",
            found.effective_rank
        ));
    }
    if found.range_use < 0.02 {
        reasons
            .push(format!("random shots use {:.1} % of the outputs' range: raise the gain", 100.0 * found.range_use));
    }
    if found.growth_over_depth > 100.0 {
        reasons.push(format!(
            "errors grow {:.1}-fold a pass and {:.0}-fold over {} passes: drive more gently, or make the network shallower",
            found.error_growth, found.growth_over_depth, found.depth
        ));
    }
    if found.gradient_cosine < 0.5 {
        reasons.push(format!(
            "the twin's gradient points elsewhere than the plant's: cosine {:.2}. Calibrate the twin",
            found.gradient_cosine
        ));
    }
    reasons
}

/// Mean cosine between the twin's gradient, along the measured directions, and the measured slopes, for random cotangents.
fn cosine(
    twin: &dyn Twin,
    (points, controls): (&Batch, &[f32]),
    directions: &[Vec<f32>],
    slopes: &[Batch],
    key: Key,
) -> f64 {
    let outputs = slopes[0].columns();
    let mut stream = key.branch("cotangents").stream();
    let mut cosines = Vec::new();
    for _ in 0..8 {
        let weights: Vec<f32> = (0..outputs).map(|_| stream.normal()).collect();
        let cotangents = Batch::from_fn(points.rows(), outputs, |_, output| weights[output]);
        let pulled = twin.pull_back(points, controls, &cotangents).inputs;
        for row in 0..points.rows() {
            let believed: Vec<f64> = directions
                .iter()
                .map(|direction| pulled.row(row).iter().zip(direction).map(|(g, d)| f64::from(g * d)).sum())
                .collect();
            let measured: Vec<f64> = slopes
                .iter()
                .map(|slope| slope.row(row).iter().zip(&weights).map(|(s, w)| 0.5 * f64::from(s * w)).sum())
                .collect();
            let norm = (dot(&believed, &believed) * dot(&measured, &measured)).sqrt();
            cosines.push(if norm > 0.0 { dot(&believed, &measured) / norm } else { 0.0 });
        }
    }
    mean(&cosines)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn difference(a: &Batch, b: &Batch) -> Batch {
    Batch::from_fn(a.rows(), a.columns(), |row, column| a.row(row)[column] - b.row(row)[column])
}

/// Root mean square in full scales.
fn rms(batch: &Batch, scales: &[f64]) -> f64 {
    let squares =
        batch.values().iter().zip(scales.iter().cycle()).map(|(value, scale)| (f64::from(*value) / scale).powi(2));
    (squares.sum::<f64>() / batch.values().len().max(1) as f64).sqrt()
}

/// (Σλ)²/Σλ² of the covariance of the outputs.
fn effective_rank(read: &Batch, scales: &[f64]) -> f64 {
    let (rows, columns) = (read.rows(), read.columns());
    let mut values = DMatrix::from_fn(rows, columns, |row, column| f64::from(read.row(row)[column]) / scales[column]);
    for mut column in values.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    // The smaller of the two products has the same eigenvalues.
    let product = if rows < columns { &values * values.transpose() } else { values.transpose() * &values };
    let trace = product.trace();
    trace * trace / product.norm_squared().max(f64::MIN_POSITIVE)
}

/// Span of the readings over the range of their port, median port.
fn range_use(read: &Batch, ranges: &[Range]) -> f64 {
    let mut uses: Vec<f64> = (0..read.columns())
        .map(|column| {
            let values = || read.iter().map(|row| row[column]);
            let span = values().fold(f32::MIN, f32::max) - values().fold(f32::MAX, f32::min);
            f64::from(span) / f64::from(ranges[column].span()).max(f64::MIN_POSITIVE)
        })
        .collect();
    uses.sort_by(f64::total_cmp);
    crate::score::median(&uses)
}

#[cfg(test)]
mod tests {
    use sims::{Optical, OpticalImperfections, Simulated};

    use super::*;

    #[test]
    fn the_default_bench_trains_and_a_dark_one_says_why_not() {
        let built = Optical::default().build().unwrap();
        let found = check_trainable(&mut Simulated::new(built.system.clone()), &*built.twin, 3, Key::new(1)).unwrap();
        assert!(found.trainable(), "{found:?}");
        assert_eq!(found.shots, trainable_shots(&built.twin.card().ports, 3));
        let ideal = check_trainable(&mut Simulated::new(built.system), &*built.ideal, 3, Key::new(1)).unwrap();
        assert!(ideal.gradient_cosine > found.gradient_cosine && 0.9 < ideal.gradient_cosine, "{ideal:?}");
        let imperfections = OpticalImperfections { pixel_noise: 0.1, ..OpticalImperfections::default() };
        let dark = Optical { exposure: 0.001, imperfections, ..Optical::default() }.build().unwrap();
        let found = check_trainable(&mut Simulated::new(dark.system), &*dark.twin, 3, Key::new(1)).unwrap();
        assert!(!found.trainable() && found.why_not[0].contains("hardly follow the inputs"), "{found:?}");
    }
}
