//! Headers as manuals print them: `[:SOURce<n>]:VOLTage[:LEVel][:IMMediate]`, and whether a header is one of these.
//!
//! Capitals are the short form, all letters the long form, and nothing between them is the mnemonic (SCPI-99, 6.2.1). What
//! stands in brackets may be left out. A mnemonic may be followed by which one of several is meant: `1`, `[1]`, `#` or `<n>` for any,
//! `<1-4>` or `{1|2}` for some of them. A number that is left out is 1.

/// How a mnemonic is numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbering {
    /// There is this one only.
    One(u32),
    /// There are these; the header's number is handed to whoever obeys.
    Some { low: u32, high: u32 },
}

/// One mnemonic of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    short: String,
    long: String,
    numbering: Numbering,
}

/// A node, or what may be left out.
#[derive(Debug, Clone)]
enum Item {
    Node(Node),
    Optional(Vec<Item>),
}

/// A header with all the ways in which it may be written.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    variants: Vec<Vec<Node>>,
    asks: bool,
}

/// How well a header fits a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It is another command.
    No,
    /// It is this command, but not one of those that there are.
    Number,
    /// It is this command, with these numbers at the places that take any.
    Yes(Vec<u32>),
}

impl Pattern {
    /// Reads a pattern; anything that is not understood as notation is part of a mnemonic.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let (path, asks) = text.strip_suffix('?').map_or((text, false), |path| (path, true));
        let mut rest = path;
        let items = items(&mut rest);
        Self { text: text.to_owned(), variants: expand(&items), asks }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How well a header, whole and in capitals, fits.
    pub fn fit(&self, header: &str) -> Fit {
        let (path, asks) = header.strip_suffix('?').map_or((header, false), |path| (path, true));
        if asks != self.asks {
            return Fit::No;
        }
        let mut best = Fit::No;
        for variant in &self.variants {
            match fit(variant, path) {
                Fit::Yes(numbers) => return Fit::Yes(numbers),
                Fit::Number => best = Fit::Number,
                Fit::No => {}
            }
        }
        best
    }
}

/// Whether a path is exactly these nodes.
fn fit(nodes: &[Node], path: &str) -> Fit {
    let mut words = path.split(':');
    let (mut numbers, mut is_in_range) = (Vec::new(), true);
    for node in nodes {
        let Some(word) = words.next() else { return Fit::No };
        let (stem, number) = split_number(word);
        if stem != node.short && stem != node.long {
            return Fit::No;
        }
        // No instrument has as many as that.
        let number = if number.is_empty() { 1 } else { number.parse().unwrap_or(u32::MAX) };
        match node.numbering {
            Numbering::One(one) => is_in_range &= number == one,
            Numbering::Some { low, high } => {
                is_in_range &= (low..=high).contains(&number);
                numbers.push(number);
            }
        }
    }
    match (words.next(), is_in_range) {
        (Some(_), _) => Fit::No,
        (None, false) => Fit::Number,
        (None, true) => Fit::Yes(numbers),
    }
}

/// Letters, and the digits at their end.
fn split_number(word: &str) -> (&str, &str) {
    word.split_at(word.trim_end_matches(|letter: char| letter.is_ascii_digit()).len())
}

/// The items up to the end or the bracket that closes what may be left out.
fn items(rest: &mut &str) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        *rest = rest.trim_start_matches(':');
        match rest.chars().next() {
            None => return items,
            Some(']') => {
                *rest = &rest[1..];
                return items;
            }
            Some('[') => {
                *rest = &rest[1..];
                items.push(Item::Optional(self::items(rest)));
            }
            Some(_) => items.push(Item::Node(node(rest))),
        }
    }
}

/// One mnemonic with its numbering.
fn node(rest: &mut &str) -> Node {
    let end = rest.find([':', '[', ']', '<', '{', '#']).unwrap_or(rest.len());
    let (word, tail) = rest.split_at(end);
    *rest = tail;
    let (stem, digits) = split_number(word);
    let mut numbering = Numbering::One(digits.parse().unwrap_or(1));
    if let Some((found, length)) = numbering_at(rest) {
        numbering = found;
        *rest = &rest[length..];
    } else if end == 0 {
        // A bracket that nothing closes is no notation.
        let mut letters = rest.chars();
        let _ = letters.next();
        *rest = letters.as_str();
    }
    let (short, long) = forms(stem);
    Node { short, long, numbering }
}

