//! A search for the settings of knobs as a user steers it: watched, stopped, killed, taken up again; on controls, boards, SCPI commands, and by the features
//! of a network.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use hil::Overheard;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::program::{Place, SMALL};
use crate::wires::{Serving, wait_until};

/// A bench whose shots are noisy and whose bias has drifted.
const RIG: &str = r#"
name = "drifted"
[plants.electrical.simulated]
system = "electrical"
samples = 64

[knobs.bias]
plant = "electrical"
simulated = "device.offset_volts"
unit = "V"
low = -0.3
high = 0.3
slew = 0.05
value = 0.0
hidden = 0.12

[knobs.quality]
plant = "electrical"
simulated = "quality"
unit = "1"
low = 5.0
high = 15.0
value = 10.0
"#;

const ENOUGH: [&str; 5] = ["--evaluations", "40", "--shots", "24", "--keep-file"];

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {value}"))
}

#[test]
fn a_search_that_was_stopped_goes_on_digit_for_digit() {
    let place = Place::new();
    place.write("rig.toml", RIG);
    let tune = |out: &str, more: &[&str]| {
        place.json(&[&["tune", "rig.toml", "--json", "--out", out], &ENOUGH[..], more].concat())
    };
    let whole = tune("whole", &[]);
    let lines: Vec<String> = place.read("whole/drifted.jsonl").lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 1 + whole["path"].as_array().unwrap().len(), "what was asked, and each setting");
    std::fs::create_dir(place.path("cut")).unwrap();
    place.write("cut/drifted.jsonl", &(lines[..14].join("\n") + "\n" + "{\"values\":[0."));
    let again = tune("cut", &["--resume"]);
    for key in ["path", "knobs", "distance_before", "distance_after", "noise", "shots", "evaluations"] {
        assert_eq!(again[key], whole[key], "{key}");
    }
    assert_eq!(place.read("cut/drifted/metrics.csv"), place.read("whole/drifted/metrics.csv"));
}

