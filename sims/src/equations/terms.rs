//! Terms: one arena in which equal terms are one term. Constructors bring every term into one form.
//!
//! A sum is `c₀ + Σ cᵢ·tᵢ` and a product `Π tᵢ^(nᵢ/2)`, their parts in a fixed order, so that terms that differ in the order of
//! writing are one. A term with free indices is an array over them; [`Node::Reduce`] sums over one. Nothing is rewritten that
//! would change where a term is defined: `x/x` stays, and so does `0·ln(x)`, unless the file assumes what is needed. The other
//! rules stand in [`rules`](super::rules).

// Circle with equations/rules.rs: constructors apply the rules, and rules construct terms.

mod function;
mod modulo;
mod product;
mod reduce;
mod sum;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

pub(super) use function::Function;
pub(super) use product::power;

/// The largest exponent in halves: beyond it powers of powers stay as they are written.
const LARGEST_POWER: u32 = 1 << 24;

/// A term's number. Its parts have smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(pub u32);

/// A place along one direction of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    At(u32),
    /// Where loop variable `var` is, and `by` on.
    Along {
        var: u8,
        by: i32,
    },
}

/// Where the values of a leaf come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Origin {
    State,
    Input,
    /// A state or input some samples ago; its array is the number of the delay.
    Delayed,
    /// A cotangent of what is computed.
    Seed,
    /// A tangent of a state.
    Tangent,
    /// What the way forward has kept for the way back.
    Kept,
    Control,
    Coefficient,
    /// What an earlier program has computed of controls and coefficients.
    Settled,
}

impl Origin {
    /// Whether the shots of a block share the value.
    pub fn is_uniform(self) -> bool {
        matches!(self, Self::Control | Self::Coefficient | Self::Settled)
    }
}

/// An element of an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Leaf {
    pub origin: Origin,
    pub array: u32,
    pub at: Box<[Place]>,
}

/// Operations of two terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pair {
    Min,
    Max,
    /// a^b of an a that is not below 0.
    Power,
    /// 1 where a < b, else 0.
    Below,
    AtMost,
    Equal,
}

/// What a term is. Numbers are kept as bits, so that equal ones are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Number(u64),
    Leaf(Leaf),
    /// The value of a loop variable.
    Index(u8),
    /// Terms with their factors, and a constant.
    Sum(Box<[(Id, u64)]>, u64),
    /// Terms with their exponents in halves.
    Product(Box<[(Id, i32)]>),
    Call(Function, Id),
    Pair(Pair, Id, Id),
    /// The second where the first is not 0, else the third.
    Select(Id, Id, Id),
    /// The sum over a loop variable.
    Reduce(u8, Id),
    /// A term of shared values only that stays as it is: it is computed once for all shots.
    Hoisted(Id),
}

/// What is known of a term.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// A bit for each free loop variable.
    pub free: u32,
    /// It is the same for all shots.
    pub uniform: bool,
    /// It goes with a control.
    pub controlled: bool,
    /// It has a value whatever its leaves are.
    pub total: bool,
}

/// One direction of an array, or the range of a loop variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub size: usize,
    pub periodic: bool,
}

/// A fast hash of small keys: multiply and rotate.
#[derive(Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    }
    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }
    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
    fn write_i32(&mut self, word: i32) {
        self.write_u64(u64::from(word as u32));
    }
}

pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

/// All terms.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    nodes: Vec<Node>,
    facts: Vec<Facts>,
    known: Map<Node, Id>,
    /// The range of each loop variable.
    pub vars: Vec<Extent>,
    /// The directions of each array.
    pub shapes: Map<(Origin, u32), Vec<Extent>>,
    /// Leaves, their indices left out, and terms that the file says are above 0.
    positive: HashSet<Id>,
    positive_arrays: HashSet<(Origin, u32)>,
}

impl Terms {
    /// What a term is.
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// What is known of a term.
    pub fn facts(&self, id: Id) -> Facts {
        self.facts[id.0 as usize]
    }

