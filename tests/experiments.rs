//! The built-in experiments and their data: quick forms, files that are found, and what is said where they are not.

use serde_json::Value;

use crate::program::{Place, SMALL};

/// Every built-in experiment that reads files, with what it needs.
const WITH_DATA: &[(&str, &str)] = &[
    ("vowels-optical", "vowels.csv"),
    ("mnist-electrical", "train-images-idx3-ubyte"),
    ("mnist-mechanical", "train-images-idx3-ubyte"),
    ("mnist-optical", "train-images-idx3-ubyte"),
    ("mnist-optical-digital", "train-images-idx3-ubyte"),
    ("mnist-mesh", "train-images-idx3-ubyte"),
];

/// Runs the quick form of a built-in experiment on the user's data, further shortened by `more`.
fn quick(place: &Place, name: &str, data: &str, more: &[&str]) -> Value {
    let arguments = ["train", name, "--quick", "--json", "--data", data];
    place.json(&[&arguments, more].concat())
}

#[test]
fn the_quick_form_lays_its_table_over_the_experiment() {
    let place = Place::new();
    let quick = "\n[quick]\ntraining.steps = 2\ndata.train = 40\nlayers.2.attenuation = 3.0\ncomparison.seeds = 1\n";
    place.write("small.toml", &format!("{SMALL}{quick}"));
    let full = place.json(&["train", "small.toml", "--json", "--name", "full"]);
    let short = place.json(&["train", "small.toml", "--json", "--name", "short", "--quick"]);
    assert_eq!(
        (full["shots"].as_u64(), short["shots"].as_u64()),
        (Some(8 * 32 + 2 * 169 + 100), Some(2 * 32 + 169 + 100))
    );
    let record = place.read("runs/short/experiment.toml");
    assert!(
        record.contains("train = 40") && record.contains("attenuation = 3.0") && !record.contains("quick"),
        "{record}"
    );
    let compared = place.json(&["compare", "small.toml", "--quick", "--methods", "in-silico", "--json"]);
    assert_eq!(compared["runs"].as_array().unwrap().len(), 1);
    // `--set` has the last word.
    let set = place.json(&["train", "small.toml", "--json", "--quick", "--set", "training.steps=3"]);
    assert_eq!(set["shots"], 3 * 32 + 169 + 100);
}

#[test]
fn a_quick_form_that_is_missing_or_wrong_is_refused() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let (code, text) = place.refusal(&["train", "small.toml", "--quick"]);
    assert_eq!((code, text.contains("small.toml has no [quick] table")), (2, true), "{text}");
    // A typing error in it is said even when it is not used.
    place.write("small.toml", &format!("{SMALL}\n[quick]\ntraining.stepz = 2\n"));
    let (code, text) = place.refusal(&["train", "small.toml"]);
    assert_eq!((code, text.contains("small.toml:29: `training.stepz` is not a known key")), (3, true), "{text}");
    place.write("small.toml", &SMALL.replace("steps = 8", "steps = 8\nepochs = 2"));
    let (code, text) = place.refusal(&["train", "small.toml"]);
    assert_eq!(
        (code, text.contains("`training.epochs` stands beside `steps`: give one of the two")),
        (3, true),
        "{text}"
    );
}

#[test]
fn epochs_count_full_batches() {
    let place = Place::new();
    place
        .write("small.toml", &SMALL.replace("steps = 8", "epochs = 3").replace("test = 100", "test = 100\ntrain = 70"));
    let result = place.json(&["train", "small.toml", "--json"]);
    // Two batches of 32 in 70 rows, three times; 169 rows validate after 4 and 6, and 100 are the test's.
    assert_eq!(result["shots"], 6 * 32 + 2 * 169 + 100);
}

#[test]
fn experiments_say_which_data_they_need_and_where_it_is() {
    let place = Place::new();
    for (name, file) in WITH_DATA {
        for command in ["train", "compare"] {
            let (code, text) = place.refusal(&[command, name]);
            assert_eq!(code, 4, "{text}");
            assert!(text.starts_with(&format!("pnnlab: experiments/{name}.toml needs ")), "{text}");
            assert!(text.contains(file) && text.contains("with --data. "), "{text}");
        }
        let (code, text) = place.refusal(&["train", name, "--data", "nowhere"]);
        assert_eq!((code, text.contains("nowhere")), (4, true), "{text}");
    }
    let (code, text) = place.refusal(&["train", "digits-electrical", "--data", "x"]);
    assert_eq!((code, text.contains("this experiment's digits come with the program")), (2, true), "{text}");
    assert!(!place.path("runs").exists());
}

