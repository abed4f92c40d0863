//! Knobs as a user meets them: declared in a rig, tuned, kept in its file, refused in a sentence.

use serde_json::Value;

use crate::program::Place;

/// A bench whose bias and resonance have drifted.
const RIG: &str = r#"
name = "drifted" # mine
[plants.electrical.simulated]
system = "electrical"
samples = 16
mismatch = 0.0

[knobs.bias]
plant = "electrical"
simulated = "device.offset_volts"
unit = "V"
low = -0.3
high = 0.3
slew = 0.1
value = 0.0 # as it was delivered
hidden = 0.12
"#;

const ENOUGH: [&str; 4] = ["--evaluations", "30", "--shots", "24"];

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {value}"))
}

#[test]
fn a_drifted_knob_is_turned_back_and_kept_in_the_file() {
    let place = Place::new();
    place.write("rig.toml", RIG);
    let plan = place.json(&[&["tune", "rig.toml", "--dry-run", "--json"], &ENOUGH[..]].concat());
    assert_eq!(plan.pointer("/plan/shots").and_then(Value::as_u64), Some(720));
    assert!(!place.path("tune").exists(), "a dry run writes nothing");
    // Without a reference it is what the twin says, which knows nothing of the drift.
    let done = place.json(&[&["tune", "rig.toml", "--json"], &ENOUGH[..]].concat());
    assert!(done["is_better"].as_bool().unwrap(), "{done}");
    assert!(number(&done, "/distance_after") < 0.5 * number(&done, "/distance_before"), "{done}");
    let found = number(&done, "/knobs/0/after");
    // The device's own bias is 0.1 V: with the drift of 0.12 V the knob undoes it at −0.02 V.
    assert!((found + 0.02).abs() < 0.03, "{found}");
    assert!(done.pointer("/knobs/0/seen").and_then(Value::as_bool).unwrap());
    assert!(done["evaluations"].as_u64().unwrap() <= 30);
    let text = place.read("rig.toml");
    assert!(text.contains("name = \"drifted\" # mine") && text.contains("# as it was delivered"), "{text}");
    assert!(!text.contains("value = 0.0 "), "{text}");
    // What was tried is on disk, and the same question goes on with it.
    let lines = place.read("tune/drifted.jsonl").lines().count();
    place.write("rig.toml", RIG);
    let whole = place.read("tune/drifted.jsonl");
    let cut = whole.lines().take(lines / 2).collect::<Vec<_>>().join("\n") + "\n";
    place.write("tune/drifted.jsonl", &cut);
    let again = place.json(&[&["tune", "rig.toml", "--json", "--resume", "--keep-file"], &ENOUGH[..]].concat());
    assert!((number(&again, "/knobs/0/after") - found).abs() < 0.03, "{again}");
    assert!(place.read("rig.toml").contains("value = 0.0 # as it was delivered"));
    let other = place.refusal(&[&["tune", "rig.toml", "--resume", "--seed", "2"], &ENOUGH[..]].concat()).1;
    assert!(other.contains("was asked otherwise"), "{other}");
}

