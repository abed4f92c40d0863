//! Keys that control a run from its own terminal: p, r, s, ! and ?. Where the program has no terminal, nobody listens.
//!
//! Lines and echo are switched off while it listens; signals and output stay as they are, so Ctrl-C and Ctrl-Z work as ever. While
//! another program is in front of the terminal, it is left alone.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::MultiProgress;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

use crate::control::{Reply, Request};

/// How the terminal was before.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
/// A key is waited for so long before the end is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Listens until it is dropped.
pub struct Keyboard {
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keyboard {
    /// Hands to `ask` what keys ask for, whenever this program is in front of a terminal; answers go above `bars`.
    pub fn listen(ask: impl Fn(&Request) -> Reply + Send + 'static, bars: &MultiProgress) -> Self {
        let closing = Arc::new(AtomicBool::new(false));
        let has_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let thread = has_terminal.then(|| {
            let (bars, closing) = (bars.clone(), closing.clone());
            std::thread::Builder::new().name("keyboard".into()).spawn(move || listen(&ask, &bars, &closing))
        });
        // Without it the run is steered by its socket and by signals.
        Self { closing, thread: thread.and_then(Result::ok) }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        restore_terminal();
    }
}

/// Whether this program is in front of its terminal: whoever reads or sets a terminal from behind is stopped by the system.
fn is_in_front() -> bool {
    tcgetpgrp(std::io::stdin()).ok() == Some(rustix::process::getpgrp())
}

/// Switches lines and echo off where they are on: at first, and again after somebody else had the terminal (Ctrl-Z and `fg`, SIGSTOP).
/// `false` where this program is not in front of it.
fn quiet_terminal() -> bool {
    if !is_in_front() {
        return false;
    }
    let input = std::io::stdin();
    let Ok(now) = tcgetattr(&input) else { return false };
    let loud = LocalModes::ICANON | LocalModes::ECHO;
    if now.local_modes.intersects(loud) {
        let mut quiet = now.clone();
        quiet.local_modes.remove(loud);
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        return tcsetattr(&input, OptionalActions::Now, &quiet).is_ok();
    }
    true
}

/// Puts the terminal back as it was; for every way out. Whoever is in front of it instead has set it already.
pub fn restore_terminal() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take()
        && is_in_front()
    {
        // A terminal that is gone needs no putting back.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
}

fn listen(ask: &dyn Fn(&Request) -> Reply, bars: &MultiProgress, closing: &AtomicBool) {
    let say = |words: &str| bars.suspend(|| tell!("pnnlab: {words}"));
    let mut stopping = false;
    while !closing.load(Ordering::SeqCst) {
        if !quiet_terminal() {
            std::thread::sleep(LOOK);
            continue;
        }
        let Some(key) = next_key() else { continue };
        let (words, request) = press(key, &mut stopping);
        let Some(request) = request else {
            words.into_iter().for_each(say);
            continue;
        };
        // The safe state takes a moment: that it is asked for is said before.
        let takes_a_moment = request == Request::Safe;
        words.into_iter().filter(|_| takes_a_moment).for_each(say);
        match ask(&request) {
            Reply::Refused { message } => say(&message),
            _ => words.into_iter().filter(|_| !takes_a_moment).for_each(say),
        }
    }
}

/// The key that was pressed, if one was.
fn next_key() -> Option<u8> {
    let input = std::io::stdin();
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    let mut waits = [PollFd::new(&input, PollFlags::IN)];
    // Somebody else may be in front of the terminal by now.
    if !matches!(poll(&mut waits, Some(&timeout)), Ok(1..)) || !is_in_front() {
        return None;
    }
    let mut key = [0];
    // Past the buffer of the standard library, which would keep keys where `poll` does not see them.
    if rustix::io::read(&input, &mut key) == Ok(1) {
        return Some(key[0]);
    }
    // A terminal that is gone is always ready: do not turn in circles.
    std::thread::sleep(LOOK);
    None
}

/// What a key says and asks. A stop is asked for twice.
fn press(key: u8, stopping: &mut bool) -> (Option<&'static str>, Option<Request>) {
    let confirmed = std::mem::take(stopping);
    match key {
        b'p' => (Some("pauses after this step"), Some(Request::Pause)),
        // That it goes on is said when it does.
        b'r' => (None, Some(Request::Resume)),
        b'!' => (Some("making the plants safe; r goes on"), Some(Request::Safe)),
        b's' => {
            *stopping = true;
            (Some("stop after this step and finish the record? y stops, any other key goes on"), None)
        }
        b'y' if confirmed => (Some("stopping"), Some(Request::Stop)),
        b'?' => (Some("keys: p pause, r resume, s stop, ! safe state now, Ctrl-C stop at once"), None),
        _ if confirmed => (Some("goes on"), None),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_confirmed_and_the_safe_state_is_not() {
        let mut stopping = false;
        assert_eq!(press(b's', &mut stopping).1, None);
        assert_eq!(press(b'n', &mut stopping), (Some("goes on"), None));
        assert_eq!(press(b'y', &mut stopping), (None, None), "the question is over");
        press(b's', &mut stopping);
        assert_eq!(press(b'y', &mut stopping).1, Some(Request::Stop));
        assert_eq!(press(b'!', &mut stopping).1, Some(Request::Safe));
    }
}
