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
const NAMED: [(&str, [i32; 7]); 25] = [
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
];

/// Units that are so many of another, which may have prefixes too.
const SCALED: [(&str, f64, [i32; 7]); 4] = [
    ("L", 1e-3, [3, 0, 0, 0, 0, 0, 0]),
    ("l", 1e-3, [3, 0, 0, 0, 0, 0, 0]),
    ("bar", 1e5, [-1, 1, -2, 0, 0, 0, 0]),
    ("eV", 1.602_176_634e-19, [2, 1, -2, 0, 0, 0, 0]),
];

/// The same, which have no prefixes.
const ALONE: [(&str, f64, [i32; 7]); 11] = [
    ("1", 1.0, [0; 7]),
    ("%", 1e-2, [0; 7]),
    ("ppm", 1e-6, [0; 7]),
    ("deg", std::f64::consts::PI / 180.0, [0; 7]),
    ("°", std::f64::consts::PI / 180.0, [0; 7]),
    ("min", 60.0, [0, 0, 1, 0, 0, 0, 0]),
    ("h", 3600.0, [0, 0, 1, 0, 0, 0, 0]),
    ("hour", 3600.0, [0, 0, 1, 0, 0, 0, 0]),
    ("d", 86_400.0, [0, 0, 1, 0, 0, 0, 0]),
    ("day", 86_400.0, [0, 0, 1, 0, 0, 0, 0]),
    ("atm", 101_325.0, [-1, 1, -2, 0, 0, 0, 0]),
];

/// Temperatures with a zero of their own: no factor makes kelvins of them.
const SHIFTED: [&str; 6] = ["degC", "°C", "℃", "degF", "°F", "celsius"];

