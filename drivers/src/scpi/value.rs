//! Values of settings and readings as SCPI writes them.

use crate::mnemonic::same_word;

/// What SCPI writes for infinity (SCPI-99, 7.2.1).
const INFINITY: f64 = 9.9e37;
/// Units that may stand behind a number (IEEE 488.2, 7.7.3).
const UNITS: [&str; 19] = [
    "HZ", "V", "VPP", "VRMS", "A", "S", "SEC", "OHM", "W", "K", "C", "CEL", "F", "DBM", "PCT", "%", "DEG", "SA/S", "SA",
];
/// What a letter before a unit multiplies it with.
const MULTIPLIERS: [(&str, f64); 7] =
    [("T", 1e12), ("G", 1e9), ("K", 1e3), ("M", 1e-3), ("U", 1e-6), ("N", 1e-9), ("P", 1e-12)];

/// A setting of ours: `HEADER VALUE`, and the query that reads it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Such as `SOUR1:VOLT`.
    pub header: String,
    /// Such as `0.5`.
    pub value: String,
    /// Such as `SOUR1:VOLT?`; none where the instrument cannot say.
    pub query: Option<String>,
}

impl Setting {
    /// A setting that is read back by its header with a question mark.
    pub fn new(header: &str, value: &impl std::fmt::Display) -> Self {
        Self { header: header.to_owned(), value: value.to_string(), query: Some(format!("{header}?")) }
    }

    /// The line that sets it.
    pub fn command(&self) -> String {
        if self.value.is_empty() { self.header.clone() } else { format!("{} {}", self.header, self.value) }
    }
}

/// Whether a setting reads back as it was sent: numbers to a thousandth, words in their long or short form with the same number behind,
/// anything else letter for letter.
pub fn agrees(sent: &str, read: &str) -> bool {
    let (sent, read) = (items(sent), items(read));
    sent.len() == read.len() && sent.iter().zip(&read).all(|(sent, read)| same_value(sent, read))
}

/// Whether two values without commas are the same.
fn same_value(sent: &str, read: &str) -> bool {
    if let (Some(sent), Some(read)) = (number(sent), number(read)) {
        return (sent - read).abs() <= 1e-3 * sent.abs().max(1e-9);
    }
    !read.is_empty() && (sent.eq_ignore_ascii_case(read) || same_word(sent, read))
}

/// The values between commas, but for those inside quotes; each without its quotes.
fn items(text: &str) -> Vec<&str> {
    let mut quote = None;
    let is_end = |letter: char| {
        match quote {
            Some(open) if letter == open => quote = None,
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            _ => {}
        }
        letter == ',' && quote.is_none()
    };
    text.split(is_end).map(bare).collect()
}

/// A value without the quotes around it.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let inside = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

/// The number that an instrument answers, with or without quotes around it; none where it is no number, infinite, or what SCPI writes for
/// a reading that is none.
pub(crate) fn told(answer: &[u8]) -> Option<f64> {
    number(bare(&String::from_utf8_lossy(answer))).filter(|value| reading(*value).is_finite())
}

/// A number, with or without its unit; on and off are 1 and 0.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim().to_ascii_uppercase();
    match text.as_str() {
        "ON" => return Some(1.0),
        "OFF" => return Some(0.0),
        "INF" | "INFINITY" => return Some(INFINITY),
        "NINF" | "NINFINITY" => return Some(-INFINITY),
        _ => {}
    }
    for (head, radix) in [("#H", 16), ("#Q", 8), ("#B", 2)] {
        if let Some(digits) = text.strip_prefix(head) {
            return u32::from_str_radix(digits, radix).ok().map(f64::from);
        }
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return None;
    }
    if let Ok(number) = text.parse::<f64>() {
        return Some(number);
    }
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || "/%".contains(letter));
    let number = digits.trim_end().parse::<f64>().ok()?;
    let (factor, _) = known(&text[digits.len()..])?;
    Some(number * factor)
}