#[test]
fn a_knob_that_cannot_be_one_is_refused_in_a_sentence() {
    let place = Place::new();
    let refused = |text: &str, arguments: &[&str]| {
        place.write("rig.toml", text);
        place.refusal(&[&["tune", "rig.toml"], arguments].concat()).1
    };
    let bad = |from: &str, to: &str| refused(&RIG.replace(from, to), &[]);
    assert!(
        bad("simulated = \"device.offset_volts\"", "")
            .contains("must have exactly one of `control`, `setting`, `command` and `simulated`")
    );
    assert!(
        bad("device.offset_volts", "device.volume")
            .contains("`knobs.bias.simulated` is `device.volume`, but the plant's system has no such key")
    );
    // The coefficients of a file of equations are keys as well.
    let diode = |key: &str| {
        let system = "system = \"equations\"\nfile = \"systems/diode.toml\"\nsamples = 8\n";
        let rig = RIG.replace("system = \"electrical\"\nsamples = 16\nmismatch = 0.0\n", system);
        let knob = "low = 100.0\nhigh = 300.0\nvalue = 200.0\n";
        let rig = rig
            .replace("unit = \"V\"", "unit = \"Ω\"")
            .replace("low = -0.3\nhigh = 0.3\nslew = 0.1\nvalue = 0.0 # as it was delivered\n", knob);
        place.write("diode.toml", &rig.replace("device.offset_volts", key));
        String::from_utf8(place.run(&["tune", "diode.toml", "--dry-run"]).stderr).unwrap()
    };
    assert_eq!(diode("coefficients.R.value"), "");
    let said = diode("coefficients.C.value");
    assert!(said.contains("`knobs.bias.unit` is `Ω`, but `coefficients.C.value` is in F"), "{said}");
    let said = diode("coefficients.Q.value");
    assert!(said.contains("is `coefficients.Q.value`, but the plant's system has no such key"), "{said}");
    assert!(bad("value = 0.0", "value = 0.7").contains("`knobs.bias.value` is 0.7 V: it must be from -0.3 to 0.3 V"));
    assert!(
        bad("plant = \"electrical\"", "plant = \"optical\"")
            .contains("`knobs.bias.plant` is `optical`, but the rig has `electrical`")
    );
    for key in ["query = \"VOLT?\"", "settle_seconds = 1.0"] {
        let said = bad("value = 0.0", &format!("{key}\nvalue = 0.0"));
        assert!(said.contains("is of a knob that is set by a `command`: leave it out"), "{said}");
    }
    assert!(bad("low = -0.3", "low = 0.4").contains("`knobs.bias.high` is 0.3, which is not above `low`, 0.4"));
    assert!(
        bad("unit = \"V\"", "unit = \"mV\"").contains("`knobs.bias.unit` is `mV`, but `device.offset_volts` is in V")
    );
    // What a range reaches that the plant cannot be is said before anything is driven, of the knob.
    for (key, low, high, words) in [
        ("quality", "-1.0", "9.0", "`knobs.bias.low` is -1, which `quality` cannot be"),
        ("mismatch", "0.0", "9.0", "`knobs.bias.high` is 9, which `mismatch` cannot be"),
        ("samples", "16.0", "32.0", "inputs, controls and outputs instead of"),
    ] {
        let knob = format!("low = {low}\nhigh = {high}\nvalue = {}\n", if key == "samples" { "16.0" } else { "1.0" });
        let rig = RIG
            .replace("device.offset_volts", key)
            .replace("unit = \"V\"", "unit = \"1\"")
            .replace("low = -0.3\nhigh = 0.3\nslew = 0.1\nvalue = 0.0 # as it was delivered\nhidden = 0.12\n", &knob);
        let said = refused(&rig, &["--evaluations", "30"]);
        assert!(said.contains(words), "{said}");
        assert!(!place.path("tune").exists(), "a search has begun: {said}");
    }
    let hidden = RIG.replace("device.offset_volts", "device.scale_volts").replace("hidden = 0.12", "hidden = -0.1");
    let said = refused(&hidden, &["--evaluations", "30"]);
    assert!(said.contains("is -0.3 V, which `device.scale_volts` cannot be with the hidden -0.1 V added:"), "{said}");
    // A control of the plant has the unit that the plant says.
    let biased = "samples = 16\nbias_volts = 0.5\n";
    let control = RIG
        .replace("samples = 16\n", biased)
        .replace("simulated = \"device.offset_volts\"", "control = \"bias\"")
        .replace("unit = \"V\"", "unit = \"mV\"")
        .replace("hidden = 0.12", "");
    place.write("rig.toml", &control);
    let said = place.refusal(&["check", "rig.toml"]).1;
    assert!(said.contains("the knob `bias`, whose `unit` is `mV`, but `bias` is in V"), "{said}");
    let command =
        RIG.replace("simulated = \"device.offset_volts\"", "command = \"VOLT {value}\"").replace("hidden = 0.12", "");
    assert!(refused(&command, &[]).contains("has no instrument that takes any"));
    assert!(refused(RIG, &["--evaluations", "5"]).contains("--evaluations 5: 1 knobs need at least"));
    assert!(refused(RIG, &["--knobs", "tilt"]).contains("the rig has no knob `tilt`: it has `bias`"));
    assert!(refused(RIG.split("[knobs").next().unwrap(), &[]).contains("has no knobs: declare what can be turned"));
    let twice = format!(
        "{RIG}[knobs.other]\nplant = \"electrical\"\nsimulated = \"device.offset_volts\"\nunit = \"V\"\nlow = 0.0\nhigh = 1.0\nvalue = 0.5\n"
    );
    assert!(refused(&twice, &[]).contains("turns what the knob `other` turns"));
    // A control that training sets, on a bench of SCPI instruments.
    let scpi = include_str!("../hil/rigs/scpi.toml").replace(
        "# [plants.electrical.bench.instruments.controls.bias]",
        "[plants.electrical.bench.instruments.controls.bias]",
    );
    let commands = ["# command", "# query", "# unit", "# low", "# high"];
    let uncommented = |line| if commands.iter().any(|key| str::starts_with(line, key)) { &line[2..] } else { line };
    let scpi = scpi.lines().map(uncommented).collect::<Vec<_>>().join("\n");
    let knob = "\n[knobs.level]\nplant = \"electrical\"\ncommand = \"SOUR2:VOLT:OFFS {value}\"\nunit = \"V\"\nlow = -0.5\nhigh = 0.5\nvalue = 0.0\n";
    let said = refused(&(scpi + knob), &[]);
    assert!(
        said.contains("`knobs.level.command` sets what the control `bias` sets, which training sets too"),
        "{said}"
    );
}

