//! `pnnlab reproduce`: published experiments, run and reported beside the published numbers.

use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::dated_folder;
use crate::Error;
use crate::document::{list, nearest};
use crate::plants::Rig;
use crate::record::git_state;
use crate::report::figure::ShotPanel;
use crate::report::reproduction::{Asked, Check, Curve, Measured, program};
use crate::report::{Bar, Entry, Overlay, Provenance, Section, State, Theme, figure, reproduction};
use crate::scores::Picture;
use crate::training::comparison::{Seeded, compare};
use crate::training::{Comparison, Experiment, Prepared, Spread};

/// `pnnlab reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// An experiment of the report, or all
    #[arg(default_value = "all")]
    pub name: String,
    /// The experiments' quick forms: about a minute each, comparable with nothing
    #[arg(long)]
    pub quick: bool,
    /// Only these parts of an experiment that has parts; what the report has of the others stays
    #[arg(long, value_name = "PART,…", value_delimiter = ',')]
    pub parts: Vec<String>,
    /// A folder that holds the data sets, such as mnist/ and vowels.csv
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// The rig file; without it, the built-in rig of simulated plants
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// How many seeds; without it, as each experiment says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub seeds: Option<u16>,
    /// The folder of the report
    #[arg(long, value_name = "DIR", default_value = "reproduction")]
    pub out: PathBuf,
    /// The folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Leaves experiments alone that the report already has numbers of
    #[arg(long)]
    pub keep: bool,
    /// The paper of the figures
    #[arg(long, value_enum, default_value_t)]
    pub theme: Theme,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs what is named, writes the report, prints the table.
pub fn run(arguments: &ReproduceArgs) -> Result<(), Error> {
    let entries = reproduction::entries()?;
    let wanted = wanted(&entries, &arguments.name)?;
    check_parts(arguments)?;
    check_data(arguments)?;
    let folder = arguments.out.join("reproduction");
    let report = arguments.out.join("reproduction.md");
    let git = git_state();
    let known = entries.iter().map(|entry| Ok((entry.clone(), Section::read(&folder, &entry.name)?)));
    let mut sections = known.collect::<Result<Vec<_>, Error>>()?;
    let mut ran = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let known = sections[place].1.clone();
        let keep = arguments.keep
            && known.as_ref().is_some_and(|known| known.state == State::Done && known.quick == arguments.quick);
        if !wanted.contains(&entry.name.as_str()) || keep {
            continue;
        }
        tell!("{}: {}", entry.name, entry.title);
        let section = reproduce(entry, arguments, (&folder, &git))?;
        if section.state != State::Done {
            tell!("{}: {}", entry.name, section.reason);
        }
        // What is not run now does not take the place of numbers that were measured before.
        let old = known.filter(|known| section.state == State::NotRun && known.state == State::Done);
        if old.is_none() {
            section.write(&folder)?;
        }
        ran.push(section.clone());
        sections[place].1 = Some(old.unwrap_or(section));
        // Written after each experiment: an interrupted night keeps what it has.
        reproduction::write(&report, &sections)?;
    }
    reproduction::write(&report, &sections)?;
    if arguments.json {
        say!("{:#}", facts(&sections, &ran, &report));
    } else {
        print(&sections, &ran, &report);
    }
    ended(&ran, arguments, report)
}

/// Refuses parts that there are not.
fn check_parts(arguments: &ReproduceArgs) -> Result<(), Error> {
    let known = reproduction::parts(&arguments.name);
    let Some(part) = arguments.parts.iter().find(|part| !known.contains(&part.as_str())) else { return Ok(()) };
    let message = if known.is_empty() {
        format!("--parts: `{}` has no parts: leave the option out", arguments.name)
    } else {
        let hint = nearest(part, known).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
        format!("--parts: `{}` has no part `{part}`: name some of {}.{hint}", arguments.name, list(known))
    };
    Err(Error::Usage(message))
}

