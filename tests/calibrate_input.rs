//! What `calibrate` takes in place of a measurement, how it is stopped, and what it refuses before it begins.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Place, SMALL, names};

/// How long anything here may take at most.
const BOUND: Duration = Duration::from_mins(2);

/// The only trace in the folder of fits, once there is one.
fn trace(place: &Place) -> Option<String> {
    let folder = place.path("fits");
    let all = if folder.is_dir() { names(&folder) } else { vec![] };
    all.into_iter().find(|name| std::path::Path::new(name).extension().is_some_and(|ending| ending == "arrow"))
}

#[test]
fn a_signal_ends_a_fit_and_the_trace_is_kept() {
    let place = Place::new();
    let arguments = ["calibrate", "simulated", "mechanical", "--procedure", "physics", "--stimuli", "200"];
    let mut command = place.command(&arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + BOUND;
    while trace(&place).is_none() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "no trace came");
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    let trace = trace(&place).unwrap();
    assert!(text.contains("stopped by the user while fitting") && text.contains(&trace), "{text}");
    assert_eq!(names(&place.path("fits")), std::slice::from_ref(&trace), "no fit is left");
    // The trace is whole.
    let file = format!("fits/{trace}");
    let levels = place.json(&["calibrate", "--from", &file, "--procedure", "levels", "--json"]);
    assert_eq!((&levels["shots"], levels["plant"].as_str()), (&Value::from(400), Some("mechanical")));
}

#[test]
fn the_recorded_shots_of_a_training_are_a_trace() {
    let place = Place::new();
    let optical = "\n[plants.optical.simulated]\n\n[[layers]]\nkind = \"linear\"\nwidth = 50\n\n[[layers]]\n\
                   kind = \"physical\"\nplant = \"optical\"\n\n[[layers]]\nkind = \"bins\"\nbins = 10\n";
    let (head, _) = SMALL.split_once("[plants.electrical").unwrap();
    place.write("small.toml", SMALL).write("optical.toml", &format!("{head}{optical}"));
    for (experiment, plant) in [("small.toml", "electrical"), ("optical.toml", "optical")] {
        place.json(&["train", experiment, "--record", "--name", plant, "--check", "false", "--json"]);
        let shots = format!("runs/{plant}/shots/{plant}-1.arrows");
        let set = if plant == "electrical" { "plants.electrical.simulated.samples=64" } else { "data.test=100" };
        let taken = ["calibrate", "simulated", plant, "--procedure", "levels", "--json"];
        let change = if plant == "electrical" { &["--set", set][..] } else { &[] };
        // 8 steps of 32, and two tests of 100.
        let from = place.json(&[&taken[..], change, &["--from", &shots]].concat());
        assert_eq!(from["shots"], 456, "{from}");
        let near = place.json(&[&taken[..], change, &["--near", &shots, "--stimuli", "100"]].concat());
        assert_eq!(near["shots"], 200, "{near}");
    }
    std::fs::remove_file(place.path("runs/optical/shots/optical-1-controls.arrows")).unwrap();
    let (code, text) = place.refusal(&["calibrate", "--from", "runs/optical/shots/optical-1.arrows"]);
    assert_eq!((code, text.contains("lies without its controls")), (4, true), "{text}");
}

#[test]
fn what_is_too_much_or_nowhere_is_refused_before_anything_is_driven() {
    let place = Place::new();
    place.write("small.toml", SMALL).write("blocked", "a file, no folder");
    for (arguments, code, words) in [
        (&["calibrate", "simulated", "optical", "--stimuli", "4000000000"][..], 2, "of memory, and"),
        (&["calibrate", "--from", "nowhere.arrow"], 4, "Name a trace (.arrow)"),
        (&["calibrate", "simulated", "optical", "--near", "nowhere.arrows"], 4, "nowhere.arrows: cannot be read"),
        (&["calibrate", "simulated", "optical", "--procedure", "trainability", "--depth", "0"], 2, "--depth"),
        (
            &["train", "small.toml", "--set", "plants.electrical.fit=auto"],
            10,
            "no fit of `electrical` in fits: run `pnnlab calibrate RIG electrical`",
        ),
        (
            &[
                "calibrate",
                "simulated",
                "optical",
                "--stimuli",
                "20",
                "--procedure",
                "levels",
                "--fits",
                "blocked/fits",
            ],
            6,
            "another place with --fits",
        ),
        (&["sweep", "small.toml", "--key", "training.learning_rate", "--values", "1,2,1"], 2, "--values names 1 twice"),
    ] {
        let (got, text) = place.refusal(arguments);
        assert_eq!((got, text.contains(words)), (code, true), "{arguments:?}: {text}");
        assert!(!text.contains("built-in experiments") && !text.contains("--runs"), "{text}");
    }
    assert!(!place.path("fits").exists() && !place.path("runs").exists(), "nothing is left behind");
}

#[test]
fn a_fit_that_is_not_whole_is_named() {
    let place = Place::new();
    place.write("small.toml", SMALL);
    let plant = ["calibrate", "simulated", "electrical", "--set", "plants.electrical.simulated.samples=64"];
    let made = place.json(&[&plant[..], &["--stimuli", "60", "--procedure", "physics", "--json"]].concat());
    let fit = place.path(made["fit"].as_str().unwrap());
    let choice = format!("plants.electrical.fit={}", fit.display());
    std::fs::remove_file(fit.with_extension("safetensors")).unwrap();
    let (code, text) = place.refusal(&["train", "small.toml", "--set", &choice]);
    let name = fit.file_name().unwrap().to_str().unwrap();
    assert_eq!((code, text.contains(name), text.contains("without its numbers")), (10, true, true), "{text}");
}

#[test]
fn a_report_says_its_levels_and_warns_of_a_twin_of_no_use() {
    let place = Place::new();
    let plant = ["calibrate", "simulated", "electrical", "--set", "plants.electrical.simulated.samples=64"];
    let levels = [&plant[..], &["--stimuli", "60", "--procedure", "levels", "--report", "report.md"]].concat();
    let output = place.run(&levels);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("brightest") && text.contains("56 more"), "{text}");
    let report = place.read("report.md");
    assert!(report.contains("| output | dark | brightest |") && report.contains("[63] |"), "{report}");
    assert!(report.contains("60 stimuli.") && report.contains("## Times"), "{report}");
    // A bench that is nothing like its model.
    let far = ["calibrate", "simulated", "optical", "--set", "plants.optical.simulated.mismatch=100"];
    let few = ["--stimuli", "60", "--procedure", "physics", "--report", "report.html", "--json"];
    let poor = place.json(&[&far[..], &few].concat());
    let warnings = poor["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning.as_str().unwrap().contains("of no use")), "{poor}");
    assert!(place.read("report.html").contains("Warnings:"));
    assert!(place.path("report-html-figures/predicted.svg").is_file());
}