/// The numbering that a text begins with, and its length: `#`, `<n>`, `[1]`, `<1-4>`, `{[1]|2}`.
fn numbering_at(text: &str) -> Option<(Numbering, usize)> {
    let any = Numbering::Some { low: 0, high: u32::MAX - 1 };
    if text.starts_with('#') {
        return Some((any, 1));
    }
    let close = match text.chars().next()? {
        '<' => '>',
        '{' => '}',
        '[' => ']',
        _ => return None,
    };
    let end = text.find(close)?;
    let inside = &text[1..end];
    if close == ']' {
        // `[1]`, `[n]` and `[<n>]` number; `[:LEVel]` and `[SOURce:]` may be left out.
        if let Ok(one) = inside.parse() {
            return Some((Numbering::One(one), end + 1));
        }
        let inner = numbering_at(inside).filter(|(_, length)| *length == inside.len()).map(|(numbering, _)| numbering);
        return inner.or((inside == "n").then_some(any)).map(|numbering| (numbering, end + 1));
    }
    let numbers: Vec<u32> = inside.split(|letter: char| !letter.is_ascii_digit()).flat_map(str::parse).collect();
    let some =
        numbers.iter().min().zip(numbers.iter().max()).map(|(low, high)| Numbering::Some { low: *low, high: *high });
    Some((some.unwrap_or(any), end + 1))
}

/// The short and the long form of a mnemonic, both in capitals.
pub(super) fn forms(word: &str) -> (String, String) {
    let long = word.to_uppercase();
    let short: String = word.chars().filter(|letter| !letter.is_ascii_lowercase()).collect();
    if short.is_empty() {
        return (long.clone(), long);
    }
    if short != long {
        return (short, long);
    }
    // Written in capitals only, it may be either form of a mnemonic of the standard.
    let mut known = STANDARD.iter().map(|word| (word.trim_end_matches(char::is_lowercase), word.to_uppercase()));
    let known = known.find(|(short, whole)| **short == long || *whole == long);
    known.map_or((short, long), |(short, whole)| (short.to_owned(), whole))
}

/// All ways to write some items.
fn expand(items: &[Item]) -> Vec<Vec<Node>> {
    let mut variants: Vec<Vec<Node>> = vec![vec![]];
    for item in items {
        match item {
            Item::Node(node) => variants.iter_mut().for_each(|variant| variant.push(node.clone())),
            Item::Optional(inner) => {
                let inner = expand(inner);
                let with = variants.iter().flat_map(|variant| {
                    inner.iter().map(move |tail| variant.iter().chain(tail).cloned().collect::<Vec<_>>())
                });
                let with: Vec<_> = with.collect();
                variants.extend(with);
            }
        }
    }
    variants.retain(|variant| !variant.is_empty());
    variants
}

