//! Every shot on disk, a plan before it starts, alarms while it goes, and a disk that is full.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt64Type};
use arrow_ipc::reader::StreamReader;
use serde_json::Value;

use crate::program::{Place, SMALL, binary};

/// Rows up to the last whole batch.
fn rows(place: &Place, path: &str) -> usize {
    let reader = StreamReader::try_new(File::open(place.path(path)).unwrap(), None).unwrap();
    reader.map_while(Result::ok).map(|batch| batch.num_rows()).sum()
}

#[test]
fn a_recorded_run_has_every_shot_and_the_same_numbers() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let result = place.json(&["train", "small.toml", "--name", "recorded", "--record", "--json"]);
    place.json(&["train", "small.toml", "--name", "plain", "--json"]);
    assert_eq!(rows(&place, "runs/recorded/shots/electrical-1.arrows") as u64, result["shots"].as_u64().unwrap());
    assert_eq!(place.read("runs/recorded/metrics.csv"), place.read("runs/plain/metrics.csv"));
    let file = File::open(place.path("runs/recorded/shots/electrical-1.arrows")).unwrap();
    let schema = StreamReader::try_new(file, None).unwrap().schema();
    let facts = schema.metadata();
    assert_eq!((facts["origin"].as_str(), facts["seed"].as_str()), ("simulated", "1"));
    assert!(schema.field_with_name("inputs").unwrap().metadata()["banks"].contains(" V "));
    assert!(!place.path("runs/plain/shots").exists());
}

/// Shot numbers and outputs of all streams of a run, one after another.
fn shots(place: &Place, run: &str) -> Vec<(u64, Vec<f32>)> {
    let mut all = Vec::new();
    for number in 1.. {
        let Ok(file) = File::open(place.path(&format!("runs/{run}/shots/electrical-{number}.arrows"))) else { break };
        // None of them is torn.
        for batch in StreamReader::try_new(file, None).unwrap().map(Result::unwrap) {
            let numbers = batch.column(0).as_primitive::<UInt64Type>();
            let outputs = batch.column(5).as_fixed_size_list();
            let rows =
                (0..batch.num_rows()).map(|row| outputs.value(row).as_primitive::<Float32Type>().values().to_vec());
            all.extend(numbers.values().iter().copied().zip(rows));
        }
    }
    all
}

#[test]
fn a_killed_recording_goes_on_with_each_shot_once() {
    let place = Place::new();
    let small = SMALL.replace("steps = 8", "steps = 1200").replace("evaluate_every = 4", "evaluate_every = 100");
    place.write("small.toml", &small.replace("[plants", "[run]\ncheckpoint_steps = 20\nrecord = true\n\n[plants"));
    assert!(place.run(&["train", "small.toml", "--name", "whole"]).status.success());
    // Killed between two checkpoints, twice.
    let kill = |arguments: &[&str], rows: usize| {
        let mut child = place.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let bound = Instant::now() + Duration::from_mins(1);
        let metrics = place.path("runs/killed/metrics.csv");
        while std::fs::read_to_string(&metrics).is_ok_and(|text| text.lines().count() <= rows) || !metrics.exists() {
            assert!(Instant::now() < bound && child.try_wait().unwrap().is_none(), "it does not come to row {rows}");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    };
    kill(&["train", "small.toml", "--name", "killed"], 50);
    kill(&["train", "--resume", "killed"], 110);
    assert!(place.run(&["train", "--resume", "killed"]).status.success());
    let whole = shots(&place, "whole");
    assert_eq!(
        whole.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        (1..=1200 * 32 + 12 * 169 + 100).collect::<Vec<_>>()
    );
    assert!(shots(&place, "killed") == whole, "each shot is there once, and is the same");
}

#[test]
fn a_run_whose_plant_is_recorded_goes_on_beside_its_recording() {
    let place = Place::new();
    let rig =
        "name = \"bench\"\n[plants.electrical]\nrecord = \"plant.jsonl\"\nsimulated = { system = \"electrical\" }\n";
    place.write("small.toml", SMALL).write("rig.toml", rig);
    place.json(&["train", "small.toml", "--rig", "rig.toml", "--name", "one", "--json"]);
    let first = place.read("plant.jsonl");
    for (steps, file) in [(12, "plant-2.jsonl"), (16, "plant-3.jsonl")] {
        let steps = format!("training.steps={steps}");
        place.json(&["train", "--resume", "one", "--set", &steps, "--allow-changes", "--json"]);
        assert!(place.read(file).starts_with("{\"call\":\"card\""), "a recording of its own");
    }
    assert_eq!(place.read("plant.jsonl"), first, "what happened stays written");
    assert_eq!(place.read("plant-2.jsonl").matches("\"shots\":32").count(), 4);
    let (code, text) = place.refusal(&["train", "small.toml", "--rig", "rig.toml", "--name", "two"]);
    assert_eq!((code, text.contains("exists already")), (3, true), "another run is another recording: {text}");
}

#[test]
fn the_plan_is_what_it_costs_and_a_rehearsal_leaves_nothing() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    for method in ["physics-aware", "in-silico"] {
        let rehearsal = place.json(&["train", "small.toml", "--dry-run", "--json", "--method", method]);
        assert_eq!(rehearsal["checked_shots"], 3 * 32);
        assert!(!place.path("runs").join(method).exists());
        let result = place.json(&["train", "small.toml", "--json", "--method", method, "--name", method]);
        assert_eq!(rehearsal["plan"]["shots"], result["shots"]);
        let [planned, spent] = [&rehearsal["plan"], &result].map(|object| object["plant_seconds"].as_f64().unwrap());
        assert!((planned / spent - 1.0).abs() < 1e-9, "{planned} s planned, {spent} s spent");
        std::fs::remove_dir_all(place.path("runs")).unwrap();
    }
    let words = String::from_utf8(place.run(&["train", "small.toml", "--dry-run"]).stdout).unwrap();
    assert!(words.contains("of bench time") && words.contains("keep every limit"), "{words}");
}

