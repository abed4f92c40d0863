//! Linearly implicit steps of large systems, and of any system whose steps adapt: ROS2 as in [`steps`](super::steps), its matrix
//! sparse and eliminated at every step.
//!
//! Each lane has a step length of its own. A step of length 0 changes nothing, forward or back: that is what a lane waits with
//! while others still step, and what becomes of a step that is refused.

// Circle with equations/system.rs: a stage is a part of a system, and a system holds the stepper that runs it.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

use super::elimination::Elimination;
use super::machine::Memory;
use super::program::{NOWHERE, Program};
use super::steps::GAMMA;
use super::system::Stage;
use crate::Real;

/// The programs and the pattern of an implicit step.
#[derive(Debug, Clone)]
pub(super) struct Implicit {
    /// The slopes of the states, and what they are worth.
    pub slopes: Stage,
    /// The entries of their Jacobian.
    pub entries: Program,
    /// Row and column of each of these, and where it goes; nowhere where it is outside.
    pub places: Vec<Option<(u32, u32)>>,
    pub slots: Vec<u32>,
    pub elimination: Elimination,
    /// What mᵀ·J(x)·k is worth: its cotangents are m, its tangents k.
    pub curvature: Program,
    /// Where cotangents and tangents of the states lie.
    pub seeds: usize,
    pub tangents: usize,
    /// Relative error of a step, where steps adapt.
    pub tolerance: Option<f64>,
    pub sample_seconds: f64,
    pub substeps: usize,
}

/// Steps of one sample after which they no longer adapt.
const MOST_STEPS: usize = 20_000;

/// Room for the steps of one thread.
#[derive(Debug, Default)]
pub(super) struct Room<S, const W: usize> {
    values: Vec<[S; W]>,
    work: Vec<[S; W]>,
    start: Vec<[S; W]>,
    first: Vec<[S; W]>,
    second: Vec<[S; W]>,
    moved: Vec<[S; W]>,
    next: Vec<[S; W]>,
    /// The largest magnitude of each state within the sample.
    scale: Vec<[S; W]>,
    /// States at the start of each step of a sample, and the steps' lengths.
    pub within: Vec<[S; W]>,
    pub lengths: Vec<[S; W]>,
}

/// Part of a step that runs on the vector unit.
enum Job<'a, S, const W: usize> {
    /// Entries of the Jacobian become the factors of 1 − γhJ.
    Factor {
        slots: &'a [u32],
        entries: &'a [[S; W]],
        step: [S; W],
        values: &'a mut [[S; W]],
    },
    Solve {
        values: &'a [[S; W]],
        right: &'a mut [[S; W]],
        work: &'a mut [[S; W]],
    },
    SolveTransposed {
        values: &'a [[S; W]],
        right: &'a mut [[S; W]],
        work: &'a mut [[S; W]],
    },
}

impl<S: Real, const W: usize> Job<'_, S, W> {
    fn run(self, elimination: &Elimination) {
        pulp::Arch::new().dispatch(Task { job: self, elimination });
    }
}

struct Task<'a, S, const W: usize> {
    job: Job<'a, S, W>,
    elimination: &'a Elimination,
}

impl<S: Real, const W: usize> pulp::NullaryFnOnce for Task<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        match self.job {
            Job::Factor { slots, entries, step, values } => {
                let (diagonal, rest) = values.split_at_mut(self.elimination.size);
                diagonal.fill([S::of(1.0); W]);
                rest.fill([S::of(0.0); W]);
                let mut by = step;
                for by in &mut by {
                    *by = S::of(-GAMMA) * *by;
                }
                for (slot, entry) in slots.iter().zip(entries) {
                    if *slot == NOWHERE {
                        continue;
                    }
                    let value = &mut values[*slot as usize];
                    for lane in 0..W {
                        value[lane] = by[lane].mul_add(entry[lane], value[lane]);
                    }
                }
                self.elimination.factor(values);
            }
            Job::Solve { values, right, work } => self.elimination.solve(values, right, work),
            Job::SolveTransposed { values, right, work } => self.elimination.solve_transposed(values, right, work),
        }
    }
}

/// A factor, the length of each lane's step, and what they multiply.
type Part<'a, S, const W: usize> = (f64, [S; W], &'a [[S; W]]);

/// `to` = Σ `factor`·`length`·`from`, on top of `base`.
struct Sum<'a, S, const W: usize> {
    to: &'a mut [[S; W]],
    base: &'a [[S; W]],
    from: &'a [Part<'a, S, W>],
}