/// Seven made-up vowels of 37 tokens: each formant near one of the vowel's own.
fn vowels() -> String {
    let mut lines = vec!["vowel,F1,F2,F3,F4,F5,F6,F7,F8,F9,F10,F11,F12".to_owned()];
    for (class, vowel) in ["ae", "ah", "aw", "er", "ih", "iy", "uw"].iter().enumerate() {
        for woman in 0..37 {
            let formant = |number: usize| 1000 + 200 * ((class * (number + 3)) % 7) + (woman * (number + 5)) % 40;
            let formants: Vec<String> = (0..12).map(|number| formant(number).to_string()).collect();
            lines.push(format!("w{woman:02}{vowel},{}", formants.join(",")));
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn vowels_are_split_evenly_and_seen_by_light() {
    let place = Place::new();
    place.write("vowels.csv", &vowels());
    let result =
        quick(&place, "vowels-optical", ".", &["--set", "training.steps=4", "--set", "training.evaluate_every=0"]);
    // 158 tokens in three passes, four times; 17 that validate, and the 84 of the test.
    assert_eq!(result["shots"], 3 * (4 * 158 + 17 + 84));
}

/// An IDX file of bytes.
fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let sizes_bytes = sizes.iter().flat_map(|size| size.to_be_bytes());
    [0, 0, 8, sizes.len() as u8].into_iter().chain(sizes_bytes).chain(bytes.iter().copied()).collect()
}

/// Ten made-up digits as MNIST has them: digit k is a bar at its own height, moved about.
fn images(place: &Place, split: &str, count: u32) {
    let pixel = |image: u32, y: u32, x: u32| {
        let (top, left) = (2 * (image % 10) + 4, image / 10 % 7);
        if (top..top + 3).contains(&y) && (left..left + 18).contains(&x) { 255 } else { 0 }
    };
    let lines = (0..count).flat_map(|image| (0..28).map(move |y| (image, y)));
    let pixels: Vec<u8> = lines.flat_map(|(image, y)| (0..28).map(move |x| pixel(image, y, x))).collect();
    let labels: Vec<u8> = (0..count).map(|image| (image % 10) as u8).collect();
    std::fs::write(place.path(&format!("{split}-images-idx3-ubyte")), idx(&[count, 28, 28], &pixels)).unwrap();
    std::fs::write(place.path(&format!("{split}-labels-idx1-ubyte")), idx(&[count], &labels)).unwrap();
}

#[test]
fn each_image_experiment_runs_on_a_folder_of_idx_files() {
    let place = Place::new();
    images(&place, "train", 140);
    images(&place, "t10k", 30);
    let short = ["data.train=130", "data.test=20", "training.epochs=2", "training.evaluate_every=0"];
    let set: Vec<&str> = short.iter().flat_map(|assignment| ["--set", assignment]).collect();
    for (name, passes) in
        [("mnist-electrical", 4), ("mnist-mechanical", 2), ("mnist-optical", 3), ("mnist-optical-digital", 0)]
    {
        let result = quick(&place, name, ".", &set);
        // One batch of 128 in an epoch, ten rows that validate, and the test.
        assert_eq!(result["shots"], passes * (2 * 128 + 10 + 20), "{name}");
        let (code, text) = place.refusal(&["train", name, "--data", ".", "--set", "data.train=1000"]);
        assert_eq!((code, text.contains("there are 140 images: learn from 1 to 140")), (3, true), "{text}");
    }
}

#[test]
#[ignore = "needs real data: PNNLAB_DATA=FOLDER cargo test -- --ignored, with FOLDER/mnist and FOLDER/vowels"]
fn quick_forms_learn_from_real_data() {
    let Ok(data) = std::env::var("PNNLAB_DATA") else { panic!("set PNNLAB_DATA to a folder with mnist and vowels") };
    let place = Place::new();
    for (name, _) in WITH_DATA {
        let accuracy = quick(&place, name, &data, &[])["test_accuracy"].as_f64().unwrap();
        assert!(accuracy > 0.3, "{name}: {accuracy}");
    }
}

#[test]
fn a_training_that_validations_end_says_so() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let set = ["training.steps=400", "training.evaluate_every=1", "training.patience=1", "training.keep=best"];
    let set: Vec<&str> = set.iter().flat_map(|assignment| ["--set", assignment]).collect();
    let output = place.run(&[&["train", "small.toml", "--name", "short"][..], &set].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && text.contains("training.patience ended it after "), "{text}");
    let facts: Value = serde_json::from_str(&place.read("runs/short/run.json")).unwrap();
    let early = facts["ended_early"].as_str().unwrap();
    assert!(text.contains(early) && early.ends_with("whose weights it has"), "{early}");
    let shown = String::from_utf8(place.run(&["runs", "show", "short"]).stdout).unwrap();
    assert!(shown.contains(early), "{shown}");
}
