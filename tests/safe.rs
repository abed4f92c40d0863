//! `pnnlab safe` where nothing can be switched off beside the holder: on serial ports, with holders that obey, and that do not.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::Place;
use crate::wires::{EXPERIMENT, Serving, wait_until};

const RED_PITAYA: &str = include_str!("../hil/rigs/red-pitaya.toml");

/// One line to the instrument on its pseudo-terminal, when nobody else holds it, and its answer. A guard that has not begun by then
/// finds it taken.
fn ask(serving: &Serving, line: &str) -> String {
    let address = serving.address.parse().unwrap();
    let mut owned = None;
    wait_until("an instrument that is free", || {
        owned = drivers::Owned::take("test", &address).ok();
        owned.is_some()
    });
    let path = serving.address.strip_prefix("serial://").unwrap().split('?').next().unwrap();
    let mut port = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    port.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(port).read_line(&mut answer).unwrap();
    answer.trim_end().to_owned()
}

/// Who holds the served instrument.
fn holder(serving: &Serving) -> Option<u32> {
    drivers::holder(&serving.address.parse().unwrap()).unwrap().map(|holder| holder.process)
}

/// Starts a holder of the served instrument.
fn hold(place: &Place, serving: &Serving, arguments: &[&str]) -> Child {
    let mut command = place.command(arguments);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("holding", || holder(serving) == Some(child.id()));
    child
}

/// What `pnnlab safe` says of the one plant.
fn safe(place: &Place) -> Value {
    let plant = place.json(&["safe", "served.toml", "--json"])["plants"][0].clone();
    assert_eq!(plant["safe"], Value::Bool(true), "{plant}");
    assert!(plant["off_seconds"].as_f64().is_some(), "{plant}");
    assert!(plant["looked_seconds"].as_f64().unwrap() >= 1.0, "it is looked at for a second: {plant}");
    plant
}

/// Why `command`, a `pnnlab safe --json`, says that the one plant is not safe.
fn unsafe_because(mut command: Command) -> Value {
    let output = command.output().unwrap();
    let (said, complaint) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(5), "{said}{complaint}");
    assert!(complaint.contains("is NOT SAFE: "), "{complaint}");
    let plant = serde_json::from_str::<Value>(&said).unwrap()["plants"][0].clone();
    assert_eq!(plant["safe"], Value::Bool(false), "{plant}");
    plant
}

#[test]
fn a_training_on_a_serial_port_switches_off_and_waits() {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &["--pty"]);
    place.write("wired.toml", &EXPERIMENT.replace("steps = 6", "steps = 50000"));
    let arguments = ["train", "wired.toml", "--rig", "served.toml", "--name", "long", "--check", "false", "--json"];
    let mut training = hold(&place, &serving, &arguments);
    wait_until("training", || {
        std::fs::read_to_string(place.path("runs/long/metrics.csv")).is_ok_and(|text| 1 < text.lines().count())
    });
    let made = safe(&place);
    assert!(made["holder"].as_str().unwrap().contains("is paused"), "{made}");
    assert!(training.try_wait().unwrap().is_none(), "it goes on when it is told to");
    // What kill -9 leaves is what `safe` has made of it.
    training.kill().unwrap();
    training.wait().unwrap();
    // The guard asks on the same line meanwhile, and may take an answer.
    wait_until("an output that is off", || ask(&serving, "OUTPUT1:STATE?") == "OFF");
}

#[test]
fn a_holder_without_a_socket_is_told_to_end_and_obeys() {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &["--pty"]);
    let arguments = ["response", "electrical", "--rig", "served.toml", "--average", "65535", "--json"];
    let mut measuring = hold(&place, &serving, &arguments);
    let made = safe(&place);
    assert!(made["holder"].as_str().unwrap().contains("was ended"), "{made}");
    assert_eq!(measuring.wait().unwrap().code(), Some(130), "by itself, after it had made the plant safe");
    assert_eq!(ask(&serving, "OUTPUT1:STATE?"), "OFF");
}