/// Mnemonics of SCPI-99, volume 2: rig files often give one form only.
const STANDARD: [&str; 96] = [
    "ABORt",
    "ACQuire",
    "ADDRess",
    "AMPLitude",
    "APERture",
    "ARBitrary",
    "ATTenuation",
    "AVERage",
    "BANDwidth",
    "BEEPer",
    "BORDer",
    "BURSt",
    "CALibration",
    "CATalog",
    "CENTer",
    "CHANnel",
    "CLEar",
    "CLOCk",
    "CLOSe",
    "CONDition",
    "CONFigure",
    "CONTinuous",
    "CONTrol",
    "COUNt",
    "COUPling",
    "CURRent",
    "DCYCle",
    "DECimation",
    "DEFault",
    "DELay",
    "DELete",
    "DETector",
    "DIGital",
    "DISPlay",
    "DWELl",
    "ENABle",
    "ERRor",
    "EVENt",
    "EXTernal",
    "FETCh",
    "FILTer",
    "FORMat",
    "FREQuency",
    "FUNCtion",
    "HOLDoff",
    "IMMediate",
    "IMPedance",
    "INITiate",
    "INPut",
    "INSTrument",
    "INTernal",
    "LENGth",
    "LEVel",
    "LIMit",
    "MARKer",
    "MEASure",
    "MEMory",
    "NCYCles",
    "NEGative",
    "NORMal",
    "OFFSet",
    "OPERation",
    "OSCillator",
    "OUTPut",
    "PERiod",
    "PHASe",
    "POINts",
    "POLarity",
    "POSitive",
    "POWer",
    "PRESet",
    "PULSe",
    "QUEStionable",
    "RANGe",
    "RESistance",
    "RESolution",
    "ROSCillator",
    "SAMPle",
    "SCALe",
    "SENSe",
    "SINusoid",
    "SLOPe",
    "SOURce",
    "SQUare",
    "STARt",
    "STATe",
    "STATus",
    "SWEep",
    "SYSTem",
    "TIMer",
    "TRACe",
    "TRIGger",
    "VERSion",
    "VOLTage",
    "WAVeform",
    "WIDTh",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, header: &str) -> Fit {
        Pattern::new(pattern).fit(header)
    }

    #[test]
    fn the_short_and_the_long_form_and_nothing_between() {
        let yes = Fit::Yes(vec![]);
        for header in ["SYST:ERR?", "SYSTEM:ERROR?", "SYST:ERROR?", "SYST:ERR:NEXT?", "SYST1:ERR?"] {
            assert_eq!(fits("SYSTem:ERRor[:NEXT]?", header), yes, "{header}");
        }
        for header in
            ["SYS:ERR?", "SYSTE:ERR?", "SYST:ERR", "SYST:ERRO?", "SYST:ERR:NEX?", "SYST:ERR:NEXT:NEXT?", "SYST?"]
        {
            assert_eq!(fits("SYSTem:ERRor[:NEXT]?", header), Fit::No, "{header}");
        }
        assert_eq!(fits("SYSTem:ERRor[:NEXT]?", "SYST2:ERR?"), Fit::Number);
        assert_eq!(fits("SOUR1:FUNC", "SOURCE1:FUNCTION"), yes, "a rig file often gives the short form only");
        assert_eq!(fits("SOURCE1:FUNCTION", "SOUR:FUNC"), yes, "or the long one");
        assert_eq!(fits("SOUR1:FUNC", "SOURCE1:FUNCTIO"), Fit::No);
    }

    #[test]
    fn headers_as_manuals_print_them() {
        let source = "[:SOURce<n>]:VOLTage[:LEVel][:IMMediate][:AMPLitude]";
        assert_eq!(fits(source, "SOUR3:VOLT"), Fit::Yes(vec![3]));
        assert_eq!(fits(source, "VOLT:IMM:AMPL"), Fit::Yes(vec![]));
        assert_eq!(fits(source, "SOURCE:VOLTAGE:LEVEL:AMPLITUDE"), Fit::Yes(vec![1]), "1 is left out");
        assert_eq!(fits(source, "VOLT:AMPL:IMM"), Fit::No);
        for pattern in ["[SOURce:]FREQuency", "[SOURce[1]:]FREQuency[:CW]"] {
            assert_eq!(fits(pattern, "FREQ"), Fit::Yes(vec![]), "{pattern}");
        }
        for pattern in ["OUTPut{[1]|2}:STATe", "OUTPut<1-2>:STATe", "OUTPut[<1|2>]:STATe"] {
            assert_eq!(fits(pattern, "OUTP2:STAT"), Fit::Yes(vec![2]), "{pattern}");
            assert_eq!(fits(pattern, "OUTP3:STAT"), Fit::Number, "{pattern}");
        }
        assert_eq!(fits("SOUR#:TRAC:DATA:DATA", "SOUR2:TRAC:DATA:DATA"), Fit::Yes(vec![2]));
        assert_eq!(fits("OUTPut[1]", "OUTP"), Fit::Yes(vec![]));
        assert_eq!(fits("A[:LEVel[:IMMediate]]?", "A:LEV:IMM?"), Fit::Yes(vec![]));
        assert_eq!(fits("A[:LEVel[:IMMediate]]?", "A:IMM?"), Fit::No);
        assert_eq!(fits("SOUR#:VOLT", "SOUR99999999999:VOLT"), Fit::Number);
    }
}
