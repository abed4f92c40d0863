//! The recurrent network with attention as the twin of a plant whose inputs are a sequence in and whose outputs are a field: what it reads of
//! the inputs in their order, what the controls are at each node, and all nodes at once.
//!
//! ```text
//! encoder readsᵢ (xᵢ, place)        decoder readsₙ (θₙ, place)        yₙ = centerₙ + widthₙ·uₙ
//! ```
//!
//! Controls that are as many as the outputs belong to the nodes, those as many as the inputs to what is read, all others to the whole field. It
//! learns from recorded shots. Shapes: x `[shots, inputs]`, θ `[controls]`, y `[shots, outputs]`; values go in over half their range.

use drivers::{Batch, Card, Direction, Range};
use nalgebra::DMatrix;
use rayon::prelude::*;
use sims::{Pullback, Stream, Twin};

use super::attentive::{Asked, Attentive, Sizes};
use super::twins::{Learns, Training};
use crate::{Error, Trace};

/// Shots that are computed together.
const BLOCK: usize = 32;
/// Shots that a network needs at least.
const FEWEST: usize = 50;

/// Where controls go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controls {
    Nodes,
    Read,
    Whole,
}

/// What such a twin is made of, whoever's it is.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldNetwork {
    network: Attentive<f32>,
    controls: Controls,
    /// Inputs, controls and outputs of the plant.
    counts: [usize; 3],
    /// Of each output.
    center: Vec<f32>,
    width: Vec<f32>,
}

/// The twin.
#[derive(Debug, Clone)]
pub struct Surrogate {
    card: Card,
    part: FieldNetwork,
}

/// A surrogate with the shots that it learns from.
struct Learner<'a> {
    surrogate: &'a mut Surrogate,
    trace: &'a Trace,
}

fn halves(range: Range) -> (f32, f32) {
    let half = 0.5 * (range.high - range.low);
    (range.low + half, if half == 0.0 { 1.0 } else { half })
}

/// From −1 to 1 along `count` places.
fn place(index: usize, count: usize) -> f32 {
    if count < 2 { 0.0 } else { 2.0 * index as f32 / (count - 1) as f32 - 1.0 }
}

impl Controls {
    /// Of a plant with so many inputs, controls and outputs.
    fn of([inputs, controls, outputs]: [usize; 3]) -> Self {
        match controls {
            count if count == outputs => Self::Nodes,
            count if count == inputs => Self::Read,
            _ => Self::Whole,
        }
    }

    /// The sizes of the network.
    fn sizes(self, controls: usize, hidden: usize) -> Sizes {
        let one_if = |is: bool| usize::from(is && 0 < controls);
        Sizes {
            context: 1 + if self == Self::Whole { controls } else { 0 },
            encoder: 2 + one_if(self == Self::Read),
            decoder: 2 + one_if(self == Self::Nodes),
            hidden,
            outputs: 1,
            bounded: false,
        }
    }
}

impl FieldNetwork {
    /// How many inputs, controls and outputs the plant has.
    pub fn counts(&self) -> [usize; 3] {
        self.counts
    }

    /// Its numbers: centers, widths, then the matrices of the network, each column after column.
    pub fn plain(&self) -> Vec<Vec<f32>> {
        let matrices = self.network.matrices().into_iter().map(|matrix| matrix.as_slice().to_vec());
        [self.center.clone(), self.width.clone()].into_iter().chain(matrices).collect()
    }

    /// The network of a plant with so many inputs, controls and outputs; `None` where the numbers are not those of one.
    pub fn from_plain(counts: [usize; 3], plain: &[Vec<f32>]) -> Option<Self> {
        let [center, width, matrices @ ..] = plain else { return None };
        let controls = Controls::of(counts);
        let hidden = matrices.get(1)?.len();
        let network = Attentive::of_matrices(controls.sizes(counts[1], hidden), matrices)?;
        let fits = center.len() == counts[2] && width.len() == counts[2];
        fits.then(|| Self { network, controls, counts, center: center.clone(), width: width.clone() })
    }
}

impl Surrogate {
    /// The twin of the plant of `card`.
    pub fn new(card: Card, part: FieldNetwork) -> Self {
        Self { card, part }
    }

