//! What became of a file: equations as they are computed, how much is computed, what the Jacobian looks like, how fast the system is.

// Circle with equations.rs: a plant is built only where its steps are stable, which a report of its file looks at.
// Circle with equations/report/print.rs: what is looked at and how it is written; split for its length.
// Circle with equations/export.rs: both look at one form of the slopes, and a report tries a point as an export does.

mod print;

use std::fmt::Write;

use super::build::{Builder, Delay};
use super::model::{Method, Model, Role};
use super::run::Course;
use super::steps::Motion;
use super::syntax::Kind;
use super::system::{Block, Compiled, jacobian};
use super::terms::{Id, Leaf, Node, Origin, Place, Terms};
use super::{Equations, nominal};
use crate::{Error, Key};

pub(super) use print::{Style, is_plain, printed, written};

/// Points of the ranges at which time constants are looked for, and the largest system in which they are.
const POINTS: usize = 12;
const MOST_STATES: usize = 200;
/// The same where a plant of many states is built, which must not take long.
const CHECKED: usize = 4;
const MOST_CHECKED: usize = 64;
/// The relative error with which states are followed, and up to how many states how many of them are looked at.
const FOLLOWED: f64 = 1e-3;
const VISITS: [(usize, usize); 3] = [(8, 64), (FEW_STATES, 8), (usize::MAX, 2)];
const FEW_STATES: usize = 32;
/// Substeps that a file may ask for.
const MOST_SUBSTEPS: usize = 10_000;
/// Equations that are written out at most.
const MOST_EQUATIONS: usize = 200;

/// What a file holds and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemReport {
    /// What the file calls itself.
    pub title: String,
    /// Elements of all states.
    pub states: usize,
    /// Names of quantities with their units, inputs first, then controls, coefficients, states, outputs.
    pub quantities: Vec<(String, String)>,
    /// Each equation as it is computed: the left side, the right side as text, and the same in LaTeX.
    pub equations: Vec<[String; 3]>,
    /// Each output in the same way.
    pub outputs: Vec<[String; 3]>,
    /// Arithmetic operations of all slopes as they are written, and as they are computed, for one shot.
    pub operations: [usize; 2],
    /// Rows and columns of the entries of the Jacobian that are not always 0.
    pub pattern: Vec<(u32, u32)>,
    /// The fastest and the slowest time constant over the ranges, in s, where there are any.
    pub time_constants: Option<[f64; 2]>,
}

impl SystemReport {
    /// The pattern of the Jacobian as lines of `#` and `·`, at most so many wide.
    pub fn picture(&self, most: usize) -> Vec<String> {
        let size = self.states.min(most);
        let mut lines = vec![vec!['·'; size]; size];
        for (row, column) in &self.pattern {
            let [row, column] = [row, column].map(|at| *at as usize * size / self.states);
            lines[row][column] = '#';
        }
        lines.into_iter().map(|line| line.into_iter().collect()).collect()
    }
}

/// The derivatives in time of a model, with terms that can be looked at.
pub(super) struct Looked<'a> {
    pub model: &'a Model,
    pub terms: Terms,
    pub motions: Vec<Motion>,
    pub blocks: Vec<Block>,
    /// Each output, or element of one, by its number among the outputs.
    pub outputs: Vec<(usize, Vec<Place>, Id)>,
    delays: Vec<Delay>,
}

impl<'a> Looked<'a> {
    /// Builds the slopes and their Jacobian.
    pub fn new(model: &'a Model, unrolls: bool) -> Self {
        let mut builder = Builder::new(model, unrolls);
        let motions = builder.motions();
        let mut outputs = Vec::new();
        for (number, output) in model.outputs.iter().enumerate() {
            builder.each(&output.line, |_, id, at| outputs.push((number, at, id)));
        }
        let Builder { mut terms, delays, .. } = builder;
        let blocks = jacobian(&mut terms, &motions);
        Self { model, terms, motions, blocks, outputs, delays }
    }

