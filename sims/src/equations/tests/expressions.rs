//! Random expressions: as a tree, as terms in their one form, and as programs they have the same values, the same domain, and slopes
//! that are those of finite differences.

use super::super::constant::compare;
use super::super::syntax::{Expr, Kind, parse};
use super::super::terms::Function;
use super::{course, predict, pull_back};
use crate::{Key, Stream};

const COUNT: usize = 1500;
const DEEPEST: usize = 8;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// A random expression of the three inputs.
fn grown(stream: &mut Stream, depth: usize) -> String {
    if depth == 0 || stream.below(12) == 0 {
        return match stream.below(5) {
            0 => ["2", "0.5", "3", "1", "0"][stream.below(5)].to_owned(),
            _ => NAMES[stream.below(3)].to_owned(),
        };
    }
    let next = |stream: &mut Stream| grown(stream, depth - 1);
    match stream.below(13) {
        0..=2 => format!("({} + {})", next(stream), next(stream)),
        3 => format!("({} - {})", next(stream), next(stream)),
        4..=6 => format!("({}*{})", next(stream), next(stream)),
        7 => format!("({}/{})", next(stream), next(stream)),
        8 => format!("({})^{}", next(stream), ["2", "3", "-1", "0.5", "-2", "1.5", "0.3"][stream.below(7)]),
        9 => format!("({} {} {})", next(stream), ["-", "+"][stream.below(2)], next(stream)),
        10 => format!("if({} < {}, {}, {})", next(stream), next(stream), next(stream), next(stream)),
        11 => format!("{}({}, {})", ["min", "max"][stream.below(2)], next(stream), next(stream)),
        _ => {
            let names = [
                "exp", "ln", "sqrt", "sin", "cos", "tan", "atan", "tanh", "sinh", "cosh", "abs", "asin", "acos", "sign",
            ];
            format!("{}({})", names[stream.below(names.len())], next(stream))
        }
    }
}

/// The value of a tree, and how much of it rounding may have made.
fn tree(expr: &Expr, point: &[f64]) -> (f64, f64) {
    let of = |expr: &Expr| tree(expr, point);
    let rounded = |value: f64, error: f64| (value, error + f64::EPSILON * value.abs());
    let through = |(x, error): (f64, f64), f: &dyn Fn(f64) -> f64| {
        let value = f(x);
        let moved = [x - error, x + error].map(|near| (f(near) - value).abs());
        // Next to the edge of a domain nothing is sure, nor a slope at a root of nothing.
        let spread = if x == 0.0 && !f(-1e-9).is_finite() {
            return (value, f64::INFINITY);
        } else if moved.iter().all(|by| by.is_finite()) {
            moved[0].max(moved[1])
        } else {
            f64::INFINITY
        };
        rounded(value, if error == 0.0 { 0.0 } else { spread })
    };
    match &expr.kind {
        Kind::Number { value, .. } => (*value, 0.0),
        Kind::Name { name, .. } => (point[NAMES.iter().position(|known| known == name).unwrap()], 0.0),
        Kind::Sum(parts) => parts.iter().fold((0.0, 0.0), |(sum, error), (minus, part)| {
            let (value, own) = of(part);
            rounded(if *minus { sum - value } else { sum + value }, error + own)
        }),
        Kind::Product(parts) => parts.iter().fold((1.0, 0.0), |(product, error), (divides, part)| {
            let (value, own) = of(part);
            if *divides {
                let quotient = product / value;
                // What is divided by nothing has no sign to speak of.
                let error = if value == 0.0 { f64::INFINITY } else { (error + own * quotient.abs()) / value.abs() };
                rounded(quotient, error)
            } else {
                rounded(product * value, error * value.abs() + own * product.abs())
            }
        }),
        Kind::Power(base, exponent) => {
            let exponent = of(exponent).0;
            let power = |x: f64| {
                if exponent.fract() == 0.0 {
                    x.powi(exponent as i32)
                } else if exponent == 0.3 {
                    (exponent * x.ln()).exp()
                } else {
                    x.powf(exponent)
                }
            };
            through(of(base), &power)
        }
        Kind::Call { name, of: parts } => match name.as_str() {
            "if" => {
                let Kind::Compare(comparison, left, right) = &parts[0].kind else { panic!("no condition") };
                let ((left, a), (right, b)) = (of(left), of(right));
                let (value, error) = of(&parts[if compare(*comparison, left, right) { 1 } else { 2 }]);
                // A comparison of what is nearly the same can go either way.
                (
                    value,
                    if (left - right).abs() <= 1e3 * (a + b) || left.is_nan() || right.is_nan() {
                        f64::INFINITY
                    } else {
                        error
                    },
                )
            }
            "min" | "max" => {
                let ((a, x), (b, y)) = (of(&parts[0]), of(&parts[1]));
                let value = if a.is_nan() || b.is_nan() {
                    f64::NAN
                } else if name == "min" {
                    a.min(b)
                } else {
                    a.max(b)
                };
                (value, x.max(y))
            }
            _ => {
                let function = Function::named(name).unwrap();
                through(of(&parts[0]), &|x| function.value(x))
            }
        },
        _ => panic!("not grown"),
    }
}

