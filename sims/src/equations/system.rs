//! A model compiled: programs for the start, the steps, and the readings, each with its backward pass, and one for what all shots
//! share.
//!
//! Every program finds its inputs at the same places, in elements: states, inputs of the sample, delayed values, cotangents; a
//! backward pass leaves what its inputs are worth at the same places of its outputs. What shared terms are worth adds up over steps
//! and shots; one last program takes it from there to the controls.

// Circle with equations/system/jacobian.rs: one compilation; split for its length.
// Circle with equations/system/keeping.rs: one compilation; split for its length.
// Circle with equations/implicit.rs: a stage is a part of a system, and a system holds the stepper that runs it.

mod jacobian;
mod keeping;

use super::build::{Builder, Delay, work};
use super::calculus::Worth;
use super::compile::{Entry, Layout, Shared, Target, Wanted, compile};
use super::implicit::Implicit;
use super::machine::Memory;
use super::model::{Line, Method, Model, Role};
use super::program::Program;
use super::terms::{Extent, Id, Leaf, Node, Origin, Terms};
use crate::Real;
pub(super) use jacobian::{Block, jacobian};
pub(super) use keeping::Keeping;

/// Up to so many parts, every element has terms of its own.
const UNROLLED_PARTS: usize = 4_000;
/// The same for steps that take one state after the other: they have no other form.
const MOST_PARTS: usize = 100_000;
/// Up to so many elements, the matrix of an implicit step is eliminated as terms.
const DENSE_STATES: usize = 16;

/// A program and its backward pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    pub forward: Program,
    pub backward: Program,
}

/// How the states go on.
#[derive(Debug, Clone)]
pub(super) enum Stepper {
    /// Nothing goes on.
    Still,
    /// One program is a whole step.
    Map(Box<Keeping>),
    /// Four slopes are a step.
    RungeKutta(Box<Keeping>),
    /// A sparse system is solved in each step.
    Implicit(Box<Implicit>),
}

/// A compiled model.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    pub states: usize,
    /// Values of inputs in one sample, those of one value a shot among them.
    pub inputs: usize,
    pub delayed: usize,
    pub delays: Vec<Delay>,
    /// Where the arrays of each origin lie.
    pub layout: Layout,
    /// Elements before the registers.
    pub reserved: usize,
    pub start: Stage,
    pub stepper: Stepper,
    /// Readings of every sample, and of the end.
    pub sample: Stage,
    pub end: Stage,
    pub shared: Shared,
    /// Elements of the sums over shots.
    pub sums: usize,
    settle: Program,
    settle_back: Program,
    constants: Shared,
    pub controls: usize,
    indices: Vec<Extent>,
    pub terms: Terms,
    pub step_seconds: f64,
}

/// What is collected while the stages are compiled.
struct Assembly {
    terms: Terms,
    layout: Layout,
    reserved: u32,
    /// Elements that backward programs say the worth of: states, inputs, delayed values.
    worth: usize,
    shared: Shared,
    gains: Shared,
}

/// A result of a stage: the term, the variables that it goes over, its cotangent, and where it goes.
struct Result {
    id: Id,
    over: u32,
    seed: Leaf,
    base: u32,
    leaf: Leaf,
}

impl Assembly {
    fn stage(&mut self, results: &[Result]) -> Stage {
        let roots: Vec<Id> = results.iter().map(|result| result.id).collect();
        let hoisted = self.terms.hoist(&roots);
        let finished = self.terms.finished(&hoisted);
        let wanted: Vec<Wanted> = results
            .iter()
            .zip(&finished)
            .map(|(result, id)| Wanted {
                id: *id,
                over: result.over,
                target: Target::Put { base: result.base, leaf: Some(result.leaf.clone()) },
            })
            .collect();
        let forward = compile(&self.terms, &wanted, (&self.layout, self.reserved, 0), &mut self.shared, false);
        let mut seeded = Vec::new();
        for (result, id) in results.iter().zip(&hoisted) {
            let seed = self.terms.leaf(result.seed.clone());
            seeded.push((*id, seed, result.over));
        }
        let backward = self.backward(&seeded);
        Stage { forward, backward }
    }

    /// What states, inputs, delayed values, and shared terms that go with controls are worth.
    fn worths(&mut self, seeded: &[(Id, Id, u32)]) -> Vec<Worth> {
        let mut found = self.terms.backward(seeded, 0, |terms, id| {
            let own = matches!(
                terms.node(id),
                Node::Leaf(Leaf { origin: Origin::State | Origin::Input | Origin::Delayed, .. })
            );
            own || (terms.facts(id).uniform && terms.facts(id).controlled)
        });
        let worths: Vec<Id> = found.iter().map(|worth| worth.worth).collect();
        for (worth, id) in found.iter_mut().zip(self.terms.hoist(&worths)) {
            worth.worth = id;
        }
        found
    }

