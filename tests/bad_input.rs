//! Bad input gets one clear sentence and a documented exit code; nothing is left behind, nothing panics.

use crate::program::{Place, SMALL};

/// Runs `train` on the small experiment with one change; the program must refuse.
fn refused(from: &str, to: &str) -> (i32, String) {
    let place = Place::new();
    assert!(SMALL.contains(from), "the small experiment has no {from}");
    place.write("small.toml", &SMALL.replace(from, to));
    let refusal = place.refusal(&["train", "small.toml"]);
    assert!(!place.path("runs").exists(), "nothing is left behind");
    refusal
}

#[test]
fn a_missing_experiment_is_named() {
    let (code, text) = Place::new().refusal(&["train", "nosuch.toml"]);
    assert_eq!(code, 2);
    assert!(text.starts_with("pnnlab: nosuch.toml: cannot be read: "), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_malformed_experiment_is_named_with_its_line() {
    let (code, text) = refused("steps = 8", "steps = = 8");
    assert_eq!(code, 3);
    assert!(text.starts_with("pnnlab: small.toml:9: "), "{text}");
}

#[test]
fn an_unknown_key_is_named_with_the_nearest() {
    let (code, text) = refused("steps = 8", "stepz = 8");
    assert_eq!(code, 3);
    assert!(text.starts_with("pnnlab: small.toml:9: `training.stepz` is not a known key: "), "{text}");
    assert!(text.ends_with("Did you mean `steps`?"), "{text}");
}

#[test]
fn an_unknown_plant_layer_kind_and_method_are_named() {
    let (code, text) = refused("\"electrical\"", "\"electrcal\"");
    assert_eq!(code, 3);
    assert!(text.contains("`layers.1.plant` is `electrcal`, but the rig has no such plant"), "{text}");
    assert!(text.ends_with("Did you mean `electrical`?"), "{text}");

    let (code, text) = refused("\"bins\"", "\"bin\"");
    assert_eq!(code, 3);
    assert!(text.starts_with("pnnlab: small.toml:25: `layers.2.kind` is `bin`, but it must be one of"), "{text}");

    let (code, text) = refused("steps = 8", "method = \"physics\"");
    assert_eq!(code, 3);
    assert!(text.contains("`training.method` is `physics`, but it must be one of `physics-aware`"), "{text}");
    let (code, text) = Place::new().refusal(&["train", "--method", "insilico"]);
    assert_eq!(code, 2);
    assert!(text.contains("in-silico"), "{text}");
}

#[test]
fn a_plant_that_the_rig_does_not_have_is_refused_before_its_benches_are_opened() {
    let place = Place::new();
    place.write("small.toml", &SMALL.replace("[plants.electrical.simulated]\nsamples = 64\n", ""));
    place.write("optical.toml", include_str!("../hil/rigs/optical.toml"));
    for further in [&["--dry-run"][..], &[]] {
        let (code, text) = place.refusal(&[&["train", "small.toml", "--rig", "optical.toml"], further].concat());
        assert_eq!(code, 3, "{text}");
        assert!(
            text.contains("`layers.1.plant` is `electrical`, but the rig has no such plant: it has `optical`."),
            "{text}"
        );
    }
    assert!(!place.path("runs").exists());
    // A trained network is not taken to a rig without its plant either.
    let held = "kind = \"repeat\"\nwidth = 256\norder = \"hold\"\n\n[[layers]]\nkind = \"scale-offset\"";
    let small = SMALL.replace("[plants.electrical.simulated]\nsamples = 64\n", "");
    place.write("small.toml", &small.replace("kind = \"scale-offset\"\nwidth = 64", held));
    place.json(&["train", "small.toml", "--name", "mine", "--check", "false", "--json"]);
    let row = |cell: &dyn Fn(usize) -> String| (0..64).map(cell).collect::<Vec<_>>().join(",");
    place.write("other.csv", &format!("{}\n{}\n", row(&|column| format!("c{column}")), row(&|_| "0".to_owned())));
    let (code, text) = place.refusal(&["guard", "mine", "--data", "other.csv", "--rig", "optical.toml"]);
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("`layers.2.plant` is `electrical`, but the rig has no such plant: it has `optical`."),
        "{text}"
    );
}

#[test]
fn widths_that_do_not_chain_name_both_layers_and_widths() {
    let (code, text) = refused("width = 64", "width = 32");
    assert_eq!(code, 3);
    assert!(
        text.ends_with("`layers.0.width` does not fit: the data gives 64 values, but layer 0 (scale-offset) takes 32"),
        "{text}"
    );
    let (_, text) = refused("samples = 64", "samples = 128");
    assert!(text.ends_with("layer 0 (scale-offset) gives 64 values, but layer 1 (physical) takes 128"), "{text}");
    let (_, text) = refused("bins = 10", "bins = 9");
    assert!(text.contains("end with bins (9 values), but the data has 10 classes"), "{text}");
}

#[test]
fn an_override_is_checked_like_the_file() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let (code, text) = place.refusal(&["train", "small.toml", "--set", "layers.0.width=32"]);
    assert_eq!(code, 3);
    assert!(text.starts_with("pnnlab: --set layers.0.width=32: `layers.0.width` does not fit"), "{text}");
    let (code, text) = place.refusal(&["train", "small.toml", "--set", "training.steps=0"]);
    assert_eq!(code, 3);
    assert!(text.contains("`training.steps` is 0, but it must be from 1 to 1e9"), "{text}");
}