    /// A leaf by its name in the file.
    pub fn name(&self, leaf: &Leaf) -> String {
        let role = match leaf.origin {
            Origin::State => Role::State,
            Origin::Input => Role::Input,
            Origin::Control => Role::Control,
            Origin::Coefficient => Role::Coefficient,
            Origin::Delayed => {
                let delay = self.delays[leaf.array as usize];
                let of = Leaf { origin: delay.origin, array: delay.array, at: leaf.at.clone() };
                return format!("delay({}, {})", self.name(&of), delay.samples);
            }
            Origin::Seed | Origin::Tangent | Origin::Kept | Origin::Settled => unreachable!("a slope has no such part"),
        };
        self.element(&self.model.list(role)[leaf.array as usize].name, &leaf.at)
    }

    /// An element by the name of its array.
    pub fn element(&self, name: &str, at: &[Place]) -> String {
        if at.is_empty() { name.to_owned() } else { format!("{name}[{}]", self.places(at)) }
    }

    fn places(&self, places: &[Place]) -> String {
        let place = |place: &Place| match place {
            Place::At(at) => at.to_string(),
            Place::Along { var, by: 0 } => self.variable(*var),
            Place::Along { var, by } => format!("{}{by:+}", self.variable(*var)),
        };
        places.iter().map(place).collect::<Vec<_>>().join(",")
    }

    /// What a loop variable is called.
    pub fn variable(&self, var: u8) -> String {
        let size = self.terms.vars[usize::from(var)].size;
        let index = self.model.indices.iter().find(|index| index.size == size);
        let name = index.map_or("k", |index| index.name.as_str());
        let before = self.terms.vars[..usize::from(var)].iter().filter(|extent| extent.size == size).count();
        format!("{name}{}", "'".repeat(before))
    }
}

impl Equations {
    /// What the file holds and what became of it.
    pub fn report(&self) -> Result<SystemReport, Error> {
        let (model, _) = self.read()?;
        let unrolls = Compiled::is_small(&model);
        let course = Course::new(&model);
        let compiled = &course.compiled;
        let looked = Looked::new(&model, unrolls);
        let mut quantities = Vec::new();
        for role in [Role::Input, Role::Control, Role::Coefficient, Role::State] {
            quantities.extend(model.list(role).iter().map(|quantity| (quantity.name.clone(), quantity.unit.clone())));
        }
        for output in &model.outputs {
            // What is read under its own name is listed as what it is.
            let name = &output.line.name;
            let known = quantities.iter().any(|(known, _)| known == name);
            match &output.line.right.expr.kind {
                Kind::Name { name: own, .. } if known && own == name => (),
                _ => quantities
                    .push((if known { format!("{name} (output)") } else { name.clone() }, output.unit.clone())),
            }
        }
        let mut equations = Vec::new();
        for motion in looked.motions.iter().take(MOST_EQUATIONS) {
            let [text, latex] = [Style::Text, Style::Latex].map(|style| printed(&looked, motion.slope, style));
            equations.push([format!("der({})", looked.name(&motion.state)), text, latex]);
        }
        let mut outputs = Vec::new();
        for (number, at, id) in looked.outputs.iter().take(MOST_EQUATIONS) {
            let [text, latex] = [Style::Text, Style::Latex].map(|style| printed(&looked, *id, style));
            outputs.push([looked.element(&model.outputs[*number].line.name, at), text, latex]);
        }
        let mut pattern: Vec<(u32, u32)> = looked
            .blocks
            .iter()
            .flat_map(|block| block.places(&looked.terms, &compiled.layout).into_iter().flatten())
            .collect();
        pattern.sort_unstable();
        pattern.dedup();
        let time_constants =
            if (1..=MOST_STATES).contains(&compiled.states) { time_constants(&looked, &course) } else { None };
        let slopes: Vec<Id> = looked.motions.iter().map(|motion| motion.slope).collect();
        let shared = looked.terms.reachable(&slopes).into_iter().map(|id| own_operations(&looked.terms, id)).sum();
        Ok(SystemReport {
            title: model.title.clone(),
            states: compiled.states,
            quantities,
            equations,
            outputs,
            operations: [written_operations(&looked.terms, &slopes), shared],
            pattern,
            time_constants,
        })
    }
}

