//! The recurrent network with attention as the twin of a nonlinear transmission line, learned from its equation alone, or from the equation and
//! recorded shots.
//!
//! ```text
//! encoder reads of sample i, at the time t:  mᵢ·driveᵢ, place, mᵢ, t − i        mᵢ = t − i between 0 and 1: how much of it has been driven
//! decoder reads of section n:                place, biasₙ, t − n, 1             and gives v and j = Z₀·i there
//! ```
//!
//! The equation is that of finite volumes with upwind fluxes ([`sims::LineVolumes`]): the mean square of ∂(v, j)/∂t less what it says, at times
//! within the shot, the time derivative being the network's own; and v = j = 0 at its start. A reading is v at the end of a shot. Drive and bias
//! are drawn white over their ranges. Shapes as in [`super::attentive`].

use drivers::{Batch, Card, Direction, Range};
use nalgebra::DMatrix;
use rayon::prelude::*;
use sims::{LineVolumes, Pullback, Stream, Twin};

use super::attentive::{Asked, Attentive, Sizes};
use super::twins::{Learns, Training};
use crate::{Error, Trace};

/// Shots that are computed together.
const BLOCK: usize = 32;
/// The factor of the initial values in the loss.
const START: f64 = 3.0;

/// The twin.
#[derive(Debug, Clone)]
pub struct LineTwin {
    card: Card,
    law: LineVolumes,
    network: Attentive<f32>,
}

/// One shot at one time, in samples.
#[derive(Debug, Clone)]
struct Moment {
    time: f64,
    drive: Vec<f64>,
    bias: Vec<f64>,
    /// Readings of the end, where the shot was recorded.
    readings: Option<Vec<f64>>,
}

/// A twin with what it learns from.
struct Learner<'a> {
    twin: &'a mut LineTwin,
    trace: Option<&'a Trace>,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

impl LineTwin {
    /// Learns the line of `law`, which has one input a sample, one control and one output a section: from the equation alone, or from shots as
    /// well. `goes_on` hears of each update and its loss.
    pub fn learn(
        card: &Card,
        law: LineVolumes,
        trace: Option<&Trace>,
        (hidden, training): (usize, &Training),
        goes_on: &mut dyn FnMut(usize, f64) -> bool,
    ) -> Result<Self, Error> {
        let ports = &card.ports;
        let counts = [ports.input_count(), ports.control_count(), ports.output_count()];
        if counts.iter().any(|count| *count != law.sections()) {
            let sections = law.sections();
            return Err(Error::fit(format!(
                "of a line of {sections} sections needs an input, a control and an output for each, and the plant has {counts:?}"
            )));
        }
        let sizes = Sizes { context: 2, encoder: 4, decoder: 4, hidden, outputs: 2, bounded: false };
        let network = Attentive::new(sizes, training.key.branch("weights"));
        let mut twin = Self { card: card.clone(), law, network };
        Learner { twin: &mut twin, trace }.descend(training, goes_on);
        Ok(twin)
    }

    /// How many weights it has.
    pub fn size(&self) -> usize {
        self.network.size()
    }

