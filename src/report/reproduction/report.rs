//! The report: one Markdown file over all sections.

use std::fmt::Write;
use std::path::Path;

use super::{Check, Entry, Measured, Ours, Published, Section, State};
use crate::Error;
use crate::record::read_text;
use crate::scores::Score;
use crate::training::Spread;
use crate::writing::replace_chosen;

/// Writes `file` over the sections, in the order of the table. What it says of experiments whose numbers do not lie beside it stays.
pub fn write(file: &Path, sections: &[(Entry, Option<Section>)]) -> Result<(), Error> {
    let before = read_text(file).unwrap_or_default();
    replace_chosen(file, report(sections, &before).as_bytes(), "--out")
}

/// The rows and the chapter of one experiment in an earlier report.
fn kept(before: &str, name: &str) -> Option<(String, String)> {
    let mut rows = before.lines().skip_while(|line| !line.starts_with(&format!("| [{name}](#{name}) |")));
    let first = rows.next()?;
    let mut kept = format!("{first}\n");
    for line in rows.take_while(|line| line.starts_with("|  |")) {
        kept.push_str(line);
        kept.push('\n');
    }
    let start = before.find(&format!("\n## {name}\n"))?;
    let end = before[start + 1..].find("\n## ").map_or(before.len(), |end| start + 1 + end);
    Some((kept, before[start..end].to_owned()))
}

/// The whole text.
fn report(sections: &[(Entry, Option<Section>)], before: &str) -> String {
    let mut text = String::from(
        "# Published experiments, reproduced\n\n\
         Written by `pnnlab reproduce`; do not edit it by hand. **Every plant here is SIMULATED unless its section says \
         otherwise**: our numbers are those of a simulated bench, the published ones those of the bench or program named \
         as their source.\n\n\
         Grades of published numbers: [R] read in the primary source; [S] from a secondary source, may be wrong; [M] from \
         memory, unchecked. Accuracies are those on the test set, on the plant, median over \
         seeds, and mean ± sample standard deviation where there are several. Goals are judged by the median.\n\n\
         | experiment | method | ours | published | our goal |\n|---|---|---|---|---|\n",
    );
    let mut chapters = String::new();
    for (entry, section) in sections {
        let (rows, chapter) = match section {
            Some(section) => (summary(entry, Some(section)), chapter(entry, section)),
            None => kept(before, entry.name.as_ref()).unwrap_or_else(|| (summary(entry, None), String::new())),
        };
        text.push_str(&rows);
        chapters.push_str(&chapter);
    }
    text + &chapters
}

/// The rows of one experiment in the table at the top.
fn summary(entry: &Entry, section: Option<&Section>) -> String {
    let link = format!("[{}](#{})", entry.name, entry.name);
    let published = |method| {
        let known: Vec<String> = entry.published.iter().filter(|known| known.method == method).map(short).collect();
        if known.is_empty() { "–".to_owned() } else { known.join(", ") }
    };
    let Some(section) = section.filter(|section| section.state == State::Done) else {
        let reason = section.map_or("not run yet".to_owned(), |section| match section.state {
            State::Failed => format!("**failed**: {}", section.reason),
            _ => format!("not run: {}", section.reason),
        });
        let known: Vec<String> =
            entry.published.iter().map(|known| format!("{} {}", known.method, short(known))).collect();
        return format!(
            "| {} | – | {reason} | {} | {} |\n",
            entry.name,
            dash(&known.join(", ")),
            goals(entry, section)
        );
    };
    let mut rows = String::new();
    if let Some(measured) = &section.measured {
        let quick = if section.quick { " (quick form: not comparable)" } else { "" };
        let count = measured.measurements.len();
        let _ =
            writeln!(rows, "| {link} | – | {count} measurements below{quick} | – | {} |", goals(entry, Some(section)));
    }
    for (row, ours) in section.methods.iter().enumerate() {
        let quick = if section.quick { " (quick form: not comparable)" } else { "" };
        let (name, goal) =
            if row == 0 { (link.clone(), goals(entry, Some(section))) } else { (String::new(), String::new()) };
        let (accuracy, known) = (over_seeds(ours), published(ours.method));
        let _ = writeln!(rows, "| {name} | {} | {accuracy}{quick} | {known} | {goal} |", ours.method);
    }
    rows
}

/// All goals with their verdicts; of a program, whose chapter has them, how many are met and which are not.
fn goals(entry: &Entry, section: Option<&Section>) -> String {
    let checks = match section {
        Some(section) => section.checks(entry),
        None => entry.checks(),
    };
    if super::program(&entry.name).is_some() {
        return dash(&Check::tally(&checks));
    }
    let words = checks.into_iter().map(|check| match check.met {
        Some(false) => format!("{}: **{}**", check.name, check.verdict()),
        _ => format!("{}: {}", check.name, check.verdict()),
    });
    dash(&words.collect::<Vec<_>>().join("; "))
}

