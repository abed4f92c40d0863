//! The catalog follows the folders, whatever happens to it or to them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{CATALOG, Catalog, Filter, Metric};

fn add(runs: &Path, name: &str, facts: &Value) {
    let folder = runs.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("run.json"), facts.to_string()).unwrap();
    fs::write(folder.join("events.jsonl"), "").unwrap();
}

fn facts(method: &str, accuracy: f64, started: f64) -> Value {
    json!({
        "experiment": "small", "method": method, "seed": 1, "state": "finished", "started_unix_seconds": started,
        "simulated": true, "test_accuracy": accuracy, "shots": 10,
        "plants": [{"plant": "electrical", "system": "electrical", "serial": "seed-1", "origin": "simulated"}],
    })
}

fn names(catalog: &Catalog, filter: &Filter) -> Vec<String> {
    catalog.runs(filter).unwrap().into_iter().map(|row| row.run).collect()
}

#[test]
fn runs_are_found_filtered_and_ranked() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path();
    add(runs, "a", &facts("in-silico", 0.5, 100.0));
    add(runs, "b", &facts("physics-aware", 0.9, 200.0));
    add(runs, "group/c", &facts("physics-aware", 0.7, 300.0));
    // One that is being made, and one whose maker was killed; process numbers end far below the second.
    let made = format!(".made.{}.partial", std::process::id());
    let by = |process: Value| {
        let mut facts = facts("physics-aware", 1.0, 400.0);
        (facts["state"], facts["process"]) = ("running".into(), process);
        facts
    };
    let gone = |host: &str| json!({ "id": 4_294_967_295_u64, "start": 1, "host": host });
    add(runs, &made, &by(crate::record::this_process()));
    add(runs, ".killed.4294967295.partial", &by(gone(&crate::record::host())));
    add(runs, ".elsewhere.4294967295.partial", &by(gone("another machine")));
    fs::create_dir(runs.join(".others.4294967295.partial")).unwrap();
    let catalog = Catalog::open(runs).unwrap();
    assert!(runs.join(made).exists() && !runs.join(".killed.4294967295.partial").exists());
    assert!(runs.join(".elsewhere.4294967295.partial").exists(), "what another machine makes is not ours");
    assert!(runs.join(".others.4294967295.partial").exists(), "what is no run is not ours");
    assert_eq!(names(&catalog, &Filter::default()), ["group/c", "b", "a"]);
    let best = Filter { best: Some(Metric::TestAccuracy), limit: Some(2), ..Filter::default() };
    assert_eq!(names(&catalog, &best), ["b", "group/c"]);
    let mut chosen = facts("ideal", 0.1, 50.0);
    chosen["validation_accuracy"] = 0.8.into();
    add(runs, "v", &chosen);
    let validated = Filter { best: Some(Metric::ValidationAccuracy), ..Filter::default() };
    assert_eq!(names(&Catalog::open(runs).unwrap(), &validated), ["v"], "the others have no validation set");
    // Of another objective less may be better; each is ranked by its own score.
    for (name, error) in [("w", 0.75), ("x", 0.25), ("y", 0.5)] {
        let mut predicted = facts("spsa", 0.0, 40.0);
        predicted["test_accuracy"] = Value::Null;
        predicted["objective"] = "regress".into();
        (predicted["validation_nrmse"], predicted["test_r2"]) = (error.into(), (1.0 - error).into());
        add(runs, name, &predicted);
    }
    let catalog = Catalog::open(runs).unwrap();
    let ranked = |best| names(&catalog, &Filter { best: Some(best), ..Filter::default() });
    assert_eq!(ranked(Metric::Validation), ["v", "x", "y", "w"]);
    assert_eq!(ranked(Metric::ValidationNrmse), ["x", "y", "w"]);
    assert_eq!(ranked(Metric::TestR2), ["x", "y", "w"]);
    let rows = catalog.runs(&Filter { best: Some(Metric::TestR2), limit: Some(1), ..Filter::default() }).unwrap();
    assert_eq!((rows[0].first("validation"), rows[0].scores.get("test_r2")), (Some(0.25), Some(&0.75)));
    for name in ["w", "x", "y"] {
        fs::remove_dir_all(runs.join(name)).unwrap();
    }
    let method = Filter { method: Some("in-silico".into()), ..Filter::default() };
    assert_eq!(names(&catalog, &method), ["a"]);
    let since = Filter { since: Some(200.0), plant: Some("seed-1".into()), ..Filter::default() };
    assert_eq!(names(&catalog, &since), ["group/c", "b"]);
    assert_eq!(names(&catalog, &Filter { plant: Some("optical".into()), ..Filter::default() }), Vec::<String>::new());
    assert_eq!(catalog.runs(&method).unwrap()[0].plants.as_deref(), Some("electrical (simulated)"));
}

