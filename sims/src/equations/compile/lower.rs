//! What instructions a term becomes.

use super::super::program::{Bank, Instruction, Op};
use super::super::terms::{Function, Id, Node, Pair};
use super::{Compiler, Draft, Value};

impl Compiler<'_> {
    pub(super) fn computed(&mut self, id: Id) -> Value {
        match self.terms.node(id).clone() {
            Node::Number(_) | Node::Index(_) => self.table(id),
            Node::Leaf(leaf) => self.leaf(&leaf),
            Node::Hoisted(part) => self.values[&part].clone(),
            Node::Sum(parts, constant) => self.sum(&parts, f64::from_bits(constant)),
            Node::Product(parts) => {
                let factors = self.factors(&parts);
                self.joined(factors)
            }
            Node::Call(function @ (Function::Sin | Function::Cos), part) if self.has_both(part) => {
                let argument = self.values[&part].clone();
                let mut both = self.emit(Op::SineCosine, &[argument]);
                if function == Function::Cos {
                    both.base += self.terms.count(Self::vars(std::slice::from_ref(&both))) as u32;
                }
                both
            }
            Node::Call(function, part) => {
                let argument = self.values[&part].clone();
                self.emit(Op::Call(function), &[argument])
            }
            Node::Pair(pair, a, b) => {
                let op = match pair {
                    Pair::Min => Op::Min,
                    Pair::Max => Op::Max,
                    Pair::Power => Op::Power,
                    Pair::Below => Op::Below,
                    Pair::AtMost => Op::AtMost,
                    Pair::Equal => Op::Equal,
                };
                let operands = [a, b].map(|part| self.values[&part].clone());
                self.emit(op, &operands)
            }
            Node::Select(a, b, c) => {
                let operands = [a, b, c].map(|part| self.values[&part].clone());
                self.emit(Op::Select, &operands)
            }
            Node::Reduce(var, body) => self.reduced(id, var, body),
        }
    }

    /// Whether sine and cosine of a term are both computed.
    fn has_both(&self, part: Id) -> bool {
        let used =
            |function| self.terms.find(&Node::Call(function, part)).is_some_and(|id| self.uses.contains_key(&id));
        used(Function::Sin) && used(Function::Cos)
    }

    /// The factors of a product as values: powers multiplied out, all that divides as one inverse.
    pub(super) fn factors(&mut self, parts: &[(Id, i32)]) -> Vec<Value> {
        let mut factors = Vec::new();
        let below: Vec<_> = parts.iter().filter(|(_, halves)| *halves < 0).collect();
        for (part, halves) in parts.iter().filter(|(_, halves)| 0 <= *halves) {
            let base = self.values[part].clone();
            self.powers(&base, halves.unsigned_abs(), &mut factors);
        }
        match below[..] {
            [] => (),
            [(part, halves)] => {
                let base = self.values[part].clone();
                let (base, halves) =
                    if halves % 2 == 0 { (base, *halves) } else { (self.emit(Op::Root, &[base]), 2 * halves) };
                let inverse = self.emit(Op::Invert, &[base]);
                self.powers(&inverse, halves.unsigned_abs(), &mut factors);
            }
            _ => {
                let mut divisors = Vec::new();
                for (part, halves) in below {
                    let base = self.values[part].clone();
                    self.powers(&base, halves.unsigned_abs(), &mut divisors);
                }
                let divisor = self.joined(divisors);
                let inverse = self.emit(Op::Invert, &[divisor]);
                factors.push(inverse);
            }
        }
        factors
    }

    /// Factors that make `base`^(`halves`/2).
    fn powers(&mut self, base: &Value, halves: u32, factors: &mut Vec<Value>) {
        if halves == 0 {
            // x^0 of an x that may have no value: x·0 + 1.
            let (zero, one) = (self.number(0.0), self.number(1.0));
            let unit = self.emit(Op::MultiplyAdd, &[base.clone(), zero, one]);
            factors.push(unit);
        }
        if halves % 2 == 1 {
            let root = self.emit(Op::Root, std::slice::from_ref(base));
            factors.push(root);
        }
        let (mut square, mut rest) = (base.clone(), halves / 2);
        while 0 < rest {
            if rest % 2 == 1 {
                factors.push(square.clone());
            }
            rest /= 2;
            if 0 < rest {
                square = self.emit(Op::Multiply, &[square.clone(), square]);
            }
        }
    }

    /// The product of values: those of few variables first, and of these what all shots share last, as the rest may stand elsewhere too.
    pub(super) fn joined(&mut self, mut factors: Vec<Value>) -> Value {
        factors.sort_by_key(Self::rank);
        let mut factors = factors.into_iter();
        let first = factors.next().expect("a product has factors");
        factors.fold(first, |product, factor| self.multiply(product, factor))
    }

    fn rank(factor: &Value) -> (u32, bool) {
        (Self::vars(std::slice::from_ref(factor)).count_ones(), factor.bank == Bank::Shared)
    }

    fn sum(&mut self, parts: &[(Id, u64)], constant: f64) -> Value {
        let mut so_far = (constant != 0.0).then(|| self.number(constant));
        let mut parts: Vec<(Id, f64)> = parts.iter().map(|(part, factor)| (*part, f64::from_bits(*factor))).collect();
        // Shared parts, then those that are added, then those that are subtracted; of few variables first.
        parts.sort_by_key(|(part, factor)| {
            (!self.is_table(*part), self.terms.facts(*part).free.count_ones(), *factor < 0.0)
        });
        for (part, factor) in parts {
            let (mut value, product) = if factor.abs() == 1.0 && self.is_fused(part) && !self.values.contains_key(&part)
            {
                let Node::Product(inner) = self.terms.node(part).clone() else {
                    unreachable!("only products are fused")
                };
                let mut factors = self.factors(&inner);
                factors.sort_by_key(Self::rank);
                let last = if 1 < factors.len() { factors.pop() } else { None };
                (self.joined(factors), last)
            } else {
                (self.values[&part].clone(), None)
            };
            let mut product = product;
            if product.as_ref().is_some_and(|last| value.bank == Bank::Shared && last.bank == Bank::Lanes)
                && let Some(last) = product.replace(value.clone())
            {
                value = last;
            }
            so_far = Some(match (so_far, product, factor) {
                (None, None, 1.0) => value,
                (None, Some(last), 1.0) => self.multiply(value, last),
                (None, None, _) => {
                    let factor = self.number(factor);
                    self.multiply(value, factor)
                }
                (None, Some(last), _) => {
                    let product = self.multiply(value, last);
                    let factor = self.number(factor);
                    self.multiply(product, factor)
                }
                (Some(sum), None, 1.0) if sum.bank == Bank::Shared => self.emit(Op::Add, &[value, sum]),
                (Some(sum), None, 1.0) => self.emit(Op::Add, &[sum, value]),
                (Some(sum), None, -1.0) if sum.bank == Bank::Lanes => self.emit(Op::Subtract, &[sum, value]),
                (Some(sum), None, _) => {
                    let factor = self.number(factor);
                    let factors = if value.bank == Bank::Shared { [factor, value] } else { [value, factor] };
                    let [a, b] = factors;
                    self.emit(Op::MultiplyAdd, &[a, b, sum])
                }
                (Some(sum), Some(last), 1.0) => self.emit(Op::MultiplyAdd, &[value, last, sum]),
                (Some(sum), Some(last), _) => self.emit(Op::MultiplySubtract, &[value, last, sum]),
            });
        }
        so_far.expect("a sum has parts")
    }

    fn reduced(&mut self, id: Id, var: u8, body: Id) -> Value {
        let free = self.terms.facts(id).free;
        let count = self.terms.vars[usize::from(var)].size as u32;
        let to = self.new_register(free, 1);
        let draft = if let Some((shared, lanes)) = self.contraction(id) {
            let [shared, lanes] = [shared, lanes].map(|part| self.values[&part].clone());
            let walk = self.walk(free, &to, &[&shared, &lanes]);
            let strides = [shared.stride(var), lanes.stride(var)];
            Draft {
                instruction: Instruction::Contract {
                    to: 0,
                    shared: shared.base,
                    lanes: lanes.base,
                    count,
                    strides,
                    walk,
                },
                to: to.register,
                from: vec![None, lanes.register],
            }
        } else {
            let mut body = self.values[&body].clone();
            if body.bank == Bank::Shared {
                body = self.emit(Op::Copy, &[body]);
            }
            let walk = self.walk(free, &to, &[&body]);
            Draft {
                instruction: Instruction::Total { to: 0, from: body.operand(), count, stride: body.stride(var), walk },
                to: to.register,
                from: vec![body.register],
            }
        };
        self.drafts.push(draft);
        to
    }
}
