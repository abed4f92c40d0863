//! `pnnlab safe`: brings a bench to its safe state from another terminal, at once, whoever holds it.
//!
//! A side connection switches the outputs off. At the same time whoever holds the instruments is asked to pause, over its control
//! socket, or else to end; only then can nobody switch them on again, and they are switched off once more. Then they are looked at for a
//! second: what is on again, a holder that does not end, and one that cannot be looked up are NOT SAFE (`docs/locks.md`). A serial port, an audio
//! interface and an instrument that talks to one client at a time admit no side connection: there the holder switches off, or goes first.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use drivers::{Address, Grip, Holder, holder};
use serde_json::{Value, json};

use crate::Error;
use crate::control::{Reply, Request, RunState, connect};
use crate::document::Document;
use crate::plants::{InstrumentsConfig, Rig};

/// A run that was asked over its socket has so long to drive its last shots and switch off.
const ANSWER: Duration = Duration::from_secs(2);
/// A holder that was told to end has so long to close its run: longer than an instrument may take for one answer (2 s). On a serial
/// port nobody can switch anything off before that.
const PATIENCE: Duration = Duration::from_secs(3);
/// After it was switched off, a bench is looked at for so long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// No reply of a run is longer.
const LONGEST_REPLY: u64 = 1 << 24;
/// Between two looks whether the holder is gone.
const LOOK: Duration = Duration::from_millis(10);

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
    /// How long it was looked at afterwards.
    looked: Option<Duration>,
    /// What became of the holder.
    holder: String,
    /// Why nobody can say that it is safe.
    complaints: Vec<String>,
}

/// Makes all plants safe, side by side.
pub fn run(arguments: &SafeArgs) -> Result<(), Error> {
    let rig = Rig::find(Some(&arguments.rig), &Document::parse("no experiment", "")?)?;
    let names = rig.chosen(&arguments.plants)?;
    let made: Vec<Made> = std::thread::scope(|scope| {
        let threads: Vec<_> = names
            .iter()
            .filter_map(|name| Some((name, &rig.config.plants.get(*name)?.bench.as_ref()?.instruments)))
            .map(|(name, instruments)| (name, scope.spawn(|| make_safe(&rig, name, instruments))))
            .collect();
        let joined = threads.into_iter().map(|(name, thread)| thread.join().unwrap_or_else(|_| Made::broken(name)));
        joined.collect()
    });
    if arguments.json {
        say!("{:#}", json!({ "rig": rig.config.name, "plants": made.iter().map(Made::facts).collect::<Vec<_>>() }));
    } else {
        made.iter().filter(|made| made.complaints.is_empty()).for_each(|made| say!("{made}"));
        if made.is_empty() {
            say!("the rig `{}` has no instruments: there is nothing to switch off", rig.config.name);
        }
    }
    let mut errors = made.into_iter().filter_map(Made::error);
    let first = errors.next().map_or(Ok(()), Err);
    // The first is said at the end, as for all commands.
    errors.for_each(|error| tell!("pnnlab: {error}"));
    first
}

impl Made {
    fn new(plant: &str) -> Self {
        let holder = "nobody held it".to_owned();
        Self { plant: plant.to_owned(), off: None, looked: None, holder, complaints: vec![] }
    }

    /// One whose thread has ended early.
    fn broken(plant: &str) -> Self {
        Self { complaints: vec!["this program failed while it made it safe".to_owned()], ..Self::new(plant) }
    }

    /// Notes what is not as it should be.
    fn note<T>(&mut self, result: Result<T, impl ToString>) -> Option<T> {
        result.map_err(|error| self.complaints.push(error.to_string())).ok()
    }

    fn facts(&self) -> Value {
        let error = || self.complaints.join("; ");
        json!({
            "plant": self.plant,
            "safe": self.complaints.is_empty(),
            "off_seconds": self.off.map(|off| off.as_secs_f64()),
            "looked_seconds": self.looked.map(|looked| looked.as_secs_f64()),
            "holder": self.holder,
            "why": (!self.complaints.is_empty()).then(error),
        })
    }

