//! Runs are found, shown, compared, exported, drawn and removed.

use std::io::Read;

use serde_json::Value;

use crate::program::{Place, SMALL, names};

/// Two runs of different methods.
fn place() -> Place {
    let place = Place::new();
    place.write("small.toml", SMALL);
    for method in ["physics-aware", "in-silico"] {
        let output = place.run(&["train", "small.toml", "--name", method, "--method", method]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    place
}

fn text(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn listed(place: &Place, arguments: &[&str]) -> Vec<String> {
    let object = place.json(&[&["runs", "list", "--json"], arguments].concat());
    let runs = object["runs"].as_array().unwrap();
    runs.iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn runs_are_listed_shown_and_compared() {
    let place = place();
    assert_eq!(listed(&place, &[]), ["in-silico", "physics-aware"]);
    assert_eq!(listed(&place, &["--method", "in-silico"]), ["in-silico"]);
    assert_eq!(listed(&place, &["--plant", "optical"]), Vec::<String>::new());
    assert_eq!(listed(&place, &["--since", "1h", "--state", "finished"]).len(), 2);
    // The in-silico run meets the plant only in its tests.
    assert_eq!(listed(&place, &["--best", "shots", "--limit", "1"]), ["in-silico"]);
    let best = listed(&place, &["--best", "test_accuracy"]);
    let accuracy = |run: &str| {
        let facts: Value = serde_json::from_str(&place.read(&format!("runs/{run}/run.json"))).unwrap();
        facts["test_accuracy"].as_f64().unwrap()
    };
    assert!(accuracy(&best[0]) >= accuracy(&best[1]));
    let (code, complaint) = place.refusal(&["runs", "list", "--state", "foo"]);
    assert_eq!((code, complaint.contains("interrupted")), (2, true), "the known states are named: {complaint}");
    let table = text(&place, &["runs", "list"]);
    assert!(table.contains("electrical (simulated)") && table.contains("finished"), "{table}");

    let shown = text(&place, &["runs", "show", "in-silico"]);
    assert!(shown.contains("SIMULATED electrical") && shown.contains("by in-silico, seed 1: finished"), "{shown}");
    assert_eq!(place.json(&["runs", "show", "runs/in-silico", "--json"])["facts"]["method"], "in-silico");
    let compared = place.json(&["runs", "compare", "in-silico", "physics-aware", "--json"]);
    assert_eq!(compared["runs"][0]["differs"]["training.method"], "in-silico");
    assert!(compared["runs"][1]["results"]["test_accuracy"].is_number());
    assert!(compared["runs"][0]["differs"]["training.steps"].is_null(), "what is equal is left out");
    assert!(text(&place, &["runs", "compare", "in-silico", "physics-aware"]).contains("training.method"));
}

#[test]
fn runs_are_exported_for_other_programs() {
    let place = place();
    text(&place, &["runs", "export", "in-silico", "physics-aware", "--to", "both.csv"]);
    let csv = place.read("both.csv");
    assert!(csv.starts_with("run,kind,step,"), "{csv}");
    // Header, and 8 steps and two tests of each.
    assert_eq!(csv.lines().count(), 1 + 2 * 10);
    // A run that was killed while it wrote a row: the number that is cut is left out.
    let whole = place.read("runs/in-silico/metrics.csv");
    place.write("runs/in-silico/metrics.csv", &format!("{whole}step,9,1,0.01,0.12"));
    text(&place, &["runs", "export", "in-silico", "--to", "torn.csv"]);
    assert_eq!(place.read("torn.csv").lines().count(), 1 + 10);
    text(&place, &["runs", "export", "in-silico", "--to", "one.arrow"]);
    let file = std::fs::File::open(place.path("one.arrow")).unwrap();
    let reader = arrow_ipc::reader::FileReader::try_new(file, None).unwrap();
    assert!(reader.schema().metadata()["run.in-silico"].contains("\"simulated\""));
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 10);

    text(&place, &["runs", "export", "in-silico", "--to", "one.zip"]);
    let mut zip = zip::ZipArchive::new(std::fs::File::open(place.path("one.zip")).unwrap()).unwrap();
    let mut member = |name: &str| {
        let mut text = Vec::new();
        zip.by_name(&format!("in-silico/{name}")).unwrap().read_to_end(&mut text).unwrap();
        text
    };
    assert!(
        String::from_utf8(member("REPRODUCE.txt")).unwrap().contains("pnnlab train experiment.toml --rig rig.toml")
    );
    // What is in it reproduces the run.
    let (experiment, rig) = (member("experiment.toml"), member("rig.toml"));
    std::fs::write(place.path("experiment.toml"), experiment).unwrap();
    std::fs::write(place.path("rig.toml"), rig).unwrap();
    text(&place, &["train", "experiment.toml", "--rig", "rig.toml", "--name", "again"]);
    assert_eq!(place.read("runs/again/metrics.csv").into_bytes(), member("metrics.csv"));

    for (to, sentence) in [("one.zip", "exists already"), ("one.xls", "ends with none of .csv, .arrow, .zip")] {
        let (_, complaint) = place.refusal(&["runs", "export", "in-silico", "--to", to]);
        assert!(complaint.contains(sentence), "{complaint}");
    }
    assert!(names(&place.path("")).iter().all(|name| !name.contains("partial")));
}

#[test]
fn runs_are_drawn_and_removed() {
    let place = place();
    std::fs::remove_dir_all(place.path("runs/in-silico/figures")).unwrap();
    assert!(text(&place, &["runs", "figures", "in-silico"]).contains("learning-curves.svg"));
    assert!(place.path("runs/in-silico/figures/learning-curves.png").is_file());
    text(&place, &["runs", "figures", "in-silico", "physics-aware", "--to", "together", "--theme", "dark"]);
    assert!(place.path("together/learning-curves.svg").is_file());
    // Another experiment of the same seed is no repetition.
    text(&place, &["train", "small.toml", "--name", "longer", "--set", "training.steps=12"]);
    text(&place, &["runs", "figures", "physics-aware", "longer", "--to", "apart"]);
    let svg = place.read("apart/learning-curves.svg");
    assert!(svg.contains("training.steps 8") && svg.contains("training.steps 12"), "{svg}");
    assert!(!svg.contains("standard deviation") && svg.contains("training.steps=12"), "{svg}");
    text(&place, &["runs", "remove", "longer", "--yes"]);

    let (code, complaint) = place.refusal(&["runs", "remove", "in-silico"]);
    assert_eq!((code, complaint.contains("give --yes")), (2, true), "{complaint}");
    let (code, complaint) = place.refusal(&["runs", "remove", "in-silico", "nothing", "--yes"]);
    assert_eq!((code, complaint.contains("there is no such run")), (2, true), "{complaint}");
    assert!(place.path("runs/in-silico").is_dir(), "nothing is removed if anything is refused");
    text(&place, &["runs", "remove", "in-silico", "--yes"]);
    assert_eq!(listed(&place, &[]), ["physics-aware"]);
    let (code, complaint) = place.refusal(&["runs", "list", "--runs", "elsewhere"]);
    assert_eq!((code, complaint.contains("is no folder")), (2, true), "{complaint}");
}

#[test]
fn a_run_behind_a_link_is_listed_once_and_only_its_link_is_removed() {
    let place = place();
    std::fs::create_dir(place.path("archive")).unwrap();
    std::fs::rename(place.path("runs/in-silico"), place.path("archive/old")).unwrap();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(place.path(to), place.path(name)).unwrap();
    link("archive/old", "runs/kept");
    // One that leads to a run that is here, a loop, and one that leads nowhere.
    link("runs/physics-aware", "runs/again");
    link("runs", "runs/loop");
    link("nowhere", "runs/lost");
    assert_eq!(listed(&place, &[]), ["kept", "physics-aware"]);
    for name in ["kept", "runs/kept"] {
        assert_eq!(place.json(&["runs", "show", name, "--json"])["facts"]["method"], "in-silico");
    }
    let said = text(&place, &["runs", "remove", "kept", "--yes"]);
    assert!(said.contains("removed the link runs/kept: the run stays in "), "{said}");
    assert!(place.path("archive/old/run.json").is_file());
    assert_eq!(listed(&place, &[]), ["physics-aware"]);
}

#[test]
fn a_name_that_is_no_run_is_answered_with_one_that_is() {
    let place = place();
    let (code, complaint) = place.refusal(&["runs", "show", "in-silco"]);
    assert_eq!((code, complaint.ends_with("Did you mean `in-silico`?")), (2, true), "{complaint}");
    text(&place, &["compare", "small.toml", "--methods", "in-silico", "--seeds", "1", "--name", "pair"]);
    let (code, complaint) = place.refusal(&["runs", "show", "pair"]);
    let wanted = "pair: is a folder of several runs: name one of them, such as pair/in-silico-seed-1";
    assert_eq!((code, complaint.contains(wanted)), (2, true), "{complaint}");
}