#[test]
fn a_holder_that_hangs_is_killed_and_the_output_switched_off() {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &["--pty"]);
    let arguments = ["response", "electrical", "--rig", "served.toml", "--average", "65535", "--json"];
    let mut hanging = hold(&place, &serving, &arguments);
    kill_process(Pid::from_child(&hanging), Signal::STOP).unwrap();
    let made = safe(&place);
    assert!(made["holder"].as_str().unwrap().contains("was ended"), "{made}");
    assert_eq!(hanging.wait().unwrap().code(), None, "by a signal");
    assert_eq!(ask(&serving, "OUTPUT1:STATE?"), "OFF");
}

/// A way to an instrument for one client at a time: the next one waits until it has gone.
fn one_at_a_time(address: &str) -> String {
    let far = address.strip_prefix("tcp://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = format!("tcp://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut near in listener.incoming().map_while(Result::ok) {
            let Ok(mut far) = TcpStream::connect(&far) else { return };
            let (mut answers, mut asker) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            let back = std::thread::spawn(move || {
                drop(std::io::copy(&mut answers, &mut asker));
                drop(asker.shutdown(Shutdown::Both));
            });
            drop(std::io::copy(&mut near, &mut far));
            drop(far.shutdown(Shutdown::Both));
            back.join().unwrap();
        }
    });
    here
}

#[test]
fn an_instrument_that_talks_to_one_client_is_switched_off_by_its_holder() {
    let place = Place::new();
    let mut serving = Serving::start(&place, include_str!("../hil/rigs/optical.toml"), &[]);
    let narrow = one_at_a_time(&serving.address);
    place.write("served.toml", &place.read("served.toml").replace(&serving.address, &narrow));
    serving.address = narrow;
    let experiment = EXPERIMENT
        .replace("kind = \"scale-offset\"\nwidth = 64", "kind = \"pick\"\ncount = 50")
        .replace("\"electrical\"", "\"optical\"")
        .replace("batch = 24", "batch = 2")
        .replace("steps = 6", "steps = 1000000");
    place.write("light.toml", &experiment);
    let arguments = ["train", "light.toml", "--rig", "served.toml", "--name", "long", "--check", "false", "--json"];
    let mut training = hold(&place, &serving, &arguments);
    wait_until("training", || {
        std::fs::read_to_string(place.path("runs/long/metrics.csv")).is_ok_and(|text| 1 < text.lines().count())
    });
    let made = safe(&place);
    assert!(made["holder"].as_str().unwrap().contains("is paused"), "{made}");
    // A run pauses between two batches; a connection that nobody answers is waited for as long as an instrument may take to open.
    assert!(made["off_seconds"].as_f64().unwrap() < 2.0, "without waiting for a connection of its own: {made}");
    training.kill().unwrap();
    training.wait().unwrap();
}

#[test]
fn a_board_on_a_serial_port_is_safe_after_its_holder_hangs() {
    let place = Place::new();
    let serving = Serving::start(&place, include_str!("../hil/rigs/pnnlink.toml"), &["--pty"]);
    let arguments = ["response", "electrical", "--rig", "served.toml", "--average", "65535", "--json"];
    let mut hanging = hold(&place, &serving, &arguments);
    kill_process(Pid::from_child(&hanging), Signal::STOP).unwrap();
    // The board answers `safe` that it is safe; its watchdog is not waited for.
    safe(&place);
    hanging.wait().unwrap();
    assert_eq!(holder(&serving), None);
}

/// `served.toml` with another spelling of the address.
fn spelled(place: &Place, serving: &Serving, address: &str) {
    let rig = place.read("served.toml");
    assert!(rig.contains(&serving.address), "{rig}");
    place.write("spelled.toml", &rig.replace(&serving.address, address));
}

