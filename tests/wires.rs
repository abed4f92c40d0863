//! Benches over real wires, as a user has them: served, checked, trained on, made safe.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use drivers::{Address, Owned};
use serde_json::Value;

use crate::program::{Place, without_bench_time};

/// The rig of a Red Pitaya with a small plant, and an experiment on it.
const RIG: &str = include_str!("../hil/rigs/red-pitaya.toml");
pub const EXPERIMENT: &str = r#"
name = "wired"

[data]
source = "digits"
test = 60

[training]
steps = 6
batch = 24
evaluate_every = 3

[[layers]]
kind = "scale-offset"
width = 64

[[layers]]
kind = "physical"
plant = "electrical"

[[layers]]
kind = "bins"
bins = 10
"#;

/// No wait in these tests is longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running `pnnlab serve`, ended with the test.
pub struct Serving {
    child: Child,
    pub address: String,
    /// What programs must have in their environment to find it.
    #[cfg(feature = "audio")]
    pub environment: Vec<(String, String)>,
}

impl Serving {
    /// Serves `rig` with these flags and writes `served.toml`.
    pub fn start(place: &Place, rig: &str, flags: &[&str]) -> Self {
        place.write("rig.toml", rig);
        let arguments = ["serve", "rig.toml", "--write-rig", "served.toml", "--json"];
        let mut command = place.command(&[&arguments, flags].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let served: Value = serde_json::from_str(&line).unwrap();
        let instrument = &served["instruments"][0];
        let address = instrument["address"].as_str().unwrap().to_owned();
        Self {
            child,
            address,
            #[cfg(feature = "audio")]
            environment: serde_json::from_value::<std::collections::BTreeMap<_, _>>(instrument["environment"].clone())
                .unwrap()
                .into_iter()
                .collect(),
        }
    }

    /// Sends a signal to whoever serves.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// One line to the served instrument, past everybody, and its answer.
    pub fn ask(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(self.address.strip_prefix("tcp://").unwrap()).unwrap();
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `done`, or fails.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::yield_now();
    }
}

/// Passes connections on to a served instrument, and counts them.
struct Passing {
    address: String,
    connections: Arc<AtomicUsize>,
}

impl Passing {
    fn to(served: &str) -> Self {
        let target = served.strip_prefix("tcp://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let Ok(far) = TcpStream::connect(&target) else { break };
                let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { break };
                for (mut from, mut to) in [(near, far), (far_too, near_too)] {
                    std::thread::spawn(move || {
                        let _ = from.set_nodelay(true);
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Write);
                    });
                }
            }
        });
        Self { address, connections }
    }
}

#[test]
fn comparisons_and_sweeps_open_a_bench_once() {
    let place = Place::new();
    let serving = Serving::start(&place, RIG, &[]);
    let passing = Passing::to(&serving.address);
    place.write("experiment.toml", EXPERIMENT);
    let rig = place.read("served.toml").replace(&serving.address, &passing.address);
    place.write("passing.toml", &rig);
    let opened = |arguments: &[&str]| {
        let before = passing.connections.load(Ordering::SeqCst);
        place.json(&[arguments, &["--rig", "passing.toml", "--json"]].concat());
        passing.connections.load(Ordering::SeqCst) - before
    };
    // One opening takes some connections: the board is asked for its commands first.
    let once = opened(&["train", "experiment.toml", "--check=false"]);
    let methods = ["--methods", "physics-aware,in-silico", "--seeds", "2"];
    assert_eq!(opened(&[&["compare", "experiment.toml"], &methods[..]].concat()), once, "a comparison");
    let keys = ["--key", "training.learning_rate", "--values", "0.01,0.02"];
    assert_eq!(opened(&[&["sweep", "experiment.toml"], &keys[..], &methods[..]].concat()), once, "a sweep");
}

#[test]
fn a_served_bench_passes_the_checks_and_trains_as_in_process() {
    let place = Place::new();
    let _serving = Serving::start(&place, RIG, &[]);
    let report = place.json(&["check", "served.toml", "--json"]);
    assert_eq!(report["rig"], "red-pitaya");
    let plant = &report["plants"][0];
    assert_eq!((plant["plant"].as_str(), plant["simulated"].as_bool()), (Some("electrical"), Some(true)));
    let outcome = |name: &str| {
        let checks = plant["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == name).unwrap()["outcome"].as_str().unwrap().to_owned()
    };
    for name in
        ["identity", "limits refuse", "repeatability", "order of shots", "timeout recovery", "reconnect", "safe state"]
    {
        assert_eq!(outcome(name), "passed", "{name}: {plant}");
    }
    assert_eq!((outcome("readback of controls").as_str(), outcome("watchdog").as_str()), ("not-run", "warning"));
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&report), ["rig", "plants"]);
    assert_eq!(keys(plant), ["plant", "simulated", "checks"]);
    assert_eq!(keys(&plant["checks"][0]), ["check", "outcome", "why"]);
}

