//! Guards as a user meets them: suspicious shots of a training, classes in groups, and `pnnlab guard` on other data.

use serde_json::Value;

use crate::program::Place;

/// Digits through one pass, guarded; the bench changes after some 60 updates.
const GUARDED: &str = r#"
name = "guarded"

[data]
source = "digits"
test = 100
validation = 0

[training]
steps = 90
batch = 32
learning_rate = 0.003
evaluate_every = 0

[run]
checkpoint_steps = 7

[guard]
shots = 600
on_alarm = "warn"

[plants.electrical.simulated]
samples = 64
plant_seed = 1

[plants.electrical.shift]
after_shots = 1950
to = { system = "electrical", samples = 64, plant_seed = 5, mismatch = 4.0, tolerances = { gain = 0.2, offset_volts = 0.2 } }

[[layers]]
kind = "scale-offset"
width = 64
scale = 0.5
offset = -0.2

[[layers]]
kind = "physical"
plant = "electrical"

[[layers]]
kind = "linear"
width = 10
"#;

fn place() -> Place {
    let place = Place::new();
    place.write("guarded.toml", GUARDED);
    place
}

/// One column of the updates of a run.
fn column(place: &Place, run: &str, name: &str) -> Vec<f64> {
    let text = place.read(&format!("runs/{run}/metrics.csv"));
    let mut lines = text.lines();
    let at = lines.next().unwrap().split(',').position(|column| column == name).unwrap();
    let steps = lines.filter(|line| line.starts_with("step,"));
    steps.map(|line| line.split(',').nth(at).unwrap().parse().unwrap()).collect()
}

fn events(place: &Place, run: &str, kind: &str) -> Vec<Value> {
    let text = place.read(&format!("runs/{run}/events.jsonl"));
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["event"] == kind).collect()
}

#[test]
fn a_bench_that_changes_while_it_trains_is_told_and_its_shots_are_left_out() {
    let place = place();
    place.json(&["train", "guarded.toml", "--name", "warned", "--check", "false", "--json"]);
    let suspicious = column(&place, "warned", "guard_suspicious");
    // Fitted after 600 shots; the bench changes after 1,950.
    assert!(suspicious[..19].iter().all(|count| *count == 0.0));
    assert!(suspicious[22..60].iter().sum::<f64>() < 0.02 * 32.0 * 38.0, "{suspicious:?}");
    assert!(suspicious[61..70].iter().sum::<f64>() > 0.8 * 32.0 * 9.0, "{suspicious:?}");
    let fits = events(&place, "warned", "guarded");
    assert_eq!((fits[0]["layer"].as_u64(), fits[0]["shots"].as_u64()), (Some(1), Some(400)), "{fits:?}");
    let alarms = events(&place, "warned", "alarm");
    let alarm = alarms.iter().find(|alarm| alarm["source"] == "guard").unwrap();
    let message = alarm["message"].as_str().unwrap();
    assert!(
        message.contains("of 32 shots of step 6") && message.contains("the twin may not be trusted there"),
        "{message}"
    );
    let facts: Value = serde_json::from_str(&place.read("runs/warned/run.json")).unwrap();
    assert_eq!(facts["guard"]["suspicious"].as_f64().unwrap(), suspicious.iter().sum::<f64>());
    assert_eq!((facts["guard"]["left_out"].as_u64(), facts["guard"]["measured_again"].as_u64()), (Some(0), Some(0)));
    let weights = std::fs::read(place.path("runs/warned/weights.safetensors")).unwrap();
    let has = |name: &str| weights.windows(name.len()).any(|part| part == name.as_bytes());
    assert!(has("state/layers.1.physical.guard joint in use of electrical simulated-1"));
    // Rejected ones are measured again, and then no part of what is learned.
    let reject = ["--set", "guard.on_alarm=reject", "--set", "guard.measure_again=1"];
    let train = ["train", "guarded.toml", "--name", "rejected", "--check", "false", "--json"];
    let rejected = place.json(&[&train[..], &reject].concat());
    let facts: Value = serde_json::from_str(&place.read("runs/rejected/run.json")).unwrap();
    let count = |key: &str| facts["guard"][key].as_u64().unwrap();
    assert!(count("left_out") > 200 && count("measured_again") == count("suspicious"), "{facts}");
    assert_eq!(
        rejected["shots"].as_u64(),
        Some(90 * 32 + 100 + count("measured_again")),
        "what is measured again is counted"
    );
    assert_eq!(column(&place, "rejected", "guard_left_out").iter().sum::<f64>(), count("left_out") as f64);
}

#[test]
fn a_guarded_run_that_was_killed_goes_on_bit_for_bit() {
    let place = place();
    let train = ["guarded.toml", "--set", "guard.on_alarm=reject", "--check", "false"];
    assert!(place.run(&[&["train"][..], &train, &["--name", "whole"]].concat()).status.success());
    place.kill(&train, ("killed", 30));
    place.goes_on_as("killed", "whole");
}

