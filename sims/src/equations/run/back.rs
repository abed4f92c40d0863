//! A block of shots back from its readings to its inputs: the adjoint of what was computed, step by step.

use super::super::system::{Stage, Stepper};
use super::super::terms::Origin;
use super::{Course, Ports, Scratch, Work, add};
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
        let keeps = self.keeps_all(chunks);
        work.memory.sums.fill(S::of(0.0));
        work.worth.clear();
        work.worth.resize(states, zero);
        work.pending.clear();
        let pending = if self.reach == 0 { 0 } else { (self.samples + 1) * states };
        work.pending.resize(pending, zero);
        gradients.fill(zero);
        let end = work.tape.len() - states;
        for sample in (0..self.samples).rev() {
            let after = if sample + 1 == self.samples { end } else { (sample + 1) * states };
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
                    implicit.step_back(table, memory, room, length, worth, |found| collect(found, drives));
                }
                self.hand_on(sample, work, gradients);
                continue;
            }
            if !keeps {
                self.again(table, work, sample * states);
            }
            let strides = self.strides();
            for stride in (0..strides).rev() {
                self.stride_back(table, work, if keeps { sample * strides + stride } else { stride });
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
        collect(&work.memory.outputs(&self.compiled.start.backward)[states..], &mut work.drives);
        for ports in self.inputs.iter().filter(|ports| ports.stride == 0) {
            let from = (ports.element - self.compiled.states) * chunks;
            let count = ports.count * chunks;
            add(&mut gradients[ports.wave * chunks..][..count], &[(S::of(1.0), &work.drives[from..][..count])]);
        }
    }

    /// The steps of one sample once more, from where the tape has its beginning; what they keep is kept now.
    fn again<S: Real, const W: usize>(&self, table: &[S], work: &mut Work<S, W>, from: usize) {
        let Work { memory, tape, scratch, .. } = work;
        let (states, size, strides) = (self.compiled.states * memory.chunks, self.kept(), self.strides());
        memory.keep(size * strides);
        memory.lanes[..states].copy_from_slice(&tape[from..][..states]);
        for stride in 0..strides {
            self.stride(table, memory, scratch, Some(stride * size));
        }
    }

    fn seed_states<S: Real, const W: usize>(&self, work: &mut Work<S, W>) {
        let chunks = work.memory.chunks;
        if let Some(place) = self.compiled.layout.get(&(Origin::Seed, 0)) {
            let states = self.compiled.states * chunks;
            work.memory.lanes[*place as usize * chunks..][..states].copy_from_slice(&work.worth);
        }
    }

    /// The adjoint of the stride that is the given one of those that are kept.
    fn stride_back<S: Real, const W: usize>(&self, table: &[S], work: &mut Work<S, W>, stride: usize) {
        let Some((stage, times)) = self.keeping() else { return };
        let Work { memory, worth, drives, scratch, .. } = work;
        let states = self.compiled.states * memory.chunks;
        let at = stride * times * stage.kept;
        let seeds = self.compiled.layout[&(Origin::Seed, 0)] as usize * memory.chunks;
        if times == 1 {
            memory.lanes[seeds..][..states].copy_from_slice(worth);
            stage.back(table, memory, at);
            let found = memory.outputs(&stage.backward);
            let worths = if stage.times % 2 == 1 { &found[..states] } else { &memory.lanes[seeds..][..states] };
            worth.copy_from_slice(worths);
            collect(&found[states..], drives);
            return;
        }
        let (seconds, one) = (self.compiled.step_seconds, S::of(1.0));
        let Scratch { after, total, later, .. } = scratch;
        after.clone_from(worth);
        total.clone_from(worth);
        later.clear();
        later.resize(states, [S::of(0.0); W]);
        for number in (0..4).rev() {
            let own = S::of(if number % 3 == 0 { seconds / 6.0 } else { seconds / 3.0 });
            let next = S::of(if number == 2 { seconds } else { 0.5 * seconds });
            let seed = &mut memory.lanes[seeds..][..states];
            seed.fill([S::of(0.0); W]);
            add(seed, &[(own, after), (next, later)]);
            stage.back(table, memory, at + number * stage.kept);
            let found = memory.outputs(&stage.backward);
            later.copy_from_slice(&found[..states]);
            collect(&found[states..], drives);
            add(total, &[(one, later)]);
        }
        worth.copy_from_slice(total);
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
        let Work { memory, worth, drives, .. } = work;
        memory.run(&stage.backward, table);
        let (found, states) = (memory.outputs(&stage.backward), self.compiled.states * chunks);
        add(worth, &[(S::of(1.0), &found[..states])]);
        collect(&found[states..], drives);
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

/// Adds what a backward program says of inputs and delayed values.
fn collect<S: Real, const W: usize>(found: &[[S; W]], drives: &mut [[S; W]]) {
    add(drives, &[(S::of(1.0), &found[..drives.len()])]);
}