/// Refuses data that is not there, before what needs none has run for minutes.
fn check_data(arguments: &ReproduceArgs) -> Result<(), Error> {
    match &arguments.data {
        Some(folder) if !folder.exists() => Err(Error::Usage(format!(
            "--data: `{}` does not exist: name the folder that holds the data sets, such as mnist/ and vowels.csv",
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// What the exit code says.
fn ended(ran: &[Section], arguments: &ReproduceArgs, report: PathBuf) -> Result<(), Error> {
    let failed = ran.iter().filter(|section| section.state == State::Failed);
    let failed: Vec<String> = failed.map(|section| section.name.clone()).collect();
    if !failed.is_empty() {
        return Err(Error::Unreproduced { failed, report });
    }
    match ran {
        // Who names one experiment wants it.
        [only] if only.state == State::NotRun && arguments.name == only.name => {
            Err(Error::MissingData(only.reason.clone()))
        }
        _ => Ok(()),
    }
}

/// The experiments that `name` means.
fn wanted<'a>(entries: &'a [Entry], name: &str) -> Result<Vec<&'a str>, Error> {
    let known: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    if name == "all" {
        return Ok(known);
    }
    if let Some(&one) = known.iter().find(|known| **known == name) {
        return Ok(vec![one]);
    }
    let hint = nearest(name, &known).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
    Err(Error::Usage(format!("reproduce: `{name}` is not in the report: name all, or {}.{hint}", list(&known))))
}

/// Runs one experiment; what goes wrong is a section too, but for the user's own stop.
fn reproduce(entry: &Entry, arguments: &ReproduceArgs, (folder, git): (&Path, &Value)) -> Result<Section, Error> {
    let start = Instant::now();
    let without = |state, reason: String| {
        let mut provenance = Provenance::of(None, git.clone(), start.elapsed().as_secs_f64());
        provenance.command = super::line();
        Section::without(&entry.name, state, reason, provenance)
    };
    match attempt(entry, arguments, (folder, git), start) {
        Ok(section) => Ok(section),
        Err(Error::Stopped(run)) => Err(Error::Stopped(run)),
        Err(Error::MissingData(reason)) => Ok(without(State::NotRun, reason)),
        Err(error) => Ok(without(State::Failed, error.to_string())),
    }
}

fn attempt(
    entry: &Entry,
    arguments: &ReproduceArgs,
    (folder, git): (&Path, &Value),
    start: Instant,
) -> Result<Section, Error> {
    if let Some(program) = program(&entry.name) {
        let earlier = Section::read(folder, &entry.name)?.filter(|known| known.quick == arguments.quick);
        let measured = (program.run)(&Asked {
            quick: arguments.quick,
            data: arguments.data.as_deref(),
            parts: &arguments.parts,
            seeds: arguments.seeds,
            earlier: earlier.as_ref().and_then(|known| known.measured.as_ref()),
        })?;
        let mut provenance = Provenance::of(None, git.clone(), start.elapsed().as_secs_f64());
        provenance.command = super::line();
        let figures = shot_figure(entry, &measured, (folder, &provenance.command), arguments)?;
        let section = Section::without(&entry.name, State::Done, String::new(), provenance);
        return Ok(Section { quick: arguments.quick, measured: Some(measured), figures, ..section });
    }
    let built_in = crate::training::experiment::BUILT_IN.iter().any(|(name, _)| *name == entry.name);
    if !built_in {
        return Err(Error::MissingData(format!("this version has no experiment `{}`", entry.name)));
    }
    let (experiment, document) = Experiment::find_form(&entry.name, arguments.quick, &[])?;
    let rig = Rig::find(arguments.rig.as_deref(), &document)?;
    // A folder of data is for those that read files.
    let data = arguments.data.clone().filter(|_| experiment.data.reads_files());
    let seeds = arguments.seeds.unwrap_or(experiment.comparison.seeds);
    let methods = experiment.comparison.methods.clone();
    let first = experiment.seed;
    let prepared = Prepared { experiment, document, rig, data, drawer: Arc::new(arguments.theme) };
    let comparison = compare(
        &prepared,
        &methods,
        usize::from(seeds),
        &dated_folder(&arguments.runs, &format!("reproduce-{}", entry.name)),
    )?;
    if let Some(left) = comparison.methods.iter().find(|method| !method.diverged.is_empty()) {
        let what = format!("what {} gave with seed {}", left.method, left.diverged[0]);
        return Err(Error::Diverged { what });
    }
    let seeds: Vec<u64> = (first..first + u64::from(seeds)).collect();
    let run = comparison.runs.first().map(PathBuf::as_path);
    let provenance = Provenance::of(run, git.clone(), start.elapsed().as_secs_f64());
    let mut section = Section::of(&comparison, &seeds, arguments.quick, provenance);
    section.name.clone_from(&entry.name);
    section.figures = figures(entry, &section, &comparison, (arguments, folder))?;
    Ok(section)
}

/// Draws the figures of one experiment; the SVG files, as paths from the report.
fn figures(
    entry: &Entry,
    section: &Section,
    comparison: &Comparison,
    (arguments, folder): (&ReproduceArgs, &Path),
) -> Result<Vec<PathBuf>, Error> {
    let name = |kind: &str| format!("{}-{kind}", entry.name);
    let overlay = overlay(entry, arguments);
    let path = folder.join(name("curves"));
    let mut files = figure::published_curves(&comparison.runs, overlay, &path, arguments.theme)?;
    let caption = vec![
        format!(
            "{}; on {}; seeds {}; whiskers: one standard deviation over seeds{}",
            entry.name,
            comparison.origins,
            section.methods.first().map_or(String::new(), |ours| words(&ours.seeds)),
            if section.quick { "; QUICK FORM, comparable with nothing" } else { "" }
        ),
        format!("command: {}", section.provenance.command),
    ];
    let score = entry.objective.score();
    files.extend(figure::bars(
        score,
        rows(entry, section),
        caption.clone(),
        (folder, &name(score.name)),
        arguments.theme,
    )?);
    if entry.last_test {
        let first = comparison.methods.first().map_or("", |summary| summary.method);
        let runs: Vec<PathBuf> = comparison.runs.iter().filter(|run| run_method(run) == first).cloned().collect();
        let mut caption = caption;
        caption[0] = format!("{}; method {first}; on {}", entry.name, comparison.origins);
        files.extend(match entry.objective.picture() {
            Picture::Confusion => figure::confusion(&runs, caption, folder, &name("confusion"), arguments.theme)?,
            Picture::Predictions => figure::predictions(&runs, caption, folder, &name("predictions"), arguments.theme)?,
            Picture::Texture => vec![],
        });
    }
    let svg = files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "svg"));
    Ok(svg.filter_map(|file| Some(Path::new("reproduction").join(file.file_name()?))).collect())
}

/// Draws the lines that a program has measured, a panel for each task; the SVG file, as a path from the report.
fn shot_figure(
    entry: &Entry,
    measured: &Measured,
    (folder, command): (&Path, &str),
    arguments: &ReproduceArgs,
) -> Result<Vec<PathBuf>, Error> {
    let mut panels: Vec<ShotPanel> = Vec::new();
    for Curve { panel, name, points } in &measured.curves {
        let line = (name.clone(), points.clone());
        match panels.iter_mut().find(|known| known.title == *panel) {
            Some(known) => known.lines.push(line),
            None => panels.push(ShotPanel { title: panel.clone(), lines: vec![line] }),
        }
    }
    let form = if arguments.quick { "; QUICK FORM, comparable with nothing" } else { "" };
    let caption = vec![format!("{}; on {}{form}", entry.name, measured.on), format!("command: {command}")];
    let name = format!("{}-shots", entry.name);
    let files = figure::shots(panels, caption, (folder, &name), arguments.theme)?;
    let svg = files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "svg"));
    Ok(svg.filter_map(|file| Some(Path::new("reproduction").join(file.file_name()?))).collect())
}