#[test]
fn a_plan_counts_what_the_guard_drives() {
    let place = place();
    let plan = |set: &[&str]| {
        let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        place.json(&[&["train", "guarded.toml", "--dry-run", "--json"], &set[..]].concat())["plan"].clone()
    };
    let shots = |plan: &Value| plan["shots"].as_u64().unwrap();
    let warned = plan(&[]);
    assert_eq!((shots(&warned), warned.get("most_again_shots")), (90 * 32 + 100, None));
    // Three false alarms of 2,880 shots.
    let rejected = plan(&["guard.on_alarm=reject"]);
    assert_eq!((shots(&rejected), rejected["most_again_shots"].as_u64()), (shots(&warned) + 3, Some(2 * 90 * 32)));
    assert_eq!(shots(&plan(&["guard.from=calibration"])), shots(&warned) + 600);
    let trained = place.json(&[
        "train",
        "guarded.toml",
        "--name",
        "mine",
        "--set",
        "guard.from=calibration",
        "--check",
        "false",
        "--json",
    ]);
    assert_eq!(trained["shots"].as_u64(), Some(shots(&warned) + 600));
}

#[test]
fn a_guard_that_cannot_be_fitted_is_refused_before_the_first_shot() {
    let place = place();
    let refused = |set: &str, words: &str| {
        let (code, text) = place.refusal(&["train", "guarded.toml", "--check", "false", "--set", set]);
        assert_eq!((code, text.contains(words)), (3, true), "{text}");
    };
    refused(
        "guard.shots=120",
        "`guard.shots` is 120, but layer 1 (plant `electrical`) is guarded by 64 numbers (32 of its inputs, 32 of its readings)",
    );
    refused("guard.false_alarms=0.5", "guard.false_alarms");
    refused("guard.after=90", "`guard.after` is 90, but the training has 90 updates, so the guard would never begin");
    refused(
        "guard.shots=2880",
        "`guard.shots` is 2880, but the 90 updates give a layer 2880 shots, so the guard would judge none",
    );
    let one = ["train", "guarded.toml", "--set", "guard.channels=1", "--set", "guard.shots=100"];
    let (code, text) = place.refusal(&one);
    assert_eq!((code, text.contains("need at least 150 shots: give 150 or more")), (3, true), "{text}");
    assert!(!text.contains("lower"), "one channel cannot be fewer: {text}");
    refused("guard.on_alarm=panic", "guard.on_alarm");
    assert!(!place.path("runs").exists());
}

/// Six classes in two places, as CSV, with a column that says where.
fn classes(place: &Place) {
    let mut stream = sims::Key::new(3).branch("classes").stream();
    let mut rows = vec!["a,b,c,family,label".to_owned()];
    let mut other = vec!["c,b,a".to_owned()];
    for row in 0..360 {
        let class = row % 6;
        let family = ["near", "far"][class % 2];
        let mut value = |column: usize| {
            let center = if class % 2 == 0 { -2.0 } else { 2.0 } + if column == class / 2 { 1.5 } else { 0.0 };
            center + 0.2 * stream.normal()
        };
        rows.push(format!("{},{},{},{family},k{class}", value(0), value(1), value(2)));
        if row < 120 {
            other.push(format!("{},{},{}", stream.normal() - 6.0, 6.0 + stream.normal(), stream.normal()));
        }
    }
    place.write("classes.csv", &rows.join("\n")).write("other.csv", &other.join("\n"));
    place.write(
        "groups.toml",
        "name = \"groups\"\n[data]\nsource = \"csv\"\nfile = \"classes.csv\"\nlabel = \"label\"\ngroup = \"family\"\ntest = 90\nvalidation = 0\nscaling = \"standard\"\n\
         split = \"stratified\"\n[training]\nsteps = 250\nbatch = 60\nlearning_rate = 0.02\nevaluate_every = 0\n[plants.electrical.simulated]\nsamples = 16\n\
         [[layers]]\nkind = \"linear\"\nwidth = 16\n[[layers]]\nkind = \"scale\"\nscale = 0.3\n[[layers]]\nkind = \"physical\"\nplant = \"electrical\"\n\
         [[layers]]\nkind = \"linear\"\nwidth = 24\n[[layers]]\nkind = \"activation\"\nfunction = \"relu\"\n[[layers]]\nkind = \"linear\"\nwidth = 8\n",
    );
}

