//! Sequences as a user makes them: a generator with a plant in it is trained, moved, killed and gone on with, and shown.

use serde_json::Value;

use crate::program::Place;

/// What both experiments have.
const SHARED: &str = r#"
[data]
source = "digits"
train = 60
validation = 0
test = 30

[run]
checkpoint_steps = 3

[plants.electrical.simulated]
samples = 16
"#;

/// Small: an update is 20 shots.
const GENERATOR: &str = r#"
name = "generator"

[objective]
kind = "generate"
latent = 3
told = true

[training]
steps = 8
batch = 20
evaluate_every = 0

[[layers]]
kind = "linear"
width = 16

[[layers]]
kind = "physical"
plant = "electrical"

[[layers]]
kind = "linear"
width = 64
"#;

/// An update is 10 sequences of 5 frames: 50 shots.
const MOTION: &str = r#"
name = "motion"

[motion]
generator = "runs/generator"
frames = 5
components = 3
noise = 2

[training]
steps = 10
batch = 10
evaluate_every = 0

[[layers]]
kind = "lstm"
width = 6

[[layers]]
kind = "linear"
width = 3
"#;

/// In place of a line of it: learned by critics.
const CRITICS: &str = "noise = 2\nobjective = \"critics\"\ncritics = { width = 8, contrastive = 0.5 }\n";

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {value}"))
}

fn motion() -> String {
    format!("{MOTION}{SHARED}")
}

fn place() -> Place {
    let place = Place::new();
    place.write("generator.toml", &format!("{GENERATOR}{SHARED}")).write("motion.toml", &motion());
    place
}

/// Trains a file under a name, and says what its plan was.
fn train(place: &Place, file: &str, name: &str) -> String {
    let run = place.run(&["train", file, "--name", name, "--check", "false"]);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}");
    said
}

