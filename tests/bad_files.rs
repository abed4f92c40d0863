//! Files that are too large, too deep, of another kind, tampered with, or named to do harm: one sentence and a documented exit code.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::program::{Place, SMALL, names};

/// A place with the small experiment.
fn small() -> Place {
    let place = Place::new();
    place.write("small.toml", SMALL);
    place
}

/// What `train` on the small experiment says to a `--set`.
fn refused(assignment: &str) -> String {
    let place = small();
    let (code, text) = place.refusal(&["train", "small.toml", "--set", assignment]);
    assert_eq!((code, text.lines().count()), (3, 1), "{assignment}: {text}");
    assert!(!place.path("runs").exists(), "{assignment}");
    text
}

#[test]
fn every_number_is_bounded_by_what_it_stands_for() {
    for (assignment, said) in [
        ("training.drift.pattern=1000000000", "`training.drift.pattern` is 1000000000, but it must be from 1 to 1024"),
        ("training.refresh.reference_shots=100000000", "must be from 20 to 10000"),
        ("plants.electrical.simulated.samples=100000000", "must be from 1 to 65536"),
        ("plants.electrical.simulated.shot_seed=-1", "cannot be negative"),
        ("layers.0.scale=1e39", "`layers.0.scale` is "),
        ("layers.0.scale_spread=-1", "`layers.0.scale_spread` is -1, but it must be from 0 to 1000000"),
        ("training.learning_rate=1e300", "but it must be above 0 and at most 1000"),
        ("layers.1.control_spread=-0.5", "`layers.1.control_spread` is -0.5"),
        ("data.augmentation={ scale_low = 1e-308 }", "`data.augmentation.scale_low` is 0.000"),
        ("data.augmentation={ scale_high = 1e308 }", "`data.augmentation.scale_high` is 1000"),
        ("training.learning_rate=1e-308", "too small to be told from 0"),
        (
            "training.batch=9223372036854775807",
            "`training.batch` is 9223372036854775807, but it must be from 1 to 1048576",
        ),
        ("comparison.seeds=70000", "`comparison.seeds` is 70000, but it must be from 1 to 65535"),
        ("seed=99999999999999999999", "is too large a number: give at most 9223372036854775807"),
    ] {
        assert!(refused(assignment).contains(said), "{}", refused(assignment));
    }
}

#[test]
fn a_number_that_overflows_is_named_with_key_and_line() {
    let place = Place::new();
    for number in ["99999999999999999999", "0xFFFFFFFFFFFFFFFFFF", "1e400"] {
        place.write("small.toml", &SMALL.replace("steps = 8", &format!("steps = {number}")));
        let (code, text) = place.refusal(&["train", "small.toml"]);
        let said = "pnnlab: small.toml:9: `training.steps` is too large a number: give at most 9223372036854775807";
        assert!(code == 3 && text.starts_with(said), "{text}");
    }
}

#[test]
fn a_set_is_one_value_of_a_key_that_is_not_nested_for_ever() {
    assert!(refused("training.steps=8\nseed=3").contains("holds more than one line"));
    let deep = refused(&format!("a{}=1", ".a".repeat(20_000)));
    assert!(deep.contains("a key has more than 32 parts") && deep.len() < 400, "{deep}");
    let place = Place::new();
    place.write("deep.toml", &format!("name = \"x\"\n[a{}]\n", ".a".repeat(20_000)));
    let (code, text) = place.refusal(&["train", "deep.toml"]);
    assert_eq!((code, text.as_str()), (3, "pnnlab: deep.toml:2: a key has more than 32 parts"));
    let many = (0..40_000).map(|key| format!("training.k{key} = 1\n")).collect::<Vec<_>>().concat();
    place.write("many.toml", &format!("{SMALL}[quick]\n{many}"));
    let (code, text) = place.refusal(&["train", "many.toml"]);
    assert!(code == 3 && text.contains("many.toml:28: `training.k0` is not a known key"), "{text}");
}

