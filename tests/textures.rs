//! Textures as a user grows them: an automaton whose rule runs through a plant is trained, killed and gone on with, and grown at any size.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::Place;

/// Small: a step is 2 × 144 shots.
const CELLS: &str = r#"
name = "cells"

[data]
source = "image"
pattern = "stripes"
validation = 0
test = 1

[cells]
size = 12
channels = 4
steps = [2, 4]
pool = 6
fresh_every = 3

[training]
steps = 12
batch = 2
evaluate_every = 0
normalize_gradients = true

[run]
checkpoint_steps = 4

[plants.electrical.simulated]
samples = 8

[[layers]]
kind = "linear"
width = 8

[[layers]]
kind = "physical"
plant = "electrical"

[[layers]]
kind = "linear"
width = 4
spread = 0.1
"#;

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {value}"))
}

#[test]
fn every_cell_of_a_step_is_a_shot_and_the_texture_grows_at_any_size() {
    let place = Place::new();
    place.write("cells.toml", CELLS);
    let run = place.run(&["train", "cells.toml", "--name", "mine", "--check", "false"]);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}");
    let facts: Value = serde_json::from_str(&place.read("runs/mine/run.json")).unwrap();
    assert_eq!(facts["objective"], "texture");
    assert!(number(&facts, "/test_distance").is_finite());
    // 12 updates of 2 lattices and 2 to 4 steps, and one test of 8 steps; what was planned is what was driven.
    let shots = number(&facts, "/shots") as u64;
    assert!(shots.is_multiple_of(144), "{shots}");
    assert!((144 * (2 * 12 * 2 + 8)..=144 * (2 * 12 * 4 + 8)).contains(&shots), "{shots}");
    assert!(said.contains(&format!("{shots} shots")), "the plan says {shots} shots: {said}");
    assert!(said.contains(" of memory"), "the plan says what a rollout keeps: {said}");
    // Pieces of a rollout are computed twice, and driven once.
    let pieces = ["train", "cells.toml", "--name", "pieces", "--check", "false", "--set", "cells.checkpoints=2"];
    let run = place.run(&pieces);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let again: Value = serde_json::from_str(&place.read("runs/pieces/run.json")).unwrap();
    assert_eq!(number(&again, "/shots") as u64, shots);
    let header = place.read("runs/mine/metrics.csv");
    assert!(header.lines().next().unwrap().contains("transport,penalty,batch_distance"), "{header}");

    let grown = place.json(&[
        "grow",
        "runs/mine",
        "--size",
        "20x16",
        "--steps",
        "5",
        "--damage",
        "6x6",
        "--repair",
        "3",
        "--out",
        "t.gif",
        "--json",
    ]);
    assert_eq!(number(&grown, "/shots") as u64, 20 * 16 * 8);
    assert_eq!(grown["steps"], 8);
    for key in ["grown", "damaged", "repaired"] {
        assert!(number(&grown, &format!("/distance/{key}")).is_finite());
    }
    assert!(std::fs::read(place.path("t.gif")).unwrap().starts_with(b"GIF89a"));
    let on_twin = place.json(&["grow", "mine", "--twin", "--steps", "2", "--json"]);
    assert_eq!(number(&on_twin, "/shots"), 0.0);
    assert!(std::fs::read(place.path("texture.png")).unwrap().starts_with(b"\x89PNG"));
    let (code, said) = place.refusal(&["grow", "mine", "--set", "training.steps=3"]);
    assert!(code == 2 && said.contains("only the rig's plants and the lattice"), "{said}");
    // What another bench allows is of its own file.
    let tight = "name = \"tight\"\n[plants.electrical.simulated]\nsystem = \"electrical\"\nsamples = 8\n[plants.electrical.limits]\nshots = 100\n";
    place.write("tight.toml", tight);
    let (code, said) = place.refusal(&["grow", "mine", "--rig", "tight.toml", "--steps", "5"]);
    assert!(code == 3 && said.contains("limits.shots` is 100, but 720 shots"), "{said}");
    // A lattice without a patch grows, and has no distance to the run's own image.
    let small = place.json(&["grow", "mine", "--size", "4x4", "--steps", "2", "--json"]);
    assert_eq!((number(&small, "/shots") as u64, small["distance"]["grown"].is_null()), (32, true), "{small}");
    place.write("image.csv", &"0,1,0,1,0,1,0,1,0,1,0,1\n".repeat(12));
    let (code, said) = place.refusal(&["grow", "mine", "--size", "4x4", "--data", "image.csv"]);
    assert!(code == 2 && said.contains("need sides of at least 10"), "{said}");
    for (arguments, words) in [
        (&["--set", "cells.size=16"][..], "has the size of --size"),
        (&["--damage", "13x2"], "is larger than the lattice of 12 × 12 cells"),
        (&["--out", "x.bmp"], "unknown ending: give .png, .gif"),
        (&["--out", "none/x.png"], "Choose another place with --out"),
        (&["--size", "4096x4096", "--zoom", "32"], "and a picture has at most 67108864"),
    ] {
        let (_, said) = place.refusal(&[&["grow", "mine"], arguments].concat());
        assert!(said.contains(words) && !said.contains("bench time"), "{said}");
    }
}

