//! `pnnlab tune`: the knobs of a bench, or what a program is told, are turned until its signature is that of a reference.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use calibration::Strategy;
use clap::Args;
use serde_json::json;
use sims::Key;

use crate::Error;
use crate::document::Document;
use crate::output::unit_behind;
use crate::plants::Rig;
use crate::record::{command_line, read_text};
use crate::report::Theme;
use crate::training::tune::{
    About, Desk, Found, Healthy, Journal, Metric, Range, Search, Tool, ToolFile, Trial, Tuned, Tuning, ended,
};
use crate::training::{Experiment, Interrupted, Prepared};
use crate::whole_file;
use crate::writing::replace_chosen;

/// Shots of a signature, where nobody says how many.
const SHOTS: usize = 64;

/// `pnnlab tune`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct TuneArgs {
    /// The rig file with [knobs.NAME], or a file that describes a program (docs/readings.md)
    pub rig: PathBuf,
    /// A trace that `pnnlab calibrate` has left, or a run that recorded its shots, of when the bench was healthy; without it, what the twin says
    #[arg(long, value_name = "RUN|TRACE")]
    pub reference: Option<PathBuf>,
    /// Signatures to read, in all
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub evaluations: usize,
    /// Shots of a signature: always the same ones
    #[arg(long, value_name = "N", default_value_t = SHOTS, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=100_000))]
    pub shots: usize,
    /// What is compared
    #[arg(long, value_enum, default_value_t)]
    pub metric: Metric,
    /// How it is searched: pattern-first, pattern, evolution (CMA-ES) or random
    #[arg(long, value_name = "NAME", default_value = "pattern-first", value_parser = strategy)]
    pub strategy: Strategy,
    /// The plant, where the rig has knobs of several
    #[arg(long, value_name = "NAME")]
    pub plant: Option<String>,
    /// The knobs to turn; without it, all of the plant
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub knobs: Vec<String>,
    /// A run whose test set is tried before and after: the only use of labels
    #[arg(long, value_name = "RUN")]
    pub test: Option<PathBuf>,
    /// Changes one key of the rig's plants, such as plants.electrical.simulated.mismatch=0.5
    #[arg(long = "set", value_name = "K=V")]
    pub set: Vec<String>,
    /// Draws the shots of a signature and the search
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The folder that searches are kept in
    #[arg(long, value_name = "DIR", default_value = "tune")]
    pub out: PathBuf,
    /// Goes on with the settings that were tried before the search was stopped
    #[arg(long)]
    pub resume: bool,
    /// Says what it will cost, and drives nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Leaves the values in the rig file as they are
    #[arg(long)]
    pub keep_file: bool,
    /// The folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

fn strategy(name: &str) -> Result<Strategy, String> {
    serde_json::from_value(json!(name)).map_err(|_| "name pattern-first, pattern, evolution or random".to_owned())
}

/// Searches, keeps what is better, and says what was found.
pub fn run(arguments: &TuneArgs) -> Result<(), Error> {
    if let Some(file) = ToolFile::read(&arguments.rig)? {
        refuse_of_benches(arguments)?;
        return tool(arguments, &file);
    }
    let reference = arguments.reference.as_ref().map(|named| run_or_file(named, &arguments.runs));
    let rig = Rig::changed(Some(&arguments.rig), &arguments.set)?;
    let journal = arguments.out.join(format!("{}.jsonl", rig.config.name));
    let folder = arguments.out.join(&rig.config.name);
    let tuning = Tuning {
        rig: &rig,
        plant: arguments.plant.as_deref(),
        knobs: &arguments.knobs,
        reference: reference.as_deref().map_or(Healthy::Twin, Healthy::File),
        shots: arguments.shots,
        metric: arguments.metric,
        evaluations: arguments.evaluations,
        strategy: arguments.strategy,
        seed: arguments.seed,
        journal: &journal,
        resume: arguments.resume,
        folder: Some(&folder),
    };
    let (plant, ranges) = tuning.ranges()?;
    refuse_few(arguments, ranges.len())?;
    if arguments.dry_run {
        plan(arguments, &plant, &ranges);
        return Ok(());
    }
    let before = test(arguments, &rig)?;
    tell!(
        "pnnlab: tunes {} knobs of plant `{plant}`, at most {} signatures of {} shots",
        ranges.len(),
        arguments.evaluations,
        arguments.shots
    );
    tell!("pnnlab: `pnnlab watch {}` shows how it goes", folder.display());
    let done = tuning.run(&mut telling())?;
    let after = test(arguments, &rig)?;
    let tests = before.zip(after);
    let record = arguments.out.join(format!("{}.json", rig.config.name));
    let mut facts = json!(done);
    facts["test_accuracy"] = json!(tests.map(|(before, after)| [before, after]));
    facts["rig"] = json!(arguments.rig);
    write(&record, &facts)?;
    if done.found.is_better && !arguments.keep_file {
        put_into(&arguments.rig, &done)?;
    }
    facts["record"] = json!(record);
    if arguments.json {
        say!("{facts:#}");
        return Ok(());
    }
    print(&done.found, &done.reference);
    if let Some((before, after)) = tests {
        say!("test set of the run on the plant: {:.1} % before, {:.1} % after", 100.0 * before, 100.0 * after);
    }
    match (done.found.is_better, arguments.keep_file) {
        (true, false) => say!("the values stand in {} from now on", arguments.rig.display()),
        (true, true) => say!("{} is left as it was: put the values in yourself", arguments.rig.display()),
        (false, _) => say!("nothing better was found: the knobs are where they were"),
    }
    say!("the path of the search: {}", record.display());
    Ok(())
}

