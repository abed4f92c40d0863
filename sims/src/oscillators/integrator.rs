//! Runge and Kutta's fourth-order step for a block of shots, and its exact adjoint.
//!
//! The accelerations a(q) = M sin(w q) + e do not depend on the velocities p, so the four stages of the classical
//! method (for the state (q, p), step h) reduce to Nyström's form, the same map with less work:
//!
//! ```text
//! a₀ = a(q)                          q ← q + h p + h²/6 (a₀ + a₁ + a₂)
//! a₁ = a(q + h/2 p)                  p ← p + h/6 (a₀ + 2 a₁ + 2 a₂ + a₃)
//! a₂ = a(q + h/2 p + h²/4 a₀)
//! a₃ = a(q + h p + h²/2 a₁)
//! ```
//!
//! The shots start at rest, so a₁ = a₀ in the first step; only positions are read, so a₃ of the last step is not needed:
//! 4·steps − 2 stages. The adjoint walks them backwards. With the cotangent āₖ of stage k's accelerations, the
//! cotangent of its point is xₖ = w cos(w qₖ) ∘ (M āₖ) because M is symmetric, that of the drive e is āₖ, and that of M
//! is āₖ sin(w qₖ)ᵀ, all summed over stages and shots.

use super::matrix::{Symmetric, panels, rows, turn};
use crate::rows::Rows;
use crate::{LANES, Real};

/// The equation of motion with its controls applied: q'' = M sin(w q) + e.
#[derive(Debug)]
pub(super) struct Motion<S> {
    /// M = Q − 1, `[count, count]`: coupling and the restoring force.
    pub(super) matrix: Symmetric<S>,
    /// e, `[count]` rows of equal values.
    pub(super) drive: Rows<S>,
    /// w.
    pub(super) stretch: S,
    /// h.
    pub(super) step: S,
    /// Number of steps.
    pub(super) steps: usize,
}

/// One block of shots on its way: `[count]` rows each, filled up to whole panels.
#[derive(Debug)]
pub(super) struct State<S> {
    /// Positions q; in the backward pass their cotangent.
    pub(super) position: Rows<S>,
    /// Velocities p, or their cotangent.
    velocity: Rows<S>,
    /// sin(w q) of the stage at hand.
    sine: Rows<S>,
    /// w cos(w q) of the stage at hand, where no tape keeps it.
    slope: Rows<S>,
    /// The accelerations a₀ … a₃, or x₀ … x₃.
    stages: [Rows<S>; 4],
}

impl<S: Real> State<S> {
    /// At rest at 0.
    pub(super) fn new(count: usize) -> Self {
        let rows = || rows(count);
        let stages = [rows(), rows(), rows(), rows()];
        Self { position: rows(), velocity: rows(), sine: rows(), slope: rows(), stages }
    }
}

/// What the backward pass of one block needs, and what it leaves for the gradients of the controls.
#[derive(Debug)]
pub(super) struct Tape<S> {
    /// sin(w q) turned into columns, `[panels, depth]` rows.
    pub(super) sines: Rows<S>,
    /// ā, `[stages, count]` rows, each stage in whole panels.
    pub(super) loads: Rows<S>,
    /// ā summed over the stages, `[count]` rows.
    pub(super) drive: Rows<S>,
    /// Rows of a panel of columns: stages times [`LANES`].
    pub(super) depth: usize,
    /// Rows of a stage: whole panels.
    pub(super) stride: usize,
    /// w cos(w q), `[stages, count]` rows, each stage in whole panels.
    slopes: Rows<S>,
    /// The stage that comes next on the way forward.
    next: usize,
}

impl<S: Real> Tape<S> {
    /// Room for one block.
    pub(super) fn new(count: usize, steps: usize) -> Self {
        let stages = 4 * steps - 2;
        let [depth, stride] = [stages, panels(count)].map(|count| count * LANES);
        let all = || Rows::zeros(stages * stride);
        Self { sines: all(), loads: all(), drive: rows(count), depth, stride, slopes: all(), next: 0 }
    }
}

