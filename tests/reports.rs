//! `systems`, `response`, `reproduce` and `data`, as a user runs them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::Value;

use crate::program::{Place, names};

#[test]
fn systems_are_listed_with_ports_units_timing_and_plants() {
    let listing = Place::new().json(&["systems", "--json"]);
    let systems = listing["systems"].as_array().unwrap();
    assert_eq!(systems.len(), 6);
    for system in systems {
        let name = system["system"].as_str().unwrap();
        // The built-in rig calls each plant by its system's name; what a file of equations says has one of its own.
        let own = if name == "equations" { "diode" } else { name };
        assert!(system["plants"].as_array().unwrap().iter().any(|plant| plant == own), "{name}");
        assert!(!system["ports"]["inputs"].as_array().unwrap().is_empty(), "{name}");
        for bank in system["ports"]["outputs"].as_array().unwrap() {
            assert!(
                bank["low"].as_f64().unwrap() < bank["high"].as_f64().unwrap() && bank["unit"].is_string(),
                "{name}"
            );
        }
        assert!(0.0 < system["timing"]["shot_seconds"].as_f64().unwrap(), "{name}");
        assert!(
            !system["twins"].as_array().unwrap().is_empty() && !system["fidelities"].as_array().unwrap().is_empty()
        );
    }
    let place = Place::new();
    place.write("bench.toml", "name = \"mine\"\n[plants.left.simulated]\nsystem = \"electrical\"\nsamples = 8\n");
    let listing = place.json(&["systems", "--rig", "bench.toml", "--json"]);
    assert_eq!((listing["rig"].as_str(), &listing["systems"][0]["plants"][0]), (Some("mine"), &Value::from("left")));
    let text = String::from_utf8(place.run(&["systems"]).stdout).unwrap();
    assert!(text.contains("256 × drive in [-1.0, 1.0] V") && text.contains("coupled-wave"), "{text}");
}

#[test]
fn a_response_is_measured_drawn_and_recorded() {
    let place = Place::new();
    let small = "plants.electrical.simulated.samples=128";
    let arguments = ["response", "electrical", "--set", small, "--repeats", "40", "--average", "4", "--json"];
    let facts = place.json(&arguments);
    assert_eq!((facts["plant"].as_str(), facts["simulated"].as_bool()), (Some("electrical"), Some(true)));
    // At rest the transistor conducts, and damps the 31.8 kHz resonance away: a low pass below it.
    let hertz = facts["passband"]["upper_hertz"].as_f64().unwrap();
    assert!((5e3..36e3).contains(&hertz), "{hertz}");
    assert!((0.05..0.3).contains(&facts["twin_error"].as_f64().unwrap()));
    assert!((1e-3..1e-2).contains(&facts["repeatability"].as_f64().unwrap()));
    assert!(0.01 < facts["full_drive"]["distortion"].as_f64().unwrap(), "the transistor bends a full drive");
    let files = names(&place.path("response/electrical"));
    for name in ["spectrum", "nonlinearity", "repeatability", "shot"] {
        assert!(files.contains(&format!("{name}.svg")) && files.contains(&format!("{name}.png")), "{files:?}");
    }
    let svg = place.read("response/electrical/shot.svg");
    assert!(svg.contains("SIMULATED") && svg.contains("pnnlab response electrical"), "the caption says what it shows");
    let record: Value = serde_json::from_str(&place.read("response/electrical/response.json")).unwrap();
    assert_eq!(record["measured"]["waveform"]["impulse_plant"].as_array().unwrap().len(), 128);
    // The same seeds give the same numbers.
    assert_eq!(place.json(&arguments), facts);
}

#[test]
fn a_response_along_channels_has_derivatives_and_takes_a_system_for_a_plant() {
    let place = Place::new();
    place.write(
        "bench.toml",
        "name = \"mine\"\n[plants.ring.simulated]\nsystem = \"oscillators\"\ncount = 5\nmismatch = 1.0\n",
    );
    let arguments = ["response", "oscillators", "--rig", "bench.toml", "--repeats", "10", "--theme", "dark", "--json"];
    let facts = place.json(&arguments);
    assert_eq!(facts["plant"], "ring");
    assert!(0.0 < facts["derivative_error"].as_f64().unwrap());
    assert!(place.read("response/ring/spectrum.svg").contains("#181A1E"), "dark paper");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let place = Place::new();
    let (code, text) = place.refusal(&["response", "electrcal"]);
    assert_eq!(code, 2);
    assert!(text.contains("has no plant `electrcal`") && text.ends_with("Did you mean `electrical`?"), "{text}");
    let (code, text) = place.refusal(&["response", "electrical", "--set", "plants.electrical.simulated.sampels=8"]);
    assert_eq!(code, 3);
    assert!(text.contains("Did you mean `samples`?"), "{text}");
    let (code, _) = place.refusal(&["response", "electrical", "--step-percent", "0"]);
    assert_eq!(code, 2);
    assert!(!place.path("response").exists(), "nothing is left behind");
}