#[test]
fn a_generator_is_trained_and_moved_and_every_frame_is_a_shot() {
    let place = place();
    train(&place, "generator.toml", "generator");
    let facts: Value = serde_json::from_str(&place.read("runs/generator/run.json")).unwrap();
    assert_eq!(facts["objective"], "generate");
    assert_eq!(facts["size"], serde_json::json!([8, 8]));
    assert!(number(&facts, "/test_distance").is_finite());
    assert_eq!(number(&facts, "/shots"), f64::from(8 * 20 + 30));

    let dry = place.json(&["train", "motion.toml", "--dry-run", "--json"]);
    let said = train(&place, "motion.toml", "moved");
    let facts: Value = serde_json::from_str(&place.read("runs/moved/run.json")).unwrap();
    assert_eq!(facts["objective"], "motion");
    let shots = 10 * 10 * 5 + 30 * 5;
    assert_eq!(number(&facts, "/shots"), f64::from(shots));
    assert!(said.contains(&format!("{shots} shots")), "{said}");
    assert_eq!(number(&dry, "/plan/shots"), f64::from(shots), "{dry}");
    assert!(place.read("runs/moved/test.csv").starts_with("sequence,told\n"));

    let film = place.json(&["generate", "moved", "--frames", "12", "--count", "4", "--out", "film.gif", "--json"]);
    assert_eq!((number(&film, "/shots"), number(&film, "/frames")), (48.0, 12.0));
    assert!(number(&film, "/largest_step") <= 0.2 + 1e-7);
    assert!(std::fs::read(place.path("film.gif")).unwrap().starts_with(b"GIF89a"));
    let table = |seed: &str| {
        place.json(&["generate", "moved", "--twin", "--count", "2", "--out", "t.csv", "--seed", seed, "--json"]);
        place.read("t.csv")
    };
    let one = table("1");
    assert_eq!(one.lines().count(), 1 + 2 * 5);
    assert!(one == table("1") && one != table("2"), "a film is a function of its seed");
    // Sequences that begin with a frame: 8 starts are followed over 24 steps on the plant, and each of 2 sequences has 5 frames.
    let begun = ["generate", "moved", "--first", "t.csv:6", "--count", "2", "--seed", "3", "--out", "f.csv", "--json"];
    assert_eq!(number(&place.json(&begun), "/shots"), f64::from(8 * 25 + 2 * 5));
    let on_twin = place.json(&[&begun[..], &["--twin"]].concat());
    // On the twin a frame that it made itself is found again.
    let distance = number(&on_twin, "/first_distance");
    assert!(distance < 0.1, "{distance}");
    let rows = place.read("f.csv");
    let apart = |one: usize, other: usize| {
        let of =
            |line: usize| rows.lines().nth(line).unwrap().split(',').skip(2).map(|cell| cell.parse::<f32>().unwrap());
        of(one).zip(of(other)).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
    };
    assert!(apart(1, 6) < 1e-5 && 1e-5 < apart(2, 7), "both begin with it, and go on by noise of their own");
    place.json(&["generate", "moved", "--twin", "--count", "1", "--zoom", "1", "--out", "one/", "--json"]);
    let seen =
        place.json(&["generate", "moved", "--twin", "--first", "one/frame-00001.png", "--out", "f.gif", "--json"]);
    assert!(number(&seen, "/first_distance").is_finite());
    place.json(&["generate", "moved", "--count", "3", "--out", "frames/", "--json"]);
    assert_eq!(std::fs::read_dir(place.path("frames")).unwrap().count(), 5);
    // Frames that were written are frames that can be learned.
    place.write(
        "again.toml",
        &motion().replace(
            "source = \"digits\"\ntrain = 60\nvalidation = 0\ntest = 30",
            "source = \"frames\"\nfolder = \"frames\"",
        ),
    );
    let (code, said) = place.refusal(&["train", "again.toml"]);
    assert!(code == 4 && said.contains("the longest sequence has 5 frames"), "{said}");
    let images = place.json(&["generate", "generator", "--count", "9", "--json"]);
    assert_eq!((number(&images, "/shots"), &images["out"]), (9.0, &Value::from("images.png")));
    assert!(std::fs::read(place.path("images.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn killed_trainings_of_a_generator_and_of_what_moves_it_go_on_bit_for_bit() {
    let place = place();
    train(&place, "generator.toml", "generator");
    train(&place, "motion.toml", "whole");
    place.write("critics.toml", &motion().replace("noise = 2\n", CRITICS));
    train(&place, "critics.toml", "judged");
    let weights = |run: &str| std::fs::read(place.path(&format!("runs/{run}/weights.safetensors"))).unwrap();
    assert!(weights("judged") != weights("whole"), "critics lead elsewhere");
    for (file, name, whole, lines) in [
        ("generator.toml", "killed-1", "generator", 6),
        ("motion.toml", "killed-2", "whole", 7),
        ("critics.toml", "killed-3", "judged", 7),
    ] {
        place.kill(&[file, "--check", "false"], (name, lines));
        place.goes_on_as(name, whole);
    }
}

#[test]
fn what_cannot_move_is_refused_in_a_sentence() {
    let place = place();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let (found, said) = place.refusal(arguments);
        assert!(found == code && said.contains(words), "{found}: {said}");
    };
    refused(&["train", "motion.toml"], 4, "`motion.generator` is `runs/generator`, where there is no run");
    refused(&["train", "generator.toml", "--set", "objective.kind=classify"], 3, "is of `generate`");
    refused(
        &["train", "narma-electrical", "--set", "objective={kind=\"generate\"}"],
        3,
        "is `generate`, which needs images with classes",
    );
    train(&place, "generator.toml", "generator");
    train(&place, "generator.toml", "other");
    let set = |value: &'static str| ["train", "motion.toml", "--set", value];
    refused(&set("motion.critics={steps=3}"), 3, "say `objective = \"critics\"`");
    refused(&set("motion.objective=critic"), 3, "`critics`");
    let judged = ["train", "motion.toml", "--check", "false", "--set", "motion.objective=critics", "--set"];
    refused(&[&judged[..], &["training.method=spsa"]].concat(), 3, "learn from one pass that is differentiated");
    refused(
        &[&judged[..], &["motion.critics={width=4096}", "--set", "motion.frames=900"]].concat(),
        3,
        "a critic's first layer",
    );
    refused(&set("motion.components=4"), 3, "but a motion has 4 components to move along");
    refused(&set("motion.path={amplitude=0.0}"), 3, "must be above 0 and at most 1000");
    refused(&set("training.method=\"feedback-alignment\""), 3, "where there is a table [motion]");
    refused(&set("objective={kind=\"classify\"}"), 3, "there is a table [motion]");
    refused(&set("cells={size=12}"), 3, "stands beside [cells]");
    refused(&set("plants.electrical.simulated.samples=8"), 3, "layer 1 (physical) takes 8");
    place.write("motion.csv", "a,b\n1,2\n");
    refused(&set("data={source=\"trace\", file=\"motion.csv\"}"), 4, "the longest sequence has 1 frames");
    refused(
        &["train", "generator.toml", "--set", "data={source=\"trace\", file=\"motion.csv\"}"],
        3,
        "needs images with classes",
    );
    let rows: Vec<String> = (0..40).map(|row| format!("{row},{}\n", 2 * row)).collect();
    place.write("motion.csv", &format!("a,b\n{}", rows.concat()));
    refused(
        &set("data={source=\"trace\", file=\"motion.csv\"}"),
        3,
        "makes frames of 64 values, but those of the data have 2 (2 × 1)",
    );
    for (name, size) in [("a", "2 2"), ("b", "2 3")] {
        let side: usize = size.split(' ').map(|side| side.parse::<usize>().unwrap()).product();
        std::fs::create_dir_all(place.path("seen")).unwrap();
        place.write(&format!("seen/{name}.pgm"), &format!("P2 {size} 9\n{}", "1 ".repeat(side)));
    }
    refused(&set("data={source=\"frames\", folder=\"seen\"}"), 4, "frames of a sequence are of one size");
    // A bench without the plant that the generator was made with.
    let rig = "name = \"bare\"\n\n[plants.optical]\nsimulated = { system = \"optical\" }\n";
    place.write("bare.toml", rig);
    place.write("elsewhere.toml", &motion().replace("[plants.electrical.simulated]\nsamples = 16\n", ""));
    refused(&["train", "elsewhere.toml", "--rig", "bare.toml"], 3, "drive the plant `electrical`, which is gone");
    train(&place, "motion.toml", "moved");
    refused(&["train", "motion.toml", "--set", "motion.generator=moved"], 3, "a run that is no generator");
    place.write("classify.toml", &crate::program::SMALL.replace("steps = 8", "steps = 1"));
    train(&place, "classify.toml", "classified");
    for (first, code, words) in [
        ("motion.csv", 4, "has 2 values in a row, but the generator's frames have 64 (8 × 8)"),
        ("motion.csv:x", 4, "is neither a picture"),
        ("seen/a.pgm", 4, "is 2 × 2 pixels, but the generator's frames are 8 × 8"),
        ("gone.png", 4, "gone.png: cannot be read"),
    ] {
        refused(&["generate", "moved", "--first", first], code, words);
    }
    place.write(
        "frame.csv",
        &format!("{}\n{}\n", (0..64).map(|k| format!("a{k}")).collect::<Vec<_>>().join(","), ["0"; 64].join(",")),
    );
    refused(&["generate", "generator", "--first", "frame.csv"], 2, "makes images and no sequences");
    refused(&["generate", "classified"], 2, "is no generator");
    refused(&["generate", "moved", "--out", "film.mp4"], 2, "unknown ending");
    refused(&["generate", "moved", "--out", "seen"], 2, "holds 2 files already, such as `a.pgm`");
    refused(&["generate", "moved", "--set", "training.steps=3"], 2, "only the rig's plants can be changed");
    // Another generator in its place shows other frames, which is told.
    let said = || String::from_utf8_lossy(&place.run(&["generate", "moved", "--out", "film.gif"]).stderr).into_owned();
    assert!(!said().contains("has changed since"), "{}", said());
    let third = ["train", "generator.toml", "--name", "third", "--seed", "2", "--check", "false"];
    assert!(place.run(&third).status.success());
    let weights = |run: &str| place.path(&format!("runs/{run}/weights.safetensors"));
    std::fs::copy(weights("third"), weights("generator")).unwrap();
    assert!(said().contains("the generator runs/generator has changed since runs/moved learned"), "{}", said());
    std::fs::remove_dir_all(place.path("runs/generator")).unwrap();
    refused(&["generate", "moved"], 4, "where there is no run");
}
