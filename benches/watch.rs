//! What the dashboard costs and how fast it stops a bench: each number is printed with what it is a ratio of.
//!
//! `cargo bench --bench watch` trains the default experiment, opens the dashboard on it in a pseudo-terminal of 200×60, and reads the
//! processes' own clocks (`/proc`). Linux only.

#[path = "../tests/terminal.rs"]
mod terminal;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use terminal::Terminal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pnnlab");
/// One stretch with or without the dashboard.
const STRETCH: Duration = Duration::from_secs(5);
/// Pairs of stretches.
const PAIRS: usize = 6;
/// Presses of the STOP key.
const PRESSES: usize = 20;
/// Updates of the synthetic run.
const STEPS: u64 = 1_000_000;
/// Clock ticks a second of `/proc/PID/stat`: fixed by Linux for user space.
const TICKS: f64 = 100.0;

fn main() {
    let place = tempfile::tempdir().unwrap();
    long_run(place.path());
    let run = place.path().join("runs/job");
    let mut job = train(place.path());
    // The second start of a run has its pages; the first seconds are not measured.
    std::thread::sleep(Duration::from_secs(3));
    cost(place.path(), &run);
    stop_key(place.path(), &run);
    ask(&run, r#"{"command":"abort"}"#);
    job.wait().unwrap();
}

/// The default experiment, without an end.
fn train(place: &Path) -> Child {
    let arguments = ["train", "--name", "job", "--set", "training.steps=1000000"];
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(place).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let job = command.spawn().unwrap();
    while UnixStream::connect(place.join("runs/job/control.sock")).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    job
}

fn watch(place: &Path, arguments: &[&str]) -> Terminal {
    Terminal::open(PROGRAM, (place, (60, 200)), arguments, &[])
}

/// Steps a second with and without the dashboard, in turns; processor time of the dashboard.
fn cost(place: &Path, run: &Path) {
    let (mut with, mut without, mut used, mut watched) = (0, 0, 0.0, 0.0);
    for _ in 0..PAIRS {
        without += stretch(run);
        let mut terminal = watch(place, &["watch", "runs/job"]);
        terminal.wait("live");
        let (before, start) = (processor_seconds(terminal.process()), Instant::now());
        with += stretch(run);
        used += processor_seconds(terminal.process()) - before;
        watched += start.elapsed().as_secs_f64();
        terminal.press("q");
        terminal.end();
    }
    let seconds = STRETCH.as_secs_f64() * PAIRS as f64;
    println!(
        "job: {:.1} steps/s without, {:.1} with the dashboard: ratio {:.4}",
        without as f64 / seconds,
        with as f64 / seconds,
        with as f64 / without as f64
    );
    println!(
        "dashboard: {:.2} % of one core at 10 pictures/s over {watched:.0} s (200x60, all panels)",
        100.0 * used / watched
    );
}

/// Steps of the run in one stretch.
fn stretch(run: &Path) -> u64 {
    let before = step(run);
    std::thread::sleep(STRETCH);
    step(run) - before
}

/// From the STOP key to the safe state, as the run answers and as the screen says.
fn stop_key(place: &Path, run: &Path) {
    let mut terminal = watch(place, &["watch", "runs/job"]);
    let mut times = Vec::new();
    for _ in 0..PRESSES {
        terminal.wait("RUNNING live");
        let safe = safe_events(run);
        let start = Instant::now();
        terminal.press("!");
        while safe_events(run) == safe {
            std::thread::sleep(Duration::from_micros(500));
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
        terminal.wait("PAUSED");
        terminal.press("p");
    }
    times.sort_by(f64::total_cmp);
    println!(
        "STOP key to safe state on disk, {PRESSES} presses: median {:.1} ms, worst {:.1} ms",
        times[PRESSES / 2],
        times[PRESSES - 1]
    );
    terminal.press("q");
    terminal.end();
}

fn safe_events(run: &Path) -> usize {
    std::fs::read_to_string(run.join("events.jsonl")).unwrap().matches(r#""event":"safe""#).count()
}

/// A record of a million updates: how long until it is shown, how long a key takes then, and what memory it needs.
fn long_run(place: &Path) {
    let run = place.join("long/million");
    std::fs::create_dir_all(&run).unwrap();
    let facts = r#"{"experiment":"synthetic","method":"none","state":"finished","plants":[{"plant":"p","origin":"simulated"}]}"#;
    std::fs::write(run.join("run.json"), facts).unwrap();
    let mut text = "kind,step,epoch,learning_rate,loss,cross_entropy,penalty,batch_accuracy,range_use,clipping_rate,\
                    test_accuracy,believed_accuracy,shots,plant_seconds\n"
        .to_owned();
    for step in 1..=STEPS {
        let loss = 0.3 + 2.0 * (-(step as f64) / 2e5).exp() + 0.01 * (step as f64).sin();
        writeln!(
            text,
            "step,{step},{},0.0123456789,{loss},{loss},0.0123,0.90625,0.7654321,0.0012,,,{},{}",
            step / 10,
            step * 512,
            step as f64 * 0.413
        )
        .unwrap();
    }
    let size = text.len();
    std::fs::write(run.join("metrics.csv"), text).unwrap();
    let start = Instant::now();
    let mut terminal = watch(place, &["watch", "long/million"]);
    terminal.wait("REPLAY");
    let first = start.elapsed();
    terminal.wait("step 1,000,000");
    println!(
        "record of {STEPS} updates ({} MB): first picture after {:.2} s, all of it after {:.2} s",
        size / 1_000_000,
        first.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        for (key, shown) in [("3g", "1/1,000,000"), ("G", "1,000,000/1,000,000"), ("h", "990,000/1,000,000")] {
            let start = Instant::now();
            terminal.press(key);
            terminal.wait(shown);
            slowest = slowest.max(start.elapsed());
        }
    }
    println!(
        "keys on it: slowest of 15 answered in {:.0} ms; memory {} MB",
        slowest.as_secs_f64() * 1e3,
        resident_megabytes(terminal.process())
    );
    terminal.press("q");
    terminal.end();
}

fn step(run: &Path) -> u64 {
    let answer: Value = serde_json::from_str(&ask(run, r#"{"command":"status"}"#)).unwrap();
    answer["training"]["step"].as_u64().unwrap()
}

fn ask(run: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(run.join("control.sock")).unwrap();
    writeln!(stream, "{request}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

/// User and system time of a process.
fn processor_seconds(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The second field is the name in parentheses; user and system time are fields 14 and 15.
    let fields: Vec<&str> = text[text.rfind(')').unwrap() + 1..].split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
}

fn resident_megabytes(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1000
}
