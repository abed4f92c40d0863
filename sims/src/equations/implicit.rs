//! Linearly implicit steps of large systems, and of any system whose steps adapt, their matrix sparse and eliminated at every step: ROS2 as
//! in [`steps`](super::steps), or, where steps adapt, RODAS of Hairer and Wanner (Solving Ordinary Differential Equations II, section IV.7;
//! order 4 with an error of order 3, L-stable).
//!
//! With increments u, (1 − γhJ)uᵢ = γh·f(x + Σ aᵢⱼuⱼ) + γ·Σ cᵢⱼuⱼ, and the states after a step are x + Σ mⱼuⱼ.
//!
//! Each lane has a step length of its own. A step of length 0 changes nothing, forward or back: that is what a lane waits with
//! while others still step, and what becomes of a step that is refused.

// Circle with equations/system.rs: a stage is a part of a system, and a system holds the stepper that runs it.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

use std::ops::Range;

use super::elimination::Elimination;
use super::machine::Memory;
use super::program::{NOWHERE, Program};
use super::rosenbrock::{RODAS, ROS2, Rosenbrock};
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
    /// The states of each array.
    pub arrays: Vec<Range<usize>>,
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

/// Steps of one sample after which its states are given up.
const MOST_STEPS: usize = 20_000;
/// The shortest step, as a part of a sample: one that is too long even so is taken.
const SHORTEST: f64 = 1e-9;
/// The smallest tolerance, in units of the last place.
const FINEST: f64 = 8.0;
/// What rounding may add to an error, in units of the last place of the largest increment of a state.
const ROUNDING: f64 = 64.0;
/// The part of the largest element of an array below which its elements need not be known to their own size.
const FAINT: f64 = 1e-3;

/// Room for the steps of one thread.
#[derive(Debug, Default)]
pub(super) struct Room<S, const W: usize> {
    values: Vec<[S; W]>,
    work: Vec<[S; W]>,
    start: Vec<[S; W]>,
    /// Increments of the stages, and the states at which their slopes were taken.
    increments: Vec<Vec<[S; W]>>,
    points: Vec<Vec<[S; W]>>,
    next: Vec<[S; W]>,
    /// How far a step may be off.
    off: Vec<[S; W]>,
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
        /// −γh.
        by: [S; W],
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
            Job::Factor { slots, entries, by, values } => {
                let (diagonal, rest) = values.split_at_mut(self.elimination.size);
                diagonal.fill([S::of(1.0); W]);
                rest.fill([S::of(0.0); W]);
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

/// `to` += Σ `factor`·`length`·`from`.
struct Sum<'a, S, const W: usize> {
    to: &'a mut [[S; W]],
    from: &'a [Part<'a, S, W>],
}

impl<S: Real, const W: usize> pulp::NullaryFnOnce for Sum<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
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

fn sum<S: Real, const W: usize>(to: &mut [[S; W]], from: &[Part<S, W>]) {
    pulp::Arch::new().dispatch(Sum { to, from });
}

impl Implicit {
    fn fit<S: Real, const W: usize>(&self, room: &mut Room<S, W>) {
        let (size, zero) = (self.elimination.size, [S::of(0.0); W]);
        room.values.resize(self.elimination.values(), zero);
        for rows in [&mut room.work, &mut room.start, &mut room.next, &mut room.off] {
            rows.resize(size, zero);
        }
        for stages in [&mut room.increments, &mut room.points] {
            stages.resize_with(RODAS.stages(), Vec::new);
            for rows in stages.iter_mut() {
                rows.resize(size, zero);
            }
        }
    }

