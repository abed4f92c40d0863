//! Several read-outs as a user meets them: trained together, written down, continued bit for bit, chosen among.

use serde_json::Value;

use crate::program::Place;

/// Two classes: the first value tells them until it is exchanged, the slabs of the second always.
const HEADS: &str = r#"
name = "heads"

[data]
source = "csv"
file = "rows.csv"
label = "class"
test = 60
scaling = "none"

[training]
steps = 40
batch = 32
learning_rate = 0.01
evaluate_every = 20

[run]
checkpoint_steps = 10

[plants.electrical.simulated]
samples = 8

[[layers]]
kind = "repeat"
times = 4

[[layers]]
kind = "physical"
plant = "electrical"

[[layers]]
kind = "linear"
width = 8

[[layers]]
kind = "activation"
function = "tanh"

[[layers]]
kind = "linear"
width = 2

[heads]
count = 3
diversity = 0.5
"#;

fn rows(count: u32, tells: bool) -> String {
    let row = |k: u32| {
        let class = (k * 7 + k / 5) % 2;
        let sign = |class: u32| if class == 1 { 1.0 } else { -1.0 };
        let simple = if tells { sign(class) } else { sign((k / 3) % 2) } * (0.3 + 0.05 * f64::from(k % 9));
        let slab = sign(class) * (0.2 + 0.06 * f64::from(k % 11));
        format!("{simple},{slab},c{class},bench{}\n", k % 2)
    };
    "simple,slab,class,bench\n".to_owned() + &(0..count).map(row).collect::<String>()
}

fn place() -> Place {
    let place = Place::new();
    place.write("heads.toml", &HEADS.replace("label = \"class\"", "label = \"class\"\nleave_out = [\"bench\"]"));
    place.write("rows.csv", &rows(300, true));
    place.write("elsewhere.csv", &rows(80, false));
    place
}

fn columns(place: &Place, name: &str) -> Vec<String> {
    let text = place.read("runs/mine/metrics.csv");
    let mut lines = text.lines();
    let at = lines.next().unwrap().split(',').position(|column| column == name).unwrap();
    lines.map(|line| line.split(',').nth(at).unwrap().to_owned()).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn read_outs_are_trained_together_written_down_and_chosen_among() {
    let place = place();
    let plan = place.json(&["train", "heads.toml", "--dry-run", "--json"]);
    let done = place.json(&["train", "heads.toml", "--name", "mine", "--check", "false", "--json"]);
    assert_eq!(plan.pointer("/plan/shots"), done.get("shots"), "one pass serves all: {plan} {done}");
    assert_eq!(plan.get("read_outs"), Some(&Value::from(3)));
    assert_eq!(columns(&place, "alignment").len(), 40);
    assert_eq!(columns(&place, "heads_best").len(), 2);
    let facts: Value = serde_json::from_str(&place.read("runs/mine/run.json")).unwrap();
    assert_eq!(facts.pointer("/heads/count"), Some(&Value::from(3)));
    let [best, worst] = ["best", "worst"].map(|key| facts["head_scores"][key].as_f64().unwrap());
    assert!(worst <= best && best <= 1.0, "{facts}");

    let chosen = place.json(&["select", "mine", "--data", "elsewhere.csv", "--json"]);
    assert_eq!(
        (chosen["by"].as_str(), chosen["rows"].as_u64(), chosen["shots"].as_u64()),
        (Some("labels"), Some(80), Some(80))
    );
    let scores: Vec<f64> =
        chosen["heads"].as_array().unwrap().iter().map(|head| head["score"].as_f64().unwrap()).collect();
    let selected = chosen["selected"].as_u64().unwrap() as usize;
    assert!(scores.len() == 3 && scores.iter().all(|score| *score <= scores[selected]), "{chosen}");
    // From now on the network says what that one says: the same shots are judged alike.
    let by_bench = place.json(&["select", "mine", "--data", "elsewhere.csv", "--environment", "bench", "--json"]);
    assert!(
        by_bench["heads"][selected]["score"].as_f64().unwrap() <= scores[selected] + 0.05,
        "the worst of two benches"
    );
    let steady = place.json(&["select", "mine", "--perturb", "shuffle=0", "--perturb", "noise=0.01", "--json"]);
    assert_eq!(steady["score"].as_str(), Some("consistency"));
    assert!(steady["heads"].as_array().unwrap().iter().all(|head| head["own"].as_f64().is_some()), "{steady}");
    let hand = place.json(&["select", "mine", "--head", "2", "--json"]);
    assert_eq!((hand["selected"].as_u64(), hand["shots"].as_u64()), (Some(2), Some(0)));
    let facts: Value = serde_json::from_str(&place.read("runs/mine/run.json")).unwrap();
    assert_eq!(facts["selected_head"].as_u64(), Some(2));
    let all: Value = serde_json::from_str(&place.read("runs/mine/select.json")).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 4);
    assert!(place.json(&["select", "mine", "--ensemble", "--json"])["selected"].is_null());
}

#[test]
fn a_run_with_read_outs_goes_on_bit_for_bit() {
    let place = place();
    let train = ["heads.toml", "--check", "false", "--set", "training.steps=300"];
    assert!(place.run(&[&["train"][..], &train, &["--name", "whole"]].concat()).status.success());
    place.kill(&train, ("mine", 30));
    place.goes_on_as("mine", "whole");
}

#[test]
fn what_cannot_be_chosen_by_is_refused_in_a_sentence() {
    let place = place();
    place.json(&["train", "heads.toml", "--name", "mine", "--check", "false", "--json"]);
    let refused = |arguments: &[&str]| place.refusal(&[&["select", "mine"], arguments].concat()).1;
    assert!(refused(&[]).contains("say what chooses"));
    assert!(refused(&["--head", "3"]).contains("the run has 3 read-outs, numbered from 0"));
    place.write("bad.csv", "simple,slab,class\n0.1,0.2,c7\n");
    assert!(
        refused(&["--data", "bad.csv"])
            .contains("bad.csv:2: the label `c7` was not learned: those that were are `c0`, `c1`")
    );
    place.write("unlabeled.csv", "simple,slab\n0.1,0.2\n");
    assert!(refused(&["--data", "unlabeled.csv"]).contains("has no column of what is to be learned"));
    place.write("other.csv", "simple,class\n0.1,c0\n");
    assert!(refused(&["--data", "other.csv"]).contains("there is no column `slab`"));
    assert!(refused(&["--data", "elsewhere.csv", "--environment", "room"]).contains("there is no column `room`"));
    assert!(refused(&["--perturb", "shuffle=1..5"]).contains("a row has 2 values"));
    assert!(refused(&["--perturb", "tilt=1"]).contains("--perturb tilt=1"));
    for method in [["--set", "training.method=\"spsa\""], ["--method", "spsa"]] {
        let spsa = place.refusal(&["train", "heads.toml", "--check", "false", method[0], method[1]]).1;
        assert!(
            spsa.contains("`training.method` is `spsa`, which does not differentiate the penalty of [heads]"),
            "{spsa}"
        );
    }
}
