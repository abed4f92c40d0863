//! The simulated bench: the circuit with its own components, and everything random, rounded or drifting around it.
//!
//! A shot's noise and jitter depend on the shot's number, its temperature on its own time:
//!
//! ```text
//! ϑ(t) = swing·(0.7·sin(2π(t/P + φ₁)) + 0.3·sin(2π(1.618·t/P + φ₂)))
//! u(t) = u + (2 mV/K)·ϑ/V_s         gain(t) = gain·(1 + k·ϑ)
//! s_n = v(t_n + delay), interpolated          y_n = ADC(gain(t)·crosstalk(s_n, s_{n−1}) + offset + noise)
//! ```
//!
//! Shapes: inputs and outputs `[shots, samples]`, in V.

#![allow(clippy::inline_always)] // The sample loops must be compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane\'s number walks several arrays side by side.

use std::f32::consts::TAU;

use drivers::{Batch, Card};
use pulp::WithSimd;
use rayon::prelude::*;

use super::{
    ElectricalImperfections,
    circuit::Circuit,
    model::{Pool, Scratch},
    solver::Solver,
};
use crate::{Converter, Key, LANES, Lanes, Moment, Real, System, blocks, random::normal_pair};

/// The number pair that a shot's trigger delay comes from; its samples use the pairs from 0.
const DELAY_PAIR: u32 = u32::MAX;
/// The second swing's frequency in those of the first: the golden ratio, so that the two never repeat together.
const SECOND_SWING: f64 = 1.618_033_988_749_895;

/// The bench-fidelity electrical system.
#[derive(Debug)]
pub(super) struct Bench {
    pub card: Card,
    pub solver: Solver<f32>,
    /// What the solver is made of, and anew for each bias.
    pub circuit: Circuit,
    pub imperfections: ElectricalImperfections,
    pub dac: Converter,
    pub adc: Converter,
    /// The converter of the bias.
    pub bias: Converter,
    /// Seconds from one sample to the next.
    pub sample_seconds: f64,
    /// Where the two swings of the temperature begin, in turns.
    pub phases: [f64; 2],
    /// The branch of the seeds that all shots' numbers come from.
    pub shots: Key,
    pub pool: Pool,
}

/// What is different from shot to shot in a chunk.
struct Shots {
    keys: [Key; LANES],
    /// Above room temperature, in K.
    warmth: Lanes<f32>,
    /// Parts of the next and of the previous sample in each reading, from the trigger's delay (1).
    late: Lanes<f32>,
    early: Lanes<f32>,
}

impl System for Bench {
    fn card(&self) -> &Card {
        &self.card
    }

    fn settle(&self, controls: &[f32]) -> Vec<f32> {
        controls.iter().map(|volts| self.bias.convert(*volts)).collect()
    }

    fn shoot(&self, inputs: &Batch, controls: &[f32], moment: Moment) -> Batch {
        let biased = (!controls.is_empty()).then(|| Solver::new(&self.circuit.biased(controls)));
        let solver = biased.as_ref().unwrap_or(&self.solver);
        let samples = self.solver.samples;
        let mut outputs = Batch::zeros(inputs.rows(), samples);
        let bytes = size_of::<Lanes<f32>>() * samples;
        let block = LANES * blocks::chunks_per_block(inputs.rows(), rayon::current_num_threads(), bytes);
        let blocks = outputs.values_mut().par_chunks_mut(block * samples);
        blocks.zip(inputs.values().par_chunks(block * samples)).enumerate().for_each(|(index, (outputs, inputs))| {
            let first = index * block;
            self.pool.lend(|scratch| {
                pulp::Arch::new().dispatch(Shoot { bench: self, solver, scratch, inputs, outputs, moment, first });
            });
        });
        outputs
    }
}

/// One block of rows, the first of which is number `first` of the batch that begins at `moment`.
///
/// A type and not a closure, because only an `inline(always)` method is compiled for the vector unit found at run time.
struct Shoot<'a> {
    bench: &'a Bench,
    solver: &'a Solver<f32>,
    scratch: &'a mut Scratch<f32>,
    inputs: &'a [f32],
    outputs: &'a mut [f32],
    moment: Moment,
    first: usize,
}

