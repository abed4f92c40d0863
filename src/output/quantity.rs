//! Times, sizes and units as people read them.

/// A time that people read: `12 s`, `3 min 20 s`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "for ever".to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// A unit as it stands behind a number: nothing behind a pure one.
pub fn unit_behind(unit: &str) -> String {
    if unit.is_empty() || unit == "1" { String::new() } else { format!(" {unit}") }
}

/// A short time that people read: `1.2 s`, `35 ms`, `0.8 µs`.
pub fn short_time(seconds: f64) -> String {
    let units = [("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)];
    let (unit, size) = units.into_iter().find(|(_, size)| *size <= seconds.abs()).unwrap_or(("µs", 1e-6));
    let value = seconds / size;
    if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// A size that people read, in powers of 1000.
pub fn bytes(count: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let fits = units.iter().find(|(_, size)| *size <= count as f64);
    fits.map_or_else(|| format!("{count} B"), |(unit, size)| format!("{:.1} {unit}", count as f64 / size))
}

/// Coordinated universal time as `20261123-094147`, after Hinnant's `civil_from_days`.
pub fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn short_times_have_their_unit() {
        let times = [2.345, 0.0351, 8.04e-7, 0.0].map(super::short_time);
        assert_eq!(times, ["2.3 s", "35 ms", "0.8 µs", "0.0 µs"]);
    }

    #[test]
    fn a_pure_number_has_no_unit_behind_it() {
        assert_eq!(["V", "1", ""].map(super::unit_behind), [" V", "", ""]);
    }

    #[test]
    fn timestamps_are_calendar_dates() {
        assert_eq!(super::timestamp(0), "19700101-000000");
        assert_eq!(super::timestamp(951_826_154), "20000229-120914");
        assert_eq!(super::timestamp(1_795_427_999), "20261123-095959");
    }
}