    /// Where these go, computed as `ids`.
    fn wanted(&mut self, worths: &[Worth], ids: &[Id]) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for (worth, id) in worths.iter().zip(ids) {
            let facts = self.terms.facts(worth.of);
            let target = match self.terms.node(worth.of).clone() {
                Node::Leaf(leaf) if !leaf.origin.is_uniform() => {
                    Target::Put { base: self.layout[&(leaf.origin, leaf.array)], leaf: Some(leaf) }
                }
                _ => {
                    let to = self.gains.place(Entry::Term(worth.of), self.terms.count(facts.free));
                    Target::Gain { to, vars: facts.free }
                }
            };
            wanted.push(Wanted { id: *id, over: facts.free, target });
        }
        wanted
    }

    fn backward(&mut self, seeded: &[(Id, Id, u32)]) -> Program {
        let worths = self.worths(seeded);
        let ids: Vec<Id> = worths.iter().map(|worth| worth.worth).collect();
        let ids = self.terms.finished(&ids);
        let wanted = self.wanted(&worths, &ids);
        compile(&self.terms, &wanted, (&self.layout, self.reserved, self.worth), &mut self.shared, false)
    }
}

/// Gives the arrays of one origin their places.
fn laid(layout: &mut Layout, terms: &Terms, origin: Origin, arrays: usize, end: &mut u32) {
    for array in 0..arrays as u32 {
        layout.insert((origin, array), *end);
        *end += terms.shapes[&(origin, array)].iter().map(|extent| extent.size as u32).product::<u32>();
    }
}

impl Compiled {
    /// Whether every element can have terms of its own.
    pub fn is_small(model: &Model) -> bool {
        let most = if model.time.method == Method::SemiImplicit { MOST_PARTS } else { UNROLLED_PARTS };
        Self::parts(model) <= most
    }

    /// Parts of all elements of equations and outputs.
    pub fn parts(model: &Model) -> usize {
        work(model, model.equations.iter().chain(model.outputs.iter().map(|output| &output.line)))
    }

