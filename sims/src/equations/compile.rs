//! From terms to a program: every term once, in an order that uses values soon, in as few places as are needed.

// Circle with equations/compile/registers.rs: a draft is filled here and brought into registers there; split for its length.

mod lower;
mod registers;

use std::collections::HashSet;

use super::program::{Bank, Direction, Instruction, NOWHERE, Op, Operand, Program};
use super::terms::{Id, Leaf, Map, Node, Origin, Place, Terms, vars_of};

/// Where a program finds the arrays of its leaves, as elements from the start.
pub(super) type Layout = Map<(Origin, u32), u32>;

/// Where a result goes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// Into the outputs from `base` on: where the leaf is in its array, or as an array over its variables.
    Put { base: u32, leaf: Option<Leaf> },
    /// Into sums over shots, from `to` on, as an array over its variables.
    Gain { to: u32, vars: u32 },
}

/// A result.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub id: Id,
    /// The variables that the result is computed over; the term may go with fewer.
    pub over: u32,
    pub target: Target,
}

/// An entry of a table of shared numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    /// A number, as bits.
    Number(u64),
    /// The values of a loop variable.
    Index(u8),
    /// A term that another program computes.
    Term(Id),
}

/// What all programs of a system share: where each entry is in the table.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    places: Map<Entry, u32>,
    /// Entries and where they begin.
    pub order: Vec<(Entry, u32)>,
    pub length: u32,
}

impl Shared {
    /// Where an entry of `count` numbers lies.
    pub fn place(&mut self, entry: Entry, count: usize) -> u32 {
        if let Some(place) = self.places.get(&entry) {
            return *place;
        }
        let place = self.length;
        self.places.insert(entry, place);
        self.order.push((entry, place));
        self.length += count as u32;
        place
    }
}

/// A value while a program is written: a virtual register, an input, or a shared number, and how it goes along its variables.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Value {
    bank: Bank,
    /// The register, if it is one.
    register: Option<u32>,
    base: u32,
    strides: Vec<(u8, u32)>,
}

impl Value {
    fn stride(&self, var: u8) -> u32 {
        self.strides.iter().find(|(own, _)| *own == var).map_or(0, |(_, stride)| *stride)
    }

    fn operand(&self) -> Operand {
        Operand { bank: self.bank, base: self.base }
    }
}

/// An instruction before its registers have places: `to` and the operands' registers are virtual.
struct Draft {
    instruction: Instruction,
    to: Option<u32>,
    from: Vec<Option<u32>>,
}

struct Compiler<'a> {
    terms: &'a Terms,
    layout: &'a Layout,
    shared: &'a mut Shared,
    /// Whether what all shots share is itself computed here.
    is_shared: bool,
    values: Map<Id, Value>,
    uses: Map<Id, u32>,
    known: Map<(Op, Vec<Value>, u32), Value>,
    drafts: Vec<Draft>,
    /// The sizes of the virtual registers.
    registers: Vec<u32>,
}

/// Writes the program that computes `wanted` from arrays that lie as `layout` says, in `inputs` elements. It has `least` outputs, or
/// more where more are wanted.
///
/// With `is_shared`, it is the program of the shared table itself: controls and coefficients are its inputs.
pub(super) fn compile(
    terms: &Terms,
    wanted: &[Wanted],
    (layout, inputs, least): (&Layout, u32, usize),
    shared: &mut Shared,
    is_shared: bool,
) -> Program {
    let mut compiler = Compiler {
        terms,
        layout,
        shared,
        is_shared,
        values: Map::default(),
        uses: Map::default(),
        known: Map::default(),
        drafts: Vec::new(),
        registers: Vec::new(),
    };
    let roots: Vec<Id> = wanted.iter().map(|wanted| wanted.id).collect();
    for id in terms.reachable(&roots) {
        terms.parts(id, |part| *compiler.uses.entry(part).or_default() += 1);
    }
    let mut outputs = least as u32;
    let mut written = HashSet::new();
    for one in wanted {
        outputs = outputs.max(compiler.result(one, &mut written));
    }
    registers::placed(compiler.drafts, &compiler.registers, inputs, outputs)
}

