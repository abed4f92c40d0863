//! A block of shots from start to end, and back.
//!
//! Shapes: waves are `[ports · chunks]` lanes, the ports in the order of the banks; a bank of one value a sample has its samples one
//! after the other.

use super::implicit::Room;
use super::machine::Memory;
use super::model::Model;
use super::program::Program;
use super::system::{Compiled, Stage, Stepper};
use super::terms::Origin;
use crate::{LANES, Real};

/// Bytes of states that are kept for the way back; where they would be more, only the beginning of every sample is kept.
const TAPE: usize = 8 << 20;
/// Bytes of the factors of a row of shots above which each shot is computed by itself.
const LARGE: usize = 4 << 20;

/// A bank of ports, as elements of programs and of a wave.
#[derive(Debug, Clone, Copy)]
struct Ports {
    /// Where it is among the elements of programs.
    element: usize,
    /// Where it begins in the wave.
    wave: usize,
    count: usize,
    /// How far a sample is from the next in the wave; 0: one value a shot.
    stride: usize,
}

/// A compiled model with its times and ports.
#[derive(Debug, Clone)]
pub(super) struct Course {
    pub compiled: Compiled,
    pub samples: usize,
    pub substeps: usize,
    inputs: Vec<Ports>,
    /// Readings of each sample, and of the end; `element` is their cotangents' place.
    sample_outputs: Vec<Ports>,
    end_outputs: Vec<Ports>,
    pub input_width: usize,
    pub output_width: usize,
    /// The farthest delay, in samples.
    reach: usize,
}

/// The memory of one thread.
#[derive(Debug)]
pub(super) struct Work<S, const W: usize> {
    memory: Memory<S, W>,
    /// States at the start of every step that is kept, and at the end.
    tape: Vec<[S; W]>,
    /// States at the start of the steps of one sample.
    within: Vec<[S; W]>,
    /// What the states are worth, and what they will be worth at the ends of earlier samples.
    worth: Vec<[S; W]>,
    pending: Vec<[S; W]>,
    /// What the inputs of a sample and the delayed values are worth.
    drives: Vec<[S; W]>,
    stages: [Vec<[S; W]>; 4],
    room: Room<S, W>,
}

impl<S: Real, const W: usize> Work<S, W> {
    /// Memory for blocks of so many chunks.
    pub fn new(course: &Course, chunks: usize) -> Self {
        let mut memory = Memory::new(chunks);
        memory.fit(course.compiled.programs(), course.compiled.sums);
        let reserved = course.compiled.reserved * chunks;
        memory.lanes.resize(memory.lanes.len().max(reserved), [S::of(0.0); W]);
        let new = Vec::new;
        Self {
            memory,
            tape: new(),
            within: new(),
            worth: new(),
            pending: new(),
            drives: new(),
            stages: Default::default(),
            room: Room::default(),
        }
    }

    /// The sums over shots so far, over the lanes of each.
    pub fn sums(&self) -> Vec<f64> {
        self.memory.sums.iter().map(|lanes| lanes.iter().map(|value| value.to_f64()).sum()).collect()
    }
}

/// `to` += Σ `by`·`from`.
struct Combine<'a, S, const W: usize> {
    to: &'a mut [[S; W]],
    from: &'a [(S, &'a [[S; W]])],
}

impl<S: Real, const W: usize> pulp::NullaryFnOnce for Combine<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (by, from) in self.from {
            for (to, from) in self.to.as_flattened_mut().iter_mut().zip(from.as_flattened()) {
                *to = by.mul_add(*from, *to);
            }
        }
    }
}

fn add<S: Real, const W: usize>(to: &mut [[S; W]], from: &[(S, &[[S; W]])]) {
    pulp::Arch::new().dispatch(Combine { to, from });
}

impl Course {
    /// A model compiled, with its ports.
    pub fn new(model: &Model) -> Self {
        Self::with(model, Compiled::is_small(model))
    }

    /// The same, every element with terms of its own or not.
    pub fn with(model: &Model, unrolls: bool) -> Self {
        let compiled = Compiled::new(model, unrolls);
        let samples = model.time.samples;
        let (mut inputs, mut wave) = (Vec::new(), 0);
        for (array, quantity) in model.inputs.iter().enumerate() {
            let count = model.count(&quantity.shape);
            let element = compiled.layout[&(Origin::Input, array as u32)] as usize;
            let stride = if quantity.is_static { 0 } else { count };
            inputs.push(Ports { element, wave, count, stride });
            wave += if quantity.is_static { count } else { samples * count };
        }
        let input_width = wave;
        let (mut sample_outputs, mut end_outputs) = (Vec::new(), Vec::new());
        let mut wave = 0;
        for (number, output) in model.outputs.iter().enumerate() {
            let count = model.count(&output.line.indices);
            let array = (model.states.len() + number) as u32;
            let element = compiled.layout[&(Origin::Seed, array)] as usize;
            let (list, stride) = if output.at_end { (&mut end_outputs, 0) } else { (&mut sample_outputs, count) };
            list.push(Ports { element, wave, count, stride });
            wave += if output.at_end { count } else { samples * count };
        }
        let reach = compiled.delays.iter().map(|delay| delay.samples).max().unwrap_or(0);
        let substeps = model.time.substeps;
        Self {
            compiled,
            samples,
            substeps,
            inputs,
            sample_outputs,
            end_outputs,
            input_width,
            output_width: wave,
            reach,
        }
    }