    /// What it is made of.
    pub fn part(&self) -> &FieldNetwork {
        &self.part
    }

    /// Learns from the shots of a trace; `goes_on` hears of each update and its loss.
    pub fn learn(
        trace: &Trace,
        hidden: usize,
        training: &Training,
        goes_on: &mut dyn FnMut(usize, f64) -> bool,
    ) -> Result<Self, Error> {
        if trace.shots() < FEWEST {
            return Err(Error::TooFew {
                procedure: "piann",
                what: "stimuli",
                needed: FEWEST,
                given: trace.shots(),
                held_out: 0,
            });
        }
        let ports = &trace.card.ports;
        let counts = [ports.input_count(), ports.control_count(), ports.output_count()];
        let place = Controls::of(counts);
        let (sizes, outputs) = (place.sizes(counts[1], hidden), counts[2]);
        let count = trace.shots() as f32;
        let (mut center, mut width) = (vec![0.0; outputs], vec![0.0; outputs]);
        for row in &trace.outputs {
            center.iter_mut().zip(row).for_each(|(center, value)| *center += value / count);
        }
        for row in &trace.outputs {
            width.iter_mut().zip(row).zip(&center).for_each(|((width, value), center)| {
                *width += (value - center).powi(2) / count;
            });
        }
        // One width for all: a field has one unit.
        let common = (width.iter().sum::<f32>() / outputs.max(1) as f32).sqrt().max(f32::MIN_POSITIVE);
        let network = Attentive::new(sizes, training.key.branch("weights"));
        let part = FieldNetwork { network, controls: place, counts, center, width: vec![common; outputs] };
        let mut surrogate = Self { card: trace.card.clone(), part };
        Learner { surrogate: &mut surrogate, trace }.descend(training, goes_on);
        Ok(surrogate)
    }

    /// How many weights it has.
    pub fn size(&self) -> usize {
        self.part.network.size()
    }

    /// What the network is asked, of shots with controls of their own.
    fn asked<'a>(&self, shots: usize, row: impl Fn(usize) -> (&'a [f32], &'a [f32])) -> Asked<f32> {
        let ports = &self.card.ports;
        let ranges = [Direction::Input, Direction::Control]
            .map(|direction| ports.ranges(direction).into_iter().map(halves).collect::<Vec<_>>());
        let scaled = |value: f32, (middle, half): (f32, f32)| (value - middle) / half;
        let list = |count: usize, features: usize, of: &dyn Fn(usize, usize, usize) -> f32| {
            (0..count).map(|at| DMatrix::from_fn(features, shots, |feature, shot| of(at, feature, shot))).collect()
        };
        let control = |at: usize, shot: usize| scaled(row(shot).1[at], ranges[1][at]);
        let sizes = self.part.network.sizes();
        let (inputs, outputs) = (ports.input_count(), ports.output_count());
        Asked {
            batch: shots,
            context: DMatrix::from_fn(sizes.context, shots, |feature, shot| {
                if feature == 0 { 1.0 } else { control(feature - 1, shot) }
            }),
            read: list(inputs, sizes.encoder, &|at, feature, shot| match feature {
                0 => scaled(row(shot).0[at], ranges[0][at]),
                1 => place(at, inputs),
                _ => control(at, shot),
            }),
            nodes: list(outputs, sizes.decoder, &|at, feature, shot| match feature {
                0 => place(at, outputs),
                1 => 1.0,
                _ => control(at, shot),
            }),
        }
    }

    /// Gradients for inputs and controls of what was asked, from what is wanted of it; controls are summed over the shots.
    fn unasked(&self, wanted: &Asked<f32>, shots: usize) -> (Vec<f32>, Vec<f64>) {
        let ports = &self.card.ports;
        let [of_inputs, of_controls] = [Direction::Input, Direction::Control].map(|direction| ports.ranges(direction));
        let inputs = of_inputs.len();
        let mut gradients = vec![0.0; shots * inputs];
        for (at, (wave, range)) in wanted.read.iter().zip(&of_inputs).enumerate() {
            for shot in 0..shots {
                gradients[shot * inputs + at] = wave[(0, shot)] / halves(*range).1;
            }
        }
        let sum = |wave: &DMatrix<f32>, feature: usize| wave.row(feature).iter().map(|x| f64::from(*x)).sum::<f64>();
        let controls = of_controls.iter().enumerate().map(|(at, range)| {
            let total = match self.part.controls {
                Controls::Nodes => sum(&wanted.nodes[at], 2),
                Controls::Read => sum(&wanted.read[at], 2),
                Controls::Whole => sum(&wanted.context, 1 + at),
            };
            total / f64::from(halves(*range).1)
        });
        (gradients, controls.collect())
    }
}

