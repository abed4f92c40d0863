//! `pnnlab soak --exits`: trainings on served benches that end in every way there is, at random moments; is any output left on?
//!
//! Each bench is served in this process, which so sees its output without asking; each training is a process of its own, as a user
//! starts it. What counts is how long an output was on after its training was gone, and for an outage, after the instruments were back.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hil::{Fault, Faults, Wire};
use pty_process::blocking::{Command as InTerminal, Pty, open};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use sims::{Key, Stream};

use crate::control::{Request, connect};
use crate::document::Document;
use crate::plants::{Rig, ServedInstrument, lab::guard};
use crate::{Error, stop};

/// The benches without a watchdog, each with what its experiment begins with and the plant that it drives.
const BENCHES: [(&str, &str, &str, &str); 3] = [
    ("scpi", include_str!("../../../hil/rigs/scpi.toml"), "kind = \"scale-offset\"\nwidth = 64", "electrical"),
    (
        "red-pitaya",
        include_str!("../../../hil/rigs/red-pitaya.toml"),
        "kind = \"scale-offset\"\nwidth = 64",
        "electrical",
    ),
    ("optical", include_str!("../../../hil/rigs/optical.toml"), "kind = \"pick\"\ncount = 50", "optical"),
];
/// Nothing that has to happen takes longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// A training is ended within this time after its output went on, …
const MOMENTS: Duration = Duration::from_millis(800);
/// … and a few within this after their start, whatever they do then.
const EARLY: Duration = Duration::from_millis(300);
/// How often an output is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// An output that was off for so long stays off.
const CALM: Duration = Duration::from_millis(150);
/// Two Ctrl-C so far apart end a training at once.
const IMPATIENCE: Duration = Duration::from_millis(700);

/// A way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// It trains to its end.
    Finish,
    /// By its control socket.
    Stop,
    /// `kill -9`.
    Kill,
    /// SIGHUP, and at once again.
    HangUp,
    /// Its terminal is closed.
    Terminal,
    /// SIGTERM, and at once again.
    Terminate,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-C, and again later.
    InterruptTwice,
    /// `kill -9` while its instruments are out of reach.
    Outage,
}

impl clap::ValueEnum for Exit {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

impl Exit {
    const ALL: [Self; 9] = [
        Self::Finish,
        Self::Stop,
        Self::Kill,
        Self::HangUp,
        Self::Terminal,
        Self::Terminate,
        Self::Interrupt,
        Self::InterruptTwice,
        Self::Outage,
    ];

