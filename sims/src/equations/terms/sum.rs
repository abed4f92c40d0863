//! Sums: `c₀ + Σ cᵢ·tᵢ`.

use super::{Id, Node, Terms};

/// The most parts of an inner sum that join those of the outer one: longer ones are kept together, as they may be shared.
const JOINED: usize = 8;

impl Terms {
    /// The sum of `parts` with their factors, and a constant.
    pub fn sum(&mut self, parts: impl IntoIterator<Item = (Id, f64)>, constant: f64) -> Id {
        let mut constant = constant;
        let mut flat: Vec<(Id, f64)> = Vec::new();
        for (part, factor) in parts {
            match self.node(part) {
                Node::Number(bits) => constant += factor * f64::from_bits(*bits),
                // A lone part with its factor always joins; longer sums only where no factor has to be spread over them.
                Node::Sum(inner, more)
                    if (inner.len() <= JOINED && factor.abs() == 1.0) || (inner.len() == 1 && *more == 0) =>
                {
                    constant += factor * f64::from_bits(*more);
                    flat.extend(inner.iter().map(|(part, own)| (*part, factor * f64::from_bits(*own))));
                }
                _ => flat.push((part, factor)),
            }
        }
        flat.sort_by_key(|(part, _)| *part);
        let mut merged: Vec<(Id, f64)> = Vec::with_capacity(flat.len());
        for (part, factor) in flat {
            match merged.last_mut() {
                Some((last, sum)) if *last == part => *sum += factor,
                _ => merged.push((part, factor)),
            }
        }
        // What is nothing times a term is nothing only where the term has a value.
        merged.retain(|(part, factor)| *factor != 0.0 || !self.facts(*part).total);
        match merged[..] {
            [] => self.number(constant),
            [(part, 1.0)] if constant == 0.0 => part,
            _ => {
                let constant = if constant == 0.0 { 0.0 } else { constant };
                let parts = merged.iter().map(|(part, factor)| (*part, factor.to_bits())).collect();
                let id = self.intern(Node::Sum(parts, constant.to_bits()));
                if merged.len() == 1 { id } else { super::super::rules::rewritten(self, id) }
            }
        }
    }

    /// a + b.
    pub fn add(&mut self, a: Id, b: Id) -> Id {
        self.sum([(a, 1.0), (b, 1.0)], 0.0)
    }

    /// a − b.
    pub fn subtract(&mut self, a: Id, b: Id) -> Id {
        self.sum([(a, 1.0), (b, -1.0)], 0.0)
    }

    /// `factor`·a.
    pub fn scaled(&mut self, a: Id, factor: f64) -> Id {
        self.sum([(a, factor)], 0.0)
    }
}