#[test]
fn one_bench_by_another_spelling_is_held_and_made_safe() {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &[]);
    let port = serving.address.rsplit_once(':').unwrap().1;
    let arguments = ["response", "electrical", "--rig", "served.toml", "--average", "65535", "--json"];
    let mut measuring = hold(&place, &serving, &arguments);
    for host in ["localhost", "[::1]", "127.1"] {
        spelled(&place, &serving, &format!("tcp://{host}:{port}"));
        let (code, message) = place.refusal(&["response", "electrical", "--rig", "spelled.toml"]);
        assert_eq!(code, 5, "{host}: {message}");
        assert!(message.contains(&format!("is held by process {}", measuring.id())), "{host}: {message}");
    }
    spelled(&place, &serving, &format!("tcp://localhost:{port}"));
    let plant = place.json(&["safe", "spelled.toml", "--json"])["plants"][0].clone();
    assert!(plant["holder"].as_str().unwrap().contains("was ended"), "{plant}");
    assert_eq!(measuring.wait().unwrap().code(), Some(130), "by itself, after it had made the plant safe");
}

#[test]
fn two_plants_of_a_rig_on_one_instrument_are_refused_by_name() {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &[]);
    let served = place.read("served.toml");
    let (head, plant) = served.split_once("[plants.electrical").unwrap();
    let plant = format!("[plants.electrical{plant}");
    let port = serving.address.rsplit_once(':').unwrap().1;
    let twice = plant
        .replace("plants.electrical", "plants.again")
        .replace(&serving.address, &format!("tcp://localhost:{port}"));
    place.write("twice.toml", &format!("{head}{plant}\n{twice}"));
    let two = EXPERIMENT.replace(
        "[[layers]]\nkind = \"bins\"",
        "[[layers]]\nkind = \"scale-offset\"\nwidth = 64\n\n[[layers]]\nkind = \"physical\"\nplant = \"again\"\n\n[[layers]]\nkind = \"bins\"",
    );
    assert_ne!(two, EXPERIMENT);
    place.write("two.toml", &two);
    let (code, message) = place.refusal(&["train", "two.toml", "--rig", "twice.toml", "--check", "false"]);
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("plants.") && message.contains("which is that of plant `"), "{message}");
    assert!(message.contains("electrical") && message.contains("again"), "{message}");
}

/// A script that drives the served instrument past every lock: it switches on whenever it is off.
fn stranger(serving: &Serving) -> (std::sync::Arc<std::sync::atomic::AtomicBool>, std::thread::JoinHandle<()>) {
    use std::sync::atomic::{AtomicBool, Ordering};
    let address = serving.address.strip_prefix("tcp://").unwrap().to_owned();
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let drives = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        while !stopped.load(Ordering::Relaxed) {
            stream.write_all(b"OUTPUT1:STATE ON\r\nOUTPUT1:STATE?\r\n").unwrap();
            let mut answer = [0; 2];
            std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    (stop, drives)
}

#[test]
fn a_bench_that_is_on_again_is_not_said_to_be_safe() {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &[]);
    let (stop, drives) = stranger(&serving);
    let plant = unsafe_because(place.command(&["safe", "served.toml", "--json"]));
    let why = plant["why"].as_str().unwrap();
    assert!(why.contains("is on again") || why.contains("was told OUTPUT1:STATE = OFF, but says"), "{why}");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    drives.join().unwrap();
    safe(&place);
}

