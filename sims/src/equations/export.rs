//! The right-hand side of a system and its Jacobian as source text in other languages, with one point to test it at.
//!
//! The functions take the states, inputs, controls and coefficients in the order of the file, elements of arrays row by row, and give
//! the derivatives in time, and the entries of the Jacobian with their rows and columns. What is common is computed once.

// Circle with equations/report.rs: both look at one form of the slopes, and a report tries a point as an export does.

use std::collections::HashMap;
use std::fmt::Write;

use super::model::{Line, Model, Role};
use super::report::{Looked, Style, is_plain, lines, written};
use super::syntax::{Kind, Span};
use super::system::{Block, Compiled};
use super::terms::{Id, Leaf, Node, Origin, Place, Terms, vars_of};
use super::{Equations, nominal};
use crate::{Error, Key};

/// States of a system that is written out at most: every element has terms of its own there.
const MOST_PARTS: usize = 200_000;

/// What Python stops at and the other languages have a number for: a branch that is not taken may be computed all the same.
const PYTHON: &str = "def of(function, x):
    try:
        return function(x)
    except OverflowError:
        return math.inf if function in (math.exp, math.cosh) else math.copysign(math.inf, x)
    except ValueError:
        return -math.inf if function is math.log and x == 0.0 else math.nan


def divided(a, b):
    if b != 0.0:
        return a/b
    return math.nan if a == 0.0 or a != a else math.copysign(math.inf, a)*math.copysign(1.0, b)


def power(a, b):
    try:
        return math.pow(a, b)
    except OverflowError:
        return math.copysign(math.inf, a) if b % 2.0 == 1.0 else math.inf
    except ValueError:
        return math.inf if a == 0.0 else math.nan
";

/// Points at which a value is looked for.
const ATTEMPTS: usize = 100;

/// A language that a system is written out in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// C99.
    C,
    /// Rust.
    Rust,
    /// Python with `math` alone.
    Python,
}

/// The values of all quantities at one point.
pub(super) struct Values<'a> {
    pub model: &'a Model,
    pub states: &'a [f64],
    pub inputs: &'a [f64],
    pub controls: &'a [f64],
    pub coefficients: &'a [f64],
}

impl Values<'_> {
    /// Where an element is among those of its role; `None` outside its array.
    fn place(&self, terms: &Terms, leaf: &Leaf, vars: &[(u8, usize)]) -> Option<usize> {
        let role = role_of(leaf.origin)?;
        let before: usize =
            self.model.list(role)[..leaf.array as usize].iter().map(|quantity| self.model.count(&quantity.shape)).sum();
        let mut place = 0;
        for (extent, at) in terms.shapes[&(leaf.origin, leaf.array)].iter().zip(&leaf.at) {
            let size = extent.size as i64;
            let at = match at {
                Place::At(at) => i64::from(*at),
                Place::Along { var, by } => {
                    let value = vars.iter().find(|(own, _)| own == var).map_or(0, |(_, value)| *value);
                    value as i64 + i64::from(*by)
                }
            };
            let at = if extent.periodic { at.rem_euclid(size) } else { at };
            if !(0..size).contains(&at) {
                return None;
            }
            place = place * extent.size + at as usize;
        }
        Some(before + place)
    }

    fn list(&self, origin: Origin) -> &[f64] {
        match origin {
            Origin::State => self.states,
            Origin::Input => self.inputs,
            Origin::Control => self.controls,
            _ => self.coefficients,
        }
    }
}

fn role_of(origin: Origin) -> Option<Role> {
    match origin {
        Origin::State => Some(Role::State),
        Origin::Input => Some(Role::Input),
        Origin::Control => Some(Role::Control),
        Origin::Coefficient => Some(Role::Coefficient),
        Origin::Delayed | Origin::Seed | Origin::Tangent | Origin::Kept | Origin::Settled => None,
    }
}

