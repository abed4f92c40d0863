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
}
