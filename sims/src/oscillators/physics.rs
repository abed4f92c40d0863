//! The oscillators' deterministic physics, as plant and as twin: which shots go where, and the controls' gradients.
//!
//! Blocks of [`LANES`] shots are shared out over the cores and integrated on their own. For the gradient of the coupling
//! the loads āₖ and sines sₖ of up to [`GROUP`] blocks are kept and their outer products G = Σ ā sᵀ summed tile by tile,
//! each tile by one thread in the order of the blocks. With J = (C + Cᵀ)/2, Q = J off the diagonal and Qᵢᵢ = −Σⱼ Jⱼᵢ, Jᵢᵢ
//! among them,
//!
//! ```text
//! dL/dC_ij = ½ (G_ij + G_ji − G_ii − G_jj)        dL/dC_ii = −G_ii
//! ```

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::integrator::{Motion, State, Tape};
use super::matrix::{Symmetric, add_outer, gather, panels, rows, scatter, used};
use crate::dual::{self, Dual};
use crate::rows::Rows;
use crate::{LANES, Lanes, Real};

/// Blocks whose tapes are kept at the same time.
const GROUP: usize = 16;

/// The equation of motion before its controls are set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Physics {
    /// Number of oscillators.
    pub(super) count: usize,
    /// Number of integration steps.
    pub(super) steps: usize,
    /// Length of a step in natural time (1: the small-angle period of a free oscillator is 2π).
    pub(super) step: f64,
    /// The factor w of the positions inside the sines: 1 by the book.
    pub(super) stretch: f64,
    /// The coupling J that is there without being asked for, `[count, count]`, symmetric, its diagonal as that of C; empty: none.
    pub(super) stray: Vec<f32>,
}

/// What is kept between calls: memory that is fresh from the operating system costs more than the work done in it.
#[derive(Debug)]
pub(super) struct Workspace<S> {
    motion: Motion<S>,
    /// The sum of outer products: `[panels, panels]` tiles of [`LANES`] rows.
    sums: Rows<S>,
    tapes: Vec<Tape<S>>,
}

/// The physics with its workspaces, one for each caller at a time.
#[derive(Debug)]
pub(super) struct Solver {
    physics: Physics,
    spare: Mutex<Vec<Workspace<f32>>>,
}

/// One block's forward pass.
struct Forward<'a, S> {
    motion: &'a Motion<S>,
    state: &'a mut State<S>,
}

/// One block's forward and backward pass; the cotangents wait in `cotangents`.
struct Backward<'a, S> {
    motion: &'a Motion<S>,
    state: &'a mut State<S>,
    tape: &'a mut Tape<S>,
    cotangents: &'a [S],
}

/// One panel of rows of the sum of outer products.
struct Outer<'a, S> {
    tapes: &'a [Tape<S>],
    panel: usize,
    count: usize,
    sums: &'a mut [Lanes<S>],
}

// Named jobs, because a closure that captures by reference is called through a shim that keeps it out of the function
// with the vector instructions.
impl<S: Real> pulp::NullaryFnOnce for Forward<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.motion.run(self.state);
    }
}

impl<S: Real> pulp::NullaryFnOnce for Backward<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.motion.record(self.state, self.tape);
        gather(self.cotangents, self.motion.matrix.size, &mut self.state.position);
        self.motion.backward(self.state, self.tape);
    }
}

impl<S: Real> pulp::NullaryFnOnce for Outer<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for tape in self.tapes {
            let loads = &tape.loads[self.panel * LANES..];
            for (sines, sums) in tape.sines.chunks_exact(tape.depth).zip(self.sums.chunks_exact_mut(LANES)) {
                add_outer(loads, tape.stride, sines, used(sums, self.panel, self.count));
            }
        }
    }
}

impl Solver {
    /// Without workspaces so far.
    pub(super) fn new(physics: Physics) -> Self {
        Self { physics, spare: Mutex::default() }
    }

    /// See [`Physics::predict`].
    pub(super) fn predict(&self, inputs: &[f32], controls: &[f32], outputs: &mut [f32]) {
        self.work(|work| self.physics.predict(inputs, controls, outputs, work));
    }

    /// See [`Physics::pull_back`].
    pub(super) fn pull_back(&self, inputs: &[f32], controls: &[f32], cotangents: &mut [f32]) -> Vec<f32> {
        self.work(|work| self.physics.pull_back(inputs, controls, cotangents, work))
    }