impl Compiler<'_> {
    fn dense(&self, vars: u32) -> Vec<(u8, u32)> {
        let mut strides: Vec<(u8, u32)> = vars_of(vars).map(|var| (var, 0)).collect();
        let mut stride = 1;
        for (var, own) in strides.iter_mut().rev() {
            *own = stride;
            stride *= self.terms.vars[usize::from(*var)].size as u32;
        }
        strides
    }

    /// A number as a value.
    fn number(&mut self, value: f64) -> Value {
        let base = self.shared.place(Entry::Number(value.to_bits()), 1);
        Value { bank: Bank::Shared, register: None, base, strides: Vec::new() }
    }

    /// The value of a term, computed if it is not yet.
    fn value(&mut self, root: Id) -> Value {
        // A stack of its own: terms may be deep.
        let mut waiting = vec![(root, false)];
        while let Some((id, ready)) = waiting.pop() {
            if self.values.contains_key(&id) {
                continue;
            }
            if self.is_table(id) {
                let value = self.table(id);
                self.values.insert(id, value);
            } else if ready {
                let value = self.computed(id);
                self.values.insert(id, value);
            } else {
                waiting.push((id, true));
                self.needed(id, &mut |part| waiting.push((part, false)));
            }
        }
        self.values[&root].clone()
    }

    fn is_table(&self, id: Id) -> bool {
        matches!(self.terms.node(id), Node::Number(_) | Node::Index(_))
            || (!self.is_shared && self.terms.facts(id).uniform)
    }

    fn table(&mut self, id: Id) -> Value {
        let free = self.terms.facts(id).free;
        let entry = match self.terms.node(id) {
            Node::Number(bits) => Entry::Number(*bits),
            Node::Index(var) => Entry::Index(*var),
            _ => Entry::Term(id),
        };
        let base = self.shared.place(entry, self.terms.count(free));
        Value { bank: Bank::Shared, register: None, base, strides: self.dense(free) }
    }

    /// A product that a sum, or a total, takes in while it adds.
    fn is_fused(&self, id: Id) -> bool {
        self.uses.get(&id) == Some(&1)
            && !self.is_table(id)
            && matches!(self.terms.node(id), Node::Product(parts) if 1 < parts.len() || 2 < parts[0].1.abs())
    }

    /// The parts that must have values before `id` is computed.
    fn needed(&self, id: Id, visit: &mut impl FnMut(Id)) {
        match self.terms.node(id) {
            Node::Sum(parts, _) => {
                for (part, factor) in parts.iter().rev() {
                    if f64::from_bits(*factor).abs() == 1.0 && self.is_fused(*part) {
                        self.terms.parts(*part, &mut *visit);
                    } else {
                        visit(*part);
                    }
                }
            }
            Node::Reduce(..) => match self.contraction(id) {
                Some((shared, lanes)) => [shared, lanes].into_iter().for_each(visit),
                None => self.terms.parts(id, visit),
            },
            _ => self.terms.parts(id, visit),
        }
    }

    /// The two factors, shared and own, of a sum of products over a variable.
    fn contraction(&self, id: Id) -> Option<(Id, Id)> {
        let Node::Reduce(_, body) = self.terms.node(id) else { return None };
        let Node::Product(parts) = self.terms.node(*body) else { return None };
        match **parts {
            [(a, 2), (b, 2)] if self.is_table(a) && !self.is_table(b) => Some((a, b)),
            [(a, 2), (b, 2)] if self.is_table(b) && !self.is_table(a) => Some((b, a)),
            _ => None,
        }
    }

    fn new_register(&mut self, vars: u32, copies: u32) -> Value {
        let register = self.registers.len() as u32;
        self.registers.push(copies * self.terms.count(vars) as u32);
        Value { bank: Bank::Lanes, register: Some(register), base: 0, strides: self.dense(vars) }
    }

    fn vars(values: &[Value]) -> u32 {
        values.iter().flat_map(|value| &value.strides).fold(0, |vars, (var, _)| vars | 1 << var)
    }

    /// The walk over `vars` of a target and its operands; directions that all go on alike are one.
    fn walk(&self, vars: u32, to: &Value, from: &[&Value]) -> Vec<Direction> {
        let mut walk: Vec<Direction> = Vec::new();
        for var in vars_of(vars) {
            let count = self.terms.vars[usize::from(var)].size as u32;
            let mut steps = [0; 3];
            for (step, value) in steps.iter_mut().zip(from) {
                *step = value.stride(var);
            }
            let inner = Direction { count, to: to.stride(var), from: steps };
            match walk.last_mut() {
                Some(outer)
                    if outer.to == count * inner.to && (0..3).all(|k| outer.from[k] == count * inner.from[k]) =>
                {
                    *outer = Direction { count: outer.count * count, ..inner };
                }
                _ if count == 1 => (),
                _ => walk.push(inner),
            }
        }
        walk
    }

    /// One operation, or what it has given before.
    fn emit(&mut self, op: Op, from: &[Value]) -> Value {
        let from = &self.suited(op, from)[..];
        let vars = Self::vars(from);
        let key = (op, from.to_vec(), vars);
        if let Some(value) = self.known.get(&key) {
            return value.clone();
        }
        let copies = if op == Op::SineCosine { 2 } else { 1 };
        let to = self.new_register(vars, copies);
        let operands: Vec<&Value> = from.iter().collect();
        let walk = self.walk(vars, &to, &operands);
        let nothing = Operand { bank: Bank::Shared, base: 0 };
        let mut all = [nothing; 3];
        for (operand, value) in all.iter_mut().zip(from) {
            *operand = value.operand();
        }
        self.drafts.push(Draft {
            instruction: Instruction::Map { op, to: 0, from: all, walk },
            to: to.register,
            from: (0..3).map(|k| from.get(k).and_then(|value| value.register)).collect(),
        });
        self.known.insert(key, to.clone());
        to
    }

    /// The operands of `op`, copied to lanes where it does not take a shared number.
    fn suited(&mut self, op: Op, from: &[Value]) -> Vec<Value> {
        let takes = |operand: usize| match op {
            Op::Copy => true,
            Op::Add | Op::Subtract | Op::Multiply => operand == 1,
            Op::MultiplyAdd | Op::MultiplySubtract => operand != 0,
            _ => false,
        };
        let suited = |(operand, value): (usize, &Value)| {
            if value.bank == Bank::Shared && !takes(operand) {
                self.emit(Op::Copy, std::slice::from_ref(value))
            } else {
                value.clone()
            }
        };
        from.iter().enumerate().map(suited).collect()
    }

    fn multiply(&mut self, a: Value, b: Value) -> Value {
        // Shared numbers stand second.
        if a.bank == Bank::Shared { self.emit(Op::Multiply, &[b, a]) } else { self.emit(Op::Multiply, &[a, b]) }
    }

    fn leaf(&mut self, leaf: &Leaf) -> Value {
        let base = self.layout[&(leaf.origin, leaf.array)];
        let extents = &self.terms.shapes[&(leaf.origin, leaf.array)];
        let (mut place, mut stride, mut strides, mut plain) = (base, 1_u32, Vec::new(), true);
        for (extent, at) in extents.iter().zip(&leaf.at).rev() {
            match at {
                Place::At(at) => place += at * stride,
                Place::Along { var, by } => {
                    plain &= *by == 0 && self.terms.vars[usize::from(*var)].size == extent.size;
                    plain &= strides.iter().all(|(other, _)| other != var);
                    strides.push((*var, stride));
                }
            }
            stride *= extent.size as u32;
        }
        if plain {
            strides.sort_unstable();
            return Value { bank: Bank::Lanes, register: None, base: place, strides };
        }
        let vars = strides.iter().fold(0, |vars, (var, _)| vars | 1 << var);
        let places = places(self.terms, leaf, vars);
        let to = self.new_register(vars, 1);
        self.drafts.push(Draft {
            instruction: Instruction::Gather { to: 0, base, places },
            to: to.register,
            from: Vec::new(),
        });
        to
    }

    /// Computes a result and brings it where it belongs. Returns where the outputs end that it has written.
    fn result(&mut self, wanted: &Wanted, written: &mut HashSet<u32>) -> u32 {
        match &wanted.target {
            Target::Put { base, leaf } => {
                let mut value = self.value(wanted.id);
                if value.bank == Bank::Shared {
                    value = self.emit(Op::Copy, &[value]);
                }
                let (places, length) = if let Some(leaf) = leaf {
                    let extents = &self.terms.shapes[&(leaf.origin, leaf.array)];
                    (
                        places(self.terms, leaf, wanted.over),
                        extents.iter().map(|extent| extent.size as u32).product::<u32>(),
                    )
                } else {
                    let count = self.terms.count(wanted.over) as u32;
                    ((0..count).collect(), count)
                };
                let places: Vec<u32> =
                    places.into_iter().map(|place| if place == NOWHERE { NOWHERE } else { base + place }).collect();
                // What is written for the first time is not added to anything.
                let adds = !places.iter().all(|place| *place != NOWHERE && !written.contains(place));
                written.extend(places.iter().filter(|place| **place != NOWHERE));
                let dense = Value { bank: Bank::Lanes, register: None, base: 0, strides: self.dense(wanted.over) };
                let walk = self.walk(wanted.over, &dense, &[&value]);
                self.drafts.push(Draft {
                    instruction: Instruction::Put { from: value.operand(), places, adds, walk },
                    to: None,
                    from: vec![value.register],
                });
                base + length
            }
            Target::Gain { to, vars } => {
                let target = Value { bank: Bank::Lanes, register: None, base: *to, strides: self.dense(*vars) };
                // A product is not computed by itself: it is multiplied out while it is added.
                let (inner, scale) = match self.terms.node(wanted.id) {
                    Node::Sum(parts, 0) if parts.len() == 1 => (parts[0].0, f64::from_bits(parts[0].1)),
                    _ => (wanted.id, 1.0),
                };
                let mut factors = match self.terms.node(inner).clone() {
                    Node::Product(parts) if !self.values.contains_key(&inner) && 1 < parts.len() => {
                        parts.iter().for_each(|(part, _)| _ = self.value(*part));
                        self.factors(&parts)
                    }
                    _ => vec![self.value(inner)],
                };
                factors.sort_by_key(|factor| Self::vars(std::slice::from_ref(factor)));
                let mut first = factors.remove(0);
                if scale != 1.0 {
                    let scale = self.number(scale);
                    first = self.multiply(first, scale);
                }
                let second = if factors.is_empty() { self.number(1.0) } else { self.joined(factors) };
                let (mut first, second) = if first.bank == Bank::Shared { (second, first) } else { (first, second) };
                if first.bank == Bank::Shared {
                    first = self.emit(Op::Copy, &[first]);
                }
                let walk = self.walk(wanted.over, &target, &[&first, &second]);
                self.drafts.push(Draft {
                    instruction: Instruction::Gain { to: *to, from: [first.operand(), second.operand()], walk },
                    to: None,
                    from: vec![first.register, second.register],
                });
                0
            }
        }
    }
}

