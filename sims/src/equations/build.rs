//! From the expressions of a model to terms.
//!
//! Indices are variables of loops, or, where a system is small, numbers: then every element has a term of its own, and what is 0 is
//! not computed. Names of `[let]` are put in where they stand; equal terms are one again in the arena.

use std::collections::HashMap;

use super::constant::{self, compare};
use super::model::{Line, Meaning, Model, Quantity, Role};
use super::steps::Motion;
use super::syntax::{Comparison, Expr, Kind};
use super::terms::{Extent, Function, Id, Leaf, Origin, Pair, Place, Terms};

/// A state or input so many samples ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delay {
    pub origin: Origin,
    pub array: u32,
    pub samples: usize,
}

/// What the indices of an expression stand for.
type Places = Vec<(String, Place, usize)>;

/// Makes terms of one model.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    pub model: &'a Model,
    pub terms: Terms,
    pub delays: Vec<Delay>,
    /// Loop variables of each index.
    slots: Vec<Vec<u8>>,
    /// Terms of names of [let] at the places where they are used.
    named: HashMap<(usize, Vec<Place>), Id>,
    /// Whether indices are numbers.
    unrolls: bool,
}

impl<'a> Builder<'a> {
    /// `unrolls`: every element has terms of its own.
    pub fn new(model: &'a Model, unrolls: bool) -> Self {
        let mut terms = Terms::default();
        for (role, origins) in [
            (Role::State, &[Origin::State, Origin::Seed, Origin::Tangent][..]),
            (Role::Input, &[Origin::Input]),
            (Role::Control, &[Origin::Control]),
            (Role::Coefficient, &[Origin::Coefficient]),
        ] {
            for (array, quantity) in model.list(role).iter().enumerate() {
                for origin in origins {
                    terms.shapes.insert((*origin, array as u32), extents(model, &quantity.shape));
                }
            }
        }
        let mut builder = Self {
            model,
            terms,
            delays: Vec::new(),
            slots: vec![Vec::new(); model.indices.len()],
            named: HashMap::new(),
            unrolls,
        };
        for assumed in &model.assumed {
            // `x > 0` and `0 < x`; the check has seen that it is one of them.
            if let Kind::Compare(comparison, left, right) = &assumed.expr.kind {
                let side = if *comparison == Comparison::Above { left } else { right };
                let places = places_of(model, side);
                let id = builder.build(side, &places);
                builder.terms.assume_positive(id);
            }
        }
        builder
    }

    /// A loop variable of `index` that `places` do not use.
    pub fn variable(&mut self, index: usize, places: &Places) -> u8 {
        let used = |var: u8| {
            places.iter().any(|(_, place, _)| matches!(place, Place::Along { var: other, .. } if *other == var))
        };
        if let Some(var) = self.slots[index].iter().find(|var| !used(**var)) {
            return *var;
        }
        let var = u8::try_from(self.terms.vars.len()).expect("the check bounds the nesting of sums");
        let Extent { size, periodic } = extents(self.model, &[index])[0];
        self.terms.vars.push(Extent { size, periodic });
        self.slots[index].push(var);
        var
    }

    /// Calls `with` for the right side of a line: once with variables, or for each element with numbers.
    pub fn each(&mut self, line: &Line, mut with: impl FnMut(&mut Self, Id, Vec<Place>)) {
        if self.unrolls {
            let sizes: Vec<usize> = line.indices.iter().map(|index| self.model.indices[*index].size).collect();
            for element in 0..sizes.iter().product() {
                let mut rest = element;
                let mut at = vec![Place::At(0); sizes.len()];
                for (place, size) in at.iter_mut().zip(&sizes).rev() {
                    *place = Place::At((rest % size) as u32);
                    rest /= size;
                }
                let id = self.at(line, &at);
                with(self, id, at);
            }
        } else {
            let mut places = Places::new();
            for (index, name) in line.indices.iter().zip(&line.called) {
                let var = self.variable(*index, &places);
                places.push((name.clone(), Place::Along { var, by: 0 }, *index));
            }
            let id = self.build(&line.right.expr, &places);
            with(self, id, places.into_iter().map(|(_, place, _)| place).collect());
        }
    }