    /// How many terms there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The parts of a term.
    pub fn parts(&self, id: Id, mut visit: impl FnMut(Id)) {
        match self.node(id) {
            Node::Number(_) | Node::Leaf(_) | Node::Index(_) => (),
            Node::Sum(parts, _) => parts.iter().for_each(|(part, _)| visit(*part)),
            Node::Product(parts) => parts.iter().for_each(|(part, _)| visit(*part)),
            Node::Call(_, part) | Node::Reduce(_, part) | Node::Hoisted(part) => visit(*part),
            Node::Pair(_, a, b) => [*a, *b].into_iter().for_each(visit),
            Node::Select(a, b, c) => [*a, *b, *c].into_iter().for_each(visit),
        }
    }

    /// All that `roots` are made of, parts first.
    pub fn reachable(&self, roots: &[Id]) -> Vec<Id> {
        let mut seen = vec![false; self.len()];
        let mut waiting: Vec<Id> = roots.to_vec();
        let mut found = Vec::new();
        while let Some(id) = waiting.pop() {
            if !std::mem::replace(&mut seen[id.0 as usize], true) {
                found.push(id);
                self.parts(id, |part| waiting.push(part));
            }
        }
        found.sort_unstable();
        found
    }

    /// The term that `node` is, which is in its final form.
    fn intern(&mut self, node: Node) -> Id {
        if let Some(id) = self.known.get(&node) {
            return *id;
        }
        let id = Id(u32::try_from(self.nodes.len()).expect("terms are bounded by what a file may declare"));
        let mut facts = Facts { free: 0, uniform: true, controlled: false, total: true };
        self.nodes.push(node);
        self.parts(id, |part| {
            let of = self.facts[part.0 as usize];
            facts.free |= of.free;
            facts.uniform &= of.uniform;
            facts.controlled |= of.controlled;
            facts.total &= of.total;
        });
        match self.node(id) {
            Node::Leaf(leaf) => {
                facts.uniform = leaf.origin.is_uniform();
                facts.controlled = leaf.origin == Origin::Control;
                for place in &leaf.at {
                    if let Place::Along { var, .. } = place {
                        facts.free |= 1 << var;
                    }
                }
            }
            Node::Index(var) => facts.free = 1 << var,
            Node::Reduce(var, _) => facts.free &= !(1 << var),
            Node::Product(parts) => {
                let sound = |(part, halves): &(Id, i32)| (0 < *halves && halves % 2 == 0) || self.is_positive(*part);
                facts.total &= parts.iter().all(sound);
            }
            Node::Call(function, part) => {
                facts.total &= function.is_total() || self.is_positive(*part) && *function == Function::Ln;
            }
            Node::Pair(Pair::Power, a, _) => facts.total &= self.is_positive(*a),
            _ => (),
        }
        self.facts.push(facts);
        self.known.insert(self.nodes[id.0 as usize].clone(), id);
        id
    }

    /// The number of a term, if there is such a term.
    pub fn find(&self, node: &Node) -> Option<Id> {
        self.known.get(node).copied()
    }

    /// A number.
    pub fn number(&mut self, value: f64) -> Id {
        // There is one zero.
        let value = if value == 0.0 { 0.0 } else { value };
        self.intern(Node::Number(value.to_bits()))
    }

    /// The number that a term is.
    pub fn as_number(&self, id: Id) -> Option<f64> {
        match self.node(id) {
            Node::Number(bits) => Some(f64::from_bits(*bits)),
            _ => None,
        }
    }

    /// An element of an array.
    pub fn leaf(&mut self, leaf: Leaf) -> Id {
        self.intern(Node::Leaf(leaf))
    }

    /// The whole array, element by element along its own variables, which are `vars`.
    pub fn whole(&mut self, origin: Origin, array: u32, vars: &[u8]) -> Id {
        self.leaf(Leaf { origin, array, at: vars.iter().map(|var| Place::Along { var: *var, by: 0 }).collect() })
    }

    /// The value of a loop variable.
    pub fn index(&mut self, var: u8) -> Id {
        self.intern(Node::Index(var))
    }

    /// A function of a term.
    pub fn call(&mut self, function: Function, of: Id) -> Id {
        if function == Function::Sqrt {
            return self.product(vec![(of, 1)], 1.0);
        }
        if let Some(value) = self.as_number(of) {
            let value = function.value(value);
            if value.is_finite() {
                return self.number(value);
            }
        }
        let id = self.intern(Node::Call(function, of));
        super::rules::rewritten(self, id)
    }