#[test]
fn a_killed_training_goes_on_with_the_pool_that_it_had() {
    let place = Place::new();
    place.write("cells.toml", CELLS);
    let train = |name: &'static str| ["train", "cells.toml", "--check", "false", "--name", name];
    assert!(place.run(&train("whole")).status.success());
    let mut child = place.command(&train("killed")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (path, bound) = (place.path("runs/killed/metrics.csv"), Instant::now() + Duration::from_mins(1));
    while child.try_wait().unwrap().is_none()
        && !std::fs::read_to_string(&path).is_ok_and(|text| 8 < text.lines().count())
    {
        assert!(Instant::now() < bound, "the run does not come to row 8");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let output = place.run(&["train", "--resume", "runs/killed"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || said.contains("is finished"), "{said}");
    for file in ["metrics.csv", "weights.safetensors"] {
        let bytes = |run: &str| std::fs::read(place.path(&format!("runs/{run}/{file}"))).unwrap();
        assert!(bytes("killed") == bytes("whole"), "{file} differs from that of the uninterrupted run");
    }
}

#[test]
fn who_stops_a_texture_on_twins_need_not_wait_for_its_end() {
    let place = Place::new();
    place.write("cells.toml", CELLS);
    assert!(place.run(&["train", "cells.toml", "--name", "mine", "--check", "false"]).status.success());
    let grow = ["grow", "mine", "--twin", "--size", "8x8", "--steps", "1000000"];
    let mut child = place.command(&grow).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // A lattice without a patch says so before it grows.
    let mut said = BufReader::new(child.stderr.take().unwrap());
    assert!((&mut said).lines().map_while(Result::ok).any(|line| line.contains("no distance is measured")));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!place.path("texture.png").exists());
}

#[test]
fn what_cannot_grow_is_refused_in_a_sentence() {
    let place = Place::new();
    place.write("cells.toml", CELLS).write("tiny.csv", "0,1,0\n1,0,1\n0,1,0\n");
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let (found, said) = place.refusal(arguments);
        assert!(found == code && said.contains(words), "{found}: {said}");
    };
    refused(
        &["train", "cells.toml", "--set", "data={source=\"image\", file=\"tiny.csv\"}"],
        4,
        "tiny.csv: is 3 × 3 pixels, and a side of 3 is smaller than a patch of the coarsest scale: give an image of at least 10 × 10",
    );
    refused(
        &["train", "cells.toml", "--set", "cells.size=6"],
        3,
        "`cells.size` is 6, but a patch of the coarsest scale has 10",
    );
    refused(&["train", "cells.toml", "--set", "cells.steps=[9, 3]"], 3, "give the fewest first");
    refused(&["train", "cells.toml", "--set", "cells.fire_rate=0.0"], 3, "cells.fire_rate");
    refused(&["train", "cells.toml", "--method", "reservoir"], 3, "where there is a table [cells]");
    refused(&["compare", "cells.toml", "--methods", "feedback-alignment"], 3, "where there is a table [cells]");
    refused(&["train", "cells.toml", "--set", "data={source=\"image\"}"], 3, "needs either `file` or `pattern`");
    refused(&["train", "cells.toml", "--set", "layers.2.width=5"], 3, "but a cell has 4 channels");
    refused(&["train", "cells.toml", "--set", "cells.rule=\"none_w1.csv\""], 4, "none_w1.csv: cannot be read");
    place.write("a_w1.csv", &"0.5,1,0,0,1,2\n".repeat(17)).write("a_w2.csv", &"1,2,3,4\n".repeat(7));
    let begins = ["train", "cells.toml", "--set", "cells.rule=\"a_w1.csv\""];
    refused(&begins, 3, "are linear, physical, linear, but `cells.rule` begins with a rule that is linear, activation");
    let relu = "layers.1={ kind = \"activation\", function = \"clipped-relu\" }";
    refused(&[&begins[..], &["--set", relu]].concat(), 3, "has 6 hidden values: give 6");
    refused(&["train", "digits-electrical", "--set", "cells.size=24"], 3, "grow a texture, but [data] has no image");
    refused(&["grow", "none.json#bubbly"], 4, "none.json: cannot be read");
    refused(&["grow", "runs/none"], 2, "is no folder of a run");
}