impl WithSimd for Shoot<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: pulp::Simd>(self, _: V) {
        let Self { bench, solver, scratch, inputs, outputs, moment, first } = self;
        let samples = solver.samples;
        let chunks = (inputs.len() / samples).div_ceil(LANES);
        let Scratch { states, rest, wave, .. } = scratch;
        wave.resize(samples * chunks, [0.0; LANES]);
        blocks::gather(inputs, samples, chunks, wave);
        for volts in wave.as_flattened_mut() {
            *volts = bench.dac.convert(*volts);
        }
        states.clear();
        rest.clear();
        for chunk in 0..chunks {
            let shots = bench.shots(moment, first + chunk * LANES);
            let bias = bench.imperfections.junction_volts_per_kelvin as f32;
            let state = solver.at_rest(&shots.warmth.map(|kelvin| bias * kelvin));
            states.push(state);
            rest.push(state.node);
        }
        solver.run::<false>(states, wave, &mut []);
        for (chunk, rest) in rest.iter().enumerate() {
            let shots = bench.shots(moment, first + chunk * LANES);
            bench.read(&shots, rest, &mut wave[chunk..], chunks);
        }
        blocks::scatter(wave, samples, chunks, outputs);
    }
}

impl Bench {
    /// What is special about the [`LANES`] shots from row `row` of the batch that begins at `moment`.
    #[inline(always)]
    fn shots(&self, moment: Moment, row: usize) -> Shots {
        let keys = std::array::from_fn(|lane| self.shots.number(moment.shots + (row + lane) as u64));
        let imperfections = &self.imperfections;
        let swing = imperfections.temperature_swing_kelvin as f32;
        let timing = &self.card.timing;
        let mut warmth = [0.0; LANES];
        if swing != 0.0 {
            for (lane, warmth) in warmth.iter_mut().enumerate() {
                let seconds = moment.seconds + timing.latency + timing.shot * (row + lane) as f64;
                let turns = seconds / imperfections.temperature_period_seconds;
                let sine = |turns: f64| Real::sin_cos((turns - turns.round()) as f32 * TAU).0;
                *warmth =
                    swing * (0.7 * sine(turns + self.phases[0]) + 0.3 * sine(turns * SECOND_SWING + self.phases[1]));
            }
        }
        let mut late = [0.0; LANES];
        let mut early = [0.0; LANES];
        if imperfections.jitter_seconds != 0.0 {
            let delays = normal_pair(&keys, DELAY_PAIR)[0];
            let rms = (imperfections.jitter_seconds / self.sample_seconds) as f32;
            late = delays.map(|delay| Real::min(Real::max(rms * delay, 0.0), 1.0));
            early = delays.map(|delay| Real::min(Real::max(-rms * delay, 0.0), 1.0));
        }
        Shots { keys, warmth, late, early }
    }

    /// Turns one chunk's node voltages into readings; its samples lie `stride` lanes apart in `wave`.
    #[inline(always)]
    fn read(&self, shots: &Shots, rest: &Lanes<f32>, wave: &mut [Lanes<f32>], stride: usize) {
        let noise = self.imperfections.noise_volts as f32;
        let drift = shots.warmth.map(|kelvin| self.imperfections.gain_per_kelvin as f32 * kelvin);
        let samples = self.solver.samples;
        let (mut before, mut seen_before) = (*rest, *rest);
        let mut spare = [0.0; LANES];
        for sample in 0..samples {
            let normals = if noise == 0.0 {
                [0.0; LANES]
            } else if sample % 2 == 0 {
                let [first, second] = normal_pair(&shots.keys, sample as u32 / 2);
                spare = second;
                first
            } else {
                spare
            };
            let now = wave[sample * stride];
            // The drive ends with the last sample, and the trigger's delay finds the node where it was.
            let next = if sample + 1 < samples { wave[(sample + 1) * stride] } else { now };
            let to = &mut wave[sample * stride];
            for lane in 0..LANES {
                let [now, next, before] = [now[lane], next[lane], before[lane]];
                let later = shots.late[lane].mul_add(next - now, now);
                let seen = shots.early[lane].mul_add(before - now, later);
                let clean = self.solver.reading(seen, seen_before[lane]);
                let drifted = clean.mul_add(drift[lane], clean);
                to[lane] = self.adc.convert(noise.mul_add(normals[lane], drifted));
                seen_before[lane] = seen;
            }
            before = now;
        }
    }
}