#[test]
fn a_catalog_that_is_lost_old_or_broken_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path();
    add(runs, "a", &facts("in-silico", 0.5, 100.0));
    assert_eq!(names(&Catalog::open(runs).unwrap(), &Filter::default()), ["a"]);
    add(runs, "b", &facts("ideal", 0.6, 200.0));
    add(runs, "a", &facts("ideal", 0.8, 100.0));
    let ideal = Filter { method: Some("ideal".into()), ..Filter::default() };
    assert_eq!(names(&Catalog::open(runs).unwrap(), &ideal), ["b", "a"], "what changed is read again");
    fs::remove_dir_all(runs.join("b")).unwrap();
    assert_eq!(names(&Catalog::open(runs).unwrap(), &Filter::default()), ["a"]);
    fs::remove_file(runs.join(CATALOG)).unwrap();
    assert_eq!(names(&Catalog::open(runs).unwrap(), &Filter::default()), ["a"]);
    for suffix in ["-wal", "-shm"] {
        drop(fs::remove_file(runs.join(format!("{CATALOG}{suffix}"))));
    }
    fs::write(runs.join(CATALOG), "this is no database, and long enough to be looked at as one").unwrap();
    assert_eq!(names(&Catalog::open(runs).unwrap(), &Filter::default()), ["a"]);
}

#[test]
fn a_run_whose_process_is_gone_is_closed_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path();
    let mut orphan = facts("ideal", 0.5, 100.0);
    orphan["state"] = "running".into();
    orphan["process"] = json!({"id": 1, "start": 0, "host": crate::record::host()});
    add(runs, "orphan", &orphan);
    orphan["process"] = crate::record::this_process();
    add(runs, "mine", &orphan);
    orphan["process"] = json!({"id": 1, "start": 0, "host": "another machine"});
    add(runs, "elsewhere", &orphan);
    fs::write(
        runs.join("orphan/events.jsonl"),
        "{\"event\":\"alarm\",\"id\":1,\"severity\":\"major\",\"acknowledged\":false}\n{\"event\":\"st",
    )
    .unwrap();
    let metrics = "kind,step,loss,test_accuracy,shots,validation_accuracy\nstep,1,2.0,,64,\ntest,1,,,80,0.25\nstep,2,1.0,,144,\ntest,2,,,160,0.5\nstep,3,1";
    fs::write(runs.join("orphan/metrics.csv"), metrics).unwrap();
    let catalog = Catalog::open(runs).unwrap();
    let state = |name: &str| catalog.facts(name).unwrap().unwrap()["state"].as_str().unwrap().to_owned();
    assert_eq!([state("orphan"), state("mine"), state("elsewhere")], ["lost", "running", "running"]);
    let rows = catalog.runs(&Filter { state: Some("lost".into()), ..Filter::default() }).unwrap();
    assert!(rows[0].why.as_ref().unwrap().starts_with("its process, number 1, is gone"), "{:?}", rows[0].why);
    assert_eq!((rows[0].validation_accuracy, rows[0].shots), (Some(0.5), Some(160)), "as far as it had come");
    assert_eq!(catalog.alarms("orphan").unwrap()[0]["severity"], "major");
    let events = fs::read_to_string(runs.join("orphan/events.jsonl")).unwrap();
    assert!(events.lines().last().unwrap().contains("\"reason\":\"lost\""), "{events}");
    // Closed once.
    drop(catalog);
    Catalog::open(runs).unwrap();
    assert_eq!(fs::read_to_string(runs.join("orphan/events.jsonl")).unwrap(), events);
}

