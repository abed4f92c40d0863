//! What the way forward keeps for the way back, so that nothing is computed twice: the slopes of a step, or the terms that they are
//! made of.

// Circle with equations/system.rs: one compilation; split for its length.

use super::super::calculus::Worth;
use super::super::compile::{Target, Wanted, compile};
use super::super::machine::Memory;
use super::super::program::{KEPT, Program, Repeated};
use super::super::terms::{Id, Leaf, Map, Node, Origin, Terms, vars_of};
use super::{Assembly, Result, Stage, Stepper};
use crate::Real;

/// A stage whose way forward keeps what its way back needs.
#[derive(Debug, Clone, Default)]
pub(in crate::equations) struct Keeping {
    /// The way forward alone, and with what it keeps.
    pub forward: Program,
    pub record: Program,
    pub backward: Program,
    /// Elements that are kept.
    pub kept: usize,
    /// States, inputs and delayed values are kept before the step, and nothing else.
    pub is_plain: bool,
    /// Steps that the programs take one after the other.
    pub times: usize,
}

impl Keeping {
    /// Goes forward and keeps what the way back needs among what is kept, from `at` on.
    pub fn record<S: Real, const W: usize>(&self, table: &[S], memory: &mut Memory<S, W>, at: usize) {
        if self.is_plain {
            let to = memory.kept(at);
            memory.lanes.copy_within(0..self.kept * memory.chunks, to);
        }
        memory.run_at(&self.record, table, at);
    }

    /// Goes back; the cotangents are in their place.
    pub fn back<S: Real, const W: usize>(&self, table: &[S], memory: &mut Memory<S, W>, at: usize) {
        if self.is_plain {
            let from = memory.kept(at);
            memory.lanes.copy_within(from..from + self.kept * memory.chunks, 0);
        }
        memory.run_at(&self.backward, table, at);
    }

    /// As many steps in one program as are worth it, of `substeps` that follow one another. `places`: where a step finds the states, and
    /// where their cotangents; `states` are so many.
    fn repeated(self, substeps: usize, places: [u32; 2], states: u32) -> Self {
        let longest = self.record.length().max(self.backward.length()).max(1);
        let fits = |times: &usize| substeps.is_multiple_of(*times) && times * longest <= LONGEST;
        let times = (1..=substeps).rev().find(fits).unwrap_or(1);
        if times == 1 || self.is_plain {
            return self;
        }
        let how = |is_back: bool| Repeated {
            times: times as u32,
            states: [places[usize::from(is_back)], states],
            kept: self.kept as u32,
            is_back,
        };
        Self {
            forward: self.forward.repeated(how(false)),
            record: self.record.repeated(how(false)),
            backward: self.backward.repeated(how(true)),
            kept: self.kept * times,
            times,
            ..self
        }
    }
}

/// Instructions of a program of several steps, at most.
const LONGEST: usize = 1024;
/// States up to which all slopes of a step may be kept.
const FEW: usize = 4;
/// Elements that are kept at most: so many for each state, and these.
const MOST: [usize; 2] = [16, 64];

/// Terms of a way back: what is worth what, made of cotangents and kept terms.
struct Plan {
    /// What is kept, with its variables.
    kept: Vec<(Id, u32)>,
    worths: Vec<Id>,
}

impl Assembly {
    /// Steps that are one program and keep what they can; those of a sample follow one another.
    pub(super) fn map(&mut self, results: &[Result], states: usize, substeps: usize) -> Stepper {
        let places = [Origin::State, Origin::Seed].map(|origin| self.layout[&(origin, 0)]);
        Stepper::Map(Box::new(self.keeping(results, states).repeated(substeps, places, states as u32)))
    }

    /// Slopes that keep what they can.
    pub(super) fn runge_kutta(&mut self, results: &[Result], states: usize) -> Stepper {
        Stepper::RungeKutta(Box::new(self.keeping(results, states)))
    }