#[test]
fn a_network_for_groups_says_what_it_does_not_know() {
    let place = Place::new();
    classes(&place);
    let trained = place.json(&["train", "groups.toml", "--name", "mine", "--check", "false", "--json"]);
    assert!(trained["test_accuracy"].as_f64().unwrap() > 0.9, "{trained}");
    let facts: Value = serde_json::from_str(&place.read("runs/mine/run.json")).unwrap();
    assert_eq!(
        (facts["objective"].as_str(), &facts["groups"]["far"]),
        (Some("groups"), &serde_json::json!(["k1", "k3", "k5"]))
    );
    assert!(place.read("runs/mine/metrics.csv").contains(",group_cross_entropy,"));
    let done = place.json(&["guard", "mine", "--data", "other.csv", "--json"]);
    assert_eq!(
        (done["known_rows"].as_u64(), done["unknown_rows"].as_u64(), done["higher_is"].as_str()),
        (Some(90), Some(120), Some("unknown"))
    );
    assert_eq!(done["shots"].as_u64(), Some(270 + 90 + 120));
    let scores = done["scores"].as_array().unwrap();
    let names: Vec<&str> = scores.iter().map(|score| score["score"].as_str().unwrap()).collect();
    assert_eq!(names, ["softmax", "energy", "odin", "kl-matching", "mahalanobis", "state", "mos"]);
    for score in scores {
        for key in ["auroc", "aupr_in", "aupr_out", "fpr95"] {
            assert!((0.0..=1.0).contains(&score[key].as_f64().unwrap()), "{score}");
        }
        assert!(score["seconds_per_shot"].as_f64().unwrap() < 1.0);
    }
    let of = |name: &str| scores.iter().find(|score| score["score"] == name).unwrap();
    assert!(of("mahalanobis")["auroc"].as_f64().unwrap() > 0.99, "{done}");
    assert_eq!(place.read("runs/mine/guard.csv").lines().count(), 1 + 90 + 120);
    assert!(place.path("runs/mine/figures/guard.svg").is_file() && place.path("runs/mine/guard.json").is_file());
    let said = String::from_utf8(place.run(&["guard", "mine", "--data", "other.csv"]).stdout).unwrap();
    assert!(
        said.contains("every score is higher for what is unknown") && said.contains("FPR at 95 % recall"),
        "{said}"
    );
    // Its own rows are not unknown.
    let own = place.json(&["guard", "mine", "--data", "classes.csv", "--json"]);
    for score in own["scores"].as_array().unwrap() {
        assert!((score["auroc"].as_f64().unwrap() - 0.5).abs() < 0.15, "{score}");
    }
    let refused = |data: &str, words: &str| {
        let (code, text) = place.refusal(&["guard", "mine", "--data", data]);
        assert_eq!((code, text.contains(words)), (4, true), "{code} {text}");
    };
    place.write("narrow.csv", "a,b\n1,2\n").write("broken.csv", "a,b,c\n1,2,x\n").write("empty.csv", "a,b,c\n");
    refused("narrow.csv", "narrow.csv:1: there is no column `c`");
    refused("broken.csv", "broken.csv:2: column `c` is `x`, but a finite number was expected");
    refused("empty.csv", "has no rows below its header");
    refused("none.csv", "none.csv: cannot be read");
    let (code, text) = place.refusal(&["guard", "mine", "--data", "other.csv", "--known", "gone.csv"]);
    assert_eq!((code, text.contains("--known gone.csv: cannot be read")), (4, true), "{code} {text}");
    assert!(!text.contains("--data"), "{text}");
}

#[test]
fn groups_that_are_none_are_refused_in_one_sentence() {
    let place = Place::new();
    classes(&place);
    let refused = |sets: &[&str], words: &str| {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let (code, text) = place.refusal(&[&["train", "groups.toml"], &sets[..]].concat());
        assert!([3, 4].contains(&code) && text.contains(words), "{code} {text}");
    };
    let lists = |lists: &str| format!("objective={{kind=\"groups\", groups={lists}}}");
    refused(
        &[&lists("[[\"k0\",\"k1\",\"k2\",\"k3\",\"k4\"],[\"k5\"]]")],
        "have a group `group 2` with one class, `k5`: put at least two classes into each",
    );
    refused(
        &[&lists("[[\"k0\",\"k1\"],[\"k2\",\"k3\",\"k4\"]]")],
        "leave out class `k5`: put every class into a group",
    );
    refused(&[&lists("[[\"k0\",\"k1\"],[\"k2\",\"k9\"]]")], "name `k9`, but the data has no such class");
    refused(&["objective={kind=\"groups\", grouping=\"random\"}"], "`objective.count` is missing");
    refused(&["objective={kind=\"groups\", grouping=\"clusters\", count=5}"], "is 5: such groups");
    refused(&["objective={kind=\"classify\", count=2}"], "`objective.count` is of `groups`");
    refused(
        &["objective={kind=\"groups\"}", "data.leave_out=[\"family\"]", "data.group=\"\""],
        "list the classes of each group",
    );
    refused(&["data.group=\"label\""], "which is the label");
    refused(&["layers.5.width=6"], "8 classes and groups");
    place.write("classes.csv", &place.read("classes.csv").replacen("near,k0", "far,k0", 1));
    refused(&[], "column `family` puts class `k0` into");
}