#[test]
fn a_search_leaves_a_record_that_the_dashboard_reads() {
    let place = Place::new();
    place.write("rig.toml", RIG);
    let done = place.json(&[&["tune", "rig.toml", "--json"], &ENOUGH[..]].concat());
    let facts: Value = serde_json::from_str(&place.read("tune/drifted/run.json")).unwrap();
    assert_eq!((&facts["state"], &facts["experiment"]), (&json!("finished"), &json!("drifted")));
    assert_eq!(facts["tuning"]["evaluations"], done["evaluations"]);
    assert_eq!(facts["tuning"]["knobs"][0]["best"], done["knobs"][0]["after"]);
    assert_eq!(number(&facts, "/shots"), number(&done, "/shots"));
    let metrics = place.read("tune/drifted/metrics.csv");
    let mut rows = metrics.lines();
    assert_eq!(rows.next(), Some("kind,step,stage,distance,best,shots,plant_seconds,knob.bias,knob.quality"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(',').collect()).collect();
    assert_eq!(rows.len() as u64, done["evaluations"].as_u64().unwrap(), "those that measure sensitivities as well");
    assert!(rows.iter().any(|row| row[2] == "sensitivity") && rows[0][2] == "pattern search");
    let events = place.read("tune/drifted/events.jsonl");
    for word in ["\"started\"", "\"safe\"", "\"finished\""] {
        assert!(events.contains(word), "{word}: {events}");
    }
    assert!(!place.path("tune/drifted/control.sock").exists());
}

/// One request to a search that goes, and its answer.
fn ask(place: &Place, folder: &str, request: &str) -> Value {
    let mut stream = UnixStream::connect(place.path(folder).join("control.sock")).unwrap();
    writeln!(stream, "{{\"command\":\"{request}\"}}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn a_search_is_watched_paused_and_stopped_over_its_socket() {
    let place = Place::new();
    place.write("rig.toml", RIG);
    let arguments = ["tune", "rig.toml", "--evaluations", "100000", "--shots", "2000", "--strategy", "random"];
    let child = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("a search that answers", || place.path("tune/drifted/control.sock").exists());
    let status = || ask(&place, "tune/drifted", "status");
    wait_until("three signatures", || status()["tuning"]["evaluations"].as_u64().is_some_and(|done| 3 <= done));
    let seen = status();
    assert_eq!((&seen["state"], &seen["tuning"]["planned"]), (&json!("running"), &json!(100_000)));
    assert!(number(&seen, "/tuning/best") <= number(&seen, "/tuning/start"), "{seen}");
    assert_eq!(seen["tuning"]["knobs"][0]["name"], "bias");
    assert_eq!(ask(&place, "tune/drifted", "pause")["reply"], "done");
    wait_until("a search that pauses", || status()["state"] == "paused");
    let paused = status()["tuning"]["evaluations"].clone();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(status()["tuning"]["evaluations"], paused);
    assert_eq!(ask(&place, "tune/drifted", "safe")["reply"], "done");
    assert_eq!(ask(&place, "tune/drifted", "stop")["reply"], "done");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("the knobs are where they were"), "{said}");
    let facts: Value = serde_json::from_str(&place.read("tune/drifted/run.json")).unwrap();
    assert_eq!(facts["state"], "stopped");
    assert_eq!(place.read("rig.toml"), RIG, "nothing is kept of a search that did not end");
}

/// A pair whose generator has a second output that biases the circuit.
fn pair(value: f32) -> String {
    let rig = include_str!("../hil/rigs/scpi.toml");
    let rig = rig.replace("samples = 64\n\n# A shot", "samples = 64\nbias_volts = 0.5\n\n# A shot");
    format!(
        "{rig}\n[knobs.bias]\nplant = \"electrical\"\ncommand = \"SOUR2:VOLT:OFFS {{value}}\"\nquery = \"SOUR2:VOLT:OFFS?\"\nunit = \"V\"\nlow = -0.4\n\
         high = 0.4\nslew = 0.1\nvalue = {value:?}\n"
    )
}

const BIAS: &str = "SOUR2:VOLT:OFFS";

/// A served pair past whoever overhears it, in `heard.toml`.
fn overheard(place: &Place, serving: &Serving) -> Overheard {
    let overheard = Overheard::before(&serving.address.parse().unwrap()).unwrap();
    let rig = place.read("served.toml").replace(&serving.address, &overheard.address.to_string());
    place.write("heard.toml", &rig);
    overheard
}

/// A trace of a bench as it stands.
fn measured(place: &Place, rig: &str) -> String {
    let done = place.json(&["calibrate", rig, "electrical", "--stimuli", "40", "--candidates", "0", "--json"]);
    done["trace"].as_str().unwrap_or_else(|| panic!("{done}")).to_owned()
}

#[test]
fn a_command_stays_within_its_limits_and_slew_and_ends_at_rest_on_every_way_out() {
    let place = Place::new();
    let serving = Serving::start(&place, &pair(0.1), &[]);
    let trace = measured(&place, "served.toml");
    let healthy = place.read("served.toml");
    assert!(healthy.contains("value = 0.1\n"), "{healthy}");
    place.write("served.toml", &healthy.replace("value = 0.1\n", "value = -0.3\n"));
    let heard = overheard(&place, &serving);
    let arguments = ["tune", "heard.toml", "--reference", &trace, "--evaluations", "60", "--shots", "16"];
    let begun = || {
        let child = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let journal = || std::fs::read_to_string(place.path("tune/scpi.jsonl")).unwrap_or_default().lines().count();
        wait_until("some signatures", || 4 < journal());
        child
    };
    for signal in [Signal::TERM, Signal::KILL] {
        drop(std::fs::remove_dir_all(place.path("tune")));
        let mut child = begun();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = child.wait().unwrap();
        if signal == Signal::TERM {
            assert_eq!(ended.code(), Some(130));
            let sent = heard.numbers(BIAS);
            let last = sent.iter().rev().find(|value| **value != 0.0);
            assert_eq!(last, Some(&-0.3), "where it was, before the safe state: {sent:?}");
        }
        wait_until("a bench that is safe", || serving.ask("OUTP1?") == "0");
        let bias = || serving.ask("SOUR2:VOLT:OFFS?").parse::<f32>().unwrap_or(f32::NAN);
        wait_until("a knob at rest", || bias().abs() < 1e-3);
        assert!(place.read("heard.toml").contains("value = -0.3\n"), "the file holds the last good setting");
    }
    // It goes on where it was killed, and finds the setting of the healthy bench.
    let done = place.json(&[&arguments[..], &["--resume", "--json"]].concat());
    let found = number(&done, "/knobs/0/after");
    assert!((found - 0.1).abs() < 0.02, "{done}");
    let sent = heard.numbers(BIAS);
    assert!(20 < sent.len() && sent.iter().all(|value| (-0.4..=0.4).contains(value)), "{sent:?}");
    // The step to rest is free; the way from there is not.
    let steps = sent.windows(2).filter(|pair| pair[1] != 0.0);
    let largest = steps.map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(largest <= 0.1001, "{largest}: {sent:?}");
}

#[test]
fn a_control_that_is_held_apart_and_a_setting_of_a_board_are_tuned_to_a_reference() {
    let place = Place::new();
    let knob = |way: &str, value: f32| {
        format!(
            "\n[knobs.bias]\nplant = \"electrical\"\n{way} = \"bias\"\nunit = \"V\"\nlow = -0.4\nhigh = 0.4\nvalue = {value:?}\n"
        )
    };
    let tuned = |rig: &str, reference: &str| {
        let arguments = ["tune", rig, "--reference", reference, "--evaluations", "40", "--shots", "32", "--json"];
        number(&place.json(&arguments), "/knobs/0/after")
    };
    let simulated =
        "name = \"held\"\n[plants.electrical.simulated]\nsystem = \"electrical\"\nsamples = 16\nbias_volts = 0.5\n";
    place.write("held.toml", &format!("{simulated}{}", knob("control", 0.15)));
    let trace = measured(&place, "held.toml");
    place.write("held.toml", &format!("{simulated}{}", knob("control", -0.2)));
    // The twin has this control as well, and holds it where the file says.
    let refused = place.refusal(&["tune", "held.toml", "--evaluations", "40"]).1;
    assert!(refused.contains("the knob `bias` is a control of the twin too"), "{refused}");
    let found = tuned("held.toml", &trace);
    assert!((found - 0.15).abs() < 0.04, "{found}");
    let board = include_str!("../hil/rigs/pnnlink.toml").replace("samples = 64\n", "samples = 16\nbias_volts = 0.5\n");
    let _serving = Serving::start(&place, &format!("{board}{}", knob("setting", 0.15)), &[]);
    let trace = measured(&place, "served.toml");
    place.write("moved.toml", &place.read("served.toml").replace("value = 0.15", "value = -0.2"));
    let found = tuned("moved.toml", &trace);
    assert!((found - 0.15).abs() < 0.04, "{found}");
}

#[test]
fn features_of_a_trained_network_are_compared_where_they_are_asked_for() {
    let place = Place::new();
    let experiment =
        SMALL.replace("[plants.electrical.simulated]\nsamples = 64\n", "").replace("steps = 8", "steps = 40");
    place.write("small.toml", &experiment);
    place.write("healthy.toml", &RIG.replace("hidden = 0.12", ""));
    place.write("rig.toml", RIG);
    let healthy =
        ["train", "small.toml", "--rig", "healthy.toml", "--record", "--name", "healthy", "--check", "false", "--json"];
    place.json(&healthy);
    let arguments = ["tune", "rig.toml", "--reference", "runs/healthy", "--metric", "features", "--test", "healthy"];
    let done = place.json(&[&arguments[..], &["--knobs", "bias", "--json"], &ENOUGH[..]].concat());
    assert_eq!(done["metric"], "features");
    let found = number(&done, "/knobs/0/after");
    assert!((found + 0.12).abs() < 0.05, "{found}: {done}");
    assert!(number(&done, "/distance_after") < number(&done, "/distance_before"));
    let [before, after] = ["/test_accuracy/0", "/test_accuracy/1"].map(|path| number(&done, path));
    assert!(before - 0.05 < after, "{before} {after}");
    let refused = place.refusal(&[&["tune", "rig.toml", "--metric", "features"], &ENOUGH[..]].concat()).1;
    assert!(refused.contains("--metric features: needs a trained network: name a run with --reference"), "{refused}");
    place.write("unrecorded.toml", &experiment);
    place.json(&["train", "small.toml", "--rig", "healthy.toml", "--name", "bare", "--check", "false", "--json"]);
    let refused = place.refusal(&[&["tune", "rig.toml", "--reference", "runs/bare"], &ENOUGH[..]].concat()).1;
    assert!(refused.contains("has not recorded the shots of plant `electrical`"), "{refused}");
}