/// Without what depends on the number and the time of a shot, a wire changes nothing at all.
#[test]
fn training_over_the_wire_ends_with_the_numbers_of_training_in_process() {
    let place = Place::new();
    let quiet = "imperfections = { noise_volts = 0.0, jitter_seconds = 0.0, temperature_swing_kelvin = 0.0 }\n";
    let with_quiet = RIG
        .replace("system = \"electrical\"\nsamples = 64\n", &format!("system = \"electrical\"\nsamples = 64\n{quiet}"));
    assert_ne!(with_quiet, RIG);
    let _serving = Serving::start(&place, &with_quiet, &[]);
    let simulated =
        format!("name = \"near\"\n[plants.electrical.simulated]\nsystem = \"electrical\"\nsamples = 64\n{quiet}");
    place.write("near.toml", &simulated).write("wired.toml", EXPERIMENT);
    let train = |rig: &str, name: &str| {
        let finished = place.json(&["train", "wired.toml", "--rig", rig, "--name", name, "--json"]);
        // A simulated plant takes bench time from its card and a bench from its waveforms.
        let metrics = place.read(&format!("runs/{name}/metrics.csv"));
        (finished["test_accuracy"].clone(), without_bench_time(&metrics))
    };
    assert_eq!(train("served.toml", "far"), train("near.toml", "near"));
    assert!(place.read("runs/far/run.json").contains("simulated"), "a simulated instrument says so in the record");
}

#[test]
fn safe_switches_a_bench_off_that_a_training_holds() {
    let place = Place::new();
    let serving = Serving::start(&place, RIG, &[]);
    place.write("wired.toml", &EXPERIMENT.replace("steps = 6", "steps = 50000"));
    let arguments = ["train", "wired.toml", "--rig", "served.toml", "--name", "long", "--json"];
    let mut training = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("driving", || serving.ask("OUTPUT1:STATE?") == "ON");

    let (code, message) = place.refusal(&["train", "wired.toml", "--rig", "served.toml", "--name", "second"]);
    assert_eq!(code, 5, "{message}");
    assert!(message.contains(&format!("is held by process {}", training.id())), "{message}");

    let safe = place.json(&["safe", "served.toml", "--json"]);
    let plant = &safe["plants"][0];
    assert_eq!((plant["plant"].as_str(), plant["safe"].as_bool()), (Some("electrical"), Some(true)), "{safe}");
    assert!(plant["off_seconds"].as_f64().is_some());
    assert_eq!(serving.ask("OUTPUT1:STATE?"), "OFF");
    let _ = training.kill();
    let _ = training.wait();
    assert_eq!(serving.ask("OUTPUT1:STATE?"), "OFF", "it stayed off");
}

