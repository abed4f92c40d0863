//! Derivatives of terms: one sweep backward gives what all leaves are worth, one forward how all terms move.
//!
//! A term with free variables is an array, so a part that goes with fewer of them collects the sum over the others. Variables that
//! are `kept` are not summed over: with the variables of an equation kept, the sweep gives rows of the Jacobian.

use std::collections::HashSet;

use super::terms::{Function, Id, Leaf, Map, Node, Pair, Terms, vars_of};

/// What a leaf, or a hoisted term, is worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worth {
    pub of: Id,
    pub worth: Id,
}

impl Terms {
    /// What all that `wanted` accepts is worth, where each root of `roots`, an array over the given variables, is worth its second term.
    ///
    /// What is accepted is not looked into.
    pub fn backward(&mut self, roots: &[(Id, Id, u32)], kept: u32, wanted: impl Fn(&Terms, Id) -> bool) -> Vec<Worth> {
        let order = self.reachable(&roots.iter().map(|(root, ..)| *root).collect::<Vec<_>>());
        // Only what depends on something wanted is worth anything.
        let mut depends: Map<Id, bool> = Map::default();
        for id in &order {
            let mut any = wanted(self, *id);
            self.parts(*id, |part| any |= depends[&part]);
            depends.insert(*id, any);
        }
        let mut collected: Map<Id, Vec<(Id, f64)>> = Map::default();
        // What may be worth nothing because another branch is taken, as all is that it is made of.
        let mut gated: HashSet<Id> = HashSet::new();
        for (root, seed, over) in roots {
            let worth = self.summed(*seed, over & !self.facts(*root).free & !kept);
            collected.entry(*root).or_default().push((worth, 1.0));
        }
        let mut found = Vec::new();
        for id in order.into_iter().rev() {
            if !depends[&id] {
                continue;
            }
            let Some(parts) = collected.remove(&id) else { continue };
            let worth = self.sum(parts, 0.0);
            if self.as_number(worth) == Some(0.0) {
                continue;
            }
            if wanted(self, id) {
                found.push(Worth { of: id, worth });
                continue;
            }
            let free = self.facts(id).free;
            let is_gated = gated.contains(&id);
            let gates = is_gated || matches!(self.node(id), Node::Select(..) | Node::Pair(Pair::Min | Pair::Max, ..));
            self.shares(id, (worth, is_gated), |terms, part, share| {
                if depends[&part] {
                    if gates {
                        gated.insert(part);
                    }
                    let own = terms.facts(part).free;
                    let share = terms.summed(share, free & !own & !kept);
                    collected.entry(part).or_default().push((share, 1.0));
                }
            });
        }
        found
    }

    /// The sum over variables, of which the term may be without some.
    fn summed(&mut self, id: Id, over: u32) -> Id {
        vars_of(over).fold(id, |sum, var| self.reduce(var, sum))
    }

    /// What each part of `id` gets of what `id` is worth, before sums over variables.
    fn shares(&mut self, id: Id, (worth, is_gated): (Id, bool), mut give: impl FnMut(&mut Terms, Id, Id)) {
        match self.node(id).clone() {
            Node::Number(_)
            | Node::Leaf(_)
            | Node::Index(_)
            | Node::Pair(Pair::Below | Pair::AtMost | Pair::Equal, ..) => (),
            Node::Hoisted(part) => give(self, part, worth),
            Node::Sum(parts, _) => {
                for (part, factor) in parts {
                    let share = self.scaled(worth, f64::from_bits(factor));
                    give(self, part, share);
                }
            }
            Node::Product(parts) => {
                for (position, (part, halves)) in parts.iter().enumerate() {
                    let mut others = parts.to_vec();
                    others[position].1 -= 2;
                    if others[position].1 == 0 {
                        others.remove(position);
                    }
                    let slope = self.product(others, 0.5 * f64::from(*halves));
                    let share = self.times(worth, slope, is_gated);
                    give(self, *part, share);
                }
            }
            Node::Call(function, part) => {
                if let Some(slope) = self.slope(function, part, id) {
                    let share = self.times(worth, slope, is_gated);
                    give(self, part, share);
                }
            }
            Node::Pair(pair @ (Pair::Min | Pair::Max), a, b) => {
                let (first, second) = if pair == Pair::Min { (a, b) } else { (b, a) };
                let below = self.pair(Pair::Below, first, second);
                let zero = self.number(0.0);
                let [to_a, to_b] = [self.select(below, worth, zero), self.select(below, zero, worth)];
                give(self, a, to_a);
                give(self, b, to_b);
            }
            Node::Pair(Pair::Power, a, b) => {
                let by_a = self.power_by_base(a, b);
                let to_a = self.times(worth, by_a, is_gated);
                give(self, a, to_a);
                if self.as_number(b).is_none() {
                    let by_b = self.power_by_exponent(id, a);
                    let to_b = self.times(worth, by_b, is_gated);
                    give(self, b, to_b);
                }
            }
            Node::Select(condition, yes, no) => {
                let zero = self.number(0.0);
                let [to_yes, to_no] = [self.select(condition, worth, zero), self.select(condition, zero, worth)];
                give(self, yes, to_yes);
                give(self, no, to_no);
            }
            Node::Reduce(_, body) => give(self, body, worth),
        }
    }

