//! A run is steered over its socket by requests of one line each.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{Place, binary, endless};
use crate::terminal::Terminal;

/// Starts a training that only ends when it is told to, and waits until it trains.
fn start(place: &Place) -> Child {
    place.write("small.toml", &endless());
    let child = place.command(&["train", "small.toml", "--name", "long"]).spawn().unwrap();
    wait("the training does not start", || {
        let line = std::fs::read_to_string(place.path("runs/long/metrics.csv")).unwrap_or_default();
        line.lines().count() > 3
    });
    child
}

pub fn wait(complaint: &str, mut happened: impl FnMut() -> bool) {
    let bound = Instant::now() + Duration::from_mins(1);
    while !happened() {
        assert!(Instant::now() < bound, "{complaint}");
        std::thread::yield_now();
    }
}

pub struct Client {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Client {
    pub fn new(place: &Place) -> Self {
        let stream = UnixStream::connect(place.path("runs/long/control.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self { lines: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.stream, "{request}").unwrap();
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub fn command(&mut self, word: &str) -> Value {
        self.ask(&json!({ "command": word }))
    }
}

#[test]
fn a_run_is_paused_resumed_made_safe_and_stopped() {
    let place = Place::new();
    let mut child = start(&place);
    let mut client = Client::new(&place);
    assert_eq!(client.command("pause"), json!({"reply": "done", "state": "paused"}));
    wait("it does not pause", || client.command("status")["state"] == "paused");
    let status = client.command("status");
    assert_eq!((&status["experiment"], &status["process"]), (&json!("small"), &json!(child.id())));
    assert_eq!(status["plants"][0]["origin"], "simulated");
    assert_eq!(client.command("status")["training"]["step"], status["training"]["step"], "nothing trains");

    assert_eq!(client.command("resume")["state"], "running");
    let before = status["training"]["step"].as_u64().unwrap();
    wait("it does not go on", || client.command("status")["training"]["step"].as_u64().unwrap() > before);
    // The answer comes when the plants are safe, and the run waits.
    assert_eq!(client.command("safe"), json!({"reply": "done", "state": "paused"}));
    assert!(place.read("runs/long/events.jsonl").contains("\"event\":\"paused\""));
    assert_eq!(client.ask(&json!({"command": "acknowledge", "alarm": 1}))["reply"], "refused");

    // A watcher gets status after status, with what the plants did.
    let mut watcher = Client::new(&place);
    client.command("resume");
    writeln!(watcher.stream, "{}", json!({"command": "watch", "rate": 50})).unwrap();
    let mut line = String::new();
    wait("no shot is shown", || {
        line.clear();
        watcher.lines.read_line(&mut line).unwrap();
        let status: Value = serde_json::from_str(&line).unwrap();
        status["plants"][0]["outputs"][0]["values"].as_array().is_some_and(|values| values.len() == 64)
            && status["training"]["twin_residual"].is_f64()
    });

    assert_eq!(client.command("stop")["state"], "stopping");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let last = watcher.lines.lines().map(Result::unwrap).last().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&last).unwrap()["state"], json!({"closed": "stopped"}));
    assert!(place.read("runs/long/run.json").contains("\"state\": \"stopped\""));
    assert!(!place.path("runs/long/control.sock").exists());
}

#[test]
fn an_abort_ends_a_paused_run() {
    let place = Place::new();
    let mut child = start(&place);
    let mut client = Client::new(&place);
    client.command("safe");
    assert_eq!(client.command("abort")["reply"], "done");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(place.read("runs/long/run.json").contains("\"state\": \"aborted\""));
    assert!(place.read("runs/long/events.jsonl").lines().any(|line| line.contains("\"event\":\"safe\"")));
}

#[test]
fn keys_steer_all_runs_of_a_comparison() {
    let place = Place::new();
    place.write("small.toml", &endless().replace("steps = 50000", "steps = 8000"));
    let arguments = ["compare", "small.toml", "--name", "both", "--methods", "physics-aware,in-silico", "--seeds", "1"];
    let variables = [("RAYON_NUM_THREADS", "2")];
    let mut terminal = Terminal::open(binary(), (&place.path("."), (24, 80)), &arguments, &variables);
    let runs = ["physics-aware", "in-silico"].map(|method| format!("runs/both/{method}-seed-1"));
    let trains = |run: &String| {
        std::fs::read_to_string(place.path(run).join("metrics.csv")).is_ok_and(|text| text.lines().count() > 3)
    };
    wait("the trainings do not start", || runs.iter().all(trains));
    let count = |event: &str| {
        let events = runs.iter().map(|run| place.read(&format!("{run}/events.jsonl")));
        events.map(|text| text.matches(&format!("\"event\":\"{event}\"")).count()).collect::<Vec<_>>()
    };
    terminal.press("p");
    terminal.wait("pauses after this step");
    wait("they do not pause", || count("paused") == [1, 1]);
    terminal.press("r");
    wait("they do not go on", || count("resumed") == [1, 1]);
    terminal.press("!");
    wait("they are not safe", || count("safe") == [1, 1]);
    terminal.press("sy");
    let (status, text) = terminal.end();
    assert_eq!(status.code(), Some(130), "{text}");
    for run in &runs {
        assert!(place.read(&format!("{run}/run.json")).contains("\"state\": \"stopped\""));
    }
}
