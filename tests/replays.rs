//! Dialogues with instruments of every protocol, recorded while a user trains, and replayed from a rig file.

use serde_json::Value;
use toml::Table;

use crate::program::{Place, names, without_bench_time};
use crate::wires::{EXPERIMENT, Serving};

/// Two short steps, without the questions before a training.
fn train(place: &Place, rig: &str, name: &str) -> std::process::Output {
    place.run(&["train", "wired.toml", "--rig", rig, "--name", name, "--check", "false", "--json"])
}

/// The rig in `served.toml`, changed, as `name`.
fn rewrite(place: &Place, name: &str, change: impl FnOnce(&mut Table)) {
    let mut rig: Table = place.read("served.toml").parse().unwrap();
    let plants = rig["plants"].as_table_mut().unwrap();
    let (_, plant) = plants.iter_mut().next().unwrap();
    let plant = plant.as_table_mut().unwrap();
    change(plant["bench"].as_table_mut().unwrap());
    place.write(name, &toml::to_string(&rig).unwrap());
}

/// Replaces every address by the recording of its instrument.
fn replay(instruments: &mut Table, name: &str) {
    for (key, value) in instruments {
        match value {
            toml::Value::Table(inner) => replay(inner, &format!("{name}-{key}")),
            value if key == "address" => *value = format!("replay://dialogues/{name}.jsonl").into(),
            _ => {}
        }
    }
}

/// Trains on the served `rig`, which is recorded, and again on the recording.
pub fn record_and_replay(rig: &str, plant: &str, experiment: &str, flags: &[&str]) {
    let place = Place::new();
    place.write("wired.toml", experiment);
    {
        let _serving = Serving::start(&place, rig, flags);
        rewrite(&place, "recorded.toml", |bench| drop(bench.insert("record".to_owned(), "dialogues".into())));
        let output = train(&place, "recorded.toml", "first");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let numbers = place.read("runs/first/metrics.csv");
        // Continued, it records beside what it has recorded.
        let longer = ["train", "--resume", "first", "--set", "training.steps=3", "--allow-changes"];
        let output = place.run(&longer);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(names(&place.path("dialogues-2")), names(&place.path("dialogues")));
        place.write("runs/first/metrics.csv", &numbers);
        let again = train(&place, "recorded.toml", "again");
        let text = String::from_utf8_lossy(&again.stderr);
        assert!(again.status.code() == Some(3) && text.contains("exists already"), "{text}");
    }
    rewrite(&place, "replayed.toml", |bench| replay(bench["instruments"].as_table_mut().unwrap(), plant));
    let output = train(&place, "replayed.toml", "second");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !text.contains("NOT SAFE"), "{text}");
    let numbers = |run: &str| {
        let metrics = place.read(&format!("runs/{run}/metrics.csv"));
        without_bench_time(&metrics)
    };
    assert_eq!(numbers("second"), numbers("first"));
    assert!(place.read("runs/second/run.json").contains("\"replayed\""), "it says that it was replayed");

    let longer = ["train", "--resume", "second", "--set", "training.steps=3", "--allow-changes"];
    let (code, text) = place.refusal(&longer);
    assert!(code == 2 && text.contains("cannot begin in the middle: train again"), "{text}");

    place.write("wired.toml", &experiment.replace("batch = 8", "batch = 7"));
    let output = train(&place, "replayed.toml", "other");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(text.contains("dialogues/") && text.contains(".jsonl: line ") && !text.contains("NOT SAFE"), "{text}");

    // What needs no drive is checked; the rest says why it is not.
    let report = place.json(&["check", "replayed.toml", "--json"]);
    let checks = report["plants"][0]["checks"].as_array().unwrap().clone();
    let outcome = |name: &str| checks.iter().find(|check| check["check"] == name).unwrap()["outcome"].clone();
    assert_eq!(report["plants"][0]["simulated"], Value::Bool(false), "a recording is no simulation");
    assert_eq!((outcome("identity"), outcome("limits refuse")), ("passed".into(), "passed".into()), "{report}");
    assert_eq!((outcome("reconnect"), outcome("safe state")), ("not-run".into(), "not-run".into()), "{report}");
    let safe = place.json(&["safe", "replayed.toml", "--json"]);
    assert_eq!(safe["plants"][0]["safe"], Value::Bool(true), "there is nothing to switch off");
}

fn short() -> String {
    EXPERIMENT.replace("steps = 6", "steps = 2").replace("batch = 24", "batch = 8").replace("test = 60", "test = 10")
}

#[test]
fn a_red_pitaya_is_recorded_and_replayed() {
    record_and_replay(include_str!("../hil/rigs/red-pitaya.toml"), "electrical", &short(), &["--pty"]);
}

#[test]
fn a_described_pair_is_recorded_and_replayed() {
    record_and_replay(include_str!("../hil/rigs/scpi.toml"), "electrical", &short(), &[]);
}

#[test]
fn a_pnnlink_board_is_recorded_and_replayed() {
    record_and_replay(include_str!("../hil/rigs/pnnlink.toml"), "electrical", &short(), &[]);
}

#[test]
fn an_optical_bench_is_recorded_and_replayed() {
    let experiment = short().replace("plant = \"electrical\"", "plant = \"optical\"").replace(
        "kind = \"scale-offset\"\nwidth = 64",
        "kind = \"linear\"\nwidth = 50\n\n[[layers]]\nkind = \"scale-offset\"\noffset = 0.5",
    );
    record_and_replay(include_str!("../hil/rigs/optical.toml"), "optical", &experiment, &["--pty"]);
}