    /// Compiles a model that has passed the check.
    #[allow(clippy::too_many_lines)] // One stage after the other, each with what those before it have left.
    pub fn new(model: &Model, unrolls: bool) -> Self {
        let mut builder = Builder::new(model, unrolls);
        let motions = builder.motions();
        let starts = starts(&mut builder);
        let mut readings: [Vec<Result>; 2] = [Vec::new(), Vec::new()];
        let mut bases = [0_u32; 2];
        for (number, output) in model.outputs.iter().enumerate() {
            let kind = usize::from(output.at_end);
            let array = (model.states.len() + number) as u32;
            let extents = super::build::extents(model, &output.line.indices);
            builder.terms.shapes.insert((Origin::Seed, array), extents);
            let (base, results) = (bases[kind], &mut readings[kind]);
            builder.each(&output.line, |builder, id, at| {
                let seed = Leaf { origin: Origin::Seed, array, at: at.into() };
                results.push(Result { id, over: builder.over(&seed), leaf: seed.clone(), seed, base });
            });
            bases[kind] += model.count(&output.line.indices) as u32;
        }
        let Builder { mut terms, delays, .. } = builder;
        for array in 0..model.states.len() as u32 {
            // A start has its own cotangents, those of the states.
            let extents = terms.shapes[&(Origin::State, array)].clone();
            terms.shapes.insert((Origin::Seed, array), extents);
        }
        let mut layout = Layout::default();
        let mut end = 0;
        laid(&mut layout, &terms, Origin::State, model.states.len(), &mut end);
        let states = end as usize;
        laid(&mut layout, &terms, Origin::Input, model.inputs.len(), &mut end);
        let inputs = end as usize - states;
        laid(&mut layout, &terms, Origin::Delayed, delays.len(), &mut end);
        let delayed = end as usize - states - inputs;
        laid(&mut layout, &terms, Origin::Seed, model.states.len() + model.outputs.len(), &mut end);
        laid(&mut layout, &terms, Origin::Tangent, model.states.len(), &mut end);
        let step_seconds = model.time.sample_seconds / model.time.substeps as f64;
        let (shared, gains) = (Shared::default(), Shared::default());
        let worth = states + inputs + delayed;
        let mut assembly = Assembly { terms, layout, reserved: end, worth, shared, gains };
        let to_states = |terms: &Terms, id: Id, state: &Leaf, layout: &Layout| Result {
            id,
            over: over(terms, state),
            seed: Leaf { origin: Origin::Seed, ..state.clone() },
            base: layout[&(Origin::State, state.array)],
            leaf: state.clone(),
        };
        let start_results: Vec<Result> =
            starts.iter().map(|(id, state)| to_states(&assembly.terms, *id, state, &assembly.layout)).collect();
        let start = assembly.stage(&start_results);
        let is_map = unrolls
            && match model.time.method {
                Method::Rk4 | Method::SemiImplicit => true,
                Method::Implicit => states <= DENSE_STATES,
                Method::ImplicitAdaptive => false,
            };
        let method = model.time.method;
        let stepper = if states == 0 {
            Stepper::Still
        } else if is_map {
            let next = assembly.terms.step(method, &motions, step_seconds);
            let results: Vec<Result> = motions
                .iter()
                .zip(next)
                .map(|(motion, id)| to_states(&assembly.terms, id, &motion.state, &assembly.layout))
                .collect();
            assembly.map(&results, states, model.time.substeps)
        } else {
            let results: Vec<Result> = motions
                .iter()
                .map(|motion| to_states(&assembly.terms, motion.slope, &motion.state, &assembly.layout))
                .collect();
            if method == Method::Rk4 {
                assembly.runge_kutta(&results, states)
            } else {
                let stage = assembly.stage(&results);
                Stepper::Implicit(Box::new(assembly.implicit(&motions, stage, (&model.time, states))))
            }
        };
        let [sample, end_results] = &readings;
        let (sample, end) = (assembly.stage(sample), assembly.stage(end_results));
        let Assembly { mut terms, mut layout, shared, gains, reserved, .. } = assembly;
        let mut constants = Shared::default();
        let mut below = 0;
        laid(&mut layout, &terms, Origin::Control, model.controls.len(), &mut below);
        laid(&mut layout, &terms, Origin::Coefficient, model.coefficients.len(), &mut below);
        let numbers = below;
        let settle = settle(&terms, &shared, (&layout, numbers), &mut constants);
        let settle_back = settle_back(&mut terms, &gains, (&mut layout, numbers), &mut constants);
        let indices = terms.vars.clone();
        Self {
            states,
            inputs,
            delayed,
            delays,
            layout,
            reserved: reserved as usize,
            start,
            stepper,
            sample,
            end,
            shared,
            sums: gains.length as usize,
            settle,
            settle_back,
            constants,
            controls: model.total(Role::Control),
            indices,
            terms,
            step_seconds,
        }
    }

    /// The programs that a block runs.
    pub fn programs(&self) -> Vec<&Program> {
        let mut programs: Vec<&Program> = [&self.start, &self.sample, &self.end]
            .into_iter()
            .flat_map(|stage| [&stage.forward, &stage.backward])
            .collect();
        match &self.stepper {
            Stepper::Still => (),
            Stepper::Map(stage) | Stepper::RungeKutta(stage) => {
                programs.extend([&stage.forward, &stage.record, &stage.backward]);
            }
            Stepper::Implicit(implicit) => {
                let slopes = &implicit.slopes;
                programs.extend([&slopes.forward, &slopes.backward, &implicit.entries, &implicit.curvature]);
            }
        }
        programs
    }

    /// A table with its numbers and the values of its indices.
    fn blank<S: Real>(&self, shared: &Shared) -> Vec<S> {
        let mut table = vec![S::of(0.0); (shared.length as usize).max(1)];
        for (entry, place) in &shared.order {
            let place = *place as usize;
            match entry {
                Entry::Number(bits) => table[place] = S::of(f64::from_bits(*bits)),
                Entry::Index(var) => {
                    for at in 0..self.indices[usize::from(*var)].size {
                        table[place + at] = S::of(at as f64);
                    }
                }
                Entry::Term(_) => (),
            }
        }
        table
    }