#[test]
fn an_alarm_is_raised_once_pauses_and_is_found_later() {
    let place = Place::new();
    let alarms = "[run]\nalarms = [{ on = \"loss\", above = 0.001, severity = \"major\" }]\n\n[plants";
    place.write("small.toml", &SMALL.replace("[plants", alarms));
    place.json(&["train", "small.toml", "--name", "one", "--json"]);
    let events = place.read("runs/one/events.jsonl");
    assert_eq!(events.lines().filter(|line| line.contains("\"event\":\"alarm\"")).count(), 1, "{events}");
    let list = place.json(&["runs", "list", "--json"]);
    assert_eq!(list["runs"][0]["alarms"], 1);
    let shown = place.json(&["runs", "show", "one", "--json"]);
    assert_eq!(shown["alarms"][0]["severity"], "major");
    assert!(shown["alarms"][0]["message"].as_str().unwrap().contains("above 0.001"));
    place.write("bad.toml", &SMALL.replace("[plants", &alarms.replace("above = 0.001, ", "")));
    let (code, text) = place.refusal(&["train", "bad.toml"]);
    assert_eq!((code, text.contains("must have exactly one of `above` and `below`")), (3, true), "{text}");
}

/// A limit on the size of files stands for a disk that is full: writing fails in the midst of a run, and the signal that comes with it ends
/// nothing.
#[test]
fn a_full_disk_is_said_and_keeps_what_was_written() {
    let place = Place::new();
    place.write(
        "small.toml",
        &SMALL.replace("steps = 8", "steps = 4000").replace("evaluate_every = 4", "evaluate_every = 0"),
    );
    let script = "ulimit -f 300; exec \"$0\" train small.toml --name full --record";
    let output = Command::new("sh").args(["-c", script, binary()]).current_dir(place.path("")).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(text.contains("electrical-1.arrows: cannot be written") && !text.contains("panicked"), "{text}");
    // A block of a limit is 512 bytes or 1024; a row has 128 numbers of 4 bytes and more.
    assert!(rows(&place, "runs/full/shots/electrical-1.arrows") >= 32);
    let facts: Value = serde_json::from_str(&place.read("runs/full/run.json")).unwrap();
    assert_eq!(facts["state"], "failed");
    assert!(place.read("runs/full/events.jsonl").contains("\"event\":\"failed\""));
    assert_eq!(place.json(&["runs", "list", "--json"])["runs"][0]["state"], "failed");
}
