//! The dashboard as a user drives it: the real program in a pseudo-terminal, keys in, screen out, and what became of the run.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{Place, SMALL, binary, endless};
use crate::terminal::{BOUND, Terminal};

/// The program in a terminal of 80×24, in `place`.
fn open(place: &Place, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
    Terminal::open(binary(), (&place.path("."), (24, 80)), arguments, variables)
}

/// Asks the run in `folder` one thing over its socket.
fn ask(place: &Place, folder: &str, request: &Value) -> Value {
    let mut stream = UnixStream::connect(place.path(folder).join("control.sock")).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    writeln!(stream, "{request}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn events(place: &Place, folder: &str) -> Vec<String> {
    let text = place.read(&format!("{folder}/events.jsonl"));
    // The last line may be half written.
    let event = |line: &str| serde_json::from_str::<Value>(line).ok();
    text.lines().filter_map(event).map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

/// A training that a test started in a process of its own ends with the test, however that ends.
struct Ended<'a>(&'a Place, &'static str);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if let Ok(mut stream) = UnixStream::connect(self.0.path(self.1).join("control.sock")) {
            drop(writeln!(stream, "{}", json!({ "command": "abort" })));
        }
    }
}

#[test]
fn a_run_is_started_paused_resumed_made_safe_left_and_stopped() {
    let place = Place::new();
    place.write("small.toml", &endless());
    let _ended = Ended(&place, "runs/long");
    let mut terminal = open(&place, &["train", "small.toml", "--name", "long", "--watch"], &[]);
    let text = terminal.wait("RUNNING live");
    assert!(text.contains("SIMULATED") && text.contains("small physics-aware seed 1"), "{text}");
    terminal.press("p");
    terminal.wait("PAUSED");
    let before = ask(&place, "runs/long", &json!({ "command": "status" }));
    assert_eq!(before["state"], "paused");
    terminal.press("p");
    terminal.wait("RUNNING");
    // From under the help, a panel filling the page, and a frozen picture.
    terminal.press("ef?");
    terminal.wait("SAFE: this run's plants");
    terminal.press("!");
    terminal.wait("SAFE: the plants are in their safe state");
    let after = ask(&place, "runs/long", &json!({ "command": "status" }));
    assert_eq!(after["state"], "paused", "safe plants are not driven on");
    assert!(after["training"]["step"].as_u64() >= before["training"]["step"].as_u64());

    // Leaving it stops nothing.
    terminal.wait("PAUSED");
    terminal.press("?fep");
    terminal.wait("RUNNING live");
    terminal.press("q");
    let (status, text) = terminal.end();
    assert!(status.success() && text.contains("the training goes on: pnnlab watch runs/long"), "{text}");
    assert!(!text.contains("training 3"), "the page is gone and the screen is as before: {text}");
    let bound = Instant::now() + BOUND;
    let step = || ask(&place, "runs/long", &json!({ "command": "status" }))["training"]["step"].as_u64().unwrap();
    let left = step();
    while step() <= left {
        assert!(Instant::now() < bound, "the training has stopped");
        std::thread::yield_now();
    }

    // A second dashboard finds it by itself.
    let mut terminal = open(&place, &["watch"], &[("NO_COLOR", "1"), ("LC_ALL", "C")]);
    let text = terminal.wait("RUNNING live");
    assert!(text.is_ascii(), "{text}");
    let cells = (0..24).flat_map(|row| (0..80).map(move |column| (row, column)));
    let screen = terminal.screen();
    assert!(
        cells.into_iter().all(|(row, column)| {
            screen.cell(row, column).is_none_or(|cell| cell.fgcolor() == vt100::Color::Default)
        })
    );
    terminal.press("sn");
    terminal.press("s");
    terminal.wait("and finish its record?");
    terminal.press("y");
    terminal.wait("STOPPED");
    terminal.press("q");
    assert!(terminal.end().0.success());
    let facts: Value = serde_json::from_str(&place.read("runs/long/run.json")).unwrap();
    assert_eq!(facts["state"], "stopped");
    let end = events(&place, "runs/long");
    assert_eq!(end[end.len() - 2..], ["safe", "finished"]);
    // What the training says at its end is kept; its process may take a moment longer than its record.
    let bound = Instant::now() + BOUND;
    while !place.read("runs/long/output.txt").contains("runs/long") {
        assert!(Instant::now() < bound, "the training says nothing");
        std::thread::yield_now();
    }
}