impl<S: Real, const W: usize> pulp::NullaryFnOnce for Sum<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.to.copy_from_slice(self.base);
        for (factor, length, from) in self.from {
            let mut by = *length;
            for by in &mut by {
                *by = S::of(*factor) * *by;
            }
            for (to, from) in self.to.iter_mut().zip(*from) {
                for lane in 0..W {
                    to[lane] = by[lane].mul_add(from[lane], to[lane]);
                }
            }
        }
    }
}

fn sum<S: Real, const W: usize>(to: &mut [[S; W]], base: &[[S; W]], from: &[Part<S, W>]) {
    pulp::Arch::new().dispatch(Sum { to, base, from });
}

impl Implicit {
    fn fit<S: Real, const W: usize>(&self, room: &mut Room<S, W>) {
        let (size, zero) = (self.elimination.size, [S::of(0.0); W]);
        room.values.resize(self.elimination.values(), zero);
        for rows in
            [&mut room.work, &mut room.start, &mut room.first, &mut room.second, &mut room.moved, &mut room.next]
        {
            rows.resize(size, zero);
        }
    }

    /// Bytes of the factors of one row of lanes in single precision.
    pub fn bytes(&self) -> usize {
        self.elimination.values() * crate::LANES * size_of::<f32>()
    }

    /// Takes the states, which lie at the beginning of the memory, through a sample. The steps stay in `room`.
    pub fn sample<S: Real, const W: usize>(&self, table: &[S], memory: &mut Memory<S, W>, room: &mut Room<S, W>) {
        self.fit(room);
        room.within.clear();
        room.lengths.clear();
        let size = self.elimination.size;
        let usual = self.sample_seconds / self.substeps as f64;
        let Some(tolerance) = self.tolerance else {
            for _ in 0..self.substeps {
                room.within.extend_from_slice(&memory.lanes[..size]);
                room.lengths.push([S::of(usual); W]);
                self.step(table, memory, room, [S::of(usual); W]);
                memory.lanes[..size].copy_from_slice(&room.next);
            }
            return;
        };
        memory.run(&self.slopes.forward, table);
        room.scale.clear();
        for (state, slope) in memory.lanes[..size].iter().zip(memory.outputs(&self.slopes.forward)) {
            let within = |lane: usize| state[lane].to_f64().abs().max(self.sample_seconds * slope[lane].to_f64().abs());
            room.scale.push(std::array::from_fn(|lane| S::of(within(lane))));
        }
        // Lengths and errors are plain numbers: a step is what it is, whatever the states go with.
        let (mut left, mut length) = ([self.sample_seconds; W], [usual; W]);
        for number in 0.. {
            if left.iter().all(|left| *left == 0.0) {
                break;
            }
            let last = number == MOST_STEPS;
            let step: [f64; W] =
                std::array::from_fn(|lane| if last { left[lane] } else { length[lane].min(left[lane]) });
            self.step(table, memory, room, step.map(S::of));
            let errors = errors(room, tolerance);
            let mut taken = step;
            for lane in 0..W {
                // What is no number is taken, and stays none.
                if 1.0 < errors[lane] && !last && 1e-9 * self.sample_seconds < step[lane] {
                    taken[lane] = 0.0;
                }
                left[lane] = if taken[lane] == left[lane] { 0.0 } else { left[lane] - taken[lane] };
                if 0.0 < step[lane] {
                    let factor = (0.9 / errors[lane].sqrt()).clamp(0.2, 4.0);
                    length[lane] = step[lane] * if factor.is_nan() { 4.0 } else { factor };
                }
            }
            room.within.extend_from_slice(&room.start);
            room.lengths.push(taken.map(S::of));
            for ((state, next), scale) in memory.lanes[..size].iter_mut().zip(&room.next).zip(&mut room.scale) {
                for lane in 0..W {
                    if 0.0 < taken[lane] {
                        state[lane] = next[lane];
                        scale[lane] = S::of(scale[lane].to_f64().max(next[lane].to_f64().abs()));
                    }
                }
            }
        }
    }

    /// One step of this length from the states in the memory to those after it.
    pub fn single_step<S: Real, const W: usize>(
        &self,
        table: &[S],
        memory: &mut Memory<S, W>,
        room: &mut Room<S, W>,
        seconds: f64,
    ) {
        self.fit(room);
        self.step(table, memory, room, [S::of(seconds); W]);
        memory.lanes[..self.elimination.size].copy_from_slice(&room.next);
    }

