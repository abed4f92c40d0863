//! The guard of one bench: a small process that makes it safe when this one is gone without a goodbye, however it died.
//!
//! It is this program again with a hidden argument, in a session of its own. It is told what to say to which instrument, and then waits
//! at the end of a pipe that only this process holds: the system closes it when the process is gone. `command/safety_guard.rs` is its other
//! end; `docs/safety.md` says what it cannot guard.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use drivers::{Address, SafeOrder, holder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

/// The only argument of a guard.
pub const ARGUMENT: &str = "keep-a-bench-safe";
/// What a guard says when it stands outside the terminal and will hear of our end.
pub const READY: &str = "ready";
/// What it is told before the pipe is closed where there is nothing to do.
pub const GOODBYE: &str = "goodbye";
/// A guard that has not begun after so long never will.
const START: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
/// A guard that was told goodbye ends within this.
const END: Duration = Duration::from_secs(2);
/// A guard that makes a bench safe is done with it within this, where its instruments answer.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(5);

/// What a guard is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Charge {
    /// The plant's name in the rig.
    pub plant: String,
    /// The process that it watches.
    pub controller: u32,
    /// What makes the bench safe.
    pub orders: Vec<SafeOrder>,
}

/// A guard at its post. Dropped without a goodbye, it makes the bench safe.
#[derive(Debug)]
pub struct Guard {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts the guard of the bench of the plant called `plant`, which `orders` make safe; none where there is nothing to say.
    pub fn start(plant: &str, orders: Vec<SafeOrder>) -> std::io::Result<Option<Self>> {
        if orders.is_empty() {
            return Ok(None);
        }
        let mut process = Command::new(program()?)
            .arg0("pnnlab")
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let gone = || std::io::Error::other("it ended at once");
        let (pipe, answer) = (process.stdin.take(), process.stdout.take());
        let mut guard = Self { process, pipe };
        let charge = Charge { plant: plant.to_owned(), controller: std::process::id(), orders };
        let line = serde_json::to_string(&charge)? + "\n";
        guard.pipe.as_mut().ok_or_else(gone)?.write_all(line.as_bytes())?;
        let answer = answer.ok_or_else(gone)?;
        if !matches!(poll(&mut [PollFd::new(&answer, PollFlags::IN)], Some(&START)), Ok(1..)) {
            return Err(std::io::Error::other("it does not begin"));
        }
        let mut word = String::new();
        BufReader::new(answer).read_line(&mut word)?;
        if word.trim_end() == READY { Ok(Some(guard)) } else { Err(gone()) }
    }

    /// The bench is safe, or was never touched: the guard ends and does nothing.
    pub fn say_goodbye(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // One that is gone does nothing either.
            let _ = writeln!(pipe, "{GOODBYE}");
        }
        let since = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && since.elapsed() < END {
            std::thread::sleep(LOOK);
        }
    }
}

/// This program, also where its file was replaced meanwhile.
pub fn program() -> std::io::Result<PathBuf> {
    let ours = Path::new("/proc/self/exe");
    if ours.exists() { Ok(ours.to_owned()) } else { std::env::current_exe() }
}

/// Waits until no guard of a program that died is busy with these instruments.
pub fn wait_for_others(addresses: &[Address]) {
    let since = Instant::now();
    let is_guarded =
        |address: &Address| holder(address).ok().flatten().is_some_and(|holder| holder.command.ends_with(ARGUMENT));
    while addresses.iter().any(is_guarded) && since.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
    }
}
