//! `pnnlab safe` where nothing can be switched off beside the holder: on serial ports, with holders that obey, and that do not.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::Place;
use crate::wires::{EXPERIMENT, Serving, wait_until};

const RED_PITAYA: &str = include_str!("../hil/rigs/red-pitaya.toml");

/// One line to the instrument on its pseudo-terminal, when nobody else holds it, and its answer.
fn ask(serving: &Serving, line: &str) -> String {
    let path = serving.address.strip_prefix("serial://").unwrap().split('?').next().unwrap();
    let mut port = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    port.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(port).read_line(&mut answer).unwrap();
    answer.trim_end().to_owned()
}

/// Who holds the served instrument.
fn holder(serving: &Serving) -> Option<u32> {
    drivers::holder(&serving.address.parse().unwrap()).map(|holder| holder.process)
}

/// Starts a holder of the served instrument.
fn hold(place: &Place, serving: &Serving, arguments: &[&str]) -> Child {
    let mut command = place.command(arguments);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("holding", || holder(serving) == Some(child.id()));
    child
}

/// What `pnnlab safe` says of the one plant.
fn safe(place: &Place) -> Value {
    let plant = place.json(&["safe", "served.toml", "--json"])["plants"][0].clone();
    assert_eq!(plant["safe"], Value::Bool(true), "{plant}");
    assert!(plant["off_seconds"].as_f64().is_some(), "{plant}");
    plant
}

#[test]
fn a_training_on_a_serial_port_switches_off_and_waits() {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &["--pty"]);
    place.write("wired.toml", &EXPERIMENT.replace("steps = 6", "steps = 50000"));
    let arguments = ["train", "wired.toml", "--rig", "served.toml", "--name", "long", "--check", "false", "--json"];
    let mut training = hold(&place, &serving, &arguments);
    wait_until("training", || {
        std::fs::read_to_string(place.path("runs/long/metrics.csv")).is_ok_and(|text| 1 < text.lines().count())
    });
    let made = safe(&place);
    assert!(made["holder"].as_str().unwrap().contains("is paused"), "{made}");
    assert!(training.try_wait().unwrap().is_none(), "it goes on when it is told to");
    // What kill -9 leaves is what `safe` has made of it.
    training.kill().unwrap();
    training.wait().unwrap();
    assert_eq!(ask(&serving, "OUTPUT1:STATE?"), "0");
}

#[test]
fn a_holder_without_a_socket_is_told_to_end_and_obeys() {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &["--pty"]);
    let arguments = ["response", "electrical", "--rig", "served.toml", "--average", "65535", "--json"];
    let mut measuring = hold(&place, &serving, &arguments);
    let made = safe(&place);
    assert!(made["holder"].as_str().unwrap().contains("was ended"), "{made}");
    assert_eq!(measuring.wait().unwrap().code(), Some(130), "by itself, after it had made the plant safe");
    assert_eq!(ask(&serving, "OUTPUT1:STATE?"), "0");
}

#[test]
fn a_holder_that_hangs_is_killed_and_the_output_switched_off() {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &["--pty"]);
    let arguments = ["response", "electrical", "--rig", "served.toml", "--average", "65535", "--json"];
    let mut hanging = hold(&place, &serving, &arguments);
    kill_process(Pid::from_child(&hanging), Signal::STOP).unwrap();
    let made = safe(&place);
    assert!(made["holder"].as_str().unwrap().contains("was ended"), "{made}");
    assert_eq!(hanging.wait().unwrap().code(), None, "by a signal");
    assert_eq!(ask(&serving, "OUTPUT1:STATE?"), "0");
}

#[test]
fn an_instrument_that_talks_to_one_client_is_switched_off_by_its_holder() {
    let place = Place::new();
    let serving = Serving::start(&place, include_str!("../hil/rigs/optical.toml"), &[]);
    let experiment = EXPERIMENT
        .replace("kind = \"scale-offset\"\nwidth = 64", "kind = \"pick\"\ncount = 50")
        .replace("\"electrical\"", "\"optical\"")
        .replace("steps = 6", "steps = 1000000");
    place.write("light.toml", &experiment);
    let arguments = ["train", "light.toml", "--rig", "served.toml", "--name", "long", "--check", "false", "--json"];
    let mut training = hold(&place, &serving, &arguments);
    wait_until("training", || {
        std::fs::read_to_string(place.path("runs/long/metrics.csv")).is_ok_and(|text| 1 < text.lines().count())
    });
    let made = safe(&place);
    assert!(made["holder"].as_str().unwrap().contains("is paused"), "{made}");
    assert!(made["off_seconds"].as_f64().unwrap() < 1.0, "without waiting for a connection of its own: {made}");
    training.kill().unwrap();
    training.wait().unwrap();
}

#[test]
fn a_board_on_a_serial_port_is_safe_after_its_holder_hangs() {
    let place = Place::new();
    let serving = Serving::start(&place, include_str!("../hil/rigs/pnnlink.toml"), &["--pty"]);
    let arguments = ["response", "electrical", "--rig", "served.toml", "--average", "65535", "--json"];
    let mut hanging = hold(&place, &serving, &arguments);
    kill_process(Pid::from_child(&hanging), Signal::STOP).unwrap();
    // The board answers `safe` that it is safe; its watchdog is not waited for.
    safe(&place);
    hanging.wait().unwrap();
    assert_eq!(holder(&serving), None);
}
