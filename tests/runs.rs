//! What a run leaves behind: complete, equal for equal seeds, closed on every way out.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Place, SMALL, endless, names};

#[test]
fn a_run_folder_holds_all_that_decides_and_results() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let result = place.json(&["train", "small.toml", "--name", "one", "--json", "--seed", "5"]);
    assert_eq!(result["run"], "runs/one");
    assert_eq!(
        names(&place.path("runs/one")),
        [
            "checkpoints",
            "events.jsonl",
            "experiment.toml",
            "figures",
            "log.jsonl",
            "metrics.csv",
            "reference.csv",
            "rig.toml",
            "run.json",
            "test.csv",
            "weights.safetensors"
        ]
    );
    let figures = ["budget", "confusion", "drift", "learning-curves", "plant-and-twin-electrical-node", "range-use"];
    let files = figures.map(|name| [format!("{name}.png"), format!("{name}.svg")]).concat();
    assert_eq!(names(&place.path("runs/one/figures")), files);
    let facts: Value = serde_json::from_str(&place.read("runs/one/run.json")).unwrap();
    assert_eq!(facts["state"], "finished");
    assert_eq!(facts["simulated"], true);
    assert_eq!(facts["seed"], 5);
    assert_eq!(facts["plants"][0]["origin"], "simulated");
    // Every default is written out, and the resolved files are files that the program reads.
    assert!(place.read("runs/one/experiment.toml").contains("learning_rate"));
    assert!(place.read("runs/one/rig.toml").contains("noise_volts"));
    let again =
        place.json(&["train", "runs/one/experiment.toml", "--rig", "runs/one/rig.toml", "--name", "two", "--json"]);
    assert_eq!(again["test_accuracy"], result["test_accuracy"]);
    assert_eq!(place.read("runs/one/metrics.csv"), place.read("runs/two/metrics.csv"));
    // 8 steps of 32 shots, two looks at 169 rows that validate, and a test of 100.
    assert_eq!(result["shots"], 8 * 32 + 2 * 169 + 100);
    let events = place.read("runs/one/events.jsonl");
    let kinds: Vec<Value> =
        events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect();
    assert_eq!(kinds, ["started", "evaluated", "agreement", "evaluated", "agreement", "safe", "finished"]);
    let svg = place.read("runs/one/figures/learning-curves.svg");
    assert!(svg.contains("SIMULATED") && svg.contains("pnnlab train small.toml"), "the caption says what it shows");
}

#[test]
fn answers_have_the_row_numbers_and_words_of_the_data() {
    let place = Place::new();
    let vowel = |row: usize| if row.is_multiple_of(2) { "ae" } else { "\"i, long\"" };
    let mut rows = vec!["f1,f2,vowel".to_owned()];
    rows.extend((0..60).map(|row| format!("{},{},{}", row % 7, (row * row) % 11, vowel(row))));
    place.write("vowels.csv", &rows.join("\n"));
    let data = "[data]\nsource = \"csv\"\nfile = \"vowels.csv\"\nlabel = \"vowel\"\ntest = 20\n";
    let text = SMALL
        .replace("[data]\nsource = \"digits\"\ntest = 100\n", data)
        .replace(
            "[[layers]]\nkind = \"scale-offset\"",
            "[[layers]]\nkind = \"repeat\"\ntimes = 32\n\n[[layers]]\nkind = \"scale-offset\"",
        )
        .replace("bins = 10", "bins = 2");
    place.write("vowels.toml", &text).json(&["train", "vowels.toml", "--name", "one", "--json"]);
    let answers = place.read("runs/one/test.csv");
    let mut lines = answers.lines();
    assert_eq!(lines.next(), Some("row,label,answer,label_word,answer_word"));
    let mut seen = std::collections::BTreeSet::new();
    for line in lines {
        let mut fields = line.splitn(4, ',');
        let row: usize = fields.next().unwrap().parse().unwrap();
        assert_eq!(fields.next().unwrap(), (row % 2).to_string(), "{line}");
        assert!(fields.nth(1).unwrap().starts_with(vowel(row)), "{line}");
        seen.insert(row);
    }
    assert_eq!(seen.len(), 20, "{answers}");
    assert!(seen.last().is_some_and(|last| 20 < *last), "numbers are those of the file, not of the test set");
    let facts: Value = serde_json::from_str(&place.read("runs/one/run.json")).unwrap();
    assert_eq!(facts["classes"], serde_json::json!(["ae", "i, long"]));
    assert!(place.read("runs/one/figures/confusion.svg").contains("i, long"));
    let best = place.json(&["runs", "list", "--best", "--json"]);
    assert_eq!(best["runs"][0]["run"], "one");
    assert!(best["runs"][0]["validation_accuracy"].is_number(), "{best}");
}

