//! A circuit made ready to run in one precision: drive line, time loop and reading, forward and backward.
//!
//! Shapes: waves are `[samples · chunks]` lanes (see [`blocks`](crate::blocks)).
//!
//! ```text
//! v_in = gain_d·x + offset_d            y_n = gain_r·((1 − χ)·v_n + χ·v_{n−1}) + offset_r, within ± full scale
//! ```

#![allow(clippy::inline_always)] // The time loops must be compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

use super::{
    circuit::{Circuit, Line, Shape},
    kernel::{self, Slopes, State},
    law::{Blend, Junction, Polynomial},
    step::Step,
};
use crate::{LANES, Lanes, Real};

/// Drift moves the device's bias by millivolts; over this span, in V, the point of rest moves along a straight line.
const SPAN: f64 = 1e-3;

/// A circuit in one precision.
#[derive(Debug, Clone)]
pub(super) struct Solver<S> {
    pub samples: usize,
    pub substeps: usize,
    step: Step<S>,
    shape: Shape,
    drive: [S; 2],
    reading: [S; 2],
    crosstalk: S,
    full_scale: S,
    /// Exponent, node voltage and Δ at rest.
    rest: [S; 3],
    /// What a volt of device bias adds to each of them.
    shift: [S; 3],
}

impl<S: Real> Solver<S> {
    /// `circuit` in this precision. At rest its input lies at what the DAC gives for 0 V.
    pub fn new(circuit: &Circuit<S::Wide>) -> Self {
        let line = |line: Line<S::Wide>| [S::nearest(line.gain), S::nearest(line.offset)];
        let idle = circuit.drive.offset;
        let rest_at = |shift: f64| {
            let node = circuit.rest(idle, shift);
            let current = circuit.rest_current(node, shift) * S::Wide::of(circuit.step_seconds) / circuit.farad;
            [S::Wide::of(circuit.exponent(shift)), node, current]
        };
        let (rest, low, high) = (rest_at(0.0), rest_at(-SPAN), rest_at(SPAN));
        Self {
            samples: circuit.samples,
            substeps: circuit.substeps,
            step: Step::new(circuit),
            shape: circuit.shape(),
            drive: line(circuit.drive),
            reading: line(circuit.reading),
            crosstalk: S::nearest(circuit.crosstalk),
            full_scale: S::of(circuit.full_scale_volts),
            rest: rest.map(S::nearest),
            shift: std::array::from_fn(|part| S::nearest((high[part] - low[part]) / S::Wide::of(2.0 * SPAN))),
        }
    }

    /// A chunk at rest, its shots' device biases off by `shift`, in V.
    #[inline(always)]
    pub fn at_rest(&self, shift: &Lanes<S>) -> State<S> {
        let part = |part: usize| shift.map(|shift| self.shift[part].mul_add(shift, self.rest[part]));
        State { exponent: part(0), node: part(1), current: part(2), memory: part(1) }
    }

    /// Runs the circuit from `states`: voltages asked of the DAC become node voltages.
    #[inline(always)]
    pub fn run<const TAPE: bool>(&self, states: &mut [State<S>], wave: &mut [Lanes<S>], tape: &mut [Slopes<S>]) {
        let [gain, offset] = self.drive;
        for volts in wave.as_flattened_mut() {
            *volts = gain.mul_add(*volts, offset);
        }
        match self.shape {
            Shape::Polynomial => kernel::run::<S, Polynomial, TAPE>(&self.step, self.substeps, states, wave, tape),
            Shape::Junction => kernel::run::<S, Junction, TAPE>(&self.step, self.substeps, states, wave, tape),
            Shape::Blend => kernel::run::<S, Blend, TAPE>(&self.step, self.substeps, states, wave, tape),
        }
    }

    /// The adjoint of [`run`](Self::run): cotangents of node voltages become gradients for what was asked of the DAC.
    #[inline(always)]
    pub fn run_back(&self, states: &mut [State<S>], wave: &mut [Lanes<S>], tape: &[Slopes<S>]) {
        let zero = [S::of(0.0); LANES];
        states.fill(State { current: zero, node: zero, memory: zero, exponent: zero });
        match self.shape {
            Shape::Polynomial => kernel::run_back::<S, Polynomial>(&self.step, self.substeps, states, wave, tape),
            Shape::Junction => kernel::run_back::<S, Junction>(&self.step, self.substeps, states, wave, tape),
            Shape::Blend => kernel::run_back::<S, Blend>(&self.step, self.substeps, states, wave, tape),
        }
        let gain = self.drive[0];
        for gradient in wave.as_flattened_mut() {
            *gradient = *gradient * gain;
        }
    }

    /// What the ADC sees of a node at `now` V that was at `before` V one sample ago, not yet clipped.
    #[inline(always)]
    pub fn reading(&self, now: S, before: S) -> S {
        let [gain, offset] = self.reading;
        gain.mul_add(self.crosstalk.mul_add(before - now, now), offset)
    }

    /// Turns node voltages into readings, clipped at full scale. `rest` holds the nodes before the first sample.
    #[inline(always)]
    pub fn read(&self, rest: &[Lanes<S>], wave: &mut [Lanes<S>]) {
        let chunks = rest.len();
        for (chunk, rest) in rest.iter().enumerate() {
            let mut before = *rest;
            for nodes in wave[chunk..].iter_mut().step_by(chunks) {
                let now = *nodes;
                for lane in 0..LANES {
                    let reading = self.reading(now[lane], before[lane]);
                    nodes[lane] = reading.max(-self.full_scale).min(self.full_scale);
                }
                before = now;
            }
        }
    }

    /// The adjoint of [`read`](Self::read): cotangents of readings become cotangents of the nodes in `wave`.
    ///
    /// A clipped reading does not move: its cotangent is dropped.
    #[inline(always)]
    pub fn read_back(&self, rest: &[Lanes<S>], wave: &[Lanes<S>], cotangents: &mut [Lanes<S>]) {
        let chunks = rest.len();
        let own = self.reading[0] * (S::of(1.0) - self.crosstalk);
        let next = self.reading[0] * self.crosstalk;
        for (chunk, rest) in rest.iter().enumerate() {
            let mut after = [S::of(0.0); LANES];
            for sample in (0..self.samples).rev() {
                let index = sample * chunks + chunk;
                let before = if sample == 0 { rest } else { &wave[index - chunks] };
                let (now, cotangent) = (&wave[index], &mut cotangents[index]);
                for lane in 0..LANES {
                    let reading = self.reading(now[lane], before[lane]);
                    let given = cotangent[lane];
                    let kept = if reading.abs() <= self.full_scale { given } else { S::of(0.0) };
                    cotangent[lane] = own.mul_add(kept, next * after[lane]);
                    after[lane] = kept;
                }
            }
        }
    }
}