    /// An operation of two terms.
    pub fn pair(&mut self, pair: Pair, a: Id, b: Id) -> Id {
        if let (Some(x), Some(y)) = (self.as_number(a), self.as_number(b)) {
            let value = pair.value(x, y);
            if value.is_finite() {
                return self.number(value);
            }
        }
        if a == b && self.facts(a).total {
            match pair {
                Pair::Min | Pair::Max => return a,
                Pair::Below => return self.number(0.0),
                Pair::AtMost | Pair::Equal => return self.number(1.0),
                Pair::Power => (),
            }
        }
        if pair == Pair::Power
            && let Some(exponent) = self.as_number(b)
        {
            let halves = 2.0 * exponent;
            if halves.fract() == 0.0 && halves.abs() <= f64::from(LARGEST_POWER) {
                return self.product(vec![(a, halves as i32)], 1.0);
            }
        }
        let ordered = matches!(pair, Pair::Min | Pair::Max | Pair::Equal) && b < a;
        self.intern(if ordered { Node::Pair(pair, b, a) } else { Node::Pair(pair, a, b) })
    }

    /// The second where the first is not 0, else the third.
    pub fn select(&mut self, condition: Id, yes: Id, no: Id) -> Id {
        match self.as_number(condition) {
            Some(0.0) => no,
            Some(_) => yes,
            None if yes == no && self.facts(condition).total => yes,
            None => self.intern(Node::Select(condition, yes, no)),
        }
    }

    /// What keeps `of`, a term of shared values, as one.
    pub fn hoisted(&mut self, of: Id) -> Id {
        match self.node(of) {
            Node::Number(_) | Node::Leaf(_) | Node::Hoisted(_) | Node::Index(_) => of,
            _ => self.intern(Node::Hoisted(of)),
        }
    }

    /// From now on `id` is above 0; with a whole array, all its elements.
    pub fn assume_positive(&mut self, id: Id) {
        match self.node(id) {
            Node::Leaf(leaf) => {
                let array = (leaf.origin, leaf.array);
                self.positive_arrays.insert(array);
            }
            _ => {
                self.positive.insert(id);
            }
        }
    }

    /// Whether a term is above 0 wherever it is defined.
    pub fn is_positive(&self, id: Id) -> bool {
        if self.positive.contains(&id) {
            return true;
        }
        match self.node(id) {
            Node::Number(bits) => 0.0 < f64::from_bits(*bits),
            Node::Leaf(leaf) => self.positive_arrays.contains(&(leaf.origin, leaf.array)),
            Node::Call(Function::Exp | Function::Cosh, _) => true,
            Node::Product(parts) => parts.iter().all(|(part, _)| self.is_positive(*part)),
            Node::Sum(parts, constant) => {
                let constant = f64::from_bits(*constant);
                let sound = |above: bool| {
                    parts.iter().all(|(part, factor)| {
                        0.0 < f64::from_bits(*factor)
                            && if above { self.is_positive(*part) } else { self.is_square(*part) }
                    })
                };
                (0.0 <= constant && sound(true)) || (0.0 < constant && sound(false))
            }
            Node::Hoisted(of) => self.is_positive(*of),
            _ => false,
        }
    }

    /// Whether a term is 0 or above wherever it is defined.
    pub fn is_square(&self, id: Id) -> bool {
        match self.node(id) {
            Node::Call(Function::Abs, _) => true,
            Node::Product(parts) => {
                parts.iter().all(|(part, halves)| halves % 4 == 0 || self.is_positive(*part) || halves % 2 != 0)
            }
            _ => self.is_positive(id),
        }
    }

    /// The product of the ranges of loop variables.
    pub fn count(&self, vars: u32) -> usize {
        vars_of(vars).map(|var| self.vars[usize::from(var)].size).product()
    }
}

/// The loop variables of a set.
pub(super) fn vars_of(set: u32) -> impl Iterator<Item = u8> + Clone {
    (0..32_u8).filter(move |var| set & (1 << var) != 0)
}

impl Pair {
    /// Its value.
    pub fn value(self, a: f64, b: f64) -> f64 {
        let truth = |is: bool| f64::from(u8::from(is));
        match self {
            Self::Min => crate::Real::min(a, b),
            Self::Max => crate::Real::max(a, b),
            Self::Power => (b * a.ln()).exp(),
            Self::Below => truth(a < b),
            Self::AtMost => truth(a <= b),
            Self::Equal => truth(a == b),
        }
    }
}