const PREFIXES: [(&str, f64); 16] = [
    ("da", 1e1),
    ("a", 1e-18),
    ("f", 1e-15),
    ("p", 1e-12),
    ("n", 1e-9),
    ("µ", 1e-6),
    // The Greek letter.
    ("\u{3bc}", 1e-6),
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

/// How deep a unit may be in brackets, and its longest text.
const DEEPEST: usize = 8;
const LONGEST: usize = 200;

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

impl Unit {
    const NONE: Self = Self { dimension: Dimension::NONE, scale: 1.0 };

    fn power(self, over: i64, under: i64) -> Option<Self> {
        let scale = self.scale.powf(over as f64 / under as f64);
        Some(Self { dimension: self.dimension.power(over, under)?, scale })
    }
}

/// Reads a unit such as `V`, `mA`, `m/s^2`, `m²/(V*s)`, `V*Hz^(-1/2)`, `V^0.5` or `1`; says why where it is none.
pub(super) fn read(text: &str) -> Result<Unit, String> {
    if let Some(shifted) = SHIFTED.iter().find(|name| text.contains(**name)) {
        return Err(format!(
            "`{text}`: a temperature in {shifted} has a zero of its own: write K, with 273.15 added to values in °C"
        ));
    }
    let mut reader = UnitReader { rest: text.trim(), depth: 0 };
    let unit = if text.len() <= LONGEST { reader.product() } else { None };
    match unit {
        Some(unit) if reader.rest.is_empty() && unit.scale.is_normal() => Ok(unit),
        _ => {
            let shown: String = text.chars().take(LONGEST).collect();
            Err(format!(
                "`{shown}` is no unit that is known: SI units such as V, ohm, m/s^2, m^2/(V*s), with prefixes, and 1"
            ))
        }
    }
}

struct UnitReader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> UnitReader<'a> {
    fn takes(&mut self, signs: &[char]) -> Option<char> {
        let rest = self.rest.trim_start();
        let sign = rest.chars().next().filter(|sign| signs.contains(sign))?;
        self.rest = &rest[sign.len_utf8()..];
        Some(sign)
    }

    fn product(&mut self) -> Option<Unit> {
        let mut unit = Unit::NONE;
        let mut sign = '*';
        loop {
            let factor = self.factor()?;
            let factor = if sign == '/' { factor.power(-1, 1)? } else { factor };
            unit = Unit { dimension: unit.dimension * factor.dimension, scale: unit.scale * factor.scale };
            match self.takes(&['*', '/', '·', '⋅']) {
                Some(next) => sign = next,
                None => return Some(unit),
            }
        }
    }

    fn factor(&mut self) -> Option<Unit> {
        let unit = if self.takes(&['(']).is_some() {
            self.depth += 1;
            if DEEPEST < self.depth {
                return None;
            }
            let inner = self.product()?;
            self.takes(&[')'])?;
            self.depth -= 1;
            inner
        } else {
            self.rest = self.rest.trim_start();
            let is_name = |c: char| c.is_alphabetic() || matches!(c, '%' | '°' | '1');
            named(self.span(is_name))?
        };
        let raised = self.span(|c| superscript(c).is_some());
        if !raised.is_empty() {
            let plain: String = raised.chars().filter_map(superscript).collect();
            let (over, under) = decimal(&plain)?;
            return unit.power(over, under);
        }
        if self.takes(&['^']).is_none() {
            return Some(unit);
        }
        let (over, under) = if self.takes(&['(']).is_some() {
            let (over, under) = self.decimal()?;
            let (by, below) = if self.takes(&['/']).is_some() { self.decimal()? } else { (1, 1) };
            self.takes(&[')'])?;
            // A fraction is of whole numbers.
            if by < 1 || below != 1 || (by != 1 && under != 1) {
                return None;
            }
            (over, under * by)
        } else {
            self.decimal()?
        };
        unit.power(over, under)
    }

    /// The letters that come next.
    fn span(&mut self, of: impl Fn(char) -> bool) -> &'a str {
        let (span, rest) = self.rest.split_at(self.rest.find(|c: char| !of(c)).unwrap_or(self.rest.len()));
        self.rest = rest;
        span
    }

    fn decimal(&mut self) -> Option<(i64, i64)> {
        self.rest = self.rest.trim_start();
        decimal(self.span(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
    }
}

/// A number of at most three decimals as a quotient.
fn decimal(text: &str) -> Option<(i64, i64)> {
    let (whole, parts) = text.split_once('.').unwrap_or((text, ""));
    if 3 < parts.len() || !parts.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let under = 10_i64.pow(parts.len() as u32);
    let over: i64 = format!("{whole}{parts}").parse().ok()?;
    (over.abs() <= 100 * under).then_some((over, under))
}

fn superscript(letter: char) -> Option<char> {
    Some(match letter {
        '⁻' => '-',
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁰' => '0',
        '⁴'..='⁹' => char::from(b'4' + (u32::from(letter) - u32::from('⁴')) as u8),
        _ => return None,
    })
}

/// A unit's name, with or without prefix.
fn named(name: &str) -> Option<Unit> {
    let of = |exponents: [i32; 7], scale: f64| Unit { dimension: Dimension::whole(exponents), scale };
    let plain = |name: &str| {
        let own = NAMED.iter().find(|(known, _)| *known == name);
        let own = own.map(|(_, exponents)| of(*exponents, if name == "g" { 1e-3 } else { 1.0 }));
        own.or_else(|| {
            SCALED.iter().find(|(known, ..)| *known == name).map(|(_, scale, exponents)| of(*exponents, *scale))
        })
    };
    if let Some((_, scale, exponents)) = ALONE.iter().find(|(known, ..)| *known == name) {
        return Some(of(*exponents, *scale));
    }
    plain(name).or_else(|| {
        PREFIXES.into_iter().find_map(|(prefix, factor)| {
            let unit = plain(name.strip_prefix(prefix)?)?;
            Some(Unit { scale: factor * unit.scale, ..unit })
        })
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
        if let Some((name, _)) = NAMED.iter().find(|(name, of)| *name != "g" && Dimension::whole(*of) == dimension) {
            return (*name).to_owned();
        }
        let simple = |text: &str| text.chars().all(|c| c.is_alphabetic() || matches!(c, '°' | '%'));
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
        assert_eq!(dimension("m^2/(V*s)"), dimension("m²·V⁻¹*s^-1"));
        assert_eq!(dimension("V^0.5/s^1.5"), dimension("(V/s^3)^(1/2)"));
        assert_eq!(dimension("s^-1.5"), dimension("1/s^(3/2)"));
        for (text, scale) in [
            ("mV", 1e-3),
            ("kohm", 1e3),
            ("nF", 1e-9),
            ("kg", 1.0),
            ("mm^2", 1e-6),
            ("1/ms", 1e3),
            ("µm", 1e-6),
            ("\u{3bc}m", 1e-6),
            ("1/h", 1.0 / 3600.0),
            ("hour", 3600.0),
            ("d", 86_400.0),
            ("day", 86_400.0),
            ("ml", 1e-6),
            ("mbar", 1e2),
            ("atm", 101_325.0),
            ("ppm", 1e-6),
            ("%", 1e-2),
            ("aF", 1e-18),
            ("dam", 10.0),
            ("1/(ms*kohm)", 1.0),
        ] {
            assert!((read(text).unwrap().scale / scale - 1.0).abs() < 1e-12, "{text}");
        }
        for bad in [
            "",
            "volts",
            "V^x",
            "V**s",
            "V/",
            "m^1/0",
            "V^999999999999",
            "(",
            "a(b",
            "V)",
            "V^",
            "V^(1/0)",
            "V^(1/-2)",
            "m²²²²²²²²",
            "V V",
            "mmin",
            "V^0.1234",
            "V^-",
            "V^--1",
            "²",
            "pm^100",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(&"(".repeat(100)).is_err());
        for shifted in ["degC", "°C", "W/degC"] {
            assert!(read(shifted).unwrap_err().contains("write K"), "{shifted}");
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