#[test]
fn equal_seeds_give_equal_bytes_with_any_number_of_threads() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    for (name, threads, seed) in [("a", "1", "1"), ("b", "3", "1"), ("c", "2", "2")] {
        let output = place
            .command(&["train", "small.toml", "--name", name, "--seed", seed])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        assert!(output.status.success());
    }
    let bytes = |run: &str, file: &str| std::fs::read(place.path(&format!("runs/{run}/{file}"))).unwrap();
    for file in ["metrics.csv", "weights.safetensors"] {
        assert_eq!(bytes("a", file), bytes("b", file), "{file}");
        assert_ne!(bytes("a", file), bytes("c", file), "{file}");
    }
}

#[test]
fn compare_prints_the_documented_object() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let result =
        place.json(&["compare", "small.toml", "--seeds", "2", "--methods", "physics-aware,in-silico", "--json"]);
    assert_eq!((result["experiment"].as_str(), result["plant"].as_str()), (Some("small"), Some("electrical")));
    assert_eq!(result["simulated"], true);
    assert!((0.01..0.6).contains(&result["twin_error"].as_f64().unwrap()));
    assert!((0.0..=1.0).contains(&result["baseline_accuracy"].as_f64().unwrap()));
    let methods = result["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 2);
    for method in methods {
        for key in ["test_accuracy", "believed_accuracy"] {
            assert!((0.0..=1.0).contains(&method[key]["mean"].as_f64().unwrap()));
            assert!(method[key]["spread"].is_f64());
        }
        for key in ["shots", "plant_seconds", "wall_seconds", "clipping_rate"] {
            assert!(method[key].is_number(), "{key}");
        }
    }
    // In silico meets the plant only in its tests.
    assert_eq!((methods[0]["training_shots"].as_u64(), methods[1]["training_shots"].as_u64()), (Some(256), Some(0)));
    let runs = result["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    assert!(runs.iter().all(|run| place.path(run.as_str().unwrap()).join("metrics.csv").is_file()));
}

#[test]
fn in_silico_trains_alike_on_any_plant_of_the_same_twin() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    for (name, seed) in [("a", "1"), ("b", "2")] {
        let key = format!("plants.electrical.simulated.plant_seed={seed}");
        place.json(&["train", "small.toml", "--method", "in-silico", "--name", name, "--set", &key, "--json"]);
    }
    let weights = |run: &str| std::fs::read(place.path(&format!("runs/{run}/weights.safetensors"))).unwrap();
    assert_eq!(weights("a"), weights("b"));
}

#[test]
fn ctrl_c_closes_the_run_and_makes_the_plant_safe() {
    let place = Place::new();
    place.write("small.toml", &endless());
    let mut child = place.command(&["train", "small.toml", "--name", "long"]).stderr(Stdio::piped()).spawn().unwrap();
    let bound = Instant::now() + Duration::from_mins(1);
    // Some steps are on disk: it trains.
    let trains =
        || std::fs::read_to_string(place.path("runs/long/metrics.csv")).is_ok_and(|text| text.lines().count() > 5);
    while !trains() {
        assert!(Instant::now() < bound, "the training does not start");
        std::thread::yield_now();
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let status = child.wait().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains("stopped by the user"), "{text}");
    let facts: Value = serde_json::from_str(&place.read("runs/long/run.json")).unwrap();
    assert_eq!(facts["state"], "interrupted");
    let events = place.read("runs/long/events.jsonl");
    let last: Vec<&str> = events.lines().rev().take(2).collect();
    assert!(last[0].contains("\"reason\":\"interrupted\"") && last[1].contains("\"event\":\"safe\""), "{events}");
}