#[test]
fn what_has_no_end_is_refused_with_the_bound() {
    let place = small();
    for (arguments, code, bound) in [
        (&["train", "/dev/zero"][..], 3, "4 MiB"),
        (&["train", "small.toml", "--rig", "/dev/zero"], 3, "4 MiB"),
        (&["calibrate", "--from", "/dev/zero"], 4, "4096 MiB"),
    ] {
        let (found, text) = place.refusal(arguments);
        assert_eq!(
            (found, text.contains("is a device, which has no end"), text.contains(bound)),
            (code, true, true),
            "{text}"
        );
    }
    place.write("long.toml", &format!("#{}", "x".repeat(5 << 20)));
    let (code, text) = place.refusal(&["train", "long.toml"]);
    assert!(code == 3 && text.contains("it is longer than 4 MiB, the most that is read of it"), "{text}");
}

#[test]
fn a_network_without_weights_or_with_too_many_is_refused() {
    let place = Place::new();
    let (head, _) = SMALL.split_once("[[layers]]").unwrap();
    let refusal = |layers: &str| {
        place.write("other.toml", &format!("{head}{layers}"));
        place.refusal(&["train", "other.toml"])
    };
    let physical = "[[layers]]\nkind = \"physical\"\nplant = \"electrical\"\n";
    let (code, text) = refusal(&format!("{physical}[[layers]]\nkind = \"pick\"\ncount = 10\n"));
    assert!(code == 3 && text.contains("`layers` have no weights, so there is nothing to train"), "{text}");
    let wide = "[[layers]]\nkind = \"pad\"\nwidth = 65536\n[[layers]]\nkind = \"linear\"\nwidth = 65536\n";
    let (code, text) = refusal(wide);
    assert!(code == 3 && text.contains("makes 4294967296 weights: at most 67108864 can be trained"), "{text}");
}