    /// Those that a training of this process hears: a signal that this one was started without (`nohup`, a shell's `&`) ends none.
    fn heard() -> Vec<Self> {
        let ignored = stop::ignored();
        let signal = |exit: &Self| match exit {
            Self::HangUp | Self::Terminal => Some(SIGHUP),
            Self::Terminate => Some(SIGTERM),
            Self::Interrupt | Self::InterruptTwice => Some(SIGINT),
            Self::Finish | Self::Stop | Self::Kill | Self::Outage => None,
        };
        Self::ALL.into_iter().filter(|exit| signal(exit).is_none_or(|signal| !ignored.contains(&signal))).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Finish => "finished",
            Self::Stop => "stopped",
            Self::Kill => "kill-9",
            Self::HangUp => "hang-up-twice",
            Self::Terminal => "terminal-closed",
            Self::Terminate => "terminate-twice",
            Self::Interrupt => "ctrl-c",
            Self::InterruptTwice => "ctrl-c-twice",
            Self::Outage => "kill-9-in-an-outage",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExitsReport {
    /// Trainings that were ended.
    pub rounds: u32,
    /// How often in which way.
    pub ways: BTreeMap<&'static str, u32>,
    /// Times that an output was on later than it may be; each in a sentence.
    pub left_on: Vec<String>,
    /// Trainings that did not end.
    pub unfinished: u32,
    /// The longest that an output was on after the training was gone.
    pub longest: Duration,
}

impl ExitsReport {
    /// Whether every output went off in time.
    pub fn is_clean(&self) -> bool {
        self.left_on.is_empty() && self.unfinished == 0
    }

    fn with(mut self, other: Self) -> Self {
        self.rounds += other.rounds;
        other.ways.into_iter().for_each(|(way, count)| *self.ways.entry(way).or_default() += count);
        self.left_on.extend(other.left_on);
        self.unfinished += other.unfinished;
        self.longest = self.longest.max(other.longest);
        self
    }
}

/// What is asked of the soak.
#[derive(Debug, Clone)]
pub struct ExitsPlan {
    /// Trainings to end, on the three benches together.
    pub rounds: u32,
    /// Decides how and when.
    pub seed: u64,
    /// No output may be on for longer.
    pub bound: Duration,
    /// The ways out; every one where it is empty.
    pub only: Vec<Exit>,
    /// On pseudo-terminals in place of sockets.
    pub on_lines: bool,
}

/// Ends trainings, on the three benches at once.
pub fn soak_exits(plan: &ExitsPlan) -> Result<ExitsReport, Error> {
    let heard = Exit::heard();
    let exits: Vec<Exit> = heard.into_iter().filter(|exit| plan.only.is_empty() || plan.only.contains(exit)).collect();
    if exits.is_empty() {
        return Err(Error::Usage(
            "--only: each of these ways is by a signal that this program ignores, since it was started so (nohup, a shell's `&`): start it in the foreground".into(),
        ));
    }
    let folder = std::env::temp_dir().join(format!("pnnlab-exits-{}", std::process::id()));
    let found = std::thread::scope(|scope| {
        let key = Key::new(plan.seed).branch("exits");
        let benches = (0..).zip(BENCHES).map(|(place, bench)| {
            let share = (plan.rounds + 2 - place) / 3;
            let exits = &exits;
            let (within, mut random) = (folder.join(bench.0), key.number(place.into()).stream());
            scope.spawn(move || {
                let site = Site::open(bench, &within, plan)?;
                let mut report = ExitsReport::default();
                for number in 0..share {
                    if stop::requested() {
                        break;
                    }
                    let exit = exits[random.below(exits.len())];
                    site.round((exit, number), plan.bound, &mut random, &mut report)?;
                }
                // A guard that still looks again would find nobody, and go on looking.
                let addresses: Vec<_> = site.served.iter().map(|instrument| instrument.address.clone()).collect();
                guard::wait_for_others(&addresses);
                Ok(report)
            })
        });
        let benches: Vec<_> = benches.collect();
        let dead = || Err(Error::Usage("the soak's own thread has died".to_owned()));
        benches.into_iter().map(|bench| bench.join().unwrap_or_else(|_| dead())).collect::<Vec<_>>()
    });
    drop(fs::remove_dir_all(&folder));
    found.into_iter().try_fold(ExitsReport::default(), |sum, found| Ok(sum.with(found?)))
}

/// One served bench and the experiment on it.
struct Site {
    name: &'static str,
    folder: PathBuf,
    program: PathBuf,
    served: Vec<ServedInstrument>,
    faults: Faults,
}

impl Site {
    fn open(
        (name, rig, first, plant): (&'static str, &str, &str, &str),
        folder: &Path,
        plan: &ExitsPlan,
    ) -> Result<Self, Error> {
        let write = |file: &str, text: &str| {
            let path = folder.join(file);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, text))
                .map_err(Error::record(&path, "cannot be written"))
        };
        write("rig.toml", rig)?;
        write("experiment.toml", &experiment(first, plant))?;
        let faults = Faults::new(plan.seed);
        let rig = Rig::find(Some(&folder.join("rig.toml")), &Document::parse("no experiment", "")?)?;
        let wire = if plan.on_lines { Wire::Pty { link: None, baud: None } } else { Wire::Tcp { port: 0 } };
        let (served, config) = rig.serve(&wire, &faults, plan.seed)?;
        let text = toml::to_string(&config).map_err(|error| Error::Usage(format!("the served rig: {error}")))?;
        write("served.toml", &text)?;
        let program = guard::program().map_err(Error::record(folder, "no training can be started"))?;
        Ok(Self { name, folder: folder.to_owned(), program, served, faults })
    }

    fn is_on(&self) -> bool {
        self.served.iter().any(|instrument| instrument.is_on() == Some(true))
    }

    /// Starts a training, ends it at a random moment, and looks how long the output stays on.
    fn round(
        &self,
        (exit, number): (Exit, u32),
        bound: Duration,
        random: &mut Stream,
        report: &mut ExitsReport,
    ) -> Result<(), Error> {
        let runs = self.folder.join("runs");
        let mut training = self.start(exit, number)?;
        let early = random.below(8) == 0;
        if !early {
            wait(|| self.is_on() || training.is_over());
        }
        std::thread::sleep((if early { EARLY } else { MOMENTS }).mul_f32(random.uniform()));
        self.end((exit, number), &mut training, random);
        let ended = wait(|| training.is_over());
        if !ended {
            training.kill();
            wait(|| training.is_over());
            report.unfinished += 1;
        }
        self.faults.clear();
        let gone = Instant::now();
        let (mut last_on, mut since) = (None, gone);
        while since.elapsed() < CALM && gone.elapsed() < PATIENCE {
            if self.is_on() {
                (last_on, since) = (Some(gone.elapsed()), Instant::now());
            }
            std::thread::sleep(LOOK);
        }
        let took = last_on.unwrap_or_default();
        report.rounds += 1;
        *report.ways.entry(exit.name()).or_default() += 1;
        report.longest = report.longest.max(took);
        if bound < took {
            let still = if CALM <= since.elapsed() { "" } else { ", and still was" };
            report.left_on.push(format!(
                "{}, round {number}, {}: the output was on {:.3} s after the training was gone{still}",
                self.name,
                exit.name(),
                took.as_secs_f64()
            ));
        }
        drop(fs::remove_dir_all(&runs));
        Ok(())
    }

    fn start(&self, exit: Exit, number: u32) -> Result<Training, Error> {
        let name = format!("round-{number}");
        // Whoever ends it otherwise does so long before.
        let steps = format!("training.steps={}", if exit == Exit::Finish { 3 } else { 1_000_000 });
        let train = ["train", "experiment.toml", "--rig", "served.toml", "--check", "false"];
        let arguments = [&train[..], &["--name", &name, "--set", &steps]].concat();
        let cannot = |error: String| Error::Usage(format!("no training can be started: {error}"));
        if exit != Exit::Terminal {
            let mut command = Command::new(&self.program);
            command.args(&arguments).current_dir(&self.folder).process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            return Ok(Training { child: command.spawn().map_err(|error| cannot(error.to_string()))?, terminal: None });
        }
        let (pty, pts) = open().map_err(|error| cannot(error.to_string()))?;
        let command = InTerminal::new(&self.program).args(&arguments).current_dir(&self.folder);
        let child = command.spawn(pts).map_err(|error| cannot(error.to_string()))?;
        Ok(Training { child, terminal: Some(Terminal::of(pty)) })
    }

    /// By its socket, as soon as it has one.
    fn ask_to_stop(&self, training: &mut Training, number: u32) {
        let folder = self.folder.join("runs").join(format!("round-{number}"));
        let mut socket = None;
        wait(|| {
            socket = connect(&folder).ok();
            socket.is_some() || training.is_over()
        });
        if let (Some(mut socket), Ok(line)) = (socket, serde_json::to_string(&Request::Stop)) {
            // One that has ended hears nothing.
            let _ = writeln!(socket, "{line}");
        }
    }

    fn end(&self, (exit, number): (Exit, u32), training: &mut Training, random: &mut Stream) {
        let mut moment = |longest: u64| std::thread::sleep(Duration::from_millis(longest).mul_f32(random.uniform()));
        match exit {
            Exit::Finish => {}
            Exit::Stop => self.ask_to_stop(training, number),
            Exit::Kill => training.kill(),
            Exit::Outage => {
                self.faults.set(Fault::Unplug, 1.0);
                moment(300);
                training.kill();
                moment(600);
            }
            Exit::Terminal => training.terminal = None,
            Exit::Interrupt => training.signal(Signal::INT),
            Exit::InterruptTwice => {
                training.signal(Signal::INT);
                std::thread::sleep(IMPATIENCE);
                training.signal(Signal::INT);
            }
            Exit::HangUp | Exit::Terminate => {
                let signal = if exit == Exit::HangUp { Signal::HUP } else { Signal::TERM };
                training.signal(signal);
                moment(4);
                training.signal(signal);
            }
        }
    }
}

/// A training in a process of its own, in a terminal or not.
struct Training {
    child: Child,
    terminal: Option<Terminal>,
}

impl Training {
    fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn signal(&self, signal: Signal) {
        // One that has ended hears nothing.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// It and whatever is in its group: a guard must not be.
    fn kill(&self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        if !self.is_over() {
            self.kill();
            drop(self.child.wait());
        }
    }
}

/// A terminal that takes what is written to it, until it is closed.
struct Terminal {
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Terminal {
    fn of(mut pty: Pty) -> Self {
        let closing = Arc::new(AtomicBool::new(false));
        let ends = closing.clone();
        let read = move || {
            let (mut buffer, look) = ([0; 4096], Timespec { tv_sec: 0, tv_nsec: 5_000_000 });
            while !ends.load(Ordering::SeqCst) {
                let readable = matches!(poll(&mut [PollFd::new(&pty, PollFlags::IN)], Some(&look)), Ok(1..));
                if readable && pty.read(&mut buffer).is_err() {
                    // Nobody is behind it any more.
                    std::thread::sleep(LOOK);
                }
            }
        };
        Self { closing, thread: std::thread::Builder::new().name("terminal".into()).spawn(read).ok() }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Waits until it has happened; `false` if it does not.
fn wait(mut happened: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if happened() {
            return true;
        }
        std::thread::sleep(LOOK);
    }
    false
}

/// A training that ends only when it is told to.
fn experiment(first: &str, plant: &str) -> String {
    format!(
        "name = \"exits\"\n[data]\nsource = \"digits\"\ntest = 60\n[training]\nbatch = 24\nevaluate_every = 0\n\
         [[layers]]\n{first}\n[[layers]]\nkind = \"physical\"\nplant = \"{plant}\"\n[[layers]]\nkind = \"bins\"\nbins = 10\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_benches_found_is_added_up() {
        let one = ExitsReport { rounds: 2, longest: Duration::from_millis(5), ..ExitsReport::default() };
        let mut other = ExitsReport { rounds: 1, unfinished: 1, ..ExitsReport::default() };
        other.ways.insert("kill-9", 1);
        assert!(one.is_clean() && !other.is_clean());
        let both = one.with(other);
        assert_eq!((both.rounds, both.unfinished, both.ways["kill-9"]), (3, 1, 1));
        assert_eq!(both.longest, Duration::from_millis(5));
        let left = ExitsReport { left_on: vec!["scpi".into()], ..ExitsReport::default() };
        assert!(!both.with(left.clone()).is_clean() && !left.is_clean());
    }
}