#[test]
fn what_another_program_wrote_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path();
    for (name, text) in [
        ("service", r#"{"state":"running","name":"a service"}"#),
        ("numbered", r#"{"state":"running","process":{"id":1,"start":0}}"#),
        ("bare", r#"{"id":7}"#),
    ] {
        fs::create_dir(runs.join(name)).unwrap();
        fs::write(runs.join(name).join("run.json"), text).unwrap();
        Catalog::open(runs).unwrap();
        assert_eq!(fs::read_to_string(runs.join(name).join("run.json")).unwrap(), text);
        assert!(!runs.join(name).join("events.jsonl").exists());
    }
    let listed = names(&Catalog::open(runs).unwrap(), &Filter::default());
    assert!(!listed.contains(&"bare".to_owned()), "{listed:?}");
}

#[test]
fn where_its_file_cannot_be_written_the_catalog_is_made_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path();
    add(runs, "a", &facts("in-silico", 0.5, 100.0));
    // Whoever runs the tests may be allowed to write everywhere, but nobody writes a file where a folder stands.
    fs::create_dir(runs.join(CATALOG)).unwrap();
    let catalog = Catalog::open(runs).unwrap();
    assert_eq!(names(&catalog, &Filter::default()), ["a"]);
    assert_eq!(catalog.facts("a").unwrap().unwrap()["method"], "in-silico");
    drop(catalog);
    add(runs, "b", &facts("ideal", 0.6, 200.0));
    assert_eq!(names(&Catalog::open(runs).unwrap(), &Filter::default()), ["b", "a"]);
    assert!(runs.join(CATALOG).is_dir());
}

#[test]
fn a_torn_last_row_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| fs::write(folder.path().join("metrics.csv"), text).unwrap();
    write("kind,step,loss\nstep,1,2.5\nstep,2,0.1");
    assert_eq!(super::whole_rows(folder.path()).unwrap(), b"kind,step,loss\nstep,1,2.5\n");
    write("kind,st");
    assert_eq!(super::whole_rows(folder.path()).unwrap(), b"");
}

#[test]
fn a_run_whose_lock_is_held_lives_whatever_its_process_number_is_here() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path();
    let mut contained = facts("physics-aware", 1.0, 400.0);
    let process = json!({ "id": 4_294_967_295_u64, "start": 1, "host": crate::record::host() });
    (contained["state"], contained["process"]) = ("running".into(), process);
    add(runs, "contained", &contained);
    add(runs, ".made.4294967295.partial", &contained);
    let lock = |name: &str| {
        let events = fs::File::open(runs.join(name).join("events.jsonl")).unwrap();
        events.lock().unwrap();
        events
    };
    let locks = ["contained", ".made.4294967295.partial"].map(lock);
    let state = || {
        let catalog = Catalog::open(runs).unwrap();
        let facts = catalog.facts("contained").unwrap().unwrap();
        (facts["state"].clone(), runs.join(".made.4294967295.partial").exists())
    };
    assert_eq!(state(), (json!("running"), true));
    drop(locks);
    assert_eq!(state(), (json!("lost"), false));
}

#[test]
fn a_run_that_has_closed_meanwhile_is_not_called_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut stale = facts("physics-aware", 1.0, 400.0);
    add(folder.path(), "a", &stale);
    let process = json!({ "id": 4_294_967_295_u64, "start": 1, "host": crate::record::host() });
    (stale["state"], stale["process"]) = ("running".into(), process);
    assert!(!super::close_lost(&folder.path().join("a"), &mut stale));
    assert_eq!(stale["state"], "finished", "what is read is what is there now");
}
