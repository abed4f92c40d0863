//! Terms as text, in LaTeX, and in programming languages.

// Circle with equations/report.rs: what is looked at and how it is written; split for its length.

use super::Looked;
use crate::equations::terms::{Function, Id, Node, Pair};
use crate::equations::wording::said;

/// How terms are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::equations) enum Style {
    Text,
    Latex,
    C,
    Rust,
    Python,
}

/// A term. Binding of its outermost operation: 0 sum, 1 product, 2 power, 3 whole.
pub(in crate::equations) fn printed(looked: &Looked, id: Id, style: Style) -> String {
    written(looked, id, style, &|_| None).0
}

/// The same, with names for some parts.
pub(in crate::equations) fn written(
    looked: &Looked,
    id: Id,
    style: Style,
    named: &dyn Fn(Id) -> Option<String>,
) -> (String, u8) {
    if let Some(name) = named(id) {
        return (name, 3);
    }
    let terms = &looked.terms;
    let within = |part: Id, binding: u8| {
        let (text, own) = written(looked, part, style, named);
        if own < binding { bracketed(&text, style) } else { text }
    };
    match terms.node(id) {
        Node::Number(bits) => number(f64::from_bits(*bits), style),
        Node::Leaf(leaf) => (latex_name(&looked.name(leaf), style), 3),
        Node::Index(var) => (looked.variable(*var), 3),
        Node::Hoisted(part) => written(looked, *part, style, named),
        Node::Sum(parts, constant) => {
            let mut text = String::new();
            for (part, factor) in parts {
                let factor = f64::from_bits(*factor);
                let sign = match (text.is_empty(), factor < 0.0) {
                    (true, false) => "",
                    (true, true) => "-",
                    (false, false) => " + ",
                    (false, true) => " - ",
                };
                text.push_str(sign);
                if factor.abs() != 1.0 {
                    text.push_str(&number(factor.abs(), style).0);
                    text.push_str(times(style));
                }
                text.push_str(&within(*part, 1));
            }
            let constant = f64::from_bits(*constant);
            if constant != 0.0 {
                text.push_str(if constant < 0.0 { " - " } else { " + " });
                text.push_str(&number(constant.abs(), style).0);
            }
            (text, 0)
        }
        Node::Product(parts) => {
            let power = |part: Id, halves: i32| match (halves, style) {
                (2, _) => within(part, 2),
                (1, Style::Latex) => format!("\\sqrt{{{}}}", within(part, 0)),
                (_, Style::Latex) if halves % 2 == 0 => format!("{{{}}}^{{{}}}", within(part, 3), halves / 2),
                (_, Style::Latex) => format!("{{{}}}^{{{halves}/2}}", within(part, 3)),
                (1, _) => call("sqrt", &within(part, 0), style),
                (_, Style::Text) if halves % 2 == 0 => format!("{}^{}", within(part, 3), halves / 2),
                (_, Style::Text) => format!("{}^({halves}/2)", within(part, 3)),
                (_, Style::Rust) if halves % 2 == 0 => format!("({}).powi({})", within(part, 0), halves / 2),
                (_, Style::Rust) => format!("({}).powf({:?})", within(part, 0), 0.5 * f64::from(halves)),
                (_, Style::Python) => format!("power({}, {:?})", within(part, 0), 0.5 * f64::from(halves)),
                (_, Style::C) => format!("pow({}, {:?})", within(part, 0), 0.5 * f64::from(halves)),
            };
            let (over, under): (Vec<_>, Vec<_>) = parts.iter().partition(|(_, halves)| 0 <= *halves);
            let joined = |list: &[&(Id, i32)]| {
                list.iter().map(|(part, halves)| power(*part, halves.abs())).collect::<Vec<_>>().join(times(style))
            };
            let over = if over.is_empty() { number(1.0, style).0 } else { joined(&over) };
            if under.is_empty() {
                let lone = parts.len() == 1;
                return (over, if lone { 2 } else { 1 });
            }
            let below = joined(&under);
            match style {
                Style::Latex => (format!("\\frac{{{over}}}{{{below}}}"), 2),
                Style::Python => (format!("divided({over}, {below})"), 3),
                _ if under.len() == 1 => (format!("{over}/{below}"), 1),
                _ => (format!("{over}/({below})"), 1),
            }
        }
        Node::Call(function, part) => {
            let inner = within(*part, 0);
            (call(function.name(), &inner, style), 3)
        }
        Node::Pair(pair, a, b) => {
            let (a, b) = (within(*a, 0), within(*b, 0));
            (two(*pair, &a, &b, style), 3)
        }
        Node::Select(condition, yes, no) => {
            let [condition, yes, no] = [*condition, *yes, *no].map(|part| within(part, 0));
            let text = match style {
                Style::Text => format!("if({condition}, {yes}, {no})"),
                Style::Latex => format!("\\begin{{cases}}{yes}&{condition}\\\\{no}\\end{{cases}}"),
                Style::C => format!("(({condition}) != 0.0 ? ({yes}) : ({no}))"),
                Style::Rust => format!("(if ({condition}) != 0.0 {{ {yes} }} else {{ {no} }})"),
                Style::Python => format!("(({yes}) if ({condition}) != 0.0 else ({no}))"),
            };
            (text, 3)
        }
        Node::Reduce(var, body) => {
            let name = looked.variable(*var);
            let inner = within(*body, 0);
            match style {
                Style::Latex => (format!("\\sum_{{{name}}} {}", within(*body, 1)), 1),
                _ => (format!("sum({name}, {inner})"), 3),
            }
        }
    }
}