/// What a run says to Prometheus.
fn metrics(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_instrument_that_is_lost_is_counted_and_an_alarm_and_the_run_says_that_it_is_not_safe() {
    let place = Place::new();
    let serving = Serving::start(&place, RIG, &[]);
    let experiment = EXPERIMENT.replace("steps = 6", "steps = 50000");
    place.write("wired.toml", &(experiment + "\n[run]\nwait_for_instruments_seconds = 0\n"));
    let arguments = ["train", "wired.toml", "--rig", "served.toml", "--name", "long", "--metrics", "127.0.0.1:0"];
    let mut training = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(training.stderr.take().unwrap()).lines().map(Result::unwrap);
    let address =
        said.find_map(|line| Some(line.strip_prefix("pnnlab: metrics: http://")?.replace("/metrics", ""))).unwrap();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    let device = "bench=\"electrical\",device=\"electrical\"";
    wait_until("training", || value(&metrics(&address), "pnn_train_step ") > 2.0);
    let text = metrics(&address);
    assert_eq!(value(&text, &format!("pnn_lease_held{{{device}}}")), 1.0);
    assert_eq!(value(&text, &format!("pnn_device_errors_total{{{device},kind=\"io\"}}")), 0.0);
    for verb in ["command", "query", "block"] {
        let bins =
            format!("pnn_device_query_seconds_bucket{{{device},verb=\"{verb}\",backend=\"simulated\",le=\"+Inf\"}}");
        assert!(value(&text, &bins) > 0.0, "{text}");
    }
    assert!(value(&text, "pnn_train_step_seconds_sum{phase=\"plant\"}") > 0.0);
    assert_eq!(
        value(&text, "pnn_train_step_seconds_count{phase=\"twin\"}"),
        value(&text, "pnn_train_step_seconds_bucket{phase=\"twin\",le=\"+Inf\"}")
    );
    assert_eq!(value(&text, "pnn_queue_pending{queue=\"checkpoints\"}").fract(), 0.0);
    drop(serving);
    wait_until("an alarm", || value(&metrics(&address), "pnn_alarm_active{severity=\"invalid\"}") == 1.0);
    assert!(value(&metrics(&address), &format!("pnn_device_errors_total{{{device},kind=\"io\"}}")) > 0.0);
    said.by_ref().for_each(drop);
    assert_eq!(training.wait().unwrap().code(), Some(5));
    let events = place.read("runs/long/events.jsonl");
    assert!(events.contains("\"source\":\"electrical\"") && events.contains("\"severity\":\"invalid\""), "{events}");
    assert!(events.contains("\"message\":\"the plants are NOT SAFE: "), "{events}");
}

#[test]
fn a_bench_that_is_not_there_fails_its_checks_and_bad_descriptions_are_refused() {
    let place = Place::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = |from: &str, to: &str| RIG.replace(from, to);
    place.write("gone.toml", &rig("TCPIP0::192.168.1.50::5000::SOCKET", &format!("tcp://{closed}")));
    let output = place.run(&["check", "gone.toml", "--json"]);
    assert_eq!(output.status.code(), Some(9));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let check = &report["plants"][0]["checks"][0];
    assert_eq!((check["check"].as_str(), check["outcome"].as_str()), (Some("opening"), Some("failed")));
    assert!(check["why"].as_str().unwrap().contains("cannot be reached"), "{check}");

    for (from, to, sentence) in [
        (
            "TCPIP0::192.168.1.50::5000::SOCKET",
            "USB0::1::2::INSTR",
            "has the address `USB0::1::2::INSTR`, which is on a bus",
        ),
        ("rest_samples = 500", "rest_samples = 0", "instruments.waveform.rest_samples` is 0"),
        ("sample_rate_hertz = 1e6", "sample_rate_hertz = 1.1e6", "125 MHz must be divided"),
        ("protocol = \"red-pitaya\"", "protocol = \"red-pitaja\"", "Did you mean `red-pitaya`?"),
        ("drive_volts = 1.0", "drive_volts = 2.0", "above the 1 V of the output"),
    ] {
        place.write("bad.toml", &rig(from, to));
        let (code, message) = place.refusal(&["check", "bad.toml"]);
        assert_eq!(code, 3, "{message}");
        assert!(message.starts_with("pnnlab: bad.toml:") && message.contains(sentence), "{message}");
    }
    let (code, message) = place.refusal(&["serve", "gone.toml", "--fault", "no-replay"]);
    assert!(code == 2 && message.contains("`no-replay` is not a fault"), "{message}");
    place.write("simulated.toml", "name = \"s\"\n[plants.a.simulated]\nsystem = \"electrical\"\n");
    let (code, message) = place.refusal(&["serve", "simulated.toml"]);
    assert!(code == 3 && message.contains("no plant with instruments"), "{message}");
}

#[test]
fn an_audio_rig_that_cannot_be_used_is_refused_by_its_key() {
    const AUDIO: &str = include_str!("../hil/rigs/audio.toml");
    let place = Place::new();
    let refusal = |from: &str, to: &str| {
        assert!(AUDIO.contains(from), "{from}");
        place.write("audio.toml", &AUDIO.replace(from, to));
        let (code, message) = place.refusal(&["check", "audio.toml"]);
        assert_eq!(code, 3, "{message}");
        message
    };
    for (from, to, sentence) in [
        ("low = -1.0, high = 1.0", "low = -0.3, high = 0.3", "but the limits of `drive` are [-0.3, 0.3] V"),
        ("audio://hw:CARD=Box,DEV=0", "audio://", "names no audio interface"),
        (
            "samples = 512\n\n[plants.mechanical.limits",
            "samples = 64\n\n[plants.mechanical.limits",
            "the twin has 64 inputs",
        ),
        ("full_scale_volts = 1.0 ", "full_scale_volts = 0.1 ", "it must reach the 1 V of `waveform.drive_volts`"),
        (
            "bench.instruments]\n",
            "bench]\nrecord = \"sound\"\n\n[plants.mechanical.bench.instruments]\n",
            "no dialogue to record",
        ),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(sentence), "{message}");
    }
    #[cfg(not(feature = "audio"))]
    assert!(refusal("audio", "audio").contains("built without audio: build it with `--features audio`"));
}