impl Learns<f32> for Learner<'_> {
    type Batch = Vec<usize>;

    fn draw(&self, training: &Training, stream: &mut Stream) -> Vec<usize> {
        (0..training.batch).map(|_| stream.below(self.trace.shots())).collect()
    }

    fn loss(&self, shots: &Vec<usize>) -> (f64, Vec<DMatrix<f32>>) {
        let Self { surrogate, trace } = self;
        let row = |shot: usize| (trace.inputs.row(shots[shot]), trace.controls(shots[shot]));
        let (outputs, passed) = surrogate.part.network.forward(&surrogate.asked(shots.len(), row));
        let share = 1.0 / (outputs.len() * shots.len()) as f32;
        let mut loss = 0.0;
        let wanted: Vec<DMatrix<f32>> = outputs
            .iter()
            .enumerate()
            .map(|(node, output)| {
                DMatrix::from_fn(1, shots.len(), |_, shot| {
                    let reading = trace.outputs.row(shots[shot])[node];
                    let missed = output[shot] - (reading - surrogate.part.center[node]) / surrogate.part.width[node];
                    loss += f64::from(missed * missed * share);
                    2.0 * missed * share
                })
            })
            .collect();
        (loss, surrogate.part.network.back(&passed, &wanted).0.into_matrices())
    }

    fn weights(&mut self) -> Vec<&mut DMatrix<f32>> {
        self.surrogate.part.network.matrices_mut()
    }
}

impl Twin for Surrogate {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        let outputs = self.card.ports.output_count();
        let ranges = self.card.ports.ranges(Direction::Output);
        let mut predicted = Batch::zeros(inputs.rows(), outputs);
        let blocks = predicted.values_mut().par_chunks_mut(BLOCK * outputs).enumerate();
        blocks.for_each(|(block, rows)| {
            let shots = rows.len() / outputs;
            let (found, _) =
                self.part.network.forward(&self.asked(shots, |shot| (inputs.row(block * BLOCK + shot), controls)));
            for (shot, row) in rows.chunks_exact_mut(outputs).enumerate() {
                for (node, value) in row.iter_mut().enumerate() {
                    let reading = self.part.center[node] + self.part.width[node] * found[node][shot];
                    *value = reading.clamp(ranges[node].low, ranges[node].high);
                }
            }
        });
        predicted
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let ports = &self.card.ports;
        let (width, outputs) = (ports.input_count(), ports.output_count());
        let ranges = ports.ranges(Direction::Output);
        let mut gradients = Batch::zeros(inputs.rows(), width);
        let blocks = gradients.values_mut().par_chunks_mut(BLOCK * width).enumerate();
        let sums: Vec<Vec<f64>> = blocks
            .map(|(block, rows)| {
                let shots = rows.len() / width;
                let first = block * BLOCK;
                let (found, passed) =
                    self.part.network.forward(&self.asked(shots, |shot| (inputs.row(first + shot), controls)));
                let wanted: Vec<DMatrix<f32>> = (0..outputs)
                    .map(|node| {
                        DMatrix::from_fn(1, shots, |_, shot| {
                            let reading = self.part.center[node] + self.part.width[node] * found[node][shot];
                            let inside = (ranges[node].low..=ranges[node].high).contains(&reading);
                            let wanted = cotangents.row(first + shot)[node] * self.part.width[node];
                            if inside { wanted } else { 0.0 }
                        })
                    })
                    .collect();
                let (_, of_asked) = self.part.network.back(&passed, &wanted);
                let (gradients, controls) = self.unasked(&of_asked, shots);
                rows.copy_from_slice(&gradients);
                controls
            })
            .collect();
        let mut total = vec![0.0; controls.len()];
        for sums in &sums {
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        Pullback { inputs: gradients, controls: total.into_iter().map(|sum| sum as f32).collect() }
    }
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;
    use crate::Agreement;
    use crate::trace::tests::{card, trace};