/// Says each setting that is better than all before.
fn telling() -> impl FnMut(&Trial<'_>) {
    let mut best = f64::INFINITY;
    move |trial| {
        if trial.is_told && trial.distance() < best {
            best = trial.distance();
            tell!("pnnlab: {}, {}: distance {best:.4}", trial.number, trial.stage);
        }
    }
}

/// A run by its name, or a path as it is.
fn run_or_file(named: &Path, runs: &Path) -> PathBuf {
    let below = runs.join(named);
    if !named.exists() && below.join("run.json").is_file() { below } else { named.to_owned() }
}

/// Refuses options that a search on a program does not heed.
fn refuse_of_benches(arguments: &TuneArgs) -> Result<(), Error> {
    let given = [
        ("--reference", arguments.reference.is_some()),
        ("--metric", arguments.metric != Metric::default()),
        ("--shots", arguments.shots != SHOTS),
        ("--plant", arguments.plant.is_some()),
        ("--set", !arguments.set.is_empty()),
        ("--test", arguments.test.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(Error::Usage(format!(
            "{option}: is of a bench, but {} describes a program, whose whole output is compared with its `reference`: leave it out",
            arguments.rig.display()
        ))),
        None => Ok(()),
    }
}

fn refuse_few(arguments: &TuneArgs, knobs: usize) -> Result<(), Error> {
    let fewest = Search::fewest(knobs);
    if fewest <= arguments.evaluations {
        return Ok(());
    }
    Err(Error::Usage(format!("--evaluations {}: {knobs} knobs need at least {fewest}", arguments.evaluations)))
}

/// What it will cost.
fn plan(arguments: &TuneArgs, what: &str, ranges: &[Range]) {
    let shots = arguments.evaluations as u64 * arguments.shots as u64;
    if arguments.json {
        say!(
            "{:#}",
            json!({ "plan": { "plant": what, "knobs": ranges, "evaluations": arguments.evaluations, "shots": shots } })
        );
        return;
    }
    say!("plan: at most {} signatures, {shots} shots on `{what}`", arguments.evaluations);
    for range in ranges {
        let unit = unit_behind(&range.unit);
        say!("  {}: {} to {}{unit}, stands at {}", range.name, range.low, range.high, range.value);
    }
    say!("nothing was driven: leave out --dry-run to tune");
}

/// A program in the place of a bench.
fn tool(arguments: &TuneArgs, file: &ToolFile) -> Result<(), Error> {
    let mut ranges = file.ranges();
    if !arguments.knobs.is_empty() {
        ranges.retain(|range| arguments.knobs.contains(&range.name));
        if ranges.len() < arguments.knobs.len() || ranges.len() < file.knobs.len() {
            return Err(Error::Usage("--knobs: a program is told all its knobs: leave the option out".to_owned()));
        }
    }
    refuse_few(arguments, ranges.len())?;
    if arguments.dry_run {
        plan(arguments, &file.name, &ranges);
        return Ok(());
    }
    std::fs::create_dir_all(&arguments.out).map_err(Error::chosen(&arguments.out, "cannot be made", "--out"))?;
    let journal = arguments.out.join(format!("{}.jsonl", file.name));
    let asked = json!({ "tool": file, "evaluations": arguments.evaluations, "strategy": arguments.strategy, "seed": arguments.seed });
    let mut journal =
        if arguments.resume { Journal::go_on(&journal, &asked) } else { Journal::begin(&journal, &asked) }?;
    let folder = arguments.rig.parent().unwrap_or(Path::new("."));
    let mut program = Tool::new(file, folder, &arguments.out)?;
    let reference = program.reference()?;
    let about = About {
        name: &file.name,
        strategy: arguments.strategy,
        seed: arguments.seed,
        evaluations: arguments.evaluations,
        shots: 0,
        ranges: &ranges,
    };
    let watched = arguments.out.join(&file.name);
    let mut desk = Desk::open(&watched, about, &mut program.lab, arguments.resume)?;
    tell!("pnnlab: `pnnlab watch {}` shows how it goes", watched.display());
    let search = Search {
        evaluations: arguments.evaluations,
        strategy: arguments.strategy,
        key: Key::new(arguments.seed).branch("tune"),
    };
    let (known, mut say) = (std::mem::take(&mut journal.known), telling());
    let mut note = |trial: &Trial<'_>| {
        desk.see(trial)?;
        say(trial);
        if trial.is_told && !trial.is_known { journal.note(&trial.known()) } else { Ok(()) }
    };
    let found = search.run(&ranges, &reference, &mut program, (&known, &mut note)).map_err(ended);
    let closed = desk.close(&found, &Ok(()), &mut program.lab);
    let found = found?;
    closed?;
    let record = arguments.out.join(format!("{}.json", file.name));
    let mut facts = json!(found);
    (facts["tool"], facts["command"]) = (json!(file.tool), json!(command_line()));
    write(&record, &facts)?;
    facts["record"] = json!(record);
    if arguments.json {
        say!("{facts:#}");
        return Ok(());
    }
    print(&found, &file.reference.display().to_string());
    say!("the path of the search: {}", record.display());
    Ok(())
}

