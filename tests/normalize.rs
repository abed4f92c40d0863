//! The layer `normalize` as a user meets it: statistics for each bench, measured anew by `pnnlab normalize` and on a drift alarm; sorted
//! batches are warned of.

use serde_json::Value;

use crate::program::Place;

/// Digits through one pass, normalized behind the plant.
const NORMALIZED: &str = r#"
name = "normalized"

[data]
source = "digits"
test = 200

[training]
steps = 120
batch = 32
evaluate_every = 60

[plants.electrical.simulated]
samples = 64
mismatch = 3.0
plant_seed = 1

[[layers]]
kind = "scale-offset"
width = 64
offset = -0.4

[[layers]]
kind = "physical"
plant = "electrical"

[[layers]]
kind = "normalize"
statistics = "population"
samples = 300

[[layers]]
kind = "linear"
width = 10
"#;

/// Another bench, whose converters are farther off.
const OTHER_BENCH: &str =
    "plants.electrical.simulated={samples=64, mismatch=3.0, plant_seed=2, tolerances={gain=0.1, offset_volts=0.05}}";

fn trained() -> Place {
    let place = Place::new();
    place.write("normalized.toml", NORMALIZED);
    place.json(&["train", "normalized.toml", "--name", "mine", "--check", "false", "--json"]);
    place
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {value}"))
}

#[test]
fn another_bench_gets_statistics_of_its_own_and_the_first_keeps_its() {
    let place = trained();
    let other = ["normalize", "runs/mine", "--set", OTHER_BENCH, "--samples", "400", "--test", "--json"];
    let done = place.json(&other);
    assert_eq!((done["samples"].as_u64(), done["shots"].as_u64()), (Some(400), Some(800)), "{done}");
    assert_eq!(done.pointer("/layers/0/layer"), Some(&Value::from(2)));
    assert_eq!(done.pointer("/layers/0/new/of"), Some(&Value::from("electrical simulated-2")));
    assert_eq!(done.pointer("/layers/0/old/of"), Some(&Value::from("electrical simulated-1")), "whose were in use");
    assert_eq!(number(&done, "/layers/0/new/count"), 400.0);
    let [before, after] = ["/test_accuracy/0", "/test_accuracy/1"].map(|path| number(&done, path));
    assert!(before < 0.7 && after > 0.8, "{before} {after}");
    // The same again finds what was left, on the same bench the same shots.
    let again = place.json(&other);
    assert_eq!(again.pointer("/layers/0/old/of"), Some(&Value::from("electrical simulated-2")));
    // Each shot's noise is that of its own number.
    assert!((number(&again, "/test_accuracy/0") - after).abs() < 0.03, "{again}");
    assert!(number(&again, "/layers/0/mean_shift") < 1e-3, "{again}");
    // Back on its own bench: nothing has changed but the moment.
    let home = place.json(&["normalize", "mine", "--test", "--json"]);
    assert_eq!(home.pointer("/layers/0/old/of"), Some(&Value::from("electrical simulated-1")));
    assert!(number(&home, "/layers/0/mean_shift") < 0.05, "{home}");
    let record: Value = serde_json::from_str(&place.read("runs/mine/normalize.json")).unwrap();
    assert_eq!(record.as_array().map(Vec::len), Some(3), "old and new of each call");
    let weights = std::fs::read(place.path("runs/mine/weights.safetensors")).unwrap();
    let has = |name: &str| weights.windows(name.len()).any(|part| part == name.as_bytes());
    assert!(has("\"layers.2.normalize.scale\"") && has("\"state/layers.2.normalize.mean of electrical simulated-1\""));
    assert!(has("\"state/layers.2.normalize.mean of electrical simulated-2\""));
    let said = place.run(&["normalize", "mine"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("layer 2 (normalize) on electrical simulated-1: means moved by"), "{said}");
}

#[test]
fn the_file_of_another_bench_says_which_it_is() {
    let place = trained();
    // The experiment has a `plant_seed` of its own, and the `samples` that this file leaves out.
    let rig = "name = \"other\"\n[plants.electrical.simulated]\nsystem = \"electrical\"\nmismatch = 3.0\nplant_seed = 2\n\
         [plants.electrical.limits]\nshots = 100000\n";
    place.write("other.toml", rig);
    let done = place.json(&["normalize", "mine", "--rig", "other.toml", "--json"]);
    assert_eq!(done.pointer("/layers/0/new/of"), Some(&Value::from("electrical simulated-2")), "{done}");
    let third = "plants.electrical.simulated.plant_seed=3";
    let done = place.json(&["normalize", "mine", "--rig", "other.toml", "--set", third, "--json"]);
    assert_eq!(done.pointer("/layers/0/new/of"), Some(&Value::from("electrical simulated-3")), "{done}");
}

#[test]
fn what_cannot_be_normalized_is_refused() {
    let place = trained();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let (found, text) = place.refusal(arguments);
        assert_eq!((found, text.contains(words)), (code, true), "{text}");
    };
    refused(
        &["normalize", "runs/mine", "--samples", "5000"],
        2,
        "the run has 1438 training rows to measure with: give 2 to 1438",
    );
    refused(&["normalize", "runs/mine", "--samples", "1"], 2, "give 2 to 1438");
    refused(&["normalize", "runs/none"], 2, "runs/none: is no folder of a run");
    refused(&["normalize", "mine", "--set", "training.steps=3"], 2, "only the rig's plants can be changed here");
    let idle = "plants.optical.simulated.plant_seed=3";
    refused(
        &["normalize", "mine", "--set", idle],
        2,
        "does not drive that plant, so this changes nothing: it drives `electrical`",
    );
    let plain = NORMALIZED.replace("statistics = \"population\"\nsamples = 300", "statistics = \"batch\"");
    place.write("plain.toml", &plain);
    place.json(&["train", "plain.toml", "--name", "plain", "--check", "false", "--json", "--set", "training.steps=2"]);
    refused(&["normalize", "plain"], 2, "no layer of this run's network keeps statistics");
    refused(
        &["train", "normalized.toml", "--set", "layers.2.samples=9000"],
        3,
        "is 9000, but there are 1438 training rows",
    );
    let refresh = ["train", "plain.toml", "--set", "training.refresh.normalize=true"];
    refused(&refresh, 3, "asks for statistics to be measured anew, but no layer keeps any");
    // What is no longer a whole file, or of another network.
    let weights = std::fs::read(place.path("runs/mine/weights.safetensors")).unwrap();
    place.write("runs/mine/weights.safetensors", "none");
    refused(&["normalize", "mine"], 6, "does not hold weights");
    std::fs::write(place.path("runs/mine/weights.safetensors"), weights).unwrap();
    let toml = place.read("runs/mine/experiment.toml");
    place.write(
        "runs/mine/experiment.toml",
        &toml.replace(
            "[[layers]]\nkind = \"physical\"",
            "[[layers]]\nkind = \"scale\"\n[[layers]]\nkind = \"physical\"",
        ),
    );
    refused(&["normalize", "mine"], 6, "has no weight `layers.1.scale.scale`");
}