#[test]
fn the_schema_names_every_layer_and_system() {
    let place = Place::new();
    let schema = place.json(&["schema"]);
    let text = schema.to_string();
    for word in [
        "scale-offset",
        "physical",
        "electrical",
        "mechanical",
        "optical",
        "oscillators",
        "noise_volts",
        "range_penalty",
        "mismatch",
    ] {
        assert!(text.contains(word), "{word}");
    }
    assert!(schema["experiment"]["properties"]["layers"].is_object());
    assert!(schema["rig"]["properties"]["plants"].is_object());
    for kind in ["experiment", "rig"] {
        assert_eq!(place.json(&["schema", kind]), schema[kind], "an editor takes one of them");
    }
}

#[test]
fn the_page_of_all_keys_is_what_the_schema_says() {
    let place = Place::new();
    let said = place.run(&["schema", "--markdown"]);
    let is_page = include_str!("../docs/files-and-keys.md") == String::from_utf8(said.stdout).unwrap();
    assert!(is_page, "write it anew: cargo run -- schema --markdown > docs/files-and-keys.md");
}

#[test]
fn a_key_that_is_mistyped_inside_a_variant_is_named() {
    let place = Place::new();
    let rig = include_str!("../hil/rigs/red-pitaya.toml");
    for (from, to, key) in [
        ("system = \"electrical\"\n", "system = \"electrical\"\nsampels = 3\n", "bench.twin.sampels"),
        ("wiring = ", "wirign = ", "bench.instruments.wirign"),
    ] {
        assert!(rig.contains(from), "{from}");
        place.write("rig.toml", &rig.replacen(from, to, 1));
        let (code, said) = place.refusal(&["check", "rig.toml", "--offline"]);
        assert!(code == 3 && said.contains(key) && said.contains("Did you mean"), "{said}");
    }
    let (code, said) = place.refusal(&["train", "--set", "layers.0.tims=2", "--dry-run"]);
    assert!(code == 3 && said.contains("layers.0.tims") && said.contains("`times`"), "{said}");
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let place = Place::new();
    let help = String::from_utf8(place.run(&["--help"]).stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("130  stopped by Ctrl-C"), "{help}");
    for command in ["train", "compare"] {
        let help = String::from_utf8(place.run(&[command, "--help"]).stdout).unwrap();
        assert!(help.contains("Examples:") && help.contains("--set"), "{help}");
    }
}

#[test]
fn a_run_ends_well_though_nobody_reads_what_it_says() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let status =
        place.command(&["train", "small.toml", "--name", "unheard"]).stdout(closed()).stderr(closed()).status();
    assert_eq!(status.unwrap().code(), Some(0));
    assert!(place.path("runs/unheard/weights.safetensors").is_file());
}

#[test]
fn runs_that_begin_in_the_same_second_get_a_folder_each() {
    let place = Place::new();
    place.write("small.toml", &SMALL.replace("steps = 8", "steps = 2"));
    let train = |kind: &[&str]| {
        let mut command = place.command(&[kind, &["small.toml", "--json"]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let compare = ["compare", "--methods", "in-silico", "--seeds", "1"];
    let begun: Vec<_> =
        (0..4).map(|_| train(&["train", "--check", "false"])).chain((0..2).map(|_| train(&compare))).collect();
    let mut folders = std::collections::BTreeSet::new();
    for run in begun {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let folder = said["run"].as_str().or(said["runs"][0].as_str()).unwrap().to_owned();
        assert!(place.path(&folder).join("run.json").is_file(), "{folder}");
        assert!(folders.insert(folder), "{said}");
    }
    assert_eq!(folders.len(), 6);
    assert!(names(&place.path("runs")).iter().all(|name| !name.starts_with('.')), "nothing is left over");
}
