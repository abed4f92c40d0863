//! Numbers and names as a report says them.

/// Ports by name, neighbors of one bank as a range: `spectrum[13] to [31], node[0]`.
pub fn in_runs(names: &[String]) -> String {
    let parts = |name: &str| -> Option<(String, usize)> {
        let (bank, number) = name.strip_suffix(']')?.rsplit_once('[')?;
        Some((bank.to_owned(), number.parse().ok()?))
    };
    let follows = |before: &str, name: &str| match (parts(before), parts(name)) {
        (Some((bank, number)), Some((other, next))) => bank == other && number + 1 == next,
        _ => false,
    };
    let run = |names: &[String]| match names {
        [first, .., last] => format!("{first} to {}", last.find('[').map_or(last.as_str(), |start| &last[start..])),
        _ => names.concat(),
    };
    names.chunk_by(|before, name| follows(before, name)).map(run).collect::<Vec<_>>().join(", ")
}

/// A number with five significant digits.
pub fn number(value: f64) -> String {
    significant(value, 5)
}

/// A number with so many significant digits.
pub fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() || value.abs() > 1e30 {
        return "unknown".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if (-4..6).contains(&magnitude) {
        format!("{value:.*}", (digits - 1 - magnitude).clamp(0, 9) as usize)
    } else {
        format!("{value:.*e}", (digits - 1) as usize)
    }
}

/// A number with so many decimals; a dash for what does not exist.
pub fn decimals(value: f64, decimals: usize) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.decimals$}") }
}

/// A value to the second digit of its uncertainty.
pub fn measured(value: f64, uncertainty: f64) -> String {
    let sensible = uncertainty > 0.0 && uncertainty.is_finite() && value != 0.0;
    let place = |value: f64| value.abs().log10().floor() as i32;
    let digits = if sensible { (2 + place(value) - place(uncertainty)).clamp(1, 10) } else { 5 };
    significant(value, digits)
}

/// So many of something: `1 setting`, `2 settings`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighboring_ports_are_named_together() {
        let names = ["a[1]", "a[2]", "a[3]", "b[4]", "lone", "a[7]"].map(str::to_owned);
        assert_eq!(in_runs(&names), "a[1] to [3], b[4], lone, a[7]");
    }

    #[test]
    fn what_does_not_exist_is_a_dash() {
        assert_eq!([decimals(0.98765, 4), decimals(f64::NAN, 4)], ["0.9877", "–"]);
    }

    #[test]
    fn a_value_ends_where_its_uncertainty_does() {
        assert_eq!(
            [
                measured(0.039_710_11, 0.000_154_9),
                measured(29.9688, 0.0130),
                measured(31_812.0, 25.0),
                measured(1.03, 0.05),
                measured(0.0, 1.0)
            ],
            ["0.03971", "29.969", "31812", "1.030", "0"]
        );
        assert_eq!(significant(0.000_154_9, 2), "0.00015");
    }

    #[test]
    fn numbers_have_five_digits() {
        assert_eq!(
            [number(31_800.0), number(0.001_234_5), number(1.0), number(3e-9)],
            ["31800", "0.0012345", "1.0000", "3.0000e-9"]
        );
    }
}
