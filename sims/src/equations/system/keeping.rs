//! What the way forward keeps for the way back, so that nothing is computed twice: the slopes of a step, or the terms that they are
//! made of.

// Circle with equations/system.rs: one compilation; split for its length.

use super::super::calculus::Worth;
use super::super::compile::{Target, Wanted, compile};
use super::super::machine::Memory;
use super::super::program::Program;
use super::super::terms::{Id, Leaf, Map, Node, Origin, Terms, vars_of};
use super::{Assembly, Result, Stage, Stepper};
use crate::Real;

/// A stage whose way forward keeps what its way back needs.
#[derive(Debug, Clone, Default)]
pub(in crate::equations) struct Keeping {
    /// The way forward alone, and with what it keeps behind its outputs.
    pub forward: Program,
    pub record: Program,
    pub backward: Program,
    /// Elements that are kept, and where the way back finds them.
    pub kept: usize,
    pub from: usize,
    /// States, inputs and delayed values are kept before the step, and nothing else.
    pub is_plain: bool,
}

impl Keeping {
    /// Goes forward and keeps what the way back needs in `tape`.
    pub fn record<S: Real, const W: usize>(&self, table: &[S], memory: &mut Memory<S, W>, tape: &mut [[S; W]]) {
        if self.is_plain {
            tape.copy_from_slice(&memory.lanes[..self.kept * memory.chunks]);
        }
        memory.run(&self.record, table);
        if !self.is_plain {
            let outputs = memory.outputs(&self.record);
            tape.copy_from_slice(&outputs[outputs.len() - self.kept * memory.chunks..]);
        }
    }

    /// Goes back; the cotangents are in their place.
    pub fn back<S: Real, const W: usize>(&self, table: &[S], memory: &mut Memory<S, W>, tape: &[[S; W]]) {
        let (chunks, from) = (memory.chunks, self.from * memory.chunks);
        memory.lanes[from..][..self.kept * chunks].copy_from_slice(tape);
        memory.run(&self.backward, table);
    }
}

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
    /// Steps that keep what they can.
    pub(super) fn stepper(
        &mut self,
        results: &[Result],
        states: usize,
        of: impl FnOnce(Box<Keeping>) -> Stepper,
    ) -> Stepper {
        of(Box::new(self.keeping(results, states)))
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
        Keeping { record: forward.clone(), forward, backward, kept: self.worth, from: 0, is_plain: true }
    }

    fn planned(
        &mut self,
        (results, hoisted): (&[Result], &[Id]),
        worths: &[Worth],
        plan: &Plan,
        states: usize,
    ) -> Keeping {
        let mut wanted: Vec<Wanted> = results
            .iter()
            .zip(hoisted)
            .map(|(result, id)| Wanted {
                id: *id,
                over: result.over,
                target: Target::Put { base: result.base, leaf: Some(result.leaf.clone()) },
            })
            .collect();
        let forward = compile(&self.terms, &wanted, (&self.layout, self.reserved, states), &mut self.shared, false);
        let (from, mut end) = (self.reserved, self.reserved);
        let ids: Vec<Id> = plan.kept.iter().map(|(id, _)| *id).collect();
        let ids = self.terms.hoist(&ids);
        for (number, (id, (_, vars))) in ids.into_iter().zip(&plan.kept).enumerate() {
            let base = states as u32 + end - from;
            wanted.push(Wanted { id, over: *vars, target: Target::Put { base, leaf: None } });
            self.layout.insert((Origin::Kept, number as u32), end);
            end += self.terms.count(*vars) as u32;
        }
        let record = compile(&self.terms, &wanted, (&self.layout, self.reserved, states), &mut self.shared, false);
        let wanted = self.wanted(worths, &plan.worths);
        let backward = compile(&self.terms, &wanted, (&self.layout, end, self.worth), &mut self.shared, false);
        let kept = (end - from) as usize;
        Keeping { forward, record, backward, kept, from: from as usize, is_plain: false }
    }

    /// All slopes of the results are kept: the way back is a product of a matrix and the cotangents.
    fn whole(&mut self, seeded: &[(Id, Id, u32)], worths: &[Worth]) -> Plan {
        let one = self.terms.number(1.0);
        let mut sums: Map<Id, Vec<(Id, f64)>> = Map::default();
        let mut keeper = Keeper::default();
        for (root, seed, _) in seeded {
            for (of, slope) in self.worths(&[(*root, one, 0)]).into_iter().map(|worth| (worth.of, worth.worth)) {
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
