//! Rewriting rules that the constructors of [`terms`](super::terms) do not already keep by their form.
//!
//! Each holds wherever its left side has a value, and its right side has none elsewhere; where one would need more, it says what
//! must be known to be above 0 (by form, such as `exp(x)`, or by `assume`). Letters stand for any term.

// Circle with equations/terms.rs: constructors apply the rules, and rules construct terms.

use std::sync::OnceLock;

use super::syntax::{Expr, Kind, parse};
use super::terms::{Function, Id, Node, Terms};

/// From, to, and what must be above 0.
const RULES: [(&str, &str, &str); 19] = [
    ("exp(x)*exp(y)", "exp(x + y)", ""),
    ("sin(x)^2 + cos(x)^2", "1 + 0*x", ""),
    ("cosh(x)^2 - sinh(x)^2", "1 + 0*x", ""),
    ("ln(exp(x))", "x", ""),
    ("exp(ln(x))", "x", "x"),
    ("abs(abs(x))", "abs(x)", ""),
    ("abs(-x)", "abs(x)", ""),
    ("abs(x)", "x", "x"),
    ("cos(-x)", "cos(x)", ""),
    ("cosh(-x)", "cosh(x)", ""),
    ("sin(-x)", "-sin(x)", ""),
    ("sinh(-x)", "-sinh(x)", ""),
    ("tan(-x)", "-tan(x)", ""),
    ("tanh(-x)", "-tanh(x)", ""),
    ("atan(-x)", "-atan(x)", ""),
    ("asin(-x)", "-asin(x)", ""),
    ("sign(x)", "1 + 0*x", "x"),
    ("ln(x) + ln(y)", "ln(x*y)", "xy"),
    ("ln(x) - ln(y)", "ln(x/y)", "xy"),
];

/// Parts of a sum or product that are tried pair by pair: longer ones are left, so that time stays in proportion.
const MOST_PARTS: usize = 8;

/// A rule as it is applied.
#[derive(Debug)]
struct Rule {
    from: Expr,
    to: Expr,
    positive: Vec<String>,
}

fn rules() -> &'static [Rule] {
    static PARSED: OnceLock<Vec<Rule>> = OnceLock::new();
    PARSED.get_or_init(|| {
        let read = |text: &str| parse(text).expect("the table is well formed");
        let letters = |text: &str| text.chars().map(String::from).collect();
        RULES
            .iter()
            .map(|(from, to, positive)| Rule { from: read(from), to: read(to), positive: letters(positive) })
            .collect()
    })
}

/// What stands for the letters of a rule.
type Found = Vec<(String, Id)>;

/// The term after the first rule that fits, or as it was.
pub(super) fn rewritten(terms: &mut Terms, id: Id) -> Id {
    for rule in rules() {
        if let Some(rewritten) = apply(terms, rule, id) {
            return rewritten;
        }
    }
    id
}

fn apply(terms: &mut Terms, rule: &Rule, id: Id) -> Option<Id> {
    match (&rule.from.kind, terms.node(id).clone()) {
        (Kind::Call { .. }, Node::Call(..)) => {
            let mut found = Found::new();
            fits(terms, &rule.from, id, &mut found).then_some(())?;
            let to = replaced(terms, rule, &found)?;
            (to != id).then_some(to)
        }
        (Kind::Product(parts), Node::Product(have)) if have.len() <= MOST_PARTS => {
            for (a, b) in pairs(have.len()) {
                let mut found = Found::new();
                if have[a].1 == 2
                    && have[b].1 == 2
                    && fits(terms, &parts[0].1, have[a].0, &mut found)
                    && fits(terms, &parts[1].1, have[b].0, &mut found)
                    && let Some(to) = replaced(terms, rule, &found)
                {
                    let rest =
                        have.iter().enumerate().filter(|(part, _)| *part != a && *part != b).map(|(_, part)| *part);
                    return Some(terms.product(rest.chain([(to, 2)]).collect(), 1.0));
                }
            }
            None
        }
        (Kind::Sum(parts), Node::Sum(have, constant)) if parts.len() == 2 && have.len() <= MOST_PARTS => {
            for (a, b) in pairs(have.len()) {
                let [first, second] = [a, b].map(|part| f64::from_bits(have[part].1));
                let sign = if parts[1].0 { -1.0 } else { 1.0 };
                let mut found = Found::new();
                if second == sign * first
                    && (first.abs() == 1.0 || !matches!(parts[0].1.kind, Kind::Call { .. }))
                    && fits(terms, &parts[0].1, have[a].0, &mut found)
                    && fits(terms, &parts[1].1, have[b].0, &mut found)
                    && let Some(to) = replaced(terms, rule, &found)
                {
                    let rest = have.iter().enumerate().filter(|(part, _)| *part != a && *part != b);
                    let rest = rest.map(|(_, (part, factor))| (*part, f64::from_bits(*factor)));
                    let all: Vec<_> = rest.chain([(to, first)]).collect();
                    return Some(terms.sum(all, f64::from_bits(constant)));
                }
            }
            None
        }
        _ => None,
    }
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |a| (0..count).filter(move |b| *b != a).map(move |b| (a, b)))
}

