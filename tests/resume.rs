//! A run that was killed, interrupted or stopped goes on to the same end as one that was not.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::{Place, SMALL, endless, names};

/// A plant that drifts and has controls, between two digital layers, so that all state counts: Adam's moments, the order of
/// the batches, the noise of each shot, the time on the bench.
const DRIFTING: &str = r#"
name = "drifting"

[data]
source = "digits"
test = 100

[training]
steps = 60
batch = 16
evaluate_every = 20

[run]
checkpoint_steps = 7

[[layers]]
kind = "linear"
width = INPUTS

[[layers]]
kind = "physical"
plant = "optical"
control_spread = 0.1

[[layers]]
kind = "linear"
width = 10
"#;

/// Kills in the test of random moments; `PNNLAB_KILLS=100 cargo test --release --test main killed` is the long proof.
fn kills() -> u64 {
    std::env::var("PNNLAB_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// A reproducible number below `bound`.
fn random(seed: u64, bound: u64) -> u64 {
    sims::Key::new(seed).branch("kills").stream().below(bound as usize) as u64
}

fn place() -> Place {
    let place = Place::new();
    let inputs = 50.to_string();
    place.write("drifting.toml", &DRIFTING.replace("INPUTS", &inputs)).write("small.toml", SMALL);
    place
}

fn start(place: &Place, arguments: &[&str]) -> Child {
    place.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until `rows` rows are in `metrics.csv`, or the run is over.
fn wait(place: &Place, run: &str, child: &mut Child, rows: u64) {
    let bound = Instant::now() + Duration::from_mins(1);
    let path = place.path(&format!("runs/{run}/metrics.csv"));
    while child.try_wait().unwrap().is_none() {
        if std::fs::read_to_string(&path).is_ok_and(|text| text.lines().count() as u64 > rows) {
            return;
        }
        assert!(Instant::now() < bound, "the run does not come to row {rows}");
        std::thread::yield_now();
    }
}

fn same(place: &Place, run: &str, whole: &str) {
    for file in ["metrics.csv", "weights.safetensors"] {
        let bytes = |run: &str| std::fs::read(place.path(&format!("runs/{run}/{file}"))).unwrap();
        assert!(bytes(run) == bytes(whole), "{run}/{file} differs from that of the uninterrupted run");
    }
    let facts: Value = serde_json::from_str(&place.read(&format!("runs/{run}/run.json"))).unwrap();
    assert_eq!(facts["state"], "finished");
}

#[test]
fn killed_runs_end_as_if_they_had_not_been() {
    let place = place();
    assert!(place.run(&["train", "drifting.toml", "--name", "whole"]).status.success());
    for kill in 0..kills() {
        let run = format!("killed-{kill}");
        let mut child = start(&place, &["train", "drifting.toml", "--name", &run]);
        // Rows 1 to 63; row 0 is the header.
        wait(&place, &run, &mut child, random(2 * kill, 64));
        child.kill().unwrap();
        child.wait().unwrap();
        // What was flushed is whole rows, at most the last of them torn.
        let text = place.read(&format!("runs/{run}/metrics.csv"));
        let columns = |row: &str| row.split(',').count();
        let whole = text.lines().count() - usize::from(!text.ends_with('\n'));
        assert!(text.lines().take(whole).all(|row| columns(row) == columns(text.lines().next().unwrap())));
        // The continuation may be killed as well.
        if kill % 2 == 1 {
            let mut child = start(&place, &["train", "--resume", &run]);
            wait(&place, &run, &mut child, random(2 * kill + 1, 64));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let output = place.run(&["train", "--resume", &format!("runs/{run}")]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || text.contains("is finished"), "{text}");
        same(&place, &run, "whole");
        assert!(names(&place.path(&format!("runs/{run}/checkpoints"))).len() <= 2);
    }
    assert!(names(&place.path("runs")).iter().all(|name| !name.contains("partial")));
}

#[test]
fn a_network_that_remembers_statistics_goes_on() {
    let place = place();
    let layers = |rule: &str| {
        format!(
            "[[layers]]\nkind = \"normalize\"\n{rule}\n[[layers]]\nkind = \"physical\"\nplant = \"optical\"\ncontrol_spread = 0.1\n\n\
             [[layers]]\nkind = \"normalize\"\n{rule}\n"
        )
    };
    let physical = "[[layers]]\nkind = \"physical\"\nplant = \"optical\"\ncontrol_spread = 0.1\n";
    let rules = [
        ("moving", "statistics = \"moving\"\nscale = 0.3\nfreeze_after = 30"),
        ("exact", "statistics = \"population\"\nsamples = 60\nfreeze_after = 45\nscale = 0.3"),
    ];
    for (seed, (name, rule)) in rules.into_iter().enumerate() {
        let file = format!("{name}.toml");
        let text = place.read("drifting.toml").replace(physical, &layers(rule));
        place.write(&file, &text.replace("steps = 60", "steps = 60\nkeep = \"best\""));
        let whole = format!("{name}-whole");
        let output = place.run(&["train", &file, "--name", &whole]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for kill in 0..2 {
            let run = format!("{name}-{kill}");
            let mut child = start(&place, &["train", &file, "--name", &run]);
            wait(&place, &run, &mut child, random(100 + 2 * seed as u64 + kill, 64));
            child.kill().unwrap();
            child.wait().unwrap();
            let output = place.run(&["train", "--resume", &format!("runs/{run}")]);
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() || text.contains("is finished"), "{text}");
            same(&place, &run, &whole);
        }
    }
}

/// Starts a run called `name` and sends it `signal` after `rows` rows; one that ends before the signal comes is begun again.
fn interrupt(place: &Place, name: &str, signal: Signal, rows: u64) {
    for _ in 0..10 {
        let mut child = start(place, &["train", "drifting.toml", "--name", name]);
        wait(place, name, &mut child, rows);
        kill_process(Pid::from_child(&child), signal).unwrap();
        match child.wait().unwrap().code() {
            Some(0) => std::fs::remove_dir_all(place.path(&format!("runs/{name}"))).unwrap(),
            code => return assert_eq!(code, Some(130)),
        }
    }
    panic!("ten runs ended before the signal came");
}

#[test]
fn an_interrupted_run_goes_on() {
    let place = place();
    // Between two checkpoints by time: the last one is made when it stops.
    let drifting = place.read("drifting.toml").replace("checkpoint_steps = 7", "checkpoint_seconds = 1000");
    place.write("drifting.toml", &drifting.replace("steps = 60", "steps = 300"));
    assert!(place.run(&["train", "drifting.toml", "--name", "whole"]).status.success());
    for (name, signal, rows) in [("int", Signal::INT, 5), ("term", Signal::TERM, 25)] {
        interrupt(&place, name, signal, rows);
        let result = place.json(&["train", "--resume", name, "--json"]);
        assert_eq!(result["run"], format!("runs/{name}"));
        same(&place, name, "whole");
        let events = place.read(&format!("runs/{name}/events.jsonl"));
        assert!(
            events.contains("\"event\":\"continued\"") && events.contains("\"reason\":\"interrupted\""),
            "{events}"
        );
        let facts: Value = serde_json::from_str(&place.read(&format!("runs/{name}/run.json"))).unwrap();
        assert!(facts["resumed"][0]["step"].as_u64().unwrap() >= rows - 1, "nothing was lost: {}", facts["resumed"]);
    }
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_starts_again() {
    let place = place();
    let small = SMALL.replace("steps = 8", "steps = 1200").replace("evaluate_every = 4", "evaluate_every = 0");
    let small = small.replace("[plants", "[run]\ncheckpoint_seconds = 0\n\n[plants");
    place.write("small.toml", &small);
    assert!(place.run(&["train", "small.toml", "--name", "whole"]).status.success());
    let mut child = start(&place, &["train", "small.toml", "--name", "early"]);
    wait(&place, "early", &mut child, 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.run(&["train", "--resume", "early"]).status.success());
    same(&place, "early", "whole");
}

#[test]
fn changes_are_shown_and_refused_unless_they_are_allowed() {
    let place = place();
    place.write("bench.toml", hil::SIMULATED_RIG);
    assert!(place.run(&["train", "small.toml", "--name", "one", "--rig", "bench.toml"]).status.success());
    let (code, text) = place.refusal(&["train", "--resume", "one"]);
    assert_eq!((code, text.contains("is finished after 8 steps: there is nothing to continue")), (2, true), "{text}");
    // A file in its folder that was edited is asked for, and is not what it was started with.
    let written = place.read("runs/one/experiment.toml");
    assert!(written.contains("batch = 32"), "{written}");
    place.write("runs/one/experiment.toml", &written.replace("batch = 32", "batch = 16"));
    let (code, text) = place.refusal(&["train", "--resume", "one"]);
    assert_eq!(code, 2);
    assert!(text.contains("`experiment.toml` in its folder is not as the run wrote it"), "{text}");
    place.write("runs/one/experiment.toml", &written);
    let (code, text) = place.refusal(&["train", "--resume", "one", "--set", "training.steps=12"]);
    assert_eq!(code, 2);
    assert!(text.contains("training.steps: 8, now 12") && text.contains("--allow-changes"), "{text}");
    let key = "plants.electrical.simulated.plant_seed=5";
    let (_, text) = place.refusal(&["train", "--resume", "one", "--set", key]);
    assert!(text.contains("rig.plants.electrical.simulated.plant_seed") && text.contains("plants.0.serial"), "{text}");
    // Allowed, it trains on; how a run is kept may change at any time.
    let longer = ["train", "--resume", "one", "--set", "training.steps=12", "--set", "run.checkpoint_steps=1"];
    let output = place.run(&[&longer[..], &["--allow-changes"]].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.contains("continued with a change: training.steps: 8, now 12"), "{text}");
    let rows = place.read("runs/one/metrics.csv");
    assert!(rows.lines().any(|row| row.starts_with("step,12,")), "{rows}");

    let (code, text) = place.refusal(&["train", "--resume", "nothing"]);
    assert_eq!((code, text.contains("is no folder of a run")), (2, true), "{text}");
    std::fs::write(place.path("runs/one/checkpoints/step-000000012.safetensors"), "broken").unwrap();
    std::fs::remove_file(place.path("runs/one/checkpoints/step-000000011.safetensors")).unwrap();
    let (code, text) = place.refusal(&["train", "--resume", "one"]);
    assert_eq!((code, text.contains("is not a checkpoint")), (6, true), "{text}");
}

#[test]
fn a_run_that_is_being_run_is_not_continued() {
    let place = place();
    place.write("long.toml", &endless());
    let mut child = start(&place, &["train", "long.toml", "--name", "long"]);
    wait(&place, "long", &mut child, 1);
    let (code, text) = place.refusal(&["train", "--resume", "long"]);
    assert_eq!((code, text.contains("is being run by process")), (2, true), "{text}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_replayed_run_goes_on_where_its_recording_was() {
    let place = place();
    let rig = |kind: &str| format!("name = \"r\"\n[plants.electrical.{kind}\n");
    let simulated = "simulated]\nsystem = \"electrical\"\nsamples = 64\n[plants.electrical]\nrecord = \"shots.jsonl\"";
    let replayed =
        "replay]\nfile = \"shots.jsonl\"\n[plants.electrical.replay.twin]\nsystem = \"electrical\"\nsamples = 64";
    let small = SMALL.replace("steps = 8", "steps = 60").replace("[plants.electrical.simulated]\nsamples = 64\n", "");
    let small =
        small.replace("[[layers]]\nkind = \"scale", "[run]\ncheckpoint_steps = 7\n\n[[layers]]\nkind = \"scale");
    place.write("rig.toml", &rig(simulated)).write("replay.toml", &rig(replayed)).write("once.toml", &small);
    assert!(place.run(&["train", "once.toml", "--rig", "rig.toml", "--name", "recorded"]).status.success());
    let train = ["train", "once.toml", "--rig", "replay.toml", "--name"];
    assert!(place.run(&[&train[..], &["whole"]].concat()).status.success());
    let mut child = start(&place, &[&train[..], &["part"]].concat());
    wait(&place, "part", &mut child, 20);
    child.kill().unwrap();
    child.wait().unwrap();
    let output = place.run(&["train", "--resume", "part"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || text.contains("is finished"), "{text}");
    same(&place, "part", "whole");
}

#[test]
fn a_comparison_goes_on_to_the_same_table() {
    let place = place();
    let methods = ["--methods", "physics-aware,in-silico", "--seeds", "1", "--json"];
    let whole = place.json(&[&["compare", "drifting.toml", "--name", "whole"], &methods[..]].concat());
    let mut child = start(&place, &[&["compare", "drifting.toml", "--name", "part"], &methods[..]].concat());
    wait(&place, "part/physics-aware-seed-1", &mut child, 10);
    child.kill().unwrap();
    child.wait().unwrap();
    let part = place.json(&[&["compare", "drifting.toml", "--resume", "runs/part"], &methods[..]].concat());
    assert_eq!(part["twin_error"], whole["twin_error"]);
    for (a, b) in part["methods"].as_array().unwrap().iter().zip(whole["methods"].as_array().unwrap()) {
        for key in ["method", "test_accuracy", "believed_accuracy", "shots", "plant_seconds", "range_use"] {
            assert_eq!(a[key], b[key], "{key}");
        }
    }
    same(&place, "part/physics-aware-seed-1", "whole/physics-aware-seed-1");
    // A second time, all of it is read.
    let again = place.json(&[&["compare", "drifting.toml", "--resume", "runs/part"], &methods[..]].concat());
    assert_eq!(again["methods"][0]["test_accuracy"], whole["methods"][0]["test_accuracy"]);
    let changed = ["compare", "drifting.toml", "--resume", "runs/part", "--set", "training.batch=8", "--seeds", "1"];
    let output = place.run(&changed);
    assert!(String::from_utf8_lossy(&output.stderr).contains("training.batch: 16, now 8"));
}

#[test]
fn a_run_that_somebody_has_in_hand_is_left_alone() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    place.json(&["train", "small.toml", "--name", "mine", "--json"]);
    let before = place.read("runs/mine/metrics.csv");
    let held = std::fs::File::open(place.path("runs/mine/events.jsonl")).unwrap();
    held.try_lock().unwrap();
    let resume = ["train", "--resume", "runs/mine", "--set", "training.steps=16", "--allow-changes"];
    let (code, text) = place.refusal(&resume);
    assert_eq!((code, text.contains("is being run by another process")), (6, true), "{text}");
    assert_eq!(place.read("runs/mine/metrics.csv"), before);
    drop(held);
    place.json(&[&resume[..], &["--json"]].concat());
}

#[test]
fn a_comparison_that_is_asked_otherwise_is_refused_before_anything_is_trained() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let compare = ["compare", "small.toml", "--methods", "ideal", "--seeds", "1"];
    place.json(&[&compare[..], &["--name", "both", "--json"]].concat());
    let (code, text) = place.refusal(&[
        "compare",
        "small.toml",
        "--methods",
        "in-silico,ideal",
        "--seeds",
        "1",
        "--resume",
        "both",
        "--set",
        "training.batch=16",
    ]);
    assert_eq!((code, text.contains("training.batch: 32, now 16")), (2, true), "{text}");
    assert!(!place.path("runs/both/in-silico-seed-1").exists());
}
