//! Whether what a file says makes sense: names, indices, units. What passes can be built without another question.

mod beginning;
mod calls;
mod loops;
mod places;

use std::collections::HashMap;

use super::constant;
use super::model::{Line, Meaning, Model, Quantity, Role, Written, nearest};
use super::syntax::{Expr, FUNCTIONS, Kind, Span};
use super::units::Dimension;
use crate::Error;

/// How deep names of [let] may stand within one another, and how many indices may be in use at once.
const DEEPEST_LET: usize = 100;
const MOST_LOOPS: usize = 6;
const LONGEST_DELAY: f64 = 4096.0;

/// What an expression is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Measure {
    /// A number that takes the unit which is needed.
    Any,
    Of(Dimension),
    Truth,
}

/// Who may stand in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Among {
    All,
    /// What is known before a shot begins.
    Start,
    /// Indices only.
    Indices,
}

struct Checker<'a> {
    model: &'a Model,
    /// What each name of [let] is, and how many stand within it one in another; `None` while it is being looked at.
    lets: HashMap<usize, Option<(Measure, usize)>>,
    /// The names that are being looked at, each within the one before it.
    within: Vec<usize>,
    /// How many stand one in another in what is being looked at.
    deepest: usize,
}

/// An expression with the indices that it may use.
struct Scope<'a> {
    written: &'a Written,
    indices: Vec<(&'a str, usize)>,
    among: Among,
    /// Who needs it, for errors.
    whose: String,
}

/// Refuses a model that makes no sense.
pub(super) fn check(model: &Model) -> Result<(), Error> {
    let mut checker = Checker { model, lets: HashMap::new(), within: Vec::new(), deepest: 0 };
    for (number, line) in model.lets.iter().enumerate() {
        checker.named(number, line, &line.right, &(0..0))?;
    }
    for (state, line) in model.states.iter().zip(&model.equations) {
        checker.same_shape(state, line)?;
        let whose = format!("der({})", state.name);
        let found = checker.line(line, Among::All, &whose)?;
        checker.fits(found, state.dimension / Dimension::TIME, &line.right, &whose)?;
    }
    for output in &model.outputs {
        let found = checker.line(&output.line, Among::All, &output.line.name)?;
        checker.fits(found, output.dimension, &output.line.right, &output.line.name)?;
    }
    for quantity in [Role::Control, Role::Coefficient, Role::State].into_iter().flat_map(|role| model.list(role)) {
        let own = quantity.shape.iter().map(|index| (model.indices[*index].name.as_str(), *index)).collect::<Vec<_>>();
        if let Some(start) = &quantity.start {
            let whose = format!("the start of {}", quantity.name);
            let scope = Scope { written: start, indices: own.clone(), among: Among::Start, whose: whose.clone() };
            let found = checker.measure(&start.expr, &scope)?;
            checker.fits(found, quantity.dimension, start, &whose)?;
        }
        if let Some(only) = &quantity.only {
            let scope = Scope { written: only, indices: own, among: Among::Indices, whose: quantity.name.clone() };
            if checker.measure(&only.expr, &scope)? != Measure::Truth {
                return Err(model.error(
                    only,
                    &only.expr.span,
                    "`where` must be a condition such as \"abs(k - j) <= 2\"",
                ));
            }
        }
    }
    for assumed in &model.assumed {
        checker.assumption(assumed)?;
    }
    if !model.states.is_empty() && model.time.at == 0 {
        let what = "a system with states needs [time] with sample_seconds, the time from one sample to the next";
        return Err(model.source.error(model.states[0].at, what));
    }
    places::check(model)?;
    loops::check(model)?;
    beginning::check(model)
}

/// What to write in place of a plain number where a quantity with a unit is needed.
fn bare(expr: &Expr, found: Dimension) -> Option<String> {
    let text = match &expr.kind {
        Kind::Number { value, .. } => format!("{value:e}"),
        Kind::Sum(parts) if parts.len() == 1 => {
            return bare(&parts[0].1, found).map(|hint| hint.replace(": `", ": `-"));
        }
        _ => return None,
    };
    (found == Dimension::NONE).then(|| format!("; a quantity is written with an exponent: `{text}`"))
}