impl<S: Real> Motion<S> {
    /// Takes the positions of `state` from the start, at rest, to the end.
    #[inline(always)]
    pub(super) fn run(&self, state: &mut State<S>) {
        self.forward(state, None);
    }

    /// Walks the same way and keeps what the way back needs. The final positions are not worked out.
    #[inline(always)]
    pub(super) fn record(&self, state: &mut State<S>, tape: &mut Tape<S>) {
        tape.next = 0;
        self.forward(state, Some(tape));
    }

    #[inline(always)]
    fn forward(&self, state: &mut State<S>, mut tape: Option<&mut Tape<S>>) {
        let h = self.step;
        let drift = [S::default(), h * S::of(0.5), h * S::of(0.5), h];
        let kick = [S::default(), S::default(), h * h * S::of(0.25), h * h * S::of(0.5)];
        // Stages that a step does not use yet count with factor 0: nothing that an earlier block left may be infinite.
        for rows in state.stages.iter_mut().chain([&mut state.velocity]) {
            rows.fill([S::default(); LANES]);
        }
        for step in 0..self.steps {
            let last = step + 1 == self.steps;
            // Of the last step, the tape needs the points only.
            let points_only = last && tape.is_some();
            for stage in 0..4 {
                if step == 0 && stage == 1 {
                    let [first, second, ..] = &mut state.stages;
                    second.copy_from_slice(first);
                } else if !(last && stage == 3) {
                    self.evaluate(state, tape.as_deref_mut(), stage, [drift[stage], kick[stage]]);
                    if stage == 0 || !points_only {
                        self.accelerate(state, stage);
                    }
                }
            }
            if !points_only {
                self.advance(state);
            }
        }
    }

    /// Sine and slope at q + `drift` p + `kick` a of two stages before.
    #[inline(always)]
    fn evaluate(&self, state: &mut State<S>, tape: Option<&mut Tape<S>>, stage: usize, [drift, kick]: [S; 2]) {
        let count = self.matrix.size;
        let recorded = tape.map(|tape| {
            let stage = tape.next;
            tape.next += 1;
            (&mut tape.slopes[stage * tape.stride..], &mut tape.sines[stage * LANES..], tape.depth)
        });
        let (slope, columns) = match recorded {
            Some((slope, sines, depth)) => (slope, Some((sines, depth))),
            None => (&mut state.slope[..], None),
        };
        let starts = state.position[..count].as_flattened().iter().zip(state.velocity.as_flattened());
        let points = starts.zip(state.stages[stage.saturating_sub(2)].as_flattened());
        let results = state.sine.as_flattened_mut().iter_mut().zip(slope.as_flattened_mut());
        for (((q, p), a), (sine, slope)) in points.zip(results) {
            let (sin, cos) = (self.stretch * kick.mul_add(*a, drift.mul_add(*p, *q))).sin_cos();
            *sine = sin;
            *slope = self.stretch * cos;
        }
        if let Some((sines, depth)) = columns {
            turn(&state.sine, sines, depth);
        }
    }

    /// a = e + M sin(w q) of one stage.
    #[inline(always)]
    fn accelerate(&self, state: &mut State<S>, stage: usize) {
        state.stages[stage].copy_from_slice(&self.drive);
        self.matrix.add_product(&state.sine, &mut state.stages[stage]);
    }

    /// Ends a step.
    #[inline(always)]
    fn advance(&self, state: &mut State<S>) {
        let h = self.step;
        let (sixth, square) = (h * S::of(1.0 / 6.0), h * h * S::of(1.0 / 6.0));
        let count = self.matrix.size;
        let [a0, a1, a2, a3] = state.stages.each_ref().map(|stage| stage[..count].as_flattened());
        let accelerations = a0.iter().zip(a1).zip(a2.iter().zip(a3));
        let points = state.position.as_flattened_mut().iter_mut().zip(state.velocity.as_flattened_mut());
        for ((q, p), ((a0, a1), (a2, a3))) in points.zip(accelerations) {
            let middle = *a1 + *a2;
            *q = square.mul_add(*a0 + middle, h.mul_add(*p, *q));
            *p = sixth.mul_add(S::of(2.0).mul_add(middle, *a0 + *a3), *p);
        }
    }

