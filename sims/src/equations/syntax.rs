//! What the strings of an equation file mean: an expression with the place of each of its parts.
//!
//! ```text
//! or  and  not  == != < <= > >=  + -  * /  -x  ^          from the loosest to the tightest; `^` binds to its right
//! name   name[k, j + 1]   function(a, b)   (a)   1.5e-3   pi
//! ```
//!
//! Sums and products keep all their parts side by side, so that a long line is not a deep tree.

/// The names that stand for functions.
pub(super) const FUNCTIONS: [&str; 23] = [
    "exp", "ln", "log", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "abs", "sign",
    "floor", "min", "max", "mod", "if", "sum", "table", "delay",
];

/// The most characters of one expression, and the deepest nesting: what nobody writes by hand.
const LONGEST: usize = 65_536;
const DEEPEST: usize = 100;

/// Where a part stands, in bytes from the start of its string.
pub(super) type Span = std::ops::Range<usize>;

/// An expression and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub span: Span,
    pub kind: Kind,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A number. One that is written with an exponent may stand for a quantity: it takes the unit that its line needs.
    Number {
        value: f64,
        bears_unit: bool,
    },
    Name {
        name: String,
        at: Vec<Expr>,
    },
    Call {
        name: String,
        of: Vec<Expr>,
    },
    /// Parts and whether each is subtracted.
    Sum(Vec<(bool, Expr)>),
    /// Parts and whether each divides.
    Product(Vec<(bool, Expr)>),
    Power(Box<Expr>, Box<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Box<Expr>),
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// Why a string is no expression, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unreadable {
    pub at: usize,
    pub what: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    Number(f64, bool),
    Word(&'a str),
    Sign(&'static str),
    End,
}

/// All that is written between words and numbers; longer ones first.
const SIGNS: [&str; 17] = ["<=", ">=", "==", "!=", "+", "-", "*", "/", "^", "(", ")", "[", "]", ",", "<", ">", "="];

/// Reads a whole string.
pub(super) fn parse(text: &str) -> Result<Expr, Unreadable> {
    if text.len() > LONGEST {
        let what = format!("{} characters are too many for one expression: at most {LONGEST} are read", text.len());
        return Err(Unreadable { at: 0, what });
    }
    let mut parser = Parser { text, at: 0, from: 0, token: Token::End, before: 0, depth: 0 };
    parser.advance()?;
    let expr = parser.either()?;
    match parser.token {
        Token::End => Ok(expr),
        _ => parser.fail("an operator or the end was expected"),
    }
}

/// The value of a number, if it is one that can be computed with.
pub(super) fn number(text: &str) -> Result<f64, String> {
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    match text.parse::<f64>() {
        Ok(value) if value.is_infinite() => Err(format!("`{text}` is too large for a number: at most 1.7e308")),
        Ok(0.0) if digits.contains(|c: char| ('1'..='9').contains(&c)) => {
            Err(format!("`{text}` is too small for a number: at least 5e-324, or 0"))
        }
        Ok(value) => Ok(value),
        Err(_) => Err(format!("`{text}` is no number")),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Behind the token at hand.
    at: usize,
    /// Where the token at hand begins.
    from: usize,
    token: Token<'a>,
    /// Where the token before it ended.
    before: usize,
    depth: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, expected: &str) -> Result<T, Unreadable> {
        let found = match &self.token {
            Token::End => "the end".to_owned(),
            _ => format!("`{}`", &self.text[self.from..self.at]),
        };
        Err(Unreadable { at: self.from, what: format!("{found} was found where {expected}") })
    }

    fn advance(&mut self) -> Result<(), Unreadable> {
        self.before = self.at;
        let rest = self.text[self.at..].trim_start();
        self.from = self.text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            (self.at, self.token) = (self.from, Token::End);
            return Ok(());
        };
        let length_of = |accept: &dyn Fn(char) -> bool| rest.find(|c: char| !accept(c)).unwrap_or(rest.len());
        if first.is_ascii_digit() || first == '.' {
            let mut length = length_of(&|c| c.is_ascii_digit() || c == '.');
            let exponent = &rest[length..];
            let bears_unit = exponent.starts_with(['e', 'E']) && {
                let digits = exponent[1..].trim_start_matches(['+', '-']);
                exponent.len() - digits.len() <= 2 && digits.starts_with(|c: char| c.is_ascii_digit())
            };
            if bears_unit {
                let digits = &exponent[1..].trim_start_matches(['+', '-']);
                let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                length = rest.len() - digits.len() + count;
            }
            self.at = self.from + length;
            let value = number(&rest[..length]).map_err(|what| Unreadable { at: self.from, what })?;
            self.token = Token::Number(value, bears_unit);
        } else if first.is_alphabetic() || first == '_' {
            let length = length_of(&|c| c.is_alphanumeric() || c == '_');
            self.at = self.from + length;
            self.token = Token::Word(&self.text[self.from..self.at]);
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            self.at = self.from + sign.len();
            self.token = Token::Sign(sign);
        } else {
            return Err(Unreadable { at: self.from, what: format!("`{first}` has no meaning in an expression") });
        }
        Ok(())
    }

    /// Takes `sign` if it is next.
    fn takes(&mut self, sign: &str) -> Result<bool, Unreadable> {
        let found = match self.token {
            Token::Sign(found) | Token::Word(found) => found == sign,
            _ => false,
        };
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn demand(&mut self, sign: &str) -> Result<(), Unreadable> {
        if self.takes(sign)? { Ok(()) } else { self.fail(&format!("`{sign}` was expected")) }
    }

    fn spanned(&self, from: usize, kind: Kind) -> Expr {
        Expr { span: from..self.before, kind }
    }

    /// Parts of one kind, joined by one word.
    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Expr, Unreadable>,
        all: fn(Vec<Expr>) -> Kind,
    ) -> Result<Expr, Unreadable> {
        let from = self.from;
        let mut parts = vec![part(self)?];
        while self.takes(word)? {
            parts.push(part(self)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { self.spanned(from, all(parts)) })
    }

    fn either(&mut self) -> Result<Expr, Unreadable> {
        self.joined("or", Self::both, Kind::Any)
    }

    fn both(&mut self) -> Result<Expr, Unreadable> {
        self.joined("and", Self::negated, Kind::All)
    }

    fn negated(&mut self) -> Result<Expr, Unreadable> {
        let from = self.from;
        if self.takes("not")? {
            let inner = self.deeper(Self::negated)?;
            return Ok(self.spanned(from, Kind::Not(Box::new(inner))));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, Unreadable> {
        let from = self.from;
        let left = self.sum()?;
        let comparison = match self.token {
            Token::Sign("==") => Comparison::Equal,
            Token::Sign("!=") => Comparison::Unequal,
            Token::Sign("<") => Comparison::Below,
            Token::Sign("<=") => Comparison::AtMost,
            Token::Sign(">") => Comparison::Above,
            Token::Sign(">=") => Comparison::AtLeast,
            Token::Sign("=") => return self.fail("an operator was expected; equal is written `==`"),
            _ => return Ok(left),
        };
        self.advance()?;
        let right = self.sum()?;
        Ok(self.spanned(from, Kind::Compare(comparison, Box::new(left), Box::new(right))))
    }

    fn sum(&mut self) -> Result<Expr, Unreadable> {
        let from = self.from;
        let mut parts = vec![(false, self.product()?)];
        while let Token::Sign(sign @ ("+" | "-")) = self.token {
            self.advance()?;
            parts.push((sign == "-", self.product()?));
        }
        Ok(if parts.len() == 1 { parts.remove(0).1 } else { self.spanned(from, Kind::Sum(parts)) })
    }

    fn product(&mut self) -> Result<Expr, Unreadable> {
        let from = self.from;
        let mut parts = vec![(false, self.signed()?)];
        while let Token::Sign(sign @ ("*" | "/")) = self.token {
            self.advance()?;
            parts.push((sign == "/", self.signed()?));
        }
        Ok(if parts.len() == 1 { parts.remove(0).1 } else { self.spanned(from, Kind::Product(parts)) })
    }

    fn signed(&mut self) -> Result<Expr, Unreadable> {
        let from = self.from;
        if self.takes("-")? {
            let inner = self.deeper(Self::signed)?;
            return Ok(self.spanned(from, Kind::Sum(vec![(true, inner)])));
        }
        if self.takes("+")? {
            return self.deeper(Self::signed);
        }
        self.power()
    }

    fn power(&mut self) -> Result<Expr, Unreadable> {
        let from = self.from;
        let base = self.primary()?;
        if self.takes("^")? {
            let exponent = self.deeper(Self::signed)?;
            return Ok(self.spanned(from, Kind::Power(Box::new(base), Box::new(exponent))));
        }
        Ok(base)
    }

    fn deeper(&mut self, part: impl FnOnce(&mut Self) -> Result<Expr, Unreadable>) -> Result<Expr, Unreadable> {
        if self.depth == DEEPEST {
            let what = format!("the expression is nested more than {DEEPEST} deep");
            return Err(Unreadable { at: self.from, what });
        }
        self.depth += 1;
        let result = part(self);
        self.depth -= 1;
        result
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expr>, Unreadable> {
        let mut parts = Vec::new();
        if self.takes(end)? {
            return Ok(parts);
        }
        loop {
            parts.push(self.deeper(Self::either)?);
            if self.takes(end)? {
                return Ok(parts);
            }
            if !self.takes(",")? {
                return self.fail(&format!("`,` or `{end}` was expected"));
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, Unreadable> {
        let from = self.from;
        match self.token.clone() {
            Token::Number(value, bears_unit) => {
                self.advance()?;
                Ok(self.spanned(from, Kind::Number { value, bears_unit }))
            }
            Token::Word("and" | "or" | "not") | Token::End => self.fail("a value was expected"),
            Token::Word(name) => {
                self.advance()?;
                let name = name.to_owned();
                let kind = if self.takes("(")? {
                    Kind::Call { name, of: self.list(")")? }
                } else if self.takes("[")? {
                    Kind::Name { name, at: self.list("]")? }
                } else {
                    Kind::Name { name, at: Vec::new() }
                };
                Ok(self.spanned(from, kind))
            }
            Token::Sign("(") => {
                self.advance()?;
                let inner = self.deeper(Self::either)?;
                self.demand(")")?;
                Ok(Expr { span: from..self.before, ..inner })
            }
            Token::Sign(_) => self.fail("a value was expected"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_knows_its_parts_and_their_places() {
        let text = "(drive - R*i^2)/L + f(v[k+1], 2e-3)";
        let Kind::Sum(parts) = parse(text).unwrap().kind else { panic!("no sum") };
        assert_eq!(&text[parts[0].1.span.clone()], "(drive - R*i^2)/L");
        assert_eq!(&text[parts[1].1.span.clone()], "f(v[k+1], 2e-3)");
        let Kind::Call { of, .. } = &parts[1].1.kind else { panic!("no call") };
        assert_eq!(of[1].kind, Kind::Number { value: 2e-3, bears_unit: true });
        // A minus binds looser than a power, and tighter than what follows.
        let Kind::Sum(parts) = parse("-x^2").unwrap().kind else { panic!("no minus") };
        assert!(matches!(parts[0], (true, Expr { kind: Kind::Power(..), .. })));
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (text, at, what) in [
            ("a + ", 4, "a value was expected"),
            ("a b", 2, "an operator"),
            ("f(a", 3, "`,` or `)`"),
            ("a # b", 2, "`#` has no meaning"),
            ("1.2.3", 0, "no number"),
            ("1e999", 0, "too large"),
            ("a*1e-400", 2, "too small"),
            ("a = b", 2, "equal is written `==`"),
            ("", 0, "a value was expected"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.at == at && error.what.contains(what), "{text}: {error:?}");
        }
        for text in ["(".repeat(10_000), "-".repeat(10_000), "2^".repeat(10_000), "not ".repeat(10_000)] {
            assert!(parse(&text).unwrap_err().what.contains("nested"));
        }
        assert!(parse(&"x+".repeat(40_000)).unwrap_err().what.contains("too many"));
        assert_eq!(parse(&vec!["x"; 10_000].join("+")).unwrap().span, 0..19_999);
    }
}