    fn error(self) -> Option<Error> {
        let why = self.complaints.join("; ");
        (!why.is_empty()).then_some(Error::NotSafe { plant: self.plant, why })
    }
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { plant, holder, .. } = self;
        let off = self.off.map_or(0.0, |off| 1e3 * off.as_secs_f64());
        let looked = self.looked.map_or(0.0, |looked| looked.as_secs_f64());
        write!(f, "plant `{plant}` is safe: outputs off after {off:.0} ms, and still off {looked:.1} s later; {holder}")
    }
}

/// One plant.
fn make_safe(rig: &Rig, name: &str, instruments: &InstrumentsConfig) -> Made {
    let mut made = Made::new(name);
    let Some(addresses) = made.note(instruments.addresses(name, rig.folder())) else { return made };
    let mut bench =
        Bench { rig, name, instruments, addresses, start: Instant::now(), paused: None, admits_others: false };
    let holders = bench.holders(&mut made);
    bench.switch_off(&holders, &mut made);
    bench.look_again(&mut made);
    made
}

/// The instruments of a plant while it is made safe.
struct Bench<'a> {
    rig: &'a Rig,
    name: &'a str,
    instruments: &'a InstrumentsConfig,
    addresses: Vec<Address>,
    start: Instant,
    /// The run that holds them, has switched off, and is paused.
    paused: Option<Holder>,
    /// Whether they took a connection beside it.
    admits_others: bool,
}

/// What became of a holder.
enum Stopped {
    /// Its run has switched off and is paused.
    Paused,
    /// It has ended.
    Ended,
    /// It has not; the rest of the sentence "its holder …".
    Not(String),
}