    /// Forward and backward programs of results that keep what they can.
    fn keeping(&mut self, results: &[Result], states: usize) -> Keeping {
        let roots: Vec<Id> = results.iter().map(|result| result.id).collect();
        let hoisted = self.terms.hoist(&roots);
        let seeded: Vec<_> = results
            .iter()
            .zip(&hoisted)
            .map(|(result, id)| (*id, self.terms.leaf(result.seed.clone()), result.over))
            .collect();
        let worths = self.worths(&seeded);
        let mut best: Option<(usize, Keeping)> = None;
        for is_whole in [false, true] {
            if is_whole && (FEW < results.len() || results.iter().any(|result| result.over != 0)) {
                continue;
            }
            let plan = if is_whole { self.whole(&seeded, &worths) } else { self.parts(&worths) };
            let (terms, most) = (&self.terms, MOST[0] * states + MOST[1]);
            if most < plan.kept.iter().map(|(_, vars)| terms.count(*vars)).sum() {
                continue;
            }
            let keeping = self.planned((results, &hoisted), &worths, &plan, states);
            // What is kept is written and read once more.
            let cost = keeping.record.length() + keeping.backward.length() + 2 * keeping.kept;
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, keeping));
            }
        }
        best.map_or_else(|| self.plain(results), |(_, keeping)| keeping)
    }

    /// The way back of what would keep too much computes everything again.
    fn plain(&mut self, results: &[Result]) -> Keeping {
        let Stage { forward, backward } = self.stage(results);
        Keeping { record: forward.clone(), forward, backward, kept: self.worth, is_plain: true, times: 1 }
    }

    fn planned(
        &mut self,
        (results, hoisted): (&[Result], &[Id]),
        worths: &[Worth],
        plan: &Plan,
        states: usize,
    ) -> Keeping {
        let finished = self.terms.finished(hoisted);
        let mut wanted: Vec<Wanted> = results
            .iter()
            .zip(&finished)
            .map(|(result, id)| Wanted {
                id: *id,
                over: result.over,
                target: Target::Put { base: result.base, leaf: Some(result.leaf.clone()) },
            })
            .collect();
        let forward = compile(&self.terms, &wanted, (&self.layout, self.reserved, states), &mut self.shared, false);
        let (ids, mut kept): (Vec<Id>, u32) = (plan.kept.iter().map(|(id, _)| *id).collect(), 0);
        let ids = self.terms.finished(&ids);
        for (number, (id, (_, vars))) in ids.into_iter().zip(&plan.kept).enumerate() {
            wanted.push(Wanted { id, over: *vars, target: Target::Put { base: states as u32 + kept, leaf: None } });
            self.layout.insert((Origin::Kept, number as u32), KEPT + kept);
            kept += self.terms.count(*vars) as u32;
        }
        let record = compile(&self.terms, &wanted, (&self.layout, self.reserved, states), &mut self.shared, false)
            .keeping(states as u32, kept);
        let ids = self.terms.finished(&plan.worths);
        let wanted = self.wanted(worths, &ids);
        let backward =
            compile(&self.terms, &wanted, (&self.layout, self.reserved, self.worth), &mut self.shared, false);
        Keeping { forward, record, backward, kept: kept as usize, is_plain: false, times: 1 }
    }

    /// All slopes of the results are kept: the way back is a product of a matrix and the cotangents.
    fn whole(&mut self, seeded: &[(Id, Id, u32)], worths: &[Worth]) -> Plan {
        let one = self.terms.number(1.0);
        let mut sums: Map<Id, Vec<(Id, f64)>> = Map::default();
        let mut keeper = Keeper::default();
        for (root, seed, _) in seeded {
            for Worth { of, worth } in self.worths(&[(*root, one, 0)]) {
                let slope = self.terms.finished(&[worth])[0];
                let slope = keeper.kept(&mut self.terms, slope);
                let product = self.terms.multiply(*seed, slope);
                sums.entry(of).or_default().push((product, 1.0));
            }
        }
        let worths = worths.iter().map(|worth| {
            let parts = sums.remove(&worth.of).unwrap_or_default();
            self.terms.sum(parts, 0.0)
        });
        let worths: Vec<Id> = worths.collect();
        Plan { kept: keeper.kept, worths: self.terms.hoist(&worths) }
    }

    /// What the cotangents are multiplied with is kept, wherever it stands.
    fn parts(&mut self, worths: &[Worth]) -> Plan {
        let roots: Vec<Id> = worths.iter().map(|worth| worth.worth).collect();
        let mut keeper = Keeper::default();
        let mut new: Map<Id, Id> = Map::default();
        let mut linear: Map<Id, bool> = Map::default();
        for id in self.terms.reachable(&roots) {
            let mut is = matches!(self.terms.node(id), Node::Leaf(Leaf { origin: Origin::Seed, .. }));
            self.terms.parts(id, |part| is |= linear[&part]);
            linear.insert(id, is);
            let now = if is { keeper.rebuilt(&mut self.terms, id, (&new, &linear)) } else { id };
            new.insert(id, now);
        }
        let worths =
            roots.iter().map(|root| if linear[root] { new[root] } else { keeper.kept(&mut self.terms, *root) });
        Plan { worths: worths.collect(), kept: keeper.kept }
    }
}

