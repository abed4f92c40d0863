//! Slopes and their Jacobian at points of one's own, one point at a time or a block of them.

use super::super::Equations;
use super::super::implicit::Implicit;
use super::super::machine::Memory;
use super::super::model::{Method, Role};
use super::super::nominal;
use super::super::run::Course;
use super::super::system::Stepper;
use crate::{Error, LANES, Real};

/// The slopes of a system's states and the entries of their Jacobian as programs, with the file's coefficients, controls in the middle
/// of their ranges, and inputs at 0.
#[derive(Debug)]
pub struct Slopes {
    course: Course,
    block: Memory<f32, LANES>,
    narrow: Vec<f32>,
    single: Memory<f64, 1>,
    wide: Vec<f64>,
    /// Differences, `[states, states]`.
    differences: Vec<[f32; LANES]>,
    chunks: usize,
}

fn implicit(course: &Course) -> &Implicit {
    match &course.compiled.stepper {
        Stepper::Implicit(implicit) => implicit,
        _ => unreachable!("a system whose steps adapt keeps the entries of its Jacobian"),
    }
}

impl Slopes {
    /// Those of a system with states; a block has `chunks` times [`LANES`] points.
    pub fn new(system: &Equations, chunks: usize) -> Result<Self, Error> {
        let (mut model, _) = system.read()?;
        if model.states.is_empty() {
            return Err(model.source.error(0, "the system has no states, and so no slopes"));
        }
        model.time.method = Method::ImplicitAdaptive;
        let course = Course::new(&model);
        let ranges = model
            .controls
            .iter()
            .flat_map(|control| vec![control.range.unwrap_or_default(); model.count(&control.shape)]);
        let controls: Vec<f64> = ranges.map(|[low, high]| 0.5 * (low + high)).collect();
        debug_assert_eq!(controls.len(), model.total(Role::Control));
        let (narrow, wide) = (
            course.compiled.settled(&controls, &nominal(&model)),
            course.compiled.settled(&controls, &nominal(&model)),
        );
        let room = [course.compiled.reserved, 0];
        let block = Memory::new(chunks, course.compiled.programs(), room);
        let single = Memory::new(1, course.compiled.programs(), room);
        let states = course.compiled.states;
        Ok(Self {
            block,
            narrow,
            single,
            wide,
            differences: vec![[0.0; LANES]; states * states * chunks],
            chunks,
            course,
        })
    }

    /// Elements of the states.
    pub fn states(&self) -> usize {
        self.course.compiled.states
    }

    /// Entries of the Jacobian that are not always 0.
    pub fn nonzeros(&self) -> usize {
        implicit(&self.course).places.iter().flatten().count()
    }

    /// Points of a block.
    pub fn points(&self) -> usize {
        self.chunks * LANES
    }

    /// Instructions of the slopes, and of the Jacobian.
    pub fn instructions(&self) -> [usize; 2] {
        let implicit = implicit(&self.course);
        [implicit.slopes.forward.instructions.len(), implicit.entries.instructions.len()]
    }

    /// Sets the points of the block: `value(point, state)`; the single point is the first.
    pub fn set(&mut self, value: impl Fn(usize, usize) -> f64) {
        for state in 0..self.states() {
            self.single.lanes[state] = [value(0, state)];
            for chunk in 0..self.chunks {
                self.block.lanes[state * self.chunks + chunk] =
                    std::array::from_fn(|lane| value(chunk * LANES + lane, state) as f32);
            }
        }
    }

    /// The Jacobian at all points of the block, in single precision.
    pub fn jacobians(&mut self) {
        self.block.run(&implicit(&self.course).entries, &self.narrow);
    }

    /// The same by central differences of the slopes, each state moved by `step` either way.
    pub fn differences(&mut self, step: f32) {
        let (states, chunks) = (self.states(), self.chunks);
        let program = &implicit(&self.course).slopes.forward;
        let half = 0.5 / step;
        for column in 0..states {
            for (by, factor) in [(step, half), (-step, -half)] {
                let before = self.block.lanes[column * chunks..][..chunks].to_vec();
                self.block.lanes[column * chunks..][..chunks]
                    .as_flattened_mut()
                    .iter_mut()
                    .for_each(|value| *value += by);
                self.block.run(program, &self.narrow);
                self.block.lanes[column * chunks..][..chunks].copy_from_slice(&before);
                let rows = self.differences[column * states * chunks..][..states * chunks].as_flattened_mut();
                for (to, slope) in rows.iter_mut().zip(self.block.outputs(program).as_flattened()) {
                    *to = if 0.0 < factor { factor * slope } else { Real::mul_add(factor, *slope, *to) };
                }
            }
        }
    }

    /// The Jacobian at the single point, in double precision.
    pub fn jacobian(&mut self) {
        self.single.run(&implicit(&self.course).entries, &self.wide);
    }

    /// Row, column and value of the single point's Jacobian.
    pub fn entries(&mut self) -> Vec<(u32, u32, f64)> {
        self.jacobian();
        let entries = implicit(&self.course).places.iter().zip(self.single.outputs(&implicit(&self.course).entries));
        entries.filter_map(|(place, value)| place.map(|(row, column)| (row, column, value[0]))).collect()
    }

    /// The largest difference between the Jacobian at the single point and central differences there, as a fraction of its largest
    /// entry.
    pub fn error(&mut self, step: f64) -> f64 {
        let (states, entries) = (self.states(), self.entries());
        let program = &implicit(&self.course).slopes.forward;
        let mut dense = vec![0.0; states * states];
        for column in 0..states {
            for (by, factor) in [(step, 0.5 / step), (-step, -0.5 / step)] {
                let before = self.single.lanes[column];
                self.single.lanes[column][0] += by;
                self.single.run(program, &self.wide);
                self.single.lanes[column] = before;
                for row in 0..states {
                    dense[row * states + column] += factor * self.single.outputs(program)[row][0];
                }
            }
        }
        let largest = entries.iter().fold(0.0_f64, |largest, (.., value)| largest.max(value.abs()));
        for (row, column, value) in entries {
            dense[row as usize * states + column as usize] -= value;
        }
        dense.iter().fold(0.0_f64, |worst, value| worst.max(value.abs())) / largest
    }
}