/// The value of one term, what is delayed counting as 0. `vars` are the values of its variables.
pub(super) fn value(terms: &Terms, id: Id, values: &Values, vars: &[(u8, usize)], known: &mut HashMap<Id, f64>) -> f64 {
    if let Some(known) = known.get(&id) {
        return *known;
    }
    let mut of = |id: Id| value(terms, id, values, vars, known);
    let found = match terms.node(id) {
        Node::Number(bits) => f64::from_bits(*bits),
        Node::Leaf(leaf) => values.place(terms, leaf, vars).map_or(0.0, |place| values.list(leaf.origin)[place]),
        Node::Index(var) => vars.iter().find(|(own, _)| own == var).map_or(0.0, |(_, value)| *value as f64),
        Node::Sum(parts, constant) => parts
            .iter()
            .fold(f64::from_bits(*constant), |sum, (part, factor)| sum + f64::from_bits(*factor) * of(*part)),
        Node::Product(parts) => {
            parts.iter().fold(1.0, |product, (part, halves)| product * super::terms::power(of(*part), *halves))
        }
        Node::Call(function, part) => function.value(of(*part)),
        Node::Pair(pair, a, b) => {
            let (a, b) = (of(*a), of(*b));
            pair.value(a, b)
        }
        Node::Select(condition, yes, no) => {
            if of(*condition) == 0.0 {
                of(*no)
            } else {
                of(*yes)
            }
        }
        Node::Hoisted(part) => of(*part),
        Node::Reduce(var, body) => {
            let size = terms.vars[usize::from(*var)].size;
            let mut inner: Vec<(u8, usize)> = vars.to_vec();
            inner.push((*var, 0));
            let mut sum = 0.0;
            for at in 0..size {
                if let Some(last) = inner.last_mut() {
                    last.1 = at;
                }
                sum += value(terms, *body, values, &inner, &mut HashMap::new());
            }
            sum
        }
    };
    known.insert(id, found);
    found
}

/// The entries of a block of the Jacobian at one point.
pub(super) fn evaluated(terms: &Terms, block: &Block, values: &Values) -> Vec<f64> {
    over(terms, block.value, block.over(terms), values)
}

/// The elements of a term.
pub(super) fn elements(terms: &Terms, id: Id, values: &Values) -> Vec<f64> {
    over(terms, id, terms.facts(id).free, values)
}

/// The elements of a term over some variables.
fn over(terms: &Terms, id: Id, over: u32, values: &Values) -> Vec<f64> {
    let vars: Vec<u8> = vars_of(over).collect();
    let mut entries = Vec::with_capacity(terms.count(over));
    for element in 0..terms.count(over) {
        let mut rest = element;
        let mut at: Vec<(u8, usize)> = vars.iter().map(|var| (*var, 0)).collect();
        for (var, value) in at.iter_mut().rev() {
            let size = terms.vars[usize::from(*var)].size;
            (*value, rest) = (rest % size, rest / size);
        }
        entries.push(value(terms, id, values, &at, &mut HashMap::new()));
    }
    entries
}

/// What is written out, with the columns of its derivatives: of states, or, in a system without, of inputs and then of controls.
struct WrittenOut<'a> {
    looked: Looked<'a>,
    roots: Vec<Id>,
    /// Entries of the Jacobian with their rows and columns.
    entries: Vec<(Id, (u32, u32))>,
}

impl<'a> WrittenOut<'a> {
    fn new(model: &'a Model) -> Self {
        let mut looked = Looked::new(model, true);
        if !model.states.is_empty() {
            let layout = Compiled::new(model, true).layout;
            let blocks = looked.blocks.iter();
            let entries = blocks
                .flat_map(|block| {
                    let places = block.places(&looked.terms, &layout).into_iter().flatten();
                    places.map(|place| (block.value, place)).collect::<Vec<_>>()
                })
                .collect();
            let roots = looked.motions.iter().map(|motion| motion.slope).collect();
            return Self { looked, roots, entries };
        }
        let roots: Vec<Id> = looked.outputs.iter().map(|(.., id)| *id).collect();
        let none = Values { model, states: &[], inputs: &[], controls: &[], coefficients: &[] };
        let (inputs, mut entries) = (model.total(Role::Input), Vec::new());
        let one = looked.terms.number(1.0);
        for (row, root) in roots.iter().enumerate() {
            let found = looked.terms.backward(&[(*root, one, 0)], 0, |terms, id| {
                matches!(terms.node(id), Node::Leaf(Leaf { origin: Origin::Input | Origin::Control, .. }))
            });
            for worth in found {
                let Node::Leaf(leaf) = looked.terms.node(worth.of) else { continue };
                let before = if leaf.origin == Origin::Control { inputs } else { 0 };
                if let Some(place) = none.place(&looked.terms, leaf, &[]) {
                    entries.push((worth.worth, (row as u32, (before + place) as u32)));
                }
            }
        }
        Self { looked, roots, entries }
    }
}