#[test]
fn a_training_that_is_killed_is_seen_as_dead_and_nobody_is_told_to_kill_it() {
    let place = Place::new();
    place.write("small.toml", &endless());
    let _ended = Ended(&place, "runs/dies");
    let mut terminal = open(&place, &["train", "small.toml", "--name", "dies", "--watch"], &[]);
    terminal.wait("RUNNING live");
    let process = ask(&place, "runs/dies", &json!({ "command": "status" }))["process"].as_u64().unwrap();
    assert!(std::process::Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap().success());
    // The dashboard started it, so it is a child that has ended; its number is still there until somebody waits for it.
    let text = terminal.wait(&format!("The run died: process {process} is gone."));
    assert!(text.contains("LOST") && text.contains("SIMULATED"), "{text}");
    terminal.press("p");
    terminal.wait("is gone: there is nothing to control");
    terminal.press("!");
    let text = terminal.wait("NOT SAFE: ");
    assert!(text.contains(&format!("Its process {process} is gone")) && !text.contains("kill"), "{text}");
    // It stays while a filter is typed, and beside what else is said.
    terminal.press("/none\r");
    terminal.press("s");
    let text = terminal.wait("there is nothing to control");
    assert!(text.contains("NOT SAFE: "), "{text}");
    terminal.press("q");
    let (status, text) = terminal.end();
    assert_eq!((status.code(), text.contains("the training ended with signal: 9")), (Some(137), true), "{text}");
}

/// A run that is none: answers as a run does, and says what it was asked.
fn pretend(place: &Place, folder: &str) -> Receiver<Value> {
    let path = place.path(folder);
    std::fs::create_dir_all(&path).unwrap();
    let facts = json!({ "experiment": "pretended", "method": "physics-aware", "state": "running", "started_unix_seconds": 1.0,
        "plants": [{ "plant": "laser", "origin": "real" }] });
    std::fs::write(path.join("run.json"), facts.to_string()).unwrap();
    let listener = UnixListener::bind(path.join("control.sock")).unwrap();
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, sender) = (stream.unwrap(), sender.clone());
            std::thread::spawn(move || serve(stream, &sender));
        }
    });
    asked
}

fn serve(mut stream: UnixStream, asked: &std::sync::mpsc::Sender<Value>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let request: Value = serde_json::from_str(&line).unwrap();
        match request["command"].as_str().unwrap() {
            // Statuses without an end, as fast as they are taken, until the watcher goes.
            "watch" => {
                while writeln!(stream, "{}", pretended()).is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            "status" => writeln!(stream, "{}", pretended()).unwrap(),
            _ => {
                writeln!(stream, "{}", json!({ "reply": "done", "state": "running" })).unwrap();
                asked.send(request).unwrap();
            }
        }
    }
}

fn pretended() -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    json!({ "reply": "status", "unix_seconds": now, "process": 1, "experiment": "pretended", "method": "physics-aware",
        "seed": 1, "state": "running", "plants": [{ "plant": "laser", "system": "optical", "serial": "L1", "origin": "real",
        "shots": 1, "plant_seconds": 1.0, "driven_unix_seconds": now, "inputs": [], "controls": [], "outputs": [], "links": [],
        "calibration": null }], "training": { "step": 5, "steps": 10, "epoch": 1 },
        "alarms": [{ "id": 4, "severity": "major", "source": "interlock", "message": "the door is open",
        "first_unix_seconds": now - 60.0, "active": true, "acknowledged": false }],
        "budget": { "shots": 10, "shots_taken": 5, "plant_seconds": 2.0, "plant_seconds_spent": 1.0, "wall_seconds": 1.0,
        "wall_seconds_left": null, "record_bytes": 1000 } })
}

