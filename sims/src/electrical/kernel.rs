//! The time loop, forward and backward, over blocks of shots side by side.
//!
//! A wave is `[samples · chunks]` lanes: a sample's chunks of [`LANES`] shots follow one another. The chunks' chains of
//! substeps are independent, which hides the latency of each.
//!
//! One substep, from (Δ, v, b) under the drive x (see [`Step`] for the coefficients):
//!
//! ```text
//! Δ' = coil·Δ + gain·(x − v)        v' = v + change(v, b, Δ')        b' = b + blend·(v − b)
//! ```
//!
//! Its adjoint needs two numbers per substep, `yielding` = ∂v'/∂Δ' and `keeping` = ∂v'/∂v; the rest follows, because
//! the device sees v and b through one sum: ∂v'/∂b = −(bias/own)·(1 − load·yielding − keeping).

#![allow(clippy::inline_always)] // The time loops must be compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane\'s number walks several arrays side by side.

use super::{law::Law, step::Step};
use crate::{LANES, Lanes, Real};

/// The state of a chunk of shots.
#[derive(Debug, Clone, Copy)]
pub(super) struct State<S> {
    /// Δ, the coil's current as what it adds to the node in a substep, in V.
    pub current: Lanes<S>,
    /// The node voltage, in V.
    pub node: Lanes<S>,
    /// The bias memory, in V.
    pub memory: Lanes<S>,
    /// The device's exponent at no voltage: constant through a shot (1).
    pub exponent: Lanes<S>,
}

/// The two derivatives that the adjoint of a substep needs, (`yielding`, `keeping`).
pub(super) type Slopes<S> = [Lanes<S>; 2];

/// Runs the circuit: `wave` holds the drive voltages before and the node voltages after.
///
/// With `TAPE` every substep leaves its slopes on `tape`, `[samples · substeps · chunks]`.
#[inline(always)]
pub(super) fn run<S: Real, L: Law<S>, const TAPE: bool>(
    step: &Step<S>,
    substeps: usize,
    states: &mut [State<S>],
    wave: &mut [Lanes<S>],
    tape: &mut [Slopes<S>],
) {
    let chunks = states.len();
    let mut slopes = tape.chunks_exact_mut(chunks);
    for sample in wave.chunks_exact_mut(chunks) {
        for _ in 0..substeps {
            if TAPE {
                let slopes = slopes.next().unwrap_or_default();
                for ((state, drive), slopes) in states.iter_mut().zip(&*sample).zip(slopes) {
                    advance::<S, L>(step, state, drive, |lane, [yielding, keeping]| {
                        slopes[0][lane] = yielding;
                        slopes[1][lane] = keeping;
                    });
                }
            } else {
                for (state, drive) in states.iter_mut().zip(&*sample) {
                    advance::<S, L>(step, state, drive, |_, _| ());
                }
            }
        }
        for (state, node) in states.iter().zip(sample) {
            *node = state.node;
        }
    }
}

/// One substep of one chunk.
#[inline(always)]
fn advance<S: Real, L: Law<S>>(
    step: &Step<S>,
    state: &mut State<S>,
    drive: &Lanes<S>,
    mut record: impl FnMut(usize, [S; 2]),
) {
    for lane in 0..LANES {
        let node = state.node[lane];
        let current = step.coil.mul_add(state.current[lane], step.gain * (drive[lane] - node));
        let mut exponent = step.own.mul_add(node, state.exponent[lane]);
        if L::MEMORY {
            let memory = state.memory[lane];
            exponent = step.bias.mul_add(memory, exponent);
            state.memory[lane] = step.blend.mul_add(node - memory, memory);
        }
        let solved = L::solve(step, exponent, node.mul_add(-step.load, current));
        state.current[lane] = current;
        state.node[lane] = node + solved.change;
        record(lane, [solved.yielding, solved.keeping]);
    }
}

/// Runs the adjoint: `wave` holds the node voltages' cotangents before and the drive voltages' gradients after.
///
/// `states` begins at zero and carries the cotangents of the state from sample to sample.
#[inline(always)]
pub(super) fn run_back<S: Real, L: Law<S>>(
    step: &Step<S>,
    substeps: usize,
    states: &mut [State<S>],
    wave: &mut [Lanes<S>],
    tape: &[Slopes<S>],
) {
    let chunks = states.len();
    let mut slopes = tape.rchunks_exact(chunks);
    for sample in wave.rchunks_exact_mut(chunks) {
        for (state, cotangent) in states.iter_mut().zip(sample.iter_mut()) {
            for lane in 0..LANES {
                state.node[lane] += cotangent[lane];
                cotangent[lane] = S::of(0.0);
            }
        }
        for _ in 0..substeps {
            let slopes = slopes.next().unwrap_or_default();
            for ((state, gradient), slopes) in states.iter_mut().zip(&mut *sample).zip(slopes) {
                retreat::<S, L>(step, state, gradient, slopes);
            }
        }
    }
}

/// The adjoint of one substep of one chunk.
#[inline(always)]
fn retreat<S: Real, L: Law<S>>(step: &Step<S>, state: &mut State<S>, gradient: &mut Lanes<S>, slopes: &Slopes<S>) {
    for lane in 0..LANES {
        let [yielding, keeping] = [slopes[0][lane], slopes[1][lane]];
        let after = state.node[lane];
        let current = after.mul_add(yielding, state.current[lane]);
        let pushed = step.gain * current;
        let mut node = after.mul_add(keeping, -pushed);
        if L::MEMORY {
            let memory = state.memory[lane];
            let felt = yielding.mul_add(-step.load, S::of(1.0)) - keeping;
            node = step.blend.mul_add(memory, node);
            state.memory[lane] = (after * felt).mul_add(-step.ratio, step.blend.mul_add(-memory, memory));
        }
        gradient[lane] += pushed;
        state.node[lane] = node;
        state.current[lane] = step.coil * current;
    }
}
