//! Random expressions: as a tree, as terms in their one form, and as programs they have the same values, the same domain, and slopes
//! that are those of finite differences.

use super::super::constant::compare;
use super::super::file;
use super::super::run::{Course, Work};
use super::super::syntax::{Expr, Kind, parse};
use super::super::terms::Function;
use crate::{Key, Stream};

const DEEPEST: usize = 8;
pub(in crate::equations) const NAMES: [&str; 3] = ["a", "b", "c"];

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

/// What is asked of an expression that this room has not grown.
const NOT_GROWN: (f64, f64) = (f64::NAN, f64::INFINITY);

/// The value of a tree, and how much of it rounding may have made.
fn tree(expr: &Expr, point: &[f64]) -> (f64, f64) {
    let of = |expr: &Expr| tree(expr, point);
    // What has no value has none however it is rounded; an error that is none is not known.
    let rounded = |value: f64, error: f64| match value.is_nan() {
        _ if error.is_nan() => (value, f64::INFINITY),
        true => (value, error),
        false => (value, error + f64::EPSILON * value.abs()),
    };
    let through = |(x, error): (f64, f64), f: &dyn Fn(f64) -> f64| {
        let value = f(x);
        let moved = [x - error, x + error].map(|near| (f(near) - value).abs());
        // Next to the edge of a domain nothing is sure, nor a slope at a root of nothing.
        let spread = if x == 0.0 && !f(-1e-9).is_finite() {
            return (value, f64::INFINITY);
        } else if x.is_nan() {
            error
        } else if value.is_nan() && error.is_finite() && [x - error, x + error].iter().all(|near| f(*near).is_nan()) {
            0.0
        } else if moved.iter().all(|by| by.is_finite()) {
            moved[0].max(moved[1])
        } else {
            f64::INFINITY
        };
        rounded(value, if error == 0.0 { 0.0 } else { spread })
    };
    match &expr.kind {
        Kind::Number { value, .. } => (*value, 0.0),
        Kind::Name { name, .. } => (point[NAMES.iter().position(|known| known == name).unwrap_or_default()], 0.0),
        Kind::Sum(parts) => parts.iter().fold((0.0, 0.0), |(sum, error), (minus, part)| {
            let (value, own) = of(part);
            rounded(if *minus { sum - value } else { sum + value }, error + own)
        }),
        Kind::Product(parts) => parts.iter().fold((1.0, 0.0), |(product, error), (divides, part)| {
            let (value, own) = of(part);
            if *divides {
                let quotient = product / value;
                // What is divided by nothing has no sign to speak of.
                let error = match value {
                    _ if quotient.is_nan() => error + own,
                    0.0 => f64::INFINITY,
                    _ => (error + own * quotient.abs()) / value.abs(),
                };
                rounded(quotient, error)
            } else {
                let next = product * value;
                let known = if next.is_nan() { error + own } else { error * value.abs() + own * product.abs() };
                rounded(next, known)
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
                let Kind::Compare(comparison, left, right) = &parts[0].kind else { return NOT_GROWN };
                let ((left, a), (right, b)) = (of(left), of(right));
                let (value, error) = of(&parts[if compare(*comparison, left, right) { 1 } else { 2 }]);
                // A comparison of what is nearly the same can go either way.
                (
                    value,
                    // Which infinity it is may hang on the sign of a zero.
                    if !left.is_finite() || !right.is_finite() || (left - right).abs() <= 1e3 * (a + b) {
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
                rounded(value, x.max(y))
            }
            _ => {
                let Some(function) = Function::named(name) else { return NOT_GROWN };
                through(of(&parts[0]), &|x| function.value(x))
            }
        },
        _ => NOT_GROWN,
    }
}

pub(in crate::equations) fn file_of(expression: &str) -> String {
    let inputs = NAMES.map(|name| format!("{name} = {{ unit = \"1\", range = [-9, 9] }}\n")).concat();
    format!("[inputs]\n{inputs}[outputs]\ny = {{ unit = \"1\", value = \"{expression}\", range = [-1, 1] }}\n")
}

/// What came of random expressions, each at four points.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Agreement {
    /// Values that were compared.
    pub values: usize,
    /// Points at which the tree has no value.
    pub undefined: usize,
    /// Points at which only one of tree and program has a value: a domain that was widened or narrowed.
    pub domains: usize,
    /// Slopes that were compared with finite differences.
    pub slopes: usize,
    /// The largest difference between tree and program, relative to the value, beyond 64 times what rounding may have made of the tree.
    pub worst_value: f64,
    /// The largest difference between a slope and finite differences, as a fraction of the slope's size.
    pub worst_slope: f64,
    /// The first expression whose value is off by more than 1e-12, whose slope by more than 1e-6, or whose domain is another.
    pub first: Option<String>,
}

impl Agreement {
    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.first.is_none() {
            self.first = Some(what());
        }
    }
}

/// Values and slopes of one expression's program.
struct Compiled(Course);

impl Compiled {
    fn of(expression: &str) -> Result<Self, crate::Error> {
        let (model, _) = file::read("expression", &file_of(expression), None)?;
        Ok(Self(Course::new(&model)))
    }

    fn value(&self, point: &[f64]) -> f64 {
        let (mut work, mut outputs) = (Work::<f64, 1>::new(&self.0, 1), [[0.0]]);
        let inputs: Vec<[f64; 1]> = point.iter().map(|value| [*value]).collect();
        self.0.forward(&self.0.compiled.settled(&[], &[]), &mut work, &inputs, &mut outputs, false);
        outputs[0][0]
    }

    fn slopes(&self, point: &[f64]) -> Vec<f64> {
        let mut work = Work::<f64, 1>::new(&self.0, 1);
        let inputs: Vec<[f64; 1]> = point.iter().map(|value| [*value]).collect();
        let (mut outputs, mut gradients) = ([[0.0]], vec![[0.0]; point.len()]);
        let table = self.0.compiled.settled(&[], &[]);
        self.0.forward(&table, &mut work, &inputs, &mut outputs, true);
        self.0.backward(&table, &mut work, (&inputs, &[[1.0]]), &mut gradients);
        gradients.iter().map(|lane| lane[0]).collect()
    }
}

/// Compares `count` random expressions of depth 2 to 8: trees, programs, and slopes by finite differences.
pub fn agreement(seed: u64, count: usize) -> Result<Agreement, crate::Error> {
    let mut stream = Key::new(seed).branch("expressions").stream();
    let mut found = Agreement::default();
    for number in 0..count {
        let expression = grown(&mut stream, 2 + number % (DEEPEST - 1));
        let compiled = Compiled::of(&expression)?;
        let Ok(expr) = parse(&expression) else { continue };
        for _ in 0..4 {
            let point: Vec<f64> = (0..3).map(|_| 1.2 * f64::from(stream.normal())).collect();
            compare_at(&mut found, &expression, (&expr, &compiled), &point);
        }
    }
    Ok(found)
}

fn compare_at(found: &mut Agreement, expression: &str, (expr, compiled): (&Expr, &Compiled), point: &[f64]) {
    let ((exact, error), value) = (tree(expr, point), compiled.value(point));
    if !error.is_finite() {
        return;
    }
    if exact.is_nan() {
        found.undefined += 1;
        if value.is_finite() {
            found.domains += 1;
            found.note(|| format!("{expression} at {point:?}: nothing became {value}"));
        }
        return;
    }
    // Beyond that rounding is all there is.
    if !exact.is_finite() || 1e100 < exact.abs() || 1e-6 * exact.abs().max(1e-3) < error {
        return;
    }
    found.values += 1;
    if value.is_nan() {
        found.domains += 1;
        found.note(|| format!("{expression} at {point:?}: {exact} became nothing"));
        return;
    }
    let off = ((value - exact).abs() - 64.0 * error).max(0.0) / exact.abs().max(f64::MIN_POSITIVE);
    found.worst_value = found.worst_value.max(off);
    if 1e-12 < off {
        found.note(|| format!("{expression} at {point:?}: {value} instead of {exact}"));
    }
    for (port, slope) in compiled.slopes(point).iter().enumerate() {
        let difference = |h: f64| {
            let moved = |by: f64| {
                let mut point = point.to_vec();
                point[port] += by;
                compiled.value(&point)
            };
            (8.0 * (moved(h) - moved(-h)) - (moved(2.0 * h) - moved(-2.0 * h))) / (12.0 * h)
        };
        // Where two step lengths disagree, there is an edge, or rounding is all there is.
        let [wide, narrow] = [difference(1e-3), difference(5e-4)];
        let size = wide.abs().max(1e-3 * exact.abs()).max(1e-3);
        if (wide - narrow).abs() < 1e-8 * size {
            found.slopes += 1;
            let off = (slope - narrow).abs() / size;
            found.worst_slope = found.worst_slope.max(off);
            if off.is_nan() || 1e-6 <= off {
                found.note(|| format!("{expression} at {point:?} by {port}: {slope} instead of {narrow}"));
            }
        }
    }
}