#[test]
fn a_program_is_told_what_makes_its_output_like_a_reference() {
    let place = Place::new();
    // y = gain·x + offset for x from 0 to 199, as a text of numbers.
    let program =
        "awk -v g=\"$1\" -v o=\"$2\" 'BEGIN { for (k = 0; k < 192; k++) print g * sin(k) + o * cos(3 * k) }' > \"$3\"";
    place.write("filter.sh", &format!("#!/bin/sh\n{program}\n"));
    let run = std::process::Command::new("sh")
        .args(["filter.sh", "1.4", "-0.6", "wanted.txt"])
        .current_dir(place.path(""))
        .status();
    assert!(run.unwrap().success());
    let knob = |name: &str| format!("[knobs.{name}]\nlow = -2.0\nhigh = 2.0\nvalue = 0.5\n");
    let file = format!(
        "name = \"filter\"\ntool = [\"sh\", \"filter.sh\", \"{{gain}}\", \"{{offset}}\", \"{{output}}\"]\nending = \".txt\"\nreference = \"wanted.txt\"\n{}{}",
        knob("gain"),
        knob("offset")
    );
    place.write("filter.toml", &file);
    let done = place.json(&["tune", "filter.toml", "--evaluations", "60", "--json"]);
    let of = |name: &str| {
        let knobs = done["knobs"].as_array().unwrap();
        knobs.iter().find(|knob| knob["name"] == name).unwrap()["after"].as_f64().unwrap()
    };
    assert!((of("gain") - 1.4).abs() < 0.2 && (of("offset") + 0.6).abs() < 0.2, "{done}");
    place.write("broken.toml", &file.replace("filter.sh", "nothing.sh"));
    let said = place.refusal(&["tune", "broken.toml", "--evaluations", "60"]).1;
    assert!(said.contains("tool `filter`: `sh` ended with"), "{said}");
    for option in [["--metric", "features"], ["--reference", "wanted.txt"], ["--shots", "3"], ["--plant", "electrical"]]
    {
        let said = place.refusal(&["tune", "filter.toml", option[0], option[1]]).1;
        assert!(said.contains(&format!("{}: is of a bench, but filter.toml describes a program", option[0])), "{said}");
    }
}