#[test]
fn a_range_outside_the_instrument_is_refused() {
    let place = Place::new();
    let rig = "name = \"bench\"\n[plants.electrical.simulated]\nsystem = \"electrical\"\nsamples = 64\n\
               [plants.electrical.limits.inputs]\ndrive = { low = -5.0, high = 1.0 }\n";
    place.write("small.toml", SMALL).write("bench.toml", rig);
    let (code, text) = place.refusal(&["train", "small.toml", "--rig", "bench.toml"]);
    assert_eq!(code, 3);
    assert!(text.contains("bench.toml:5: `plants.electrical.limits` cannot be kept"), "{text}");
    assert!(text.contains("[-5, 1] V for input bank `drive` is not within the instrument's own [-1, 1] V"), "{text}");
    let (code, text) = place.refusal(&["train", "small.toml", "--rig", "nosuch.toml"]);
    assert_eq!((code, text.contains("nosuch.toml: cannot be read")), (2, true), "{text}");
    for command in ["check", "serve", "safe", "tune"] {
        let (code, text) = place.refusal(&[command, "nosuch.toml"]);
        assert_eq!((code, text.contains("a rig is a TOML file")), (2, true), "{text}");
        assert!(!text.contains("experiments"), "{text}");
    }
    let (code, text) =
        place.refusal(&["train", "small.toml", "--set", "plants.electrical.simulated.resonance_hertz=1e6"]);
    assert_eq!(code, 3);
    let place_of_it =
        "pnnlab: --set plants.electrical.simulated.resonance_hertz=1e6: `plants.electrical.simulated` cannot be built";
    assert!(text.starts_with(place_of_it), "{text}");
    place.write("bench.toml", &rig.replace("samples", "sampels"));
    let (code, text) = place.refusal(&["train", "small.toml", "--rig", "bench.toml"]);
    assert_eq!(code, 3);
    assert!(text.contains("bench.toml:4: `plants.electrical.simulated.sampels` is not a known key"), "{text}");
    assert!(text.ends_with("Did you mean `samples`?"), "{text}");
}

#[test]
fn limits_cannot_be_changed_by_an_experiment() {
    let (code, text) = refused(
        "[plants.electrical.simulated]",
        "[plants.electrical.limits]\ninputs = {}\n[plants.electrical.simulated]",
    );
    assert_eq!(code, 3);
    assert!(text.contains("belongs to the rig"), "{text}");
}

#[test]
fn nan_in_data_is_named_with_its_line() {
    let place = Place::new();
    place.write("data.csv", "a,b,class\n1,2,x\n3,NaN,y\n1,1,x\n");
    place.write(
        "small.toml",
        &SMALL.replace(
            "source = \"digits\"\ntest = 100",
            "source = \"csv\"\nfile = \"data.csv\"\nlabel = \"class\"\ntest = 1",
        ),
    );
    let (code, text) = place.refusal(&["train", "small.toml"]);
    assert_eq!(code, 4);
    assert_eq!(text, "pnnlab: data.csv:3: column `b` is `NaN`, but a finite number was expected");
    let (code, text) = place.refusal(&["train", "small.toml", "--data", "nosuch.csv"]);
    assert_eq!((code, text.contains("nosuch.csv: cannot be read")), (4, true), "{text}");
}

#[test]
fn a_run_folder_that_exists_or_cannot_be_written_is_refused() {
    let place = Place::new();
    place.write("small.toml", SMALL).write("file", "");
    std::fs::create_dir_all(place.path("runs/mine")).unwrap();
    let (code, text) = place.refusal(&["train", "small.toml", "--name", "mine"]);
    assert_eq!(code, 6);
    assert!(text.contains("runs/mine: exists already, and a run is never overwritten"), "{text}");
    let (code, text) = place.refusal(&["train", "small.toml", "--runs", "file"]);
    assert_eq!(code, 6);
    assert!(text.contains("pnnlab: file: cannot be made: "), "{text}");
}