/// The method of a run, from the name that `compare` gives its folder.
fn run_method(run: &Path) -> &str {
    let name = run.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
    name.rsplit_once("-seed-").map_or(name, |(method, _)| method)
}

fn words(seeds: &[u64]) -> String {
    seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

/// Published ends, and the reference's curve where the user's data folder has it.
fn overlay(entry: &Entry, arguments: &ReproduceArgs) -> Overlay {
    let comparable = entry.published.iter().filter(|known| !known.other_data);
    let lines = comparable.map(|known| {
        let words = format!("published, {}: {}", known.method, reproduction::short(known));
        (known.method.name().to_owned(), words, known.accuracy)
    });
    let curve = entry.reference_curve.as_ref().zip(arguments.data.as_ref()).and_then(|(file, data)| {
        let places = [data.join(file), data.join("mnist").join(file)];
        let points = places.iter().find_map(|place| reference(place))?;
        Some(("reference implementation, its log".to_owned(), points))
    });
    Overlay { lines: lines.collect(), curve }
}

/// Accuracy on the test set after each epoch, from the reference implementation's log.
fn reference(path: &Path) -> Option<Vec<(f64, f64)>> {
    let mut reader = csv::Reader::from_path(path).ok()?;
    let headers = reader.headers().ok()?.clone();
    let column = |name: &str| headers.iter().position(|header| header == name);
    let (epoch, accuracy) = (column("epoch")?, column("val_accu")?);
    let point = |row: csv::StringRecord| {
        let number = |column: usize| row.get(column)?.parse::<f64>().ok();
        // The log counts epochs from 0 and tests at their ends.
        Some((number(epoch)? + 1.0, number(accuracy)?))
    };
    Some(reader.records().filter_map(Result::ok).filter_map(point).collect())
}

/// Bars: each method on the plant, what it believed, what was published.
fn rows(entry: &Entry, section: &Section) -> Vec<Bar> {
    let mut bars = Vec::new();
    for ours in &section.methods {
        let method = ours.method.name().to_owned();
        let bar = |label: String, value: Spread, solid| Bar { method: method.clone(), label, value, solid };
        let Seeded { score, test, believed, .. } = *ours.score();
        bars.push(bar(format!("on the plant: {}", reproduction::over_runs(score, test)), test, true));
        if ours.method == crate::training::Method::InSilico {
            bars.push(bar(format!("believed: {}", reproduction::over_runs(score, believed)), believed, false));
        }
        for known in entry.published.iter().filter(|known| known.method == ours.method) {
            let other = if known.other_data { ", on other data" } else { "" };
            let label = format!("published: {}{other}", reproduction::short(known));
            bars.push(bar(label, Spread { mean: known.accuracy, spread: 0.0 }, false));
        }
    }
    bars
}

/// For programs.
fn facts(sections: &[(Entry, Option<Section>)], ran: &[Section], report: &Path) -> Value {
    let experiments = sections.iter().map(|(entry, section)| {
        let checks = section.as_ref().map_or_else(|| entry.checks(), |section| section.checks(entry));
        let goals = checks.iter().map(|check| json!({ "goal": check.name, "met": check.met }));
        json!({
            "name": entry.name,
            "title": entry.title,
            "published": entry.published,
            "goals": goals.collect::<Vec<_>>(),
            "checks": checks,
            "measurements": section.as_ref().map(Section::measurements).unwrap_or_default(),
            "ran_now": ran.iter().any(|section| section.name == entry.name),
            "section": section,
        })
    });
    json!({ "report": report, "experiments": experiments.collect::<Vec<_>>() })
}

/// The table.
fn print(sections: &[(Entry, Option<Section>)], ran: &[Section], report: &Path) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(["experiment", "method", "ours", "published", "goal"]);
    let mut programs = Vec::new();
    for (entry, section) in sections {
        let Some(section) = section.as_ref().filter(|section| ran.iter().any(|ran| ran.name == section.name)) else {
            continue;
        };
        let checks = section.checks(entry);
        let goals: Vec<String> = checks.iter().map(|check| format!("{}: {}", check.name, check.verdict())).collect();
        if let Some(measured) = section.measured.as_ref().filter(|_| section.state == State::Done) {
            programs.push((section, measured, checks));
            continue;
        }
        if section.state != State::Done {
            let state = if section.state == State::Failed { "failed" } else { "not run" };
            table.add_row([entry.name.as_str(), "", state, "", &goals.join("\n")]);
        }
        for (row, ours) in section.methods.iter().enumerate() {
            let known = entry.published.iter().filter(|known| known.method == ours.method).map(reproduction::short);
            let (name, goals) = if row == 0 { (entry.name.as_str(), goals.join("\n")) } else { ("", String::new()) };
            let accuracy = reproduction::over_seeds(ours);
            table.add_row([name, ours.method.name(), &accuracy, &known.collect::<Vec<_>>().join("\n"), &goals]);
        }
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    if 0 < table.row_count() {
        crate::output::table::print(&mut table, &["published"]);
    }
    for (section, measured, checks) in programs {
        print_program(section, measured, &checks);
    }
    for section in ran.iter().filter(|section| section.state != State::Done) {
        let state = if section.state == State::Failed { "failed" } else { "not run" };
        say!("{}: {state}: {}", section.name, section.reason);
    }
    if ran.iter().any(|section| section.quick) {
        say!("quick forms: fewer rows, steps and seeds; comparable with nothing published");
    }
    say!("[R] read in the primary source, [S] from a secondary source, [M] from memory; report: {}", report.display());
}

/// What one program measured, and what was asked of it.
fn print_program(section: &Section, measured: &Measured, checks: &[Check]) {
    say!("{}, on {}", section.name, measured.on);
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["measured", "", "unit"]);
    for one in &measured.measurements {
        table.add_row([one.name.as_str(), &one.shown(), if one.unit == "1" { "" } else { &one.unit }]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    crate::output::table::print(&mut table, &[]);
    for check in checks {
        let mark = check.met.map_or("-", |met| if met { "met" } else { "MISSED" });
        let value = check.value.map_or_else(|| "not run".to_owned(), |value| check.shown(value));
        say!("{mark:>7}  {}: {value}", check.name);
    }
}
