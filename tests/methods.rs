//! Methods side by side on the command line: what they cost, what they need to know of the plant, and that they go on as they would have.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Place, SMALL};
use crate::wires::{EXPERIMENT, Serving};

/// The small experiment by `spsa`.
fn spsa() -> String {
    let table = "[training.spsa]\npairs = 2\n\n[run]\ncheckpoint_steps = 3\n\n[plants";
    SMALL.replace("steps = 8", "method = \"spsa\"\nsteps = 40").replace("[plants", table)
}

#[test]
fn spsa_drives_the_plant_as_often_as_its_plan_says() {
    let place = Place::new();
    place.write("spsa.toml", &spsa());
    let plan = place.json(&["train", "spsa.toml", "--dry-run", "--json"]);
    let run = place.json(&["train", "spsa.toml", "--name", "a", "--json"]);
    assert_eq!(run["method"], "spsa");
    assert_eq!(run["shots"], plan["plan"]["shots"], "{plan}");
    // Two pairs are four passes of 32 shots in each of 40 updates; the rest are tests.
    let facts: Value = serde_json::from_str(&place.read("runs/a/run.json")).unwrap();
    assert_eq!(facts["training_shots"], 4 * 32 * 40, "{facts}");
}

#[test]
fn spsa_that_was_killed_ends_as_if_it_had_not_been() {
    let place = Place::new();
    place.write("spsa.toml", &spsa());
    assert!(place.run(&["train", "spsa.toml", "--name", "whole"]).status.success());
    let arguments = ["train", "spsa.toml", "--name", "killed"];
    let mut child = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let bound = Instant::now() + Duration::from_mins(1);
    let rows = || std::fs::read_to_string(place.path("runs/killed/metrics.csv")).map_or(0, |text| text.lines().count());
    while rows() < 10 && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < bound, "no updates are made");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let output = place.run(&["train", "--resume", "runs/killed"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || text.contains("is finished"), "{text}");
    for file in ["metrics.csv", "weights.safetensors"] {
        let bytes = |run: &str| std::fs::read(place.path(&format!("runs/{run}/{file}"))).unwrap();
        assert!(bytes("killed") == bytes("whole"), "{file} differs from that of the uninterrupted run");
    }
}

#[test]
fn spsa_needs_no_twin_and_refuses_to_perturb_by_nothing() {
    let place = Place::new();
    place.write("none.toml", &spsa().replace("pairs = 2", "perturbation = 0.0"));
    let output = place.run(&["train", "none.toml"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("`training.spsa.perturbation` is 0, but it must be above 0"), "{text}");
}

const SCPI: &str = include_str!("../hil/rigs/scpi.toml");

#[test]
fn a_sweep_on_a_bench_leaves_the_ideal_method_out_before_anything_is_driven() {
    let place = Place::new();
    let _serving = Serving::start(&place, SCPI, &[]);
    place.write("wired.toml", EXPERIMENT);
    let sweep = ["sweep", "wired.toml", "--rig", "served.toml", "--key", "training.learning_rate", "--values", "0.01"];
    let output = place.run(&[&sweep[..], &["--methods", "physics-aware,ideal"]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("`ideal` differentiates a plant's own physics") && !place.path("runs").exists(), "{text}");
    let found = place.json(&[&sweep[..], &["--seeds", "1", "--json"]].concat());
    let methods: Vec<&str> =
        found["sweep"]["points"].as_array().unwrap().iter().map(|point| point["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["in-silico", "noise-aware", "physics-aware", "physics-aware+refresh"]);
}

#[test]
fn a_bench_that_is_refused_by_its_rig_is_not_called_left_alone() {
    let place = Place::new();
    let _serving = Serving::start(&place, SCPI, &[]);
    let rig = place.read("served.toml").replacen("[plants", "[plants.electrical]\nfit = \"nope.toml\"\n\n[plants", 1);
    assert!(rig.contains("nope"), "{rig}");
    place.write("unfit.toml", &rig).write("wired.toml", EXPERIMENT);
    let output = place.run(&["train", "wired.toml", "--rig", "unfit.toml"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("nope.toml") && !text.contains("guard"), "{text}");
}
