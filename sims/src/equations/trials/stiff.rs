//! Linearly implicit steps of one shot twice: with the sparse Jacobian of the equations, and with a dense one by differences.

use nalgebra::DMatrix;

use super::super::Equations;
use super::super::implicit::{Implicit, Room};
use super::super::machine::Memory;
use super::super::model::{Method, Role};
use super::super::nominal;
use super::super::rosenbrock::ROS2;
use super::super::run::Course;
use super::super::steps::GAMMA;
use super::super::system::Stepper;
use super::dense::Factors;
use crate::Error;

/// A system at rest in its own course, in double precision: coefficients of the file, controls and inputs in the middle of their
/// ranges.
#[derive(Debug)]
pub struct Stiff {
    course: Course,
    memory: Memory<f64, 1>,
    room: Room<f64, 1>,
    table: Vec<f64>,
}

impl Stiff {
    /// The system at its start.
    pub fn new(system: &Equations) -> Result<Self, Error> {
        let (mut model, _) = system.read()?;
        if model.states.is_empty() {
            return Err(model.source.error(0, "the system has no states, and so no steps"));
        }
        model.time.method = Method::ImplicitAdaptive;
        let course = Course::new(&model);
        let middle = |role: Role| -> Vec<f64> {
            let list = model.list(role).iter();
            let ranges =
                list.flat_map(|quantity| vec![quantity.range.unwrap_or_default(); model.count(&quantity.shape)]);
            ranges.map(|[low, high]| 0.5 * (low + high)).collect()
        };
        let table = course.compiled.settled(&middle(Role::Control), &nominal(&model));
        let mut memory = Memory::new(1, course.compiled.programs(), [course.compiled.reserved, 0]);
        let states = course.compiled.states;
        for (to, value) in memory.lanes[states..].iter_mut().zip(middle(Role::Input)) {
            *to = [value];
        }
        let mut stiff = Self { course, memory, room: Room::default(), table };
        stiff.restart();
        Ok(stiff)
    }

    fn implicit(course: &Course) -> &Implicit {
        match &course.compiled.stepper {
            Stepper::Implicit(implicit) => implicit,
            _ => unreachable!("a system whose steps adapt keeps its Jacobian"),
        }
    }

    /// Back to the start.
    pub fn restart(&mut self) {
        let states = self.states().len();
        self.memory.lanes[..states].fill([0.0]);
        let start = &self.course.compiled.start.forward;
        self.memory.run(start, &self.table);
        let written = states.min(start.outputs);
        self.memory.lanes.copy_within(start.first_output..start.first_output + written, 0);
    }

    /// The states now.
    pub fn states(&self) -> Vec<f64> {
        self.memory.lanes[..self.course.compiled.states].iter().map(|lane| lane[0]).collect()
    }

    /// Bytes of the Jacobian with its places, and those of a dense one.
    pub fn bytes(&self) -> [usize; 2] {
        let (implicit, states) = (Self::implicit(&self.course), self.course.compiled.states);
        let entries = implicit.slots.len();
        [entries * (size_of::<f64>() + size_of::<u32>()), states * states * size_of::<f64>()]
    }

    /// Values of the factors of the sparse matrix.
    pub fn factors(&self) -> usize {
        Self::implicit(&self.course).elimination.values()
    }

    /// A step of ROS2 with the sparse Jacobian.
    pub fn sparse(&mut self, seconds: f64) {
        let implicit = Self::implicit(&self.course);
        implicit.single_step(&ROS2, &self.table, &mut self.memory, &mut self.room, seconds);
    }

    /// A whole sample in steps that adapt, from where the states are. Returns how many steps that took.
    pub fn adaptive(&mut self) -> usize {
        let implicit = Self::implicit(&self.course);
        implicit.sample(&self.table, &mut self.memory, &mut self.room);
        self.room.lengths.len()
    }

    /// The same step with a dense Jacobian by forward differences, eliminated with rows exchanged.
    pub fn dense(&mut self, seconds: f64) {
        let states = self.course.compiled.states;
        let start = self.states();
        let mut matrix = self.differenced();
        matrix *= -GAMMA * seconds;
        for at in 0..states {
            matrix[(at, at)] += 1.0;
        }
        let factors = Factors::of(matrix);
        let mut first = self.slopes();
        factors.solve(&mut first);
        for ((to, start), slope) in self.memory.lanes.iter_mut().zip(&start).zip(&first) {
            to[0] = start + seconds * slope;
        }
        let mut second = self.slopes();
        second.iter_mut().zip(&first).for_each(|(second, first)| *second -= 2.0 * first);
        factors.solve(&mut second);
        for (at, to) in self.memory.lanes[..states].iter_mut().enumerate() {
            to[0] = start[at] + seconds * (1.5 * first[at] + 0.5 * second[at]);
        }
    }

    /// The dense Jacobian by forward differences, column by column.
    fn differenced(&mut self) -> DMatrix<f64> {
        let states = self.course.compiled.states;
        let here = self.slopes();
        let mut matrix = DMatrix::zeros(states, states);
        for column in 0..states {
            let value = self.memory.lanes[column][0];
            let by = f64::EPSILON.sqrt() * value.abs().max(1.0);
            self.memory.lanes[column][0] = value + by;
            let there = self.slopes();
            self.memory.lanes[column][0] = value;
            for (to, (there, here)) in matrix.column_mut(column).iter_mut().zip(there.iter().zip(&here)) {
                *to = (there - here) / by;
            }
        }
        matrix
    }

    /// The time of the differences alone, for who has a clock.
    pub fn difference(&mut self) {
        std::hint::black_box(self.differenced());
    }

    fn slopes(&mut self) -> Vec<f64> {
        let program = &Self::implicit(&self.course).slopes.forward;
        self.memory.run(program, &self.table);
        self.memory.outputs(program)[..self.course.compiled.states].iter().map(|lane| lane[0]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_and_dense_steps_are_the_same() {
        let system = Equations::from_text("medium.toml", &super::super::medium(4));
        let mut stiff = Stiff::new(&system).unwrap();
        for _ in 0..3 {
            stiff.sparse(0.05);
        }
        let sparse = stiff.states();
        stiff.restart();
        for _ in 0..3 {
            stiff.dense(0.05);
        }
        assert_eq!(sparse.len(), 48);
        let error = sparse.iter().zip(stiff.states()).fold(0.0_f64, |error, (a, b)| error.max((a - b).abs()));
        assert!(error < 1e-9 && 0.02 < sparse[0], "{error:e}: {sparse:?}");
    }
}
