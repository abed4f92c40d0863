//! A block of shots from start to end, and back.
//!
//! Shapes: waves are `[ports · chunks]` lanes, the ports in the order of the banks; a bank of one value a sample has its samples one
//! after the other.

mod back;

use super::implicit::Room;
use super::machine::Memory;
use super::model::Model;
use super::program::Program;
use super::system::{Compiled, Keeping, Stage, Stepper};
use super::terms::Origin;
use crate::{LANES, Real};

/// Bytes that a block keeps of its steps for the way back: most of a second-level cache. Where it would be more, the steps of each sample
/// are computed again.
const TAPE: usize = 3 << 19;
/// What the registers of a block may take of the caches, in bytes, and the most chunks that are advanced together.
const CACHE: usize = 256 << 10;
const MOST_CHUNKS: usize = 8;
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
    /// States at the start of every sample, and at the end.
    tape: Vec<[S; W]>,
    /// What the states are worth, and what they will be worth at the ends of earlier samples.
    worth: Vec<[S; W]>,
    pending: Vec<[S; W]>,
    /// What the inputs of a sample and the delayed values are worth.
    drives: Vec<[S; W]>,
    scratch: Scratch<S, W>,
    room: Room<S, W>,
    /// What goes in and comes out of a block, and their cotangents.
    pub waves: [Vec<[S; W]>; 4],
}

/// States and slopes within a step.
#[derive(Debug)]
struct Scratch<S, const W: usize> {
    start: Vec<[S; W]>,
    slopes: [Vec<[S; W]>; 4],
    /// What the states are worth after a step and before it, and what those of a later stage are.
    after: Vec<[S; W]>,
    total: Vec<[S; W]>,
    later: Vec<[S; W]>,
}

impl<S: Real, const W: usize> Work<S, W> {
    /// Memory for blocks of so many chunks.
    pub fn new(course: &Course, chunks: usize) -> Self {
        let compiled = &course.compiled;
        let new = Vec::new;
        Self {
            memory: Memory::new(chunks, compiled.programs(), [compiled.reserved, compiled.sums]),
            tape: new(),
            worth: new(),
            pending: new(),
            drives: new(),
            scratch: Scratch { start: new(), slopes: Default::default(), after: new(), total: new(), later: new() },
            room: Room::default(),
            waves: Default::default(),
        }
    }

    /// The sums over shots so far.
    pub fn sums(&self) -> Vec<f64> {
        self.memory.sums.iter().map(|sum| sum.to_f64()).collect()
    }
}

/// A factor, and what it multiplies.
type Part<'a, S, const W: usize> = (S, &'a [[S; W]]);

/// `to` = `base` + Σ `by`·`from`; without a base `to` is added to.
struct Combine<'a, S, const W: usize> {
    to: &'a mut [[S; W]],
    base: Option<&'a [[S; W]]>,
    from: &'a [Part<'a, S, W>],
}

impl<S: Real, const W: usize> pulp::NullaryFnOnce for Combine<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let to = self.to.as_flattened_mut();
        let mut from = self.from.iter();
        if let Some(base) = self.base
            && let Some((by, first)) = from.next()
        {
            for ((to, base), value) in to.iter_mut().zip(base.as_flattened()).zip(first.as_flattened()) {
                *to = by.mul_add(*value, *base);
            }
        }
        for (by, from) in from {
            for (to, from) in to.iter_mut().zip(from.as_flattened()) {
                *to = by.mul_add(*from, *to);
            }
        }
    }
}

fn add<S: Real, const W: usize>(to: &mut [[S; W]], from: &[Part<S, W>]) {
    pulp::Arch::new().dispatch(Combine { to, base: None, from });
}