#[test]
fn the_ideal_method_needs_a_simulated_plant() {
    let place = Place::new();
    let rig = "name = \"bench\"\n[plants.electrical.replay]\nfile = \"shots.jsonl\"\ntwin = { system = \"electrical\", samples = 64 }\n";
    let experiment = SMALL.replace("[plants.electrical.simulated]\nsamples = 64\n", "");
    let recording = "name = \"bench\"\n[plants.electrical]\nrecord = \"shots.jsonl\"\nsimulated = { system = \"electrical\", samples = 64 }\n";
    place.write("small.toml", &experiment).write("replay.toml", rig).write("record.toml", recording);
    let recorded = place.json(&["train", "small.toml", "--rig", "record.toml", "--json"]);
    // The same training on the recording asks the same questions and ends the same.
    let replayed = place.json(&["train", "small.toml", "--rig", "replay.toml", "--json"]);
    assert_eq!(recorded["test_accuracy"], replayed["test_accuracy"]);
    let run = std::path::PathBuf::from(replayed["run"].as_str().unwrap());
    assert!(place.read(run.join("run.json").to_str().unwrap()).contains("\"origin\": \"replayed\""));

    let (code, text) = place.refusal(&["train", "small.toml", "--rig", "replay.toml", "--method", "ideal"]);
    assert_eq!(code, 2);
    assert!(text.contains("but plant `electrical` is a recording"), "{text}");
    // Another seed asks other questions.
    let (code, text) = place.refusal(&["train", "small.toml", "--rig", "replay.toml", "--seed", "2"]);
    assert_eq!(code, 5);
    assert!(text.contains("line 2: this measure is not what was recorded"), "{text}");
}

#[test]
fn divergence_is_said_as_such() {
    let place = Place::new();
    // Each factor is one that a layer may have; their product is no number any more.
    let factors = "[[layers]]\nkind = \"scale\"\nscale = 1e6\n\n".repeat(8);
    place.write(
        "far.toml",
        &SMALL.replace("[[layers]]\nkind = \"bins\"", &format!("{factors}[[layers]]\nkind = \"bins\"")),
    );
    place.write("small.toml", SMALL);
    let (code, text) = place.refusal(&["train", "far.toml", "--name", "x", "--check", "false"]);
    assert_eq!(code, 1);
    assert!(text.contains("training diverged: "), "{text}");
    assert!(place.read("runs/x/run.json").contains("\"state\": \"failed\""));
    let (code, text) = place.refusal(&["train", "small.toml", "--set", "training.learning_rate=nan"]);
    assert_eq!(code, 3);
    assert!(text.contains("`training.learning_rate` is NaN, but a finite number was expected"), "{text}");
}

#[test]
fn an_experiment_cannot_invent_plants_or_folders() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let (code, text) = place.refusal(&["train", "small.toml", "--set", "plants.electrcal.simulated.mismatch=0.5"]);
    assert_eq!(code, 3);
    assert!(text.contains("`plants.electrcal` is not a plant of the rig"), "{text}");
    assert!(text.ends_with("Did you mean `electrical`?"), "{text}");
    let (code, _) = place.refusal(&["train", "small.toml", "--set", "name=../x"]);
    assert_eq!(code, 3);
    let (code, text) = place.refusal(&["train", "small.toml", "--name", "../x"]);
    assert_eq!((code, text.contains("is not the name of a folder")), (2, true), "{text}");
    let (code, text) = place.refusal(&["train", "small.toml", "--set", "layers.0.width=1000000000000"]);
    assert_eq!(code, 3, "{text}");
    assert!(!place.path("runs").exists());
}

#[test]
fn a_comparison_refuses_what_it_cannot_do_before_it_starts() {
    let place = Place::new();
    let rig =
        "name = \"bench\"\n[plants.electrical]\nrecord = \"shots.jsonl\"\nsimulated = { system = \"electrical\" }\n";
    place.write("small.toml", SMALL).write("bench.toml", rig);
    let (code, text) = place.refusal(&["compare", "small.toml", "--methods", "ideal,ideal"]);
    assert_eq!((code, text.contains("`ideal` is named twice")), (2, true), "{text}");
    let (code, text) = place.refusal(&["compare", "small.toml", "--rig", "bench.toml"]);
    assert_eq!((code, text.contains("cannot share one recording")), (2, true), "{text}");
    assert!(!place.path("runs").exists());
}

#[test]
fn a_plant_whose_name_is_a_path_is_refused() {
    let place = Place::new();
    place.write("rig.toml", "name = \"bench\"\n[plants.\"../out\".simulated]\nsystem = \"electrical\"\n");
    let (code, text) = place.refusal(&["calibrate", "rig.toml", "../out", "--procedure", "levels", "--stimuli", "20"]);
    assert_eq!((code, text.contains("rig.toml:2") && text.contains("names files")), (3, true), "{text}");
}