/// A number in the unit `wanted`, such as 15 for `0.015 W` in mW; where nothing stands behind it, or no unit is wanted, as [`number`] has
/// it. The error is the unit behind it that cannot be counted in the one that is wanted.
pub(crate) fn number_in<'a>(text: &'a str, wanted: &str) -> Option<Result<f64, &'a str>> {
    let text = text.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_alphabetic() || "/%°".contains(letter));
    let unit = &text[digits.len()..];
    match digits.trim_end().parse::<f64>() {
        Ok(value) if !unit.is_empty() && !wanted.trim().is_empty() => {
            Some(conversion(unit, wanted).map(|factor| value * factor).ok_or(unit))
        }
        _ => number(text).map(Ok),
    }
}

/// What one `written` is in `wanted`, such as 0.001 for mW in W. A unit that is not among those of the standard is only itself: `PA` is a
/// pascal where pascals are wanted, and a picoampere elsewhere.
fn conversion(written: &str, wanted: &str) -> Option<f64> {
    let (written, wanted) = (plain(written), plain(wanted));
    if written == wanted {
        return Some(1.0);
    }
    let ((one, of), (other, of_wanted)) = (known(&written)?, known(&wanted)?);
    (of == of_wanted).then_some(one / other)
}

/// A unit as instruments write it, in capitals and in ASCII.
fn plain(unit: &str) -> String {
    let unit = unit.trim().trim_start_matches('°').replace(['µ', 'μ'], "U").replace(['Ω', 'Ω'], "OHM");
    let unit = unit.to_ascii_uppercase();
    if matches!(unit.as_str(), "DEGC" | "DEGF" | "DEGK") { unit[3..].to_owned() } else { unit }
}

/// A unit of the standard: what one of it is in the unit without a multiplier, and that unit, such as 0.001 and `W` for `MW`.
fn known(unit: &str) -> Option<(f64, &str)> {
    if UNITS.contains(&unit) {
        return Some((1.0, kind(unit)));
    }
    if matches!(unit, "MHZ" | "MOHM" | "MSA/S" | "MSA") {
        return Some((1e6, &unit[1..]));
    }
    let multiple = |(letter, factor): &(&str, f64)| {
        let rest = unit.strip_prefix(letter).filter(|rest| UNITS.contains(rest))?;
        Some((*factor, kind(rest)))
    };
    MULTIPLIERS.iter().find_map(multiple)
}

/// One spelling for units that are counted alike.
fn kind(unit: &str) -> &str {
    match unit {
        "CEL" => "C",
        "SEC" => "S",
        "PCT" => "%",
        "VPP" | "VRMS" => "V",
        other => other,
    }
}

/// What a number stands for, in a line as in a block: 9.91E37 is what SCPI writes for NaN, 9.9E37 for infinity (SCPI-99, 7.2.1). Some
/// write 9.99999E37 or the largest number that they have; no reading is as large.
pub fn reading(value: f64) -> f32 {
    match value.abs() {
        size if size.is_finite() && size >= 9.905e37 => f32::NAN,
        size if size >= 9.89e37 => f32::INFINITY.copysign(value as f32),
        _ => value as f32,
    }
}

/// Numbers with commas, in braces or not, or with semicolons or spaces where there is no comma. A block's head before them is passed
/// over, and a separator after the last.
pub fn numbers(text: &str) -> Option<Vec<f32>> {
    let text = text.trim().trim_start_matches('{').trim_end_matches('}');
    let text = without_head(text).trim();
    let separator = [',', ';'].into_iter().find(|separator| text.contains(*separator));
    match separator {
        Some(separator) => text.strip_suffix(separator).unwrap_or(text).split(separator).map(one).collect(),
        None => text.split_whitespace().map(one).collect::<Option<Vec<f32>>>().filter(|numbers| !numbers.is_empty()),
    }
}

/// One number, or one of the words that stand for a reading that is none.
fn one(text: &str) -> Option<f32> {
    let text = text.trim();
    if let Ok(value) = text.parse::<f64>() {
        return Some(reading(value));
    }
    let word = text.trim_start_matches(['+', '-']).to_uppercase();
    let is_none = ["NAN", "1.#IND", "1.#QNAN", "1.#SNAN"].iter().any(|none| word.starts_with(none))
        || word.is_empty() && text.len() > 1
        || !text.is_empty() && text.chars().all(|letter| letter == '*');
    let is_over =
        ["1.#INF", "NINF", "OVER", "OVLD", "OFL", "UNDER"].iter().any(|over| word.starts_with(over)) || word == "OL";
    match (is_none, is_over) {
        (true, _) => Some(f32::NAN),
        (false, true) => Some(f32::INFINITY.copysign(if text.starts_with(['-', 'N']) { -1.0 } else { 1.0 })),
        (false, false) => None,
    }
}

