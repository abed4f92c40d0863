//! `pnnlab safe`: brings a bench to its safe state from another terminal, at once, whoever holds it.
//!
//! A side connection switches the outputs off. At the same time whoever holds the instruments is asked to pause, over its control
//! socket, or else to end; only then can nobody switch them on again, and they are switched off once more. A serial port, an audio
//! interface and an instrument that talks to one client at a time admit no side connection: there the holder switches off, or goes first.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use drivers::{Address, Holder, holder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::rig::InstrumentsConfig;
use crate::run::{Reply, Request, connect};
use crate::{Document, Error, Rig};

/// A run that was asked over its socket has so long to drive its last shots and switch off.
const ANSWER: Duration = Duration::from_secs(2);
/// A holder that was told to end has so long to close its run; on a serial port nobody can switch anything off before that.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks whether the holder is gone.
const LOOK: Duration = Duration::from_millis(5);

/// `pnnlab safe`.
#[derive(Debug, Args)]
pub struct SafeArgs {
    /// The rig file
    pub rig: PathBuf,
    /// Only these plants, with commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub plants: Vec<String>,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// How one plant was made safe.
struct Made {
    plant: String,
    /// Until the outputs were off.
    off: Option<Duration>,
    /// What became of the holder.
    holder: String,
    error: Option<Error>,
}

/// Makes all plants safe, side by side.
pub fn run(arguments: &SafeArgs) -> Result<(), Error> {
    let rig = Rig::find(Some(&arguments.rig), &Document::parse("no experiment", "")?)?;
    let names = rig.chosen(&arguments.plants)?;
    let made: Vec<Made> = std::thread::scope(|scope| {
        let threads: Vec<_> = names
            .iter()
            .filter_map(|name| Some((name, &rig.config.plants.get(*name)?.bench.as_ref()?.instruments)))
            .map(|(name, instruments)| scope.spawn(|| make_safe(&rig, name, instruments)))
            .collect();
        // A thread ends by itself: it panics nowhere, and each of its steps has a deadline.
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    if arguments.json {
        let plants: Vec<_> = made
            .iter()
            .map(|made| {
                json!({
                    "plant": made.plant,
                    "safe": made.error.is_none(),
                    "off_seconds": made.off.map(|off| off.as_secs_f64()),
                    "holder": made.holder,
                    "why": made.error.as_ref().map(ToString::to_string),
                })
            })
            .collect();
        say!("{:#}", json!({ "rig": rig.config.name, "plants": plants }));
    } else {
        for made in made.iter().filter(|made| made.error.is_none()) {
            let off = made.off.map_or(0.0, |off| 1e3 * off.as_secs_f64());
            say!("plant `{}` is safe: outputs off after {off:.0} ms; {}", made.plant, made.holder);
        }
        if made.is_empty() {
            say!("the rig `{}` has no instruments: there is nothing to switch off", rig.config.name);
        }
    }
    made.into_iter().find_map(|made| made.error).map_or(Ok(()), Err)
}

/// One plant.
fn make_safe(rig: &Rig, name: &str, instruments: &InstrumentsConfig) -> Made {
    let start = Instant::now();
    let mut made = Made { plant: name.to_owned(), off: None, holder: "nobody held it".to_owned(), error: None };
    let result = (|| {
        let addresses = instruments.addresses(name, rig.folder())?;
        let holders: Vec<(&Address, Holder)> =
            addresses.iter().filter_map(|address| Some((address, holder(address)?))).collect();
        let exclusive = holders.iter().any(|(address, _)| address.is_exclusive());
        let beside = || instruments.make_safe_beside(name, rig.folder()).map(|()| start.elapsed());
        let mut paused = false;
        let first = std::thread::scope(|scope| {
            let first = (!exclusive).then(|| scope.spawn(beside));
            for (address, holder) in &holders {
                (made.holder, paused) = stop_holder(address, holder);
            }
            let stopped = start.elapsed();
            // A thread ends by itself: it panics nowhere, and each of its steps has a deadline.
            let first = first.and_then(|first| first.join().ok());
            if let Some(Ok(off)) = &first {
                made.off = Some(*off);
            } else if paused {
                made.off = Some(stopped);
            }
            first
        });
        match first {
            // Again: between the first time and its pause or end the holder may have switched the outputs on.
            Some(Ok(_)) if !holders.is_empty() => drop(beside()?),
            Some(Ok(_)) => {}
            // It holds the only connection, and has said that it has switched off.
            _ if paused => {}
            Some(Err(error)) if holders.is_empty() => return Err(error),
            _ => made.off = Some(beside()?),
        }
        Ok(())
    })();
    made.error = result.err().map(Error::plant(name));
    made
}

/// Asks the run in `folder` to make its plants safe and pause.
fn ask_to_be_safe(folder: &Path) -> std::io::Result<()> {
    let mut stream = connect(folder)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let line = serde_json::to_string(&Request::Safe)? + "\n";
    stream.write_all(line.as_bytes())?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply)?;
    match serde_json::from_str(&reply)? {
        Reply::Done { .. } => Ok(()),
        Reply::Refused { message } => Err(std::io::Error::other(message)),
        Reply::Status(_) => Err(std::io::Error::other("the run answered something else")),
    }
}

/// Lets the holder of an instrument pause or end: what became of it, and whether it still holds the instrument.
fn stop_holder(address: &Address, held: &Holder) -> (String, bool) {
    if let Some(control) = &held.control
        && ask_to_be_safe(control).is_ok()
    {
        return (format!("its run, {held}, is paused: resume or stop it from the dashboard"), true);
    }
    let Some(process) = i32::try_from(held.process).ok().and_then(Pid::from_raw) else {
        return (format!("its holder, {held}, cannot be asked to end"), false);
    };
    for (signal, patience) in [(Signal::TERM, PATIENCE), (Signal::KILL, PATIENCE)] {
        // A process that is already gone needs no signal.
        let _ = kill_process(process, signal);
        let start = Instant::now();
        while start.elapsed() < patience {
            if holder(address).as_ref().map(|now| now.process) != Some(held.process) {
                return (format!("its holder, {held}, was ended"), false);
            }
            std::thread::sleep(LOOK);
        }
    }
    (format!("its holder, {held}, does not end"), false)
}