fn file_of(expression: &str) -> String {
    let inputs = NAMES.map(|name| format!("{name} = {{ unit = \"1\", range = [-9, 9] }}\n")).concat();
    format!("[inputs]\n{inputs}[outputs]\ny = {{ unit = \"1\", value = \"{expression}\", range = [-1, 1] }}\n")
}

#[test]
fn trees_terms_and_programs_agree_and_slopes_are_those_of_finite_differences() {
    let mut stream = Key::new(7).branch("expressions").stream();
    let (mut values, mut undefined, mut slopes) = (0, 0, 0);
    for number in 0..COUNT {
        let depth = 2 + number % (DEEPEST - 1);
        let expression = grown(&mut stream, depth);
        let expr = parse(&expression).unwrap();
        let course = course(&file_of(&expression));
        for _ in 0..4 {
            let point: Vec<f64> = (0..3).map(|_| 1.2 * f64::from(stream.normal())).collect();
            let at = |point: &[f64]| predict(&course, &[], point, &[])[0];
            let (exact, error) = tree(&expr, &point);
            let found = at(&point);
            if !error.is_finite() || exact.is_nan() {
                if exact.is_nan() && error.is_finite() {
                    assert!(!found.is_finite(), "{expression} at {point:?}: nothing became {found}");
                    undefined += 1;
                }
                continue;
            }
            if !exact.is_finite() || 1e100 < exact.abs() || error.is_infinite() || 1e-6 * exact.abs().max(1e-3) < error
            {
                continue;
            }
            let slack = 1e-12 * exact.abs() + 64.0 * error;
            assert!((found - exact).abs() <= slack, "{expression} at {point:?}: {found} instead of {exact}");
            values += 1;
            let gradient = pull_back(&course, &[], &point, &[], &[1.0]).0;
            for (port, slope) in gradient.iter().enumerate() {
                let difference = |h: f64| {
                    let moved = |by: f64| {
                        let mut point = point.clone();
                        point[port] += by;
                        at(&point)
                    };
                    (8.0 * (moved(h) - moved(-h)) - (moved(2.0 * h) - moved(-2.0 * h))) / (12.0 * h)
                };
                // Where two step lengths disagree, there is an edge, or rounding is all there is.
                let [wide, narrow] = [difference(1e-3), difference(5e-4)];
                let size = wide.abs().max(1e-3 * exact.abs()).max(1e-3);
                if (wide - narrow).abs() < 1e-8 * size {
                    assert!(
                        (slope - narrow).abs() < 1e-6 * size,
                        "{expression} at {point:?} by {port}: {slope} instead of {narrow}"
                    );
                    slopes += 1;
                }
            }
        }
    }
    assert!(1000 < values && 50 < undefined && 2000 < slopes, "{values} values, {undefined} without, {slopes} slopes");
}

#[test]
fn what_would_change_a_domain_is_left_unless_the_file_assumes_it() {
    let value = |expression: &str, assume: &str, a: f64| {
        let text = format!("assume = [{assume}]\n{}", file_of(expression));
        predict(&course(&text), &[], &[a, 0.5, 0.25], &[])[0]
    };
    for expression in
        ["a/a", "ln(a) - ln(a)", "0*ln(a)", "sqrt(a)*sqrt(a)", "a^2/a", "exp(ln(a))", "(a/a)^0", "if(1/a > 2, b, b)"]
    {
        assert!(
            !value(expression, "", if expression.contains("ln") || expression.contains("sqrt") { -1.0 } else { 0.0 })
                .is_finite()
                || expression.starts_with("if"),
            "{expression}"
        );
    }
    assert_eq!(value("a/a", "\"a > 0\"", 0.0), 1.0);
    assert_eq!(value("sqrt(a)*sqrt(a)", "\"0 < a\"", -2.0), -2.0);
    assert_eq!(value("exp(ln(a))", "\"a > 0\"", -2.0), -2.0);
    assert_eq!(value("sqrt(a^2)", "", -2.0), 2.0);
    // A branch that is not taken has no say in the slope.
    let course = course(&file_of("if(a > 0, sqrt(a), 0) + if(a < 0, b/a, 0)"));
    assert_eq!(pull_back(&course, &[], &[0.0, 1.0, 1.0], &[], &[1.0]).0, [0.0, 0.0, 0.0]);
}
