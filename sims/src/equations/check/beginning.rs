//! Divisions by what is 0 when a shot begins: states at their start, inputs at rest, controls in the middle of their ranges. Branches
//! that are not taken then are not looked into.

use std::collections::HashMap;

use super::super::constant;
use super::super::model::{Line, Meaning, Model, Quantity, Role, Written};
use super::super::syntax::{Expr, Kind};
use super::super::terms::Function;
use crate::Error;

/// Parts that are looked at; what a file has beyond is left to the run.
const MOST_STEPS: usize = 1_000_000;

/// Indices and their values.
type Values = Vec<(String, i64)>;

struct Beginning<'a> {
    model: &'a Model,
    /// Elements of `[let]` and of states that have been looked at; `None` where the value is not known.
    lets: HashMap<(usize, Vec<i64>), Option<f64>>,
    starts: HashMap<(usize, Vec<i64>), Option<f64>>,
    steps: usize,
    /// Whose right side it is.
    whose: &'a str,
}

/// Refuses equations that divide by 0 when a shot begins.
pub(super) fn check(model: &Model) -> Result<(), Error> {
    let mut beginning = Beginning { model, lets: HashMap::new(), starts: HashMap::new(), steps: 0, whose: "" };
    for line in &model.equations {
        beginning.whose = &line.name;
        let mut values: Values = line.called.iter().map(|name| (name.clone(), 0)).collect();
        let sizes: Vec<i64> = line.indices.iter().map(|index| model.indices[*index].size as i64).collect();
        loop {
            beginning.value(&line.right, &line.right.expr, &mut values)?;
            if MOST_STEPS < beginning.steps {
                return Ok(());
            }
            // The next element, the last index first.
            let Some(place) = (0..sizes.len()).rev().find(|place| values[*place].1 + 1 < sizes[*place]) else { break };
            values[place].1 += 1;
            values[place + 1..].iter_mut().for_each(|(_, value)| *value = 0);
        }
    }
    Ok(())
}

impl<'a> Beginning<'a> {
    /// The value of an expression, a condition counting as 1 or 0; `None` where it is not known.
    fn value(&mut self, written: &'a Written, expr: &'a Expr, values: &mut Values) -> Result<Option<f64>, Error> {
        self.steps += 1;
        if MOST_STEPS < self.steps {
            return Ok(None);
        }
        let truth = |is: bool| Some(f64::from(u8::from(is)));
        Ok(match &expr.kind {
            Kind::Number { value, .. } => Some(*value),
            Kind::Name { name, at } => self.name(name, at, values)?,
            Kind::Call { name, of } => self.call(written, name, of, values)?,
            Kind::Sum(parts) => {
                let mut sum = Some(0.0);
                for (minus, part) in parts {
                    let part = self.value(written, part, values)?;
                    sum = sum.zip(part).map(|(sum, part)| if *minus { sum - part } else { sum + part });
                }
                sum
            }
            Kind::Product(parts) => {
                let mut product = Some(1.0);
                for (divides, part) in parts {
                    let value = self.value(written, part, values)?;
                    if *divides && value == Some(0.0) {
                        return Err(self.error(written, part));
                    }
                    product =
                        product.zip(value).map(|(so_far, next)| if *divides { so_far / next } else { so_far * next });
                }
                product
            }
            Kind::Power(base, exponent) => {
                let (value, power) = (self.value(written, base, values)?, self.value(written, exponent, values)?);
                if value == Some(0.0) && power.is_some_and(|power| power < 0.0) {
                    return Err(self.error(written, base));
                }
                value.zip(power).map(|(value, power)| value.powf(power))
            }
            Kind::Compare(comparison, left, right) => {
                let (left, right) = (self.value(written, left, values)?, self.value(written, right, values)?);
                left.zip(right).and_then(|(left, right)| truth(constant::compare(*comparison, left, right)))
            }
            Kind::All(parts) | Kind::Any(parts) => {
                // The first that decides ends it, as it does while the system runs.
                let decides = matches!(expr.kind, Kind::Any(_));
                for part in parts {
                    match self.value(written, part, values)? {
                        None => return Ok(None),
                        Some(value) if (value != 0.0) == decides => return Ok(truth(decides)),
                        Some(_) => (),
                    }
                }
                truth(!decides)
            }
            Kind::Not(inner) => self.value(written, inner, values)?.and_then(|value| truth(value == 0.0)),
        })
    }

    fn error(&self, written: &Written, divisor: &Expr) -> Error {
        let what = format!(
            "der({}) divides by `{}`, which is 0 when a shot begins (states at their start, inputs at rest, controls in the middle of \
             their ranges): give a state another `start`, or write if(…) around the division",
            self.whose,
            written.part(&divisor.span)
        );
        self.model.error(written, &divisor.span, what)
    }

