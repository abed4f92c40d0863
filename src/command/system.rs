//! `pnnlab system`: what a file of equations says, and what becomes of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use drivers::{Batch, MEBIBYTE, Range, read_bounded};
use serde_json::{Value, json};
use sims::{Equations, Key, Language, SystemReport, Twin};

use crate::Error;
use crate::plants::equations_with_tables;

/// The most that is read of a file: the reader itself refuses larger ones by their size.
const MOST: u64 = 16 * MEBIBYTE;
/// Shots of a batch whose time is taken, and how long batches are computed for it.
const SHOTS: usize = 256;
const TIMED: Duration = Duration::from_millis(300);
/// Characters of the picture of a Jacobian at most.
const WIDE: usize = 64;
/// Equations that are printed at most; `--json` has all that are written out.
const LINES: usize = 16;

/// `pnnlab system`.
#[derive(Debug, Args)]
pub struct SystemArgs {
    /// The file of equations
    pub file: PathBuf,
    /// Writes the right-hand side and its Jacobian out in another language, with one point to test it at; of a system without states
    /// its outputs
    #[arg(long, value_name = "LANGUAGE")]
    pub export: Option<Exported>,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// A language that a system is written out in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Exported {
    /// C99
    C,
    /// Rust
    Rust,
    /// Python with its module `math` alone
    Python,
}

/// Prints what was read.
pub fn run(arguments: &SystemArgs) -> Result<(), Error> {
    let file = &arguments.file;
    let refuse = |what: String| Error::Usage(format!("{}: {what}", file.display()));
    let bytes = read_bounded(file, MOST).map_err(|error| {
        refuse(format!("cannot be read: {error}. Name a file of equations, such as diode.toml (docs/equations.md)"))
    })?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("is no text: name a file of equations".to_owned()))?;
    let name = file.display().to_string();
    let wrong = |error: sims::Error| match error {
        sims::Error::Equations { file, line, column, what } => {
            Error::Malformed { place: format!("{file}:{line}:{column}"), message: what }
        }
        other @ (sims::Error::Coefficient { .. } | sims::Error::Feedthrough { .. }) => Error::Usage(other.to_string()),
    };
    let text = equations_with_tables(&name, &text, file.parent().unwrap_or(Path::new(""))).map_err(wrong)?;
    let system = Equations::from_text(&name, &text);
    if let Some(language) = arguments.export {
        let language = match language {
            Exported::C => Language::C,
            Exported::Rust => Language::Rust,
            Exported::Python => Language::Python,
        };
        say!("{}", system.export(language).map_err(wrong)?.trim_end());
        return Ok(());
    }
    let (began, built) = (Instant::now(), system.build().map_err(wrong)?);
    let seconds = began.elapsed().as_secs_f64();
    let report = system.report().map_err(wrong)?;
    let speed = speed(&*built.twin);
    if arguments.json {
        let object = object(&file.display().to_string(), &report, &*built.twin, (seconds, speed));
        say!("{object:#}");
    } else {
        print(&report, &*built.twin, (seconds, speed));
    }
    Ok(())
}

/// Shots a second on this machine: forward, and forward and back.
fn speed(twin: &dyn Twin) -> [f64; 2] {
    let ports = &twin.card().ports;
    let ranges = ports.ranges(drivers::Direction::Input);
    let mut stream = Key::new(1).branch("speed").stream();
    // A tenth of each range around its middle: where the system is likely to be.
    let near = |range: &Range, share: f32| range.at(0.5 + 0.1 * (share - 0.5));
    let inputs = Batch::from_fn(SHOTS, ranges.len(), |_, port| near(&ranges[port], stream.uniform()));
    let controls: Vec<f32> = ports.ranges(drivers::Direction::Control).iter().map(|range| range.at(0.5)).collect();
    let cotangents = Batch::from_fn(SHOTS, ports.output_count(), |_, _| 1.0);
    let per_second = |work: &mut dyn FnMut()| {
        work();
        let (start, mut batches) = (Instant::now(), 0);
        while batches == 0 || start.elapsed() < TIMED {
            work();
            batches += 1;
        }
        (batches * SHOTS) as f64 / start.elapsed().as_secs_f64()
    };
    let forward = per_second(&mut || drop(std::hint::black_box(twin.predict(&inputs, &controls))));
    let back = per_second(&mut || drop(std::hint::black_box(twin.pull_back(&inputs, &controls, &cotangents))));
    [forward, back]
}

fn object(file: &str, report: &SystemReport, twin: &dyn Twin, (seconds, [forward, back]): (f64, [f64; 2])) -> Value {
    let ports = &twin.card().ports;
    let [written, computed] = report.operations;
    json!({
        "file": file,
        "title": report.title,
        "states": report.states,
        "ports": { "inputs": ports.input_count(), "controls": ports.control_count(), "outputs": ports.output_count() },
        "quantities": report.quantities.iter().map(|(name, unit)| json!({ "name": name, "unit": unit })).collect::<Vec<_>>(),
        "equations": report.equations.iter().map(|[left, right, latex]| json!({ "left": left, "right": right, "latex": latex })).collect::<Vec<_>>(),
        "outputs": report.outputs.iter().map(|[left, right, latex]| json!({ "left": left, "right": right, "latex": latex })).collect::<Vec<_>>(),
        "operations": { "written": written, "computed": computed },
        "jacobian": { "size": report.states, "nonzeros": report.pattern.len(), "pattern": report.pattern },
        "time_constants_seconds": report.time_constants,
        "ready_seconds": seconds,
        "shots_per_second": { "forward": forward, "pull_back": back },
    })
}

fn print(report: &SystemReport, twin: &dyn Twin, (seconds, [forward, back]): (f64, [f64; 2])) {
    let ports = &twin.card().ports;
    if !report.title.is_empty() {
        say!("{}", report.title);
    }
    say!(
        "{} states; {} inputs, {} controls, {} outputs; ready in {:.3} s",
        report.states,
        ports.input_count(),
        ports.control_count(),
        ports.output_count(),
        seconds
    );
    let quantities: Vec<String> = report.quantities.iter().map(|(name, unit)| format!("{name} [{unit}]")).collect();
    say!("quantities: {}", quantities.join(", "));
    let all = |line: &dyn Fn(&[String; 3])| {
        for list in [&report.equations, &report.outputs] {
            list.iter().take(LINES).for_each(line);
            if LINES < list.len() {
                say!("  and more: --json has the first {}", list.len());
            }
        }
    };
    say!("\nas it is computed:");
    all(&|[left, right, _]| say!("  {left} = {right}"));
    say!("\nin LaTeX:");
    all(&|[_, _, latex]| say!("  {latex}"));
    let [written, computed] = report.operations;
    say!("\noperations for all slopes: {written} as written, {computed} as computed");
    let all = report.states * report.states;
    if all > 0 {
        let share = 100.0 * report.pattern.len() as f64 / all as f64;
        say!("Jacobian: {} of {all} entries are not always 0 ({share:.1} %)", report.pattern.len());
        report.picture(WIDE).iter().for_each(|line| say!("  {line}"));
    }
    match report.time_constants {
        Some([fastest, slowest]) => say!("time constants over the ranges: {fastest:.3e} s to {slowest:.3e} s"),
        None => say!("time constants: none were looked for or found"),
    }
    say!("here: {forward:.0} shots/s forward, {back:.0} forward and back, in batches of {SHOTS}");
}
