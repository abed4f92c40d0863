//! Ctrl-C and SIGTERM: the first asks every run to close, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::run::Control;

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// The runs of this process.
static RUNS: Mutex<Vec<Weak<Control>>> = Mutex::new(Vec::new());

/// Starts listening for signals. Called once, before anything is opened.
pub fn listen() {
    let handler = || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            crate::run::restore_terminal();
            std::process::exit(131);
        }
        tell!("\npnnlab: stopping; once more ends at once, without making the plants safe");
        let runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        runs.iter().filter_map(Weak::upgrade).for_each(|control| control.interrupt());
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tell!("pnnlab: signals cannot be caught ({error}): Ctrl-C will end without closing the run");
    }
}

/// Listens where no run goes in this process: a signal is remembered, and nothing is said.
pub fn listen_silently() {
    let handler = || REQUESTED.store(true, Ordering::SeqCst);
    // Without it, a signal ends the program without giving the terminal back; there is nothing else to lose.
    drop(ctrlc::set_handler(handler));
}

/// Whether the user has asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// From now on `control` is told of signals; at once, if one has come already.
pub fn tell(control: &Arc<Control>) {
    let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    runs.retain(|run| run.strong_count() > 0);
    runs.push(Arc::downgrade(control));
    drop(runs);
    if requested() {
        control.interrupt();
    }
}
