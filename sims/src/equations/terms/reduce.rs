//! Sums over a loop variable. What does not go with the variable stands before the sum.

use super::{Id, Node, Terms};

impl Terms {
    /// The sum of `body` over `var`.
    pub fn reduce(&mut self, var: u8, body: Id) -> Id {
        let along = 1 << var;
        let size = self.vars[usize::from(var)].size as f64;
        if self.facts(body).free & along == 0 {
            return self.scaled(body, size);
        }
        match self.node(body).clone() {
            Node::Sum(parts, constant) => {
                let parts: Vec<_> =
                    parts.iter().map(|(part, factor)| (self.reduce(var, *part), f64::from_bits(*factor))).collect();
                self.sum(parts, size * f64::from_bits(constant))
            }
            Node::Product(parts) => {
                let (inside, outside): (Vec<_>, Vec<_>) =
                    parts.iter().copied().partition(|(part, _)| self.facts(*part).free & along != 0);
                if !outside.is_empty() {
                    let inner = self.product(inside, 1.0);
                    let inner = self.reduce(var, inner);
                    return self.product([outside, vec![(inner, 2)]].concat(), 1.0);
                }
                match self.spread(&inside, var) {
                    Some(spread) => self.reduce(var, spread),
                    None => self.intern(Node::Reduce(var, body)),
                }
            }
            _ => self.intern(Node::Reduce(var, body)),
        }
    }

    /// A product with a difference of shots' values is spread over it where each part then goes with fewer variables:
    /// Σⱼ K[k,j]·(x[j] − x[k]) = Σⱼ K[k,j]·x[j] − x[k]·Σⱼ K[k,j].
    fn spread(&mut self, parts: &[(Id, i32)], var: u8) -> Option<Id> {
        let (position, terms, constant) =
            parts.iter().enumerate().find_map(|(position, (part, halves))| match self.node(*part) {
                Node::Sum(terms, constant) if *halves == 2 && !self.facts(*part).uniform => {
                    Some((position, terms.clone(), f64::from_bits(*constant)))
                }
                _ => None,
            })?;
        let others: Vec<_> = [&parts[..position], &parts[position + 1..]].concat();
        let others_uniform = others.iter().all(|(part, _)| self.facts(*part).uniform);
        let all = parts.iter().fold(0, |all, (part, _)| all | self.facts(*part).free);
        let smaller = terms.iter().all(|(part, _)| self.facts(*part).free != all);
        let some_outside = terms.iter().any(|(part, _)| self.facts(*part).free & (1 << var) == 0);
        if others.is_empty() || !others_uniform || !smaller || !some_outside {
            return None;
        }
        let mut spread: Vec<(Id, f64)> = Vec::new();
        for (part, factor) in &terms {
            let product = self.product([others.clone(), vec![(*part, 2)]].concat(), 1.0);
            spread.push((product, f64::from_bits(*factor)));
        }
        let rest = self.product(others, 1.0);
        spread.push((rest, constant));
        Some(self.sum(spread, 0.0))
    }
}
