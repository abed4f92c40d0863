//! The safety guard, a process: waits until its controller is gone, and makes the bench safe if it left without a goodbye.
//!
//! It uses nothing that the controller uses to drive: no runtime, no links, no tensors. It is in a session of its own, so a terminal that
//! is closed does not take it, and lives on through every signal that can be caught. Before each attempt it takes the owner's lock: a
//! successor that has the bench is left alone, and one that comes meanwhile waits a moment.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, stdin};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use drivers::{Error as Failure, Owned, SafeOrder, holder};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGXCPU};

use crate::Error;
use crate::plants::lab::guard::{Charge, GOODBYE, READY};

/// One attempt has so long: two of them are possible within the second that is promised.
const ATTEMPT: Duration = Duration::from_millis(400);
/// Between two attempts, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// When it is looked at again after it was safe: what the controller had sent before it died may arrive later.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];
/// An instrument that has not answered for so long is told to the user.
const TELL: Duration = Duration::from_secs(5);
/// … and for so long is given up.
const GIVE_UP: Duration = Duration::from_mins(10);

/// Guards one bench until the controller is gone.
pub fn run() -> Result<(), Error> {
    // Fails only for who leads a group already, and then no terminal reaches it either.
    let _ = rustix::process::setsid();
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGALRM, SIGXCPU] {
        // A flag that nobody reads: the signal has no other effect.
        drop(signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))));
    }
    let mut lines = BufReader::new(stdin().lock());
    let mut line = String::new();
    let refused =
        |error: String| Error::Usage(format!("this is the guard of a bench, which pnnlab starts itself: {error}"));
    lines.read_line(&mut line).map_err(|error| refused(error.to_string()))?;
    let charge: Charge = serde_json::from_str(&line).map_err(|error| refused(error.to_string()))?;
    say!("{READY}");
    let nowhere = OpenOptions::new().write(true).open("/dev/null");
    if let Ok(nowhere) = &nowhere {
        let _ = rustix::stdio::dup2_stdout(nowhere);
    }
    let places: Vec<Vec<SocketAddr>> = charge.orders.iter().map(SafeOrder::resolve).collect();
    let mut word = String::new();
    // A pipe that cannot be read is one whose other end is gone.
    let _ = lines.read_line(&mut word);
    if word.trim_end() == GOODBYE {
        return Ok(());
    }
    for (order, at) in charge.orders.iter().zip(&places) {
        make_safe(&charge, order, at);
    }
    Ok(())
}

/// How an attempt went.
enum Attempt {
    Safe,
    /// Somebody else has the bench and answers for it.
    Taken,
    Failed(Failure),
}

/// Makes one instrument safe, as long as it takes.
fn make_safe(charge: &Charge, order: &SafeOrder, at: &[SocketAddr]) {
    let (since, plant) = (Instant::now(), &charge.plant);
    let (mut pause, mut told) = (FIRST_PAUSE, false);
    for number in 0.. {
        match attempt(charge.controller, order, at, number) {
            Attempt::Safe => {
                tell!("pnnlab: its controller is gone; the guard of plant `{plant}` has made it safe");
                return;
            }
            Attempt::Taken => return,
            Attempt::Failed(error) if GIVE_UP < since.elapsed() => {
                tell!("pnnlab: plant `{plant}` is NOT SAFE, and its guard gives up: {error}");
                return;
            }
            Attempt::Failed(error) if !told && TELL < since.elapsed() => {
                tell!(
                    "pnnlab: its controller is gone, and plant `{plant}` is NOT SAFE: {error}. Its guard goes on trying; switch the bench off by hand"
                );
                told = true;
                // Whoever waits for the end of what was written there is not kept waiting.
                if let Ok(nowhere) = OpenOptions::new().write(true).open("/dev/null") {
                    let _ = rustix::stdio::dup2_stderr(&nowhere);
                }
            }
            Attempt::Failed(_) => {}
        }
        std::thread::sleep(pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// Switches off, and looks again after a while.
fn attempt(controller: u32, order: &SafeOrder, at: &[SocketAddr], number: u32) -> Attempt {
    let address = match order.address.parse() {
        Ok(address) => address,
        Err(error) => return Attempt::Failed(error),
    };
    let owned = match Owned::take(&order.instrument, &address) {
        Err(error @ Failure::Owned { .. }) => {
            // The system may close our pipe before it takes back the lock of a process that ends.
            let found = holder(&address).ok().flatten();
            let successor = found.is_some_and(|holder| ![0, controller].contains(&holder.process));
            return if successor { Attempt::Taken } else { Attempt::Failed(error) };
        }
        // Where locks cannot be had, nobody has one.
        owned => owned.ok(),
    };
    let at = if at.is_empty() { &order.resolve()[..] } else { at };
    for pause in LOOKS.into_iter().map(Some).chain([None]) {
        if let Err(error) = order.carry_out(at, number, ATTEMPT) {
            return Attempt::Failed(error);
        }
        pause.into_iter().for_each(std::thread::sleep);
    }
    drop(owned);
    Attempt::Safe
}
