//! Sums as Horner would write them: what several parts have in common is taken out, greedily, that of most parts first.
//!
//! ```text
//! u + u³/6 + u⁵/120   becomes   u·(1 + u²·(1/6 + u²/120))
//! ```
//!
//! A factor is taken out only where all its parts have it with an exponent of one sign, so each side has a value where the other has one.
//! Where shared products make the new form dearer, the terms stay as they are.

use super::terms::{Id, Map, Node, Terms};

/// Longer sums stay as they are, so that time stays in proportion.
const MOST_PARTS: usize = 64;

/// A part of a sum: its number, and its factors with their exponents in halves.
type Part = (f64, Vec<(Id, i32)>);

impl Terms {
    /// The same terms with the common factors of sums taken out, where that costs less.
    pub fn nested(&mut self, roots: &[Id]) -> Vec<Id> {
        let mut new: Map<Id, Id> = Map::default();
        for id in self.reachable(roots) {
            let mut now = self.rebuilt(id, &new);
            if let Node::Sum(parts, constant) = self.node(now).clone()
                && parts.len() <= MOST_PARTS
            {
                let parts: Vec<Part> =
                    parts.iter().map(|(part, number)| (f64::from_bits(*number), self.factors_of(*part))).collect();
                now = self.sum_of(parts, f64::from_bits(constant));
            }
            new.insert(id, now);
        }
        let found: Vec<Id> = roots.iter().map(|root| new[root]).collect();
        if self.cost(&found) < self.cost(roots) { found } else { roots.to_vec() }
    }

    fn factors_of(&self, id: Id) -> Vec<(Id, i32)> {
        match self.node(id) {
            Node::Product(parts) => parts.to_vec(),
            _ => vec![(id, 2)],
        }
    }

    /// The sum of these parts and a constant, nested.
    fn sum_of(&mut self, mut parts: Vec<Part>, constant: f64) -> Id {
        while let Some((common, halves)) = self.common(&parts) {
            // Only what has the whole factor: less of it would leave its inverse.
            let at = |part: &Part| {
                let whole = |own: i32| own.signum() == halves.signum() && halves.abs() <= own.abs();
                part.1.iter().position(|(id, own)| *id == common && whole(*own))
            };
            let (within, rest): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| at(part).is_some());
            let (mut inner, mut inner_constant) = (Vec::new(), 0.0);
            for part in within {
                let at = at(&part).expect("a part within has the common factor");
                let (number, mut factors) = part;
                factors[at].1 -= halves;
                if factors[at].1 == 0 {
                    factors.remove(at);
                }
                if factors.is_empty() {
                    inner_constant += number;
                } else {
                    inner.push((number, factors));
                }
            }
            let inner = self.sum_of(inner, inner_constant);
            let product = self.product(vec![(common, halves), (inner, 2)], 1.0);
            parts = rest;
            // A number of its own comes back as one.
            match self.node(product).clone() {
                Node::Sum(own, 0) if own.len() == 1 => {
                    parts.push((f64::from_bits(own[0].1), self.factors_of(own[0].0)));
                }
                _ => parts.push((1.0, self.factors_of(product))),
            }
        }
        let parts: Vec<(Id, f64)> =
            parts.into_iter().map(|(number, factors)| (self.product(factors, 1.0), number)).collect();
        self.sum(parts, constant)
    }

    /// The factor that most parts have, with the least exponent that they have it with, where there are two of them. What each shot has
    /// of its own comes before what all share.
    fn common(&self, parts: &[Part]) -> Option<(Id, i32)> {
        let mut counts: Map<(Id, bool), (usize, i32)> = Map::default();
        for (id, halves) in parts.iter().flat_map(|(_, factors)| factors) {
            if *halves != 0 && halves % 2 == 0 {
                let (count, least) = counts.entry((*id, 0 < *halves)).or_insert((0, *halves));
                *count += 1;
                if halves.abs() < least.abs() {
                    *least = *halves;
                }
            }
        }
        let most = counts
            .into_iter()
            .filter(|(_, (count, _))| 2 <= *count)
            .max_by_key(|((id, is_above), (count, _))| (*count, !self.facts(*id).uniform, *id, *is_above))?;
        Some((most.0.0, most.1.1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::Builder;
    use super::super::file;

    /// What the slope of `x` costs before and after, in a file whose `x` and `y` are states and whose `a` is a coefficient.
    fn costs(slope: &str) -> [f64; 2] {
        let text = format!(
            "[coefficients]\na = {{ unit = \"1/s\", value = 2 }}\n[states]\nx = {{ unit = \"1\" }}\ny = {{ unit = \"1\" }}\n\
             [equations]\n\"der(x)\" = \"{slope}\"\n\"der(y)\" = \"a*x\"\n[outputs]\nz = {{ unit = \"1\", value = \"x\", \
             range = [-1, 1] }}\n[inputs]\npush = {{ unit = \"1\", range = [-1, 1] }}\n[time]\nsample_seconds = 0.1\nsamples = 3\n"
        );
        let (model, _) = file::read("test.toml", &text, None).unwrap();
        let mut builder = Builder::new(&model, true);
        let mut slopes = Vec::new();
        builder.each(&model.equations[0], |_, slope, _| slopes.push(slope));
        let mut terms = builder.terms;
        let nested = terms.nested(&slopes);
        [terms.cost(&slopes), terms.cost(&nested)]
    }

    #[test]
    fn powers_are_nested() {
        let [before, after] = costs("a*(x + x^3/6 + x^5/120 + x^7/5040)");
        assert!(after + 2.0 <= before, "{before} became {after}");
    }

    #[test]
    fn what_most_parts_have_is_taken_out_and_inverses_are_not_joined_with_powers() {
        let [before, after] = costs("a*(x*y*sin(x) + x*y*cos(x) + x*y*exp(x) + exp(y))");
        assert!(after + 2.0 <= before, "{before} became {after}");
        // Nor is a root: x taken out of √x would leave 1/√x.
        let [before, after] = costs("a*((1 + x)*sin(y) + (1 + x)*exp(y) + sqrt(1 + x)*tanh(y))");
        assert_eq!(before - after, 1.0, "{before} became {after}");
        // A factor and its inverse are nothing in common: together they would have a value where the sum has none.
        let [before, after] = costs("a*((1 + x)*sin(y) + cos(y)/(1 + x))");
        assert_eq!(before, after);
    }
}