    /// The slopes of all states: where every element has terms of its own, in the cheapest form that was found.
    pub fn motions(&mut self) -> Vec<Motion> {
        let (model, mut motions) = (self.model, Vec::new());
        for (array, line) in model.equations.iter().enumerate() {
            self.each(line, |_, slope, at| {
                motions
                    .push(Motion { state: Leaf { origin: Origin::State, array: array as u32, at: at.into() }, slope });
            });
        }
        if self.unrolls {
            let slopes: Vec<Id> = motions.iter().map(|motion| motion.slope).collect();
            let found = self.terms.factored(&slopes);
            motions.iter_mut().zip(found).for_each(|(motion, slope)| motion.slope = slope);
        }
        motions
    }

    /// The right side of a line at these places.
    pub fn at(&mut self, line: &Line, at: &[Place]) -> Id {
        let places = line
            .called
            .iter()
            .zip(at)
            .zip(&line.indices)
            .map(|((name, place), index)| (name.clone(), *place, *index))
            .collect();
        self.build(&line.right.expr, &places)
    }

    /// An expression of a quantity's own indices, such as where it is not 0.
    pub fn own(&mut self, quantity: &Quantity, expr: &Expr, at: &[Place]) -> Id {
        let names = quantity.shape.iter().zip(at);
        let places = names.map(|(index, place)| (self.model.indices[*index].name.clone(), *place, *index)).collect();
        self.build(expr, &places)
    }

    fn build(&mut self, expr: &Expr, places: &Places) -> Id {
        match &expr.kind {
            Kind::Number { value, .. } => self.terms.number(*value),
            Kind::Name { name, at } => self.name(name, at, places),
            Kind::Call { name, of } => self.call(name, of, places),
            Kind::Sum(parts) => {
                let parts: Vec<_> = parts
                    .iter()
                    .map(|(minus, part)| (self.build(part, places), if *minus { -1.0 } else { 1.0 }))
                    .collect();
                self.terms.sum(parts, 0.0)
            }
            Kind::Product(parts) => {
                let parts = parts
                    .iter()
                    .map(|(divides, part)| (self.build(part, places), if *divides { -2 } else { 2 }))
                    .collect();
                self.terms.product(parts, 1.0)
            }
            Kind::Power(base, exponent) => {
                let [base, exponent] = [base, exponent].map(|part| self.build(part, places));
                self.terms.pair(Pair::Power, base, exponent)
            }
            Kind::Compare(comparison, left, right) => {
                let [left, right] = [left, right].map(|part| self.build(part, places));
                if let (Some(left), Some(right)) = (self.terms.as_number(left), self.terms.as_number(right)) {
                    return self.terms.number(f64::from(u8::from(compare(*comparison, left, right))));
                }
                match comparison {
                    Comparison::Equal => self.terms.pair(Pair::Equal, left, right),
                    Comparison::Unequal => {
                        let equal = self.terms.pair(Pair::Equal, left, right);
                        self.terms.sum([(equal, -1.0)], 1.0)
                    }
                    Comparison::Below => self.terms.pair(Pair::Below, left, right),
                    Comparison::AtMost => self.terms.pair(Pair::AtMost, left, right),
                    Comparison::Above => self.terms.pair(Pair::Below, right, left),
                    Comparison::AtLeast => self.terms.pair(Pair::AtMost, right, left),
                }
            }
            Kind::All(parts) => {
                let parts = parts.iter().map(|part| (self.build(part, places), 2)).collect();
                self.terms.product(parts, 1.0)
            }
            Kind::Any(parts) => {
                let zero = self.terms.number(0.0);
                parts.iter().fold(zero, |any, part| {
                    let part = self.build(part, places);
                    self.terms.pair(Pair::Max, any, part)
                })
            }
            Kind::Not(inner) => {
                let inner = self.build(inner, places);
                self.terms.sum([(inner, -1.0)], 1.0)
            }
        }
    }

