//! Signals, by kind: what asks to end asks every run to close; only a second Ctrl-C, clearly later than the first, ends at once.
//!
//! One reason to end often comes as several signals: a terminal that is closed sends SIGHUP twice, `timeout` signals the program and
//! then its group. So SIGHUP, SIGTERM, SIGQUIT and SIGXCPU (`ulimit -t`) ask to close however often they come, and so does a SIGINT
//! that comes within [`LATER`] of the first. A signal that was ignored when the program started stays ignored, as `nohup` and a shell's `&` want it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use drivers::{Batch, Card, Error, Plant};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGXCPU, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};

/// Two Ctrl-C so far apart are two wishes; nearer ones are one.
const LATER: Duration = Duration::from_millis(500);

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// All steps are done.
    Finished,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// Somebody asked it to end after a step.
    Stopped,
    /// Somebody asked it to end at once.
    Aborted,
    /// Its process is gone, and nobody closed it.
    Lost,
    /// An error ended it; the event says which.
    Failed,
}

/// What is told that the program is asked to end: a run, which then closes.
pub trait Interrupted: Send + Sync {
    /// Ctrl-C, SIGTERM, SIGHUP, SIGQUIT or SIGXCPU.
    fn interrupt(&self);
}

/// What is done with the terminal by whoever has changed it.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Puts lines and echo back.
    pub restore: fn(),
    /// Gives the whole screen back before the program is suspended.
    pub give_back: fn(),
    /// Takes the screen again when the program goes on.
    pub take_again: fn(),
}

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// Whether a shell can stop this program and let it go on.
static SUSPENDS: AtomicBool = AtomicBool::new(false);
/// Who is told of signals: the runs of this process.
static LISTENERS: Mutex<Vec<Weak<dyn Interrupted>>> = Mutex::new(Vec::new());
static TERMINAL: OnceLock<Terminal> = OnceLock::new();

/// What one signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Close what goes, make the plants safe.
    Close,
    /// The same is asked already.
    CloseAgain,
    /// End at once.
    EndNow,
    /// Stop until the shell says to go on.
    Suspend,
    /// Take up again what was left.
    GoOn,
}

/// The signals so far.
#[derive(Debug, Default)]
struct Heard {
    /// The first Ctrl-C.
    interrupted: Option<Instant>,
    closing: bool,
}

impl Heard {
    /// What `signal` asks for, which came at `now`.
    fn hear(&mut self, signal: i32, now: Instant) -> Wish {
        match signal {
            SIGTSTP => return Wish::Suspend,
            SIGCONT => return Wish::GoOn,
            SIGINT => {
                let first = *self.interrupted.get_or_insert(now);
                if LATER <= now.saturating_duration_since(first) {
                    return Wish::EndNow;
                }
            }
            _ => {}
        }
        if std::mem::replace(&mut self.closing, true) { Wish::CloseAgain } else { Wish::Close }
    }
}

/// Starts listening for signals. Called once, before anything is opened.
pub fn listen(terminal: Terminal) {
    start(terminal, |signal| {
        REQUESTED.store(true, Ordering::SeqCst);
        let runs = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        runs.iter().filter_map(Weak::upgrade).for_each(|run| run.interrupt());
        // Last: a terminal that is gone or stopped must keep nothing on.
        let name = signal_name(signal).unwrap_or("a signal");
        let once_more = if signal == SIGINT { "; Ctrl-C once more ends at once, without closing the run" } else { "" };
        tell!("\npnnlab: stopping by {name}{once_more}");
    });
}

/// Listens where no run goes in this process: a signal is remembered, and nothing is said.
pub fn listen_silently(terminal: Terminal) {
    start(terminal, |_| REQUESTED.store(true, Ordering::SeqCst));
}

/// Listens from now on; `close` is called with the first signal that asks to close.
fn start(terminal: Terminal, close: impl Fn(i32) + Send + 'static) {
    // Whoever listens first has named it.
    let _ = TERMINAL.set(terminal);
    let ignored = ignored();
    // Else a file that outgrows `ulimit -f` kills the program; so it is an error of writing, which closes the run.
    drop(signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))));
    let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU, SIGTSTP, SIGCONT];
    let wanted: Vec<i32> = wanted.into_iter().filter(|signal| !ignored.contains(signal)).collect();
    SUSPENDS.store(wanted.contains(&SIGTSTP), Ordering::SeqCst);
    let work = move |mut signals: Signals| {
        let mut heard = Heard::default();
        for signal in signals.forever() {
            match heard.hear(signal, Instant::now()) {
                Wish::Close => close(signal),
                Wish::CloseAgain => {}
                Wish::EndNow => {
                    with_terminal(|terminal| (terminal.restore)());
                    std::process::exit(131);
                }
                Wish::Suspend => suspend(),
                Wish::GoOn => with_terminal(|terminal| (terminal.take_again)()),
            }
        }
    };
    let listening = Signals::new(wanted)
        .and_then(|signals| std::thread::Builder::new().name("signals".into()).spawn(move || work(signals)));
    if let Err(error) = listening {
        tell!("pnnlab: signals cannot be caught ({error}): Ctrl-C will end without closing the run");
    }
}

