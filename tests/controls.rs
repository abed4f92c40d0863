//! A SCPI pair with a trainable control, as a user has it: served, checked, calibrated, trained on, refused.

use serde_json::Value;

use crate::program::Place;
use crate::replays::record_and_replay;
use crate::wires::{EXPERIMENT, Serving};

const RIG: &str = include_str!("../hil/rigs/scpi.toml");
/// A bias on the generator's second output.
const BIAS: &str = r#"
[plants.electrical.bench.instruments.controls.bias]
command = "SOUR2:VOLT:OFFS {value}"
query = "SOUR2:VOLT:OFFS?"
unit = "V"
low = -0.5
high = 0.5
settle_seconds = 0.0001
on = "OUTP2 ON"
off = "OUTP2 OFF"

[plants.electrical.limits.controls]
bias = { low = -0.4, high = 0.4 }

[plants.electrical.limits.slew]
bias = 0.05
"#;

/// The rig of a pair whose second output biases a circuit of 16 samples.
fn rig() -> String {
    let rig = RIG.replace("samples = 64\n", "samples = 16\n");
    let twin = "system = \"electrical\"\n";
    assert!(rig.contains(twin));
    rig.replace(twin, &format!("{twin}bias_volts = 0.5\n")) + BIAS
}

fn experiment() -> String {
    let physical = "kind = \"physical\"\nplant = \"electrical\"\n";
    let few = EXPERIMENT.replace("width = 64", "width = 16").replace("kind = \"scale-offset\"", "kind = \"linear\"");
    few.replace(physical, &format!("{physical}control = 0.9\n"))
}

#[test]
fn a_control_of_a_pair_is_checked_trained_and_made_safe_over_the_wire() {
    let place = Place::new();
    let serving = Serving::start(&place, &rig(), &[]);
    place.write("biased.toml", &experiment());
    let report = place.json(&["check", "served.toml", "--json"]);
    let checks = report["plants"][0]["checks"].as_array().unwrap();
    let outcome = |name: &str| checks.iter().find(|check| check["check"] == name).unwrap()["outcome"].clone();
    for name in ["limits refuse", "readback of controls", "repeatability", "reconnect", "safe state"] {
        assert_eq!(outcome(name), "passed", "{name}: {report}");
    }

    let planned = place.json(&["train", "biased.toml", "--rig", "served.toml", "--dry-run", "--json"]);
    assert!(planned["plan"].is_object(), "{planned}");
    assert_eq!(serving.ask("OUTP1?"), "0", "nothing is driven");

    let served = place.read("served.toml");
    let recorded =
        served.replacen("name = \"scpi\"\n", "name = \"scpi\"\n[plants.electrical]\nrecord = \"plant.jsonl\"\n", 1);
    assert_ne!(recorded, served);
    place.write("recorded.toml", &recorded);
    place.json(&["train", "biased.toml", "--rig", "recorded.toml", "--name", "biased", "--json"]);
    let record = place.read("plant.jsonl");
    let applied = record.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["call"] == "apply").then(|| line["controls"][0].as_f64().unwrap())
    });
    let mut all: Vec<f64> = applied.collect();
    assert!(all.iter().all(|bias| bias.abs() <= 0.4), "{all:?}");
    all.dedup();
    assert!(all.len() >= 5, "training moves the control: {all:?}");
    let bias: f32 = serving.ask("SOUR2:VOLT:OFFS?").parse().unwrap();
    assert!(bias.abs() < 1e-3, "it is at its safe value when the run has ended: {bias}");
}

#[test]
fn a_pair_with_a_control_is_recorded_and_replayed() {
    let short = experiment().replace("steps = 6", "steps = 2").replace("batch = 24", "batch = 8");
    record_and_replay(&rig(), "electrical", &short.replace("test = 60", "test = 10"), &[]);
}

#[test]
fn a_twin_with_a_control_is_calibrated_over_the_wire() {
    let place = Place::new();
    let _serving = Serving::start(&place, &rig(), &[]);
    let measured =
        place.json(&["calibrate", "served.toml", "electrical", "--stimuli", "200", "--candidates", "0", "--json"]);
    let rmse =
        |path: &str| measured.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {measured}"));
    let (nominal, twin) = (rmse("/nominal_residual/rmse_of_output_std"), rmse("/residual/rmse_of_output_std"));
    assert!(twin < 0.5 * nominal, "{twin} from {nominal}");
}

#[test]
fn a_control_that_is_no_control_is_refused_before_anything_is_opened() {
    let place = Place::new();
    place.write("biased.toml", &experiment());
    for (from, to, words) in [
        ("OFFS {value}", "OFFS 1", "has `{value}` 0 times"),
        ("OFFS {value}", "OFFS {value};:OUTP1 ON", "holds several commands"),
        ("SOUR2:VOLT:OFFS {value}", "SOUR1:FUNC {value}", "sets what `SOUR1:FUNC ARB` sets"),
        ("off = \"OUTP2 OFF\"\n", "", "what is switched on must be switched off"),
    ] {
        let rig = rig();
        assert!(rig.contains(from), "{from}");
        place.write("rig.toml", &rig.replace(from, to));
        let (code, message) = place.refusal(&["check", "rig.toml"]);
        let key = "plants.electrical.bench.instruments.controls.bias.";
        assert!(code == 3 && message.contains(words) && message.contains(key), "{to}: {code} {message}");
    }
}

#[test]
fn a_control_must_be_the_one_that_the_twin_has() {
    let place = Place::new();
    for (from, to, words) in [
        (
            "controls.bias]",
            "controls.heater]",
            "calls the bank of its control 0 `heater`, but its twin calls it `bias`",
        ),
        ("unit = \"V\"", "unit = \"mV\"", "in mV, but its twin has it in V"),
        ("bias_volts = 0.5\n", "", "but its twin has [16, 0, 16]"),
    ] {
        let rig = rig().replace("[plants.electrical.limits.controls]\nbias = { low = -0.4, high = 0.4 }\n", "");
        let rig = rig.replace("[plants.electrical.limits.slew]\nbias = 0.05\n", "");
        assert!(rig.contains(from), "{from}");
        place.write("rig.toml", &rig.replace(from, to));
        // Nothing answers at its address.
        let output = place.run(&["check", "rig.toml", "--offline", "--json"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success() && said.contains(words), "{to}: {said}");
    }
}