impl Bench<'_> {
    /// Who holds the instruments, each once. What cannot be looked up is a complaint: somebody may drive on.
    fn holders(&self, made: &mut Made) -> Vec<Holder> {
        let mut all: Vec<Holder> = vec![];
        for address in &self.addresses {
            let found = holder(address).map_err(|error| format!("could not look up the holder of {address}: {error}"));
            let Some(Some(found)) = made.note(found) else { continue };
            if !all.iter().any(|known| known.process == found.process && known.control == found.control) {
                all.push(found);
            }
        }
        all
    }

    fn beside(&self) -> Result<(), drivers::Error> {
        self.instruments.make_safe_beside(self.name, self.rig.folder())
    }

    fn is_exclusive(&self) -> bool {
        self.addresses.iter().any(Address::is_exclusive)
    }

    /// Switches the outputs off, lets the holders pause or end, and switches off once more.
    fn switch_off(&mut self, holders: &[Holder], made: &mut Made) {
        let start = self.start;
        // Somebody holds the only connection.
        let admits_nobody = self.is_exclusive() && !holders.is_empty();
        let (first, stopped) = std::thread::scope(|scope| {
            let first = (!admits_nobody).then(|| scope.spawn(|| self.beside().map(|()| start.elapsed())));
            let stopped: Vec<Stopped> = holders.iter().map(|holder| self.stop(holder)).collect();
            let after = start.elapsed();
            // A thread ends by itself: it panics nowhere, and each of its steps has a deadline.
            let first = first.and_then(|first| first.join().ok());
            (first, (stopped, after))
        });
        let (stopped, after) = stopped;
        for (holder, stopped) in holders.iter().zip(stopped) {
            made.holder = match stopped {
                Stopped::Paused => {
                    self.paused = Some(holder.clone());
                    format!("its run, {holder}, is paused: resume or stop it from the dashboard")
                }
                Stopped::Ended => format!("its holder, {holder}, was ended"),
                Stopped::Not(why) => {
                    made.complaints.push(format!("its holder, {holder}, {why}"));
                    format!("its holder, {holder}, {why}")
                }
            };
        }
        self.admits_others = matches!(first, Some(Ok(_)));
        match first {
            Some(Ok(off)) => made.off = Some(off),
            _ if self.paused.is_some() => made.off = Some(after),
            _ => {}
        }
        let again = match first {
            // Between the first time and its pause or end a holder may have switched the outputs on.
            Some(Ok(_)) if holders.is_empty() => return,
            Some(Ok(_)) => self.beside(),
            // It holds the only connection, and has said that it has switched off.
            _ if self.paused.is_some() => return,
            Some(Err(error)) if holders.is_empty() => Err(error),
            _ => self.beside().inspect(|()| made.off = Some(start.elapsed())),
        };
        if again.is_err() {
            made.off = None;
        }
        made.note(again);
    }

    /// Looks for a while whether the outputs stay off, and that nobody else has taken the instruments.
    fn look_again(&self, made: &mut Made) {
        if made.off.is_none() {
            return;
        }
        let start = Instant::now();
        match &self.paused {
            // It has the only connection, so it is asked.
            Some(run) if !self.admits_others => {
                std::thread::sleep(LOOK_AGAIN);
                made.note(self.stays_paused(run));
            }
            _ => {
                made.note(self.instruments.stays_safe_beside(self.name, self.rig.folder(), LOOK_AGAIN));
            }
        }
        made.looked = Some(start.elapsed());
        for address in &self.addresses {
            let is_known = |found: &Holder| self.paused.as_ref().is_some_and(|run| run.process == found.process);
            match holder(address) {
                Ok(Some(found)) if !is_known(&found) => {
                    let complaint = format!("it is held by {found}, which may drive it again");
                    if !made.complaints.iter().any(|known| known.contains(&found.to_string())) {
                        made.complaints.push(complaint);
                    }
                }
                // What could not be looked up before has been said.
                _ => {}
            }
        }
    }

    /// Lets a holder pause or end.
    fn stop(&self, held: &Holder) -> Stopped {
        if ask(held, &Request::Safe).is_ok_and(|reply| matches!(reply, Reply::Done { .. })) {
            return Stopped::Paused;
        }
        let grip = match held.grip() {
            Ok(grip) => grip,
            // It may have ended by itself meanwhile.
            Err(_) if !self.holds(held) => return Stopped::Ended,
            Err(why) => return Stopped::Not(why),
        };
        for send in [Grip::terminate, Grip::kill] {
            if let Err(error) = send(&grip)
                && self.holds(held)
            {
                return Stopped::Not(format!("cannot be ended: {error}"));
            }
            let sent = Instant::now();
            while sent.elapsed() < PATIENCE {
                if !self.holds(held) {
                    return Stopped::Ended;
                }
                std::thread::sleep(LOOK);
            }
        }
        Stopped::Not("does not end".to_owned())
    }

    /// Whether a run is still paused, or has ended, or what else it does.
    fn stays_paused(&self, run: &Holder) -> Result<(), String> {
        let why = match ask(run, &Request::Status) {
            Ok(Reply::Status(status)) if matches!(status.state, RunState::Paused | RunState::Closed(_)) => {
                return Ok(());
            }
            Ok(Reply::Status(_)) => "goes on again".to_owned(),
            Ok(_) => "does not say whether it is still paused".to_owned(),
            Err(error) => format!("does not say whether it is still paused: {error}"),
        };
        if self.holds(run) { Err(format!("its run, {run}, {why}")) } else { Ok(()) }
    }

    /// Whether that holder still has one of the instruments; also where that cannot be looked up.
    fn holds(&self, held: &Holder) -> bool {
        let is_same = |found: Holder| found.process == held.process;
        self.addresses.iter().any(|address| holder(address).map_or(true, |found| found.is_some_and(is_same)))
    }
}

/// Asks the run of a holder over its control socket: only where the kernel says that the holder listens there.
fn ask(held: &Holder, request: &Request) -> std::io::Result<Reply> {
    let folder = held.control.as_ref().ok_or(ErrorKind::NotConnected)?;
    let mut stream = connect(folder)?;
    let peer = drivers::peer(&stream)?;
    if held.user.is_some_and(|user| user != peer.user) || peer.process.is_some_and(|process| process != held.process) {
        return Err(std::io::Error::other("somebody else listens there"));
    }
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let line = serde_json::to_string(request)? + "\n";
    stream.write_all(line.as_bytes())?;
    let mut reply = String::new();
    BufReader::new(stream).take(LONGEST_REPLY).read_line(&mut reply)?;
    Ok(serde_json::from_str(&reply)?)
}