    fn work<T>(&self, job: impl FnOnce(&mut Workspace<f32>) -> T) -> T {
        // A workspace holds nothing between calls, so one that a panic left behind does no harm.
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let found = spare().pop();
        let mut work = found.unwrap_or_else(|| self.physics.workspace());
        let result = job(&mut work);
        spare().push(work);
        result
    }
}

impl Physics {
    /// Memory for one caller at a time.
    pub(super) fn workspace<S: Real>(&self) -> Workspace<S> {
        let motion = Motion {
            matrix: Symmetric { size: self.count, panels: Rows::zeros(panels(self.count) * self.count) },
            drive: rows(self.count),
            stretch: S::of(self.stretch),
            step: S::of(self.step),
            steps: self.steps,
        };
        Workspace { motion, sums: Rows::zeros(0), tapes: Vec::new() }
    }

    /// Works out the positions at the end, `[shots, count]`, of shots that start at rest at `inputs`, `[shots, count]`.
    pub(super) fn predict<S: Real>(&self, inputs: &[S], controls: &[S], outputs: &mut [S], work: &mut Workspace<S>) {
        self.set(controls, &mut work.motion);
        let motion = &work.motion;
        let block = LANES * self.count;
        let shots = outputs.par_chunks_mut(block).zip(inputs.par_chunks(block));
        shots.for_each_init(
            || State::new(self.count),
            |state, (outputs, inputs)| {
                gather(inputs, self.count, &mut state.position);
                pulp::Arch::new().dispatch(Forward { motion, state: &mut *state });
                scatter(&state.position, outputs, self.count);
            },
        );
    }

    /// How the positions at the end go with the stretch, `[shots, count]`.
    pub(super) fn slopes(&self, inputs: &[f32], controls: &[f32]) -> Vec<f32> {
        let (inputs, controls) = (dual::constants(inputs), dual::constants(controls));
        let (mut outputs, mut work) = (inputs.clone(), self.workspace());
        work.motion.stretch = Dual { value: self.stretch as f32, slope: 1.0 };
        self.predict(&inputs, &controls, &mut outputs, &mut work);
        outputs.iter().map(|output| output.slope).collect()
    }

    /// Turns `cotangents`, `[shots, count]`, into gradients for the inputs, and returns those for the controls, summed
    /// over the shots.
    pub(super) fn pull_back<S: Real>(
        &self,
        inputs: &[S],
        controls: &[S],
        cotangents: &mut [S],
        work: &mut Workspace<S>,
    ) -> Vec<S> {
        self.set(controls, &mut work.motion);
        let Workspace { motion, sums, tapes } = work;
        let count = self.count;
        let block = LANES * count;
        let panels = panels(count);
        if sums.is_empty() {
            *sums = Rows::zeros(panels * panels * LANES);
        }
        sums.fill([S::default(); LANES]);
        let blocks = inputs.len().div_ceil(block).min(GROUP);
        tapes.resize_with(blocks.max(tapes.len()), || Tape::new(count, self.steps));
        let mut drive = vec![S::default(); count];
        for (inputs, cotangents) in inputs.chunks(GROUP * block).zip(cotangents.chunks_mut(GROUP * block)) {
            let tapes = &mut tapes[..inputs.len().div_ceil(block)];
            let shots = inputs.par_chunks(block).zip(cotangents.par_chunks_mut(block));
            shots.zip(&mut *tapes).for_each_init(
                || State::new(count),
                |state, ((inputs, cotangents), tape)| {
                    gather(inputs, count, &mut state.position);
                    pulp::Arch::new().dispatch(Backward { motion, state: &mut *state, tape, cotangents });
                    scatter(&state.position, cotangents, count);
                },
            );
            sums.par_chunks_mut(panels * LANES).enumerate().for_each(|(panel, sums)| {
                pulp::Arch::new().dispatch(Outer { tapes, panel, count, sums });
            });
            add_drive(tapes, &mut drive);
        }
        self.gradient(sums, &drive)
    }

    /// Sets the controls: C row by row, then e.
    fn set<S: Real>(&self, controls: &[S], motion: &mut Motion<S>) {
        let (coupling, drive) = controls.split_at(self.count * self.count);
        for (row, drive) in motion.drive.iter_mut().zip(drive) {
            *row = [*drive; LANES];
        }
        let panels = motion.matrix.panels.par_chunks_mut(self.count).enumerate();
        panels.for_each(|(panel, columns)| self.set_panel(coupling, panel * LANES, columns));
    }

