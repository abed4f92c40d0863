//! What an equation file declares, read and resolved: quantities, equations, and where each stands in the file.

use std::collections::HashMap;

use super::syntax::{Expr, Span};
use super::units::{Dimension, Words};
pub(super) use super::wording::nearest;
use crate::Error;

/// The text of a file, for errors that say where.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub name: String,
    pub text: String,
}

impl Source {
    /// An error at so many bytes from the start.
    pub fn error(&self, at: usize, what: impl Into<String>) -> Error {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Error::Equations { file: self.name.clone(), line, column, what: super::wording::cut(&what.into()) }
    }
}

/// An index with its range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Index {
    pub name: String,
    pub size: usize,
    /// What is behind the last is the first.
    pub periodic: bool,
    /// What is outside counts as 0.
    pub zero_outside: bool,
}

/// An expression of the file.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub expr: Expr,
    pub text: String,
    /// Where `text` begins in the file.
    pub at: usize,
}

impl Written {
    /// A part of it, as it is written.
    pub fn part(&self, span: &Span) -> &str {
        &self.text[span.clone()]
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Role {
    Input,
    Control,
    Coefficient,
    State,
}

/// A declared quantity.
#[derive(Debug, Clone)]
pub(super) struct Quantity {
    pub name: String,
    /// Where its name stands.
    pub at: usize,
    pub unit: String,
    pub dimension: Dimension,
    /// Numbers of its indices, see [`Model::indices`].
    pub shape: Vec<usize>,
    pub range: Option<[f64; 2]>,
    /// The values of a coefficient, in SI units, one for each element.
    pub values: Vec<f64>,
    /// The standard deviation of its elements on a bench, relative to their values.
    pub spread: f64,
    /// One value a shot, not one a sample.
    pub is_static: bool,
    /// Where a state starts.
    pub start: Option<Written>,
    /// Where an array is not zero.
    pub only: Option<Written>,
}

/// A named expression: `[let]`, an equation, or an output.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Of the `let`, of the state, or of the output.
    pub name: String,
    /// Numbers of the indices that its name is written with.
    pub indices: Vec<usize>,
    /// What the indices are called in it.
    pub called: Vec<String>,
    pub right: Written,
}

/// A reading.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub unit: String,
    pub dimension: Dimension,
    pub range: [f64; 2],
    /// RMS noise of a reading on the bench.
    pub noise: f64,
    /// Resolution of its converter on the bench; 0: ideal.
    pub bits: u32,
    /// Read once, after the last sample.
    pub at_end: bool,
    pub line: Line,
}

/// How time goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Rk4,
    SemiImplicit,
    Implicit,
    ImplicitAdaptive,
}

/// The table `[time]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Time {
    pub sample_seconds: f64,
    pub substeps: usize,
    pub method: Method,
    pub samples: usize,
    /// Relative error of a step of the adaptive method.
    pub tolerance: f64,
    /// Where the table stands.
    pub at: usize,
}

/// A curve through points.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    pub points: Vec<[f64; 2]>,
    pub from: Dimension,
    pub to: Dimension,
}

/// One system: the twin's, or the bench's with what only the bench has.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub source: Source,
    pub title: String,
    pub words: Words,
    pub indices: Vec<Index>,
    pub inputs: Vec<Quantity>,
    pub controls: Vec<Quantity>,
    pub coefficients: Vec<Quantity>,
    pub states: Vec<Quantity>,
    pub lets: Vec<Line>,
    /// One for each state, in their order.
    pub equations: Vec<Line>,
    pub outputs: Vec<Output>,
    pub curves: HashMap<String, Curve>,
    pub assumed: Vec<Written>,
    pub time: Time,
    /// What each name stands for.
    pub names: HashMap<String, Meaning>,
}

/// What a name stands for, and its number in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Of(Role, usize),
    Let(usize),
    Index(usize),
}

impl Model {
    /// The quantities of one role.
    pub fn list(&self, role: Role) -> &[Quantity] {
        match role {
            Role::Input => &self.inputs,
            Role::Control => &self.controls,
            Role::Coefficient => &self.coefficients,
            Role::State => &self.states,
        }
    }

    /// How many elements a shape has.
    pub fn count(&self, shape: &[usize]) -> usize {
        shape.iter().map(|index| self.indices[*index].size).product()
    }

    /// How many elements the quantities of one role have together.
    pub fn total(&self, role: Role) -> usize {
        self.list(role).iter().map(|quantity| self.count(&quantity.shape)).sum()
    }

    /// The names of elements such as `K[3,4]`, in their order.
    pub fn elements(&self, quantity: &Quantity) -> Vec<String> {
        let mut names = vec![String::new()];
        for index in &quantity.shape {
            let size = self.indices[*index].size;
            let longer = |name: &String| {
                let name = name.clone();
                (0..size).map(move |k| if name.is_empty() { k.to_string() } else { format!("{name},{k}") })
            };
            names = names.iter().flat_map(longer).collect();
        }
        let name = |place: String| {
            if place.is_empty() { quantity.name.clone() } else { format!("{}[{place}]", quantity.name) }
        };
        names.into_iter().map(name).collect()
    }

    /// An error at a part of an expression.
    pub fn error(&self, written: &Written, span: &Span, what: impl Into<String>) -> Error {
        self.source.error(written.at + span.start, what)
    }

    /// `; did you mean …` among all names.
    pub fn near(&self, name: &str) -> String {
        nearest(name, self.names.keys().map(String::as_str).chain(super::syntax::FUNCTIONS))
    }
}
