//! An interlock that pauses: the run waits for the reading, measures the batch again, and ends as if nothing had been; or it ends as by
//! an interlock that stops.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::control::{Client, wait};
use crate::program::{Place, SMALL, without_bench_time};

/// A bench on which a shot reads the same whenever it is taken.
const QUIET: &str =
    "samples = 64\nimperfections = { noise_volts = 0.0, jitter_seconds = 0.0, temperature_swing_kelvin = 0.0 }\n";
/// An offset that drives the converter to its end, whatever is driven.
const OFFSET: &str = "tolerances = { offset_volts = 50.0 }\n";

/// A rig whose plant is `plant`, watched by an interlock with the table `pause`.
fn rig(plant: &str, pause: &str) -> String {
    format!(
        "name = \"bench\"\n\n{plant}\n[[plants.electrical.interlocks]]\nname = \"offset\"\noutput = \"node\"\nlow = -0.8\nhigh = 0.8\n\
         {pause}\n"
    )
}

/// A plant that reads its offset in its first shots, two more than a batch, and is well from then on.
fn offset_at_first() -> String {
    format!(
        "[plants.electrical.simulated]\nsystem = \"electrical\"\n{QUIET}{OFFSET}\n[plants.electrical.shift]\nafter_shots = 34\n\n\
         [plants.electrical.shift.to]\nsystem = \"electrical\"\n{QUIET}"
    )
}

fn experiment() -> String {
    SMALL.replace("[plants.electrical.simulated]\nsamples = 64\n", "")
}

/// Rows of metrics without bench time.
fn numbers(place: &Place, run: &str) -> Vec<String> {
    let metrics = place.read(&format!("runs/{run}/metrics.csv"));
    without_bench_time(&metrics)
}