/// Where the first delay of a model stands.
fn first_delay(model: &Model) -> Option<(&Line, Span)> {
    let outputs = if model.states.is_empty() { model.outputs.as_slice() } else { &[] };
    let lines = model.lets.iter().chain(&model.equations);
    for line in lines.chain(outputs.iter().map(|output| &output.line)) {
        let mut waiting = vec![&line.right.expr];
        while let Some(expr) = waiting.pop() {
            match &expr.kind {
                Kind::Call { name, .. } if name == "delay" => return Some((line, expr.span.clone())),
                Kind::Number { .. } | Kind::Name { .. } => (),
                Kind::Call { of, .. } | Kind::All(of) | Kind::Any(of) => waiting.extend(of),
                Kind::Sum(parts) | Kind::Product(parts) => waiting.extend(parts.iter().map(|(_, part)| part)),
                Kind::Power(a, b) | Kind::Compare(_, a, b) => waiting.extend([&**a, &**b]),
                Kind::Not(inner) => waiting.push(inner),
            }
        }
    }
    None
}

impl Equations {
    /// The right-hand side and its Jacobian by the states as source text, with a test at one point; of a system without states the
    /// outputs and their Jacobian by inputs and controls.
    ///
    /// Systems with delays, or with too many elements, are refused.
    pub fn export(&self, language: Language) -> Result<String, Error> {
        let (model, _) = self.read()?;
        let lines = model.equations.iter().chain(model.outputs.iter().map(|output| &output.line));
        if MOST_PARTS < super::build::work(&model, lines) {
            let what = "only a system of not too many elements is written out: each becomes lines of its own";
            return Err(model.source.error(0, what));
        }
        if let Some((line, span)) = first_delay(&model) {
            let what = format!(
                "`{}` is what was some samples ago, which a function of the moment does not know: a system with delays is not \
                 written out",
                line.right.part(&span)
            );
            return Err(model.error(&line.right, &span, what));
        }
        let written = WrittenOut::new(&model);
        let mut stream = Key::new(0).branch("export").stream();
        // A point at which all has a value, if one is soon found.
        for _ in 0..ATTEMPTS {
            let mut drawn = |role: Role| -> Vec<f64> {
                let ranges = model
                    .list(role)
                    .iter()
                    .flat_map(|quantity| vec![quantity.range.unwrap_or([-0.1, 0.1]); model.count(&quantity.shape)]);
                ranges.map(|[low, high]| low + (high - low) * f64::from(stream.uniform())).collect()
            };
            let point = [drawn(Role::State), drawn(Role::Input), drawn(Role::Control), nominal(&model)];
            let values = Values {
                model: &model,
                states: &point[0],
                inputs: &point[1],
                controls: &point[2],
                coefficients: &point[3],
            };
            let mut known = HashMap::new();
            let mut all = |id: Id| value(&written.looked.terms, id, &values, &[], &mut known);
            let results: Vec<f64> = written.roots.iter().map(|id| all(*id)).collect();
            let entries: Vec<f64> = written.entries.iter().map(|(id, _)| all(*id)).collect();
            if results.iter().chain(&entries).all(|value| value.is_finite()) {
                let source = Source { written: &written, values: &values, language };
                return Ok(source.whole(&point, [&results, &entries]));
            }
        }
        let what = format!(
            "at {ATTEMPTS} points of its ranges, with states near 0, this system has no value: there is none to test what would be \
             written out"
        );
        Err(model.source.error(0, what))
    }
}

/// A system on its way into a language.
struct Source<'a> {
    written: &'a WrittenOut<'a>,
    values: &'a Values<'a>,
    language: Language,
}

