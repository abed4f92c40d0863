//! Limits over time pace a run, dry runs hold it against them, checks and calibrations keep them, and a short outage does not end it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::program::{Place, SMALL, without_bench_time};
use crate::wires::{EXPERIMENT, Serving, wait_until};

/// A bench on which a shot reads the same whenever it is taken.
const QUIET: &str =
    "samples = 64\nimperfections = { noise_volts = 0.0, jitter_seconds = 0.0, temperature_swing_kelvin = 0.0 }\n";

fn rig(limits: &str) -> String {
    let plant = format!("[plants.electrical.simulated]\nsystem = \"electrical\"\n{QUIET}");
    format!("name = \"bench\"\n\n{plant}\n[plants.electrical.limits]\n{limits}\n")
}

fn experiment() -> String {
    SMALL.replace("[plants.electrical.simulated]\nsamples = 64\n", "")
}

#[test]
fn duty_and_energy_cost_a_run_time_and_nothing_else() {
    let place = Place::new();
    place.write("small.toml", &experiment()).write("free.toml", &rig(""));
    let limits = "duty = 1e-4\nenergy_per_minute = { drive = 2e-3 }";
    place.write("paced.toml", &rig(limits)).write("refused.toml", &rig(&format!("{limits}\npace = false")));
    let train = |rig: &'static str, more: &'static str| ["train", "small.toml", "--rig", rig, "--json", more];
    for name in ["free", "paced"] {
        let rig = format!("{name}.toml");
        place.json(&["train", "small.toml", "--rig", &rig, "--json", "--name", name]);
    }
    let metrics = |name: &str| place.read(&format!("runs/{name}/metrics.csv"));
    assert_eq!(metrics("paced"), metrics("free"));
    let plan = |rig| place.json(&train(rig, "--dry-run"))["plan"].clone();
    assert_eq!(plan("free.toml")["waiting_seconds"], 0.0);
    // What it drives at the end is not what it drives at first: the plan says both ends, and what was needed is between them.
    let paced = plan("paced.toml");
    let [waiting, most] = ["waiting_seconds", "most_waiting_seconds"].map(|key| paced[key].as_f64().unwrap());
    assert!(60.0 < waiting && waiting < most, "{waiting} to {most} s of waiting");

    // Without pace it is said before, and it is so.
    let (_, said) = place.refusal(&train("refused.toml", "--dry-run"));
    assert!(said.contains("would be") && said.contains("pace = true"), "{said}");
    let (_, said) = place.refusal(&train("refused.toml", "--check=false"));
    assert!(said.contains("in a minute would be") || said.contains("the time driven would be"), "{said}");
}

#[test]
fn a_dry_run_holds_steps_against_their_limit_and_names_what_it_cannot_know() {
    let place = Place::new();
    place.write("small.toml", &experiment()).write("steep.toml", &rig("slew = { drive = 1e-3 }"));
    let (_, said) = place.refusal(&["train", "small.toml", "--rig", "steep.toml", "--dry-run"]);
    assert!(said.contains("the step between neighbors of input drive would be"), "{said}");
    place.write("wide.toml", &rig("slew = { drive = 10.0 }\nduty = 0.9"));
    let words = place.run(&["train", "small.toml", "--rig", "wide.toml", "--dry-run"]).stdout;
    let words = String::from_utf8(words).unwrap();
    assert!(words.contains("not known before: whether later inputs of plant `electrical` keep `slew`"), "{words}");
    let calibrated = place.json(&["calibrate", "steep.toml", "--stimuli", "100", "--dry-run", "--json"]);
    assert_eq!(calibrated["checked_shots"], 200, "its stimuli keep the limit");
}

#[test]
fn checks_and_calibrations_drive_what_limits_over_time_allow() {
    let place = Place::new();
    // Steps, shots and energy far below what white shots take; on a plant with controls, their steps as well.
    place.write("electrical.toml", &rig("slew = { drive = 0.05 }\nduty = 1e-3\nenergy_per_minute = { drive = 1e-3 }"));
    place.write(
        "optical.toml",
        "name = \"bench\"\n\n[plants.optical.simulated]\nsystem = \"optical\"\n\n[plants.optical.limits]\n\
         slew = { data = 0.2, mask = 0.2 }\nduty = 0.5\npace = false\n",
    );
    for rig in ["electrical.toml", "optical.toml"] {
        let report = place.json(&["check", rig, "--json"]);
        let checks = report["plants"][0]["checks"].as_array().unwrap();
        assert!(checks.iter().all(|check| check["outcome"] != "failed"), "{report:#}");
        let passed = |name: &str| checks.iter().any(|check| check["check"] == name && check["outcome"] == "passed");
        assert!(
            ["limits refuse", "repeatability", "order of shots", "safe state"].into_iter().all(passed),
            "{report:#}"
        );
        let arguments = ["calibrate", rig, "--stimuli", "60", "--per-setting", "20", "--procedure", "levels", "--json"];
        assert_eq!(place.json(&arguments)["shots"], 120);
    }
}

