//! Numbers as people read them in a narrow column: ages, durations, counts, bytes, values with unit.

/// A duration in its largest sensible unit: `0.4 s`, `12 s`, `3 min 20 s`, `5 h 03 min`, `4 d 2 h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let seconds = seconds.max(0.0);
    let whole = seconds as u64;
    match whole {
        0..=9 => format!("{seconds:.1} s"),
        10..=99 => format!("{whole} s"),
        100..=5999 => format!("{} min {:02} s", whole / 60, whole % 60),
        6000..=359_999 => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

/// A short time with the prefix that fits: `85 µs`, `1.2 ms`, `3.0 s`.
pub fn latency(seconds: f64) -> String {
    prefixed(seconds, "s")
}

/// A value with unit and prefix: three significant digits.
pub fn prefixed(value: f64, unit: &str) -> String {
    if unit.is_empty() || value == 0.0 || !value.is_finite() {
        return format!("{} {unit}", short(value)).trim_end().to_owned();
    }
    let prefixes = [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p")];
    // The slack keeps 0.9995 from reading as 1000 m.
    let (scale, prefix) = prefixes.into_iter().find(|(scale, _)| value.abs() >= scale * 0.9995).unwrap_or((1e-12, "p"));
    format!("{} {prefix}{unit}", short(value / scale))
}

/// Three significant digits, without an exponent where that is shorter.
pub fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if value == 0.0 => "0".to_owned(),
        _ if !value.is_finite() => value.to_string(),
        _ if !(1e-4..1e6).contains(&size) => format!("{value:.1e}"),
        _ if size >= 99.95 => format!("{value:.0}"),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size >= 0.9995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A fraction in percent.
pub fn percent(fraction: Option<f64>) -> String {
    fraction.map_or("-".to_owned(), |fraction| format!("{:.1} %", 100.0 * fraction))
}

/// A count with thin groups of three: `1,300,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size on disk.
pub fn bytes(number: u64) -> String {
    prefixed(number as f64, "B")
}

/// The time of day in UTC, `14:03:07`.
pub fn clock(unix_seconds: f64) -> String {
    let seconds = unix_seconds.max(0.0) as u64 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `text` in at most `width` columns of single-width characters, its end replaced by `…` where it is too long.
pub fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// `text` in lines of at most `width` columns, broken between words; a word that is longer is cut.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fit(word, width)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_use_two_units_at_most() {
        let texts = [0.04, 9.96, 59.0, 200.0, 7_400.0, 400_000.0].map(duration);
        assert_eq!(texts, ["0.0 s", "10.0 s", "59 s", "3 min 20 s", "2 h 03 min", "4 d 15 h"]);
        assert_eq!(duration(f64::NAN), "?");
    }

    #[test]
    fn values_have_three_digits_and_a_prefix() {
        let texts = [0.000_085, 0.0012, 1.0, 0.9999, 1250.0].map(|value| prefixed(value, "V"));
        assert_eq!(texts, ["85.0 µV", "1.20 mV", "1.00 V", "1.00 V", "1.25 kV"]);
        assert_eq!(prefixed(0.5, ""), "0.500");
        assert_eq!(
            (bytes(1_340_000), count(1_300_000), count(12)),
            ("1.34 MB".into(), "1,300,000".into(), "12".into())
        );
        assert_eq!((short(1e-9), short(-0.25), short(123_456.0)), ("1.0e-9".into(), "-0.250".into(), "123456".into()));
    }

    #[test]
    fn what_is_too_long_says_so() {
        assert_eq!((fit("abcdef", 4), fit("abc", 4), fit("abc", 0)), ("abc…".into(), "abc".into(), String::new()));
        assert_eq!(wrapped("not safe: kill it", 9), ["not safe:", "kill it"]);
        assert_eq!(wrapped("unbreakable now", 5), ["unbr…", "now"]);
    }
}