impl Source<'_> {
    fn style(&self) -> Style {
        match self.language {
            Language::C => Style::C,
            Language::Rust => Style::Rust,
            Language::Python => Style::Python,
        }
    }

    /// The statements that compute `roots` into `to`.
    fn body(&self, roots: &[Id], to: &str) -> String {
        let looked = &self.written.looked;
        let terms = &looked.terms;
        let mut uses: HashMap<Id, usize> = HashMap::new();
        let order = terms.reachable(roots);
        for id in &order {
            terms.parts(*id, |part| *uses.entry(part).or_default() += 1);
        }
        let mut names: HashMap<Id, String> = HashMap::new();
        let mut text = String::new();
        let [before, end] = match self.language {
            Language::C => ["    const double ", ";"],
            Language::Rust => ["    let ", ";"],
            Language::Python => ["    ", ""],
        };
        let nothing = if self.language == Language::Rust { "0.0_f64" } else { "0.0" };
        let typed = if self.language == Language::Rust { ": f64" } else { "" };
        for id in order {
            if let Node::Leaf(leaf) = terms.node(id) {
                let array = match leaf.origin {
                    Origin::State => "x",
                    Origin::Input => "u",
                    Origin::Control => "c",
                    Origin::Coefficient => "p",
                    _ => unreachable!("what a file says has no other leaves, and delays are refused"),
                };
                let place = self.values.place(terms, leaf, &[]);
                names.insert(id, place.map_or(nothing.to_owned(), |place| format!("{array}[{place}]")));
            } else if !is_plain(terms.node(id)) && uses.get(&id).is_some_and(|uses| 1 < *uses) {
                let line = written(looked, id, self.style(), &|id| names.get(&id).cloned()).0;
                let name = format!("t{}", names.len());
                let _ = writeln!(text, "{before}{name}{typed} = {line}{end}");
                names.insert(id, name);
            }
        }
        for (place, root) in roots.iter().enumerate() {
            let line = written(looked, *root, self.style(), &|id| names.get(&id).cloned()).0;
            let _ = writeln!(text, "    {to}[{place}] = {line}{end}");
        }
        text
    }

    fn whole(&self, point: &[Vec<f64>; 4], [results, entries]: [&[f64]; 2]) -> String {
        let written = self.written;
        let ids: Vec<Id> = written.entries.iter().map(|(id, _)| *id).collect();
        let (right, jacobian) = (self.body(&written.roots, "to"), self.body(&ids, "to"));
        let model = self.values.model;
        let comment = if self.language == Language::Python { "#" } else { "//" };
        let names = |title: &str, role: Role| {
            let elements: Vec<String> = model.list(role).iter().flat_map(|quantity| model.elements(quantity)).collect();
            format!("{comment} {title}: {}", elements.join(", "))
        };
        let title = if model.title.is_empty() { &model.source.name } else { &model.title };
        let head = lines([
            format!("{comment} {} (by pnnlab)", title.replace(char::is_control, " ")),
            names("x, states", Role::State),
            names("u, inputs", Role::Input),
            names("c, controls", Role::Control),
            names("p, coefficients", Role::Coefficient),
            if model.states.is_empty() {
                let outputs = written.looked.outputs.iter();
                let outputs =
                    outputs.map(|(number, at, _)| written.looked.element(&model.outputs[*number].line.name, at));
                format!(
                    "{comment} outputs: {}; columns of the Jacobian are of the inputs, then of the controls",
                    outputs.collect::<Vec<_>>().join(", ")
                )
            } else {
                format!("{comment} rows and columns of the Jacobian are of the states")
            },
        ]);
        let numbers = |pick: fn(&(u32, u32)) -> u32| {
            written.entries.iter().map(|(_, place)| pick(place).to_string()).collect::<Vec<_>>().join(", ")
        };
        let (rows, columns) = (numbers(|place| place.0), numbers(|place| place.1));
        let [states, inputs, controls, coefficients] = point.each_ref().map(|values| list(values));
        let (results_text, entries_text) = (list(results), list(entries));
        let (count, size) = (ids.len(), written.roots.len());
        let name = if model.states.is_empty() { "outputs" } else { "right_hand_side" };
        match self.language {
            Language::C => {
                let padded = |list: &str| if list.is_empty() { "0.0".to_owned() } else { list.to_owned() };
                let [states, inputs, controls, coefficients] =
                    [states, inputs, controls, coefficients].map(|list| padded(&list));
                format!(
                    "{head}#include <math.h>\n#include <stdio.h>\n\n\
                     const int rows[{count}] = {{{rows}}}, columns[{count}] = {{{columns}}};\n\n\
                     void {name}(const double *x, const double *u, const double *c, const double *p, double *to) {{\n    (void)x, (void)u, (void)c, (void)p;\n{right}}}\n\n\
                     void jacobian(const double *x, const double *u, const double *c, const double *p, double *to) {{\n    (void)x, (void)u, (void)c, (void)p;\n{jacobian}}}\n\n\
                     static int differs(const double *a, const double *b, int count) {{\n    for (int k = 0; k < count; k++)\n        if (!(fabs(a[k] - b[k]) <= 1e-10 * (fabs(b[k]) + 1e-30))) return 1;\n    return 0;\n}}\n\n\
                     int main(void) {{\n    const double x[] = {{{states}}}, u[] = {{{inputs}}}, c[] = {{{controls}}}, p[] = {{{coefficients}}};\n    \
                     const double exact[] = {{{results_text}}}, entries[] = {{{entries_text}}};\n    double f[{size}], j[{count}];\n    \
                     {name}(x, u, c, p, f);\n    jacobian(x, u, c, p, j);\n    int bad = differs(f, exact, {size}) || differs(j, entries, {count});\n    \
                     puts(bad ? \"differs\" : \"agrees\");\n    return bad;\n}}\n"
                )
            }
            Language::Rust => format!(
                "{head}#![allow(unused_variables, unused_parens)]\n\npub const ROWS: [usize; {count}] = [{rows}];\npub const COLUMNS: [usize; {count}] = [{columns}];\n\n\
                 fn sign(x: f64) -> f64 {{\n    if x == 0.0 {{ x }} else {{ x.signum() }}\n}}\n\n\
                 pub fn {name}(x: &[f64], u: &[f64], c: &[f64], p: &[f64], to: &mut [f64]) {{\n{right}}}\n\n\
                 pub fn jacobian(x: &[f64], u: &[f64], c: &[f64], p: &[f64], to: &mut [f64]) {{\n{jacobian}}}\n\n\
                 fn agrees(a: &[f64], b: &[f64]) -> bool {{\n    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-10 * (b.abs() + 1e-30))\n}}\n\n\
                 fn main() {{\n    let (x, u, c, p): (&[f64], &[f64], &[f64], &[f64]) = (&[{states}], &[{inputs}], &[{controls}], &[{coefficients}]);\n    \
                 let (mut f, mut j) = ([0.0; {size}], [0.0; {count}]);\n    {name}(x, u, c, p, &mut f);\n    jacobian(x, u, c, p, &mut j);\n    \
                 assert!(agrees(&f, &[{results_text}]) && agrees(&j, &[{entries_text}]) && sign(0.0) == 0.0);\n}}\n"
            ),
            Language::Python => format!(
                "{head}import math\n\nROWS = [{rows}]\nCOLUMNS = [{columns}]\n\n\n{PYTHON}\n\ndef {name}(x, u, c, p):\n    to = [0.0]*{size}\n{right}    return to\n\n\n\
                 def jacobian(x, u, c, p):\n    to = [0.0]*{count}\n{jacobian}    return to\n\n\nif __name__ == \"__main__\":\n    \
                 x, u, c, p = [{states}], [{inputs}], [{controls}], [{coefficients}]\n    slopes, entries = [{results_text}], [{entries_text}]\n    \
                 for found, exact in zip({name}(x, u, c, p) + jacobian(x, u, c, p), slopes + entries):\n        \
                 assert abs(found - exact) <= 1e-10*(abs(exact) + 1e-30), (found, exact)\n    print(\"agrees\")\n"
            ),
        }
    }
}

fn list(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
}