/// Why steps of a model of few states are unstable somewhere in the given ranges, as a sentence with what would do; `None` where all is
/// well.
pub(super) fn unstable(model: &Model, course: &Course) -> Option<String> {
    if model.time.method != Method::Rk4 || !(1..=MOST_CHECKED).contains(&course.compiled.states) {
        return None;
    }
    let looked = Looked::new(model, Compiled::is_small(model));
    let points = if course.compiled.states <= FEW_STATES { POINTS } else { CHECKED };
    let values = eigenvalues(&looked, course, points);
    let stable = |substeps: usize| {
        let step = model.time.sample_seconds / substeps as f64;
        values.iter().all(|[re, im]| 0.0 < *re || growth([re * step, im * step]) <= 1.0 + 1e-6)
    };
    if stable(model.time.substeps) {
        return None;
    }
    let fastest = values.iter().fold(f64::INFINITY, |least, [re, im]| least.min(1.0 / re.hypot(*im)));
    let enough = (model.time.substeps + 1..=MOST_SUBSTEPS).find(|substeps| stable(*substeps));
    let advice = enough.map_or_else(String::new, |substeps| format!("substeps = {substeps}, or "));
    Some(format!(
        "rk4 is unstable where the system is fastest: its step is {:.3e} s, the fastest time constant over the given ranges {fastest:.3e} s; \
         take {advice}method = \"implicit\"",
        course.compiled.step_seconds
    ))
}

/// Why a model has no finite slopes, or derivatives of them, where a shot begins (states at their start, inputs at rest, controls in the
/// middle of their ranges), as a sentence with what would do; `None` where all is well, or there are many states.
pub(super) fn undefined(model: &Model, course: &Course) -> Option<String> {
    let compiled = &course.compiled;
    if !(1..=MOST_CHECKED).contains(&compiled.states) {
        return None;
    }
    let looked = Looked::new(model, Compiled::is_small(model));
    let all = |role: Role, of: &dyn Fn([f64; 2]) -> f64| -> Vec<f64> {
        let list = model.list(role).iter();
        list.flat_map(|quantity| vec![of(quantity.range.unwrap_or_default()); model.count(&quantity.shape)]).collect()
    };
    let inputs = all(Role::Input, &|[low, high]| 0.0_f64.clamp(low, high));
    let controls = all(Role::Control, &|[low, high]| f64::midpoint(low, high));
    let coefficients = nominal(model);
    let states = course.start(&inputs, &controls, &coefficients);
    let values = super::export::Values {
        model,
        states: &states,
        inputs: &inputs,
        controls: &controls,
        coefficients: &coefficients,
    };
    let by = |whose: &str, what: &str| {
        Some(format!(
            "der({whose}) has no finite {what} where a shot begins (states at their start, inputs at rest, controls in the middle of their \
             ranges): give a state another `start`, such as 1e-6, or write if(…) around it"
        ))
    };
    for motion in &looked.motions {
        let slopes = super::export::elements(&looked.terms, motion.slope, &values);
        if slopes.iter().any(|slope| !slope.is_finite()) {
            return by(&looked.name(&motion.state), "value");
        }
    }
    for block in &looked.blocks {
        if super::export::evaluated(&looked.terms, block, &values).iter().any(|entry| !entry.is_finite()) {
            return by(&looked.name(&block.row), &format!("slope by {}", looked.name(&block.column)));
        }
    }
    None
}

/// By how much a step of the classical method multiplies a solution that goes as e^z in it: 1 + z + z²/2 + z³/6 + z⁴/24.
fn growth([re, im]: [f64; 2]) -> f64 {
    let (mut power, mut sum) = ([1.0, 0.0], [1.0, 0.0]);
    for order in 1..=4 {
        power = [power[0] * re - power[1] * im, power[0] * im + power[1] * re].map(|part| part / f64::from(order));
        sum = [sum[0] + power[0], sum[1] + power[1]];
    }
    sum[0].hypot(sum[1])
}