    /// Takes the cotangent in `state.position` from the end back to the start and leaves the loads on the `tape`.
    #[inline(always)]
    pub(super) fn backward(&self, state: &mut State<S>, tape: &mut Tape<S>) {
        let h = self.step;
        let square = h * h;
        let [sixth, quarter, third, half] = [1.0 / 6.0, 0.25, 1.0 / 3.0, 0.5].map(S::of);
        let zero = S::default();
        state.velocity.fill([S::default(); LANES]);
        tape.drive.fill([S::default(); LANES]);
        for step in (0..self.steps).rev() {
            for stage in (0..4).rev() {
                // ā as a sum of the cotangents of q and p, x₂ and x₃.
                let sum = match stage {
                    3 => [zero, h * sixth, zero, zero],
                    2 => [square * sixth, h * third, zero, zero],
                    1 => [square * sixth, h * third, zero, square * half],
                    _ if step == 0 => [square * third, h * half, square * quarter, square * half],
                    _ => [square * sixth, h * sixth, square * quarter, zero],
                };
                if (step == 0 && stage == 1) || (step + 1 == self.steps && stage == 3) {
                    state.stages[stage].fill([S::default(); LANES]);
                } else {
                    self.load(state, tape, sum);
                    self.reflect(state, tape, stage);
                }
            }
            self.retreat(state);
        }
    }

    /// Puts ā of the stage at hand onto the tape.
    #[inline(always)]
    fn load(&self, state: &State<S>, tape: &mut Tape<S>, [by_q, by_p, by_2, by_3]: [S; 4]) {
        tape.next -= 1;
        let count = self.matrix.size;
        let [_, _, x2, x3] = state.stages.each_ref().map(|stage| stage[..count].as_flattened());
        let points = state.position.as_flattened().iter().zip(state.velocity.as_flattened()).zip(x2.iter().zip(x3));
        let loads = tape.loads[tape.next * tape.stride..].as_flattened_mut().iter_mut();
        for (((q, p), (x2, x3)), (load, drive)) in points.zip(loads.zip(tape.drive.as_flattened_mut())) {
            *load = by_q.mul_add(*q, by_p.mul_add(*p, by_2.mul_add(*x2, by_3 * *x3)));
            *drive += *load;
        }
    }

    /// x = w cos(w q) ∘ (M ā) of the stage at hand.
    #[inline(always)]
    fn reflect(&self, state: &mut State<S>, tape: &Tape<S>, stage: usize) {
        let cotangent = &mut state.stages[stage];
        cotangent.fill([S::default(); LANES]);
        self.matrix.add_product(&tape.loads[tape.next * tape.stride..], cotangent);
        let slopes = &tape.slopes[tape.next * tape.stride..];
        for (cotangent, slope) in cotangent.as_flattened_mut().iter_mut().zip(slopes.as_flattened()) {
            *cotangent = *cotangent * *slope;
        }
    }

    /// Ends a step of the way back.
    #[inline(always)]
    fn retreat(&self, state: &mut State<S>) {
        let h = self.step;
        let half = h * S::of(0.5);
        let count = self.matrix.size;
        let [x0, x1, x2, x3] = state.stages.each_ref().map(|stage| stage[..count].as_flattened());
        let stages = x0.iter().zip(x1).zip(x2.iter().zip(x3));
        let points = state.position.as_flattened_mut().iter_mut().zip(state.velocity.as_flattened_mut());
        for ((q, p), ((x0, x1), (x2, x3))) in points.zip(stages) {
            let middle = *x1 + *x2;
            *p = h.mul_add(*q, *p + half.mul_add(middle, h * *x3));
            *q += (*x0 + *x3) + middle;
        }
    }
}