fn combine<S: Real, const W: usize>(to: &mut [[S; W]], base: &[[S; W]], from: &[Part<S, W>]) {
    pulp::Arch::new().dispatch(Combine { to, base: Some(base), from });
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

    /// Chunks of a block: the same whatever the batch and the threads, so that sums over shots are too.
    pub fn chunks(&self) -> usize {
        if self.advances_alone() {
            return 1;
        }
        let elements = self.compiled.programs().iter().map(|program| program.elements).max().unwrap_or(0);
        let fitting = CACHE / (LANES * size_of::<f32>() * elements).max(1);
        // A lone chunk is no better than two whose steps are computed again.
        let keeping = (TAPE / self.record_bytes().max(1)).max(2);
        let most = fitting.min(keeping).clamp(1, MOST_CHUNKS);
        // Chains take 8 vectors together, or 4.
        1 << most.ilog2()
    }

    /// What strides of steps keep, and how often in each of them.
    fn keeping(&self) -> Option<(&Keeping, usize)> {
        match &self.compiled.stepper {
            Stepper::Map(stage) => Some((stage, 1)),
            Stepper::RungeKutta(stage) => Some((stage, 4)),
            Stepper::Still | Stepper::Implicit(_) => None,
        }
    }

    /// Elements that a stride keeps.
    fn kept(&self) -> usize {
        self.keeping().map_or(0, |(stage, times)| stage.kept * times)
    }

    /// Strides of a sample: so many steps each that one program takes together.
    fn strides(&self) -> usize {
        self.keeping().map_or(0, |(stage, _)| self.substeps / stage.times)
    }

    /// Bytes that one chunk keeps of a shot.
    fn record_bytes(&self) -> usize {
        LANES * size_of::<f32>() * self.kept() * self.samples * self.strides()
    }

    /// Whether a block of so many chunks keeps all steps of a shot.
    fn keeps_all(&self, chunks: usize) -> bool {
        self.record_bytes().saturating_mul(chunks) <= TAPE
    }

    /// States at the beginning and at `times` ends of samples, the last among them, of one shot with inputs that stay as they are, one
    /// value for each element.
    pub fn visited(&self, times: usize, inputs: &[f64], controls: &[f64], coefficients: &[f64]) -> Vec<Vec<f64>> {
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
        let (states, times) = (self.compiled.states, times.min(self.samples));
        (0..=times)
            .map(|time| {
                work.tape[time * self.samples / times * states..][..states].iter().map(|lane| lane[0]).collect()
            })
            .collect()
    }

    /// States where a shot begins.
    pub fn start(&self, inputs: &[f64], controls: &[f64], coefficients: &[f64]) -> Vec<f64> {
        let once = Self { samples: 1, ..self.clone() };
        once.visited(1, inputs, controls, coefficients).swap_remove(0)
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
                memory.lanes[to..][..count].copy_from_slice(&history[time * states + from..][..count]);
            }
        }
    }

    fn delayed_count(&self, delay: usize) -> usize {
        let extents = &self.compiled.terms.shapes[&(Origin::Delayed, delay as u32)];
        extents.iter().map(|extent| extent.size).product()
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
        let Work { memory, tape, scratch, room, .. } = work;
        let chunks = memory.chunks;
        let states = self.compiled.states * chunks;
        let (size, strides) = (self.kept(), self.strides());
        let keeps = records && self.keeps_all(chunks);
        if keeps {
            memory.keep(size * self.samples * strides);
        }
        let records = records || 0 < self.reach;
        tape.clear();
        memory.lanes[..states].fill([S::of(0.0); W]);
        self.drive_start(inputs, memory);
        memory.run(&self.compiled.start.forward, table);
        copy_states(memory, &self.compiled.start.forward, states);
        for sample in 0..self.samples {
            if records {
                tape.extend_from_slice(&memory.lanes[..states]);
            }
            // A delayed state may be that of the end of the sample before.
            self.drive(sample, inputs, tape, memory);
            if let Stepper::Implicit(implicit) = &self.compiled.stepper {
                implicit.sample(table, memory, room);
            } else {
                for stride in sample * strides..(sample + 1) * strides {
                    self.stride(table, memory, scratch, keeps.then_some(stride * size));
                }
            }
            read(&self.compiled.sample, &self.sample_outputs, sample, (table, memory), outputs);
        }
        if records {
            tape.extend_from_slice(&memory.lanes[..states]);
        }
        read(&self.compiled.end, &self.end_outputs, 0, (table, memory), outputs);
    }

    /// Before a shot only inputs of one value a shot are known.
    fn drive_start<S: Real, const W: usize>(&self, wave: &[[S; W]], memory: &mut Memory<S, W>) {
        let chunks = memory.chunks;
        for ports in self.inputs.iter().filter(|ports| ports.stride == 0) {
            memory.lanes[ports.element * chunks..][..ports.count * chunks]
                .copy_from_slice(&wave[ports.wave * chunks..][..ports.count * chunks]);
        }
    }

    /// A stride of steps; what it keeps lies from `at` on.
    fn stride<S: Real, const W: usize>(
        &self,
        table: &[S],
        memory: &mut Memory<S, W>,
        scratch: &mut Scratch<S, W>,
        at: Option<usize>,
    ) {
        let Some((stage, times)) = self.keeping() else { return };
        let states = self.compiled.states * memory.chunks;
        let run = |memory: &mut Memory<S, W>, number: usize| match at {
            Some(at) => stage.record(table, memory, at + number * stage.kept),
            None => memory.run(&stage.forward, table),
        };
        if times == 1 {
            run(memory, 0);
            // After an even number of steps they are there.
            if stage.times % 2 == 1 {
                copy_states(memory, &stage.forward, states);
            }
            return;
        }
        let seconds = self.compiled.step_seconds;
        let Scratch { start, slopes, .. } = scratch;
        start.clear();
        start.extend_from_slice(&memory.lanes[..states]);
        for number in 0..4 {
            if 0 < number {
                let by = S::of(if number == 3 { 1.0 } else { 0.5 } * seconds);
                combine(&mut memory.lanes[..states], start, &[(by, &slopes[number - 1])]);
            }
            run(memory, number);
            slopes[number].clear();
            slopes[number].extend_from_slice(&memory.outputs(&stage.forward)[..states]);
        }
        let [first, second, third, fourth] = &*slopes;
        let (sixth, other) = (S::of(seconds / 6.0), S::of(seconds / 3.0));
        combine(
            &mut memory.lanes[..states],
            start,
            &[(sixth, first), (other, second), (other, third), (sixth, fourth)],
        );
    }
}

/// What a program has computed becomes the states.
fn copy_states<S: Real, const W: usize>(memory: &mut Memory<S, W>, program: &Program, states: usize) {
    let written = states.min(program.outputs * memory.chunks);
    let first = program.first_output * memory.chunks;
    memory.lanes.copy_within(first..first + written, 0);
}

/// The readings of one sample, or of the end.
fn read<S: Real, const W: usize>(
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
    let (mut from, found) = (0, memory.outputs(&stage.forward));
    for ports in list {
        let count = ports.count * chunks;
        let to = (ports.wave + sample * ports.stride) * chunks;
        outputs[to..][..count].copy_from_slice(&found[from..][..count]);
        from += count;
    }
}
