//! Units: seven base dimensions with rational exponents, and names for them.

use std::collections::HashMap;
use std::ops::{Div, Mul};

/// A rational exponent in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Exponent {
    over: i32,
    under: i32,
}

impl Exponent {
    const ZERO: Self = Self { over: 0, under: 1 };

    /// `None` where an exponent is out of all proportion.
    fn new(over: i64, under: i64) -> Option<Self> {
        let (mut a, mut b) = (over.unsigned_abs(), under.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let divisor = i64::try_from(a).ok()?.max(1) * under.signum();
        let [over, under] = [over / divisor, under / divisor];
        (over.abs() <= 1000 && under <= 1000).then_some(Self { over: over as i32, under: under as i32 })
    }

    fn plus(self, other: Self, sign: i64) -> Option<Self> {
        let [a, b, c, d] = [self.over, self.under, other.over, other.under].map(i64::from);
        Self::new(a * d + sign * c * b, b * d)
    }
}

/// The dimension of a quantity: exponents of m, kg, s, A, K, mol, cd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Dimension([Exponent; 7]);

const BASES: [&str; 7] = ["m", "kg", "s", "A", "K", "mol", "cd"];

/// Units with a name of their own: exponents of m, kg, s, A, K, mol, cd. Those without prefix come first where several agree.
const NAMED: [(&str, [i32; 7]); 27] = [
    ("m", [1, 0, 0, 0, 0, 0, 0]),
    ("g", [0, 1, 0, 0, 0, 0, 0]),
    ("s", [0, 0, 1, 0, 0, 0, 0]),
    ("A", [0, 0, 0, 1, 0, 0, 0]),
    ("K", [0, 0, 0, 0, 1, 0, 0]),
    ("mol", [0, 0, 0, 0, 0, 1, 0]),
    ("cd", [0, 0, 0, 0, 0, 0, 1]),
    ("Hz", [0, 0, -1, 0, 0, 0, 0]),
    ("N", [1, 1, -2, 0, 0, 0, 0]),
    ("Pa", [-1, 1, -2, 0, 0, 0, 0]),
    ("J", [2, 1, -2, 0, 0, 0, 0]),
    ("W", [2, 1, -3, 0, 0, 0, 0]),
    ("C", [0, 0, 1, 1, 0, 0, 0]),
    ("V", [2, 1, -3, -1, 0, 0, 0]),
    ("F", [-2, -1, 4, 2, 0, 0, 0]),
    ("ohm", [2, 1, -3, -2, 0, 0, 0]),
    ("Ω", [2, 1, -3, -2, 0, 0, 0]),
    ("S", [-2, -1, 3, 2, 0, 0, 0]),
    ("Wb", [2, 1, -2, -1, 0, 0, 0]),
    ("T", [0, 1, -2, -1, 0, 0, 0]),
    ("H", [2, 1, -2, -2, 0, 0, 0]),
    ("lm", [0, 0, 0, 0, 0, 0, 1]),
    ("lx", [-2, 0, 0, 0, 0, 0, 1]),
    ("rad", [0; 7]),
    ("sr", [0; 7]),
    ("L", [3, 0, 0, 0, 0, 0, 0]),
    ("eV", [2, 1, -2, 0, 0, 0, 0]),
];

const PREFIXES: [(&str, f64); 14] = [
    ("da", 1e1),
    ("f", 1e-15),
    ("p", 1e-12),
    ("n", 1e-9),
    ("µ", 1e-6),
    ("u", 1e-6),
    ("m", 1e-3),
    ("c", 1e-2),
    ("d", 1e-1),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("h", 1e2),
];

impl Dimension {
    pub const NONE: Self = Self([Exponent::ZERO; 7]);
    pub const TIME: Self = Self::whole([0, 0, 1, 0, 0, 0, 0]);

    const fn whole(exponents: [i32; 7]) -> Self {
        let mut all = [Exponent::ZERO; 7];
        let mut base = 0;
        while base < 7 {
            all[base].over = exponents[base];
            base += 1;
        }
        Self(all)
    }

    /// To the power of `over`/`under`; `None` where the exponents get out of all proportion.
    pub fn power(self, over: i64, under: i64) -> Option<Self> {
        let mut all = self.0;
        for exponent in &mut all {
            *exponent = Exponent::new(i64::from(exponent.over) * over, i64::from(exponent.under) * under)?;
        }
        Some(Self(all))
    }

    fn joined(self, other: Self, sign: i64) -> Self {
        // Exponents beyond a thousand are no physics: such a product keeps its first factor's, and will not fit.
        Self(std::array::from_fn(|base| self.0[base].plus(other.0[base], sign).unwrap_or(self.0[base])))
    }

    /// In base units.
    fn spelled(self) -> String {
        let part = |(base, exponent): (&str, &Exponent)| match exponent {
            Exponent { over: 0, .. } => None,
            Exponent { over: 1, under: 1 } => Some(base.to_owned()),
            Exponent { over, under: 1 } => Some(format!("{base}^{over}")),
            Exponent { over, under } => Some(format!("{base}^({over}/{under})")),
        };
        let parts: Vec<String> = BASES.into_iter().zip(&self.0).filter_map(part).collect();
        if parts.is_empty() { "1".to_owned() } else { parts.join("*") }
    }
}

impl Mul for Dimension {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        self.joined(other, 1)
    }
}

impl Div for Dimension {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        self.joined(other, -1)
    }
}

/// A unit as the file writes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    pub dimension: Dimension,
    /// What one of it is in SI units without prefix.
    pub scale: f64,
}