/// One experiment in full.
fn chapter(entry: &Entry, section: &Section) -> String {
    let mut text = format!("\n## {}\n\n{}.", entry.name, entry.title);
    if !entry.remark.is_empty() {
        let _ = write!(text, " {}", entry.remark);
    }
    text.push_str("\n\n");
    match section.state {
        State::NotRun => {
            let _ = writeln!(text, "Not run: {}", section.reason);
            return text;
        }
        State::Failed => {
            let _ = writeln!(text, "**Failed**: {}\n", section.reason);
        }
        State::Done => {
            text.push_str(
                &section.measured.as_ref().map_or_else(|| numbers(section), |found| measured(entry, section, found)),
            );
        }
    }
    for known in &entry.published {
        let other = if known.other_data { " (another data set)" } else { "" };
        let _ = writeln!(text, "- published, {}: {}{other}; {}", known.method, short(known), known.source);
    }
    text.push('\n');
    for figure in &section.figures {
        let name = figure.file_stem().unwrap_or_default().to_string_lossy();
        let _ = writeln!(text, "![{}: {name}]({})\n", entry.name, figure.display());
    }
    let provenance = &section.provenance;
    let _ = writeln!(
        text,
        "`{}` · pnnlab {}, {} · {} · {:.0} s\n",
        provenance.command,
        provenance.version,
        provenance.commits(),
        provenance.machine,
        provenance.wall_seconds
    );
    text
}

/// The table of one program.
fn measured(entry: &Entry, section: &Section, found: &Measured) -> String {
    let mut text = format!("On {}.", found.on);
    if section.quick {
        text.push_str(" **Quick form: not comparable with anything published.**");
    }
    text.push_str("\n\n| measured | value | unit |\n|---|---|---|\n");
    for one in &found.measurements {
        let _ = writeln!(text, "| {} | {} | {} |", one.name, one.shown(), one.unit);
    }
    text.push('\n');
    let checks = section.checks(entry);
    if !checks.is_empty() {
        text.push_str("| goal | asked | measured | |\n|---|---|---|---|\n");
        for check in &checks {
            let value = check.value.map_or_else(|| "–".to_owned(), |value| check.shown(value));
            let verdict = check.verdict();
            let verdict = if check.met == Some(false) { format!("**{verdict}**") } else { verdict };
            let _ = writeln!(text, "| {} | {} | {value} | {verdict} |", check.name, check.shown(check.target));
        }
        text.push('\n');
    }
    text
}

/// The table of one experiment.
fn numbers(section: &Section) -> String {
    let mut text = format!("On {}", section.plants);
    if let Some(error) = section.twin_error {
        let _ = write!(
            text,
            "; the twin misses by {:.1} % of the standard deviation of the plant's outputs",
            100.0 * error
        );
    }
    if let Some((by, scores)) = section.baseline() {
        let _ = write!(text, "; {by} on the same split: {}", scores.say());
    }
    text.push('.');
    if section.quick {
        text.push_str(" **Quick form: fewer rows, steps and seeds; not comparable with anything published.**");
    }
    let names = section.methods.first().map_or("accuracy", |ours| ours.score().score.words);
    let _ = write!(
        text,
        "\n\n| method | test {names} on the plant | {names} believed | learning rate | shots a run | bench time a run | time here a \
         run | clipped |\n|---|---|---|---|---|---|---|---|\n",
    );
    for ours in &section.methods {
        text.push_str(&row(ours));
    }
    text.push('\n');
    for ours in &section.methods {
        for (place, seeded) in ours.scores.iter().enumerate() {
            let score = seeded.score;
            let seeds = ours.seeds.iter().zip(&seeded.each);
            let each: Vec<String> = seeds.map(|(seed, value)| format!("{seed}: {}", score.number(*value))).collect();
            let of = match (place, score.in_percent) {
                (_, true) => ", %".to_owned(),
                (0, false) => String::new(),
                (_, false) => format!(", {}", score.words),
            };
            let _ = writeln!(text, "- {}, each seed{of}: {}", ours.method, each.join(", "));
        }
    }
    if !section.rule.is_empty() {
        let _ = writeln!(text, "- settings: {}", section.rule);
    }
    text
}

fn row(ours: &Ours) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {:.0} s | {:.0} s | {:.1} % |\n",
        ours.method,
        over_seeds(ours),
        over_runs(ours.score().score, ours.score().believed),
        ours.learning_rate,
        ours.shots,
        ours.plant_seconds,
        ours.wall_seconds,
        100.0 * ours.clipping_rate
    )
}

/// The median over seeds of the score that decides, with mean and spread where there are several.
pub fn over_seeds(ours: &Ours) -> String {
    let seeded = ours.score();
    let mean = over_runs(seeded.score, seeded.test);
    if ours.seeds.len() < 2 { mean } else { format!("{} ({mean})", seeded.score.show(seeded.median())) }
}

/// A score with its spread, where there is one.
pub fn over_runs(score: &Score, Spread { mean, spread }: Spread) -> String {
    match (spread > 0.0, score.in_percent) {
        (true, _) => score.show_spread(mean, spread),
        (false, true) => format!("{:.2} %", 100.0 * mean),
        (false, false) => score.show(mean),
    }
}

/// A published accuracy with its grade.
pub fn short(known: &Published) -> String {
    let percent = 100.0 * known.accuracy;
    let digits = if (percent - percent.round()).abs() < 1e-6 { 0 } else { 2 };
    format!("{percent:.digits$} % {}", known.grade)
}

fn dash(words: &str) -> String {
    if words.is_empty() { "–".to_owned() } else { words.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_chapter_is_found_whole() {
        let before = "# R\n\n| a |\n|---|\n| [one](#one) | x |\n|  | y |\n| [two](#two) | z |\n\n## one\n\nFirst.\n\n\n## two\n\nSecond.\n";
        assert_eq!(
            kept(before, "one"),
            Some(("| [one](#one) | x |\n|  | y |\n".to_owned(), "\n## one\n\nFirst.\n\n".to_owned()))
        );
        assert_eq!(kept(before, "two").unwrap().1, "\n## two\n\nSecond.\n");
        assert_eq!(kept(before, "three"), None);
    }
}