    /// Where an index in brackets is; `None`: outside, where there is nothing.
    fn place(&self, expr: &Expr, places: &Places, index: usize) -> Option<Place> {
        let (name, by) = constant::place(expr).expect("the check has read all places");
        let base =
            name.map(|name| places.iter().find(|(called, ..)| called == name).expect("the check knows all indices").1);
        match base {
            None => self.inside(by, index),
            Some(Place::At(at)) => self.inside(i64::from(at) + by, index),
            Some(Place::Along { var, by: already }) => Some(Place::Along { var, by: already + by as i32 }),
        }
    }

    fn inside(&self, at: i64, index: usize) -> Option<Place> {
        let index = &self.model.indices[index];
        let at = if index.periodic { at.rem_euclid(index.size as i64) } else { at };
        (0..index.size as i64).contains(&at).then_some(Place::At(at as u32))
    }

    fn name(&mut self, name: &str, at: &[Expr], places: &Places) -> Id {
        if let Some((_, place, index)) = places.iter().find(|(called, ..)| called == name) {
            return self.value_of(*place, *index);
        }
        let model = self.model;
        match model.names.get(name) {
            None => self.terms.number(std::f64::consts::PI),
            Some(Meaning::Index(_)) => unreachable!("the check knows which indices an expression has"),
            Some(Meaning::Of(role, array)) => {
                let quantity = &model.list(*role)[*array];
                let origin = match role {
                    Role::Input => Origin::Input,
                    Role::Control => Origin::Control,
                    Role::Coefficient => Origin::Coefficient,
                    Role::State => Origin::State,
                };
                self.element(origin, *array as u32, quantity, at, places)
            }
            Some(Meaning::Let(number)) => {
                let line = &model.lets[*number];
                let mut inner = Places::new();
                let mut inside = self.terms.number(1.0);
                for ((expr, called), index) in at.iter().zip(&line.called).zip(&line.indices) {
                    let Some(place) = self.place(expr, places, *index) else { return self.terms.number(0.0) };
                    let within = self.within(place, *index);
                    inside = self.terms.multiply(inside, within);
                    inner.push((called.clone(), place, *index));
                }
                let key = (*number, inner.iter().map(|(_, place, _)| *place).collect());
                let body = if let Some(known) = self.named.get(&key) {
                    *known
                } else {
                    let body = self.build(&line.right.expr, &inner);
                    self.named.insert(key, body);
                    body
                };
                let zero = self.terms.number(0.0);
                self.terms.select(inside, body, zero)
            }
        }
    }

    fn element(&mut self, origin: Origin, array: u32, quantity: &Quantity, at: &[Expr], places: &Places) -> Id {
        let mut found = Vec::with_capacity(at.len());
        for (expr, index) in at.iter().zip(&quantity.shape) {
            match self.place(expr, places, *index) {
                Some(place) => found.push(place),
                None => return self.terms.number(0.0),
            }
        }
        let only = quantity.only.as_ref().map(|only| self.own(quantity, &only.expr, &found));
        let leaf = self.terms.leaf(Leaf { origin, array, at: found.into() });
        match only {
            Some(only) => {
                let zero = self.terms.number(0.0);
                self.terms.select(only, leaf, zero)
            }
            None => leaf,
        }
    }

    /// Whether a place is inside its range, as a term.
    fn within(&mut self, place: Place, index: usize) -> Id {
        let range = &self.model.indices[index];
        match place {
            Place::Along { var, by } if by != 0 && !range.periodic => {
                let at = self.terms.index(var);
                let (edge, last) = (self.terms.number(f64::from(-by)), range.size as f64 - 1.0 - f64::from(by));
                let last = self.terms.number(last);
                let [from, to] = [self.terms.pair(Pair::AtMost, edge, at), self.terms.pair(Pair::AtMost, at, last)];
                self.terms.multiply(from, to)
            }
            _ => self.terms.number(1.0),
        }
    }

