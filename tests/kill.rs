//! `kill -9` of the controller in the middle of training: the instrument makes itself safe within its watchdog time.
//!
//! Three random moments by default; `PNNLAB_KILLS=100 cargo test --test main kill` for a hundred.

use std::process::Child;
use std::time::{Duration, Instant};

use hil::Faults;
use hil::pnnlink::{Build, Firmware, Place as Wire, Served};
use sims::{Electrical, Key};

use crate::program::{Place, endless};

/// The watchdog time that the rig file asks for.
const WATCHDOG: Duration = Duration::from_millis(500);
/// What a busy machine may add to the simulated instrument's own time: it is a thread among others.
const SLACK: Duration = Duration::from_millis(500);

/// A simulated instrument for the circuit of `SMALL`, and a rig file that names it.
fn serve(place: &Place) -> Served {
    let built = Electrical { samples: 64, ..Electrical::default() }.build().unwrap();
    let faults = Faults::new(0);
    let firmware = Firmware::new(built.system, Build::default(), faults.clone());
    let served = Served::start(firmware, Wire::Pty(place.path("tty")), None, &faults).unwrap();
    let rig = format!(
        "name = \"kill\"\n[plants.electrical.bench.instruments]\nprotocol = \"pnnlink\"\nwiring = \"none\"\n\
         address = \"{}\"\nwatchdog_seconds = {}\n[plants.electrical.bench.twin]\nsystem = \"electrical\"\nsamples = 64\n",
        served.address(),
        WATCHDOG.as_secs_f64()
    );
    place.write("rig.toml", &rig);
    served
}

fn wait_until(complaint: &str, bound: Duration, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + bound;
    while !happened() {
        assert!(Instant::now() < end, "{complaint}");
        std::thread::yield_now();
    }
}

/// Kills the training after so many more shots; how long the instrument then took to be safe, by its own clock.
fn kill_after(served: &Served, mut child: Child, shots: u64) -> Duration {
    let before = served.report().driven;
    wait_until("the training drives shots", Duration::from_mins(2), || before + shots <= served.report().driven);
    assert!(!served.report().is_safe, "it trains");
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    wait_until("the watchdog makes it safe", Duration::from_mins(1), || served.report().is_safe);
    served.report().safe_since.unwrap().saturating_duration_since(killed)
}

#[test]
fn after_kill_nine_the_instrument_is_safe_within_its_watchdog_time() {
    let kills: u64 = std::env::var("PNNLAB_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(3);
    let place = Place::new();
    // The rig says what the circuit is.
    place.write("small.toml", &endless().replace("[plants.electrical.simulated]\nsamples = 64\n", ""));
    let served = serve(&place);
    let mut random = Key::new(9).stream();
    let mut longest = Duration::ZERO;
    for number in 0..kills {
        let name = format!("run-{number}");
        let arguments = ["train", "small.toml", "--rig", "rig.toml", "--name", &name];
        let child = place.command(&arguments).spawn().unwrap();
        let took = kill_after(&served, child, 1 + random.below(4000) as u64);
        longest = longest.max(took);
        assert!(took <= WATCHDOG + SLACK, "kill {number}: safe after {took:?}");
        assert_eq!(u64::from(served.report().watchdog_trips), number + 1, "by its watchdog, not by goodbye");
    }
    println!("{kills} kills: safe after at most {longest:?} of {WATCHDOG:?}");
}