fn events(place: &Place, run: &str) -> Vec<Value> {
    place.read(&format!("runs/{run}/events.jsonl")).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const PAUSE: &str = "pause = { hysteresis = 0.05, clear_after = 2, probe_seconds = 0.001, most_probes = 5 }";

#[test]
fn a_run_waits_until_the_reading_is_back_and_loses_nothing() {
    let place = Place::new();
    let well = format!("[plants.electrical.simulated]\nsystem = \"electrical\"\n{QUIET}");
    let recorded = offset_at_first().replacen(
        "[plants.electrical.simulated]",
        "[plants.electrical]\nrecord = \"plant.jsonl\"\n\n[plants.electrical.simulated]",
        1,
    );
    let replayed = format!(
        "[plants.electrical.replay]\nfile = \"plant.jsonl\"\n\n[plants.electrical.replay.twin]\nsystem = \"electrical\"\n{QUIET}"
    );
    place.write("small.toml", &experiment());
    for (name, text) in [
        ("well", rig(&well, PAUSE)),
        ("trips", rig(&offset_at_first(), PAUSE)),
        ("recorded", rig(&recorded, PAUSE)),
        ("replayed", rig(&replayed, PAUSE)),
    ] {
        place.write(&format!("{name}.toml"), &text);
        let rig = format!("{name}.toml");
        let set = ["--check", "false", "--set", "run.checkpoint_steps=1"];
        let output = place.run(&[&["train", "small.toml", "--rig", &rig, "--name", name], &set[..]].concat());
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(numbers(&place, "trips"), numbers(&place, "well"), "the batch that tripped was measured again");
    let bytes = |run: &str| place.read(&format!("runs/{run}/metrics.csv"));
    assert_eq!(bytes("trips"), bytes("recorded"), "the same seeds, the same bytes");
    assert_eq!(bytes("replayed"), bytes("recorded"), "trip, probes and all");
    // Its last step is taken again: probes are part of the bench's life.
    std::fs::remove_file(place.path("runs/recorded/checkpoints/step-000000008.safetensors")).unwrap();
    place.json(&["train", "--resume", "recorded", "--json"]);
    assert_eq!(bytes("recorded"), bytes("trips"));
    assert!(place.path("plant-2.jsonl").exists());
    assert!(!events(&place, "well").iter().any(|event| event["event"] == "paused"));

    let told = events(&place, "trips");
    let course: Vec<&Value> =
        told.iter().filter(|event| event["event"] != "evaluated" && event["event"] != "agreement").collect();
    let words: Vec<&str> = course.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(words, ["started", "safe", "alarm", "paused", "alarm", "resumed", "safe", "finished"], "{told:?}");
    let why = course[3]["why"].as_str().unwrap();
    assert!(why.contains("plant `electrical`: interlock `offset`: node[") && why.contains("is outside [-0.8, 0.8] V"));
    assert_eq!((&course[2]["active"], &course[2]["source"]), (&json!(true), &json!("interlock of electrical")));
    assert_eq!((&course[2]["severity"], &course[4]["active"]), (&json!("major"), &json!(false)));
    // What reached the plant: a batch, and then probes of one shot at rest, each made safe.
    let calls: Vec<Value> = place.read("plant.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |call: &Value| (call["call"].as_str().unwrap().to_owned(), call["shots"].as_u64().unwrap_or(0));
    let safe = || ("make-safe".to_owned(), 0);
    let measure = |shots| ("measure".to_owned(), shots);
    let found: Vec<_> = calls.iter().skip(1).map(of).filter(|call| *call != safe()).take(7).collect();
    assert_eq!(found, [32, 1, 1, 1, 1, 32, 32].map(measure));
    let probe = calls.iter().position(|call| of(call) == measure(1)).unwrap();
    assert!(calls[probe]["inputs"].as_array().unwrap().iter().all(|input| *input == 0.0), "nothing is driven");
    assert_eq!((of(&calls[probe - 1]), of(&calls[probe + 1])), (safe(), safe()));
}

#[test]
fn a_reading_that_never_comes_back_ends_the_run_as_a_stop_would() {
    let place = Place::new();
    let ill = format!("[plants.electrical.simulated]\nsystem = \"electrical\"\n{QUIET}{OFFSET}");
    place.write("small.toml", &experiment()).write("rig.toml", &rig(&ill, PAUSE));
    let train =
        |name: &str| place.refusal(&["train", "small.toml", "--rig", "rig.toml", "--name", name, "--check", "false"]);
    let (code, text) = train("waits");
    assert_eq!(code, 5, "{text}");
    assert!(text.contains("interlock `offset`") && text.contains("5 probes have not found it back"), "{text}");
    let words = events(&place, "waits");
    let has = |word: &str| words.iter().any(|event| event["event"] == word);
    assert!(has("paused") && !has("resumed") && has("safe"), "{words:?}");
    assert_eq!(words.last().unwrap()["reason"], "failed");
    assert!(!text.contains("NOT SAFE"), "{text}");
    // The same without `pause`.
    place.write("rig.toml", &rig(&ill, ""));
    let (code, text) = train("stops");
    assert_eq!((code, text.contains("interlock `offset`")), (5, true), "{text}");
    assert!(!events(&place, "stops").iter().any(|event| event["event"] == "paused"));
}

#[test]
fn who_and_why_is_said_to_whoever_asks_and_nobody_drives_what_is_out() {
    let place = Place::new();
    let ill = format!("[plants.electrical.simulated]\nsystem = \"electrical\"\n{QUIET}{OFFSET}");
    let pause = "pause = { probe_seconds = 0.01, most_probes = 1000000 }";
    place.write("small.toml", &experiment()).write("rig.toml", &rig(&ill, pause));
    let arguments = ["train", "small.toml", "--rig", "rig.toml", "--name", "long", "--check", "false"];
    let mut child: Child = place.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
    wait("it does not begin", || place.path("runs/long/control.sock").exists());
    let mut client = Client::new(&place);
    wait("it does not pause", || client.command("status")["state"] == "paused");
    let status = client.command("status");
    assert!(status["why"].as_str().unwrap().contains("interlock `offset`"), "{status}");
    assert_eq!((&status["alarms"][0]["source"], &status["held"]), (&json!("interlock of electrical"), &json!(true)));
    let resume = client.command("resume");
    let sentence = resume["message"].as_str().unwrap();
    assert!(resume["reply"] == "refused" && sentence.contains("goes on by itself"), "{resume}");
    // Somebody holds it as well: only that can be taken back.
    assert_eq!(client.command("safe"), json!({"reply": "done", "state": "paused"}));
    let status = client.command("status");
    assert!(status["why"].as_str().unwrap().starts_with("by request, and ") && status["held"] == false, "{status}");
    assert_eq!(client.command("resume"), json!({"reply": "done", "state": "paused"}));
    assert_eq!(client.command("resume")["reply"], "refused");
    assert_eq!(client.command("stop")["state"], "stopping");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let told = events(&place, "long");
    assert_eq!(told.last().unwrap()["reason"], "stopped");
    let alarms: Vec<&Value> = told.iter().filter(|event| event["event"] == "alarm").collect();
    assert!(alarms.len() == 2 && alarms[1]["active"] == false, "nobody waits for the reading any more: {told:?}");
    assert!(told.iter().all(|event| event["event"] != "resumed"), "{told:?}");
}

#[test]
fn a_pause_that_makes_no_sense_is_refused_by_its_key() {
    let place = Place::new();
    let well = format!("[plants.electrical.simulated]\nsystem = \"electrical\"\n{QUIET}");
    place.write("small.toml", &experiment());
    for (pause, key, words) in [
        ("hysteresis = 0.8", "hysteresis", "leave something of [-0.8, 0.8]"),
        ("hysteresis = -0.1", "hysteresis", "at least 0"),
        ("probe_seconds = 0.0", "probe_seconds", "from 0.001 to 86400"),
        ("clear_after = 0", "clear_after", "from 1 to"),
        ("most_probes = 2", "most_probes", "fewer than the 3 of `clear_after`"),
        ("most_trips = 0", "most_trips", "from 1 to"),
    ] {
        let text = rig(&well, &format!("pause = {{ {pause} }}"));
        let line = text.lines().position(|line| line.starts_with("pause")).unwrap() + 1;
        place.write("rig.toml", &text);
        let (code, message) = place.refusal(&["train", "small.toml", "--rig", "rig.toml"]);
        let start = format!("pnnlab: rig.toml:{line}: `plants.electrical.interlocks.0.pause.{key}` ");
        assert!(code == 3 && message.starts_with(&start) && message.contains(words), "{message}");
    }
    place.write("rig.toml", &rig(&well, "").replace("high = 0.8", "high = -0.8"));
    let (code, message) = place.refusal(&["train", "small.toml", "--rig", "rig.toml"]);
    assert!(code == 3 && message.contains("interlocks.0.high` is -0.8, which is not above"), "{message}");
    let text = rig(&well, "").replace("output = \"node\"", "output = \"nod\"");
    let line = text.lines().position(|line| line.starts_with("output")).unwrap() + 1;
    place.write("rig.toml", &text);
    let (code, message) = place.refusal(&["train", "small.toml", "--rig", "rig.toml"]);
    let start = format!("pnnlab: rig.toml:{line}: `plants.electrical.interlocks.0.output` cannot be watched: ");
    assert!(code == 3 && message.starts_with(&start) && message.contains("no output bank `nod`"), "{message}");
}

/// A rig whose plant is watched by an instrument of its own at `address`, with the keys of its interlock and of the instrument.
fn watched(address: &str, interlock: &str, instrument: &str) -> String {
    format!(
        "name = \"bench\"\n\n[plants.electrical.simulated]\nsystem = \"electrical\"\n{QUIET}\n[[plants.electrical.interlocks]]\n\
         name = \"laser\"\nlow = 0.01\nhigh = 0.03\n{interlock}\n\n[plants.electrical.interlocks.instrument]\n\
         protocol = \"scpi\"\naddress = \"{address}\"\nquery = \"MEAS:POW?\"\nunit = \"W\"\nevery_seconds = 0.02\n{instrument}\n"
    )
}

#[test]
fn an_instrument_beside_the_plant_pauses_a_run_and_lets_it_go_on() {
    let value = hil::GaugeValue { query: "MEAS:POW?".into(), field: 1, answer: "0.02".into() };
    let meter = hil::ScpiBox::new(hil::SimulatedGauge::new(vec![value]));
    let served = hil::serve_scpi(meter, &hil::Wire::Tcp { port: 0 }, hil::Faults::new(0)).unwrap();
    let address = served.address.to_string();
    let tell = |text: &str| {
        let mut stream = std::net::TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
        std::io::Write::write_all(&mut stream, format!("SIM:VAL {text};*OPC?\n").as_bytes()).unwrap();
        std::io::Read::read_exact(&mut stream, &mut [0; 2]).unwrap();
    };
    let place = Place::new();
    let pause = "pause = { hysteresis = 0.002, clear_after = 2, probe_seconds = 0.01, most_probes = 1000000 }";
    place.write("small.toml", &experiment().replace("steps = 8", "steps = 1000000"));
    place.write("rig.toml", &watched(&address, pause, ""));
    let arguments = ["train", "small.toml", "--rig", "rig.toml", "--name", "long", "--check", "false"];
    let mut child: Child = place.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
    wait("it does not begin", || place.path("runs/long/control.sock").exists());
    let mut client = Client::new(&place);
    wait("it does not run", || client.command("status")["state"] == "running");
    tell("0.5");
    wait("it does not pause", || client.command("status")["state"] == "paused");
    let status = client.command("status");
    let why = status["why"].as_str().unwrap();
    assert!(why.contains("interlock `laser`: MEAS:POW? = 0.5 W is outside [0.01, 0.03] W"), "{why}");
    assert_eq!(client.command("resume")["reply"], "refused");
    // Back, and then no answer any more.
    tell("0.02");
    wait("it does not go on", || client.command("status")["state"] == "running");
    drop(served);
    wait("it does not notice", || {
        client.command("status")["why"].as_str().is_some_and(|why| why.contains("MEAS:POW? cannot be read"))
    });
    assert_eq!(client.command("stop")["state"], "stopping");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn an_instrument_beside_the_plant_that_makes_no_sense_is_refused_by_its_key() {
    let place = Place::new();
    place.write("small.toml", &experiment());
    for (interlock, instrument, key, words) in [
        ("output = \"node\"", "", "output", "and not both"),
        ("", "field = 0", "instrument.field", "from 1 to"),
        ("", "deadline_seconds = 0.0", "instrument.deadline_seconds", "from 0.01 to 3600"),
    ] {
        place.write("rig.toml", &watched("tcp://127.0.0.1:9", interlock, instrument));
        let (code, message) = place.refusal(&["train", "small.toml", "--rig", "rig.toml"]);
        let named = message.contains(&format!("`plants.electrical.interlocks.0.{key}` "));
        assert!(code == 3 && named && message.contains(words), "{message}");
    }
    let neither = "name = \"bench\"\n\n[plants.electrical.simulated]\nsystem = \"electrical\"\n\n[[plants.electrical.interlocks]]\n\
                   name = \"x\"\nlow = 0.0\nhigh = 1.0\n";
    place.write("rig.toml", neither);
    let (code, message) = place.refusal(&["train", "small.toml", "--rig", "rig.toml"]);
    assert!(code == 3 && message.contains("say what is watched"), "{message}");
    place.write("rig.toml", &watched("tcp://127.0.0.1:9", "", ""));
    let (code, message) = place.refusal(&["train", "small.toml", "--rig", "rig.toml"]);
    assert!(code == 5 && message.contains("electrical-laser"), "{code} {message}");
}