    /// The number of a place.
    fn value_of(&mut self, place: Place, index: usize) -> Id {
        match place {
            Place::At(at) => self.terms.number(f64::from(at)),
            Place::Along { var, by } => {
                let at = self.terms.index(var);
                let at = self.terms.sum([(at, 1.0)], f64::from(by));
                let range = &self.model.indices[index];
                if by == 0 || !range.periodic {
                    return at;
                }
                // One turn back or forth, as often as it takes.
                let (size, turns) = (range.size as f64, (by.unsigned_abs() as usize).div_ceil(range.size));
                let edge = self.terms.number(if 0 < by { size - 1.0 } else { 0.0 });
                (0..turns).fold(at, |at, _| {
                    let back = self.terms.sum([(at, 1.0)], if 0 < by { -size } else { size });
                    let beyond = if 0 < by { (edge, at) } else { (at, edge) };
                    let beyond = self.terms.pair(Pair::Below, beyond.0, beyond.1);
                    self.terms.select(beyond, back, at)
                })
            }
        }
    }

    fn call(&mut self, name: &str, of: &[Expr], places: &Places) -> Id {
        match name {
            "if" => {
                let condition = self.build(&of[0], places);
                // A branch that is never taken is not built: it may be outside an array.
                match self.terms.as_number(condition) {
                    Some(0.0) => self.build(&of[2], places),
                    Some(_) => self.build(&of[1], places),
                    None => {
                        let [yes, no] = [&of[1], &of[2]].map(|branch| self.build(branch, places));
                        self.terms.select(condition, yes, no)
                    }
                }
            }
            "min" | "max" => {
                let pair = if name == "min" { Pair::Min } else { Pair::Max };
                let first = self.build(&of[0], places);
                of[1..].iter().fold(first, |so_far, next| {
                    let next = self.build(next, places);
                    self.terms.pair(pair, so_far, next)
                })
            }
            "mod" => {
                let [a, b] = [&of[0], &of[1]].map(|part| self.build(part, places));
                self.terms.modulo(a, b)
            }
            "sum" => self.sum_over(&of[0], &of[1], places),
            "table" => self.table(&of[0], &of[1], places),
            "delay" => self.delay(&of[0], &of[1], places),
            _ => {
                let argument = self.build(&of[0], places);
                self.terms.call(Function::named(name).expect("the check knows all functions"), argument)
            }
        }
    }

    fn sum_over(&mut self, index: &Expr, body: &Expr, places: &Places) -> Id {
        let Kind::Name { name, .. } = &index.kind else { unreachable!("the check has seen an index") };
        let Some(Meaning::Index(number)) = self.model.names.get(name).copied() else {
            unreachable!("the check has seen an index")
        };
        if self.unrolls {
            let size = self.model.indices[number].size;
            let mut inner = [places.as_slice(), &[(name.clone(), Place::At(0), number)]].concat();
            let mut parts = Vec::with_capacity(size);
            for at in 0..size {
                if let Some(last) = inner.last_mut() {
                    last.1 = Place::At(at as u32);
                }
                parts.push((self.build(body, &inner), 1.0));
            }
            return self.terms.sum(parts, 0.0);
        }
        let var = self.variable(number, places);
        let inner = [places.as_slice(), &[(name.clone(), Place::Along { var, by: 0 }, number)]].concat();
        let body = self.build(body, &inner);
        self.terms.reduce(var, body)
    }

    /// A curve: the line of the piece in which x lies, which is held within its ends.
    fn table(&mut self, x: &Expr, name: &Expr, places: &Places) -> Id {
        let Kind::Name { name, .. } = &name.kind else { unreachable!("the check has seen a table") };
        let points = &self.model.curves[name].points;
        let mut x = self.build(x, places);
        for (pair, end) in [(Pair::Max, points[0][0]), (Pair::Min, points[points.len() - 1][0])] {
            let end = self.terms.number(end);
            x = self.terms.pair(pair, x, end);
        }
        self.piece(x, points)
    }