/// Text without the head of the block that it came in.
fn without_head(text: &str) -> &str {
    let digits = text.strip_prefix('#').and_then(|text| text.chars().next()?.to_digit(10));
    digits.and_then(|digits| text.get(2 + digits as usize..)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::{agrees, number_in};

    #[test]
    fn a_number_is_counted_in_the_unit_that_is_wanted() {
        for (text, wanted, value) in [
            ("0.015", "W", 0.015),
            ("500 mW", "W", 0.5),
            ("500 mW", "", 0.5),
            ("0.5 W", "mW", 500.0),
            ("15 MW", "mW", 15.0),
            ("15 uW", "µW", 15.0),
            ("1 MHZ", "Hz", 1e6),
            ("1 MHZ", "MHz", 1.0),
            ("500 PA", "Pa", 500.0),
            ("5E-3mbar", "mbar", 5e-3),
            ("23.4 C", "°C", 23.4),
            ("23.4 CEL", "degC", 23.4),
            ("23.4 °C", "C", 23.4),
            ("50 PCT", "%", 50.0),
            ("#H1F", "V", 31.0),
            ("ON", "1", 1.0),
        ] {
            let read = number_in(text, wanted).unwrap_or_else(|| panic!("{text}"));
            assert!(read.is_ok_and(|read| (read - value).abs() < 1e-9 * value.abs()), "{text} in {wanted}: {read:?}");
        }
        for (text, wanted, unit) in [
            ("0.015 V", "W", "V"),
            ("11.7 dBm", "W", "dBm"),
            ("500 PA", "mbar", "PA"),
            ("5 mbar", "Pa", "mbar"),
            ("300 K", "C", "K"),
            ("15 W", "watts", "W"),
        ] {
            assert_eq!(number_in(text, wanted), Some(Err(unit)), "{text} in {wanted}");
        }
        assert_eq!(number_in("AJAR", "W"), None);
        assert_eq!(number_in("", "W"), None);
    }

    #[test]
    fn what_is_read_back_is_compared_by_value_and_by_word() {
        for (sent, read) in [
            ("0.5", "5.000E-01"),
            ("1e6", "+1.000000E+06"),
            ("1 MHZ", "1000000"),
            ("10 HZ", "10"),
            ("0.5", "500 mV"),
            ("1e6", "1.000000E+06 Sa/s"),
            ("31", "#H1F"),
            ("ON", "1"),
            ("off", "0"),
            ("ON", "ON"),
            ("INF", "9.9E+37"),
            ("ARB", "\"ARB\""),
            ("\"BURST\"", "'burst'"),
            ("EXT", "EXTERNAL"),
            ("CHANNEL10", "CHAN10"),
            ("SIN,1,0.5", "SIN,1.0E+00,+5.0E-01"),
            ("\"a,b\"", "\"a,b\""),
        ] {
            assert!(agrees(sent, read), "{sent} {read}");
        }
        for (sent, read) in [
            ("EXT", "EXT10"),
            ("EXT10", "EXT"),
            ("CHAN10", "CHAN1"),
            ("CHAN1", "CHAN10"),
            ("EXT", "E"),
            ("E", "EXT"),
            ("SIN", "SINC"),
            ("SINC", "SIN"),
            ("SIN", ""),
            ("", "SIN"),
            ("0.5", "0.6"),
            ("1", "10"),
            ("1 HZ", "1 MHZ"),
            ("1", "1x"),
            ("ON", "0"),
            ("ON", "ONE"),
            ("SIN", "SIN,1"),
            ("NAN", "1"),
        ] {
            assert!(!agrees(sent, read), "{sent} {read}");
        }
    }
}