/// Operations of one term, its parts left out.
fn own_operations(terms: &Terms, id: Id) -> usize {
    let times = terms.count(terms.facts(id).free);
    times
        * match terms.node(id) {
            Node::Number(_) | Node::Leaf(_) | Node::Index(_) | Node::Hoisted(_) => 0,
            Node::Sum(parts, constant) => {
                let factors = parts.iter().filter(|(_, factor)| f64::from_bits(*factor).abs() != 1.0).count();
                parts.len() + factors - usize::from(*constant == 0)
            }
            Node::Product(parts) => parts
                .iter()
                .map(|(_, halves)| (halves.unsigned_abs() as usize).div_ceil(2))
                .sum::<usize>()
                .saturating_sub(1)
                .max(1),
            Node::Call(..) | Node::Pair(..) | Node::Select(..) => 1,
            Node::Reduce(var, _) => terms.vars[usize::from(*var)].size,
        }
}

/// Operations where every term is computed wherever it stands.
fn written_operations(terms: &Terms, roots: &[Id]) -> usize {
    let mut total = std::collections::HashMap::new();
    for id in terms.reachable(roots) {
        let mut sum = own_operations(terms, id);
        terms.parts(id, |part| sum = sum.saturating_add(*total.get(&part).unwrap_or(&0)));
        total.insert(id, sum);
    }
    roots.iter().fold(0, |sum, root| sum.saturating_add(total[root]))
}

/// 1/|λ| of the fastest and the slowest eigenvalue.
fn time_constants(looked: &Looked, course: &Course) -> Option<[f64; 2]> {
    let mut found: Option<[f64; 2]> = None;
    for [re, im] in eigenvalues(looked, course, POINTS) {
        let size = re.hypot(im);
        if 1e-12 < size * looked.model.time.sample_seconds {
            let [fast, slow] = found.unwrap_or([f64::INFINITY, 0.0]);
            found = Some([fast.min(1.0 / size), slow.max(1.0 / size)]);
        }
    }
    found
}

/// Eigenvalues of the Jacobian, real and imaginary part in 1/s, at points drawn from the ranges and along a few samples of them.
///
/// The states there are those of steps that adapt: explicit ones that are too long leave the system's own states.
fn eigenvalues(looked: &Looked, course: &Course, points: usize) -> Vec<[f64; 2]> {
    let (model, compiled) = (looked.model, &course.compiled);
    let mut followed = model.clone();
    (followed.time.method, followed.time.tolerance) = (Method::ImplicitAdaptive, FOLLOWED);
    let followed = Course::with(&followed, Compiled::is_small(&followed));
    let visits = VISITS.iter().find(|(most, _)| compiled.states <= *most).map_or(2, |(_, visits)| *visits);
    let mut stream = Key::new(0).branch("time constants").stream();
    let mut found = Vec::new();
    for point in 0..points {
        // The first points lie at the ends of the ranges: inputs and controls low, high, and one against the other.
        let mut drawn = |range: [f64; 2], end: usize| match point {
            0..4 => range[end],
            _ => range[0] + (range[1] - range[0]) * f64::from(stream.uniform()),
        };
        let mut all = |role: Role| -> Vec<f64> {
            let end = if role == Role::Input { point % 2 } else { point / 2 % 2 };
            let list = model.list(role).iter();
            list.flat_map(|quantity| vec![quantity.range.unwrap_or_default(); model.count(&quantity.shape)])
                .map(|range| drawn(range, end))
                .collect()
        };
        let (inputs, controls) = (all(Role::Input), all(Role::Control));
        let coefficients = nominal(model);
        for states in followed.visited(visits, &inputs, &controls, &coefficients) {
            let values = super::export::Values {
                model,
                states: &states,
                inputs: &inputs,
                controls: &controls,
                coefficients: &coefficients,
            };
            let mut matrix = nalgebra::DMatrix::<f64>::zeros(compiled.states, compiled.states);
            for block in &looked.blocks {
                let entries = super::export::evaluated(&looked.terms, block, &values);
                for (place, value) in block.places(&looked.terms, &compiled.layout).into_iter().zip(entries) {
                    if let Some((row, column)) = place {
                        matrix[(row as usize, column as usize)] += value;
                    }
                }
            }
            if matrix.iter().any(|value| !value.is_finite()) {
                continue;
            }
            let Some(schur) = nalgebra::linalg::Schur::try_new(matrix, f64::EPSILON, 10_000) else { continue };
            found.extend(schur.complex_eigenvalues().iter().map(|value| [value.re, value.im]));
        }
    }
    found
}

/// Joins lines.
pub(super) fn lines(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}
