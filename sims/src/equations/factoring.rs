//! Other forms of the same slopes: an e-graph holds all that rules can make of them, and the cheapest form is taken where it is cheaper
//! than what the constructors have made.
//!
//! The graph is bounded in terms, rounds and time. Where time ends it, or the form that it finds costs no less, the terms stay as they are:
//! what is computed does not depend on how fast a machine is, unless that is a hundred times slower than those it was bounded for.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

use egg::{CostFunction, EGraph, Extractor, Language, RecExpr, Rewrite, Runner, StopReason, define_language, rewrite};

use super::terms::{Function, Id, Map, Node, Terms};

/// Terms of slopes up to which an e-graph is made, terms that it may have, and rounds.
const MOST_TERMS: usize = 400;
const MOST_NODES: usize = 4_000;
const ROUNDS: usize = 8;
const MOST_TIME: Duration = Duration::from_millis(500);

define_language! {
    /// Binary operations and functions; what rules say nothing of is known by its number, as are leaves.
    enum Formula {
        "+" = Add([egg::Id; 2]),
        "*" = Multiply([egg::Id; 2]),
        "inverse" = Inverse([egg::Id; 1]),
        "root" = Root([egg::Id; 1]),
        "exp" = Exp([egg::Id; 1]),
        Leaf(u32),
        Other(u32, Vec<egg::Id>),
    }
}

/// Rules that hold wherever either side has a value.
fn rules() -> &'static [Rewrite<Formula, ()>] {
    static RULES: OnceLock<Vec<Rewrite<Formula, ()>>> = OnceLock::new();
    RULES.get_or_init(|| {
        vec![
            rewrite!("sums turn"; "(+ ?a ?b)" => "(+ ?b ?a)"),
            rewrite!("sums join"; "(+ ?a (+ ?b ?c))" => "(+ (+ ?a ?b) ?c)"),
            rewrite!("products turn"; "(* ?a ?b)" => "(* ?b ?a)"),
            rewrite!("products join"; "(* ?a (* ?b ?c))" => "(* (* ?a ?b) ?c)"),
            rewrite!("common factor"; "(+ (* ?a ?b) (* ?a ?c))" => "(* ?a (+ ?b ?c))"),
            rewrite!("spread factor"; "(* ?a (+ ?b ?c))" => "(+ (* ?a ?b) (* ?a ?c))"),
            rewrite!("inverse of a product"; "(* (inverse ?a) (inverse ?b))" => "(inverse (* ?a ?b))"),
            rewrite!("exponents add"; "(* (exp ?a) (exp ?b))" => "(exp (+ ?a ?b))"),
        ]
    })
}

/// What one operation costs, in products that are added, to the half: as `pnnlab reproduce symbolic-numerics` measures it ("cost of …") on
/// the machine that docs/reproduction.md names. Forms are chosen by the differences, which are alike on other machines.
fn cost_of(function: Function) -> f64 {
    match function {
        Function::Abs | Function::Sign | Function::Floor => 1.5,
        Function::Sqrt => 2.0,
        Function::Sin | Function::Cos => 2.5,
        Function::Exp | Function::Tan => 3.0,
        Function::Ln => 3.5,
        Function::Atan => 4.0,
        Function::Asin | Function::Acos => 6.0,
        Function::Sinh | Function::Cosh => 6.5,
        Function::Tanh => 8.0,
    }
}
const INVERSE: f64 = 1.5;
const POWER: f64 = 6.0;

/// What a formula costs where every part is computed wherever it stands.
struct Cost;

impl CostFunction<Formula> for Cost {
    type Cost = f64;

    fn cost<C: FnMut(egg::Id) -> f64>(&mut self, formula: &Formula, mut of: C) -> f64 {
        let own = match formula {
            Formula::Add(_) | Formula::Multiply(_) => 1.0,
            Formula::Inverse(_) => INVERSE,
            Formula::Root(_) => cost_of(Function::Sqrt),
            Formula::Exp(_) => cost_of(Function::Exp),
            Formula::Leaf(_) => 0.01,
            Formula::Other(..) => 2.0,
        };
        formula.fold(own, |sum, part| sum + of(part))
    }
}

