//! Functions, branches, sums, tables and delays.

use super::super::model::{Meaning, Role, nearest};
use super::super::syntax::{Expr, Kind};
use super::super::units::Dimension;
use super::super::wording::counted;
use super::{Among, Checker, FUNCTIONS, LONGEST_DELAY, MOST_LOOPS, Measure, Scope};
use crate::Error;

impl<'a> Checker<'a> {
    pub(super) fn call(
        &mut self,
        expr: &'a Expr,
        name: &str,
        of: &'a [Expr],
        scope: &Scope<'a>,
    ) -> Result<Measure, Error> {
        let count = match name {
            "if" => 3..=3,
            "min" | "max" => 2..=16,
            "sum" | "table" | "delay" | "mod" => 2..=2,
            _ => 1..=1,
        };
        if !FUNCTIONS.contains(&name) {
            if scope.indices.iter().any(|(called, _)| *called == name) || self.model.names.contains_key(name) {
                let what = "is no function: a product is written with `*`, and indices stand in square brackets";
                return self.fail(expr, scope, format_args!("`{name}` {what}"));
            }
            let near = nearest(name, FUNCTIONS.into_iter());
            let hint = if name == "der" { "; a derivative stands on the left only" } else { &near };
            return self.fail(expr, scope, format_args!("unknown function `{name}`{hint}"));
        }
        if !count.contains(&of.len()) {
            let wanted = match (*count.start(), *count.end()) {
                (low, high) if low == high => counted(low, "argument", "arguments"),
                (low, high) => format!("{low} to {high} arguments"),
            };
            return self.fail(expr, scope, format_args!("`{name}` takes {wanted}, not {}", of.len()));
        }
        match name {
            "if" => {
                self.truth(&of[0], scope)?;
                self.alike(&[&of[1], &of[2]], scope, "the choice")
            }
            "min" | "max" | "mod" => self.alike(&of.iter().collect::<Vec<_>>(), scope, name),
            "abs" => self.number(&of[0], scope),
            "sign" => {
                self.number(&of[0], scope)?;
                Ok(Measure::Of(Dimension::NONE))
            }
            "sqrt" => match self.number(&of[0], scope)? {
                Measure::Of(dimension) => Ok(dimension.power(1, 2).map_or(Measure::Any, Measure::Of)),
                other => Ok(other),
            },
            "sum" => self.sum(&of[0], &of[1], scope),
            "table" => self.table(&of[0], &of[1], scope),
            "delay" => self.delay(&of[0], &of[1], scope),
            _ => {
                self.pure(&of[0], scope, name)?;
                Ok(Measure::Of(Dimension::NONE))
            }
        }
    }

    fn sum(&mut self, index: &'a Expr, body: &'a Expr, scope: &Scope<'a>) -> Result<Measure, Error> {
        let found = match &index.kind {
            Kind::Name { name, at } if at.is_empty() => match self.model.names.get(name) {
                Some(Meaning::Index(number)) => Some((name.as_str(), *number)),
                _ => None,
            },
            _ => None,
        };
        let text = scope.written.part(&index.span);
        let Some((name, number)) = found else {
            let near = nearest(text, self.model.indices.iter().map(|index| index.name.as_str()));
            return self.fail(index, scope, format_args!("`{text}` is no index of [indices]{near}"));
        };
        if scope.indices.iter().any(|(called, _)| *called == name) {
            return self.fail(
                index,
                scope,
                format_args!("the index `{name}` is in use: sum over another of the same size"),
            );
        }
        if scope.indices.len() == MOST_LOOPS {
            return self.fail(index, scope, format_args!("more than {MOST_LOOPS} indices are in use at once"));
        }
        let indices = [scope.indices.as_slice(), &[(name, number)]].concat();
        self.number(body, &Scope { indices, whose: scope.whose.clone(), ..*scope })
    }

    fn table(&mut self, x: &'a Expr, name: &'a Expr, scope: &Scope<'a>) -> Result<Measure, Error> {
        let text = scope.written.part(&name.span);
        let model = self.model;
        let Some(curve) = model.curves.get(text) else {
            let near = nearest(text, model.curves.keys().map(String::as_str));
            return self.fail(name, scope, format_args!("`{text}` is no table of [tables]{near}"));
        };
        match self.number(x, scope)? {
            Measure::Of(dimension) if dimension != curve.from => {
                let (found, wanted) = (model.words.say(dimension), model.words.say(curve.from));
                self.fail(
                    x,
                    scope,
                    format_args!(
                        "`{}` is in {found}, but the table `{text}` is of {wanted}",
                        scope.written.part(&x.span)
                    ),
                )
            }
            _ => Ok(Measure::Of(curve.to)),
        }
    }

    fn delay(&mut self, of: &'a Expr, samples: &'a Expr, scope: &Scope<'a>) -> Result<Measure, Error> {
        match samples.kind {
            Kind::Number { value, .. } if value.fract() == 0.0 && (1.0..=LONGEST_DELAY).contains(&value) => (),
            _ => {
                let what = format_args!("a delay is a whole number of samples from 1 to {LONGEST_DELAY}");
                return self.fail(samples, scope, what);
            }
        }
        let known = match &of.kind {
            Kind::Name { name, .. } => match self.model.names.get(name) {
                Some(Meaning::Of(Role::State, _)) => true,
                Some(Meaning::Of(Role::Input, number)) => !self.model.inputs[*number].is_static,
                _ => false,
            },
            _ => false,
        };
        if !known || scope.among != Among::All {
            return self.fail(
                of,
                scope,
                format_args!("`{}`: only states and inputs of each sample are delayed", scope.written.part(&of.span)),
            );
        }
        self.number(of, scope)
    }
}
