//! Numbers to predict: trained, compared, tuned, continued and drawn as classes are, under the names of their scores.

use serde_json::Value;

use crate::program::{Place, names};

/// A small regression: two targets of a table through one short pass.
const SMALL: &str = r#"
name = "small"

[data]
source = "csv"
file = "table.csv"
targets = ["sum", "product"]
test = 40
split = "sequential"

[training]
steps = 60
batch = 32
learning_rate = 0.03
evaluate_every = 20
keep = "best"

[run]
checkpoint_steps = 5

[plants.electrical.simulated]
samples = 16

[[layers]]
kind = "linear"
width = 16

[[layers]]
kind = "physical"
plant = "electrical"

[[layers]]
kind = "linear"
width = 2
"#;

/// Three columns, and their sum and a product.
fn table() -> String {
    let row = |row: u32| {
        let [a, b, c] = [7, 11, 13].map(|step| f64::from(row * step % 29) / 29.0);
        format!("{a},{b},{c},{},{}", a + b + c, 10.0 * a * b)
    };
    let rows: Vec<String> = std::iter::once("a,b,c,sum,product".to_owned()).chain((0..240).map(row)).collect();
    rows.join("\n") + "\n"
}

fn place() -> Place {
    let place = Place::new();
    place.write("small.toml", SMALL).write("table.csv", &table());
    place
}

#[test]
fn a_regression_is_trained_recorded_and_drawn_by_the_names_of_its_scores() {
    let place = place();
    let run = place.json(&["train", "small.toml", "--name", "a", "--json"]);
    let (nrmse, r2) = (run["test_nrmse"].as_f64().unwrap(), run["test_r2"].as_f64().unwrap());
    assert!((r2 - (1.0 - nrmse * nrmse)).abs() < 1e-9 && nrmse < 0.9, "{run}");
    assert!(run["validation_nrmse"].is_number() && run["test_accuracy"].is_null(), "{run}");
    let facts: Value = serde_json::from_str(&place.read("runs/a/run.json")).unwrap();
    assert_eq!((&facts["objective"], &facts["test_nrmse"]), (&"regress".into(), &run["test_nrmse"]));
    assert_eq!(facts["targets"], serde_json::json!(["sum", "product"]));
    let metrics = place.read("runs/a/metrics.csv");
    let header = metrics.lines().next().unwrap();
    assert!(header.contains(",squared_error,penalty,batch_nrmse,") && header.ends_with("validation_r2"), "{header}");
    // What was wanted and what was said, in the table's own units, reach the score of the record.
    let mut reader = csv::Reader::from_path(place.path("runs/a/test.csv")).unwrap();
    let rows: Vec<Vec<f64>> =
        reader.records().map(|row| row.unwrap().iter().map(|cell| cell.parse().unwrap()).collect()).collect();
    assert_eq!((rows.len(), rows[0][0]), (40, 200.0));
    let whole: Vec<f64> = table().lines().nth(201).unwrap().split(',').map(|cell| cell.parse().unwrap()).collect();
    assert!((rows[0][1] - whole[3]).abs() < 1e-5 && (rows[0][3] - whole[4]).abs() < 1e-5, "{:?}", rows[0]);
    let missed = |place: usize| {
        let mean = rows.iter().map(|row| row[place]).sum::<f64>() / 40.0;
        let error: f64 = rows.iter().map(|row| (row[place + 1] - row[place]).powi(2)).sum();
        error / rows.iter().map(|row| (row[place] - mean).powi(2)).sum::<f64>()
    };
    assert!((0.5 * (missed(1) + missed(3)) - nrmse * nrmse).abs() < 1e-4);
    let figures = names(&place.path("runs/a/figures"));
    assert!(figures.contains(&"predictions.svg".to_owned()) && !figures.contains(&"confusion.svg".to_owned()));
    assert!(place.read("runs/a/figures/learning-curves.svg").contains("validation NRMSE"));
    let said = String::from_utf8(place.run(&["train", "small.toml", "--name", "b"]).stdout).unwrap();
    assert!(
        said.starts_with(&format!("small by physics-aware: NRMSE {nrmse:.3}, R² {r2:.3} on the test set")),
        "{said}"
    );
}

