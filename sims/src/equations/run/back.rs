//! A block of shots back from its readings to its inputs: the adjoint of what was computed, step by step.

use super::super::machine::Memory;
use super::super::system::{Stage, Stepper};
use super::super::terms::Origin;
use super::{Course, Ports, Work, add};
use crate::Real;

impl Course {
    /// Takes a block back: `cotangents` of its outputs become `gradients` of its inputs. Sums over shots are added to.
    pub fn backward<S: Real, const W: usize>(
        &self,
        table: &[S],
        work: &mut Work<S, W>,
        (inputs, cotangents): (&[[S; W]], &[[S; W]]),
        gradients: &mut [[S; W]],
    ) {
        let chunks = work.memory.chunks;
        let states = self.compiled.states * chunks;
        let zero = [S::of(0.0); W];
        let kept = self.kept();
        work.memory.sums.fill(zero);
        work.worth.clear();
        work.worth.resize(states, zero);
        work.pending.clear();
        let pending = if self.reach == 0 { 0 } else { (self.samples + 1) * states };
        work.pending.resize(pending, zero);
        gradients.fill(zero);
        let end = work.tape.len() - states;
        for sample in (0..self.samples).rev() {
            let after = if sample + 1 == self.samples { end } else { (sample + 1) * kept * states };
            self.drive(sample, inputs, &work.tape, &mut work.memory);
            work.drives.clear();
            work.drives.resize((self.compiled.inputs + self.compiled.delayed) * chunks, zero);
            work.memory.lanes[..states].copy_from_slice(&work.tape[after..][..states]);
            if sample + 1 == self.samples {
                self.read_back(&self.compiled.end, &self.end_outputs, 0, (table, work), cotangents);
            }
            if 0 < self.reach {
                add(&mut work.worth, &[(S::of(1.0), &work.pending[(sample + 1) * states..][..states])]);
            }
            self.read_back(&self.compiled.sample, &self.sample_outputs, sample, (table, work), cotangents);
            if let Stepper::Implicit(implicit) = &self.compiled.stepper {
                let Work { memory, tape, room, worth, drives, .. } = &mut *work;
                memory.lanes[..states].copy_from_slice(&tape[sample * states..][..states]);
                implicit.sample(table, memory, room);
                for step in (0..room.lengths.len()).rev() {
                    memory.lanes[..states].copy_from_slice(&room.within[step * states..][..states]);
                    let length = room.lengths[step];
                    implicit.step_back(table, memory, room, length, worth, |memory| collect(memory, states, drives));
                }
                self.hand_on(sample, work, gradients);
                continue;
            }
            if kept == 1 && self.substeps != 1 {
                self.again(table, work, sample * states);
            }
            for substep in (0..self.substeps).rev() {
                let from = if kept == 1 && self.substeps != 1 {
                    &work.within[substep * states..][..states]
                } else {
                    &work.tape[(sample * kept + substep) * states..][..states]
                };
                work.memory.lanes[..states].copy_from_slice(from);
                self.step_back(table, work);
            }
            self.hand_on(sample, work, gradients);
        }
        if 0 < self.reach {
            add(&mut work.worth, &[(S::of(1.0), &work.pending[..states])]);
        }
        work.memory.lanes[..states].fill(zero);
        self.drive_start(inputs, &mut work.memory);
        work.drives.clear();
        work.drives.resize((self.compiled.inputs + self.compiled.delayed) * chunks, zero);
        self.seed_states(work);
        work.memory.run(&self.compiled.start.backward, table);
        self.collect(work);
        for ports in self.inputs.iter().filter(|ports| ports.stride == 0) {
            let from = (ports.element - self.compiled.states) * chunks;
            let count = ports.count * chunks;
            add(&mut gradients[ports.wave * chunks..][..count], &[(S::of(1.0), &work.drives[from..][..count])]);
        }
    }

    /// The steps of one sample once more, from where the tape has its beginning.
    fn again<S: Real, const W: usize>(&self, table: &[S], work: &mut Work<S, W>, from: usize) {
        let states = self.compiled.states * work.memory.chunks;
        work.within.clear();
        work.memory.lanes[..states].copy_from_slice(&work.tape[from..][..states]);
        for _ in 0..self.substeps {
            work.within.extend_from_slice(&work.memory.lanes[..states]);
            self.step(table, &mut work.memory, &mut work.stages);
        }
    }

    fn seed_states<S: Real, const W: usize>(&self, work: &mut Work<S, W>) {
        let chunks = work.memory.chunks;
        if let Some(place) = self.compiled.layout.get(&(Origin::Seed, 0)) {
            let states = self.compiled.states * chunks;
            work.memory.lanes[*place as usize * chunks..][..states].copy_from_slice(&work.worth);
        }
    }