#[test]
fn where_the_holder_cannot_be_looked_up_nobody_says_safe() {
    let place = Place::new();
    let _serving = Serving::start(&place, RED_PITAYA, &[]);
    // A folder that others can write, and one that is a link.
    std::fs::create_dir(place.path("open")).unwrap();
    std::fs::set_permissions(place.path("open"), PermissionsExt::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(place.path("open"), place.path("link")).unwrap();
    for folder in ["open", "link"] {
        let mut command = place.command(&["safe", "served.toml", "--json"]);
        command.env("PNNLAB_RUNTIME_DIR", place.path(folder));
        let plant = unsafe_because(command);
        assert!(plant["why"].as_str().unwrap().contains("could not look up the holder"), "{plant}");
        assert!(plant["off_seconds"].is_number(), "it was switched off all the same: {plant}");
        // Nor is it opened.
        let mut command = place.command(&["response", "electrical", "--rig", "served.toml"]);
        let output = command.env("PNNLAB_RUNTIME_DIR", place.path(folder)).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{output:?}");
    }
    assert_eq!(std::fs::read_dir(place.path("open")).unwrap().count(), 0);
}

/// What hides a holder from files does not hide it from the kernel.
#[cfg(target_os = "linux")]
#[test]
fn a_holder_whose_lock_is_deleted_emptied_or_elsewhere_is_found() {
    for hide in ["delete", "empty", "elsewhere"] {
        let place = Place::new();
        let serving = Serving::start(&place, RED_PITAYA, &[]);
        std::fs::create_dir(place.path("a")).unwrap();
        std::fs::set_permissions(place.path("a"), PermissionsExt::from_mode(0o700)).unwrap();
        let arguments = ["response", "electrical", "--rig", "served.toml", "--average", "65535", "--json"];
        let mut command = place.command(&arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).env("PNNLAB_RUNTIME_DIR", place.path("a"));
        let mut measuring = command.spawn().unwrap();
        // By the kernel's name, from the folder of this process.
        wait_until("holding", || holder(&serving) == Some(measuring.id()));
        for lock in std::fs::read_dir(place.path("a")).unwrap().map(|lock| lock.unwrap().path()) {
            match hide {
                "delete" => std::fs::remove_file(lock).unwrap(),
                "empty" => std::fs::write(lock, "").unwrap(),
                _ => {}
            }
        }
        let folder = if hide == "elsewhere" { "b" } else { "a" };
        let mut command = place.command(&["safe", "served.toml", "--json"]);
        let output = command.env("PNNLAB_RUNTIME_DIR", place.path(folder)).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("was ended"), "{hide}: {said}");
        assert_eq!(measuring.wait().unwrap().code(), Some(130), "{hide}");
    }
}

#[test]
fn a_lock_that_names_an_innocent_process_costs_it_nothing() {
    let place = Place::new();
    let serving = Serving::start(&place, RED_PITAYA, &["--pty"]);
    let mut innocent = Command::new("sleep").arg("600").spawn().unwrap();
    // Held by this test, which is no pnnlab and writes that it is somebody else.
    let owned = drivers::Owned::take("electrical", &serving.address.parse().unwrap()).unwrap();
    let folder = std::path::PathBuf::from(std::env::var_os("PNNLAB_RUNTIME_DIR").unwrap());
    let own = format!("\"process\":{},", std::process::id());
    let locks = std::fs::read_dir(folder).unwrap().map(|lock| lock.unwrap().path());
    let device = std::fs::canonicalize(serving.address.strip_prefix("serial://").unwrap().split('?').next().unwrap());
    let number = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata(device.unwrap()).unwrap());
    let name = format!("serial-{}-{}.lock", rustix::fs::major(number), rustix::fs::minor(number));
    let lock =
        locks.filter(|lock| lock.ends_with(&name)).find(|lock| std::fs::read_to_string(lock).unwrap().contains(&own));
    let lock = lock.unwrap();
    let lie = std::fs::read_to_string(&lock).unwrap().replace(&own, &format!("\"process\":{},", innocent.id()));
    std::fs::write(&lock, lie).unwrap();
    let plant = unsafe_because(place.command(&["safe", "served.toml", "--json"]));
    let why = plant["why"].as_str().unwrap();
    assert!(why.contains("is not a pnnlab") || why.contains("not known by its process number"), "{why}");
    assert!(innocent.try_wait().unwrap().is_none(), "it lives");
    innocent.kill().unwrap();
    innocent.wait().unwrap();
    drop(owned);
}
