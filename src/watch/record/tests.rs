//! The record of a run as the dashboard reads it: events become sentences, alarms and times.

use super::*;

#[test]
fn events_become_sentences_alarms_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let mut events = Events::new(path.clone());
    assert!(!events.poll().unwrap(), "no file yet");
    let alarm = |active, seen| {
        format!(
            r#"{{"event":"alarm","id":1,"severity":"major","source":"drift","message":"moved","first_unix_seconds":5.0,"active":{active},"acknowledged":{seen},"unix_seconds":6.0}}"#
        )
    };
    let text = format!(
        "{}\n{}\n{}\n{}\nnonsense\n{{\"event\":\"half",
        r#"{"event":"evaluated","step":10,"test_accuracy":0.5,"believed_accuracy":0.75,"unix_seconds":100.0}"#,
        r#"{"event":"evaluated","step":20,"test_accuracy":0.5,"believed_accuracy":0.75,"unix_seconds":120.0}"#,
        alarm(true, false),
        alarm(false, true)
    );
    std::fs::write(&path, text).unwrap();
    assert!(events.poll().unwrap());
    let log = events.log();
    let texts: Vec<&str> = log.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "test 50.0 % on the plant, 75.0 % believed, after step 10",
            "test 50.0 % on the plant, 75.0 % believed, after step 20",
            "major alarm raised: drift: moved",
            "major alarm cleared: drift: moved",
            "unreadable event: nonsense",
        ]
    );
    let alarms = log.alarms_at(None);
    assert_eq!((alarms.len(), alarms[0].active), (1, false));
    assert_eq!(log.alarms_at(Some(5.9)), []);
    let around = [5, 15, 20, 99].map(|step| log.around(step));
    let (first, second) = (Some((10, 100.0)), Some((20, 120.0)));
    assert_eq!(around, [[None, first], [first, second], [second, None], [second, None]]);
    let long = r#"{"event":"fitted","fit":"a","residual":0.1234567890123456,"of":[0.30000000000000004,7]}"#;
    std::fs::write(&path, long.to_owned() + "\n").unwrap();
    assert!(events.poll().unwrap(), "a shorter file is read again");
    assert_eq!(events.log().lines[0].text, "fitted fit: a residual: 0.1235 of: [0.3,7]");
}

#[test]
fn drift_that_is_told_again_and_again_takes_one_line_a_plant() {
    let mut log = Log::default();
    let look = |log: &mut Log, plant: &str, step: u64, alarm: bool| {
        let event =
            serde_json::json!({ "event": "reference", "step": step, "plant": plant, "score": 0.5, "alarm": alarm });
        log.add(event.to_string().as_bytes());
    };
    for step in 1..=50 {
        look(&mut log, "a", step, false);
        look(&mut log, "b", step, false);
    }
    look(&mut log, "a", 51, true);
    log.add(br#"{"event":"resumed"}"#);
    look(&mut log, "a", 52, true);
    let texts: Vec<&str> = log.lines.iter().map(|line| line.text.as_str()).collect();
    let drift = |plant: &str, step: u64| format!("drift 0.50 of limit on {plant} after step {step}");
    assert_eq!(texts, [&drift("a", 50), &drift("b", 50), &drift("a", 51), "resumed", &drift("a", 52)]);
    assert_eq!(log.drift.len(), 102, "the curve keeps all");
}

#[test]
fn what_a_record_says_of_twin_drift_plan_and_safe_states_is_known_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let lines = [
        r#"{"event":"started","experiment":"a","method":"ideal","seed":1,"steps":200000,"unix_seconds":90.0}"#,
        r#"{"event":"agreement","step":10,"twin_residual":0.0312345678901234,"unix_seconds":100.0}"#,
        r#"{"event":"reference","step":10,"plant":"plate","score":0.4216789,"alarm":false,"unix_seconds":100.5}"#,
        r#"{"event":"refreshed","step":12,"plant":"plate","why":"drift","shots":8,"residual_before":0.0123456,"residual_after":0.00312345,"kept":true,"unix_seconds":101.0}"#,
        r#"{"event":"normalized","step":12,"layer":2,"bench":"plate 1","samples":300,"mean_shift":0.123456,"scale_shift":0.0123456,"unix_seconds":102.0}"#,
        r#"{"event":"agreement","step":20,"twin_residual":0.5,"unix_seconds":110.0}"#,
        r#"{"event":"safe","unix_seconds":111.0}"#,
    ];
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let mut events = Events::new(path);
    assert!(events.poll().unwrap());
    let log = events.log();
    assert_eq!(
        [9, 10, 19, 25].map(|step| value_at(&log.residuals, step)),
        [None, Some(0.031_234_567_890_123_4), Some(0.031_234_567_890_123_4), Some(0.5)]
    );
    assert_eq!((log.drift.len(), log.steps, log.safe, log.last), (1, Some(200_000), Some(111.0), Some(111.0)));
    let texts: Vec<&str> = log.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts[1..5],
        [
            "twin residual 3.1 % after step 10",
            "drift 0.42 of limit on plate after step 10",
            "twin of plate fitted anew after step 12 (drift): residual 0.012 to 0.003, kept",
            "statistics of layer 2 measured anew on plate 1 after step 12: means moved by 0.123 of their deviation",
        ]
    );
    assert!(texts.iter().all(|text| !text.contains("678")), "{texts:?}");
}

#[test]
fn what_no_run_wrote_is_refused_and_the_plan_is_read_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("run.json", r#"{"name":"of another program"}"#);
    assert!(Facts::read(folder.path()).unwrap_err().to_string().contains("no run of pnnlab"));
    write("run.json", r#"{"state":"stopped"}"#);
    assert_eq!(Facts::read_with_plan(folder.path()).unwrap().steps, None);
    write("experiment.toml", "[training]\nsteps = 200000\n");
    assert_eq!(Facts::read_with_plan(folder.path()).unwrap().steps, Some(200_000));
    write("experiment.toml", "[training]\nsteps = 1000\nepochs = 7\n");
    assert_eq!(Facts::read_with_plan(folder.path()).unwrap().steps, None);
}