    /// What all shots share, with these controls and coefficients.
    pub fn settled<S: Real>(&self, controls: &[S::Wide], coefficients: &[S::Wide]) -> Vec<S> {
        let mut memory = Memory::<S::Wide, 1>::new(1, [&self.settle], [0, 0]);
        let values = controls.iter().chain(coefficients);
        memory.lanes.iter_mut().zip(values).for_each(|(element, value)| *element = [*value]);
        memory.run(&self.settle, &self.blank(&self.constants));
        let settled = memory.outputs(&self.settle);
        let mut table = self.blank(&self.shared);
        for (entry, place) in &self.shared.order {
            if let Entry::Term(id) = entry {
                let place = *place as usize;
                let count = self.terms.count(self.terms.facts(*id).free);
                for (to, from) in table[place..][..count].iter_mut().zip(&settled[place..]) {
                    *to = S::nearest(from[0]);
                }
            }
        }
        table
    }

    /// What controls are worth, where the shared terms that go with them are worth `sums`.
    pub fn settled_back(&self, controls: &[f64], coefficients: &[f64], sums: &[f64]) -> Vec<f64> {
        let mut memory = Memory::<f64, 1>::new(1, [&self.settle_back], [0, 0]);
        let values = controls.iter().chain(coefficients).chain(sums);
        memory.lanes.iter_mut().zip(values).for_each(|(element, value)| *element = [*value]);
        memory.run(&self.settle_back, &self.blank(&self.constants));
        memory.outputs(&self.settle_back)[..self.controls].iter().map(|lane| lane[0]).collect()
    }
}

impl Builder<'_> {
    /// The variables that a leaf goes along.
    fn over(&self, leaf: &Leaf) -> u32 {
        over(&self.terms, leaf)
    }
}

fn over(terms: &Terms, leaf: &Leaf) -> u32 {
    terms.find(&Node::Leaf(leaf.clone())).map_or_else(
        || {
            leaf.at.iter().fold(0, |vars, place| match place {
                super::terms::Place::Along { var, .. } => vars | 1 << var,
                super::terms::Place::At(_) => vars,
            })
        },
        |id| terms.facts(id).free,
    )
}

/// Where each state starts: 0 where the file says nothing.
fn starts(builder: &mut Builder) -> Vec<(Id, Leaf)> {
    let model = builder.model;
    let mut starts = Vec::new();
    for (array, state) in model.states.iter().enumerate() {
        let Some(start) = &state.start else { continue };
        let line = Line {
            name: state.name.clone(),
            indices: state.shape.clone(),
            called: state.shape.iter().map(|index| model.indices[*index].name.clone()).collect(),
            right: start.clone(),
        };
        builder.each(&line, |_, id, at| {
            starts.push((id, Leaf { origin: Origin::State, array: array as u32, at: at.into() }));
        });
    }
    starts
}

/// The program of the shared table.
fn settle(terms: &Terms, shared: &Shared, layout: (&Layout, u32), constants: &mut Shared) -> Program {
    let mut wanted = Vec::new();
    for (entry, place) in &shared.order {
        if let Entry::Term(id) = entry {
            let over = terms.facts(*id).free;
            wanted.push(Wanted { id: *id, over, target: Target::Put { base: *place, leaf: None } });
        }
    }
    compile(terms, &wanted, (layout.0, layout.1, shared.length as usize), constants, true)
}

/// The program that takes what shared terms are worth to controls and coefficients.
fn settle_back(
    terms: &mut Terms,
    gains: &Shared,
    (layout, numbers): (&mut Layout, u32),
    constants: &mut Shared,
) -> Program {
    let mut seeded = Vec::new();
    let mut end = numbers;
    for (number, (entry, place)) in gains.order.iter().enumerate() {
        let Entry::Term(id) = entry else { continue };
        let vars: Vec<u8> = super::terms::vars_of(terms.facts(*id).free).collect();
        let extents = vars.iter().map(|var| terms.vars[usize::from(*var)]).collect();
        terms.shapes.insert((Origin::Settled, number as u32), extents);
        layout.insert((Origin::Settled, number as u32), numbers + place);
        let seed = terms.whole(Origin::Settled, number as u32, &vars);
        seeded.push((*id, seed, terms.facts(*id).free));
        end = numbers + gains.length;
    }
    let found = terms
        .backward(&seeded, 0, |terms, id| matches!(terms.node(id), Node::Leaf(Leaf { origin: Origin::Control, .. })));
    let wanted: Vec<Wanted> = found
        .iter()
        .map(|worth| {
            let Node::Leaf(leaf) = terms.node(worth.of).clone() else { unreachable!("only leaves are wanted") };
            let base = layout[&(leaf.origin, leaf.array)];
            Wanted { id: worth.worth, over: terms.facts(worth.of).free, target: Target::Put { base, leaf: Some(leaf) } }
        })
        .collect();
    compile(terms, &wanted, (layout, end, numbers as usize), constants, true)
}