#[test]
fn an_interlock_ends_a_run_and_an_owner_is_named() {
    let place = Place::new();
    let serving = Serving::start(
        &place,
        &format!(
            "{RIG}\n[[plants.electrical.interlocks]]\nname = \"node\"\noutput = \"node\"\nlow = -0.001\nhigh = 0.001\n"
        ),
        &[],
    );
    place.write("wired.toml", EXPERIMENT);
    let (code, message) = place.refusal(&["train", "wired.toml", "--rig", "served.toml"]);
    assert_eq!(code, 5, "{message}");
    assert!(message.contains("interlock `node`") && message.contains("was made safe"), "{message}");
    assert_eq!(serving.ask("OUTPUT1:STATE?"), "OFF");

    let address: Address = serving.address.parse().unwrap();
    let owned = Owned::take("electrical", &address).unwrap();
    let output = place.run(&["check", "served.toml", "--json"]);
    assert_eq!(output.status.code(), Some(9));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("is held by process {}", std::process::id())), "{text}");
    drop(owned);
}

#[test]
fn faults_can_be_switched_while_an_instrument_is_served() {
    let place = Place::new();
    let mut serving = Serving::start(&place, RIG, &[]);
    let mut input = serving.child.stdin.take().unwrap();
    input.write_all(b"no-reply\n").unwrap();
    let address = serving.address.strip_prefix("tcp://").unwrap().to_owned();
    // The switch takes effect when the line has been read: until then queries are answered.
    wait_until("a query without answer", || {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        stream.write_all(b"*IDN?\r\n").unwrap();
        stream.read(&mut [0; 100]).is_err()
    });
    assert!(serving.ask("*IDN?").contains("simulated"), "once");
}

#[test]
fn ports_are_listed_without_being_asked() {
    let place = Place::new();
    let listed = place.json(&["ports", "--quiet", "--json"]);
    assert!(listed["ports"].is_array());
    // Without an audio library nobody knows: that is another answer than none.
    assert_eq!(listed["audio"].is_array(), cfg!(feature = "audio"), "{listed}");
}

/// Of the bursts of some instruments, one in ten is at the end of its range.
#[test]
fn a_screen_in_the_rig_drives_suspicious_shots_again() {
    let place = Place::new();
    let _serving = Serving::start(&place, RIG, &["--fault", "saturation=0.1", "--fault", "stuck-value=0.1"]);
    let served = place.read("served.toml");
    let table = "[plants.electrical.screen]";
    let (served, _) = served.split_once(table).unwrap();
    place.write("wired.toml", EXPERIMENT);
    let train = |rig: &str| place.run(&["train", "wired.toml", "--rig", rig, "--name", rig, "--json"]);
    place.write("screened.toml", &format!("{served}{table}\nattempts = 40\n"));
    let output = train("screened.toml");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Without a second attempt the first such shot ends the run, and the error says which.
    place.write("strict.toml", &format!("{served}{table}\nattempts = 1\n"));
    let output = train("strict.toml");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(5) && text.contains("driven 1 times"), "{text}");
    place.write("bad.toml", &format!("{served}{table}\nattempts = 0\n"));
    let (code, text) = place.refusal(&["check", "bad.toml"]);
    assert!(code == 3 && text.contains("`plants.electrical.screen.attempts` is 0"), "{text}");
}

#[test]
fn limits_over_time_hold_from_one_process_to_the_next_on_a_wire() {
    let place = Place::new();
    let _serving = Serving::start(&place, RIG, &[]);
    place.write("wired.toml", EXPERIMENT);
    let train = |rig: &str, name: &str| {
        let output = place.run(&["train", "wired.toml", "--rig", rig, "--name", name, "--check", "false", "--json"]);
        (serde_json::from_slice::<Value>(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let shots = train("served.toml", "free").0.unwrap()["shots"].as_f64().unwrap();
    // A shot and its rest are 564 samples at 1 MHz: a minute has room for one such run and a half.
    let limits = format!("\n[plants.electrical.limits]\npace = false\nduty = {}\n", 1.5 * shots * 564e-6 / 60.0);
    place.write("limited.toml", &(place.read("served.toml") + &limits));
    let first = train("limited.toml", "first");
    assert!(first.0.is_ok(), "{}", first.1);
    let second = train("limited.toml", "second");
    assert!(second.0.is_err() && second.1.contains("the time driven would be"), "{}", second.1);

    // What is simulated in process is no bench that could be hurt: each run begins anew.
    let simulated = "name = \"near\"\n[plants.electrical.simulated]\nsystem = \"electrical\"\nsamples = 64\n";
    place.write("near.toml", &(simulated.to_owned() + &limits));
    for name in ["near", "again"] {
        let (finished, text) = train("near.toml", name);
        assert!(finished.is_ok(), "{text}");
    }
}
