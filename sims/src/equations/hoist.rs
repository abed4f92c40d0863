//! What all shots share is taken out of what each shot computes: in every sum and product, the parts without a shot's own values
//! become one term, which is computed once.

use super::terms::{Id, Map, Node, Terms};

impl Terms {
    /// The same terms, what all shots share kept together.
    pub fn hoist(&mut self, roots: &[Id]) -> Vec<Id> {
        let mut new: Map<Id, Id> = Map::default();
        for id in self.reachable(roots) {
            let now = if self.facts(id).uniform { id } else { self.hoisted_node(id, &new) };
            new.insert(id, now);
        }
        roots.iter().map(|root| new[root]).collect()
    }

    fn hoisted_node(&mut self, id: Id, new: &Map<Id, Id>) -> Id {
        match self.node(id).clone() {
            Node::Number(_) | Node::Leaf(_) | Node::Index(_) | Node::Hoisted(_) => id,
            Node::Sum(parts, constant) => {
                let parts: Vec<_> = parts.iter().map(|(part, factor)| (new[part], f64::from_bits(*factor))).collect();
                let (shared, own): (Vec<_>, Vec<_>) =
                    parts.into_iter().partition(|(part, _)| self.facts(*part).uniform);
                if shared.is_empty() {
                    return self.sum(own, f64::from_bits(constant));
                }
                let shared = self.sum(shared, f64::from_bits(constant));
                let shared = self.hoisted(shared);
                self.sum(own.into_iter().chain([(shared, 1.0)]), 0.0)
            }
            Node::Product(parts) => {
                let parts: Vec<_> = parts.iter().map(|(part, halves)| (new[part], *halves)).collect();
                let (shared, own): (Vec<_>, Vec<_>) =
                    parts.into_iter().partition(|(part, _)| self.facts(*part).uniform);
                if shared.is_empty() {
                    return self.product(own, 1.0);
                }
                let shared = self.product(shared, 1.0);
                let shared = self.hoisted(shared);
                self.product(own.into_iter().chain([(shared, 2)]).collect(), 1.0)
            }
            Node::Call(function, part) => self.call(function, new[&part]),
            Node::Pair(pair, a, b) => {
                let [a, b] = [a, b].map(|part| self.kept(new[&part]));
                self.pair(pair, a, b)
            }
            Node::Select(a, b, c) => {
                let [a, b, c] = [a, b, c].map(|part| self.kept(new[&part]));
                self.select(a, b, c)
            }
            Node::Reduce(var, body) => self.reduce(var, new[&body]),
        }
    }

    fn kept(&mut self, id: Id) -> Id {
        if self.facts(id).uniform { self.hoisted(id) } else { id }
    }

    /// The terms as they are computed: nested, what all shots share together, and the number of a part of a sum in one with the factor that
    /// all shots share.
    pub fn finished(&mut self, roots: &[Id]) -> Vec<Id> {
        let nested = self.nested(roots);
        let hoisted = self.hoist(&nested);
        let mut new: Map<Id, Id> = Map::default();
        for id in self.reachable(&hoisted) {
            let now = match self.node(id).clone() {
                _ if self.facts(id).uniform => id,
                Node::Sum(parts, constant) => {
                    let parts = parts.iter().map(|(part, number)| self.numbered(new[part], f64::from_bits(*number)));
                    let parts: Vec<_> = parts.collect();
                    self.sum(parts, f64::from_bits(constant))
                }
                _ => self.rebuilt(id, &new),
            };
            new.insert(id, now);
        }
        hoisted.iter().map(|root| new[root]).collect()
    }

    /// A part of a sum, its number in one with the factor that all shots share, if there is one.
    fn numbered(&mut self, part: Id, number: f64) -> (Id, f64) {
        if number.abs() == 1.0 || self.facts(part).uniform {
            return (part, number);
        }
        let Node::Product(factors) = self.node(part).clone() else { return (part, number) };
        let (shared, mut own): (Vec<_>, Vec<_>) = factors.iter().partition(|(factor, _)| self.facts(*factor).uniform);
        if shared.is_empty() {
            return (part, number);
        }
        let shared = self.product(shared, number);
        own.push((self.hoisted(shared), 2));
        (self.product(own, 1.0), 1.0)
    }
}