    /// The method of the system's own steps.
    fn method(&self) -> &'static Rosenbrock {
        if self.tolerance.is_some() { &RODAS } else { &ROS2 }
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
                self.step(self.method(), table, memory, room, [S::of(usual); W]);
                memory.lanes[..size].copy_from_slice(&room.next);
            }
            return;
        };
        // Finer than numbers of this precision are, no step would do.
        let tolerance = tolerance.max(FINEST * S::EPSILON);
        room.scale.clear();
        room.scale.extend(memory.lanes[..size].iter().map(|state| state.map(Real::abs)));
        // Lengths and errors are plain numbers: a step is what it is, whatever the states go with.
        let (mut left, mut length) = ([self.sample_seconds; W], [usual; W]);
        for number in 0.. {
            if left.iter().all(|left| *left == 0.0) {
                break;
            }
            if number == MOST_STEPS {
                // What cannot be followed as exactly as is asked has no value.
                for state in &mut memory.lanes[..size] {
                    for (state, left) in state.iter_mut().zip(&left) {
                        *state = if *left == 0.0 { *state } else { S::of(f64::NAN) };
                    }
                }
                break;
            }
            let step: [f64; W] = std::array::from_fn(|lane| length[lane].min(left[lane]));
            self.step(self.method(), table, memory, room, step.map(S::of));
            let errors = errors(room, tolerance, &self.arrays);
            let mut taken = step;
            for lane in 0..W {
                // A step that leads to what is no number was too long, as one with too large an error was.
                let is_fine = errors[lane] <= 1.0;
                if !is_fine && SHORTEST * self.sample_seconds < step[lane] {
                    taken[lane] = 0.0;
                }
                let ends = taken[lane] == left[lane] || (errors[lane].is_nan() && 0.0 < taken[lane]);
                left[lane] = if ends { 0.0 } else { left[lane] - taken[lane] };
                if 0.0 < step[lane] {
                    let factor = (0.9 / errors[lane].powf(0.25)).clamp(0.2, 4.0);
                    length[lane] = step[lane] * if factor.is_nan() { 0.1 } else { factor };
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
        method: &Rosenbrock,
        table: &[S],
        memory: &mut Memory<S, W>,
        room: &mut Room<S, W>,
        seconds: f64,
    ) {
        self.fit(room);
        self.step(method, table, memory, room, [S::of(seconds); W]);
        memory.lanes[..self.elimination.size].copy_from_slice(&room.next);
    }

    /// One step from the states in the memory, which stay; `room.next` has what they become.
    fn step<S: Real, const W: usize>(
        &self,
        method: &Rosenbrock,
        table: &[S],
        memory: &mut Memory<S, W>,
        room: &mut Room<S, W>,
        step: [S; W],
    ) {
        let size = self.elimination.size;
        let one = [S::of(1.0); W];
        let Room { values, work, start, increments, points, next, off, .. } = room;
        start.copy_from_slice(&memory.lanes[..size]);
        memory.run(&self.entries, table);
        let by = step.map(|step| S::of(-method.gamma) * step);
        Job::Factor { slots: &self.slots, entries: memory.outputs(&self.entries), by, values }.run(&self.elimination);
        for stage in 0..method.stages() {
            let (earlier, later) = increments.split_at_mut(stage);
            let at = &mut points[stage];
            at.copy_from_slice(start);
            weighted(at, method.places[stage], one, earlier);
            memory.lanes[..size].copy_from_slice(at);
            memory.run(&self.slopes.forward, table);
            let own = &mut later[0];
            own.fill([S::of(0.0); W]);
            sum(own, &[(method.gamma, step, &memory.outputs(&self.slopes.forward)[..size])]);
            weighted(own, method.shares[stage], [S::of(method.gamma); W], earlier);
            Job::Solve { values, right: own, work }.run(&self.elimination);
        }
        next.copy_from_slice(start);
        weighted(next, method.weights, one, increments);
        off.fill([S::of(0.0); W]);
        weighted(off, method.errors, one, increments);
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
        let (size, method) = (self.elimination.size, self.method());
        let one = [S::of(1.0); W];
        self.step(method, table, memory, room, step);
        let Room { values, work, start, increments, points, .. } = room;
        let zero = vec![[S::of(0.0); W]; size];
        let mut worths = vec![zero.clone(); method.stages()];
        for (own, weight) in worths.iter_mut().zip(method.weights) {
            sum(own, &[(*weight, one, worth)]);
        }
        let mut seed = zero;
        for stage in (0..method.stages()).rev() {
            let (earlier, own) = worths.split_at_mut(stage);
            let own = &mut own[0];
            Job::SolveTransposed { values, right: own, work }.run(&self.elimination);
            for (earlier, share) in earlier.iter_mut().zip(method.shares[stage]) {
                sum(earlier, &[(method.gamma * share, one, own)]);
            }
            // The slopes, and the matrix, which goes with the states at the start: γh·mᵀJ(x)u.
            seed.fill([S::of(0.0); W]);
            sum(&mut seed, &[(method.gamma, step, own)]);
            memory.lanes[..size].copy_from_slice(&points[stage]);
            memory.lanes[self.seeds..][..size].copy_from_slice(&seed);
            memory.run(&self.slopes.backward, table);
            let outputs = memory.outputs(&self.slopes.backward);
            for (earlier, place) in earlier.iter_mut().zip(method.places[stage]) {
                sum(earlier, &[(*place, one, &outputs[..size])]);
            }
            sum(worth, &[(1.0, one, &outputs[..size])]);
            collect(&outputs[size..]);
            memory.lanes[..size].copy_from_slice(start);
            memory.lanes[self.seeds..][..size].copy_from_slice(&seed);
            memory.lanes[self.tangents..][..size].copy_from_slice(&increments[stage]);
            memory.run(&self.curvature, table);
            let outputs = memory.outputs(&self.curvature);
            sum(worth, &[(1.0, one, &outputs[..size])]);
            collect(&outputs[size..]);
        }
    }
}

/// Adds Σ `factors`·`length`·`from` to `to`; factors that are 0 are left out.
fn weighted<S: Real, const W: usize>(to: &mut [[S; W]], factors: &[f64], length: [S; W], from: &[Vec<[S; W]>]) {
    for (factor, from) in factors.iter().zip(from).filter(|(factor, _)| **factor != 0.0) {
        sum(to, &[(*factor, length, from)]);
    }
}

/// The error of each lane's step, 1 where it is just allowed: relative to the largest magnitude of each state so far, and after the step.
/// What is faint beside other elements of its array, such as what has spread far from a spot, is held against a part of the largest.
fn errors<S: Real, const W: usize>(room: &Room<S, W>, tolerance: f64, arrays: &[Range<usize>]) -> [f64; W] {
    let mut errors = [0.0_f64; W];
    let last = ROUNDING * S::EPSILON;
    let size_of = |place: usize, lane: usize| {
        let [so_far, next] = [&room.scale, &room.next].map(|states| states[place][lane].to_f64().abs());
        so_far.max(next)
    };
    for array in arrays {
        let mut least = [0.0_f64; W];
        for place in array.clone() {
            for lane in 0..W {
                least[lane] = least[lane].max(FAINT * size_of(place, lane));
            }
        }
        for place in array.clone() {
            for lane in 0..W {
                let scale = size_of(place, lane).max(least[lane]);
                let increments = room.increments.iter().map(|increment| increment[place][lane].to_f64().abs());
                // The difference of increments is known to their last places only.
                let rounding = last * increments.fold(0.0, f64::max);
                let off = room.off[place][lane].to_f64().abs();
                let error = off / (tolerance * scale).max(rounding).max(f64::MIN_POSITIVE);
                // A comparison with what is no number must not hide it.
                errors[lane] = if error.is_nan() || errors[lane].is_nan() { f64::NAN } else { errors[lane].max(error) };
            }
        }
    }
    errors
}