/// The places of an array that a leaf names, over all values of `vars`.
pub(super) fn places(terms: &Terms, leaf: &Leaf, vars: u32) -> Vec<u32> {
    let extents = &terms.shapes[&(leaf.origin, leaf.array)];
    let order: Vec<u8> = vars_of(vars).collect();
    let sizes: Vec<u32> = order.iter().map(|var| terms.vars[usize::from(*var)].size as u32).collect();
    let count: u32 = sizes.iter().product();
    let mut now = vec![0_u32; order.len()];
    let mut places = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let mut place = Some(0_u32);
        for (extent, at) in extents.iter().zip(&leaf.at) {
            let at = match at {
                Place::At(at) => i64::from(*at),
                Place::Along { var, by } => {
                    let value = order.iter().position(|own| own == var).map_or(0, |position| now[position]);
                    i64::from(value) + i64::from(*by)
                }
            };
            let size = extent.size as i64;
            let at = if extent.periodic { at.rem_euclid(size) } else { at };
            place = place.filter(|_| (0..size).contains(&at)).map(|place| place * size as u32 + at as u32);
        }
        places.push(place.unwrap_or(NOWHERE));
        for (value, size) in now.iter_mut().zip(&sizes).rev() {
            *value += 1;
            if *value < *size {
                break;
            }
            *value = 0;
        }
    }
    places
}