#[test]
fn names_that_are_orders_or_formulas_are_refused_and_written_as_numbers() {
    for name in ["\\u001b[2Jx", "a\\nb", "=1+1", "@x", "x\\u202ey"] {
        let text = refused(&format!("name=\"{name}\""));
        assert!(text.contains("`name` ") && text.contains("it names files and stands in tables"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
    let place = small();
    place.write("rig.toml", "name = \"b\"\n[plants.\"\\u001b[2J\".simulated]\nsystem = \"electrical\"\n");
    let (code, text) = place.refusal(&["systems", "--rig", "rig.toml"]);
    assert!(code == 3 && text.contains("\\u001b") && !text.contains('\u{1b}'), "{text}");
    // A serial number is what an instrument says: it is shown, as numbers.
    place.json(&["train", "small.toml", "--name", "a", "--json"]);
    let facts = place.read("runs/a/run.json").replace("\"serial\": \"simulated-0\"", "\"serial\": \"\\u001b[2J7\"");
    place.write("runs/a/run.json", &facts);
    let text = String::from_utf8(place.run(&["runs", "show", "a"]).stdout).unwrap();
    assert!(text.contains("\\u001b[2J7") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn what_cannot_be_printed_is_said_by_the_exit_code() {
    let place = small();
    for arguments in [&["systems"][..], &["schema"], &["--help"], &["--version"], &["train", "small.toml", "--dry-run"]]
    {
        let full = Stdio::from(File::options().write(true).open("/dev/full").unwrap());
        let output =
            place.command(arguments).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(7), "{arguments:?}: {text}");
        assert!(text.contains("pnnlab: standard output cannot be written: "), "{arguments:?}: {text}");
    }
}

#[test]
fn an_export_stays_in_the_folder_of_the_run() {
    let place = small();
    place.json(&["train", "small.toml", "--name", "a", "--json"]);
    fs::create_dir(place.path("elsewhere")).unwrap();
    place
        .write("elsewhere/secret", "secret")
        .write("out.partial", "a neighbor's")
        .write("out.zip.partial", "another's");
    symlink(place.path("elsewhere"), place.path("runs/a/link")).unwrap();
    symlink("..", place.path("runs/a/figures/loop")).unwrap();
    let output = place.run(&["runs", "export", "a", "--to", "out.zip"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && text.contains("is a link, and is left out"), "{text}");
    let list = String::from_utf8_lossy(&fs::read(place.path("out.zip")).unwrap()).into_owned();
    assert!(list.contains("a/metrics.csv") && !list.contains("secret") && !list.contains("loop"));
    assert_eq!(place.read("out.partial"), "a neighbor's");
    assert_eq!(place.read("out.zip.partial"), "another's");
    // A run of an earlier program may be called as a formula.
    fs::rename(place.path("runs/a"), place.path("runs/=1+1")).unwrap();
    assert!(place.run(&["runs", "export", "=1+1", "--to", "out.csv"]).status.success());
    let table = place.read("out.csv");
    assert!(table.lines().skip(1).all(|row| row.starts_with("'=1+1,")), "{table}");
    assert_eq!(names(&place.path(".")).iter().filter(|name| name.contains(".partial")).count(), 2);
}

#[test]
fn figures_end_whatever_was_recorded() {
    let place = small();
    place.json(&["train", "small.toml", "--name", "a", "--json"]);
    let metrics = place.read("runs/a/metrics.csv");
    let mut lines: Vec<String> = metrics.lines().map(str::to_owned).collect();
    for line in lines.iter_mut().skip(1) {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        for (place, cell) in cells.iter_mut().enumerate().skip(1) {
            *cell = if place % 2 == 0 { "1e308" } else { "-1e308" }.to_owned();
        }
        *line = cells.join(",");
    }
    place.write("runs/a/metrics.csv", &(lines.join("\n") + "\n"));
    let output = place.run(&["runs", "figures", "a"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_reference_shots_of_the_last_test_survive_a_late_kill() {
    let place = small();
    place.json(&["train", "small.toml", "--name", "a", "--json"]);
    let reference = place.read("runs/a/reference.csv");
    assert!(reference.lines().count() > 100, "{reference}");
    // Killed after its last test, before it was closed.
    let facts = place.read("runs/a/run.json").replace("\"state\": \"finished\"", "\"state\": \"interrupted\"");
    place.write("runs/a/run.json", &facts);
    place.json(&["train", "small.toml", "--resume", "a", "--json"]);
    assert_eq!(place.read("runs/a/reference.csv"), reference);
}

#[test]
fn row_numbers_without_a_name_are_not_learned_from() {
    let place = Place::new();
    let row = |row: usize| format!("{row},{},{}\n", row * 7 % 5, ["a", "b", "c"][row / 10]);
    let rows = (0..30).map(row).collect::<Vec<_>>().concat();
    let layers = "[[layers]]\nkind = \"linear\"\nwidth = 64\n\n[[layers]]\nkind = \"scale-offset\"";
    let csv = "source = \"csv\"\nfile = \"data.csv\"\nlabel = \"class\"\ntest = 6";
    let experiment = SMALL
        .replace("source = \"digits\"\ntest = 100", csv)
        .replacen("[[layers]]\nkind = \"scale-offset\"", layers, 1)
        .replace("bins = 10", "bins = 3");
    place.write("e.toml", &experiment).write("data.csv", &format!(",f1,class\n{rows}"));
    let (code, text) = place.refusal(&["train", "e.toml"]);
    assert!(code == 4 && text.contains("data.csv:1: column 1 has no name, as pandas writes row numbers"), "{text}");
    place.json(&["train", "e.toml", "--set", "data.leave_out=[\"\"]", "--check", "false", "--json"]);
    place.write("data.csv", &format!("n,f1,class\n{rows}"));
    let output = place.run(&["train", "e.toml", "--json"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("column `n` alone tells every class of column `class`"), "{text}");
}

#[test]
fn only_what_changes_a_plant_is_set_where_there_is_no_experiment() {
    let place = Place::new();
    for command in [&["calibrate", "simulated", "electrical"][..], &["response", "electrical"]] {
        let (code, text) = place.refusal(&[command, &["--set", "training.steps=1"]].concat());
        assert!(code == 3 && text.contains("`training` is no key of the rig's plants"), "{text}");
    }
}