    fn call(
        &mut self,
        written: &'a Written,
        name: &str,
        of: &'a [Expr],
        values: &mut Values,
    ) -> Result<Option<f64>, Error> {
        match name {
            "if" => match self.value(written, &of[0], values)? {
                None => Ok(None),
                Some(0.0) => self.value(written, &of[2], values),
                Some(_) => self.value(written, &of[1], values),
            },
            "sum" => {
                let Kind::Name { name, .. } = &of[0].kind else { return Ok(None) };
                let Some(Meaning::Index(index)) = self.model.names.get(name) else { return Ok(None) };
                let mut sum = Some(0.0);
                for at in 0..self.model.indices[*index].size as i64 {
                    values.push((name.clone(), at));
                    let part = self.value(written, &of[1], values);
                    values.pop();
                    sum = sum.zip(part?).map(|(sum, part)| sum + part);
                    if MOST_STEPS < self.steps {
                        return Ok(None);
                    }
                }
                Ok(sum)
            }
            // What a curve or an earlier sample gives is not followed here.
            "table" | "delay" => Ok(None),
            _ => {
                let mut arguments = Vec::with_capacity(of.len());
                for part in of {
                    arguments.push(self.value(written, part, values)?);
                }
                let Some(arguments) = arguments.into_iter().collect::<Option<Vec<f64>>>() else { return Ok(None) };
                Ok(match (name, arguments.as_slice()) {
                    ("min", [first, rest @ ..]) => Some(rest.iter().fold(*first, |least, next| least.min(*next))),
                    ("max", [first, rest @ ..]) => Some(rest.iter().fold(*first, |most, next| most.max(*next))),
                    ("mod", [a, b]) => Some(a.rem_euclid(*b)),
                    (name, [x]) => Function::named(name).map(|function| function.value(*x)),
                    _ => None,
                })
            }
        }
    }

    fn name(&mut self, name: &str, at: &[Expr], values: &Values) -> Result<Option<f64>, Error> {
        let model = self.model;
        let index = |name: &str| values.iter().rev().find(|(called, _)| called == name).map(|(_, value)| *value);
        let shape = match model.names.get(name) {
            _ if at.is_empty() && index(name).is_some() => return Ok(index(name).map(|value| value as f64)),
            Some(Meaning::Of(role, number)) => &model.list(*role)[*number].shape,
            Some(Meaning::Let(number)) => &model.lets[*number].indices,
            Some(Meaning::Index(_)) => return Ok(None),
            None => return Ok((name == "pi").then_some(std::f64::consts::PI)),
        };
        let mut places = Vec::with_capacity(at.len());
        for (place, number) in at.iter().zip(shape) {
            let own = &model.indices[*number];
            let Some((named, by)) = constant::place(place) else { return Ok(None) };
            let (value, size) = (named.and_then(index).unwrap_or(0) + by, own.size as i64);
            let value = if own.periodic { value.rem_euclid(size) } else { value };
            if !(0..size).contains(&value) {
                return Ok(own.zero_outside.then_some(0.0));
            }
            places.push(value);
        }
        match model.names[name] {
            Meaning::Let(number) => {
                let key = (number, places);
                if let Some(value) = self.lets.get(&key) {
                    return Ok(*value);
                }
                let line: &'a Line = &model.lets[number];
                let mut own: Values = line.called.iter().cloned().zip(key.1.iter().copied()).collect();
                let value = self.value(&line.right, &line.right.expr, &mut own)?;
                self.lets.insert(key, value);
                Ok(value)
            }
            Meaning::Of(role, number) => self.quantity(role, number, places),
            Meaning::Index(_) => Ok(None),
        }
    }

    fn quantity(&mut self, role: Role, number: usize, places: Vec<i64>) -> Result<Option<f64>, Error> {
        let model = self.model;
        let quantity: &'a Quantity = &model.list(role)[number];
        let [low, high] = quantity.range.unwrap_or_default();
        Ok(match role {
            Role::Input => Some(0.0_f64.clamp(low, high)),
            Role::Control => Some(0.5 * (low + high)),
            Role::Coefficient => {
                let sizes = quantity.shape.iter().map(|index| model.indices[*index].size);
                let at = places.iter().zip(sizes).fold(0, |at, (place, size)| at * size + *place as usize);
                quantity.values.get(at).copied()
            }
            Role::State => {
                let Some(start) = &quantity.start else { return Ok(Some(0.0)) };
                let key = (number, places);
                if let Some(value) = self.starts.get(&key) {
                    return Ok(*value);
                }
                let called = quantity.shape.iter().map(|index| model.indices[*index].name.clone());
                let mut own: Values = called.zip(key.1.iter().copied()).collect();
                let value = self.value(start, &start.expr, &mut own)?;
                self.starts.insert(key, value);
                value
            }
        })
    }
}