#[test]
fn the_report_holds_what_ran_and_names_what_did_not() {
    let place = Place::new();
    let one = ["reproduce", "digits-electrical", "--quick", "--json"];
    let first = place.json(&[&one[..], &["--seeds", "1"]].concat())["experiments"][0].clone();
    assert_eq!((&first["name"], &first["section"]["state"]), (&"digits-electrical".into(), &"done".into()));
    assert_eq!(place.refusal(&["reproduce", "vowels-optical", "--quick"]).0, 4);
    let report = place.read("reproduction/reproduction.md");
    assert!(report.contains("93 % [S]") && report.contains("SIMULATED"), "{report}");
    assert!(report.contains("not run: ") && report.contains("--data"), "{report}");
    assert!(report.contains("Quick form"), "{report}");
    let figure = "reproduction/reproduction/digits-electrical-curves.svg";
    assert!(place.path(figure).exists() && report.contains("reproduction/digits-electrical-curves.svg"));
    // What has numbers keeps them when the rest is asked for.
    let again = place.json(&[&one[..], &["--keep"]].concat());
    assert_eq!(again["experiments"][0]["ran_now"], false);
    assert_eq!(again["experiments"][0]["section"], first["section"]);
}

#[test]
fn an_experiment_that_is_named_and_cannot_run_is_an_error() {
    let place = Place::new();
    let (code, text) = place.refusal(&["reproduce", "vowels"]);
    assert_eq!(code, 2);
    assert!(text.contains("`vowels` is not in the report"), "{text}");
    let (code, text) = place.refusal(&["reproduce", "vowels-optical"]);
    assert_eq!(code, 4);
    assert!(text.lines().last().unwrap().contains("--data"), "{text}");
    // What is not there is told before anything runs.
    let (code, text) = place.refusal(&["reproduce", "mos", "--data", "missing"]);
    assert_eq!(code, 2);
    assert!(text.contains("`missing` does not exist"), "{text}");
    place.write("vowels.csv", "vowel,F1\nw01ae,no number\n");
    let (code, text) = place.refusal(&["reproduce", "vowels-optical", "--data", "vowels.csv"]);
    assert_eq!(code, 13);
    assert!(text.contains("one experiment of the report ended with an error: vowels-optical"), "{text}");
    assert!(place.read("reproduction/reproduction.md").contains("**failed**: "));
}

#[test]
fn a_program_of_the_report_measures_what_lies_beside_it_and_is_judged_only_whole() {
    let place = Place::new();
    let (code, text) = place.refusal(&["reproduce", "learned-twins"]);
    assert_eq!(code, 4);
    assert!(text.lines().last().unwrap().contains("--data"), "{text}");
    let (code, text) = place.refusal(&["reproduce", "learned-twins", "--data", "."]);
    assert_eq!(code, 4);
    assert!(text.contains("acoustic/inputs.csv"), "{text}");
    // A linear bench of two inputs and two outputs.
    let rows = (0..300u32).map(|shot| [f64::from(shot * 7 % 100) / 100.0, f64::from(shot * 31 % 97) / 97.0]);
    let table = |of: &dyn Fn([f64; 2]) -> [f64; 2]| -> String {
        let line = |[a, b]: [f64; 2]| format!("{a},{b}\n");
        std::iter::once("a,b\n".to_owned()).chain(rows.clone().map(|row| line(of(row)))).collect()
    };
    std::fs::create_dir(place.path("acoustic")).unwrap();
    place.write("acoustic/inputs.csv", &table(&|row| row));
    place.write("acoustic/readings.csv", &table(&|[a, b]| [a + 0.5 * b, 0.2 - b]));
    let facts = place.json(&["reproduce", "learned-twins", "--data", ".", "--quick", "--json"]);
    let experiments = facts["experiments"].as_array().unwrap();
    let found = experiments.iter().find(|experiment| experiment["name"] == "learned-twins").unwrap();
    let value = |name: &str| {
        let all = found["measurements"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()["value"].as_f64().unwrap()
    };
    assert!(value("acoustic cavity: median R² of least squares") > 0.999_99);
    assert!(value("acoustic cavity: smallest R² of the twin above least squares") >= 0.0);
    let checks = found["checks"].as_array().unwrap();
    assert!(!checks.is_empty() && checks.iter().all(|check| check["met"].is_null()), "{checks:?}");
    assert!(place.read("reproduction/reproduction.md").contains("| acoustic cavity: median R² of the twin |"));
}

/// A server on this machine that answers every request alike; its address.
fn serve(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mnist", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ = stream.write_all(answer);
        }
    });
    url
}

#[test]
fn data_is_fetched_whole_or_not_at_all() {
    let place = Place::new();
    let listing = place.json(&["data", "list", "--json"]);
    assert_eq!(listing["data_sets"][0]["files"].as_array().unwrap().len(), 4);
    let refused = |url: &str| {
        let (code, text) = place.refusal(&["data", "fetch", "mnist", "--from", url]);
        assert_eq!(code, 12, "{text}");
        assert!(text.contains("train-images-idx3-ubyte.gz") && text.contains("by hand into data/mnist"), "{text}");
        assert_eq!(names(&place.path("data/mnist")), Vec::<String>::new(), "nothing is left behind");
        text
    };
    let missing = refused(&serve(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    assert!(missing.contains("the server answers 404"), "{missing}");
    let short = refused(&serve(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n0123"));
    assert!(short.contains("ended after 4 of 9912422 bytes"), "{short}");
    // Nobody listens on the port of a listener that is gone.
    let gone = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    refused(&gone);
    let (code, text) = place.refusal(&["data", "fetch", "mnist", "--from", "ftp://example.org"]);
    assert_eq!(code, 2);
    assert!(text.contains("begins with http:// or https://"), "{text}");
    let (code, text) = place.refusal(&["data", "fetch", "minst"]);
    assert_eq!(code, 2);
    assert!(text.ends_with("Did you mean `mnist`?"), "{text}");
}