fn times(style: Style) -> &'static str {
    if style == Style::Latex { "\\," } else { "*" }
}

fn bracketed(text: &str, style: Style) -> String {
    if style == Style::Latex { format!("\\left({text}\\right)") } else { format!("({text})") }
}

fn number(value: f64, style: Style) -> (String, u8) {
    let text = match style {
        Style::Text => said(value),
        Style::Rust => format!("{value:?}_f64"),
        Style::Latex => {
            let text = format!("{value:e}");
            match text.split_once('e') {
                Some((digits, "0")) => digits.to_owned(),
                Some((_, power)) if (-3..=4).contains(&power.parse::<i32>().unwrap_or(9)) => format!("{value}"),
                Some((digits, power)) => format!("{digits}\\cdot 10^{{{power}}}"),
                None => text,
            }
        }
        _ => format!("{value:?}"),
    };
    let binding = if value < 0.0 { 0 } else { 3 };
    (text, binding)
}

/// A name in LaTeX: indices below, names of several letters upright.
fn latex_name(name: &str, style: Style) -> String {
    if style != Style::Latex {
        return name.to_owned();
    }
    if let Some((of, samples)) = name.strip_prefix("delay(").and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", "))
    {
        return format!("\\operatorname{{delay}}\\left({}, {samples}\\right)", latex_name(of, style));
    }
    let (base, index) = name.trim_end_matches(']').split_once('[').unwrap_or((name, ""));
    let base = base.replace('_', "\\_");
    let base = if base.chars().count() == 1 { base } else { format!("\\mathrm{{{base}}}") };
    if index.is_empty() { base } else { format!("{base}_{{{index}}}") }
}

fn call(name: &str, inner: &str, style: Style) -> String {
    match (style, name) {
        (Style::Latex, "floor") => format!("\\left\\lfloor {inner}\\right\\rfloor"),
        (Style::Latex, "abs") => format!("\\left|{inner}\\right|"),
        (Style::Latex, "exp" | "ln" | "sin" | "cos" | "tan" | "sinh" | "cosh" | "tanh") => {
            format!("\\{name}\\left({inner}\\right)")
        }
        (Style::Latex, _) => format!("\\operatorname{{{name}}}\\left({inner}\\right)"),
        (Style::C, "ln") => format!("log({inner})"),
        (Style::C, "abs") => format!("fabs({inner})"),
        (Style::C, "sign") => format!("(double)((({inner}) > 0.0) - (({inner}) < 0.0))"),
        (Style::Text | Style::C, _) => format!("{name}({inner})"),
        (Style::Rust, "sign") => format!("sign({inner})"),
        (Style::Rust, _) => format!("({inner}).{name}()"),
        (Style::Python, "ln") => format!("of(math.log, {inner})"),
        (Style::Python, "abs") => format!("abs({inner})"),
        (Style::Python, "sign") => format!("(({inner} > 0.0) - ({inner} < 0.0))"),
        (Style::Python, _) => format!("of(math.{name}, {inner})"),
    }
}

fn two(pair: Pair, a: &str, b: &str, style: Style) -> String {
    let sign = match pair {
        Pair::Below => "<",
        Pair::AtMost => "<=",
        Pair::Equal => "==",
        Pair::Min | Pair::Max => {
            let name = if pair == Pair::Min { "min" } else { "max" };
            return match style {
                Style::Text | Style::Python => format!("{name}({a}, {b})"),
                Style::Latex => format!("\\{name}\\left({a}, {b}\\right)"),
                Style::C => format!("f{name}({a}, {b})"),
                Style::Rust => format!("({a}).{name}({b})"),
            };
        }
        Pair::Power => {
            return match style {
                Style::Text => format!("({a})^({b})"),
                Style::Latex => format!("\\left({a}\\right)^{{{b}}}"),
                Style::C => format!("pow({a}, {b})"),
                Style::Rust => format!("({a}).powf({b})"),
                Style::Python => format!("power({a}, {b})"),
            };
        }
    };
    match style {
        Style::Text | Style::Latex => format!("{a} {sign} {b}"),
        Style::C => format!("(double)(({a}) {sign} ({b}))"),
        Style::Rust => format!("f64::from(u8::from(({a}) {sign} ({b})))"),
        Style::Python => format!("float(({a}) {sign} ({b}))"),
    }
}

/// Whether a term is written out rather than given a name of its own.
pub(in crate::equations) fn is_plain(node: &Node) -> bool {
    matches!(node, Node::Number(_) | Node::Leaf(_) | Node::Index(_)) || matches!(node, Node::Call(Function::Sqrt, _))
}