/// Reads a unit such as `V`, `mA`, `m/s^2`, `V*Hz^(-1/2)` or `1`.
pub(super) fn read(text: &str) -> Option<Unit> {
    let mut unit = Unit { dimension: Dimension::NONE, scale: 1.0 };
    let mut rest = text.trim();
    if rest.is_empty() || text.len() > 200 {
        return None;
    }
    let mut divides = false;
    loop {
        let end = rest.find(['*', '/', '·']).unwrap_or(rest.len());
        // A fraction in an exponent stands in brackets.
        let end = match rest.find('(') {
            Some(open) if open < end => open + rest[open..].find(')')? + 1,
            _ => end,
        };
        let (factor, after) = rest.split_at(end);
        let (name, exponent) = factor.trim().split_once('^').unwrap_or((factor.trim(), "1"));
        let exponent = exponent.trim().trim_start_matches('(').trim_end_matches(')');
        let (over, under) = exponent.split_once('/').unwrap_or((exponent, "1"));
        let (over, under) = (over.trim().parse::<i64>().ok()?, under.trim().parse::<i64>().ok()?);
        if under < 1 || over.abs() > 100 || under > 100 {
            return None;
        }
        let over = if divides { -over } else { over };
        let (dimension, scale) = named(name.trim())?;
        unit.dimension = unit.dimension * dimension.power(over, under)?;
        unit.scale *= scale.powf(over as f64 / under as f64);
        let Some(sign) = after.trim_start().chars().next() else { break };
        divides = match sign {
            '*' | '·' => false,
            '/' => true,
            _ => return None,
        };
        rest = &after.trim_start()[sign.len_utf8()..];
    }
    Some(unit)
}

/// A unit's name, with or without prefix.
fn named(name: &str) -> Option<(Dimension, f64)> {
    let plain = |name: &str| NAMED.iter().find(|(known, _)| *known == name).map(|(_, of)| Dimension::whole(*of));
    let own_scale = |name: &str| match name {
        "g" | "L" => 1e-3,
        "eV" => 1.602_176_634e-19,
        _ => 1.0,
    };
    match name {
        "1" => return Some((Dimension::NONE, 1.0)),
        "%" => return Some((Dimension::NONE, 1e-2)),
        "deg" | "°" => return Some((Dimension::NONE, std::f64::consts::PI / 180.0)),
        "min" => return Some((Dimension::TIME, 60.0)),
        _ => (),
    }
    if let Some(dimension) = plain(name) {
        return Some((dimension, own_scale(name)));
    }
    PREFIXES.into_iter().find_map(|(prefix, factor)| {
        let rest = name.strip_prefix(prefix)?;
        Some((plain(rest)?, factor * own_scale(rest)))
    })
}

/// Dimensions in the words of one file: its own units first, then names that everybody knows, then quotients and products of
/// two of them, then base units.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    known: HashMap<Dimension, String>,
    /// In the order in which the file names them.
    order: Vec<(Dimension, String)>,
}

impl Words {
    /// The file uses `text` for `dimension`.
    pub fn learn(&mut self, dimension: Dimension, text: &str) {
        if !self.known.contains_key(&dimension) && self.order.len() < 64 {
            self.known.insert(dimension, text.to_owned());
            self.order.push((dimension, text.to_owned()));
        }
    }

    /// How a reader of the file would say it.
    pub fn say(&self, dimension: Dimension) -> String {
        if dimension == Dimension::NONE {
            return "1".to_owned();
        }
        if let Some(known) = self.known.get(&dimension) {
            return known.clone();
        }
        if let Some((name, _)) =
            NAMED.iter().find(|(name, of)| *name != "g" && *name != "L" && Dimension::whole(*of) == dimension)
        {
            return (*name).to_owned();
        }
        let simple = |text: &str| !text.contains(['*', '/', '^', '·']);
        if let Some((_, rate)) = self.order.iter().find(|(of, text)| simple(text) && *of / Dimension::TIME == dimension)
        {
            return format!("{rate}/s");
        }
        for (a, first) in self.order.iter().filter(|(_, text)| simple(text)) {
            for (b, second) in self.order.iter().filter(|(_, text)| simple(text)) {
                for (found, text) in [(*a / *b, format!("{first}/{second}")), (*a * *b, format!("{first}*{second}"))] {
                    if found == dimension {
                        return text;
                    }
                }
            }
        }
        dimension.spelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_with_prefixes_and_rational_exponents() {
        let dimension = |text: &str| read(text).unwrap().dimension;
        assert_eq!(dimension("V"), dimension("ohm*A"));
        assert_eq!(dimension("H"), dimension("V*s/A"));
        assert_eq!(dimension("m/s/s"), dimension("m*s^-2"));
        assert_eq!(dimension("V*Hz^(-1/2)").power(2, 1).unwrap(), dimension("V^2*s"));
        assert_eq!(dimension("rad"), Dimension::NONE);
        for (text, scale) in [("mV", 1e-3), ("kohm", 1e3), ("nF", 1e-9), ("kg", 1.0), ("mm^2", 1e-6), ("1/ms", 1e3)] {
            assert!((read(text).unwrap().scale / scale - 1.0).abs() < 1e-12, "{text}");
        }
        for bad in ["", "volts", "V^x", "V**s", "V/", "m^1/0", "V^999999999999", "(", "a(b"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_dimension_is_said_in_the_words_of_the_file() {
        let mut words = Words::default();
        for text in ["V", "ohm", "nF"] {
            words.learn(read(text).unwrap().dimension, text);
        }
        let say = |text: &str| words.say(read(text).unwrap().dimension);
        assert_eq!(say("A"), "A");
        assert_eq!(say("F"), "nF");
        assert_eq!(say("V/s"), "V/s");
        assert_eq!(say("V*ohm"), "V*ohm");
        assert_eq!(say("kg^(1/2)*m^3"), "m^3*kg^(1/2)");
        assert_eq!(say("1"), "1");
    }
}
