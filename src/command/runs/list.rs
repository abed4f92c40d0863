//! `pnnlab runs list`.

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use super::shown;
use crate::Error;
use crate::output::{table::print, timestamp};
use crate::record::{Catalog, Filter, Metric, Row, catalog::STATES, unix_seconds};
use crate::scores::{ObjectiveKind, Score};
use crate::training::Method;

/// The most letters of why a run failed in the table.
const LONGEST_WHY: usize = 36;

/// `pnnlab runs list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only runs of this method
    #[arg(long)]
    method: Option<Method>,
    /// Only runs with a plant of this name, system or serial number
    #[arg(long)]
    plant: Option<String>,
    /// Only runs of this experiment
    #[arg(long)]
    experiment: Option<String>,
    /// Only runs in this state
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(STATES))]
    state: Option<String>,
    /// Only runs started since a day (2026-11-23), or within the last time (30m, 12h, 7d)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<f64>,
    /// The best first, by the validation set's score that decides (`validation`) unless another metric is named; runs without a value
    /// are left out
    #[arg(long, value_name = "METRIC", num_args = 0..=1, default_missing_value = "validation")]
    best: Option<Metric>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Prints one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Lists.
pub fn run(catalog: &Catalog, arguments: &ListArgs) -> Result<(), Error> {
    let filter = Filter {
        method: arguments.method.map(|method| method.name().to_owned()),
        plant: arguments.plant.clone(),
        experiment: arguments.experiment.clone(),
        state: arguments.state.clone(),
        since: arguments.since,
        best: arguments.best,
        limit: arguments.limit,
    };
    let rows = catalog.runs(&filter)?;
    if arguments.json {
        say!("{:#}", json!({ "runs": rows }));
    } else if rows.is_empty() {
        say!("no run in {} fits", catalog.folder().display());
    } else {
        print(&mut table(&rows), &["alarms", "believed", "shots", "seed", "plants", "started (UTC)", "experiment"]);
    }
    Ok(())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    // Where all classify, the column says what its numbers are; else they say it.
    let is_one = rows.iter().all(|row| row.objective.judged() == ObjectiveKind::Classify);
    let said = |score: &Score, value: Option<f64>| match value {
        Some(value) if !is_one => score.say(value),
        value => shown(score, value),
    };
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "run",
        "started (UTC)",
        "experiment",
        "method",
        "seed",
        "plants",
        "state",
        "valid-\nation",
        if is_one { "test\naccuracy" } else { "test\nscore" },
        "believed",
        "shots",
        "alarms",
    ]);
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "–".to_owned());
    let number = |number: Option<i64>| number.map_or_else(|| "–".to_owned(), |number| number.to_string());
    for row in rows {
        table.add_row([
            row.run.clone(),
            row.started_unix_seconds.map_or_else(|| "–".to_owned(), |seconds| timestamp(seconds as u64)),
            word(&row.experiment),
            word(&row.method),
            number(row.seed),
            word(&row.plants),
            row.why.as_ref().map_or_else(|| word(&row.state), |why| format!("{}\n{}", word(&row.state), short(why))),
            said(row.objective.score(), row.first("validation")),
            said(row.objective.score(), row.first("test")),
            said(row.objective.score(), row.first("believed")),
            number(row.shots),
            if row.alarms == 0 { String::new() } else { row.alarms.to_string() },
        ]);
    }
    for column in [4, 7, 8, 9, 10, 11] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The beginning of a sentence; `runs show` has all of it.
fn short(why: &str) -> String {
    let line: String = why.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if line.chars().count() <= LONGEST_WHY {
        return line;
    }
    format!("{}…", line.chars().take(LONGEST_WHY - 1).collect::<String>())
}

/// Seconds since 1970 of a day, or of a time ago.
fn since(text: &str) -> Result<f64, String> {
    let complaint = || format!("`{text}` is no time: give a day (2026-11-23) or how long ago (30m, 12h, 7d)");
    for (unit, seconds) in [("m", 60.0), ("h", 3600.0), ("d", 86_400.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            let number: f64 = number.parse().map_err(|_| complaint())?;
            return if number >= 0.0 && number.is_finite() {
                Ok(unix_seconds() - number * seconds)
            } else {
                Err(complaint())
            };
        }
    }
    let parts: Vec<i64> = text.split('-').map(str::parse).collect::<Result<_, _>>().map_err(|_| complaint())?;
    let &[year, month, day] = parts.as_slice() else { return Err(complaint()) };
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) {
        return Err(complaint());
    }
    let next = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
    if !(1..=next - days(year, month, 1)).contains(&day) {
        return Err(complaint());
    }
    Ok(days(year, month, day) as f64 * 86_400.0)
}

/// Days from 1970-01-01 to a date, after Hinnant's `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_or_how_long_ago() {
        assert_eq!(since("1970-01-02"), Ok(86_400.0));
        assert_eq!(since("2000-02-29"), Ok(951_782_400.0));
        let hour = since("1h").unwrap();
        assert!((unix_seconds() - hour - 3600.0).abs() < 10.0);
        for bad in ["yesterday", "2026-13-01", "2026-02-29", "2026-11", "-1d", "infd", ""] {
            assert!(since(bad).unwrap_err().contains("is no time"), "{bad}");
        }
    }
}