    /// What the network is asked; `moving` with derivatives by time, in samples.
    fn asked(&self, moments: &[Moment], moving: bool) -> Asked<f32> {
        let (batch, count) = (moments.len(), self.law.sections());
        let columns = if moving { 2 * batch } else { batch };
        let end = count as f64;
        let place = |index: usize| 2.0 * index as f64 / (count - 1).max(1) as f64 - 1.0;
        let ranges = self.card.ports.ranges(Direction::Control);
        let wave = |rows: usize, of: &dyn Fn(&Moment, usize) -> [f64; 2]| {
            DMatrix::from_fn(rows, columns, |row, column| {
                of(&moments[column % batch], row)[usize::from(batch <= column)] as f32
            })
        };
        let since = |moment: &Moment, index: usize| [2.0 * (moment.time - index as f64) / end, 2.0 / end];
        let driven = |moment: &Moment, index: usize| {
            let along = moment.time - index as f64;
            [along.clamp(0.0, 1.0), f64::from(u8::from(0.0 < along && along < 1.0))]
        };
        let bias = |moment: &Moment, index: usize| {
            let Range { low, high } = ranges[index];
            let (low, high) = (f64::from(low), f64::from(high));
            2.0 * (moment.bias[index] - low) / (high - low).max(f64::MIN_POSITIVE) - 1.0
        };
        Asked {
            batch,
            context: wave(2, &|moment, row| match row {
                0 => [1.0, 0.0],
                _ => [2.0 * moment.time / end - 1.0, 2.0 / end],
            }),
            read: (0..count)
                .map(|index| {
                    wave(4, &|moment, row| match row {
                        0 => driven(moment, index).map(|share| share * moment.drive[index]),
                        1 => [place(index), 0.0],
                        2 => driven(moment, index),
                        _ => since(moment, index),
                    })
                })
                .collect(),
            nodes: (0..count)
                .map(|index| {
                    wave(4, &|moment, row| match row {
                        0 => [place(index), 0.0],
                        1 => [bias(moment, index), 0.0],
                        2 => since(moment, index),
                        _ => [1.0, 0.0],
                    })
                })
                .collect(),
        }
    }

    /// Shots at their end.
    fn ends(&self, inputs: &Batch, shots: std::ops::Range<usize>, controls: &[f32]) -> Vec<Moment> {
        let time = self.law.sections() as f64;
        let of = |shot| Moment { time, drive: wide(inputs.row(shot)), bias: wide(controls), readings: None };
        shots.map(of).collect()
    }
}

impl Learns<f32> for Learner<'_> {
    type Batch = Vec<Moment>;

    fn draw(&self, training: &Training, stream: &mut Stream) -> Vec<Moment> {
        let ports = &self.twin.card.ports;
        let end = self.twin.law.sections() as f64;
        let mut white = |direction: Direction| -> Vec<f64> {
            ports.ranges(direction).iter().map(|range| f64::from(range.at(stream.uniform()))).collect()
        };
        let mut moments: Vec<Moment> = (0..training.batch)
            .map(|_| {
                let (drive, bias) = (white(Direction::Input), white(Direction::Control));
                Moment { time: 0.0, drive, bias, readings: None }
            })
            .collect();
        // One in eight stays at the start.
        for (place, moment) in moments.iter_mut().enumerate() {
            moment.time = if place % 8 == 0 { 0.0 } else { end * f64::from(stream.uniform()) };
        }
        // With recorded shots half as many again.
        for _ in 0..self.trace.map_or(0, |_| training.batch / 2) {
            let Some(trace) = self.trace else { break };
            let shot = stream.below(trace.shots());
            moments.push(Moment {
                time: end,
                drive: wide(trace.inputs.row(shot)),
                bias: wide(trace.controls(shot)),
                readings: Some(wide(trace.outputs.row(shot))),
            });
        }
        moments
    }

    fn loss(&self, moments: &Vec<Moment>) -> (f64, Vec<DMatrix<f32>>) {
        let (twin, batch) = (&*self.twin, moments.len());
        let sections = twin.law.sections();
        let (outputs, passed) = twin.network.forward(&twin.asked(moments, true));
        let mut wanted = vec![DMatrix::zeros(2, 2 * batch); sections];
        let recorded = moments.iter().filter(|moment| moment.readings.is_some()).count();
        let share = 1.0 / ((batch - recorded).max(1) * sections) as f64;
        let of_shots = 1.0 / (recorded.max(1) * sections) as f64;
        let mut loss = 0.0;
        for (sample, moment) in moments.iter().enumerate() {
            let column = |column: usize| -> [Vec<f64>; 2] {
                [0, 1].map(|part| outputs.iter().map(|output| f64::from(output[(part, column)])).collect())
            };
            let state = column(sample);
            if let Some(readings) = &moment.readings {
                for (section, (v, reading)) in state[0].iter().zip(readings).enumerate() {
                    loss += of_shots * (v - reading).powi(2);
                    wanted[section][(0, sample)] = (2.0 * of_shots * (v - reading)) as f32;
                }
            } else if moment.time == 0.0 {
                for (part, values) in state.iter().enumerate() {
                    for (section, value) in values.iter().enumerate() {
                        loss += START * share * value * value;
                        wanted[section][(part, sample)] = (2.0 * START * share * value) as f32;
                    }
                }
            } else {
                let drive = moment.drive[(moment.time as usize).min(sections - 1)];
                let rates = column(batch + sample);
                let (residual, of_state, of_rates) = twin.law.residual(drive, &moment.bias, &state, &rates);
                loss += share * residual;
                for (section, wanted) in wanted.iter_mut().enumerate() {
                    for part in 0..2 {
                        wanted[(part, sample)] = (share * of_state[part][section]) as f32;
                        wanted[(part, batch + sample)] = (share * of_rates[part][section]) as f32;
                    }
                }
            }
        }
        (loss, twin.network.back(&passed, &wanted).0.into_matrices())
    }

    fn weights(&mut self) -> Vec<&mut DMatrix<f32>> {
        self.twin.network.matrices_mut()
    }
}