    /// One step from the states in the memory, which stay; `room.next` has what they become.
    fn step<S: Real, const W: usize>(
        &self,
        table: &[S],
        memory: &mut Memory<S, W>,
        room: &mut Room<S, W>,
        step: [S; W],
    ) {
        let size = self.elimination.size;
        let one = [S::of(1.0); W];
        let Room { values, work, start, first, second, moved, next, .. } = room;
        start.copy_from_slice(&memory.lanes[..size]);
        memory.run(&self.entries, table);
        Job::Factor { slots: &self.slots, entries: memory.outputs(&self.entries), step, values }.run(&self.elimination);
        memory.run(&self.slopes.forward, table);
        first.copy_from_slice(&memory.outputs(&self.slopes.forward)[..size]);
        Job::Solve { values, right: first, work }.run(&self.elimination);
        sum(moved, start, &[(1.0, step, first)]);
        memory.lanes[..size].copy_from_slice(moved);
        memory.run(&self.slopes.forward, table);
        sum(second, &memory.outputs(&self.slopes.forward)[..size], &[(-2.0, one, first)]);
        Job::Solve { values, right: second, work }.run(&self.elimination);
        sum(next, start, &[(1.5, step, first), (0.5, step, second)]);
        memory.lanes[..size].copy_from_slice(start);
    }

    /// The adjoint of one step from the states in the memory: `worth` is what the states after it are worth, and becomes what those
    /// before it are. `collect` gets what each backward program says of inputs and delayed values.
    pub fn step_back<S: Real, const W: usize>(
        &self,
        table: &[S],
        memory: &mut Memory<S, W>,
        room: &mut Room<S, W>,
        step: [S; W],
        worth: &mut [[S; W]],
        mut collect: impl FnMut(&[[S; W]]),
    ) {
        let size = self.elimination.size;
        let (zero, one) = (vec![[S::of(0.0); W]; size], [S::of(1.0); W]);
        self.step(table, memory, room, step);
        let Room { values, work, start, first, second, moved, .. } = room;
        let (mut total, mut seed, mut other) = (worth.to_vec(), zero.clone(), zero.clone());
        // The second slope: its right side is f(x + h·k₁) − 2k₁.
        sum(&mut seed, &zero, &[(0.5, step, worth)]);
        Job::SolveTransposed { values, right: &mut seed, work }.run(&self.elimination);
        memory.lanes[..size].copy_from_slice(moved);
        memory.lanes[self.seeds..][..size].copy_from_slice(&seed);
        memory.run(&self.slopes.backward, table);
        let outputs = memory.outputs(&self.slopes.backward);
        collect(&outputs[size..]);
        let moved_worth = outputs[..size].to_vec();
        sum(&mut other, &zero, &[(1.5, step, worth), (-2.0, one, &seed), (1.0, step, &moved_worth)]);
        add(&mut total, &moved_worth);
        memory.lanes[..size].copy_from_slice(start);
        let mut bend = |memory: &mut Memory<S, W>, seed: &[[S; W]], along: &[[S; W]], total: &mut [[S; W]]| {
            // The matrix itself goes with the states: γh·mᵀJ(x)k.
            let mut scaled = zero.clone();
            sum(&mut scaled, &zero, &[(GAMMA, step, seed)]);
            memory.lanes[self.seeds..][..size].copy_from_slice(&scaled);
            memory.lanes[self.tangents..][..size].copy_from_slice(along);
            memory.run(&self.curvature, table);
            let outputs = memory.outputs(&self.curvature);
            add(total, &outputs[..size]);
            collect(&outputs[size..]);
        };
        bend(memory, &seed, second, &mut total);
        Job::SolveTransposed { values, right: &mut other, work }.run(&self.elimination);
        bend(memory, &other, first, &mut total);
        memory.lanes[self.seeds..][..size].copy_from_slice(&other);
        memory.run(&self.slopes.backward, table);
        let outputs = memory.outputs(&self.slopes.backward);
        add(&mut total, &outputs[..size]);
        collect(&outputs[size..]);
        worth.copy_from_slice(&total);
    }
}

fn add<S: Real, const W: usize>(to: &mut [[S; W]], from: &[[S; W]]) {
    for (to, from) in to.as_flattened_mut().iter_mut().zip(from.as_flattened()) {
        *to += *from;
    }
}

/// The error of each lane's step, 1 where it is just allowed: the distance of the step from one of first order.
fn errors<S: Real, const W: usize>(room: &Room<S, W>, tolerance: f64) -> [f64; W] {
    let mut errors = [0.0_f64; W];
    for ((next, moved), scale) in room.next.iter().zip(&room.moved).zip(&room.scale) {
        for lane in 0..W {
            let distance = (next[lane].to_f64() - moved[lane].to_f64()).abs();
            let error = distance / (tolerance * scale[lane].to_f64()).max(f64::MIN_POSITIVE);
            // A comparison with what is no number must not hide it.
            errors[lane] = if error.is_nan() || errors[lane].is_nan() { f64::NAN } else { errors[lane].max(error) };
        }
    }
    errors
}
