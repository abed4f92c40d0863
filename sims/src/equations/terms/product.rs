//! Products: `Π tᵢ^(nᵢ/2)`.
//!
//! Powers above and below 0 of one term stay apart, as do two square roots of it, unless it is known to be above 0: together
//! they would have a value where apart they have none.

use super::{Function, Id, LARGEST_POWER, Node, Terms};

impl Terms {
    /// The product of `parts` with their exponents in halves, times `factor`.
    pub fn product(&mut self, parts: Vec<(Id, i32)>, factor: f64) -> Id {
        let mut factor = factor;
        let mut flat: Vec<(Id, i32)> = Vec::new();
        let mut waiting = parts;
        waiting.reverse();
        while let Some((part, halves)) = waiting.pop() {
            if halves == 0 {
                if !self.facts(part).total {
                    // x^0 is 1 only where x has a value.
                    flat.push((part, 0));
                }
                continue;
            }
            match self.node(part) {
                Node::Number(bits) => {
                    let power = power(f64::from_bits(*bits), halves);
                    if power.is_finite() {
                        factor *= power;
                    } else {
                        flat.push((part, halves));
                    }
                }
                Node::Product(inner) if halves == 2 => waiting.extend(inner.iter().rev()),
                Node::Product(inner)
                    if halves % 2 == 0
                        && inner.iter().all(|(_, own)| own % 2 == 0 && is_bounded(own.checked_mul(halves / 2))) =>
                {
                    waiting.extend(inner.iter().rev().map(|(part, own)| (*part, own * (halves / 2))));
                }
                Node::Product(inner)
                    if halves % 2 != 0
                        && inner.len() == 1
                        && inner[0].1 % 4 == 0
                        && is_bounded((inner[0].1 / 2).checked_mul(halves)) =>
                {
                    // √(x²) = |x|.
                    let (base, own) = inner[0];
                    let magnitude = self.call(Function::Abs, base);
                    waiting.push((magnitude, own / 2 * halves));
                }
                Node::Sum(inner, 0) if inner.len() == 1 => {
                    let (base, own) = (inner[0].0, f64::from_bits(inner[0].1));
                    let power = power(own, halves);
                    if power.is_finite() && (halves % 2 == 0 || 0.0 < own) && power != 0.0 {
                        factor *= power;
                        waiting.push((base, halves));
                    } else {
                        flat.push((part, halves));
                    }
                }
                _ => flat.push((part, halves)),
            }
        }
        flat.sort_unstable();
        let mut merged: Vec<(Id, i32)> = Vec::with_capacity(flat.len());
        for (part, halves) in flat {
            match merged.last_mut() {
                Some((last, sum))
                    if *last == part
                        && is_bounded(sum.checked_add(halves))
                        && (self.is_positive(part) || may_join(*sum, halves)) =>
                {
                    *sum += halves;
                }
                _ => merged.push((part, halves)),
            }
        }
        merged.retain(|(part, halves)| *halves != 0 || !self.facts(*part).total);
        let id = match merged[..] {
            [] => return self.number(factor),
            [(part, 2)] => part,
            _ => {
                let id = self.intern(Node::Product(merged.into()));
                super::super::rules::rewritten(self, id)
            }
        };
        self.scaled(id, factor)
    }

    /// a·b.
    pub fn multiply(&mut self, a: Id, b: Id) -> Id {
        self.product(vec![(a, 2), (b, 2)], 1.0)
    }
}

/// Whether an exponent could be computed, and is not too large.
fn is_bounded(halves: Option<i32>) -> bool {
    halves.is_some_and(|halves| halves.unsigned_abs() <= LARGEST_POWER)
}

/// Whether x^a·x^b is x^(a+b) wherever x is any number.
fn may_join(a: i32, b: i32) -> bool {
    0 < a.signum() * b.signum() && (a % 2 == 0 || b % 2 == 0)
}

/// x^(`halves`/2).
pub(in crate::equations) fn power(x: f64, halves: i32) -> f64 {
    if halves % 2 == 0 { x.powi(halves / 2) } else { x.sqrt().powi(halves) }
}
