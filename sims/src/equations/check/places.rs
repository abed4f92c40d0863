//! Whether an index leaves its array: every expression is walked with the indices at both ends of their ranges, where a distance
//! can lead outside. Branches that a condition on indices excludes are not walked.

use std::collections::{BTreeSet, HashSet};

use super::super::constant;
use super::super::model::{Line, Meaning, Model, Written};
use super::super::syntax::{Expr, Kind};
use crate::Error;

/// Places that are walked at most.
const MOST_STEPS: usize = 4_000_000;

struct Walker<'a> {
    model: &'a Model,
    /// The farthest that any expression looks.
    reach: usize,
    seen: HashSet<(usize, Vec<i64>)>,
    steps: usize,
}

type Values = Vec<(String, i64)>;

/// Refuses indices that leave their arrays.
pub(super) fn check(model: &Model) -> Result<(), Error> {
    let mut walker = Walker { model, reach: 0, seen: HashSet::new(), steps: 0 };
    let lines: Vec<&Line> =
        model.lets.iter().chain(&model.equations).chain(model.outputs.iter().map(|output| &output.line)).collect();
    for line in &lines {
        walker.measure(&line.right.expr);
    }
    // What stands in [let] is walked where it is used, with the places of its use.
    for line in lines.into_iter().skip(model.lets.len()) {
        let mut values = Values::new();
        walker.each(&line.called, &line.indices, &mut values, &mut |walker, values| {
            walker.walk(&line.right, &line.right.expr, values)
        })?;
    }
    Ok(())
}

impl<'a> Walker<'a> {
    fn measure(&mut self, expr: &Expr) {
        let mut waiting = vec![expr];
        while let Some(expr) = waiting.pop() {
            match &expr.kind {
                Kind::Number { .. } => (),
                Kind::Name { at, .. } => {
                    for place in at {
                        if let Some((Some(_), by)) = constant::place(place) {
                            self.reach = self.reach.max(by.unsigned_abs() as usize);
                        }
                    }
                }
                Kind::Call { of, .. } | Kind::All(of) | Kind::Any(of) => waiting.extend(of),
                Kind::Sum(parts) | Kind::Product(parts) => waiting.extend(parts.iter().map(|(_, part)| part)),
                Kind::Power(a, b) | Kind::Compare(_, a, b) => waiting.extend([&**a, &**b]),
                Kind::Not(inner) => waiting.push(inner),
            }
        }
    }

    /// Calls `with` for the indices at the ends of their ranges.
    fn each(
        &mut self,
        called: &[String],
        indices: &[usize],
        values: &mut Values,
        with: &mut dyn FnMut(&mut Self, &mut Values) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (Some((name, names)), Some((index, indices))) = (called.split_first(), indices.split_first()) else {
            return with(self, values);
        };
        let size = self.model.indices[*index].size;
        let ends: BTreeSet<usize> =
            (0..size.min(self.reach + 2)).chain(size.saturating_sub(self.reach + 2)..size).collect();
        for value in ends {
            values.push((name.clone(), value as i64));
            let result = self.each(names, indices, values, with);
            values.pop();
            result?;
        }
        Ok(())
    }

    fn walk(&mut self, written: &'a Written, expr: &'a Expr, values: &mut Values) -> Result<(), Error> {
        self.steps += 1;
        if MOST_STEPS < self.steps {
            return Err(self.model.error(
                written,
                &expr.span,
                "the indices of this file reach too far to be looked through",
            ));
        }
        let known = |name: &str| values.iter().find(|(called, _)| called == name).map(|(_, value)| *value as f64);
        match &expr.kind {
            Kind::Number { .. } => Ok(()),
            Kind::Name { name, at } => self.name(written, expr, name, at, values),
            Kind::Call { name, of } if name == "if" => match constant::value(&of[0], &known) {
                Some(0.0) => self.walk(written, &of[2], values),
                Some(_) => self.walk(written, &of[1], values),
                None => of.iter().try_for_each(|part| self.walk(written, part, values)),
            },
            Kind::Call { name, of } if name == "sum" => {
                let Kind::Name { name, .. } = &of[0].kind else { return Ok(()) };
                let Some(Meaning::Index(index)) = self.model.names.get(name) else { return Ok(()) };
                self.each(std::slice::from_ref(name), &[*index], values, &mut |walker, values| {
                    walker.walk(written, &of[1], values)
                })
            }
            Kind::Call { name, of } if matches!(name.as_str(), "table" | "delay") => self.walk(written, &of[0], values),
            Kind::Call { of, .. } | Kind::All(of) | Kind::Any(of) => {
                of.iter().try_for_each(|part| self.walk(written, part, values))
            }
            Kind::Sum(parts) | Kind::Product(parts) => {
                parts.iter().try_for_each(|(_, part)| self.walk(written, part, values))
            }
            Kind::Power(a, b) | Kind::Compare(_, a, b) => {
                self.walk(written, a, values)?;
                self.walk(written, b, values)
            }
            Kind::Not(inner) => self.walk(written, inner, values),
        }
    }

    fn name(
        &mut self,
        written: &'a Written,
        expr: &Expr,
        name: &str,
        at: &[Expr],
        values: &Values,
    ) -> Result<(), Error> {
        let model = self.model;
        let (shape, inner) = match model.names.get(name) {
            Some(Meaning::Of(role, number)) => (&model.list(*role)[*number].shape, None),
            Some(Meaning::Let(number)) => (&model.lets[*number].indices, Some(*number)),
            _ => return Ok(()),
        };
        let mut places = Vec::with_capacity(at.len());
        for (place, index) in at.iter().zip(shape) {
            let index = &model.indices[*index];
            let Some((named, by)) = constant::place(place) else { return Ok(()) };
            let base = named
                .and_then(|named| values.iter().find(|(called, _)| called == named))
                .map_or(0, |(_, value)| *value);
            let (value, size) = (base + by, index.size as i64);
            let value = if index.periodic { value.rem_euclid(size) } else { value };
            if !(0..size).contains(&value) {
                if index.zero_outside {
                    return Ok(());
                }
                let here = named.map_or(String::new(), |named| format!(" at {named} = {base}"));
                let what = format!(
                    "`{}` is outside 0 to {}{here}: let the index `{}` be periodic, say outside = 0, or take if(…)",
                    written.part(&expr.span),
                    size - 1,
                    index.name
                );
                return Err(model.error(written, &place.span, what));
            }
            places.push(value);
        }
        let Some(number) = inner else { return Ok(()) };
        if !self.seen.insert((number, places.clone())) {
            return Ok(());
        }
        let line = &model.lets[number];
        let mut values: Values = line.called.iter().cloned().zip(places).collect();
        self.walk(&line.right, &line.right.expr, &mut values)
    }
}