    /// The curve through these points. Each line is counted from the end where it is nearer to 0: what is small beside other pieces keeps
    /// its digits.
    fn piece(&mut self, x: Id, points: &[[f64; 2]]) -> Id {
        if let [[from, low], [to, high]] = *points {
            let (at, value) = if high.abs() < low.abs() { (to, high) } else { (from, low) };
            let past = self.terms.sum([(x, 1.0)], -at);
            return self.terms.sum([(past, (high - low) / (to - from))], value);
        }
        let middle = points.len() / 2;
        let edge = self.terms.number(points[middle][0]);
        let is_before = self.terms.pair(Pair::Below, x, edge);
        let [before, after] = [&points[..=middle], &points[middle..]].map(|points| self.piece(x, points));
        self.terms.select(is_before, before, after)
    }

    fn delay(&mut self, of: &Expr, samples: &Expr, places: &Places) -> Id {
        let Kind::Name { name, at } = &of.kind else { unreachable!("the check has seen a name") };
        let Kind::Number { value: samples, .. } = samples.kind else { unreachable!("the check has seen a number") };
        let Some(Meaning::Of(role, array)) = self.model.names.get(name).copied() else {
            unreachable!("the check has seen a state or an input")
        };
        let origin = if role == Role::State { Origin::State } else { Origin::Input };
        let delay = Delay { origin, array: array as u32, samples: samples as usize };
        let number = self.delays.iter().position(|known| *known == delay).unwrap_or_else(|| {
            self.delays.push(delay);
            self.delays.len() - 1
        });
        let quantity = &self.model.list(role)[array];
        self.terms.shapes.insert((Origin::Delayed, number as u32), extents(self.model, &quantity.shape));
        self.element(Origin::Delayed, number as u32, quantity, at, places)
    }
}

/// The ranges of the directions of a shape.
pub(super) fn extents(model: &Model, shape: &[usize]) -> Vec<Extent> {
    let extent = |index: &usize| Extent { size: model.indices[*index].size, periodic: model.indices[*index].periodic };
    shape.iter().map(extent).collect()
}

/// Any places for the indices of an assumption, which holds for all elements of what it names.
fn places_of(model: &Model, expr: &Expr) -> Places {
    let Kind::Name { at, .. } = &expr.kind else { return Places::new() };
    let mut places = Places::new();
    for place in at {
        if let Some((Some(name), _)) = constant::place(place)
            && let Some(Meaning::Index(index)) = model.names.get(name)
        {
            places.push((name.to_owned(), Place::At(0), *index));
        }
    }
    places
}

/// How many parts all elements of these lines have together, sums counted as often as they run.
pub(super) fn work<'a>(model: &Model, lines: impl Iterator<Item = &'a Line>) -> usize {
    let mut known = HashMap::new();
    lines
        .map(|line| model.count(&line.indices).saturating_mul(weight(model, &line.right.expr, &mut known)))
        .fold(0, usize::saturating_add)
}

fn weight(model: &Model, expr: &Expr, lets: &mut HashMap<usize, usize>) -> usize {
    let mut total: usize = 1;
    let mut add = |part: &Expr| total = total.saturating_add(weight(model, part, lets));
    match &expr.kind {
        Kind::Number { .. } => (),
        Kind::Name { name, .. } => {
            if let Some(Meaning::Let(number)) = model.names.get(name) {
                return if let Some(known) = lets.get(number) {
                    *known
                } else {
                    let inner = weight(model, &model.lets[*number].right.expr, lets);
                    lets.insert(*number, inner);
                    inner
                };
            }
        }
        Kind::Call { name, of } => {
            of.iter().for_each(&mut add);
            if name == "sum" {
                if let Kind::Name { name, .. } = &of[0].kind
                    && let Some(Meaning::Index(index)) = model.names.get(name)
                {
                    total = total.saturating_mul(model.indices[*index].size);
                }
            } else if name == "table"
                && let Kind::Name { name, .. } = &of[1].kind
                && let Some(curve) = model.curves.get(name)
            {
                total = total.saturating_add(3 * curve.points.len());
            }
        }
        Kind::Sum(parts) | Kind::Product(parts) => parts.iter().for_each(|(_, part)| add(part)),
        Kind::Power(a, b) | Kind::Compare(_, a, b) => [a, b].into_iter().for_each(|part| add(part)),
        Kind::All(parts) | Kind::Any(parts) => parts.iter().for_each(add),
        Kind::Not(inner) => add(inner),
    }
    total
}
