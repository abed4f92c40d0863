//! The value of an expression of numbers and indices: conditions on indices, values that go with an index.

use super::syntax::{Comparison, Expr, Kind};

/// The value of `expr`, a condition counting as 1 or 0; `None` where it holds anything but numbers and what `known` knows.
pub(super) fn value(expr: &Expr, known: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
    let of = |expr: &Expr| value(expr, known);
    let truth = |is: bool| f64::from(u8::from(is));
    Some(match &expr.kind {
        Kind::Number { value, .. } => *value,
        Kind::Name { name, at } if at.is_empty() => {
            known(name).or_else(|| (name == "pi").then_some(std::f64::consts::PI))?
        }
        Kind::Name { .. } => return None,
        Kind::Call { name, of: arguments } => {
            let arguments = arguments.iter().map(of).collect::<Option<Vec<_>>>()?;
            match (name.as_str(), arguments.as_slice()) {
                ("if", [condition, yes, no]) => {
                    if *condition == 0.0 {
                        *no
                    } else {
                        *yes
                    }
                }
                ("min", [first, rest @ ..]) => rest.iter().fold(*first, |least, next| least.min(*next)),
                ("max", [first, rest @ ..]) => rest.iter().fold(*first, |most, next| most.max(*next)),
                ("mod", [a, b]) => a.rem_euclid(*b),
                (name, [x]) => super::terms::Function::named(name)?.value(*x),
                _ => return None,
            }
        }
        Kind::Sum(parts) => {
            let mut sum = 0.0;
            for (minus, part) in parts {
                let part = of(part)?;
                sum += if *minus { -part } else { part };
            }
            sum
        }
        Kind::Product(parts) => {
            let mut product = 1.0;
            for (divides, part) in parts {
                let part = of(part)?;
                product = if *divides { product / part } else { product * part };
            }
            product
        }
        Kind::Power(base, exponent) => of(base)?.powf(of(exponent)?),
        Kind::Compare(comparison, left, right) => truth(compare(*comparison, of(left)?, of(right)?)),
        Kind::All(parts) => {
            let parts = parts.iter().map(of).collect::<Option<Vec<_>>>()?;
            truth(parts.iter().all(|part| *part != 0.0))
        }
        Kind::Any(parts) => {
            let parts = parts.iter().map(of).collect::<Option<Vec<_>>>()?;
            truth(parts.iter().any(|part| *part != 0.0))
        }
        Kind::Not(inner) => truth(of(inner)? == 0.0),
    })
}

/// Whether the comparison holds.
pub(super) fn compare(comparison: Comparison, left: f64, right: f64) -> bool {
    match comparison {
        Comparison::Equal => left == right,
        Comparison::Unequal => left != right,
        Comparison::Below => left < right,
        Comparison::AtMost => left <= right,
        Comparison::Above => left > right,
        Comparison::AtLeast => left >= right,
    }
}

/// An index as it stands in brackets: the index that it goes with, if any, and what is added.
pub(super) fn place(expr: &Expr) -> Option<(Option<&str>, i64)> {
    let whole = |expr: &Expr| match expr.kind {
        Kind::Number { value, .. } if value.fract() == 0.0 && value.abs() < 1e9 => Some(value as i64),
        _ => None,
    };
    match &expr.kind {
        Kind::Number { .. } => Some((None, whole(expr)?)),
        Kind::Name { name, at } if at.is_empty() => Some((Some(name), 0)),
        Kind::Sum(parts) => {
            let (mut called, mut offset) = (None, 0);
            for (minus, part) in parts {
                match (&part.kind, minus) {
                    (Kind::Name { name, at }, false) if at.is_empty() && called.is_none() => {
                        called = Some(name.as_str());
                    }
                    _ => offset += if *minus { -whole(part)? } else { whole(part)? },
                }
            }
            Some((called, offset))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::syntax::parse;
    use super::*;

    #[test]
    fn conditions_on_indices_have_values() {
        let at = |text: &str, k: f64| value(&parse(text).unwrap(), &|name| (name == "k").then_some(k));
        assert_eq!(at("abs(k - 3) <= 2 and not k == 4", 5.0), Some(1.0));
        assert_eq!(at("abs(k - 3) <= 2 and not k == 4", 4.0), Some(0.0));
        assert_eq!(at("if(mod(k, 2) == 1, 0.5*k, -1)", 3.0), Some(1.5));
        assert_eq!(at("k + v", 3.0), None);
    }

    #[test]
    fn a_place_is_an_index_and_a_distance() {
        let at = |text: &str| place(&parse(text).unwrap()).map(|(name, by)| (name.map(str::to_owned), by));
        assert_eq!(at("k + 2 - 1"), Some((Some("k".into()), 1)));
        assert_eq!(at("1 + k"), Some((Some("k".into()), 1)));
        assert_eq!(at("4"), Some((None, 4)));
        for bad in ["2*k", "k + j", "-k", "k + 0.5", "f(k)"] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }
}