impl Terms {
    /// The same terms in the cheapest form that was found.
    pub fn factored(&mut self, roots: &[Id]) -> Vec<Id> {
        let order = self.reachable(roots);
        if MOST_TERMS < order.len() || order.iter().any(|id| matches!(self.node(*id), Node::Reduce(..))) {
            return roots.to_vec();
        }
        let mut written = Written::default();
        for id in &order {
            written.add(self, *id);
        }
        let places: Vec<egg::Id> = roots.iter().map(|root| written.places[root]).collect();
        let Written { graph, others, .. } = written;
        let runner = Runner::default()
            .with_egraph(graph)
            .with_node_limit(MOST_NODES)
            .with_iter_limit(ROUNDS)
            .with_time_limit(MOST_TIME)
            .run(rules());
        if matches!(runner.stop_reason, Some(StopReason::TimeLimit(_)) | None) {
            return roots.to_vec();
        }
        let extractor = Extractor::new(&runner.egraph, Cost);
        let found: Vec<Id> = places.iter().map(|place| self.read(&extractor.find_best(*place).1, &others)).collect();
        if self.cost(&found) < self.cost(roots) { found } else { roots.to_vec() }
    }

    /// What all terms cost, each computed once.
    pub fn cost(&self, roots: &[Id]) -> f64 {
        let mut squares = HashSet::new();
        self.reachable(roots).into_iter().map(|id| self.own_cost(id, &mut squares)).sum()
    }

    /// What a term costs whose parts are there, and whose `squares`: of each base x those of x², x⁴, x⁸ … that something has needed so far.
    fn own_cost(&self, id: Id, squares: &mut HashSet<(Id, u32)>) -> f64 {
        match self.node(id) {
            Node::Number(_) | Node::Leaf(_) | Node::Index(_) | Node::Hoisted(_) => 0.0,
            // A product that is added costs nothing of its own: a part with a factor is one.
            Node::Sum(parts, constant) => parts.len() as f64 - if *constant == 0 { 1.0 } else { 0.0 },
            Node::Product(parts) => {
                let mut cost = -1.0;
                for (part, halves) in parts {
                    let whole = halves.unsigned_abs() / 2;
                    let new = (1..=whole.checked_ilog2().unwrap_or(0)).filter(|level| squares.insert((*part, *level)));
                    let factors = (whole.count_ones() + halves.unsigned_abs() % 2).max(1);
                    cost += f64::from(factors) + new.count() as f64;
                    cost += if halves % 2 == 0 { 0.0 } else { cost_of(Function::Sqrt) };
                    cost += if *halves < 0 { INVERSE } else { 0.0 };
                }
                cost
            }
            Node::Call(function, _) => cost_of(*function),
            Node::Pair(super::terms::Pair::Power, ..) => POWER,
            Node::Pair(..) | Node::Select(..) => 1.0,
            Node::Reduce(var, _) => self.vars[usize::from(*var)].size as f64,
        }
    }

    /// The terms of a formula.
    fn read(&mut self, formula: &RecExpr<Formula>, others: &[Id]) -> Id {
        let mut ids: Vec<Id> = Vec::with_capacity(formula.as_ref().len());
        for part in formula.as_ref() {
            let at = |place: &egg::Id| ids[usize::from(*place)];
            let id = match part {
                Formula::Add([a, b]) => self.add(at(a), at(b)),
                Formula::Multiply([a, b]) => self.multiply(at(a), at(b)),
                Formula::Inverse([a]) => self.product(vec![(at(a), -2)], 1.0),
                Formula::Root([a]) => self.product(vec![(at(a), 1)], 1.0),
                Formula::Exp([a]) => self.call(Function::Exp, at(a)),
                Formula::Leaf(number) => others[*number as usize],
                Formula::Other(number, parts) => {
                    let parts: Vec<Id> = parts.iter().map(at).collect();
                    match (self.node(others[*number as usize]).clone(), &parts[..]) {
                        (Node::Call(function, _), [a]) => self.call(function, *a),
                        (Node::Pair(pair, ..), [a, b]) => self.pair(pair, *a, *b),
                        (Node::Select(..), [a, b, c]) => self.select(*a, *b, *c),
                        (Node::Product(powers), [base]) => self.product(vec![(*base, powers[0].1)], 1.0),
                        _ => unreachable!("only these are written with parts and a number"),
                    }
                }
            };
            ids.push(id);
        }
        *ids.last().expect("a formula has a part")
    }
}

/// Terms in an e-graph.
#[derive(Default)]
struct Written {
    graph: EGraph<Formula, ()>,
    places: Map<Id, egg::Id>,
    /// Leaves and terms that rules say nothing of.
    others: Vec<Id>,
}

impl Written {
    fn other(&mut self, id: Id) -> u32 {
        self.others.push(id);
        self.others.len() as u32 - 1
    }

    fn leaf(&mut self, id: Id) -> egg::Id {
        let number = self.other(id);
        self.graph.add(Formula::Leaf(number))
    }