    /// `worth`·`slope`; with `is_gated`, what belongs to a branch that is not taken is worth nothing even where its slope has no value.
    fn times(&mut self, worth: Id, slope: Id, is_gated: bool) -> Id {
        if !is_gated || self.facts(slope).total {
            return self.multiply(worth, slope);
        }
        let zero = self.number(0.0);
        if let Node::Select(condition, yes, no) = self.node(worth).clone()
            && (self.is_zero(yes) || self.is_zero(no))
        {
            let [yes, no] = [yes, no].map(|side| if self.is_zero(side) { zero } else { self.times(side, slope, true) });
            return self.select(condition, yes, no);
        }
        let (is_nothing, product) = (self.pair(Pair::Equal, worth, zero), self.multiply(worth, slope));
        self.select(is_nothing, zero, product)
    }

    fn is_zero(&self, id: Id) -> bool {
        self.as_number(id) == Some(0.0)
    }

    /// The slope of a^b by a: b·a^(b − 1), which unlike a^b·b/a has a value where a is 0. Where b is 1 it is 1 there too.
    fn power_by_base(&mut self, a: Id, b: Id) -> Id {
        let less = self.sum([(b, 1.0)], -1.0);
        let lower = self.pair(Pair::Power, a, less);
        let slope = self.multiply(b, lower);
        if self.as_number(b).is_some() {
            return slope;
        }
        let one = self.number(1.0);
        let is_one = self.pair(Pair::Equal, b, one);
        self.select(is_one, one, slope)
    }

    /// The slope of a^b by b, where a^b is `power`: nothing where a is 0.
    fn power_by_exponent(&mut self, power: Id, a: Id) -> Id {
        let logarithm = self.call(Function::Ln, a);
        let slope = self.multiply(power, logarithm);
        if self.is_positive(a) {
            return slope;
        }
        let zero = self.number(0.0);
        let is_nothing = self.pair(Pair::Equal, a, zero);
        self.select(is_nothing, zero, slope)
    }

    /// The derivative of `function` at `of`, where it has the value `value`; `None` where it is 0.
    fn slope(&mut self, function: Function, of: Id, value: Id) -> Option<Id> {
        Some(match function {
            Function::Exp => value,
            Function::Ln => self.product(vec![(of, -2)], 1.0),
            Function::Sqrt => unreachable!("a square root is a power"),
            Function::Sin => self.call(Function::Cos, of),
            Function::Cos => {
                let sine = self.call(Function::Sin, of);
                self.scaled(sine, -1.0)
            }
            Function::Tan => {
                let square = self.product(vec![(value, 4)], 1.0);
                self.sum([(square, 1.0)], 1.0)
            }
            Function::Asin | Function::Acos => {
                let square = self.product(vec![(of, 4)], 1.0);
                let rest = self.sum([(square, -1.0)], 1.0);
                self.product(vec![(rest, -1)], if function == Function::Asin { 1.0 } else { -1.0 })
            }
            Function::Atan => {
                let square = self.product(vec![(of, 4)], 1.0);
                let sum = self.sum([(square, 1.0)], 1.0);
                self.product(vec![(sum, -2)], 1.0)
            }
            Function::Sinh => self.call(Function::Cosh, of),
            Function::Cosh => self.call(Function::Sinh, of),
            Function::Tanh => {
                let square = self.product(vec![(value, 4)], 1.0);
                self.sum([(square, -1.0)], 1.0)
            }
            Function::Abs => self.call(Function::Sign, of),
            Function::Sign | Function::Floor => return None,
        })
    }

    /// How `roots` move when each leaf moves by what `tangent` gives.
    pub fn forward(&mut self, roots: &[Id], tangent: impl Fn(&mut Terms, &Leaf) -> Option<Id>) -> Vec<Id> {
        let order = self.reachable(roots);
        let mut moves: Map<Id, Id> = Map::default();
        for id in order {
            if let Node::Leaf(leaf) = self.node(id).clone() {
                if let Some(tangent) = tangent(self, &leaf) {
                    moves.insert(id, tangent);
                }
                continue;
            }
            let one = self.number(1.0);
            let mut shares = Vec::new();
            self.shares(id, (one, false), |_, part, share| shares.push((part, share)));
            let reduced = match self.node(id) {
                Node::Reduce(var, _) => Some(*var),
                _ => None,
            };
            let gates = matches!(self.node(id), Node::Select(..) | Node::Pair(Pair::Min | Pair::Max, ..));
            let mut parts = Vec::new();
            for (part, share) in shares {
                if let Some(moved) = moves.get(&part).copied() {
                    parts.push((self.times(share, moved, gates), 1.0));
                }
            }
            if parts.is_empty() {
                continue;
            }
            let mut sum = self.sum(parts, 0.0);
            if let Some(var) = reduced {
                sum = self.reduce(var, sum);
            }
            moves.insert(id, sum);
        }
        let zero = self.number(0.0);
        roots.iter().map(|root| moves.get(root).copied().unwrap_or(zero)).collect()
    }
}
