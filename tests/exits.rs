//! Every way out of a training on a bench without a watchdog switches its output off: signals by kind, death, and what a guard does.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use drivers::{Address, Owned, holder};
use rustix::process::{Pid, Signal, getsid, kill_process};
use serde_json::{Value, json};

use crate::program::{Place, binary, endless};
use crate::terminal::Terminal;
use crate::wires::{EXPERIMENT, Serving, wait_until};

const RED_PITAYA: &str = include_str!("../hil/rigs/red-pitaya.toml");
const STATE: &str = "OUTPUT1:STATE?";

/// A served bench, and a training on it that ends only when it is told to.
fn site() -> (Place, Serving) {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &[]);
    place.write("long.toml", &EXPERIMENT.replace("steps = 6", "steps = 1000000"));
    (place, serving)
}

const TRAIN: [&str; 8] = ["train", "long.toml", "--rig", "served.toml", "--name", "long", "--check", "false"];

/// Starts the training and waits until its output is on.
fn train(serving: &Serving, mut command: Command) -> Child {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("an output that is on", || serving.ask(STATE) == "ON");
    child
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Whether a program that is started here hears this signal: `nohup` and a shell's `&` start programs that do not.
fn is_heard(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 0
}

/// Whether nobody has the served instrument: neither a training nor a guard that looks again.
fn is_free(serving: &Serving) -> bool {
    holder(&serving.address.parse::<Address>().unwrap()).unwrap().is_none()
}

fn state(place: &Place) -> Value {
    serde_json::from_str::<Value>(&place.read("runs/long/run.json")).unwrap()["state"].clone()
}

#[test]
fn signals_that_come_twice_close_the_run_once() {
    for signal in [Signal::HUP, Signal::TERM, Signal::QUIT, Signal::INT].into_iter().filter(|one| is_heard(*one)) {
        let (place, serving) = site();
        let mut child = train(&serving, place.command(&TRAIN));
        send(&child, signal);
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal:?}");
        assert_eq!((serving.ask(STATE).as_str(), state(&place)), ("OFF", json!("interrupted")), "{signal:?}");
    }
}

#[test]
fn a_second_ctrl_c_that_is_clearly_later_ends_at_once_and_the_guard_switches_off() {
    if !is_heard(Signal::INT) {
        return;
    }
    let (place, serving) = site();
    let mut child = train(&serving, place.command(&TRAIN));
    // An instrument that does not answer keeps the run from closing for a while.
    serving.signal(Signal::STOP);
    send(&child, Signal::INT);
    std::thread::sleep(Duration::from_millis(600));
    send(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(131));
    serving.signal(Signal::CONT);
    wait_until("an output that is off", || serving.ask(STATE) == "OFF");
    wait_until("a guard that is done", || is_free(&serving));
}

#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let (place, serving) = site();
    let mut command = Command::new("sh");
    let script = "trap '' HUP; exec \"$@\"";
    command.args(["-c", script, "sh", binary()]).args(TRAIN).current_dir(place.path("."));
    let mut child = train(&serving, command);
    send(&child, Signal::HUP);
    let lines = || place.read("runs/long/metrics.csv").lines().count();
    let before = lines();
    wait_until("steps after a hang-up that nohup ignores", || before + 3 < lines());
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(serving.ask(STATE), "OFF");
}

#[test]
fn after_kill_nine_the_guard_switches_off_and_ends() {
    let (place, serving) = site();
    let mut child = train(&serving, place.command(&TRAIN));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("an output that is off", || serving.ask(STATE) == "OFF");
    wait_until("a guard that is done", || is_free(&serving));
}

#[test]
fn what_an_earlier_program_left_on_goes_off_with_an_error_before_the_first_shot() {
    let (place, serving) = site();
    assert_eq!(serving.ask("OUTPUT1:STATE ON\r\nOUTPUT1:STATE?"), "ON");
    place.write("wrong.toml", &EXPERIMENT.replace("width = 64", "width = 63"));
    let (code, text) = place.refusal(&["train", "wrong.toml", "--rig", "served.toml", "--check", "false"]);
    assert_ne!(code, 0, "{text}");
    assert_eq!(serving.ask(STATE), "OFF");
}

/// A guard of its own, and the pipe that it waits at.
fn guard(serving: &Serving) -> (Child, Option<ChildStdin>) {
    let mut child =
        Command::new(binary()).arg("keep-a-bench-safe").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let words = json!({ "scpi": { "off": ["OUTPUT1:STATE OFF"], "state": STATE, "terminator": "crlf" } });
    let order = json!({ "instrument": "electrical", "address": serving.address, "words": words });
    let mut pipe = child.stdin.take().unwrap();
    writeln!(pipe, "{}", json!({ "plant": "electrical", "controller": 1, "orders": [order] })).unwrap();
    let mut word = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut word).unwrap();
    assert_eq!(word, "ready\n");
    assert_eq!(serving.ask("OUTPUT1:STATE ON\r\nOUTPUT1:STATE?"), "ON");
    (child, Some(pipe))
}