    /// Whether a block is one row of lanes.
    pub fn advances_alone(&self) -> bool {
        matches!(self.compiled.stepper, Stepper::Implicit(_))
    }

    /// Whether a shot alone fills the caches: then each is computed by itself, in double precision.
    pub fn is_large(&self) -> bool {
        matches!(&self.compiled.stepper, Stepper::Implicit(implicit) if LARGE < implicit.bytes())
    }

    /// Bytes of one chunk of registers.
    pub fn bytes(&self) -> usize {
        let elements = self.compiled.programs().iter().map(|program| program.elements).max().unwrap_or(0);
        LANES * size_of::<f32>() * elements
    }

    /// States at the beginning and after each sample of one shot with inputs that stay as they are, one value for each element.
    pub fn visited(&self, inputs: &[f64], controls: &[f64], coefficients: &[f64]) -> Vec<Vec<f64>> {
        let mut work = Work::<f64, 1>::new(self, 1);
        let table = self.compiled.settled(controls, coefficients);
        let mut wave = vec![[0.0]; self.input_width];
        for ports in &self.inputs {
            let from = ports.element - self.compiled.states;
            for at in 0..ports.count {
                let samples = if ports.stride == 0 { 1 } else { self.samples };
                for sample in 0..samples {
                    wave[ports.wave + sample * ports.stride + at] = [inputs[from + at]];
                }
            }
        }
        let mut outputs = vec![[0.0]; self.output_width];
        self.forward(&table, &mut work, &wave, &mut outputs, true);
        let states = self.compiled.states;
        let last = work.tape.len() - states;
        let every = self.kept() * states;
        [0, every, last]
            .into_iter()
            .filter(|at| *at <= last)
            .map(|at| work.tape[at..][..states].iter().map(|lane| lane[0]).collect())
            .collect()
    }

    /// Puts the inputs of a sample and the delayed values into the programs' memory.
    fn drive<S: Real, const W: usize>(
        &self,
        sample: usize,
        wave: &[[S; W]],
        history: &[[S; W]],
        memory: &mut Memory<S, W>,
    ) {
        let chunks = memory.chunks;
        for ports in &self.inputs {
            let from = (ports.wave + sample * ports.stride) * chunks;
            memory.lanes[ports.element * chunks..][..ports.count * chunks]
                .copy_from_slice(&wave[from..][..ports.count * chunks]);
        }
        let states = self.compiled.states * chunks;
        for (number, delay) in self.compiled.delays.iter().enumerate() {
            let to = self.compiled.layout[&(Origin::Delayed, number as u32)] as usize * chunks;
            let count = self.delayed_count(number) * chunks;
            if delay.origin == Origin::Input {
                let ports = self.inputs[delay.array as usize];
                match sample.checked_sub(delay.samples) {
                    Some(earlier) => {
                        let from = (ports.wave + earlier * ports.stride) * chunks;
                        memory.lanes[to..][..count].copy_from_slice(&wave[from..][..count]);
                    }
                    None => memory.lanes[to..][..count].fill([S::of(0.0); W]),
                }
            } else {
                let from = self.compiled.layout[&(Origin::State, delay.array)] as usize * chunks;
                let time = (sample + 1).saturating_sub(delay.samples);
                memory.lanes[to..][..count].copy_from_slice(&history[time * self.kept() * states + from..][..count]);
            }
        }
    }

    fn delayed_count(&self, delay: usize) -> usize {
        let extents = &self.compiled.terms.shapes[&(Origin::Delayed, delay as u32)];
        extents.iter().map(|extent| extent.size).product()
    }

    /// How many states of a sample the tape keeps.
    fn kept(&self) -> usize {
        let bytes = LANES * size_of::<f32>() * self.compiled.states * self.samples * self.substeps;
        let is_implicit = matches!(self.compiled.stepper, Stepper::Implicit(_));
        if bytes <= TAPE && !is_implicit { self.substeps } else { 1 }
    }

