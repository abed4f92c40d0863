//! `pnnlab soak` as a user runs it.

use crate::program::Place;

#[test]
fn a_short_soak_is_clean_and_says_so_in_numbers() {
    let place = Place::new();
    let output = place.command(&["soak", "--shots", "4000", "--seed", "2", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "shots",
            "transactions",
            "lost",
            "duplicated",
            "misattributed",
            "longest_wait_seconds",
            "deadline_seconds",
            "memory_growth_bytes",
            "faults"
        ]
    );
    assert_eq!(report["shots"], 4000);
    for count in ["lost", "duplicated", "misattributed"] {
        assert_eq!(report[count], 0, "{report}");
    }
    assert!(report["longest_wait_seconds"].as_f64() <= report["deadline_seconds"].as_f64());
    assert!(!report["faults"].as_object().unwrap().is_empty(), "{report}");
}

#[test]
fn no_shots_are_no_soak() {
    let output = Place::new().command(&["soak", "--shots", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--shots"));
}