    /// Puts a term in, whose parts are in already.
    fn add(&mut self, terms: &mut Terms, id: Id) {
        if self.places.contains_key(&id) {
            return;
        }
        let place = match terms.node(id).clone() {
            Node::Sum(parts, constant) => {
                let mut sum = (constant != 0).then(|| self.number(terms, f64::from_bits(constant)));
                for (part, factor) in parts {
                    let mut part = self.places[&part];
                    if f64::from_bits(factor) != 1.0 {
                        let factor = self.number(terms, f64::from_bits(factor));
                        part = self.graph.add(Formula::Multiply([factor, part]));
                    }
                    sum = Some(match sum {
                        Some(sum) => self.graph.add(Formula::Add([sum, part])),
                        None => part,
                    });
                }
                sum.expect("a sum has parts")
            }
            Node::Product(parts) => {
                let mut product = None;
                for (part, halves) in parts {
                    let power = self.power(terms, part, halves);
                    product = Some(match product {
                        Some(product) => self.graph.add(Formula::Multiply([product, power])),
                        None => power,
                    });
                }
                product.expect("a product has parts")
            }
            Node::Call(Function::Exp, of) => self.graph.add(Formula::Exp([self.places[&of]])),
            Node::Call(_, of) => self.with_parts(id, &[of]),
            Node::Pair(_, a, b) => self.with_parts(id, &[a, b]),
            Node::Select(a, b, c) => self.with_parts(id, &[a, b, c]),
            Node::Number(_) | Node::Leaf(_) | Node::Index(_) | Node::Hoisted(_) | Node::Reduce(..) => self.leaf(id),
        };
        self.places.insert(id, place);
    }

    fn with_parts(&mut self, id: Id, parts: &[Id]) -> egg::Id {
        let parts = parts.iter().map(|part| self.places[part]).collect();
        let number = self.other(id);
        self.graph.add(Formula::Other(number, parts))
    }

    fn number(&mut self, terms: &mut Terms, value: f64) -> egg::Id {
        let id = terms.number(value);
        if let Some(place) = self.places.get(&id) {
            return *place;
        }
        let place = self.leaf(id);
        self.places.insert(id, place);
        place
    }

    /// `base`^(`halves`/2).
    fn power(&mut self, terms: &mut Terms, base: Id, halves: i32) -> egg::Id {
        let own = self.places[&base];
        if halves == 0 || 16 < halves.abs() || halves % 2 != 0 && halves.abs() != 1 {
            // Powers of nothing, large ones and those with a root stay as they are.
            let power = terms.product(vec![(base, halves)], 1.0);
            let number = self.other(power);
            return match terms.node(power) {
                Node::Product(parts) if parts.len() == 1 => self.graph.add(Formula::Other(number, vec![own])),
                _ => self.graph.add(Formula::Leaf(number)),
            };
        }
        let mut power = if halves % 2 == 0 { own } else { self.graph.add(Formula::Root([own])) };
        for _ in 1..halves.abs() / 2 {
            power = self.graph.add(Formula::Multiply([power, own]));
        }
        if halves < 0 { self.graph.add(Formula::Inverse([power])) } else { power }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Role;
    use crate::equations::build::Builder;
    use crate::equations::file;

    /// Costs of the slopes of a file before and after.
    fn costs(text: &str) -> [f64; 2] {
        let (model, _) = file::read("test.toml", text, None).unwrap();
        let mut builder = Builder::new(&model, true);
        let mut slopes = Vec::new();
        for line in &model.equations {
            builder.each(line, |_, slope, _| slopes.push(slope));
        }
        assert_eq!(slopes.len(), model.total(Role::State));
        let mut terms = builder.terms;
        let found = terms.factored(&slopes);
        [terms.cost(&slopes), terms.cost(&found)]
    }

    #[test]
    fn a_common_factor_is_taken_out() {
        let text = |slope: &str| {
            format!(
                "[inputs]\npush = {{ unit = \"1\", range = [-1, 1] }}\n[coefficients]\na = {{ unit = \"1/s\", value = 2 }}\n[states]\nx = {{ unit = \"1\" }}\ny = {{ unit = \"1\" }}\n\
                 [equations]\n\"der(x)\" = \"{slope}\"\n\"der(y)\" = \"a*(x - y)\"\n[outputs]\nz = {{ unit = \"1\", value = \"x\", \
                 range = [-1, 1] }}\n[time]\nsample_seconds = 0.1\nsamples = 3\n"
            )
        };
        let [before, after] = costs(&text("a*x*y*sin(x) + a*x*y*cos(y) - a*x*y*x^2"));
        assert!(after + 2.5 < before, "{before} became {after}");
        // Nothing to gain.
        let [before, after] = costs(&text("a*(1 - x)"));
        assert_eq!(before, after);
    }
}