/// What is kept so far.
#[derive(Default)]
struct Keeper {
    kept: Vec<(Id, u32)>,
    leaves: Map<Id, Id>,
}

impl Keeper {
    /// The leaf that a term becomes on the way back; what all shots share stays.
    fn kept(&mut self, terms: &mut Terms, id: Id) -> Id {
        if terms.facts(id).uniform {
            return id;
        }
        if let Some(leaf) = self.leaves.get(&id) {
            return *leaf;
        }
        // A multiple is kept as what it is a multiple of, whether by a number or by what all shots share.
        match terms.node(id).clone() {
            Node::Sum(parts, 0) if parts.len() == 1 => {
                let (part, factor) = parts[0];
                let leaf = self.kept(terms, part);
                return terms.sum([(leaf, f64::from_bits(factor))], 0.0);
            }
            Node::Product(parts) if parts.iter().any(|(part, _)| terms.facts(*part).uniform) => {
                let (mut shared, own): (Vec<_>, Vec<_>) =
                    parts.iter().copied().partition(|(part, _)| terms.facts(*part).uniform);
                let own = terms.product(own, 1.0);
                shared.push((self.kept(terms, own), 2));
                return terms.product(shared, 1.0);
            }
            _ => (),
        }
        let (number, free) = (self.kept.len() as u32, terms.facts(id).free);
        let vars: Vec<u8> = vars_of(free).collect();
        let extents = vars.iter().map(|var| terms.vars[usize::from(*var)]).collect();
        terms.shapes.insert((Origin::Kept, number), extents);
        let leaf = terms.whole(Origin::Kept, number, &vars);
        self.kept.push((id, free));
        self.leaves.insert(id, leaf);
        leaf
    }

    /// A term that goes with cotangents, of kept terms.
    fn rebuilt(&mut self, terms: &mut Terms, id: Id, (new, linear): (&Map<Id, Id>, &Map<Id, bool>)) -> Id {
        if let Node::Product(parts) = terms.node(id).clone() {
            let (own, others): (Vec<_>, Vec<_>) =
                parts.iter().copied().partition(|(id, _)| linear[id] || terms.facts(*id).uniform);
            let mut parts: Vec<_> = own.into_iter().map(|(id, halves)| (new[&id], halves)).collect();
            if !others.is_empty() {
                let together = terms.product(others, 1.0);
                parts.push((self.kept(terms, together), 2));
            }
            return terms.product(parts, 1.0);
        }
        let mut part = |terms: &mut Terms, id: Id| if linear[&id] { new[&id] } else { self.kept(terms, id) };
        match terms.node(id).clone() {
            Node::Number(_) | Node::Leaf(_) | Node::Index(_) | Node::Product(_) => id,
            Node::Sum(parts, constant) => {
                let parts: Vec<_> =
                    parts.iter().map(|(id, factor)| (part(terms, *id), f64::from_bits(*factor))).collect();
                terms.sum(parts, f64::from_bits(constant))
            }
            Node::Call(function, of) => {
                let of = part(terms, of);
                terms.call(function, of)
            }
            Node::Pair(pair, a, b) => {
                let [a, b] = [a, b].map(|id| part(terms, id));
                terms.pair(pair, a, b)
            }
            Node::Select(a, b, c) => {
                let [a, b, c] = [a, b, c].map(|id| part(terms, id));
                terms.select(a, b, c)
            }
            Node::Reduce(var, body) => {
                let body = part(terms, body);
                terms.reduce(var, body)
            }
            Node::Hoisted(of) => terms.hoisted(of),
        }
    }
}