    /// Takes a block from start to end: `inputs` become `outputs`. With `records`, the tape has what the way back needs.
    pub fn forward<S: Real, const W: usize>(
        &self,
        table: &[S],
        work: &mut Work<S, W>,
        inputs: &[[S; W]],
        outputs: &mut [[S; W]],
        records: bool,
    ) {
        let Work { memory, tape, stages, room, .. } = work;
        let chunks = memory.chunks;
        let states = self.compiled.states * chunks;
        let records = records || 0 < self.reach;
        tape.clear();
        memory.lanes[..states].fill([S::of(0.0); W]);
        self.drive_start(inputs, memory);
        memory.run(&self.compiled.start.forward, table);
        copy_states(memory, &self.compiled.start.forward, states);
        let kept = self.kept();
        for sample in 0..self.samples {
            if records {
                tape.extend_from_slice(&memory.lanes[..states]);
            }
            // A delayed state may be that of the end of the sample before.
            self.drive(sample, inputs, tape, memory);
            if let Stepper::Implicit(implicit) = &self.compiled.stepper {
                implicit.sample(table, memory, room);
            } else {
                for substep in 0..self.substeps {
                    if records && substep != 0 && kept != 1 {
                        tape.extend_from_slice(&memory.lanes[..states]);
                    }
                    self.step(table, memory, stages);
                }
            }
            self.read(&self.compiled.sample, &self.sample_outputs, sample, (table, memory), outputs);
        }
        if records {
            tape.extend_from_slice(&memory.lanes[..states]);
        }
        self.read(&self.compiled.end, &self.end_outputs, 0, (table, memory), outputs);
    }

    /// Before a shot only inputs of one value a shot are known.
    fn drive_start<S: Real, const W: usize>(&self, wave: &[[S; W]], memory: &mut Memory<S, W>) {
        let chunks = memory.chunks;
        for ports in self.inputs.iter().filter(|ports| ports.stride == 0) {
            memory.lanes[ports.element * chunks..][..ports.count * chunks]
                .copy_from_slice(&wave[ports.wave * chunks..][..ports.count * chunks]);
        }
    }

    fn step<S: Real, const W: usize>(&self, table: &[S], memory: &mut Memory<S, W>, stages: &mut [Vec<[S; W]>; 4]) {
        let states = self.compiled.states * memory.chunks;
        match &self.compiled.stepper {
            Stepper::Still | Stepper::Implicit(_) => (),
            Stepper::Map(stage) => {
                memory.run(&stage.forward, table);
                copy_states(memory, &stage.forward, states);
            }
            Stepper::RungeKutta(stage) => {
                let start = memory.lanes[..states].to_vec();
                self.slopes(stage, table, memory, stages);
                let [first, second, third, fourth] = stages;
                let sixth = S::of(self.compiled.step_seconds / 6.0);
                let third_part = S::of(self.compiled.step_seconds / 3.0);
                memory.lanes[..states].copy_from_slice(&start);
                add(
                    &mut memory.lanes[..states],
                    &[(sixth, first), (third_part, second), (third_part, third), (sixth, fourth)],
                );
            }
        }
    }

    /// The four slopes of a step of Runge and Kutta's. The states are moved meanwhile.
    fn slopes<S: Real, const W: usize>(
        &self,
        stage: &Stage,
        table: &[S],
        memory: &mut Memory<S, W>,
        stages: &mut [Vec<[S; W]>; 4],
    ) {
        let states = self.compiled.states * memory.chunks;
        let start = memory.lanes[..states].to_vec();
        for number in 0..4 {
            if 0 < number {
                let by = S::of(if number == 3 { 1.0 } else { 0.5 } * self.compiled.step_seconds);
                memory.lanes[..states].copy_from_slice(&start);
                add(&mut memory.lanes[..states], &[(by, &stages[number - 1])]);
            }
            memory.run(&stage.forward, table);
            stages[number].clear();
            stages[number].extend_from_slice(&memory.outputs[..states]);
        }
    }

    fn read<S: Real, const W: usize>(
        &self,
        stage: &Stage,
        list: &[Ports],
        sample: usize,
        (table, memory): (&[S], &mut Memory<S, W>),
        outputs: &mut [[S; W]],
    ) {
        if list.is_empty() {
            return;
        }
        let chunks = memory.chunks;
        memory.run(&stage.forward, table);
        let mut from = 0;
        for ports in list {
            let count = ports.count * chunks;
            let to = (ports.wave + sample * ports.stride) * chunks;
            outputs[to..][..count].copy_from_slice(&memory.outputs[from..][..count]);
            from += count;
        }
    }

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

/// What a program has computed becomes the states.
fn copy_states<S: Real, const W: usize>(memory: &mut Memory<S, W>, program: &Program, states: usize) {
    let written = states.min(program.outputs * memory.chunks);
    memory.lanes[..written].copy_from_slice(&memory.outputs[..written]);
}