fn write(record: &Path, facts: &serde_json::Value) -> Result<(), Error> {
    replace_chosen(record, format!("{facts:#}\n").as_bytes(), "--out")
}

/// The accuracy of a run's test set on the bench as it stands, where one is named.
fn test(arguments: &TuneArgs, rig: &Rig) -> Result<Option<f64>, Error> {
    let Some(run) = &arguments.test else { return Ok(None) };
    let run = Interrupted::of(("", run), &arguments.runs, false)?;
    let (experiment, document) = Experiment::find(&run.folder.join("experiment.toml").to_string_lossy(), &[])?;
    let data = run.facts["data_path"].as_str().map(Into::into);
    let prepared = Prepared { experiment, document, rig: rig.clone(), data, drawer: Arc::new(Theme::default()) };
    prepared.test_as_saved(&run).map(Some)
}

/// Puts the values of the knobs into the rig file; all else of it stays as it is.
fn put_into(path: &Path, done: &Tuned) -> Result<(), Error> {
    let bad = |message: String| Error::Record { path: path.to_owned(), message };
    let mut text = read_text(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    for knob in &done.found.knobs {
        text = with_value(&text, &knob.name, knob.after).ok_or_else(|| {
            bad(format!("has no line `value = …` below [knobs.{}]: put {} there yourself", knob.name, knob.after))
        })?;
    }
    // It must still be the file of a rig before it takes the place of the old one.
    Document::parse(&path.display().to_string(), &text)?;
    whole_file::replace(path, text.as_bytes()).map_err(|error| {
        bad(format!(
            "cannot be written: {error}. Free it, or leave it as it is with --keep-file and put the values in yourself"
        ))
    })
}

/// The text with another `value` in the table of a knob; a comment behind it stays.
fn with_value(text: &str, knob: &str, value: f32) -> Option<String> {
    let mut inside = false;
    let mut found = false;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare.starts_with('[') {
            let name = bare.trim_start_matches('[').split(']').next().unwrap_or_default().replace('"', "");
            inside = name.trim() == format!("knobs.{knob}");
        }
        let is_value = inside && bare.split_once('=').is_some_and(|(key, _)| key.trim() == "value");
        if is_value && !found {
            found = true;
            let comment = line
                .split_once('#')
                .map_or(String::new(), |(_, comment)| format!(" #{}", comment.trim_end_matches('\n')));
            lines.push(format!("value = {value:?}{comment}\n"));
        } else {
            lines.push(line.to_owned());
        }
    }
    found.then(|| lines.concat())
}

fn print(found: &Found, reference: &str) {
    say!(
        "{} signatures beside {reference}: distance {:.4} before, {:.4} after; noise of a signature {:.4}",
        found.evaluations,
        found.distance_before,
        found.distance_after,
        found.noise
    );
    for knob in &found.knobs {
        let seen =
            if knob.seen { String::new() } else { "   not seen by the signature: its value means nothing".to_owned() };
        let alike = if knob.alike.is_empty() {
            String::new()
        } else {
            format!("   changes the signature as {} does", knob.alike.join(", "))
        };
        let unit = unit_behind(&knob.unit);
        say!("  {}: {} -> {}{unit}{seen}{alike}", knob.name, knob.before, knob.after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_put_where_it_belongs_and_all_else_stays() {
        let text = "name = \"r\" # my rig\n[knobs.bias]\nlow = 0.0\nvalue = 1.0 # V\n\n[knobs.gain]\nvalue = 2.0\nunit = \"1\"\n";
        let bias = with_value(text, "bias", 0.25).unwrap();
        assert_eq!(bias, text.replace("value = 1.0", "value = 0.25"));
        assert_eq!(with_value(text, "gain", 3.0).unwrap(), text.replace("value = 2.0", "value = 3.0"));
        assert!(with_value(text, "tilt", 1.0).is_none());
    }
}
