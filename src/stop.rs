//! Ctrl-C and SIGTERM: the first asks the run to close, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Starts listening for signals. Called once, before anything is opened.
pub fn listen() {
    let handler = || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\npnnlab: stopping; once more to end at once");
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("pnnlab: signals cannot be caught ({error}): Ctrl-C will end without closing the run");
    }
}

/// Whether the user has asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