    fn training(updates: usize) -> Training {
        Training { updates, batch: 16, rate: 1e-2, key: Key::new(1) }
    }

    /// Each node has the value before it, more or less by its control.
    fn delayed(controls: usize) -> Trace {
        trace(card(4, controls, 3), [400, 1, 4], |x, k, _| {
            (0..3).map(|node| 0.5 * x[node] + 0.3 * k[node.min(k.len() - 1)] * x[node]).collect()
        })
    }

    #[test]
    fn it_learns_a_field_from_shots() {
        let trace = delayed(3);
        let learned = Surrogate::learn(&trace, 8, &training(500), &mut |_, _| true).unwrap();
        let error = Agreement::between(&trace.outputs, &trace.predict(&learned)).relative_error();
        assert!(error < 0.3, "{error}");
    }

    #[test]
    fn gradients_are_slopes_wherever_controls_go_in() {
        for controls in [3, 4, 2] {
            let twin = Surrogate::learn(&delayed(controls), 6, &training(20), &mut |_, _| true).unwrap();
            let mut stream = Key::new(2).stream();
            let inputs = Batch::from_fn(40, 4, |_, _| 0.5 * stream.normal().clamp(-1.0, 1.0));
            let theta: Vec<f32> = (0..controls).map(|_| 0.3 * stream.uniform()).collect();
            let wanted = Batch::from_fn(40, 3, |_, _| stream.normal());
            let loss = |inputs: &Batch, theta: &[f32]| {
                let found = twin.predict(inputs, theta);
                found.values().iter().zip(wanted.values()).map(|(a, b)| f64::from(a * b)).sum::<f64>()
            };
            let pulled = twin.pull_back(&inputs, &theta, &wanted);
            for control in 0..controls {
                let moved = |by: f32| {
                    let mut theta = theta.clone();
                    theta[control] += by;
                    loss(&inputs, &theta)
                };
                let slope = (moved(0.01) - moved(-0.01)) / 0.02;
                let found = f64::from(pulled.controls[control]);
                assert!((found - slope).abs() < 0.02 * slope.abs().max(0.5), "{controls}: {found} for {slope}");
            }
            // The last shot lies in a block of its own.
            for port in 0..4 {
                let moved = |by: f32| {
                    let mut inputs = inputs.clone();
                    inputs.values_mut()[39 * 4 + port] += by;
                    loss(&inputs, &theta)
                };
                let slope = (moved(0.01) - moved(-0.01)) / 0.02;
                let found = f64::from(pulled.inputs.row(39)[port]);
                assert!((found - slope).abs() < 0.02 * slope.abs().max(0.2), "{controls}: {found} for {slope}");
            }
        }
    }

    #[test]
    fn it_survives_its_numbers_and_fits_no_other_plant() {
        let twin = Surrogate::learn(&delayed(4), 5, &training(3), &mut |_, _| true).unwrap();
        let plain = twin.part().plain();
        assert_eq!(FieldNetwork::from_plain([4, 4, 3], &plain).as_ref(), Some(twin.part()));
        for counts in [[4, 4, 2], [5, 4, 3], [4, 3, 3]] {
            assert_eq!(FieldNetwork::from_plain(counts, &plain), None, "{counts:?}");
        }
        assert_eq!(FieldNetwork::from_plain([4, 4, 3], &plain[..10]), None);
        assert_eq!(FieldNetwork::from_plain([4, 4, 3], &[]), None);
    }

    #[test]
    fn too_few_shots_are_refused() {
        let few = trace(card(2, 0, 2), [20, 1, 20], |x, _, _| x.to_vec());
        let refused = Surrogate::learn(&few, 4, &training(1), &mut |_, _| true).err().map(|error| error.to_string());
        assert!(refused.is_some_and(|text| text.contains("50")));
    }
}