impl<'a> Checker<'a> {
    fn same_shape(&self, state: &Quantity, line: &Line) -> Result<(), Error> {
        for (declared, written) in state.shape.iter().zip(&line.indices) {
            let [declared, written] = [declared, written].map(|index| &self.model.indices[*index]);
            if declared.size != written.size || declared.periodic != written.periodic {
                let what = format!(
                    "der({}): its index `{}` is not of the range of `{}`",
                    state.name, written.name, declared.name
                );
                return Err(self.model.error(&line.right, &(0..0), what));
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &'a Line, among: Among, whose: &str) -> Result<Measure, Error> {
        let indices = line.called.iter().map(String::as_str).zip(line.indices.iter().copied()).collect();
        self.measure(&line.right.expr, &Scope { written: &line.right, indices, among, whose: whose.to_owned() })
    }

    fn fits(&self, found: Measure, wanted: Dimension, written: &Written, whose: &str) -> Result<(), Error> {
        let words = &self.model.words;
        let what = match found {
            Measure::Any => return Ok(()),
            Measure::Of(dimension) if dimension == wanted => return Ok(()),
            Measure::Of(dimension) => {
                let hint = bare(&written.expr, dimension).unwrap_or_default();
                let (found, wanted) = (words.say(dimension), words.say(wanted));
                format!("{whose}: `{}` is in {found}, where {wanted} is needed{hint}", written.text)
            }
            Measure::Truth => format!("{whose}: `{}` is a condition, where a number is needed", written.text),
        };
        Err(self.model.error(written, &written.expr.span, what))
    }

    /// What a name of [let] is.
    fn named(&mut self, number: usize, line: &'a Line, from: &Written, span: &Span) -> Result<Measure, Error> {
        match self.lets.get(&number) {
            Some(Some((measure, depth))) => {
                self.deepest = self.deepest.max(*depth);
                return Ok(*measure);
            }
            Some(None) => {
                let from_it = self.within.iter().skip_while(|inner| **inner != number);
                let ring = from_it.map(|inner| self.model.lets[*inner].name.as_str()).chain([line.name.as_str()]);
                let ring = ring.collect::<Vec<_>>().join(" → ");
                return Err(self.model.error(
                    from,
                    span,
                    format!("`{}` of [let] depends on itself: {ring}", line.name),
                ));
            }
            None => (),
        }
        let outside = std::mem::take(&mut self.deepest);
        self.lets.insert(number, None);
        self.within.push(number);
        let measure =
            if self.within.len() <= DEEPEST_LET { Some(self.line(line, Among::All, &line.name)?) } else { None };
        self.within.pop();
        self.deepest += 1;
        let (Some(measure), ..=DEEPEST_LET) = (measure, self.deepest) else {
            let what = format!("names of [let] stand more than {DEEPEST_LET} deep within one another");
            return Err(self.model.error(from, span, what));
        };
        if measure == Measure::Truth {
            let what = format!("{}: `{}` is a condition, where a number is needed", line.name, line.right.text);
            return Err(self.model.error(&line.right, &line.right.expr.span, what));
        }
        self.lets.insert(number, Some((measure, self.deepest)));
        self.deepest = self.deepest.max(outside);
        Ok(measure)
    }

    fn assumption(&mut self, assumed: &'a Written) -> Result<(), Error> {
        use super::syntax::Comparison::{Above, Below};
        let zero = |expr: &Expr| matches!(expr.kind, Kind::Number { value: 0.0, .. });
        let sound = match &assumed.expr.kind {
            Kind::Compare(Above, name, bound) | Kind::Compare(Below, bound, name) if zero(bound) => match &name.kind {
                Kind::Name { name, at } => match self.model.names.get(name) {
                    Some(Meaning::Of(_, _)) => at.iter().all(|place| {
                        let named = constant::place(place);
                        named.is_some_and(|(name, _)| {
                            name.is_none_or(|name| matches!(self.model.names.get(name), Some(Meaning::Index(_))))
                        })
                    }),
                    _ => false,
                },
                _ => false,
            },
            _ => false,
        };
        if !sound {
            let what = "an assumption says of a quantity that it is above 0, such as \"v > 0\" or \"v[k] > 0\"";
            return Err(self.model.error(assumed, &assumed.expr.span, what));
        }
        if let Kind::Compare(_, left, right) = &assumed.expr.kind {
            let indices =
                self.model.indices.iter().enumerate().map(|(number, index)| (index.name.as_str(), number)).collect();
            let scope = Scope { written: assumed, indices, among: Among::All, whose: "assume".to_owned() };
            for side in [left, right] {
                self.measure(side, &scope)?;
            }
        }
        Ok(())
    }

    fn fail<T>(&self, expr: &Expr, scope: &Scope, what: impl std::fmt::Display) -> Result<T, Error> {
        Err(self.model.error(scope.written, &expr.span, format!("{}: {what}", scope.whose)))
    }

    fn measure(&mut self, expr: &'a Expr, scope: &Scope<'a>) -> Result<Measure, Error> {
        match &expr.kind {
            Kind::Number { value, bears_unit } => {
                Ok(if *value == 0.0 || *bears_unit { Measure::Any } else { Measure::Of(Dimension::NONE) })
            }
            Kind::Name { name, at } => self.name(expr, name, at, scope),
            Kind::Call { name, of } => self.call(expr, name, of, scope),
            Kind::Sum(parts) => {
                let all: Vec<_> = parts.iter().map(|(_, part)| part).collect();
                self.alike(&all, scope, "the sum")
            }
            Kind::Product(parts) => {
                let mut product = Measure::Of(Dimension::NONE);
                for (divides, part) in parts {
                    product = match (product, self.number(part, scope)?) {
                        (Measure::Of(so_far), Measure::Of(next)) => {
                            Measure::Of(if *divides { so_far / next } else { so_far * next })
                        }
                        _ => Measure::Any,
                    };
                }
                Ok(product)
            }
            Kind::Power(base, exponent) => self.power(base, exponent, scope),
            Kind::Compare(_, left, right) => {
                self.alike(&[left, right], scope, "the comparison")?;
                Ok(Measure::Truth)
            }
            Kind::All(parts) | Kind::Any(parts) => {
                for part in parts {
                    self.truth(part, scope)?;
                }
                Ok(Measure::Truth)
            }
            Kind::Not(inner) => {
                self.truth(inner, scope)?;
                Ok(Measure::Truth)
            }
        }
    }

    fn number(&mut self, expr: &'a Expr, scope: &Scope<'a>) -> Result<Measure, Error> {
        match self.measure(expr, scope)? {
            Measure::Truth => self.fail(
                expr,
                scope,
                format_args!("`{}` is a condition, where a number is needed", scope.written.part(&expr.span)),
            ),
            measure => Ok(measure),
        }
    }

    fn truth(&mut self, expr: &'a Expr, scope: &Scope<'a>) -> Result<(), Error> {
        match self.measure(expr, scope)? {
            Measure::Truth => Ok(()),
            _ => self.fail(
                expr,
                scope,
                format_args!("`{}` is a number, where a condition is needed", scope.written.part(&expr.span)),
            ),
        }
    }

    /// All parts must have one unit.
    fn alike(&mut self, parts: &[&'a Expr], scope: &Scope<'a>, what: &str) -> Result<Measure, Error> {
        let mut first: Option<(&Expr, Dimension)> = None;
        for part in parts {
            let Measure::Of(dimension) = self.number(part, scope)? else { continue };
            match first {
                None => first = Some((part, dimension)),
                Some((other, known)) if known != dimension => {
                    let words = &self.model.words;
                    let [a, b] = [other, part].map(|part| scope.written.part(&part.span));
                    let (a_unit, b_unit) = (words.say(known), words.say(dimension));
                    let hint = bare(other, known).or_else(|| bare(part, dimension)).unwrap_or_default();
                    return self.fail(
                        part,
                        scope,
                        format_args!("`{a}` is in {a_unit}, `{b}` in {b_unit}: {what} needs one unit{hint}"),
                    );
                }
                Some(_) => (),
            }
        }
        Ok(first.map_or(Measure::Any, |(_, dimension)| Measure::Of(dimension)))
    }

    fn pure(&mut self, expr: &'a Expr, scope: &Scope<'a>, who: &str) -> Result<(), Error> {
        match self.number(expr, scope)? {
            Measure::Of(dimension) if dimension != Dimension::NONE => {
                let unit = self.model.words.say(dimension);
                let text = scope.written.part(&expr.span);
                self.fail(expr, scope, format_args!("`{text}` is in {unit}: {who} needs a pure number"))
            }
            _ => Ok(()),
        }
    }

    fn power(&mut self, base: &'a Expr, exponent: &'a Expr, scope: &Scope<'a>) -> Result<Measure, Error> {
        let found = self.number(base, scope)?;
        self.pure(exponent, scope, "an exponent")?;
        let Measure::Of(dimension) = found else { return Ok(Measure::Any) };
        if dimension == Dimension::NONE {
            return Ok(found);
        }
        // Exponents of quantities with units must be rational: a number, or a quotient of two.
        let value = constant::value(exponent, &|_| None);
        let rational = value.and_then(|value| {
            (1..=12)
                .find(|under| (value * f64::from(*under)).fract().abs() < 1e-12)
                .map(|under| ((value * f64::from(under)).round() as i64, i64::from(under)))
        });
        let (text, unit) = (scope.written.part(&base.span), self.model.words.say(dimension));
        let what = match rational.map(|(over, under)| dimension.power(over, under)) {
            Some(Some(power)) => return Ok(Measure::Of(power)),
            Some(None) => format!("`{text}` is in {unit}: with this exponent those of its unit get too large"),
            None => format!("`{text}` is in {unit}: its exponent must be a number such as 2 or 1/2"),
        };
        self.fail(exponent, scope, what)
    }

    fn indices(&self, expr: &Expr, name: &str, at: &[Expr], shape: &[usize], scope: &Scope) -> Result<(), Error> {
        if at.len() != shape.len() {
            let names: Vec<&str> = shape.iter().map(|index| self.model.indices[*index].name.as_str()).collect();
            let wanted = if names.is_empty() { "no index".to_owned() } else { format!("[{}]", names.join(", ")) };
            return self.fail(
                expr,
                scope,
                format_args!("`{name}` has {wanted}, but `{}` stands here", scope.written.part(&expr.span)),
            );
        }
        for (place, wanted) in at.iter().zip(shape) {
            let text = scope.written.part(&place.span);
            let Some((named, _)) = constant::place(place) else {
                return self.fail(
                    place,
                    scope,
                    format_args!("`{text}` is no place: write an index, k + 1, k - 1, or a number"),
                );
            };
            let Some(named) = named else { continue };
            let Some((_, index)) = scope.indices.iter().find(|(called, _)| *called == named) else {
                let near = nearest(named, scope.indices.iter().map(|(called, _)| *called));
                return self.fail(place, scope, format_args!("`{named}` is no index here{near}"));
            };
            let [index, wanted] = [index, wanted].map(|index| &self.model.indices[*index]);
            if index.size != wanted.size {
                let what = format_args!(
                    "`{}` runs over {} places, but that of `{name}` over {}",
                    index.name, index.size, wanted.size
                );
                return self.fail(place, scope, what);
            }
        }
        Ok(())
    }

    fn name(&mut self, expr: &'a Expr, name: &str, at: &'a [Expr], scope: &Scope<'a>) -> Result<Measure, Error> {
        if at.is_empty() && (name == "pi" || scope.indices.iter().any(|(called, _)| *called == name)) {
            return Ok(Measure::Of(Dimension::NONE));
        }
        let model = self.model;
        match model.names.get(name) {
            None if model.curves.contains_key(name) => {
                self.fail(expr, scope, format_args!("`{name}` is a table: write table(x, {name})"))
            }
            None if FUNCTIONS.contains(&name) => {
                self.fail(expr, scope, format_args!("`{name}` is a function: write `{name}(…)`, with what it is of"))
            }
            None => {
                let what = format_args!("unknown name `{name}`{}", model.near(name)).to_string();
                self.fail(expr, scope, what)
            }
            Some(Meaning::Index(_)) => self.fail(
                expr,
                scope,
                format_args!("the index `{name}` has no value here: it is neither on the left nor summed over"),
            ),
            Some(Meaning::Of(role, number)) => {
                let quantity = &model.list(*role)[*number];
                let sound = match scope.among {
                    Among::All => true,
                    Among::Start => match role {
                        Role::Coefficient | Role::Control => true,
                        Role::Input => quantity.is_static,
                        Role::State => false,
                    },
                    Among::Indices => false,
                };
                if !sound {
                    return self.fail(expr, scope, format_args!("`{name}` is not known before a shot begins"));
                }
                self.indices(expr, name, at, &quantity.shape, scope)?;
                Ok(Measure::Of(quantity.dimension))
            }
            Some(Meaning::Let(number)) => {
                if scope.among != Among::All {
                    return self.fail(
                        expr,
                        scope,
                        format_args!("`{name}` of [let] cannot stand here: write what it is"),
                    );
                }
                let line = &model.lets[*number];
                self.indices(expr, name, at, &line.indices, scope)?;
                self.named(*number, line, scope.written, &expr.span)
            }
        }
    }
}