#[test]
fn methods_and_settings_are_compared_by_the_lowest_error() {
    let place = place();
    let compared = place.json(&[
        "compare",
        "small.toml",
        "--methods",
        "physics-aware,in-silico",
        "--seeds",
        "2",
        "--name",
        "c",
        "--json",
    ]);
    let first = &compared["methods"][0];
    assert_eq!(
        (compared["objective"].as_str(), first["nrmse_of_each"].as_array().unwrap().len()),
        (Some("regress"), 2)
    );
    for key in ["test_nrmse", "believed_nrmse", "test_r2", "believed_r2"] {
        assert!(first[key]["mean"].is_f64(), "{key}: {first}");
    }
    // A straight line finds the sum and most of the product.
    assert!(compared["baseline_nrmse"].as_f64().unwrap() < 0.5, "{compared}");
    let again = ["compare", "small.toml", "--methods", "physics-aware,in-silico", "--seeds", "2", "--resume", "runs/c"];
    let text = String::from_utf8(place.run(&again).stdout).unwrap();
    for words in ["NRMSE", "R²", "least squares on the same split: NRMSE 0.", "physics-aware: median 0."] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let sweep = place.json(&[
        "sweep",
        "small.toml",
        "--key",
        "training.learning_rate",
        "--values",
        "0.0000001,0.03",
        "--methods",
        "physics-aware",
        "--seeds",
        "1",
        "--json",
    ]);
    let best = &sweep["sweep"]["best"][0];
    assert_eq!(best["values"]["training.learning_rate"], "0.03", "{sweep}");
    assert!(best["validation_nrmse"].as_f64().unwrap() < 0.9 && best["test_nrmse"].is_f64(), "{best}");
    let listed = place.json(&["runs", "list", "--best", "--json"]);
    let errors: Vec<f64> = listed["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["scores"]["validation_nrmse"].as_f64().unwrap())
        .collect();
    assert!(errors.len() == 6 && errors.is_sorted(), "{errors:?}");
}

#[test]
fn a_sweep_goes_on_past_a_setting_that_leaves_the_numbers() {
    let place = place();
    // Plain steps that nothing holds: at 1000 each is larger than the one before.
    place.write("steep.toml", &SMALL.replace("keep = ", "optimizer = \"sgd\"\ngradient_clip = 0.0\nkeep = "));
    let sweep = |values: &'static str| {
        let key = "training.learning_rate";
        ["sweep", "steep.toml", "--key", key, "--values", values, "--methods", "physics-aware", "--seeds", "1"]
    };
    let found = place.json(&[&sweep("1000,0.03")[..], &["--json"]].concat());
    let [far, near] = [0, 1].map(|point| &found["sweep"]["points"][point]);
    assert_eq!((far["diverged"].as_bool(), near["diverged"].as_bool()), (Some(true), Some(false)), "{found}");
    assert_eq!(far["test_nrmse"].as_array().map(Vec::len), Some(0), "{far}");
    assert_eq!(found["sweep"]["best"][0]["values"]["training.learning_rate"], "0.03", "{found}");
    // Where none is left, it is the error that it is elsewhere.
    let (code, text) = place.refusal(&sweep("1000"));
    assert!(code == 1 && text.contains("training diverged"), "{code}: {text}");
}

#[test]
fn a_comparison_goes_on_past_a_method_that_leaves_the_numbers() {
    let place = place();
    place.write("steep.toml", &SMALL.replace("keep = ", "optimizer = \"sgd\"\ngradient_clip = 0.0\nkeep = "));
    let far = "comparison.settings.physics-aware.learning_rate=1000";
    let compare = |methods: &'static str| ["compare", "steep.toml", "--methods", methods, "--seeds", "1", "--set", far];
    let both = "physics-aware,in-silico";
    let found = place.json(&[&compare(both)[..], &["--name", "c", "--json"]].concat());
    let [left, sound] = [0, 1].map(|method| &found["methods"][method]);
    let diverged = |method: &Value| method["diverged"].as_array().map(Vec::len);
    assert_eq!((diverged(left), diverged(sound)), (Some(1), Some(0)), "{found}");
    assert!(left["test_nrmse"].is_null() && sound["test_nrmse"]["mean"].is_f64(), "{found}");
    // The table has a row for it, and so it has when the comparison is asked for again.
    let again = place.run(&[&compare(both)[..], &["--resume", "runs/c"]].concat());
    let text = String::from_utf8(again.stdout).unwrap();
    assert!(again.status.success() && text.contains(" diverged "), "{text}");
    // Where none is left, it is the error that it is elsewhere.
    let (code, text) = place.refusal(&compare("physics-aware"));
    assert!(code == 1 && text.contains("training diverged"), "{code}: {text}");
}

#[test]
fn a_regression_that_was_killed_ends_as_if_it_had_not_been() {
    let place = place();
    assert!(place.run(&["train", "small.toml", "--name", "whole"]).status.success());
    place.kill(&["small.toml"], ("killed", 25));
    place.goes_on_as("killed", "whole");
    assert!(place.read("runs/killed/test.csv") == place.read("runs/whole/test.csv"));
}

#[test]
fn what_cannot_be_predicted_is_refused_by_name() {
    let place = place();
    let refused = |set: &str| {
        let (code, text) = place.refusal(&["train", "small.toml", "--set", set]);
        assert!(!place.path("runs").exists(), "{text}");
        (code, text)
    };
    let (code, text) = refused("objective.kind=classify");
    assert_eq!((code, text.contains("`objective.kind` is `classify`, which needs labels")), (3, true), "{text}");
    let (code, text) = refused("data.targets=[\"sum\", \"produkt\"]");
    assert_eq!((code, text.contains("there is no column `produkt`")), (4, true), "{text}");
    assert!(text.contains("Did you mean `product`?"), "{text}");
    let (code, text) = refused("layers.2.width=3");
    assert_eq!((code, text.contains("the data has 2 targets: end with a layer that gives 2")), (3, true), "{text}");
    let (code, text) = place.refusal(&["train", "narma-electrical", "--data", "table.csv"]);
    assert_eq!((code, text.contains("data is made by the program")), (2, true), "{text}");
}