impl Twin for LineTwin {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        let sections = self.law.sections();
        let ranges = self.card.ports.ranges(Direction::Output);
        let mut predicted = Batch::zeros(inputs.rows(), sections);
        predicted.values_mut().par_chunks_mut(BLOCK * sections).enumerate().for_each(|(block, rows)| {
            let first = block * BLOCK;
            let moments = self.ends(inputs, first..first + rows.len() / sections, controls);
            let (found, _) = self.network.forward(&self.asked(&moments, false));
            for (shot, row) in rows.chunks_exact_mut(sections).enumerate() {
                for ((value, found), range) in row.iter_mut().zip(&found).zip(&ranges) {
                    *value = found[(0, shot)].clamp(range.low, range.high);
                }
            }
        });
        predicted
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let sections = self.law.sections();
        let [of_bias, of_outputs] = [Direction::Control, Direction::Output].map(|way| self.card.ports.ranges(way));
        let mut gradients = Batch::zeros(inputs.rows(), sections);
        let blocks = gradients.values_mut().par_chunks_mut(BLOCK * sections).enumerate();
        let sums: Vec<Vec<f64>> = blocks
            .map(|(block, rows)| {
                let (first, shots) = (block * BLOCK, rows.len() / sections);
                let moments = self.ends(inputs, first..first + shots, controls);
                let (found, passed) = self.network.forward(&self.asked(&moments, false));
                let wanted: Vec<DMatrix<f32>> = found
                    .iter()
                    .zip(&of_outputs)
                    .enumerate()
                    .map(|(section, (found, range))| {
                        DMatrix::from_fn(2, shots, |part, shot| {
                            let inside = (range.low..=range.high).contains(&found[(0, shot)]);
                            if part == 0 && inside { cotangents.row(first + shot)[section] } else { 0.0 }
                        })
                    })
                    .collect();
                let (_, of_asked) = self.network.back(&passed, &wanted);
                // At the end of a shot all samples have been driven.
                for (sample, wave) in of_asked.read.iter().enumerate() {
                    for shot in 0..shots {
                        rows[shot * sections + sample] = wave[(0, shot)];
                    }
                }
                let sum = |wave: &DMatrix<f32>| wave.row(1).iter().map(|slope| f64::from(*slope)).sum::<f64>();
                let half = |range: &Range| 0.5 * f64::from(range.high - range.low).max(f64::MIN_POSITIVE);
                of_asked.nodes.iter().zip(&of_bias).map(|(wave, range)| sum(wave) / half(range)).collect()
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
    use sims::{Equations, Key};

    use super::*;
    use crate::Agreement;

    /// A line of four sections.
    fn line() -> (LineVolumes, std::sync::Arc<dyn Twin>) {
        let text = include_str!("../../../hil/rigs/systems/line-volumes.toml");
        let text =
            text.replace("size = 32", "size = 4").replace("k == 31", "k == 3").replace("samples = 32", "samples = 4");
        let system = Equations::from_text("line-volumes.toml", &text);
        (LineVolumes::of(&system).unwrap(), system.build().unwrap().twin)
    }

    fn training(updates: usize) -> Training {
        Training { updates, batch: 16, rate: 1e-2, key: Key::new(1) }
    }

    fn drawn(stream: &mut Stream) -> (Batch, Vec<f32>) {
        let inputs = Batch::from_fn(40, 4, |_, _| 1.6 * stream.uniform() - 0.8);
        (inputs, (0..4).map(|_| 0.6 + stream.uniform()).collect())
    }

    #[test]
    fn the_equation_alone_teaches_what_its_integration_says() {
        let (law, volumes) = line();
        let learned = LineTwin::learn(volumes.card(), law, None, (12, &training(400)), &mut |_, _| true).unwrap();
        let (inputs, bias) = drawn(&mut Key::new(5).stream());
        let [own, other] = [volumes.predict(&inputs, &bias), learned.predict(&inputs, &bias)];
        let error = Agreement::between(&own, &other).relative_error();
        assert!(error < 0.5, "{error}");
    }

    #[test]
    fn gradients_are_slopes() {
        let (law, volumes) = line();
        let twin = LineTwin::learn(volumes.card(), law, None, (6, &training(30)), &mut |_, _| true).unwrap();
        let mut stream = Key::new(6).stream();
        let (inputs, bias) = drawn(&mut stream);
        let wanted = Batch::from_fn(40, 4, |_, _| stream.normal());
        let loss = |inputs: &Batch, bias: &[f32]| {
            let found = twin.predict(inputs, bias);
            found.values().iter().zip(wanted.values()).map(|(a, b)| f64::from(a * b)).sum::<f64>()
        };
        let pulled = twin.pull_back(&inputs, &bias, &wanted);
        for port in 0..4 {
            let moved = |by: f32| {
                let mut bias = bias.clone();
                bias[port] += by;
                loss(&inputs, &bias)
            };
            let (slope, found) = ((moved(0.02) - moved(-0.02)) / 0.04, f64::from(pulled.controls[port]));
            assert!((found - slope).abs() < 0.03 * slope.abs().max(0.3), "bias: {found} for {slope}");
            let moved = |by: f32| {
                let mut inputs = inputs.clone();
                inputs.values_mut()[39 * 4 + port] += by;
                loss(&inputs, &bias)
            };
            let (slope, found) = ((moved(0.02) - moved(-0.02)) / 0.04, f64::from(pulled.inputs.row(39)[port]));
            assert!((found - slope).abs() < 0.03 * slope.abs().max(0.1), "input: {found} for {slope}");
        }
    }

    #[test]
    fn the_loss_has_the_slopes_that_are_followed() {
        let (law, volumes) = line();
        let mut twin = LineTwin::learn(volumes.card(), law, None, (5, &training(5)), &mut |_, _| true).unwrap();
        let (inputs, bias) = drawn(&mut Key::new(7).stream());
        let mut moments = twin.ends(&inputs, 0..3, &bias);
        (moments[0].time, moments[1].time) = (0.0, 1.6);
        moments[2].readings = Some(vec![0.1, -0.2, 0.3, 0.0]);
        let loss = |twin: &mut LineTwin| Learner { twin, trace: None }.loss(&moments);
        let (_, gradient) = loss(&mut twin);
        // The outputs' weights and the encoder's, in single precision.
        for (index, place) in [(16, 0), (16, 3), (4, 2), (12, 1)] {
            let moved = |by: f32| {
                let mut twin = twin.clone();
                twin.network.matrices_mut()[index][place] += by;
                loss(&mut twin).0
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let found = f64::from(gradient[index][place]);
            assert!((found - slope).abs() < 0.02 * slope.abs().max(1e-3), "{index}: {found} for {slope}");
        }
    }

    #[test]
    fn a_line_of_other_sections_is_refused() {
        let (law, _) = line();
        let card = crate::trace::tests::card(4, 3, 4);
        let refused = LineTwin::learn(&card, law, None, (4, &training(1)), &mut |_, _| true).err();
        assert!(refused.is_some_and(|error| error.to_string().contains("4 sections")));
    }
}