/// Whether `id` is of the form of `pattern`.
fn fits(terms: &mut Terms, pattern: &Expr, id: Id, found: &mut Found) -> bool {
    match &pattern.kind {
        Kind::Name { name, .. } => {
            if let Some((_, known)) = found.iter().find(|(letter, _)| letter == name) {
                return *known == id;
            }
            found.push((name.clone(), id));
            true
        }
        Kind::Call { name, of } => match *terms.node(id) {
            Node::Call(function, argument) if Function::named(name) == Some(function) => {
                fits(terms, &of[0], argument, found)
            }
            _ => false,
        },
        Kind::Power(base, _) => match terms.node(id) {
            Node::Product(parts) if parts.len() == 1 && parts[0].1 == 4 => {
                let part = parts[0].0;
                fits(terms, base, part, found)
            }
            _ => false,
        },
        // Of a term and its negative one is the plain one: that whose first factor is above 0.
        Kind::Sum(parts) if parts.len() == 1 && is_negative(terms, id) => {
            let turned = terms.scaled(id, -1.0);
            // A long sum does not change its signs: it becomes one part with a factor, and both would be turned for ever.
            !is_negative(terms, turned) && fits(terms, &parts[0].1, turned, found)
        }
        _ => false,
    }
}

/// Whether the first factor of a sum is below 0.
fn is_negative(terms: &Terms, id: Id) -> bool {
    matches!(terms.node(id), Node::Sum(have, _) if f64::from_bits(have[0].1) < 0.0)
}

/// The right side, if what must be above 0 is.
fn replaced(terms: &mut Terms, rule: &Rule, found: &Found) -> Option<Id> {
    let of = |name: &str| found.iter().find(|(letter, _)| letter == name).map(|(_, id)| *id);
    let sound = rule.positive.iter().all(|letter| of(letter).is_some_and(|id| terms.is_positive(id)));
    sound.then(|| built(terms, &rule.to, found))
}

fn built(terms: &mut Terms, expr: &Expr, found: &Found) -> Id {
    match &expr.kind {
        Kind::Number { value, .. } => terms.number(*value),
        Kind::Name { name, .. } => {
            found.iter().find(|(letter, _)| letter == name).expect("a right side has the letters of its left").1
        }
        Kind::Call { name, of } => {
            let argument = built(terms, &of[0], found);
            terms.call(Function::named(name).expect("the table names functions"), argument)
        }
        Kind::Sum(parts) => {
            let parts: Vec<_> = parts
                .iter()
                .map(|(minus, part)| (built(terms, part, found), if *minus { -1.0 } else { 1.0 }))
                .collect();
            terms.sum(parts, 0.0)
        }
        Kind::Product(parts) => {
            let parts = parts
                .iter()
                .map(|(divides, part)| (built(terms, part, found), if *divides { -2 } else { 2 }))
                .collect();
            terms.product(parts, 1.0)
        }
        _ => unreachable!("right sides are sums and products of functions"),
    }
}