#[test]
fn a_drift_alarm_measures_the_statistics_anew() {
    let place = Place::new();
    let shifting = format!(
        "{NORMALIZED}\n[plants.electrical.shift]\nafter_shots = 2500\n\
         to = {{ system = \"electrical\", samples = 64, mismatch = 3.0, plant_seed = 5 }}\n\
         [training.drift]\nevery_shots = 200\non_alarm = \"normalize\"\n"
    );
    let text = shifting.replace("\"population\"\nsamples = 300", "\"moving\"\nsamples = 300");
    place.write("shifting.toml", &text);
    place.json(&["train", "shifting.toml", "--name", "whole", "--check", "false", "--json"]);
    let events = place.read("runs/whole/events.jsonl");
    let normalized: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event"] == "normalized")
        .collect();
    assert!(!normalized.is_empty(), "{events}");
    assert_eq!((normalized[0]["layer"].as_u64(), normalized[0]["samples"].as_u64()), (Some(2), Some(300)));
    assert!(number(&normalized[0], "/mean_shift") > 0.0);
}

#[test]
fn a_bench_without_statistics_of_its_own_is_said() {
    let place = trained();
    place.write(
        "other.toml",
        "name = \"other\"\n[plants.electrical.simulated]\nsystem = \"electrical\"\nsamples = 64\nmismatch = 3.0\nplant_seed = 3\n\
         [knobs.bias]\nplant = \"electrical\"\nsimulated = \"device.offset_volts\"\nunit = \"V\"\nlow = -0.1\nhigh = 0.3\nvalue = 0.1\n",
    );
    let said = |arguments: &[&str]| String::from_utf8(place.run(arguments).stderr).unwrap();
    let tune = ["tune", "other.toml", "--test", "mine", "--evaluations", "19", "--shots", "8"];
    let words = "layer 2 (normalize) has no statistics of electrical simulated-3, which is at hand, and goes by those of electrical simulated-1";
    assert!(said(&tune).contains(words), "{}", said(&tune));
    let bench = "plants.electrical.simulated={samples=64, mismatch=3.0, plant_seed=3}";
    place.json(&["normalize", "mine", "--set", bench, "--json"]);
    assert!(!said(&tune).contains("has no statistics"));
}

#[test]
fn a_plan_counts_what_is_measured() {
    let place = Place::new();
    place.write("normalized.toml", NORMALIZED);
    let shots = |set: &[&str]| {
        let arguments = ["train", "normalized.toml", "--dry-run", "--json", "--set"];
        number(&place.json(&[&arguments[..], set].concat()), "/plan/shots")
    };
    let without = shots(&["layers.2.statistics=moving"]);
    assert_eq!(shots(&["layers.2.statistics=population"]), without + 2.0 * 300.0, "before each of two tests");
    assert_eq!(shots(&["layers.2.statistics=frozen"]), without + 300.0);
    let trained = place.json(&["train", "normalized.toml", "--name", "mine", "--check", "false", "--json"]);
    assert_eq!(number(&trained, "/shots"), shots(&["layers.2.statistics=population"]), "as planned");
}

#[test]
fn sorted_batches_are_warned_of_before_the_first_shot() {
    let place = Place::new();
    let mut rows = vec!["a,b,label".to_owned()];
    rows.extend((0..300).map(|row| format!("{},{},class{}", row % 7, row % 11, row / 60)));
    place.write("sorted.csv", &rows.join("\n"));
    place.write(
        "sorted.toml",
        "name = \"sorted\"\n[data]\nsource = \"csv\"\nfile = \"sorted.csv\"\nlabel = \"label\"\ntest = 60\nsplit = \"interleaved\"\n\
         [training]\nsteps = 4\nbatch = 20\norder = \"as-given\"\n[[layers]]\nkind = \"linear\"\nwidth = 5\n[[layers]]\nkind = \"normalize\"\n",
    );
    let said = |set: &str| {
        let output = place.run(&["train", "sorted.toml", "--set", set, "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    let warned = said("training.order=as-given");
    assert!(warned.contains("shots are of its most frequent class"), "{warned}");
    assert!(warned.contains("once in 1000 runs") && warned.contains("Set training.order = \"shuffled\""), "{warned}");
    assert!(!said("training.order=shuffled").contains("sorted:"));
}