#[test]
fn alarms_are_acknowledged_and_every_active_run_is_made_safe_from_the_table() {
    let place = Place::new();
    let first = pretend(&place, "benches/a");
    let second = pretend(&place, "benches/b");
    let mut terminal = open(&place, &["watch", "--runs", "benches"], &[]);
    let text = terminal.wait("2 active of 2 runs");
    assert!(text.contains("REAL BENCH") && text.contains("!! MAJOR"), "{text}");
    terminal.press("!");
    for asked in [&first, &second] {
        assert_eq!(asked.recv_timeout(BOUND).unwrap(), json!({ "command": "safe" }));
    }
    terminal.press("/b\rj\r");
    terminal.wait("interlock: the door is open - a acknowledges");
    terminal.press("a");
    assert_eq!(second.recv_timeout(BOUND).unwrap(), json!({ "command": "acknowledge", "alarm": 4 }));
    terminal.wait("alarm 4 acknowledged");
    terminal.press("\u{1b}");
    terminal.wait("active of");
    terminal.press("\u{3}");
    assert!(terminal.end().0.success());
    assert!(first.try_recv().is_err(), "only the open run was asked");
}

#[test]
fn without_a_terminal_or_a_run_there_is_one_sentence() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let (code, text) = place.refusal(&["watch"]);
    assert_eq!(code, 20);
    assert!(text.starts_with("pnnlab: the dashboard needs a terminal: standard "), "{text}");
    let (code, text) = place.refusal(&["train", "small.toml", "--watch"]);
    assert_eq!((code, text.lines().count()), (20, 1), "{text}");
    let (code, text) = place.refusal(&["watch", "nosuch"]);
    assert_eq!(code, 2);
    assert!(text.contains("nosuch: is not a run: there is no run.json in it, nor in runs/nosuch"), "{text}");
    std::fs::create_dir_all(place.path("foreign")).unwrap();
    place.write("foreign/run.json", r#"{"name":"of another program"}"#);
    let (code, text) = place.refusal(&["watch", "foreign"]);
    assert_eq!((code, text.contains("it has no `state`, so no run of pnnlab wrote it")), (2, true), "{text}");
    place.write("foreign/run.json", "{\"half");
    let (code, text) = place.refusal(&["watch", "foreign"]);
    assert_eq!((code, text.contains("foreign: is not a run: foreign/run.json: ")), (2, true), "{text}");
    let (code, text) = place.refusal(&["watch", "--runs", "small.toml"]);
    assert_eq!((code, text.contains("is not a folder")), (2, true), "{text}");
    let (code, _) = place.refusal(&["train", "small.toml", "--watch", "--json"]);
    assert_eq!(code, 2);
    assert!(!place.path("runs").exists());

    // In a terminal, what the training refuses is refused as without the dashboard.
    place.write("wrong.toml", &SMALL.replace("steps = 8", "stepz = 8"));
    let terminal = open(&place, &["train", "wrong.toml", "--watch"], &[]);
    let (status, text) = terminal.end();
    assert_eq!(status.code(), Some(3), "{text}");
    assert!(text.contains("is not a known key"), "{text}");
    let csv = SMALL.replace("source = \"digits\"", "source = \"csv\"\nfile = \"nosuch.csv\"\nlabel = \"class\"");
    place.write("csv.toml", &csv);
    let (status, text) = open(&place, &["train", "csv.toml", "--watch"], &[]).end();
    assert_eq!((status.code(), text.contains("there is nothing at nosuch.csv")), (Some(4), true), "{text}");
    let terminal = open(&place, &["watch"], &[("TERM", "dumb")]);
    let (status, text) = terminal.end();
    assert_eq!((status.code(), text.contains("TERM=dumb")), (Some(20), true), "{text}");
}
