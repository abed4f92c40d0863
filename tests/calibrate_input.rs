//! What `calibrate` takes in place of a measurement, how it is stopped, and what it refuses before it begins.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Place, SMALL, binary, names};

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
        // 8 steps of 32, two looks at 169 rows that validate, and a test of 100.
        let from = place.json(&[&taken[..], change, &["--from", &shots]].concat());
        assert_eq!(from["shots"], 256 + 2 * 169 + 100, "{from}");
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
        (
            &[
                "sweep",
                "small.toml",
                "--key",
                "training.learning_rate",
                "--values",
                "0.01",
                "--set",
                "comparison.seeds=1",
            ],
            2,
            "--set comparison.seeds=1: a sweep does not heed it: give --seeds",
        ),
        (
            &["sweep", "small.toml", "--key", "comparison.methods", "--values", "[\"spsa\"]"],
            2,
            "--key comparison.methods: a sweep does not heed it: give --methods",
        ),
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

/// Inputs and outputs of the circuit of `hil/rigs/pnnlink.toml`, as CSV.
fn circuit(shots: usize) -> [String; 2] {
    let built = sims::Electrical { samples: 64, ..sims::Electrical::default() }.build().unwrap();
    let mut drawn = sims::Key::new(1).stream();
    let inputs = drivers::Batch::from_fn(shots, 64, |_, _| 2.0 * drawn.uniform() - 1.0);
    let outputs = built.system.shoot(&inputs, &[], sims::Moment::default());
    [inputs, outputs].map(|rows| {
        let line = |row: &[f32]| row.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

#[test]
fn a_rig_gives_its_physics_to_recorded_data_and_its_bench_is_not_opened() {
    let place = Place::new();
    let [inputs, outputs] = circuit(60);
    // Its board is not there.
    place.write("rig.toml", include_str!("../hil/rigs/pnnlink.toml")).write("x.csv", &inputs).write("y.csv", &outputs);
    let physics = ["calibrate", "rig.toml", "--procedure", "physics", "--json"];
    let data = ["--from", "x.csv", "--outputs", "y.csv"];
    let fitted = place.json(&[&physics[..], &data].concat());
    assert_eq!(fitted["plant"], "electrical");
    let names: Vec<&str> =
        fitted["coefficients"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(!names.is_empty());
    let residual = |which: &str| fitted[which]["rmse_of_full_scale"].as_f64().unwrap();
    assert!(residual("residual") < 0.3 * residual("nominal_residual"), "{fitted}");
    // Data of another size is refused with both sizes.
    place.write("few.csv", "1,2\n3,4\n").write("read.csv", "1,2\n3,4\n");
    let (code, text) = place.refusal(&[&physics[..], &["--from", "few.csv", "--from", "read.csv"]].concat());
    assert!(code != 0 && text.contains("2 inputs") && text.contains("64"), "{text}");
    // So is a file that cannot be read, by what could be.
    let (_, text) = place.refusal(&["calibrate", "--from", "missing.csv"]);
    assert!(text.contains(".npz") && text.contains(".csv"), "{text}");
}

#[test]
fn columns_of_a_table_are_named_on_the_command_line() {
    let place = Place::new();
    let row = |k: usize| format!("{},{},{},{}", k % 7, k % 5, (k / 30) % 2, (k % 7) * 2 + k % 5);
    let rows: Vec<String> = (0..90).map(row).collect();
    place.write("all.csv", &format!("v1,v2,heater,power\n{}\n", rows.join("\n")));
    let from = ["calibrate", "--from", "all.csv", "--procedure", "levels", "--json"];
    let levels = place.json(&[&from[..], &["--controls", "heater", "--outputs", "power"]].concat());
    assert_eq!((&levels["shots"], &levels["levels"]["ports"][0]["port"]), (&Value::from(90), &Value::from("power[0]")));
    let banks: Vec<&str> =
        levels["validity"].as_array().unwrap().iter().map(|bank| bank["bank"].as_str().unwrap()).collect();
    assert_eq!(banks, ["input.v1", "input.v2", "control.heater", "output.power"]);
    // What a file does not heed is refused before it is read.
    place.write("y.csv", "1\n2\n");
    for (file, options, words) in [
        (
            "all.csv",
            &["--arrays", "a,b"][..],
            "--arrays is not heeded by all.csv, which has columns: name them with --inputs",
        ),
        (
            "all.npz",
            &["--inputs", "v1"],
            "--inputs is not heeded by all.npz, which has arrays: name them with --arrays",
        ),
        (
            "all.csv",
            &["--inputs", "v1", "--outputs", "y.csv"],
            "--inputs is not heeded by all.csv, which is one of two",
        ),
        ("all.arrow", &["--outputs", "power"], "--outputs is not heeded by all.arrow, which says itself"),
    ] {
        let (code, text) = place.refusal(&[&["calibrate", "--from", file][..], options].concat());
        assert_eq!((code, text.contains(words)), (2, true), "{text}");
    }
    let (_, text) = place.refusal(&[&from[..], &["--outputs", "current"]].concat());
    assert!(text.contains("all.csv: the table has no column `current`: it has `v1`, `v2`"), "{text}");
}

#[test]
fn a_table_that_is_too_short_is_told_with_all_of_its_rows() {
    let place = Place::new();
    let rows: Vec<String> = (0..20).map(|k| format!("{},{},{}", k % 7, k % 5, k % 7 + 2 * (k % 5))).collect();
    place.write("few.csv", &format!("x0,x1,y\n{}\n", rows.join("\n")));
    let (_, text) = place.refusal(&["calibrate", "--from", "few.csv"]);
    assert!(text.contains("needs 50 stimuli, but the trace has 20, of which 6 are held out to judge"), "{text}");
}

#[test]
fn full_scale_is_that_of_the_shots_that_were_learned_from() {
    let place = Place::new();
    let table = |scale: f64, rows: usize| -> String {
        let row = |k: usize| {
            let (a, b) = ((k * 37 % 101) as f64 / 101.0, (k * 53 % 97) as f64 / 97.0);
            // The second output is a hundred times smaller.
            format!("{a},{b},{},{}", scale * (a + b + 0.05 * (9.0 * a).sin()), 0.01 * (a - b))
        };
        format!("x0,x1,y0,y1\n{}\n", (0..rows).map(row).collect::<Vec<_>>().join("\n"))
    };
    place.write("train.csv", &table(1.0, 300)).write("same.csv", &table(1.0, 60)).write("loud.csv", &table(10.0, 60));
    let of = |test: &str| {
        let fitted = place.json(&["calibrate", "--from", "train.csv", "--test", test, "--candidates", "0", "--json"]);
        assert!(fitted["linear_residual"]["r2_median"].is_number(), "{fitted}");
        fitted["residual"]["rmse_of_full_scale"].as_f64().unwrap()
    };
    // Columns are found by their names, in whatever order the test has them.
    let turn = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",");
    let turned: Vec<String> = table(1.0, 60).lines().map(turn).collect();
    place.write("turned.csv", &turned.join("\n")).write("other.csv", &table(1.0, 60).replace("x1", "x2"));
    assert_eq!(of("turned.csv").to_bits(), of("same.csv").to_bits());
    let (code, text) = place.refusal(&["calibrate", "--from", "train.csv", "--test", "other.csv"]);
    assert_eq!((code, text.contains("other.csv: the table has no input `x1`, which was")), (4, true), "{text}");
    // Outputs ten times as large are missed by some nine tenths of them: several full scales of what was learned, over two outputs.
    let (same, loud) = (of("same.csv"), of("loud.csv"));
    assert!(same < 0.01 && loud > 2.0, "{same} {loud}");
}

#[test]
fn an_interrupted_calibration_keeps_its_shots_and_goes_on() {
    let place = Place::new();
    let options = ["--procedure", "levels", "--stimuli", "6000", "--repeats", "1"];
    let measure = [&["calibrate", "simulated", "mechanical"][..], &options].concat();
    let begun = || {
        let all = if place.path("fits").is_dir() { names(&place.path("fits")) } else { vec![] };
        all.into_iter().find(|name| name.ends_with(".begun.arrows")).map(|name| place.path("fits").join(name))
    };
    let mut child = place.command(&measure).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + BOUND;
    while begun().is_none_or(|path| std::fs::metadata(path).map_or(0, |file| file.len()) < 1_000_000) {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "no shots came");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("shots are kept") && text.contains("--resume"), "{text}");
    let (_, text) = place.refusal(&measure);
    assert!(text.contains("which was interrupted: go on with --resume"), "{text}");
    let resumed = place.json(&[&measure[..], &["--resume", "--json"]].concat());
    assert_eq!(resumed["shots"], 6000);
    assert!(begun().is_none(), "the whole trace has taken its place");
    // A simulated bench goes on where it was: the readings are those of a measurement in one piece.
    let whole = place.json(&[&measure[..], &["--json"]].concat());
    assert_eq!(whole["levels"], resumed["levels"]);
    let (_, text) = place.refusal(&[&measure[..], &["--resume"]].concat());
    assert!(text.contains("no calibration with these options was interrupted"), "{text}");
    let whole = text.split_once("they are in ").and_then(|(_, rest)| rest.split_once(": --from fits them"));
    assert!(place.path(whole.unwrap().0).is_file(), "{text}");
}

#[test]
fn tables_are_read_packed_and_from_a_pipe_and_files_of_other_kinds_are_named() {
    let place = Place::new();
    let row = |shot: u32| format!("{},{},{}\n", shot % 7, shot % 11, shot % 7 + 2 * (shot % 11));
    let table = format!("x0,x1,y0\n{}", (0..120).map(row).collect::<String>());
    let packed = std::fs::File::create(place.path("shots.csv.gz")).unwrap();
    let mut packer = flate2::write::GzEncoder::new(packed, flate2::Compression::default());
    packer.write_all(table.as_bytes()).unwrap();
    packer.finish().unwrap();
    place.write("shots.csv", &table).write("shots.dat", &table).write("shots.parquet", "PAR1\u{0}\u{0}PAR1");
    let levels = ["--procedure", "levels", "--json"];
    let plain = place.json(&[&["calibrate", "--from", "shots.csv"][..], &levels].concat());
    let unpacked = place.json(&[&["calibrate", "--from", "shots.csv.gz"][..], &levels].concat());
    assert_eq!((&plain["shots"], &plain["levels"]), (&Value::from(120), &unpacked["levels"]));
    let piped = "cat shots.csv | \"$0\" calibrate --from /dev/stdin --procedure levels --json";
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", piped, binary()]).current_dir(place.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["levels"], plain["levels"]);
    for (arguments, code, words) in [
        (
            &["--from", "shots.parquet"][..],
            4,
            "shots.parquet: is a Parquet file, which is not read here: write its shots",
        ),
        (&["--from", "shots.dat"], 4, "shots.dat: is text whose name does not end in .csv"),
        (&["--from", "shots.csv", "--outputs", "shots.csv"], 2, "shots.csv is given twice"),
        (&["--from", "shots.npz", "--arrays", "x,x"], 2, "--arrays names `x` twice"),
    ] {
        let (got, text) = place.refusal(&[&["calibrate"][..], arguments].concat());
        assert_eq!((got, text.contains(words)), (code, true), "{arguments:?}: {text}");
    }
}

/// A limit on the size of files stands for a disk that is full.
#[test]
fn a_full_disk_is_named_as_such_and_no_shots_are_said_to_be_kept_that_are_not() {
    let place = Place::new();
    let script = "ulimit -f 100; exec \"$0\" calibrate simulated electrical --stimuli 3000";
    let output = Command::new("sh").args(["-c", script, binary()]).current_dir(place.path("")).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(text.contains(".begun.arrows: the trace cannot be written") && text.contains("Free the disk"), "{text}");
    assert!(!text.contains("are kept") && names(&place.path("fits")).is_empty(), "{text}");
}

#[test]
fn data_that_is_not_of_the_physics_of_a_rig_is_held_against_least_squares() {
    let place = Place::new();
    let row = |shot: usize| {
        let input = |port: usize| ((shot * 37 + port * 53 + 7 * port * port * shot) % 101) as f64 / 101.0 - 0.5;
        let inputs: Vec<f64> = (0..16).map(input).collect();
        let outputs = inputs.iter().map(|input| 0.5 * input);
        inputs.iter().copied().chain(outputs).map(|value| value.to_string()).collect::<Vec<_>>().join(",")
    };
    let names: Vec<String> =
        ["x", "y"].iter().flat_map(|kind| (0..16).map(move |port| format!("{kind}{port}"))).collect();
    let rows: Vec<String> = std::iter::once(names.join(",")).chain((0..80).map(row)).collect();
    place.write("linear.csv", &rows.join("\n"));
    let samples = ["--set", "plants.electrical.simulated.samples=16", "--procedure", "physics", "--json"];
    let fitted =
        place.json(&[&["calibrate", "simulated", "electrical", "--from", "linear.csv"][..], &samples].concat());
    let [twin, plain] =
        ["residual", "linear_residual"].map(|which| fitted[which]["rmse_of_full_scale"].as_f64().unwrap());
    assert!(plain < 1e-3 && 0.05 < twin, "{plain} {twin}");
    assert!(fitted["warnings"].to_string().contains("plain least squares predict the held-out readings better"));
}