    fn collect<S: Real, const W: usize>(&self, work: &mut Work<S, W>) {
        collect(&work.memory, self.compiled.states * work.memory.chunks, &mut work.drives);
    }

    fn step_back<S: Real, const W: usize>(&self, table: &[S], work: &mut Work<S, W>) {
        let states = self.compiled.states * work.memory.chunks;
        match &self.compiled.stepper {
            Stepper::Still | Stepper::Implicit(_) => (),
            Stepper::Map(stage) => {
                self.seed_states(work);
                work.memory.run(&stage.backward, table);
                work.worth.copy_from_slice(&work.memory.outputs[..states]);
                self.collect(work);
            }
            Stepper::RungeKutta(stage) => {
                let seconds = self.compiled.step_seconds;
                let start = work.memory.lanes[..states].to_vec();
                self.slopes(stage, table, &mut work.memory, &mut work.stages);
                let after = work.worth.clone();
                let mut total = after.clone();
                let zero = [S::of(0.0); W];
                let mut later = vec![zero; states];
                for number in (0..4).rev() {
                    let own = S::of(if number % 3 == 0 { seconds / 6.0 } else { seconds / 3.0 });
                    let next = S::of(if number == 2 { seconds } else { 0.5 * seconds });
                    work.worth.fill(zero);
                    add(&mut work.worth, &[(own, &after), (next, &later)]);
                    work.memory.lanes[..states].copy_from_slice(&start);
                    if 0 < number {
                        let by = S::of(if number == 3 { 1.0 } else { 0.5 } * seconds);
                        add(&mut work.memory.lanes[..states], &[(by, &work.stages[number - 1])]);
                    }
                    self.seed_states(work);
                    work.memory.run(&stage.backward, table);
                    later.copy_from_slice(&work.memory.outputs[..states]);
                    add(&mut total, &[(S::of(1.0), &later)]);
                    self.collect(work);
                }
                work.worth.copy_from_slice(&total);
            }
        }
    }

    fn read_back<S: Real, const W: usize>(
        &self,
        stage: &Stage,
        list: &[Ports],
        sample: usize,
        (table, work): (&[S], &mut Work<S, W>),
        cotangents: &[[S; W]],
    ) {
        if list.is_empty() {
            return;
        }
        let chunks = work.memory.chunks;
        for ports in list {
            let from = (ports.wave + sample * ports.stride) * chunks;
            let count = ports.count * chunks;
            work.memory.lanes[ports.element * chunks..][..count].copy_from_slice(&cotangents[from..][..count]);
        }
        work.memory.run(&stage.backward, table);
        add(&mut work.worth, &[(S::of(1.0), &work.memory.outputs[..self.compiled.states * chunks])]);
        self.collect(work);
    }

    /// What a sample's inputs and delayed values are worth goes where it belongs.
    fn hand_on<S: Real, const W: usize>(&self, sample: usize, work: &mut Work<S, W>, gradients: &mut [[S; W]]) {
        let chunks = work.memory.chunks;
        let states = self.compiled.states * chunks;
        let one = S::of(1.0);
        for ports in &self.inputs {
            let from = (ports.element - self.compiled.states) * chunks;
            let count = ports.count * chunks;
            let to = (ports.wave + sample * ports.stride) * chunks;
            add(&mut gradients[to..][..count], &[(one, &work.drives[from..][..count])]);
        }
        for (number, delay) in self.compiled.delays.iter().enumerate() {
            let place = self.compiled.layout[&(Origin::Delayed, number as u32)] as usize;
            let from = (place - self.compiled.states) * chunks;
            let count = self.delayed_count(number) * chunks;
            if delay.origin == Origin::Input {
                if let Some(earlier) = sample.checked_sub(delay.samples) {
                    let ports = self.inputs[delay.array as usize];
                    let to = (ports.wave + earlier * ports.stride) * chunks;
                    add(&mut gradients[to..][..count], &[(one, &work.drives[from..][..count])]);
                }
            } else {
                let time = (sample + 1).saturating_sub(delay.samples);
                let to = time * states + self.compiled.layout[&(Origin::State, delay.array)] as usize * chunks;
                add(&mut work.pending[to..][..count], &[(one, &work.drives[from..][..count])]);
            }
        }
    }
}

/// Adds what the last backward program says of inputs and delayed values, which stand behind the states.
fn collect<S: Real, const W: usize>(memory: &Memory<S, W>, states: usize, drives: &mut [[S; W]]) {
    let count = drives.len();
    add(drives, &[(S::of(1.0), &memory.outputs[states..][..count])]);
}
