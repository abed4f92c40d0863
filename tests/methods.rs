//! Methods side by side on the command line: what they cost, what they need to know of the plant, and that they go on as they would have.

use serde_json::Value;

use crate::program::{Place, SMALL};
use crate::wires::{EXPERIMENT, Serving};

/// The small experiment by `spsa`.
fn spsa() -> String {
    with_table("spsa", 40, "pairs = 2")
}

/// The small experiment by a method, with the keys of its table.
fn with_table(method: &str, steps: usize, keys: &str) -> String {
    let table = format!("[training.{method}]\n{keys}\n\n[run]\ncheckpoint_steps = 3\n\n[plants");
    SMALL.replace("steps = 8", &format!("method = \"{method}\"\nsteps = {steps}")).replace("[plants", &table)
}

#[test]
fn spsa_drives_the_plant_as_often_as_its_plan_says() {
    let (run, trained) = planned(&spsa());
    assert_eq!(run["method"], "spsa");
    // Two pairs are four passes of 32 shots in each of 40 updates; the rest are tests.
    assert_eq!(trained, 4 * 32 * 40, "{run}");
}

#[test]
fn spsa_that_was_killed_ends_as_if_it_had_not_been() {
    goes_on_as_it_would_have(&spsa());
}

/// Kills a training of some updates, goes on with it, and compares it with one that nobody has touched.
fn goes_on_as_it_would_have(experiment: &str) {
    let place = Place::new();
    place.write("small.toml", experiment);
    assert!(place.run(&["train", "small.toml", "--name", "whole"]).status.success());
    place.kill(&["small.toml"], ("killed", 10));
    place.goes_on_as("killed", "whole");
}

/// Trains, and says how many shots trained, with what the run says of itself: it drove the plants as often as its plan says.
fn planned(experiment: &str) -> (Value, u64) {
    let place = Place::new();
    place.write("small.toml", experiment);
    let plan = place.json(&["train", "small.toml", "--dry-run", "--json"]);
    let run = place.json(&["train", "small.toml", "--name", "a", "--json"]);
    assert_eq!(run["shots"], plan["plan"]["shots"], "{plan}");
    let facts: Value = serde_json::from_str(&place.read("runs/a/run.json")).unwrap();
    (run, facts["training_shots"].as_u64().unwrap())
}

/// The small experiment by a method, ending in a linear layer.
fn by(method: &str, steps: usize, keys: &str) -> String {
    let linear = "kind = \"bins\"\nbins = 10\n\n[[layers]]\nkind = \"linear\"\nwidth = 10";
    with_table(method, steps, keys).replace("kind = \"bins\"\nbins = 10", linear)
}

#[test]
fn what_a_method_has_learned_goes_through_a_checkpoint() {
    // Those that remember more than weights.
    goes_on_as_it_would_have(&by("pepg", 30, "pairs = 2"));
    goes_on_as_it_would_have(&by("cma-es", 30, "population = 4"));
    goes_on_as_it_would_have(&by("reservoir", 30, ""));
    goes_on_as_it_would_have(&by("dual-adaptive", 30, "hidden = 8"));
}

/// The small experiment by `phyll`: the class that is tried takes ten samples more.
fn phyll(steps: usize, keys: &str) -> String {
    let label = "[[layers]]\nkind = \"label\"\nclasses = 10\n\n[[layers]]\nkind = \"scale-offset\"\nwidth = 74";
    let small = by("phyll", steps, keys).replace("samples = 64", "samples = 74");
    small.replacen("[[layers]]\nkind = \"scale-offset\"\nwidth = 64", label, 1)
}

#[test]
fn local_learning_answers_by_the_class_that_fits_and_goes_on() {
    goes_on_as_it_would_have(&phyll(30, "sharpness = 4.0"));
    // Each row is tested once for each class.
    let (run, trained) = planned(&phyll(3, "").replace("evaluate_every = 4", "evaluate_every = 3"));
    assert_eq!(trained, 2 * 32 * 3, "{run}");
}

/// Digits through nodes that settle.
const SETTLING: &str = r#"
name = "settling"
[data]
source = "digits"
test = 100
[training]
method = "equilibrium-propagation"
steps = 4
batch = 32
evaluate_every = 4
[run]
checkpoint_steps = 2
[[layers]]
kind = "pad"
width = 74
[[layers]]
kind = "physical"
plant = "settling"
control_spread = 0.05
[[layers]]
kind = "pick"
from = 0
count = 10
"#;

#[test]
fn a_plant_that_settles_is_pushed_both_ways_and_goes_on() {
    goes_on_as_it_would_have(&SETTLING.replace("steps = 4\nbatch", "steps = 20\nbatch"));
    let (run, trained) = planned(SETTLING);
    assert_eq!(trained, 3 * 32 * 4, "{run}");
}

#[test]
fn states_that_are_no_numbers_are_said_as_such() {
    let place = Place::new();
    // Steep couplings: the steps of the plant do not follow its states.
    place.write("steep.toml", &SETTLING.replace("control_spread = 0.05", "control_spread = 0.5"));
    let (code, said) = place.refusal(&["train", "steep.toml", "--check=false"]);
    assert!(code == 1 && said.contains("training diverged: the loss of step 1"), "{code}: {said}");
    // Over the whole ranges of its couplings some states are none either, so its twin has no error that could be told.
    place.write("small.toml", SETTLING);
    let output = place.run(&["compare", "small.toml", "--methods", "spsa", "--seeds", "1"]);
    let [table, told] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success() && !table.contains("NaN"), "{table}");
    assert!(told.contains("the error of the twin of plant `settling` is not known"), "{told}");
}