fn with_terminal(work: impl FnOnce(&Terminal)) {
    if let Some(terminal) = TERMINAL.get() {
        work(terminal);
    }
}

/// Ctrl-Z: the terminal is given back, then the program stops until the shell lets it go on, where there is a shell that can. Whoever
/// listens for keys takes the terminal again.
pub fn suspend() {
    if SUSPENDS.load(Ordering::SeqCst) {
        with_terminal(|terminal| {
            (terminal.restore)();
            (terminal.give_back)();
        });
        // Fails for no signal that has a default.
        let _ = emulate_default_handler(SIGTSTP);
    }
}

/// The signals that this program does not hear, nor whatever it starts: they were ignored when it was started.
pub fn ignored() -> Vec<i32> {
    ignored_signals(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// The signals that are ignored, as Linux says in `status` of a process: a bit for each, from 1 on.
fn ignored_signals(status: &str) -> Vec<i32> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).filter(|signal| mask >> (signal - 1) & 1 == 1).collect()
}

/// Whether the user has asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// From now on `run` is told of signals; at once, if one has come already.
pub fn tell(run: &Arc<impl Interrupted + 'static>) {
    let mut runs = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
    runs.retain(|known| known.strong_count() > 0);
    let run: Arc<dyn Interrupted> = run.clone();
    runs.push(Arc::downgrade(&run));
    drop(runs);
    if requested() {
        run.interrupt();
    }
}

/// The longest piece of a batch that a stop waits for, in s of bench time.
const PIECE: f64 = 0.5;

/// A plant for measurements that are no run: it is driven in pieces, and no more once the user has asked to stop.
pub struct Stoppable<'a> {
    plant: &'a mut dyn Plant,
    /// The most shots that are driven at once.
    most: usize,
}

impl<'a> Stoppable<'a> {
    /// `plant`, whose batches are cut where its instruments are wired: a plant in this process is fast.
    pub fn new(plant: &'a mut dyn Plant, is_wired: bool) -> Self {
        let shots = PIECE / plant.card().timing.shot.max(1e-9);
        Self { plant, most: if is_wired { (shots as usize).max(1) } else { usize::MAX } }
    }
}

impl Plant for Stoppable<'_> {
    fn card(&self) -> &Card {
        self.plant.card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        if requested() { Err(Error::Interrupted) } else { self.plant.apply(controls) }
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let mut outputs = Vec::new();
        let (columns, most) = (inputs.columns(), self.most.min(inputs.rows().max(1)));
        for piece in inputs.values().chunks((most * columns).max(1)) {
            if requested() {
                return Err(Error::Interrupted);
            }
            outputs.extend(self.plant.measure(&Batch::new(columns, piece.to_vec())?)?.into_values());
        }
        Batch::new(self.plant.ports().output_count(), outputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.plant.make_safe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What signals ask for that come so many milliseconds after the first.
    fn wishes(signals: &[(i32, u64)]) -> Vec<Wish> {
        let (mut heard, start) = (Heard::default(), Instant::now());
        signals.iter().map(|(signal, after)| heard.hear(*signal, start + Duration::from_millis(*after))).collect()
    }

    #[test]
    fn only_a_second_ctrl_c_that_is_clearly_later_ends_at_once() {
        use Wish::{Close, CloseAgain, EndNow, GoOn, Suspend};
        assert_eq!(wishes(&[(SIGINT, 0), (SIGINT, 499), (SIGINT, 500)]), [Close, CloseAgain, EndNow]);
        for signal in [SIGHUP, SIGTERM, SIGQUIT, SIGXCPU] {
            assert_eq!(wishes(&[(signal, 0), (signal, 1), (signal, 60_000)]), [Close, CloseAgain, CloseAgain]);
            // The first Ctrl-C is the first, whatever came before.
            assert_eq!(wishes(&[(signal, 0), (SIGINT, 9000), (SIGINT, 9600)]), [Close, CloseAgain, EndNow]);
            assert_eq!(wishes(&[(SIGINT, 0), (signal, 9000)]), [Close, CloseAgain]);
        }
        assert_eq!(wishes(&[(SIGTSTP, 0), (SIGCONT, 900), (SIGINT, 901)]), [Suspend, GoOn, Close]);
    }

    #[test]
    fn what_was_ignored_at_the_start_is_read_from_the_mask() {
        let status = "Name:\tpnnlab\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000100000440\n";
        assert_eq!(ignored_signals(status), [SIGHUP, signal_hook::consts::SIGPIPE]);
        assert!(ignored_signals("").is_empty());
    }
}