#[test]
fn a_network_that_drives_past_a_limit_is_found_by_the_check_and_not_called_trainable() {
    let place = Place::new();
    place.write("steep.toml", &rig("slew = { drive = 0.05 }")).write("small.toml", &experiment());
    let output = place.run(&["check", "steep.toml", "--trainable", "--experiment", "small.toml", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["plants"][0]["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == "trainable").unwrap();
    assert_eq!(found["outcome"], "failed", "{report:#}");
    let why = found["why"].as_str().unwrap();
    assert!(why.contains("what the network drives is past a limit") && why.contains("input drive"), "{why}");
}

#[test]
fn limits_that_are_swapped_and_rigs_that_make_no_sense_are_refused_before_anything_opens() {
    let place = Place::new();
    place.write("swapped.toml", &rig("inputs = { drive = { low = 0.5, high = -0.5 } }"));
    let (code, said) = place.refusal(&["check", "swapped.toml"]);
    assert!(code == 3 && said.contains("limits.inputs.drive") && said.contains("swapped"), "{said}");

    // Nothing answers at its address: only what the file says is looked at.
    let served = include_str!("../hil/rigs/red-pitaya.toml");
    place.write("bench.toml", served);
    let report = place.json(&["check", "bench.toml", "--offline", "--json"]);
    let checks = report["plants"][0]["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["check"] == "addresses" && check["outcome"] == "passed"), "{report:#}");
    assert!(checks.iter().any(|check| check["outcome"] == "not-run"), "{report:#}");
    // Two plants at one address are good for nothing together, and each alone is sound.
    let second = served.replace("name = \"red-pitaya\"\n", "").replace("plants.electrical", "plants.second");
    place.write("twice.toml", &format!("{served}\n{second}"));
    let report = place.json(&["check", "twice.toml", "--offline", "--json"]);
    for (plant, other) in [(0, "second"), (1, "electrical")] {
        let said = report["plants"][plant].to_string();
        assert!(said.contains(&format!("plant `{other}` has it as well")), "{said}");
    }
    place.write("bad.toml", &(served.to_owned() + "\n[plants.electrical.limits]\nslew = { drvie = 0.1 }\n"));
    let output = place.run(&["check", "bad.toml", "--offline", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success() && report.to_string().contains("drvie"), "{report:#}");
}

#[test]
fn more_shots_than_a_plant_may_have_are_refused_before_they_are_driven_or_end_the_command() {
    let place = Place::new();
    place.write("small.toml", &experiment()).write("few.toml", &rig("shots = 300"));
    let (code, said) = place.refusal(&["train", "small.toml", "--rig", "few.toml", "--check=false"]);
    assert!(code == 3 && said.contains("limits.shots` is 300, but"), "{said}");
    // What has no plan is held against the limit where it drives, and what rehearses, where it rehearses.
    for command in [
        ["calibrate", "few.toml", "--stimuli", "200", "--dry-run", "--json"],
        ["response", "electrical", "--rig", "few.toml", "--repeats", "400"],
    ] {
        let (code, said) = place.refusal(&command);
        assert!(code == 5 && said.contains("shots since it was opened, but the rig file allows 300"), "{code}: {said}");
    }
}

#[test]
fn a_sweep_counts_what_all_its_runs_take_and_tries_what_they_train_before_the_first() {
    let place = Place::new();
    place.write("small.toml", &experiment()).write("many.toml", &rig("shots = 1000000"));
    let plan = place.json(&["train", "small.toml", "--rig", "many.toml", "--dry-run", "--json"]);
    let shots = plan["plan"]["shots"].as_u64().unwrap();
    place.write("one.toml", &rig(&format!("shots = {}", shots + 1)));
    let sweep = |rig: &'static str, methods: &'static str| {
        let key = ["--key", "training.learning_rate", "--values", "0.01,0.02"];
        [&["sweep", "small.toml", "--rig", rig, "--methods", methods, "--seeds", "1"][..], &key].concat()
    };
    let (code, said) = place.refusal(&sweep("one.toml", "physics-aware"));
    assert!(code == 3 && said.contains(&format!("but {} shots are asked for", 2 * shots)), "{code}: {said}");
    let (code, said) = place.refusal(&sweep("many.toml", "physics-aware,phyll"));
    assert!(code == 3 && said.contains("is phyll"), "{code}: {said}");
    place.write(
        "recorded.toml",
        &rig("shots = 1000000").replace(
            "[plants.electrical.limits]",
            "[plants.electrical]\nrecord = \"trace\"\n[plants.electrical.limits]",
        ),
    );
    let (code, said) = place.refusal(&sweep("recorded.toml", "physics-aware"));
    assert!(code == 2 && said.contains("several runs cannot share one recording"), "{code}: {said}");
    assert!(!place.path("trace").exists(), "nothing is recorded");
    let left = std::fs::read_dir(place.path("runs")).map_or(0, std::iter::Iterator::count);
    assert_eq!(left, 0, "nothing has begun");
}

#[test]
fn a_short_outage_is_waited_for_and_costs_no_number() {
    let place = Place::new();
    let quiet = format!("system = \"electrical\"\n{QUIET}");
    let source = include_str!("../hil/rigs/red-pitaya.toml");
    let (before, after) = source.split_once("[plants.electrical.bench.twin]").unwrap();
    let rest = after.split_once("\n[").map_or(String::new(), |(_, rest)| format!("\n[{rest}"));
    let serving = Serving::start(&place, &format!("{before}[plants.electrical.bench.twin]\n{quiet}{rest}"), &[]);
    place.write(
        "wired.toml",
        &EXPERIMENT.replace("steps = 6", "steps = 400").replace("evaluate_every = 3", "evaluate_every = 100"),
    );
    let train = |name: &'static str| ["train", "wired.toml", "--rig", "served.toml", "--check=false", "--name", name];
    assert!(place.run(&train("calm")).status.success());

    let mut training = place.command(&train("cut")).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(training.stderr.take().unwrap()).lines();
    let reading = std::thread::spawn(move || said.map_while(Result::ok).collect::<Vec<_>>());
    let rows = || std::fs::read_to_string(place.path("runs/cut/metrics.csv")).unwrap_or_default().lines().count();
    wait_until("training", || 20 < rows());
    serving.signal(rustix::process::Signal::STOP);
    let events = || std::fs::read_to_string(place.path("runs/cut/events.jsonl")).unwrap_or_default();
    wait_until("a pause", || events().contains("\"event\":\"paused\""));
    assert!(events().contains("\"source\":\"instruments of electrical\"") || events().contains("does not answer"));
    serving.signal(rustix::process::Signal::CONT);
    let status = training.wait().unwrap();
    assert!(status.success(), "{:?}", reading.join());
    let numbers = |name: &str| -> Vec<String> {
        let metrics = place.read(&format!("runs/{name}/metrics.csv"));
        without_bench_time(&metrics)
    };
    assert_eq!(numbers("cut"), numbers("calm"));
}

#[test]
fn hooks_are_told_of_the_end_and_a_failure_says_why() {
    let place = Place::new();
    let hook = "[\"sh\", \"-c\", \"cat >> told.jsonl\"]";
    place.write("small.toml", SMALL);
    let set = format!("run.hooks={{end={{command={hook}}}, failure={{command={hook}}}}}");
    place.json(&["train", "small.toml", "--json", "--name", "good", "--set", &set]);
    let told: Value = serde_json::from_str(place.read("told.jsonl").trim()).unwrap();
    assert_eq!((&told["event"], &told["reason"]), (&"end".into(), &"finished".into()), "{told}");
    assert!(told["run"].as_str().unwrap().ends_with("runs/good") && told["test_accuracy"].is_f64(), "{told}");

    std::fs::remove_file(place.path("told.jsonl")).unwrap();
    // Who asks to continue what is finished has lost nothing.
    let (_, said) = place.refusal(&["train", "--resume", "good"]);
    assert!(said.contains("nothing to continue") && !place.path("told.jsonl").exists(), "{said}");
    // What cannot begin has failed.
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    place.refusal(&["train", "small.toml", "--metrics", &address, "--name", "busy", "--set", &set]);
    assert_eq!(place.read("told.jsonl").matches("\"event\":\"failure\"").count(), 1);
    std::fs::remove_file(place.path("told.jsonl")).unwrap();

    let steep = "[plants.electrical.simulated]\nsystem = \"electrical\"\nsamples = 64\n\n[plants.electrical.limits]\nduty = 1e-4\npace = false\n";
    place.write("steep.toml", &format!("name = \"bench\"\n\n{steep}"));
    let (_, said) =
        place.refusal(&["train", "small.toml", "--rig", "steep.toml", "--check=false", "--name", "bad", "--set", &set]);
    assert!(said.contains("the time driven would be"), "{said}");
    let told = place.read("told.jsonl");
    let events: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.iter().map(|event| event["event"].as_str().unwrap()).collect::<Vec<_>>(), ["failure", "end"]);
    assert!(events[0]["message"].as_str().unwrap().contains("the time driven would be"), "{told}");
    let list = place.json(&["runs", "list", "--state", "failed", "--json"]);
    assert!(list["runs"][0]["why"].as_str().unwrap().contains("the time driven would be"), "{list}");
    let shown = String::from_utf8(place.run(&["runs", "show", "bad"]).stdout).unwrap();
    assert!(shown.contains("ended because") && shown.contains("the program is of commit"), "{shown}");
}