#[test]
fn every_method_drives_the_plant_as_often_as_its_plan_says() {
    for (method, keys, passes) in [
        ("sharpness-aware", "rho = 0.1", 2),
        ("feedback-alignment", "nonlinearity = \"saturating\"", 1),
        ("multiplexed", "window = 5", 6),
        ("pepg", "pairs = 3", 6),
        ("cma-es", "population = 6", 6),
        ("finite-differences", "ways = \"one\"", 1 + 64 + 64 + 20 + 110),
        ("reservoir", "ridge = 0.001", 1),
        ("dual-adaptive", "updates = 2", 1),
    ] {
        let (run, trained) = planned(&by(method, 2, keys));
        assert_eq!(run["method"], method);
        assert_eq!(trained, passes * 32 * 2, "{method}: {run}");
    }
}

#[test]
fn a_reservoir_learns_its_read_out_at_once_and_compares_with_others() {
    let place = Place::new();
    place.write("small.toml", &by("reservoir", 40, ""));
    let methods = ["--methods", "reservoir,sharpness-aware-in-silico", "--seeds", "1", "--json"];
    let found = place.json(&[&["compare", "small.toml"][..], &methods].concat());
    let of = |index: usize| &found["methods"][index];
    assert_eq!(of(0)["method"], "reservoir");
    assert!(0.5 < of(0)["test_accuracy"]["mean"].as_f64().unwrap(), "{found}");
    assert_eq!(of(1)["training_shots"], 0, "in silico: {found}");
}

#[test]
fn methods_refuse_what_they_cannot_train() {
    let place = Place::new();
    let small = SMALL.replace("steps = 8", "method = \"reservoir\"\nsteps = 8");
    let wide = by("cma-es", 2, "")
        .replace("bins = 10", "bins = 64")
        .replace("width = 10", "width = 10\n[[layers]]\nkind = \"scale\"");
    for (text, complaint) in [
        (by("sharpness-aware", 2, "rho = 0.0"), "`training.sharpness-aware.rho` is 0, but it must be above 0"),
        (by("sharpness-aware", 2, "rho = -0.1"), "`training.sharpness-aware.rho` is -0.1"),
        (by("pepg", 2, "deviation = 0.0"), "`training.pepg.deviation` is 0, but it must be above 0"),
        (small, "end the layers with one of kind `linear`"),
        (by("phyll", 2, ""), "add a layer of kind `label`"),
        (phyll(2, "sharpness = 0.0"), "`training.phyll.sharpness` is 0, but it must be above 0"),
        (phyll(2, "").replace("classes = 10", "classes = 7"), "`layers.0.classes` is 7, but there are 10 classes"),
        (by("dual-adaptive", 2, "learning_rate = 0.0"), "`training.dual-adaptive.learning_rate` is 0"),
        (by("equilibrium-propagation", 2, "strength = 2.0"), "`training.equilibrium-propagation.strength` is 2"),
        (by("equilibrium-propagation", 2, ""), "but plant `electrical` has no bank of inputs `push`"),
        (wide, "which learns the covariance of at most 500 weights"),
    ] {
        place.write("small.toml", &text);
        let output = place.run(&["train", "small.toml"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(complaint), "{said}");
    }
}

#[test]
fn spsa_needs_no_twin_and_refuses_to_perturb_by_nothing() {
    let place = Place::new();
    place.write("none.toml", &spsa().replace("pairs = 2", "perturbation = 0.0"));
    let output = place.run(&["train", "none.toml"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("`training.spsa.perturbation` is 0, but it must be above 0"), "{text}");
}

const SCPI: &str = include_str!("../hil/rigs/scpi.toml");

#[test]
fn a_sweep_on_a_bench_leaves_the_ideal_method_out_before_anything_is_driven() {
    let place = Place::new();
    let _serving = Serving::start(&place, SCPI, &[]);
    place.write("wired.toml", EXPERIMENT);
    let sweep = ["sweep", "wired.toml", "--rig", "served.toml", "--key", "training.learning_rate", "--values", "0.01"];
    let output = place.run(&[&sweep[..], &["--methods", "physics-aware,ideal"]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("`ideal` differentiates a plant's own physics") && !place.path("runs").exists(), "{text}");
    let found = place.json(&[&sweep[..], &["--seeds", "1", "--json"]].concat());
    let methods: Vec<&str> =
        found["sweep"]["points"].as_array().unwrap().iter().map(|point| point["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["in-silico", "noise-aware", "physics-aware", "physics-aware+refresh"]);
}

#[test]
fn a_bench_that_is_refused_by_its_rig_is_not_called_left_alone() {
    let place = Place::new();
    let _serving = Serving::start(&place, SCPI, &[]);
    let rig = place.read("served.toml").replacen("[plants", "[plants.electrical]\nfit = \"nope.toml\"\n\n[plants", 1);
    assert!(rig.contains("nope"), "{rig}");
    place.write("unfit.toml", &rig).write("wired.toml", EXPERIMENT);
    let output = place.run(&["train", "wired.toml", "--rig", "unfit.toml"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("nope.toml") && !text.contains("guard"), "{text}");
}