#[test]
fn a_guard_hears_no_signal_and_acts_when_its_pipe_is_closed() {
    let (_place, serving) = site();
    let (mut child, pipe) = guard(&serving);
    let process = Pid::from_child(&child);
    assert_eq!(getsid(Some(process)).unwrap(), process, "a session of its own");
    for signal in [Signal::HUP, Signal::INT, Signal::TERM, Signal::QUIT, Signal::TSTP] {
        send(&child, signal);
    }
    assert_eq!(serving.ask(STATE), "ON");
    drop(pipe);
    assert!(child.wait().unwrap().success());
    assert_eq!(serving.ask(STATE), "OFF");
}

#[test]
fn a_guard_that_was_told_goodbye_changes_nothing() {
    let (_place, serving) = site();
    let (mut child, mut pipe) = guard(&serving);
    writeln!(pipe.take().unwrap(), "goodbye").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(serving.ask(STATE), "ON");
}

#[test]
fn a_guard_leaves_a_bench_alone_that_a_successor_has() {
    let (_place, serving) = site();
    let (mut child, pipe) = guard(&serving);
    let _owned = Owned::take("successor", &serving.address.parse().unwrap()).unwrap();
    drop(pipe);
    assert!(child.wait().unwrap().success());
    assert_eq!(serving.ask(STATE), "ON", "it is the successor's now");
}

#[test]
fn a_guard_tries_until_its_instrument_is_back() {
    let (place, serving) = site();
    let (mut child, pipe) = guard(&serving);
    let port = serving.address.rsplit(':').next().unwrap().to_owned();
    drop(serving);
    drop(pipe);
    // Whoever listens there now is told to switch off, however late it is.
    let mut listener = None;
    wait_until("a port that is free again", || {
        listener = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).ok();
        listener.is_some()
    });
    let (stream, _) = listener.as_ref().unwrap().accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "OUTPUT1:STATE OFF\r\n");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(place);
}

#[test]
fn after_ctrl_z_and_fg_keys_are_heard() {
    let place = Place::new();
    place.write("small.toml", &endless());
    let arguments = ["train", "small.toml", "--name", "long"];
    let mut terminal = Terminal::open(binary(), (&place.path("."), (24, 80)), &arguments, &[]);
    let count = |event: &str| {
        let text = std::fs::read_to_string(place.path("runs/long/events.jsonl")).unwrap_or_default();
        text.matches(&format!("\"event\":\"{event}\"")).count()
    };
    wait_until("training", || 0 < count("started"));
    terminal.press("p");
    wait_until("a pause by key", || count("paused") == 1);
    // What a shell does at Ctrl-Z and `fg`; it keeps the terminal as it needs it itself.
    terminal.press("\u{1a}");
    wait_until("a program that is stopped", || terminal.is_stopped());
    assert!(terminal.has_lines(), "the terminal is given back before");
    terminal.go_on();
    terminal.press("r");
    wait_until("a resumption by key", || count("resumed") == 1);
    assert!(!terminal.has_lines());
    // The same where nobody can catch the signal, and a shell sets the terminal.
    terminal.stop();
    terminal.set_lines();
    terminal.go_on();
    terminal.press("!");
    wait_until("plants made safe by key", || count("safe") == 1);
    terminal.press("sy");
    let (status, text) = terminal.end();
    assert_eq!(status.code(), Some(130), "{text}");
}

#[test]
fn a_dashboard_is_drawn_again_after_it_was_stopped() {
    let place = Place::new();
    std::fs::create_dir(place.path("runs")).unwrap();
    let mut terminal = Terminal::open(binary(), (&place.path("."), (24, 80)), &["watch", "--runs", "runs"], &[]);
    terminal.wait("runs");
    for by_key in [true, false] {
        if by_key {
            terminal.press("\u{1a}");
        } else {
            terminal.stop();
        }
        wait_until("a program that is stopped", || terminal.is_stopped());
        if by_key {
            terminal.wait_for_screen(false);
            assert!(terminal.has_lines(), "the terminal is given back");
        } else {
            terminal.set_lines();
        }
        terminal.go_on();
        wait_until("a terminal without lines", || !terminal.has_lines());
        terminal.wait_for_screen(true);
        terminal.wait("runs");
    }
    terminal.press("q");
    let (status, text) = terminal.end();
    assert!(status.success(), "{text}");
}

#[test]
fn a_few_random_exits_leave_no_output_on() {
    let place = Place::new();
    // How long it takes depends on how busy this machine is; that it happens does not.
    let report = place.json(&["soak", "--exits", "--rounds", "9", "--seed", "3", "--bound", "60", "--json"]);
    assert_eq!(report["rounds"], 9, "{report}");
    assert_eq!((&report["left_on"], &report["unfinished"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(report["bound_seconds"], 60.0);
    let (code, text) = place.refusal(&["soak", "--exits", "--shots", "5"]);
    assert!(code == 2 && text.contains("--shots"), "{text}");
}