    /// One panel of M = Q − 1: off the diagonal Q is J = (C + Cᵀ)/2 + stray, and Qᵢᵢ = −Σⱼ Jⱼᵢ with Jᵢᵢ among them.
    fn set_panel<S: Real>(&self, coupling: &[S], first: usize, columns: &mut [Lanes<S>]) {
        let count = self.count;
        let rows = LANES.min(count - first);
        for (column, across) in columns.iter_mut().zip(coupling.chunks_exact(count)) {
            column[..rows].copy_from_slice(&across[first..first + rows]);
        }
        for (r, across) in coupling[first * count..].chunks_exact(count).take(LANES).enumerate() {
            for (column, value) in columns.iter_mut().zip(across) {
                column[r] = S::of(0.5) * (column[r] + *value);
            }
        }
        for (column, stray) in columns.iter_mut().zip(self.stray.chunks_exact(count)) {
            for (value, stray) in column.iter_mut().zip(&stray[first..first + rows]) {
                *value += S::of(f64::from(*stray));
            }
        }
        let mut sums = [S::default(); LANES];
        for column in columns.iter() {
            for (sum, value) in sums.iter_mut().zip(column) {
                *sum += *value;
            }
        }
        for (r, column) in columns[first..first + rows].iter_mut().enumerate() {
            column[r] = -sums[r] - S::of(1.0);
        }
    }

    /// The gradient of C, row by row, from the sum of outer products; then that of e.
    fn gradient<S: Real>(&self, sums: &[Lanes<S>], drive: &[S]) -> Vec<S> {
        let count = self.count;
        let panels = panels(count);
        let tile = |row: usize, column: usize| &sums[(row * panels + column) * LANES..][..LANES];
        let diagonal: Vec<S> = (0..count).map(|i| tile(i / LANES, i / LANES)[i % LANES][i % LANES]).collect();
        let mut gradient = vec![S::default(); count * (count + 1)];
        let (coupling, to_drive) = gradient.split_at_mut(count * count);
        to_drive.copy_from_slice(drive);
        coupling.par_chunks_mut(LANES * count).enumerate().for_each(|(panel, gradient)| {
            for (row, gradient) in gradient.chunks_exact_mut(count).enumerate() {
                let own = diagonal[panel * LANES + row];
                let others = gradient.chunks_mut(LANES).zip(diagonal.chunks(LANES));
                for (column, (gradient, diagonal)) in others.enumerate() {
                    let across = &tile(panel, column)[row];
                    let down = tile(column, panel);
                    for (((gradient, other), across), down) in gradient.iter_mut().zip(diagonal).zip(across).zip(down) {
                        *gradient = S::of(0.5) * ((*across + down[row]) - (own + *other));
                    }
                }
                gradient[panel * LANES + row] = -own;
            }
        });
        gradient
    }
}

/// Adds the drives' gradients of some blocks, shot after shot.
fn add_drive<S: Real>(tapes: &[Tape<S>], drive: &mut [S]) {
    for tape in tapes {
        for (drive, row) in drive.iter_mut().zip(tape.drive.iter()) {
            for value in row {
                *drive += *value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_do_not_depend_on_the_vector_unit() {
        let (count, steps) = (37, 3);
        let physics = Physics { count, steps, step: 0.1, stretch: 1.1, stray: Vec::new() };
        let wave = |count: usize, scale: f32| (0..count).map(|k| scale * (k as f32).sin()).collect::<Vec<_>>();
        let mut work = physics.workspace();
        physics.set(&wave(count * (count + 1), 0.5), &mut work.motion);
        let run = |arch: pulp::Arch| {
            let (mut state, mut tape) = (State::new(count), Tape::new(count, steps));
            let mut sums = vec![[0.0; LANES]; panels(count) * LANES];
            gather(&wave(LANES * count, 2.0), count, &mut state.position);
            arch.dispatch(Forward { motion: &work.motion, state: &mut state });
            let end = state.position.to_vec();
            gather(&wave(LANES * count, 2.0), count, &mut state.position);
            let cotangents = &wave(LANES * count, 1.0);
            arch.dispatch(Backward { motion: &work.motion, state: &mut state, tape: &mut tape, cotangents });
            arch.dispatch(Outer { tapes: &[tape], panel: 1, count, sums: &mut sums });
            (end, state.position.to_vec(), sums)
        };
        assert_eq!(run(pulp::Arch::new()), run(pulp::Arch::Scalar));
    }
}
